"""Long convolution as a function."""

from __future__ import annotations

from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import (
    REAL_DTYPES,
    check_dense,
    check_flag,
    check_gates,
    check_signal,
    is_channels_first,
)
from spectrans.ops.conv import conv as _conv
from spectrans.ops.library import compute_dtype

__all__ = ["fft_conv"]


def _real_parameter(
    t: Tensor,
    name: str,
    u: Tensor,  # whose device and precision it has to have
) -> Tensor:
    if t.dtype not in REAL_DTYPES:
        raise TypeError(f"{name}: expected dtype float16, bfloat16, float32 or float64, got {t.dtype}")
    check_dense(t, name)
    if t.device != u.device:
        raise ValueError(f"{name}: expected device {u.device}, that of u, got {t.device}")
    dtype = compute_dtype(u.dtype)
    return t if t.dtype is dtype else t.to(dtype)


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
    r"""Convolve every channel with its own kernel, zero-padded, optionally gated: Hyena's and S4's convolution.

    With :math:`v = g_\text{pre} \odot u`, and with samples outside 0 .. n-1 being zero,

    .. math::
        y_t = g_{\text{post},t} \left( \sum_{s=0}^{m-1} k_s \, v_{t - s + o} + D \, v_t \right),
        \qquad o = \begin{cases} 0 & \text{causal} \\ \lfloor (m - 1) / 2 \rfloor & \text{otherwise} \end{cases}

    for every channel by itself. The skip D multiplies the gated input, as in Hyena. Without ``causal`` the result is
    centred, as that of ``scipy.signal.convolve(v, k, mode="same")``. Taps that meet no sample (s >= n where causal)
    have no effect and no gradient. By transforms; on the CPU, of segments where a signal is much longer than its
    kernel, and by definition where that has few taps, as the short filters of state-space models.

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
        Factors of the input and of the result, in the shape and dtype of `u`; under ``torch.autocast``, which gives
        them the dtype it likes, they are cast to that of `u`.
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
        If `u`, `k` or `skip` is not real floating-point, a tensor not dense, `causal` not a bool, or `dim` not an int;
        outside autocast, if a gate has another dtype than `u`.
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
    check_signal(u, "u")
    check_flag("causal", causal)
    last = is_channels_first(dim, u.dim(), "u")
    n, d = (u.shape[-1], u.shape[-2]) if last else u.shape[-2:]
    if n == 0:
        raise ValueError(f"u: expected a sequence of length 1 or more, got shape {tuple(u.shape)}")
    if not isinstance(k, Tensor):
        raise TypeError(f"k: expected a tensor, got {type(k).__name__}")
    check_dense(k, "k")
    layout = f"[{d}, m]" if last else f"[m, {d}]"
    if k.dim() != 2 or k.shape[0 if last else 1] != d or k.shape[1 if last else 0] == 0:
        raise ValueError(f"k: expected shape {layout}, m >= 1 taps of d={d} channels, got {tuple(k.shape)}")
    k = _real_parameter(k, "k", u)
    pre_gate, post_gate = check_gates(pre_gate, post_gate, u, "u")
    if skip is not None:
        if not isinstance(skip, Tensor):
            raise TypeError(f"skip: expected a tensor or None, got {type(skip).__name__}")
        check_dense(skip, "skip")
        if skip.shape != (d,):
            raise ValueError(f"skip: expected shape {(d,)} for d={d}, got {tuple(skip.shape)}")
        skip = _real_parameter(skip, "skip", u)
    if last:
        pre_gate, post_gate = (None if gate is None else gate.transpose(-2, -1) for gate in (pre_gate, post_gate))
        u, k = u.transpose(-2, -1), k.transpose(0, 1)
    more: tuple[object, ...] = (pre_gate, post_gate, skip, causal)
    if causal and pre_gate is None and post_gate is None and skip is None:
        more = ()  # as the op's defaults
    y: Tensor = run(_conv, u, k, *more)
    return y.transpose(-2, -1) if last else y
