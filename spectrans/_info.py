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
        (for each: loaded, path, reason), ``backend``, ``threads`` and ``cuda`` (the architectures compiled for, the
        toolkit's version, the reason why there are no kernels or why they are not loaded).

    Examples
    --------
    >>> import spectrans
    >>> facts = spectrans.info()
    >>> sorted(facts["libraries"])
    ['introspection', 'ops_cpu', 'ops_cuda']
    """
    module, introspection = _native.introspection()
    libraries, cuda = _native.status(), _native.cuda_build_facts()
    return {
        "versions": {"spectrans": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "build": {name: fact for name, fact in _native.build_facts().items() if name != "cuda"},
        "cpu": {
            "features": module.cpu_features() if module else {},
            "instruction_set": module.instruction_set() if module else None,
            "available": module.available_instruction_sets() if module else [],
            "forced": os.environ.get("SPECTRANS_CPU") or None,
        },
        "libraries": {**libraries, "introspection": introspection},
        "backend": _backend.state.stack[-1],
        "threads": torch.get_num_threads(),
        "cuda": {**cuda, "reason": cuda["reason"] or libraries["ops_cuda"]["reason"]},
    }
