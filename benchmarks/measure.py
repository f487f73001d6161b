"""What is measured: time in turns, error against float64, the floor, temporary memory.

Time. Contenders take turns, in a new order every round, so that the state of the machine favours none; the figure is
the median. The first call of a turn does not count: it finds code and data in caches as another contender left them,
and the compositions share theirs, so that each would find the way paved by the others, and ours would not. Then follow
calls for a millisecond, one at least. (What takes so long that caches hold nothing of it to its end is called once.)
The compositions run a round or two together first, and only the fastest (three at most) go on to the rounds that count.
The ratio is the time of the fastest composition over ours.

Error. The largest relative l2 error of any output, against the same mathematics in float64. Every contender has to
pass before any is timed.

Floor. max(bytes / copy bandwidth, flops / peak): each input read and each output written once, at the rate at which
``copy_`` moves the largest of them into one that is there already (where the results are next to nothing, at which
``sum`` reads it); the real flops of the kernel's algorithm at the rate of a matrix product in the dtype that is
computed in. Both rates are measured among the contenders, in turns with them. It is a bound, and out of reach on both
sides: a matrix product is nothing but fused multiply-adds, two flops an instruction, while most additions of a
transform have no multiplication to be fused with (a radix-4 butterfly: 16 additions, 16 instructions; a twiddle: 6
flops, 4 instructions), so that arithmetic alone, with every unit busy, takes one and a half to two floors; and the
result of a call is memory fresh from the allocator, unlike that of the copy.

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
from benchmarks.operation import Contender, Operation, Shape, Target, Tensors

MATRIX = 512  # of the product that shows the peak rate: 2 * 512^3 flops
TURN = 1e-3  # seconds of a turn, at least, after its first call
LONG = 50e-3  # seconds of a first call that is the only one
FAR = 2.0  # times the fastest composition: no second try
FINALISTS, NEAR = 3, 1.25  # so many compositions within this factor of the fastest are timed to the end


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    heat: int  # rounds of every composition
    rounds: int  # at least, of those near the fastest
    seconds: float  # at least, likewise
    items: int = 8  # of the batch, at most, that are checked against float64
    memory: bool = False  # whether temporary memory is measured


FULL = Effort(heat=2, rounds=7, seconds=0.5, memory=True)
QUICK = Effort(heat=1, rounds=3, seconds=0.1, items=2)


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
    floor: float
    target: Target | None
    bytes: int  # in and out
    bandwidth: float  # bytes a second, read and written, of copying the largest tensor, or read, of summing it
    flops: float
    peak: float  # flops a second
    error: float
    baseline_error: float
    temporary: int | None
    baseline_temporary: int | None
    spread: float  # median over minimum, the larger of ours and the baseline: 1 on an idle machine
    seconds: dict[str, float]  # of every contender

    @property
    def floors(self) -> float:
        return self.ours / self.floor

    @property
    def misses(self) -> tuple[str, ...]:
        """What of the target is missed: ratio, floor, error, memory."""
        if self.target is None:
            return ()
        # An error is an estimate from a sample. The quotient of two that are equal scatters by about 1/sqrt(S) for S
        # values: three standard deviations are granted, S being what one item has.
        slack = 3 / math.sqrt(math.prod(self.shape[1:]))
        reached = {
            "ratio": self.ratio >= self.target.ratio,
            "floor": self.target.floor is None or self.floors <= self.target.floor,
            "error": self.error <= self.baseline_error * (1 + slack),
            "memory": self.target.memory is None
            or self.temporary is None
            or self.baseline_temporary is None
            or self.temporary <= self.target.memory * self.baseline_temporary,
        }
        return tuple(name for name, there in reached.items() if not there)

    @property
    def missed(self) -> bool:
        return bool(self.misses)


def turn(contender: Callable[[], object]) -> float:
    """Seconds of a call."""
    begin = time.perf_counter()
    result = contender()
    seconds = time.perf_counter() - begin
    del result  # not timed: whoever called would keep it
    if seconds >= LONG:
        return seconds
    begin, calls, seconds = time.perf_counter(), 0, 0.0
    while seconds < TURN:
        contender()
        calls += 1
        seconds = time.perf_counter() - begin
    return seconds / calls


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
                times[name].append(turn(contenders[name]))
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
    # A generous count: a transform's error grows with its square root. The four are those of the product and its sums.
    roundings = math.log2(inputs[0][0].numel()) + 4
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


@dataclass(frozen=True)
class Race:
    """Times in turns of ours, of the compositions near the fastest, and of what ran along."""

    taken: dict[str, list[float]]
    heat: dict[str, float]  # of every contender, from the rounds before
    baseline: str  # the fastest composition

    def seconds(self, name: str) -> float:
        return median(self.taken[name]) if name in self.taken else self.heat[name]

    def spread(self, name: str) -> float:
        return self.seconds(name) / min(self.taken[name])

    @property
    def ratio(self) -> float:
        return self.seconds(self.baseline) / self.seconds("ours")


def race(
    contenders: Mapping[str, Callable[[], object]],  # "ours" and the compositions
    effort: Effort,
    along: Mapping[str, Callable[[], object]] | None = None,
) -> Race:
    compositions = contenders.keys() - {"ours"}
    heat = {name: times[0] for name, times in in_turns(contenders, 1, 0).items()}
    for _ in range(effort.heat - 1):
        limit = FAR * min(heat[name] for name in compositions)
        again = in_turns({name: contenders[name] for name in compositions if heat[name] <= limit}, 1, 0)
        heat |= {name: min(heat[name], *times) for name, times in again.items()}
    first, *others = sorted(compositions, key=heat.__getitem__)[:FINALISTS]
    finalists = [first, *(name for name in others if heat[name] <= NEAR * heat[first])]
    final = {name: contenders[name] for name in ("ours", *finalists)}
    taken = in_turns({**final, **(along or {})}, effort.rounds, effort.seconds)
    return Race(taken, heat, min(finalists, key=lambda name: median(taken[name])))


def prepare(
    operation: Operation, shape: Shape, dtype: torch.dtype, threads: int, effort: Effort
) -> tuple[Tensors, dict[str, Contender], dict[str, float]]:
    """Inputs, contenders and the errors of those; every contender has then run once."""
    contenders = operation.contenders(dtype)
    checked = operation.inputs((min(shape[0], effort.items), *shape[1:]), dtype)
    torch.set_num_threads(threads)
    error = errors(operation, contenders, checked)
    return operation.inputs(shape, dtype), contenders, error


@torch.no_grad()
def rows(
    operation: Operation, shape: Shape, dtype: torch.dtype, threads: Sequence[int], effort: Effort
) -> Iterator[Row]:
    """One row a number of threads."""
    inputs, contenders, error = prepare(operation, shape, dtype, max(threads), effort)
    tensors = (*inputs, *operation.ours(*inputs))
    moved = sum(t.nbytes for t in tensors)
    flops = operation.flops(shape)

    largest = max(tensors, key=lambda t: t.nbytes)
    copy = torch.empty_like(largest)
    del tensors
    double = inputs[0].dtype in (torch.float64, torch.complex128)
    matrix = torch.randn(MATRIX, MATRIX, dtype=torch.float64 if double else torch.float32)
    product = torch.empty_like(matrix)
    timed: dict[str, Callable[[], object]] = {name: partial(f, *inputs) for name, f in contenders.items()}
    rates = {
        "memory": partial(torch.sum, largest) if operation.reads else partial(copy.copy_, largest),
        "product": partial(torch.mm, matrix, matrix, out=product),
    }

    for count in threads:
        torch.set_num_threads(count)
        result = race(timed, effort, along=rates)
        bandwidth = largest.nbytes * (1 if operation.reads else 2) / result.seconds("memory")
        peak = 2 * MATRIX**3 / result.seconds("product")
        temporary = (
            [
                memory.temporary_bytes(contenders[name], operation.inputs, shape, dtype, count)
                for name in ("ours", result.baseline)
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
            ours=result.seconds("ours"),
            baseline=result.seconds(result.baseline),
            baseline_name=result.baseline,
            ratio=result.ratio,
            floor=max(moved / bandwidth, flops / peak),
            target=operation.target(shape, dtype),
            bytes=moved,
            bandwidth=bandwidth,
            flops=flops,
            peak=peak,
            error=error["ours"],
            baseline_error=error[result.baseline],
            temporary=temporary[0],
            baseline_temporary=temporary[1],
            spread=max(result.spread("ours"), result.spread(result.baseline)),
            seconds={name: result.seconds(name) for name in timed},
        )
