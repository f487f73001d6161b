"""``python -m spectrans.profiler``: times a function or a layer at a shape of one's choice, beside torch.fft."""

from __future__ import annotations

import argparse
import ast
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Measurement, Timer

import spectrans
from spectrans import functional
from spectrans._explain import Explanation, explain
from spectrans.functional.arguments import REAL_DTYPES, check_flag, check_length, check_number
from spectrans.functional.filter2d import check_grid
from spectrans.layers import mixing
from spectrans.ops.library import complex_dtype

__all__ = ["Profile", "Timing", "profile"]

#: What can be profiled, by name.
LAYERS: dict[str, type[nn.Module]] = {
    name: getattr(mixing, name) for name in mixing.__all__ if not inspect.isabstract(getattr(mixing, name))
}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {name: getattr(functional, name) for name in functional.__all__}

#: Turns that the two take one after the other, so that what else the machine does meets both.
ROUNDS = 5


@dataclass(frozen=True)
class Timing:
    """Of one call, on so many threads.

    Attributes
    ----------
    threads : int
    native, torch : float
        Median seconds with the kernels, and under ``spectrans.backend("torch")``: the composition of torch.fft that the
        package falls back to. (``python -m benchmarks``, in the repository, looks for the fastest there is.)
    native_spread, torch_spread : float
        Between the quartiles, in seconds.
    """

    threads: int
    native: float
    torch: float
    native_spread: float
    torch_spread: float

    @property
    def ratio(self) -> float:
        """How many times as fast the kernels are."""
        return self.torch / self.native


