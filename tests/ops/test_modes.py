"""The ops `modes` and `modes_inverse` against the float64 oracle, and their calculus."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import torch

import spectrans
from spectrans.functional import irfft_modes, rfft_modes
from spectrans.ops import modes as ops
from spectrans.ops.mixing import NORMS
from spectrans.ops.modes import modes, modes_reference

#: Lengths that are decimated: into up to 16, 15, 9, 5 parts, and into 2 of prime length; and a prime.
LONG = (2048, 2310, 2601, 3125, 2062, 2053)
WEIGHTS = [(mirrored, norm) for mirrored in (False, True) for norm in range(3)]


def counts(n: int) -> list[int]:
    """From one to all; long signals are decimated differently for each."""
    return sorted({1, n // 16 + 1, (n + 7) // 8, n // 4 + 1, n // 2 + 1})


def largest_weight(n: int, mirrored: bool, norm: int) -> float:
    return (1 + mirrored) * float(n) ** (-norm / 2)


def pairs_of(t: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(t) if t.is_complex() else t


def complex_of(pairs: torch.Tensor) -> torch.Tensor:
    return torch.complex(*pairs.unbind(-1))


def modes_inverse(pairs: torch.Tensor, *arguments: Any) -> torch.Tensor:
    return ops.modes_inverse(complex_of(pairs), *arguments)


def modes_inverse_reference(pairs: torch.Tensor, *arguments: Any) -> torch.Tensor:
    return ops.modes_inverse_reference(complex_of(pairs), *arguments)


def check(y: torch.Tensor, x: torch.Tensor, count: int, mirrored: bool = False, norm: int = 0) -> None:
    """`y`, pairs or complex, is the first `count` bins of `x`."""
    n = x.shape[-2]
    y = pairs_of(y)
    assert y.dtype is oracle.compute(x.dtype)
    # Any one bin is a sum over |x|, so that a few of them may be as wrong as all n: an error of the whole transform.
    magnitude = largest_weight(n, mirrored, norm) * math.sqrt(n) * oracle.norm(x)
    expected = oracle.modes(oracle.wide(x), count, mirrored, NORMS[norm])
    oracle.assert_close(y, expected, n=n, magnitude=magnitude, dtype=y.dtype)


def check_inverse(y: torch.Tensor, pairs: torch.Tensor, n: int, mirrored: bool = True, norm: int = 2) -> None:
    """`y` is the signal of length `n` of `pairs`, which may be complex."""
    pairs = pairs_of(pairs)
    magnitude = largest_weight(n, mirrored, norm) * math.sqrt(n) * oracle.norm(pairs)
    expected = oracle.from_modes(oracle.wide(pairs), n, mirrored, NORMS[2 - norm])
    oracle.assert_close(y, expected, n=n, magnitude=magnitude, dtype=oracle.compute(y.dtype))


def draw_spectrum(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 5) -> torch.Tensor:
    """Pairs [..., modes, d, 2], with imaginary parts at DC (and Nyquist) that must not act."""
    return oracle.draw(*shape, 2, dtype=dtype, seed=seed)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_lengths(backend: str, n: int, dtype: torch.dtype) -> None:
    x = oracle.draw(2, n, 5, dtype=dtype)
    for count in counts(n):
        y = rfft_modes(x, count)
        assert y.is_contiguous() and y.dtype is oracle.compute(dtype).to_complex()
        check(y, x, count)
        pairs = draw_spectrum(3, count, 5, dtype=dtype)
        z = irfft_modes(pairs, n)
        assert z.is_contiguous() and z.dtype is dtype
        check_inverse(z, pairs, n)


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_weights(n: int, dtype: torch.dtype) -> None:
    for d in (3, 21):
        x = oracle.draw(2, n, d, dtype=dtype)
        for count in (n // 8 + 1, n // 2 + 1):
            pairs = draw_spectrum(2, count, d, dtype=oracle.compute(dtype))
            for mirrored, norm in WEIGHTS:
                check(modes(x, count, False, mirrored, norm), x, count, mirrored, norm)
                y = modes_inverse(pairs, n, dtype, False, mirrored, norm)
                assert y.dtype is dtype
                check_inverse(y, pairs, n, mirrored, norm)


@pytest.mark.parametrize("n", LONG)
def test_long(backend: str, n: int) -> None:
    for dtype in (torch.float32, torch.float64):
        x = oracle.draw(2, n, 3, dtype=dtype)
        for count in counts(n):
            check(rfft_modes(x, count), x, count)
            check(rfft_modes(x.mT, count, dim=-1).mT, x, count)
            pairs = draw_spectrum(2, count, 3, dtype=dtype)
            check_inverse(irfft_modes(pairs, n), pairs, n)
            check_inverse(irfft_modes(pairs.transpose(1, 2), n, dim=-1).mT, pairs, n)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 24, 53, 94])
def test_few_modes(n: int, dtype: torch.dtype) -> None:
    # By definition, from rows where they lie and to them: bins in blocks of one to four, and one to eight vectors.
    for d in (4, 20, 44, 100, 128):
        x = oracle.draw(2, n, d + 3, dtype=dtype)[..., 3:]
        for count in sorted({min(count, n // 2 + 1) for count in (1, 2, 3, 4, 5, 9, 14, 18, 30, 43)}):
            check(rfft_modes(x, count), x, count)
            pairs = draw_spectrum(2, count, d, dtype=dtype)
            check_inverse(irfft_modes(pairs, n), pairs, n)


@pytest.mark.usefixtures("cpu_kernels")
def test_large_prime() -> None:
    # A plan takes little more than the transform: what is quadratic would take minutes here.
    n = 100_003
    x = oracle.draw(1, n, 9, dtype=torch.float32)
    for count in (1, 3, 40):
        check(rfft_modes(x, count), x, count)
        pairs = draw_spectrum(1, count, 9, dtype=torch.float32)
        check_inverse(irfft_modes(pairs, n), pairs, n)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("shape", oracle.LARGE, ids=str)
def test_large_signals(shape: tuple[int, int, int], threads: int) -> None:
    # Rows are asked for ahead, and results go past the caches.
    batch, n, d = shape
    for dtype in (torch.bfloat16, torch.float32):
        x = oracle.draw(*shape, dtype=dtype)
        for count in (2, 13, n // 8 + 1):  # by definition, and decimated
            check(rfft_modes(x, count), x, count)
            pairs = draw_spectrum(batch, count, d, dtype=dtype)
            check_inverse(irfft_modes(pairs, n), pairs, n)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("n", oracle.LINE_LENGTHS)
def test_lines_in_parts(n: int) -> None:
    for batch, d, dtype in oracle.lines(oracle.LINE_LENGTHS.index(n)):
        x = oracle.draw(batch, n, d, dtype=dtype)
        for count in (1, n // 4 + 1, n // 2 + 1):
            check(modes(x.mT, count, True, False, 0).mT, x, count)
            pairs = draw_spectrum(batch, count, d, dtype=oracle.compute(dtype))
            for mirrored, norm in ((False, 0), (True, 2)):
                check(modes(x, count, False, mirrored, norm), x, count, mirrored, norm)
                y = modes_inverse(pairs, n, dtype, False, mirrored, norm)
                check_inverse(y, pairs, n, mirrored, norm)
            first = pairs.transpose(-3, -2).contiguous()
            check_inverse(modes_inverse(first, n, dtype, True, True, 2).mT, pairs, n)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", [16, 64, 96, 256, 288, 448, 512, 768, 1000, 1024, 1280, 4096])
def test_rows(n: int, dtype: torch.dtype) -> None:
    """Samples side by side are lanes where rows are few, or long; at some lengths two rows are done together."""
    for rows in (1, 2, 3, 19):
        x = oracle.draw(rows, n, 1, dtype=dtype)
        for count in counts(n):
            check(rfft_modes(x, count), x, count)
            check(rfft_modes(x[..., 0], count, dim=-1)[..., None], x, count)
            pairs = draw_spectrum(rows, count, 1, dtype=oracle.compute(dtype))
            check_inverse(irfft_modes(pairs, n).to(dtype), pairs, n)
    for mirrored, norm in WEIGHTS:
        check(modes(x.transpose(0, 2), count, False, mirrored, norm), x.transpose(0, 2), count, mirrored, norm)
        check(modes(x[:2], count, False, mirrored, norm), x[:2], count, mirrored, norm)
        check_inverse(modes_inverse(pairs[:2], n, dtype, False, mirrored, norm), pairs[:2], n, mirrored, norm)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("shape", [(1, 1100, 512), (2, 300, 1024), (3, 48, 4096)], ids=str)
def test_large_rows(shape: tuple[int, int, int], threads: int) -> None:
    """Past the caches."""
    n = shape[-1]
    x = oracle.draw(*shape, dtype=torch.float32)
    check(rfft_modes(x, n // 2 + 1, dim=-1).mT, x.mT, n // 2 + 1)
    check(rfft_modes(x, n // 4, dim=-1).mT, x.mT, n // 4)
    for count in (n // 4, n // 2 + 1):
        pairs = draw_spectrum(*shape[:2], count, dtype=torch.float32)
        y = irfft_modes(pairs, n, dim=-1)
        check_inverse(y.mT, pairs.transpose(1, 2), n)


@pytest.mark.parametrize("n", [1, 2, 12, 17, 48, 64])
def test_every_number_of_modes(n: int) -> None:
    x = oracle.draw(2, n, 9)
    for count in range(1, n // 2 + 2):
        check(modes(x, count, False, False, 0), x, count)
        pairs = draw_spectrum(2, count, 9)
        check_inverse(modes_inverse(pairs, n, torch.float64, False, True, 2), pairs, n)


@pytest.mark.parametrize("d", [4, 8, 16, 24, 33, 64, 130])
def test_sums_by_definition(d: int) -> None:
    # Long ones, of few and of many tiles, in blocks of rows with one, two and three left over.
    for n in (53, 59, 61, 307):
        count = n // 2 + 1 if n < 64 else n // 16
        for dtype in (torch.bfloat16, torch.float32, torch.float64):
            x = oracle.draw(2, n, d, dtype=dtype)
            for fewer in range(3):
                check(modes(x, count - fewer, False, False, 0), x, count - fewer)
            pairs = draw_spectrum(2, count, d, dtype=oracle.compute(dtype))
            check_inverse(modes_inverse(pairs, n, dtype, False, True, 2), pairs, n)


@pytest.mark.parametrize("norm", [None, *oracle.NORMS])
def test_norms(backend: str, norm: str | None) -> None:
    x, pairs = oracle.draw(2, 12, 5), draw_spectrum(2, 4, 5)
    code = NORMS.index(norm or "backward")
    check(rfft_modes(x, 4, norm=norm), x, 4, norm=code)
    check_inverse(irfft_modes(pairs, 12, norm=norm), pairs, 12, norm=2 - code)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PACKS)
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_items_side_by_side(batch: int, d: int, dtype: torch.dtype) -> None:
    for n in (24, 67, 96):
        x = oracle.draw(batch, n, d, dtype=dtype)
        for count in counts(n):
            for layout in (x, x.repeat_interleave(2, 1)[:, ::2], x.repeat_interleave(2, 2)[..., ::2]):
                check(rfft_modes(layout, count), x, count)
            pairs = draw_spectrum(batch, count, d, dtype=oracle.compute(dtype))
            for layout in (pairs, pairs.repeat_interleave(2, 1)[:, ::2], pairs.repeat_interleave(2, 2)[..., ::2, :]):
                check_inverse(modes_inverse(layout, n, dtype, False, True, 2), pairs, n)


@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 130])
def test_channel_counts(d: int) -> None:
    # Around every multiple of a vector's lanes, and of half a vector's, which is as many pairs.
    for dtype in (torch.float32, torch.float64):
        x, pairs = oracle.draw(3, 24, d, dtype=dtype), draw_spectrum(3, 3, d, dtype=dtype)
        check(modes(x, 3, False, False, 0), x, 3)
        check(modes(x.mT.contiguous(), 3, True, False, 0).mT, x, 3)
        check_inverse(modes_inverse(pairs, 24, dtype, False, True, 2), pairs, 24)
        first = pairs.transpose(-3, -2).contiguous()
        check_inverse(modes_inverse(first, 24, dtype, True, True, 2).mT, pairs, 24)


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
def test_batches(backend: str, batch: tuple[int, ...]) -> None:
    x = oracle.draw(*batch, 16, 7, dtype=torch.float32).requires_grad_()
    y = rfft_modes(x, 3)
    check(y.detach(), x, 3)
    g = draw_spectrum(*batch, 3, 7, dtype=torch.float32)
    (of_x,) = torch.autograd.grad(y, x, complex_of(g))
    check_inverse(of_x, g, 16, mirrored=False, norm=0)

    pairs = draw_spectrum(*batch, 3, 7, dtype=torch.float32).requires_grad_()
    y = irfft_modes(pairs, 16)
    check_inverse(y, pairs, 16)
    g = oracle.draw(*batch, 16, 7, dtype=torch.float32, seed=3)
    (of_pairs,) = torch.autograd.grad(y, pairs, g)
    check(of_pairs, g, 3, mirrored=True, norm=2)


def test_no_channels(backend: str) -> None:
    for n in (1, 2, 5):
        assert rfft_modes(torch.empty(2, n, 0), 1).shape == (2, 1, 0)
        assert irfft_modes(torch.empty(2, 1, 0, 2), n).shape == (2, n, 0)
        assert irfft_modes(torch.empty(2, 0, 1, 2), n, dim=-1).shape == (2, 0, n)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    for shape in ((3, 16, 20), (2, 17, 5)):
        x = oracle.LAYOUTS[layout](shape, dtype)
        before, version = x.clone(), x._version
        check(modes(x, 3, False, False, 0), x, 3)
        check(modes(x.mT, 3, True, False, 0).mT, x, 3)
        assert torch.equal(x, before) and x._version == version


@pytest.mark.parametrize("adjacent", [True, False])
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_spectrum_layouts(backend: str, layout: str, adjacent: bool) -> None:
    for b, count, d in ((3, 7, 20), (2, 9, 5)):
        re = oracle.LAYOUTS[layout]((b, count, 2 * d), torch.float32)
        pairs = re.unflatten(-1, (d, 2) if adjacent else (2, d))
        pairs = pairs if adjacent else pairs.transpose(-2, -1)
        before = pairs.clone()
        check_inverse(irfft_modes(pairs, 30), pairs, 30)
        check_inverse(irfft_modes(pairs.transpose(1, 2), 30, dim=-1).mT, pairs, 30)
        assert torch.equal(pairs, before)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_complex_is_the_pairs(backend: str, n: int) -> None:
    for dtype in (torch.float32, torch.float64):
        pairs = draw_spectrum(2, n // 2 + 1, 4, dtype=dtype)
        z = torch.view_as_complex(pairs)
        y = irfft_modes(z, n)
        assert y.dtype is dtype and torch.equal(y, irfft_modes(pairs, n))
        check_inverse(irfft_modes(z.conj(), n), z.conj().resolve_conj(), n)
        check_inverse(irfft_modes(z.mT, n, dim=-1).mT, z, n)
        assert torch.equal(irfft_modes(z.imag.clone().to(z.dtype) * 0, n), torch.zeros(2, n, 4, dtype=dtype))


@pytest.mark.parametrize("dim", [-1, 2])
@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_channels_first(backend: str, n: int, dim: int) -> None:
    for count in counts(n):
        x, pairs = oracle.draw(3, 5, n), oracle.draw(3, 5, count, 2)
        y = rfft_modes(x, count, dim=dim)
        assert y.is_contiguous() and y.shape == (3, 5, count)
        check(y.mT, x.mT, count)
        y = irfft_modes(pairs, n, dim=dim)
        assert y.is_contiguous() and y.shape == (3, 5, n)
        check_inverse(y.mT, pairs.transpose(1, 2), n)


def test_dim_may_be_positive(backend: str) -> None:
    x, pairs = oracle.draw(2, 3, 8, 4), draw_spectrum(2, 3, 4, 4)
    assert torch.equal(rfft_modes(x, 3, dim=2), rfft_modes(x, 3))
    assert torch.equal(irfft_modes(pairs, 8, dim=2), irfft_modes(pairs, 8))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 17, 34])
def test_imaginary_part_at_dc_and_nyquist(backend: str, n: int) -> None:
    # Exactly zero; no effect and, exactly, no gradient.
    x, pairs = oracle.draw(3, n, 4), draw_spectrum(3, n // 2 + 1, 4)
    alone = [0] if n % 2 else [0, n // 2]
    assert (rfft_modes(x, n // 2 + 1)[:, alone].imag == 0).all()
    changed = pairs.clone()
    changed[:, alone, :, 1] += 10.0
    changed.requires_grad_()
    y = irfft_modes(changed, n)
    assert torch.equal(y, irfft_modes(pairs, n))
    y.square().sum().backward()
    assert (changed.grad[:, alone, :, 1] == 0).all()


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 2, 2), (2, 5, 3), (3, 8, 2), (7, 3)], ids=str)
def test_gradcheck(backend: str, shape: tuple[int, ...]) -> None:
    *batch, n, d = shape
    for count in {1, n // 2 + 1}:
        x, pairs = oracle.draw(*shape).requires_grad_(), draw_spectrum(*batch, count, d).requires_grad_()
        z = torch.view_as_complex(pairs.detach()).clone().requires_grad_()
        calls = [(lambda x: rfft_modes(x, count), x), (lambda z: irfft_modes(z, n), pairs)]  # noqa: B023
        for call, argument in [*calls, (calls[1][0], z)]:
            assert torch.autograd.gradcheck(call, argument)
            assert torch.autograd.gradgradcheck(call, argument)


@pytest.mark.parametrize(("mirrored", "norm"), WEIGHTS)
@pytest.mark.parametrize("channels_first", [False, True])
def test_gradcheck_of_every_weight(channels_first: bool, mirrored: bool, norm: int) -> None:
    flags = (channels_first, mirrored, norm)
    x = oracle.draw(2, 6, 7).requires_grad_()
    n, d = (7, 6) if channels_first else (6, 7)
    pairs = (oracle.draw(2, d, 3, 2) if channels_first else oracle.draw(2, 3, d, 2)).requires_grad_()
    for call, argument in (
        (lambda x: modes(x, 3, *flags), x),
        (lambda p: modes_inverse(p, n, torch.float64, *flags), pairs),
    ):
        assert torch.autograd.gradcheck(call, argument)
        assert torch.autograd.gradgradcheck(call, argument)


@pytest.mark.parametrize(("mirrored", "norm"), WEIGHTS)
@pytest.mark.parametrize("n", [*oracle.FEW_LENGTHS, 2048, 2310])
def test_adjoint_identity(n: int, mirrored: bool, norm: int) -> None:
    # <g, M x> = <M* g, x>
    for count in counts(n):
        x, g = oracle.draw(3, n, 5), draw_spectrum(3, count, 5)
        forward = (g * pairs_of(modes(x, count, False, mirrored, norm))).sum()
        back = (modes_inverse(g, n, torch.float64, False, mirrored, norm) * x).sum()
        bound = 2 * oracle.transform_error(torch.float64, n) * largest_weight(n, mirrored, norm) * math.sqrt(n)
        assert abs(forward - back) <= bound * oracle.norm(x, g)


@pytest.mark.parametrize("norm", oracle.NORMS)
@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_round_trip(backend: str, n: int, norm: str) -> None:
    x = oracle.draw(2, n, 4)
    y = irfft_modes(rfft_modes(x, n // 2 + 1, norm=norm), n, norm=norm)
    oracle.assert_close(y, oracle.wide(x), n=n, magnitude=oracle.norm(x), transforms=2)


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_truncation_is_a_projection(backend: str, n: int) -> None:
    x = oracle.draw(2, n, 4)
    count = n // 4 + 1
    low = irfft_modes(rfft_modes(x, count), n)
    again = irfft_modes(rfft_modes(low, count), n)
    oracle.assert_close(again, oracle.wide(low), n=n, magnitude=oracle.norm(x), transforms=4)
    assert oracle.norm(low) <= oracle.norm(x) * (1 + 1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("n", [8, 12, 17, 37, 2048])
def test_nan_stays_in_its_sample_and_channel(backend: str, n: int, value: float) -> None:
    count = n // 8 + 1
    for batch, d in ((1, 20), (2, 20), (3, 20), (3, 6)):  # six channels: items side by side in the lanes
        x, pairs = oracle.draw(batch, n, d, dtype=torch.float32), draw_spectrum(batch, count, d, dtype=torch.float32)
        for call, argument, confirm in (
            (lambda x: pairs_of(rfft_modes(x, count)), x, lambda y, x: check(y, x, count)),
            (lambda p: irfft_modes(p, n), pairs, lambda y, p: check_inverse(y, p, n)),
        ):
            spoilt = argument.clone()
            spoilt[0, argument.shape[1] // 2, 5] = value
            y = call(spoilt)
            assert not y[0, :, 5].isfinite().any(-1).any() or argument is x  # the imaginary part at 0 is zero
            assert not y[0, :, 5].isfinite().all(-1).any()
            y[0, :, 5] = argument[0, :, 5] = 0
            confirm(y, argument)


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_bitwise_reproducible(threads: int, dtype: torch.dtype) -> None:
    inputs = [
        (oracle.draw(batch, n, d, dtype=dtype), draw_spectrum(batch, 5, d, dtype=oracle.compute(dtype)))
        for batch, n, d in ((7, 60, 36), (7, 2400, 36), (1, 1361, 100))
    ]

    def run() -> list[torch.Tensor]:
        forward = [modes(x, 5, False, False, 0) for x, _ in inputs]
        return forward + [modes_inverse(pairs, x.shape[1], dtype, False, True, 2) for x, pairs in inputs]

    torch.set_num_threads(1)
    alone = run()
    torch.set_num_threads(threads)
    for _ in range(3):
        assert all(map(torch.equal, run(), alone))


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize(("n", "d"), [(59, 1), (64, 3), (2048, 20)])  # longer lines share lanes, as many as there are
def test_an_item_does_not_depend_on_its_batch(n: int, d: int) -> None:
    for count in (5, n // 2 + 1):
        x, pairs = oracle.draw(21, n, d, dtype=torch.float32), draw_spectrum(21, count, d, dtype=torch.float32)
        for dim in (-2, -1):
            bins = rfft_modes(x.movedim(1, dim), count, dim=dim)
            y = irfft_modes(pairs.movedim(1, dim - 1), n, dim=dim)
            for item in (0, 1, 20):
                assert torch.equal(bins[item], rfft_modes(x[item].movedim(0, dim), count, dim=dim))
                assert torch.equal(y[item], irfft_modes(pairs[item].movedim(0, dim - 1), n, dim=dim))


@pytest.mark.parametrize("batch", [(5,), (2, 3)])
@pytest.mark.parametrize("d", [1, 3, 5])
def test_few_channels(backend: str, d: int, batch: tuple[int, ...]) -> None:
    # Several items are done side by side, whatever the strides.
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for n, count in ((7, 2), (40, 21), (96, 4)):
            x, pairs = oracle.draw(*batch, n, d, dtype=dtype), draw_spectrum(*batch, count, d, dtype=dtype)
            for first in (
                x,
                x.mT.contiguous().mT,
                x.repeat_interleave(2, 0)[::2],
                x.movedim(0, -1).contiguous().movedim(-1, 0),
            ):
                check(rfft_modes(first, count), x, count)
                check(rfft_modes(first.mT, count, dim=-1).mT, x, count)
            for first in (
                pairs,
                pairs.repeat_interleave(2, 0)[::2],
                pairs.transpose(-3, -2).contiguous().transpose(-3, -2),
            ):
                check_inverse(irfft_modes(first, n), pairs, n)
                check_inverse(irfft_modes(first.transpose(-3, -2), n, dim=-1).mT, pairs, n)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "odd_offset"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(dtype: torch.dtype, layout: str, channels_first: bool) -> None:
    x = oracle.LAYOUTS[layout]((2, 6, 7), dtype).requires_grad_()
    z = oracle.LAYOUTS[layout]((2, 3, 7), torch.float32).to(torch.complex64).requires_grad_()
    torch.library.opcheck(modes, (x, 3, channels_first, True, 1))
    torch.library.opcheck(ops.modes_inverse, (z, 13, dtype, channels_first, False, 2))


@pytest.mark.parametrize(("mirrored", "norm"), WEIGHTS)
@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_reference_agrees(n: int, mirrored: bool, norm: int) -> None:
    for count in counts(n):
        x, pairs = oracle.draw(3, n, 4), draw_spectrum(3, count, 4)
        check(modes_reference(x, count, False, mirrored, norm), x, count, mirrored, norm)
        check(modes_reference(x.mT, count, True, mirrored, norm).mT, x, count, mirrored, norm)
        y = modes_inverse_reference(pairs, n, torch.float64, False, mirrored, norm)
        check_inverse(y, pairs, n, mirrored, norm)
        y = modes_inverse_reference(pairs.transpose(1, 2), n, torch.float64, True, mirrored, norm)
        check_inverse(y.mT, pairs, n, mirrored, norm)


@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap(backend: str, in_dim: int) -> None:
    x, pairs = oracle.draw(2, 8, 6), draw_spectrum(2, 3, 6)
    mapped = torch.func.vmap(lambda x: rfft_modes(x, 3), in_dims=in_dim)(x.movedim(0, in_dim))
    back = torch.func.vmap(lambda p: irfft_modes(p, 8), in_dims=in_dim)(pairs.movedim(0, in_dim))
    for i in range(2):
        check(mapped[i], x[i], 3)
        check_inverse(back[i], pairs[i], 8)


def test_functional_derivatives(backend: str) -> None:
    x, v = oracle.draw(3, 8, 5), oracle.draw(3, 8, 5, seed=1)
    _, tangent = torch.func.jvp(lambda x: rfft_modes(x, 3), (x,), (v,))
    check(tangent, v, 3)
    grad = torch.func.grad(lambda x: irfft_modes(rfft_modes(x, 5), 8).square().sum() / 2)(x)
    oracle.assert_close(grad, oracle.wide(x), n=8, magnitude=oracle.norm(x), transforms=4)


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    x, pairs = oracle.LAYOUTS[layout]((3, 12, 20), torch.bfloat16), draw_spectrum(3, 5, 20, dtype=torch.float32)

    def run(x: torch.Tensor, pairs: torch.Tensor) -> list[torch.Tensor]:
        first = pairs.transpose(1, 2)
        return [
            *(modes(x, 5, flag, False, 0) for flag in (False, True)),
            *(modes_inverse(p, 12, torch.float16, p is first, False, 0) for p in (pairs, first)),
        ]

    real = run(x, pairs)
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        fake = run(mode.from_tensor(x), mode.from_tensor(pairs))
    for a, b in zip(fake, real, strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


def test_autocast_keeps_the_dtype(backend: str) -> None:
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        for dtype in oracle.DTYPES:
            x, pairs = oracle.draw(2, 8, 4, dtype=dtype), draw_spectrum(2, 3, 4, dtype=dtype)
            check(rfft_modes(x, 3), x, 3)
            check_inverse(irfft_modes(pairs, 8), pairs, 8)
            assert irfft_modes(pairs, 8).dtype is dtype


def test_saves_nothing_for_backward() -> None:
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        irfft_modes(rfft_modes(torch.randn(2, 8, 4, requires_grad=True), 3), 8)
    assert saved == []


def test_backward_runs_the_other_op(native_library: None) -> None:
    x = torch.randn(2, 8, 4, dtype=torch.bfloat16, requires_grad=True)
    steps = spectrans.explain(lambda: irfft_modes(rfft_modes(x, 3), 8).sum().backward()).steps
    assert [step.op for step in steps] == ["spectrans::modes", "spectrans::modes_inverse"] * 2
    assert all(step.implementation == "native" for step in steps)
    assert x.grad is not None and x.grad.dtype is torch.bfloat16


@pytest.mark.parametrize("n", [8, 17, 64])
def test_padding_is_interpolation(backend: str, n: int) -> None:
    # A signal made of the first frequencies, on a grid four times as fine.
    t, count = np.arange(4 * n) / (4 * n), n // 4
    wave = sum((k + 1) * np.cos(2 * np.pi * (k * t + k / 7)) for k in range(count))
    fine = oracle.tensor(wave).unsqueeze(-1)
    y = irfft_modes(rfft_modes(fine[::4], count, norm="forward"), 4 * n, norm="forward")
    oracle.assert_close(y, wave[:, None], n=4 * n, magnitude=2 * oracle.norm(fine), transforms=2)


# A table for each length and number of modes: those of the last ones are kept, and no more.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of the memory")
@pytest.mark.usefixtures("cpu_kernels")
def test_lengths_without_end_take_no_memory_without_end() -> None:
    def resident() -> int:  # KiB
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))

    before = resident()
    for n in range(3000, 3400):  # 1.6 MB each, there and back
        x = torch.zeros(1, n, 8)
        irfft_modes(rfft_modes(x, 64), n)
    assert resident() - before < 250 * 1024
    x = oracle.draw(1, 3000, 8, dtype=torch.float32)  # whose table was given up
    check(rfft_modes(x, 64), x, 64)
