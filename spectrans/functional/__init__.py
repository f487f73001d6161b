"""Spectral mixing, filtering and norm checks as functions: arguments are checked here, the work is done by the ops."""

from __future__ import annotations

from spectrans.functional.conv import fft_conv
from spectrans.functional.filter import spectral_filter
from spectrans.functional.filter2d import spectral_filter2d
from spectrans.functional.filter_plane import spectral_filter_plane
from spectrans.functional.mixing import fourier_mixing, hartley_mixing
from spectrans.functional.modes import irfft_modes, rfft_modes
from spectrans.functional.norms import (
    energy,
    energy_error,
    filter_operator_norm,
    orthogonality_error,
    spectral_norm,
)

__all__ = [
    "energy",
    "energy_error",
    "fft_conv",
    "filter_operator_norm",
    "fourier_mixing",
    "hartley_mixing",
    "irfft_modes",
    "orthogonality_error",
    "rfft_modes",
    "spectral_filter",
    "spectral_filter2d",
    "spectral_filter_plane",
    "spectral_norm",
]
