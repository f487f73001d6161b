"""Filtering along sequence and channels together as a function."""

from __future__ import annotations

from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import check_lengths, check_signal, response_pairs
from spectrans.ops.filter_plane import filter_plane as _filter_plane

__all__ = ["spectral_filter_plane"]


def spectral_filter_plane(
    x: Tensor,  # [..., n, d]
    response: Tensor,  # complex [n, d] or real [n, d, 2]
) -> Tensor:  # [..., n, d]
    r"""Filter the last two axes together: a circular convolution over sequence and channels.

    .. math:: y = \operatorname{Re} \operatorname{ifft2}(\operatorname{fft2}(x) \odot H)

    A real result sees only the Hermitian part of H, :math:`a + ib = (H_k + \bar H_{-k}) / 2`, and so does the gradient.
    With X the orthonormal Hartley transform of x, its own inverse, y is the Hartley transform of
    :math:`a_k X_k - b_k X_{-k}`.

    Parameters
    ----------
    x : Tensor
        [..., n, d], any strides, any n and d; float16, bfloat16, float32 or float64. Halves are computed in float32 and
        rounded once.
    response : Tensor
        H, complex [n, d], or real [n, d, 2] holding (real, imaginary) pairs. It is cast to the precision the work is
        done in: float64 where `x` is float64, otherwise float32.

    Returns
    -------
    Tensor
        The shape and dtype of `x`, the strides of ``torch.empty_like(x)``.

    Raises
    ------
    TypeError
        If `x` is not real floating-point, or `response` neither complex nor floating-point.
    ValueError
        If the shape of `response` does not fit that of `x`, it is on another device, or one of the last two axes of `x`
        has no elements.

    References
    ----------
    R. N. Bracewell. Discrete Hartley transform. Journal of the Optical Society of America 73 (12), 1983.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import spectral_filter_plane
    >>> x, h = torch.randn(2, 16, 8), torch.randn(16, 8, dtype=torch.complex64)
    >>> torch.allclose(spectral_filter_plane(x, h), torch.fft.ifft2(torch.fft.fft2(x) * h).real, atol=1e-5)
    True
    """
    check_signal(x)
    check_lengths(x, sequence=True, hidden=True)
    n = x.shape[-2]
    pairs = response_pairs(response, x, (n,), "n", {"n": n})
    y: Tensor = run(_filter_plane, x, pairs)
    return y
