"""Figures of filters, signals and energies, in matplotlib: ``pip install 'spectrans[plot]'``.

Every function draws on the Axes it is given, or on those of a new figure, and returns them. None shows anything or
changes matplotlib's settings. Frequencies are in cycles per sample: 0.5 is half the sampling rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spectrans._monitor import Record
from spectrans.functional.arguments import REAL_DTYPES, check_flag
from spectrans.layers.mixing import FilterMixingLayer, GlobalFilterMixing2D, GridFilterMixing
from spectrans.layers.mixing.base import _group_delay
from spectrans.ops.library import compute_dtype

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_energy", "plot_frequency_response", "plot_spectrum"]

#: Okabe and Ito's colours, told apart with any common colour blindness; markers and dashes say the same.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
DASHES = ("-", "--", "-.", ":")
GREY, PALE = "#777777", "#dddddd"

FREQUENCY = "frequency (cycles per sample)"
KINDS = {"magnitude": "gain |H|", "phase": "phase (rad)", "group_delay": "group delay (samples)"}

# -- axes --------------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None) -> Axes:
    try:
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError("spectrans.plot needs matplotlib: pip install 'spectrans[plot]'") from error
    if ax is None:
        return pyplot.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"ax: expected matplotlib Axes or None, got {type(ax).__name__}")
    return ax


def _plain(ax: Axes) -> None:
    """Two spines and a pale grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=PALE, linewidth=0.6)
    ax.set_axisbelow(True)


def _check_label(label: str | None) -> None:
    if label is not None and not isinstance(label, str):
        raise TypeError(f"label: expected a string or None, got {type(label).__name__}")


def _decibels(values: Any, factor: float) -> Any:
    """factor * lg of an array, 20 for amplitudes, 10 for powers; gaps where it is 0, which has no logarithm."""
    import numpy as np

    with np.errstate(divide="ignore"):
        decibels = factor * np.log10(values)
    return np.where(np.isfinite(decibels), decibels, np.nan)


def _array(t: Tensor) -> Any:
    return t.detach().cpu().double().numpy()


def _band(ax: Axes, frequencies: Any, values: Any, label: str | None, decibels: float) -> None:
    """Median, quartiles and extremes of values [bins, channels] against frequency; in decibels if there is a factor."""
    import numpy as np

    channels = values.shape[1]
    low, first, median, third, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1), axis=1)
    if decibels:
        low, first, median, third, high = (_decibels(v, decibels) for v in (low, first, median, third, high))
    color = COLORS[len(ax.lines) % len(COLORS)]  # another one for each call on the same axes
    dashes = DASHES[len(ax.lines) % len(DASHES)]
    marker = "o" if len(frequencies) == 1 else ""
    named = label is None and channels > 1
    bands = [(low, high, 0.15, "all channels")] if named else []  # where bands overlap, one each is enough
    if channels > 1:
        for lower, upper, alpha, what in (*bands, (first, third, 0.3 if named else 0.2, "middle half")):
            ax.fill_between(
                frequencies, lower, upper, color=color, alpha=alpha, linewidth=0, label=what if named else None
            )
    name = f"median of {channels} channels" if named else label
    ax.plot(frequencies, median, color=color, linestyle=dashes, marker=marker, linewidth=1.6, label=name)
    ax.set_xlabel(FREQUENCY)
    ax.set_xlim(0, 0.5)
    _plain(ax)
    if name is not None:
        ax.legend(
            frameon=False,
            alignment="left",
            title=None if named or channels == 1 else "median and middle half of channels",
        )


