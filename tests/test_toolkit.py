"""What a build makes of the CUDA toolkit it finds, what ptxas says of kernels, and what gpu-check does in its time."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not TOOLS.is_dir():
        pytest.skip("the tests run away from the source tree")
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module(name)


@pytest.fixture
def toolkit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, on a machine without CUDA that asks for nothing."""
    for name in ("TORCH_CUDA_ARCH_LIST", "SPECTRANS_CUDA", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    found = module("toolkit", monkeypatch)
    monkeypatch.setattr(found, "USUAL", str(tmp_path / "usual"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return found


def install_nvcc(folder: Path, version: str, *architectures: int) -> str:
    """A script that answers as nvcc does; the folder that CUDA_HOME would name."""
    listed = "\\n".join(f"compute_{number}" for number in architectures)
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(
        "#!/bin/sh\n"
        f'case "$1" in --version) echo "Cuda compilation tools, release {version}, V{version}.99";;\n'
        f'--list-gpu-arch) printf "{listed}\\n";; esac\n'
    )
    nvcc.chmod(0o755)
    return str(folder)


# -- TORCH_CUDA_ARCH_LIST ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names", "codes"),
    [
        ("9.0", ("9.0",), ["90 sm_90"]),
        ("9.0;8.0+PTX", ("9.0", "8.0+PTX"), ["80 sm_90", "80 sm_80", "80 compute_80"]),
        ("8.0;12.0+PTX", ("8.0", "12.0+PTX"), ["80 sm_80", "80 sm_120", "80 compute_80"]),
        ("8.0 9.0a", ("8.0", "9.0a"), ["80 sm_80", "90a sm_90a"]),
        ("8.6, 10.0a+PTX", ("8.6", "10.0a+PTX"), ["86 sm_86", "100a sm_100a", "100a compute_100a"]),
        (" 10.0+PTX;; 12.0+PTX ;10.0+PTX; ", ("10.0+PTX", "12.0+PTX"), ["100 sm_100", "100 compute_100", "100 sm_120"]),
    ],
)
def test_architectures_as_torch_writes_them(
    toolkit: ModuleType, text: str, names: tuple[str, ...], codes: list[str]
) -> None:
    assert toolkit.parse_architectures(text) == names
    options = [f"-gencode=arch=compute_{code.replace(' ', ',code=')}" for code in codes]
    assert toolkit.Toolkit("nvcc", "13.0", names).options == options


@pytest.mark.parametrize("text", ["90", "sm_90", "Hopper", "9.0+ptx", "9.0;native"])
def test_other_architectures_are_refused(toolkit: ModuleType, text: str) -> None:
    with pytest.raises(SystemExit, match=r"TORCH_CUDA_ARCH_LIST: expected names like '9\.0'"):
        toolkit.parse_architectures(text)


# -- which toolkit, and what it compiles for ---------------------------------------------------------------------------

RECENT = (75, 80, 86, 90, 100, 103, 120, 121)


@pytest.mark.parametrize(
    ("version", "known", "wanted", "architectures"),
    [
        ("13.0", RECENT, "", ("8.0", "9.0", "10.0", "12.0+PTX")),
        ("12.4", (50, 80, 86, 89, 90), "", ("8.0", "9.0+PTX")),
        ("13.0", RECENT, "8.6 9.0a", ("8.6", "9.0a")),
        ("13.0", RECENT, "5.0 9.0+PTX", ("9.0+PTX",)),
    ],
)
def test_compiles_for_what_nvcc_knows(
    toolkit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    version: str,
    known: tuple[int, ...],
    wanted: str,
    architectures: tuple[str, ...],
) -> None:
    monkeypatch.setenv("CUDA_HOME", install_nvcc(tmp_path / "cuda", version, *known))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", wanted)
    found, reason = toolkit.find_toolkit()
    assert (found.version, found.architectures, reason) == (version, architectures, None)
    assert found.nvcc == str(tmp_path / "cuda" / "bin" / "nvcc")


def test_path_comes_first(toolkit: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_HOME", install_nvcc(tmp_path / "one", "12.8", *RECENT))
    monkeypatch.setenv("PATH", install_nvcc(tmp_path / "two", "13.0", *RECENT) + "/bin")
    assert toolkit.find_toolkit()[0].version == "13.0"


@pytest.mark.parametrize(
    ("nvcc", "wanted", "reason"),
    [
        (None, "", "no CUDA compiler was found at installation (looked for nvcc in PATH, CUDA_HOME, {usual})"),
        (("11.8", *RECENT), "", "nvcc must be at least 12.0, and the one found is 11.8"),
        (("13.0", *RECENT), "5.0 6.0", "nvcc 13.0 compiles for none of 5.0 6.0"),
    ],
)
def test_reasons_not_to_compile(
    toolkit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    nvcc: tuple[str, int] | None,
    wanted: str,
    reason: str,
) -> None:
    if nvcc is not None:
        monkeypatch.setenv("CUDA_HOME", install_nvcc(tmp_path / "cuda", *nvcc))
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", wanted)
    assert toolkit.find_toolkit() == (None, reason.format(usual=toolkit.USUAL))
    monkeypatch.setenv("SPECTRANS_CUDA", "1")
    with pytest.raises(SystemExit, match="SPECTRANS_CUDA=1 asked for a build with CUDA, but"):
        toolkit.find_toolkit()


def test_cuda_may_be_declined(toolkit: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_HOME", install_nvcc(tmp_path / "cuda", "13.0", *RECENT))
    monkeypatch.setenv("SPECTRANS_CUDA", "0")
    assert toolkit.find_toolkit() == (None, "SPECTRANS_CUDA=0 asked for a build without CUDA")
    monkeypatch.setenv("SPECTRANS_CUDA", "yes")
    with pytest.raises(SystemExit, match="SPECTRANS_CUDA must be '0' or '1', got 'yes'"):
        toolkit.find_toolkit()


# -- ptxas -------------------------------------------------------------------------------------------------------------

SAID = """\
ptxas info    : 0 bytes gmem, 72 bytes cmem[4]
ptxas info    : Compiling entry function '_ZN9spectrans4cuda5tightIfEEv10ParametersIT_E' for 'sm_90'
ptxas info    : Function properties for _ZN9spectrans4cuda5tightIfEEv10ParametersIT_E
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 1024 bytes smem, 912 bytes cmem[0]
ptxas info    : Compile time = 21.113 ms
ptxas info    : Compiling entry function '_Z5looseIdEvPT_' for 'sm_90'
ptxas info    : Function properties for _Z5looseIdEvPT_
    352 bytes stack frame, 348 bytes spill stores, 340 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 352 bytes cumulative stack size
ptxas info    : Function properties for _Z6calledv
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""


def test_what_ptxas_says(monkeypatch: pytest.MonkeyPatch) -> None:
    ptxas = module("ptxas", monkeypatch)
    tight, loose, called = ptxas.parse(SAID)
    assert (tight.registers, tight.shared, tight.stack, tight.spills, tight.architecture) == (128, 1024, 0, 0, "90")
    assert (loose.registers, loose.shared, loose.stack, loose.spills) == (32, 0, 352, 688)
    assert [kernel.in_memory for kernel in (tight, loose, called)] == [False, True, True]


def test_names_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    ptxas = module("ptxas", monkeypatch)
    if ptxas.shutil.which("c++filt") is None:
        pytest.skip("c++filt is not installed")
    anonymous = "_GLOBAL__N__b24e2b4a_9_filter_cu_0a1b2c3d_4567"  # as nvcc names it
    mangled = [f"_ZN9spectrans4cuda{len(anonymous)}{anonymous}11filter_evenIfEEvi", "_Z5looseIdEvPT_", "_Z6calledv"]
    assert ptxas.readable(mangled) == ["filter_even<float>", "loose<double>", "called"]


@pytest.mark.parametrize(("said", "status"), [(SAID, 1), (SAID[: SAID.index("ptxas info    : Compile time")], 0)])
def test_a_spill_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, status: int
) -> None:
    ptxas = module("ptxas", monkeypatch)
    monkeypatch.setattr(ptxas, "find_nvcc", lambda: "nvcc")
    monkeypatch.setattr(ptxas, "compiled", lambda *_: said)
    assert ptxas.main(["kernels.cu", "--arch", "9.0"]) == status
    assert "128" in capsys.readouterr().out


@pytest.mark.parametrize(("architectures", "compilations"), [(["9.0"], 0), (["8.0", "9.0"], 1)])
def test_what_the_build_kept_is_not_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, architectures: list[str], compilations: int
) -> None:
    ptxas = module("ptxas", monkeypatch)
    calls: list[object] = []
    monkeypatch.setattr(ptxas, "compiled", lambda *call: calls.append(call) or SAID)
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "filter.cu.o.ptxas").write_text(SAID + SAID.replace("sm_90", "sm_120"))
    found = ptxas.of_each(architectures, "nvcc", Path("filter.cu"), tmp_path)
    assert [kernel.architecture for kernel in found] == ["90"] * 3
    assert len(calls) == compilations


def test_nothing_to_check_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    ptxas = module("ptxas", monkeypatch)
    monkeypatch.setattr(ptxas, "find_nvcc", lambda: "nvcc")
    monkeypatch.setattr(ptxas, "compiled", lambda *_: "")
    with pytest.raises(SystemExit, match="nothing was checked"):
        ptxas.main(["kernels.cu"])


# -- gpu-check ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scripts", "outcome"),
    [
        (["exit 0", "exit 0"], "passed"),
        (["exit 0", "echo wrong; exit 3"], "failed"),
        (["exit 0", "sleep 60 & wait"], "stopped after 1 s"),
    ],
)
def test_outcome_of_commands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], scripts: list[str], outcome: str
) -> None:
    gpu_check = module("gpu_check", monkeypatch)
    begin = time.monotonic()
    assert gpu_check.run_together([["sh", "-c", script] for script in scripts], limit=1.0) == outcome
    assert ("wrong" in capfd.readouterr().out) == (outcome == "failed")
    assert time.monotonic() - begin < 30  # not the sleeper's minute


@pytest.mark.parametrize(
    ("outcomes", "run", "status"),
    [
        (["passed"] * 5, 5, 0),
        (["passed", "passed", "passed", "not run", "passed"], 5, 0),
        (["passed", "failed", "passed", "passed", "passed"], 5, 1),
        (["failed", "passed", "passed", "passed", "passed"], 1, 1),  # there is nothing to test
    ],
)
def test_parts_of_gpu_check(monkeypatch: pytest.MonkeyPatch, outcomes: list[str], run: int, status: int) -> None:
    gpu_check = module("gpu_check", monkeypatch)
    limits: list[float] = []
    answers = iter(outcomes)
    parts = tuple(
        (name, lambda limit: limits.append(limit) or next(answers), most) for name, _, most in gpu_check.PARTS
    )
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    monkeypatch.setattr(gpu_check, "architecture", lambda: "9.0")
    assert gpu_check.main() == status
    assert len(limits) == run
    assert all(limit <= most for limit, (_, _, most) in zip(limits, parts, strict=False))


def test_time_of_gpu_check(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each part takes all it may; the benchmarks still get theirs.
    gpu_check = module("gpu_check", monkeypatch)
    clock = [0.0]
    limits: dict[str, float] = {}

    def spend(name: str) -> Callable[[float], str]:
        def part(limit: float) -> str:
            limits[name] = limit
            clock[0] += limit
            return "passed"

        return part

    monkeypatch.setattr(gpu_check, "PARTS", tuple((name, spend(name), most) for name, _, most in gpu_check.PARTS))
    monkeypatch.setattr(gpu_check, "architecture", lambda: "9.0")
    monkeypatch.setattr(gpu_check.time, "monotonic", lambda: clock[0])
    assert gpu_check.main() == 0
    assert clock[0] <= 540
    assert limits["benchmarks"] >= 120
