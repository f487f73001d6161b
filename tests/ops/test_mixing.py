"""The op `mixing` against the float64 oracle, and its calculus."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch

import spectrans
from spectrans.functional import fourier_mixing, hartley_mixing
from spectrans.ops.mixing import NORMS, mixing, mixing_reference

AXES = {"both": (True, True), "sequence": (True, False), "hidden": (False, True)}
FUNCTIONS = {"fourier": fourier_mixing, "hartley": hartley_mixing}


def points(x: torch.Tensor, sequence: bool, hidden: bool) -> int:
    return max(1, (x.shape[-2] if sequence else 1) * (x.shape[-1] if hidden else 1))


def check(y: torch.Tensor, x: torch.Tensor, sequence: bool, hidden: bool, hartley: bool, norm: str) -> None:
    expected = oracle.mixing(oracle.wide(x), sequence, hidden, hartley, norm)
    total = points(x, sequence, hidden)
    scale = {"backward": total**0.5, "ortho": 1.0, "forward": total**-0.5}[norm]
    # |Re z| + |Im z| <= sqrt(2) |z|: cas has that norm where Re alone has 1.
    oracle.assert_close(y, expected, n=total, magnitude=2**0.5 * scale * oracle.norm(x))


@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
@pytest.mark.parametrize("n", oracle.LENGTHS)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_lengths_of_the_sequence(backend: str, kind: str, n: int, dtype: torch.dtype) -> None:
    x = oracle.draw(3, n, 5, dtype=dtype)
    for dims in (1, 2):
        y = FUNCTIONS[kind](x, dims)
        assert y.dtype is dtype
        check(y, x, True, dims == 2, kind == "hartley", "ortho")


@pytest.mark.parametrize("d", oracle.LENGTHS)
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("hartley", [False, True])
def test_lengths_of_the_hidden_axis(axes: str, d: int, hartley: bool) -> None:
    for dtype in (torch.float32, torch.float64):
        x = oracle.draw(3, 6, d, dtype=dtype)
        check(mixing(x, *AXES[axes], hartley, 1), x, *AXES[axes], hartley, "ortho")


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("n", oracle.LINE_LENGTHS)
@pytest.mark.parametrize("hartley", [False, True])
def test_lines_in_parts(n: int, hartley: bool) -> None:
    for batch, d, dtype in oracle.lines(oracle.LINE_LENGTHS.index(n)):
        x = oracle.draw(batch, n, d, dtype=dtype)
        for norm, name in enumerate(NORMS) if dtype == torch.float32 else ((1, "ortho"),):
            check(mixing(x, True, False, hartley, norm), x, True, False, hartley, name)
            check(mixing(x, True, True, hartley, norm), x, True, True, hartley, name)
        for axes in AXES.values():  # few rows, of as many channels
            check(mixing(x.mT, *axes, hartley, 1), x.mT, *axes, hartley, "ortho")
            copy = x.mT.contiguous()
            check(mixing(copy, *axes, hartley, 1), copy, *axes, hartley, "ortho")


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts_of_lines_in_parts(layout: str) -> None:
    for shape in ((3, 480, 1), (2, 393, 3)):
        x = oracle.LAYOUTS[layout](shape, torch.float32)
        for axes in AXES.values():
            check(mixing(x, *axes, False, 1), x, *axes, False, "ortho")


@pytest.mark.parametrize(("n", "d"), [(64, 48), (128, 128), (100, 70), (17, 23), (37, 64), (64, 37), (33, 130)])
@pytest.mark.parametrize("hartley", [False, True])
def test_planes(n: int, d: int, hartley: bool) -> None:
    for dtype in (torch.float32, torch.float64):
        x = oracle.draw(2, n, d, dtype=dtype)
        for axes in AXES.values():
            check(mixing(x, *axes, hartley, 1), x, *axes, hartley, "ortho")


# Lengths that are rows of whole vectors: one short of a block of them, whole blocks, blocks and a rest, a prime factor.
@pytest.mark.parametrize("d", [8, 32, 128, 144, 192, 256, 272, 384, 416, 768])
@pytest.mark.parametrize("hartley", [False, True])
def test_rows_of_whole_vectors(cpu_kernels: None, d: int, hartley: bool) -> None:
    for n in (2, 5, 12, 33, 60):  # of so few bins, and of so many that rows may be side by side instead
        for dtype in oracle.DTYPES:
            x = oracle.draw(2, n, d, dtype=dtype)
            y = mixing(x, True, True, hartley, 1)
            check(y, x, True, True, hartley, "ortho")
            padded = oracle.draw(2, n, d + 3, dtype=dtype)[..., 3:].copy_(x)  # rows that are not aligned
            assert torch.equal(mixing(padded, True, True, hartley, 1), y)
            assert torch.equal(mixing(x[:1], True, True, hartley, 1), y[:1])  # threads share an item


@pytest.mark.parametrize("hartley", [False, True])
def test_more_columns_than_the_caches_hold(cpu_kernels: None, hartley: bool) -> None:
    x = oracle.draw(2, 2049, 1024, dtype=torch.float32)
    check(mixing(x, True, True, hartley, 1), x, True, True, hartley, "ortho")


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("shape", oracle.LARGE, ids=str)
def test_large_signals(shape: tuple[int, int, int], axes: str) -> None:
    for dtype in (torch.bfloat16, torch.float32):
        x = oracle.draw(*shape, dtype=dtype)
        check(mixing(x, *AXES[axes], False, 1), x, *AXES[axes], False, "ortho")


@pytest.mark.parametrize("norm", oracle.NORMS)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_norms(backend: str, kind: str, norm: str) -> None:
    for dims in (1, 2):
        x = oracle.draw(2, 12, 10)
        check(FUNCTIONS[kind](x, dims, norm), x, True, dims == 2, kind == "hartley", norm)
    assert torch.equal(FUNCTIONS[kind](x, 2, None), FUNCTIONS[kind](x, 2, "backward"))


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("d", [32, 96, 128, 144, 256])
def test_channels_apart(d: int) -> None:
    # Rows of whole vectors, whose values are not side by side.
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        x = oracle.draw(2, 12, d, dtype=dtype)
        for layout in (x.repeat_interleave(2, 2)[..., ::2], x[..., :1].expand(x.shape)):
            for axes in AXES.values():
                for hartley in (False, True):
                    check(mixing(layout, *axes, hartley, 1), layout, *axes, hartley, "ortho")


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "d"), oracle.PACKS)
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_items_side_by_side(batch: int, d: int, dtype: torch.dtype) -> None:
    for n in (24, 67):
        x = oracle.draw(batch, n, d, dtype=dtype)
        for layout in (x, x.repeat_interleave(2, 1)[:, ::2], x.repeat_interleave(2, 2)[..., ::2]):
            for axes in AXES.values():
                check(mixing(layout, *axes, False, 1), x, *axes, False, "ortho")


@pytest.mark.parametrize("batch", oracle.BATCHES, ids=str)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_batches(backend: str, kind: str, batch: tuple[int, ...]) -> None:
    for dims in (1, 2):
        x = oracle.draw(*batch, 12, 7, dtype=torch.float32).requires_grad_()
        y = FUNCTIONS[kind](x, dims)
        check(y, x, True, dims == 2, kind == "hartley", "ortho")
        (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
        assert grad.shape == x.shape


def test_no_channels(backend: str) -> None:
    assert fourier_mixing(torch.empty(2, 5, 0), 1).shape == (2, 5, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
@pytest.mark.parametrize("axes", AXES)
def test_layouts(layout: str, axes: str, dtype: torch.dtype) -> None:
    for shape in ((3, 12, 20), (2, 17, 5)):
        x = oracle.LAYOUTS[layout](shape, dtype)
        before = x.clone()
        version = x._version
        y = mixing(x, *AXES[axes], True, 1)
        check(y, x, *AXES[axes], True, "ortho")
        assert y.stride() == torch.empty_like(x).stride()
        assert torch.equal(x, before) and x._version == version


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_negated_view(backend: str, kind: str) -> None:
    x = torch.complex(oracle.draw(2, 8, 4), oracle.draw(2, 8, 4, seed=1)).conj().imag
    assert x.is_neg()
    check(FUNCTIONS[kind](x), x, True, True, kind == "hartley", "ortho")


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_gradient_of_a_sum(backend: str, kind: str, n: int) -> None:
    # The gradient that arrives has stride 0 everywhere. The operator is symmetric.
    x = oracle.draw(3, n, 6, dtype=torch.float32).requires_grad_()
    for dims in (1, 2):
        (grad,) = torch.autograd.grad(FUNCTIONS[kind](x, dims).sum(), x)
        check(grad, torch.ones_like(x), True, dims == 2, kind == "hartley", "ortho")


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 5, 3), (2, 8, 4), (3, 6)], ids=str)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_gradcheck(backend: str, kind: str, dims: int, shape: tuple[int, ...]) -> None:
    x = oracle.draw(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: FUNCTIONS[kind](x, dims), (x,))
    assert torch.autograd.gradgradcheck(lambda x: FUNCTIONS[kind](x, dims), (x,))


@pytest.mark.parametrize("norm", oracle.NORMS)
@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_self_adjoint(backend: str, kind: str, n: int, norm: str) -> None:
    x, g = oracle.draw(n, 7), oracle.draw(n, 7, seed=1)
    for dims in (1, 2):
        left, right = (FUNCTIONS[kind](x, dims, norm) * g).sum(), (x * FUNCTIONS[kind](g, dims, norm)).sum()
        scale = {"backward": 1.0, "ortho": (7 * n) ** -0.5, "forward": 1 / (7 * n)}[norm] * (7 * n) ** 0.5
        bound = 2 * 2**0.5 * scale * oracle.transform_error(torch.float64, 7 * n) * oracle.norm(x, g)
        assert abs(left - right) <= bound


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_linear(backend: str, kind: str, n: int) -> None:
    x, z = oracle.draw(2, n, 6), oracle.draw(2, n, 6, seed=1)
    f = FUNCTIONS[kind]
    oracle.assert_close(
        f(2.5 * x - z),
        oracle.wide(2.5 * f(x) - f(z)),
        n=6 * n,
        magnitude=4 * oracle.norm(x) + oracle.norm(z),
        transforms=4,
    )


@pytest.mark.parametrize("n", oracle.FEW_LENGTHS)
def test_shift_theorem(backend: str, n: int) -> None:
    # Re F and Im F of x rolled by s are those of x, rotated by 2 pi k s / n. Hartley gives (Re - Im) and, reversed,
    # (Re + Im), so it determines both.
    x, s = oracle.draw(2, n, 3), 2
    k = torch.arange(n)
    mixed, rolled = hartley_mixing(x, 1), hartley_mixing(x.roll(s, -2), 1)
    angle = (2 * torch.pi * ((k * s) % n).double() / n).unsqueeze(-1)
    expected = torch.cos(angle) * mixed + torch.sin(angle) * mixed[:, (-k) % n]
    oracle.assert_close(rolled, oracle.wide(expected), n=n, magnitude=2 * oracle.norm(x), transforms=2)


@pytest.mark.parametrize("n", oracle.LENGTHS)
def test_parseval(backend: str, n: int) -> None:
    x = oracle.draw(2, n, 5)
    for dims in (1, 2):
        y = hartley_mixing(x, dims)
        bound = 2 * 2**0.5 * oracle.transform_error(torch.float64, 5 * n)
        assert abs(oracle.norm(y) - oracle.norm(x)) <= bound * oracle.norm(x)
        oracle.assert_close(
            hartley_mixing(y, dims), oracle.wide(x), n=5 * n, magnitude=2 * oracle.norm(x), transforms=2
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_nan_stays_in_its_sample(backend: str, kind: str, value: float) -> None:
    for n in (8, 17):
        for spoilt in range(3):
            x = oracle.draw(3, n, 20, dtype=torch.float32)
            clean = x.clone()
            x[spoilt, 1, 2] = value
            others = [i for i in range(3) if i != spoilt]
            for dims in (1, 2):
                y = FUNCTIONS[kind](x, dims)
                check(y[others], clean[others], True, dims == 2, kind == "hartley", "ortho")
                assert not y[spoilt].isfinite().all()
                if dims == 1:
                    assert y[spoilt, :, 3:].isfinite().all() and y[spoilt, :, :2].isfinite().all()


@pytest.mark.usefixtures("native_library")  # torch.fft promises no such thing
@pytest.mark.parametrize("dtype", oracle.DTYPES, ids=str)
def test_bitwise_reproducible(threads: int, dtype: torch.dtype) -> None:
    for shape in ((5, 60, 36), (1, 480, 100), (3, 480, 100)):
        x = oracle.draw(*shape, dtype=dtype)
        torch.set_num_threads(1)
        alone = {axes: mixing(x, *AXES[axes], True, 1) for axes in AXES}
        torch.set_num_threads(threads)
        for axes, expected in alone.items():
            for _ in range(3):
                assert torch.equal(mixing(x, *AXES[axes], True, 1), expected)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("hartley", [False, True])
@pytest.mark.parametrize(("dtype", "layout"), oracle.OPCHECKED, ids=str)
def test_opcheck(dtype: torch.dtype, layout: str, hartley: bool, axes: str) -> None:
    x = oracle.LAYOUTS[layout]((2, 6, 5), dtype).requires_grad_()
    torch.library.opcheck(mixing, (x, *AXES[axes], hartley, 1))


@pytest.mark.parametrize("norm", range(3))
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("hartley", [False, True])
def test_reference_agrees(axes: str, hartley: bool, norm: int) -> None:
    x = oracle.draw(2, 15, 14)
    y, reference = mixing(x, *AXES[axes], hartley, norm), mixing_reference(x, *AXES[axes], hartley, norm)
    oracle.assert_close(y, oracle.wide(reference), n=210, magnitude=2 * oracle.norm(x) * 210**0.5, transforms=2)


@pytest.mark.parametrize("dim", [0, 1, 2, 3])
def test_vmap(backend: str, dim: int) -> None:
    x = oracle.draw(3, 2, 8, 6)
    for f in FUNCTIONS.values():
        mapped = torch.func.vmap(f, in_dims=dim, out_dims=dim)(x)
        looped = torch.stack([f(part) for part in x.unbind(dim)], dim)
        oracle.assert_close(mapped, oracle.wide(looped), n=48 * 3, magnitude=2 * oracle.norm(x), transforms=2)


def test_torch_func_derivatives(backend: str) -> None:
    x = oracle.draw(5, 3)
    f = lambda x: hartley_mixing(x).pow(3).sum()  # noqa: E731
    t = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(f(t), t)
    bound = {"n": 15, "magnitude": 100 * oracle.norm(x) ** 2, "transforms": 2}
    oracle.assert_close(torch.func.grad(f)(x), oracle.wide(expected), **bound)
    oracle.assert_close(torch.func.jacfwd(f)(x), oracle.wide(expected), **bound)
    _, tangent = torch.func.jvp(hartley_mixing, (x,), (x,))
    oracle.assert_close(tangent, oracle.wide(hartley_mixing(x)), n=15, magnitude=2 * oracle.norm(x), transforms=2)


@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_fake_strides(layout: str) -> None:
    real = oracle.LAYOUTS[layout]((3, 12, 20), torch.float32)
    mode = torch._subclasses.FakeTensorMode()
    with mode:
        y = mixing(mode.from_tensor(real), True, True, False, 1)
    assert y.stride() == mixing(real, True, True, False, 1).stride()
    assert y.dtype is torch.float32


def test_autocast_keeps_the_dtype(backend: str) -> None:
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        for dtype in oracle.DTYPES:
            x = oracle.draw(2, 8, 4, dtype=dtype)
            y = fourier_mixing(x)
            assert y.dtype is dtype
            check(y, x, True, True, False, "ortho")


def test_backward_runs_the_op(native_library: None) -> None:
    x = torch.randn(2, 8, 4, requires_grad=True)
    steps = spectrans.explain(lambda: fourier_mixing(x).sum().backward()).steps
    assert [(step.op, step.implementation) for step in steps] == [("spectrans::mixing", "native")] * 2


def test_against_the_definition() -> None:
    # The one test that does not trust an FFT library.
    n, d = 6, 5
    x = oracle.draw(n, d)
    phase = (
        2
        * np.pi
        * (
            np.arange(n)[:, None, None, None] * np.arange(n)[:, None] / n
            + np.arange(d)[:, None, None] * np.arange(d) / d
        )
    )  # [p, q, j, l]
    for f, kernel in ((fourier_mixing, np.cos(phase)), (hartley_mixing, np.cos(phase) + np.sin(phase))):
        expected = (kernel * oracle.wide(x)).sum((2, 3)) / np.sqrt(n * d)
        oracle.assert_close(f(x), expected, n=n * d, magnitude=n * d * oracle.norm(x))
