"""The pictures in docs/pictures, from results: time against n, ratio against n, and a roofline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks import lengths
from benchmarks.measure import Row
from benchmarks.operation import Shape
from benchmarks.record import Results
from benchmarks.sweep import prime

# Okabe and Ito's colours, told apart with any common colour blindness, and a violet; markers and dashes say the same.
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
VIOLET, BLACK, GREY, PALE = "#5D3A9B", "#000000", "#777777", "#dddddd"
OPERATION_STYLES = tuple(zip((BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK, GREY, VIOLET), "osD^vPX*h", strict=True))
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "savefig.dpi": 150,
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Every picture there are results for; ValueError if there are none."""
    if not results.lengths or not results.rows:
        raise ValueError("results of a run without arguments are needed to draw the pictures")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with plt.rc_context(STYLE):
        for name, figure in (
            ("time", time_against_length(results)),
            ("ratio", ratio_against_length(results)),
            ("roofline", roofline(results)),
        ):
            drawn.append(folder / f"{name}.png")
            figure.savefig(drawn[-1], bbox_inches="tight", metadata={"Software": None})
            plt.close(figure)
    return drawn


def tokens(shape: Shape) -> int:
    return math.prod(shape[1:-1])


def by_operation(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    return [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.op)]


def styled(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row], str, str]]:
    """Of every op: name, rows, colour, marker."""
    for index, (name, group) in enumerate(by_operation(rows)):
        color, marker = OPERATION_STYLES[index]  # no two alike: an op too many needs another
        yield name, group, color, marker


def machine(results: Results) -> str:
    facts = results.machine
    return f"{facts['cpu']}, {facts['instruction set']}, torch {facts['torch']} ({facts['torch.fft by']})"


def measured_at() -> str:
    return f"batch {lengths.BATCH}, {lengths.CHANNELS} channels, float32, {lengths.THREADS} thread"


def powers_of_two(axes: Axes, most: int) -> None:
    axes.set_xscale("log", base=2)
    ticks = [2**k for k in range(4, most.bit_length(), 2)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def along(axes: Axes, rows: Sequence[Row], values: Sequence[float], color: str, marker: str, dashes: str = "-") -> None:
    """A line through the smooth lengths; primes stand alone, hollow; without a marker, they do not stand at all."""
    points = list(zip((tokens(row.shape) for row in rows), values, strict=True))
    smooth, primes = ([(n, y) for n, y in points if prime(n) == wanted] for wanted in (False, True))
    axes.plot(*zip(*smooth, strict=True), color=color, marker=marker, markersize=3.5, linewidth=1.5, linestyle=dashes)
    if primes and marker:
        axes.plot(*zip(*primes, strict=True), color=color, marker=marker, markersize=6, markerfacecolor="white", ls="")


def time_against_length(results: Results) -> Figure:
    operations = by_operation(results.lengths)
    columns = min(len(operations), 2 if len(operations) <= 4 else 3)
    lines = math.ceil(len(operations) / columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(4.2 * columns, 3.1 * lines), sharex=True, sharey=True, squeeze=False
    )
    curves: tuple[tuple[str, str, str, str, Callable[[Row], float]], ...] = (
        ("fastest torch.fft", ORANGE, "s", "--", lambda row: row.baseline),
        ("spectrans", BLUE, "o", "-", lambda row: row.ours),
        ("floor", GREY, "", ":", lambda row: row.floor),
    )
    for axes, (name, rows) in zip(grid.flat, operations, strict=False):
        for _, color, marker, dashes, seconds in curves:
            along(axes, rows, [1e3 * seconds(row) for row in rows], color, marker, dashes)
        powers_of_two(axes, max(tokens(row.shape) for row in rows))
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(name, loc="left", fontsize=11)
    for axes in grid.flat[len(operations) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("time of a call, ms")
    for index in range(len(operations) - columns, len(operations)):
        grid.flat[index].tick_params(labelbottom=True)
        grid.flat[index].set_xlabel("length n, tokens")
    handles = [
        Line2D([], [], color=color, marker=marker or "None", markersize=4, ls=dashes, label=label)
        for label, color, marker, dashes, _ in curves
    ]
    handles.append(Line2D([], [], color=BLACK, marker="o", markerfacecolor="white", ls="", label="prime n"))
    figure.legend(handles=handles, loc="upper center", ncols=4, frameon=False, bbox_to_anchor=(0.5, 1.0))
    figure.supxlabel(f"{measured_at()}; {machine(results)}", fontsize=8, color=GREY)
    figure.tight_layout(rect=(0, 0, 1, 0.97 if lines > 1 else 0.93))
    return figure


def ratio_against_length(results: Results) -> Figure:
    figure, axes = plt.subplots(figsize=(8, 4.6))
    handles = []
    for name, rows, color, marker in styled(results.lengths):
        along(axes, rows, [row.ratio for row in rows], color, marker)
        handles.append(Line2D([], [], color=color, marker=marker, markersize=4, label=name))
    handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor="white", ls="", label="prime n"))
    axes.axhline(1, color=BLACK, linewidth=1)
    axes.annotate(
        "as fast as torch.fft", (1, 1), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
    )
    powers_of_two(axes, max(tokens(row.shape) for row in results.lengths))
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [tick for tick in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32) if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlabel("length n, tokens")
    axes.set_ylabel("times as fast as the fastest torch.fft composition")
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.set_title(f"{measured_at()}; {machine(results)}", loc="left", fontsize=8, color=GREY)
    return figure


