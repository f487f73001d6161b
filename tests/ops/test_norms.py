"""The ops behind the norm checks against numpy in float64 or wider, and their calculus."""

from __future__ import annotations

import itertools
import math

import matrices
import numpy as np
import oracle
import pytest
import torch
from torch import Tensor

from spectrans.functional import (
    energy,
    energy_error,
    orthogonality_error,
    rfft_modes,
    spectral_norm,
)

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
    return torch.from_numpy(t.copy()).to(dtype)


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


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_of_lengths(dtype: torch.dtype) -> None:
    # Around vectors, unrolled loops and blocks.
    for n in (*range(1, 70), 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4099):
        check_energy(oracle.draw(n, dtype=dtype), (0,))
        check_energy(oracle.draw(3, n, dtype=dtype), (0,))
        check_energy(oracle.draw(n, 3, dtype=dtype), (0,))
        check_energy(oracle.draw(2, n, 2, dtype=dtype), (1,))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_energy_of_layouts(backend: str, layout: str, dtype: torch.dtype) -> None:
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
def test_energy_of_long_sums(backend: str, dtype: torch.dtype) -> None:
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
    for m, n in (
        (1, 1),
        (1, 7),
        (2, 2),
        (3, 5),
        (8, 8),
        (16, 16),
        (17, 33),
        (31, 31),
        (64, 64),
        (5, 2),
        (9, 1),
        (7, 130),
    ):
        q = rows(m, n, dtype)
        for t in (q, 1.25 * q, oracle.draw(m, n, dtype=dtype), 1e-3 * q, torch.zeros_like(q)):
            check_orthogonality_error(t)


def test_orthogonality_error_of_every_size(backend: str) -> None:
    for dtype in (torch.float32, torch.complex64):
        for n in range(1, 70):
            check_orthogonality_error(rows(n, n, dtype))
            check_orthogonality_error(oracle.draw(3, n, dtype=dtype))
            check_orthogonality_error(oracle.draw(n, 3, dtype=dtype))


def test_orthogonality_error_of_exact_matrices(backend: str) -> None:
    for dtype in DTYPES:
        for t in (np.eye(9), np.eye(9)[::-1].copy(), np.eye(4, 9), matrices.SQUARE["permutation"](12)):
            assert orthogonality_error(torch.from_numpy(t).to(dtype)) == 0
        hadamard = torch.from_numpy(matrices.SQUARE["Hadamard"](16) / 4).to(dtype)
        assert orthogonality_error(hadamard) == 0
        assert orthogonality_error(2 * hadamard) == 12  # 3 ||I||
        assert orthogonality_error(torch.zeros(9, 4, dtype=dtype)) == 3
    phases = torch.tensor([[0.0, 1j], [-1.0, 0.0]])
    assert orthogonality_error(phases) == 0
    # T T^T = I, but T T^H = 3 [...]: the conjugate matters.
    t = torch.tensor([[math.sqrt(2), 1j], [-1j, math.sqrt(2)]], dtype=torch.complex128)
    check_orthogonality_error(t)
    assert orthogonality_error(t) > 4


def test_orthogonality_error_near_zero(backend: str) -> None:
    # ||T T^H||^2 - 2 ||T||^2 + m would cancel all but 1e-8 of these.
    t = torch.eye(20, dtype=torch.float64)
    t[3, 5] = 1e-12
    assert abs(orthogonality_error(t).item() - math.sqrt(2) * 1e-12) <= 1e-27
    t[3, 5], t[7, 7] = 0, 1 + 2.0**-40
    assert abs(orthogonality_error(t).item() - 2.0**-39) <= 2.0**-52


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_orthogonality_error_of_layouts(backend: str, layout: str, dtype: torch.dtype) -> None:
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
    for n in (1, 2, 3, 4, 7, 8, 17, 32, 65):
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
    for shape in ((1, 5000), (5000, 1), (2, 4097), (4097, 2), (2048, 17), (17, 2048), (600, 130)):
        check_spectral_norm(oracle.draw(*shape, dtype=dtype))
        check_spectral_norm(oracle.draw(*shape, dtype=dtype).mT)


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_spectral_norm_of_halves(backend: str, dtype: torch.dtype) -> None:
    for n in (1, 2, 3, 8, 17, 40):
        for name in ("random", "identity", "ones", "uniform", "gap 0.001", "half rank", "zero"):
            check_spectral_norm(random_complex(matrices.SQUARE[name](n), dtype))
    for scale in (1e-6, 1e3):
        check_spectral_norm((oracle.draw(2, 9, 5).clamp(-3, 3) * scale).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_spectral_norm_of_layouts(backend: str, layout: str, dtype: torch.dtype) -> None:
    for shape in ((3, 16, 20), (2, 17, 5), (2, 1, 4)):
        x = oracle.LAYOUTS[layout](shape, dtype)
        before, version = x.clone(), x._version
        check_spectral_norm(x)
        check_spectral_norm(x.mT)
        assert torch.equal(x, before) and x._version == version


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


#: Sizes of the largest entry, as a share of what the dtype can hold, and as such.
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
