"""Loads the native libraries once, at import; what does not load is recorded, never raised."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

_FOLDER = Path(__file__).resolve().parent


def build_facts() -> dict[str, Any]:
    """What the installation recorded about itself: ``native``, ``reason``, ``compiler``, ``torch``."""
    try:
        facts: dict[str, Any] = json.loads((_FOLDER / "_build.json").read_text())
    except (OSError, ValueError):
        return {"native": False, "reason": "spectrans was not installed by pip: there is no record of a build"}
    return facts


def _load_ops() -> dict[str, Any]:
    if os.environ.get("SPECTRANS_NATIVE", "1") == "0":
        return {"loaded": False, "path": None, "reason": "SPECTRANS_NATIVE=0"}
    found = sorted(_FOLDER.glob("_ops_cpu*.so"))
    if not found:
        reason = build_facts()["reason"] or "the library is missing from the package folder"
        return {"loaded": False, "path": None, "reason": reason}
    try:
        torch.ops.load_library(str(found[0]))
    except Exception as error:  # a truncated file, a missing symbol, a foreign ABI: torch.fft serves instead
        return {"loaded": False, "path": str(found[0]), "reason": f"{type(error).__name__}: {error}"}
    return {"loaded": True, "path": str(found[0]), "reason": None}


_STATUS: dict[str, dict[str, Any]] = {
    "ops_cpu": _load_ops(),
    "ops_cuda": {"loaded": False, "path": None, "reason": "this version has no CUDA kernels: torch.fft runs there"},
}


def status() -> dict[str, dict[str, Any]]:
    """For each op library: ``loaded``, ``path``, and the ``reason`` it did not load."""
    return {name: dict(facts) for name, facts in _STATUS.items()}
