"""Results as tables, in words, and as the table in the README."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from rich.table import Table
from rich.text import Text

import spectrans
from benchmarks import record
from benchmarks.measure import Row
from benchmarks.operation import Shape
from benchmarks.overheads import Overhead
from benchmarks.record import Results, SweepResults
from benchmarks.sweep import LEAST, MEAN, Sweep

#: What --readme writes between.
START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
SWEEPS_START, SWEEPS_END = "<!-- sweeps -->", "<!-- /sweeps -->"
MIB = 2**20
BUSY = 1.5  # a median this many times the minimum: something else was running


def machine() -> dict[str, str]:
    """What the figures depend on."""
    facts = spectrans.info()
    return {
        "cpu": cpu_model(),
        "instruction set": facts["cpu"]["instruction_set"] or "unknown",
        "compiler": facts["build"].get("compiler") or "unknown",
        "spectrans": facts["versions"]["spectrans"],
        "torch": facts["versions"]["torch"],
        "torch.fft by": "MKL" if torch.backends.mkl.is_available() else "pocketfft",
        "python": facts["versions"]["python"],
    }


def cpu_model() -> str:
    """As Linux names it; virtual machines often say no more than the family."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else name


# -- tables ------------------------------------------------------------------------------------------------------------


def dimensions(shape: Shape) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 0.1 else f"{1e3 * seconds:.0f}"


def mebibytes(count: int | None) -> str:
    return "–" if count is None else f"{count / MIB:.1f}"


def operation_table(rows: Sequence[Row]) -> Table:
    """All rows of one op in one dtype. What has a target is green where it is met, red where it is missed."""
    table = Table(title=f"{rows[0].op}, {rows[0].dtype}", title_justify="left", caption_justify="left")
    if any(row.spread > BUSY for row in rows):
        table.caption = f"~ the machine was busy: a median more than {BUSY} times the minimum"
    for name in ("direction", "shape"):
        table.add_column(name, no_wrap=True)
    table.add_column("threads", justify="right")
    table.add_column("ours\nms", justify="right")
    table.add_column("torch\nms", justify="right")
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("floor\nms", justify="right")
    table.add_column("floors", justify="right", no_wrap=True)
    table.add_column("temporary\nours, torch\nMiB", justify="right")
    table.add_column(
        "error, 1e-7\nours, torch" if rows[0].dtype == "float32" else "error\nours, torch", justify="right"
    )
    table.add_column("fastest composition")
    last = None
    for row in rows:
        new = last is not None and (row.direction, row.shape) != (last.direction, last.shape)
        if new:
            table.add_section()
        target = row.target
        style = {name: "red" for name in row.misses}
        errors = (
            f"{row.error * 1e7:.1f}  {row.baseline_error * 1e7:.1f}"
            if row.dtype == "float32"
            else f"{row.error:.1e}  {row.baseline_error:.1e}"
        )
        table.add_row(
            row.direction,
            dimensions(row.shape),
            str(row.threads),
            milliseconds(row.ours),
            milliseconds(row.baseline),
            Text(f"{'~' * (row.spread > BUSY)}{row.ratio:.2f}", style.get("ratio", "green" if target else "")),
            milliseconds(row.floor),
            Text(f"{row.floors:.2f}", style.get("floor", "green" if target and target.floor else "")),
            f"{mebibytes(row.temporary)}  {mebibytes(row.baseline_temporary):>5}",
            Text(errors, style.get("error", "")),
            row.baseline_name,
        )
        last = row
    return table


def overhead_table(overheads: Iterable[Overhead]) -> Table:
    """Microseconds, ours and theirs."""
    table = Table("", title="overheads", title_justify="left")
    table.add_column("ours\nµs", justify="right")
    table.add_column("torch\nµs", justify="right")
    table.add_column("torch's")
    for row in overheads:
        table.add_row(row.what, f"{1e6 * row.ours:.3g}", f"{1e6 * row.theirs:.3g}", row.beside)
    return table


def facts_table(facts: dict[str, str]) -> Table:
    table = Table(show_header=False, title="machine and build", title_justify="left")
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table


def sweep_table(sweeps: Iterable[Sweep], threads: Sequence[int]) -> Table:
    """A line an operation."""
    table = Table(title=f"random shapes, {' and '.join(map(str, threads))} threads in turn", title_justify="left")
    table.add_column("op", no_wrap=True)
    for name in ("direction", "dtype"):
        table.add_column(name)
    for name in ("shapes", "geometric\nmean", "least", "below 1"):
        table.add_column(name, justify="right")
    table.add_column("worst: ratio shape (composition)")
    for sweep in sweeps:
        worst = (f"{each.ratio:.2f} {dimensions(each.shape)} ({each.baseline_name})" for each in sweep.worst[:3])
        table.add_row(
            sweep.op,
            sweep.direction,
            sweep.dtype,
            str(sweep.shapes),
            Text(f"{sweep.geometric_mean:.2f}", "green" if sweep.geometric_mean >= MEAN else "red"),
            Text(f"{sweep.least:.2f}", "green" if sweep.least >= LEAST else "red"),
            str(sweep.below),
            "\n".join(worst),
        )
    return table


# -- in words ----------------------------------------------------------------------------------------------------------


