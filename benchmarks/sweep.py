"""Every op over the same random shapes: where, if anywhere, is torch faster?"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.measure import Effort, prepare, race
from benchmarks.operation import Operation, Shape

COUNT, QUICK_COUNT = 300, 12
LONGEST, WIDEST, MOST = 10_000, 1024, 16  # n, d, batch
LARGEST = 4_000_000  # values of x

LEAST, MEAN = 1.0, 3.0  # targets: of every ratio, of their geometric mean
WORST = 5  # so many shapes are named

BRIEF = Effort(heat=1, rounds=3, seconds=0.02, items=1)
AGAIN = Effort(heat=3, rounds=11, seconds=0.1, items=1)  # before a shape counts as below the target


@dataclass(frozen=True)
class Trial:
    """One shape, on one number of threads; times in seconds."""

    shape: Shape
    threads: int
    ours: float
    baseline: float
    baseline_name: str
    ratio: float


@dataclass(frozen=True)
class Sweep:
    """Of one operation."""

    op: str
    direction: str
    dtype: str
    shapes: int
    geometric_mean: float
    least: float
    below: int  # shapes at which torch is faster
    worst: list[Trial]  # the least ratio first
    ratios: list[float]  # in the order of shapes(COUNT)

    @property
    def missed(self) -> bool:
        return self.least < LEAST or self.geometric_mean < MEAN


def prime(n: int) -> bool:
    return n > 1 and all(n % factor for factor in range(2, math.isqrt(n) + 1))


def shapes(count: int) -> list[Shape]:
    """The same at every run. Sizes are uniform in their logarithm, so that small and large ones are as frequent; every
    third length goes on to the next prime; what has too many values is drawn again."""
    draw = random.Random(0)

    def size(most: int) -> int:
        return min(most, int(math.exp(draw.uniform(0, math.log(most + 1)))))

    result: list[Shape] = []
    while len(result) < count:
        batch, n, d = size(MOST), size(LONGEST), size(WIDEST)
        if len(result) % 3 == 2:
            n = next(p for p in range(n, 2 * n + 2) if prime(p))
        if n <= LONGEST and batch * n * d <= LARGEST:
            result.append((batch, n, d))
    return result


@torch.no_grad()
def trial(operation: Operation, shape: Shape, dtype: torch.dtype, threads: int) -> Trial:
    inputs, contenders, _ = prepare(operation, shape, dtype, threads, BRIEF)
    timed = {name: partial(contender, *inputs) for name, contender in contenders.items()}
    result = race(timed, BRIEF)
    if result.ratio < LEAST:  # three rounds may have met with a busy machine
        result = race(timed, AGAIN)
    baseline = result.baseline
    return Trial(shape, threads, result.seconds("ours"), result.seconds(baseline), baseline, result.ratio)


def over(
    operation: Operation,
    drawn: Sequence[Shape],
    dtype: torch.dtype,
    threads: Sequence[int],
    advance: Callable[[], None],
) -> Sweep:
    """The shapes take turns at the numbers of threads."""
    trials = []
    for index, shape in enumerate(drawn):
        trials.append(trial(operation, shape, dtype, threads[index % len(threads)]))
        advance()
    return summary(operation.name, operation.direction, str(dtype).removeprefix("torch."), trials)


def summary(op: str, direction: str, dtype: str, trials: Sequence[Trial]) -> Sweep:
    ratios = [each.ratio for each in trials]
    return Sweep(
        op=op,
        direction=direction,
        dtype=dtype,
        shapes=len(trials),
        geometric_mean=math.exp(sum(map(math.log, ratios)) / len(ratios)),
        least=min(ratios),
        below=sum(ratio < LEAST for ratio in ratios),
        worst=sorted(trials, key=lambda each: each.ratio)[:WORST],
        ratios=ratios,
    )
