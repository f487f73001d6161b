"""Fixtures of the whole suite: seeds, both backends, and what needs the native library."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

import spectrans
from spectrans import _native

#: The library of `make cuda-test`: the CUDA kernels' sources as C++, registered for the CPU.
if EMULATED := os.environ.get("SPECTRANS_EMULATED_OPS"):
    assert os.environ.get("SPECTRANS_NATIVE") == "0", "SPECTRANS_EMULATED_OPS needs SPECTRANS_NATIVE=0"
    torch.ops.load_library(EMULATED)
    _native._STATUS["ops_cpu"] = {"loaded": True, "path": EMULATED, "reason": None}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the library, what runs under ``backend("torch")`` is what runs there with it: once is enough."""
    if os.environ.get("SPECTRANS_NATIVE") == "0":
        again = [
            item for item in items if getattr(item, "callspec", None) and item.callspec.params.get("backend") == "torch"
        ]
        config.hook.pytest_deselected(items=again)
        items[:] = [item for item in items if item not in set(again)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["native", "torch"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once through the ops and once through the references, whether or not a library is loaded."""
    with spectrans.backend(request.param):
        yield request.param


@pytest.fixture
def native_library() -> None:
    """Skips the test where the CPU kernels are absent."""
    status = _native.status()["ops_cpu"]
    if not status["loaded"]:
        pytest.skip(f"CPU kernels not loaded: {status['reason']}")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Runs the test with one thread and with two."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
