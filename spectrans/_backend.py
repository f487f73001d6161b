"""Which implementation the functions call: the dispatcher's native kernels, or the torch.fft references."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any

from spectrans.ops.library import call_op, call_reference, why_not_op

BACKENDS = ("native", "torch")


def _checked(name: object, source: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{source}: expected a string, 'native' or 'torch', got {type(name).__name__}")
    if name not in BACKENDS:
        raise ValueError(f"{source}: expected 'native' or 'torch', got {name!r}")
    return name


class _State(threading.local):
    # A thread-local rather than a ContextVar because torch.compile traces (and guards on) the former only.
    stack: tuple[str, ...] = (_checked(os.environ.get("SPECTRANS_BACKEND") or "native", "SPECTRANS_BACKEND"),)


state = _State()


def why_reference() -> str | None:
    """Why functions must call the references rather than the ops at the moment, or None: they call the ops."""
    if state.stack[-1] == "torch":
        return "spectrans.backend('torch') is in force"
    return why_not_op()


def run(op: Any, *args: Any) -> Any:
    """``op(*args)``, or where it must not be called its reference."""
    reason = why_reference()
    return call_op(op, *args) if reason is None else call_reference(op, reason, *args)


class backend:
    """Context manager that selects the implementation of every spectrans function called within.

    ``"native"`` (the default) goes through PyTorch's dispatcher: a fused kernel where one is loaded for the device,
    the ``torch.fft`` reference elsewhere. ``"torch"`` runs the reference directly, under torch's own autograd. The
    environment variable ``SPECTRANS_BACKEND`` sets the default. The choice is made per thread, when a function is
    called; a backward pass follows the choice of its forward pass, which that of ``torch.utils.checkpoint`` calls
    again: it belongs inside, too. The manager can be nested and reused.

    Parameters
    ----------
    name : {"native", "torch"}
        The implementation to use.

    Raises
    ------
    ValueError
        If `name` is another string.
    TypeError
        If `name` is not a string.

    Examples
    --------
    >>> import torch, spectrans
    >>> x = torch.randn(2, 8, 4)
    >>> with spectrans.backend("torch"):
    ...     reference = spectrans.functional.fourier_mixing(x)
    >>> torch.allclose(spectrans.functional.fourier_mixing(x), reference, atol=1e-5)
    True
    """

    def __init__(self, name: str) -> None:
        self.name = _checked(name, "name")

    def __enter__(self) -> None:
        state.stack = (*state.stack, self.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        state.stack = state.stack[:-1]

    def __repr__(self) -> str:
        return f"spectrans.backend({self.name!r})"
