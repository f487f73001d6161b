"""The base classes: norms, verifications and the analysis of responses."""

from __future__ import annotations

import math

import oracle
import pytest
import torch
from torch import Tensor, nn

from spectrans.core.base import SpectralComponent
from spectrans.layers.mixing import FourierMixing1D, RealFourierMixing, SeparableFourierMixing
from spectrans.layers.mixing.base import FilterMixingLayer, MixingLayer, UnitaryMixingLayer


class Plain(MixingLayer):
    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x)

    def get_spectral_properties(self) -> dict[str, object]:
        return {"unitary": True, "real_output": True, "frequency_domain": False, "energy_preserving": True}


class Unitary(UnitaryMixingLayer):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Response(FilterMixingLayer):
    """A filter with a given response [m, d]."""

    def __init__(self, response: Tensor, sequence_length: int) -> None:
        super().__init__(response.shape[1], sequence_length)
        self.response = response

    def forward(self, x: Tensor) -> Tensor:
        return x

    def get_filter_response(self) -> Tensor:
        return self.response


def test_hierarchy() -> None:
    assert issubclass(SpectralComponent, nn.Module)
    assert issubclass(MixingLayer, SpectralComponent)
    assert issubclass(UnitaryMixingLayer, MixingLayer) and issubclass(FilterMixingLayer, MixingLayer)
    for abstract in (SpectralComponent, MixingLayer, UnitaryMixingLayer, FilterMixingLayer):
        with pytest.raises(TypeError, match="abstract"):
            abstract(4) if abstract is not FilterMixingLayer else abstract(4, 8)


def test_defaults_and_attributes() -> None:
    layer = Plain(4)
    assert layer.hidden_dim == 4 and layer.norm_eps == 1e-5
    assert isinstance(layer.dropout, nn.Module) and layer.dropout.p == 0.0
    assert Unitary(4).energy_tolerance == 1e-4
    filter_layer = Response(torch.ones(8, 4, dtype=torch.complex64), 8)
    assert filter_layer.sequence_length == 8 and filter_layer.learnable_filters is True
    assert Plain(4, 0.25, 1e-3).dropout.p == 0.25
    assert Unitary(4, 0.0, 1e-5, 1e-2).energy_tolerance == 1e-2
    for layer in (Unitary(4), filter_layer):
        assert {"unitary", "real_output", "frequency_domain", "energy_preserving"} <= set(
            layer.get_spectral_properties()
        )


def test_shape_consistency() -> None:
    x = torch.zeros(2, 8, 4)
    assert Plain(4).verify_shape_consistency(x, x.clone())
    assert not Plain(4).verify_shape_consistency(x, x[:, 1:])
    assert not Plain(4).verify_shape_consistency(x, x[0])


