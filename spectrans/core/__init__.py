"""What every spectral component shares."""

from __future__ import annotations

from spectrans.core.base import SpectralComponent

__all__ = ["SpectralComponent"]
