"""`spectrans.plot`: the numbers that are drawn, the words beside them, and that nothing else is touched."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

import spectrans
from spectrans import MonitorError, monitor
from spectrans._monitor import Record
from spectrans.layers.mixing import (
    FilterMixingLayer,
    FourierMixing,
    GlobalFilterMixing,
    GlobalFilterMixing2D,
    GridFilterMixing,
    RealFourierMixing,
)
from spectrans.plot import COLORS, plot_energy, plot_frequency_response, plot_spectrum

N, D = 12, 6
GRID = (4, 6)
KINDS = {"magnitude": "gain |H|", "phase": "phase (rad)", "group_delay": "group delay (samples)"}


class Response(FilterMixingLayer):
    def __init__(self, response: Tensor, n: int) -> None:
        super().__init__(response.shape[1], n)
        self.response = response

    def forward(self, x: Tensor) -> Tensor:
        return x

    def get_filter_response(self) -> Tensor:
        return self.response


def axes() -> Axes:
    return Figure().subplots()


def learned(n: int = N) -> GlobalFilterMixing:
    return GlobalFilterMixing(D, n, activation="identity", filter_init_std=1.0)


def delays(n: int = 16) -> Response:
    """Channel c has gain c + 1 and delays by c samples."""
    k, c = torch.arange(n)[:, None], torch.arange(D)
    return Response((c + 1) * torch.exp(-2j * math.pi * k * c / n), n)


def image(ax: Axes) -> np.ndarray:
    (drawn,) = ax.images
    return np.ma.getdata(drawn.get_array())


def data(ax: Axes, line: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return ax.lines[line].get_xdata(), ax.lines[line].get_ydata()


def bands(ax: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lower and upper edge of each filled band: its vertices go forth along one and back along the other."""
    found = []
    for band in ax.collections:
        assert isinstance(band, PolyCollection)
        points = band.get_paths()[0].vertices
        by_x = [points[points[:, 0] == x, 1] for x in np.unique(points[:, 0])]
        found.append((np.array([y.min() for y in by_x]), np.array([y.max() for y in by_x])))
    return found


