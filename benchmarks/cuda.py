"""``python -m benchmarks.cuda``: the CUDA kernels beside every torch.fft composition, and beside a copy.

Time is the GPU's, between events: it is kept waiting until a dozen calls are queued, so that what the host takes to
launch them is not seen (it would count against torch, whose compositions launch more); that is measured apart, on a
tensor that is nearly nothing. Calls rotate through inputs, and keep results, of four times the size of the second-level
cache. Contenders take turns in a new order every round; figures are medians. The floor is the time of copying as many
bytes as go in and out, measured in turns with them.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import spectrans
from benchmarks import conv, filter, filter2d, filter_plane, mixing, modes, norms, record, report
from benchmarks.measure import FINALISTS, NEAR, errors
from benchmarks.operation import Contender, Operation, Shape, Target, Tensors
from benchmarks.overheads import Overhead
from spectrans.functional import fft_conv, fourier_mixing, spectral_filter

ROUNDS = 9
SAMPLE = 2e-3  # seconds that the calls of one sample take, about
CACHES = 4  # times the second-level cache
CHECKED = 2  # items of the batch, against float64
TINY: Shape = (1, 16, 64)
RESULTS = Path(__file__).resolve().parent / "results"

Clock = Callable[[Callable[[], object], int], float]  # a call, how often -> seconds of one


@dataclass(frozen=True)
class Row:
    """One operation at one shape; times in seconds, memory in bytes."""

    op: str
    direction: str
    shape: Shape
    dtype: str
    implementation: str  # "native", or why it is the reference
    ours: float
    baseline: float
    baseline_name: str
    ratio: float
    floor: float  # of copying what goes in and out
    target: Target | None
    error: float
    baseline_error: float
    temporary: int
    baseline_temporary: int
    seconds: dict[str, float]  # of every contender

    @property
    def floors(self) -> float:
        return self.ours / self.floor

    @property
    def misses(self) -> tuple[str, ...]:
        if self.target is None:
            return ()
        limit = self.target.floor
        missed = {"ratio": self.ratio < self.target.ratio, "floor": limit is not None and self.floors > limit}
        return tuple(name for name, there in missed.items() if there)


@dataclass(frozen=True)
class Case:
    """What is timed, and what is aimed at on an H100."""

    operation: Operation
    shape: Shape
    dtype: torch.dtype
    target: Target | None = None


# -- gated convolution: the rooms' compositions, with the products that gates are --------------------------------------


def gated(function: Callable[[Tensor, Tensor], Tensor], u: Tensor, k: Tensor, pre: Tensor, post: Tensor) -> Tensors:
    return (post * function((pre * u).to(k.dtype), k).to(u.dtype),)


def gated_ours(u: Tensor, k: Tensor, pre: Tensor, post: Tensor) -> Tensors:
    return (fft_conv(u, k, pre_gate=pre, post_gate=post),)


def gated_inputs(shape: Shape, dtype: torch.dtype) -> Tensors:
    u, k = conv.inputs(shape, dtype)
    return u, k, u.roll(1, -1), u.roll(2, -1)


def of(operations: Sequence[Operation], name: str, direction: str = "forward") -> Operation:
    return next(each for each in operations if (each.name, each.direction) == (name, direction))


def gated_conv() -> Operation:
    functions = (conv.composed, conv.in_place, conv.transposed, conv.transposed_in_place)
    return replace(
        of(conv.OPERATIONS, "fft_conv"),
        direction="gated",
        inputs=gated_inputs,
        ours=gated_ours,
        compositions={function.__name__: partial(gated, function) for function in functions},
        oracle=partial(gated, conv.composed),
    )


def cases() -> list[Case]:
    """Those with targets first: time may be short."""
    fp32, bf16 = torch.float32, torch.bfloat16
    two_axes, filtering = of(mixing.OPERATIONS, "fourier_mixing"), of(filter.OPERATIONS, "spectral_filter")
    result = []
    for n in (512, 4096, 128, 1024, 256, 2048):
        result.append(Case(filtering, (64, n, 768), fp32, Target(5.0, floor=1.5)))
        result.append(Case(filtering, (64, n, 768), bf16, Target(8.0, floor=2.0)))
    for shape in ((32, 512, 768), (64, 1024, 1024)):
        result.append(Case(two_axes, shape, fp32, Target(4.0, floor=2.2)))
        result.append(Case(two_axes, shape, bf16, Target(6.0)))
    grid = of(filter2d.OPERATIONS, "spectral_filter2d")
    result.append(Case(grid, (256, 14 * 14, 384), fp32, Target(5.0, floor=1.5)))
    # The ratios that were published for FlashFFTConv, in half precision on an H100.
    for n, published in ((1024, 7.9), (4096, 6.6), (16384, 2.5)):
        result.append(Case(gated_conv(), (64, n, 768), bf16, Target(published)))
    result.append(Case(of(norms.OPERATIONS, "energy_error"), (64, 1024, 768), fp32, Target(3.0, floor=1.15)))
    both = of(filter.OPERATIONS, "spectral_filter", "forward+backward")
    result += [Case(both, (64, 512, 768), dtype) for dtype in (fp32, bf16)]
    result.append(Case(filtering, (64, 1000, 768), fp32))
    result.append(Case(grid, (256, 14 * 14, 384), bf16))
    result += [
        Case(of(filter_plane.OPERATIONS, "spectral_filter_plane"), (32, 512, 768), dtype) for dtype in (fp32, bf16)
    ]
    result.append(Case(of(conv.OPERATIONS, "fft_conv"), (64, 1024, 768), fp32))
    result.append(Case(of(modes.OPERATIONS, "rfft_modes"), (64, 1024, 768), fp32))
    result.append(Case(of(norms.OPERATIONS, "spectral_norm"), (1, 4096, 768), fp32))
    result.append(Case(of(norms.OPERATIONS, "orthogonality_error"), (1, 768, 768), fp32))
    return result


# -- time --------------------------------------------------------------------------------------------------------------


def gpu_seconds(call: Callable[[], object], count: int) -> float:
    """Of one of `count` calls, which are queued while the GPU waits."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin = time.perf_counter()
    call()
    host = time.perf_counter() - begin
    torch.cuda._sleep(int(2e9 * min(0.05, 1.5 * host * count)))  # cycles, at less than 2 GHz
    start.record()
    for _ in range(count):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / count


