"""The ops behind the norm checks: energies, distance from orthogonality, largest singular value, largest modulus."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
)

# -- schemas -----------------------------------------------------------------------------------------------------------
# `dims` are negative, so that they mean the same under vmap. `pairs`: complex matrices as real ones, (re, im) last.

define_op("energy(Tensor x, int[] dims) -> Tensor")
define_op("energies(Tensor a, Tensor b, int[] dims) -> (Tensor, Tensor)")
define_op("orthogonality_error(Tensor t, bool pairs) -> Tensor")
define_op("spectral_norm(Tensor x, bool pairs) -> (Tensor, Tensor, Tensor)")
define_op("spectral_norm_backward(Tensor grad, Tensor x, Tensor u, Tensor v, bool pairs) -> Tensor")
define_op("largest_modulus(Tensor pairs) -> Tensor")

# -- references --------------------------------------------------------------------------------------------------------


def wide_dtype(device: torch.device) -> torch.dtype:
    """What sums of squares are accumulated and returned in."""
    return torch.float32 if device.type == "mps" else torch.float64  # which has no float64


def _kept(shape: torch.Size, dims: Sequence[int]) -> list[int]:
    return [size for axis, size in enumerate(shape, -len(shape)) if axis not in dims]


def energy_reference(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Sum of squares over `dims`: [kept axes]."""
    energy: Tensor = x.to(wide_dtype(x.device)).square().sum(list(dims))
    return energy


