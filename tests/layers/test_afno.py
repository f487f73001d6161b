"""AFNOMixing: which frequencies pass, at which lengths, in which precision, and what it says of itself."""

from __future__ import annotations

import oracle
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import spectrans
from spectrans.layers.mixing import AFNOMixing

D, BLOCKS = 12, 3


def layer_of(**settings: object) -> AFNOMixing:
    torch.manual_seed(0)
    layer = AFNOMixing(D, num_blocks=BLOCKS, **settings).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(20)
    return layer


def by_definition(layer: AFNOMixing, x: Tensor) -> Tensor:
    """In complex numbers, a block at a time, on whole spectra."""
    grid = layer.grid or (x.shape[-2],)
    axes = tuple(range(-1 - len(grid), -1))
    spectrum = torch.fft.rfftn(x.double().unflatten(-2, grid), dim=axes, norm="ortho")
    w1, b1, w2, b2 = (torch.complex(*p.double()) for p in (layer.w1, layer.b1, layer.w2, layer.b2))
    blocks = []
    for i, block in enumerate(spectrum.chunk(layer.num_blocks, dim=-1)):
        hidden = block @ w1[i] + b1[i]
        out = torch.complex(hidden.real.relu(), hidden.imag.relu()) @ w2[i] + b2[i]
        shrink = torch.nn.Softshrink(layer.sparsity_threshold)
        blocks.append(torch.complex(shrink(out.real), shrink(out.imag)))
    kept = torch.arange(spectrum.shape[-2]) < int(spectrum.shape[-2] * layer.hard_thresholding_fraction)
    mixed = torch.cat(blocks, dim=-1) * kept.unsqueeze(-1)
    return x + torch.fft.irfftn(mixed, s=grid, dim=axes, norm="ortho").reshape(x.shape)


@pytest.mark.parametrize("fraction", [1.0, 0.5])
@pytest.mark.parametrize("n", [1, 2, 3, 16, 31, 100])
def test_every_length(backend: str, n: int, fraction: float) -> None:
    if n == 1 and fraction < 1.0:
        pytest.skip("nothing would be kept")
    layer, x = layer_of(hard_thresholding_fraction=fraction), oracle.draw(2, n, D)
    torch.testing.assert_close(layer(x), by_definition(layer, x))


@pytest.mark.parametrize("fraction", [1.0, 0.6])
@pytest.mark.parametrize("grid", [(1, 2), (4, 4), (5, 3), (3, 8)], ids=str)
def test_every_grid(backend: str, grid: tuple[int, int], fraction: float) -> None:
    layer, x = layer_of(hard_thresholding_fraction=fraction, grid=grid), oracle.draw(2, 1, grid[0] * grid[1], D)
    torch.testing.assert_close(layer(x), by_definition(layer, x))


@pytest.mark.parametrize("grid", [None, (3, 5)], ids=str)
def test_gradients_are_those_of_the_definition(backend: str, grid: tuple[int, int] | None) -> None:
    layer, x = layer_of(grid=grid, hidden_size_factor=2), oracle.draw(2, 15, D).requires_grad_()
    leaves = [x, *layer.parameters()]
    ours, theirs = (torch.autograd.grad(f(x).pow(3).sum(), leaves) for f in (layer, lambda x: by_definition(layer, x)))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_rounded_once(backend: str, dtype: torch.dtype) -> None:
    layer, x = layer_of().to(dtype), oracle.draw(2, 16, D, dtype=dtype)
    y, exact = layer(x), by_definition(layer, x)
    assert y.dtype is dtype
    # Half a unit in the last place of the result, and float32's rounding of the sums it came from.
    bound = torch.finfo(dtype).eps / 2 * exact.abs() + 1e-5 * exact.abs().max()
    assert bool(((y.double() - exact).abs() <= bound).all())


def test_transforms_are_native(native_library: None) -> None:
    there, back = ("spectrans::modes", "native"), ("spectrans::modes_inverse", "native")
    columns = ("aten::_fft_c2c", "torch.fft")  # of a grid: complex, and there is no kernel of ours for that
    for grid, between in ((None, []), ((3, 5), [columns, columns])):
        layer, x = AFNOMixing(D, num_blocks=BLOCKS, grid=grid), torch.randn(2, 15, D)
        steps = spectrans.explain(layer, x).steps
        assert [(step.op, step.implementation) for step in steps] == [there, *between, back]


