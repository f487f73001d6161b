"""The op ``spectrans::filter`` and its derivatives: multiplication by a response in the frequency domain."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.ops.library import (
    TAGS,
    compute_dtype,
    into_channels,
    library,
    out_of_channels,
    with_strides_of,
)

# -- schemas -----------------------------------------------------------------------------------------------------------

library.define("filter(Tensor x, Tensor response, bool adjoint) -> Tensor", tags=TAGS)
library.define("filter_response_grad(Tensor grad, Tensor x) -> Tensor", tags=TAGS)
library.define("filter_backward(Tensor grad, Tensor x, Tensor response) -> (Tensor, Tensor)", tags=TAGS)

# -- references --------------------------------------------------------------------------------------------------------


def _self_conjugate_bins(n: int, device: torch.device) -> Tensor:  # bool [n//2+1, 1]
    # DC and, for even n, Nyquist: X[k] = conj X[-k] there, so only the real part of the response acts.
    bins = torch.arange(n // 2 + 1, device=device)
    return ((2 * bins) % n == 0).unsqueeze(-1)


def filter_reference(
    x: Tensor,  # [..., n, d]
    response: Tensor,  # [n//2+1, d, 2]
    adjoint: bool,
) -> Tensor:  # [..., n, d]
    """irfft(rfft(x) * H) along the sequence, H conjugated for the adjoint; numpy's irfft semantics on every device."""
    if x.numel() == 0:
        return x + response.sum().mul(0)  # keeps the (zero) derivative with respect to the response
    n = x.shape[-2]
    real, imag = response.unbind(-1)
    imag = imag.masked_fill(_self_conjugate_bins(n, x.device), 0.0)
    spectrum = torch.fft.rfft(x.to(compute_dtype(x.dtype)), dim=-2)
    filtered = spectrum * torch.complex(real, -imag if adjoint else imag)
    y: Tensor = torch.fft.irfft(filtered, n=n, dim=-2)
    return y.to(x.dtype)


