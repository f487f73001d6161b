"""`energy` and `energy_error` against numpy in long double, and their gradients."""

from __future__ import annotations

import itertools
import math

import numpy as np
import oracle
import pytest
import torch
from norm_oracle import DTYPES, FULL_DTYPES, U, assert_energy, check_energy, exact, exact_energy, spoilt, summed, views
from torch import Tensor

from spectrans.functional import energy, energy_error, rfft_modes

# -- energy ------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_energy_of_every_few_elements(backend: str, dtype: torch.dtype) -> None:
    # No neighbours to add: vectors of what lies apart, the last of them a part of one.
    for step in (2, 3, 5):
        for n in (1, 2, 7, 16, 17, 33, 100):
            x = oracle.draw(3, step * n, dtype=dtype)[:, step - 1 :: step]
            check_energy(x)
            check_energy(x, (-1,))


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


# -- gradients ---------------------------------------------------------------------------------------------------------


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
