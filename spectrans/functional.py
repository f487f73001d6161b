"""Spectral mixing and filtering as functions: arguments are checked here, the work is done by the ops."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans._backend import reference, why_reference
from spectrans.ops.filter import filter as _filter
from spectrans.ops.filter import filter_reference
from spectrans.ops.filter2d import filter2d as _filter2d
from spectrans.ops.filter2d import filter2d_reference
from spectrans.ops.library import call, compute_dtype
from spectrans.ops.mixing import NORMS, mixing_reference
from spectrans.ops.mixing import mixing as _mixing

__all__ = ["fourier_mixing", "hartley_mixing", "spectral_filter", "spectral_filter2d"]

_REAL_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
_NORM_CODES: dict[str | None, int] = {None: 0, **{name: code for code, name in enumerate(NORMS)}}


def _check_signal(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor, got {type(x).__name__}")
    if x.dtype not in _REAL_DTYPES:
        raise TypeError(f"x: expected dtype float16, bfloat16, float32 or float64, got {x.dtype}")
    if x.dim() < 2:
        raise ValueError(f"x: expected at least 2 dimensions [..., n, d], got shape {tuple(x.shape)}")


def _check_lengths(x: Tensor, sequence: bool, hidden: bool) -> None:
    if (sequence and x.shape[-2] == 0) or (hidden and x.shape[-1] == 0):
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")


def _norm_code(norm: str | None, name: str = "norm") -> int:
    if not (norm is None or isinstance(norm, str)):
        raise TypeError(f"{name}: expected a string or None, got {type(norm).__name__}")
    if norm not in _NORM_CODES:
        raise ValueError(f"{name}: expected 'ortho', 'backward' or 'forward', got {norm!r}")
    return _NORM_CODES[norm]


def _both(dims: int) -> bool:
    if not isinstance(dims, int):
        raise TypeError(f"dims: expected an int, 1 or 2, got {type(dims).__name__}")
    if dims != 1 and dims != 2:
        raise ValueError(f"dims: expected 1 (the sequence) or 2 (sequence and hidden), got {dims}")
    return dims == 2


def _mix(x: Tensor, sequence: bool, hidden: bool, hartley: bool, norm: str | None) -> Tensor:
    _check_signal(x)
    _check_lengths(x, sequence, hidden)
    code = _norm_code(norm)
    reason = why_reference()
    if reason is None:
        return call(_mixing, x, sequence, hidden, hartley, code)  # type: ignore[no-any-return]
    return reference("mixing", reason, mixing_reference, x, sequence, hidden, hartley, code)


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
    return _mix(x, True, _both(dims), False, norm)


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
    return _mix(x, True, _both(dims), True, norm)


def _response_pairs(
    response: Tensor,  # complex [frequencies ..., d] or real [frequencies ..., d, 2]
    x: Tensor,  # [..., n, d]
    frequencies: tuple[int, ...],
    axes: str,  # what those are, for messages
    sizes: dict[str, int],  # what they follow from
) -> Tensor:  # [frequencies ..., d, 2], the compute dtype of x
    if not isinstance(response, Tensor):
        raise TypeError(f"response: expected a tensor, got {type(response).__name__}")
    expected: tuple[int, ...] = (*frequencies, x.shape[-1])
    meaning = f"{axes} frequencies, d channels"
    if not response.is_complex():
        if response.dtype not in _REAL_DTYPES:
            raise TypeError(f"response: expected a complex or floating-point dtype, got {response.dtype}")
        expected, meaning = (*expected, 2), f"{meaning}, real and imaginary part"
    if response.shape != expected:
        known = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise ValueError(
            f"response: expected shape {expected} ({meaning}) for {known} and d={x.shape[-1]}, "
            f"got {tuple(response.shape)}"
        )
    if response.device != x.device:
        raise ValueError(f"response: expected device {x.device}, that of x, got {response.device}")
    dtype = compute_dtype(x.dtype)
    if response.is_complex():
        response = torch.view_as_real(response.resolve_conj())
    return response if response.dtype is dtype else response.to(dtype)


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
    _check_signal(x)
    if not isinstance(dim, int):
        raise TypeError(f"dim: expected an int, -2 or -1, got {type(dim).__name__}")
    last = x.dim() - 1
    if dim == -1 or dim == last:
        y: Tensor = _apply_filter(x.transpose(-2, -1), response, x).transpose(-2, -1)
        return y
    if dim == -2 or dim == last - 1:
        return _apply_filter(x, response, x)
    raise ValueError(f"dim: expected -2 or -1 (or {last - 1} or {last}) for an x of {x.dim()} dimensions, got {dim}")


def _apply_filter(
    signal: Tensor,  # [..., n, d]
    response: Tensor,
    x: Tensor,  # as the caller gave it, for messages
) -> Tensor:  # [..., n, d]
    if signal.shape[-2] == 0:
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")
    n = signal.shape[-2]
    pairs = _response_pairs(response, signal, (n // 2 + 1,), "n//2+1", {"n": n})
    reason = why_reference()
    if reason is None:
        return call(_filter, signal, pairs, False)  # type: ignore[no-any-return]
    return reference("filter", reason, filter_reference, signal, pairs, False)


def _check_grid(grid: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(grid, (tuple, list)):
        raise TypeError(f"grid: expected a pair of ints (h, w), got {type(grid).__name__}")
    if len(grid) != 2:
        raise ValueError(f"grid: expected a pair (h, w), got {len(grid)} values")
    h, w = grid
    for side in (h, w):
        if not isinstance(side, (int, torch.SymInt)) or isinstance(side, bool):
            raise TypeError(f"grid: expected a pair of ints (h, w), got a {type(side).__name__} in it")
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
    _check_signal(x)
    _check_lengths(x, sequence=True, hidden=False)
    h, w = _check_grid(grid)
    if h * w != x.shape[-2]:
        raise ValueError(f"grid: expected (h, w) with h * w = {x.shape[-2]}, the tokens of x, got {(h, w)}")
    pairs = _response_pairs(response, x, (h, w // 2 + 1), "h, w//2+1", {"h": h, "w": w})
    reason = why_reference()
    if reason is None:
        return call(_filter2d, x, pairs, False)  # type: ignore[no-any-return]
    return reference("filter2d", reason, filter2d_reference, x, pairs, False)
