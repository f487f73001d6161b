"""Layers: what users import."""

from __future__ import annotations

from spectrans.layers import mixing

__all__ = ["mixing"]