@dataclass(frozen=True)
class Profile:
    """What was timed, what ran, and how long it took.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype, device : str
    backward : bool
    explanation : Explanation
        Of the call without ``spectrans.backend("torch")``: see :func:`spectrans.explain`.
    timings : tuple of Timing
        One for each number of threads.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    backward: bool
    explanation: Explanation
    timings: tuple[Timing, ...]

    def __str__(self) -> str:
        lines = [self.title]
        lines += ["  ".join(f"{cell:>18}" for cell in row) for row in (COLUMNS, *self.rows())]
        return "\n".join([*lines, *(f"ran {step}" for step in self.explanation.steps)])

    @property
    def title(self) -> str:
        what = "forward and backward" if self.backward else "forward"
        return f"{self.name} {list(self.shape)} {self.dtype} {self.device}, {what}"

    def rows(self) -> list[tuple[str, ...]]:
        """Of a table with the columns `COLUMNS`."""
        return [
            (str(t.threads), _ms(t.native, t.native_spread), _ms(t.torch, t.torch_spread), f"{t.ratio:.2f}")
            for t in self.timings
        ]


COLUMNS = ("threads", "kernels, ms", "torch.fft, ms", "ratio")


def _ms(seconds: float, spread: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(seconds * 1e3))) if seconds > 0 else 3
    return f"{seconds * 1e3:.{digits}f} ± {spread * 5e2:.{digits}f}"


# -- calls -------------------------------------------------------------------------------------------------------------


def _near_square(n: int) -> tuple[int, int]:
    h = next(h for h in range(math.isqrt(n), 0, -1) if n % h == 0)
    return h, n // h


def _function_call(name: str, x: Tensor, settings: dict[str, Any]) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """A function of tensors alone, and those; what else it needs is taken from the settings, or from the shape."""
    function, batch = FUNCTIONS[name], x.shape[:-2]
    channels_first = settings.get("dim", -2) in (-1, x.dim() - 1)
    n, d = x.shape[-2:][::-1] if channels_first else x.shape[-2:]

    def bins(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=complex_dtype(x.dtype), device=x.device)

    def along(length: int) -> tuple[int, int]:  # the last two sizes of what has so many values along the sequence
        return (d, length) if channels_first else (length, d)

    tensors: tuple[Tensor, ...] = (x,)
    if name == "spectral_filter":
        tensors = (x, bins(n // 2 + 1, d))
    elif name == "spectral_filter2d":
        h, w = check_grid(settings.setdefault("grid", _near_square(n)))
        tensors = (x, bins(h, w // 2 + 1, d))
    elif name == "spectral_filter_plane":
        tensors = (x, bins(n, d))
    elif name == "fft_conv":
        taps = check_length("taps", settings.pop("taps", n))
        tensors = (x, torch.randn(along(taps), device=x.device).to(x.dtype))
    elif name == "rfft_modes":
        settings.setdefault("modes", n // 2 + 1)
    elif name == "irfft_modes":
        tensors = (bins(*batch, *along(check_length("modes", settings.pop("modes", n // 2 + 1)))),)
        settings["n"] = n
    elif name == "energy_error":
        tensors = (x, torch.randn_like(x))
    elif name == "filter_operator_norm":
        tensors = (bins(*x.shape),)
    return lambda *given: function(*given, **settings), tensors


def _layer_call(name: str, x: Tensor, settings: dict[str, Any]) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """Likewise of a layer in training mode: its parameters are among the tensors."""
    n, d = x.shape[-2:]
    parameters = inspect.signature(LAYERS[name]).parameters
    given: dict[str, Any] = {"hidden_dim": d}
    if "sequence_length" in parameters:
        given["sequence_length"] = n
    if "grid" in parameters and parameters["grid"].default is inspect.Parameter.empty:
        given["grid"] = _near_square(n)
    layer = LAYERS[name](**{**given, **settings}).to(device=x.device, dtype=x.dtype)
    return lambda x, *_: layer(x), (x, *layer.parameters())


def _with_gradients(function: Callable[..., Tensor], leaves: tuple[Tensor, ...]) -> Callable[[], object]:
    for leaf in leaves:
        leaf.requires_grad_()
    direction = torch.randn_like(function(*leaves))
    return lambda: torch.autograd.grad(function(*leaves), leaves, direction)


def _without(function: Callable[..., Tensor], tensors: tuple[Tensor, ...]) -> Callable[[], object]:
    return torch.no_grad()(lambda: function(*tensors))


# -- timing ------------------------------------------------------------------------------------------------------------


def _time(call: Callable[[], object], threads: int, seconds: float) -> Timing:
    timer = Timer("call()", globals={"call": call}, num_threads=threads)
    taken: dict[str, list[Measurement]] = {"native": [], "torch": []}
    for _ in range(ROUNDS):
        for name, measurements in taken.items():
            with spectrans.backend(name):
                measurements.append(timer.blocked_autorange(min_run_time=seconds / (2 * ROUNDS)))
    native, reference = (Measurement.merge(measurements)[0] for measurements in taken.values())
    return Timing(threads, native.median, reference.median, native.iqr, reference.iqr)


def profile(
    name: str,
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    threads: Sequence[int] | None = None,
    backward: bool = False,
    seconds: float = 1.0,
    **settings: Any,
) -> Profile:
    """Time a function or a layer, with the kernels and on torch.fft in turns, and tell which kernels ran.

    Parameters
    ----------
    name : str
        Of a function in :mod:`spectrans.functional` or of a layer in :mod:`spectrans.layers.mixing`.
    shape : sequence of int
        Of the signal: [..., n, d], or [..., d, n] with ``dim=-1``. Responses, taps, bins and parameters follow from
        it, drawn at random.
    dtype : torch.dtype, default torch.float32
        Of the signal and of a layer's parameters: float16, bfloat16, float32 or float64.
    device : str or torch.device, default "cpu"
    threads : sequence of int, optional
        Numbers of threads to time, as for ``torch.set_num_threads``; by default the current one.
    backward : bool, default False
        Whether derivatives of all that is floating-point are part of what is timed.
    seconds : float, default 1.0
        To spend on each number of threads, at least.
    **settings
        Further arguments: of the function (``dim``, ``grid``, ``modes``, ``norm``, ..., and ``taps``, the length of a
        convolution's kernel), or of the layer's constructor.

    Returns
    -------
    Profile
        ``print`` shows it as text.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, or the function or layer refuses what it is given.

    Examples
    --------
    >>> from spectrans.profiler import profile
    >>> result = profile("spectral_filter", (2, 64, 32), threads=[1], seconds=0.01)
    >>> result.title
    'spectral_filter [2, 64, 32] float32 cpu, forward'
    >>> [timing.threads for timing in result.timings]
    [1]
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected a string, got {type(name).__name__}")
    if name not in FUNCTIONS and name not in LAYERS:
        raise ValueError(f"name: expected one of {', '.join([*FUNCTIONS, *LAYERS])}, got {name!r}")
    if len(shape) < 2:
        raise ValueError(f"shape: expected at least 2 sizes [..., n, d], got {tuple(shape)}")
    for size in shape:
        check_length("shape", size)
    if dtype not in REAL_DTYPES:
        raise TypeError(f"dtype: expected float16, bfloat16, float32 or float64, got {dtype}")
    counts = [torch.get_num_threads()] if threads is None else [check_length("threads", count) for count in threads]
    if not counts:
        raise ValueError("threads: expected one number or more, got none")
    check_flag("backward", backward)
    check_number("seconds", seconds, 0.0, math.inf, "0 or more")
    x = torch.randn(tuple(shape), device=device).to(dtype)
    function, tensors = (_function_call if name in FUNCTIONS else _layer_call)(name, x, dict(settings))
    call = (_with_gradients if backward else _without)(function, tensors)
    return Profile(
        name=name,
        shape=tuple(x.shape),
        dtype=str(dtype).removeprefix("torch."),
        device=str(x.device),
        backward=backward,
        explanation=explain(call),
        timings=tuple(_time(call, count, seconds) for count in counts),
    )


# -- the command line --------------------------------------------------------------------------------------------------


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value  # a string without quotes


def _dtype(text: str) -> torch.dtype:
    dtypes = {str(dtype).removeprefix("torch."): dtype for dtype in REAL_DTYPES}
    if text not in dtypes:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(sorted(dtypes))}, got {text!r}")
    return dtypes[text]


