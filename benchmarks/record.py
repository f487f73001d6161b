"""Results as JSON: times in seconds, memory in bytes, rates a second; a line a row, so that differences can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.measure import Row
from benchmarks.operation import Target
from benchmarks.overheads import Overhead
from benchmarks.sweep import Sweep, Trial

T = TypeVar("T")


@dataclass(frozen=True)
class Results:
    """Of a run; what it did not measure is empty."""

    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    lengths: list[Row] = field(default_factory=list)  # over n, for the pictures
    overheads: list[Overhead] = field(default_factory=list)


def rounded(value: Any) -> Any:
    """Floats to four digits: more would only be noise, and differences between files."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write_lines(path: Path, facts: dict[str, str], lists: dict[str, Iterable[Any]]) -> None:
    """The machine, then lists of dataclasses, an element a line."""
    parts = [f'"machine": {json.dumps(facts, indent=1)}']
    for name, elements in lists.items():
        lines = ",\n".join(json.dumps(rounded(asdict(element))) for element in elements)
        parts.append(f'"{name}": [\n{lines}\n]' if lines else f'"{name}": []')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def write(path: Path, results: Results) -> None:
    write_lines(
        path,
        results.machine,
        {"rows": results.rows, "lengths": results.lengths, "overheads": results.overheads},
    )


@dataclass(frozen=True)
class SweepResults:
    machine: dict[str, str]
    sweeps: list[Sweep]


def read(path: Path) -> Results:
    """ValueError where there is no such file, or something else in it."""
    return read_as(
        path,
        lambda parsed: Results(
            parsed["machine"],
            [row(each) for each in parsed["rows"]],
            [row(each) for each in parsed["lengths"]],
            [Overhead(**each) for each in parsed["overheads"]],
        ),
    )


def read_sweeps(path: Path) -> SweepResults:
    """The same of what --sweep wrote."""
    return read_as(path, lambda parsed: SweepResults(parsed["machine"], [swept(each) for each in parsed["sweeps"]]))


def read_as(path: Path, results: Callable[[Any], T]) -> T:
    if not path.exists():
        raise ValueError(f"{path.name}: no such file; `python -m benchmarks` writes it")
    try:
        return results(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: not results of `python -m benchmarks`: {error!r}") from error


def swept(parsed: dict[str, Any]) -> Sweep:
    worst = [Trial(**{**each, "shape": tuple(each["shape"])}) for each in parsed["worst"]]
    return Sweep(**{**parsed, "worst": worst})


def row(parsed: dict[str, Any]) -> Row:
    target = parsed["target"]
    return Row(**{**parsed, "shape": tuple(parsed["shape"]), "target": target and Target(**target)})
