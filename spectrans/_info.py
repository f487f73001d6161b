"""What is installed and what runs: `spectrans.info`."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from spectrans import _backend, _native
from spectrans._version import __version__


def info() -> dict[str, Any]:
    """Versions, CPU features, libraries and backend, as plain data.

    Returns
    -------
    dict
        ``versions`` (spectrans, torch, python), ``build`` (native or not, the reason, the compiler), ``cpu``
        (features, the instruction set in use, those available, the one forced by ``SPECTRANS_CPU``), ``libraries``
        (for each: loaded, path, reason), ``backend``, ``threads`` and ``cuda`` (architectures, reason).

    Examples
    --------
    >>> import spectrans
    >>> facts = spectrans.info()
    >>> sorted(facts["libraries"])
    ['introspection', 'ops_cpu', 'ops_cuda']
    """
    cpu: dict[str, Any] = {"features": {}, "instruction_set": None, "available": []}
    introspection: dict[str, Any] = {"loaded": False, "path": None, "reason": None}
    if os.environ.get("SPECTRANS_NATIVE", "1") == "0":
        introspection["reason"] = "SPECTRANS_NATIVE=0"
    else:
        try:
            from spectrans import _C  # type: ignore[attr-defined]

            cpu = {
                "features": _C.cpu_features(),
                "instruction_set": _C.instruction_set(),
                "available": _C.available_instruction_sets(),
            }
            introspection.update(loaded=True, path=_C.__file__)
        except ImportError as error:
            introspection["reason"] = _native.build_facts()["reason"] or str(error)
    cpu["forced"] = os.environ.get("SPECTRANS_CPU") or None
    libraries = _native.status()
    return {
        "versions": {"spectrans": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "build": _native.build_facts(),
        "cpu": cpu,
        "libraries": {**libraries, "introspection": introspection},
        "backend": _backend.state.stack[-1],
        "threads": torch.get_num_threads(),
        "cuda": {"architectures": [], "reason": libraries["ops_cuda"]["reason"]},
    }
