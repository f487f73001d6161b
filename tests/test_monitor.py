"""`spectrans.monitor`: what it records, what it costs, what it raises, and that it leaves a model as it was."""

from __future__ import annotations

import builtins
import copy
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import oracle
import pytest
import torch
from torch import Tensor, nn

import spectrans
from spectrans import _monitor
from spectrans.layers.mixing import (
    AdaptiveGlobalFilter,
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


class Claims(MixingLayer):
    """Computes anything, and claims what it is told to."""

    def __init__(
        self, function: Callable[..., Any], energy_preserving: bool = False, operator_norm: float | None = None
    ) -> None:
        super().__init__(D)
        self.function, self.energy_preserving, self.norm = function, energy_preserving, operator_norm

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def get_spectral_properties(self) -> dict[str, Any]:
        return {
            "unitary": False,
            "real_output": True,
            "frequency_domain": False,
            "energy_preserving": self.energy_preserving,
        }

    def compute_operator_norm(self, sequence_length: int) -> float | None:
        return self.norm


def watched(model: nn.Module, *args: Any, **options: Any) -> spectrans.monitor:
    """A monitor that has seen one call, quietly, of every layer."""
    with spectrans.monitor(model, quiet=True, **{"budget": None, **options}) as watch:
        model(*args)
    return watch


def samples(count: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return oracle.draw(count, N, D, dtype=dtype)


# -- operator norms ----------------------------------------------------------------------------------------------------


def grid(**options: Any) -> GridFilterMixing:
    return GridFilterMixing(D, (3, 4), filter_init_std=0.5, **options)


class Half(spectrans.layers.mixing.FilterMixingLayer):
    """A filter given by its half spectrum."""

    def __init__(self, n: int = N) -> None:
        super().__init__(D, n)
        self.response = torch.complex(oracle.draw(n // 2 + 1, D), oracle.draw(n // 2 + 1, D))

    def forward(self, x: Tensor) -> Tensor:
        return spectrans.functional.spectral_filter(x, self.response)

    def get_filter_response(self) -> Tensor:
        return self.response


class Full(Half):
    """The same filter given by all frequencies, and something that has no effect."""

    def get_filter_response(self) -> Tensor:
        n = self.sequence_length
        k = torch.arange(n)
        full = torch.where(
            (k <= n // 2)[:, None], self.response[k % (n // 2 + 1)], self.response[-k % n % (n // 2 + 1)].conj()
        )
        return full + 1j * (k - (-k % n)).abs()[:, None].to(full.dtype)


NORMS: dict[str, Callable[[], MixingLayer]] = {
    "fourier": lambda: FourierMixing(D),
    "fourier backward": lambda: FourierMixing(D, fft_norm="backward"),
    "fourier forward": lambda: FourierMixing(D, fft_norm="forward"),
    "fourier complex": lambda: FourierMixing(D, fft_norm="backward", keep_complex=True),
    "fourier 1d": lambda: FourierMixing1D(D, fft_norm="backward"),
    "hartley": lambda: RealFourierMixing(D),
    "hartley backward": lambda: RealFourierMixing(D, fft_norm="backward"),
    "separable": lambda: SeparableFourierMixing(D, fft_norm="backward"),
    "separable sequence": lambda: SeparableFourierMixing(D, mix_features=False, fft_norm="forward"),
    "separable features": lambda: SeparableFourierMixing(D, mix_sequence=False, fft_norm="backward"),
    "filter": lambda: GlobalFilterMixing(D, N, activation="identity", filter_init_std=1.0),
    "filter 2d": lambda: GlobalFilterMixing2D(D, N, activation="identity", filter_init_std=1.0),
    "adaptive": lambda: AdaptiveGlobalFilter(D, N, activation="tanh", filter_init_std=1.0),
    "grid": grid,
    "half": Half,
    "full": Full,
}  # fmt: skip


@pytest.mark.parametrize("n", [N, 7, 1], ids=str)
@pytest.mark.parametrize("name", NORMS)
def test_operator_norm_is_that_of_the_matrix(name: str, n: int) -> None:
    layer = NORMS[name]().double()
    norm = layer.compute_operator_norm(n)
    if n != N and name in ("grid", "half", "full"):
        assert norm is None
        return
    assert isinstance(norm, float)
    matrix = layer(torch.eye(n * D, dtype=torch.float64).reshape(n * D, n, D)).detach().reshape(n * D, -1)
    assert norm == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_half_and_full_responses_are_the_same_filter(n: int) -> None:
    half, full = Half(n), Full(n)
    full.response = half.response
    torch.testing.assert_close(full.get_effective_response()[: n // 2 + 1], half.get_effective_response())
    x = oracle.draw(2, n, D)
    expected = torch.fft.ifft(torch.fft.fft(x, dim=1) * full.get_effective_response(), dim=1)
    torch.testing.assert_close(half(x), expected.real)
    assert float(expected.imag.abs().max()) < 1e-12
    half.response = half.response[:0]
    with pytest.raises(ValueError, match="get_filter_response: expected"):
        half.get_effective_response()


def test_operator_norm_of_other_layers() -> None:
    class Reversal(UnitaryMixingLayer):
        def forward(self, x: Tensor) -> Tensor:
            return x.flip(-2)

    assert Reversal(D).compute_operator_norm(N) == 1.0
    assert Claims(torch.neg).compute_operator_norm(N) is None
    for layer in (FourierMixing(D), GlobalFilterMixing(D, N)):
        with pytest.raises(ValueError, match="sequence_length: expected 1 or more, got 0"):
            layer.compute_operator_norm(0)


# -- records -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*oracle.DTYPES], ids=str)
def test_record(backend: str, dtype: torch.dtype) -> None:
    layer = GlobalFilterMixing(D, N, activation="identity", filter_init_std=1.0).to(dtype).eval()
    x = samples(dtype=dtype)
    (record,) = watched(layer, x).records
    before, after = (t.detach().double().square().sum((1, 2)) for t in (x, layer(x)))
    assert record.layer == record.kind == "GlobalFilterMixing"
    assert (record.call, record.shape, record.dtype) == (0, (3, N, D), str(dtype).removeprefix("torch."))
    assert record.training is False
    assert record.energy_in == pytest.approx(float(before.sum()))
    assert record.energy_out == pytest.approx(float(after.sum()))
    assert record.energy_error == pytest.approx(float(((after - before).abs() / before).max()))
    assert record.gain == pytest.approx(float((after / before).max().sqrt()))
    assert record.operator_norm == layer.compute_operator_norm(N)
    assert record.gain <= record.operator_norm


def test_layers_and_calls_in_order() -> None:
    shared = RealFourierMixing(D)
    model = nn.Sequential(nn.Linear(D, D), FourierMixing(D), nn.Sequential(shared, nn.ReLU(), shared)).double()
    with spectrans.monitor(model, budget=None, quiet=True) as watch:
        model(samples())
        model(samples(5)[:, :7])
    seen = [(record.layer, record.kind, record.call, record.shape) for record in watch.records]
    assert seen == [
        ("1", "FourierMixing", 0, (3, N, D)),
        ("2.0", "RealFourierMixing", 0, (3, N, D)),
        ("2.0", "RealFourierMixing", 1, (3, N, D)),
        ("1", "FourierMixing", 1, (5, 7, D)),
        ("2.0", "RealFourierMixing", 2, (5, 7, D)),
        ("2.0", "RealFourierMixing", 3, (5, 7, D)),
    ]


def test_operator_norm_follows_the_parameters() -> None:
    layer = GlobalFilterMixing(D, N, activation="identity", filter_init_std=1.0).double()
    with spectrans.monitor(layer, budget=None, quiet=True) as watch:
        layer(samples())
        layer.filter_real.data.mul_(3)
        layer.filter_imag.data.mul_(3)
        layer(samples())
    first, second = (record.operator_norm for record in watch.records)
    assert second == pytest.approx(3 * first)


def test_energy_in_is_taken_before_the_call() -> None:
    (record,) = watched(Claims(lambda x: x.mul_(2)), samples()).records
    assert record.energy_out == pytest.approx(4 * record.energy_in)
    assert record.gain == pytest.approx(2)


def test_output_is_the_layers_own() -> None:
    layer = Claims(lambda x: 2 * x)
    layer.register_forward_hook(lambda module, args, y: 10 * y)
    assert watched(layer, samples()).records[0].gain == pytest.approx(2)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.zeros(0, N, D), (0.0, 0.0, 0.0, 0.0)),
        (torch.zeros(2, 0, D), (0.0, 0.0, 0.0, 0.0)),
        (torch.zeros(2, N, D), (0.0, 0.0, 0.0, 0.0)),
        (torch.ones(N), (N, 4 * N, 3.0, 2.0)),
        (torch.tensor(3.0), (9.0, 36.0, 3.0, 2.0)),
        (torch.full((1, 2), 1 + 1j), (4.0, 16.0, 3.0, 2.0)),
        (torch.ones(2, 3, 4, 5), (120.0, 480.0, 3.0, 2.0)),
    ],
    ids=lambda x: str(tuple(x.shape)) if isinstance(x, Tensor) else "",
)
def test_shapes(x: Tensor, expected: tuple[float, ...]) -> None:
    (record,) = watched(Claims(lambda x: 2 * x), x, strict=True).records
    assert (record.energy_in, record.energy_out, record.energy_error, record.gain) == expected


def test_zero_input_and_what_is_not_finite() -> None:
    layer = Claims(lambda x: x + 1)
    (record,) = watched(layer, torch.zeros(2, N, D)).records
    assert record.energy_error == record.gain == math.inf
    watch = watched(layer, torch.full((2, N, D), math.nan))
    assert math.isnan(watch.records[0].gain) and math.isnan(watch.summary()[0]["energy_error"])
    assert math.isnan(json.loads(json.dumps(watch.summary()))[0]["gain"])


def test_kwargs_and_tuples() -> None:
    layer = Claims(lambda *, scale, x: (x * scale, "more"))
    with spectrans.monitor(layer, quiet=True, strict=True) as watch:
        layer(scale=3, x=samples())
    assert watch.records[0].gain == pytest.approx(3)
    # Other samples come out: the energies of the whole are compared.
    (record,) = watched(Claims(lambda x: x[:1]), torch.ones(4, N, D), strict=True).records
    assert (record.energy_out, record.energy_error, record.gain) == (N * D, 0.75, 0.5)


@pytest.mark.parametrize(
    ("function", "x", "problem"),
    [
        (lambda x: {"y": x}, torch.ones(2, N, D), "output: expected a tensor, found none"),
        (lambda x: torch.ones(2), "text", "input: expected a tensor, found none"),
        (lambda x: x.float(), torch.ones(2, N, D, dtype=torch.int64), "input: x: expected dtype"),
        (lambda x: x, torch.ones(2, N, D, device="meta"), "output: "),
    ],
    ids=["dict", "no tensor", "integers", "meta"],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_cannot_be_measured_passes(function: Callable[..., Any], x: Any, problem: str, strict: bool) -> None:
    layer = Claims(function, energy_preserving=True, operator_norm=1.0)
    watch = watched(layer, x, strict=strict)
    (row,) = watch.summary()
    assert watch.records == [] and (row["calls"], row["measured"]) == (1, 0)
    assert row["problem"].startswith(problem)
    assert problem in str(watch)


def test_an_operator_norm_that_fails_is_unknown() -> None:
    layer = Claims(torch.neg)
    layer.compute_operator_norm = lambda n: 1 / 0
    watch = watched(layer, samples())
    assert watch.records[0].operator_norm is None
    assert watch.summary()[0]["problem"] == "operator norm: division by zero"


def test_the_layers_own_error_passes() -> None:
    layer = RealFourierMixing(D)
    x = torch.ones(2, N, D, dtype=torch.int64)
    with pytest.raises(TypeError) as plain:
        layer(x)
    for strict in (False, True):
        with pytest.raises(TypeError) as raised, spectrans.monitor(layer, strict=strict) as watch:
            layer(x)
        assert str(raised.value) == str(plain.value)
        assert watch.summary()[0]["calls"] == 0
    assert not layer._forward_hooks and not layer._forward_pre_hooks


def test_calls_go_on_after_an_error() -> None:
    layer = RealFourierMixing(D).double()
    with spectrans.monitor(layer, quiet=True) as watch:
        with pytest.raises(ValueError, match="x: expected shape"):
            layer(samples()[..., :3])
        layer(samples())
    assert [record.call for record in watch.records] == [0]


# -- the model is left alone -------------------------------------------------------------------------------------------


def test_a_copy_of_a_watched_model_is_not_watched() -> None:
    model, x = nn.Sequential(RealFourierMixing(D)), samples()
    with spectrans.monitor(model, strict=True, budget=None, quiet=True) as seen:
        model(x)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        copies = copy.deepcopy(model), torch.load(file, weights_only=False)
        for other in copies:
            assert torch.equal(other(x), model(x))
            other(x * float("nan"))  # no error
    for other in copies:
        hook = next(iter(other[0]._forward_pre_hooks.values()))
        other(x * float("nan"))
        assert len(hook.__self__.owner.records) == 1  # what there was when it was copied
    assert len(seen.records) == 3


def test_results_and_gradients_do_not_change() -> None:
    def strictly(model: nn.Module) -> spectrans.monitor:
        return spectrans.monitor(model, quiet=True, budget=None, strict=True)

    def run(context: Callable[[nn.Module], Any]) -> tuple[Tensor, ...]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(D, D), GlobalFilterMixing(D, N, dropout=0.5), RealFourierMixing(D)).double()
        x = samples().requires_grad_()
        with context(model):
            y = model(x)
            y.square().sum().backward()
        return y, x.grad, *(p.grad for p in model.parameters())

    for plain, seen in zip(run(lambda model: nullcontext()), run(strictly), strict=True):
        assert torch.equal(plain, seen)


def test_hooks_are_gone_afterwards() -> None:
    model = nn.Sequential(FourierMixing(D), nn.Sequential(RealFourierMixing(D)))

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    with pytest.raises(KeyError), spectrans.monitor(model):
        assert hooks() == 4
        raise KeyError
    assert hooks() == 0
    watch = watched(model, samples())
    assert hooks() == 0
    model(samples())
    assert len(watch.records) == 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_modes(mode: Callable[[], Any]) -> None:
    model = nn.Sequential(nn.Linear(D, D), RealFourierMixing(D), GlobalFilterMixing(D, N))
    with mode():
        watch = watched(model, samples(dtype=torch.float32), strict=True)
    assert [record.layer for record in watch.records] == ["1", "2"]
    assert all(isinstance(value, float) for record in watch.records for value in (record.energy_in, record.gain))


def test_checkpointed_calls_are_counted_twice() -> None:
    layer = GlobalFilterMixing(D, N).double()
    with spectrans.monitor(layer, quiet=True, budget=None) as watch:
        y = torch.utils.checkpoint.checkpoint(layer, samples().requires_grad_(), use_reentrant=False, early_stop=False)
        y.sum().backward()
    assert [record.call for record in watch.records] == [0, 1]


def test_compiled_calls_are_not_seen() -> None:
    layer = RealFourierMixing(D).double()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with spectrans.monitor(layer, quiet=True, strict=True) as watch:
        torch.testing.assert_close(compiled(samples()), layer(samples()))
    assert watch.summary()[0]["calls"] == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("transform", [torch.func.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
def test_transforms_pass(transform: Callable[..., Any]) -> None:
    layer = RealFourierMixing(D).double()
    x = samples()
    with spectrans.monitor(layer, quiet=True, strict=True) as watch:
        y = transform(layer)(x)
    torch.testing.assert_close(y, transform(layer)(x))
    assert watch.summary()[0]["calls"] == 1


def test_a_layer_that_calls_itself() -> None:
    layer = Claims(lambda x, depth: layer(2 * x, depth - 1) if depth else x)
    watch = watched(layer, samples(), 3)
    assert [record.gain for record in watch.records] == [1.0]


def test_entering_again_starts_anew() -> None:
    layer = RealFourierMixing(D).double()
    watch = spectrans.monitor(layer, quiet=True, budget=None)
    for count in (2, 3):
        with watch as same:
            assert same is watch and watch.records == []
            for _ in range(count):
                layer(samples())
        assert len(watch.records) == watch.summary()[0]["calls"] == count
    with watch, pytest.raises(RuntimeError, match="already entered"), watch:
        pass


def test_nesting() -> None:
    model = nn.Sequential(RealFourierMixing(D), FourierMixing(D)).double()
    with spectrans.monitor(model, quiet=True) as outer, spectrans.monitor(model[1], quiet=True) as inner:
        model(samples())
    assert [record.layer for record in outer.records] == ["0", "1"]
    assert [record.layer for record in inner.records] == ["FourierMixing"]
    assert outer.records[1].energy_out == inner.records[0].energy_out


# -- budget ------------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Half a second for an energy, so that a measurement takes one."""
    clock = Clock()
    plain = _monitor._sample_energies

    def sample_energies(x: Tensor) -> Tensor:
        clock.now += 0.5
        return plain(x)

    monkeypatch.setattr(_monitor, "_clock", clock)
    monkeypatch.setattr(_monitor, "HOOKS", 0.0)
    monkeypatch.setattr(_monitor, "AFTERMATH", 1.0)
    monkeypatch.setattr(_monitor, "_sample_energies", sample_energies)
    return clock


def taking(clock: Clock, seconds: float, inner: nn.Module | None = None) -> Claims:
    def function(x: Tensor) -> Tensor:
        clock.now += seconds
        return inner(x) if inner else x

    layer = Claims(function)
    layer.inner = inner
    return layer


@pytest.mark.parametrize(
    ("budget", "seconds", "measured"),
    [
        (0.1, 2.0, [0, 10, 15, 20, 25, 30, 35]),  # the second fits once ten calls have taken 20 s: (1 + 1) / 20
        (0.1, 1.0, [0, 20, 30]),
        (0.5, 1.0, [0, 4, 6, 8, *range(10, 40, 2)]),
        (0.1, 100.0, list(range(40))),
        (0, 100.0, [0]),
        (None, 1.0, list(range(40))),
        (math.inf, 1.0, list(range(40))),
    ],
)
def test_budget(clock: Clock, budget: float | None, seconds: float, measured: list[int]) -> None:
    layer = taking(clock, seconds)
    with spectrans.monitor(layer, budget=budget, quiet=True) as watch:
        for _ in range(40):
            layer(samples())
    assert [record.call for record in watch.records] == measured
    (row,) = watch.summary()
    assert (row["calls"], row["measured"]) == (40, len(measured))
    assert row["cost"] == pytest.approx(len(measured) / (40 * seconds))
    assert budget in (None, 0) or row["cost"] <= budget


def test_each_layer_has_a_budget_of_its_own(clock: Clock) -> None:
    model = nn.Sequential(taking(clock, 1.0), taking(clock, 10.0))
    with spectrans.monitor(model, quiet=True) as watch:
        for _ in range(10):
            model(samples())
    assert [row["measured"] for row in watch.summary()] == [1, 9]  # (1 + 1) / 10 is too much at the second call


def test_watching_an_inner_layer_is_not_time_of_the_outer(clock: Clock) -> None:
    model = taking(clock, 3.0, taking(clock, 2.0))
    with spectrans.monitor(model, budget=None, quiet=True) as watch, spectrans.monitor(model, budget=None, quiet=True):
        model(samples())
    outer, inner = watch.summary()
    assert outer["cost"] == pytest.approx(1 / 5) and inner["cost"] == pytest.approx(1 / 2)


def test_hooks_are_charged(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_monitor, "HOOKS", 0.125)
    layer = taking(clock, 1.0)
    for budget, measured in ((0.1, [0]), (0.25, [0, 16, 24, 32])):  # hooks alone take more than a tenth, half of 0.25
        with spectrans.monitor(layer, quiet=True, budget=budget) as watch:
            for _ in range(40):
                layer(samples())
        assert [record.call for record in watch.records] == measured
        assert watch.summary()[0]["cost"] == (len(measured) + 40 * 0.125) / 40


def test_the_aftermath_is_charged(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_monitor, "AFTERMATH", 2.0)
    layer = taking(clock, 1.0)
    with spectrans.monitor(layer, quiet=True) as watch:
        for _ in range(50):
            layer(samples())
    assert [record.call for record in watch.records] == [0, 40]
    assert watch.summary()[0]["cost"] == 4 / 50


def test_failed_measurements_are_charged(clock: Clock) -> None:
    layer = Claims(lambda x: "text")
    with spectrans.monitor(layer, quiet=True, budget=0) as watch:
        layer(samples())
        layer(samples())
    assert clock.now == 0.5 and watch.summary()[0]["calls"] == 2


# -- strict ------------------------------------------------------------------------------------------------------------


def scaled(factor: float) -> Callable[[Tensor], Tensor]:
    """One sample of several."""
    return lambda x: torch.cat((x[:1] * factor, x[1:]))


def spoilt(value: float) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat((x.flatten()[:-1], x.new_tensor([value]))).reshape(x.shape)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Claims(spoilt(math.nan)), "the output is not finite"),
        (Claims(spoilt(math.inf)), "the output is not finite"),
        (Claims(scaled(1.001), energy_preserving=True), "the energy of a sample changed by 0.002 of itself"),
        (Claims(scaled(0.999), energy_preserving=True), "the energy of a sample changed by 0.002 of itself"),
        (Claims(scaled(1.001), operator_norm=1.0), "a sample was amplified 1.001 times, by more than the operator"),
    ],
)  # fmt: skip
def test_strict(layer: Claims, message: str) -> None:
    watched(layer, samples())
    model = nn.Sequential(nn.Identity(), layer)
    with (
        pytest.raises(spectrans.MonitorError, match=rf"^1 \(Claims\), call 0: {message}") as raised,
        spectrans.monitor(model, strict=True) as watch,
    ):
        model(samples())
    assert isinstance(raised.value, RuntimeError)
    assert watch.records == [raised.value.record]
    assert not layer._forward_hooks


@pytest.mark.parametrize("causal", [True, False])
def test_strict_says_nothing_of_gates(causal: bool) -> None:
    layer = LongConvMixing(D, N, filter_init_std=0.0, causal=causal).double()  # the identity, without them
    x, gate = samples(), 3 + samples().abs()
    for args, named in (((x, gate, gate), {}), ((x,), {"post_gate": gate}), ((), {"pre_gate": gate, "x": x})):
        with spectrans.monitor(layer, quiet=True, strict=True, budget=None) as watch:
            layer(*args, **named)
        (record,) = watch.records
        assert record.operator_norm is None
        assert record.energy_in == pytest.approx(float(x.square().sum()))
    (record,) = watched(layer, x, strict=True).records
    assert record.operator_norm == (None if causal else pytest.approx(1.0))
    with (
        pytest.raises(spectrans.MonitorError, match="the output is not finite"),
        spectrans.monitor(layer, quiet=True, strict=True, budget=None),
    ):
        layer(x, gate / 0)


def test_strict_input() -> None:
    with pytest.raises(spectrans.MonitorError, match="the input is not finite"):
        watched(Claims(torch.zeros_like), spoilt(math.nan)(samples()), strict=True)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Claims(scaled(1.00001), energy_preserving=True), samples()),  # below the tolerance
        (Claims(scaled(2), operator_norm=2.0), samples()),
        (Claims(scaled(2)), samples()),  # claims nothing
        (Claims(torch.zeros_like, operator_norm=1.0), samples()),
        (Claims(scaled(2), energy_preserving=True, operator_norm=1.0), samples().to(torch.complex128)),
        (Claims(lambda x: 1.0 * x, energy_preserving=True), torch.full((2, N, D), 1e200, dtype=torch.float64)),
        (Claims(lambda x: x.half(), energy_preserving=True, operator_norm=1.0), samples(dtype=torch.float32) * 1e-7),
    ],
)
def test_strict_lets_pass(layer: Claims, x: Tensor) -> None:
    assert len(watched(layer, x, strict=True).records) == 1


