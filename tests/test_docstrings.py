"""The examples in the docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import spectrans
from spectrans import functional, plot
from spectrans.layers import mixing

ROOT = Path(spectrans.__file__).parent
MODULES = sorted(
    ".".join(("spectrans", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
)
PUBLIC = [
    spectrans.backend,
    spectrans.explain,
    spectrans.monitor,
    *(getattr(functional, name) for name in functional.__all__),
    *(getattr(mixing, name) for name in mixing.__all__),
    *(getattr(plot, name) for name in plot.__all__),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name == "spectrans.plot":
        pytest.importorskip("matplotlib")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_documented(thing: object) -> None:
    documentation = inspect.getdoc(thing) or ""
    assert ">>>" in documentation
    assert "Parameters" in documentation
