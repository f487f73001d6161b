"""The global filters beyond their definition: lengths, exchange of weights, initialisation, regularisation."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch

from spectrans.functional import spectral_filter
from spectrans.layers.mixing import AdaptiveGlobalFilter, GlobalFilterMixing, GlobalFilterMixing2D

CLASSES = (GlobalFilterMixing, GlobalFilterMixing2D, AdaptiveGlobalFilter)
LENGTHS = (1, 2, 3, 8, 9, 17, 60)

each_class = pytest.mark.parametrize("cls", CLASSES)


def smooth_response(n: int, d: int) -> torch.Tensor:
    """Spectrum [n, d] of an impulse response of three samples: a low-pass whose delay differs by channel."""
    k = torch.arange(n, dtype=torch.float64).unsqueeze(-1) * 2 * torch.pi / n
    taps = torch.linspace(0.1, 0.4, d, dtype=torch.float64)
    return 0.5 + taps * torch.exp(-1j * k) + 0.25 * torch.exp(1j * k)


def fixed(cls: type[GlobalFilterMixing], response: torch.Tensor) -> GlobalFilterMixing:
    n, d = response.shape
    layer = cls(d, n, activation="identity").double()
    with torch.no_grad():
        layer.filter_real.copy_(response.real)
        layer.filter_imag.copy_(response.imag)
    return layer


@pytest.mark.parametrize("n", LENGTHS)
@each_class
def test_every_length(backend: str, cls: type[GlobalFilterMixing], n: int) -> None:
    for d in (1, 4, 5):
        layer = cls(d, n, activation="identity", filter_init_std=1.0).double()
        x = oracle.draw(3, n, d)
        h = oracle.wide(layer.get_filter_response())
        axes = (-2, -1) if cls is GlobalFilterMixing2D else (-2,)
        expected = np.fft.ifftn(np.fft.fftn(oracle.wide(x), axes=axes) * h, axes=axes).real
        gain = float(layer.get_filter_response().detach().abs().max())
        oracle.assert_close(layer(x), expected, n=n * d, magnitude=2 * gain * oracle.norm(x), transforms=6)


@pytest.mark.parametrize("m", [1, 2, 7, 15, 16, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("n", [1, 2, 31, 32])
@each_class
def test_other_lengths_interpolate_in_frequency(backend: str, cls: type[GlobalFilterMixing], n: int, m: int) -> None:
    layer = fixed(cls, smooth_response(n, 4))
    h = oracle.wide(layer.get_filter_response())
    # Linear interpolation of the periodic response at the frequencies k/m, by numpy.
    wrapped = np.concatenate([h, h[:1]])
    positions = np.arange(m) * n / m
    columns = [np.interp(positions, np.arange(n + 1), wrapped[:, c]) for c in range(4)]
    resampled = np.stack(columns, -1)
    x = oracle.draw(3, m, 4)
    axes = (-2, -1) if cls is GlobalFilterMixing2D else (-2,)
    expected = np.fft.ifftn(np.fft.fftn(oracle.wide(x), axes=axes) * resampled, axes=axes).real
    # positions carry an error of up to n eps, times the slope of H (under 2 pi / n per bin).
    oracle.assert_close(layer(x), expected, n=4 * m, magnitude=4 * oracle.norm(x), transforms=8)


@pytest.mark.parametrize("m", [1, 5, 16, 31, 33, 64, 129])
def test_interpolation_keeps_constants_and_dc(m: int) -> None:
    # A constant signal sees H at DC whatever the length.
    layer = fixed(GlobalFilterMixing, smooth_response(32, 4))
    y = layer(torch.ones(1, m, 4, dtype=torch.float64))
    torch.testing.assert_close(y, layer.get_filter_response()[0].real.expand(1, m, 4))


def test_interpolation_of_a_smooth_filter_is_nearly_the_same_filter() -> None:
    # Twice as many bins: the same impulse response of three samples, up to the error of linear interpolation,
    # h^2 / 8 max |H''| with h = 2 pi / 32 and |H''| <= 0.65.
    layer = fixed(GlobalFilterMixing, smooth_response(32, 4))
    x = oracle.draw(2, 64, 4)
    exact = spectral_filter(x, smooth_response(64, 4)[:33])
    bound = (2 * torch.pi / 32) ** 2 / 8 * 0.65
    assert (layer(x) - exact).norm() <= bound * x.norm()


@each_class
def test_interpolation_has_gradients(cls: type[GlobalFilterMixing]) -> None:
    layer = cls(3, 8).double()
    layer(oracle.draw(2, 11, 3)).square().sum().backward()
    assert layer.filter_real.grad.abs().sum() > 0 and layer.filter_imag.grad.abs().sum() > 0


@each_class
def test_effective_response_is_what_acts(cls: type[GlobalFilterMixing]) -> None:
    layer = cls(5, 12, activation="identity", filter_init_std=1.0).double()
    effective = fixed(cls, layer.get_effective_response().detach())
    x = oracle.draw(2, 12, 5)
    torch.testing.assert_close(effective(x), layer(x))
    torch.testing.assert_close(effective.get_effective_response(), layer.get_effective_response())


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "identity"])
@each_class
def test_response(cls: type[GlobalFilterMixing], activation: str) -> None:
    layer = cls(5, 12, activation=activation)
    f = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "identity": lambda w: w}[activation]
    h = layer.get_filter_response()
    assert h.shape == (12, 5) and h.dtype is torch.complex64
    assert torch.equal(h, torch.complex(f(layer.filter_real), f(layer.filter_imag)))
    assert layer.half().get_filter_response().dtype is torch.complex64
    assert layer.double().get_filter_response().dtype is torch.complex128


@each_class
def test_analysis_of_a_delay(cls: type[GlobalFilterMixing]) -> None:
    k = torch.arange(16).double()
    layer = fixed(cls, torch.exp(-2j * torch.pi * 5 * k / 16).unsqueeze(-1).expand(-1, 3))
    delay = layer.analyze_frequency_response()["group_delay"]
    torch.testing.assert_close(delay, torch.full_like(delay, 5.0))


@each_class
def test_exchange_of_weights(cls: type[GlobalFilterMixing]) -> None:
    # Another package's state_dict: two tensors of these names.
    state = {"filter_real": torch.randn(12, 5), "filter_imag": torch.randn(12, 5)}
    x = torch.randn(2, 12, 5)
    outputs = []
    for learnable in (True, False):
        layer = cls(5, 12, learnable_filters=learnable)
        assert not any(layer.load_state_dict(state))
        assert all(torch.equal(layer.state_dict()[name], value) for name, value in state.items())
        outputs.append(layer(x))
    assert torch.equal(*outputs)


@each_class
def test_fixed_filters_are_buffers(cls: type[GlobalFilterMixing]) -> None:
    layer = cls(5, 12, learnable_filters=False)
    assert not list(layer.parameters())
    assert set(dict(layer.named_buffers())) == {"filter_real", "filter_imag"} == set(layer.state_dict())
    assert layer.get_spectral_properties()["parameter_count"] == 0
    assert "learnable_filters=False" in repr(layer)
    learnable = cls(5, 12)
    assert learnable.get_spectral_properties()["parameter_count"] == sum(p.numel() for p in learnable.parameters())


@pytest.mark.parametrize("norm", oracle.NORMS)
@each_class
def test_norm_cancels(cls: type[GlobalFilterMixing], norm: str) -> None:
    layer, ortho = cls(5, 12, fft_norm=norm), cls(5, 12)
    ortho.load_state_dict(layer.state_dict())
    x = torch.randn(2, 12, 5)
    assert torch.equal(ortho(x), layer(x))


@each_class
def test_initialisation(cls: type[GlobalFilterMixing]) -> None:
    for std in (0.02, 0.5):
        layer = cls(64, 128, filter_init_std=std)
        for w in (layer.filter_real, layer.filter_imag):
            # 8192 draws: the root mean square scatters by 1 / sqrt(2 * 8192), more where few draws weigh most.
            assert abs(float(w.detach().square().mean().sqrt()) / std - 1) < 0.1


def test_adaptive_initialisation_favours_low_frequencies() -> None:
    layer = AdaptiveGlobalFilter(2000, 16)
    spread = layer.filter_real.detach().std(dim=1)
    expected = (1 + torch.minimum(torch.arange(16), 16 - torch.arange(16))).float().rsqrt()
    expected *= 0.02 / expected.square().mean().sqrt()
    # Each of 16 estimates from 2000 draws scatters by 1 / sqrt(4000); five of those.
    assert ((spread / expected - 1).abs() < 5 / 4000**0.5).all()
    flat = AdaptiveGlobalFilter(2000, 16, adaptive_initialization=False).filter_real.detach().std(dim=1)
    assert ((flat / 0.02 - 1).abs() < 5 / 4000**0.5).all()


def test_regularization_loss() -> None:
    layer = AdaptiveGlobalFilter(5, 12, filter_regularization=0.1)
    loss = layer.get_regularization_loss()
    torch.testing.assert_close(loss, 0.1 * (layer.filter_real.norm() ** 2 + layer.filter_imag.norm() ** 2))
    loss.backward()
    torch.testing.assert_close(layer.filter_real.grad, 0.2 * layer.filter_real.detach())
    none = AdaptiveGlobalFilter(5, 12).get_regularization_loss()
    assert none.shape == () and none == 0


def test_spectral_dropout() -> None:
    layer = AdaptiveGlobalFilter(50, 32, spectral_dropout_p=0.25).double()
    impulse = torch.zeros(2, 32, 50, dtype=torch.float64)
    impulse[:, 0] = 1
    spectra = torch.fft.rfft(layer(impulse), dim=-2)
    assert torch.equal(spectra[0], spectra[1])  # one filter for the whole batch
    full = torch.fft.rfft(layer.eval()(impulse), dim=-2)[0]
    gain = spectra[0].real / full.real
    # 850 (frequency, channel) pairs; five standard deviations of a coin with p = 1/4 are 63.
    silent = gain.abs() < 1e-9
    assert abs(int(silent.sum()) - 850 / 4) < 63
    torch.testing.assert_close(gain[~silent], torch.full_like(gain[~silent], 4 / 3))
    assert AdaptiveGlobalFilter(4, 8, spectral_dropout_p=1.0)(torch.randn(2, 8, 4)).abs().max() == 0


def test_nan_stays_in_its_sample_and_channel(backend: str) -> None:
    x = torch.randn(3, 12, 5)
    x[1, 4, 2] = float("nan")
    y = GlobalFilterMixing(5, 12)(x)
    assert y[1, :, 2].isnan().all() and int(y.isnan().sum()) == 12


def test_reset_where_parameters_are_shared_out() -> None:
    # As fully_shard does among processes; here there is one.
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        mesh = torch.distributed.init_device_mesh("cpu", (1,))
        with torch.device("meta"):
            layer = AdaptiveGlobalFilter(64, 12)
        torch.distributed.fsdp.fully_shard(layer, mesh=mesh)
        layer.to_empty(device="cpu")
        layer.reset_parameters()
        power = layer.filter_real.detach().full_tensor().square().mean(1)
        assert float(power[0]) > 3 * float(power[6])  # 7 times, but for chance
        assert layer(torch.randn(2, 12, 64)).isfinite().all()
    finally:
        torch.distributed.destroy_process_group()
