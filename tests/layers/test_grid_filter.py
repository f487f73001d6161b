"""GFNet's grid filter beyond its definition: exchange of weights, initialisation, analysis, other grids."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor, nn

from spectrans.layers.mixing import GridFilterMixing

Grid = tuple[int, int]

few_grids = pytest.mark.parametrize("grid", oracle.FEW_GRIDS, ids=str)


class Composed(nn.Module):
    """The same layer as a chain of torch.fft calls, with the parameter of the paper's code."""

    def __init__(self, d: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.complex_weight = nn.Parameter(0.02 * torch.randn(grid[0], grid[1] // 2 + 1, d, 2))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x.unflatten(1, self.grid), dim=(1, 2), norm="ortho")
        spectrum = spectrum * torch.view_as_complex(self.complex_weight)
        return torch.fft.irfft2(spectrum, s=self.grid, dim=(1, 2), norm="ortho").flatten(1, 2)


def fixed(response: Tensor, grid: Grid) -> GridFilterMixing:
    layer = GridFilterMixing(response.shape[-1], grid).double()
    with torch.no_grad():
        layer.complex_weight.copy_(torch.view_as_real(response.resolve_conj()))
    return layer


def shifting(grid: Grid, rows: int, columns: int, d: int = 3) -> Tensor:
    """The response that moves a grid by so many rows and columns."""
    h, w = grid
    kh, kw = torch.arange(h, dtype=torch.float64).unsqueeze(-1), torch.arange(w // 2 + 1, dtype=torch.float64)
    turns = (kh * rows % h) / h + (kw * columns % w) / w
    return torch.exp(-2j * torch.pi * turns).unsqueeze(-1).expand(-1, -1, d)


@few_grids
def test_exchange_of_weights(backend: str, grid: Grid) -> None:
    theirs = Composed(5, grid)
    x = torch.randn(3, grid[0] * grid[1], 5)
    for learnable in (True, False):
        ours = GridFilterMixing(5, grid, learnable_filters=learnable)
        assert not any(ours.load_state_dict(theirs.state_dict()))
        torch.testing.assert_close(ours(x), theirs(x))
        assert not any(theirs.load_state_dict(ours.state_dict()))


def test_gradients_are_those_of_the_composition(backend: str) -> None:
    theirs, ours = Composed(5, (3, 4)).double(), GridFilterMixing(5, (3, 4)).double()
    ours.load_state_dict(theirs.state_dict())
    x = oracle.draw(3, 12, 5)
    gradients = [
        torch.autograd.grad(layer(t).square().sum(), (t, layer.complex_weight))
        for layer, t in ((layer, x.clone().requires_grad_()) for layer in (ours, theirs))
    ]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other)


@few_grids
def test_shift(backend: str, grid: Grid) -> None:
    x = oracle.draw(2, grid[0] * grid[1], 3)
    y = fixed(shifting(grid, 2, 3), grid)(x)
    torch.testing.assert_close(y, x.unflatten(1, grid).roll((2, 3), (1, 2)).flatten(1, 2))


@few_grids
def test_effective_response_is_what_acts(backend: str, grid: Grid) -> None:
    layer = GridFilterMixing(4, grid, filter_init_std=1.0).double()
    effective = layer.get_effective_response().detach()
    assert effective.shape == layer.get_filter_response().shape == (grid[0], grid[1] // 2 + 1, 4)
    x = oracle.draw(2, grid[0] * grid[1], 4)
    torch.testing.assert_close(fixed(effective, grid)(x), layer(x))
    torch.testing.assert_close(fixed(effective, grid).get_effective_response(), effective)
    # It is the half of the transform of the (real) impulse response.
    impulse = torch.zeros(1, grid[0] * grid[1], 4, dtype=torch.float64)
    impulse[:, 0] = 1
    torch.testing.assert_close(torch.fft.rfft2(layer(impulse)[0].unflatten(0, grid), dim=(0, 1)), effective)


def test_response_dtype() -> None:
    layer = GridFilterMixing(4, (3, 4))
    assert torch.equal(layer.get_filter_response(), torch.view_as_complex(layer.complex_weight))
    for response in (GridFilterMixing.get_filter_response, GridFilterMixing.get_effective_response):
        assert response(layer.half()).dtype is torch.complex64
        assert response(layer.double()).dtype is torch.complex128


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 2), (3, 1), (4, 3), (6, 5)])
@pytest.mark.parametrize("grid", [(8, 6), (7, 9)], ids=str)
def test_analysis_of_a_shift(grid: Grid, rows: int, columns: int) -> None:
    h, w = grid
    analysis = fixed(shifting(grid, rows, columns), grid).analyze_frequency_response()
    of_rows, of_columns = analysis["group_delay"]
    torch.testing.assert_close(of_rows, torch.full_like(of_rows, rows if 2 * rows <= h else rows - h))
    torch.testing.assert_close(of_columns, torch.full_like(of_columns, columns if 2 * columns <= w else columns - w))
    torch.testing.assert_close(analysis["magnitude"], torch.ones_like(analysis["magnitude"]))


@few_grids
def test_bands_share_the_energy(grid: Grid) -> None:
    h, w = grid
    layer = GridFilterMixing(4, grid, filter_init_std=1.0).double()
    # Energy of the impulse response's whole spectrum in square rings, by numpy.
    impulse = torch.zeros(1, h * w, 4, dtype=torch.float64)
    impulse[:, 0] = 1
    energy = np.abs(np.fft.fft2(oracle.wide(layer(impulse)).reshape(h, w, 4), axes=(0, 1))) ** 2
    ring = np.maximum(np.abs(np.fft.fftfreq(h))[:, None], np.abs(np.fft.fftfreq(w)))
    band = np.minimum((ring * 8 + 1e-9).astype(int), 3)
    expected = np.stack([energy[band == b].sum(0) for b in range(4)]) / energy.sum((0, 1))
    shares = layer.analyze_frequency_response()["passband_energy"]
    np.testing.assert_allclose(oracle.wide(shares), expected, atol=1e-12)


def test_bands_of_a_silent_channel() -> None:
    shares = fixed(torch.zeros(3, 3, 2, dtype=torch.complex128), (3, 4)).analyze_frequency_response()["passband_energy"]
    assert (shares == 0.25).all()


def test_properties() -> None:
    layer = GridFilterMixing(5, (3, 4))
    properties = layer.get_spectral_properties()
    assert properties["grid"] == (3, 4) and properties["sequence_length"] == 12
    assert properties["parameter_count"] == sum(p.numel() for p in layer.parameters()) == 3 * 3 * 5 * 2
    frozen = GridFilterMixing(5, (3, 4), learnable_filters=False)
    assert not list(frozen.parameters()) and set(frozen.state_dict()) == {"complex_weight"}
    assert frozen.get_spectral_properties()["parameter_count"] == 0
    assert repr(frozen).startswith("GridFilterMixing(\n  hidden_dim=5, grid=(3, 4), learnable_filters=False")
    # Modulus 1 as parametrised is not enough: the anti-Hermitian part of two columns does not act.
    assert fixed(shifting((3, 4), 1, 2), (3, 4)).get_spectral_properties()["unitary"]
    assert not fixed(1j * shifting((3, 4), 1, 2), (3, 4)).get_spectral_properties()["unitary"]


def test_initialisation() -> None:
    for std in (0.02, 0.5):
        weight = GridFilterMixing(64, (14, 14), filter_init_std=std).complex_weight.detach()
        # 14336 draws: the root mean square scatters by 1 / sqrt(2 * 14336).
        assert abs(float(weight.square().mean().sqrt()) / std - 1) < 5 / (2 * 14336) ** 0.5


@pytest.mark.parametrize("shape", [(2, 8, 4), (2, 16, 4), (1, 4)], ids=str)
def test_other_grids_are_refused(backend: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x: expected shape \[\.\.\., 12, 4\] for grid=\(3, 4\), got"):
        GridFilterMixing(4, (3, 4))(torch.zeros(shape))


def test_nan_stays_in_its_sample_and_channel(backend: str) -> None:
    x = torch.randn(3, 12, 5)
    x[1, 4, 2] = float("nan")
    y = GridFilterMixing(5, (3, 4))(x)
    assert y[1, :, 2].isnan().all() and int(y.isnan().sum()) == 12
