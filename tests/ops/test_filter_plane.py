"""The op `filter_plane` and its derivatives against the float64 oracle, and their calculus."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch

import spectrans
from spectrans.functional import spectral_filter_plane
from spectrans.ops.filter_plane import (
    filter_plane,
    filter_plane_backward,
    filter_plane_reference,
    filter_plane_response_grad,
)

Shape = tuple[int, int]

#: Lengths of both axes: few, of several radices, primes; an axis of one; long lines, few of them; rows that are whole
#: vectors, of two lanes to sixteen: in whole blocks of those that are turned together, half of one, blocks and a rest.
SHAPES: tuple[Shape, ...] = (
    (1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (3, 2), (2, 3), (3, 3), (4, 4), (5, 7), (8, 6), (6, 8), (16, 16),
    (17, 17), (7, 32), (32, 7), (13, 64), (15, 81), (60, 50), (37, 41), (3, 100), (100, 3), (2, 257), (257, 2),
    (1, 64), (2, 64), (3, 128), (5, 256), (37, 64), (60, 128), (17, 256), (4, 512),
    (9, 12), (6, 40), (37, 104), (17, 128), (4, 192), (60, 144), (5, 384),
)  # fmt: skip
FEW_SHAPES: tuple[Shape, ...] = (
    (1, 1),
    (1, 6),
    (5, 1),
    (2, 2),
    (3, 4),
    (4, 3),
    (7, 8),
    (17, 2),
    (2, 17),
    (6, 20),
    (5, 16),
)

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
few_shapes = pytest.mark.parametrize("shape", FEW_SHAPES, ids=str)


def draw_response(n: int, d: int, dtype: torch.dtype = torch.float64, seed: int = 7) -> torch.Tensor:
    return oracle.draw(n, d, 2, dtype=dtype, seed=seed)


def check(y: torch.Tensor, x: torch.Tensor, h: torch.Tensor, adjoint: bool = False) -> None:
    gain = float(torch.linalg.vector_norm(h.detach().double(), dim=-1).max())
    expected = oracle.filtered_plane(oracle.wide(x), oracle.wide(h), adjoint)
    # Two transforms of two axes and a product (at most sqrt(8) u, less than another transform's worth).
    oracle.assert_close(y, expected, n=math.prod(x.shape[-2:]), magnitude=gain * oracle.norm(x), transforms=5)


def check_response_grad(r: torch.Tensor, grad: torch.Tensor, x: torch.Tensor) -> None:
    assert r.is_contiguous()
    assert r.dtype is oracle.compute(x.dtype)
    expected = oracle.plane_response_grad(oracle.wide(grad), oracle.wide(x))
    # |R| <= 1/(n d) sum_b |X_b| |G_b| = sum_b |x_b| |g_b|, and a sum over b terms rounds b times more.
    samples = max(1, math.prod(x.shape[:-2]))
    oracle.assert_close(
        r, expected, n=math.prod(x.shape[-2:]), magnitude=oracle.norm(x, grad), transforms=5 + samples, dtype=x.dtype
    )


def check_all(x: torch.Tensor, g: torch.Tensor, h: torch.Tensor) -> None:
    check(filter_plane(x, h, False), x, h)
    check(filter_plane(x, h, True), x, h, adjoint=True)
    check_response_grad(filter_plane_response_grad(g, x), g, x)
    of_x, of_response = filter_plane_backward(g, x, h)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response, g, x)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@each_shape
def test_shapes(backend: str, shape: Shape, dtype: torch.dtype) -> None:
    x, h = oracle.draw(3, *shape, dtype=dtype), draw_response(*shape, oracle.compute(dtype))
    y = spectral_filter_plane(x, h)
    assert y.dtype is dtype
    check(y, x, h)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@each_shape
def test_shapes_of_the_derivatives(shape: Shape, dtype: torch.dtype) -> None:
    for batch in (1, 4):
        x, g = oracle.draw(batch, *shape, dtype=dtype), oracle.draw(batch, *shape, dtype=dtype, seed=1)
        check_all(x, g, draw_response(*shape, oracle.compute(dtype)))


# Planes of several items fit into what is done at once; of one; of less than one.
@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("shape", [(9, 40, 70), (3, 300, 500), (19, 40, 256), (9, 40, 144), (3, 600, 512)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_large_signals(threads: int, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, g = oracle.draw(*shape, dtype=dtype), oracle.draw(*shape, dtype=dtype, seed=1)
    check_all(x, g, draw_response(*shape[1:], oracle.compute(dtype)))


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_batches(backend: str, batch: tuple[int, ...]) -> None:
    x, h = oracle.draw(*batch, 6, 7, dtype=torch.float32).requires_grad_(), draw_response(6, 7, torch.float32)
    y = spectral_filter_plane(x, h.requires_grad_())
    check(y, x, h)
    g = oracle.draw(*batch, 6, 7, dtype=torch.float32, seed=3)
    of_x, of_response = torch.autograd.grad(y, (x, h), g)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response.contiguous(), g, x)


def test_many_items() -> None:
    # More than one piece of a sum over the batch, and pieces of unequal length.
    for dtype in (torch.float32, torch.float64):
        for batch in (16, 17, 53):
            for d in (10, 64, 144):
                x, g = oracle.draw(batch, 6, d, dtype=dtype), oracle.draw(batch, 6, d, dtype=dtype, seed=1)
                check_response_grad(filter_plane_response_grad(g, x), g, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    for n, d in ((12, 20), (17, 5), (9, 64), (7, 144)):
        x, h = oracle.LAYOUTS[layout]((3, n, d), dtype), draw_response(n, d, oracle.compute(dtype))
        g = oracle.draw(3, n, d, dtype=dtype, seed=1)
        before, version = x.clone(), x._version
        y = filter_plane(x, h, False)
        check(y, x, h)
        assert y.stride() == torch.empty_like(x).stride()
        for first, second in ((x, g), (g, x)):
            check_response_grad(filter_plane_response_grad(first, second), first, second)
            of_x, of_response = filter_plane_backward(first, second, h)
            check(of_x, first, h, adjoint=True)
            assert of_x.stride() == torch.empty_like(first).stride()
            check_response_grad(of_response, first, second)
        assert torch.equal(x, before) and x._version == version


def test_batches_of_several_axes() -> None:
    for d in (10, 64):
        x = oracle.draw(3, 8, 2, d).permute(2, 0, 1, 3)  # which no single stride walks
        g = oracle.draw(2, 3, 8, d, seed=1)
        check_all(x, g, draw_response(8, d))
        check_all(g, x, draw_response(8, d))


def test_response_layouts(backend: str) -> None:
    x, stored = oracle.draw(3, 6, 8, dtype=torch.float32), oracle.draw(2, 8, 6, dtype=torch.float32)
    for h in (stored.permute(2, 1, 0), stored[..., :1].permute(2, 1, 0).expand(6, 8, 2)):
        before = h.clone()
        check(spectral_filter_plane(x, h), x, h)
        assert torch.equal(h, before)


@each_shape
def test_only_the_hermitian_part_acts(backend: str, shape: Shape) -> None:
    x, h = oracle.draw(3, *shape), draw_response(*shape)
    noise = torch.view_as_complex(draw_response(*shape, seed=5))
    mirrored = noise.flip(0, 1).roll((1, 1), (0, 1)).conj()
    changed = (h + torch.view_as_real((noise - mirrored).resolve_conj())).requires_grad_()
    check(spectral_filter_plane(x, changed), x, h)
    (gradient,) = torch.autograd.grad(spectral_filter_plane(x, changed).square().sum(), changed)
    z = torch.view_as_complex(gradient)
    torch.testing.assert_close(z, z.flip(0, 1).roll((1, 1), (0, 1)).conj().resolve_conj())


@few_shapes
def test_is_the_circular_convolution(backend: str, shape: Shape) -> None:
    n, d = shape
    x, kernel = oracle.draw(2, n, d), oracle.draw(n, d) / math.sqrt(n * d)
    expected = np.zeros((2, n, d))
    for a in range(n):
        for b in range(d):
            expected += np.roll(oracle.wide(x), (a, b), (1, 2)) * float(kernel[a, b])
    y = spectral_filter_plane(x, torch.view_as_real(torch.fft.fft2(kernel)))
    oracle.assert_close(y, expected, n=n * d, magnitude=10 * oracle.norm(x), transforms=7)


@few_shapes
def test_exchanging_the_axes(backend: str, shape: Shape) -> None:
    x, h = oracle.draw(2, *shape), draw_response(*shape)
    y = spectral_filter_plane(x.mT, h.transpose(0, 1)).mT
    oracle.assert_close(
        y, oracle.wide(spectral_filter_plane(x, h)), n=math.prod(shape), magnitude=4 * oracle.norm(x), transforms=10
    )


def test_one_item_does_not_leak_into_another(backend: str) -> None:
    for d in (20, 64, 144):
        x, h = oracle.draw(4, 6, d, dtype=torch.float32), draw_response(6, d, torch.float32)
        clean = spectral_filter_plane(x, h)
        x[1, 2, 3] = float("nan")
        y = spectral_filter_plane(x, h)
        assert bool(y[1].isnan().all())
        torch.testing.assert_close(y[[0, 2, 3]], clean[[0, 2, 3]])


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2)], ids=str)
def test_gradcheck(backend: str, shape: Shape) -> None:
    x, h = oracle.draw(2, *shape).requires_grad_(), draw_response(*shape).requires_grad_()
    for inputs in ((x, h), (x.detach(), h), (x, h.detach())):
        assert torch.autograd.gradcheck(spectral_filter_plane, inputs)
        assert torch.autograd.gradgradcheck(spectral_filter_plane, inputs)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2)], ids=str)
def test_gradcheck_of_every_op(shape: Shape) -> None:
    x, g = oracle.draw(2, *shape).requires_grad_(), oracle.draw(2, *shape, seed=1).requires_grad_()
    h = draw_response(*shape).requires_grad_()
    calls = [
        (lambda x, h: filter_plane(x, h, True), (x, h)),
        (filter_plane_response_grad, (g, x)),
        (filter_plane_backward, (g, x, h)),
        (lambda g, x, h: filter_plane_backward(g, x, h)[1], (g, x, h)),
    ]
    for call, inputs in calls:
        assert torch.autograd.gradcheck(call, inputs)
        assert torch.autograd.gradgradcheck(call, inputs)


@few_shapes
def test_adjoint_identities(shape: Shape) -> None:
    # <g, F(x, H)> = <F*(g, H), x> = <R(g, x), H>
    x, g, h = oracle.draw(3, *shape), oracle.draw(3, *shape, seed=1), draw_response(*shape)
    size = math.prod(shape)
    forward = (g * filter_plane(x, h, False)).sum()
    gain = float(torch.linalg.vector_norm(h, dim=-1).max())
    bound = 2 * 10 * oracle.transform_error(torch.float64, size) * gain * oracle.norm(x, g)
    assert abs(forward - (filter_plane(g, h, True) * x).sum()) <= bound
    assert abs(forward - (filter_plane_response_grad(g, x) * h).sum()) <= bound * size**0.5


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_bitwise_reproducible(threads: int, dtype: torch.dtype) -> None:
    x, g = oracle.draw(21, 60, 36, dtype=dtype), oracle.draw(21, 60, 36, dtype=dtype, seed=1)
    h = draw_response(60, 36, oracle.compute(dtype))

    def run_all() -> tuple[torch.Tensor, ...]:
        gradients = (filter_plane_response_grad(g, x), *filter_plane_backward(g, x, h))
        return (filter_plane(x, h, False), filter_plane(x, h, True), *gradients)

    torch.set_num_threads(1)
    alone = run_all()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(map(torch.equal, run_all(), alone))


@pytest.mark.usefixtures("native_library")
@pytest.mark.parametrize(
    "shape",
    [
        (40, 9000, 1),
        (40, 1, 9000),
        (9, 5, 9000),
        (5, 300, 260),
        (5, 300, 256),
        (21, 40, 64),
        (21, 40, 144),
        (3, 600, 512),
    ],
    ids=str,
)
def test_reproducible_on_many_threads(threads: int, shape: tuple[int, int, int]) -> None:
    # More than there are cores: as many items as threads may be done at once.
    x, g = oracle.draw(*shape, dtype=torch.float32), oracle.draw(*shape, dtype=torch.float32, seed=1)
    h = draw_response(*shape[1:], torch.float32)
    torch.set_num_threads(1)
    alone = (filter_plane(x, h), *filter_plane_backward(g, x, h))
    for count in (threads, 3, 7):
        torch.set_num_threads(count)
        assert all(map(torch.equal, (filter_plane(x, h), *filter_plane_backward(g, x, h)), alone))


@pytest.mark.parametrize(("dtype", "layout"), oracle.OPCHECKED, ids=str)
def test_opcheck(dtype: torch.dtype, layout: str) -> None:
    x = oracle.LAYOUTS[layout]((2, 6, 5), dtype).requires_grad_()
    g, h = oracle.draw(2, 6, 5, dtype=dtype).requires_grad_(), draw_response(6, 5, torch.float32).requires_grad_()
    for adjoint in (False, True):
        torch.library.opcheck(filter_plane, (x, h, adjoint))
    torch.library.opcheck(filter_plane_response_grad, (g, x))
    torch.library.opcheck(filter_plane_backward, (g, x, h))


@pytest.mark.parametrize("adjoint", [False, True])
@few_shapes
def test_reference_agrees(shape: Shape, adjoint: bool) -> None:
    x, h = oracle.draw(3, *shape), draw_response(*shape)
    check(filter_plane_reference(x, h, adjoint), x, h, adjoint)


@pytest.mark.parametrize("in_dims", [(0, None), (2, None), (None, 0), (None, 2), (0, 0), (1, 1), (2, 3)], ids=str)
def test_vmap(backend: str, in_dims: tuple[int | None, int | None]) -> None:
    x, h = oracle.draw(3, 8, 6), draw_response(8, 6)
    if in_dims[0] is not None:
        x = torch.stack([oracle.draw(3, 8, 6, seed=s) for s in range(2)], in_dims[0])
    if in_dims[1] is not None:
        h = torch.stack([draw_response(8, 6, seed=s) for s in range(2)], in_dims[1])
    y = torch.func.vmap(spectral_filter_plane, in_dims)(x, h)
    for i in range(2):
        check(
            y[i],
            x if in_dims[0] is None else x.select(in_dims[0], i),
            h if in_dims[1] is None else h.select(in_dims[1], i),
        )


def test_gradients_of_each_item(backend: str) -> None:
    x, h = oracle.draw(3, 8, 6), draw_response(8, 6)
    each = torch.func.vmap(torch.func.grad(lambda h, x: spectral_filter_plane(x, h).pow(3).sum()), (None, 0))(h, x)
    for i in range(3):
        torch.testing.assert_close(each[i], torch.func.grad(lambda h: spectral_filter_plane(x[i], h).pow(3).sum())(h))  # noqa: B023


def test_is_native(native_library: None) -> None:
    (step,) = spectrans.explain(spectral_filter_plane, oracle.draw(2, 6, 8), draw_response(6, 8)).steps
    assert (step.op, step.implementation) == ("spectrans::filter_plane", "native")
