"""The op `filter2d` and its derivatives against the float64 oracle, and their calculus."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch

import spectrans
from spectrans.functional import spectral_filter, spectral_filter2d
from spectrans.ops.filter2d import filter2d, filter2d_backward, filter2d_reference, filter2d_response_grad

Grid = tuple[int, int]

each_grid = pytest.mark.parametrize("grid", oracle.GRIDS, ids=str)
few_grids = pytest.mark.parametrize("grid", oracle.FEW_GRIDS, ids=str)


def check(y: torch.Tensor, x: torch.Tensor, h: torch.Tensor, adjoint: bool = False) -> None:
    gain = float(torch.linalg.vector_norm(h.detach().double(), dim=-1).max())
    expected = oracle.filtered2d(oracle.wide(x), oracle.wide(h), adjoint)
    # Two transforms of two axes and a product (at most sqrt(8) u, less than another transform's worth).
    oracle.assert_close(y, expected, n=x.shape[-2], magnitude=gain * oracle.norm(x), transforms=5)


def check_response_grad(r: torch.Tensor, grad: torch.Tensor, x: torch.Tensor) -> None:
    assert r.is_contiguous()
    assert r.dtype is oracle.compute(x.dtype)
    expected = oracle.response_grad2d(oracle.wide(grad), oracle.wide(x), r.shape[0])
    # Per channel |R| <= c/n sum_b |X_b| |G_b| = c sum_b |x_b| |g_b|, and a sum over b terms rounds b times more.
    samples = max(1, math.prod(x.shape[:-2]))
    oracle.assert_close(
        r, expected, n=x.shape[-2], magnitude=2 * oracle.norm(x, grad), transforms=5 + samples, dtype=x.dtype
    )


def draw(*batch: int, grid: Grid, d: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return oracle.draw(*batch, grid[0] * grid[1], d, dtype=dtype, seed=seed)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@each_grid
def test_grids(backend: str, grid: Grid, dtype: torch.dtype) -> None:
    for batch in (2, 3):
        x = draw(batch, grid=grid, d=5, dtype=dtype)
        h = oracle.draw_response2d(*grid, 5, oracle.compute(dtype))
        y = spectral_filter2d(x, h, grid)
        assert y.dtype is dtype
        check(y, x, h)


# Their rows share a register's lanes; so do, then, neighbouring columns: one of them, less than a register's, more.
@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(
    ("case", "grid"),
    list(enumerate([(300, 1), (150, 2), (71, 88), (1, 300), (2, 150), (17, 19), (16, 16), (31, 16)])),
    ids=str,
)
def test_rows_in_lanes(case: int, grid: Grid) -> None:
    for batch, d, dtype in oracle.lines(case):
        x, g = draw(batch, grid=grid, d=d, dtype=dtype), draw(batch, grid=grid, d=d, dtype=dtype, seed=1)
        h = oracle.draw_response2d(*grid, d, oracle.compute(dtype))
        check(filter2d(x, h, False), x, h)
        check(filter2d(x.mT.contiguous().mT, h, True), x, h, adjoint=True)
        check_response_grad(filter2d_response_grad(g, x, grid[0]), g, x)
        of_x, of_h = filter2d_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_h, g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts_of_lines_in_parts(layout: str) -> None:
    for batch, d in ((3, 1), (2, 3)):
        x, g = oracle.LAYOUTS[layout]((batch, 400, d), torch.float32), oracle.draw(batch, 400, d, dtype=torch.float32)
        h = oracle.draw_response2d(16, 25, d, torch.float32)
        check(filter2d(x, h, False), x, h)
        check_response_grad(filter2d_response_grad(g, x, 16), g, x)


@each_grid
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_grids_of_the_derivatives(grid: Grid, dtype: torch.dtype) -> None:
    for batch, d in ((1, 3), (4, 2), (3, 21)):
        x, g = draw(batch, grid=grid, d=d, dtype=dtype), draw(batch, grid=grid, d=d, dtype=dtype, seed=1)
        h = oracle.draw_response2d(*grid, d, oracle.compute(dtype))
        check(filter2d(x, h, True), x, h, adjoint=True)
        check_response_grad(filter2d_response_grad(g, x, grid[0]), g, x)
        of_x, of_response = filter2d_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_response, g, x)


@pytest.mark.parametrize("grid", [(256, 256), (2, 4099), (1031, 3), (128, 100)], ids=str)
def test_large_grids(grid: Grid) -> None:
    for dtype in (torch.float32, torch.float64):
        x, g = draw(2, grid=grid, d=3, dtype=dtype), draw(2, grid=grid, d=3, dtype=dtype, seed=1)
        h = oracle.draw_response2d(*grid, 3, dtype)
        check(filter2d(x, h, False), x, h)
        of_x, of_response = filter2d_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_response, g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("d", [768, 776])
def test_large_signals(threads: int, d: int) -> None:
    grid = (14, 14)
    x, g = draw(16, grid=grid, d=d, dtype=torch.float32), draw(16, grid=grid, d=d, dtype=torch.float32, seed=1)
    h = oracle.draw_response2d(*grid, d, torch.float32)
    check(filter2d(x, h, False), x, h)
    of_x, of_response = filter2d_backward(g, x, h)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response, g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PACKS)
def test_items_side_by_side(batch: int, d: int) -> None:
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        x, g = draw(batch, grid=(4, 6), d=d, dtype=dtype), draw(batch, grid=(4, 6), d=d, dtype=dtype, seed=1)
        h = oracle.draw_response2d(4, 6, d, oracle.compute(dtype))
        check(filter2d(x, h, False), x, h)
        check_response_grad(filter2d_response_grad(g, x, 4), g, x)


@pytest.mark.parametrize("d", [1, 2, 7, 8, 15, 16, 17, 32, 33, 63, 64, 65, 130])
def test_channel_counts(d: int) -> None:
    # Around every multiple of a vector's lanes.
    for dtype in (torch.float32, torch.float64):
        x, g = draw(3, grid=(4, 6), d=d, dtype=dtype), draw(3, grid=(4, 6), d=d, dtype=dtype, seed=1)
        h = oracle.draw_response2d(4, 6, d, dtype)
        check(filter2d(x, h, False), x, h)
        check_response_grad(filter2d_response_grad(g, x, 4), g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PARTS)
def test_parts_of_the_batch(threads: int, batch: int, d: int) -> None:
    x, g = (draw(batch, grid=(4, 6), d=d, dtype=torch.float32, seed=seed) for seed in (0, 1))
    h = oracle.draw_response2d(4, 6, d, torch.float32)
    of_x, of_response = filter2d_backward(g, x, h)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response, g, x)


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_batches(backend: str, batch: tuple[int, ...]) -> None:
    x = draw(*batch, grid=(3, 4), d=7, dtype=torch.float32).requires_grad_()
    h = oracle.draw_response2d(3, 4, 7, torch.float32).requires_grad_()
    y = spectral_filter2d(x, h, (3, 4))
    check(y, x, h)
    g = draw(*batch, grid=(3, 4), d=7, dtype=torch.float32, seed=3)
    of_x, of_response = torch.autograd.grad(y, (x, h), g)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response.contiguous(), g, x)


def test_many_items() -> None:
    # More than one piece of a sum over the batch, and pieces of unequal length.
    for dtype in (torch.float32, torch.float64):
        x, g = draw(53, grid=(3, 4), d=40, dtype=dtype), draw(53, grid=(3, 4), d=40, dtype=dtype, seed=1)
        check_response_grad(filter2d_response_grad(g, x, 3), g, x)


def test_no_channels(backend: str) -> None:
    assert spectral_filter2d(torch.empty(2, 6, 0), torch.empty(2, 2, 0, 2), (2, 3)).shape == (2, 6, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    for grid, d in (((4, 3), 20), ((1, 17), 5)):
        shape = (3, grid[0] * grid[1], d)
        x, h = oracle.LAYOUTS[layout](shape, dtype), oracle.draw_response2d(*grid, d, oracle.compute(dtype))
        g = oracle.draw(*shape, dtype=dtype, seed=1)
        before, version = x.clone(), x._version
        y = filter2d(x, h, False)
        check(y, x, h)
        assert y.stride() == torch.empty_like(x).stride()
        for first, second in ((x, g), (g, x)):
            check_response_grad(filter2d_response_grad(first, second, grid[0]), first, second)
            of_x, of_response = filter2d_backward(first, second, h)
            check(of_x, first, h, adjoint=True)
            assert of_x.stride() == torch.empty_like(first).stride()
            check_response_grad(of_response, first, second)
        assert torch.equal(x, before) and x._version == version


@pytest.mark.parametrize("d", [6, 20])
def test_response_layouts(backend: str, d: int) -> None:
    x, stored = draw(3, grid=(4, 6), d=d, dtype=torch.float32), oracle.draw(2, d, 4, 4, dtype=torch.float32)
    same_in_all_channels = stored[:, :1].permute(2, 3, 1, 0).expand(4, 4, d, 2)
    same_in_all_bins = oracle.draw(d, 2, dtype=torch.float32).expand(4, 4, d, 2)
    for h in (stored.permute(2, 3, 1, 0), stored.permute(3, 2, 1, 0), same_in_all_channels, same_in_all_bins):
        before = h.clone()
        check(spectral_filter2d(x, h, (4, 6)), x, h)
        assert torch.equal(h, before)


@pytest.mark.parametrize(("grid", "d"), [((8, 1), 4), ((8, 4), 1), ((6, 5), 1), ((5, 9), 1), ((3, 1), 1)], ids=str)
def test_strides_of_axes_of_one_response(backend: str, grid: Grid, d: int) -> None:
    # That torch takes for contiguous, whatever these are.
    x, h = draw(2, grid=grid, d=d, dtype=torch.float32), oracle.draw_response2d(*grid, d, torch.float32)
    strides = [stride if size > 1 else 17 for size, stride in zip(h.shape, h.stride(), strict=True)]
    odd = torch.as_strided(h, h.shape, strides)
    assert odd.is_contiguous() and odd.stride() != h.stride()
    check(spectral_filter2d(x, odd, grid), x, h)


@few_grids
def test_complex_response_is_the_pairs(backend: str, grid: Grid) -> None:
    for dtype in (torch.float32, torch.float64):
        x, h = draw(2, grid=grid, d=4, dtype=dtype), oracle.draw_response2d(*grid, 4, dtype)
        z = torch.view_as_complex(h)
        assert torch.equal(spectral_filter2d(x, z, grid), spectral_filter2d(x, h, grid))
        check(spectral_filter2d(x, z.conj(), grid), x, h, adjoint=True)


@pytest.mark.parametrize("x_dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize(
    "h_dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str
)
def test_response_never_changes_the_dtype(backend: str, x_dtype: torch.dtype, h_dtype: torch.dtype) -> None:
    x = draw(2, grid=(3, 4), d=4, dtype=x_dtype)
    h = oracle.draw_response2d(3, 4, 4)
    h = (torch.view_as_complex(h) if h_dtype.is_complex else h).to(h_dtype).requires_grad_()
    y = spectral_filter2d(x, h, (3, 4))
    assert y.dtype is x_dtype
    pairs = torch.view_as_real(h.detach()) if h_dtype.is_complex else h.detach()
    check(y, x, pairs.to(oracle.compute(x_dtype)))
    y.sum().backward()
    assert h.grad is not None and h.grad.dtype is h_dtype


@each_grid
def test_only_the_hermitian_part_acts_in_real_columns(backend: str, grid: Grid) -> None:
    # What is anti-Hermitian there has no effect, and the gradient is Hermitian: exactly, where a bin is its own image.
    h, w = grid
    columns = [0] if w % 2 else [0, w // 2]
    x, response = draw(3, grid=grid, d=4), oracle.draw_response2d(*grid, 4)
    noise = torch.view_as_complex(oracle.draw(h, len(columns), 4, 2, seed=5))
    changed = torch.view_as_complex(response.clone())
    changed[:, columns] += noise - noise.conj().flip(0).roll(1, 0)
    check(spectral_filter2d(x, changed, grid), x, response)
    changed.requires_grad_()
    spectral_filter2d(x, changed, grid).square().sum().backward()
    of_columns = changed.grad[:, columns]
    torch.testing.assert_close(of_columns, of_columns.conj().flip(0).roll(1, 0).resolve_conj())
    alone = [0] if h % 2 else [0, h // 2]
    assert (of_columns[alone].imag == 0).all()


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_a_line_is_the_filter_of_a_sequence(backend: str, n: int) -> None:
    x, h = oracle.draw(3, n, 5), oracle.draw_response(n, 5)
    expected = oracle.wide(spectral_filter(x, h))
    wide = spectral_filter2d(x, h.unsqueeze(0), (1, n))
    z = torch.view_as_complex(h)
    tall = spectral_filter2d(x, torch.cat((z, z[1 : (n + 1) // 2].flip(0).conj())).unsqueeze(1), (n, 1))
    for y in (wide, tall):
        oracle.assert_close(y, expected, n=n, magnitude=4 * oracle.norm(x), transforms=6)


@few_grids
def test_transposing_the_grid(backend: str, grid: Grid) -> None:
    # A real impulse response, transposed with the grid.
    h, w = grid
    x, kernel = draw(2, grid=grid, d=3), oracle.draw(h, w, 3) / math.sqrt(h * w)
    y = spectral_filter2d(x, torch.fft.rfft2(kernel, dim=(0, 1)), (h, w))
    turned = x.unflatten(1, (h, w)).transpose(1, 2).flatten(1, 2)
    z = spectral_filter2d(turned, torch.fft.rfft2(kernel.transpose(0, 1), dim=(0, 1)), (w, h))
    z = z.unflatten(1, (w, h)).transpose(1, 2).flatten(1, 2)
    oracle.assert_close(z, oracle.wide(y), n=h * w, magnitude=10 * oracle.norm(x), transforms=10)


@few_grids
def test_is_the_circular_convolution(backend: str, grid: Grid) -> None:
    h, w = grid
    x, kernel = draw(2, grid=grid, d=3), oracle.draw(h, w, 3) / math.sqrt(h * w)
    expected = np.zeros((2, h, w, 3))
    for a in range(h):
        for b in range(w):
            moved = np.roll(oracle.wide(x).reshape(2, h, w, 3), (a, b), (1, 2))
            expected += moved * oracle.wide(kernel[a, b])
    y = spectral_filter2d(x, torch.fft.rfft2(kernel, dim=(0, 1)), grid)
    oracle.assert_close(y, expected.reshape(2, h * w, 3), n=h * w, magnitude=10 * oracle.norm(x), transforms=7)


def test_one_sample_does_not_leak_into_another(backend: str) -> None:
    for grid in ((2, 4), (3, 3), (1, 17)):
        x, h = draw(4, grid=grid, d=6), oracle.draw_response2d(*grid, 6)
        together = spectral_filter2d(x, h, grid)
        for i in range(4):
            check(together[i], x[i], h)


@few_grids
def test_gradient_of_a_sum(backend: str, grid: Grid) -> None:
    x = draw(3, grid=grid, d=6, dtype=torch.float32).requires_grad_()
    h = oracle.draw_response2d(*grid, 6, torch.float32).requires_grad_()
    of_x, of_response = torch.autograd.grad(spectral_filter2d(x, h, grid).sum(), (x, h))
    check(of_x, torch.ones_like(x), h, adjoint=True)
    check_response_grad(of_response.contiguous(), torch.ones_like(x), x)


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 4), (3, 2), (2, 3)], ids=str)
def test_gradcheck(backend: str, grid: Grid) -> None:
    x = draw(2, grid=grid, d=2).requires_grad_()
    h = oracle.draw_response2d(*grid, 2).requires_grad_()
    z = torch.view_as_complex(h.detach()).clone().requires_grad_()
    for inputs in ((x, h), (x.detach(), h), (x, h.detach()), (x, z)):
        f = lambda x, h: spectral_filter2d(x, h, grid)  # noqa: E731
        assert torch.autograd.gradcheck(f, inputs)
        assert torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (3, 2)], ids=str)
def test_gradcheck_of_every_op(grid: Grid) -> None:
    x, g = draw(2, grid=grid, d=2).requires_grad_(), draw(2, grid=grid, d=2, seed=1).requires_grad_()
    h = oracle.draw_response2d(*grid, 2).requires_grad_()
    calls = [
        (lambda x, h: filter2d(x, h, True), (x, h)),
        (lambda g, x: filter2d_response_grad(g, x, grid[0]), (g, x)),
        (filter2d_backward, (g, x, h)),
        (lambda g, x, h: filter2d_backward(g, x, h)[1], (g, x, h)),
    ]
    for call, inputs in calls:
        assert torch.autograd.gradcheck(call, inputs)
        assert torch.autograd.gradgradcheck(call, inputs)


@few_grids
def test_adjoint_identities(grid: Grid) -> None:
    # <g, F(x, H)> = <F*(g, H), x> = <R(g, x), H>
    n = grid[0] * grid[1]
    x, g, h = draw(3, grid=grid, d=5), draw(3, grid=grid, d=5, seed=1), oracle.draw_response2d(*grid, 5)
    forward = (g * filter2d(x, h, False)).sum()
    gain = float(torch.linalg.vector_norm(h, dim=-1).max())
    bound = 2 * 10 * oracle.transform_error(torch.float64, n) * gain * oracle.norm(x, g)
    assert abs(forward - (filter2d(g, h, True) * x).sum()) <= bound
    assert abs(forward - (filter2d_response_grad(g, x, grid[0]) * h).sum()) <= bound * n**0.5


@few_grids
def test_commutes_with_shifts(backend: str, grid: Grid) -> None:
    x, h = draw(2, grid=grid, d=4), oracle.draw_response2d(*grid, 4)
    shift = lambda t: t.unflatten(1, grid).roll((2, 3), (1, 2)).flatten(1, 2)  # noqa: E731
    oracle.assert_close(
        spectral_filter2d(shift(x), h, grid),
        oracle.wide(shift(spectral_filter2d(x, h, grid))),
        n=grid[0] * grid[1],
        magnitude=4 * oracle.norm(x),
        transforms=10,
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("grid", [(2, 4), (3, 4), (1, 17), (37, 2)], ids=str)
def test_nan_stays_in_its_sample_and_channel(backend: str, grid: Grid, value: float) -> None:
    for batch in (1, 2, 3):
        x = draw(batch, grid=grid, d=20, dtype=torch.float32)
        clean = x.clone()
        h = oracle.draw_response2d(*grid, 20, torch.float32)
        x[0, x.shape[1] // 2, 5] = value
        y = spectral_filter2d(x, h, grid)
        assert not y[0, :, 5].isfinite().any()
        spoilt = torch.zeros_like(y, dtype=torch.bool)
        spoilt[0, :, 5] = True
        check(y.masked_fill(spoilt, 0), clean.masked_fill(spoilt, 0), h)


def test_nan_stays_in_its_channel_of_the_response_gradient() -> None:
    for grid in ((4, 4), (1, 17)):
        x, g = (draw(3, grid=grid, d=20, dtype=torch.float32, seed=seed) for seed in (0, 1))
        h, others = oracle.draw_response2d(*grid, 20, torch.float32), [c for c in range(20) if c != 5]
        clean = filter2d_response_grad(g, x, grid[0])
        x[1, 2, 5] = float("nan")
        for r in (filter2d_response_grad(g, x, grid[0]), filter2d_backward(g, x, h)[1]):
            assert r[:, :, 5, 0].isnan().all()
            assert torch.equal(r[:, :, others], clean[:, :, others])


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_bitwise_reproducible(threads: int, dtype: torch.dtype) -> None:
    x, g = draw(7, grid=(6, 10), d=36, dtype=dtype), draw(7, grid=(6, 10), d=36, dtype=dtype, seed=1)
    h = oracle.draw_response2d(6, 10, 36, oracle.compute(dtype))

    def run() -> tuple[torch.Tensor, ...]:
        gradients = (filter2d_response_grad(g, x, 6), *filter2d_backward(g, x, h))
        return (filter2d(x, h, False), filter2d(x, h, True), *gradients)

    torch.set_num_threads(1)
    alone = run()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(map(torch.equal, run(), alone))


@pytest.mark.parametrize(("dtype", "layout"), oracle.OPCHECKED, ids=str)
def test_opcheck(dtype: torch.dtype, layout: str) -> None:
    for grid in ((3, 2), (2, 3)):
        x = oracle.LAYOUTS[layout]((2, 6, 5), dtype).requires_grad_()
        g = oracle.draw(2, 6, 5, dtype=dtype).requires_grad_()
        h = oracle.draw_response2d(*grid, 5, torch.float32).requires_grad_()
        for adjoint in (False, True):
            torch.library.opcheck(filter2d, (x, h, adjoint))
        torch.library.opcheck(filter2d_response_grad, (g, x, grid[0]))
        torch.library.opcheck(filter2d_backward, (g, x, h))


@pytest.mark.parametrize("adjoint", [False, True])
@few_grids
def test_reference_agrees(grid: Grid, adjoint: bool) -> None:
    x, h = draw(3, grid=grid, d=4), oracle.draw_response2d(*grid, 4)
    check(filter2d_reference(x, h, adjoint), x, h, adjoint)


@pytest.mark.parametrize(
    "in_dims", [(0, None), (2, None), (None, 0), (None, 2), (0, 0), (1, 1), (2, 4), (3, 2)], ids=str
)
def test_vmap(backend: str, in_dims: tuple[int | None, int | None]) -> None:
    x, h = draw(3, grid=(2, 4), d=6), oracle.draw_response2d(2, 4, 6)
    if in_dims[0] is not None:
        x = torch.stack([draw(3, grid=(2, 4), d=6, seed=s) for s in range(2)], in_dims[0])
    if in_dims[1] is not None:
        h = torch.stack([oracle.draw_response2d(2, 4, 6, seed=s) for s in range(2)], in_dims[1])
    mapped = torch.func.vmap(lambda x, h: spectral_filter2d(x, h, (2, 4)), in_dims=in_dims)(x, h)
    for i in range(2):
        one_x = x if in_dims[0] is None else x.select(in_dims[0], i)
        one_h = h if in_dims[1] is None else h.select(in_dims[1], i)
        check(mapped[i], one_x, one_h)


def test_vmap_of_the_derivatives() -> None:
    x, g = oracle.draw(2, 3, 8, 5), oracle.draw(2, 3, 8, 5, seed=1)
    h = torch.stack([oracle.draw_response2d(2, 4, 5, seed=s) for s in range(2)])
    grads = torch.func.vmap(filter2d_response_grad, in_dims=(0, 0, None))(g, x, 2)
    of_x, of_h = torch.func.vmap(filter2d_backward)(g, x, h)
    shared = torch.func.vmap(filter2d_backward, in_dims=(0, None, None))(g, x[0], h[0])
    for i in range(2):
        check_response_grad(grads[i].contiguous(), g[i], x[i])
        check_response_grad(of_h[i].contiguous(), g[i], x[i])
        check(of_x[i], g[i], h[i], adjoint=True)
        check(shared[0][i], g[i], h[0], adjoint=True)
        check_response_grad(shared[1][i].contiguous(), g[i], x[0])


def test_per_sample_gradients(backend: str) -> None:
    x, h = draw(3, grid=(2, 4), d=5), oracle.draw_response2d(2, 4, 5)
    f = lambda h, x: spectral_filter2d(x, h, (2, 4)).pow(3).sum()  # noqa: E731
    each = torch.func.vmap(torch.func.grad(f), in_dims=(None, 0))(h, x)
    for sample, grad in zip(x, each, strict=True):
        t = h.clone().requires_grad_()
        (expected,) = torch.autograd.grad(f(t, sample), t)
        oracle.assert_close(grad, oracle.wide(expected), n=8, magnitude=20 * oracle.norm(x) ** 3, transforms=10)


def test_forward_mode(backend: str) -> None:
    x, v, h = draw(3, grid=(2, 4), d=5), draw(3, grid=(2, 4), d=5, seed=1), oracle.draw_response2d(2, 4, 5)
    _, tangent = torch.func.jvp(lambda x: spectral_filter2d(x, h, (2, 4)), (x,), (v,))
    check(tangent, v, h)


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    x = oracle.LAYOUTS[layout]((3, 12, 20), torch.bfloat16)
    g, h = oracle.draw(3, 12, 20, dtype=torch.bfloat16), oracle.draw_response2d(4, 3, 20, torch.float32)
    real = (filter2d(x, h, False), filter2d_response_grad(g, x, 4), *filter2d_backward(x, g, h))
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        x, g, h = map(mode.from_tensor, (x, g, h))
        fake = (filter2d(x, h, False), filter2d_response_grad(g, x, 4), *filter2d_backward(x, g, h))
    for a, b in zip(fake, real, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


def test_autocast_keeps_the_dtype(backend: str) -> None:
    h = oracle.draw_response2d(2, 4, 4, torch.float32)
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        for dtype in oracle.DTYPES:
            x = draw(2, grid=(2, 4), d=4, dtype=dtype)
            y = spectral_filter2d(x, h, (2, 4))
            assert y.dtype is dtype
            check(y, x, h)


def test_saves_only_what_its_backward_reads() -> None:
    x, h = torch.randn(2, 8, 4, requires_grad=True), torch.randn(2, 3, 4, 2, requires_grad=True)

    def saved(*inputs: torch.Tensor) -> list[torch.Size]:
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(t.shape) or t, lambda t: t):
            spectral_filter2d(*inputs, (2, 4))
        return shapes

    assert saved(x, h.detach()) == [h.shape]
    assert saved(x.detach(), h) == [x.shape]
    assert saved(x, h) == [x.shape, h.shape]


def test_backward_runs_the_fused_op(native_library: None) -> None:
    x, h = torch.randn(2, 8, 4, requires_grad=True), torch.randn(2, 3, 4, 2, requires_grad=True)
    steps = spectrans.explain(lambda: spectral_filter2d(x, h, (2, 4)).sum().backward()).steps
    assert [step.op for step in steps] == ["spectrans::filter2d", "spectrans::filter2d_backward"]
    assert all(step.implementation == "native" for step in steps)


def test_the_kernel_checks_shapes(native_library: None) -> None:
    x, h = torch.zeros(2, 8, 4), torch.zeros(2, 3, 4, 2)
    for call in (
        lambda: filter2d(x, h[:, :2], False),
        lambda: filter2d(x, torch.zeros(3, 2, 4, 2), False),
        lambda: filter2d(x, h.double(), False),
        lambda: filter2d_response_grad(x, x, 3),
        lambda: filter2d_response_grad(x, x, 0),
        lambda: filter2d_response_grad(x[:1], x, 2),
    ):
        with pytest.raises(ValueError):
            call()