def _show(result: Profile) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print(result)
        return
    table = Table(title=Text(result.title))
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in result.rows():
        table.add_row(*row)
    console = Console()
    console.print(table)
    for step in result.explanation.steps:
        console.print(Text(f"ran {step}"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse a command line, time what it names, print a table and which kernels ran."""
    parser = argparse.ArgumentParser(
        prog="python -m spectrans.profiler",
        description="Times a function or a layer, the kernels beside torch.fft, in turns, and says which kernels ran.",
        epilog="names: " + ", ".join([*FUNCTIONS, *LAYERS]),
    )
    parser.add_argument("name", help="of the function or layer, see below")
    parser.add_argument("--shape", type=int, nargs="+", default=[8, 512, 768], metavar="N", help="(8 512 768)")
    parser.add_argument("--dtype", type=_dtype, default=torch.float32, help="float16, bfloat16, float32 or float64")
    parser.add_argument("--device", default="cpu", help="(cpu)")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="numbers of threads, one row each")
    parser.add_argument("--backward", action="store_true", help="derivatives, too")
    parser.add_argument("--seconds", type=float, default=1.0, help="to spend on a row, at least (1)")
    parser.add_argument(
        "--set", type=_setting, nargs="+", default=[], metavar="NAME=VALUE",
        help="arguments of the function or of the layer's constructor, such as dim=-1 modes=16 taps=128 grid=14,14",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        result = profile(
            options.name,
            options.shape,
            dtype=options.dtype,
            device=options.device,
            threads=options.threads,
            backward=options.backward,
            seconds=options.seconds,
            **dict(options.set),
        )
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    _show(result)


if __name__ == "__main__":
    main()
