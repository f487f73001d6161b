"""The benchmarks' own logic: targets, records, random shapes, and that every contender computes the same. No timing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("rich")

import spectrans
from benchmarks import __main__ as command
from benchmarks import measure, record, report, sweep
from benchmarks.measure import Row
from benchmarks.operation import SHAPES, Operation, Target
from benchmarks.overheads import Overhead
from benchmarks.record import Results
from benchmarks.sweep import Trial

OPERATIONS = pytest.mark.parametrize(
    "operation", command.OPERATIONS, ids=lambda operation: f"{operation.name}-{operation.direction}"
)


def row(**changes: Any) -> Row:
    whole = Row(
        op="spectral_filter",
        direction="forward",
        shape=(8, 512, 768),
        dtype="float32",
        threads=1,
        ours=2e-3,
        baseline=12e-3,
        baseline_name="rfft, mul_, irfft",
        ratio=6.0,
        floor=1e-3,
        target=Target(6.0, floor=2.0),
        bytes=2 * 4 * 8 * 512 * 768,
        bandwidth=2.5e10,
        flops=1e8,
        peak=1e11,
        error=1e-7,
        baseline_error=1e-7,
        temporary=1024,
        baseline_temporary=None,
        spread=1.0,
        seconds={"ours": 2e-3, "rfft, mul_, irfft": 12e-3},
    )
    return replace(whole, **changes)


def results() -> Results:
    lengths = [
        row(op=op, shape=(2, n, 256), target=None) for op in ("fourier_mixing", "spectral_filter") for n in (16, 17, 64)
    ]
    rows = [row(), row(threads=2, ratio=1.0), row(direction="forward+backward", target=None)]
    return Results({**report.machine(), "cpu": "a CPU"}, rows, lengths, [Overhead("a call", 1e-6, "fft2", 2e-6)])


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "misses"),
    [
        ({}, ()),  # reached exactly
        ({"ratio": 5.99}, ("ratio",)),
        ({"ours": 2.01e-3}, ("floor",)),
        ({"ours": 2.01e-3, "target": Target(6.0)}, ()),
        ({"error": 1.001e-7}, ()),  # within what two samples of one error differ by
        ({"error": 1.01e-7}, ("error",)),
        ({"error": 1.01e-7, "shape": (8, 16, 16)}, ()),  # a smaller sample
        ({"error": math.nan}, ("error",)),
        ({"ratio": 1.0, "ours": 1.0, "error": 1.0}, ("ratio", "floor", "error")),
        ({"ratio": 0.1, "error": 1.0, "target": None}, ()),
    ],
)
def test_misses(changes: dict[str, Any], misses: tuple[str, ...]) -> None:
    one = row(**changes)
    assert one.misses == misses
    assert one.missed == bool(misses)


def test_sentence_names_what_is_missed() -> None:
    said = report.sentence(row(ratio=5.0, ours=3e-3))
    assert "spectral_filter forward [8, 512, 768] float32 on 1 thread: " in said
    assert (
        "5.00 times as fast as 'rfft, mul_, irfft', target 6, which is 2.00 floors" in said
        and "3.00 floors, target 2" in said
    )
    assert "error" not in said


def test_verdict() -> None:
    assert report.verdict([row(), row(target=None, ratio=0.1)]) == ("all 1 targets met", False)
    text, missed = report.verdict([row(), row(ratio=5.0), swept([0.5, 9.0])])
    assert missed and text.startswith("2 of 3 targets missed:\n")


@pytest.mark.parametrize(
    ("name", "direction", "target"),
    [
        ("fourier_mixing", "forward", Target(6.0, floor=2.0)),
        ("spectral_filter", "forward", Target(6.0, floor=1.5)),
        ("spectral_filter", "forward+backward", Target(6.0)),
    ],
)
def test_targets_are_as_specified(name: str, direction: str, target: Target) -> None:
    (operation,) = (each for each in command.OPERATIONS if (each.name, each.direction) == (name, direction))
    assert {shape: operation.target(shape, torch.float32) for shape in SHAPES} == dict.fromkeys(SHAPES, target)
    if direction == "forward":
        assert {each.ratio for each in operation.bfloat16.values()} == {6.0}


@OPERATIONS
def test_every_operation_has_targets_and_a_unique_name(operation: Operation) -> None:
    assert operation.targets
    same = [each for each in command.OPERATIONS if (each.name, each.direction) == (operation.name, operation.direction)]
    assert same == [operation]


def test_plan_is_float32_and_what_bfloat16_has_targets_for() -> None:
    every = list(command.OPERATIONS)
    planned = command.plan(every, None, None)
    half = {operation.name for operation, dtype, _ in planned if dtype is torch.bfloat16}
    assert (
        half == {operation.name for operation in every if operation.bfloat16} >= {"fourier_mixing", "spectral_filter"}
    )
    assert all(operation.target(shape, dtype) is not None for operation, dtype, shape in planned)
    assert {dtype for _, dtype, _ in command.plan(every, torch.float64, 1)} == {torch.float64}
    assert len(command.plan(every, torch.float64, 1)) == len(every)


# -- contenders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "dtype"),
    [
        pytest.param(operation, dtype, id=f"{operation.name}-{operation.direction}-{dtype}")
        for operation in command.OPERATIONS
        for dtype in (torch.float32, torch.bfloat16)
        if (operation.bfloat16 or dtype is torch.float32)
    ],
)
@pytest.mark.parametrize("drawn", [(3, 12, 5), (2, 7, 4), (1, 1, 1), (2, 2, 3)])
def test_every_contender_computes_the_same(
    operation: Operation, dtype: torch.dtype, drawn: tuple[int, int, int]
) -> None:
    inputs = operation.inputs(drawn, dtype)
    contenders = operation.contenders(dtype)
    with torch.no_grad():
        measure.errors(operation, contenders, inputs)
        dtypes = {name: [y.dtype for y in contender(*inputs)] for name, contender in contenders.items()}
    assert all(each == dtypes["ours"] for each in dtypes.values())


def test_a_wrong_contender_is_not_timed() -> None:
    operation = command.OPERATIONS[0]
    with pytest.raises(AssertionError, match="'doubled' is off by"):
        measure.errors(
            operation,
            {"doubled": lambda x: tuple(2 * y for y in operation.oracle(x))},
            operation.inputs((2, 8, 4), torch.float32),
        )


@pytest.mark.parametrize(
    ("first", "others", "calls"),
    [(0.25, 0.25, 1 + 4), (0.9, 0.5, 1 + 2), (0.5, 2.0, 1 + 1), (3.0, 0.5, 1 + 2), (49.0, 48.0, 1 + 1), (51.0, 1, 1)],
)
def test_a_turn_is_of_many_short_calls_or_of_one_long(
    monkeypatch: pytest.MonkeyPatch, first: float, others: float, calls: int
) -> None:
    monkeypatch.setattr(measure, "LONG", 50 * measure.TURN)
    clock = [0.0]  # of each call, when it ended; in turns

    def contender() -> None:
        clock.append(clock[-1] + (first if len(clock) == 1 else others))

    monkeypatch.setattr(measure.time, "perf_counter", lambda: measure.TURN * clock[-1])
    assert measure.turn(contender) == pytest.approx(measure.TURN * (first if calls == 1 else others))
    assert len(clock) == 1 + calls


def test_race_names_a_composition_and_times_what_runs_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LONG", 0)  # turns of one call
    calls: list[str] = []
    contenders = {name: lambda name=name: calls.append(name) for name in ("ours", "a", "b", "c", "d")}
    effort = measure.Effort(heat=2, rounds=4, seconds=0)
    race = measure.race(contenders, effort, along={"copy": lambda: calls.append("copy")})
    assert race.baseline in "abcd"
    assert (calls.count("ours"), calls.count("copy")) == (1 + 4, 4)
    assert calls.count(race.baseline) in (1 + 4, 2 + 4)
    assert len(race.taken) <= 2 + measure.FINALISTS
    assert race.ratio == race.seconds(race.baseline) / race.seconds("ours")


# -- the sweep ---------------------------------------------------------------------------------------------------------


def swept(ratios: list[float]) -> sweep.Sweep:
    trials = [Trial((1, n + 1, 4), 1 + n % 2, 1.0, ratio, "fft", ratio) for n, ratio in enumerate(ratios)]
    return sweep.summary("fourier_mixing", "forward", "float32", trials)


def test_random_shapes_are_the_same_at_every_run() -> None:
    drawn = sweep.shapes(sweep.COUNT)
    assert len(drawn) == sweep.COUNT == 300
    assert sweep.shapes(20) == drawn[:20]
    batches, ns, ds = zip(*drawn, strict=True)
    assert min(batches) == 1 and max(batches) <= sweep.MOST and max(ns) <= sweep.LONGEST and max(ds) <= sweep.WIDEST
    assert max(math.prod(shape) for shape in drawn) <= sweep.LARGEST
    assert sum(sweep.prime(n) for n in ns) >= sweep.COUNT // 3
    assert min(ns) < 10 and max(ns) > 5_000 and min(ds) < 10 and max(ds) > 900


@pytest.mark.parametrize(("n", "is_prime"), [(1, False), (2, True), (9, False), (8191, True), (8192, False)])
def test_prime(n: int, is_prime: bool) -> None:
    assert sweep.prime(n) is is_prime


def test_summary() -> None:
    summary = swept([4.0, 1.0, 0.5, 32.0])
    assert (summary.shapes, summary.least, summary.below) == (4, 0.5, 1)
    assert summary.geometric_mean == pytest.approx(64**0.25)
    assert [trial.ratio for trial in summary.worst] == [0.5, 1.0, 4.0, 32.0]
    assert summary.ratios == [4.0, 1.0, 0.5, 32.0]


@pytest.mark.parametrize(
    ("ratios", "missed"), [([1.0, 9.0], False), ([0.99, 90.0], True), ([2.9, 3.0], True), ([3.0, 3.0], False)]
)
def test_sweep_target(ratios: list[float], missed: bool) -> None:
    assert swept(ratios).missed is missed


# -- records and what is made of them ----------------------------------------------------------------------------------


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "made" / "cpu.json"
    record.write(path, results())
    assert record.read(path) == results()
    assert sum(line.startswith('{"op"') for line in path.read_text().splitlines()) == 9  # a row a line


def test_json_keeps_four_digits(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    record.write(path, Results({}, [row(ours=1.23456789e-3)]))
    assert record.read(path).rows[0].ours == 1.235e-3


@pytest.mark.parametrize("text", [None, "not JSON", "[]", '{"machine": {}}', '{"machine": {}, "rows": [{}]}'])
def test_reading_something_else(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "cpu.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"cpu.json: n"):
        record.read(path)


def test_readme_table(tmp_path: Path) -> None:
    path, readme = tmp_path / "cpu.json", tmp_path / "README.md"
    record.write(path, results())
    readme.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    report.rewrite_readme(readme, [path])
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert (
        "| `spectral_filter` | forward | float32 | [8, 512, 768] | 2 | 12 | **6.0** | 2.0 | 2 | 12 | **1.0** | 2.0 |"
        in text
    )
    assert "forward+backward" not in text  # it has no target
    report.rewrite_readme(readme, [path])
    assert readme.read_text() == text
    report.rewrite_readme(readme, [path, path])
    assert readme.read_text().count("| function |") == 2
    with pytest.raises(ValueError, match="no results yet"):
        report.rewrite_readme(readme, [])


def test_readme_without_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    record.write(tmp_path / "cpu.json", results())
    with pytest.raises(ValueError, match="expected the markers"):
        report.rewrite_readme(readme, [tmp_path / "cpu.json"])
    assert readme.read_text() == "no markers"


def test_readme_sweeps(tmp_path: Path) -> None:
    readme, files = tmp_path / "README.md", [tmp_path / name for name in ("cpu.json", "a.json", "b.json")]
    trial = sweep.Trial((1, 2, 3), 1, 2.0, 1.0, "fft", 0.5)
    record.write(files[0], results())
    for path, name, ops in ((files[1], "avx512", ("f", "g")), (files[2], "avx2", ("g", "h"))):
        swept = [sweep.Sweep(op, "forward", "float32", 2, 1.44, 0.5, 1, [trial], [0.5, 4.147]) for op in ops]
        record.write_lines(path, {"instruction set": name}, {"sweeps": swept})
        assert record.read_sweeps(path).sweeps == swept
    readme.write_text(f"{report.START}\n{report.END}\nafter\n{report.SWEEPS_START}\nold\n{report.SWEEPS_END}\nlast\n")
    report.rewrite_readme(readme, files[:1], files[1:])
    text = readme.read_text()
    assert "after" in text and text.endswith("last\n") and "old" not in text
    assert "| function |  | avx512: times | least | torch ahead | avx2: times | least | torch ahead |" in text
    assert "| `f` | forward | **1.4** | 0.50 | 1 of 2 |  |  |  |" in text
    assert "| `g` | forward | **1.4** | 0.50 | 1 of 2 | **1.4** | 0.50 | 1 of 2 |" in text
    assert "| `h` | forward |  |  |  | **1.4** | 0.50 | 1 of 2 |" in text
    with pytest.raises(ValueError, match=r"cpu\.json: not results"):
        report.rewrite_readme(readme, files[:1], files[:1])
    assert readme.read_text() == text


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import plots

    pictures = plots.draw(results(), tmp_path)
    assert [picture.name for picture in pictures] == ["time.png", "ratio.png", "roofline.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    with pytest.raises(ValueError, match="without arguments"):
        plots.draw(Results({}), tmp_path)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Operation:
    """The only operation, at a small shape, with a target beyond reach."""
    operation = replace(command.OPERATIONS[0], targets={(2, 16, 8): Target(1e9)}, bfloat16={})
    monkeypatch.setattr(command, "OPERATIONS", (operation,))
    return operation


@pytest.fixture
def _threads_restored() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("native_library", "_threads_restored")
def test_quick_run(small: Operation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    arguments = [small.name, "--quick", "--json", str(path)]
    assert command.main(arguments) == 0
    assert command.main([*arguments, "--check"]) == command.MISSED
    rows = record.read(path).rows
    assert [(row.op, row.shape, row.threads) for row in rows] == [(small.name, (2, 16, 8), count) for count in (1, 2)]
    for row in rows:
        assert row.ratio == pytest.approx(row.baseline / row.ours, rel=1e-2)
        assert row.floor == pytest.approx(max(row.bytes / row.bandwidth, row.flops / row.peak), rel=1e-2)
        assert row.seconds.keys() == {"ours", *small.compositions}
    printed = capsys.readouterr().out
    assert "2 of 2 targets missed" in printed and "[2, 16, 8]" in printed


@pytest.mark.usefixtures("native_library", "_threads_restored")
def test_quick_sweep(
    small: Operation, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    monkeypatch.setattr(sweep, "LARGEST", 5000)
    monkeypatch.setattr(sweep, "LEAST", 1e9)
    monkeypatch.setattr(sweep, "AGAIN", sweep.BRIEF)
    monkeypatch.setattr(sweep, "QUICK_COUNT", 3)
    arguments = ["--sweep", "--quick", "--threads", "1", "--check", "--json", str(path)]
    assert command.main(arguments) == command.MISSED
    (one,) = json.loads(path.read_text())["sweeps"]
    assert len(one["ratios"]) == one["shapes"] == one["below"] == sweep.QUICK_COUNT
    assert small.name in capsys.readouterr().out


def test_without_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    with spectrans.backend("torch"):
        assert command.main(["--quick"]) == command.UNUSABLE
    assert "torch would be compared with itself" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--readme", "--plots"])
def test_nothing_to_read(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([flag, "--json", str(tmp_path / "absent.json")]) == command.UNUSABLE
    assert "absent.json: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "op: expected some of fourier_mixing, "),
        (["--threads", "0"], "expected a number, 1 or more, got '0'"),
        (["--readme", "--check"], "measure nothing"),
        (["--plots", "--sweep"], "measure nothing"),
        (["--json", "no/such/file.json"], "no such directory: no/such"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