class Rotation:
    """Calls a contender on one set of inputs after the other, and keeps as many results."""

    def __init__(self, contender: Contender, sets: Sequence[Tensors]) -> None:
        self.contender, self.sets, self.at = contender, sets, 0
        self.results: deque[Tensors] = deque(maxlen=len(sets))

    def __call__(self) -> None:
        self.at = (self.at + 1) % len(self.sets)
        self.results.append(self.contender(*self.sets[self.at]))

    def forget(self) -> None:
        self.results.clear()


def copy(*inputs: Tensor) -> Tensors:
    return (inputs[0].clone(),)


def race(
    contenders: Mapping[str, Rotation],  # "ours", "copy" and the compositions
    clock: Clock,
    rounds: int,
) -> dict[str, float]:
    """Seconds of every one: of ours, of the copy and of the compositions near the fastest, medians of turns."""

    def sample(name: str, count: int) -> float:
        seconds = clock(contenders[name], count)
        contenders[name].forget()
        return seconds

    heat = {}
    for name in contenders:
        sample(name, 1)  # plans, workspaces, the allocator's blocks
        heat[name] = sample(name, 1)
    compositions = sorted(contenders.keys() - {"ours", "copy"}, key=heat.__getitem__)
    near = [name for name in compositions[:FINALISTS] if heat[name] <= NEAR * heat[compositions[0]]]
    final = ["ours", "copy", *near]
    counts = {name: max(1, min(50, math.ceil(SAMPLE / max(heat[name], 1e-9)))) for name in final}
    taken: dict[str, list[float]] = {name: [] for name in final}
    shuffle = random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(final)
        for name in final:
            taken[name].append(sample(name, counts[name]))
    return {**heat, **{name: median(times) for name, times in taken.items()}}


# -- rows --------------------------------------------------------------------------------------------------------------


