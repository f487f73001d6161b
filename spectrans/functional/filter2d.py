"""Filtering over a grid of tokens as a function."""

from __future__ import annotations

import numbers

import torch
from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import check_count, check_lengths, check_signal, response_pairs
from spectrans.ops.filter2d import filter2d as _filter2d

__all__ = ["spectral_filter2d"]


def check_grid(grid: tuple[int, int]) -> tuple[int, int]:
    """A pair of sides."""
    if not isinstance(grid, (tuple, list)):
        raise TypeError(f"grid: expected a pair of ints (h, w), got {type(grid).__name__}")
    if len(grid) != 2:
        raise ValueError(f"grid: expected a pair (h, w), got {len(grid)} values")
    for side in grid:
        if not isinstance(side, (numbers.Integral, torch.SymInt)) or isinstance(side, bool):
            raise TypeError(f"grid: expected a pair of ints (h, w), got a {type(side).__name__} in it")
    h, w = (check_count(side, "grid") for side in grid)
    if h < 1 or w < 1:
        raise ValueError(f"grid: expected sides of 1 or more, got {(h, w)}")
    return h, w


def spectral_filter2d(
    x: Tensor,  # [..., h*w, d]
    response: Tensor,  # complex [h, w//2+1, d] or real [h, w//2+1, d, 2]
    grid: tuple[int, int],
) -> Tensor:  # [..., h*w, d]
    r"""Filter every channel of a grid of tokens by its own frequency response: a two-dimensional circular convolution.

    .. math:: y = \operatorname{irfft2}(\operatorname{rfft2}(x) \odot H)

    over the (h, w) grid whose rows, one after the other, are the sequence. H is the half :math:`0 \le k_w \le w/2` of
    a Hermitian response, so y is real. As in numpy, where that half holds a bin and its mirror image, in the columns
    :math:`k_w = 0` and, for even w, :math:`k_w = w/2`, the mean :math:`(H_{k_h} + \bar H_{-k_h}) / 2` acts.

    Parameters
    ----------
    x : Tensor
        [..., h*w, d], any strides, any h and w; float16, bfloat16, float32 or float64. Halves are computed in float32
        and rounded once.
    response : Tensor
        H, complex [h, w//2+1, d], or real [h, w//2+1, d, 2] holding (real, imaginary) pairs. It is cast to the
        precision the work is done in: float64 where `x` is float64, otherwise float32. Unlike torch's type promotion,
        the response therefore never changes the dtype of the result.
    grid : (int, int)
        (h, w): token i is in row i // w and column i % w.

    Returns
    -------
    Tensor
        The shape and dtype of `x`, the strides of ``torch.empty_like(x)``.

    Raises
    ------
    TypeError
        If `x` is not real floating-point, `response` neither complex nor floating-point, or `grid` not a pair of ints.
    ValueError
        If h * w is not the number of tokens, the shape of `response` does not fit, it is on another device, or `x` has
        fewer than two axes or no tokens.

    References
    ----------
    Y. Rao, W. Zhao, Z. Zhu, J. Lu, J. Zhou. Global Filter Networks for Image Classification. NeurIPS 2021.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import spectral_filter2d
    >>> x, response = torch.randn(2, 4 * 6, 8), torch.randn(4, 4, 8, dtype=torch.complex64)
    >>> y = spectral_filter2d(x, response, grid=(4, 6))
    >>> spectrum = torch.fft.rfft2(x.unflatten(-2, (4, 6)), dim=(-3, -2))
    >>> expected = torch.fft.irfft2(spectrum * response, s=(4, 6), dim=(-3, -2)).flatten(-3, -2)
    >>> torch.allclose(y, expected, atol=1e-5)
    True
    """
    check_signal(x)
    check_lengths(x, sequence=True, hidden=False)
    h, w = check_grid(grid)
    if h * w != x.shape[-2]:
        raise ValueError(f"grid: expected (h, w) with h * w = {x.shape[-2]}, the tokens of x, got {(h, w)}")
    pairs = response_pairs(response, x, (h, w // 2 + 1), "h, w//2+1", {"h": h, "w": w})
    y: Tensor = run(_filter2d, x, pairs)
    return y
