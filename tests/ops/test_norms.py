"""The ops behind the norm checks against numpy in float64 or wider, and their calculus."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache

import matrices
import numpy as np
import oracle
import pytest
import torch
from torch import Tensor

import spectrans
from spectrans.functional import (
    energy,
    energy_error,
    filter_operator_norm,
    irfft_modes,
    orthogonality_error,
    rfft_modes,
    spectral_filter,
    spectral_filter2d,
    spectral_norm,
)
from spectrans.ops import norms as ops

DTYPES = (*oracle.DTYPES, torch.complex64, torch.complex128)
FULL_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
U = 2.0**-53  # the unit roundoff of float64, in which energies and Gram matrices are summed

#: The relative accuracy that is promised of singular values.
ACCURACY = {torch.float32: 1e-6, torch.float64: 1e-10}


def exact(t: Tensor) -> np.ndarray:
    """In long double: wide enough for a float64 oracle to be one."""
    return oracle.wide(t).astype(np.clongdouble if t.is_complex() else np.longdouble)


def real_view(t: Tensor) -> Tensor:
    """What the ops take."""
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t.resolve_neg()


def random_complex(t: np.ndarray, dtype: torch.dtype) -> Tensor:
    """The matrix in `dtype`: for a complex one, with rows and columns turned by random phases, which changes no
    singular value."""
    if dtype.is_complex:
        rows, columns = (np.exp(2j * np.pi * np.random.default_rng(n).random(n)) for n in t.shape[-2:])
        t = rows[:, None] * t * columns
    return oracle.tensor(t.copy()).to(dtype)


def spoilt(t: Tensor, at: tuple[int, ...], value: float) -> Tensor:
    """A copy with `value` in one place, the imaginary part of a complex tensor."""
    t = t.clone()
    (torch.view_as_real(t)[..., 1] if t.is_complex() else t)[at] = value
    return t


# -- energy ------------------------------------------------------------------------------------------------------------


def summed(t: Tensor, dims: tuple[int, ...]) -> int:
    """How many squares are added."""
    return math.prod(t.shape[axis] for axis in dims) * (2 if t.is_complex() else 1)


def exact_energy(t: Tensor, dims: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    a = exact(t)
    return np.sum(a.real**2 + a.imag**2, axis=dims)


def assert_energy(actual: Tensor, expected: np.ndarray, terms: int) -> None:
    """A term is rounded when it is squared and in every sum it is part of: `terms` times at most, in any order."""
    assert actual.dtype is torch.float64
    assert tuple(actual.shape) == expected.shape
    with np.errstate(invalid="ignore"):
        error = np.abs(exact(actual) - expected)
    # What underflows is off by a subnormal at most.
    assert (error <= terms * (U * (1 + 1e-9) * expected + 2.0**-1074)).all()


def check_energy(t: Tensor, dims: tuple[int, ...] = (-2, -1), argument: int | tuple[int, ...] | None = None) -> None:
    """The energy of `t` over `dims`, asked for as `argument`."""
    actual = energy(t, dims if argument is None else argument)
    assert_energy(actual, exact_energy(t, dims), summed(t, dims))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_of_every_choice_of_axes(backend: str, dtype: torch.dtype) -> None:
    for shape in ((7,), (3, 5), (2, 3, 4), (3, 2, 4, 5)):
        x = oracle.draw(*shape, dtype=dtype)
        for t in (x, x.permute(*reversed(range(x.dim()))), x.transpose(0, -1)):
            for count in range(1, t.dim() + 1):
                for axes in itertools.permutations(range(t.dim()), count):
                    check_energy(t, axes)
                    check_energy(t, axes, tuple(a - t.dim() if i % 2 else a for i, a in enumerate(axes)))
            for axis in range(-t.dim(), t.dim()):
                check_energy(t, (axis,), axis)
                check_energy(t, (axis,), [axis])


def test_energy_of_six_axes(backend: str) -> None:
    x = oracle.draw(2, 3, 2, 1, 3, 2, dtype=torch.float32)
    for t in (x, x.permute(3, 0, 5, 2, 4, 1), x[:, ::2].transpose(1, 5)):
        for mask in range(1, 64):
            check_energy(t, tuple(axis for axis in range(6) if mask >> axis & 1))


@pytest.mark.usefixtures("native_library")  # torch sums over 64 axes at most
def test_energy_of_more_axes_than_anyone_needs() -> None:
    x = oracle.draw(3, 4, dtype=torch.float32)
    many = x.reshape(*[1] * 40, 3, *[1] * 40, 4)
    assert energy(many, -1).shape == many.shape[:-1]
    assert torch.equal(energy(many, -1).flatten(), energy(x, -1))
    assert torch.equal(energy_error(many, 2 * many, (-42, -1)).flatten(), energy_error(x, 2 * x, (0, 1)).reshape(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_of_lengths(dtype: torch.dtype) -> None:
    # Around vectors, unrolled loops and blocks.
    for n in (*range(1, 70), 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4099):
        check_energy(oracle.draw(n, dtype=dtype), (0,))
        check_energy(oracle.draw(3, n, dtype=dtype), (0,))
        check_energy(oracle.draw(n, 3, dtype=dtype), (0,))
        check_energy(oracle.draw(2, n, 2, dtype=dtype), (1,))


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_energy_of_layouts(backend: str, layout: str) -> None:
    for dtype in DTYPES:
        for shape in ((3, 16, 20), (2, 17, 5), (4, 1, 9)):
            x = oracle.LAYOUTS[layout](shape, dtype)
            before, version = x.clone(), x._version
            for dims in ((-2, -1), (0,), (1,), (2,), (0, 2), (0, 1), (0, 1, 2)):
                check_energy(x, dims)
            assert torch.equal(x, before) and x._version == version


def views(dtype: torch.dtype) -> list[Tensor]:
    """Tensors that say one thing and store another, or share their elements."""
    x = oracle.draw(4, 6, 8, dtype=dtype)
    z = torch.complex(oracle.draw(4, 6, 8), oracle.draw(4, 6, 8, seed=1))
    z = z.to(dtype if dtype.is_complex else torch.complex64)
    found = [x[::2, :, 1::3], x.expand(3, 4, 6, 8)[..., 0], x.unfold(2, 3, 1)[0], torch._neg_view(x)]
    found += [x.conj(), x.mH, x.conj()[:, ::2]] if dtype.is_complex else []
    return found + ([z.conj().imag, z.real.mT] if dtype in (torch.float32, torch.complex64) else [])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_of_views(backend: str, dtype: torch.dtype) -> None:
    for x in views(dtype):
        check_energy(x)
        check_energy(x, (0,))


def test_energy_of_many_and_of_large(backend: str) -> None:
    # Enough for several threads, along either axis of either layout, and samples by the thousand.
    for dtype in (torch.float32, torch.bfloat16, torch.complex64):
        x = oracle.draw(300, 1025, dtype=dtype)
        for t in (x, x.mT, x[:, ::3], x.unflatten(1, (41, 25)).movedim(1, 0)):
            for dims in ((0,), (1,), (-1,), (0, 1), (-1, 0)):
                check_energy(t, dims)
        check_energy(x.reshape(-1, 3, 2))
        check_energy(x.reshape(3, 2, -1), (0, 1))


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_energy_of_batches(backend: str, batch: tuple[int, ...]) -> None:
    for dtype in DTYPES:
        check_energy(oracle.draw(*batch, 5, 7, dtype=dtype))


def test_energy_of_nothing(backend: str) -> None:
    for dtype in DTYPES:
        for shape, dims in (((3, 0, 4), (-2, -1)), ((0, 4), (0,)), ((0,), (0,)), ((2, 0, 3), (0,)), ((0, 0), (0, 1))):
            x = torch.zeros(shape, dtype=dtype, requires_grad=True)
            e = energy(x, dims)
            assert_energy(
                e,
                np.zeros(
                    [
                        s
                        for axis, s in enumerate(shape, -len(shape))
                        if axis not in dims and axis + len(shape) not in dims
                    ]
                ),
                0,
            )
            (grad,) = torch.autograd.grad(e.sum(), x)
            assert grad.shape == x.shape and grad.dtype is dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_of_long_sums(dtype: torch.dtype) -> None:
    # Sums whose terms are all of one size are where a short accumulator goes wrong, and systematically. The bound is
    # 2048^2 * 2^-53 = 5e-10 relative; one addition in float32 alone may cost 6e-8.
    x = (oracle.draw(2048, 2048) * 0.25 + 1).to(dtype)
    assert 2048**2 * U < 1e-9
    check_energy(x)


def test_energy_of_one_large_square_among_many(backend: str) -> None:
    # In float32, 2^26 + 1 is 2^26: nothing but the first square would count.
    for dtype in oracle.DTYPES:
        x = torch.ones(1, 300, 300, dtype=dtype)
        x[0, 0, 0] = 2.0**13
        assert energy(x).item() == 2.0**26 + 300 * 300 - 1  # exact: every partial sum is an integer


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-20, 1e20, 1e30, 3e38])
def test_energy_of_what_float32_cannot_square(backend: str, scale: float) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.complex64):
        check_energy((oracle.draw(2, 5, 7).clamp(-1, 1) * scale).to(dtype))
    check_energy(oracle.draw(2, 5, 7, dtype=torch.complex128) * scale)


def test_energy_is_not_finite_where_a_sample_is_not(backend: str) -> None:
    for dtype, value in itertools.product(DTYPES, (math.nan, math.inf, -math.inf)):
        x = oracle.draw(4, 5, 7, dtype=dtype)
        for at in ((0, 0, 0), (2, 4, 6), (3, 2, 3)):
            e = energy(spoilt(x, at, value))
            assert e[at[0]].isnan() if math.isnan(value) else e[at[0]] == math.inf
            rest = [i for i in range(4) if i != at[0]]
            assert_energy(e[rest], exact_energy(x[rest]), summed(x, (1, 2)))


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 16, 17, 60])
def test_energy_from_half_a_spectrum(backend: str, n: int, dtype: torch.dtype) -> None:
    # Of any numbers, not only of those that a real signal has (imaginary parts at 0 and n/2 count like the real ones).
    alone = (2 * np.arange(n // 2 + 1)) % n == 0
    for axis, dims in itertools.product(range(3), ((0, 1, 2), (1, 2), (0, 1), (0, 2), (0,), (1,), (2,))):
        if axis not in dims:
            continue
        shape = [2, 3, 4]
        shape[axis] = n // 2 + 1
        x = oracle.draw(*shape, dtype=dtype)
        weight = np.where(alone, 1, 2).reshape([-1 if i == axis else 1 for i in range(3)])
        expected = (weight * np.abs(exact(x)) ** 2).sum(dims)
        for dim in (axis, axis - 3):
            # Two sums, and their sum; modulus and square are two roundings more.
            assert_energy(energy(x, dims, n=n, dim=dim), expected, summed(x, dims) + 3)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 60])
def test_parseval(backend: str, n: int, dtype: torch.dtype) -> None:
    def check(x: Tensor, spectrum: Tensor, dims: tuple[int, ...], dim: int, length: int) -> None:
        # | |X| - |x| | <= eta |x|, so that energies differ by a factor of at most (1 + eta)^2.
        eta = 2 * oracle.transform_error(x.dtype, max(x.shape))
        bound = 2 * eta + eta**2
        for e in (
            energy(spectrum, dims, n=length, dim=dim),
            energy(spectrum.to(torch.complex128), dims, n=length, dim=dim),
        ):
            assert (np.abs(oracle.wide(e) / exact_energy(x, dims) - 1) <= bound).all()
        assert (energy_error(x, spectrum, dims, n=length, dim=dim) <= bound).all()

    x = oracle.draw(3, n, 4, dtype=dtype).to(oracle.compute(dtype))
    check(x, torch.fft.rfft(x, dim=-2, norm="ortho"), (-2, -1), -2, n)
    check(x, torch.fft.rfft(x, dim=-2, norm="ortho"), (1,), 1, n)
    check(x.mT, torch.fft.rfft(x.mT, dim=-1, norm="ortho"), (-2, -1), -1, n)
    check(x, torch.fft.rfft2(x, norm="ortho"), (-2, -1), -1, 4)
    check(x, torch.fft.rfft2(x, dim=(-1, -2), norm="ortho"), (-2, -1), -2, n)
    check(x, torch.fft.rfftn(x, dim=(1, 2, 0), norm="ortho"), (0, 1, 2), 0, 3)
    check(x.movedim(1, 0), torch.fft.rfft(x.movedim(1, 0), dim=0, norm="ortho"), (0,), 0, n)


def test_parseval_of_the_modes(backend: str) -> None:
    for n in (1, 2, 3, 8, 9):
        x = oracle.draw(2, n, 3)
        bound = 3 * oracle.transform_error(torch.float64, n)
        assert (energy_error(x, rfft_modes(x, n // 2 + 1, norm="ortho"), n=n) <= bound).all()


# -- energy_error ------------------------------------------------------------------------------------------------------


def check_energy_error(a: Tensor, b: Tensor, dims: tuple[int, ...] = (-2, -1)) -> None:
    actual = energy_error(a, b, dims)
    before, after = exact_energy(a, dims), exact_energy(b, dims)
    assert actual.dtype is torch.float64 and tuple(actual.shape) == before.shape
    expected = abs(after - before) / before
    # Both energies are off by one rounding a term; the difference, the quotient and the divisor's error come on top.
    bound = (summed(a, dims) + summed(b, dims) * (after / before) + (summed(a, dims) + 3) * expected) * U * (1 + 1e-9)
    assert (np.abs(exact(actual) - expected) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_error(backend: str, dtype: torch.dtype) -> None:
    a = oracle.draw(3, 16, 5, dtype=dtype)
    for factor in (0.0, 1e-3, 0.99, 1.0, 1.001, 30.0):
        for b in (a * factor, (a * factor).roll(1, 1), (a.mT * factor).contiguous().mT):
            check_energy_error(a, b)
            for dims in ((0,), (1,), (2,), (0, 1, 2), (2, 0)):
                check_energy_error(a, b, dims)
    assert (energy_error(a, a) == 0).all()


def test_energy_error_of_any_two_dtypes(backend: str) -> None:
    for first, second in itertools.product(DTYPES, DTYPES):
        check_energy_error(oracle.draw(3, 6, 5, dtype=first), oracle.draw(3, 6, 5, dtype=second, seed=1))
        check_energy_error(oracle.draw(3, 6, 5, dtype=first), oracle.draw(3, 2, 9, dtype=second, seed=1))


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_energy_error_of_layouts(backend: str, layout: str) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.complex64):
        a, b = oracle.draw(3, 16, 20, dtype=dtype), oracle.LAYOUTS[layout]((3, 16, 20), dtype)
        check_energy_error(a, b)
        check_energy_error(b, a)
        check_energy_error(b.mT, b)


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_energy_error_of_batches(backend: str, batch: tuple[int, ...]) -> None:
    check_energy_error(oracle.draw(*batch, 5, 7), oracle.draw(*batch, 5, 7, seed=1))


def test_energy_error_without_energy(backend: str) -> None:
    for dtype in DTYPES:
        nothing, one = torch.zeros(1, 2, 3, dtype=dtype), torch.ones(1, 2, 3, dtype=dtype)
        assert energy_error(nothing, nothing).tolist() == [0.0]
        assert energy_error(nothing, one).tolist() == [math.inf]
        assert energy_error(one, nothing).tolist() == [1.0]
        assert energy_error(nothing[..., :0], nothing).tolist() == [0.0]
        assert energy_error(nothing[:0], one[:0]).shape == (0,)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_energy_error_is_nan_where_a_sample_is_not_finite(backend: str, value: float) -> None:
    for dtype in DTYPES:
        x = oracle.draw(3, 4, 5, dtype=dtype)
        bad = spoilt(x, (1, 2, 3), value)
        for a, b in ((x, bad), (bad, x), (bad, bad), (x * 0, bad), (bad, x * 0)):
            assert energy_error(a, b).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_energy_error_of_what_float32_cannot_square(backend: str, scale: float) -> None:
    a = (oracle.draw(2, 5, 7) * scale).float()
    check_energy_error(a, a.roll(1, 0))


# -- orthogonality_error -----------------------------------------------------------------------------------------------


def check_orthogonality_error(t: Tensor) -> None:
    actual = orthogonality_error(t)
    a = exact(t)
    m, n = a.shape[-2:]
    residual = np.einsum("...ik,...jk->...ij", a, a.conj()) - np.eye(m)
    expected = np.sqrt((residual.real**2 + residual.imag**2).sum((-2, -1)))
    assert actual.dtype is torch.float64 and tuple(actual.shape) == expected.shape
    # A sum of k = n products (2n for complex, in either part) is off by k u |T| |T|^T (sqrt 2 k u), elementwise, so
    # that ||R|| is by k u ||T||^2; then I is subtracted, and at most m^2 squares (2m^2) are added.
    parts = 2 if t.is_complex() else 1
    size = (a.real**2 + a.imag**2).sum((-2, -1))
    bound = (parts**1.5 * n * size + (1 + parts * m * m / 2 + 2) * expected) * U * (1 + 1e-9)
    assert (np.abs(exact(actual) - expected) <= bound).all()


def rows(m: int, n: int, dtype: torch.dtype) -> Tensor:
    """Orthonormal rows (columns, if there are more rows) up to the rounding of `dtype`."""
    t = oracle.draw(max(m, n), min(m, n), dtype=torch.complex128 if dtype.is_complex else torch.float64)
    q = torch.linalg.qr(t)[0]
    return (q if m > n else q.mT).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_orthogonality_error(backend: str, dtype: torch.dtype) -> None:
    for m, n in ((1, 1), (1, 7), (2, 2), (3, 5), (8, 8), (17, 33), (64, 64), (5, 2), (9, 1), (7, 130)):
        q = rows(m, n, dtype)
        for t in (q, 1.25 * q, oracle.draw(m, n, dtype=dtype), 1e-3 * q, torch.zeros_like(q)):
            check_orthogonality_error(t)


def test_orthogonality_error_of_every_size(backend: str) -> None:
    for dtype in (torch.float32, torch.complex64):
        for n in range(1, 70):
            check_orthogonality_error(rows(n, n, dtype))
            check_orthogonality_error(oracle.draw(3, n, dtype=dtype))
            check_orthogonality_error(oracle.draw(n, 3, dtype=dtype))


def test_orthogonality_error_of_blocks(backend: str) -> None:
    for dtype in (torch.float32, torch.complex64):
        for m, n in ((127, 129), (128, 128), (129, 130), (40, 513), (257, 31)):
            check_orthogonality_error(rows(m, n, dtype))


def test_orthogonality_error_of_exact_matrices(backend: str) -> None:
    for dtype in DTYPES:
        for t in (np.eye(9), np.eye(9)[::-1].copy(), np.eye(4, 9), matrices.SQUARE["permutation"](12)):
            assert orthogonality_error(oracle.tensor(t).to(dtype)) == 0
        hadamard = oracle.tensor(matrices.SQUARE["Hadamard"](16) / 4).to(dtype)
        assert orthogonality_error(hadamard) == 0
        assert orthogonality_error(2 * hadamard) == 12  # 3 ||I||
        assert orthogonality_error(torch.zeros(9, 4, dtype=dtype)) == 3
    phases = torch.tensor([[0.0, 1j], [-1.0, 0.0]])
    assert orthogonality_error(phases) == 0
    # T T^T = I, but not T T^H.
    t = torch.tensor([[math.sqrt(2), 1j], [-1j, math.sqrt(2)]], dtype=torch.complex128)
    assert abs(orthogonality_error(t).item() - math.sqrt(24)) <= 64 * U


def test_orthogonality_error_near_zero(backend: str) -> None:
    # ||T T^H||^2 - 2 ||T||^2 + m would cancel all but 1e-8 of these.
    t = torch.eye(20, dtype=torch.float64)
    t[3, 5] = 1e-12
    assert abs(orthogonality_error(t).item() - math.sqrt(2) * 1e-12) <= 1e-27
    t[3, 5], t[7, 7] = 0, 1 + 2.0**-40
    assert abs(orthogonality_error(t).item() - 2.0**-39) <= 2.0**-52


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_orthogonality_error_of_layouts(backend: str, layout: str) -> None:
    for dtype in DTYPES:
        for shape in ((3, 16, 20), (2, 17, 5), (2, 1, 4)):
            t = oracle.LAYOUTS[layout](shape, dtype)
            before = t.clone()
            check_orthogonality_error(t)
            check_orthogonality_error(t.mT)
            assert torch.equal(t, before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_orthogonality_error_of_views(backend: str, dtype: torch.dtype) -> None:
    for t in views(dtype):
        check_orthogonality_error(t)


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_orthogonality_error_of_batches(backend: str, batch: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.complex128):
        check_orthogonality_error(oracle.draw(*batch, 5, 7, dtype=dtype))
        for m, n, value in ((0, 7, 0.0), (0, 0, 0.0), (4, 0, 2.0)):
            t = torch.zeros(*batch, m, n, dtype=dtype, requires_grad=True)
            error = orthogonality_error(t)
            assert torch.equal(error, torch.full(batch, value, dtype=torch.float64))
            (grad,) = torch.autograd.grad(error.sum(), t)
            assert grad.shape == t.shape


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_orthogonality_error_is_not_finite_where_a_matrix_is_not(backend: str, value: float) -> None:
    for dtype in DTYPES:
        t = oracle.draw(3, 5, 6, dtype=dtype)
        errors = orthogonality_error(spoilt(t, (1, 4, 2), value))
        assert errors.isfinite().tolist() == [True, False, True]
        assert torch.equal(errors[::2], orthogonality_error(t)[::2])


def test_orthogonality_error_of_what_float32_cannot_square(backend: str) -> None:
    for scale in (1e-30, 1e30):
        check_orthogonality_error((oracle.draw(2, 5, 7) * scale).float())


# -- spectral_norm -----------------------------------------------------------------------------------------------------


def largest_value(t: Tensor) -> np.ndarray:
    """By the SVD in float64, with every matrix scaled to 1 first: by a power of two, so exactly."""
    a = oracle.wide(t)
    if a.size == 0:
        return np.zeros(a.shape[:-2])
    peak = np.maximum(np.abs(a.real), np.abs(a.imag)).max((-2, -1), keepdims=True)
    # In two steps: 2^1074, which brings the smallest subnormal to 1, is no float64.
    half = np.where(peak > 0, np.frexp(peak)[1], 0) // 2
    rest = np.where(peak > 0, np.frexp(peak)[1], 0) - half
    for power in (half, rest):
        a = a * np.ldexp(1.0, -power)
    values = np.linalg.norm(a, 2, axis=(-2, -1)).astype(np.longdouble)
    return np.ldexp(np.ldexp(values, half[..., 0, 0]), rest[..., 0, 0])


def check_spectral_norm(t: Tensor) -> Tensor:
    value, expected = spectral_norm(t), largest_value(t)
    real = t.dtype.to_real() if t.is_complex() else t.dtype
    assert value.dtype is real and tuple(value.shape) == expected.shape
    info = torch.finfo(real)
    accuracy = ACCURACY[oracle.compute(real)] + (info.eps / 2 if real.itemsize == 2 else 0)
    smallest = info.smallest_normal * info.eps  # subnormals are so far apart
    assert (np.abs(exact(value) - expected) <= accuracy * expected + smallest).all(), (value, expected)
    return value


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
@pytest.mark.parametrize("name", matrices.SQUARE)
def test_spectral_norm(backend: str, name: str, dtype: torch.dtype) -> None:
    for n in (1, 2, 3, 8, 17, 33, 64):
        a = matrices.SQUARE[name](n)
        for part in (a, a[: (n + 1) // 2], a[:, : n // 3 + 1]):
            check_spectral_norm(random_complex(part, dtype))


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_large_matrices(dtype: torch.dtype) -> None:
    for name in (
        "uniform",
        "dense top",
        "path Laplacian",
        "Kahan",
        "cluster",
        "gap 1e-05",
        "without row sums",
        "random",
    ):
        check_spectral_norm(random_complex(matrices.SQUARE[name](200), dtype))


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_every_size(dtype: torch.dtype) -> None:
    # Vectors, unrolled loops and blocks all end somewhere here.
    for n in range(1, 71):
        for shape in ((n, n), (n, 71 - n), (1, n), (n, 1), (n, 3), (3, n), (2, n + 1, 33)):
            check_spectral_norm(oracle.draw(*shape, dtype=dtype))


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_long_and_thin(backend: str, dtype: torch.dtype) -> None:
    for shape in ((1, 5000), (5000, 1), (2, 4097), (4097, 2), (2048, 17), (17, 2048), (600, 130), (257, 129)):
        check_spectral_norm(oracle.draw(*shape, dtype=dtype))
        check_spectral_norm(oracle.draw(*shape, dtype=dtype).mT)


orthonormal = lru_cache(matrices.orthonormal)


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
@pytest.mark.parametrize("name", matrices.SQUARE)
def test_spectral_norm_of_many_rows(native_library: None, name: str, dtype: torch.dtype) -> None:
    # A^H A takes A's place, from the first step or, where there are many columns, a later one.
    for n in (3, 24, 70):
        square = matrices.SQUARE[name](n)
        tall = random_complex(orthonormal(8 * n, len(square)) @ square, dtype)
        check_spectral_norm(tall)
        check_spectral_norm(tall.mT)


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_many_rows_and_columns(dtype: torch.dtype) -> None:
    for name in ("uniform", "cluster", "gap 1e-05", "half rank"):
        check_spectral_norm(random_complex(orthonormal(1500, 150) @ matrices.SQUARE[name](150), dtype))
    for scale in (1e-30, 1e30):
        check_spectral_norm(oracle.draw(2, 1300, 130, dtype=dtype) * scale)
    check_spectral_norm(oracle.draw(70_000, 33, dtype=dtype))


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_spectral_norm_of_halves(backend: str, dtype: torch.dtype) -> None:
    for n in (1, 2, 3, 8, 17, 40):
        for name in ("random", "identity", "ones", "uniform", "gap 0.001", "half rank", "zero"):
            check_spectral_norm(random_complex(matrices.SQUARE[name](n), dtype))
    for scale in (1e-6, 1e3):
        check_spectral_norm((oracle.draw(2, 9, 5).clamp(-3, 3) * scale).to(dtype))
        check_spectral_norm((oracle.draw(200, 20).clamp(-3, 3) * scale).to(dtype))


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_spectral_norm_of_layouts(backend: str, layout: str) -> None:
    for dtype in DTYPES:
        for shape in ((3, 16, 20), (2, 17, 5), (2, 1, 4)):
            x = oracle.LAYOUTS[layout](shape, dtype)
            before, version = x.clone(), x._version
            check_spectral_norm(x)
            check_spectral_norm(x.mT)
            assert torch.equal(x, before) and x._version == version


def test_permuted_batches(backend: str) -> None:
    for dtype in (torch.float32, torch.float64, torch.complex64):
        x = oracle.draw(5, 2, 4, 3, dtype=dtype)
        for axes in itertools.permutations(range(4)):
            for t in (x.permute(axes), x.permute(axes)[1:, :, ::2], x.permute(axes)[:, :1].expand(-1, 3, -1, -1)):
                check_spectral_norm(t)
                check_orthogonality_error(t)
                check_energy(t)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_spectral_norm_of_views(backend: str, dtype: torch.dtype) -> None:
    for x in views(dtype):
        check_spectral_norm(x)


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_spectral_norm_of_batches(backend: str, batch: tuple[int, ...]) -> None:
    for dtype in DTYPES:
        check_spectral_norm(oracle.draw(*batch, 5, 7, dtype=dtype))
        for m, d in ((0, 7), (4, 0), (0, 0)):
            x = torch.zeros(*batch, m, d, dtype=dtype, requires_grad=True)
            value = check_spectral_norm(x)
            (grad,) = torch.autograd.grad(value.sum(), x)
            assert grad.shape == x.shape


#: Norms whose squares overflow or underflow, at either end of the range, and below what is normal.
SCALES = {
    torch.float32: (1e30, 1e-30, 1e19, 1e-19, 3.4e38, 1.2e-38, 1e-40, 1e-43),
    torch.float64: (1e200, 1e-200, 1e154, 1e-154, 1.79e308, 2.3e-308, 1e-310, 1e-320),
}


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_huge_and_tiny(backend: str, dtype: torch.dtype) -> None:
    for scale in SCALES[dtype.to_real() if dtype.is_complex else dtype]:
        for name in ("random", "orthogonal", "uniform", "gap 1e-05", "rank one", "dominant entry"):
            for n in (1, 2, 5, 24):
                a = matrices.SQUARE[name](n)
                check_spectral_norm(random_complex(a * (0.999 / np.linalg.norm(a, 2)) * scale, dtype))


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_every_scale_in_one_batch(backend: str, dtype: torch.dtype) -> None:
    scales = SCALES[dtype.to_real() if dtype.is_complex else dtype]
    a = np.stack([matrices.SQUARE["random"](6) / 6 * scale for scale in (*scales, 0.0, 1.0)])
    check_spectral_norm(random_complex(a, dtype))
    check_spectral_norm(random_complex(a.reshape(-1, 6), dtype))  # and in one matrix


def test_spectral_norm_beyond_the_range_is_infinite(backend: str) -> None:
    for dtype in FULL_DTYPES:
        largest = torch.finfo(dtype).max
        x = torch.full((2, 3, 4), largest, dtype=dtype)
        x[1] = 1
        assert spectral_norm(x).tolist()[0] == math.inf
        check_spectral_norm(x[1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_spectral_norm_is_nan_where_a_matrix_is_not_finite(backend: str, value: float) -> None:
    for dtype in DTYPES:
        for m, d in ((1, 1), (1, 9), (9, 1), (5, 7), (17, 16), (40, 3)):
            x = oracle.draw(4, m, d, dtype=dtype)
            for at in ((0, 0, 0), (2, m - 1, d - 1), (3, m // 2, d // 2)):
                norms = spectral_norm(spoilt(x, at, value))
                assert norms.isnan().tolist() == [i == at[0] for i in range(4)]
                rest = [i for i in range(4) if i != at[0]]
                assert torch.equal(norms[rest], spectral_norm(x)[rest])


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_many_small_matrices(backend: str, dtype: torch.dtype) -> None:
    for m, d in ((1, 1), (2, 2), (3, 3), (2, 5), (8, 4)):
        x = oracle.draw(300, m, d, dtype=dtype)
        x[::7], bad = 0, torch.arange(300) % 11 == 5
        x[bad, 0, d - 1] = math.nan
        norms = spectral_norm(x)
        assert torch.equal(norms.isnan(), bad)
        assert (norms[::7][~bad[::7]] == 0).all()
        check_spectral_norm(x[~bad])


def test_spectral_norm_is_exact_where_it_is_plain(backend: str) -> None:
    for dtype in FULL_DTYPES:
        eps = torch.finfo(dtype).eps
        for x, value in ((torch.zeros(3, 4), 0), (torch.tensor([[-3.0]]), 3), (torch.tensor([[3.0, 4.0]]), 5)):
            assert abs(spectral_norm(x.to(dtype)).item() - value) <= 4 * eps * value


def test_spectral_norm_of_shifts_and_reflections(backend: str) -> None:
    # ||A|| = ||A^T|| = ||-A|| = ||2^k A||, and <= ||A||_F <= sqrt(rank) ||A||.
    for dtype in FULL_DTYPES:
        x = oracle.draw(3, 12, 7, dtype=dtype)
        accuracy = 2 * ACCURACY[dtype.to_real() if dtype.is_complex else dtype]
        value = spectral_norm(x)
        for other in (x.mT, x.mH, -x, x.flip(-1), x.roll(1, -2), 2**20 * x / 2**20):
            assert ((spectral_norm(other) - value).abs() <= accuracy * value).all()
        frobenius = energy(x).sqrt()
        assert (value <= frobenius * (1 + accuracy)).all() and (frobenius <= 7**0.5 * value * (1 + accuracy)).all()


# -- the derivative of spectral_norm -----------------------------------------------------------------------------------


def check_subgradient(x: Tensor, grad: Tensor) -> None:
    """`grad` is a subgradient of the spectral norm at every matrix of `x`: <G, A> = ||A||, and the sum of the singular
    values of G is at most 1. Where the largest value is simple, u v^H alone is."""
    assert grad.dtype is x.dtype and grad.shape == x.shape
    real = x.dtype.to_real() if x.dtype.is_complex else x.dtype
    # The entries of u, v and G are rounded; what the accuracy of the value leaves open is the rest.
    tau = ACCURACY[oracle.compute(real)] + 4 * torch.finfo(real).eps
    for a, g in zip(x.reshape(-1, *x.shape[-2:]), oracle.wide(grad).reshape(-1, *x.shape[-2:]), strict=True):
        value = largest_value(a)
        if value == 0:
            assert (g == 0).all()
            continue
        a = (exact(a) / value).astype(g.dtype)
        left, values, right = np.linalg.svd(a, full_matrices=False)
        assert np.linalg.norm(g, "nuc") <= 1 + tau
        # An error of eps in every entry of G moves <G, A> by eps ||A||_F.
        slope = np.vdot(a, g)
        assert abs(slope - 1) <= tau * np.linalg.norm(a)
        # With cosines c, c' to the singular vectors, 1 - 2 tau ||A||_F <= c c' + s s' s_2/s_1, so that
        # ||G - u v^H||^2 = 2 - 2 c c' <= 4 tau ||A||_F / (1 - s_2/s_1).
        gap = 1 - values[1] if len(values) > 1 else 1.0
        distance = np.linalg.norm(g - np.outer(left[:, 0], right[0]))
        assert gap < 1e-3 or distance**2 <= 4 * tau * np.linalg.norm(a) / gap


def gradient(x: Tensor, weight: Tensor | None = None) -> Tensor:
    x = x.detach().requires_grad_()
    (grad,) = torch.autograd.grad(
        spectral_norm(x), x, torch.ones(x.shape[:-2]).to(x.real) if weight is None else weight
    )
    return grad


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
@pytest.mark.parametrize("name", matrices.SQUARE)
def test_gradient(name: str, dtype: torch.dtype) -> None:
    for n in (1, 2, 3, 8, 17):
        a = matrices.SQUARE[name](n)
        for part in (a, a[: (n + 1) // 2], a[:, : n // 3 + 1]):
            x = random_complex(part, dtype)
            check_subgradient(x, gradient(x))


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_gradient_of_layouts(backend: str, layout: str) -> None:
    for dtype in DTYPES:
        x = oracle.LAYOUTS[layout]((3, 9, 12), dtype)
        for t in (x, x.mT, x.conj()):
            check_subgradient(t, gradient(t))


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_gradient_of_every_scale(backend: str, dtype: torch.dtype) -> None:
    scales = SCALES[dtype.to_real() if dtype.is_complex else dtype]
    x = random_complex(np.stack([matrices.SQUARE["random"](5) / 5 * scale for scale in (*scales, 0.0, 1.0)]), dtype)
    check_subgradient(x, gradient(x))


def test_gradient_is_weighted(backend: str) -> None:
    for dtype in FULL_DTYPES:
        x, weight = oracle.draw(2, 3, 5, 4, dtype=dtype), oracle.draw(2, 3, dtype=dtype).real
        weight[0, 1] = 0
        each = gradient(x, weight.expand_as(weight))
        torch.testing.assert_close(each, weight[..., None, None] * gradient(x))
        assert torch.equal(gradient(x, weight.mT.contiguous().mT), each)


def test_gradient_of_zero_is_zero(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(3, 4, 5, dtype=dtype)
        x[1] = 0
        assert (gradient(x)[1] == 0).all()
        check_subgradient(x, gradient(x))


def test_gradient_of_the_others_where_one_is_not_finite(backend: str) -> None:
    for dtype, value in itertools.product(DTYPES, (math.nan, math.inf)):
        x = oracle.draw(3, 4, 5, dtype=dtype)
        grad = gradient(spoilt(x, (1, 2, 3), value))
        check_subgradient(x[::2], grad[::2])


# -- filter_operator_norm ----------------------------------------------------------------------------------------------


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


# -- the ops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (7, 5), (2, 16, 16), (2, 3, 40, 8), (1, 130), (130, 1)], ids=str)
def test_vectors(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    # Of norm 1, and u^H x v the value, which is real.
    x = oracle.draw(*shape, dtype=dtype)
    value, u, v = ops.spectral_norm(real_view(x), x.is_complex())
    compute = oracle.compute(x.real.dtype)
    pair = [2] if x.is_complex() else []
    assert [list(t.shape) for t in (value, u, v)] == [
        [*shape[:-2], *s] for s in ([], [shape[-2], *pair], [shape[-1], *pair])
    ]
    assert all(t.dtype is compute and t.is_contiguous() for t in (value, u, v))
    if pair:
        u, v = torch.view_as_complex(u), torch.view_as_complex(v)
    u, v, tau = exact(u), exact(v), ACCURACY[compute] + 4 * torch.finfo(compute).eps
    for t in (u, v):
        assert (np.abs(np.sqrt((np.abs(t) ** 2).sum(-1)) - 1) <= tau).all()
    product = np.einsum("...i,...ij,...j->...", u.conj(), exact(x), v)
    size = np.sqrt(exact_energy(x))
    assert (np.abs(product - exact(value)) <= tau * size).all()


def test_vectors_of_zero_and_of_what_is_not_finite() -> None:
    for dtype in DTYPES:
        x = oracle.draw(3, 4, 5, dtype=dtype)
        x[0] = 0
        value, u, v = ops.spectral_norm(real_view(spoilt(x, (1, 0, 0), math.inf)), x.is_complex())
        assert value[0] == 0 and (u[0] == 0).all() and (v[0] == 0).all() and value[1].isnan()
        assert value[2] > 0 and u[2].isfinite().all() and v[2].isfinite().all()


def test_ops_agree_with_their_references() -> None:
    for dtype in DTYPES:
        t = oracle.draw(2, 9, 6, dtype=dtype)
        x, pairs = real_view(t), t.is_complex()
        dims = [-3, -2, -1] if pairs else [-2, -1]
        for actual in (ops.energy_reference(x, dims), ops.energies(x, 2 * x, dims)[0], ops.energies(2 * x, x, dims)[1]):
            assert_energy(actual, exact_energy(t), summed(t, (1, 2)))
        tau = ACCURACY[oracle.compute(x.dtype)]
        value, u, v = ops.spectral_norm(x, pairs)
        torch.testing.assert_close(value, ops.spectral_norm_reference(x, pairs)[0], rtol=2 * tau, atol=0.0)
        grad = oracle.draw(2, dtype=value.dtype)
        expected = ops.spectral_norm_backward_reference(grad, x, u, v, pairs)
        torch.testing.assert_close(ops._spectral_norm_backward(grad, x, u, v, pairs), expected)
        apart = (torch.stack((t, t), -1)[..., 0] for t in (grad, x, u, v))
        torch.testing.assert_close(ops._spectral_norm_backward(*apart, pairs), expected)
        expected = ops.spectral_norm_backward_reference(grad[:1].repeat(2), x, u, v, pairs)
        torch.testing.assert_close(ops._spectral_norm_backward(grad[:1].expand(2), x, u, v, pairs), expected)
        torch.testing.assert_close(
            ops.orthogonality_error(x, pairs), ops.orthogonality_error_reference(x, pairs), rtol=1e-13, atol=0.0
        )


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


def op_results(name: str, x: Tensor) -> list[Tensor]:
    """What one op makes of a tensor [batch, m, d]."""
    t, pairs = real_view(x), x.is_complex()
    dims = [-3, -2, -1] if pairs else [-2, -1]
    if name == "energy":
        return [ops.energy(t, dims), ops.energy(t.movedim(0, -1), [-2]), ops.energy(t, list(range(-t.dim(), 0)))]
    if name == "energies":
        return list(ops.energies(t, t.flip(1), dims))
    if name == "orthogonality_error":
        return [ops.orthogonality_error(t[:, :64], pairs)]
    if name == "largest_modulus":
        return [ops.largest_modulus(oracle.draw(len(x), x[0].numel(), 2, dtype=oracle.compute(t.dtype)))]
    value, u, v = ops.spectral_norm(t, pairs)
    return [value, u, v] if name == "spectral_norm" else [ops._spectral_norm_backward(value, t, u, v, pairs)]


#: The ops that have kernels; the outer product of two vectors needs none.
KERNELS = sorted(set(ops._REFERENCES) - {"spectral_norm_backward"})


@pytest.mark.usefixtures("native_library")  # torch promises no such thing
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_bitwise_reproducible(threads: int, name: str, dtype: torch.dtype) -> None:
    inputs = [
        oracle.draw(*shape, dtype=dtype)
        for shape in ((7, 60, 36), (1, 700, 130), (1, 3, 90001), (2, 1500, 200), (40, 3, 4))
    ]

    def run() -> list[Tensor]:
        return [t for x in inputs for t in op_results(name, x)]

    torch.set_num_threads(1)
    alone = run()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(map(torch.equal, run(), alone))


@pytest.mark.parametrize(
    ("layout", "dtype", "pairs"), [("transposed", torch.bfloat16, False), ("odd_offset", torch.float32, True)], ids=str
)
def test_opcheck(layout: str, dtype: torch.dtype, pairs: bool) -> None:
    x = oracle.LAYOUTS[layout]((3, 4, 6), dtype)
    t = (x.unflatten(-1, (3, 2)) if pairs else x).requires_grad_()
    dims = [-3, -2, -1] if pairs else [-1, -3]
    torch.library.opcheck(ops.energy, (t, dims))
    torch.library.opcheck(ops.energies, (t, t.detach(), dims))
    torch.library.opcheck(ops.orthogonality_error, (t, pairs))
    torch.library.opcheck(ops.spectral_norm, (t, pairs))
    value, u, v = (t.detach() for t in ops.spectral_norm(t, pairs))
    torch.library.opcheck(ops._spectral_norm_backward, (value.requires_grad_(), t, u, v, pairs))
    torch.library.opcheck(ops.largest_modulus, (x[..., :2].float(),))


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    x, z = (oracle.LAYOUTS[layout]((3, 4, 6), dtype) for dtype in (torch.bfloat16, torch.float32))

    def run(x: Tensor, z: Tensor) -> list[Tensor]:
        pairs = z.unflatten(-1, (3, 2))
        found = [ops.energy(x, [-1]), *ops.energies(x, x, [-3, -1]), ops.largest_modulus(z[..., :2])]
        for t, flag in ((x, False), (pairs, True)):
            value, u, v = ops.spectral_norm(t, flag)
            found += [ops.orthogonality_error(t, flag), value, u, v, ops._spectral_norm_backward(value, t, u, v, flag)]
        return found

    real = run(x, z)
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        fake = run(mode.from_tensor(x), mode.from_tensor(z))
    for a, b in zip(fake, real, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


# -- calculus ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_gradient_of_energy(backend: str, layout: str) -> None:
    for dtype in DTYPES:
        for dims in ((-2, -1), (0,), (1,), (0, 2)):
            x = oracle.LAYOUTS[layout]((3, 6, 5), dtype).detach().requires_grad_()
            weight = oracle.draw(*(s for axis, s in enumerate(x.shape) if axis not in dims and axis - 3 not in dims))
            (grad,) = torch.autograd.grad(energy(x, dims), x, weight)
            shape = [1 if axis in dims or axis - 3 in dims else s for axis, s in enumerate(x.shape)]
            expected = 2 * exact(weight).reshape(shape) * exact(x)
            assert grad.dtype is dtype and grad.shape == x.shape
            info = torch.finfo(dtype)
            error = np.abs(exact(grad) - expected)
            # One product in float64, one rounding to the dtype of x (of a half, perhaps by way of float32).
            assert (error <= 1.01 * info.eps * np.abs(expected) + info.smallest_normal * info.eps).all()


@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1.0, 1e15, 1e25])
def test_gradients_that_float32_holds_of_energies_that_it_does_not(backend: str, scale: float) -> None:
    # Of log E and of a quotient of energies, 2 x / E: E is beyond float32 one way, 1 / E the other.
    def gradients(dtype: torch.dtype) -> list[Tensor]:
        a, b = ((oracle.draw(2, 4, 5, seed=s) * scale).float().to(dtype).requires_grad_() for s in (0, 1))
        return [
            *torch.autograd.grad(energy(a).log().sum(), a),
            *torch.autograd.grad(energy_error(a, b).sum(), (a, b)),
            *torch.autograd.grad(energy_error(a, torch.fft.rfft(b, dim=-2, norm="ortho"), n=4).sum(), (a, b)),
        ]

    for actual, expected in zip(gradients(torch.float32), gradients(torch.float64), strict=True):
        # The transform of b and its adjoint are in float32.
        bound = 8 * oracle.transform_error(torch.float32, 4) * expected.norm()
        assert (actual.double() - expected).norm() <= bound


def test_gradient_of_orthogonality_error(backend: str) -> None:
    for dtype in DTYPES:
        for shape in ((1, 1), (3, 5), (2, 4, 4), (2, 6, 3)):
            t = oracle.draw(*shape, dtype=dtype).requires_grad_()
            error = orthogonality_error(t)
            (grad,) = torch.autograd.grad(error.sum(), t)
            a = oracle.wide(t)
            residual = a @ a.conj().swapaxes(-2, -1) - np.eye(shape[-2])
            expected = 2 * residual @ a / np.linalg.norm(residual, axis=(-2, -1), keepdims=True)
            assert grad.dtype is dtype
            eps = torch.finfo(dtype).eps
            assert np.linalg.norm(oracle.wide(grad) - expected) <= (eps + 64 * U) * np.linalg.norm(expected)


def test_gradient_of_orthogonality_error_at_its_minimum(backend: str) -> None:
    for dtype in DTYPES:
        t = torch.eye(4, 6, dtype=dtype).repeat(2, 1, 1)
        t[1] *= 2
        t.requires_grad_()
        (grad,) = torch.autograd.grad(orthogonality_error(t).sum(), t)
        assert (grad[0] == 0).all() and grad[1].isfinite().all() and (grad[1] != 0).any()


REAL_OR_COMPLEX = [torch.float64, torch.complex128]


def differentiable(dtype: torch.dtype) -> dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]]:
    """Every function with arguments where it is twice differentiable."""
    x, y = oracle.draw(2, 3, 4, dtype=dtype), oracle.draw(2, 3, 4, dtype=dtype, seed=1)
    h = oracle.draw(4, 3, 2) if dtype is torch.float64 else oracle.draw(4, 3, dtype=dtype)
    m = oracle.draw(2, 3, 2, 2) if dtype is torch.float64 else oracle.draw(2, 3, 2, dtype=dtype)
    return {
        "energy": (energy, (x,)),
        "energy, one axis": (lambda x: energy(x, 1), (x,)),
        "energy, half": (lambda x: energy(x, n=4), (x,)),
        "energy, half, odd": (lambda x: energy(x, (0, 2), n=7, dim=2), (x,)),
        "energy_error": (energy_error, (x, y)),
        "energy_error, half": (lambda x, y: energy_error(x, y, n=5), (x, y)),
        "orthogonality_error": (orthogonality_error, (x,)),
        "orthogonality_error, tall": (lambda x: orthogonality_error(x.mT), (x,)),
        "spectral_norm": (spectral_norm, (x,)),
        "spectral_norm, tall": (lambda x: spectral_norm(x.mT), (x,)),
        "spectral_norm, conjugate": (lambda x: spectral_norm(x.mH), (x,)),
        "filter_operator_norm": (filter_operator_norm, (h,)),
        "filter_operator_norm, n": (lambda h: filter_operator_norm(h, n=6), (h,)),
        "filter_operator_norm, grid": (lambda h: filter_operator_norm(h.unsqueeze(1), grid=(4, 1)), (h,)),
        "filter_operator_norm, mixing": (lambda m: filter_operator_norm(m, n=3, channel_mixing=True), (m,)),
    }


@pytest.mark.parametrize("dtype", REAL_OR_COMPLEX, ids=str)
@pytest.mark.parametrize("name", differentiable(torch.float64))
def test_gradcheck(backend: str, name: str, dtype: torch.dtype) -> None:
    f, arguments = differentiable(dtype)[name]
    leaves = tuple(t.detach().clone().requires_grad_() for t in arguments)
    assert torch.autograd.gradcheck(f, leaves)
    assert torch.autograd.gradgradcheck(f, leaves)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3, 3), (2, 4), (4, 2), (1, 3), (3, 1)], ids=str)
def test_gradcheck_of_every_op(shape: tuple[int, ...], pairs: bool) -> None:
    x, y = (oracle.draw(*shape, *([2] if pairs else []), seed=s).requires_grad_() for s in (0, 1))
    calls: list[tuple[Callable[..., object], tuple[Tensor, ...]]] = [
        (lambda x: ops.energy(x, [-2]), (x,)),
        (lambda x, y: ops.energies(x, y, [-1]), (x, y)),
        (lambda x, y: ops.energies(x, y, [-1])[1], (x, y)),
        (lambda x: ops.orthogonality_error(x, pairs), (x,)),
        (lambda x: ops.spectral_norm(x, pairs)[0], (x,)),
    ]
    for call, inputs in calls:
        assert torch.autograd.gradcheck(call, inputs)
        assert torch.autograd.gradgradcheck(call, inputs)
    # The vectors belong to x, so that only with the value's is its derivative one of anything.
    weight = oracle.draw(*shape[:-2]).requires_grad_()
    f = lambda weight, x: torch.autograd.grad(ops.spectral_norm(x, pairs)[0], x, weight, create_graph=True)[0]  # noqa: E731
    assert torch.autograd.gradcheck(f, (weight, x))
    assert torch.autograd.gradgradcheck(f, (weight, x))


def test_vectors_are_not_differentiable() -> None:
    value, u, v = ops.spectral_norm(oracle.draw(3, 4).requires_grad_(), False)
    assert value.requires_grad and not u.requires_grad and not v.requires_grad


def second(x: Tensor, direction: Tensor) -> Tensor:
    """The Hessian of the sum of the spectral norms, times `direction`."""
    x = x.detach().requires_grad_()
    (grad,) = torch.autograd.grad(spectral_norm(x).sum(), x, create_graph=True)
    return torch.autograd.grad(grad, x, direction)[0]


def test_second_derivative_of_every_scale() -> None:
    # Homogeneous of degree -1.
    for dtype in REAL_OR_COMPLEX:
        x, c = oracle.draw(4, 3, dtype=dtype), oracle.draw(4, 3, dtype=dtype, seed=1)
        expected = second(x, c)
        for k in (-900, -60, 60, 900):
            torch.testing.assert_close(second(x * 2.0**k, c) * 2.0**k, expected)
        for k in (-90, 90):
            narrow = torch.complex64 if dtype.is_complex else torch.float32
            result = second((x * 2.0**k).to(narrow), c.to(narrow))
            torch.testing.assert_close(result.to(dtype) * 2.0**k, expected, rtol=1e-5, atol=1e-5)


def test_second_derivative_where_some_are_zero_equal_or_not_finite() -> None:
    x, c = oracle.draw(5, 3, 4), oracle.draw(5, 3, 4, seed=1)
    x[0], x[1], x[2] = 0, torch.eye(3, 4), torch.outer(x[2, :, 0], x[2, 0])
    result = second(spoilt(x, (3, 1, 1), math.nan), c)
    assert (result[0] == 0).all() and result[[1, 2, 4]].isfinite().all()
    torch.testing.assert_close(result[4], second(x[4], c[4]))
    # Of rank one, ||A + tC|| = sqrt(largest eigenvalue): here to second order by differences.
    with torch.no_grad():
        f = lambda t: torch.linalg.matrix_norm(x[2] + t * c[2], 2)  # noqa: E731
        h = 1e-3
        assert abs((f(h) - 2 * f(0) + f(-h)) / h**2 - (result[2] * c[2]).sum()) <= 1e-4 * abs((result[2] * c[2]).sum())


def test_gradients_are_linear_in_what_comes_back() -> None:
    # <C, w G> has the derivative <C, G> with respect to w: 0 for a matrix of zeros.
    for dtype in REAL_OR_COMPLEX:
        x, c, w = oracle.draw(3, 4, 5, dtype=dtype), oracle.draw(3, 4, 5, dtype=dtype, seed=1), oracle.draw(3)
        x[1] = 0
        leaf = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(spectral_norm(leaf), leaf, w.requires_grad_(), create_graph=True)
        (of_w,) = torch.autograd.grad(grad, w, c)
        torch.testing.assert_close(of_w, (real_view(c) * real_view(gradient(x))).reshape(3, -1).sum(1))


def test_second_derivative_of_nothing() -> None:
    for shape in ((0, 3), (3, 0), (2, 0, 3), (0, 3, 3)):
        for dtype in REAL_OR_COMPLEX:
            x = torch.zeros(shape, dtype=dtype)
            assert second(x, x).shape == shape


def stacked(t: Tensor, dim: int | None) -> Tensor:
    """Three of it, along an axis in which they are apart in memory by something else."""
    return t if dim is None else torch.stack([(i + 1) * t for i in range(3)], dim)


@pytest.mark.parametrize("dtype", REAL_OR_COMPLEX, ids=str)
@pytest.mark.parametrize("name", differentiable(torch.float64))
def test_vmap(backend: str, name: str, dtype: torch.dtype) -> None:
    f, arguments = differentiable(dtype)[name]
    for in_dims in itertools.product((0, 1, 2, None), repeat=len(arguments)):
        if all(dim is None for dim in in_dims):
            continue
        batches = tuple(stacked(t, dim) for t, dim in zip(arguments, in_dims, strict=True))
        mapped = torch.func.vmap(f, in_dims=in_dims)(*batches)
        for i in range(3):
            one = f(*(t if dim is None else t.select(dim, i) for t, dim in zip(batches, in_dims, strict=True)))
            torch.testing.assert_close(mapped[i], one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", REAL_OR_COMPLEX, ids=str)
@pytest.mark.parametrize("name", differentiable(torch.float64))
def test_functional_derivatives(backend: str, name: str, dtype: torch.dtype) -> None:
    f, (x, *rest) = differentiable(dtype)[name]
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(f(leaf, *rest).sum(), leaf)
    torch.testing.assert_close(torch.func.grad(lambda x: f(x, *rest).sum())(x), expected, rtol=1e-6, atol=1e-9)
    tangent = oracle.draw(*x.shape, dtype=dtype, seed=2)
    _, change = torch.func.jvp(lambda x: f(x, *rest).sum(), (x,), (tangent,))
    slope = (real_view(expected) * real_view(tangent)).sum()
    torch.testing.assert_close(change, slope, rtol=1e-6, atol=1e-9)
    with torch.autograd.forward_ad.dual_level():
        y = f(torch.autograd.forward_ad.make_dual(x, tangent), *rest).sum()
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(y).tangent, change)


def test_nested_vmap(backend: str) -> None:
    x = oracle.draw(2, 3, 5, 4)
    twice = lambda f, **dims: torch.func.vmap(torch.func.vmap(f, **dims))  # noqa: E731
    for f in (energy, orthogonality_error, spectral_norm, filter_operator_norm):
        argument = oracle.draw(2, 3, 5, 4, 2) if f is filter_operator_norm else x
        each = torch.stack([torch.stack([f(t) for t in row]) for row in argument])
        torch.testing.assert_close(twice(f)(argument), each, rtol=1e-12, atol=0.0)
        torch.testing.assert_close(twice(f, in_dims=2)(argument.movedim(1, 3)), each, rtol=1e-12, atol=0.0)


def test_per_sample_gradients(backend: str) -> None:
    x = oracle.draw(3, 4, 5)
    for f in (spectral_norm, orthogonality_error, energy, filter_operator_norm):
        argument = x if f is not filter_operator_norm else oracle.draw(3, 5, 2, 2)
        each = torch.func.vmap(torch.func.grad(f))(argument)
        for sample, grad in zip(argument, each, strict=True):
            leaf = sample.clone().requires_grad_()
            torch.testing.assert_close(grad, torch.autograd.grad(f(leaf), leaf)[0], rtol=1e-6, atol=1e-9)


def test_vmap_of_the_backward_op() -> None:
    x, grad = oracle.draw(3, 4, 5), oracle.draw(3)
    _, u, v = ops.spectral_norm(x, False)
    mapped = torch.func.vmap(lambda g, x, u, v: ops._spectral_norm_backward(g, x, u, v, False))(grad, x, u, v)
    torch.testing.assert_close(mapped, ops._spectral_norm_backward(grad, x, u, v, False))


def test_functional_gradient_of_zero_is_zero() -> None:
    assert (torch.func.grad(spectral_norm)(torch.zeros(3, 4)) == 0).all()
    assert (torch.func.grad(orthogonality_error)(torch.eye(3, 4)) == 0).all()


# -- contexts ----------------------------------------------------------------------------------------------------------


def everything(x: Tensor) -> list[Tensor]:  # [2, 3, 4]
    """Every function, of one tensor."""
    response = x if x.is_complex() else x.reshape(2, 3, 2, 2)
    return [
        energy(x),
        energy(x, 0),
        energy(x, n=5),
        energy_error(x, x.flip(0)),
        energy_error(x, x.flip(0), n=4),
        orthogonality_error(x),
        spectral_norm(x),
        filter_operator_norm(response),
        filter_operator_norm(response[:, 0], n=3),
        filter_operator_norm(response, grid=(2, 4)),
        filter_operator_norm(response[:, :, :2] if x.is_complex() else response, channel_mixing=True),
    ]


def test_autocast_changes_nothing(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        leaf = x.clone().requires_grad_()
        with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
            found = everything(x)
            (grad,) = torch.autograd.grad(sum(t.double().sum() for t in everything(leaf)), leaf)
        (expected,) = torch.autograd.grad(sum(t.double().sum() for t in everything(leaf)), leaf)
        assert all(map(torch.equal, found, everything(x)))
        assert [t.dtype for t in found] == [t.dtype for t in everything(x)]
        torch.testing.assert_close(grad, expected)


def test_inference_mode(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        with torch.inference_mode():
            found = everything(x.clone())
        assert all(map(torch.equal, found, everything(x)))


def test_meta(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        for a, b in zip(everything(x.to("meta")), everything(x), strict=True):
            assert a.device.type == "meta" and (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())


def test_requires_grad_or_not(backend: str) -> None:
    for dtype in DTYPES:
        x = oracle.draw(2, 3, 4, dtype=dtype)
        assert not any(t.requires_grad for t in everything(x))
        assert all(t.requires_grad for t in everything(x.requires_grad_()))
        with torch.no_grad():
            assert not any(t.requires_grad for t in everything(x))


def test_saves_only_what_its_backward_reads() -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)

    def saved(f: Callable[..., Tensor], *inputs: Tensor) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
            f(*inputs)
        return shapes

    assert saved(energy, x) == [(2, 8, 4)]
    assert saved(orthogonality_error, x) == [(2, 8, 4), (2,)]
    assert saved(spectral_norm, x) == [(2, 8, 4), (2, 8), (2, 4)]
    assert saved(spectral_norm, x.detach()) == []


def allocated(call: Callable[[], object]) -> int:
    """Bytes that torch hands out during a call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    return sum(max(event.nbytes(), 0) for event in events if event.name() == "[memory]")


