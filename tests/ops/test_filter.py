"""The op `filter` and its derivatives against the float64 oracle, and their calculus."""

from __future__ import annotations

import math

import oracle
import pytest
import torch

import spectrans
from spectrans.functional import spectral_filter
from spectrans.ops.filter import filter, filter_backward, filter_reference, filter_response_grad


def check(y: torch.Tensor, x: torch.Tensor, h: torch.Tensor, adjoint: bool = False) -> None:
    gain = float(torch.linalg.vector_norm(h.detach().double(), dim=-1).max())
    expected = oracle.filtered(oracle.wide(x), oracle.wide(h), adjoint)
    # Two transforms and a product (at most sqrt(8) u, less than another transform's worth).
    oracle.assert_close(y, expected, n=x.shape[-2], magnitude=gain * oracle.norm(x), transforms=3)


def check_response_grad(r: torch.Tensor, grad: torch.Tensor, x: torch.Tensor) -> None:
    assert r.is_contiguous()
    assert r.dtype is oracle.compute(x.dtype)
    expected = oracle.response_grad(oracle.wide(grad), oracle.wide(x))
    # Per channel |R| <= c/n sum_b |X_b| |G_b| = c sum_b |x_b| |g_b|, and a sum over b terms rounds b times more.
    samples = max(1, math.prod(x.shape[:-2]))
    oracle.assert_close(
        r, expected, n=x.shape[-2], magnitude=2 * oracle.norm(x, grad), transforms=3 + samples, dtype=x.dtype
    )


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_lengths(backend: str, n: int, dtype: torch.dtype) -> None:
    for batch in (2, 3):
        x = oracle.draw(batch, n, 5, dtype=dtype)
        h = oracle.draw_response(n, 5, oracle.compute(dtype))
        y = spectral_filter(x, h)
        assert y.dtype is dtype
        check(y, x, h)


@pytest.mark.parametrize("n", oracle.LENGTHS)
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_lengths_of_the_derivatives(n: int, dtype: torch.dtype) -> None:
    for batch, d in ((1, 3), (4, 2), (3, 21)):
        x, g = oracle.draw(batch, n, d, dtype=dtype), oracle.draw(batch, n, d, dtype=dtype, seed=1)
        h = oracle.draw_response(n, d, oracle.compute(dtype))
        check(filter(x, h, True), x, h, adjoint=True)
        check_response_grad(filter_response_grad(g, x), g, x)
        of_x, of_response = filter_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_response, g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("n", oracle.LINE_LENGTHS)
def test_lines_in_parts(n: int) -> None:
    for batch, d, dtype in oracle.lines(oracle.LINE_LENGTHS.index(n)):
        x, g = oracle.draw(batch, n, d, dtype=dtype), oracle.draw(batch, n, d, dtype=dtype, seed=1)
        h = oracle.draw_response(n, d, oracle.compute(dtype))
        check(filter(x, h, False), x, h)
        check(filter(x.mT.contiguous().mT, h, True), x, h, adjoint=True)
        check_response_grad(filter_response_grad(g, x), g, x)
        of_x, of_h = filter_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_h, g, x)
        assert not of_h[0, :, 1].any()
        assert n % 2 == 1 or not of_h[-1, :, 1].any()


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts_of_lines_in_parts(layout: str) -> None:
    for shape in ((3, 480, 1), (2, 393, 3)):
        x, g = oracle.LAYOUTS[layout](shape, torch.float32), oracle.draw(*shape, dtype=torch.float32, seed=1)
        h = oracle.draw_response(*shape[1:], torch.float32)
        check(filter(x, h, False), x, h)
        check_response_grad(filter_response_grad(g, x), g, x)
        h = oracle.LAYOUTS[layout]((shape[1] // 2 + 1, shape[2], 2), torch.float32)
        check(spectral_filter(x, h), x, h)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PACKS)
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_items_side_by_side(batch: int, d: int, dtype: torch.dtype) -> None:
    for n in (24, 67):
        x, g = oracle.draw(batch, n, d, dtype=dtype), oracle.draw(batch, n, d, dtype=dtype, seed=1)
        h = oracle.draw_response(n, d, oracle.compute(dtype))
        for layout in (x, x.repeat_interleave(2, 1)[:, ::2], x.repeat_interleave(2, 2)[..., ::2]):
            check(filter(layout, h, False), x, h)
        of_x, of_h = filter_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_h, g, x)