# -- filters along the sequence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [N, 7, 2, 1])
@pytest.mark.parametrize("half", [False, True])
def test_gain(n: int, half: bool) -> None:
    layer = learned(n)
    expected = oracle.wide(layer.get_effective_response())[: n // 2 + 1]
    if half:
        layer = Response(layer.get_effective_response()[: n // 2 + 1], n)
    ax = axes()
    assert plot_frequency_response(layer, ax=ax) is ax
    x, y = data(ax)
    np.testing.assert_allclose(x, np.arange(n // 2 + 1) / n)
    np.testing.assert_allclose(y, np.median(np.abs(expected), axis=1), rtol=1e-6)
    for edges, shares in zip(bands(ax), ((0, 1), (0.25, 0.75)), strict=True):
        np.testing.assert_allclose(edges, np.quantile(np.abs(expected), shares, axis=1), rtol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("frequency (cycles per sample)", "gain |H|")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "all channels",
        "middle half",
        f"median of {D} channels",
    ]


def test_it_is_the_effective_response_that_is_drawn() -> None:
    """What has no effect on a real signal, is not seen."""
    k = torch.arange(8)
    layer = Response(torch.complex(torch.ones(8), torch.where(k == 0, 5.0, torch.minimum(k, 8 - k)))[:, None], 8)
    _, y = data(plot_frequency_response(layer, ax=axes()))
    np.testing.assert_allclose(y, 1)
    layer = Response(torch.tensor([[1 + 5j], [2], [3 + 5j]]), 4)
    _, y = data(plot_frequency_response(layer, ax=axes()))
    np.testing.assert_allclose(y, [1, 2, 3])


@pytest.mark.parametrize("channel", [0, 3])
def test_one_channel(channel: int) -> None:
    ax = plot_frequency_response(delays(), channels=channel, ax=axes())
    np.testing.assert_allclose(data(ax)[1], channel + 1, rtol=1e-5)
    assert not ax.collections and ax.get_legend() is None


def test_delay_and_unwrapped_phase() -> None:
    layer = delays()
    x, y = data(plot_frequency_response(layer, kind="group_delay", channels=3, ax=axes()))
    np.testing.assert_allclose(y, 3, atol=1e-4)
    x, y = data(plot_frequency_response(layer, kind="phase", channels=3, ax=axes()))
    np.testing.assert_allclose(y, -2 * math.pi * 3 * x, atol=1e-4)
    assert y.min() < -math.pi
    ax = plot_frequency_response(layer, kind="group_delay", ax=axes())
    np.testing.assert_allclose(data(ax)[1], 2.5, atol=1e-4)
    np.testing.assert_allclose(bands(ax)[0], (np.zeros(9), np.full(9, 5)), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_analysis_of_the_layer(kind: str) -> None:
    layer = Response(learned().get_effective_response()[: N // 2 + 1].detach(), N)
    expected = layer.analyze_frequency_response()[kind]
    _, y = data(plot_frequency_response(layer, kind=kind, channels=1, ax=axes()))
    difference = y - oracle.wide(expected[:, 1])
    if kind == "phase":
        difference = np.angle(np.exp(1j * difference))  # unwrapped
    np.testing.assert_allclose(difference, 0, atol=1e-5)


def test_decibels() -> None:
    layer = Response(torch.tensor([[1.0], [10.0], [0.0]], dtype=torch.complex64), 4)
    ax = plot_frequency_response(layer, decibels=True, ax=axes())
    np.testing.assert_allclose(data(ax)[1], [0, 20, np.nan])
    assert ax.get_ylabel() == "gain |H| (dB)"


@pytest.mark.parametrize(
    ("kind", "unit"), [("magnitude", "gain |H|"), ("phase", "phase (rad)"), ("group_delay", "group delay (samples)")]
)
def test_map(kind: str, unit: str) -> None:
    gains = torch.tensor([[0.0, 1, 1], [0, 1, 0], [1, 1, 0]])  # a high-pass, an all-pass, a low-pass
    layer = Response(torch.polar(gains, torch.tensor([0, 2.0, 0])[:, None] * torch.ones(3)), 4)
    ax = plot_frequency_response(layer, kind=kind, channels="map", label="three filters", ax=axes())
    if kind == "magnitude":
        np.testing.assert_allclose(image(ax), gains.T[[2, 1, 0]])
    elif kind == "phase":
        np.testing.assert_allclose(image(ax)[1], [0, 2, 0], atol=1e-6)
        assert ax.images[0].get_clim() == (-math.pi, math.pi)
    low, high = ax.images[0].get_clim()
    assert kind == "magnitude" or low == -high
    assert ax.images[0].get_extent() == pytest.approx((-0.125, 0.625, -0.5, 2.5))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("frequency (cycles per sample)", "channel, by centre frequency")
    assert ax.get_title() == "three filters"
    assert ax.figure.axes[1].get_ylabel() == unit


def test_several_on_the_same_axes() -> None:
    ax = axes()
    for label in ("one", "two"):
        plot_frequency_response(learned(), label=label, ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    assert [line.get_color() for line in ax.lines] == list(COLORS[:2])
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert len(ax.collections) == 2  # no extremes


# -- filters over two axes ---------------------------------------------------------------------------------------------


def whole_plane(layer: FilterMixingLayer) -> np.ndarray:
    """[h, w, d] from the impulse responses, frequency 0 in the middle."""
    if isinstance(layer, GridFilterMixing):
        h, w = layer.grid
        impulse = torch.zeros(1, h * w, D)
        impulse[:, 0] = 1
        return np.fft.fftshift(np.fft.fft2(oracle.wide(layer(impulse)).reshape(h, w, D), axes=(0, 1)), axes=(0, 1))
    impulse = torch.zeros(1, N, D)
    impulse[:, 0, 0] = 1
    return np.fft.fftshift(np.fft.fft2(oracle.wide(layer(impulse))[0]))[..., None]


@pytest.mark.parametrize("grid", [GRID, (5, 7), (3, 2), (1, 4), (2, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("kind", ["magnitude", "phase"])
def test_grid(grid: tuple[int, int], kind: str) -> None:
    layer = GridFilterMixing(D, grid, filter_init_std=1.0)
    plane = whole_plane(layer)
    ax = plot_frequency_response(layer, kind=kind, ax=axes())
    if kind == "magnitude":
        np.testing.assert_allclose(image(ax), np.median(np.abs(plane), axis=-1), rtol=1e-4, atol=1e-5)
    else:
        difference = image(ax) - np.angle(plane.sum(-1))
        np.testing.assert_allclose(np.exp(1j * difference), 1, atol=1e-3)
    of_channel = image(plot_frequency_response(layer, kind=kind, channels=2, ax=axes()))
    expected = np.abs(plane[..., 2]) if kind == "magnitude" else np.angle(plane[..., 2])
    np.testing.assert_allclose(np.exp(1j * (of_channel - expected)), 1, atol=1e-3)
    (h, w), (left, right, bottom, top) = grid, ax.images[0].get_extent()
    for low, high, n in ((left, right, w), (bottom, top, h)):  # centres of the cells are the frequencies
        np.testing.assert_allclose(low + (np.arange(n) + 0.5) * (high - low) / n, np.fft.fftshift(np.fft.fftfreq(n)))
    assert ax.get_xlabel() == "frequency along w (cycles per sample)"
    assert ax.get_ylabel() == "frequency along h (cycles per sample)"
    assert ax.figure.axes[1].get_ylabel() == KINDS[kind]


@pytest.mark.parametrize(("axis", "shift", "name"), [(0, 1, "h"), (1, 2, "w")])
def test_group_delay_of_a_grid(axis: int, shift: int, name: str) -> None:
    layer = GridFilterMixing(D, (7, 9))
    impulse = np.zeros((7, 9))
    impulse[1, 2] = 1  # a shift by one row and two columns
    h = torch.from_numpy(np.fft.rfft2(impulse)).to(torch.complex64)
    with torch.no_grad():
        layer.complex_weight.copy_(torch.view_as_real(h)[..., None, :].expand(-1, -1, D, -1))
    ax = plot_frequency_response(layer, kind="group_delay", axis=axis, ax=axes())
    np.testing.assert_allclose(image(ax), shift, atol=1e-4)
    assert ax.figure.axes[1].get_ylabel() == f"group delay along {name} (samples)"


@pytest.mark.parametrize("kind", KINDS)
def test_filter_over_sequence_and_channels(kind: str) -> None:
    layer = GlobalFilterMixing2D(D, N, activation="identity", filter_init_std=1.0)
    plane = whole_plane(layer)[..., 0]
    ax = plot_frequency_response(layer, kind=kind, axis=1, decibels=kind == "magnitude", ax=axes())
    if kind == "magnitude":
        np.testing.assert_allclose(image(ax), 20 * np.log10(np.abs(plane)), atol=1e-3)
    elif kind == "phase":
        np.testing.assert_allclose(np.exp(1j * (image(ax) - np.angle(plane))), 1, atol=1e-3)
    assert image(ax).shape == (N, D)
    assert ax.get_xlabel() == "frequency along channels (cycles per sample)"
    assert ax.get_ylabel() == "frequency along the sequence (cycles per sample)"


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*oracle.DTYPES], ids=str)
@pytest.mark.parametrize("shape", [(3, N, D), (7, D), (2, 3, 8, D), (4, 1, D), (N, 1)], ids=str)
def test_spectrum(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = oracle.draw(*shape, dtype=dtype)
    *_, n, d = shape
    ax = axes()
    assert plot_spectrum(x, decibels=False, ax=ax) is ax
    power = (np.abs(np.fft.rfft(oracle.wide(x), axis=-2)) ** 2 / n).reshape(-1, n // 2 + 1, d).mean(0)
    frequencies, y = data(ax)
    np.testing.assert_allclose(frequencies, np.arange(n // 2 + 1) / n)
    np.testing.assert_allclose(y, np.median(power, axis=1), rtol=1e-4, atol=1e-6)
    assert len(bands(ax)) == (2 if d > 1 else 0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("frequency (cycles per sample)", "power per frequency")
    _, in_decibels = data(plot_spectrum(x, ax=axes()))
    np.testing.assert_allclose(in_decibels, 10 * np.log10(y), rtol=1e-6, atol=1e-6)


def test_spectrum_of_a_sine_and_of_noise() -> None:
    t = torch.arange(20)
    ax = plot_spectrum(torch.sin(2 * math.pi * 0.25 * t)[:, None], label="a sine", ax=axes())
    frequencies, y = data(ax)
    assert frequencies[np.nanargmax(y)] == 0.25
    assert np.nanmax(y) == pytest.approx(10 * math.log10(20 / 4), abs=1e-4)
    assert ax.get_ylabel() == "power per frequency (dB)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a sine"]
    _, y = data(plot_spectrum(torch.zeros(8, 1), ax=axes()))
    assert np.isnan(y).all()
    noise = 3 * torch.randn(20000, 8, 1, dtype=torch.float64)
    _, y = data(plot_spectrum(noise, decibels=False, ax=axes()))
    np.testing.assert_allclose(y, 9, rtol=5 * math.sqrt(2 / 20000))  # five standard deviations, of chi squares


# -- energies ----------------------------------------------------------------------------------------------------------


def record(layer: str, call: int, out: float, norm: float | None = 2.0, energy_in: float = 1.0) -> Record:
    return Record(layer, "Kind", call, (1, N, D), "float32", False, energy_in, out, 0.0, 1.0, norm)


def test_energy_against_calls() -> None:
    ax = axes()
    records = [record("a", 0, 1.0), record("b", 0, 0.1), record("a", 3, 10.0), record("a", 5, 0.0)]
    assert plot_energy(iter(records), ax=ax) is ax
    a, b, kept = ax.lines
    np.testing.assert_allclose(a.get_xydata(), [[0, 0], [3, 10], [5, np.nan]])
    np.testing.assert_allclose(b.get_xydata(), [[0, -10]])
    np.testing.assert_allclose(kept.get_ydata(), 0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("call of the layer", "energy out / in (dB)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a\nKind", "b\nKind", "energy kept"]


def test_energy_against_layers() -> None:
    ax = plot_energy([record("a", 4, 4.0), record("b", 0, 0.1, None), record("c", 0, 1.0, 1.0, math.nan)], ax=axes())
    measured, bound, _ = ax.lines
    np.testing.assert_allclose(measured.get_ydata(), [10 * math.log10(4), -10, np.nan])
    np.testing.assert_allclose(bound.get_ydata(), [20 * math.log10(2), np.nan, 0], atol=1e-12)
    assert any(isinstance(lines, LineCollection) for lines in ax.collections)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer", "energy out / in (dB)")


def test_energy_of_a_model() -> None:
    model = nn.Sequential(RealFourierMixing(D), FourierMixing(D), learned())
    with monitor(model, budget=None, quiet=True) as watch:
        for _ in range(2):
            model(torch.randn(3, N, D))
    hartley, fourier, *_ = plot_energy(watch.records, ax=axes()).lines
    np.testing.assert_allclose(hartley.get_ydata(), 0, atol=1e-4)
    assert (np.asarray(fourier.get_ydata()) < -1).all()


def test_many_layers_look_different() -> None:
    records = [record(f"layer {k}", call, 1.0) for k in range(20) for call in range(2)]
    lines = plot_energy(records, ax=axes()).lines[:20]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


# -- figures -----------------------------------------------------------------------------------------------------------

PLOTS: dict[str, Callable[..., Axes]] = {
    "response": lambda **options: plot_frequency_response(learned(), **options),
    "map": lambda **options: plot_frequency_response(learned(), channels="map", **options),
    "delays": lambda **options: plot_frequency_response(learned(), kind="group_delay", channels="map", **options),
    "grid": lambda **options: plot_frequency_response(GridFilterMixing(D, GRID), **options),
    "spectrum": lambda **options: plot_spectrum(torch.randn(2, N, D), **options),
    "calls": lambda **options: plot_energy([record("a", 0, 1.0), record("a", 1, 2.0)], **options),
    "layers": lambda **options: plot_energy([record("a", 0, 1.0)], **options),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_of_its_own_and_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyplot, "show", lambda: pytest.fail("shown"))
    settings, before = dict(matplotlib.rcParams), pyplot.get_fignums()
    ax = PLOTS[name]()
    assert len(pyplot.get_fignums()) == len(before) + 1
    ax.figure.canvas.draw()
    pyplot.close(ax.figure)
    given = axes()
    assert PLOTS[name](ax=given) is given
    given.figure.canvas.draw()
    assert pyplot.get_fignums() == before
    assert dict(matplotlib.rcParams) == settings


@pytest.mark.parametrize("name", PLOTS)
def test_ax_is_checked(name: str) -> None:
    with pytest.raises(TypeError, match="ax: expected matplotlib Axes or None, got Figure"):
        PLOTS[name](ax=Figure())


@pytest.mark.parametrize("name", PLOTS)
def test_without_matplotlib(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def importing(module: str, *args: Any) -> Any:
        if module.split(".")[0] == "matplotlib":
            raise ImportError(module)
        return plain(module, *args)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'spectrans\[plot\]'"):
        PLOTS[name]()


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": FourierMixing(D)}, TypeError, "layer: expected a FilterMixingLayer, got FourierMixing"),
        ({"layer": torch.ones(3)}, TypeError, "layer: expected a FilterMixingLayer, got Tensor"),
        ({"kind": 1}, TypeError, "kind: expected a string, got int"),
        ({"kind": "gain"}, ValueError, "kind: expected 'magnitude', 'phase' or 'group_delay', got 'gain'"),
        ({"kind": "phase", "decibels": True}, ValueError, "decibels: expected False for kind='phase', got True"),
        ({"decibels": 1}, TypeError, "decibels: expected a bool, got int"),
        ({"channels": None}, TypeError, "channels: expected 'band', 'map' or an int, got NoneType"),
        ({"channels": True}, TypeError, "channels: expected 'band', 'map' or an int, got bool"),
        ({"channels": "all"}, ValueError, "channels: expected 'band', 'map' or a number, got 'all'"),
        ({"channels": D}, ValueError, "channels: expected 0 to 5, got 6"),
        ({"channels": -1}, ValueError, "channels: expected 0 to 5, got -1"),
        ({"layer": GridFilterMixing(D, GRID), "channels": "map"}, ValueError, "channels: expected 'band' or a number"),
        ({"layer": GlobalFilterMixing2D(D, N), "channels": 0}, ValueError, "channels: expected 'band' for a filter"),
        ({"axis": 0.0}, TypeError, "axis: expected an int, got float"),
        ({"axis": 2}, ValueError, "axis: expected 0 or 1, got 2"),
        ({"label": 1}, TypeError, "label: expected a string or None, got int"),
    ],
)  # fmt: skip
def test_arguments_of_a_response(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot_frequency_response(**{"layer": learned(), "ax": axes(), **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": [1.0]}, TypeError, "x: expected a tensor, got list"),
        ({"x": torch.ones(2, 3, dtype=torch.int64)}, TypeError, "x: expected dtype float16, .* got torch.int64"),
        ({"x": torch.ones(2, 3, dtype=torch.complex64)}, TypeError, "x: expected dtype float16, .*complex64"),
        ({"x": torch.ones(3)}, ValueError, r"x: expected shape \[..., n, d\] with at least one element, got \(3,\)"),
        ({"x": torch.ones(2, 0, 3)}, ValueError, r"x: expected shape .* got \(2, 0, 3\)"),
        ({"decibels": None}, TypeError, "decibels: expected a bool, got NoneType"),
        ({"label": 1}, TypeError, "label: expected a string or None, got int"),
    ],
)  # fmt: skip
def test_arguments_of_a_spectrum(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot_spectrum(**{"x": torch.ones(2, N, D), "ax": axes(), **arguments})


@pytest.mark.parametrize(
    ("records", "error", "message"),
    [
        (3, TypeError, "records: expected those of spectrans.monitor, got int"),
        ([{"layer": "a"}], TypeError, "records: expected those of spectrans.monitor, got a dict among them"),
        ([], ValueError, "records: expected at least one, got none"),
    ],
)
def test_arguments_of_energies(records: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot_energy(records, ax=axes())


def test_public_names() -> None:
    assert spectrans.plot.plot_energy is plot_energy
    assert issubclass(MonitorError, RuntimeError)