def draw(operation: Operation, shape: Shape, dtype: torch.dtype) -> Tensors:
    """Inputs as the operation's own, but whatever has a batch is drawn on the device in use."""
    with torch.device("cpu"):
        single = operation.inputs((1, *shape[1:]), dtype)
    return tuple(
        (torch.randn(shape[0], *t.shape[1:], dtype=torch.float32) * float(t.float().std())).to(t.dtype)
        if t.dim() == 3 and t.shape[0] == 1 and not t.is_complex()
        else t.to(torch.get_default_device())
        for t in single
    )


def fitting(contenders: Mapping[str, Contender], inputs: Tensors) -> dict[str, Contender]:
    """Those that do not run out of memory."""
    result = {}
    for name, contender in contenders.items():
        try:
            contender(*inputs)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        result[name] = contender
    return result


def temporary_bytes(contender: Contender, inputs: Tensors) -> int:
    """What a call allocates at its peak, beyond its results."""
    if torch.get_default_device().type != "cuda":
        return 0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    results = contender(*inputs)
    peak = torch.cuda.max_memory_allocated() - before
    return max(0, peak - sum(t.nbytes for t in results))


def explained(operation: Operation, inputs: Tensors) -> str:
    steps = spectrans.explain(operation.ours, *inputs).steps
    return next((step.reason for step in steps if step.implementation != "native"), "native")


@torch.no_grad()
def row(case: Case, clock: Clock, cache: int, rounds: int = ROUNDS) -> Row:
    operation, shape, dtype = case.operation, case.shape, case.dtype
    checked = draw(operation, (min(shape[0], CHECKED), *shape[1:]), dtype)
    own = operation.contenders(dtype)
    if operation.direction == "gated":  # they know what to widen
        own = {"ours": operation.ours, **operation.compositions}
    error = errors(operation, own, checked)
    first = draw(operation, shape, dtype)
    contenders = fitting(own, first)
    size = sum(t.nbytes for t in first)
    count = max(1, min(16, math.ceil(CACHES * cache / size)))
    sets = [first, *(tuple(t.clone() for t in first) for _ in range(count - 1))]
    rotations = {name: Rotation(contender, sets) for name, contender in {**contenders, "copy": copy}.items()}
    seconds = race(rotations, clock, rounds)
    best = min(contenders.keys() - {"ours"}, key=seconds.__getitem__)
    moved = size + sum(t.nbytes for t in contenders["ours"](*first))
    return Row(
        op=operation.name,
        direction=operation.direction,
        shape=shape,
        dtype=str(dtype).removeprefix("torch."),
        implementation=explained(operation, first),
        ours=seconds["ours"],
        baseline=seconds[best],
        baseline_name=best,
        ratio=seconds[best] / seconds["ours"],
        floor=seconds["copy"] * moved / (2 * first[0].nbytes),
        target=case.target,
        error=error["ours"],
        baseline_error=error[best],
        temporary=temporary_bytes(contenders["ours"], first),
        baseline_temporary=temporary_bytes(contenders[best], first),
        seconds=seconds,
    )


def overheads(rounds: int = ROUNDS, calls: int = 200) -> Iterator[Overhead]:
    """Seconds that the host takes to launch one call on a tensor that is nearly nothing."""
    x, response = draw(of(filter.OPERATIONS, "spectral_filter"), TINY, torch.float32)
    pairs: tuple[tuple[str, Callable[[], object], str, Callable[[], object]], ...] = (
        ("fourier_mixing", partial(fourier_mixing, x), "fft2", partial(mixing.through_fft2, x)),
        ("spectral_filter", partial(spectral_filter, x, response), "rfft, mul_", partial(filter.in_place, x, response)),
    )

    def seconds(call: Callable[[], object]) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        taken = time.perf_counter() - begin
        if x.is_cuda:
            torch.cuda.synchronize()
        return taken / calls

    with torch.no_grad():
        for name, ours, beside, theirs in pairs:
            times = [(seconds(ours), seconds(theirs)) for _ in range(rounds + 1)][1:]
            of_ours, of_theirs = map(median, zip(*times, strict=True))
            yield Overhead(f"{name} {list(TINY)}", of_ours, beside, of_theirs)


# -- results -----------------------------------------------------------------------------------------------------------


