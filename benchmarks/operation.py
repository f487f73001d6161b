"""What a room describes: one computation, every way to do it, and the least it can cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from spectrans import _native

Shape = tuple[int, ...]  # batch, n, d
Tensors = tuple[Tensor, ...]
Contender = Callable[..., Tensors]  # inputs -> outputs
Step = Callable[[Tensor], Tensor]

#: The shapes at which the ops along one axis have targets.
SHAPES: tuple[Shape, ...] = ((8, 128, 256), (8, 512, 768), (32, 512, 768), (4, 4096, 768), (8, 1000, 512))
#: Likewise in bfloat16: a power of two, and a length with odd factors.
BFLOAT16_SHAPES: tuple[Shape, ...] = ((8, 512, 768), (8, 1000, 512))


@dataclass(frozen=True)
class Target:
    """What a row has to reach; besides, its error may not exceed the fastest composition's."""

    ratio: float  # times as fast as the fastest composition, at least
    floor: float | None = None  # times the floor, at most
    memory: float | None = None  # times the composition's temporary memory, at most


#: Of [batch, d, n]: in cache, and not.
CHANNELS_FIRST_SHAPES: tuple[Shape, ...] = ((16, 256, 64), (8, 512, 768), (8, 1024, 256), (4, 4096, 256))

#: Several items to a vector, and less than a cache line of each at a time.
FEW_CHANNELS_SHAPES: tuple[Shape, ...] = ((16, 1024, 3), (64, 256, 4), (32, 512, 8))

#: What an op without targets of its own is held to: nowhere slower than torch.
NEVER_SLOWER = dict.fromkeys(SHAPES, Target(1.0))
#: Likewise where channels come first.
CHANNELS_FIRST = dict.fromkeys(CHANNELS_FIRST_SHAPES, Target(1.0))
#: Likewise of few channels.
FEW_CHANNELS = dict.fromkeys(FEW_CHANNELS_SHAPES, Target(1.0))


@dataclass(frozen=True)
class Operation:
    """Everything here is a module-level function or a partial of one: the memory probe sends them to other processes.

    Contenders run under ``no_grad``. They may return views (as ``fft2(x).real`` is one) and whatever strides cost
    torch least, while the native kernels always return the strides of x: the comparison favours torch where it must
    favour somebody.
    """

    name: str  # as in spectrans.functional; what the command line selects
    direction: str  # "forward" or "forward+backward"; "channels first", and what else there is to say: [batch, d, n]
    inputs: Callable[[Shape, torch.dtype], Tensors]  # x first
    ours: Contender
    compositions: Mapping[str, Contender]
    oracle: Contender  # of inputs in float64
    flops: Callable[[Shape], float]
    targets: Mapping[Shape, Target]  # the shapes that are timed, and what is aimed at in float32
    bfloat16: Mapping[Shape, Target] = field(default_factory=dict)  # likewise; besides, not instead
    sweep: bool = False  # over random shapes too; forward, over n for the pictures
    reads: bool = False  # the results are next to nothing: the floor is at the rate of reading, not of copying

    def target(self, shape: Shape, dtype: torch.dtype) -> Target | None:
        targets = {torch.float32: self.targets, torch.bfloat16: self.bfloat16}
        return targets.get(dtype, {}).get(shape)

    def shapes(self, dtype: torch.dtype) -> tuple[Shape, ...]:
        """Those with targets in `dtype`; where none has, those with targets in float32."""
        return tuple((dtype is torch.bfloat16 and self.bfloat16) or self.targets)

    def contenders(self, dtype: torch.dtype) -> dict[str, Contender]:
        """Ours, then the compositions as they have to be written for `dtype`."""
        compositions = dict(self.compositions)
        if dtype in (torch.float16, torch.bfloat16):
            compositions = {name: partial(through_float32, f) for name, f in compositions.items()}
        return {"ours": self.ours, **compositions}


def through_float32(contender: Contender, *inputs: Tensor) -> Tensors:
    """torch.fft knows no halves on CPUs: cast, transform, cast back. What is not of x's shape is wide already."""
    x = inputs[0]
    outputs = contender(*(t if t.is_complex() else t.float() for t in inputs))
    return tuple(t.to(x.dtype) if t.shape == x.shape and t.is_complex() == x.is_complex() else t for t in outputs)


def forward(function: Callable[..., Tensor], *inputs: Tensor) -> Tensors:
    """The contender that calls a function."""
    return (function(*inputs),)


def forward_and_autograd(function: Callable[..., Tensor], *inputs: Tensor) -> Tensors:
    """The contender that calls a function of all inputs but the last, and its derivative in the direction of that.

    A derivative written by hand comes as a ``torch.autograd.Function``, as it would in a model: what autograd costs is
    part of every contender alike.
    """
    *arguments, grad = inputs
    with torch.enable_grad():
        leaves = [argument.detach().requires_grad_() for argument in arguments]
        y = function(*leaves)
        return (y.detach(), *torch.autograd.grad(y, leaves, grad))


def channels_first(inputs: Callable[[Shape, torch.dtype], Tensors], shape: Shape, dtype: torch.dtype) -> Tensors:
    """The inputs of an op along -2, the first of them as [batch, d, n], contiguous."""
    x, *others = inputs(shape, dtype)
    return (x.mT.contiguous(), *others)


# -- by hand, one item at a time: temporaries the size of one item stay in cache ---------------------------------------
# transform: of an item, to the axes that `response` has; back: of such a spectrum, to an item.


def filtered_by_item(x: Tensor, response: Tensor, transform: Step, back: Step) -> tuple[Tensor, list[Tensor]]:
    """x times the response in the frequency domain; with it the spectra, to be kept for the backward pass."""
    y, spectra = torch.empty_like(x), []
    for y_item, x_item in zip(y, x, strict=True):
        spectra.append(transform(x_item))
        y_item.copy_(back(spectra[-1] * response))
    return y, spectra


def gradients_by_item(
    grad: Tensor, response: Tensor, spectra: Sequence[Tensor], transform: Step, back: Step
) -> tuple[Tensor, Tensor]:
    """The gradient of x, and the sum of conj(spectrum) transform(grad)."""
    grad_x, correlation = torch.empty_like(grad), torch.zeros_like(response)
    adjoint = response.conj().resolve_conj()
    for grad_x_item, grad_item, spectrum in zip(grad_x, grad, spectra, strict=True):
        grad_spectrum = transform(grad_item)
        correlation.addcmul_(spectrum.conj(), grad_spectrum)
        grad_x_item.copy_(back(grad_spectrum.mul_(adjoint)))
    return grad_x, correlation


def transform_flops(n: int) -> float:
    """Additions and multiplications of one real transform of length n, as the kernels' plan does it."""
    module, status = _native.introspection()
    if module is None:
        raise RuntimeError(f"spectrans._C: {status['reason']}")
    return float(module.plan_flops(n))
