"""The op `conv` and its derivative against the float64 oracle."""

from __future__ import annotations

import math
from itertools import product

import oracle
import pytest
import torch
from conv_oracle import call, check, check_all, check_backward, check_kernel_grad, draw, gain, peak, wide

from spectrans.functional import fft_conv
from spectrans.ops.conv import conv, conv_backward, conv_backward_reference, conv_reference

# (signal, taps): kernels of one tap, shorter, as long as the signal, longer, and beyond what any sample can meet.
TAPS = ((1, 1), (1, 4), (2, 1), (3, 2), (5, 5), (8, 3), (8, 8), (12, 11), (13, 20), (16, 31), (17, 40), (60, 60))
GATES = tuple(product((False, True), repeat=3))  # pre, post, skip


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_lengths(backend: str, n: int, dtype: torch.dtype) -> None:
    for causal in (True, False):
        u, k, *_ = arguments = draw(2, n, 5, m=n, dtype=dtype)
        y = call(*arguments, causal)
        assert y.dtype is dtype
        check(y, u, k, causal=causal)


# Padded, at best, to a power of two; to other lengths; with fewer taps than samples, and more.
@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(
    ("case", "n", "m"), [(0, 128, 128), (1, 200, 33), (2, 257, 600), (3, 480, 480), (4, 1000, 999)]
)
def test_lines_in_parts(case: int, n: int, m: int) -> None:
    for kind, gates in enumerate(((False, False, False), (True, True, True), (False, True, False))):
        for batch, d, dtype in oracle.lines(case + kind):
            arguments = draw(batch, n, d, m=m, dtype=dtype, gates=gates)
            g = oracle.draw(batch, n, d, dtype=dtype, seed=1)
            for causal in (True, False):
                check_all(g, *arguments, causal)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts_of_lines_in_parts(layout: str) -> None:
    for shape in ((3, 480, 1), (2, 393, 3)):
        u, g = oracle.LAYOUTS[layout](shape, torch.float32), oracle.draw(*shape, dtype=torch.float32, seed=1)
        _, k, pre, post, skip = draw(*shape, m=200, dtype=torch.float32, gates=(True, True, True))
        for arguments in ((u, k, pre, post, skip), (pre, k, u, post, skip), (pre, k, post, u, skip)):
            check(conv(*arguments, True, False), *arguments)
            check_backward(conv_backward(g, *arguments, True), g, *arguments)


@pytest.mark.parametrize("gates", GATES, ids=str)
@pytest.mark.parametrize("n, m", TAPS)
def test_taps_and_gates(backend: str, n: int, m: int, gates: tuple[bool, bool, bool]) -> None:
    for causal in (True, False):
        arguments = draw(3, n, 5, m=m, gates=gates)
        check(call(*arguments, causal), *arguments, causal)


@pytest.mark.parametrize("gates", GATES, ids=str)
@pytest.mark.parametrize("n, m", TAPS)
def test_taps_and_gates_of_the_derivatives(n: int, m: int, gates: tuple[bool, bool, bool]) -> None:
    for causal, d in ((True, 3), (False, 18)):
        for dtype in (torch.float32, torch.float64):
            arguments = draw(3, n, d, m=m, dtype=dtype, gates=gates)
            g = oracle.draw(3, n, d, dtype=dtype, seed=1)
            check(conv(*arguments, causal, True), *arguments, causal, adjoint=True)
            check_backward(conv_backward(g, *arguments, causal), g, *arguments, causal)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_lengths_of_the_derivatives(n: int, dtype: torch.dtype) -> None:
    arguments = draw(3, n, 3, m=n, dtype=dtype, gates=(True, True, True))
    g = oracle.draw(3, n, 3, dtype=dtype, seed=1)
    for causal in (True, False):
        check_backward(conv_backward(g, *arguments, causal), g, *arguments, causal)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PACKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_items_side_by_side(batch: int, d: int, dtype: torch.dtype) -> None:
    # More than one pack to a sum of the kernel's gradient, too.
    for n, m, causal, gates in (
        (24, 24, True, True),
        (40, 40, True, True),
        (67, 40, False, False),
        (130, 7, True, True),
    ):
        arguments = draw(batch, n, d, m=m, dtype=dtype, gates=(gates, gates, gates))
        g = oracle.draw(batch, n, d, dtype=dtype, seed=1)
        check_all(g, *arguments, causal)


