"""Fixtures of the whole suite: seeds, both backends, and what needs the native library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import spectrans
from spectrans import _native

#: The library of `make cuda-test`: the CUDA kernels' sources as C++, registered for the CPU.
if EMULATED := os.environ.get("SPECTRANS_EMULATED_OPS"):
    assert os.environ.get("SPECTRANS_NATIVE") == "0", "SPECTRANS_EMULATED_OPS needs SPECTRANS_NATIVE=0"
    torch.ops.load_library(EMULATED)
    _native._STATUS["ops_cpu"] = {"loaded": True, "path": EMULATED, "reason": None}


NONE = SimpleNamespace(params={})  # what a test without parameters has
ON_ANY_DEVICE = ("ops", "layers", "test_cuda.py")
#: About builds, reports and pictures: the outcome is the same whatever kernels there are.
WITHOUT_KERNELS = ("test_benchmarks.py", "test_build.py", "test_cuda_benchmarks.py", "test_plot.py", "test_toolkit.py")


def file_or_folder(item: pytest.Item) -> str:
    """Of the tests' folder, what a test is in."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="of the tensors; but for cpu, only tests/ops and tests/layers run")
    parser.addoption("--shard", default="1/1", metavar="K/N", help="the K-th of N parts of the tests")


def no_such_device(device: torch.device) -> str | None:
    if device.type == "cuda" and not torch.cuda.is_available():
        return "this torch is built without CUDA" if torch.version.cuda is None else "no CUDA device is available"
    return None


def pytest_configure(config: pytest.Config) -> None:
    device = torch.device(config.getoption("--device"))
    if device.type != "cpu" and no_such_device(device) is None:
        torch.set_default_device(device)  # before tests are collected: some make tensors then


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    device = torch.device(config.getoption("--device"))
    chosen = list(items)
    if device.type != "cpu":
        chosen = [item for item in chosen if file_or_folder(item) in ON_ANY_DEVICE]
        if reason := no_such_device(device):
            for item in chosen:
                item.add_marker(pytest.mark.skip(reason=reason))
    no_library = os.environ.get("SPECTRANS_NATIVE") == "0" and not EMULATED
    if no_library or EMULATED or os.environ.get("SPECTRANS_CPU"):
        # What knows nothing of the kernels was run with all of them: once is enough. So were the references, which
        # without any library are both backends; and nothing that is about a library is left then.
        known = ("torch", "native") if no_library else ("torch",)
        chosen = [item for item in chosen if file_or_folder(item) not in WITHOUT_KERNELS]
        chosen = [item for item in chosen if getattr(item, "callspec", NONE).params.get("backend") not in known]
        chosen = [item for item in chosen if not (no_library and "native_library" in item.fixturenames)]
    if EMULATED or os.environ.get("SPECTRANS_CPU"):  # by one thread, whatever their number; or as with the best set
        chosen = [item for item in chosen if getattr(item, "callspec", NONE).params.get("threads") != 1]
    part, parts = map(int, config.getoption("--shard").split("/"))
    chosen = chosen[part - 1 :: parts]
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


@pytest.fixture(autouse=True)
def _seeded() -> None:
    if torch.get_default_device().type == "cpu":
        torch.default_generator.manual_seed(0)  # torch.manual_seed formats a traceback for each other kind of device
    else:
        torch.manual_seed(0)


@pytest.fixture(params=["native", "torch"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once through the ops and once through the references, whether or not a library is loaded."""
    with spectrans.backend(request.param):
        yield request.param


@pytest.fixture
def native_library() -> None:
    """Skips the test where there are no kernels for the device in use."""
    device = torch.get_default_device().type
    status = _native.status()[f"ops_{device}"]
    if not status["loaded"]:
        pytest.skip(f"{device} kernels not loaded: {status['reason']}")


@pytest.fixture
def cpu_kernels(native_library: None) -> None:
    """Skips the test where other kernels than the CPU's are in use: what it holds them to is not promised of those."""
    if EMULATED or torch.get_default_device().type != "cpu":
        pytest.skip("about the CPU kernels")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Runs the test with one thread and with two."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