def test_blocks_and_what_is_cut_off() -> None:
    layer, x = layer_of(hard_thresholding_fraction=0.5), oracle.draw(2, 16, D)
    other = x.clone()
    other[..., :4] = oracle.draw(2, 16, 4, seed=1)
    changed = (layer(other) - layer(x)).abs().amax((0, 1)) > 0
    assert changed.tolist() == [True] * 4 + [False] * 8
    added = torch.fft.rfft(layer(x) - x, dim=-2).abs().amax((0, 2))  # 9 frequencies
    assert bool((added[:4] > 1e-3).all()) and bool((added[4:] < 1e-12).all())
    with torch.no_grad():
        layer.sparsity_threshold = 1e3
        torch.testing.assert_close(layer(x), x)


def test_only_what_mixes_channels_says_so() -> None:
    assert AFNOMixing(D, num_blocks=BLOCKS).get_spectral_properties()["mixes_hidden"]
    alone = AFNOMixing(D, num_blocks=D).double()
    assert not alone.get_spectral_properties()["mixes_hidden"]
    x = oracle.draw(2, 16, D)
    other = torch.cat((oracle.draw(2, 16, 1, seed=1), x[..., 1:]), dim=-1)
    assert torch.equal(alone(other)[..., 1:], alone(x)[..., 1:])


def test_linearize(backend: str) -> None:
    layer, x, v = layer_of(), oracle.draw(2, 15, D), oracle.draw(2, 15, D, seed=1)
    y, derivative = torch.func.linearize(layer, x)
    torch.testing.assert_close(y, layer(x))
    step = 1e-6
    torch.testing.assert_close(derivative(v), (layer(x + step * v) - layer(x - step * v)) / (2 * step))


@pytest.mark.parametrize("grid", [None, (3, 5)], ids=str)
def test_no_items_have_gradients_too(backend: str, grid: tuple[int, int] | None) -> None:
    layer = layer_of(grid=grid)
    layer(torch.empty(0, 15, D, dtype=torch.float64)).sum().backward()
    assert all(bool((p.grad == 0).all()) for p in layer.parameters())


def test_autocast_is_for_the_network(backend: str) -> None:
    layer, x = layer_of().float(), oracle.draw(2, 16, D, dtype=torch.float32)
    device = torch.get_default_device().type
    with torch.autocast(device, dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype is torch.float32
    added, exact = (y - x).detach(), (by_definition(layer, x) - x).detach()
    error = float((added - exact).norm() / exact.norm())
    assert 1e-5 < error < 2e-2


@pytest.mark.parametrize("fraction", [1.0, 0.7])
def test_one_program_for_every_length(fraction: float) -> None:
    layer = layer_of(hard_thresholding_fraction=fraction).float()
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=counter)
    axes = {"x": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(layer, (torch.randn(2, 12, D),), dynamic_shapes=axes).module()
    for n in (20, 31, 8):  # sizes that were equal the first time, a compiler would take for one
        x = torch.randn(3, n, D)
        for program in (compiled, exported):
            torch.testing.assert_close(program(x), layer(x))
    assert counter.frame_count == 1


def test_state_and_initial_values() -> None:
    torch.manual_seed(0)
    layer = AFNOMixing(256, num_blocks=4, hidden_size_factor=3)
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "w1": (2, 4, 64, 192),
        "b1": (2, 4, 192),
        "w2": (2, 4, 192, 64),
        "b2": (2, 4, 64),
    }
    for parameter in layer.parameters():
        assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert layer.compute_operator_norm(16) is None
    assert repr(AFNOMixing(12, num_blocks=2, hard_thresholding_fraction=0.5, grid=(3, 4))).startswith(
        "AFNOMixing(\n  hidden_dim=12, num_blocks=2, hard_thresholding_fraction=0.5, grid=(3, 4)\n"
    )
