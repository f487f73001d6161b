"""What a room describes: one computation, every way to do it, and the least it can cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from spectrans import _native

Shape = tuple[int, int, int]  # batch, n, d
Tensors = tuple[Tensor, ...]
Contender = Callable[..., Tensors]  # inputs -> outputs

#: The shapes every op is timed at: those with targets first.
TARGET_SHAPES: tuple[Shape, ...] = ((8, 512, 768), (32, 512, 768))
OTHER_SHAPES: tuple[Shape, ...] = ((8, 128, 256), (4, 4096, 768), (8, 1000, 512), (8, 196, 384))


@dataclass(frozen=True)
class Operation:
    """Everything here is a module-level function or a partial of one: the memory probe sends them to other processes.

    Contenders run under ``no_grad``. They may return views (as ``fft2(x).real`` is one) and whatever strides cost
    torch least, while the native kernels always return the strides of x: the comparison favours torch where it must
    favour somebody.
    """

    name: str  # as in spectrans.functional; what the command line selects
    direction: str  # "forward" or "forward+backward"
    inputs: Callable[[Shape, torch.dtype], Tensors]  # x first
    ours: Contender
    compositions: Mapping[str, Contender]
    oracle: Contender  # of inputs in float64
    flops: Callable[[Shape], float]
    targets: Mapping[Shape, float] = field(default_factory=lambda: dict.fromkeys(TARGET_SHAPES, 1.0))

    def contenders(self, dtype: torch.dtype) -> dict[str, Contender]:
        """Ours, then the compositions as they have to be written for `dtype`."""
        halves = dtype in (torch.float16, torch.bfloat16)
        compositions = {name: partial(through_float32, f) if halves else f for name, f in self.compositions.items()}
        return {"ours": self.ours, **compositions}


def through_float32(contender: Contender, *inputs: Tensor) -> Tensors:
    """torch.fft knows no halves on CPUs: cast, transform, cast back. Responses are complex64 already."""
    outputs = contender(*(t if t.is_complex() else t.float() for t in inputs))
    return tuple(t if t.is_complex() else t.to(inputs[0].dtype) for t in outputs)


def forward(function: Callable[..., Tensor], *inputs: Tensor) -> Tensors:
    """The contender that calls a function."""
    return (function(*inputs),)


def forward_and_autograd(function: Callable[..., Tensor], *inputs: Tensor) -> Tensors:
    """The contender that calls a function of all inputs but the last, and its derivative in the direction of that."""
    *arguments, grad = inputs
    with torch.enable_grad():
        leaves = [argument.detach().requires_grad_() for argument in arguments]
        y = function(*leaves)
        return (y.detach(), *torch.autograd.grad(y, leaves, grad))


def transform_flops(n: int) -> float:
    """Additions and multiplications of one real transform of length n, as the kernels' plan does it."""
    module, status = _native.introspection()
    if module is None:
        raise RuntimeError(f"spectrans._C: {status['reason']}")
    return float(module.plan(n)["flops"])
