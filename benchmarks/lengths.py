"""Every op over the length n, batch and channels fixed: what the pictures are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from benchmarks.measure import Effort, Row, rows
from benchmarks.operation import Operation, Shape

BATCH, CHANNELS, THREADS = 2, 256, 1
SMOOTH = (16, 24, 32, 64, 90, 128, 256, 360, 512, 1024, 1400, 2048, 4096, 5600, 8192, 16384)
PRIMES = (17, 61, 251, 1021, 4093, 8191)
EFFORT = Effort(heat=1, rounds=3, seconds=0.05, items=1)


def drawn(operation: Operation) -> bool:
    return operation.sweep and operation.direction == "forward"


def shapes() -> list[Shape]:
    return [(BATCH, n, CHANNELS) for n in sorted(SMOOTH + PRIMES)]


def over(operations: Sequence[Operation], dtype: torch.dtype) -> Iterator[Row]:
    """A row an operation and length."""
    for operation in filter(drawn, operations):
        for shape in shapes():
            yield from rows(operation, shape, dtype, [THREADS], EFFORT)
