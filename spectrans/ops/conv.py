"""The op ``spectrans::conv`` and its derivative: gated linear convolution along the sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.ops.library import (
    call,
    compute_dtype,
    define_op,
    into_channels,
    library,
    out_of_channels,
    register_autograd,
    register_reference,
    register_vmap,
    with_strides_of,
)

# -- schemas -----------------------------------------------------------------------------------------------------------

define_op(
    "conv(Tensor u, Tensor k, Tensor? pre=None, Tensor? post=None, Tensor? skip=None, bool causal=True, "
    "bool adjoint=False) -> Tensor"
)
define_op(
    "conv_backward(Tensor grad, Tensor u, Tensor k, Tensor? pre, Tensor? post, Tensor? skip, bool causal)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]  # of u, k, pre, post; [0] for a gate that is absent

# -- references --------------------------------------------------------------------------------------------------------


def lag_zero(m: int, causal: bool) -> int:
    """The tap that multiplies the sample it is about."""
    return 0 if causal else (m - 1) // 2


def _acting(k: Tensor, n: int, causal: bool) -> tuple[Tensor, int, int]:
    """The taps whose lag is between -(n - 1) and n - 1, where they start, and the one of lag 0 among them."""
    m = k.shape[0]
    zero = lag_zero(m, causal)
    first = max(0, zero - (n - 1))
    return k[first : min(m, zero + n)], first, zero - first


def _gated(x: Tensor, gate: Tensor | None) -> Tensor:  # in the compute dtype
    dtype = compute_dtype(x.dtype)
    return x.to(dtype) if gate is None else x.to(dtype) * gate.to(dtype)


def _convolved(
    v: Tensor,  # [..., n, d]
    k: Tensor,  # [m, d]
    skip: Tensor | None,  # [d]
    causal: bool,
    adjoint: bool,
) -> Tensor:  # [..., n, d]
    n = v.shape[-2]
    k, _, zero = _acting(k, n, causal)
    length = n + k.shape[0]  # one more than it takes: 2 n for a kernel as long as the signal
    response = torch.fft.rfft(k, n=length, dim=0)
    # conj_physical: a lazy conj would never be resolved below the dispatcher keys that compiled code skips.
    spectrum = torch.fft.rfft(v, n=length, dim=-2) * (response.conj_physical() if adjoint else response)
    y: Tensor = torch.fft.irfft(spectrum, n=length, dim=-2)
    y = y.roll(zero, -2)[..., :n, :] if adjoint else y[..., zero : zero + n, :]
    return y if skip is None else y + skip * v


def conv_reference(
    u: Tensor,  # [..., n, d]
    k: Tensor,  # [m, d], the compute dtype of u
    pre: Tensor | None = None,  # [..., n, d]
    post: Tensor | None = None,  # [..., n, d]
    skip: Tensor | None = None,  # [d], the compute dtype of u
    causal: bool = True,
    adjoint: bool = False,
) -> Tensor:  # [..., n, d]
    """post (k * (pre u) + skip pre u), zero-padded; for the adjoint, the correlation with k in place of k *."""
    v = _gated(u, pre)
    if u.numel() == 0:
        y = v + k.sum().mul(0)  # keeps the (zero) derivatives
        y = y if skip is None else y * skip
    else:
        y = _convolved(v, k, skip, causal, adjoint)
    return with_strides_of(u, y if post is None else y * post.to(y.dtype))


def conv_backward_reference(
    grad: Tensor,  # [..., n, d]
    u: Tensor,  # [..., n, d]
    k: Tensor,  # [m, d]
    pre: Tensor | None,  # [..., n, d]
    post: Tensor | None,  # [..., n, d]
    skip: Tensor | None,  # [d]
    causal: bool,
) -> Gradients:
    """With p = post grad and v = pre u: pre (k ⋆ p), sum over the batch of v ⋆ p, u (k ⋆ p), grad (k * v)."""
    if u.numel() == 0:
        zeros = (u.new_empty(0) if t is None else torch.zeros_like(t) for t in (u, k, pre, post))
        return tuple(zeros)  # type: ignore[return-value]
    n, d = u.shape[-2:]
    p, v = _gated(grad, post), _gated(u, pre)
    of_v = _convolved(p, k, skip, causal, adjoint=True)
    taps, first, zero = _acting(k, n, causal)
    length = n + taps.shape[0]
    product = torch.fft.rfft(v, n=length, dim=-2).conj_physical() * torch.fft.rfft(p, n=length, dim=-2)
    lags = torch.fft.irfft(product.reshape(-1, length // 2 + 1, d).sum(0), n=length, dim=0)
    more = k.shape[0] - taps.shape[0]
    of_k = with_strides_of(k, torch.nn.functional.pad(lags.roll(zero, 0)[: taps.shape[0]], (0, 0, first, more - first)))
    of_u = with_strides_of(u, of_v if pre is None else of_v * pre.to(of_v.dtype))
    of_pre = u.new_empty(0) if pre is None else with_strides_of(pre, of_v * u.to(of_v.dtype))
    of_post = (
        u.new_empty(0)
        if post is None
        else with_strides_of(post, _gated(grad, _convolved(v, k, skip, causal, adjoint=False)))
    )
    return of_u, of_k, of_pre, of_post


register_reference("conv", conv_reference)
register_reference("conv_backward", conv_backward_reference)

conv = torch.ops.spectrans.conv.default
conv_backward = torch.ops.spectrans.conv_backward.default

# -- fake kernels ------------------------------------------------------------------------------------------------------


def _conv_fake(u: Tensor, k: Tensor, *more: Any) -> Tensor:
    return torch.empty_like(u)


def _conv_backward_fake(
    grad: Tensor,
    u: Tensor,
    k: Tensor,
    pre: Tensor | None,
    post: Tensor | None,
    skip: Tensor | None,
    causal: bool,
) -> Gradients:
    of_pre, of_post = (u.new_empty(0) if gate is None else torch.empty_like(gate) for gate in (pre, post))
    return torch.empty_like(u), torch.empty_like(k), of_pre, of_post


torch.library.register_fake("spectrans::conv", _conv_fake, lib=library)
torch.library.register_fake("spectrans::conv_backward", _conv_backward_fake, lib=library)

# -- derivatives -------------------------------------------------------------------------------------------------------
# Everything below is one form, linear in each of its arguments (in k and skip together),
#     L(g; u, k, pre, post, skip) = <g, conv(u, k, pre, post, skip)>,
# which exchanges its two sides: L(g; u, k, pre, post, skip) = <u, conv(g, k, post, pre, skip, adjoint)>. conv_backward
# holds its gradients but that of g, which is conv, and that of skip, which is the tap of lag 0 in that of k. So the
# derivative of conv_backward along t in place of one argument is the gradient of L with t in that place.


def _of_skip(of_k: Tensor, causal: bool) -> Tensor:
    return of_k[lag_zero(of_k.shape[0], causal)].clone()


def _conv_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.causal, ctx.adjoint = inputs
    u, k, pre, post, skip = tensors
    needs = ctx.needs_input_grad
    ctx.only_u = not any(needs[1:5])
    ctx.save_for_backward(None if ctx.only_u else u, k, pre, post, skip)
    ctx.set_materialize_grads(False)


def _conv_vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    nothing = (None,) * 7
    if grad is None:
        return nothing
    u, k, pre, post, skip = ctx.saved_tensors
    if ctx.only_u:
        return call(conv, grad, k, post, pre, skip, ctx.causal, not ctx.adjoint), *nothing[1:]
    if ctx.adjoint:  # <g, adjoint of x> = L(x; g, k, post, pre, skip)
        _, of_k, of_post, of_pre = call(conv_backward, u, grad, k, post, pre, skip, ctx.causal)
        of_u = call(conv, grad, k, post, pre, skip, ctx.causal) if ctx.needs_input_grad[0] else None
    else:
        of_u, of_k, of_pre, of_post = call(conv_backward, grad, u, k, pre, post, skip, ctx.causal)
    return (
        of_u,
        of_k,
        None if pre is None else of_pre,
        None if post is None else of_post,
        None if skip is None else _of_skip(of_k, ctx.causal),
        None,
        None,
    )


def _conv_backward_setup(ctx: Any, inputs: tuple[Any, ...], output: Gradients) -> None:
    *tensors, ctx.causal = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _conv_backward_vjp(ctx: Any, *along: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, *arguments = ctx.saved_tensors  # u, k, pre, post, skip
    total: list[Tensor | None] = [None] * 6  # of grad and those

    def add(position: int, t: Tensor) -> None:
        if ctx.needs_input_grad[position]:
            before = total[position]
            total[position] = t if before is None else before + t

    for place, t in enumerate(along):  # of_u, of_k, of_pre, of_post
        if t is None or arguments[place] is None:
            continue
        u, k, pre, post, skip = replaced = [*arguments[:place], t, *arguments[place + 1 :]]
        if place == 1:
            replaced[4] = skip = None
        if ctx.needs_input_grad[0]:
            add(0, call(conv, u, k, pre, post, skip, ctx.causal))
        if any(ctx.needs_input_grad[1:]):
            gradients = call(conv_backward, grad, *replaced, ctx.causal)
            for other, of_other in enumerate(gradients):
                if other != place and arguments[other] is not None:
                    add(1 + other, of_other)
            if skip is not None:
                add(5, _of_skip(gradients[1], ctx.causal))
    return *total, None


register_autograd("conv", _conv_vjp, _conv_setup)
register_autograd("conv_backward", _conv_backward_vjp, _conv_backward_setup)

# -- vmap --------------------------------------------------------------------------------------------------------------
# A mapped axis that meets its own kernel cannot be a batch axis of the op; it becomes more channels instead.


def _into_batch(t: Tensor | None, dim: int | None, size: int) -> Tensor | None:
    if t is None:
        return None
    return t.unsqueeze(0).expand(size, *t.shape) if dim is None else t.movedim(dim, 0)


def _conv_vmap(
    info: Any,
    in_dims: tuple[Any, ...],
    u: Tensor,
    k: Tensor,
    pre: Tensor | None = None,
    post: Tensor | None = None,
    skip: Tensor | None = None,
    causal: bool = True,
    adjoint: bool = False,
) -> tuple[Tensor, int]:
    size, tensors = info.batch_size, (u, k, pre, post, skip)
    in_dims = (*in_dims, None, None, None)  # of those that are not given
    if in_dims[1] is None and in_dims[4] is None:
        batch = {place: _into_batch(tensors[place], in_dims[place], size) for place in (0, 2, 3)}
        return conv(batch[0], k, batch[2], batch[3], skip, causal, adjoint), 0
    wide = (t if t is None else into_channels(t, dim, size, -1) for t, dim in zip(tensors, in_dims[:5], strict=True))
    return out_of_channels(conv(*wide, causal, adjoint), size, -1)


def _conv_backward_vmap(
    info: Any, in_dims: tuple[Any, ...], *arguments: Any
) -> tuple[Gradients, tuple[int | None, ...]]:
    *tensors, causal = arguments
    size = info.batch_size
    wide = (t if t is None else into_channels(t, dim, size, -1) for t, dim in zip(tensors, in_dims[:6], strict=True))
    of_u, of_k, of_pre, of_post = conv_backward(*wide, causal)
    results: list[Tensor] = []
    dims: list[int | None] = []
    for t, like in zip((of_u, of_k, of_pre, of_post), tensors[1:5], strict=True):
        result, dim = (t, None) if like is None else out_of_channels(t, size, -1)
        results.append(result)
        dims.append(dim)
    return tuple(results), tuple(dims)  # type: ignore[return-value]


register_vmap("conv", _conv_vmap)
register_vmap("conv_backward", _conv_backward_vmap)
