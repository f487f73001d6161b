"""Token mixing layers: drop-in replacements for attention with spectral transforms inside."""

from __future__ import annotations

from spectrans.layers.mixing.afno import AFNOMixing
from spectrans.layers.mixing.base import FilterMixingLayer, MixingLayer, UnitaryMixingLayer
from spectrans.layers.mixing.fourier import (
    FourierMixing,
    FourierMixing1D,
    RealFourierMixing,
    SeparableFourierMixing,
)
from spectrans.layers.mixing.global_filter import AdaptiveGlobalFilter, GlobalFilterMixing, GlobalFilterMixing2D
from spectrans.layers.mixing.grid_filter import GridFilterMixing
from spectrans.layers.mixing.long_conv import LongConvMixing

__all__ = [
    "AFNOMixing",
    "AdaptiveGlobalFilter",
    "FilterMixingLayer",
    "FourierMixing",
    "FourierMixing1D",
    "GlobalFilterMixing",
    "GlobalFilterMixing2D",
    "GridFilterMixing",
    "LongConvMixing",
    "MixingLayer",
    "RealFourierMixing",
    "SeparableFourierMixing",
    "UnitaryMixingLayer",
]
