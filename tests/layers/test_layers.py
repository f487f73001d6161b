"""What holds for every layer: the numbers, the claims, the bookkeeping of nn.Module."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor, nn

from spectrans.layers import mixing
from spectrans.layers.mixing import (
    AdaptiveGlobalFilter,
    AFNOMixing,
    FilterMixingLayer,
    FourierMixing,
    FourierMixing1D,
    GlobalFilterMixing,
    GlobalFilterMixing2D,
    GridFilterMixing,
    LongConvMixing,
    MixingLayer,
    RealFourierMixing,
    SeparableFourierMixing,
    UnitaryMixingLayer,
)

N, D = 12, 6
GRID = (3, 4)


def set_filter(layer: FilterMixingLayer, real: Tensor, imag: Tensor) -> FilterMixingLayer:
    with torch.no_grad():
        layer.filter_real.copy_(real)
        layer.filter_imag.copy_(imag)
    return layer


def all_pass(cls: type[GlobalFilterMixing] | type[GlobalFilterMixing2D]) -> FilterMixingLayer:
    """A filter that only turns phases: the spectrum of white noise, normalised."""
    h = torch.fft.fft(oracle.draw(N, D), dim=0) if cls is GlobalFilterMixing else torch.fft.fft2(oracle.draw(N, D))
    h = h / h.abs()
    return set_filter(cls(D, N, activation="identity"), h.real, h.imag)


def all_pass_grid() -> GridFilterMixing:
    layer = GridFilterMixing(D, GRID)
    h = torch.fft.rfft2(oracle.draw(*GRID, D), dim=(0, 1))
    with torch.no_grad():
        layer.complex_weight.copy_(torch.view_as_real(h / h.abs()))
    return layer


def circular_delay() -> LongConvMixing:
    layer = LongConvMixing(D, N, filter_init_std=0.0, causal=False)
    with torch.no_grad():
        layer.skip.zero_()
        layer.kernel[3] = 1.0
    return layer


def afno(**settings: object) -> AFNOMixing:
    """With weights so large that every part of it shows."""
    layer = AFNOMixing(D, num_blocks=2, sparsity_threshold=0.1, **settings)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(15)
    return layer


LAYERS: dict[str, Callable[[], MixingLayer]] = {
    "fourier": lambda: FourierMixing(D),
    "fourier backward": lambda: FourierMixing(D, fft_norm="backward"),
    "fourier complex": lambda: FourierMixing(D, keep_complex=True),
    "fourier complex forward": lambda: FourierMixing(D, keep_complex=True, fft_norm="forward"),
    "fourier 1d": lambda: FourierMixing1D(D),
    "fourier 1d complex": lambda: FourierMixing1D(D, keep_complex=True),
    "hartley": lambda: RealFourierMixing(D),
    "hartley backward": lambda: RealFourierMixing(D, fft_norm="backward"),
    "separable": lambda: SeparableFourierMixing(D),
    "separable sequence": lambda: SeparableFourierMixing(D, mix_features=False),
    "separable features": lambda: SeparableFourierMixing(D, mix_sequence=False),
    "filter": lambda: GlobalFilterMixing(D, N),
    "filter tanh": lambda: GlobalFilterMixing(D, N, activation="tanh"),
    "filter identity": lambda: GlobalFilterMixing(D, N, activation="identity", filter_init_std=1.0),
    "filter fixed": lambda: GlobalFilterMixing(D, N, learnable_filters=False),
    "filter all-pass": lambda: all_pass(GlobalFilterMixing),
    "filter 2d": lambda: GlobalFilterMixing2D(D, N),
    "filter 2d identity": lambda: GlobalFilterMixing2D(D, N, activation="identity", filter_init_std=1.0),
    "filter 2d all-pass": lambda: all_pass(GlobalFilterMixing2D),
    "grid": lambda: GridFilterMixing(D, GRID, filter_init_std=0.5),
    "grid fixed": lambda: GridFilterMixing(D, GRID, learnable_filters=False),
    "grid all-pass": all_pass_grid,
    "long conv": lambda: LongConvMixing(D, N, filter_init_std=0.5),
    "long conv fixed": lambda: LongConvMixing(D, N, learnable_filters=False),
    "long conv circular": lambda: LongConvMixing(D, N, filter_init_std=0.5, causal=False),
    "long conv delay": circular_delay,
    "adaptive": lambda: AdaptiveGlobalFilter(D, N),
    "afno": afno,
    "afno, half of it": lambda: afno(hard_thresholding_fraction=0.6, hidden_size_factor=2),
    "afno, grid": lambda: afno(hard_thresholding_fraction=0.7, grid=GRID),
    "adaptive, much dropped": lambda: AdaptiveGlobalFilter(D, N, spectral_dropout_p=0.5).eval(),
}
UNITARY = {
    "fourier complex", "fourier 1d complex", "hartley", "filter all-pass", "filter 2d all-pass", "grid all-pass",
    "long conv delay",
}  # fmt: skip

each_layer = pytest.mark.parametrize("name", LAYERS)


def expected(layer: MixingLayer, x: np.ndarray) -> np.ndarray:
    """The definition of each layer in numpy, written without any of the identities that the layers use."""
    if isinstance(layer, AFNOMixing):
        w1, b1, w2, b2 = (oracle.wide(p[0]) + 1j * oracle.wide(p[1]) for p in (layer.w1, layer.b1, layer.w2, layer.b2))
        parts = lambda f, z: f(z.real) + 1j * f(z.imag)  # noqa: E731
        grid = layer.grid or (x.shape[-2],)
        axes = tuple(range(-1 - len(grid), -1))
        z = np.fft.rfftn(x.reshape(*x.shape[:-2], *grid, D), axes=axes, norm="ortho")
        v = z.reshape(*z.shape[:-1], layer.num_blocks, D // layer.num_blocks)
        v = parts(lambda a: np.maximum(a, 0), np.einsum("...bi,bio->...bo", v, w1) + b1)
        v = np.einsum("...bi,bio->...bo", v, w2) + b2
        v = parts(lambda a: np.sign(a) * np.maximum(np.abs(a) - layer.sparsity_threshold, 0), v).reshape(z.shape)
        v[..., int((grid[-1] // 2 + 1) * layer.hard_thresholding_fraction) :, :] = 0
        return x + np.fft.irfftn(v, s=grid, axes=axes, norm="ortho").reshape(x.shape)
    if isinstance(layer, GridFilterMixing):
        return oracle.filtered2d(x, oracle.wide(layer.complex_weight))
    if isinstance(layer, LongConvMixing):
        y = oracle.wide(layer.skip) * x
        for s, taps in enumerate(oracle.wide(layer.kernel)):
            y = y + taps * np.roll(x, s, -2) * (np.arange(N)[:, None] >= s if layer.causal else 1)
        return y
    if isinstance(layer, FilterMixingLayer):
        activation = {"sigmoid": lambda w: 1 / (1 + np.exp(-w)), "tanh": np.tanh, "identity": lambda w: w}
        h = [activation[layer.activation](oracle.wide(w)) for w in (layer.filter_real, layer.filter_imag)]
        axes = (-2, -1) if isinstance(layer, GlobalFilterMixing2D) else (-2,)
        return np.fft.ifftn(np.fft.fftn(x, axes=axes) * (h[0] + 1j * h[1]), axes=axes).real
    if isinstance(layer, SeparableFourierMixing):
        if layer.mix_sequence:
            x = np.fft.fft(x, axis=-2, norm=layer.fft_norm).real
        if layer.mix_features:
            x = np.fft.fft(x, axis=-1, norm=layer.fft_norm).real
        return x
    axes = (-2,) if isinstance(layer, FourierMixing1D) else (-2, -1)
    z = np.fft.fftn(x, axes=axes, norm=layer.fft_norm)
    if isinstance(layer, RealFourierMixing):
        return z.real - z.imag
    return z if layer.keep_complex else z.real


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_definition(backend: str, name: str, dtype: torch.dtype, batch: tuple[int, ...]) -> None:
    layer = LAYERS[name]().to(dtype)
    x = oracle.draw(*batch, N, D, dtype=dtype)
    before = x.clone()
    y = layer(x)
    assert torch.equal(x, before)
    # Gains here stay under 8 (backward: sqrt(72) of the norm); the filters' own rounding counts as two transforms.
    oracle.assert_close(y, expected(layer, oracle.wide(x)), n=N * D, magnitude=9 * oracle.norm(x), transforms=8)


@each_layer
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves(backend: str, name: str, dtype: torch.dtype) -> None:
    layer = LAYERS[name]().to(dtype)
    x = oracle.draw(3, N, D, dtype=dtype)
    y = layer(x)
    assert y.dtype is (torch.complex64 if "complex" in name else dtype)
    if y.dtype is dtype:  # computed in float32, rounded once
        oracle.assert_close(y, expected(layer, oracle.wide(x)), n=N * D, magnitude=9 * oracle.norm(x), transforms=8)
        y.float().sum().backward() if y.requires_grad else None


@each_layer
def test_properties_are_true(backend: str, name: str) -> None:
    layer = LAYERS[name]().double()
    claims = layer.get_spectral_properties()
    assert {"unitary", "real_output", "frequency_domain", "energy_preserving"} <= set(claims)
    assert claims["unitary"] == (name in UNITARY)
    x = oracle.draw(50, N, D)
    y = layer(x)
    assert claims["real_output"] == (not y.is_complex())
    # Energy, of each of fifty random samples.
    judge = RealFourierMixing(D)
    assert judge.verify_energy_preservation(x, y) == claims["energy_preserving"]
    # The operator's matrix, row by row: unitary or not; which axes it mixes; its norm.
    units = torch.eye(N * D, dtype=torch.float64).reshape(N * D, N, D)
    matrix = layer(units).detach().reshape(N * D, N * D)
    assert judge.verify_orthogonality(matrix) == claims["unitary"]
    touched = matrix.reshape(N, D, N, D).abs() > 1e-9
    assert claims["mixes_sequence"] == bool(touched.any(3).any(1)[~torch.eye(N, dtype=torch.bool)].any())
    assert claims["mixes_hidden"] == bool(touched.any(2).any(0)[~torch.eye(D, dtype=torch.bool)].any())
    if "operator_norm" in claims:
        torch.testing.assert_close(claims["operator_norm"], float(torch.linalg.matrix_norm(matrix, 2)))
    if claims.get("involutory"):
        torch.testing.assert_close(layer(y), x)


@each_layer
def test_gradients(backend: str, name: str) -> None:
    layer = LAYERS[name]().double()
    parameters = list(layer.parameters())
    x = oracle.draw(2, N, D).requires_grad_()

    def f(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(dict(layer.named_parameters()), values, strict=True)), (x,))

    assert torch.autograd.gradcheck(f, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(f, (x, *parameters), fast_mode=True)


@each_layer
def test_copies(name: str) -> None:
    layer = LAYERS[name]()
    x = oracle.draw(2, N, D, dtype=torch.float32)
    y = layer(x)
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    fresh = LAYERS[name]()
    fresh.load_state_dict(layer.state_dict())
    for twin in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(buffer, weights_only=False),
        fresh,
    ):
        assert torch.equal(twin(x), y)
        assert repr(twin) == repr(layer)


@each_layer
def test_state_is_real(name: str) -> None:
    state = LAYERS[name]().state_dict()
    if "afno" in name:
        assert set(state) == {"w1", "b1", "w2", "b2"}
        assert all(value.is_floating_point() and value.shape[:2] == (2, 2) for value in state.values())
        return
    if "grid" in name:
        assert {key: value.shape for key, value in state.items()} == {"complex_weight": (3, 3, D, 2)}
        return
    if "conv" in name:
        assert {key: value.shape for key, value in state.items()} == {"kernel": (N, D), "skip": (D,)}
        return
    assert set(state) == ({"filter_real", "filter_imag"} if "filter" in name or "adaptive" in name else set())
    assert all(value.is_floating_point() and value.shape == (N, D) for value in state.values())


@each_layer
def test_dropout_is_on_the_output(name: str) -> None:
    layer = LAYERS[name]().train()
    layer.dropout.p = 0.5
    x = oracle.draw(20, N, D, dtype=torch.float32)
    y, clean = layer(x), copy.deepcopy(layer).eval()(x)
    if layer.get_spectral_properties().get("spectral_dropout_p"):
        return
    if isinstance(layer, AFNOMixing):  # on what is added to x
        y, clean = y - x, clean - x
    dropped = y == 0
    # 1440 fair coins: five standard deviations are 95.
    assert abs(int(dropped.sum()) - y.numel() / 2) < 5 * (y.numel() / 4) ** 0.5
    torch.testing.assert_close(y[~dropped], 2 * clean[~dropped])


def test_dropout_alone_in_training() -> None:  # so that many passes tell how sure a model is
    layer = FourierMixing(D, dropout=0.5, keep_complex=True).eval()
    layer.dropout.train()
    assert bool((layer(oracle.draw(20, N, D)) == 0).any())


def test_norm_of_none_is_backward() -> None:
    x = oracle.draw(3, N, D)
    for cls in (FourierMixing, FourierMixing1D, RealFourierMixing, SeparableFourierMixing):
        layer, named = cls(D, fft_norm=None), cls(D, fft_norm="backward")
        assert torch.equal(layer(x), named(x))
        assert layer.compute_operator_norm(N) == named.compute_operator_norm(N)


@each_layer
def test_meta_device_and_repr(name: str) -> None:
    layer = LAYERS[name]()
    assert f"hidden_dim={D}" in repr(layer)
    y = layer.to("meta")(torch.empty(2, N, D, device="meta"))
    assert y.shape == (2, N, D)


@each_layer
def test_autocast(backend: str, name: str) -> None:
    layer = LAYERS[name]()
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        x = nn.Linear(D, D)(torch.randn(2, N, D))
        y = layer(x)
    assert x.dtype is torch.bfloat16
    assert y.dtype is (torch.complex64 if "complex" in name else torch.bfloat16)
    y.abs().float().sum().backward()


@each_layer
def test_strides_do_not_matter(backend: str, name: str) -> None:
    layer = LAYERS[name]().double()
    for layout in oracle.LAYOUTS.values():
        x = layout((3, N, D), torch.float64)
        oracle.assert_close(
            layer(x), expected(layer, oracle.wide(x)), n=N * D, magnitude=9 * oracle.norm(x), transforms=8
        )


@each_layer
def test_vmap(backend: str, name: str) -> None:
    layer = LAYERS[name]().double()
    x = oracle.draw(3, 2, N, D)
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))


def test_drop_in_signatures() -> None:
    unitary = {"hidden_dim": ..., "dropout": 0.0, "norm_eps": 1e-5, "energy_tolerance": 1e-4}
    filters = {
        "hidden_dim": ..., "sequence_length": ..., "activation": "sigmoid", "dropout": 0.0, "norm_eps": 1e-5,
        "learnable_filters": True, "fft_norm": "ortho", "filter_init_std": 0.02,
    }  # fmt: skip
    fourier = {**unitary, "fft_norm": "ortho", "keep_complex": False}
    documented = {
        "MixingLayer": {"hidden_dim": ..., "dropout": 0.0, "norm_eps": 1e-5},
        "UnitaryMixingLayer": unitary,
        "FilterMixingLayer": {
            "hidden_dim": ..., "sequence_length": ..., "dropout": 0.0, "norm_eps": 1e-5, "learnable_filters": True,
        },
        "FourierMixing": fourier,
        "FourierMixing1D": fourier,
        "RealFourierMixing": {**unitary, "fft_norm": "ortho"},
        "SeparableFourierMixing": {
            "hidden_dim": ..., "mix_features": True, "mix_sequence": True, "dropout": 0.0, "norm_eps": 1e-5,
            "energy_tolerance": 1e-4, "fft_norm": "ortho",
        },
        "GlobalFilterMixing": filters,
        "GlobalFilterMixing2D": filters,
        "GridFilterMixing": {
            "hidden_dim": ..., "grid": ..., "dropout": 0.0, "norm_eps": 1e-5, "learnable_filters": True,
            "filter_init_std": 0.02,
        },
        "AFNOMixing": {
            "hidden_dim": ..., "dropout": 0.0, "norm_eps": 1e-5, "num_blocks": 8, "sparsity_threshold": 0.01,
            "hard_thresholding_fraction": 1.0, "hidden_size_factor": 1, "grid": None,
        },
        "LongConvMixing": {
            "hidden_dim": ..., "sequence_length": ..., "dropout": 0.0, "norm_eps": 1e-5, "learnable_filters": True,
            "filter_init_std": 0.02, "causal": True,
        },
        "AdaptiveGlobalFilter": {
            **filters, "filter_regularization": 0.0, "adaptive_initialization": True, "spectral_dropout_p": 0.0,
        },
    }  # fmt: skip
    assert set(documented) == set(mixing.__all__)
    for name, arguments in documented.items():
        signature = inspect.signature(getattr(mixing, name)).parameters
        found = {p.name: ... if p.default is p.empty else p.default for p in signature.values()}
        assert list(found.items()) == list(arguments.items()), name


def test_parents() -> None:
    for cls in (FourierMixing, FourierMixing1D, RealFourierMixing, SeparableFourierMixing):
        assert issubclass(cls, UnitaryMixingLayer)
    for cls in (GlobalFilterMixing, GlobalFilterMixing2D, AdaptiveGlobalFilter, GridFilterMixing, LongConvMixing):
        assert issubclass(cls, FilterMixingLayer)