def energies_reference(a: Tensor, b: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Of two tensors at once."""
    return energy_reference(a, dims), energy_reference(b, dims)


def _complex(pairs: Tensor) -> Tensor:
    # A copy: pairs that begin at an odd place, or with the strides that none have, are no complex numbers.
    return torch.view_as_complex(pairs.clone(memory_format=torch.contiguous_format))


def _matrices(t: Tensor, pairs: bool, dtype: torch.dtype) -> Tensor:
    return _complex(t.to(dtype)) if pairs else t.to(dtype)


def _pairs(t: Tensor) -> Tensor:
    """The reverse."""
    return (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t).contiguous()


def _conj(t: Tensor) -> Tensor:
    # In what runs as an op, a lazy conj would never be resolved below the dispatcher keys that compiled code skips.
    return torch.complex(t.real, -t.imag) if t.is_complex() else t


def _residual(t: Tensor) -> Tensor:  # t t^H - I
    product = t @ _conj(t).mT
    return product - torch.eye(t.shape[-2], dtype=product.dtype, device=t.device)


def orthogonality_error_reference(
    t: Tensor,  # [..., m, n], or [..., m, n, 2] for pairs
    pairs: bool,
) -> Tensor:  # [...]
    """||T T^H - I||_F."""
    residual = _residual(_matrices(t, pairs, wide_dtype(t.device)))
    error: Tensor = torch.linalg.vector_norm(residual, dim=(-2, -1))
    return error


def spectral_norm_reference(
    x: Tensor,  # [..., m, d], or [..., m, d, 2] for pairs
    pairs: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # [...], [..., m], [..., d], or [...], [..., m, 2], [..., d, 2]
    """The largest singular value and its vectors; NaN where x is not finite, vectors of zeros where x is zero."""
    dtype = compute_dtype(x.dtype)
    x = _matrices(x, pairs, wide_dtype(x.device))  # LAPACK in float32 is not good to 1e-6
    *batch, m, d = x.shape
    if x.numel() == 0:
        u, v = x.new_zeros((*batch, m)), x.new_zeros((*batch, d))
        return x.abs().sum((-2, -1)).to(dtype), _pairs(u).to(dtype), _pairs(v).to(dtype)
    finite = x.isfinite().all(-1).all(-1)
    left, values, right = torch.linalg.svd(torch.where(finite[..., None, None], x, 0.0), full_matrices=False)
    some = values[..., 0] > 0
    value = torch.where(finite, torch.where(some, values[..., 0], 0.0), math.nan)  # of zero, a derivative of zero
    u, v = (torch.where(some.unsqueeze(-1), t, 0.0) for t in (left[..., 0], _conj(right[..., 0, :])))
    return value.to(dtype), _pairs(u).to(dtype), _pairs(v).to(dtype)


def spectral_norm_backward_reference(grad: Tensor, x: Tensor, u: Tensor, v: Tensor, pairs: bool) -> Tensor:
    """u v^H: the derivative of a simple singular value, and one of its subderivatives where it is repeated."""
    if pairs:
        u, v = _complex(u), _conj(_complex(v))
    return _pairs((grad.unsqueeze(-1) * u).unsqueeze(-1) * v.unsqueeze(-2)).to(x.dtype)


def _spectral_norm_backward_of(grad: Tensor, x: Tensor, u: Tensor, v: Tensor, pairs: bool) -> Tensor:
    """The same, of vectors that depend on x."""
    _, u, v = spectral_norm_reference(x, pairs)
    return spectral_norm_backward_reference(grad, x, u, v, pairs)


def largest_modulus_reference(pairs: Tensor) -> Tensor:  # [batch, k, 2] -> [batch], int64
    """Where the modulus is largest: the first such place, or the first NaN."""
    return _complex(pairs).abs().argmax(-1)


_REFERENCES: dict[str, Callable[..., Any]] = {
    "energy": energy_reference,
    "energies": energies_reference,
    "orthogonality_error": orthogonality_error_reference,
    "spectral_norm": spectral_norm_reference,
    "spectral_norm_backward": spectral_norm_backward_reference,
    "largest_modulus": largest_modulus_reference,
}
_DERIVABLE: dict[str, Callable[..., Any]] = {"spectral_norm_backward": _spectral_norm_backward_of}
for _name, _reference in _REFERENCES.items():
    register_reference(_name, _reference, _DERIVABLE.get(_name))

energy = torch.ops.spectrans.energy.default
energies = torch.ops.spectrans.energies.default
orthogonality_error = torch.ops.spectrans.orthogonality_error.default
spectral_norm = torch.ops.spectrans.spectral_norm.default
_spectral_norm_backward = torch.ops.spectrans.spectral_norm_backward.default
largest_modulus = torch.ops.spectrans.largest_modulus.default

# -- fake kernels ------------------------------------------------------------------------------------------------------


def _energy_fake(x: Tensor, dims: Sequence[int]) -> Tensor:
    return x.new_empty(_kept(x.shape, dims), dtype=wide_dtype(x.device))


def _energies_fake(a: Tensor, b: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    return _energy_fake(a, dims), _energy_fake(b, dims)


def _orthogonality_error_fake(t: Tensor, pairs: bool) -> Tensor:
    return t.new_empty(t.shape[: -3 if pairs else -2], dtype=wide_dtype(t.device))


def _spectral_norm_fake(x: Tensor, pairs: bool) -> tuple[Tensor, Tensor, Tensor]:
    *batch, m, d = x.shape[:-1] if pairs else x.shape
    pair, dtype = [2] if pairs else [], compute_dtype(x.dtype)
    shapes = (batch, [*batch, m, *pair], [*batch, d, *pair])
    value, u, v = (x.new_empty(shape, dtype=dtype) for shape in shapes)
    return value, u, v


def _spectral_norm_backward_fake(grad: Tensor, x: Tensor, u: Tensor, v: Tensor, pairs: bool) -> Tensor:
    return x.new_empty(x.shape)


def _largest_modulus_fake(pairs: Tensor) -> Tensor:
    return pairs.new_empty(pairs.shape[:1], dtype=torch.int64)


_FAKES: dict[str, Callable[..., Any]] = {
    "energy": _energy_fake,
    "energies": _energies_fake,
    "orthogonality_error": _orthogonality_error_fake,
    "spectral_norm": _spectral_norm_fake,
    "spectral_norm_backward": _spectral_norm_backward_fake,
    "largest_modulus": _largest_modulus_fake,
}
for _name, _fake in _FAKES.items():
    torch.library.register_fake(f"spectrans::{_name}", _fake, lib=library)

# -- derivatives -------------------------------------------------------------------------------------------------------
# Products of x with something small: torch does those well, and knows their derivatives.


def _energy_grad(grad: Tensor | None, x: Tensor, dims: Sequence[int]) -> Tensor | None:
    if grad is None:
        return None
    shape = [1 if axis in dims else size for axis, size in enumerate(x.shape, -x.dim())]
    # In the precision of energies: of large x the derivative of a logarithm or a quotient is tiny, and vice versa.
    return ((2 * grad).reshape(shape) * x).to(x.dtype)


def _energy_setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.dims = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _energy_vjp(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    return *(_energy_grad(grad, x, ctx.dims) for grad, x in zip(grads, ctx.saved_tensors, strict=True)), None


def _orthogonality_error_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    t, ctx.pairs = inputs
    ctx.save_for_backward(t, output)
    ctx.set_materialize_grads(False)


def _orthogonality_error_vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None]:
    """2 (T T^H - I) T / error; 0 where the error is 0, which is its least."""
    if grad is None:
        return None, None
    t, error = ctx.saved_tensors
    matrices = _matrices(t, ctx.pairs, error.dtype)
    scale = torch.where(error == 0, 0.0, 2 * grad / torch.where(error == 0, 1.0, error))
    result = scale[..., None, None] * (_residual(matrices) @ matrices)
    return _pairs(result).to(t.dtype), None


def _spectral_norm_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, ctx.pairs = inputs
    _, u, v = output
    ctx.mark_non_differentiable(u, v)
    ctx.save_for_backward(x, u, v)
    ctx.set_materialize_grads(False)


def _spectral_norm_vjp(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, None]:
    return None if grad is None else call(_spectral_norm_backward, grad, *ctx.saved_tensors, ctx.pairs), None


def _spectral_norm_backward_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, x, *_, ctx.pairs = inputs
    ctx.save_for_backward(grad, x)
    ctx.set_materialize_grads(False)


def _spectral_norm_backward_vjp(ctx: Any, cotangent: Tensor | None) -> tuple[Tensor | None, ...]:
    """First-order perturbation of u v^H by C. With p = U^H C v and q = V^H C^H u, the components of du and dv along
    u_i and v_i are (s p_i + s_i q_i) / (s^2 - s_i^2) and (s q_i + s_i p_i) / (s^2 - s_i^2), where s is the largest
    singular value; along u and v themselves, only their phases can differ: by Im(u^H C v) / s."""
    if cotangent is None:
        return None, None, None, None, None
    grad, x = ctx.saved_tensors
    if x.numel() == 0:
        return torch.zeros_like(grad), torch.zeros_like(x), None, None, None
    wide = wide_dtype(x.device)
    matrices, c = _matrices(x, ctx.pairs, wide), _matrices(cotangent, ctx.pairs, wide)
    finite = matrices.isfinite().all(-1).all(-1)[..., None, None]
    left, values, right = torch.linalg.svd(torch.where(finite, matrices, 0.0), full_matrices=False)
    s, others = values[..., :1].unsqueeze(-1), values[..., 1:].unsqueeze(-1)  # [..., 1, 1], [..., k - 1, 1]
    u, v = (torch.where(s > 0, t, 0.0) for t in (left[..., :1], right.mH[..., :1]))  # [..., m, 1], [..., d, 1]
    cv, cu = c @ v, c.mH @ u
    p, q = left[..., 1:].mH @ cv, right[..., 1:, :] @ cu
    inverse = _reciprocal(s)  # beyond U and V, singular values are zero
    scale = torch.where(s > 0, s, 1.0)  # so that nothing is squared
    ratio = others / scale
    weight = inverse * _reciprocal((s - others) / scale * (1 + ratio))  # among equals, u and v are any
    of_u = left[..., 1:] @ (weight * (p + ratio * q)) + inverse * (cv - left @ (left.mH @ cv))
    of_v = right[..., 1:, :].mH @ (weight * (q + ratio * p)) + inverse * (cu - right.mH @ (right @ cu))
    along = u.mH @ cv
    if ctx.pairs:
        of_u = of_u + u * (1j * along.imag * inverse)
    of_x = grad[..., None, None] * (of_u @ v.mH + u @ of_v.mH)
    of_grad = (along.real if ctx.pairs else along)[..., 0, 0]
    return of_grad.to(grad.dtype), _pairs(of_x).to(x.dtype), None, None, None


def _reciprocal(t: Tensor) -> Tensor:
    """1 / t, and 0 for 0."""
    return torch.where(t > 0, 1 / torch.where(t > 0, t, 1.0), 0.0)


for _name, _setup, _vjp in (
    ("energy", _energy_setup, _energy_vjp),
    ("energies", _energy_setup, _energy_vjp),
    ("orthogonality_error", _orthogonality_error_setup, _orthogonality_error_vjp),
    ("spectral_norm", _spectral_norm_setup, _spectral_norm_vjp),
    ("spectral_norm_backward", _spectral_norm_backward_setup, _spectral_norm_backward_vjp),
):
    register_autograd(_name, _vjp, _setup)

# -- vmap --------------------------------------------------------------------------------------------------------------


def _in_front(info: Any, in_dims: tuple[Any, ...], args: tuple[Any, ...]) -> list[Any]:
    """Every tensor with the mapped axis first."""
    return [
        arg
        if not isinstance(arg, Tensor)
        else arg.expand(info.batch_size, *arg.shape)
        if dim is None
        else arg.movedim(dim, 0)
        for arg, dim in zip(args, in_dims, strict=True)
    ]


def _energy_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    return energy(*_in_front(info, in_dims, args)), 0


def _energies_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    return energies(*_in_front(info, in_dims, args)), (0, 0)


def _orthogonality_error_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    return orthogonality_error(*_in_front(info, in_dims, args)), 0


def _spectral_norm_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    return spectral_norm(*_in_front(info, in_dims, args)), (0, 0, 0)


def _spectral_norm_backward_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    return _spectral_norm_backward(*_in_front(info, in_dims, args)), 0


def _largest_modulus_vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
    (pairs,) = _in_front(info, in_dims, args)
    return largest_modulus(pairs.flatten(0, 1)).unflatten(0, pairs.shape[:2]), 0


for _name, _rule in (
    ("energy", _energy_vmap),
    ("energies", _energies_vmap),
    ("orthogonality_error", _orthogonality_error_vmap),
    ("spectral_norm", _spectral_norm_vmap),
    ("spectral_norm_backward", _spectral_norm_backward_vmap),
    ("largest_modulus", _largest_modulus_vmap),
):
    register_vmap(_name, _rule)
