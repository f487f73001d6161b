"""``python -m benchmarks``: measures, prints a table an op, and says which targets were missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import spectrans
from benchmarks import conv, filter, filter2d, mixing, modes, overheads, report
from benchmarks.measure import FULL, QUICK, Effort, Row, rows
from benchmarks.operation import OTHER_SHAPES, Operation, Shape

OPERATIONS: tuple[Operation, ...] = (
    *mixing.OPERATIONS,
    *filter.OPERATIONS,
    *filter2d.OPERATIONS,
    *conv.OPERATIONS,
    *modes.OPERATIONS,
)
NAMES = tuple(dict.fromkeys(operation.name for operation in OPERATIONS))
DTYPES = ("float32", "float64", "bfloat16", "float16")
THREADS = (1, 2)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "cpu.json"
README = ROOT / "README.md"
WIDTH = 160  # of tables that go to a file or a pipe

MISSED, UNUSABLE, INTERRUPTED = 1, 2, 130  # exit statuses; argparse's own is 2


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number, 1 or more, got {text!r}")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times the native kernels beside every sensible torch.fft composition, in turns in one process.",
        epilog=f"A run without arguments writes {RESULTS.relative_to(ROOT)}. Exit status: {MISSED} if --check finds a "
        f"target missed, {UNUSABLE} if there are no kernels to time.",
    )
    # Not `choices`: argparse would hold an empty list against them.
    parser.add_argument("ops", nargs="*", metavar="op", help=f"those to time (all): {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="the shapes with targets only, few rounds, no memory")
    parser.add_argument("--threads", nargs="+", type=positive, metavar="N", help="numbers of threads (1 2)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the tensors (float32)")
    parser.add_argument("--check", action="store_true", help=f"exit with status {MISSED} if a target is missed")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results here; with --readme, read them")
    parser.add_argument("--readme", action="store_true", help="measure nothing: put results into README.md")
    options = parser.parse_args(arguments)
    if unknown := [op for op in options.ops if op not in NAMES]:
        parser.error(f"op: expected some of {', '.join(NAMES)}, got {', '.join(unknown)}")
    options.limited = bool(options.ops or options.quick or options.threads or options.dtype)
    if options.readme and (options.limited or options.check):
        parser.error("--readme measures nothing: of the other arguments, only --json goes with it")
    if options.json and not options.json.resolve().parent.is_dir():
        parser.error(f"--json: no such directory: {options.json.parent}")
    return options


def nothing_to_time() -> str | None:
    """Why a run would compare torch with itself, or None."""
    facts = spectrans.info()
    native = facts["libraries"]["ops_cpu"]
    if not native["loaded"]:
        return str(native["reason"])
    return None if facts["backend"] == "native" else f"the backend is {facts['backend']!r}"


def measure(
    operations: Sequence[Operation],
    others: Sequence[Shape],  # besides those with targets
    dtype: torch.dtype,
    threads: Sequence[int],
    effort: Effort,
    console: Console,
) -> Iterator[Row]:
    """Every row; a table as soon as an op is done, or interrupted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        count = sum(len(operation.targets) + len(others) for operation in operations)
        task = progress.add_task("", total=count * len(threads))
        for _, directions in groupby(operations, key=lambda operation: operation.name):
            table: list[Row] = []
            try:
                for operation in directions:
                    for shape in (*operation.targets, *others):
                        what = f"{operation.name} {operation.direction} {report.dimensions(shape)}"
                        progress.update(task, description=what)
                        for row in rows(operation, shape, dtype, threads, effort):
                            table.append(row)
                            progress.advance(task)
            finally:
                if table:
                    console.print(report.operation_table(table))
            yield from table


def fixed_costs(effort: Effort) -> Iterator[overheads.Overhead]:
    yield from overheads.calls(effort.rounds)
    if effort is FULL:
        yield overheads.imports(5)


def verdict(results: Iterable[Row]) -> tuple[str, bool]:
    """What to say of the targets, and whether any was missed."""
    aimed = [row for row in results if row.target is not None]
    misses = [report.sentence(row) for row in aimed if row.missed]
    if not misses:
        return f"all {len(aimed)} targets met", False
    return "\n".join([f"{len(misses)} of {len(aimed)} targets missed:", *misses]), True


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.readme:
        try:
            report.rewrite_readme(README, options.json or RESULTS)
        except ValueError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return UNUSABLE
        return 0
    if reason := nothing_to_time():
        print(f"benchmarks: no native kernels: torch would be compared with itself ({reason})", file=sys.stderr)
        return UNUSABLE

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    effort = QUICK if options.quick else FULL
    machine = report.machine()
    console.print(report.facts_table(machine))
    try:
        results = list(
            measure(
                [operation for operation in OPERATIONS if operation.name in (options.ops or NAMES)],
                () if options.quick else OTHER_SHAPES,
                getattr(torch, options.dtype or "float32"),
                list(dict.fromkeys(options.threads or THREADS)),
                effort,
                console,
            )
        )
        costs = [] if options.ops else list(fixed_costs(effort))
        if costs:
            console.print(report.overhead_table(costs))
    except KeyboardInterrupt:
        console.print("interrupted: no results were written")
        return INTERRUPTED

    if path := options.json or (None if options.limited else RESULTS):
        report.write_json(path, machine, results, costs)
        console.print(f"written: {path.name}")
    text, missed = verdict(results)
    console.print(text, highlight=False)
    return MISSED if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
