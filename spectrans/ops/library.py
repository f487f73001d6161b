"""The dispatcher namespace ``spectrans`` and what its ops have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch._C._functorch import TransformType, get_interpreter_stack, is_legacy_batchedtensor
from torch.autograd import forward_ad

#: Schemas are defined here; the native libraries only register kernels for them.
library = torch.library.Library("spectrans", "DEF")

#: Outputs follow the strides of the inputs, so a compiler must not change those behind the op's back.
TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)


def define_op(schema: str) -> None:
    """Define an op, and with the same arguments two more, for a native library that has kernels for some calls only.

    It calls ``..._reference`` where it has none. Its ``..._why_not`` tells the reason, or "" where it has one, and runs
    nothing. These are no overloads of the op: torch may abort at exit, where one of several loses its schema first.

    The last arguments have defaults, and what is written in Python has the same: every argument that is given takes as
    long as the transform of a few samples, a dtype four times that.
    """
    signature, _, result = schema.partition(" -> ")
    name, _, arguments = signature.partition("(")
    library.define(schema, tags=TAGS)
    for suffix, returned in (("reference", result), ("why_not", "str")):
        library.define(f"{name}_{suffix}({arguments.replace('SymInt', 'int')} -> {returned}")


def defaults(op: Any) -> tuple[Any, ...]:
    """What the last arguments of an op are where they are not given."""
    return tuple(each.default_value for each in op._schema.arguments if each.has_default_value())


#: By op: the same by torch's own functions.
_references: dict[Any, Callable[..., Any]] = {}


def register_reference(name: str, reference: Callable[..., Any], derivable: Callable[..., Any] | None = None) -> None:
    """Register what an op runs on a device without a kernel, and without any library.

    Derivatives that ops know nothing of are taken of it, or of `derivable`, where it depends on what others have made
    of its arguments.
    """
    for op in (name, f"{name}_reference"):
        library.impl(op, reference, "CompositeExplicitAutograd")
    _references[getattr(torch.ops.spectrans, name).default] = derivable or reference


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype an op computes in: float64 for float64, float32 for everything narrower."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def complex_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the spectrum of a signal: complex128 for float64, complex64 for everything narrower."""
    return torch.complex128 if dtype is torch.float64 else torch.complex64


def from_parts(real: torch.Tensor, imag: torch.Tensor) -> torch.Tensor:
    """(real, imaginary) pairs, [..., 2] of [...], float32 or float64: what stack does, in a tenth of its time."""
    if torch.compiler.is_compiling():  # there it is made into one loop with what is around it, a complex tensor is not
        return torch.stack((real, imag), dim=-1)
    return torch.view_as_real(torch.complex(real, imag))


def hermitian_part(
    response: torch.Tensor,  # [n, ..., 2], (real, imaginary) pairs
    axes: int,
) -> torch.Tensor:  # the shape of the response
    """(H[k] + conj H[-k]) / 2: all that a real output sees of H. k runs over the first `axes` axes."""
    mirrored = response
    for axis in range(axes):
        mirrored = mirrored.flip(axis).roll(1, axis)
    real = (response[..., 0] + mirrored[..., 0]) / 2
    imag = (response[..., 1] - mirrored[..., 1]) / 2
    return from_parts(real, imag)