# -- spectral norm -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 2, 9, 4), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
def test_spectral_norm(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = oracle.draw(*shape).to(dtype)
    norm = Plain(4).compute_spectral_norm(x)
    expected = torch.linalg.svdvals(oracle.tensor(oracle.wide(x)).reshape(-1, shape[-1])).max()
    assert norm.shape == () and norm.dtype is dtype.to_real()
    # A backward stable SVD perturbs the matrix by p(m, n) u |A|, p a modest polynomial: here its size.
    assert abs(norm - expected) <= x.numel() * torch.finfo(dtype).eps * expected


def test_spectral_norm_of_halves_and_of_nothing() -> None:
    x = oracle.draw(3, 5, dtype=torch.bfloat16)
    norm = Plain(4).compute_spectral_norm(x)
    assert norm.dtype is torch.bfloat16
    assert norm == torch.linalg.matrix_norm(x.float(), 2).bfloat16()
    for shape in ((0, 3, 5), (2, 0, 5), (2, 3, 0)):
        assert Plain(4).compute_spectral_norm(torch.zeros(shape, requires_grad=True)) == 0


def test_spectral_norm_is_differentiable() -> None:
    x = oracle.draw(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(Plain(4).compute_spectral_norm, (x,))
    assert torch.autograd.gradgradcheck(Plain(4).compute_spectral_norm, (x,))


# -- verifications -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*oracle.DTYPES, torch.complex64], ids=str)
def test_energy_preservation(dtype: torch.dtype) -> None:
    layer, x = Unitary(4, energy_tolerance=1e-2), oracle.draw(3, 8, 4).to(dtype)
    assert layer.verify_energy_preservation(x, x)
    assert layer.verify_energy_preservation(x, x.roll(1, 1).flip(2))  # moved between tokens and channels
    assert not layer.verify_energy_preservation(x, x * 1.1)
    assert not layer.verify_energy_preservation(x, x.roll(1, 0))  # moved between samples


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_energy_of_halves_that_were_rounded_once(backend: str, dtype: torch.dtype) -> None:
    layer = RealFourierMixing(48)
    for n in (1, 7, 100):
        x = oracle.draw(20, n, 48, dtype=dtype)
        assert layer.verify_energy_preservation(x, layer(x))
        assert not layer.verify_energy_preservation(x, layer(x) * (1 + 2 * torch.finfo(dtype).eps))


def test_energy_stays_where_nothing_is_mixed() -> None:
    x = oracle.draw(3, 8, 4)
    spectrum = FourierMixing1D(4, keep_complex=True)
    assert spectrum.verify_energy_preservation(x, spectrum(x))
    assert spectrum.verify_energy_preservation(x, x.roll(1, 1))
    assert not spectrum.verify_energy_preservation(x, x.roll(1, 2))
    channels = SeparableFourierMixing(4, mix_sequence=False)
    assert channels.verify_energy_preservation(x, x.roll(1, 2))
    assert not channels.verify_energy_preservation(x, x.roll(1, 1))


def test_energy_tolerance_is_relative_and_on_both_sides() -> None:
    layer, x = Unitary(4, energy_tolerance=1e-3), oracle.draw(3, 8, 4)
    for scale in (1e-20, 1.0, 1e20):
        for factor, verdict in ((1.0009, True), (1.0011, False), (0.9991, True), (0.9989, False)):
            assert layer.verify_energy_preservation(scale * x, scale * x * factor**0.5) is verdict
    spoilt = x.clone()
    spoilt[1] *= 1.01  # one sample is enough
    assert layer.verify_energy_preservation(x, spoilt) is False


def test_energy_of_float32_is_summed_in_float64() -> None:
    x = torch.full((1, 4, 4), 3e30)
    assert Unitary(4).verify_energy_preservation(x, -x)


ALL_DTYPES = (*oracle.DTYPES, torch.complex64, torch.complex128)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_verifications_are_false_for_what_is_not_finite(backend: str, dtype: torch.dtype, value: float) -> None:
    for tolerance in (0.0, 1e-4, math.inf):
        layer, x = Unitary(4, energy_tolerance=tolerance), torch.eye(4, dtype=dtype).repeat(3, 1, 1)
        for at in ((0, 0, 0), (2, 3, 3), (1, 2, 1)):
            for part in (0, 1) if dtype.is_complex else (0,):
                bad = x.clone()
                (torch.view_as_real(bad) if dtype.is_complex else bad.unsqueeze(-1))[(*at, part)] = value
                for before, after in ((x, bad), (bad, x), (bad, bad), (0 * x, bad), (bad, 0 * x)):
                    assert layer.verify_energy_preservation(before, after) is False
                    assert layer.verify_energy_preservation(before[at[0]], after[at[0]]) is False
                assert layer.verify_orthogonality(bad) is False
                assert layer.verify_orthogonality(bad[at[0]]) is False
        assert layer.verify_energy_preservation(x, x) is True and layer.verify_orthogonality(x) is True


def test_verifications_are_false_for_energies_that_are_not_finite() -> None:
    x = torch.full((1, 4, 4), 1e200, dtype=torch.float64)
    assert Unitary(4, energy_tolerance=math.inf).verify_energy_preservation(x, x) is False
    assert Unitary(4, energy_tolerance=math.inf).verify_orthogonality(x) is False


def test_verifications_of_nothing_before() -> None:
    nothing, one = torch.zeros(2, 8, 4), torch.ones(2, 8, 4)
    for tolerance in (0.0, math.inf):
        layer = Unitary(4, energy_tolerance=tolerance)
        assert layer.verify_energy_preservation(nothing, nothing) is True
        assert layer.verify_energy_preservation(nothing, one) is False


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_empty_batches_verify(backend: str, dtype: torch.dtype) -> None:
    layer = Unitary(4)
    for shape in ((0, 8, 4), (2, 0, 4), (2, 8, 0), (0, 0, 4), (3, 0, 8, 4), (0, 4), (4, 0), (0,), (0, 0)):
        x = torch.zeros(shape, dtype=dtype)
        assert layer.verify_energy_preservation(x, x) is True
    for shape in ((0, 4, 4), (0, 2, 4), (3, 0, 4, 4), (0, 4), (2, 0, 4), (0, 0), (2, 0, 0)):
        assert layer.verify_orthogonality(torch.zeros(shape, dtype=dtype)) is True
    assert layer.verify_energy_preservation(torch.zeros(2, 8, 4), torch.zeros(3, 8, 4)) is False
    assert layer.verify_energy_preservation(torch.zeros(0, 8, 4), torch.zeros(2, 8, 4)) is False


def test_energy_of_vectors_and_of_numbers() -> None:
    layer = Unitary(4)
    for shape in ((), (5,), (3, 5), (2, 2, 3, 5)):
        x = torch.ones(shape)
        assert layer.verify_energy_preservation(x, -x) is True
        assert layer.verify_energy_preservation(x, 2 * x) is False
        assert layer.verify_energy_preservation(x, x.unsqueeze(0)) is False
        assert layer.verify_energy_preservation(x, x * math.nan) is False


def test_verifications_take_what_is_learned_and_any_two_dtypes() -> None:
    layer, x = Unitary(4), oracle.draw(2, 8, 4, dtype=torch.float32).requires_grad_()
    spectrum = torch.fft.fft(x, dim=1, norm="ortho")
    assert layer.verify_energy_preservation(x, spectrum) is True
    assert layer.verify_energy_preservation(spectrum.mT.conj(), x.mT.double()) is True
    assert layer.verify_orthogonality(torch.eye(4, requires_grad=True)) is True


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_spectral_norm_is_nan_for_what_is_not_finite(value: float) -> None:
    for dtype in ALL_DTYPES:
        x = torch.ones(2, 3, 4, dtype=dtype)
        x[1, 2, 3] = value
        assert Plain(4).compute_spectral_norm(x).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (1, 4), (2, 3, 3), (2, 2, 3, 5)], ids=str)
