"""LongConvMixing: what it computes with gates and at other lengths, and what it says of itself."""

from __future__ import annotations

import oracle
import pytest
import torch

import spectrans
from spectrans.functional import fft_conv, spectral_norm
from spectrans.layers.mixing import LongConvMixing

M, D = 10, 3
each_kind = pytest.mark.parametrize("causal", [True, False])


def layer_of(causal: bool, std: float = 0.5) -> LongConvMixing:
    torch.manual_seed(0)
    layer = LongConvMixing(D, M, filter_init_std=std, causal=causal).double()
    with torch.no_grad():
        layer.skip.copy_(oracle.draw(D))
    return layer


def by_definition(layer: LongConvMixing, v: torch.Tensor) -> torch.Tensor:
    n = v.shape[-2]
    y = layer.skip * v
    for s, taps in enumerate(layer.kernel[:n]):
        shifted = v.roll(s, -2)
        if layer.causal:
            shifted = shifted * (torch.arange(n) >= s).unsqueeze(-1)
        y = y + taps * shifted
    return y


@each_kind
@pytest.mark.parametrize("n", [1, 2, 7, M, M + 1, 3 * M])
def test_every_length_and_gate(backend: str, causal: bool, n: int) -> None:
    layer = layer_of(causal)
    x, pre, post = (oracle.draw(2, n, D, seed=seed) for seed in range(3))
    one = torch.ones_like(x)
    for before, after in ((None, None), (pre, None), (None, post), (pre, post)):
        y = layer(x, pre_gate=before, post_gate=after)
        expected = by_definition(layer, x * (one if before is None else before)) * (one if after is None else after)
        torch.testing.assert_close(y, expected)


@each_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_rounded_once(backend: str, causal: bool, dtype: torch.dtype) -> None:
    layer = layer_of(causal)
    x, pre, post = (oracle.draw(2, M, D, dtype=dtype, seed=seed) for seed in range(3))
    y = layer(x, pre, post)
    assert y.dtype is dtype
    exact = by_definition(layer, x.double() * pre.double()) * post.double()
    # Half a unit in the last place of the result, and float32's rounding of the sum it came from.
    bound = torch.finfo(dtype).eps / 2 * exact.abs() + 1e-5 * exact.abs().max()
    assert bool(((y.double() - exact).abs() <= bound).all())


@each_kind
def test_gradients(backend: str, causal: bool) -> None:
    layer = layer_of(causal)
    inputs = [oracle.draw(2, M, D, seed=seed).requires_grad_() for seed in range(3)]
    assert torch.autograd.gradcheck(layer, inputs)
    assert torch.autograd.gradgradcheck(layer, inputs)
    parameters = list(layer.parameters())
    ours = torch.autograd.grad(layer(*inputs).pow(2).sum(), parameters)
    theirs = torch.autograd.grad((by_definition(layer, inputs[0] * inputs[1]) * inputs[2]).pow(2).sum(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_causal_is_one_kernel(native_library: None) -> None:
    layer, x = LongConvMixing(D, M), torch.randn(2, M, D)
    steps = spectrans.explain(lambda: layer(x, x, x)).steps
    assert [(step.op, step.implementation) for step in steps] == [("spectrans::conv", "native")]
    y = fft_conv(x, layer.kernel, pre_gate=x, post_gate=x, skip=layer.skip)
    assert torch.equal(layer(x, x, x), y)


@each_kind
def test_response_is_that_of_the_taps(causal: bool) -> None:
    layer = layer_of(causal)
    spectrum = torch.fft.rfft(layer.kernel, dim=0) + layer.skip
    torch.testing.assert_close(layer.get_filter_response(), spectrum)
    assert layer.analyze_frequency_response()["magnitude"].shape == (M // 2 + 1, D)


@pytest.mark.parametrize("n", [1, 7, M, 25])
def test_operator_norm(n: int) -> None:
    layer = layer_of(causal=False)
    units = torch.eye(n * D, dtype=torch.float64).reshape(n * D, n, D)
    matrix = layer(units).detach().reshape(n * D, n * D)
    assert layer.compute_operator_norm(n) == pytest.approx(float(spectral_norm(matrix)), rel=1e-6)
    assert layer_of(causal=True).compute_operator_norm(n) is None


def test_what_is_unitary() -> None:
    layer = LongConvMixing(D, M, filter_init_std=0.0)
    assert layer.get_spectral_properties()["unitary"]
    with torch.no_grad():
        layer.skip[1] = -1.0
    assert layer.get_spectral_properties()["unitary"]
    with torch.no_grad():
        layer.kernel[3, 1] = 1e-6  # as far as circular ones may be, too
    assert layer.get_spectral_properties()["unitary"]
    with torch.no_grad():
        layer.kernel[3, 1] = 0.1
    assert not layer.get_spectral_properties()["unitary"]
    delay = LongConvMixing(D, M, filter_init_std=0.0, causal=False)
    with torch.no_grad():
        delay.skip.zero_()
        delay.kernel[4] = 1.0
    assert delay.get_spectral_properties()["unitary"]  # around the circle nothing is lost


@each_kind
def test_state_and_initial_values(causal: bool) -> None:
    torch.manual_seed(0)
    layer = LongConvMixing(64, 500, filter_init_std=0.3, causal=causal)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "kernel": (500, 64),
        "skip": (64,),
    }
    assert float(layer.kernel.detach().std()) == pytest.approx(0.3, rel=0.02)
    assert bool((layer.skip == 1).all())
    fixed = LongConvMixing(64, 500, learnable_filters=False, causal=causal)
    assert not list(fixed.parameters()) and set(fixed.state_dict()) == {"kernel", "skip"}
    assert repr(layer).startswith(f"LongConvMixing(\n  hidden_dim=64, sequence_length=500, causal={causal}\n")


@each_kind
def test_errors(causal: bool) -> None:
    layer, x = LongConvMixing(D, M, causal=causal), torch.zeros(2, M, D)
    for name in ("pre_gate", "post_gate"):
        with pytest.raises(ValueError, match=rf"{name}: expected shape \(2, 10, 3\), that of x, got \(2, 9, 3\)"):
            layer(x, **{name: x[:, 1:]})
        with pytest.raises(TypeError, match=f"{name}: expected dtype torch.float32, that of x, got torch.float64"):
            layer(x, **{name: x.double()})
        with pytest.raises(TypeError, match=f"{name}: expected a tensor or None, got float"):
            layer(x, **{name: 1.0})
    with pytest.raises(ValueError, match=r"x: expected shape \[..., sequence, 3\] for hidden_dim=3"):
        layer(torch.zeros(2, M, 4))
    with pytest.raises(ValueError, match=r"x: expected transformed axes of length 1 or more, got shape \(2, 0, 3\)"):
        layer(x[:, :0])
    with pytest.raises(ValueError, match="x: expected device cpu, that of the layer's filter, got meta"):
        layer(x.to("meta"))
    with pytest.raises(TypeError, match="causal: expected a bool, got int"):
        LongConvMixing(D, M, causal=1)
    with pytest.raises(ValueError, match="filter_init_std: expected 0 or more, got -1"):
        LongConvMixing(D, M, filter_init_std=-1)


@each_kind
def test_no_samples_in_the_batch(causal: bool) -> None:
    x = torch.zeros(0, M, D, requires_grad=True)
    y = LongConvMixing(D, M, causal=causal)(x, x, x)
    y.sum().backward()
    assert y.shape == x.shape and x.grad is not None
