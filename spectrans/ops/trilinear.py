"""What ops that multiply spectra by a response have in common: fake kernels, derivatives and vmap rules.

Write F(x, H) for the filter, F* for its adjoint (conj H) and R(g, x) for the response gradient. Each of the three is
linear in each of its arguments, and all of them are one trilinear form,

    <g, F(x, H)> = <F*(g, H), x> = <R(g, x), H>,

so the derivative of one is written in the others, to any order. x and g are [..., n, d], H is [frequencies ..., d, 2].
"""

from __future__ import annotations

from collections.abc import Callable
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
)

Op = Callable[..., Any]


def define(
    name: str,
    filter_reference: Callable[..., Tensor],  # x, H, adjoint=False -> [..., n, d]
    response_grad_reference: Callable[..., Tensor],  # g, x, *grid -> [frequencies ..., d, 2]
    response_shape: Callable[..., tuple[int, ...]],  # n, d, *grid
    grid: tuple[str, ...] = (),  # names of what R needs to know beyond n and d: the first sizes of H
    mixes_channels: bool = False,  # whether channels have to do with each other
) -> tuple[Op, Op, Op]:
    """Define the ops `name` (F and F*), `name`_response_grad (R) and `name`_backward (F* and R in one pass)."""
    more = "".join(f", int {size}" for size in grid)
    define_op(f"{name}(Tensor x, Tensor response, bool adjoint=False) -> Tensor")
    define_op(f"{name}_response_grad(Tensor grad, Tensor x{more}) -> Tensor")
    define_op(f"{name}_backward(Tensor grad, Tensor x, Tensor response) -> (Tensor, Tensor)")
    names = tuple(f"{name}{suffix}" for suffix in ("", "_response_grad", "_backward"))

    def sizes(response: Tensor) -> tuple[int, ...]:
        return tuple(response.shape[: len(grid)])

    # -- references ----------------------------------------------------------------------------------------------------

    def backward_reference(grad: Tensor, x: Tensor, response: Tensor) -> tuple[Tensor, Tensor]:
        return filter_reference(grad, response, True), response_grad_reference(grad, x, *sizes(response))

    references: tuple[Op, ...] = (filter_reference, response_grad_reference, backward_reference)
    for op, implementation in zip(names, references, strict=True):
        register_reference(op, implementation)
    filter, response_grad, backward = (getattr(torch.ops.spectrans, op).default for op in names)

    # -- fake kernels --------------------------------------------------------------------------------------------------

    def filter_fake(x: Tensor, response: Tensor, adjoint: bool = False) -> Tensor:
        return torch.empty_like(x)

    def response_grad_fake(grad: Tensor, x: Tensor, *grid: int) -> Tensor:
        n, d = x.shape[-2:]
        return x.new_empty(response_shape(n, d, *grid), dtype=compute_dtype(x.dtype))

    def backward_fake(grad: Tensor, x: Tensor, response: Tensor) -> tuple[Tensor, Tensor]:
        return torch.empty_like(grad), response_grad_fake(grad, x, *sizes(response))

    fakes: tuple[Op, ...] = (filter_fake, response_grad_fake, backward_fake)
    for op, fake in zip(names, fakes, strict=True):
        torch.library.register_fake(f"spectrans::{op}", fake, lib=library)

    # -- derivatives ---------------------------------------------------------------------------------------------------

    def filter_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, response, ctx.adjoint = inputs
        ctx.grid = sizes(response)
        need_x, need_response = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_response else None, response if need_x else None)
        ctx.set_materialize_grads(False)

    def filter_vjp(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        if grad is None:
            return None, None, None
        x, response = ctx.saved_tensors
        if x is None:
            return call(filter, grad, response, not ctx.adjoint), None, None
        if response is not None and not ctx.adjoint:
            return *call(backward, grad, x, response), None
        # <g, F*(x, H)> = <F(g, H), x>: the adjoint's response gradient is R with its arguments exchanged.
        pair = (x, grad) if ctx.adjoint else (grad, x)
        of_x = None if response is None else call(filter, grad, response, not ctx.adjoint)
        return of_x, call(response_grad, *pair, *ctx.grid), None

    def response_grad_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        grad, x, *_ = inputs
        need_grad, need_x = ctx.needs_input_grad[:2]
        ctx.save_for_backward(grad if need_x else None, x if need_grad else None)
        ctx.set_materialize_grads(False)

    def response_grad_vjp(ctx: Any, cotangent: Tensor | None) -> tuple[Tensor | None, ...]:
        none = (None,) * len(grid)
        if cotangent is None:
            return None, None, *none
        grad, x = ctx.saved_tensors
        of_grad = None if x is None else call(filter, x, cotangent)
        of_x = None if grad is None else call(filter, grad, cotangent, True)
        return of_grad, of_x, *none

    def backward_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)

    def backward_vjp(
        ctx: Any,
        to_x: Tensor | None,  # [..., n, d], cotangent of F*(grad, H)
        to_response: Tensor | None,  # [frequencies ..., d, 2], cotangent of R(grad, x)
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        grad, x, response = ctx.saved_tensors
        need_grad, need_x, need_response = ctx.needs_input_grad[:3]
        of_grad = of_x = of_response = None
        if to_x is not None:
            if need_grad:
                of_grad = call(filter, to_x, response)
            if need_response:
                of_response = call(response_grad, grad, to_x, *sizes(response))
        if to_response is not None:
            if need_grad:
                through_response = call(filter, x, to_response)
                of_grad = through_response if of_grad is None else of_grad + through_response
            if need_x:
                of_x = call(filter, grad, to_response, True)
        return of_grad, of_x, of_response

    setups: tuple[Op, ...] = (filter_setup, response_grad_setup, backward_setup)
    vjps: tuple[Op, ...] = (filter_vjp, response_grad_vjp, backward_vjp)
    for op, setup, vjp in zip(names, setups, vjps, strict=True):
        register_autograd(op, vjp, setup)

    # -- vmap ----------------------------------------------------------------------------------------------------------
    # A mapped axis that meets its own response cannot be a batch axis of the kernel; it becomes more channels instead,
    # or, where these are mixed, as many calls.

    def one_by_one(op: Op) -> Op:
        def rule(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
            if op is filter and in_dims[1] is None:
                return op(args[0].movedim(in_dims[0], 0), *args[1:]), 0
            calls = [
                op(*(arg if dim is None else arg.select(dim, i) for arg, dim in zip(args, in_dims, strict=True)))
                for i in range(info.batch_size)
            ]
            if isinstance(calls[0], Tensor):
                return torch.stack(calls), 0
            return tuple(torch.stack(results) for results in zip(*calls, strict=True)), (0,) * len(calls[0])

        return rule

    def filter_vmap(
        info: Any, in_dims: tuple[Any, ...], x: Tensor, response: Tensor, adjoint: bool = False
    ) -> tuple[Tensor, int]:
        if in_dims[1] is None:
            return filter(x.movedim(in_dims[0], 0), response, adjoint), 0
        size = info.batch_size
        y = filter(into_channels(x, in_dims[0], size, -1), into_channels(response, in_dims[1], size, -2), adjoint)
        return out_of_channels(y, size, -1)

    def response_grad_vmap(
        info: Any, in_dims: tuple[Any, ...], grad: Tensor, x: Tensor, *grid: int
    ) -> tuple[Tensor, int]:
        size = info.batch_size
        pair = (into_channels(grad, in_dims[0], size, -1), into_channels(x, in_dims[1], size, -1))
        return out_of_channels(response_grad(*pair, *grid), size, -2)

    def backward_vmap(
        info: Any, in_dims: tuple[Any, ...], grad: Tensor, x: Tensor, response: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        size = info.batch_size
        of_x, of_response = backward(
            into_channels(grad, in_dims[0], size, -1),
            into_channels(x, in_dims[1], size, -1),
            into_channels(response, in_dims[2], size, -2),
        )
        of_x, x_dim = out_of_channels(of_x, size, -1)
        of_response, response_dim = out_of_channels(of_response, size, -2)
        return (of_x, of_response), (x_dim, response_dim)

    rules: tuple[Op, ...] = (filter_vmap, response_grad_vmap, backward_vmap)
    if mixes_channels:
        rules = tuple(map(one_by_one, (filter, response_grad, backward)))
    for op, rule in zip(names, rules, strict=True):
        register_vmap(op, rule)
    return filter, response_grad, backward