def _image(ax: Axes, image: Any, extent: tuple[float, float, float, float], kind: str, unit: str, equal: bool) -> None:
    """A heat map whose first row is the lowest, and its colour bar."""
    import numpy as np

    options: dict[str, Any] = {"cmap": "cividis"}
    if kind == "phase":  # a circle of colours for a circle of angles
        options = {"cmap": "twilight_shifted", "vmin": -math.pi, "vmax": math.pi}
    elif kind == "group_delay":  # where there is hardly any gain, delays are wild: they shall not set the scale
        most = float(np.nanquantile(np.abs(image), 0.98)) or 1.0
        options = {"cmap": "PuOr", "vmin": -most, "vmax": most}
    drawn = ax.imshow(
        image, origin="lower", extent=extent, aspect="equal" if equal else "auto", interpolation="nearest", **options
    )
    bar = ax.figure.colorbar(drawn, ax=ax, label=unit, extend="both" if kind == "group_delay" else "neither")
    if kind == "phase":
        bar.set_ticks([-math.pi, 0, math.pi], labels=["-π", "0", "π"])


# -- responses ---------------------------------------------------------------------------------------------------------


def plot_frequency_response(
    layer: FilterMixingLayer,
    *,
    kind: str = "magnitude",
    channels: str | int = "band",
    axis: int = 0,
    decibels: bool = False,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Magnitude, phase or group delay of a filter against frequency.

    What is drawn is the effective response, that part of H which acts on a real signal (``get_effective_response()``),
    analysed as by ``analyze_frequency_response()``: :math:`|H|`, :math:`\arg H`, and :math:`-d\varphi/d\omega`.

    A filter along the sequence is drawn from 0 to 0.5 cycles per sample; its phase is unwrapped in curves, and between
    -pi and pi in heat maps. A filter over two axes (:class:`~spectrans.layers.mixing.GridFilterMixing`,
    :class:`~spectrans.layers.mixing.GlobalFilterMixing2D`) is a heat map over both frequencies, from -0.5 to 0.5,
    frequency 0 in the middle: of a grid, the median over the channels, or for the phase that of their sum.

    Parameters
    ----------
    layer : FilterMixingLayer
        The filter.
    kind : {"magnitude", "phase", "group_delay"}
        What to draw. Delays mean little where the gain is small.
    channels : {"band", "map"} or int
        "band": the median over the channels, their middle half, and their extremes. "map": a heat map, a row a channel,
        those of low frequencies (:math:`\sum f |H|^2 / \sum |H|^2`) at the bottom. A number: that channel alone. Of
        filters over two axes, "band" is the median as above.
    axis : int, default 0
        Of filters over two axes, the axis along which to take the group delay: 0, h or the sequence; 1, w or channels.
    decibels : bool, default False
        Magnitude as :math:`20 \lg |H|`; a gain of 0 leaves a gap.
    label : str, optional
        The name in the legend, for several filters on the same axes, where the extremes are left out; of a heat map,
        its title.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `layer` is no filter, or another argument of the wrong type.
    ValueError
        If `kind`, `channels` or `axis` is none of those above, or decibels are asked for of something else than gain.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from spectrans.layers.mixing import GlobalFilterMixing
    >>> from spectrans.plot import plot_frequency_response
    >>> layer = GlobalFilterMixing(hidden_dim=4, sequence_length=16)
    >>> ax = plot_frequency_response(layer, kind="group_delay", ax=Figure().subplots())
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('frequency (cycles per sample)', 'group delay (samples)')
    """
    if not isinstance(layer, FilterMixingLayer):
        raise TypeError(f"layer: expected a FilterMixingLayer, got {type(layer).__name__}")
    plane = isinstance(layer, (GridFilterMixing, GlobalFilterMixing2D))
    _check_kind(kind, decibels)
    _check_channels(channels, layer, plane)
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"axis: expected an int, got {type(axis).__name__}")
    if axis not in (0, 1):
        raise ValueError(f"axis: expected 0 or 1, got {axis}")
    _check_label(label)
    ax = _axes(ax)
    unit = "gain |H| (dB)" if decibels else KINDS[kind]
    with torch.no_grad():
        if plane:
            _draw_plane(ax, layer, kind, channels, axis, decibels, unit)
            ax.set_title(label or "")
        elif channels == "map":
            _draw_map(ax, layer, kind, decibels, unit)
            ax.set_title(label or "")
        else:
            values = _array(_analysed(layer, kind, unwrapped=True))
            shown = values if isinstance(channels, str) else values[:, [channels]]
            _band(ax, _frequencies(layer), shown, label, 20 if decibels else 0)
            ax.set_ylabel(unit)
    return ax


def _check_kind(kind: str, decibels: bool) -> None:
    if not isinstance(kind, str):
        raise TypeError(f"kind: expected a string, got {type(kind).__name__}")
    if kind not in KINDS:
        raise ValueError(f"kind: expected 'magnitude', 'phase' or 'group_delay', got {kind!r}")
    if check_flag("decibels", decibels) and kind != "magnitude":
        raise ValueError(f"decibels: expected False for kind={kind!r}, got True")


def _check_channels(channels: str | int, layer: FilterMixingLayer, plane: bool) -> None:
    if isinstance(channels, bool) or not isinstance(channels, (str, int)):
        raise TypeError(f"channels: expected 'band', 'map' or an int, got {type(channels).__name__}")
    if plane and channels == "map":
        raise ValueError("channels: expected 'band' or a number for a filter over two axes, got 'map'")
    if isinstance(layer, GlobalFilterMixing2D) and channels != "band":
        raise ValueError(f"channels: expected 'band' for a filter over the channels, got {channels!r}")
    if isinstance(channels, str):
        if channels not in ("band", "map"):
            raise ValueError(f"channels: expected 'band', 'map' or a number, got {channels!r}")
    elif not 0 <= channels < layer.hidden_dim:
        raise ValueError(f"channels: expected 0 to {layer.hidden_dim - 1}, got {channels}")


def _frequencies(layer: FilterMixingLayer) -> list[float]:
    n = layer.sequence_length
    return [k / n for k in range(n // 2 + 1)]


def _analysed(layer: FilterMixingLayer, kind: str, unwrapped: bool = False) -> Tensor:  # [n//2+1, d]
    """`analyze_frequency_response` of the effective half: what that does of the whole response as parametrised."""
    n = layer.sequence_length
    half = layer.get_effective_response()[: n // 2 + 1]
    if kind == "magnitude":
        return half.abs()
    if kind == "group_delay":
        return _group_delay(half, n, 0)
    if not unwrapped:
        return half.angle()
    steps = (half[1:] * half[:-1].conj()).angle()
    return torch.cat((half[:1].angle(), half[:1].angle() + steps.cumsum(0)))


def _draw_map(ax: Axes, layer: FilterMixingLayer, kind: str, decibels: bool, unit: str) -> None:
    n, frequencies = layer.sequence_length, torch.tensor(_frequencies(layer))
    energy = _analysed(layer, "magnitude").cpu().double().square()
    centre = (frequencies[:, None] * energy).sum(0) / energy.sum(0).clamp_min(torch.finfo(energy.dtype).tiny)
    image = _array(_analysed(layer, kind)[:, centre.argsort()].T)  # [channels, bins]
    extent = (-0.5 / n, frequencies[-1].item() + 0.5 / n, -0.5, layer.hidden_dim - 0.5)
    _image(ax, _decibels(image, 20) if decibels else image, extent, kind, unit, equal=False)
    ax.set_xlabel(FREQUENCY)
    ax.set_ylabel("channel, by centre frequency")


def _draw_plane(
    ax: Axes, layer: FilterMixingLayer, kind: str, channels: str | int, axis: int, decibels: bool, unit: str
) -> None:
    if isinstance(layer, GridFilterMixing):
        sizes, names = layer.grid, ("h", "w")
        values = _of_grid(layer, kind, channels, axis)
    else:
        sizes, names = (layer.sequence_length, layer.hidden_dim), ("the sequence", "channels")
        response = torch.fft.fftshift(layer.get_effective_response())
        values = {
            "magnitude": response.abs,
            "phase": response.angle,
            "group_delay": lambda: _group_delay(response, sizes[axis], axis),
        }[kind]()  # [n, d]
    image = _array(values)
    # Frequency -(n // 2) / n comes first; half a bin more on each side.
    (bottom, top), (left, right) = (((-(n // 2) - 0.5) / n, ((n - 1) // 2 + 0.5) / n) for n in sizes)
    unit = f"group delay along {names[axis]} (samples)" if kind == "group_delay" else unit
    _image(ax, _decibels(image, 20) if decibels else image, (left, right, bottom, top), kind, unit, equal=True)
    ax.set_xlabel(f"frequency along {names[1]} (cycles per sample)")
    ax.set_ylabel(f"frequency along {names[0]} (cycles per sample)")


def _of_grid(layer: GridFilterMixing, kind: str, channels: str | int, axis: int) -> Tensor:  # [h, w], 0 in the middle
    analysis = layer.analyze_frequency_response()  # [h, w//2+1, d]
    if kind == "group_delay":
        values = analysis[kind][axis]
    elif kind == "phase" and channels == "band":
        values = torch.polar(analysis["magnitude"], analysis["phase"]).sum(-1, keepdim=True).angle()
    else:
        values = analysis[kind]
    half = values.quantile(0.5, dim=-1) if channels == "band" else values[..., int(channels)]
    # The other half of the plane: magnitudes and delays are even functions of frequency, phases odd ones.
    w = layer.grid[1]
    others = half.flip(0).roll(1, 0)[:, 1 : (w + 1) // 2].flip(1)
    whole = torch.cat((half, -others if kind == "phase" else others), dim=1)
    shifted: Tensor = torch.fft.fftshift(whole)
    return shifted


# -- signals -----------------------------------------------------------------------------------------------------------


def plot_spectrum(
    x: Tensor,  # [..., n, d]
    *,
    decibels: bool = True,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Mean power spectrum of signals: median, middle half and extremes of the channels.

    .. math:: P_k = \operatorname{mean} |X_k|^2, \qquad X = \operatorname{rfft}(x) / \sqrt n

    The mean is over all leading axes. White noise of variance v reads v at every frequency, and the mean of :math:`P`
    over all n frequencies, negative ones included, is the mean square of the signal.

    Parameters
    ----------
    x : Tensor
        [..., n, d], real: n samples of d channels. float16, bfloat16, float32 or float64.
    decibels : bool, default True
        Power as :math:`10 \lg P`; a power of 0 leaves a gap.
    label : str, optional
        The name in the legend, for several signals on the same axes, where the extremes are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `x` is not a real floating-point tensor, or another argument of the wrong type.
    ValueError
        If `x` has fewer than two axes, or no elements.

    Examples
    --------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> from spectrans.plot import plot_spectrum
    >>> ax = plot_spectrum(torch.randn(8, 100, 4), ax=Figure().subplots())
    >>> ax.get_ylabel()
    'power per frequency (dB)'
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor, got {type(x).__name__}")
    if x.dtype not in REAL_DTYPES:
        raise TypeError(f"x: expected dtype float16, bfloat16, float32 or float64, got {x.dtype}")
    if x.dim() < 2 or x.numel() == 0:
        raise ValueError(f"x: expected shape [..., n, d] with at least one element, got {tuple(x.shape)}")
    check_flag("decibels", decibels)
    _check_label(label)
    ax = _axes(ax)
    n = x.shape[-2]
    spectrum = torch.fft.rfft(x.detach().to(compute_dtype(x.dtype)), dim=-2, norm="ortho")
    power = _array(spectrum.abs().cpu().double().square().reshape(-1, n // 2 + 1, x.shape[-1]).mean(0))
    _band(ax, [k / n for k in range(n // 2 + 1)], power, label, 10 if decibels else 0)
    ax.set_ylabel("power per frequency (dB)" if decibels else "power per frequency")
    return ax


# -- energies ----------------------------------------------------------------------------------------------------------


def plot_energy(records: Iterable[Record], *, ax: Axes | None = None) -> Axes:
    r"""Energy that comes out of each layer, relative to what went in: :math:`10 \lg (E_{out} / E_{in})`.

    Against the calls of a layer, a line for each; or, if there is no more than one call of any, against the layers,
    together with the bound that the operator norm sets, :math:`20 \lg \|T\|`.

    Parameters
    ----------
    records : iterable of Record
        Those of :class:`spectrans.monitor`. Calls without energy, in or out, are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `records` are not records.
    ValueError
        If there are none.

    Examples
    --------
    >>> import spectrans, torch
    >>> from matplotlib.figure import Figure
    >>> from spectrans.layers.mixing import FourierMixing, GlobalFilterMixing
    >>> model = torch.nn.Sequential(FourierMixing(8), GlobalFilterMixing(8, 16))
    >>> with spectrans.monitor(model, quiet=True) as watch:
    ...     y = model(torch.randn(4, 16, 8))
    >>> ax = spectrans.plot.plot_energy(watch.records, ax=Figure().subplots())
    >>> ax.get_ylabel()
    'energy out / in (dB)'
    """
    if not isinstance(records, Iterable):
        raise TypeError(f"records: expected those of spectrans.monitor, got {type(records).__name__}")
    by_layer: dict[str, list[Record]] = {}
    for record in records:
        if not isinstance(record, Record):
            raise TypeError(f"records: expected those of spectrans.monitor, got a {type(record).__name__} among them")
        by_layer.setdefault(record.layer, []).append(record)
    if not by_layer:
        raise ValueError("records: expected at least one, got none")
    ax = _axes(ax)
    if max(map(len, by_layer.values())) == 1:
        _draw_layers(ax, [record for (record,) in by_layer.values()])
    else:
        _draw_calls(ax, by_layer)
    ax.axhline(0, color=GREY, linewidth=1, zorder=1, label="energy kept")
    # Beside the axes: of many calls, there is no free place inside.
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small", labelspacing=0.8)
    ax.set_ylabel("energy out / in (dB)")
    _plain(ax)
    return ax


def _change(record: Record) -> float:
    """In dB; a gap where there is no energy."""
    if not (0 < record.energy_in < math.inf and 0 < record.energy_out < math.inf):
        return math.nan
    return 10 * math.log10(record.energy_out / record.energy_in)


def _draw_calls(ax: Axes, by_layer: dict[str, list[Record]]) -> None:
    for index, (name, records) in enumerate(by_layer.items()):
        ax.plot(
            [record.call for record in records],
            [_change(record) for record in records],
            color=COLORS[index % len(COLORS)],
            linestyle=DASHES[index // len(COLORS) % len(DASHES)],
            marker=MARKERS[index % len(MARKERS)],
            markevery=max(1, len(records) // 8),
            markersize=4.5,
            linewidth=1.4,
            label=name if name == records[0].kind else f"{name}\n{records[0].kind}",
        )
    ax.set_xlabel("call of the layer")


def _draw_layers(ax: Axes, records: list[Record]) -> None:
    places = list(range(len(records)))
    changes = [_change(record) for record in records]
    bounds = [20 * math.log10(record.operator_norm) if record.operator_norm else math.nan for record in records]
    ax.vlines(places, 0, changes, color=COLORS[0], linewidth=1.4)
    ax.plot(places, changes, color=COLORS[0], linestyle="", marker="o", markersize=6, label="measured")
    ax.plot(
        places, bounds, color=COLORS[1], linestyle="", marker="_", markersize=16, markeredgewidth=2,
        label="bound, by the\noperator norm",
    )  # fmt: skip
    ax.set_xticks(places, [record.layer for record in records], rotation=30, ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.6, len(records) - 0.4)
    ax.set_xlabel("layer")
