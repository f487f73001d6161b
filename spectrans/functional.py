"""Spectral mixing and filtering as functions: arguments are checked here, the work is done by the ops."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans._backend import reference, why_reference
from spectrans.ops.filter import filter as _filter
from spectrans.ops.filter import filter_reference
from spectrans.ops.library import compute_dtype
from spectrans.ops.mixing import NORMS, mixing_reference
from spectrans.ops.mixing import mixing as _mixing
from spectrans.ops.modes import modes as _modes
from spectrans.ops.modes import modes_inverse as _modes_inverse
from spectrans.ops.modes import modes_inverse_reference, modes_reference

__all__ = ["fourier_mixing", "hartley_mixing", "irfft_modes", "rfft_modes", "spectral_filter"]

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


def _channels_first(dim: int, dims: int, name: str) -> bool:
    if not isinstance(dim, int):
        raise TypeError(f"dim: expected an int, -2 or -1, got {type(dim).__name__}")
    if dim in (-1, dims - 1):
        return True
    if dim in (-2, dims - 2):
        return False
    raise ValueError(
        f"dim: expected -2 or -1 (or {dims - 2} or {dims - 1}) for {'an' if name == 'x' else 'a'} {name} of {dims} "
        f"dimensions, got {dim}"
    )


def _check_count(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")


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
        return _mixing(x, sequence, hidden, hartley, code)  # type: ignore[no-any-return]
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
    response: Tensor,  # complex [n//2+1, d] or real [n//2+1, d, 2]
    x: Tensor,  # [..., n, d]
) -> Tensor:  # [n//2+1, d, 2], the compute dtype of x
    if not isinstance(response, Tensor):
        raise TypeError(f"response: expected a tensor, got {type(response).__name__}")
    n, d = x.shape[-2:]
    if response.is_complex():
        if response.shape != (n // 2 + 1, d):
            raise ValueError(
                f"response: expected shape {(n // 2 + 1, d)} (n//2+1 frequencies, d channels) "
                f"for n={n} and d={d}, got {tuple(response.shape)}"
            )
    elif response.dtype in _REAL_DTYPES:
        if response.shape != (n // 2 + 1, d, 2):
            raise ValueError(
                f"response: expected shape {(n // 2 + 1, d, 2)} (n//2+1 frequencies, d channels, real and imaginary "
                f"part) for n={n} and d={d}, got {tuple(response.shape)}"
            )
    else:
        raise TypeError(f"response: expected a complex or floating-point dtype, got {response.dtype}")
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
    if _channels_first(dim, x.dim(), "x"):
        y: Tensor = _apply_filter(x.transpose(-2, -1), response, x).transpose(-2, -1)
        return y
    return _apply_filter(x, response, x)


def _apply_filter(
    signal: Tensor,  # [..., n, d]
    response: Tensor,
    x: Tensor,  # as the caller gave it, for messages
) -> Tensor:  # [..., n, d]
    if signal.shape[-2] == 0:
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")
    pairs = _response_pairs(response, signal)
    reason = why_reference()
    if reason is None:
        return _filter(signal, pairs, False)  # type: ignore[no-any-return]
    return reference("filter", reason, filter_reference, signal, pairs, False)


def rfft_modes(
    x: Tensor,  # [..., n, d], or [..., d, n] for dim=-1
    modes: int,
    dim: int = -2,
    norm: str | None = "backward",
) -> Tensor:  # complex [..., modes, d], or [..., d, modes]
    r"""The first `modes` frequencies of a real Fourier transform along the sequence.

    .. math:: X_k = s \sum_j x_j e^{-2 \pi i jk/n}, \qquad 0 \le k < \mathrm{modes}

    What ``torch.fft.rfft(x, dim=dim, norm=norm)`` followed by a slice gives; the other frequencies are never stored
    and, where n has small factors, not all computed. Fourier neural operators and AFNO mix tokens in such a truncated
    spectrum.

    Parameters
    ----------
    x : Tensor
        [..., n, d], any strides, any n; float16, bfloat16, float32 or float64. For ``dim=-1``, [..., d, n]: channels
        first.
    modes : int
        How many frequencies, from 0 up: 1 to n//2+1.
    dim : {-2, -1}
        The sequence axis of `x`; its non-negative equivalents are accepted.
    norm : {"backward", "ortho", "forward"}
        As in ``torch.fft.rfft``: s is 1, 1/sqrt(n) or 1/n. None means "backward".

    Returns
    -------
    Tensor
        X, [..., modes, d] (for ``dim=-1``, [..., d, modes]), contiguous: complex128 where `x` is float64, otherwise
        complex64, the precision the work is done in.

    Raises
    ------
    TypeError
        If `x` is not real floating-point, `modes` or `dim` not an int, or `norm` neither a string nor None.
    ValueError
        If `x` has fewer than two axes or no samples along `dim`, or another argument is not one of those above.

    See Also
    --------
    irfft_modes : The way back.

    References
    ----------
    Z. Li, N. Kovachki, K. Azizzadenesheli, B. Liu, K. Bhattacharya, A. Stuart, A. Anandkumar. Fourier Neural Operator
    for Parametric Partial Differential Equations. ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import rfft_modes
    >>> x = torch.randn(2, 16, 8)
    >>> torch.allclose(rfft_modes(x, 3), torch.fft.rfft(x, dim=-2)[:, :3], atol=1e-5)
    True
    """
    _check_signal(x)
    channels_first = _channels_first(dim, x.dim(), "x")
    n = x.shape[-1 if channels_first else -2]
    if n == 0:
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")
    _check_count(modes, "modes")
    if not 1 <= modes <= n // 2 + 1:
        raise ValueError(f"modes: expected 1 to {n // 2 + 1} (n//2+1) for n={n}, got {modes}")
    code = _norm_code(norm)
    reason = why_reference()
    if reason is None:
        pairs = _modes(x, modes, channels_first, False, code)
    else:
        pairs = reference("modes", reason, modes_reference, x, modes, channels_first, False, code)
    return torch.view_as_complex(pairs)


def irfft_modes(
    spectrum: Tensor,  # complex [..., modes, d], or [..., d, modes] for dim=-1; or real, with pairs in one more axis
    n: int,
    dim: int = -2,
    norm: str | None = "backward",
) -> Tensor:  # [..., n, d], or [..., d, n]
    r"""The real signal of length n whose first frequencies are given and whose others are zero.

    .. math:: x_j = s \sum_k c_k \operatorname{Re}\left(X_k e^{2 \pi i jk/n}\right), \qquad
        c_k = 1 \text{ at } 0 \text{ and } n/2, \text{ else } 2

    What ``torch.fft.irfft(spectrum, n, dim=dim, norm=norm)`` gives of a spectrum padded with zeros. As in numpy, the
    imaginary part of X has no effect (and no gradient) at frequency 0 and at n/2.

    Parameters
    ----------
    spectrum : Tensor
        X, complex64 or complex128 [..., modes, d], any strides, 1 <= modes <= n//2+1; or the same as real pairs
        [..., modes, d, 2]. For ``dim=-1``, [..., d, modes] and [..., d, modes, 2].
    n : int
        The length of the signal.
    dim : {-2, -1}
        The frequency axis of X, not counting that of pairs; its non-negative equivalents are accepted.
    norm : {"backward", "ortho", "forward"}
        As in ``torch.fft.irfft``: s is 1/n, 1/sqrt(n) or 1. None means "backward".

    Returns
    -------
    Tensor
        [..., n, d] (for ``dim=-1``, [..., d, n]), contiguous: float32 for complex64, float64 for complex128, the dtype
        of the pairs for those. Halves are computed in float32 and rounded once.

    Raises
    ------
    TypeError
        If `spectrum` is neither complex nor floating-point, `n` or `dim` not an int, or `norm` neither a string nor
        None.
    ValueError
        If `spectrum` has too few axes, or pairs that are not, or more modes than a signal of length `n` has, or
        another argument is not one of those above.

    See Also
    --------
    rfft_modes : The way there.

    References
    ----------
    Z. Li, N. Kovachki, K. Azizzadenesheli, B. Liu, K. Bhattacharya, A. Stuart, A. Anandkumar. Fourier Neural Operator
    for Parametric Partial Differential Equations. ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import irfft_modes, rfft_modes
    >>> x = torch.randn(2, 16, 8)
    >>> torch.allclose(irfft_modes(rfft_modes(x, 9), 16), x, atol=1e-5)
    True
    >>> irfft_modes(rfft_modes(x, 3), 32).shape  # the low frequencies, on a finer grid
    torch.Size([2, 32, 8])
    """
    if not isinstance(spectrum, Tensor):
        raise TypeError(f"spectrum: expected a tensor, got {type(spectrum).__name__}")
    if spectrum.dtype in (torch.complex64, torch.complex128):
        if spectrum.dim() < 2:
            raise ValueError(
                f"spectrum: expected at least 2 dimensions [..., modes, d], got shape {tuple(spectrum.shape)}"
            )
        dtype = torch.float64 if spectrum.dtype is torch.complex128 else torch.float32
        pairs = torch.view_as_real(spectrum.resolve_conj())
    elif spectrum.dtype in _REAL_DTYPES:
        if spectrum.dim() < 3 or spectrum.shape[-1] != 2:
            raise ValueError(
                "spectrum: expected shape [..., modes, d, 2] of a real dtype (real and imaginary part), "
                f"got {tuple(spectrum.shape)}"
            )
        dtype = spectrum.dtype
        pairs = spectrum.to(compute_dtype(dtype))
    else:
        raise TypeError(
            f"spectrum: expected dtype complex64 or complex128, or a floating-point dtype, got {spectrum.dtype}"
        )
    channels_first = _channels_first(dim, pairs.dim() - 1, "spectrum")
    _check_count(n, "n")
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    modes = pairs.shape[-2 if channels_first else -3]
    if not 1 <= modes <= n // 2 + 1:
        raise ValueError(
            f"spectrum: expected 1 to {n // 2 + 1} modes (n//2+1) for n={n}, got {modes} in shape "
            f"{tuple(spectrum.shape)}"
        )
    code = len(NORMS) - 1 - _norm_code(norm)
    reason = why_reference()
    if reason is None:
        return _modes_inverse(pairs, n, dtype, channels_first, True, code)  # type: ignore[no-any-return]
    return reference("modes_inverse", reason, modes_inverse_reference, pairs, n, dtype, channels_first, True, code)