@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 130])
def test_channel_counts(d: int) -> None:
    # Around every multiple of a vector's lanes.
    for n, dtype in product((24, 40), (torch.float32, torch.float64)):
        arguments = draw(3, n, d, m=n, dtype=dtype, gates=(True, True, True))
        g = oracle.draw(3, n, d, dtype=dtype, seed=1)
        check(call(*arguments), *arguments)
        check_backward(conv_backward(g, *arguments, True), g, *arguments)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(
    ("shape", "dtype"), [(oracle.LARGE[0], torch.bfloat16), (oracle.LARGE[1], torch.float32)], ids=str
)
def test_large_signals(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    u, k, pre, post, skip = draw(*shape, m=shape[1], dtype=dtype, gates=(True, True, True))
    check(call(u, k, pre, post, skip), u, k, pre, post, skip)
    g = oracle.draw(*shape, dtype=dtype, seed=3)
    check_backward(conv_backward(g, u, k, pre, post, skip, True), g, u, k, pre, post, skip)


@pytest.mark.parametrize("batch", [*oracle.BATCHES, (40,)], ids=str)
def test_batches(backend: str, batch: tuple[int, ...]) -> None:
    u, k, pre, post, skip = draw(*batch, 12, 7, m=12, dtype=torch.float32, gates=(True, True, True))
    leaves = [t.requires_grad_() for t in (u, k, pre, post, skip)]
    y = call(*leaves)
    check(y, *leaves)
    g = oracle.draw(*batch, 12, 7, dtype=torch.float32, seed=3)
    *gradients, of_skip = torch.autograd.grad(y, leaves, g)
    gradients[1] = gradients[1].contiguous()
    check_backward(gradients, g, *leaves)
    oracle.assert_close(
        of_skip,
        (wide(g) * wide(post) * wide(u) * wide(pre)).reshape(-1, 7).sum(0),
        n=24,
        magnitude=oracle.norm(wide(g) * wide(post), wide(u) * wide(pre)),
        transforms=4 + max(1, math.prod(batch)),
    )


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PARTS)
def test_parts_of_the_batch(threads: int, batch: int, d: int) -> None:
    for dtype in (torch.float32, torch.float64):
        g = oracle.draw(batch, 24, d, dtype=dtype, seed=3)
        for causal in (True, False):
            arguments = draw(batch, 24, d, m=29, dtype=dtype, gates=(False, True, True))
            check_backward(conv_backward(g, *arguments, causal), g, *arguments, causal)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("batch", [(2,), (5, 3), (16,), (17,), (40,)], ids=str)
