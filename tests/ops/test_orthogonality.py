"""`orthogonality_error` against numpy in long double, and its gradient."""

from __future__ import annotations

import math

import matrices
import numpy as np
import oracle
import pytest
import torch
from norm_oracle import DTYPES, U, check_orthogonality_error, spoilt, views
from torch import Tensor

from spectrans.functional import orthogonality_error


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


def test_orthogonality_error_of_few_long_rows(backend: str) -> None:
    for dtype in (torch.float32, torch.complex64, torch.complex128):
        for n in (15, 16, 63, 257, 1000):
            for m in range(1, 10):
                check_orthogonality_error(oracle.draw(2, m, n, dtype=dtype) / n**0.5)
                check_orthogonality_error(oracle.draw(n, m, dtype=dtype).mT / n**0.5)
        for m, n in ((1, 70_001), (3, 40_001)):  # several sums
            check_orthogonality_error(oracle.draw(m, n, dtype=dtype) / n**0.5)


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