def roofline(results: Results) -> Figure:
    """Flops a second against flops a byte, forward on one thread: ours, torch's for the same, and the limits."""
    transforms = {row.op for row in results.lengths}
    rows = [row for row in results.rows if row.threads == 1 and row.dtype == "float32" and row.direction == "forward"]
    rows = [row for row in rows if row.op in transforms]
    figure, axes = plt.subplots(figsize=(8, 4.8))
    intensity = [row.flops / row.bytes for row in rows]
    ends = (min(intensity) / 2, max(intensity) * 2)
    peak = max(row.peak for row in rows) / 1e9
    steps = [ends[0] * (ends[1] / ends[0]) ** (k / 100) for k in range(101)]
    roofs = []
    for row in (choose(rows, key=lambda row: math.prod(row.shape)) for choose in (min, max)):
        megabytes, bandwidth = 4 * math.prod(row.shape) / 1e6, row.bandwidth / 1e9
        roofs.append([min(peak, bandwidth * x) for x in steps])
        axes.plot(steps, roofs[-1], color=GREY, linewidth=1.2)
        axes.text(
            ends[0] * 1.05,
            ends[0] * 1.05 * bandwidth * 1.04,
            f"copying {megabytes:.2g} MB: {bandwidth:.0f} GB/s",
            rotation=math.degrees(math.atan(bandwidth)),
            rotation_mode="anchor",
            transform_rotates_text=True,
            fontsize=8,
        )
    axes.fill_between(steps, roofs[0], roofs[1], color=PALE, linewidth=0)
    axes.annotate(
        f"matrix product: {peak:.0f} Gflop/s",
        (ends[1], peak),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    handles = []
    for name, group, color, marker in styled(rows):
        for row in group:
            x = row.flops / row.bytes
            ours, theirs = row.flops / row.ours / 1e9, row.flops / row.baseline / 1e9
            axes.plot((x, x), (theirs, ours), color=color, linewidth=0.6, alpha=0.5)
            axes.plot(x, ours, color=color, marker=marker, markersize=5.5)
            axes.plot(x, theirs, color=color, marker=marker, markersize=5.5, markerfacecolor="white")
        handles.append(Line2D([], [], color=color, marker=marker, ls="", label=name))
    handles.append(Line2D([], [], color=GREY, marker="o", ls="", label="spectrans"))
    handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor="white", ls="", label="fastest torch.fft"))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(ends)
    axes.set_ylim(top=1.5 * peak)
    axes.set_xlabel("arithmetic intensity, flops a byte moved in or out")
    axes.set_ylabel("Gflop/s, of the flops that spectrans needs")
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.set_title(f"forward, float32, 1 thread; {machine(results)}", loc="left", fontsize=8, color=GREY)
    return figure