def test_items_of_one_channel(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    # Items take the lanes of channels: fewer than a vector has, as many, more.
    for n, m, causal in ((24, 24, True), (24, 31, False), (100, 7, True), (260, 300, False)):
        u, k, pre, post, skip = arguments = draw(*batch, n, 1, m=m, dtype=dtype, gates=(True, True, True))
        g = oracle.draw(*batch, n, 1, dtype=dtype, seed=1)
        for adjoint in (False, True):
            check(conv(*arguments, causal, adjoint), *arguments, causal, adjoint=adjoint)
        check_backward(conv_backward(g, *arguments, causal), g, *arguments, causal)
        apart = u.repeat_interleave(2, dim=-2)[..., ::2, :]  # samples are not neighbours
        assert torch.equal(conv(apart, k, pre, post, skip, causal, False), conv(*arguments, causal, False))
        check_backward(conv_backward(g, apart, *arguments[1:], causal), g, *arguments, causal)


@pytest.mark.parametrize("n", [2000, 4096])
def test_long(n: int) -> None:
    # Beyond the first-level cache, blocks are transformed one by one.
    arguments = draw(2, n, 2, m=n, dtype=torch.float32, gates=(False, True, True))
    g = oracle.draw(2, n, 2, dtype=torch.float32, seed=1)
    for causal in (True, False):
        expected = conv_reference(*(t if t is None else t.double() for t in arguments), causal, False)
        magnitude = gain(arguments[1], arguments[4]) * peak(arguments[3]) * oracle.norm(arguments[0])
        y = conv(*arguments, causal, False)
        oracle.assert_close(y, wide(expected), n=2 * n, magnitude=magnitude, transforms=4)
        exact = conv_backward_reference(g.double(), *(t if t is None else t.double() for t in arguments), causal)
        for a, b in zip(conv_backward(g, *arguments, causal), exact, strict=True):
            assert (a.double() - b).norm() <= 8 * oracle.transform_error(torch.float32, n) * b.norm()


@pytest.mark.parametrize("m", [10, 900])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_large_results_are_those_of_their_items(cpu_kernels: None, dtype: torch.dtype, m: int) -> None:
    """Results above 2 MiB are written past the caches, those of an item are not."""
    u, k, pre, post, skip = draw(20, 1024, 64, m=m, dtype=dtype, gates=(True, True, True))
    grad = oracle.draw(*u.shape, dtype=dtype, seed=3)
    y = conv(u, k, pre, post, skip, True, False)
    of_u, _, of_pre, of_post = conv_backward(grad, u, k, pre, post, skip, True)
    for i in range(0, 20, 7):
        item = slice(i, i + 1)
        assert torch.equal(y[item], conv(u[item], k, pre[item], post[item], skip, True, False))
        ours = conv_backward(grad[item], u[item], k, pre[item], post[item], skip, True)
        for whole, part in zip((of_u, of_pre, of_post), (ours[0], *ours[2:]), strict=True):
            assert torch.equal(whole[item], part)
    check(y[:1], u[:1], k, pre[:1], post[:1], skip, True)


def test_no_channels(backend: str) -> None:
    assert fft_conv(torch.empty(2, 5, 0), torch.empty(3, 0)).shape == (2, 5, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    for shape in ((3, 12, 20), (2, 17, 5), (2, 260, 18)):
        plain = draw(*shape, m=shape[1] + 2, dtype=dtype, gates=(True, True, True))
        g = oracle.draw(*shape, dtype=dtype, seed=1)
        laid = oracle.LAYOUTS[layout](shape, dtype)
        before, version = laid.clone(), laid._version
        for place in (0, 2, 3, None):  # u, pre, post; last the incoming gradient
            arguments = [laid if i == place else t for i, t in enumerate(plain)]
            grad = laid if place is None else g
            for causal in (True, False):
                y = conv(*arguments, causal, False)
                check(y, *arguments, causal)
                assert y.stride() == torch.empty_like(arguments[0]).stride()
                gradients = conv_backward(grad, *arguments, causal)
                check_backward(gradients, grad, *arguments, causal)
                for gradient, like in zip(gradients, arguments[:4], strict=True):
                    assert gradient.stride() == torch.empty_like(like).stride()
        assert torch.equal(laid, before) and laid._version == version


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "odd_offset", "every_other", "expanded_channels"])
def test_kernel_layouts(backend: str, layout: str) -> None:
    u = oracle.draw(3, 40, 20, dtype=torch.float32)
    k = oracle.LAYOUTS[layout]((1, 40, 20), torch.float32)[0]
    before = k.clone()
    for causal in (True, False):
        check(fft_conv(u, k, causal=causal), u, k, causal=causal)
        if backend == "native":
            check_backward(conv_backward(u, u, k, None, None, None, causal), u, u, k, causal=causal)
    assert torch.equal(k, before)