@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 130])
def test_channel_counts(d: int) -> None:
    # Around every multiple of a vector's lanes.
    for dtype in (torch.float32, torch.float64):
        x, g = oracle.draw(3, 24, d, dtype=dtype), oracle.draw(3, 24, d, dtype=dtype, seed=1)
        h = oracle.draw_response(24, d, dtype)
        check(filter(x, h, False), x, h)
        check_response_grad(filter_response_grad(g, x), g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", oracle.LARGE, ids=str)
def test_large_signals(threads: int, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, g = oracle.draw(*shape, dtype=dtype), oracle.draw(*shape, dtype=dtype, seed=1)
    h = oracle.draw_response(*shape[1:], torch.float32)
    check(filter(x, h, False), x, h)
    of_x, of_response = filter_backward(g, x, h)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response, g, x)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PARTS)
def test_parts_of_the_batch(threads: int, batch: int, d: int) -> None:
    for n, dtype in ((24, torch.float32), (15, torch.float64)):
        x, g = oracle.draw(batch, n, d, dtype=dtype), oracle.draw(batch, n, d, dtype=dtype, seed=1)
        h = oracle.draw_response(n, d, dtype)
        of_x, of_response = filter_backward(g, x, h)
        check(of_x, g, h, adjoint=True)
        check_response_grad(of_response, g, x)
        assert torch.equal(filter_response_grad(g, x), of_response)


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_batches(backend: str, batch: tuple[int, ...]) -> None:
    x = oracle.draw(*batch, 12, 7, dtype=torch.float32).requires_grad_()
    h = oracle.draw_response(12, 7, torch.float32).requires_grad_()
    y = spectral_filter(x, h)
    check(y, x, h)
    g = oracle.draw(*batch, 12, 7, dtype=torch.float32, seed=3)
    of_x, of_response = torch.autograd.grad(y, (x, h), g)
    check(of_x, g, h, adjoint=True)
    check_response_grad(of_response.contiguous(), g, x)


def test_no_channels(backend: str) -> None:
    assert spectral_filter(torch.empty(2, 5, 0), torch.empty(3, 0, 2)).shape == (2, 5, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    for shape in ((3, 12, 20), (2, 17, 5)):
        _, n, d = shape
        x, h = oracle.LAYOUTS[layout](shape, dtype), oracle.draw_response(n, d, oracle.compute(dtype))
        g = oracle.draw(*shape, dtype=dtype, seed=1)
        before, version = x.clone(), x._version
        y = filter(x, h, False)
        check(y, x, h)
        assert y.stride() == torch.empty_like(x).stride()
        for first, second in ((x, g), (g, x)):
            check_response_grad(filter_response_grad(first, second), first, second)
            of_x, of_response = filter_backward(first, second, h)
            check(of_x, first, h, adjoint=True)
            assert of_x.stride() == torch.empty_like(first).stride()
            check_response_grad(of_response, first, second)
        assert torch.equal(x, before) and x._version == version


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "batch_inside", "odd_offset", "every_other"])
def test_response_layouts(backend: str, layout: str) -> None:
    x = oracle.draw(3, 14, 6, dtype=torch.float32)
    h = oracle.LAYOUTS[layout]((8, 6, 2), torch.float32)
    before = h.clone()
    check(spectral_filter(x, h), x, h)
    assert torch.equal(h, before)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_complex_response_is_the_pairs(backend: str, n: int) -> None:
    for dtype in (torch.float32, torch.float64):
        x, h = oracle.draw(2, n, 4, dtype=dtype), oracle.draw_response(n, 4, dtype)
        z = torch.view_as_complex(h)
        assert torch.equal(spectral_filter(x, z), spectral_filter(x, h))
        check(spectral_filter(x, z.conj()), x, h, adjoint=True)


