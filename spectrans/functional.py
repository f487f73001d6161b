"""Spectral mixing and filtering as functions: arguments are checked here, the work is done by the ops."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans._backend import reference, why_reference
from spectrans.ops.conv import conv as _conv
from spectrans.ops.conv import conv_reference
from spectrans.ops.filter import filter as _filter
from spectrans.ops.filter import filter_reference
from spectrans.ops.library import compute_dtype
from spectrans.ops.mixing import NORMS, mixing_reference
from spectrans.ops.mixing import mixing as _mixing

__all__ = ["fft_conv", "fourier_mixing", "hartley_mixing", "spectral_filter"]

_REAL_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
_NORM_CODES: dict[str | None, int] = {None: 0, **{name: code for code, name in enumerate(NORMS)}}


def _check_signal(x: Tensor, name: str = "x") -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dtype not in _REAL_DTYPES:
        raise TypeError(f"{name}: expected dtype float16, bfloat16, float32 or float64, got {x.dtype}")
    if x.dim() < 2:
        raise ValueError(f"{name}: expected at least 2 dimensions [..., n, d], got shape {tuple(x.shape)}")


def _sequence_last(dim: int, x: Tensor, name: str = "x") -> bool:
    """Whether `dim`, one of the last two axes of x, is the last."""
    if not isinstance(dim, int):
        raise TypeError(f"dim: expected an int, -2 or -1, got {type(dim).__name__}")
    last = x.dim() - 1
    if dim == -1 or dim == last:
        return True
    if dim == -2 or dim == last - 1:
        return False
    article = "an" if name == "x" else "a"
    raise ValueError(
        f"dim: expected -2 or -1 (or {last - 1} or {last}) for {article} {name} of {x.dim()} dimensions, got {dim}"
    )


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
    if _sequence_last(dim, x):
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


def _real_parameter(
    t: Tensor,
    name: str,
    u: Tensor,  # whose device and precision it has to have
) -> Tensor:
    if t.dtype not in _REAL_DTYPES:
        raise TypeError(f"{name}: expected dtype float16, bfloat16, float32 or float64, got {t.dtype}")
    if t.device != u.device:
        raise ValueError(f"{name}: expected device {u.device}, that of u, got {t.device}")
    dtype = compute_dtype(u.dtype)
    return t if t.dtype is dtype else t.to(dtype)


def _check_gate(gate: Tensor | None, name: str, u: Tensor) -> None:
    if gate is None:
        return
    if not isinstance(gate, Tensor):
        raise TypeError(f"{name}: expected a tensor or None, got {type(gate).__name__}")
    if gate.shape != u.shape:
        raise ValueError(f"{name}: expected shape {tuple(u.shape)}, that of u, got {tuple(gate.shape)}")
    if gate.dtype is not u.dtype:
        raise TypeError(f"{name}: expected dtype {u.dtype}, that of u, got {gate.dtype}")
    if gate.device != u.device:
        raise ValueError(f"{name}: expected device {u.device}, that of u, got {gate.device}")


def fft_conv(
    u: Tensor,  # [..., n, d], or [..., d, n] for dim=-1
    k: Tensor,  # [m, d], or [d, m] for dim=-1
    *,
    causal: bool = True,
    pre_gate: Tensor | None = None,  # the shape of u
    post_gate: Tensor | None = None,  # the shape of u
    skip: Tensor | None = None,  # [d]
    dim: int = -2,
) -> Tensor:  # the shape of u
    r"""Convolve every channel with its own long kernel, zero-padded, optionally gated: Hyena's and S4's convolution.

    With :math:`v = g_\text{pre} \odot u`, and with samples outside 0 .. n-1 being zero,

    .. math::
        y_t = g_{\text{post},t} \left( \sum_{s=0}^{m-1} k_s \, v_{t - s + o} + D \, v_t \right),
        \qquad o = \begin{cases} 0 & \text{causal} \\ \lfloor (m - 1) / 2 \rfloor & \text{otherwise} \end{cases}

    for every channel by itself. The skip D multiplies the gated input, as in Hyena. Without ``causal`` the result is
    centred, as that of ``scipy.signal.convolve(v, k, mode="same")``. Taps that meet no sample (s >= n where causal)
    have no effect and no gradient.

    Parameters
    ----------
    u : Tensor
        [..., n, d], any strides, any n; float16, bfloat16, float32 or float64. Halves are computed in float32 and
        rounded once. For ``dim=-1``, [..., d, n]: channels first.
    k : Tensor
        The kernels, real, [m, d] with any m >= 1; [d, m] for ``dim=-1``. They are cast to the precision the work is
        done in: float64 where `u` is float64, otherwise float32. Unlike torch's type promotion, they therefore never
        change the dtype of the result.
    causal : bool
        Whether y depends on past samples alone.
    pre_gate, post_gate : Tensor, optional
        Factors of the input and of the result, in the shape and dtype of `u`.
    skip : Tensor, optional
        D, real, [d]; cast like `k`.
    dim : {-2, -1}
        The sequence axis of `u`; its non-negative equivalents are accepted.

    Returns
    -------
    Tensor
        The shape and dtype of `u`, the strides of ``torch.empty_like(u)``.

    Raises
    ------
    TypeError
        If `u`, `k` or `skip` is not real floating-point, a gate has another dtype than `u`, `causal` is not a bool, or
        `dim` not an int.
    ValueError
        If the shape of another argument does not fit that of `u`, it is on another device, `u` has fewer than two axes
        or no samples along `dim`, `k` has no taps, or `dim` is not one of the last two axes.

    References
    ----------
    M. Poli, S. Massaroli, E. Nguyen, et al. Hyena Hierarchy: Towards Larger Convolutional Language Models. ICML 2023.

    D. Y. Fu, H. Kumbong, E. Nguyen, C. Re. FlashFFTConv: Efficient Convolutions for Long Sequences with Tensor Cores.
    ICLR 2024.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import fft_conv
    >>> u, k = torch.randn(2, 16, 8), torch.randn(16, 8)
    >>> full = torch.fft.irfft(torch.fft.rfft(u, 32, dim=1) * torch.fft.rfft(k, 32, dim=0), 32, dim=1)
    >>> torch.allclose(fft_conv(u, k), full[:, :16], atol=1e-4)
    True
    """
    _check_signal(u, "u")
    if not isinstance(causal, bool):
        raise TypeError(f"causal: expected a bool, got {type(causal).__name__}")
    last = _sequence_last(dim, u, "u")
    n, d = (u.shape[-1], u.shape[-2]) if last else u.shape[-2:]
    if n == 0:
        raise ValueError(f"u: expected a sequence of length 1 or more, got shape {tuple(u.shape)}")
    if not isinstance(k, Tensor):
        raise TypeError(f"k: expected a tensor, got {type(k).__name__}")
    layout = f"[{d}, m]" if last else f"[m, {d}]"
    if k.dim() != 2 or k.shape[0 if last else 1] != d or k.shape[1 if last else 0] == 0:
        raise ValueError(f"k: expected shape {layout}, m >= 1 taps of d={d} channels, got {tuple(k.shape)}")
    k = _real_parameter(k, "k", u)
    _check_gate(pre_gate, "pre_gate", u)
    _check_gate(post_gate, "post_gate", u)
    if skip is not None:
        if not isinstance(skip, Tensor):
            raise TypeError(f"skip: expected a tensor or None, got {type(skip).__name__}")
        if skip.shape != (d,):
            raise ValueError(f"skip: expected shape {(d,)} for d={d}, got {tuple(skip.shape)}")
        skip = _real_parameter(skip, "skip", u)
    if not last:
        return _apply_conv(u, k, pre_gate, post_gate, skip, causal)
    pre, post = (gate if gate is None else gate.transpose(-2, -1) for gate in (pre_gate, post_gate))
    return _apply_conv(u.transpose(-2, -1), k.transpose(0, 1), pre, post, skip, causal).transpose(-2, -1)


def _apply_conv(
    u: Tensor,  # [..., n, d]
    k: Tensor,  # [m, d]
    pre: Tensor | None,
    post: Tensor | None,
    skip: Tensor | None,
    causal: bool,
) -> Tensor:  # [..., n, d]
    reason = why_reference()
    if reason is None:
        return _conv(u, k, pre, post, skip, causal, False)  # type: ignore[no-any-return]
    return reference("conv", reason, conv_reference, u, k, pre, post, skip, causal, False)
