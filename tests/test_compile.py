"""torch.compile and torch.export: no graph break, dynamic shapes, the same numbers and strides."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import oracle
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

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

LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "FourierMixing": lambda: FourierMixing(6),
    "FourierMixing, complex": lambda: FourierMixing(6, keep_complex=True),
    "FourierMixing1D": lambda: FourierMixing1D(6),
    "RealFourierMixing": lambda: RealFourierMixing(6),
    "SeparableFourierMixing": lambda: SeparableFourierMixing(6),
    "GlobalFilterMixing": lambda: GlobalFilterMixing(6, 12),
    "GlobalFilterMixing2D": lambda: GlobalFilterMixing2D(6, 12),
    "AdaptiveGlobalFilter": lambda: AdaptiveGlobalFilter(6, 12),
    "AFNOMixing": lambda: AFNOMixing(6, num_blocks=2, hard_thresholding_fraction=0.7),
    "LongConvMixing": lambda: LongConvMixing(6, 12),
    "LongConvMixing, circular": lambda: LongConvMixing(6, 12, causal=False),
}


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(
    f: Callable[..., torch.Tensor], engine: str | Callable[..., object] = "aot_eager"
) -> Callable[..., torch.Tensor]:
    return torch.compile(f, fullgraph=True, dynamic=True, backend=engine)


def with_gradients(f: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    y = f(*leaves)
    return y, *torch.autograd.grad(y.abs().square().sum(), leaves)


@pytest.mark.parametrize("f", [fourier_mixing, hartley_mixing, lambda x: fourier_mixing(x, 1, "backward")])
def test_mixing(backend: str, f: Callable[..., torch.Tensor]) -> None:
    g = compiled(f)
    for shape in ((2, 12, 6), (3, 10, 4), (4, 7, 5)):
        x = oracle.draw(*shape, dtype=torch.float32)
        for ours, eager in zip(with_gradients(g, x), with_gradients(f, x), strict=True):
            assert ours.stride() == eager.stride()
            torch.testing.assert_close(ours, eager)


# Either axis is brought to its place by the same function for both; compiling a reference takes long.
@pytest.mark.parametrize(("backend", "dim"), [("native", -2), ("native", -1), ("torch", -1)], indirect=["backend"])
def test_filter(backend: str, dim: int) -> None:
    f = lambda x, h: spectral_filter(x, h, dim)  # noqa: E731
    g = compiled(f)
    for shape in ((2, 12, 6), (3, 10, 4), (4, 7, 5)):
        x = oracle.draw(*shape, dtype=torch.float32)
        n, d = x.transpose(-2, -1).shape[1:] if dim == -1 else x.shape[1:]
        h = oracle.draw_response(n, d, torch.float32)
        for ours, eager in zip(with_gradients(g, x, h), with_gradients(f, x, h), strict=True):
            torch.testing.assert_close(ours, eager)


# The three ops of a backward pass; a reference has none of its own.
@pytest.mark.parametrize(
    ("backend", "learned"),
    [("native", "both"), ("native", "x"), ("native", "response"), ("torch", "both")],
    indirect=["backend"],
)
def test_filter2d(backend: str, learned: str) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    g = compiled(spectral_filter2d, counter)
    # No two sizes of the first are equal: the compiler would take them for one, and compile again where they differ.
    for batch, grid, d in ((7, (3, 8), 10), (9, (5, 12), 4), (8, (2, 7), 5)):
        x = oracle.draw(batch, grid[0] * grid[1], d, dtype=torch.float32)
        h = oracle.draw_response2d(*grid, d, torch.float32)

        def run(f: Callable[..., torch.Tensor], x=x, h=h, grid=grid) -> tuple[torch.Tensor, ...]:
            if learned == "both":
                return with_gradients(lambda x, h: f(x, h, grid), x, h)
            if learned == "x":
                return with_gradients(lambda x: f(x, h, grid), x)
            return with_gradients(lambda h: f(x, h, grid), h)

        for ours, eager in zip(run(g), run(spectral_filter2d), strict=True):
            torch.testing.assert_close(ours, eager)
    if learned != "response":  # that derivative is told the grid's height as a plain number
        assert counter.frame_count == 1


def test_grid_filter(backend: str) -> None:
    layer = GridFilterMixing(6, (3, 4))
    g = compiled(layer)
    for batch in ((2,), (3,), (3, 2)):
        x = oracle.draw(*batch, 12, 6, dtype=torch.float32)
        for ours, eager in zip(with_gradients(g, x), with_gradients(layer, x), strict=True):
            torch.testing.assert_close(ours, eager)


# Either axis is brought to its place before anything knows of causality.
@pytest.mark.parametrize(
    ("backend", "causal", "dim"),
    [("native", True, -2), ("native", False, -1), ("torch", True, -2)],
    indirect=["backend"],
)
def test_conv(backend: str, causal: bool, dim: int) -> None:
    def f(u: torch.Tensor, k: torch.Tensor, pre: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return fft_conv(u, k, causal=causal, pre_gate=pre, skip=skip, dim=dim)

    g = compiled(f)
    for *shape, taps in ((2, 12, 6, 12), (3, 10, 4, 7), (4, 7, 5, 21)):
        u, pre = oracle.draw(*shape, dtype=torch.float32), oracle.draw(*shape, dtype=torch.float32, seed=1)
        d = shape[2 if dim == -2 else 1]
        k = oracle.draw(*((taps, d) if dim == -2 else (d, taps)), dtype=torch.float32)
        inputs = (u, k, pre, oracle.draw(d, dtype=torch.float32))
        for ours, eager in zip(with_gradients(g, *inputs), with_gradients(f, *inputs), strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-4)


def low_pass(x: torch.Tensor, dim: int = -2) -> torch.Tensor:
    n = x.shape[dim]
    return irfft_modes(rfft_modes(x, n // 4 + 1, dim), n, dim)


@pytest.mark.parametrize(("backend", "dim"), [("native", -2), ("native", -1), ("torch", -1)], indirect=["backend"])
def test_modes(backend: str, dim: int) -> None:
    for f in (lambda x: rfft_modes(x, 3, dim), lambda x: low_pass(x, dim)):
        g = compiled(f)
        for shape in ((2, 12, 6), (3, 10, 4), (4, 7, 5)):
            x = oracle.draw(*shape, dtype=torch.float32)
            for ours, eager in zip(with_gradients(g, x), with_gradients(f, x), strict=True):
                torch.testing.assert_close(ours, eager)
                assert ours.stride() == eager.stride()


def test_modes_of_any_length_are_compiled_once(native_library: None) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    g = compiled(low_pass, counter)
    for n in (12, 10, 16, 31):
        x = oracle.draw(2, n, 6, dtype=torch.float32)
        torch.testing.assert_close(g(x), low_pass(x))
    assert counter.frame_count == 1


#: Every norm of one tensor [b, n, d].
NORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "energy": energy,
    "energy, one axis": lambda x: energy(x, 0),
    "energy, half": lambda x: energy(x, n=2 * x.shape[1] - 1),
    "energy, half of the last axis": lambda x: energy(x, (0, 2), n=2 * x.shape[2] - 2, dim=2),
    "energy_error": lambda x: energy_error(x, x.sin()),
    "energy_error, half": lambda x: energy_error(x.real, torch.fft.rfft(x.real.sin(), dim=-2), n=x.shape[1]),
    "orthogonality_error": orthogonality_error,
    "spectral_norm": spectral_norm,
    "spectral_norm, transposed": lambda x: spectral_norm(x.mH),
    "filter_operator_norm": lambda x: filter_operator_norm(torch.view_as_real(x.cfloat())),
    "filter_operator_norm, n": lambda x: filter_operator_norm(x[0].cfloat(), n=2 * x.shape[1] - 1),
    "filter_operator_norm, grid": lambda x: filter_operator_norm(x.cfloat(), grid=(x.shape[0], 2 * x.shape[1] - 1)),
    "filter_operator_norm, mixing": lambda x: filter_operator_norm(x.cfloat(), channel_mixing=True),
}


# Of complex ones: they are pairs to an op, which real ones, that the tests below have, need not be made.
@pytest.mark.parametrize("name", NORMS)
def test_norms(backend: str, name: str) -> None:
    f = NORMS[name]
    g = compiled(f)
    for shape in ((2, 12, 6), (3, 10, 4), (4, 7, 5)):
        x = oracle.draw(*shape, dtype=torch.complex64)
        for ours, eager in zip(with_gradients(g, x), with_gradients(f, x), strict=True):
            torch.testing.assert_close(ours, eager)
            assert ours.stride() == eager.stride()


def test_norms_of_any_size_are_compiled_once() -> None:
    for f in (energy, orthogonality_error, spectral_norm):
        counter = CompileCounterWithBackend("aot_eager")
        g = compiled(f, counter)
        for shape in ((2, 12, 6), (3, 10, 4), (4, 7, 5)):
            x = oracle.draw(*shape, dtype=torch.float32)
            torch.testing.assert_close(g(x), f(x))
        assert counter.frame_count == 1


# A layout that a compiler is tempted to change; without kernels, all there is to compile is torch's.
@pytest.mark.parametrize(
    ("backend", "layout"),
    [("native", "contiguous"), ("native", "sequence_first"), ("torch", "sequence_first")],
    indirect=["backend"],
)
def test_norms_under_inductor(backend: str, layout: str) -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        z = x[..., :6] + 1j * x[..., 6:]
        return energy(x) + energy_error(x, 2 * x) + spectral_norm(z) + orthogonality_error(z) + filter_operator_norm(z)

    x = oracle.LAYOUTS[layout]((3, 5, 12), torch.float32)
    for ours, eager in zip(with_gradients(torch.compile(f, fullgraph=True), x), with_gradients(f, x), strict=True):
        torch.testing.assert_close(ours, eager)


class Norms(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            spectral_norm(x) + orthogonality_error(x) + energy(x, n=2 * x.shape[1] - 1) + filter_operator_norm(x + 0j)
        )


@pytest.mark.parametrize("strict", [False, True])
def test_export_of_norms_of_any_size(backend: str, strict: bool) -> None:
    x = oracle.draw(3, 12, 6, dtype=torch.float32)
    dims = {"x": {i: torch.export.Dim(name, min=3) for i, name in enumerate(("batch", "sequence", "channels"))}}
    program = torch.export.export(Norms(), (x,), dynamic_shapes=dims, strict=strict)
    y = oracle.draw(4, 17, 5, dtype=torch.float32)
    torch.testing.assert_close(program.module()(y), Norms()(y))


# Of references, a layer compiles what its function does.
@pytest.mark.parametrize("backend", ["native"], indirect=True)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(backend: str, name: str) -> None:
    layer = LAYERS[name]()
    g = compiled(layer)
    for shape in ((2, 12, 6), (3, 12, 6), (3, 10, 6), (3, 15, 6)):
        x = oracle.draw(*shape, dtype=torch.float32)
        for ours, eager in zip(with_gradients(g, x), with_gradients(layer, x), strict=True):
            torch.testing.assert_close(ours, eager)


def test_follows_the_backend() -> None:
    # Compiled under one backend, called under the other: it must be compiled again.
    g = compiled(fourier_mixing)
    x = torch.randn(2, 8, 4)
    graphs = []
    for name in ("native", "torch", "native"):
        with spectrans.backend(name):
            torch.testing.assert_close(g(x), fourier_mixing(x))
            graphs.append("mixing" in str(torch.export.export(FourierMixing(4), (x,)).graph))
    assert graphs == [True, False, True]


def test_backend_inside_the_graph() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        with spectrans.backend("torch"):
            return fourier_mixing(x)

    x = torch.randn(2, 8, 4)
    torch.testing.assert_close(compiled(f)(x), f(x))


def test_inductor(backend: str) -> None:
    layers = torch.nn.Sequential(
        torch.nn.Linear(6, 6), GlobalFilterMixing(6, 12), torch.nn.GELU(), RealFourierMixing(6), torch.nn.Linear(6, 6)
    )
    x = torch.randn(3, 12, 6)
    torch.testing.assert_close(torch.compile(layers, fullgraph=True)(x), layers(x))
    t = x.transpose(0, 1).contiguous().transpose(0, 1)  # a layout a compiler is tempted to change
    torch.testing.assert_close(torch.compile(layers, fullgraph=True)(t), layers(t))


def test_functional_transforms(backend: str) -> None:
    x = torch.randn(8, 4)
    for f in (
        torch.func.grad(lambda x: hartley_mixing(x).pow(3).sum()),
        torch.func.vmap(lambda x: hartley_mixing(x.unsqueeze(-1), 1).squeeze(-1)),
    ):
        torch.testing.assert_close(torch.compile(f, fullgraph=True, backend="aot_eager")(x), f(x))


@pytest.mark.parametrize("name", LAYERS)
def test_export(name: str) -> None:
    layer = LAYERS[name]()
    x = oracle.draw(3, 12, 6, dtype=torch.float32)
    program = torch.export.export(layer, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    for batch in (3, 5):
        x = oracle.draw(batch, 12, 6, dtype=torch.float32)
        torch.testing.assert_close(program.module()(x), layer(x))


def test_export_of_any_length() -> None:
    x = oracle.draw(3, 12, 6, dtype=torch.float32)
    dims = {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}}
    program = torch.export.export(RealFourierMixing(6), (x,), dynamic_shapes=dims)
    y = oracle.draw(2, 17, 6, dtype=torch.float32)
    torch.testing.assert_close(program.module()(y), hartley_mixing(y))


class LowPass(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return irfft_modes(rfft_modes(x, 3), x.shape[1])


@pytest.mark.parametrize("strict", [False, True])
def test_export_of_modes_of_any_length(strict: bool) -> None:
    x = oracle.draw(3, 12, 6, dtype=torch.float32)
    dims = {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", min=4)}}
    program = torch.export.export(LowPass(), (x,), dynamic_shapes=dims, strict=strict)
    y = oracle.draw(2, 17, 6, dtype=torch.float32)
    torch.testing.assert_close(program.module()(y), LowPass()(y))


@pytest.mark.parametrize("strict", [False, True])
def test_modes_from_pairs(strict: bool) -> None:
    class Synthesis(torch.nn.Module):
        def forward(self, pairs: torch.Tensor) -> torch.Tensor:
            return irfft_modes(pairs, 6)

    for dtype in (torch.float32, torch.bfloat16):
        pairs = oracle.draw(2, 4, 3, 2, dtype=dtype)
        y = Synthesis()(pairs)
        torch.testing.assert_close(torch.compile(Synthesis(), fullgraph=True, backend="aot_eager")(pairs), y)
        torch.testing.assert_close(torch.export.export(Synthesis(), (pairs,), strict=strict).module()(pairs), y)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", [name for name in LAYERS if "Filter" in name or "Conv" in name])
def test_export_of_a_filter_of_any_length(name: str, strict: bool) -> None:
    layer, sequence = LAYERS[name](), torch.export.Dim("sequence", min=3, max=4096)
    x = oracle.draw(3, 17, 6, dtype=torch.float32)
    program = torch.export.export(layer, (x,), dynamic_shapes={"x": {1: sequence}}, strict=strict)
    for n in (3, 4, 12, 17, 64):  # its own among them
        x = oracle.draw(3, n, 6, dtype=torch.float32)
        torch.testing.assert_close(program.module()(x), layer(x))


def test_errors_while_compiling() -> None:
    with pytest.raises(Exception, match="x: expected at least 2 dimensions"):
        compiled(fourier_mixing)(torch.zeros(4))