def sentence(row: Row) -> str:
    """A row that misses its target."""
    assert row.target is not None
    said = {
        "ratio": f"{row.ratio:.2f} times as fast as {row.baseline_name!r}, target {row.target.ratio:g}, which is "
        f"{row.baseline / row.target.ratio / row.floor:.2f} floors",
        "floor": f"{row.floors:.2f} floors, target {row.target.floor or 0:g}",
        "error": f"error {row.error:.2e}, torch's {row.baseline_error:.2e}",
        "memory": f"{row.temporary or 0} bytes of temporary memory, torch's {row.baseline_temporary or 0}",
    }
    return (
        f"{row.op} {row.direction} {dimensions(row.shape)} {row.dtype} on {row.threads} "
        f"thread{'s' * (row.threads > 1)}: {'; '.join(said[name] for name in row.misses)}"
    )


def sweep_sentence(sweep: Sweep) -> str:
    """A sweep that misses its target."""
    worst = sweep.worst[0]
    return (
        f"{sweep.op} {sweep.direction} {sweep.dtype} over {sweep.shapes} shapes: geometric mean "
        f"{sweep.geometric_mean:.2f}, target {MEAN:g}; least {sweep.least:.2f}, target {LEAST:g}, at "
        f"{dimensions(worst.shape)} on {worst.threads} thread{'s' * (worst.threads > 1)}; {sweep.below} below 1"
    )


def verdict(results: Iterable[Row | Sweep]) -> tuple[str, bool]:
    """What to say of the targets, and whether any was missed."""
    aimed = [each for each in results if isinstance(each, Sweep) or each.target is not None]
    misses = [sweep_sentence(each) if isinstance(each, Sweep) else sentence(each) for each in aimed if each.missed]
    if not misses:
        return f"all {len(aimed)} targets met", False
    return "\n".join([f"{len(misses)} of {len(aimed)} targets missed:", *misses]), True


# -- README ------------------------------------------------------------------------------------------------------------


def readme_table(results: Results) -> str:
    """The rows that aim at more than not to be slower, a line an operation, dtype and shape."""
    facts = results.machine
    lines: dict[tuple[str, str, str, str], dict[int, Row]] = {}
    for row in results.rows:
        if row.target is not None and row.target.ratio > LEAST:
            lines.setdefault((row.op, row.direction, row.dtype, dimensions(row.shape)), {})[row.threads] = row
    threads = sorted({count for cells in lines.values() for count in cells})
    header = ["function", "", "dtype", "shape"]
    for count in threads:
        header += [f"ms, {count} thread{'s' * (count > 1)}", "torch", "times", "floors"]
    table = [header, ["---"] * 4 + ["---:"] * (4 * len(threads))]
    for (op, direction, dtype, shape), cells in lines.items():
        line = [f"`{op}`", direction, dtype, shape]
        for count in threads:
            cell = cells.get(count)
            line += (
                [""] * 4
                if cell is None
                else [
                    milliseconds(cell.ours),
                    milliseconds(cell.baseline),
                    f"**{cell.ratio:.1f}**",
                    f"{cell.floors:.1f}",
                ]
            )
        table.append(line)
    caption = (
        f"{facts['cpu']}, {facts['instruction set']}, torch {facts['torch']} ({facts['torch.fft by']}). "
        "Times: how many times as fast as the fastest torch composition; floors: how many times as long as "
        "copying the data, or multiplying matrices with as many flops, whichever takes longer."
    )
    return "\n".join([*(f"| {' | '.join(line)} |" for line in table), "", caption])


def readme_sweeps(results: Sequence[SweepResults]) -> str:
    """A line an operation: of each machine the mean and the least ratio, and how often torch is ahead."""
    header, align = ["function", ""], ["---", "---"]
    lines: dict[tuple[str, str], list[str]] = {}
    for count, each in enumerate(results):
        header += [f"{each.machine['instruction set']}: times", "least", "torch ahead"]
        align += ["---:"] * 3
        for sweep in each.sweeps:
            line = lines.setdefault((sweep.op, sweep.direction), [""] * 3 * count)
            line += [f"**{sweep.geometric_mean:.1f}**", f"{sweep.least:.2f}", f"{sweep.below} of {sweep.shapes}"]
        for line in lines.values():
            line += [""] * (3 * (count + 1) - len(line))
    table = [header, align, *([f"`{op}`", direction, *line] for (op, direction), line in lines.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def put_between(readme: Path, start: str, end: str, content: str) -> None:
    """ValueError where the markers are not there."""
    before, found, rest = readme.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{readme.name}: expected the markers {start} and {end}, in this order")
    readme.write_text(f"{before}{start}\n{content}\n{end}{after}")


def rewrite_readme(readme: Path, results: Sequence[Path], sweeps: Sequence[Path] = ()) -> None:
    """Puts a table of each result, and one of all sweeps where there are any, between the markers; ValueError where
    there are none, or no results."""
    if not results:
        raise ValueError("no results yet: run `python -m benchmarks` without arguments first")
    tables = "\n\n".join(readme_table(record.read(path)) for path in results)
    swept = readme_sweeps([record.read_sweeps(path) for path in sweeps])
    put_between(readme, START, END, tables)
    if sweeps:
        put_between(readme, SWEEPS_START, SWEEPS_END, swept)
