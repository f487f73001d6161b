"""The op ``spectrans::hermitian_half``: what a real signal sees of a response at all frequencies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.ops.library import (
    call,
    define_op,
    from_parts,
    into_channels,
    library,
    out_of_channels,
    register_autograd,
    register_reference,
    register_vmap,
)

# -- schemas -----------------------------------------------------------------------------------------------------------

define_op("hermitian_half(Tensor real, Tensor imag) -> Tensor")
define_op("hermitian_half_backward(Tensor grad, SymInt n) -> (Tensor, Tensor)")

# -- references --------------------------------------------------------------------------------------------------------


def _images(n: int, device: torch.device) -> Tensor:
    """-k mod n for k = 0, 1, ... n // 2."""
    return torch.arange(n, (n - 1) // 2, -1, device=device) % n


def hermitian_half_reference(
    real: Tensor,  # [n, d]
    imag: Tensor,  # [n, d]
) -> Tensor:  # [n//2+1, d, 2]
    """(H[k] + conj H[-k]) / 2 for k = 0, 1, ... n // 2, as pairs: real = Re H, imag = Im H."""
    n = real.shape[0]
    images = _images(n, real.device)
    real_image, imag_image = (part.index_select(0, images) for part in (real, imag))
    if torch.compiler.is_exporting():  # a slice would have it prove that there are so many
        own = torch.arange(n // 2 + 1, device=real.device)
        real, imag = (part.index_select(0, own) for part in (real, imag))
    else:
        real, imag = (part[: n // 2 + 1] for part in (real, imag))
    return from_parts((real + real_image) / 2, (imag - imag_image) / 2).contiguous()


def hermitian_half_backward_reference(
    grad: Tensor,  # [n//2+1, d, 2]
    n: int,
) -> tuple[Tensor, Tensor]:  # two [n, d]
    """The adjoint: half of a gradient at k, the conjugate of that at -k; where these are one, its real part."""
    real, imag = (part / 2 for part in grad.unbind(-1))
    zeros, images = grad.new_zeros((n, grad.shape[1])), _images(n, grad.device)
    own = torch.arange(n // 2 + 1, device=grad.device)
    return (
        zeros.index_add(0, own, real).index_add(0, images, real),
        zeros.index_add(0, own, imag).index_add(0, images, imag, alpha=-1),
    )


register_reference("hermitian_half", hermitian_half_reference)
register_reference("hermitian_half_backward", hermitian_half_backward_reference)

hermitian_half = torch.ops.spectrans.hermitian_half.default
hermitian_half_backward = torch.ops.spectrans.hermitian_half_backward.default

# -- fake kernels ------------------------------------------------------------------------------------------------------


def _fake(real: Tensor, imag: Tensor) -> Tensor:
    n, d = real.shape
    return real.new_empty((n // 2 + 1, d, 2))


def _backward_fake(grad: Tensor, n: int) -> tuple[Tensor, Tensor]:
    shape = (n, grad.shape[1])
    return grad.new_empty(shape), grad.new_empty(shape)


torch.library.register_fake("spectrans::hermitian_half", _fake, lib=library)
torch.library.register_fake("spectrans::hermitian_half_backward", _backward_fake, lib=library)

# -- derivatives -------------------------------------------------------------------------------------------------------
# Linear, and each is the other's adjoint.


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.n = inputs[0].shape[0]
    ctx.set_materialize_grads(False)


def _vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    if grad is None:
        return None, None
    real, imag = call(hermitian_half_backward, grad, ctx.n)
    return real, imag


def _backward_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    pass


def _backward_vjp(ctx: Any, real: Tensor, imag: Tensor) -> tuple[Tensor, None]:
    return call(hermitian_half, real, imag), None


register_autograd("hermitian_half", _vjp, _setup)
register_autograd("hermitian_half_backward", _backward_vjp, _backward_setup)

# -- vmap --------------------------------------------------------------------------------------------------------------


def _vmap(info: Any, in_dims: tuple[Any, ...], real: Tensor, imag: Tensor) -> tuple[Tensor, int]:
    size = info.batch_size
    real, imag = (into_channels(t, dim, size, -1) for t, dim in zip((real, imag), in_dims, strict=True))
    return out_of_channels(hermitian_half(real, imag), size, -2)


def _backward_vmap(
    info: Any, in_dims: tuple[Any, ...], grad: Tensor, n: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    size = info.batch_size
    parts = hermitian_half_backward(into_channels(grad, in_dims[0], size, -2), n)
    (real, at), (imag, _) = (out_of_channels(part, size, -1) for part in parts)
    return (real, imag), (at, at)


register_vmap("hermitian_half", _vmap)
register_vmap("hermitian_half_backward", _backward_vmap)