def test_orthogonality(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    draw = torch.complex(oracle.draw(*shape), oracle.draw(*shape, seed=1)) if dtype.is_complex else oracle.draw(*shape)
    q = torch.linalg.qr(draw.mT)[0].mT.to(dtype)
    layer = Unitary(4)
    assert layer.verify_orthogonality(q)
    assert not layer.verify_orthogonality(q * 1.01)
    spoilt = q.clone()
    spoilt[..., 0, 0] += 0.1
    assert not layer.verify_orthogonality(spoilt)
    if len(shape) > 2:
        one = q.clone()
        one[0] = 0
        assert not layer.verify_orthogonality(one)


def test_orthogonality_conjugates() -> None:
    # T T^T = I for this matrix, T T^H is not.
    t = torch.tensor([[math.cosh(1.0), 1j * math.sinh(1.0)], [-1j * math.sinh(1.0), math.cosh(1.0)]])
    assert torch.allclose(t @ t.mT, torch.eye(2, dtype=t.dtype), atol=1e-5)
    assert not Unitary(4).verify_orthogonality(t)


# -- frequency response ------------------------------------------------------------------------------------------------


def delay(n: int, k: int, bins: int) -> Tensor:
    angle = -2 * torch.pi * ((k * torch.arange(bins)) % n).double() / n
    return torch.polar(torch.ones_like(angle), angle).unsqueeze(-1).expand(-1, 3)


@pytest.mark.parametrize("n", [2, 3, 8, 9, 64, 101])
@pytest.mark.parametrize("half", [False, True])
def test_group_delay_of_a_delay(n: int, half: bool) -> None:
    for k in range(n // 2 + 1):
        response = delay(n, k, n // 2 + 1 if half else n)
        analysis = Response(response, n).analyze_frequency_response()
        # Each phase is good to a few eps (they are at most 2 pi); the slope divides by 2 pi / n.
        tolerance = 8 * n * torch.finfo(torch.float64).eps
        assert analysis["group_delay"].shape == response.shape
        assert (analysis["group_delay"] - k).abs().max() <= tolerance


def test_group_delay_of_an_advance_and_of_single_bins() -> None:
    analysis = Response(delay(16, -2, 16), 16).analyze_frequency_response()
    torch.testing.assert_close(analysis["group_delay"], torch.full((16, 3), -2.0, dtype=torch.float64))
    assert (Response(delay(1, 0, 1), 1).analyze_frequency_response()["group_delay"] == 0).all()


def test_magnitude_and_phase() -> None:
    response = torch.complex(oracle.draw(9, 3), oracle.draw(9, 3, seed=1))
    analysis = Response(response, 16).analyze_frequency_response()
    assert torch.equal(analysis["magnitude"], response.abs())
    assert torch.equal(analysis["phase"], response.angle())


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize("half", [False, True])
def test_passband_shares(n: int, half: bool) -> None:
    bins = n // 2 + 1 if half else n
    response = torch.complex(oracle.draw(bins, 3), oracle.draw(bins, 3, seed=1))
    response[:, 1] = 0  # nothing to share
    share = Response(response, n).analyze_frequency_response()["passband_energy"]
    assert (share >= 0).all()
    torch.testing.assert_close(share.sum(0), torch.ones(3, dtype=torch.float64))


def test_passbands_are_bands_of_absolute_frequency() -> None:
    for k, band in ((0, 0), (3, 0), (5, 1), (10, 2), (13, 3), (16, 3), (31, 0), (20, 3)):
        response = torch.zeros(32, 1, dtype=torch.complex64)
        response[k] = 1j
        share = Response(response, 32).analyze_frequency_response()["passband_energy"]
        assert share[:, 0].tolist() == [float(i == band) for i in range(4)]


def test_half_and_full_responses_share_alike() -> None:
    for n in (8, 9, 10):
        full = torch.fft.fft(oracle.draw(n, 3), dim=0)
        shares = [
            Response(response, n).analyze_frequency_response()["passband_energy"]
            for response in (full, full[: n // 2 + 1])
        ]
        torch.testing.assert_close(*shares)
