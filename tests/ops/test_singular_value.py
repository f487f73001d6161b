"""`spectral_norm`, the largest singular value, against the SVD in float64: its vectors and its derivatives."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import matrices
import numpy as np
import oracle
import pytest
import torch
from norm_oracle import (
    ACCURACY,
    DTYPES,
    FULL_DTYPES,
    REAL_OR_COMPLEX,
    check_spectral_norm,
    exact,
    exact_energy,
    largest_value,
    real_view,
    spoilt,
    views,
)
from torch import Tensor

from spectrans.functional import energy, spectral_norm
from spectrans.ops import norms as ops


def random_complex(t: np.ndarray, dtype: torch.dtype) -> Tensor:
    """The matrix in `dtype`: for a complex one, with rows and columns turned by random phases, which changes no
    singular value."""
    if dtype.is_complex:
        rows, columns = (np.exp(2j * np.pi * np.random.default_rng(n).random(n)) for n in t.shape[-2:])
        t = rows[:, None] * t * columns
    return oracle.tensor(t.copy()).to(dtype)


# -- the value ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("dtype", FULL_DTYPES, ids=str)
def test_spectral_norm_of_few_rows(native_library: None, dtype: torch.dtype) -> None:
    # Panels of columns end somewhere here; the last ones are of several chunks, with a sum each.
    for columns in (63, 65, 255, 257, 1000):
        for rows in (1, 2, 3, 5, 8, 16, 17, 31, 32):
            x = oracle.draw(rows, columns, dtype=dtype)
            check_spectral_norm(x)
            check_spectral_norm(x.mT.contiguous())
    for rows, columns in ((1, 70_001), (3, 40_001), (10, 12_000)):
        for x in (oracle.draw(rows, columns, dtype=dtype), oracle.draw(columns, rows, dtype=dtype)):
            check_spectral_norm(x)
            check_spectral_norm(x.mT)


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


@pytest.mark.parametrize("gap", [2e-6, 1e-5, 1e-4])
def test_spectral_norm_of_two_values_far_above_the_others(native_library: None, gap: float) -> None:
    # Those two are one to an iteration until all the others are gone: it has to go on until it tells them apart.
    draw = np.random.default_rng(0)
    for rows, columns in ((200, 200), (130, 300), (1600, 150)):
        for _ in range(8):
            least = min(rows, columns)
            values = draw.uniform(0, 0.5, least)
            values[:2] = 1, 1 - gap
            left, right = (np.linalg.qr(draw.standard_normal((size, least)))[0] for size in (rows, columns))
            check_spectral_norm(oracle.tensor((left * values) @ right.T).float())


@pytest.mark.parametrize(("n", "first", "second", "gap"), [(256, 178, 254, 1e-4), (4096, 3841, 3763, 3e-4)])
def test_spectral_norm_of_diagonals_that_the_start_hardly_sees(n: int, first: int, second: int, gap: float) -> None:
    diagonal = torch.linspace(0, 0.5, n)
    diagonal[first], diagonal[second] = 1 + gap, 1
    x = torch.diag(diagonal).requires_grad_()
    value = spectral_norm(x)
    assert abs(value.item() - (1 + gap)) <= 1e-6
    value.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and abs(x.grad[first, first].item() - 1) <= 1e-4


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


# -- the vectors -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("gap", [0, 1e-15, 1e-12, 1e-6, 1e-3])
def test_vectors_of_few_rows_are_a_pair(native_library: None, gap: float) -> None:
    # x v = sigma u and x^H u = sigma v, however near the next values are.
    for dtype in REAL_OR_COMPLEX:
        for rows, equal in ((2, 2), (3, 2), (8, 5), (16, 16)):
            values = np.linspace(0.1, 1, rows)
            values[-equal:] = 1 - gap * np.arange(equal)
            a = orthonormal(rows, rows) @ (values[:, None] * orthonormal(50, rows).T)
            for x in (random_complex(a, dtype), random_complex(a, dtype).mT):
                value, u, v = ops.spectral_norm(real_view(x), x.is_complex())
                if x.is_complex():
                    u, v = torch.view_as_complex(u), torch.view_as_complex(v)
                assert abs(value - 1) <= 1e-14
                assert torch.linalg.vector_norm(x @ v - value * u) <= 1e-14
                assert torch.linalg.vector_norm(x.mH @ u - value * v) <= 1e-14


def test_vectors_of_zero_and_of_what_is_not_finite() -> None:
    for dtype in DTYPES:
        x = oracle.draw(3, 4, 5, dtype=dtype)
        x[0] = 0
        value, u, v = ops.spectral_norm(real_view(spoilt(x, (1, 0, 0), math.inf)), x.is_complex())
        assert value[0] == 0 and (u[0] == 0).all() and (v[0] == 0).all() and value[1].isnan()
        assert value[2] > 0 and u[2].isfinite().all() and v[2].isfinite().all()


def test_vectors_are_not_differentiable() -> None:
    value, u, v = ops.spectral_norm(oracle.draw(3, 4).requires_grad_(), False)
    assert value.requires_grad and not u.requires_grad and not v.requires_grad


# -- the gradient ------------------------------------------------------------------------------------------------------


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


def test_gradients_are_linear_in_what_comes_back() -> None:
    # <C, w G> has the derivative <C, G> with respect to w: 0 for a matrix of zeros.
    for dtype in REAL_OR_COMPLEX:
        x, c, w = oracle.draw(3, 4, 5, dtype=dtype), oracle.draw(3, 4, 5, dtype=dtype, seed=1), oracle.draw(3)
        x[1] = 0
        leaf = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(spectral_norm(leaf), leaf, w.requires_grad_(), create_graph=True)
        (of_w,) = torch.autograd.grad(grad, w, c)
        torch.testing.assert_close(of_w, (real_view(c) * real_view(gradient(x))).reshape(3, -1).sum(1))


def test_vmap_of_the_backward_op() -> None:
    x, grad = oracle.draw(3, 4, 5), oracle.draw(3)
    _, u, v = ops.spectral_norm(x, False)
    mapped = torch.func.vmap(lambda g, x, u, v: ops._spectral_norm_backward(g, x, u, v, False))(grad, x, u, v)
    torch.testing.assert_close(mapped, ops._spectral_norm_backward(grad, x, u, v, False))


# -- the second derivative ---------------------------------------------------------------------------------------------


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


def test_second_derivative_of_nothing() -> None:
    for shape in ((0, 3), (3, 0), (2, 0, 3), (0, 3, 3)):
        for dtype in REAL_OR_COMPLEX:
            x = torch.zeros(shape, dtype=dtype)
            assert second(x, x).shape == shape
