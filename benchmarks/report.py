"""Results as tables, as JSON, and as the table in the README."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

import spectrans
from benchmarks.measure import Row
from benchmarks.operation import Shape
from benchmarks.overheads import Overhead

START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
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
    """All rows of one op."""
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
        style = "red" if row.missed else "green" if row.target is not None else ""
        table.add_row(
            row.direction,
            dimensions(row.shape),
            str(row.threads),
            milliseconds(row.ours),
            milliseconds(row.baseline),
            Text(f"{'~' * (row.spread > BUSY)}{row.ratio:.2f}", style),
            milliseconds(row.floor),
            f"{mebibytes(row.temporary)}  {mebibytes(row.baseline_temporary):>5}",
            f"{row.error * 1e7:.1f}  {row.baseline_error * 1e7:.1f}"
            if row.dtype == "float32"
            else f"{row.error:.1e}  {row.baseline_error:.1e}",
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


def sentence(row: Row) -> str:
    """A row that has a target, in words."""
    return (
        f"{row.op} {row.direction} {dimensions(row.shape)} {row.dtype} on {row.threads} "
        f"thread{'s' * (row.threads > 1)}: {row.ratio:.2f} times as fast as {row.baseline_name!r}, "
        f"target > {row.target:g}"
    )


# -- JSON --------------------------------------------------------------------------------------------------------------


def write_json(path: Path, facts: dict[str, str], rows: Iterable[Row], overheads: Iterable[Overhead]) -> None:
    """Times in seconds, memory in bytes, peak in flops a second."""
    results: dict[str, Any] = {
        "machine": facts,
        "rows": [rounded(asdict(row)) for row in rows],
        "overheads": [rounded(asdict(row)) for row in overheads],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Floats to four digits: more would only be noise, and differences between files."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


# -- README ------------------------------------------------------------------------------------------------------------


def readme_table(results: dict[str, Any]) -> str:
    """The rows that have targets, a line an operation and shape."""
    facts = results["machine"]
    lines: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for row in results["rows"]:
        if row["target"] is not None:
            lines.setdefault((row["op"], row["direction"], dimensions(row["shape"])), {})[row["threads"]] = row
    threads = sorted({count for cells in lines.values() for count in cells})
    header = ["function", "", "shape"]
    for count in threads:
        header += [f"ms, {count} thread{'s' * (count > 1)}", "torch.fft", "times"]
    table = [header, ["---"] * 3 + ["---:"] * (3 * len(threads))]
    for (op, direction, shape), cells in lines.items():
        line = [f"`{op}`", direction, shape]
        for count in threads:
            cell = cells.get(count)
            line += (
                ["", "", ""]
                if cell is None
                else [milliseconds(cell["ours"]), milliseconds(cell["baseline"]), f"**{cell['ratio']:.1f}**"]
            )
        table.append(line)
    caption = (
        f"{facts['cpu']}, {facts['instruction set']}, torch {facts['torch']} ({facts['torch.fft by']}), "
        f"{', '.join(sorted({row['dtype'] for row in results['rows']}))}."
    )
    return "\n".join([*(f"| {' | '.join(line)} |" for line in table), "", caption])


def rewrite_readme(readme: Path, results: Path) -> None:
    """Puts the table between the markers; ValueError where there are none, or no results."""
    if not results.exists():
        raise ValueError(f"{results.name}: no such file; `python -m benchmarks` writes it")
    text = readme.read_text()
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{readme.name}: expected the markers {START} and {END}, in this order")
    try:
        table = readme_table(json.loads(results.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{results.name}: not results of `python -m benchmarks`: {error!r}") from error
    readme.write_text(f"{before}{START}\n{table}\n{END}{after}")