def commit() -> str:
    """Of the source tree; a copy of it that is not git's is told by SPECTRANS_COMMIT."""
    if told := os.environ.get("SPECTRANS_COMMIT"):
        return told
    command = ["git", "-C", str(RESULTS.parent), "rev-parse", "HEAD"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return said.stdout.strip() or "unknown"


def machine() -> dict[str, str]:
    properties = torch.cuda.get_device_properties(0)
    facts = spectrans.info()
    return {
        "gpu": properties.name,
        "multiprocessors": str(properties.multi_processor_count),
        "second-level cache": f"{properties.L2_cache_size / 2**20:.0f} MiB",
        "memory": f"{properties.total_memory / 2**30:.0f} GiB",
        "torch": facts["versions"]["torch"],
        "cuda": f"{torch.version.cuda}, kernels compiled with {facts['cuda']['toolkit']}",
        "architectures": " ".join(facts["cuda"]["architectures"]),
        "spectrans": facts["versions"]["spectrans"],
        "commit": commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }


def table(rows: Sequence[Row]) -> Table:
    """What has a target is green where it is met, red where it is missed."""
    view = Table(title="on the GPU", title_justify="left")
    for name in (
        "op",
        "shape",
        "dtype",
        "ours\nus",
        "torch\nus",
        "ratio",
        "floors",
        "ps an\nelement",
        "error",
        "torch's",
    ):
        view.add_column(name, justify="left" if name in ("op", "shape", "dtype") else "right", no_wrap=True)
    for each in rows:

        def against(name: str, value: float, target: float | None, row: Row = each) -> str:
            if target is None:
                return f"{value:.2f}"
            return f"[{'red' if name in row.misses else 'green'}]{value:.2f} ({target:g})[/]"

        name = each.op if each.direction == "forward" else f"{each.op}, {each.direction}"
        view.add_row(
            name if each.implementation == "native" else f"{name} [red]({each.implementation})[/]",
            report.dimensions(each.shape),
            each.dtype,
            f"{1e6 * each.ours:.1f}",
            f"{1e6 * each.baseline:.1f}",
            against("ratio", each.ratio, each.target and each.target.ratio),
            against("floor", each.floors, each.target and each.target.floor),
            f"{1e12 * each.ours / math.prod(each.shape):.2f}",
            f"{each.error:.1e}",
            f"{each.baseline_error:.1e}",
        )
    return view


def measure(chosen: Sequence[Case], seconds: float, clock: Clock, cache: int, console: Console) -> list[Row]:
    """As many as can be begun in time; one that fails is told, and left out."""
    end, rows = time.monotonic() + seconds, []
    for case in chosen:
        what = f"{case.operation.name} {case.operation.direction} {report.dimensions(case.shape)} {case.dtype}"
        if time.monotonic() > end:
            console.print(f"no time: {what}")
            continue
        try:
            rows.append(row(case, clock, cache))
        except (RuntimeError, AssertionError) as error:
            console.print(f"[red]failed: {what}: {error}[/]")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ops", nargs="*", help="names of spectrans.functional (all)")
    parser.add_argument("--seconds", type=float, default=240, help="begin no measurement later (240)")
    parser.add_argument("--json", type=Path, help="(results/<gpu name>.json, if all ops are measured)")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("benchmarks.cuda: no CUDA device is available", file=sys.stderr)
        return 2
    if not spectrans.info()["libraries"]["ops_cuda"]["loaded"]:
        print(f"benchmarks.cuda: no CUDA kernels: {spectrans.info()['cuda']['reason']}", file=sys.stderr)
        return 2
    torch.set_default_device("cuda")
    console = Console(width=None if sys.stdout.isatty() else 170)
    facts = machine()
    console.print(report.facts_table(facts))
    chosen = [case for case in cases() if not options.ops or case.operation.name in options.ops]
    launches = list(overheads())
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    rows = measure(chosen, options.seconds, gpu_seconds, cache, console)
    console.print(table(rows))
    console.print(report.overhead_table(launches))
    name = "-".join(facts["gpu"].lower().split())
    if path := options.json or (None if options.ops else RESULTS / f"{name}.json"):
        record.write_lines(path, facts, {"rows": rows, "overheads": launches})
        console.print(f"written: {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
