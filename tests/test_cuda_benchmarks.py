"""The CUDA benchmarks' own logic, with a clock that needs no GPU: what is timed, beside what, and what is recorded."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("rich")

from rich.console import Console

from benchmarks import cuda, record


def by_turns() -> cuda.Clock:
    """A clock that never says the same twice, and says less of ours."""
    ticks = itertools.count(1)

    def clock(call: Callable[[], object], count: int) -> float:
        call()
        return (1 if getattr(call, "contender", None) in OURS else 10) * 1e-6 * (100 + next(ticks))

    return clock


OURS = {case.operation.ours for case in cuda.cases()}


def small(case: cuda.Case) -> cuda.Case:
    batch, n, _ = case.shape
    n = 12 if case.operation.name == "spectral_filter2d" else max(8, n // 128)
    return replace(case, shape=(min(batch, 3), n, 16))


@pytest.mark.parametrize("case", cuda.cases(), ids=lambda c: f"{c.operation.name}-{c.operation.direction}-{c.dtype}")
def test_every_cuda_case_can_be_measured(case: cuda.Case) -> None:
    measured = cuda.row(small(case), by_turns(), cache=4096, rounds=3)
    assert measured.op == case.operation.name and measured.dtype in str(case.dtype)
    assert measured.implementation == "native" or "loaded" in measured.implementation
    assert measured.baseline == min(t for name, t in measured.seconds.items() if name not in ("ours", "copy"))
    assert measured.floor > 0 and measured.ratio == measured.baseline / measured.ours > 1
    assert measured.error <= 0.01


def test_cuda_targets_are_those_aimed_at() -> None:
    found = {
        (case.operation.name, case.shape, str(case.dtype)[6:]): (case.target.ratio, case.target.floor)
        for case in cuda.cases()
        if case.target
    }
    assert found == {
        **{("fourier_mixing", shape, "float32"): (4.0, 2.2) for shape in ((32, 512, 768), (64, 1024, 1024))},
        **{("fourier_mixing", shape, "bfloat16"): (6.0, None) for shape in ((32, 512, 768), (64, 1024, 1024))},
        **{("spectral_filter", (64, 2**k, 768), "float32"): (5.0, 1.5) for k in range(7, 13)},
        **{("spectral_filter", (64, 2**k, 768), "bfloat16"): (8.0, 2.0) for k in range(7, 13)},
        ("spectral_filter2d", (256, 196, 384), "float32"): (5.0, 1.5),
        ("fft_conv", (64, 1024, 768), "bfloat16"): (7.9, None),
        ("fft_conv", (64, 4096, 768), "bfloat16"): (6.6, None),
        ("fft_conv", (64, 16384, 768), "bfloat16"): (2.5, None),
        ("energy_error", (64, 1024, 768), "float32"): (3.0, 1.15),
    }


def test_cuda_floor_is_a_copy_of_what_goes_in_and_out() -> None:
    case = small(next(case for case in cuda.cases() if case.operation.name == "spectral_filter"))
    measured = cuda.row(case, lambda call, count: 2.0, cache=1, rounds=1)
    x, response = cuda.draw(case.operation, case.shape, case.dtype)
    assert measured.floor == pytest.approx(2.0 * (2 * x.nbytes + response.nbytes) / (2 * x.nbytes))
    assert measured.floors == pytest.approx(measured.ours / measured.floor)


def test_cuda_misses() -> None:
    case = small(next(case for case in cuda.cases() if case.operation.name == "spectral_filter"))
    measured = cuda.row(case, by_turns(), cache=1, rounds=1)
    assert replace(measured, ratio=5.0, floor=measured.ours).misses == ()
    assert replace(measured, ratio=4.9, floor=measured.ours).misses == ("ratio",)
    assert replace(measured, ratio=4.9, floor=measured.ours / 2).misses == ("ratio", "floor")
    assert replace(measured, target=None).misses == ()


def test_rotation_goes_through_all_inputs_and_keeps_their_results() -> None:
    seen: list[int] = []
    rotation = cuda.Rotation(lambda x: seen.append(int(x)) or (x,), [(torch.tensor(i),) for i in range(3)])
    for _ in range(4):
        rotation()
    assert seen == [1, 2, 0, 1] and len(rotation.results) == 3


def test_a_cuda_case_that_fails_is_left_out_and_told() -> None:
    case = small(cuda.cases()[0])
    wrong = replace(case, operation=replace(case.operation, ours=lambda x, h: (2 * x,)))
    console = Console(file=io.StringIO(), width=200)
    rows = cuda.measure([wrong, case], 60.0, by_turns(), 1, console)
    assert [row.op for row in rows] == ["spectral_filter"] and "'ours' is off by" in console.file.getvalue()
    assert cuda.measure([case], -1.0, by_turns(), 1, console) == [] and "no time" in console.file.getvalue()


def test_cuda_table_and_record(tmp_path: Path) -> None:
    rows = [cuda.row(small(case), by_turns(), cache=1, rounds=1) for case in cuda.cases()[:2]]
    console = Console(file=io.StringIO(), width=200)
    console.print(cuda.table(rows))
    assert "spectral_filter" in console.file.getvalue() and "bfloat16" in console.file.getvalue()
    record.write_lines(tmp_path / "gpu.json", {"gpu": "none"}, {"rows": rows, "overheads": cuda.overheads(1, 2)})
    parsed = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["dtype"] for row in parsed["rows"]] == ["float32", "bfloat16"] and len(parsed["overheads"]) == 2


def test_cuda_benchmarks_say_why_they_cannot_run(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("they can")
    assert cuda.main([]) == 2
    assert "no CUDA device is available" in capsys.readouterr().err
