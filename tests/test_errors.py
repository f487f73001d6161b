"""Every error message: the argument's name, what it was, what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import spectrans
from spectrans.functional import (
    energy,
    energy_error,
    fft_conv,
    filter_operator_norm,
    fourier_mixing,
    hartley_mixing,
    irfft_modes,
    orthogonality_error,
    rfft_modes,
    spectral_filter,
    spectral_filter2d,
    spectral_filter_plane,
    spectral_norm,
)
from spectrans.layers.mixing import (
    AdaptiveGlobalFilter,
    AFNOMixing,
    FourierMixing,
    FourierMixing1D,
    GlobalFilterMixing,
    GlobalFilterMixing2D,
    GridFilterMixing,
    LongConvMixing,
    RealFourierMixing,
    SeparableFourierMixing,
)

X = torch.zeros(2, 8, 4)
H = torch.zeros(5, 4, 2)
W = torch.zeros(2, 3, 4, 2)  # of a (2, 4) grid

SIGNAL: list[tuple[Any, type[Exception], str]] = [
    ([1.0], TypeError, "x: expected a tensor, got list"),
    (
        torch.zeros(2, 8, 4, dtype=torch.int64),
        TypeError,
        "x: expected dtype float16, bfloat16, float32 or float64, got torch.int64",
    ),
    (torch.zeros(2, 8, 4, dtype=torch.bool), TypeError, "got torch.bool"),
    (torch.zeros(2, 8, 4, dtype=torch.complex64), TypeError, "got torch.complex64"),
    (torch.zeros(2, 8, 4).to_sparse(), TypeError, "x: expected a dense tensor, got layout torch.sparse_coo"),
    (torch.zeros(4), ValueError, "x: expected at least 2 dimensions [..., n, d], got shape (4,)"),
    (torch.zeros(()), ValueError, "got shape ()"),
    (torch.zeros(2, 0, 4), ValueError, "axes of length 1 or more, got shape (2, 0, 4)"),
]
MIXING: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"dims": 3}, ValueError, "dims: expected 1 (the sequence) or 2 (sequence and hidden), got 3"),
    ({"dims": 0}, ValueError, "got 0"),
    ({"dims": (-2, -1)}, TypeError, "dims: expected an int, 1 or 2, got tuple"),
    ({"dims": "2"}, TypeError, "got str"),
    ({"dims": True}, TypeError, "dims: expected an int, 1 or 2, got bool"),
    ({"norm": "unitary"}, ValueError, "norm: expected 'ortho', 'backward' or 'forward', got 'unitary'"),
    ({"norm": 1}, TypeError, "norm: expected a string or None, got int"),
    ({"norm": []}, TypeError, "norm: expected a string or None, got list"),
]
FILTER: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"response": None}, TypeError, "response: expected a tensor, got NoneType"),
    ({"response": H.long()}, TypeError, "response: expected a complex or floating-point dtype, got torch.int64"),
    ({"response": H.bool()}, TypeError, "got torch.bool"),
    ({"response": H.to_sparse()}, TypeError, "response: expected a dense tensor, got layout torch.sparse_coo"),
    ({"response": H, "dim": True}, TypeError, "dim: expected an int, -2 or -1, got bool"),
    (
        {"response": H[:4]},
        ValueError,
        "response: expected shape (5, 4, 2) (n//2+1 frequencies, d channels, real and imaginary part) "
        "for n=8 and d=4, got (4, 4, 2)",
    ),
    ({"response": H[:, :3]}, ValueError, "got (5, 3, 2)"),
    ({"response": H[..., 0]}, ValueError, "got (5, 4)"),
    ({"response": H[..., :1]}, ValueError, "got (5, 4, 1)"),
    (
        {"response": torch.zeros(8, 4, dtype=torch.complex64)},
        ValueError,
        "response: expected shape (5, 4) (n//2+1 frequencies, d channels) for n=8 and d=4, got (8, 4)",
    ),
    ({"response": torch.zeros(5, 1, dtype=torch.complex64)}, ValueError, "got (5, 1)"),
    ({"response": H.to("meta")}, ValueError, "response: expected device cpu, that of x, got meta"),
    ({"response": H, "dim": 0}, ValueError, "dim: expected -2 or -1 (or 1 or 2) for an x of 3 dimensions, got 0"),
    ({"response": H, "dim": -3}, ValueError, "got -3"),
    ({"response": H, "dim": None}, TypeError, "dim: expected an int, -2 or -1, got NoneType"),
    ({"response": H, "dim": -1}, ValueError, "response: expected shape (3, 8, 2)"),
]
FILTER2D: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"response": None}, TypeError, "response: expected a tensor, got NoneType"),
    ({"response": W.long()}, TypeError, "response: expected a complex or floating-point dtype, got torch.int64"),
    (
        {"response": W[:, :2]},
        ValueError,
        "response: expected shape (2, 3, 4, 2) (h, w//2+1 frequencies, d channels, real and imaginary part) "
        "for h=2, w=4 and d=4, got (2, 2, 4, 2)",
    ),
    (
        {"response": torch.zeros(2, 4, 4, dtype=torch.complex64)},
        ValueError,
        "response: expected shape (2, 3, 4) (h, w//2+1 frequencies, d channels) for h=2, w=4 and d=4, got (2, 4, 4)",
    ),
    ({"response": W.to("meta")}, ValueError, "response: expected device cpu, that of x, got meta"),
    ({"grid": 8}, TypeError, "grid: expected a pair of ints (h, w), got int"),
    ({"grid": (2, 4.0)}, TypeError, "grid: expected a pair of ints (h, w), got a float in it"),
    ({"grid": (True, 8)}, TypeError, "grid: expected a pair of ints (h, w), got a bool in it"),
    ({"grid": (8,)}, ValueError, "grid: expected a pair (h, w), got 1 values"),
    ({"grid": (0, 4)}, ValueError, "grid: expected sides of 1 or more, got (0, 4)"),
    ({"grid": (-2, -4)}, ValueError, "grid: expected sides of 1 or more, got (-2, -4)"),
    ({"grid": (3, 3)}, ValueError, "grid: expected (h, w) with h * w = 8, the tokens of x, got (3, 3)"),
]
U = torch.zeros(2, 8, 4)
K = torch.zeros(8, 4)
CONV_SIGNAL: list[tuple[Any, type[Exception], str]] = [
    ([1.0], TypeError, "u: expected a tensor, got list"),
    (U.long(), TypeError, "u: expected dtype float16, bfloat16, float32 or float64, got torch.int64"),
    (torch.zeros(4), ValueError, "u: expected at least 2 dimensions [..., n, d], got shape (4,)"),
    (U[:, :0], ValueError, "u: expected a sequence of length 1 or more, got shape (2, 0, 4)"),
]
CONV: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"k": None}, TypeError, "k: expected a tensor, got NoneType"),
    ({"k": K.long()}, TypeError, "k: expected dtype float16, bfloat16, float32 or float64, got torch.int64"),
    ({"k": torch.zeros(8, 4, dtype=torch.complex64)}, TypeError, "got torch.complex64"),
    ({"k": K[:, :3]}, ValueError, "k: expected shape [m, 4], m >= 1 taps of d=4 channels, got (8, 3)"),
    ({"k": K[:0]}, ValueError, "got (0, 4)"),
    ({"k": K[0]}, ValueError, "got (4,)"),
    ({"dim": -1, "k": K.T}, ValueError, "k: expected shape [8, m], m >= 1 taps of d=8 channels, got (4, 8)"),
    ({"k": K.to("meta")}, ValueError, "k: expected device cpu, that of u, got meta"),
    ({"causal": 1}, TypeError, "causal: expected a bool, got int"),
    ({"pre_gate": 1.0}, TypeError, "pre_gate: expected a tensor or None, got float"),
    ({"pre_gate": U[:1]}, ValueError, "pre_gate: expected shape (2, 8, 4), that of u, got (1, 8, 4)"),
    ({"post_gate": U.double()}, TypeError, "post_gate: expected dtype torch.float32, that of u, got torch.float64"),
    ({"post_gate": U.to("meta")}, ValueError, "post_gate: expected device cpu, that of u, got meta"),
    *(
        ({name: t.to_sparse()}, TypeError, f"{name}: expected a dense tensor, got layout torch.sparse_coo")
        for name, t in (("k", K), ("pre_gate", U), ("post_gate", U), ("skip", K[0]))
    ),
    ({"skip": 1.0}, TypeError, "skip: expected a tensor or None, got float"),
    ({"skip": K}, ValueError, "skip: expected shape (4,) for d=4, got (8, 4)"),
    ({"skip": K[0].bool()}, TypeError, "skip: expected dtype float16, bfloat16, float32 or float64, got torch.bool"),
    ({"dim": 0}, ValueError, "dim: expected -2 or -1 (or 1 or 2) for a u of 3 dimensions, got 0"),
    ({"dim": None}, TypeError, "dim: expected an int, -2 or -1, got NoneType"),
]
Z = torch.zeros(2, 3, 4, dtype=torch.complex64)
MODES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"modes": 0}, ValueError, "modes: expected 1 to 5 (n//2+1) for n=8, got 0"),
    ({"modes": 6}, ValueError, "modes: expected 1 to 5 (n//2+1) for n=8, got 6"),
    ({"modes": 4, "dim": -1}, ValueError, "modes: expected 1 to 3 (n//2+1) for n=4, got 4"),
    ({"modes": 2.0}, TypeError, "modes: expected an int, got float"),
    ({"modes": True}, TypeError, "modes: expected an int, got bool"),
    ({"modes": 2, "dim": 0}, ValueError, "dim: expected -2 or -1 (or 1 or 2) for an x of 3 dimensions, got 0"),
    ({"modes": 2, "dim": None}, TypeError, "dim: expected an int, -2 or -1, got NoneType"),
    ({"modes": 2, "norm": "unitary"}, ValueError, "norm: expected 'ortho', 'backward' or 'forward', got 'unitary'"),
    ({"modes": 2, "norm": 1}, TypeError, "norm: expected a string or None, got int"),
]
SPECTRUM: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"spectrum": [1j]}, TypeError, "spectrum: expected a tensor, got list"),
    (
        {"spectrum": Z.real.long()},
        TypeError,
        "spectrum: expected dtype complex64 or complex128, or a floating-point dtype, got torch.int64",
    ),
    ({"spectrum": Z.to(torch.complex32)}, TypeError, "got torch.complex32"),
    ({"spectrum": Z[0, 0]}, ValueError, "spectrum: expected at least 2 dimensions [..., modes, d], got shape (4,)"),
    (
        {"spectrum": Z.real},
        ValueError,
        "spectrum: expected shape [..., modes, d, 2] of a real dtype (real and imaginary part), got (2, 3, 4)",
    ),
    ({"spectrum": torch.zeros(3, 2)}, ValueError, "got (3, 2)"),
    ({"n": 0}, ValueError, "n: expected 1 or more, got 0"),
    ({"n": 8.0}, TypeError, "n: expected an int, got float"),
    ({"n": 3}, ValueError, "spectrum: expected 1 to 2 modes (n//2+1) for n=3, got 3 in shape (2, 3, 4)"),
    ({"spectrum": Z[:, :0]}, ValueError, "spectrum: expected 1 to 5 modes (n//2+1) for n=8, got 0"),
    ({"n": 5, "dim": -1}, ValueError, "spectrum: expected 1 to 3 modes (n//2+1) for n=5, got 4"),
    ({"dim": 0}, ValueError, "dim: expected -2 or -1 (or 1 or 2) for a spectrum of 3 dimensions, got 0"),
    ({"dim": "last"}, TypeError, "dim: expected an int, -2 or -1, got str"),
    ({"spectrum": Z.to_sparse()}, TypeError, "spectrum: expected a dense tensor, got layout torch.sparse_coo"),
    ({"norm": "unitary"}, ValueError, "norm: expected 'ortho', 'backward' or 'forward', got 'unitary'"),
]
#: A number, not a tensor; whole numbers; a complex dtype without arithmetic.
NORM_DTYPES: list[tuple[Any, str]] = [
    (1.0, "expected a tensor, got float"),
    (None, "expected a tensor, got NoneType"),
    (X.long(), "expected dtype float16, bfloat16, float32, float64, complex64 or complex128, got torch.int64"),
    (X.bool(), "got torch.bool"),
    (X.to_sparse(), "expected a dense tensor, got layout torch.sparse_coo"),
    (torch.empty(2, 8, 4, dtype=torch.complex32), "got torch.complex32"),
]
AXES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"dims": 3}, ValueError, "dims: expected -3 to 2 for a{} of 3 dimensions, got 3"),
    ({"dims": -4}, ValueError, "dims: expected -3 to 2 for a{} of 3 dimensions, got -4"),
    ({"dims": (0, 3)}, ValueError, "dims: expected -3 to 2 for a{} of 3 dimensions, got 3"),
    ({"dims": (0, -3)}, ValueError, "dims: expected every axis once, got (0, -3)"),
    ({"dims": [1, 1]}, ValueError, "dims: expected every axis once, got [1, 1]"),
    ({"dims": ()}, ValueError, "dims: expected at least one axis, got ()"),
    ({"dims": 1.0}, TypeError, "dims: expected an int or several, got float"),
    ({"dims": True}, TypeError, "dims: expected an int or several, got bool"),
    ({"dims": None}, TypeError, "dims: expected an int or several, got NoneType"),
    ({"dims": "seq"}, TypeError, "dims: expected an int or several, got str"),
    ({"dims": (0, False)}, TypeError, "dims: expected an int, got bool"),
    ({"dims": (0, 1.0)}, TypeError, "dims: expected an int, got float"),
    ({"dims": (-1, None)}, TypeError, "dims: expected an int, got NoneType"),
]
HALF: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"n": 0}, ValueError, "n: expected 1 or more, got 0"),
    ({"n": -8}, ValueError, "n: expected 1 or more, got -8"),
    ({"n": 8.0}, TypeError, "n: expected an int, got float"),
    ({"n": True}, TypeError, "n: expected an int, got bool"),
    ({"n": 8}, ValueError, "{}: expected 5 bins (n//2+1) along dim=-2 for n=8, got shape (2, 8, 4)"),
    ({"n": 5, "dim": 2}, ValueError, "{}: expected 3 bins (n//2+1) along dim=2 for n=5, got shape (2, 8, 4)"),
    ({"n": 2, "dim": 0}, ValueError, "dim: expected one of dims=(-2, -1), over which energy is summed, got 0"),
    ({"n": 14, "dims": 2}, ValueError, "dim: expected one of dims=(-1,), over which energy is summed, got -2"),
    ({"n": 14, "dim": 3}, ValueError, "dim: expected -3 to 2 for a{} of 3 dimensions, got 3"),
    ({"n": 14, "dim": None}, TypeError, "dim: expected an int, got NoneType"),
    ({"n": 14, "dim": True}, TypeError, "dim: expected an int, got bool"),
]
ENERGY_ERROR: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"b": X[:1]}, ValueError, "b: expected the shape of a, (2, 8, 4), but for dims=(-2, -1), got (1, 8, 4)"),
    ({"b": X[0]}, ValueError, "b: expected the shape of a, (2, 8, 4), but for dims=(-2, -1), got (8, 4)"),
    ({"b": X.mT, "dims": 0}, ValueError, "b: expected the shape of a, (2, 8, 4), but for dims=0, got (2, 4, 8)"),
    ({"b": X[0], "dims": 2}, ValueError, "dims: expected -2 to 1 for a b of 2 dimensions, got 2"),
    ({"b": X[:1], "n": 14}, ValueError, "b: expected the shape of a, (2, 8, 4), but for dims=(-2, -1), got (1, 8, 4)"),
    ({"b": X.to("meta")}, ValueError, "b: expected device cpu, that of a, got meta"),
    ({"b": X[0, 0, 0]}, ValueError, "b: expected at least 1 dimension, got shape ()"),
    ({"a": X[0, 0, 0]}, ValueError, "a: expected at least 1 dimension, got shape ()"),
]
R = torch.zeros(5, 4, dtype=torch.complex64)
OPERATOR_NORM: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"response": R[0]}, ValueError, "response: expected shape [frequencies ..., d], got (4,)"),
    (
        {"response": R.real},
        ValueError,
        "response: expected shape [frequencies ..., d, 2] of a real dtype (real and imaginary part), got (5, 4)",
    ),
    ({"response": H[0]}, ValueError, "expected shape [frequencies ..., d, 2] of a real dtype"),
    ({"response": H[0, 0, 0]}, ValueError, "expected shape [frequencies ..., d, 2] of a real dtype"),
    ({"channel_mixing": True}, ValueError, "response: expected shape [frequencies ..., d_out, d_in], got (5, 4)"),
    (
        {"response": H, "channel_mixing": True},
        ValueError,
        "response: expected shape [frequencies ..., d_out, d_in, 2] of a real dtype (real and imaginary part), "
        "got (5, 4, 2)",
    ),
    ({"channel_mixing": 1}, TypeError, "channel_mixing: expected a bool, got int"),
    ({"channel_mixing": None}, TypeError, "channel_mixing: expected a bool, got NoneType"),
    ({"n": 8, "grid": (2, 4)}, ValueError, "grid: expected None together with n=8, got (2, 4)"),
    ({"n": 0}, ValueError, "n: expected 1 or more, got 0"),
    ({"n": 8.0}, TypeError, "n: expected an int, got float"),
    ({"n": True}, TypeError, "n: expected an int, got bool"),
    (
        {"n": 7},
        ValueError,
        "response: expected one axis of up to 4 frequencies (n//2+1) for n=7, got shape (5, 4)",
    ),
    ({"response": W, "n": 8}, ValueError, "response: expected one axis of up to 5 frequencies (n//2+1) for n=8"),
    ({"grid": 8}, TypeError, "grid: expected a pair of ints (h, w), got int"),
    ({"grid": (2, 4.0)}, TypeError, "grid: expected a pair of ints (h, w), got a float in it"),
    ({"grid": (8,)}, ValueError, "grid: expected a pair (h, w), got 1 values"),
    ({"grid": (0, 4)}, ValueError, "grid: expected sides of 1 or more, got (0, 4)"),
    ({"grid": (2, 4)}, ValueError, "response: expected shape [2, 3, d] (h, w//2+1) for grid=(2, 4), got (5, 4)"),
    (
        {"response": W, "grid": (2, 6)},
        ValueError,
        "response: expected shape [2, 4, d, 2] (h, w//2+1) for grid=(2, 6), got (2, 3, 4, 2)",
    ),
    (
        {"response": W, "grid": (2, 4), "channel_mixing": True},
        ValueError,
        "response: expected shape [2, 3, d_out, d_in, 2] (h, w//2+1) for grid=(2, 4), got (2, 3, 4, 2)",
    ),
]
LAYERS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: FourierMixing(0), ValueError, "hidden_dim: expected 1 or more, got 0"),
    (lambda: FourierMixing(4.0), TypeError, "hidden_dim: expected an int, got float"),
    (lambda: FourierMixing(True), TypeError, "hidden_dim: expected an int, got bool"),
    (lambda: FourierMixing(4, dropout=1.5), ValueError, "dropout: expected a probability between 0 and 1, got 1.5"),
    (
        lambda: FourierMixing(4, dropout=float("nan")),
        ValueError,
        "dropout: expected a probability between 0 and 1, got nan",
    ),
    (lambda: FourierMixing(4, dropout="0"), TypeError, "dropout: expected a number, got str"),
    (lambda: FourierMixing(4, norm_eps=-1e-5), ValueError, "norm_eps: expected 0 or more, got -1e-05"),
    (lambda: FourierMixing(4, energy_tolerance=-1), ValueError, "energy_tolerance: expected 0 or more, got -1"),
    (
        lambda: FourierMixing1D(4, fft_norm="half"),
        ValueError,
        "fft_norm: expected 'ortho', 'backward' or 'forward', got 'half'",
    ),
    (lambda: RealFourierMixing(4, fft_norm=2), TypeError, "fft_norm: expected a string or None, got int"),
    (lambda: FourierMixing(4, keep_complex=1), TypeError, "keep_complex: expected a bool, got int"),
    (
        lambda: SeparableFourierMixing(4, False, False),
        ValueError,
        "mix_features, mix_sequence: expected at least one to be True, got False and False",
    ),
    (lambda: GlobalFilterMixing(4, 0), ValueError, "sequence_length: expected 1 or more, got 0"),
    (lambda: GlobalFilterMixing(4, "8"), TypeError, "sequence_length: expected an int, got str"),
    (
        lambda: GlobalFilterMixing(4, 8, activation="relu"),
        ValueError,
        "activation: expected 'sigmoid', 'tanh' or 'identity', got 'relu'",
    ),
    (lambda: GlobalFilterMixing(4, 8, activation=None), TypeError, "activation: expected a string, got NoneType"),
    (
        lambda: GlobalFilterMixing(4, 8, learnable_filters="no"),
        TypeError,
        "learnable_filters: expected a bool, got str",
    ),
    (
        lambda: GlobalFilterMixing2D(4, 8, fft_norm="half"),
        ValueError,
        "fft_norm: expected 'ortho', 'backward' or 'forward', got 'half'",
    ),
    (
        lambda: GlobalFilterMixing2D(4, 8, filter_init_std=-0.1),
        ValueError,
        "filter_init_std: expected 0 or more, got -0.1",
    ),
    (
        lambda: AdaptiveGlobalFilter(4, 8, filter_regularization=-1.0),
        ValueError,
        "filter_regularization: expected 0 or more, got -1.0",
    ),
    (
        lambda: AdaptiveGlobalFilter(4, 8, spectral_dropout_p=2),
        ValueError,
        "spectral_dropout_p: expected a probability between 0 and 1, got 2",
    ),
    (
        lambda: AdaptiveGlobalFilter(4, 8, adaptive_initialization=0),
        TypeError,
        "adaptive_initialization: expected a bool, got int",
    ),
    (lambda: GridFilterMixing(4, 8), TypeError, "grid: expected a pair of ints (h, w), got int"),
    (lambda: GridFilterMixing(4, (2, 0)), ValueError, "grid: expected sides of 1 or more, got (2, 0)"),
    (
        lambda: GridFilterMixing(4, (2, 4), filter_init_std=-1.0),
        ValueError,
        "filter_init_std: expected 0 or more, got -1.0",
    ),
    (
        lambda: GridFilterMixing(4, (3, 4))(X),
        ValueError,
        "x: expected shape [..., 12, 4] for grid=(3, 4), got (2, 8, 4)",
    ),
    (
        lambda: GridFilterMixing(3, (2, 4))(X),
        ValueError,
        "x: expected shape [..., sequence, 3] for hidden_dim=3, got (2, 8, 4)",
    ),
    (lambda: AFNOMixing(4), ValueError, "num_blocks: expected a divisor of hidden_dim=4, got 8"),
    (lambda: AFNOMixing(4, num_blocks=2.0), TypeError, "num_blocks: expected an int, got float"),
    (
        lambda: AFNOMixing(4, num_blocks=2, sparsity_threshold=-1.0),
        ValueError,
        "sparsity_threshold: expected 0 or more, got -1.0",
    ),
    (
        lambda: AFNOMixing(4, num_blocks=2, hard_thresholding_fraction=1.5),
        ValueError,
        "hard_thresholding_fraction: expected a share between 0 and 1, got 1.5",
    ),
    (
        lambda: AFNOMixing(4, num_blocks=2, hard_thresholding_fraction=0.0),
        ValueError,
        "hard_thresholding_fraction: expected more than 0, got 0",
    ),
    (
        lambda: AFNOMixing(4, num_blocks=2, hidden_size_factor=0),
        ValueError,
        "hidden_size_factor: expected 1 or more, got 0",
    ),
    (
        lambda: AFNOMixing(4, num_blocks=2, hard_thresholding_fraction=0.1)(X),
        ValueError,
        "x: expected so many samples that a frequency is kept, got 8: 5 frequencies, and of those "
        "hard_thresholding_fraction=0.1 leaves none",
    ),
    (
        lambda: AFNOMixing(4, num_blocks=2, grid=(3, 4))(X),
        ValueError,
        "x: expected shape [..., 12, 4] for grid=(3, 4), got (2, 8, 4)",
    ),
    (
        lambda: AFNOMixing(4, num_blocks=2)(X.to("meta")),
        ValueError,
        "x: expected device cpu, that of the layer's weights, got meta",
    ),
    (lambda: FourierMixing(3)(X), ValueError, "x: expected shape [..., sequence, 3] for hidden_dim=3, got (2, 8, 4)"),
    (
        lambda: GlobalFilterMixing(3, 8)(X),
        ValueError,
        "x: expected shape [..., sequence, 3] for hidden_dim=3, got (2, 8, 4)",
    ),
    (
        lambda: GlobalFilterMixing2D(3, 8)(X),
        ValueError,
        "x: expected shape [..., sequence, 3] for hidden_dim=3, got (2, 8, 4)",
    ),
    (
        lambda: RealFourierMixing(4)(torch.zeros(4)),
        ValueError,
        "x: expected shape [..., sequence, 4] for hidden_dim=4, got (4,)",
    ),
    (
        lambda: FourierMixing(4, keep_complex=True)(X.long()),
        TypeError,
        "x: expected a floating-point or complex dtype, got torch.int64",
    ),
    (
        lambda: FourierMixing(4, keep_complex=True)(X.to_sparse()),
        TypeError,
        "x: expected a dense tensor, got layout torch.sparse_coo",
    ),
    (
        lambda: LongConvMixing(4, 8).to("meta")(X.to("meta"), pre_gate=X.to("meta").double()),
        TypeError,
        "pre_gate: expected dtype torch.float32, that of x, got torch.float64",
    ),
    (
        lambda: FourierMixing(4, keep_complex=True)(X[:, :0]),
        ValueError,
        "x: expected transformed axes of length 1 or more, got shape (2, 0, 4)",
    ),
    (
        lambda: FourierMixing(4).compute_spectral_norm(torch.zeros(())),
        ValueError,
        "tensor: expected at least 1 dimension [..., d], got shape ()",
    ),
    (
        lambda: FourierMixing(4).compute_spectral_norm(X.long()),
        TypeError,
        "tensor: expected dtype float16, bfloat16, float32, float64, complex64 or complex128, got torch.int64",
    ),
    (
        lambda: RealFourierMixing(4).verify_orthogonality(torch.zeros(5, 4)),
        ValueError,
        "transform_matrix: expected shape [..., m, n] with m <= n (the rows of a taller matrix cannot be orthonormal), "
        "got (5, 4)",
    ),
    (lambda: RealFourierMixing(4).verify_orthogonality(torch.zeros(4)), ValueError, "got (4,)"),
    (
        lambda: RealFourierMixing(4).verify_orthogonality(None),
        TypeError,
        "transform_matrix: expected a tensor, got NoneType",
    ),
    (
        lambda: RealFourierMixing(4).verify_orthogonality(torch.eye(4).long()),
        TypeError,
        "transform_matrix: expected dtype float16, bfloat16, float32, float64, complex64 or complex128, got ",
    ),
    (
        lambda: RealFourierMixing(4).verify_energy_preservation([1.0], X),
        TypeError,
        "input_tensor: expected a tensor, got list",
    ),
    (
        lambda: RealFourierMixing(4).verify_energy_preservation(X, X.long()),
        TypeError,
        "output_tensor: expected dtype float16, bfloat16, float32, float64, complex64 or complex128, got torch.int64",
    ),
    (
        lambda: RealFourierMixing(4).verify_energy_preservation(X.to_sparse(), X),
        TypeError,
        "input_tensor: expected a dense tensor, got layout torch.sparse_coo",
    ),
    (
        lambda: RealFourierMixing(4).verify_energy_preservation(X, X.to("meta")),
        ValueError,
        "output_tensor: expected device cpu, that of input_tensor, got meta",
    ),
    (
        lambda: FourierMixing(4).verify_shape_consistency(X, [1.0]),
        TypeError,
        "output_tensor: expected a tensor, got list",
    ),
    (
        lambda: FourierMixing(4).compute_spectral_norm(X.to(torch.float8_e5m2)),
        TypeError,
        "tensor: expected dtype float16, bfloat16, float32, float64, complex64 or complex128, got torch.float8_e5m2",
    ),
    *(
        (
            lambda layer=layer: layer(X.to("meta")),
            ValueError,
            "x: expected device cpu, that of the layer's filter, got meta",
        )
        for layer in (GlobalFilterMixing(4, 8), GlobalFilterMixing2D(4, 8), GridFilterMixing(4, (2, 4)))
    ),
    (lambda: spectrans.backend("cuda"), ValueError, "name: expected 'native' or 'torch', got 'cuda'"),
    (lambda: spectrans.backend(None), TypeError, "name: expected a string, 'native' or 'torch', got NoneType"),
    (lambda: spectrans.explain(3), TypeError, "fn: expected a callable, got int"),
]


@pytest.mark.parametrize(("x", "error", "message"), SIGNAL, ids=range(len(SIGNAL)))
def test_signals(backend: str, x: Any, error: type[Exception], message: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: fourier_mixing(x),
        lambda: hartley_mixing(x, 1),
        lambda: spectral_filter(x, H),
        lambda: spectral_filter2d(x, W, (2, 4)),
        lambda: spectral_filter_plane(x, torch.zeros(8, 4, 2)),
        lambda: rfft_modes(x, 1),
    ]
    for call in calls:
        with pytest.raises(error, match=re.escape(message)):
            call()


@pytest.mark.parametrize(
    "layer",
    [
        FourierMixing(4),
        FourierMixing1D(4),
        RealFourierMixing(4),
        SeparableFourierMixing(4),
        GlobalFilterMixing(4, 8),
        GlobalFilterMixing2D(4, 8),
        AdaptiveGlobalFilter(4, 8),
        GridFilterMixing(4, (2, 4)),
        LongConvMixing(4, 8),
        AFNOMixing(4, num_blocks=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_refuse_what_is_not_real_floating_point(layer: torch.nn.Module) -> None:
    for x in (X.long(), X.to(torch.complex64), None):
        with pytest.raises(TypeError, match=r"^x: expected "):
            layer(x)
    with pytest.raises(ValueError, match=re.escape("axes of length 1 or more, got shape (2, 0, 4)")):
        layer(X[:, :0])


@pytest.mark.parametrize("f", [fourier_mixing, hartley_mixing])
@pytest.mark.parametrize(("arguments", "error", "message"), MIXING, ids=range(len(MIXING)))
def test_mixing(
    backend: str, f: Callable[..., Any], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        f(X, **arguments)


def test_mixing_needs_channels_to_mix() -> None:
    with pytest.raises(
        ValueError, match=re.escape("x: expected transformed axes of length 1 or more, got shape (2, 3, 0)")
    ):
        fourier_mixing(torch.zeros(2, 3, 0))


@pytest.mark.parametrize(("arguments", "error", "message"), FILTER, ids=range(len(FILTER)))
def test_filter(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        spectral_filter(X, **arguments)


@pytest.mark.parametrize(("arguments", "error", "message"), FILTER2D, ids=range(len(FILTER2D)))
def test_filter2d(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        spectral_filter2d(X, **{"response": W, "grid": (2, 4), **arguments})


@pytest.mark.parametrize(
    ("response", "error", "message"),
    [
        (None, TypeError, "response: expected a tensor, got NoneType"),
        (torch.zeros(8, 4).long(), TypeError, "response: expected a complex or floating-point dtype, got torch.int64"),
        (
            H,
            ValueError,
            "response: expected shape (8, 4, 2) (n frequencies, d channels, real and imaginary part) for n=8 and d=4, "
            "got (5, 4, 2)",
        ),
        (
            torch.zeros(8, 4),
            ValueError,
            "response: expected shape (8, 4, 2) (n frequencies, d channels, real and imaginary part) for n=8 and d=4, "
            "got (8, 4)",
        ),
        (torch.zeros(8, 4, 2, device="meta"), ValueError, "response: expected device cpu, that of x, got meta"),
    ],
    ids=range(5),
)
def test_filter_plane(backend: str, response: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        spectral_filter_plane(X, response)


@pytest.mark.parametrize("shape", [(2, 0, 4), (2, 8, 0)], ids=str)
def test_filter_plane_of_nothing(backend: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"axes of length 1 or more, got shape {shape}")):
        spectral_filter_plane(torch.zeros(shape), torch.zeros(*shape[1:], 2))


@pytest.mark.parametrize(("u", "error", "message"), CONV_SIGNAL, ids=range(len(CONV_SIGNAL)))
def test_conv_signals(backend: str, u: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        fft_conv(u, K)


@pytest.mark.parametrize(("arguments", "error", "message"), CONV, ids=range(len(CONV)))
def test_conv(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        fft_conv(U, **{"k": K, **arguments})


@pytest.mark.parametrize(("arguments", "error", "message"), MODES, ids=range(len(MODES)))
def test_rfft_modes(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        rfft_modes(X, **arguments)


@pytest.mark.parametrize(("arguments", "error", "message"), SPECTRUM, ids=range(len(SPECTRUM)))
def test_irfft_modes(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        irfft_modes(**{"spectrum": Z, "n": 8, **arguments})


@pytest.mark.parametrize(("t", "message"), NORM_DTYPES, ids=range(len(NORM_DTYPES)))
def test_norms_refuse_what_is_no_number(backend: str, t: Any, message: str) -> None:
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("x", lambda: energy(t)),
        ("a", lambda: energy_error(t, X)),
        ("b", lambda: energy_error(X, t)),
        ("t", lambda: orthogonality_error(t)),
        ("x", lambda: spectral_norm(t)),
        ("response", lambda: filter_operator_norm(t)),
    ]
    for name, call in calls:
        with pytest.raises(TypeError, match=f"^{name}: .*{re.escape(message)}"):
            call()


@pytest.mark.parametrize(("arguments", "error", "message"), AXES, ids=range(len(AXES)))
def test_axes(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    for call, name in ((lambda: energy(X, **arguments), "n x"), (lambda: energy_error(X, X, **arguments), "n a")):
        with pytest.raises(error, match=re.escape(message.format(name))):
            call()


@pytest.mark.parametrize(("arguments", "error", "message"), HALF, ids=range(len(HALF)))
def test_half_spectra(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    for call, name in ((lambda: energy(X, **arguments), "x"), (lambda: energy_error(X, X, **arguments), "b")):
        article = ("n " if name == "x" else " ") if message.startswith("dim") else ""
        with pytest.raises(error, match=re.escape(message.format(article + name))):
            call()


@pytest.mark.parametrize(("arguments", "error", "message"), ENERGY_ERROR, ids=range(len(ENERGY_ERROR)))
def test_energy_error(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        energy_error(**{"a": X, "b": X, **arguments})


def test_energies_and_matrices_need_axes(backend: str) -> None:
    with pytest.raises(ValueError, match=re.escape("x: expected at least 1 dimension, got shape ()")):
        energy(X[0, 0, 0])
    with pytest.raises(ValueError, match=re.escape("dims: expected -1 to 0 for an x of 1 dimensions, got -2")):
        energy(X[0, 0])
    for call, name in ((orthogonality_error, "t"), (spectral_norm, "x")):
        for t in (X[0, 0], X[0, 0, 0]):
            message = f"{name}: expected at least 2 dimensions [..., m, n], got shape {tuple(t.shape)}"
            with pytest.raises(ValueError, match=re.escape(message)):
                call(t)


@pytest.mark.parametrize(("arguments", "error", "message"), OPERATOR_NORM, ids=range(len(OPERATOR_NORM)))
def test_filter_operator_norm(backend: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        filter_operator_norm(**{"response": R, **arguments})


@pytest.mark.parametrize(("call", "error", "message"), LAYERS, ids=range(len(LAYERS)))
def test_layers(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_nested_tensors_are_not_dense(backend: str) -> None:
    for layout in (torch.strided, torch.jagged):
        x = torch.nested.nested_tensor([torch.zeros(8, 4), torch.zeros(5, 4)], layout=layout)
        calls: list[Callable[[], Any]] = [
            lambda x=x: fourier_mixing(x),
            lambda x=x: energy(x),
            lambda x=x: LongConvMixing(4, 8)(x),
        ]
        for call in calls:
            with pytest.raises(TypeError, match=r"^x: expected a dense tensor, got "):
                call()
        u = torch.zeros(2, 8, 4)
        for name, arguments in (("k", (x, None)), ("skip", (torch.zeros(8, 4), x))):
            with pytest.raises(TypeError, match=rf"^{name}: expected a dense tensor, got "):
                fft_conv(u, arguments[0], skip=arguments[1])


def test_settings_may_be_numbers_of_numpy() -> None:
    layer = LongConvMixing(np.int64(4), int(np.prod((2, 4))), dropout=np.float32(0.5), filter_init_std=np.float64(0.1))
    assert type(layer.hidden_dim) is int and type(layer.filter_init_std) is float
    assert AFNOMixing(np.int32(4), num_blocks=np.uint8(2)).num_blocks == 2
    for value in (np.bool_(True), np.float32(4.0), torch.tensor(4)):
        with pytest.raises(TypeError, match=r"^hidden_dim: expected an int, got "):
            FourierMixing(value)


def test_axes_may_be_numbers_of_numpy() -> None:
    x, h = torch.randn(2, 8, 4), torch.randn(5, 4, 2)
    assert torch.equal(fourier_mixing(x, dims=np.int64(1)), fourier_mixing(x, dims=1))
    assert torch.equal(spectral_filter(x, h, dim=np.int64(-2)), spectral_filter(x, h))
    assert torch.equal(rfft_modes(x, np.int64(3), dim=np.int32(1)), rfft_modes(x, 3))
    assert torch.equal(energy(x, np.int64(1)), energy(x, 1))
    assert torch.equal(energy(x, (np.int64(1), 2)), energy(x, (1, 2)))
    for value in (np.float32(1), np.bool_(True), True):
        with pytest.raises(TypeError, match=r"^dims: expected an int"):
            fourier_mixing(x, dims=value)


def test_counts_are_no_larger_than_lengths_can_be() -> None:
    with pytest.raises(ValueError, match=r"^n: expected less than 2\*\*63, got 1180591"):
        irfft_modes(torch.zeros(3, 4, dtype=torch.complex64), 2**70)
