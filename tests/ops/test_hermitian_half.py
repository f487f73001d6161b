"""The op `hermitian_half` and its derivative, exactly, and their calculus."""

from __future__ import annotations

from collections.abc import Callable

import oracle
import pytest
import torch
from torch import Tensor

from spectrans._backend import run
from spectrans.ops.hermitian_half import hermitian_half, hermitian_half_backward

DTYPES = (torch.float32, torch.float64)
# Lengths around the smallest, odd and even; channels around a vector's lanes, and more than one of them.
SHAPES = ((1, 1), (1, 20), (2, 3), (3, 5), (4, 16), (5, 17), (8, 1), (9, 40), (64, 33), (65, 130))


def parts(n: int, d: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return oracle.draw(n, d, dtype=dtype), oracle.draw(n, d, dtype=dtype, seed=1)


def images(n: int) -> list[int]:
    return [-k % n for k in range(n // 2 + 1)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_what_a_real_signal_sees(backend: str, n: int, d: int, dtype: torch.dtype) -> None:
    real, imag = parts(n, d, dtype)
    half = run(hermitian_half, real, imag)
    assert half.shape == (n // 2 + 1, d, 2) and half.dtype is dtype and half.is_contiguous()
    own, image = slice(0, n // 2 + 1), images(n)
    assert torch.equal(half[..., 0], (real[own] + real[image]) / 2)  # one sum and a half, in either order
    assert torch.equal(half[..., 1], (imag[own] - imag[image]) / 2)
    x = oracle.draw(2, n, d)
    h = torch.complex(*parts(n, d))
    expected = torch.fft.ifft(torch.fft.fft(x, dim=-2) * h, dim=-2).real
    seen = torch.view_as_complex(run(hermitian_half, h.real, h.imag))
    oracle.assert_close(
        torch.fft.irfft(torch.fft.rfft(x, dim=-2) * seen, n=n, dim=-2),
        oracle.wide(expected),
        n=n,
        magnitude=float(h.abs().max()) * oracle.norm(x),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_adjoint(backend: str, n: int, d: int, dtype: torch.dtype) -> None:
    grad = oracle.draw(n // 2 + 1, d, 2, dtype=dtype)
    real, imag = run(hermitian_half_backward, grad, n)
    for part in (real, imag):
        assert part.shape == (n, d) and part.dtype is dtype and part.is_contiguous()
    for k, image in enumerate(images(n)):
        if image == k:
            assert torch.equal(real[k], grad[k, :, 0]) and not imag[k].any()
        else:
            assert torch.equal(real[k], grad[k, :, 0] / 2) and torch.equal(real[image], real[k])
            assert torch.equal(imag[k], grad[k, :, 1] / 2) and torch.equal(imag[image], -imag[k])


@pytest.mark.parametrize("layout", ["transposed", "odd_offset", "every_other", "expanded_channels", "misaligned"])
def test_layouts(backend: str, layout: str) -> None:
    n, d = 9, 20
    laid = oracle.LAYOUTS[layout]((1, n, d), torch.float32)[0]
    plain = oracle.draw(n, d, dtype=torch.float32, seed=1)
    for real, imag in ((laid, plain), (plain, laid)):
        half = run(hermitian_half, real, imag)
        assert torch.equal(half, run(hermitian_half, real.contiguous(), imag.contiguous())) and half.is_contiguous()
    grad = oracle.LAYOUTS[layout]((n // 2 + 1, d, 2), torch.float32)
    for a, b in zip(
        run(hermitian_half_backward, grad, n), run(hermitian_half_backward, grad.contiguous(), n), strict=True
    ):
        assert torch.equal(a, b) and a.is_contiguous()


def test_no_channels(backend: str) -> None:
    assert run(hermitian_half, torch.empty(5, 0), torch.empty(5, 0)).shape == (3, 0, 2)
    assert [part.shape for part in run(hermitian_half_backward, torch.empty(3, 0, 2), 5)] == [(5, 0)] * 2


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_gradcheck(backend: str, n: int) -> None:
    real, imag = (part.requires_grad_() for part in parts(n, 3))
    grad = oracle.draw(n // 2 + 1, 3, 2).requires_grad_()
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda a, b: run(hermitian_half, a, b), (real, imag))
        assert check(lambda g: run(hermitian_half_backward, g, n), (grad,))


@pytest.mark.parametrize(("real_dim", "imag_dim"), [(0, 0), (1, None), (None, 2), (2, 1)])
def test_vmap(backend: str, real_dim: int | None, imag_dim: int | None) -> None:
    real, imag = (
        oracle.draw(6, 5, seed=i) if dim is None else oracle.draw(4, 6, 5, seed=i).movedim(0, dim).contiguous()
        for i, dim in enumerate((real_dim, imag_dim))
    )
    half = torch.vmap(lambda a, b: run(hermitian_half, a, b), (real_dim, imag_dim))(real, imag)
    for i in range(4):
        of = (t if dim is None else t.select(dim, i) for t, dim in ((real, real_dim), (imag, imag_dim)))
        assert torch.equal(half[i], run(hermitian_half, *of))
    back = torch.vmap(lambda g: run(hermitian_half_backward, g, 6), 0)(half)
    for i in range(4):
        for a, b in zip(back, run(hermitian_half_backward, half[i], 6), strict=True):
            assert torch.equal(a[i], b)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype: torch.dtype) -> None:
    torch.library.opcheck(hermitian_half, parts(6, 5, dtype))
    torch.library.opcheck(hermitian_half_backward, (oracle.draw(4, 5, 2, dtype=dtype), 6))


@pytest.mark.usefixtures("native_library")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hermitian_half(torch.ones(4, 3), torch.ones(4, 2)), "imag must have the shape and dtype of real"),
        (lambda: hermitian_half(torch.ones(4), torch.ones(4)), r"real must have shape \[n, d\], n > 0"),
        (lambda: hermitian_half(torch.ones(4, 3).half(), torch.ones(4, 3).half()), "must be float32 or float64"),
        (lambda: hermitian_half_backward(torch.ones(4, 3, 2), 8), r"grad must have shape \[n // 2 \+ 1, d, 2\]"),
    ],
)
def test_bad_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
