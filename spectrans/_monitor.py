"""Energies and gains of spectral layers while a model runs: `spectrans.monitor`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from time import perf_counter as _clock
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spectrans.functional import energy
from spectrans.functional.arguments import check_flag, check_non_negative
from spectrans.layers.mixing.base import FilterMixingLayer, MixingLayer
from spectrans.ops.norms import wide_dtype

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["MonitorError", "Record", "monitor"]

#: Relative change of energy allowed to layers that claim to preserve it and name no tolerance of their own.
TOLERANCE = 1e-4

# What no clock in a hook sees is charged all the same, by estimates: both were found by timing calls with a monitor and
# without on a server CPU, and are on the safe side there.
#: Seconds by which a call takes longer once a layer has hooks.
HOOKS = 2e-6
#: What a measurement costs, over the time it takes: it leaves the caches cold for the call that follows.
AFTERMATH = 2.0


@dataclass(frozen=True)
class Record:
    r"""One call of one layer, measured. A sample is what the last two axes hold: tokens and channels.

    Attributes
    ----------
    layer : str
        Its name in the model, as in ``named_modules()``; the name of the class for the model itself.
    kind : str
        Its class.
    call : int
        Which call of the layer it was, from 0.
    shape : tuple of int
        Of the input.
    dtype : str
        Likewise.
    training : bool
        Whether the layer was in training mode: if so, the output is the one after dropout.
    energy_in, energy_out : float
        Sum of squares over the whole batch.
    energy_error : float
        Largest relative change of energy over the samples, :math:`|E_{out} - E_{in}| / E_{in}`.
    gain : float
        Largest :math:`\|y\| / \|x\|` over the samples.
    operator_norm : float or None
        The bound of `gain`, dropout aside: the layer's ``compute_operator_norm`` at this call; None where not known,
        and where the call had other tensors (gates), of which it says nothing.
    """

    layer: str
    kind: str
    call: int
    shape: tuple[int, ...]
    dtype: str
    training: bool
    energy_in: float
    energy_out: float
    energy_error: float
    gain: float
    operator_norm: float | None

    def to_dict(self) -> dict[str, Any]:
        """The same as a dict, for json, csv or a data frame."""
        return asdict(self)


class MonitorError(RuntimeError):
    """A layer broke a claim of its own under ``spectrans.monitor(model, strict=True)``.

    Attributes
    ----------
    record : Record
        The call in question.
    """

    def __init__(self, record: Record, what: str) -> None:
        super().__init__(record, what)
        self.record = record
        self.what = what

    def __str__(self) -> str:
        return f"{self.record.layer} ({self.record.kind}), call {self.record.call}: {self.what}"


# -- measuring ---------------------------------------------------------------------------------------------------------


def _input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, bool]:
    """What a layer was called with, and whether that was the only tensor."""
    named = (kwargs[name] for name in sorted(kwargs, key=lambda name: name != "x"))  # x before gates, in any order
    tensors = [value for value in (*args, *named) if isinstance(value, Tensor)]
    return _first_tensor(tensors), len(tensors) == 1


def _first_tensor(values: Any) -> Tensor:
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise TypeError("expected a tensor, found none")


def _sample_energies(x: Tensor) -> Tensor:  # [samples]
    x = x.detach()
    axes = tuple(range(-min(2, x.dim()), 0))
    return energy(x, axes).flatten() if axes else energy(x.reshape(1), -1).reshape(1)


def _off_the_heap(energies: Tensor) -> Tensor | list[float]:
    """As plain numbers, if they are on the CPU.

    The few bytes of a tensor that lives through the layer's call are often cut from the very hole in the heap where
    the output would fit, and the system is asked for new memory, call by call, at several times the cost of measuring.
    """
    numbers: list[float] | Tensor = energies.tolist() if energies.device.type == "cpu" else energies
    return numbers


def _numbers(before: Tensor, after: Tensor) -> list[float]:
    """Energy in and out over the batch, largest relative change and largest gain over the samples."""
    if before.shape != after.shape:  # other samples came out: all that can be compared is the whole
        before, after = before.sum().reshape(1), after.sum().reshape(1)
    if before.numel() == 0:
        return [0.0, 0.0, 0.0, 0.0]
    nothing = (before == 0) & (after == 0)
    error = torch.where(nothing, 0.0, (after - before).abs() / before)
    gain = torch.where(nothing, 0.0, after / before).sqrt()
    # One transfer from the device, whatever the batch.
    numbers: list[float] = torch.stack((before.sum(), after.sum(), error.max(), gain.max())).tolist()
    return numbers


def _drops(layer: MixingLayer) -> bool:
    """Whether some dropout is active, which claims leave out."""
    if layer.training and getattr(layer, "spectral_dropout_p", False):
        return True
    return any(isinstance(m, nn.modules.dropout._DropoutNd) and m.training and m.p > 0 for m in layer.modules())


def _energy_tolerance(layer: MixingLayer, x: Tensor) -> float | None:
    """None if the layer claims nothing about the energy of its output for this input."""
    if isinstance(layer, FilterMixingLayer) and x.shape[-2:-1] != (layer.sequence_length,):
        return None  # what a filter says of itself, it says for this length
    if not layer.get_spectral_properties()["energy_preserving"]:
        return None
    return float(getattr(layer, "energy_tolerance", TOLERANCE))


def _broken_claim(
    layer: MixingLayer, record: Record, x: Tensor, alone: bool, y: Tensor, before: Tensor, after: Tensor
) -> str:
    """Which of its claims a layer broke, in words; nothing if none. alone: there were no gates."""
    for tensor, total, name in ((x, record.energy_in, "input"), (y, record.energy_out, "output")):
        if not math.isfinite(total):  # or the squares of large float64 values are not
            return "" if bool(tensor.isfinite().all()) else f"the {name} is not finite"
    if not alone or _drops(layer) or x.is_complex() or before.shape != after.shape or x.numel() == 0 or y.numel() == 0:
        return ""  # claims are about real signals, sample by sample
    # A transform errs by eps times the logarithm of its length, a half is rounded once more at the end, and an element
    # that underflows is off by up to `tiny`, whatever its size was.
    size = max(x.numel(), y.numel()) // before.numel()
    formats = [torch.finfo(t.dtype) for t in (x, y)]
    rounding = max(f.eps for f in formats) * (2 + math.log2(size))
    lost = max(f.smallest_normal for f in formats) * math.sqrt(size)
    norm, tolerance = record.operator_norm, _energy_tolerance(layer, x)
    if norm is not None and bool((after.sqrt() > before.sqrt() * (norm * (1 + rounding)) + lost).any()):
        return f"a sample was amplified {record.gain:.6g} times, by more than the operator norm {norm:.6g}"
    if tolerance is not None:
        allowed = before * (tolerance + 2 * rounding) + lost * (2 * before.sqrt() + lost)
        if bool(((after - before).abs() > allowed).any()):
            return (
                f"the energy of a sample changed by {record.energy_error:.3g} of itself, "
                f"but the layer claims to preserve it (tolerance {tolerance:g})"
            )
    return ""


class _Total:
    """Time that watching has taken, in all monitors: what encloses a watched layer must not count it as its own."""

    seconds = 0.0


class _Watch:
    """One layer being watched: its hooks, and what they count."""

    def __init__(self, layer: MixingLayer, name: str, owner: monitor) -> None:
        self.layer, self.name, self.owner = layer, name, owner
        self.calls = self.tried = self.measured = 0
        self.forward = self.watching = 0.0  # seconds in the layer, and watching it
        self.problem: str | None = None
        # What the hook before a call leaves for the hook after it.
        self.started: float | None = None
        self.others = 0.0  # what watching had taken at that time
        self.x: Tensor | None = None  # the input, and the energies of its samples, if the call is measured
        self.alone = True  # the input: there were no gates
        self.energies: Tensor | list[float] | None = None
        self.handles: list[RemovableHandle] = [
            layer.register_forward_pre_hook(self.before, with_kwargs=True),
            # In front of other hooks, so that the output is the layer's own, and monitors nest.
            layer.register_forward_hook(self.after, prepend=True),
        ]

    def due(self) -> bool:
        """Whether to measure the call that begins: the first, and those that fit into the budget."""
        budget = self.owner.budget
        if budget is None or self.calls == 0:
            return True
        expected = (self.watching - self.calls * HOOKS) / self.tried  # the mean: one hiccup shall not end the watch
        return self.watching + expected <= budget * self.forward

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or not self.owner._entered:  # of a copy, of a model that is watched
            return
        self.x = self.energies = None
        if self.due():
            self.tried += 1
            start = _clock()
            try:
                x, self.alone = _input(args, kwargs)
                with torch.no_grad():
                    self.energies = _off_the_heap(_sample_energies(x))  # now, since the layer may work in place
                self.x = x
            except Exception as error:
                self.problem = f"input: {error}"
            self.spend(_clock() - start)
        self.others = _Total.seconds
        self.started = _clock()

    def after(self, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        if self.started is None or torch.compiler.is_compiling():  # or the layer called itself
            return
        now = _clock()
        self.forward += now - self.started - (_Total.seconds - self.others)
        self.calls += 1
        self.watching += HOOKS
        _Total.seconds += HOOKS
        self.started = None
        x, before, self.x, self.energies = self.x, self.energies, None, None
        if x is None or before is None:
            return
        error: MonitorError | None = None
        try:
            with torch.no_grad():
                error = self.measure(x, torch.as_tensor(before, dtype=wide_dtype(x.device), device=x.device), result)
        except Exception as exception:
            self.problem = f"output: {exception}"
        finally:
            self.spend(_clock() - now)
        if error is not None:
            raise error

    def spend(self, seconds: float) -> None:
        self.watching += AFTERMATH * seconds
        _Total.seconds += seconds

    def measure(self, x: Tensor, before: Tensor, result: Any) -> MonitorError | None:
        """Adds a record; in strict mode, the error to raise."""
        y = _first_tensor(result if isinstance(result, (tuple, list)) else (result,))
        after = _sample_energies(y)
        energy_in, energy_out, energy_error, gain = _numbers(before, after)
        record = Record(
            layer=self.name,
            kind=type(self.layer).__name__,
            call=self.calls - 1,
            shape=tuple(x.shape),
            dtype=str(x.dtype).removeprefix("torch."),
            training=self.layer.training,
            energy_in=energy_in,
            energy_out=energy_out,
            energy_error=energy_error,
            gain=gain,
            operator_norm=self.operator_norm(x) if self.alone else None,
        )
        self.owner.records.append(record)
        self.measured += 1
        if not self.owner.strict:
            return None
        try:
            broken = _broken_claim(self.layer, record, x, self.alone, y, before, after)
        except Exception as exception:
            broken = f"its claims could not be checked: {exception}"
        return MonitorError(record, broken) if broken else None

    def operator_norm(self, x: Tensor) -> float | None:
        # Anew at every measured call: a cache would not notice parameters changed through `.data`.
        if x.dim() < 2 or x.shape[-2] == 0:
            return None
        try:
            return self.layer.compute_operator_norm(x.shape[-2])
        except Exception as error:
            self.problem = f"operator norm: {error}"
            return None

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.x = self.energies = None  # of a call that raised


# -- the context manager -----------------------------------------------------------------------------------------------


class monitor:
    r"""Context manager that watches the spectral layers of a model: energy in and out, gain, operator norm.

    For every :class:`~spectrans.layers.mixing.MixingLayer` in the model, and the model itself if it is one, forward
    hooks compare what goes in with what comes out, sample by sample (a sample: the last two axes, tokens and channels):

    .. math::
        E_{in} = \|x\|^2, \qquad E_{out} = \|y\|^2, \qquad
        \text{error} = \frac{|E_{out} - E_{in}|}{E_{in}}, \qquad
        \text{gain} = \frac{\|y\|}{\|x\|} \le \text{operator norm}

    Leaving the block prints a table, with rich where it is installed, unless `quiet` or an exception is on its way.
    The data stay: :attr:`records` has an entry for each measured call, :meth:`summary` one for each layer. Entering
    again starts anew. Managers can be nested. No graph is kept and no random number drawn: training goes on as it
    would without.

    Reading input and output of a layer can cost as much as the layer itself. So the first call of each layer is always
    measured, and a later one only where it fits into the budget: where the time spent on watching the layer, this
    measurement included, stays below a share `budget` of the time spent in the layer. Calls left out are counted, but
    leave no record. What hooks take (about two microseconds a call, which tiny layers cannot hide) and the cold caches
    after a measurement are allowed for. On a GPU the times are those that the host sees; as a measurement waits for
    the device, it is charged for that too, and fewer calls are measured.

    In training the output of a layer is the one after its dropout, and so is its energy: 1/(1-p) times as large on
    average. Calls that ``torch.compile`` traces are not watched; calls from several threads at once should not be.

    Parameters
    ----------
    model : nn.Module
        What to watch. It may be used in the block in any way, several times, in training or not.
    budget : float or None, default 0.1
        Largest share of a layer's own forward time that watching it may take after its first call; None measures
        every call.
    strict : bool, default False
        Raise a :class:`~spectrans.MonitorError` where a measured input or output is not finite, where a layer that
        claims to be energy preserving changes the energy of a sample by more than its ``energy_tolerance`` (1e-4 if it
        has none), and where a sample is amplified beyond the operator norm; rounding is allowed for. The last two are
        checked on real signals, where no dropout is active. If not strict, watching never raises: see 'problem' in
        :meth:`summary`.
    quiet : bool, default False
        Print nothing on leaving.

    Attributes
    ----------
    records : list of Record
        The measured calls, in the order in which they ended. It grows with every one of them: to follow a long
        training, watch some of its steps.

    Raises
    ------
    TypeError
        If `model` is not a module, or another argument of the wrong type.
    ValueError
        If there is no spectral layer in `model`, or `budget` is negative.

    Examples
    --------
    >>> import torch, spectrans
    >>> from torch import nn
    >>> from spectrans.layers.mixing import FourierMixing, RealFourierMixing
    >>> model = nn.Sequential(nn.Linear(8, 8), FourierMixing(hidden_dim=8), RealFourierMixing(hidden_dim=8))
    >>> with spectrans.monitor(model, strict=True, quiet=True) as watch:
    ...     y = model(torch.randn(4, 16, 8))
    >>> for record in watch.records:
    ...     print(record.layer, record.kind, record.shape, record.operator_norm, record.energy_error < 1e-4)
    1 FourierMixing (4, 16, 8) 1.0 False
    2 RealFourierMixing (4, 16, 8) 1.0 True
    """

    def __init__(
        self, model: nn.Module, *, budget: float | None = 0.1, strict: bool = False, quiet: bool = False
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        self.model = model
        self.budget = None if budget is None else check_non_negative("budget", budget)
        self.strict = check_flag("strict", strict)
        self.quiet = check_flag("quiet", quiet)
        self.records: list[Record] = []
        self._watches: list[_Watch] = []
        self._entered = False
        self._layers()

    def _layers(self) -> dict[str, MixingLayer]:
        """The layers to watch, by name; one that is used in several places under its first."""
        layers = {
            name or type(module).__name__: module
            for name, module in self.model.named_modules()
            if isinstance(module, MixingLayer)
        }
        if not layers:
            raise ValueError(
                f"model: expected a model with spectral layers (MixingLayer), got a {type(self.model).__name__} without"
            )
        return layers

    def __enter__(self) -> monitor:
        if self._entered:
            raise RuntimeError("monitor: already entered; watch the model by a second one")
        layers = self._layers()
        self.records = []
        self._watches = [_Watch(layer, name, self) for name, layer in layers.items()]
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered = False
        for watch in self._watches:
            watch.remove()
        if error is None and not self.quiet:
            self.print()

    def __getstate__(self) -> dict[str, Any]:
        # A model that is copied or saved while it is watched takes its hooks along: those of the copy do nothing.
        return {**self.__dict__, "_entered": False}

    def summary(self) -> list[dict[str, Any]]:
        """What was seen of each layer, in the order of the model, as plain data that ``json.dumps`` takes.

        Returns
        -------
        list of dict
            'layer' (name), 'kind' (class), 'calls', 'measured' (how many of them), 'shape', 'dtype' and
            'operator_norm' (of the last measured call), 'energy_in', 'energy_out' (means over the measured calls),
            'energy_error', 'gain' (the largest), 'cost' (of watching, an estimate, over the time spent in the layer),
            'problem' (why something could not be measured, the last time). All but the first four are None where there
            is nothing to tell.
        """
        of: dict[str, list[Record]] = {watch.name: [] for watch in self._watches}
        for record in self.records:
            of[record.layer].append(record)
        return [_summary(watch, of[watch.name]) for watch in self._watches]

    def table(self) -> Table:
        """:meth:`summary` as a ``rich.table.Table``; ImportError where rich is not installed."""
        try:
            from rich import box
            from rich.table import Table
            from rich.text import Text
        except ImportError as error:
            raise ImportError("monitor.table needs rich: pip install 'spectrans[monitor]'") from error
        table = Table(
            box=box.SIMPLE,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            caption=self._notes(),
            caption_justify="left",
        )
        table.add_column("layer", overflow="fold")
        for name in _COLUMNS[2:]:
            table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
        for layer, kind, *numbers in map(_cells, self.summary()):
            first = Text(layer) if layer == kind else Text.assemble(layer, "\n", (kind, "dim"))
            table.add_row(first, *map(Text, numbers))
        return table

    def print(self, file: TextIO | None = None) -> None:
        """Print the table to `file`, by default standard output: with rich where it is installed, else as ``str()``."""
        try:
            from rich.console import Console
        except ImportError:
            print(self, file=file)
        else:
            Console(file=file).print(self.table())

    def __str__(self) -> str:
        rows = [_COLUMNS, *map(_cells, self.summary())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(cells))
            for cells in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        return "\n".join((*map(str.rstrip, lines), self._notes()))

    def _notes(self) -> str:
        """What the table leaves open: the cost, and calls that could not be measured."""
        forward, watching = (sum(getattr(watch, name) for watch in self._watches) for name in ("forward", "watching"))
        notes = ["calls: those measured, of all"]
        if forward > 0:
            notes.append(f"watching took about {watching / forward:.1%} of the time in these layers")
        problems = [f"{watch.name}: not measured, {watch.problem}" for watch in self._watches if watch.problem]
        return "\n".join(("; ".join(notes), *problems))

    def __repr__(self) -> str:
        return f"spectrans.monitor({type(self.model).__name__}, {len(self.records)} records)"


# -- tables ------------------------------------------------------------------------------------------------------------

_COLUMNS = ("layer", "kind", "calls", "shape", "energy in", "energy out", "error", "gain", "norm")


def _summary(watch: _Watch, records: list[Record]) -> dict[str, Any]:
    last = records[-1] if records else None
    return {
        "layer": watch.name,
        "kind": type(watch.layer).__name__,
        "calls": watch.calls,
        "measured": watch.measured,
        "shape": list(last.shape) if last else None,
        "dtype": last.dtype if last else None,
        "energy_in": sum(record.energy_in for record in records) / len(records) if records else None,
        "energy_out": sum(record.energy_out for record in records) / len(records) if records else None,
        "energy_error": _largest([record.energy_error for record in records]),
        "gain": _largest([record.gain for record in records]),
        "operator_norm": last.operator_norm if last else None,
        "cost": watch.watching / watch.forward if watch.forward > 0 else None,
        "problem": watch.problem,
    }


def _largest(values: list[float]) -> float | None:
    """NaN if there is one: max() would depend on where it stands."""
    return max(values, key=lambda value: math.inf if math.isnan(value) else value, default=None)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (("energy_in", 3), ("energy_out", 3), ("energy_error", 2), ("gain", 3), ("operator_norm", 3))
    return (
        row["layer"],
        row["kind"],
        f"{row['measured']}/{row['calls']}",
        "x".join(map(str, row["shape"])) if row["shape"] else "",
        *("" if row[name] is None else f"{row[name]:.{digits}g}" for name, digits in numbers),
    )
