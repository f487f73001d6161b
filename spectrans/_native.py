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
_KERNELS = {"cpu": ("libspectrans_kernels.so",), "cuda": ("libspectrans_kernels.so", "libspectrans_cuda_kernels.so")}


def build_facts() -> dict[str, Any]:
    """What the installation recorded about itself: ``native``, ``reason``, ``compiler``, ``torch``, ``cuda``."""
    try:
        facts = json.loads((_FOLDER / "_build.json").read_text())
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict) or not {"native", "reason"} <= facts.keys():
        return {"native": False, "reason": "spectrans was not installed by pip: there is no record of a build"}
    return facts


def cuda_build_facts() -> dict[str, Any]:
    """Of the CUDA kernels: ``architectures``, ``toolkit``, and the ``reason`` they were not compiled."""
    build = build_facts()
    facts = build.get("cuda")
    if not isinstance(facts, dict) or not {"architectures", "toolkit", "reason"} <= facts.keys():
        reason = build["reason"] or "there is no record of a build with CUDA"
        return {"architectures": [], "toolkit": None, "reason": reason}
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


def _absent(path: str | None, build_reason: str | None) -> str | None:
    """Why a library at `path` is not even tried."""
    asked = os.environ.get("SPECTRANS_NATIVE") or "1"
    if asked not in ("0", "1"):
        raise ValueError(f"SPECTRANS_NATIVE: expected '0' or '1', got {asked!r}")
    if asked == "0":
        return "SPECTRANS_NATIVE=0"
    if path is None:
        return build_reason or "the library is missing from the package folder"
    return None


def _unusable_cuda() -> str | None:
    """Why CUDA kernels would be of no use to this torch."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    toolkit = cuda_build_facts()["toolkit"]
    driver = int(torch._C._cuda_getDriverVersion())  # type: ignore[attr-defined]  # 12040 for CUDA 12.4; 0 where there is none
    if toolkit is not None and 0 < driver // 1000 < int(toolkit.split(".")[0]):
        supported = f"{driver // 1000}.{driver % 1000 // 10}"
        return f"the driver supports CUDA {supported}, and the kernels are compiled with CUDA {toolkit}"
    return None


def _load_ops(device: str) -> dict[str, Any]:
    path = next((str(found) for found in sorted(_FOLDER.glob(f"_ops_{device}*.so"))), None)
    facts, unusable = (cuda_build_facts(), _unusable_cuda()) if device == "cuda" else (build_facts(), None)
    if reason := unusable or _absent(path, facts["reason"]):
        return {"loaded": False, "path": None, "reason": reason}
    assert path is not None
    try:
        for library in (*_KERNELS[device], path):
            _expect_whole(_FOLDER / library)
        torch.ops.load_library(path)
    except Exception as error:  # a truncated file, a missing symbol, a foreign ABI: torch.fft serves instead
        return {"loaded": False, "path": path, "reason": _describe(error)}
    return {"loaded": True, "path": path, "reason": None}


def introspection() -> tuple[ModuleType | None, dict[str, Any]]:
    """The module ``spectrans._C``, loaded when first asked for, and its status."""
    path = next((str(found) for suffix in EXTENSION_SUFFIXES if (found := _FOLDER / f"_C{suffix}").exists()), None)
    if reason := _absent(path, build_facts()["reason"]):
        return None, {"loaded": False, "path": None, "reason": reason}
    assert path is not None
    try:
        for library in (*_KERNELS["cpu"], path):
            _expect_whole(_FOLDER / library)
        return importlib.import_module("spectrans._C"), {"loaded": True, "path": path, "reason": None}
    except Exception as error:
        return None, {"loaded": False, "path": path, "reason": _describe(error)}


_STATUS: dict[str, dict[str, Any]] = {f"ops_{device}": _load_ops(device) for device in ("cpu", "cuda")}


def status() -> dict[str, dict[str, Any]]:
    """For each op library: ``loaded``, ``path``, and the ``reason`` it did not load."""
    return {name: dict(facts) for name, facts in _STATUS.items()}
