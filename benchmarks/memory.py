"""Temporary memory of one call: the rise of the process's peak resident memory beyond what the call returns.

Counted by the kernel, so that nothing is missed: neither torch's allocations nor the scratch memory of a native
library, be it ours or the one beneath torch.fft. Each figure comes from a process of its own, forked from one that
has done nothing but import. There the call runs once, for a single item, in a thread that ends (and takes its scratch
with it), so that code and plans are loaded; then the peak is reset, and the call runs as it is timed.
The resolution is some tens of pages, 0.1 MiB or so.
"""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import re
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path

import torch

from benchmarks.operation import Contender, Shape, Tensors

PATIENCE = 300  # seconds: a process that was killed, for want of memory, say, never answers

_pool: Pool | None = None


def temporary_bytes(
    contender: Contender,
    inputs: Callable[[Shape, torch.dtype], Tensors],
    shape: Shape,
    dtype: torch.dtype,
    threads: int,
) -> int | None:
    """None where there is no Linux to ask."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    global _pool
    if _pool is None:
        context = multiprocessing.get_context("forkserver")
        # The last is what torch.autograd.grad imports when it is first given gradients.
        context.set_forkserver_preload(["benchmarks.memory", "spectrans", "torch.fx.experimental.symbolic_shapes"])
        _pool = context.Pool(1, signal.signal, (signal.SIGINT, signal.SIG_IGN), maxtasksperchild=1)
        atexit.register(_pool.terminate)
    return _pool.apply_async(_probe, (contender, inputs, shape, dtype, threads)).get(PATIENCE)


def _resident(field: str) -> int:
    """VmRSS or VmHWM, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@torch.no_grad()
def _once(contender: Contender, arguments: Tensors) -> None:
    contender(*arguments)


@torch.no_grad()
def _probe(
    contender: Contender,
    inputs: Callable[[Shape, torch.dtype], Tensors],
    shape: Shape,
    dtype: torch.dtype,
    threads: int,
) -> int:
    torch.set_num_threads(1)
    arguments = inputs(shape, dtype)
    rehearsal = threading.Thread(target=_once, args=(contender, inputs((1, *shape[1:]), dtype)))
    rehearsal.start()
    rehearsal.join()
    while Path(f"/proc/self/task/{rehearsal.native_id}").exists():  # join() does not wait for its last act: to free
        time.sleep(0.001)
    torch.set_num_threads(threads)
    ctypes.CDLL(None).malloc_trim(0)  # what malloc kept would hide what is about to be asked for
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _resident("VmRSS")
    outputs = contender(*arguments)
    return max(0, _resident("VmHWM") - before - sum(t.nbytes for t in outputs))