@pytest.mark.parametrize("x_dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize(
    "h_dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str
)
def test_response_never_changes_the_dtype(backend: str, x_dtype: torch.dtype, h_dtype: torch.dtype) -> None:
    x = oracle.draw(2, 12, 4, dtype=x_dtype)
    h = oracle.draw_response(12, 4)
    h = (torch.view_as_complex(h) if h_dtype.is_complex else h).to(h_dtype).requires_grad_()
    y = spectral_filter(x, h)
    assert y.dtype is x_dtype
    pairs = torch.view_as_real(h.detach()) if h_dtype.is_complex else h.detach()
    check(y, x, pairs.to(oracle.compute(x_dtype)))
    y.sum().backward()
    assert h.grad is not None and h.grad.dtype is h_dtype


@pytest.mark.parametrize("dim", [-1, 2])
@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_channels_first(backend: str, n: int, dim: int) -> None:
    x, h = oracle.draw(3, 5, n), oracle.draw_response(n, 5)
    y = spectral_filter(x, h, dim=dim)
    check(y.transpose(1, 2), x.transpose(1, 2), h)
    if backend == "native":
        assert y.stride() == torch.empty_like(x).stride()


def test_dim_may_be_positive(backend: str) -> None:
    x, h = oracle.draw(2, 3, 8, 4), oracle.draw_response(8, 4)
    assert torch.equal(spectral_filter(x, h, dim=2), spectral_filter(x, h))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 17, 34])
def test_imaginary_part_at_dc_and_nyquist(backend: str, n: int) -> None:
    # No effect and, exactly, no gradient.
    x, h = oracle.draw(3, n, 4), oracle.draw_response(n, 4)
    alone = [0] if n % 2 else [0, n // 2]
    y = spectral_filter(x, h)
    changed = h.clone()
    changed[alone, :, 1] += 10.0
    assert torch.equal(spectral_filter(x, changed), y)
    changed.requires_grad_()
    spectral_filter(x, changed).square().sum().backward()
    assert (changed.grad[alone, :, 1] == 0).all()


def test_one_sample_does_not_leak_into_another(backend: str) -> None:
    # What an imaginary part at DC would do to a kernel that packs two samples into one complex signal.
    for n in (8, 9, 17):
        x, h = oracle.draw(4, n, 6), oracle.draw_response(n, 6)
        together = spectral_filter(x, h)
        for i in range(4):
            check(together[i], x[i], h)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_gradient_of_a_sum(backend: str, n: int) -> None:
    x = oracle.draw(3, n, 6, dtype=torch.float32).requires_grad_()
    h = oracle.draw_response(n, 6, torch.float32).requires_grad_()
    of_x, of_response = torch.autograd.grad(spectral_filter(x, h).sum(), (x, h))
    check(of_x, torch.ones_like(x), h, adjoint=True)
    check_response_grad(of_response.contiguous(), torch.ones_like(x), x)


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 2, 2), (2, 5, 3), (3, 8, 2), (7, 3)], ids=str)
def test_gradcheck(backend: str, shape: tuple[int, ...]) -> None:
    x = oracle.draw(*shape).requires_grad_()
    h = oracle.draw_response(*shape[-2:]).requires_grad_()
    z = torch.view_as_complex(h.detach()).clone().requires_grad_()
    for inputs in ((x, h), (x.detach(), h), (x, h.detach()), (x, z)):
        assert torch.autograd.gradcheck(spectral_filter, inputs)
        assert torch.autograd.gradgradcheck(spectral_filter, inputs)


