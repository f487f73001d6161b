"""Fourier and Hartley mixing as functions."""

from __future__ import annotations

from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import as_int, check_lengths, check_signal, norm_code
from spectrans.ops.library import defaults
from spectrans.ops.mixing import mixing as _mixing

__all__ = ["fourier_mixing", "hartley_mixing"]

_DEFAULTS = defaults(_mixing)


def _both(dims: int) -> bool:
    dims = as_int(dims)
    if not isinstance(dims, int) or isinstance(dims, bool):
        raise TypeError(f"dims: expected an int, 1 or 2, got {type(dims).__name__}")
    if dims != 1 and dims != 2:
        raise ValueError(f"dims: expected 1 (the sequence) or 2 (sequence and hidden), got {dims}")
    return dims == 2


def mix(x: Tensor, sequence: bool, hidden: bool, hartley: bool, norm: str | None) -> Tensor:
    """Mixing over either axis or both."""
    check_signal(x)
    check_lengths(x, sequence, hidden)
    settings: tuple[object, ...] = (sequence, hidden, hartley, norm_code(norm))
    if settings == _DEFAULTS:
        settings = ()
    y: Tensor = run(_mixing, x, *settings)
    return y


def fourier_mixing(
    x: Tensor,  # [..., n, d]
    dims: int = 2,
    norm: str | None = "ortho",
) -> Tensor:  # [..., n, d]
    r"""Real part of the discrete Fourier transform over the last `dims` axes of [..., n, d]: FNet's token mixing.

    .. math::
        y_{pq} = s \sum_{j, l} x_{jl} \cos 2\pi\left(\frac{pj}{n} + \frac{ql}{d}\right)

    for ``dims=2``; for ``dims=1`` over the sequence alone, :math:`y_{pc} = s \sum_j x_{jc} \cos 2\pi pj/n`. The
    operator is symmetric, so its derivative is itself.

    Parameters
    ----------
    x : Tensor
        [..., n, d], any strides, any n and d; float16, bfloat16, float32 or float64. Halves are computed in float32
        and rounded once.
    dims : {2, 1}
        2 transforms the sequence (axis -2) and the hidden axis (-1), 1 the sequence only.
    norm : {"ortho", "backward", "forward"}
        As in ``torch.fft``: with N the number of transformed elements, s is 1/sqrt(N), 1 or 1/N. None means
        "backward".

    Returns
    -------
    Tensor
        [..., n, d], the dtype of `x` and the strides of ``torch.empty_like(x)``.

    Raises
    ------
    TypeError
        If `x` is not a real floating-point tensor, or `dims` or `norm` has the wrong type.
    ValueError
        If `x` has fewer than two axes or a transformed axis of length 0, or `dims` or `norm` is not one of those above.

    References
    ----------
    J. Lee-Thorp, J. Ainslie, I. Eckstein, S. Ontanon. FNet: Mixing Tokens with Fourier Transforms. NAACL 2022.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import fourier_mixing
    >>> x = torch.randn(2, 16, 8)
    >>> torch.allclose(fourier_mixing(x), torch.fft.fft2(x, norm="ortho").real, atol=1e-5)
    True
    """
    return mix(x, True, _both(dims), False, norm)


def hartley_mixing(
    x: Tensor,  # [..., n, d]
    dims: int = 2,
    norm: str | None = "ortho",
) -> Tensor:  # [..., n, d]
    r"""Discrete Hartley transform over the last `dims` axes of [..., n, d]: real part minus imaginary part of the DFT.

    .. math::
        y_{pq} = s \sum_{j, l} x_{jl} \operatorname{cas} 2\pi\left(\frac{pj}{n} + \frac{ql}{d}\right),
        \qquad \operatorname{cas} t = \cos t + \sin t

    for ``dims=2``; over the sequence alone for ``dims=1``. With ``norm="ortho"`` the operator is real, symmetric,
    orthogonal and its own inverse: the unitary mixing that the real part of the DFT is not.

    Parameters
    ----------
    x : Tensor
        [..., n, d], any strides, any n and d; float16, bfloat16, float32 or float64. Halves are computed in float32
        and rounded once.
    dims : {2, 1}
        2 transforms the sequence (axis -2) and the hidden axis (-1), 1 the sequence only.
    norm : {"ortho", "backward", "forward"}
        As in ``torch.fft``: with N the number of transformed elements, s is 1/sqrt(N), 1 or 1/N. None means
        "backward".

    Returns
    -------
    Tensor
        [..., n, d], the dtype of `x` and the strides of ``torch.empty_like(x)``.

    Raises
    ------
    TypeError
        If `x` is not a real floating-point tensor, or `dims` or `norm` has the wrong type.
    ValueError
        If `x` has fewer than two axes or a transformed axis of length 0, or `dims` or `norm` is not one of those above.

    References
    ----------
    R. N. Bracewell. Discrete Hartley transform. Journal of the Optical Society of America 73 (12), 1983.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import hartley_mixing
    >>> x = torch.randn(2, 16, 8)
    >>> torch.allclose(hartley_mixing(hartley_mixing(x)), x, atol=1e-5)
    True
    """
    return mix(x, True, _both(dims), True, norm)
