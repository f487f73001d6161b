"""What is measured: time in turns, error against float64, the floor, temporary memory.

Time. Contenders take turns, in a new order every round, so that the state of the machine favours none; the figure is
the median. The compositions run a few rounds together first, and only the fastest (three at most) go on to the rounds
that count. The ratio is the time of the fastest composition over ours.

Error. The largest relative l2 error of any output, against the same mathematics in float64. Every contender has to
pass before any is timed.

Floor. max(bytes / copy bandwidth, flops / peak): each input read and each output written once, at the rate at which
``copy_`` moves a tensor of this size into one that is there already; the real flops of the kernel's algorithm at the
rate of a matrix product. Both rates are measured among the contenders, in turns with them.

Temporary memory. See :mod:`benchmarks.memory`.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor

from benchmarks import memory
from benchmarks.operation import Contender, Operation, Shape, Tensors

MATRIX = 512  # of the product that shows the peak rate: 2 * 512^3 flops
FINALISTS, NEAR = 3, 1.25  # so many compositions within this factor of the fastest are timed to the end


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    heat: int  # rounds of every composition
    rounds: int  # at least, of those near the fastest
    seconds: float  # at least, likewise
    items: int  # of the batch, at most, that are checked against float64
    memory: bool  # whether temporary memory is measured


FULL = Effort(heat=3, rounds=11, seconds=0.8, items=8, memory=True)
QUICK = Effort(heat=1, rounds=3, seconds=0.1, items=2, memory=False)


@dataclass(frozen=True)
class Row:
    """One operation at one shape and number of threads; times in seconds, memory in bytes."""

    op: str
    direction: str
    shape: Shape
    dtype: str
    threads: int
    ours: float
    baseline: float
    baseline_name: str
    ratio: float
    target: float | None
    floor: float
    copy: float  # of one tensor of the shape of x
    peak: float  # flops a second
    error: float
    baseline_error: float
    temporary: int | None
    baseline_temporary: int | None
    spread: float  # median over minimum, the larger of ours and the baseline: 1 on an idle machine
    seconds: dict[str, float]  # of every contender

    @property
    def missed(self) -> bool:
        return self.target is not None and self.ratio <= self.target


def in_turns(contenders: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Times of every contender, one a round, for at least so many rounds and seconds."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    collecting = gc.isenabled()
    gc.disable()
    try:
        start, done = time.perf_counter(), 0
        while done < rounds or time.perf_counter() - start < seconds:
            shuffle(order)
            for name in order:
                contender = contenders[name]
                begin = time.perf_counter()
                result = contender()
                times[name].append(time.perf_counter() - begin)
                del result  # not timed: whoever called would keep it
            done += 1
    finally:
        if collecting:
            gc.enable()
    return times


def wide(t: Tensor) -> Tensor:
    return t.to(torch.complex128 if t.is_complex() else torch.float64)


def errors(operation: Operation, contenders: Mapping[str, Contender], inputs: Tensors) -> dict[str, float]:
    """Of every contender; an AssertionError if one does not compute what the oracle does."""
    expected = operation.oracle(*map(wide, inputs))
    roundings = math.log2(inputs[0][0].numel()) + 1  # a generous count: a transform's error grows with its square root
    tolerance = torch.finfo(inputs[0].dtype).eps * roundings
    result = {}
    for name, contender in contenders.items():
        outputs = contender(*inputs)
        result[name] = max(
            float((wide(y) - exact).norm() / exact.norm()) for y, exact in zip(outputs, expected, strict=True)
        )
        if not result[name] <= tolerance:
            raise AssertionError(f"{operation.name} {operation.direction}: {name!r} is off by {result[name]:.1e}")
    return result


def floor(
    operation: Operation,
    shape: Shape,
    moved: int,  # bytes in and out
    bandwidth: float,  # bytes a second, read and written
    peak: float,  # flops a second
) -> float:
    return max(moved / bandwidth, operation.flops(shape) / peak)


@torch.no_grad()
def rows(
    operation: Operation, shape: Shape, dtype: torch.dtype, threads: Sequence[int], effort: Effort
) -> Iterator[Row]:
    """One row a number of threads."""
    inputs = operation.inputs(shape, dtype)
    x = inputs[0]
    contenders = operation.contenders(dtype)
    checked = operation.inputs((min(shape[0], effort.items), *shape[1:]), dtype)
    torch.set_num_threads(max(threads))
    error = errors(operation, contenders, checked)
    moved = sum(t.nbytes for t in (*inputs, *operation.ours(*inputs)))

    copy, matrix = torch.empty_like(x), torch.randn(MATRIX, MATRIX)
    product = torch.empty_like(matrix)
    timed: dict[str, Callable[[], object]] = {name: partial(f, *inputs) for name, f in contenders.items()}
    rates = {"copy": partial(copy.copy_, x), "product": partial(torch.mm, matrix, matrix, out=product)}

    for count in threads:
        torch.set_num_threads(count)
        heat = {name: min(times) for name, times in in_turns(timed, effort.heat, 0).items()}
        first, *others = sorted(operation.compositions, key=heat.__getitem__)[:FINALISTS]
        finalists = [first, *(name for name in others if heat[name] <= NEAR * heat[first])]
        final = {name: timed[name] for name in ("ours", *finalists)}
        taken = in_turns({**final, **rates}, effort.rounds, effort.seconds)
        seconds = {name: median(times) for name, times in taken.items()}
        baseline = min(finalists, key=seconds.__getitem__)
        peak = 2 * MATRIX**3 / seconds["product"]
        temporary = (
            [
                memory.temporary_bytes(contenders[name], operation.inputs, shape, dtype, count)
                for name in ("ours", baseline)
            ]
            if effort.memory
            else [None, None]
        )
        yield Row(
            op=operation.name,
            direction=operation.direction,
            shape=shape,
            dtype=str(dtype).removeprefix("torch."),
            threads=count,
            ours=seconds["ours"],
            baseline=seconds[baseline],
            baseline_name=baseline,
            ratio=seconds[baseline] / seconds["ours"],
            target=operation.targets.get(shape),
            floor=floor(operation, shape, moved, 2 * x.nbytes / seconds["copy"], peak),
            copy=seconds["copy"],
            peak=peak,
            error=error["ours"],
            baseline_error=error[baseline],
            temporary=temporary[0],
            baseline_temporary=temporary[1],
            spread=max(seconds[name] / min(taken[name]) for name in ("ours", baseline)),
            seconds={name: seconds.get(name, heat[name]) for name in timed},
        )
