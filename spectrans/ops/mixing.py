"""The op ``spectrans::mixing``: the real (or Hartley) part of a DFT over sequence, hidden, or both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.ops.library import (
    call,
    compute_dtype,
    define_op,
    library,
    register_autograd,
    register_reference,
    register_vmap,
    with_strides_of,
)

#: The op's integer `norm` is an index into torch.fft's names; the scale is N ** (-norm / 2).
NORMS = ("backward", "ortho", "forward")

# -- schema ------------------------------------------------------------------------------------------------------------

define_op("mixing(Tensor x, bool sequence=True, bool hidden=True, bool hartley=False, int norm=1) -> Tensor")

# -- reference ---------------------------------------------------------------------------------------------------------


def mixing_reference(
    x: Tensor,  # [..., n, d]
    sequence: bool = True,
    hidden: bool = True,
    hartley: bool = False,
    norm: int = 1,
) -> Tensor:  # [..., n, d]
    """Re(F x), or (Re - Im)(F x) for Hartley, by torch.fft: any device, any dtype, differentiable."""
    if x.numel() == 0:
        return x.clone()
    dims = (-2, -1) if sequence and hidden else (-2,) if sequence else (-1,)
    spectrum: Tensor = torch.fft.fftn(x.to(compute_dtype(x.dtype)), dim=dims, norm=NORMS[norm])
    mixed = spectrum.real - spectrum.imag if hartley else spectrum.real
    return with_strides_of(x, mixed)


register_reference("mixing", mixing_reference)

mixing = torch.ops.spectrans.mixing.default

# -- fake kernel -------------------------------------------------------------------------------------------------------


def _mixing_fake(x: Tensor, *settings: Any) -> Tensor:
    return torch.empty_like(x)


torch.library.register_fake("spectrans::mixing", _mixing_fake, lib=library)

# -- derivative --------------------------------------------------------------------------------------------------------
# cos and cas kernels are symmetric in (time, frequency), so the operator is its own adjoint.


def _mixing_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *ctx.settings = inputs
    ctx.set_materialize_grads(False)


def _mixing_backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    return (None if grad is None else call(mixing, grad, *ctx.settings), None, None, None, None)


register_autograd("mixing", _mixing_backward, _mixing_setup)

# -- vmap --------------------------------------------------------------------------------------------------------------


def _mixing_vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, *settings: Any) -> tuple[Tensor, int]:
    return mixing(x.movedim(in_dims[0], 0), *settings), 0


register_vmap("mixing", _mixing_vmap)