@pytest.mark.parametrize("u_dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("k_dtype", oracle.DTYPES, ids=str)
def test_kernel_never_changes_the_dtype(backend: str, u_dtype: torch.dtype, k_dtype: torch.dtype) -> None:
    u = oracle.draw(2, 12, 4, dtype=u_dtype)
    k, skip = oracle.draw(12, 4).to(k_dtype).requires_grad_(), oracle.draw(4).to(k_dtype).requires_grad_()
    y = fft_conv(u, k, skip=skip)
    assert y.dtype is u_dtype
    check(y, u, k.to(oracle.compute(u_dtype)), skip=skip.to(oracle.compute(u_dtype)))
    y.sum().backward()
    assert k.grad is not None and k.grad.dtype is k_dtype and skip.grad is not None and skip.grad.dtype is k_dtype


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dim", [-1, 2])
@pytest.mark.parametrize("n", [*oracle.FEW_LENGTHS, 300])
def test_channels_first(backend: str, n: int, dim: int, causal: bool) -> None:
    u, k, pre, post, skip = draw(3, n, 19, m=n + 1, dtype=torch.float32, gates=(True, True, True))
    first = [t.mT.contiguous().requires_grad_() for t in (u, k, pre, post)]
    y = call(*first, skip, causal, dim)
    check(y.mT, u, k, pre, post, skip, causal)
    g = oracle.draw(3, 19, n, dtype=torch.float32, seed=1)
    gradients = torch.autograd.grad(y, first, g)
    if backend == "native":
        assert y.stride() == torch.empty_like(first[0]).stride()
        assert all(t.is_contiguous() for t in gradients)
    check(gradients[0].mT, g.mT, k, post, pre, skip, causal, adjoint=True)
    check_kernel_grad(gradients[1].mT.contiguous(), g.mT, u, k, pre, post, causal)


def test_dim_may_be_positive(backend: str) -> None:
    u, k = oracle.draw(2, 3, 8, 4), oracle.draw(8, 4)
    assert torch.equal(fft_conv(u, k, dim=2), fft_conv(u, k))


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_one_tap_is_a_product(backend: str, n: int) -> None:
    u, k = oracle.draw(2, n, 4), oracle.draw(1, 4)
    for causal in (True, False):
        oracle.assert_close(fft_conv(u, k, causal=causal), wide(u) * wide(k), n=2 * n, magnitude=oracle.norm(u) * 4)


def test_skip_is_exact(native_library: None) -> None:
    # It joins the result as it is, and not as a tap that every transform rounds.
    u, k, skip = oracle.draw(2, 100, 20, dtype=torch.float32), torch.zeros(100, 20), torch.ones(20)
    assert torch.equal(fft_conv(u, k, skip=skip), u)


@pytest.mark.parametrize("n", [8, 17, 60])
def test_is_causal(n: int) -> None:
    # Up to rounding, which a transform spreads over all samples.
    u, k = oracle.draw(2, n, 4), oracle.draw(n, 4)
    later = u.clone()
    later[:, n // 2 :] += 3
    difference = (fft_conv(later, k) - fft_conv(u, k))[:, : n // 2]
    assert difference.norm() <= 8 * oracle.transform_error(torch.float64, 2 * n) * gain(k) * oracle.norm(later)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n, m", TAPS)
def test_adjoint_identities(n: int, m: int, causal: bool) -> None:
    # <g, C(u, k)> = <C*(g, k), u> = <R(g, u), k>
    u, k, *others = draw(3, n, 5, m=m, gates=(True, True, True))
    g = oracle.draw(3, n, 5, seed=1)
    pre, post, skip = others
    forward = (g * conv(u, k, *others, causal, False)).sum()
    of_u, of_k, of_pre, of_post = conv_backward(g, u, k, *others, causal)
    bound = 2 * 8 * oracle.transform_error(torch.float64, 2 * n) * gain(k, skip) * peak(pre, post) * oracle.norm(u, g)
    for gradient, argument in ((of_u, u), (of_pre, pre), (of_post, post)):
        assert abs(forward - (gradient * argument).sum()) <= bound
    direct = (g * post * skip * pre * u).sum()
    assert abs(forward - direct - (of_k * k).sum()) <= bound * (2 * n) ** 0.5


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_linear(backend: str, n: int) -> None:
    u, k, *_ = draw(2, n, 6, m=n)
    v, h = oracle.draw(2, n, 6, seed=1), oracle.draw(n, 6, seed=9)
    f = fft_conv
    expected = 2.5 * f(u, k) - f(v, k) - 7.5 * f(u, h) + 3 * f(v, h)
    magnitude = 10 * (oracle.norm(u) + oracle.norm(v)) * (gain(k) + gain(h))
    oracle.assert_close(f(2.5 * u - v, k - 3 * h), wide(expected), n=2 * n, magnitude=magnitude, transforms=8)


@pytest.mark.parametrize("n", [8, 13, 60])
def test_kernels_compose(backend: str, n: int) -> None:
    # Causal convolutions are a commutative algebra: k * (h * u) = (k * h) * u.
    u, k, *_ = draw(2, n, 6, m=n)
    h = oracle.draw(n, 6, seed=9)
    oracle.assert_close(
        fft_conv(fft_conv(u, h), k),
        wide(fft_conv(u, fft_conv(h, k))),
        n=2 * n,
        magnitude=gain(k) * gain(h) * oracle.norm(u),
        transforms=12,
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("n", [8, 12, 17, 37])
def test_nan_stays_in_its_sample_and_channel(backend: str, n: int, value: float) -> None:
    for batch in (1, 2, 3):
        u, k, *_ = draw(batch, n, 20, m=n, dtype=torch.float32)
        clean = u.clone()
        u[0, n // 2, 5] = value
        y = fft_conv(u, k)
        spoilt = torch.zeros_like(y, dtype=torch.bool)
        spoilt[0, :, 5] = True
        assert not y[0, n // 2 :, 5].isfinite().any()
        check(y.masked_fill(spoilt, 0), clean.masked_fill(spoilt, 0), k)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_stays_in_its_line(value: float) -> None:
    for batch, d in ((2, 1), (3, 2), (5, 1), (2, 3)):
        arguments = u, *_ = draw(batch, 480, d, m=99, dtype=torch.float32, gates=(True, True, True))
        clean = conv(*arguments, True, False)
        u[1, 47, d - 1] = value
        y = conv(*arguments, True, False)
        assert not y[1, 47 : 47 + 99, d - 1].isfinite().any()  # what it reaches; a window further on is without it
        y[1, :, d - 1] = clean[1, :, d - 1]
        assert torch.equal(y, clean)


def test_nan_stays_in_its_channel_of_the_kernel_gradient() -> None:
    for n in (8, 17):
        u, k, *_ = draw(3, n, 20, m=n, dtype=torch.float32)
        g = oracle.draw(3, n, 20, dtype=torch.float32, seed=1)
        others = [c for c in range(20) if c != 5]
        clean = conv_backward(g, u, k, None, None, None, True)[1]
        u[1, 2, 5] = float("nan")
        r = conv_backward(g, u, k, None, None, None, True)[1]
        assert r[:, 5].isnan().any()
        assert torch.equal(r[:, others], clean[:, others])


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_bitwise_reproducible(threads: int, dtype: torch.dtype) -> None:
    shapes = ((7, 60, 36), (40, 60, 5), (5, 300, 1), (1, 300, 100))
    for (batch, n, d), m in (*product(shapes, (60, 12)), ((1, 3000, 70), 40), ((1, 4100, 20), 70)):
        arguments = draw(batch, n, d, m=m, dtype=dtype, gates=(True, True, True))
        g = oracle.draw(batch, n, d, dtype=dtype, seed=1)

        def run() -> tuple[torch.Tensor, ...]:
            return tuple(
                t
                for causal in (True, False)
                for t in (
                    conv(*arguments, causal, False),  # noqa: B023
                    conv(*arguments, causal, True),  # noqa: B023
                    *conv_backward(g, *arguments, causal),  # noqa: B023
                )
            )

        torch.set_num_threads(1)
        alone = run()
        torch.set_num_threads(threads)
        for _ in range(3):
            assert all(map(torch.equal, run(), alone))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n, m", TAPS)
def test_references_agree(n: int, m: int, causal: bool) -> None:
    arguments = draw(3, n, 4, m=m, gates=(True, True, True))
    g = oracle.draw(3, n, 4, seed=1)
    for adjoint in (False, True):
        check(conv_reference(*arguments, causal, adjoint), *arguments, causal, adjoint)
    check_backward(conv_backward_reference(g, *arguments, causal), g, *arguments, causal)
