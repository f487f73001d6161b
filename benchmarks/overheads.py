"""What there is to pay whatever the size: one call on a tensor that is nearly nothing, and the import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch

from benchmarks import filter, mixing, modes
from benchmarks.measure import in_turns
from benchmarks.operation import Shape
from spectrans.functional import fourier_mixing, spectral_filter

SHAPE: Shape = (1, 16, 64)
CALLS = 200  # timed together: one is too short for the clock

IMPORTS = """
from time import perf_counter
start = perf_counter()
import torch
middle = perf_counter()
import spectrans
print(middle - start, perf_counter() - middle)
"""


@dataclass(frozen=True)
class Overhead:
    """Seconds of ours and of what it stands beside."""

    what: str
    ours: float
    beside: str
    theirs: float


def repeat(call: Callable[[], object]) -> None:
    for _ in range(CALLS):
        call()


def calls(rounds: int) -> Iterator[Overhead]:
    """Per call, on one thread, with neither autograd nor (inference_mode) its bookkeeping."""
    torch.set_num_threads(1)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            x, response = filter.inputs(SHAPE, torch.float32)
            spectrum, grid = modes.inverse_inputs(SHAPE, torch.float32)
            for name, ours, beside, theirs in (
                ("fourier_mixing", partial(fourier_mixing, x), "fft2", partial(mixing.through_fft2, x)),
                (
                    "spectral_filter",
                    partial(spectral_filter, x, response),
                    "rfft, multiply, irfft",
                    partial(filter.composed, x, response),
                ),
                ("rfft_modes", partial(modes.ours, x), "rfft, slice", partial(modes.sliced, x)),
                (
                    "irfft_modes",
                    partial(modes.ours_inverse, spectrum, grid),
                    "irfft",
                    partial(modes.padded, spectrum, grid),
                ),
            ):
                times = in_turns({"ours": partial(repeat, ours), "theirs": partial(repeat, theirs)}, rounds, 0)
                seconds = {who: median(taken) / CALLS for who, taken in times.items()}
                what = f"{name} {list(SHAPE)}, {mode.__name__}"
                yield Overhead(what, seconds["ours"], beside, seconds["theirs"])


def imports(rounds: int) -> Overhead:
    """``import spectrans`` once torch is there, beside ``import torch``: both in each of several new processes."""
    torch_seconds, spectrans_seconds = [], []
    for _ in range(rounds):
        printed = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout
        first, second = map(float, printed.split())
        torch_seconds.append(first)
        spectrans_seconds.append(second)
    return Overhead("import spectrans, after torch", median(spectrans_seconds), "import torch", median(torch_seconds))
