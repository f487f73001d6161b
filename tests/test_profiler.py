"""The profiler: what it times and shows, at sizes that take no time; never how long it took."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from spectrans import profiler
from spectrans.profiler import FUNCTIONS, LAYERS, profile

SETTINGS = {"AFNOMixing": {"num_blocks": 2}}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", [*FUNCTIONS, *LAYERS])
def test_everything_can_be_profiled(name: str, backward: bool) -> None:
    result = profile(name, (2, 12, 4), threads=[1], backward=backward, seconds=0.0, **SETTINGS.get(name, {}))
    assert result.explanation.steps
    (timing,) = result.timings
    assert timing.native > 0 and timing.torch > 0 and timing.ratio == timing.torch / timing.native
    first, header, row, *ran = str(result).splitlines()
    assert first == f"{name} [2, 12, 4] float32 cpu, forward{' and backward' if backward else ''}"
    assert header.split("  ")[-1].strip() == "ratio" and re.search(r"1 +\S+ ± \S+ +\S+ ± \S+ +\S+$", row)
    assert ran == [f"ran {step}" for step in result.explanation.steps]


@pytest.mark.parametrize(
    ("name", "settings", "shape"),
    [
        ("spectral_filter", {"dim": -1}, (2, 4, 12)),
        ("spectral_filter2d", {"grid": (2, 6)}, (2, 12, 4)),
        ("fft_conv", {"taps": 5, "causal": False}, (2, 12, 4)),
        ("fft_conv", {"taps": 5, "dim": -1}, (2, 4, 12)),
        ("rfft_modes", {"modes": 3, "dim": 2}, (2, 4, 12)),
        ("irfft_modes", {"modes": 3}, (2, 12, 4)),
        ("AFNOMixing", {"grid": (3, 4), "num_blocks": 4}, (2, 12, 4)),
        ("GlobalFilterMixing", {"activation": "tanh"}, (2, 12, 4)),
    ],
    ids=str,
)
def test_settings(name: str, settings: dict[str, object], shape: tuple[int, ...]) -> None:
    result = profile(name, shape, dtype=torch.float64, threads=[1], seconds=0.0, **settings)
    assert result.shape == shape and result.dtype == "float64"


def test_the_kernels_are_what_is_timed(native_library: None) -> None:
    steps = profile("fourier_mixing", (2, 12, 4), threads=[1, 2], seconds=0.0).explanation.steps
    assert [(step.op, step.implementation) for step in steps] == [("spectrans::mixing", "native")]


def test_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    result = profile("fourier_mixing", (2, 12, 4), threads=[3, 1], seconds=0.0)
    assert [timing.threads for timing in result.timings] == [3, 1]
    assert torch.get_num_threads() == before
    assert profile("energy", (2, 12, 4), seconds=0.0).timings[0].threads == before


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (("fft", (2, 3, 4)), {}, ValueError, "name: expected one of energy, energy_error"),
        ((3, (2, 3, 4)), {}, TypeError, "name: expected a string, got int"),
        (("energy", (3,)), {}, ValueError, "shape: expected at least 2 sizes [..., n, d], got (3,)"),
        (("energy", (3, 0)), {}, ValueError, "shape: expected 1 or more, got 0"),
        (
            ("energy", (3, 4)),
            {"dtype": torch.int32},
            TypeError,
            "dtype: expected float16, bfloat16, float32 or float64",
        ),
        (("energy", (3, 4)), {"threads": [0]}, ValueError, "threads: expected 1 or more, got 0"),
        (("energy", (3, 4)), {"threads": []}, ValueError, "threads: expected one number or more, got none"),
        (("energy", (3, 4)), {"backward": 1}, TypeError, "backward: expected a bool, got int"),
        (("energy", (3, 4)), {"seconds": -1.0}, ValueError, "seconds: expected 0 or more, got -1.0"),
        (("rfft_modes", (3, 4)), {"modes": 9}, ValueError, "modes: expected 1 to 2 (n//2+1) for n=3, got 9"),
        (("fft_conv", (3, 4)), {"taps": 1.5}, TypeError, "taps: expected an int, got float"),
        (("AFNOMixing", (3, 4)), {}, ValueError, "num_blocks: expected a divisor of hidden_dim=4, got 8"),
    ],
    ids=str,
)
def test_errors(arguments: tuple[object, ...], settings: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        profile(*arguments, **settings)


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "irfft_modes --shape 2 12 4 --dtype bfloat16 --threads 1 2 --backward --seconds 0 --set modes=3 norm=ortho"
    )
    profiler.main(arguments.split())
    shown = " ".join(capsys.readouterr().out.split())
    assert "irfft_modes [2, 12, 4] bfloat16 cpu, forward and backward" in shown
    assert "ran spectrans::modes_inverse [2, 3, 4] complex64 cpu" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fft", "name: expected one of"),
        ("energy --dtype int8", "expected one of bfloat16, float16, float32, float64, got 'int8'"),
        ("energy --set modes", "expected NAME=VALUE, got 'modes'"),
        ("GlobalFilterMixing --shape 2 12 4 --set activation=relu", "activation: expected 'sigmoid'"),
        ("GlobalFilterMixing --shape 2 12 4 --set colour=3", "unexpected keyword argument 'colour'"),
    ],
)
def test_command_line_errors(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        profiler.main(arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_rich(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rich", "rich.console", "rich.table", "rich.text"):
        monkeypatch.setitem(sys.modules, name, None)
    profiler.main(["energy", "--shape", "3", "4", "--seconds", "0"])
    shown = capsys.readouterr().out
    assert shown.startswith("energy [3, 4] float32 cpu, forward\n") and "ran spectrans::energy" in shown