@pytest.mark.parametrize("dtype", [*oracle.DTYPES], ids=str)
@pytest.mark.parametrize("name", NORMS)
def test_true_claims_survive_rounding(name: str, dtype: torch.dtype) -> None:
    """Constants, which reach the norm of most layers, and noise; at scales down to underflow."""
    layer = NORMS[name]().to(dtype).eval()
    with spectrans.monitor(layer, strict=True, quiet=True, budget=None) as watch:
        for scale in (1.0, 1e-3, 1e-6):
            for x in (torch.ones(1, N, D, dtype=dtype), samples(50, dtype)):
                layer(scale * x)
    assert len(watch.records) == 6


def test_dropout_excuses_a_layer() -> None:
    layer = RealFourierMixing(D, dropout=0.5).double()
    (record,) = watched(layer, samples(), strict=True).records
    assert record.training and record.energy_error > 0.01
    layer.energy_tolerance = 0.0
    layer.compute_operator_norm = lambda n: 0.5
    watched(layer, samples(), strict=True)
    for layer.dropout.p, layer.training in ((0.0, True), (0.5, False)):
        layer.dropout.train(layer.training)
        with pytest.raises(spectrans.MonitorError, match="amplified 1 times"):
            watched(layer, samples(), strict=True)
    spectral = AdaptiveGlobalFilter(D, N, spectral_dropout_p=0.5)
    spectral.compute_operator_norm = lambda n: 0.0
    watched(spectral, samples(dtype=torch.float32), strict=True)
    with pytest.raises(spectrans.MonitorError):
        watched(spectral.eval(), samples(dtype=torch.float32), strict=True)