def filter_response_grad_reference(
    grad: Tensor,  # [..., n, d]
    x: Tensor,  # [..., n, d]
) -> Tensor:  # [n//2+1, d, 2]
    """c_k / n * sum conj(X) G over the leading axes: c = 1 at DC and Nyquist (imaginary part zero), 2 between."""
    n, d = x.shape[-2:]
    dtype = compute_dtype(x.dtype)
    if x.numel() == 0:
        return x.new_zeros((n // 2 + 1, d, 2), dtype=dtype)
    x_spectrum = torch.fft.rfft(x.to(dtype), dim=-2)
    grad_spectrum = torch.fft.rfft(grad.to(dtype), dim=-2)
    # conj_physical: a lazy conj would never be resolved below the dispatcher keys that compiled code skips.
    product = (x_spectrum.conj_physical() * grad_spectrum).reshape(-1, n // 2 + 1, d).sum(0)
    alone = _self_conjugate_bins(n, x.device)
    real = torch.where(alone, product.real, 2 * product.real) / n
    imag = (2 * product.imag).masked_fill(alone, 0.0) / n
    return torch.stack((real, imag), dim=-1)


def _filter(x: Tensor, response: Tensor, adjoint: bool) -> Tensor:
    return with_strides_of(x, filter_reference(x, response, adjoint))


def _filter_backward(grad: Tensor, x: Tensor, response: Tensor) -> tuple[Tensor, Tensor]:
    return _filter(grad, response, True), filter_response_grad_reference(grad, x)


library.impl("filter", _filter, "CompositeExplicitAutograd")
library.impl("filter_response_grad", filter_response_grad_reference, "CompositeExplicitAutograd")
library.impl("filter_backward", _filter_backward, "CompositeExplicitAutograd")

filter = torch.ops.spectrans.filter.default
filter_response_grad = torch.ops.spectrans.filter_response_grad.default
filter_backward = torch.ops.spectrans.filter_backward.default

# -- fake kernels ------------------------------------------------------------------------------------------------------


def _filter_fake(x: Tensor, response: Tensor, adjoint: bool) -> Tensor:
    return torch.empty_like(x)


def _response_grad_fake(grad: Tensor, x: Tensor) -> Tensor:
    n, d = x.shape[-2:]
    return x.new_empty((n // 2 + 1, d, 2), dtype=compute_dtype(x.dtype))


def _filter_backward_fake(grad: Tensor, x: Tensor, response: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(grad), _response_grad_fake(grad, x)


torch.library.register_fake("spectrans::filter", _filter_fake, lib=library)
torch.library.register_fake("spectrans::filter_response_grad", _response_grad_fake, lib=library)
torch.library.register_fake("spectrans::filter_backward", _filter_backward_fake, lib=library)

# -- derivatives -------------------------------------------------------------------------------------------------------
# Write F(x, H) for the filter, F* for its adjoint (conj H) and R(g, x) for the response gradient. Everything below is
# the one trilinear form <g, F(x, H)> = <F*(g, H), x> = <R(g, x), H>, differentiated in each of its arguments.


def _filter_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, response, ctx.adjoint = inputs
    need_x, need_response = ctx.needs_input_grad[:2]
    ctx.save_for_backward(x if need_response else None, response if need_x else None)
    ctx.set_materialize_grads(False)


def _filter_vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
    if grad is None:
        return None, None, None
    x, response = ctx.saved_tensors
    if x is None:
        return filter(grad, response, not ctx.adjoint), None, None
    if response is not None and not ctx.adjoint:
        return *filter_backward(grad, x, response), None
    # <g, F*(x, H)> = <F(g, H), x>: the adjoint's response gradient is R with its arguments exchanged.
    grad_response = filter_response_grad(x, grad) if ctx.adjoint else filter_response_grad(grad, x)
    return (None if response is None else filter(grad, response, not ctx.adjoint)), grad_response, None


def _response_grad_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, x = inputs
    need_grad, need_x = ctx.needs_input_grad[:2]
    ctx.save_for_backward(grad if need_x else None, x if need_grad else None)
    ctx.set_materialize_grads(False)


def _response_grad_vjp(ctx: Any, cotangent: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    if cotangent is None:
        return None, None
    grad, x = ctx.saved_tensors
    return (
        None if x is None else filter(x, cotangent, False),
        None if grad is None else filter(grad, cotangent, True),
    )


def _filter_backward_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)
    ctx.set_materialize_grads(False)


def _filter_backward_vjp(
    ctx: Any,
    to_x: Tensor | None,  # [..., n, d], cotangent of F*(grad, H)
    to_response: Tensor | None,  # [n//2+1, d, 2], cotangent of R(grad, x)
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    grad, x, response = ctx.saved_tensors
    need_grad, need_x, need_response = ctx.needs_input_grad[:3]
    of_grad = of_x = of_response = None
    if to_x is not None:
        if need_grad:
            of_grad = filter(to_x, response, False)
        if need_response:
            of_response = filter_response_grad(grad, to_x)
    if to_response is not None:
        if need_grad:
            through_response = filter(x, to_response, False)
            of_grad = through_response if of_grad is None else of_grad + through_response
        if need_x:
            of_x = filter(grad, to_response, True)
    return of_grad, of_x, of_response


torch.library.register_autograd("spectrans::filter", _filter_vjp, setup_context=_filter_setup, lib=library)
torch.library.register_autograd(
    "spectrans::filter_response_grad", _response_grad_vjp, setup_context=_response_grad_setup, lib=library
)
torch.library.register_autograd(
    "spectrans::filter_backward", _filter_backward_vjp, setup_context=_filter_backward_setup, lib=library
)

# -- vmap --------------------------------------------------------------------------------------------------------------
# A mapped axis that meets its own response cannot be a batch axis of the kernel; it becomes more channels instead.


def _filter_vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, response: Tensor, adjoint: bool) -> tuple[Tensor, int]:
    if in_dims[1] is None:
        return filter(x.movedim(in_dims[0], 0), response, adjoint), 0
    size = info.batch_size
    y = filter(into_channels(x, in_dims[0], size, -1), into_channels(response, in_dims[1], size, -2), adjoint)
    return out_of_channels(y, size, -1)


def _response_grad_vmap(info: Any, in_dims: tuple[Any, ...], grad: Tensor, x: Tensor) -> tuple[Tensor, int]:
    size = info.batch_size
    h = filter_response_grad(into_channels(grad, in_dims[0], size, -1), into_channels(x, in_dims[1], size, -1))
    return out_of_channels(h, size, -2)


def _filter_backward_vmap(
    info: Any, in_dims: tuple[Any, ...], grad: Tensor, x: Tensor, response: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    size = info.batch_size
    of_x, of_response = filter_backward(
        into_channels(grad, in_dims[0], size, -1),
        into_channels(x, in_dims[1], size, -1),
        into_channels(response, in_dims[2], size, -2),
    )
    of_x, x_dim = out_of_channels(of_x, size, -1)
    of_response, response_dim = out_of_channels(of_response, size, -2)
    return (of_x, of_response), (x_dim, response_dim)


torch.library.register_vmap("spectrans::filter", _filter_vmap, lib=library)
torch.library.register_vmap("spectrans::filter_response_grad", _response_grad_vmap, lib=library)
torch.library.register_vmap("spectrans::filter_backward", _filter_backward_vmap, lib=library)