@pytest.mark.parametrize("shape", [(2, 1, 1), (2, 5, 3), (3, 8, 2)], ids=str)
def test_gradcheck_of_every_op(shape: tuple[int, ...]) -> None:
    x, g = oracle.draw(*shape).requires_grad_(), oracle.draw(*shape, seed=1).requires_grad_()
    h = oracle.draw_response(*shape[-2:]).requires_grad_()
    calls = [
        (lambda x, h: filter(x, h, True), (x, h)),
        (filter_response_grad, (g, x)),
        (filter_backward, (g, x, h)),
        (lambda g, x, h: filter_backward(g, x, h)[1], (g, x, h)),
    ]
    for call, inputs in calls:
        assert torch.autograd.gradcheck(call, inputs)
        assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_adjoint_identities(n: int) -> None:
    # <g, F(x, H)> = <F*(g, H), x> = <R(g, x), H>
    x, g, h = oracle.draw(3, n, 5), oracle.draw(3, n, 5, seed=1), oracle.draw_response(n, 5)
    forward = (g * filter(x, h, False)).sum()
    gain = float(torch.linalg.vector_norm(h, dim=-1).max())
    bound = 2 * 6 * oracle.transform_error(torch.float64, n) * gain * oracle.norm(x, g)
    assert abs(forward - (filter(g, h, True) * x).sum()) <= bound
    assert abs(forward - (filter_response_grad(g, x) * h).sum()) <= bound * n**0.5


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_linear(backend: str, n: int) -> None:
    x, z, h = oracle.draw(2, n, 6), oracle.draw(2, n, 6, seed=1), oracle.draw_response(n, 6)
    k = oracle.draw_response(n, 6, seed=9)
    magnitude = 10 * (oracle.norm(x) + oracle.norm(z)) * float(h.abs().max() + k.abs().max())
    y = spectral_filter(2.5 * x - z, h - 3 * k)
    f = spectral_filter
    expected = 2.5 * f(x, h) - f(z, h) - 7.5 * f(x, k) + 3 * f(z, k)
    oracle.assert_close(y, oracle.wide(expected), n=n, magnitude=magnitude, transforms=6)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_commutes_with_shifts(backend: str, n: int) -> None:
    x, h = oracle.draw(2, n, 4), oracle.draw_response(n, 4)
    oracle.assert_close(
        spectral_filter(x.roll(3, -2), h),
        oracle.wide(spectral_filter(x, h).roll(3, -2)),
        n=n,
        magnitude=4 * oracle.norm(x),
        transforms=6,
    )


