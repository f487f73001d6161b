"""`filter_operator_norm` against the norms of whole matrices in float64, its gradient, and `largest_modulus`."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch
from norm_oracle import ACCURACY, DTYPES, U, exact, real_view, spoilt
from torch import Tensor

from spectrans.functional import filter_operator_norm, irfft_modes, rfft_modes, spectral_filter, spectral_filter2d
from spectrans.ops import norms as ops

# -- the gain ----------------------------------------------------------------------------------------------------------


def complex_response(response: Tensor) -> np.ndarray:
    h = oracle.wide(response)
    return h if response.is_complex() else h[..., 0] + 1j * h[..., 1]


def assert_gain(actual: Tensor, expected: float, dtype: torch.dtype, accuracy: float | None = None) -> None:
    """`accuracy`: of moduli, that two are rounded (1 ulp each) when they are compared, and one when it is returned."""
    real = dtype.to_real() if dtype.is_complex else dtype
    assert actual.dtype is real and actual.shape == ()
    info, compute = torch.finfo(real), torch.finfo(oracle.compute(real))
    relative = (3 * compute.eps if accuracy is None else accuracy) + (info.eps / 2 if real.itemsize == 2 else 0)
    assert abs(actual.item() - expected) <= relative * expected + info.smallest_normal * info.eps


def responses(*shape: int, dtypes: tuple[torch.dtype, ...] = DTYPES) -> list[Tensor]:
    """Of every dtype: pairs of a real one."""
    return [oracle.draw(*shape, *([] if dtype.is_complex else [2]), dtype=dtype) for dtype in dtypes]


def test_largest_gain(backend: str) -> None:
    for shape in ((1, 1), (5, 3), (7, 130), (3, 4, 5), (2, 3, 4, 5), (1025, 4)):
        for response in responses(*shape):
            assert_gain(filter_operator_norm(response), np.abs(complex_response(response)).max(), response.dtype)


def check_lipschitz(response: Tensor, n: int) -> None:
    """Against the matrix of the filter, found by filtering the identity."""
    d = complex_response(response).shape[-1]
    full = torch.zeros(n // 2 + 1, d, dtype=torch.complex128)
    full[: response.shape[0]] = oracle.tensor(complex_response(response))
    columns = spectral_filter(torch.eye(n, dtype=torch.float64).unsqueeze(-1).expand(n, n, d), full)
    expected = np.linalg.norm(oracle.wide(columns), 2, axis=(0, 1)).max()
    # Three transforms' worth of error in each of n columns.
    accuracy = 3 * torch.finfo(oracle.compute(response.real.dtype)).eps
    accuracy += math.sqrt(n) * 3 * oracle.transform_error(torch.float64, n) * float(full.abs().max()) / expected
    assert_gain(filter_operator_norm(response, n=n), expected, response.dtype, accuracy)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 16, 17, 30])
def test_lipschitz_constant_of_a_filter(backend: str, n: int) -> None:
    for modes in {1, n // 4 + 1, n // 2 + 1}:
        for response in responses(modes, 3):
            check_lipschitz(response, n)
            # Where only the imaginary part is large it may be the one that does not act.
            for k in range(modes):
                changed = response.clone()
                (torch.view_as_real(changed) if changed.is_complex() else changed)[k, 1, 1] = 50.0
                check_lipschitz(changed, n)


@pytest.mark.parametrize("grid", oracle.FEW_GRIDS, ids=str)
def test_lipschitz_constant_of_a_grid_filter(backend: str, grid: tuple[int, int]) -> None:
    h, w = grid
    n = h * w
    for base in responses(h, w // 2 + 1, 3):
        for at in (None, (0, 0), (h // 2, w // 2), (h - 1, 0), (0, w // 2), (h // 3, w // 3)):
            response = base.clone()
            if at is not None:
                (torch.view_as_real(response) if response.is_complex() else response)[(*at, 1, 1)] = 50.0
            full = oracle.tensor(complex_response(response))
            columns = spectral_filter2d(torch.eye(n, dtype=torch.float64).unsqueeze(-1).expand(n, n, 3), full, grid)
            expected = np.linalg.norm(oracle.wide(columns), 2, axis=(0, 1)).max()
            # Besides, a sum of two is halved where both of a pair are held: one rounding, of parts up to max |H|.
            share = float(full.abs().max()) / expected
            accuracy = (3 + share) * torch.finfo(oracle.compute(response.real.dtype)).eps
            accuracy += math.sqrt(n) * 3 * oracle.transform_error(torch.float64, n) * share
            assert_gain(filter_operator_norm(response, grid=grid), expected, response.dtype, accuracy)


def mixing_matrix(h: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Of the real operator that multiplies the half spectrum of [*sides, d_in] by H [frequencies ..., d_out, d_in]."""
    axes = tuple(range(1, len(sides) + 1))
    size, (d_out, d_in) = math.prod(sides), h.shape[-2:]
    basis = np.eye(size * d_in).reshape(-1, *sides, d_in)
    full = np.zeros((*sides[:-1], sides[-1] // 2 + 1, d_out, d_in), complex)
    full[: h.shape[0]] = h
    image = np.einsum("b...i,...oi->b...o", np.fft.rfftn(basis, axes=axes), full)
    return np.fft.irfftn(image, sides, axes=axes).reshape(size * d_in, size * d_out)


@pytest.mark.parametrize("channels", [(1, 1), (3, 3), (4, 2), (1, 5)], ids=str)
def test_lipschitz_constant_where_channels_mix(backend: str, channels: tuple[int, int]) -> None:
    def check(response: Tensor, expected: float, size: int, **arguments: object) -> None:
        accuracy = ACCURACY[oracle.compute(response.real.dtype)]
        share = float(np.linalg.norm(complex_response(response), axis=(-2, -1)).max()) / expected
        accuracy += (math.sqrt(size) * 3 * oracle.transform_error(torch.float64, size) + 2 * U) * share
        accuracy += torch.finfo(oracle.compute(response.real.dtype)).eps * share
        actual = filter_operator_norm(response, channel_mixing=True, **arguments)
        assert_gain(actual, expected, response.dtype, accuracy)

    for n in (1, 2, 3, 6, 9):
        for modes in {1, n // 2 + 1}:
            for response in responses(modes, *channels):
                h = complex_response(response)
                check(response, np.linalg.norm(h, 2, axis=(-2, -1)).max(), 1)
                check(response, np.linalg.norm(mixing_matrix(h, (n,)), 2), n, n=n)
    for grid in ((1, 1), (2, 2), (3, 4), (4, 3), (1, 6), (5, 1)):
        for response in responses(grid[0], grid[1] // 2 + 1, *channels):
            expected = np.linalg.norm(mixing_matrix(complex_response(response), grid), 2)
            check(response, expected, math.prod(grid), grid=grid)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-19, 1e19, 1e30, 1e38])
def test_gain_of_huge_and_tiny(backend: str, scale: float) -> None:
    # Square or not, float32 holds the modulus.
    pairs = oracle.draw(5, 3, 2).clamp(-1, 1) * scale
    for dtype in (torch.float32, torch.complex64, torch.bfloat16, torch.float64):
        response = torch.view_as_complex(pairs).to(dtype) if dtype.is_complex else pairs.to(dtype)
        assert_gain(filter_operator_norm(response), np.abs(complex_response(response)).max(), dtype)
    for response in (torch.view_as_complex(pairs).reshape(5, 1, 3).to(torch.complex64), pairs.float().unsqueeze(1)):
        expected = np.linalg.norm(complex_response(response) / scale, axis=-1).max() * scale
        assert_gain(filter_operator_norm(response, channel_mixing=True), expected, response.dtype, 1e-6)
    extreme = oracle.draw(5, 3, dtype=torch.complex128)
    for factor in (1e200, 1e-200):
        expected = float(extreme.abs().max() * factor)
        assert_gain(filter_operator_norm(extreme * factor), expected, torch.complex128, 1e-14)


def test_gain_of_layouts(backend: str) -> None:
    for layout in oracle.LAYOUTS.values():
        for dtype in (torch.float32, torch.float64, torch.complex64, torch.bfloat16):
            for response in (layout((3, 6, 2), dtype), layout((3, 2, 6), dtype).mT):
                for channel_mixing in (False, True):
                    h = response.unflatten(1, (3, 2)) if channel_mixing else response
                    expected = filter_operator_norm(h.contiguous(), channel_mixing=channel_mixing)
                    for t in (h, h.conj(), torch._neg_view(h)):
                        torch.testing.assert_close(filter_operator_norm(t, channel_mixing=channel_mixing), expected)


def test_gain_of_nothing(backend: str) -> None:
    for dtype in DTYPES:
        tail = [] if dtype.is_complex else [2]
        for shape, arguments in (
            ((0, 3), {}),
            ((5, 0), {"n": 8}),
            ((0, 3), {"n": 8}),
            ((2, 3, 0), {"grid": (2, 4)}),
            ((5, 0, 3), {"channel_mixing": True}),
            ((5, 3, 0), {"channel_mixing": True, "n": 8}),
            ((0, 3, 3), {"channel_mixing": True}),
        ):
            response = torch.zeros(*shape, *tail, dtype=dtype, requires_grad=True)
            gain = filter_operator_norm(response, **arguments)
            assert gain == 0 and gain.shape == () and gain.dtype is response.real.dtype
            assert torch.autograd.grad(gain, response)[0].shape == response.shape


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gain_is_not_finite_where_a_response_is_not(backend: str, value: float) -> None:
    for response in responses(5, 3, 4):
        for at in ((0, 0, 0), (4, 2, 3), (2, 1, 2)):
            bad = spoilt(response, at if response.is_complex() else (*at, 0), value)
            gain = filter_operator_norm(bad)
            assert gain.isnan() if math.isnan(value) else gain == math.inf
            assert filter_operator_norm(bad, channel_mixing=True).isnan()


def test_gain_of_the_modes_that_are_kept(backend: str) -> None:
    # A low pass of gain 1, as a layer and as its response.
    x = torch.eye(12, dtype=torch.float64)
    low = irfft_modes(rfft_modes(x.unsqueeze(-1), 4), 12).squeeze(-1)
    assert abs(np.linalg.norm(oracle.wide(low), 2) - 1) <= 12 * oracle.transform_error(torch.float64, 12)
    assert filter_operator_norm(torch.ones(4, 1, dtype=torch.complex128), n=12) == 1


def test_gradient_of_the_gain(backend: str) -> None:
    # |G|_1 <= 1 and <G, H> = the gain: a subgradient, wherever the maximum is taken.
    tied = torch.tensor([[3 + 4j, 5 + 0j], [4 - 3j, 1j], [-5 + 0j, 0j]], dtype=torch.complex128)
    for response in (tied, oracle.draw(5, 3, dtype=torch.complex128), oracle.draw(5, 3, 2)):
        for arguments in ({}, {"n": 2 * len(response) - 2}, {"n": 2 * len(response) - 1}):
            h = response.clone().requires_grad_()
            gain = filter_operator_norm(h, **arguments)
            (g,) = torch.autograd.grad(gain, h)
            pairs, of_pairs = real_view(response), real_view(g)
            assert abs((pairs * of_pairs).sum() - gain) <= 4 * U * gain
            assert torch.linalg.vector_norm(of_pairs, dim=-1).sum() <= 1 + 4 * U
            if "n" in arguments:
                k = torch.arange(len(response))
                assert (of_pairs[2 * k % arguments["n"] == 0, ..., 1] == 0).all()
    # Of matrices: the sum of the singular values of all of G is at most 1. Here all gains are equal.
    h = torch.eye(3, dtype=torch.complex64).repeat(4, 1, 1).requires_grad_()
    (g,) = torch.autograd.grad(filter_operator_norm(h, channel_mixing=True), h)
    assert abs((real_view(g) * real_view(h.detach())).sum() - 1) <= 1e-6
    assert torch.linalg.matrix_norm(g, "nuc").sum() <= 1 + 1e-6
    for channel_mixing in (False, True):
        zero = torch.zeros(5, 3, 3, dtype=torch.complex64, requires_grad=True)
        (g,) = torch.autograd.grad(filter_operator_norm(zero, channel_mixing=channel_mixing), zero)
        assert (g == 0).all()


# -- the op largest_modulus --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_largest_modulus(dtype: torch.dtype) -> None:
    for count in (*range(1, 40), 63, 64, 65, 127, 128, 129, 1000, 4097):
        pairs = oracle.draw(3, count, 2, dtype=dtype)
        for t in (pairs, pairs.flip(1), pairs.mT.contiguous().mT, pairs.transpose(0, 1).contiguous().transpose(0, 1)):
            index = ops.largest_modulus(t)
            modulus = np.hypot(*np.moveaxis(exact(t), -1, 0))
            assert index.dtype is torch.int64 and index.shape == (3,)
            chosen = modulus[np.arange(3), index.cpu().numpy()]
            assert (chosen >= modulus.max(-1) * (1 - 2 * torch.finfo(dtype).eps)).all()
    assert ops.largest_modulus(torch.zeros(0, 5, 2, dtype=dtype)).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_largest_modulus_is_the_first_of_equals_and_the_first_nan(dtype: torch.dtype) -> None:
    for count in (3, 8, 17, 64, 100, 1000):
        pairs = torch.zeros(4, count, 2, dtype=dtype)
        assert ops.largest_modulus(pairs).tolist() == [0] * 4
        pairs[0, count // 2 :] = torch.tensor([3.0, 4.0])
        pairs[1, 1], pairs[1, -1] = torch.tensor([0.0, -5.0]), torch.tensor([-4.0, 3.0])
        pairs[2, -1, 1] = -math.inf
        pairs[3, 0, 0], pairs[3, count // 3, 1], pairs[3, -1, 0] = math.inf, math.nan, math.nan
        assert ops.largest_modulus(pairs).tolist() == [count // 2, 1, count - 1, count // 3]
        assert ops.largest_modulus(pairs.flip(-1)).tolist() == [count // 2, 1, count - 1, count // 3]


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e30, 1e38])
def test_largest_modulus_of_huge_and_tiny(scale: float) -> None:
    for count in (3, 33):
        pairs = torch.zeros(1, count, 2)
        pairs[0, :, 0] = scale
        pairs[0, -1] = 3 * scale
        assert ops.largest_modulus(pairs).tolist() == [count - 1]
