"""Torch ops: one schema each, with its torch.fft reference, fake kernel, derivative and vmap rule."""

from __future__ import annotations

from spectrans.ops import filter, mixing, modes

__all__ = ["filter", "mixing", "modes"]
