"""Truncated spectra as functions."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import (
    COMPLEX_DTYPES,
    REAL_DTYPES,
    check_count,
    check_dense,
    check_signal,
    is_channels_first,
    norm_code,
)
from spectrans.ops.library import compute_dtype, defaults
from spectrans.ops.mixing import NORMS
from spectrans.ops.modes import modes as _modes
from spectrans.ops.modes import modes_inverse as _modes_inverse

__all__ = ["irfft_modes", "rfft_modes"]

_DEFAULTS, _INVERSE_DEFAULTS = defaults(_modes), defaults(_modes_inverse)


def rfft_modes(
    x: Tensor,  # [..., n, d], or [..., d, n] for dim=-1
    modes: int,
    dim: int = -2,
    norm: str | None = "backward",
) -> Tensor:  # complex [..., modes, d], or [..., d, modes]
    r"""The first `modes` frequencies of a real Fourier transform along the sequence.

    .. math:: X_k = s \sum_j x_j e^{-2 \pi i jk/n}, \qquad 0 \le k < \mathrm{modes}

    What ``torch.fft.rfft(x, dim=dim, norm=norm)`` followed by a slice gives; the other frequencies are never stored
    and, mostly, not computed. Fourier neural operators and AFNO mix tokens in such a truncated
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
    check_signal(x)
    channels_first = is_channels_first(dim, x.dim())
    n = x.shape[-1 if channels_first else -2]
    if n == 0:
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")
    modes = check_count(modes, "modes")
    if not 1 <= modes <= n // 2 + 1:
        raise ValueError(f"modes: expected 1 to {n // 2 + 1} (n//2+1) for n={n}, got {modes}")
    code = norm_code(norm)
    settings: tuple[object, ...] = (channels_first, False, code)
    if settings == _DEFAULTS:
        settings = ()
    y: Tensor = run(_modes, x, modes, *settings)
    return y


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
    check_dense(spectrum, "spectrum")
    given, dtype = spectrum, None  # that of the precision of the spectrum
    if spectrum.dtype in COMPLEX_DTYPES:
        if spectrum.dim() < 2:
            raise ValueError(
                f"spectrum: expected at least 2 dimensions [..., modes, d], got shape {tuple(spectrum.shape)}"
            )
    elif spectrum.dtype in REAL_DTYPES:
        if spectrum.dim() < 3 or spectrum.shape[-1] != 2:
            raise ValueError(
                "spectrum: expected shape [..., modes, d, 2] of a real dtype (real and imaginary part), "
                f"got {tuple(spectrum.shape)}"
            )
        dtype = spectrum.dtype
        spectrum = _from_pairs(spectrum.to(compute_dtype(dtype)))
    else:
        raise TypeError(
            f"spectrum: expected dtype complex64 or complex128, or a floating-point dtype, got {spectrum.dtype}"
        )
    channels_first = is_channels_first(dim, spectrum.dim(), "spectrum")
    n = check_count(n, "n")
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    modes = spectrum.shape[-1 if channels_first else -2]
    if not 1 <= modes <= n // 2 + 1:
        raise ValueError(
            f"spectrum: expected 1 to {n // 2 + 1} modes (n//2+1) for n={n}, got {modes} in shape {tuple(given.shape)}"
        )
    code = len(NORMS) - 1 - norm_code(norm)
    settings: tuple[object, ...] = (dtype, channels_first, True, code)
    if settings == _INVERSE_DEFAULTS:
        settings = ()
    y: Tensor = run(_modes_inverse, spectrum, n, *settings)
    return y


def _from_pairs(pairs: Tensor) -> Tensor:  # real [..., 2] -> complex [...]; a copy where torch has no such view
    # A compiler cannot ask where a tensor begins, nor torch.vmap what the strides of its axis are.
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return torch.complex(pairs[..., 0], pairs[..., 1])
    is_view = pairs.stride(-1) == 1 and all(size % 2 == 0 for size in (pairs.storage_offset(), *pairs.stride()[:-1]))
    return torch.view_as_complex(pairs if is_view else pairs.clone(memory_format=torch.contiguous_format))
