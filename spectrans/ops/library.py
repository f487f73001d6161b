"""The dispatcher namespace ``spectrans`` and what its ops have in common."""

from __future__ import annotations

from typing import Any

import torch

#: Schemas are defined here; the native libraries only register kernels for them.
library = torch.library.Library("spectrans", "DEF")

#: Outputs follow the strides of the inputs, so a compiler must not change those behind the op's back.
TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype an op computes in: float64 for float64, float32 for everything narrower."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def with_strides_of(like: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """`result` with the strides of ``torch.empty_like(like)``: what every op promises for its output."""
    out = torch.empty_like(like)
    if out.stride() == result.stride() and result.dtype is out.dtype:
        return result
    return out.copy_(result)


def call(op: Any, *args: Any) -> Any:
    """``op(*args)``, past the op's autograd kernel where nothing can ask for a derivative.

    That kernel is Python: it costs as much as a small transform.
    """
    if torch.compiler.is_compiling() or torch.is_inference_mode_enabled() or _may_need_grad(args):
        return op(*args)
    with torch._C._AutoDispatchBelowAutograd():
        return op(*args)


def _may_need_grad(args: tuple[Any, ...]) -> bool:
    # What a functorch transform wraps does not say whether it requires a gradient.
    return torch.is_grad_enabled() and (
        torch._C._are_functorch_transforms_active()
        or any(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args)
    )


# Of vmap rules: where a mapped axis cannot be a batch axis of the op, it becomes more channels.


def into_channels(t: torch.Tensor, dim: int | None, size: int, channels_at: int) -> torch.Tensor:
    """[..., d, ...] mapped over `dim` -> [..., size * d, ...]; `channels_at` is the axis of d, from the end."""
    t = t.unsqueeze(0).expand(size, *t.shape) if dim is None else t.movedim(dim, 0)
    return t.movedim(0, channels_at - 1).flatten(channels_at - 1, channels_at)


def out_of_channels(t: torch.Tensor, size: int, channels_at: int) -> tuple[torch.Tensor, int]:
    """The reverse, with where the mapped axis now is."""
    shape = list(t.shape)
    shape[channels_at : channels_at + 1 or None] = [size, shape[channels_at] // size]
    return t.reshape(shape), len(shape) + channels_at - 1
