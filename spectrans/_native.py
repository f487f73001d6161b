"""Loads the native libraries once, at import; what does not load is recorded, never raised."""

from __future__ import annotations

import importlib
import json
import os
import struct
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_FOLDER = Path(__file__).resolve().parent
_KERNELS = _FOLDER / "libspectrans_kernels.so"


def build_facts() -> dict[str, Any]:
    """What the installation recorded about itself: ``native``, ``reason``, ``compiler``, ``torch``."""
    try:
        facts = json.loads((_FOLDER / "_build.json").read_text())
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict) or not {"native", "reason"} <= facts.keys():
        return {"native": False, "reason": "spectrans was not installed by pip: there is no record of a build"}
    return facts


def _expect_whole(library: Path) -> None:
    """Raises OSError where a file ends before its ELF headers say: the loader would be killed by SIGBUS."""
    with library.open("rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":  # not 64-bit little-endian: the loader will say so
            return
        (table,), (entry, count) = struct.unpack_from("<Q", header, 32), struct.unpack_from("<HH", header, 54)
        file.seek(table)
        segments = file.read(entry * count)
    if len(segments) == entry * count:
        ends = (sum(struct.unpack_from("<Q24xQ", segments, at + 8)) for at in range(0, len(segments), entry))
        if library.stat().st_size >= max(ends, default=0):
            return
    raise OSError(f"{library.name} is cut short")


def _describe(error: Exception) -> str:
    cause = f": {error.__cause__}" if error.__cause__ is not None else ""
    return f"{type(error).__name__}: {error}{cause}"


def _absent(path: str | None) -> str | None:
    """Why a library at `path` is not even tried."""
    if os.environ.get("SPECTRANS_NATIVE", "1") == "0":
        return "SPECTRANS_NATIVE=0"
    if path is None:
        return build_facts()["reason"] or "the library is missing from the package folder"
    return None


def _load_ops() -> dict[str, Any]:
    path = next((str(found) for found in sorted(_FOLDER.glob("_ops_cpu*.so"))), None)
    if reason := _absent(path):
        return {"loaded": False, "path": None, "reason": reason}
    assert path is not None
    try:
        _expect_whole(_KERNELS)
        _expect_whole(Path(path))
        torch.ops.load_library(path)
    except Exception as error:  # a truncated file, a missing symbol, a foreign ABI: torch.fft serves instead
        return {"loaded": False, "path": path, "reason": _describe(error)}
    return {"loaded": True, "path": path, "reason": None}


def introspection() -> tuple[ModuleType | None, dict[str, Any]]:
    """The module ``spectrans._C``, loaded when first asked for, and its status."""
    path = next((str(found) for suffix in EXTENSION_SUFFIXES if (found := _FOLDER / f"_C{suffix}").exists()), None)
    if reason := _absent(path):
        return None, {"loaded": False, "path": None, "reason": reason}
    assert path is not None
    try:
        _expect_whole(_KERNELS)
        _expect_whole(Path(path))
        return importlib.import_module("spectrans._C"), {"loaded": True, "path": path, "reason": None}
    except Exception as error:
        return None, {"loaded": False, "path": path, "reason": _describe(error)}


_STATUS: dict[str, dict[str, Any]] = {
    "ops_cpu": _load_ops(),
    "ops_cuda": {"loaded": False, "path": None, "reason": "this version has no CUDA kernels: torch.fft runs there"},
}


def status() -> dict[str, dict[str, Any]]:
    """For each op library: ``loaded``, ``path``, and the ``reason`` it did not load."""
    return {name: dict(facts) for name, facts in _STATUS.items()}
