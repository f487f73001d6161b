"""spectrans.info and `python -m spectrans`: what they tell is there, and true."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import spectrans
from spectrans import _native
from spectrans.__main__ import rows


def in_fresh_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def info_of_fresh_process(**environment: str) -> dict[str, Any]:
    done = in_fresh_process("-c", "import json, spectrans; print(json.dumps(spectrans.info()))", **environment)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_structure() -> None:
    facts = spectrans.info()
    assert sorted(facts) == ["backend", "build", "cpu", "cuda", "libraries", "threads", "versions"]
    assert sorted(facts["versions"]) == ["python", "spectrans", "torch"]
    assert {"native", "reason"} <= facts["build"].keys()
    assert sorted(facts["cpu"]) == ["available", "features", "forced", "instruction_set"]
    assert sorted(facts["cuda"]) == ["architectures", "reason", "toolkit"]
    for library in facts["libraries"].values():
        assert sorted(library) == ["loaded", "path", "reason"]


def test_is_plain_data_of_its_own() -> None:
    facts = spectrans.info()
    assert json.loads(json.dumps(facts)) == facts
    facts["libraries"]["ops_cpu"]["loaded"] = "changed by the caller"
    assert spectrans.info()["libraries"]["ops_cpu"]["loaded"] in (True, False)


def test_versions_and_threads() -> None:
    facts = spectrans.info()
    assert facts["versions"] == {
        "spectrans": spectrans.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    assert facts["threads"] == torch.get_num_threads()


def test_backend_is_the_one_in_force() -> None:
    for name in ("torch", "native"):
        with spectrans.backend(name):
            assert spectrans.info()["backend"] == name


def test_a_library_is_loaded_or_has_a_reason() -> None:
    for library in spectrans.info()["libraries"].values():
        if library["loaded"]:
            assert Path(library["path"]).is_file() and library["reason"] is None
        else:
            assert library["reason"]


def test_loaded_means_kernels_are_registered() -> None:
    registered = torch._C._dispatch_has_kernel_for_dispatch_key("spectrans::mixing", "CPU")
    assert spectrans.info()["libraries"]["ops_cpu"]["loaded"] == registered


def test_a_native_build_names_its_compiler(native_library: None) -> None:
    build = spectrans.info()["build"]
    assert build["native"] and build["reason"] is None and build["compiler"] and build["torch"]


def test_cpu(native_library: None) -> None:
    cpu = spectrans.info()["cpu"]
    assert cpu["available"][-1] == {"aarch64": "neon"}.get(platform.machine(), "baseline")
    assert cpu["instruction_set"] in cpu["available"]
    if not cpu["forced"]:
        assert cpu["instruction_set"] == cpu["available"][0]
    cpuinfo = Path("/proc/cpuinfo")
    word = {"x86_64": "flags", "aarch64": "Features"}.get(platform.machine())
    if word and cpuinfo.exists():
        (flags, *_) = [line for line in cpuinfo.read_text().split("\n") if line.startswith(word)]
        assert cpu["features"] == {name: name in flags.split() for name in cpu["features"]}
    if platform.machine() == "x86_64":
        assert ("avx2" in cpu["available"]) == all(cpu["features"][name] for name in ("avx2", "fma", "f16c"))
        assert ("avx512" in cpu["available"]) == all(cpu["features"].values())


def test_forced_instruction_set(native_library: None) -> None:
    available = spectrans.info()["cpu"]["available"]
    for name in available:
        cpu = info_of_fresh_process(SPECTRANS_CPU=name)["cpu"]
        assert cpu["instruction_set"] == cpu["forced"] == name
        assert cpu["available"] == available


def test_reasons_when_not_asked_for() -> None:
    facts = info_of_fresh_process(SPECTRANS_NATIVE="0")
    for name in ("ops_cpu", "introspection"):
        assert facts["libraries"][name] == {"loaded": False, "path": None, "reason": "SPECTRANS_NATIVE=0"}
    assert (facts["cpu"]["features"], facts["cpu"]["instruction_set"], facts["cpu"]["available"]) == ({}, None, [])


# What setup.py may leave behind, and what info() then says of the build.
NO_RECORD = {"native": False, "reason": "spectrans was not installed by pip: there is no record of a build"}
PURE = {"native": False, "reason": "no C++ compiler was found at installation"}


@pytest.mark.parametrize(
    ("record", "build"),
    [
        (None, NO_RECORD),
        (b"", NO_RECORD),
        (b"\xff\xfe{", NO_RECORD),
        (b"[]", NO_RECORD),
        (b'{"native": true}', NO_RECORD),
        (json.dumps(PURE).encode(), PURE),
    ],
)
def test_reasons_of_a_folder_without_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: bytes | None, build: dict[str, Any]
) -> None:
    if record is not None:
        (tmp_path / "_build.json").write_bytes(record)
    monkeypatch.setattr(_native, "_FOLDER", tmp_path)
    monkeypatch.setenv("SPECTRANS_NATIVE", "1")
    assert _native.build_facts() == build
    assert _native._load_ops("cpu") == {"loaded": False, "path": None, "reason": build["reason"]}


# -- CUDA --------------------------------------------------------------------------------------------------------------

COMPILED = {"native": True, "reason": None, "cuda": {"architectures": ["9.0"], "toolkit": "13.0", "reason": None}}
NO_NVCC = {"native": True, "reason": None, "cuda": {"architectures": [], "toolkit": None, "reason": "no nvcc"}}


@pytest.mark.parametrize(
    ("record", "of_torch", "driver", "reason"),
    [
        (COMPILED, None, 0, "this torch is built without CUDA"),
        (COMPILED, "12.8", 12080, "the driver supports CUDA 12.8, and the kernels are compiled with CUDA 13.0"),
        (COMPILED, "13.0", 13000, "the library is missing from the package folder"),
        (COMPILED, "12.8", 0, "the library is missing from the package folder"),  # no driver: nothing will run
        (NO_NVCC, "13.0", 13000, "no nvcc"),
        (PURE, "13.0", 13000, PURE["reason"]),
        ({"native": True, "reason": None}, "13.0", 13000, "there is no record of a build with CUDA"),
        (None, "13.0", 13000, NO_RECORD["reason"]),
    ],
)
def test_reasons_not_to_load_cuda(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record: dict[str, Any] | None,
    of_torch: str | None,
    driver: int,
    reason: str,
) -> None:
    if record is not None:
        (tmp_path / "_build.json").write_text(json.dumps(record))
    monkeypatch.setattr(_native, "_FOLDER", tmp_path)
    monkeypatch.setenv("SPECTRANS_NATIVE", "1")
    monkeypatch.setattr(torch.version, "cuda", of_torch)
    monkeypatch.setattr(torch._C, "_cuda_getDriverVersion", lambda: driver, raising=False)
    status = _native._load_ops("cuda")
    assert status == {"loaded": False, "path": None, "reason": reason}
    monkeypatch.setitem(_native._STATUS, "ops_cuda", status)
    told = spectrans.info()["cuda"]
    assert told["architectures"] == (["9.0"] if record is COMPILED else [])
    assert told["reason"] == reason
    assert "cuda" not in spectrans.info()["build"]


def test_cuda_is_loaded_where_torch_has_it() -> None:
    facts = spectrans.info()
    if torch.version.cuda is None:
        assert not facts["libraries"]["ops_cuda"]["loaded"]
        assert facts["cuda"]["reason"]
    registered = torch._C._dispatch_has_kernel_for_dispatch_key("spectrans::mixing", "CUDA")
    assert facts["libraries"]["ops_cuda"]["loaded"] == registered


# -- python -m spectrans -----------------------------------------------------------------------------------------------


def test_rows_are_the_leaves() -> None:
    facts = {"a": {"b": 1, "c": {"d": "x"}}, "e": None, "f": [], "g": ["p", "q"], "h": {"on": True, "off": False}}
    assert rows(facts) == [("a.b", "1"), ("a.c.d", "x"), ("f", "none"), ("g", "p q"), ("h", "on")]


def test_main_prints_every_fact() -> None:
    done = in_fresh_process("-m", "spectrans", COLUMNS="300")
    assert done.returncode == 0, done.stderr
    for name, value in rows(spectrans.info()):
        (line,) = [line for line in done.stdout.split("\n") if name in line.split()]
        assert value in line


def test_main_without_rich() -> None:
    code = "import sys, runpy; sys.modules['rich'] = None; runpy.run_module('spectrans', run_name='__main__')"
    done = in_fresh_process("-c", code, SPECTRANS_NATIVE="0")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.strip().split("\n"))
    assert lines["versions.torch"] == torch.__version__
    assert lines["libraries.ops_cpu.reason"] == "SPECTRANS_NATIVE=0"