@pytest.mark.usefixtures("cpu_kernels")  # a GPU's blocks leave their sums in memory
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energies_take_no_memory(dtype: torch.dtype) -> None:
    x = torch.ones(4, 256, 128, dtype=dtype)
    for t in (x, x.mT, x[:, ::2, 1:], x.transpose(0, 1).contiguous().transpose(0, 1)):
        assert allocated(lambda: energy(t)) <= 4096  # noqa: B023
        assert allocated(lambda: energy_error(t, t)) <= 4096  # noqa: B023
        assert allocated(lambda: energy(t, 0)) <= 8 * t[0].numel() + 4096  # noqa: B023
    assert allocated(lambda: energy(x, n=510)) <= 4096


@pytest.mark.usefixtures("native_library")
def test_orthogonality_error_holds_no_product() -> None:
    for dtype in FULL_DTYPES:
        t = torch.ones(1024, 16, dtype=dtype)
        assert allocated(lambda: orthogonality_error(t)) <= t.numel() * 64  # noqa: B023


def test_which_ops_run() -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)
    response = torch.randn(5, 4, 2)
    for call, expected in (
        (lambda: energy(x).sum().backward(), ["energy"]),
        (lambda: energy_error(x, x), ["energies"]),
        (lambda: orthogonality_error(x).sum().backward(), ["orthogonality_error"]),
        (lambda: spectral_norm(x).sum().backward(), ["spectral_norm", "spectral_norm_backward"]),
        (lambda: filter_operator_norm(response, n=8), ["largest_modulus"]),
        (lambda: filter_operator_norm(response.unflatten(1, (2, 2)), channel_mixing=True), ["spectral_norm"]),
    ):
        steps = spectrans.explain(call).steps
        assert [step.op for step in steps] == [f"spectrans::{name}" for name in expected]
        kernels = [step.implementation == "native" for step in steps]
        library = spectrans.info()["libraries"][f"ops_{torch.get_default_device().type}"]
        assert kernels == [library["loaded"] and name in KERNELS for name in expected]