def test_energy_tolerance_is_the_layers() -> None:
    layer = RealFourierMixing(D, energy_tolerance=0.1)
    layer.register_forward_pre_hook(lambda module, args: args)
    layer.forward = lambda x: 1.04 * x
    layer.compute_operator_norm = lambda n: None
    watched(layer, samples(), strict=True)
    layer.energy_tolerance = 0.05
    with pytest.raises(spectrans.MonitorError, match=r"changed by 0.0816 of itself.*tolerance 0.05"):
        watched(layer, samples(), strict=True)


def test_an_all_pass_filter_claims_energy_for_its_length_only() -> None:
    layer = GlobalFilterMixing(D, N, activation="identity").double()
    with torch.no_grad():
        h = torch.fft.fft(samples(1)[0], dim=0)
        layer.filter_real.copy_((h / h.abs()).real)
        layer.filter_imag.copy_((h / h.abs()).imag)
    assert layer.get_spectral_properties()["energy_preserving"]
    assert watched(layer, samples(), strict=True).records[0].energy_error < 1e-9
    assert watched(layer, samples()[:, :7], strict=True).records[0].energy_error > 1e-3


# -- printing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def importing(name: str, *args: Any) -> Any:
        if name.split(".")[0] == "rich":
            raise ImportError(name)
        return plain(name, *args)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_summary_is_plain() -> None:
    model = nn.Sequential(RealFourierMixing(D), FourierMixing(D)).double()
    with spectrans.monitor(model, budget=None, quiet=True) as watch:
        model[0](samples())
        model[0](2 * samples())
    first, never = json.loads(json.dumps(watch.summary()))
    one, two = watch.records
    assert (first["layer"], first["calls"], first["measured"], first["shape"]) == ("0", 2, 2, [3, N, D])
    assert first["energy_in"] == pytest.approx((one.energy_in + two.energy_in) / 2)
    assert first["gain"] == max(one.gain, two.gain)
    assert (first["dtype"], first["operator_norm"], first["problem"]) == ("float64", 1.0, None)
    assert (never["layer"], never["calls"], never["measured"]) == ("1", 0, 0)
    assert all(never[name] is None for name in ("shape", "energy_in", "gain", "operator_norm", "cost"))
    assert json.loads(json.dumps(one.to_dict()))["energy_in"] == one.energy_in


