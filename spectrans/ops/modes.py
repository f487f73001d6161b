"""The ops ``spectrans::modes`` and ``spectrans::modes_inverse``: the first bins of half spectra, and back from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.ops.library import (
    call,
    complex_dtype,
    compute_dtype,
    define_op,
    library,
    register_autograd,
    register_reference,
    register_vmap,
)
from spectrans.ops.mixing import NORMS

# X[k] = w_k sum_j x[j] exp(-2 pi i j k / n) and x[j] = sum_k w_k Re(X[k] exp(2 pi i j k / n)), k < modes, with
# w_k = n ** (-norm / 2), times c_k where `mirrored`: c = 1 at DC and Nyquist, else 2 (a bin and its mirror image).
# rfft is the first without c, irfft the second with it; for the same w, each is the other's adjoint.

# -- schemas -----------------------------------------------------------------------------------------------------------

# Their defaults are those of rfft and irfft. Without a dtype, the signal has the precision of its spectrum.
define_op("modes(Tensor x, SymInt modes, bool channels_first=False, bool mirrored=False, int norm=0) -> Tensor")
define_op(
    "modes_inverse(Tensor spectrum, SymInt n, ScalarType? dtype=None, bool channels_first=False, bool mirrored=True, "
    "int norm=2) -> Tensor"
)

# -- references --------------------------------------------------------------------------------------------------------


def _sequence(channels_first: bool) -> int:
    return -1 if channels_first else -2


def _interior(n: int, modes: int, channels_first: bool, device: torch.device) -> Tensor:  # bool [modes, 1] or [modes]
    interior = (2 * torch.arange(modes, device=device)) % n != 0
    return interior if channels_first else interior.unsqueeze(-1)


def modes_reference(
    x: Tensor,  # [..., n, d], or [..., d, n] for channels_first
    modes: int,
    channels_first: bool = False,
    mirrored: bool = False,
    norm: int = 0,
) -> Tensor:  # complex [..., modes, d] or [..., d, modes]
    """The first bins of rfft, by torch.fft: any device, any dtype, differentiable."""
    axis, x = _sequence(channels_first), x.to(compute_dtype(x.dtype))
    if x.numel() == 0:  # modes <= n; keeps the (empty) derivative
        return x.narrow(axis, 0, modes).to(complex_dtype(x.dtype))
    bins: Tensor = torch.fft.rfft(x, dim=axis, norm=NORMS[norm]).narrow(axis, 0, modes)
    if mirrored:
        bins = bins * (1 + _interior(x.shape[axis], modes, channels_first, x.device).to(x.dtype))
    return bins.contiguous()


def modes_inverse_reference(
    spectrum: Tensor,  # complex [..., modes, d], or [..., d, modes] for channels_first
    n: int,
    dtype: torch.dtype | None = None,
    channels_first: bool = False,
    mirrored: bool = True,
    norm: int = 2,
) -> Tensor:  # [..., n, d] or [..., d, n]
    """irfft from the first bins; numpy's irfft semantics on every device."""
    axis = _sequence(channels_first)
    re, im = spectrum.real, spectrum.imag
    modes = re.shape[axis]
    if re.numel() == 0:
        return re.narrow(axis, 0, 1).to(dtype or re.dtype).repeat_interleave(n, axis)
    interior = _interior(n, modes, channels_first, spectrum.device)
    bins = torch.complex(re, im.masked_fill(~interior, 0.0))
    if not mirrored:
        bins = bins / (1 + interior.to(re.dtype))
    x: Tensor = torch.fft.irfft(bins, n=n, dim=axis, norm=NORMS[2 - norm])
    return x.to(dtype or x.dtype).contiguous()


register_reference("modes", modes_reference)
register_reference("modes_inverse", modes_inverse_reference)

modes = torch.ops.spectrans.modes.default
modes_inverse = torch.ops.spectrans.modes_inverse.default

# -- fake kernels ------------------------------------------------------------------------------------------------------


def _modes_fake(x: Tensor, modes: int, channels_first: bool = False, *_: Any) -> Tensor:
    shape = list(x.shape)
    shape[_sequence(channels_first)] = modes
    return x.new_empty(shape, dtype=complex_dtype(x.dtype))


def _modes_inverse_fake(
    spectrum: Tensor, n: int, dtype: torch.dtype | None = None, channels_first: bool = False, *_: Any
) -> Tensor:
    shape = list(spectrum.shape)
    shape[_sequence(channels_first)] = n
    return spectrum.new_empty(shape, dtype=dtype or spectrum.dtype.to_real())


torch.library.register_fake("spectrans::modes", _modes_fake, lib=library)
torch.library.register_fake("spectrans::modes_inverse", _modes_inverse_fake, lib=library)

# -- derivatives -------------------------------------------------------------------------------------------------------


def _modes_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, _, *ctx.flags = inputs
    ctx.n, ctx.dtype = x.shape[_sequence(ctx.flags[0])], None if x.dtype is compute_dtype(x.dtype) else x.dtype
    ctx.set_materialize_grads(False)


def _modes_vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    return None if grad is None else call(modes_inverse, grad, ctx.n, ctx.dtype, *ctx.flags), None, None, None, None


def _modes_inverse_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    spectrum, _, _, *ctx.flags = inputs
    ctx.modes = spectrum.shape[_sequence(ctx.flags[0])]
    ctx.set_materialize_grads(False)


def _modes_inverse_vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    return None if grad is None else call(modes, grad, ctx.modes, *ctx.flags), None, None, None, None, None


register_autograd("modes", _modes_vjp, _modes_setup)
register_autograd("modes_inverse", _modes_inverse_vjp, _modes_inverse_setup)

# -- vmap --------------------------------------------------------------------------------------------------------------


def _modes_vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, *arguments: Any) -> tuple[Tensor, int]:
    return modes(x.movedim(in_dims[0], 0), *arguments), 0


def _modes_inverse_vmap(info: Any, in_dims: tuple[Any, ...], spectrum: Tensor, *arguments: Any) -> tuple[Tensor, int]:
    return modes_inverse(spectrum.movedim(in_dims[0], 0), *arguments), 0


register_vmap("modes", _modes_vmap)
register_vmap("modes_inverse", _modes_inverse_vmap)
