"""Which implementation a call runs, and why: read from the dispatcher, not from a table of intentions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spectrans._native import status
from spectrans.ops.library import watched

__all__ = ["Explanation", "Step", "explain"]


@dataclass(frozen=True)
class Step:
    """One operation of a call.

    Attributes
    ----------
    op : str
        ``"spectrans::mixing"`` and its like, or the aten name of an FFT called from outside those.
    implementation : str
        ``"native"``, a kernel of this package; ``"reference"``, the torch.fft composition of the op; ``"torch.fft"``,
        a plain FFT call that no spectrans op stands for; ``"fake"``, shapes only.
    reason : str
        Why that one.
    device, dtype : str
        Of the first tensor argument.
    shape : tuple of int
        Likewise.
    """

    op: str
    implementation: str
    reason: str
    device: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.op} {list(self.shape)} {self.dtype} {self.device}: {self.implementation} ({self.reason})"


@dataclass(frozen=True)
class Explanation:
    """The operations of one call, in order; ``str()`` gives one line for each."""

    steps: tuple[Step, ...]

    @property
    def native(self) -> bool:
        """Whether every step runs a native kernel (and there is one)."""
        return bool(self.steps) and all(step.implementation == "native" for step in self.steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps)) or "no spectral operation"


def choice(op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, str]:
    """The implementation that a call of `op` ("spectrans::...") runs, and the reason."""
    device = args[0].device
    if device.type == "meta":
        return "fake", "a meta tensor has no data"
    key = torch._C._dispatch_key_for_device(device.type)
    if not torch._C._dispatch_has_kernel_for_dispatch_key(op, key):
        return "reference", _why_no_kernel(device)
    if torch._C._dispatch_has_kernel_for_dispatch_key(f"{op}_why_not", key):
        why_not = getattr(torch.ops.spectrans, f"{op.removeprefix('spectrans::')}_why_not").default
        if reason := why_not(*args, **kwargs):
            return "reference", reason
    return "native", f"a {key} kernel is registered"


def _why_no_kernel(device: torch.device) -> str:
    library = status().get(f"ops_{device.type}")
    if library is None:
        return f"no native kernels exist for {device.type}"
    if library["loaded"]:
        return f"the loaded library has no {device.type} kernel for this op"
    return f"the {device.type} kernel library is not loaded: {library['reason']}"


class _Recorder(TorchDispatchMode):
    """Notes every spectrans op that reaches the dispatcher, and every FFT that belongs to none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._inside_reference = False

    def _note(self, op: str, implementation: str, reason: str, args: tuple[Any, ...]) -> None:
        first = next(a for a in args if isinstance(a, Tensor))
        dtype = str(first.dtype).removeprefix("torch.")
        self.steps.append(Step(op, implementation, reason, str(first.device), dtype, tuple(first.shape)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func._schema.name
        if func.namespace == "spectrans":
            self._note(name, *choice(name, args, kwargs or {}), args)
        elif name.startswith("aten::_fft_") and not self._inside_reference:
            self._note(name, "torch.fft", "called by autograd or by the caller, not by a spectrans op", args)
        return func(*args, **(kwargs or {}))

    def reference(self, op: Any, reason: str, function: Callable[..., Any], *args: Any) -> Any:
        self._note(op._schema.name, "reference", reason, args)
        self._inside_reference = True
        try:
            return function(*args)
        finally:
            self._inside_reference = False


def explain(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Run a call and tell which implementation each of its spectral operations used, and why.

    The call is really made, once, on the arguments given: the answer comes from what reached PyTorch's dispatcher.
    The state of the CPU's random generator is put back. Under ``torch.compile`` there is nothing to see: explain the
    function that was compiled.

    Parameters
    ----------
    fn : callable
        A function of :mod:`spectrans.functional`, a layer, or anything that calls them, ``backward()`` included.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    Explanation
        Its ``steps`` name, for each operation, the implementation ("native", "reference", "torch.fft" or "fake") and
        the reason.

    Examples
    --------
    >>> import torch, spectrans
    >>> with spectrans.backend("torch"):
    ...     print(spectrans.explain(spectrans.functional.fourier_mixing, torch.randn(2, 8, 4)))
    spectrans::mixing [2, 8, 4] float32 cpu: reference (spectrans.backend('torch') is in force)
    """
    if not callable(fn):
        raise TypeError(f"fn: expected a callable, got {type(fn).__name__}")
    recorder = _Recorder()
    previous, watched.observer = watched.observer, recorder.reference
    try:
        with torch.random.fork_rng(devices=[]), recorder:
            fn(*args, **kwargs)
    finally:
        watched.observer = previous
    return Explanation(tuple(recorder.steps))
