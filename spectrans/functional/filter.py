"""Filtering along the sequence as a function."""

from __future__ import annotations

from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import check_signal, is_channels_first, response_pairs
from spectrans.ops.filter import filter as _filter

__all__ = ["spectral_filter"]


def spectral_filter(
    x: Tensor,  # [..., n, d], or [..., d, n] for dim=-1
    response: Tensor,  # complex [n//2+1, d] or real [n//2+1, d, 2]
    dim: int = -2,
) -> Tensor:  # the shape of x
    r"""Filter every channel by its own frequency response: a circular convolution along the sequence.

    .. math:: y = \operatorname{irfft}(\operatorname{rfft}(x) \odot H)

    H is the non-negative half of a Hermitian response, so y is real. As in numpy, the imaginary part of H has no
    effect (and no gradient) at frequency 0 and, for even n, at n/2.

    Parameters
    ----------
    x : Tensor
        [..., n, d], any strides, any n; float16, bfloat16, float32 or float64. Halves are computed in float32 and
        rounded once. For ``dim=-1``, [..., d, n]: channels first.
    response : Tensor
        H, complex [n//2+1, d], or real [n//2+1, d, 2] holding (real, imaginary) pairs, in either layout of `x`. It is
        cast to the precision the work is done in: float64 where `x` is float64, otherwise float32. Unlike torch's
        type promotion, the response therefore never changes the dtype of the result.
    dim : {-2, -1}
        The sequence axis of `x`; its non-negative equivalents are accepted.

    Returns
    -------
    Tensor
        The shape and dtype of `x`, the strides of ``torch.empty_like(x)``.

    Raises
    ------
    TypeError
        If `x` is not real floating-point, `response` neither complex nor floating-point, or `dim` not an int.
    ValueError
        If the shape of `response` does not fit that of `x`, it is on another device, `x` has fewer than two axes or
        no samples along `dim`, or `dim` is not one of the last two axes.

    References
    ----------
    Y. Rao, W. Zhao, Z. Zhu, J. Lu, J. Zhou. Global Filter Networks for Image Classification. NeurIPS 2021.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import spectral_filter
    >>> x = torch.randn(2, 16, 8)
    >>> delay = torch.exp(-2j * torch.pi * 3 * torch.arange(9) / 16).unsqueeze(-1).expand(9, 8)
    >>> torch.allclose(spectral_filter(x, delay), x.roll(3, dims=-2), atol=1e-5)
    True
    """
    check_signal(x)
    if is_channels_first(dim, x.dim()):
        y: Tensor = _apply_filter(x.transpose(-2, -1), response, x).transpose(-2, -1)
        return y
    return _apply_filter(x, response, x)


def _apply_filter(
    signal: Tensor,  # [..., n, d]
    response: Tensor,
    x: Tensor,  # as the caller gave it, for messages
) -> Tensor:  # [..., n, d]
    n = signal.shape[-2]
    if n == 0:
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")
    pairs = response_pairs(response, signal, (n // 2 + 1,), "n//2+1", {"n": n})
    y: Tensor = run(_filter, signal, pairs)
    return y