def with_strides_of(like: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """`result` with the strides of ``torch.empty_like(like)``: what every op promises for its output."""
    result = result.to(like.dtype)
    if like.is_contiguous():
        return result.contiguous()
    strides = torch.empty_like(like).stride()
    if result.stride() == strides:
        return result
    order = sorted(range(like.dim()), key=lambda axis: -strides[axis])
    # Nothing is written into what is there: transforms of torch.func could not follow.
    return result.permute(order).contiguous().permute([order.index(axis) for axis in range(like.dim())])


# -- derivatives -------------------------------------------------------------------------------------------------------

#: By op: its derivative without torch.library's wrapping, which takes as long as a small transform.
_eager: dict[Any, type[torch.autograd.Function]] = {}


def register_autograd(name: str, vjp: Callable[..., Any], setup_context: Callable[..., None]) -> None:
    """torch.library.register_autograd, for the dispatcher; and the same for :func:`call`, which `vjp` uses itself.

    `setup_context` sees all arguments, those that are not given too.
    """
    torch.library.register_autograd(f"spectrans::{name}", vjp, setup_context=setup_context, lib=library)
    op = getattr(torch.ops.spectrans, name).default
    left_out = defaults(op)
    required = len(op._schema.arguments) - len(left_out)

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            output = below_autograd(op, *args)
            setup_context(ctx, args + left_out[len(args) - required :], output)
            return output

        backward = staticmethod(vjp)

    _eager[op] = Eager


_DERIVATIVES = (TransformType.Grad, TransformType.Jvp)


def why_not_op() -> str | None:
    """Why a reference must be called rather than the op at the moment, or None.

    torch.library gives ops a backward for autograd and a rule for vmap, but none for forward-mode derivatives and
    torch.func.grad; the references, made of torch's functions, have them all.
    """
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if torch._C._are_functorch_transforms_active() and (
        # A tracing compiler cannot look at the stack of transforms; it can fuse the reference.
        torch.compiler.is_compiling() or any(t.key() in _DERIVATIVES for t in get_interpreter_stack() or ())
    ):
        return "a torch.func derivative is being taken"
    return None


class _Watched(threading.local):
    observer: Callable[..., Any] | None = None


#: Of references that are called: :func:`spectrans.explain` may set it.
watched = _Watched()


def call_reference(op: Any, reason: str, *args: Any) -> Any:
    """The reference of an op, with the reason why."""
    reference, observer = _references[op], watched.observer
    return reference(*args) if observer is None else observer(op, reason, reference, *args)


def call(op: Any, *args: Any) -> Any:
    """``op(*args)`` or its reference, in a derivative: it may be taken where its forward pass was not."""
    if not torch.compiler.is_compiling() and (reason := why_not_op() or _why_not_recorded(args)) is not None:
        return call_reference(op, reason, *args)
    return call_op(op, *args)


def _why_not_recorded(args: tuple[Any, ...]) -> str | None:
    if torch.is_grad_enabled():
        for arg in args:
            if isinstance(arg, torch.Tensor) and is_legacy_batchedtensor(arg):
                return "a batched backward pass is recorded"  # of an op, what is in the batch would not be
    return None


def call_op(op: Any, *args: Any) -> Any:
    """``op(*args)``, past the op's autograd kernel: it is Python, and not needed where no derivative can be asked for.

    Where one can, a plain autograd function does the same in less time. A compiler sees the op, and so do the
    transforms of torch.func.
    """
    if torch.compiler.is_compiling():
        return op(*args)
    if torch.is_grad_enabled():
        if torch._C._are_functorch_transforms_active():  # what they wrap does not say whether it requires a gradient
            return op(*args)
        for arg in args:  # any() of a generator takes as long as a small transform
            if isinstance(arg, torch.Tensor) and arg.requires_grad:
                eager = _eager.get(op)
                return op(*args) if eager is None else eager.apply(*args)
    return below_autograd(op, *args)


_AUTOGRAD = torch._C.DispatchKey.AutogradFunctionality
_is_excluded = torch._C._dispatch_tls_is_dispatch_key_excluded
_set_excluded = torch._C._dispatch_tls_set_dispatch_key_excluded


def below_autograd(op: Any, *args: Any) -> Any:
    """``op(*args)``, recorded by nobody: what torch._C._AutoDispatchBelowAutograd does, without an object for it."""
    if _is_excluded(_AUTOGRAD):
        return op._op(*args)
    try:
        _set_excluded(_AUTOGRAD, True)
        return op._op(*args)
    finally:
        _set_excluded(_AUTOGRAD, False)


# -- vmap --------------------------------------------------------------------------------------------------------------
# Where a mapped axis cannot be a batch axis of the op, it becomes more channels.


def register_vmap(name: str, rule: Callable[..., Any]) -> None:
    """torch.library.register_vmap, with a rule for axes of no size: what one call would give, no times."""
    op = getattr(torch.ops.spectrans, name).default

    def with_none(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        if info.batch_size > 0:
            return rule(info, in_dims, *args)
        one = op(
            *(
                arg if dim is None else arg.new_zeros(arg.movedim(dim, 0).shape[1:])
                for arg, dim in zip(args, in_dims, strict=True)
            )
        )
        if isinstance(one, torch.Tensor):
            return one.new_empty((0, *one.shape)), 0
        return tuple(each.new_empty((0, *each.shape)) for each in one), (0,) * len(one)

    torch.library.register_vmap(f"spectrans::{name}", with_none, lib=library)


def into_channels(t: torch.Tensor, dim: int | None, size: int, channels_at: int) -> torch.Tensor:
    """[..., d, ...] mapped over `dim` -> [..., size * d, ...]; `channels_at` is the axis of d, from the end."""
    t = t.unsqueeze(0).expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
    return t.movedim(0, channels_at - 1).flatten(channels_at - 1, channels_at)


def out_of_channels(t: torch.Tensor, size: int, channels_at: int) -> tuple[torch.Tensor, int]:
    """The reverse, with where the mapped axis now is."""
    shape = list(t.shape)
    shape[channels_at : channels_at + 1 or None] = [size, shape[channels_at] // size]
    return t.reshape(shape), len(shape) + channels_at - 1