def test_prints_on_leaving(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    model = nn.Sequential(RealFourierMixing(D), taking(clock, 20.0)).double()
    with spectrans.monitor(model):
        model(samples())
    out = capsys.readouterr().out
    assert all(
        word in out for word in ("layer", "energy", "RealFourierMixing", "3x12x6", "1/1", "watching took about 10.0%")
    )
    assert max(map(len, out.splitlines())) <= 80
    with spectrans.monitor(model, quiet=True) as watch:
        model(samples())
    with pytest.raises(KeyError), spectrans.monitor(model):
        raise KeyError
    assert capsys.readouterr().out == ""
    watch.print()
    file = io.StringIO()
    watch.print(file)
    assert capsys.readouterr().out.split() == file.getvalue().split() == out.split()


def test_names_are_not_markup() -> None:
    pytest.importorskip("rich")
    model = nn.ModuleDict({"[red]": RealFourierMixing(D)})
    file = io.StringIO()
    with spectrans.monitor(model, quiet=True) as watch:
        pass
    watch.print(file)
    assert "[red]" in file.getvalue()


def test_prints_without_rich(without_rich: None, capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(RealFourierMixing(D)).double()
    with spectrans.monitor(model) as watch:
        model(samples())
    assert capsys.readouterr().out == f"{watch}\n"
    header, row, notes = str(watch).splitlines()
    assert header.split() == [
        "layer",
        "kind",
        "calls",
        "shape",
        "energy",
        "in",
        "energy",
        "out",
        "error",
        "gain",
        "norm",
    ]
    assert row.split()[:4] == ["0", "RealFourierMixing", "1/1", "3x12x6"]
    assert "of the time in these layers" in notes
    with pytest.raises(ImportError, match=r"monitor.table needs rich: pip install 'spectrans\[monitor\]'"):
        watch.table()


def test_rich_is_imported_only_to_print() -> None:
    code = "import sys, spectrans; assert not {'rich', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": torch.ones(3)}, TypeError, "model: expected a torch.nn.Module, got Tensor"),
        ({"model": RealFourierMixing}, TypeError, "model: expected a torch.nn.Module, got ABCMeta"),
        ({"model": nn.Linear(2, 2)}, ValueError, "model: expected a model with spectral layers .*Linear without"),
        ({"budget": "much"}, TypeError, "budget: expected a number, got str"),
        ({"budget": True}, TypeError, "budget: expected a number, got bool"),
        ({"budget": -0.1}, ValueError, "budget: expected 0 or more, got -0.1"),
        ({"budget": math.nan}, ValueError, "budget: expected 0 or more, got nan"),
        ({"strict": 1}, TypeError, "strict: expected a bool, got int"),
        ({"quiet": None}, TypeError, "quiet: expected a bool, got NoneType"),
    ],
)  # fmt: skip
def test_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        spectrans.monitor(**{"model": FourierMixing(D), **arguments})
