"""Torch ops: one schema each, with its torch.fft reference, fake kernel, derivative and vmap rule."""

from __future__ import annotations

from spectrans.ops import conv, filter, filter2d, filter_plane, hermitian_half, mixing, modes, norms

__all__ = ["conv", "filter", "filter2d", "filter_plane", "hermitian_half", "mixing", "modes", "norms"]