@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_pure_delay(backend: str, n: int) -> None:
    x = oracle.draw(2, n, 4)
    k = torch.arange(n // 2 + 1, dtype=torch.float64)
    delay = torch.polar(torch.ones_like(k), -2 * torch.pi * ((3 * k) % n) / n)
    y = spectral_filter(x, delay.unsqueeze(-1).expand(-1, 4))
    oracle.assert_close(y, oracle.wide(x.roll(3, -2)), n=n, magnitude=oracle.norm(x), transforms=4)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_parseval(backend: str, n: int) -> None:
    # An all-pass filter (real +-1 at DC and Nyquist) keeps the energy of each channel.
    x, h = oracle.draw(3, n, 4), oracle.draw_response(n, 4)
    h[0, :, 1] = 0
    if n % 2 == 0:
        h[-1, :, 1] = 0
    h = torch.nn.functional.normalize(h, dim=-1)
    for sample, image in zip(x.unbind(0), spectral_filter(x, h).unbind(0), strict=True):
        bound = 4 * oracle.transform_error(torch.float64, n) * oracle.norm(x)
        assert ((image.norm(dim=0) - sample.norm(dim=0)).abs() <= bound).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("n", [8, 12, 17, 37])
def test_nan_stays_in_its_sample_and_channel(backend: str, n: int, value: float) -> None:
    for batch in (1, 2, 3):
        x = oracle.draw(batch, n, 20, dtype=torch.float32)
        clean = x.clone()
        h = oracle.draw_response(n, 20, torch.float32)
        x[0, n // 2, 5] = value
        y = spectral_filter(x, h)
        assert not y[0, :, 5].isfinite().any()
        spoilt = torch.zeros_like(y, dtype=torch.bool)
        spoilt[0, :, 5] = True
        check(y.masked_fill(spoilt, 0), clean.masked_fill(spoilt, 0), h)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_stays_in_its_line(value: float) -> None:
    for batch, d in ((2, 1), (3, 2), (5, 1), (2, 3)):
        x, h = oracle.draw(batch, 480, d, dtype=torch.float32), oracle.draw_response(480, d, torch.float32)
        clean = filter(x, h, False)
        x[1, 47, d - 1] = value
        y = filter(x, h, False)
        assert not y[1, :, d - 1].isfinite().any()
        y[1, :, d - 1] = clean[1, :, d - 1]
        assert torch.equal(y, clean)


def test_nan_stays_in_its_channel_of_the_response_gradient() -> None:
    for n in (8, 17):
        x, g = oracle.draw(3, n, 20, dtype=torch.float32), oracle.draw(3, n, 20, dtype=torch.float32, seed=1)
        others = [c for c in range(20) if c != 5]
        clean = filter_response_grad(g, x)
        x[1, 2, 5] = float("nan")
        for r in (filter_response_grad(g, x), filter_backward(g, x, oracle.draw_response(n, 20, torch.float32))[1]):
            assert r[:, 5, 0].isnan().all()
            assert torch.equal(r[:, others], clean[:, others])


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize(  # the last two: past the caches, of few items a thread, and of many
    "shape",
    [(7, 60, 36), (19, 480, 1), (16, 20, 144), (1, 480, 100), (3, 576, 44), (8, 96, 960), (20, 96, 320)],
    ids=str,
)
def test_bitwise_reproducible(threads: int, dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    x, g = oracle.draw(*shape, dtype=dtype), oracle.draw(*shape, dtype=dtype, seed=1)
    h = oracle.draw_response(*shape[1:], oracle.compute(dtype))

    def run() -> tuple[torch.Tensor, ...]:
        return (filter(x, h, False), filter(x, h, True), filter_response_grad(g, x), *filter_backward(g, x, h))

    torch.set_num_threads(1)
    alone = run()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(map(torch.equal, run(), alone))


@pytest.mark.parametrize(("dtype", "layout"), oracle.OPCHECKED, ids=str)
@pytest.mark.parametrize("n", [5, 6])
def test_opcheck(n: int, dtype: torch.dtype, layout: str) -> None:
    x = oracle.LAYOUTS[layout]((2, n, 5), dtype).requires_grad_()
    g = oracle.draw(2, n, 5, dtype=dtype).requires_grad_()
    h = oracle.draw_response(n, 5, torch.float32).requires_grad_()
    for adjoint in (False, True):
        torch.library.opcheck(filter, (x, h, adjoint))
    torch.library.opcheck(filter_response_grad, (g, x))
    torch.library.opcheck(filter_backward, (g, x, h))


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_reference_agrees(n: int, adjoint: bool) -> None:
    x, h = oracle.draw(3, n, 4), oracle.draw_response(n, 4)
    check(filter_reference(x, h, adjoint), x, h, adjoint)


@pytest.mark.parametrize(
    "in_dims", [(0, None), (2, None), (None, 0), (None, 2), (0, 0), (1, 1), (2, 3), (3, 2)], ids=str
)
def test_vmap(backend: str, in_dims: tuple[int | None, int | None]) -> None:
    x, h = oracle.draw(3, 8, 6), oracle.draw_response(8, 6)
    if in_dims[0] is not None:
        x = torch.stack([oracle.draw(3, 8, 6, seed=s) for s in range(2)], in_dims[0])
    if in_dims[1] is not None:
        h = torch.stack([oracle.draw_response(8, 6, seed=s) for s in range(2)], in_dims[1])
    mapped = torch.func.vmap(spectral_filter, in_dims=in_dims)(x, h)
    for i in range(2):
        one_x = x if in_dims[0] is None else x.select(in_dims[0], i)
        one_h = h if in_dims[1] is None else h.select(in_dims[1], i)
        check(mapped[i], one_x, one_h)


def test_vmap_of_the_derivatives() -> None:
    x, g = oracle.draw(2, 3, 8, 5), oracle.draw(2, 3, 8, 5, seed=1)
    h = torch.stack([oracle.draw_response(8, 5, seed=s) for s in range(2)])
    grads = torch.func.vmap(filter_response_grad)(g, x)
    of_x, of_h = torch.func.vmap(filter_backward)(g, x, h)
    shared = torch.func.vmap(filter_backward, in_dims=(0, None, None))(g, x[0], h[0])
    for i in range(2):
        check_response_grad(grads[i].contiguous(), g[i], x[i])
        check_response_grad(of_h[i].contiguous(), g[i], x[i])
        check(of_x[i], g[i], h[i], adjoint=True)
        check(shared[0][i], g[i], h[0], adjoint=True)
        check_response_grad(shared[1][i].contiguous(), g[i], x[0])


def test_per_sample_gradients(backend: str) -> None:
    x, h = oracle.draw(3, 8, 5), oracle.draw_response(8, 5)
    f = lambda h, x: spectral_filter(x, h).pow(3).sum()  # noqa: E731
    each = torch.func.vmap(torch.func.grad(f), in_dims=(None, 0))(h, x)
    for sample, grad in zip(x, each, strict=True):
        t = h.clone().requires_grad_()
        (expected,) = torch.autograd.grad(f(t, sample), t)
        oracle.assert_close(grad, oracle.wide(expected), n=8, magnitude=20 * oracle.norm(x) ** 3, transforms=6)


def test_forward_mode(backend: str) -> None:
    x, v, h = oracle.draw(3, 8, 5), oracle.draw(3, 8, 5, seed=1), oracle.draw_response(8, 5)
    _, tangent = torch.func.jvp(lambda x: spectral_filter(x, h), (x,), (v,))
    check(tangent, v, h)
    with torch.autograd.forward_ad.dual_level():
        y = spectral_filter(torch.autograd.forward_ad.make_dual(x, v), h)
        check(torch.autograd.forward_ad.unpack_dual(y).tangent, v, h)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_responses_at_odd_places(dtype: torch.dtype) -> None:
    # A pair is moved in one access, which a GPU wants aligned to its size.
    x, expected = oracle.draw(2, 12, 5, dtype=dtype), oracle.draw_response(12, 5, dtype)
    room = torch.empty(7 * 5 * 2 + 1, dtype=dtype)
    for response in (
        room[1:].view(7, 5, 2),
        room[1:].as_strided((7, 5, 2), (10, 2, 1)),
        torch.empty(7, 5, 3, dtype=dtype)[..., 1:],
        torch.empty(7, 11, dtype=dtype)[:, :10].unflatten(1, (5, 2)),
    ):
        check(filter(x, response.copy_(expected), False), x, expected)


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    x = oracle.LAYOUTS[layout]((3, 12, 20), torch.bfloat16)
    g, h = oracle.draw(3, 12, 20, dtype=torch.bfloat16), oracle.draw_response(12, 20, torch.float32)
    real = (filter(x, h, False), filter_response_grad(g, x), *filter_backward(x, g, h))
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        x, g, h = map(mode.from_tensor, (x, g, h))
        fake = (filter(x, h, False), filter_response_grad(g, x), *filter_backward(x, g, h))
    for a, b in zip(fake, real, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


def test_autocast_keeps_the_dtype(backend: str) -> None:
    h = oracle.draw_response(8, 4, torch.float32)
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        for dtype in oracle.DTYPES:
            x = oracle.draw(2, 8, 4, dtype=dtype)
            y = spectral_filter(x, h)
            assert y.dtype is dtype
            check(y, x, h)


def test_saves_only_what_its_backward_reads() -> None:
    x, h = torch.randn(2, 8, 4, requires_grad=True), torch.randn(5, 4, 2, requires_grad=True)

    def saved(*inputs: torch.Tensor) -> list[torch.Size]:
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(t.shape) or t, lambda t: t):
            spectral_filter(*inputs)
        return shapes

    assert saved(x, h.detach()) == [h.shape]
    assert saved(x.detach(), h) == [x.shape]
    assert saved(x, h) == [x.shape, h.shape]


def test_backward_runs_the_fused_op(native_library: None) -> None:
    x, h = torch.randn(2, 8, 4, requires_grad=True), torch.randn(5, 4, 2, requires_grad=True)
    steps = spectrans.explain(lambda: spectral_filter(x, h).sum().backward()).steps
    assert [step.op for step in steps] == ["spectrans::filter", "spectrans::filter_backward"]
    assert all(step.implementation == "native" for step in steps)
