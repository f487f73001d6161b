"""``python -m benchmarks``: measures, prints a table an op, and says which targets were missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import spectrans
from benchmarks import lengths, overheads, record, report, sweep
from benchmarks.measure import FULL, QUICK, Effort, Row, rows
from benchmarks.operation import Operation, Shape
from benchmarks.record import Results
from benchmarks.sweep import Sweep

#: Modules here that have OPERATIONS, in the order of the tables.
ROOMS = (
    "mixing",
    "filter",
    "filter2d",
    "filter_plane",
    "conv",
    "modes",
    "norms",
)
OPERATIONS: tuple[Operation, ...] = tuple(
    operation for room in ROOMS for operation in import_module(f"benchmarks.{room}").OPERATIONS
)
NAMES = tuple(dict.fromkeys(operation.name for operation in OPERATIONS))
DTYPES = ("float32", "float64", "bfloat16", "float16")
THREADS = (1, 2)
QUICK_SHAPES = 2  # of each operation

ROOT = Path(__file__).resolve().parent.parent
SET = spectrans.info()["cpu"]["instruction_set"]  # what others measure is kept beside
RESULTS = ROOT / "benchmarks" / "results" / f"cpu-{SET}.json"
SWEPT = RESULTS.with_name(f"sweep-{SET}.json")
README = ROOT / "README.md"
PICTURES = ROOT / "docs" / "pictures"
WIDTH = 170  # of tables that go to a file or a pipe

MISSED, UNUSABLE, INTERRUPTED = 1, 2, 130  # exit statuses; argparse's own is 2

# -- the command line --------------------------------------------------------------------------------------------------


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number, 1 or more, got {text!r}")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times the native kernels beside every sensible torch.fft composition, in turns in one process.",
        epilog=f"A run without arguments takes some ten minutes, writes {RESULTS.relative_to(ROOT)} and draws the "
        f"pictures in {PICTURES.relative_to(ROOT)}; --sweep alone writes {SWEPT.relative_to(ROOT)}. Exit status: "
        f"{MISSED} if --check finds a target missed, {UNUSABLE} if there are no kernels to time.",
    )
    # Not `choices`: argparse would hold an empty list against them.
    parser.add_argument("ops", nargs="*", metavar="op", help=f"those to time (all): {', '.join(NAMES)}")
    parser.add_argument("--sweep", action="store_true", help=f"{sweep.COUNT} random shapes instead of the chosen ones")
    parser.add_argument("--quick", action="store_true", help="few shapes and rounds, no memory; less than a minute")
    parser.add_argument("--threads", nargs="+", type=positive, metavar="N", help="numbers of threads (1 2)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the tensors (float32; bfloat16 too where it has targets)")
    parser.add_argument("--check", action="store_true", help=f"exit with status {MISSED} if a target is missed")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results here; read them, if not measuring")
    parser.add_argument("--plots", action="store_true", help="measure nothing: draw the pictures from results")
    parser.add_argument("--readme", action="store_true", help="measure nothing: put results into README.md")
    options = parser.parse_args(arguments)
    if unknown := [op for op in options.ops if op not in NAMES]:
        parser.error(f"op: expected some of {', '.join(NAMES)}, got {', '.join(unknown)}")
    options.limited = bool(options.ops or options.quick or options.threads or options.dtype)
    if (options.readme or options.plots) and (options.limited or options.check or options.sweep):
        parser.error("--plots and --readme measure nothing: of the other arguments, only --json goes with them")
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


# -- measuring, with a progress bar ------------------------------------------------------------------------------------


def progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def description(operation: Operation, shape: Shape | None = None) -> str:
    return f"{operation.name} {operation.direction} {report.dimensions(shape) if shape else ''}"


def plan(
    operations: Sequence[Operation], dtype: torch.dtype | None, most: int | None
) -> list[tuple[Operation, torch.dtype, Shape]]:
    """What to time, in the order of the tables: float32, and bfloat16 where it has targets, unless told otherwise."""
    result = []
    for _, directions in groupby(operations, key=lambda operation: operation.name):
        together = list(directions)
        for each in [dtype] if dtype else [torch.float32, torch.bfloat16]:
            for operation in together:
                if dtype or each is torch.float32 or operation.bfloat16:
                    result += [(operation, each, shape) for shape in operation.shapes(each)[:most]]
    return result


def measure(
    planned: Sequence[tuple[Operation, torch.dtype, Shape]], threads: Sequence[int], effort: Effort, console: Console
) -> Iterator[Row]:
    """Every row; a table as soon as an op is done, or interrupted."""
    with progress_bar(console) as progress:
        task = progress.add_task("", total=len(planned) * len(threads))
        for _, of_one_table in groupby(planned, key=lambda each: (each[0].name, each[1])):
            table: list[Row] = []
            try:
                for operation, dtype, shape in of_one_table:
                    progress.update(task, description=description(operation, shape))
                    for row in rows(operation, shape, dtype, threads, effort):
                        table.append(row)
                        progress.advance(task)
            finally:
                if table:
                    console.print(report.operation_table(table))
            yield from table


def measure_lengths(operations: Sequence[Operation], console: Console) -> Iterator[Row]:
    drawn = list(filter(lengths.drawn, operations))
    with progress_bar(console) as progress:
        task = progress.add_task("time against n", total=len(drawn) * len(lengths.shapes()))
        for row in lengths.over(drawn, torch.float32):
            yield row
            progress.advance(task)


def measure_sweep(
    operations: Sequence[Operation], dtype: torch.dtype, threads: Sequence[int], count: int, console: Console
) -> list[Sweep]:
    """The table is printed of whatever is done, even if interrupted."""
    swept = [operation for operation in operations if operation.sweep]
    done: list[Sweep] = []
    with progress_bar(console) as progress:
        task = progress.add_task("", total=len(swept) * count)
        try:
            for operation in swept:
                progress.update(task, description=description(operation))
                done.append(
                    sweep.over(operation, sweep.shapes(count), dtype, threads, advance=lambda: progress.advance(task))
                )
        finally:
            if done:
                console.print(report.sweep_table(done, threads))
    return done


def fixed_costs(effort: Effort) -> Iterator[overheads.Overhead]:
    yield from overheads.calls(effort.rounds)
    if effort is FULL:
        yield overheads.imports(5)


# -- the three things to do --------------------------------------------------------------------------------------------


def from_results(options: argparse.Namespace) -> None:
    """--readme and --plots; ValueError where there are no results."""
    if options.readme:
        everyones = sorted(RESULTS.parent.glob("cpu-*.json"), reverse=True)
        sweeps = sorted(RESULTS.parent.glob("sweep-*.json"), reverse=True)
        report.rewrite_readme(README, [options.json] if options.json else everyones, sweeps)
    if options.plots:
        draw(record.read(options.json or RESULTS))


def draw(results: Results) -> None:
    from benchmarks import plots  # matplotlib is slow to import, and needed nowhere else

    for picture in plots.draw(results, PICTURES):
        print(f"drawn: {picture.relative_to(ROOT)}")


def over_random_shapes(
    options: argparse.Namespace, operations: Sequence[Operation], facts: dict[str, str], console: Console
) -> list[Sweep]:
    count = sweep.QUICK_COUNT if options.quick else sweep.COUNT
    dtype = getattr(torch, options.dtype or "float32")
    sweeps = measure_sweep(operations, dtype, options.threads, count, console)
    if path := options.json or (None if options.limited else SWEPT):
        record.write_lines(path, facts, {"sweeps": sweeps})
        console.print(f"written: {path.name}")
    return sweeps


def over_chosen_shapes(
    options: argparse.Namespace, operations: Sequence[Operation], facts: dict[str, str], console: Console
) -> list[Row]:
    effort = QUICK if options.quick else FULL
    dtype = getattr(torch, options.dtype) if options.dtype else None
    planned = plan(operations, dtype, QUICK_SHAPES if options.quick else None)
    results = Results(facts, rows=list(measure(planned, options.threads, effort, console)))
    if not options.ops:
        results.overheads.extend(fixed_costs(effort))
        console.print(report.overhead_table(results.overheads))
    if not options.limited:
        results.lengths.extend(measure_lengths(operations, console))
    if path := options.json or (None if options.limited else RESULTS):
        record.write(path, results)
        console.print(f"written: {path.name}")
    if not options.limited:
        draw(results)
    return results.rows


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.readme or options.plots:
        try:
            from_results(options)
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
    options.threads = list(dict.fromkeys(options.threads or THREADS))
    operations = [operation for operation in OPERATIONS if operation.name in (options.ops or NAMES)]
    facts = report.machine()
    console.print(report.facts_table(facts))
    try:
        run = over_random_shapes if options.sweep else over_chosen_shapes
        results = run(options, operations, facts, console)
    except KeyboardInterrupt:
        console.print("interrupted: no results were written")
        return INTERRUPTED
    text, missed = report.verdict(results)
    console.print(text, highlight=False)
    return MISSED if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
