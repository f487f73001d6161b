"""Spectral token mixing for PyTorch: FNet, GFNet and relatives, each in one fused native kernel.

Layers are in :mod:`spectrans.layers`, functions in :mod:`spectrans.functional`, figures in :mod:`spectrans.plot`.
:func:`spectrans.info` says what is installed, :func:`spectrans.explain` what a call would run,
:class:`spectrans.backend` chooses, :class:`spectrans.monitor` watches a model run.
"""

from __future__ import annotations

from spectrans import _native as _native  # loads the kernels, if there are any
from spectrans import functional, layers, plot
from spectrans._backend import backend
from spectrans._explain import explain
from spectrans._info import info
from spectrans._monitor import MonitorError, Record, monitor
from spectrans._version import __version__

__all__ = [
    "MonitorError",
    "Record",
    "__version__",
    "backend",
    "explain",
    "functional",
    "info",
    "layers",
    "monitor",
    "plot",
]
