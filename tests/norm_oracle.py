"""The oracle of the norms (long double, the SVD in float64), how far from it they may be, and tensors of every kind."""

from __future__ import annotations

import math

import numpy as np
import oracle
import torch
from torch import Tensor

from spectrans.functional import energy, orthogonality_error, spectral_norm

DTYPES = (*oracle.DTYPES, torch.complex64, torch.complex128)
FULL_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
REAL_OR_COMPLEX = [torch.float64, torch.complex128]
U = 2.0**-53  # the unit roundoff of float64, in which energies and Gram matrices are summed

#: The relative accuracy that is promised of singular values.
ACCURACY = {torch.float32: 1e-6, torch.float64: 1e-10}


def exact(t: Tensor) -> np.ndarray:
    """In long double: wide enough for a float64 oracle to be one."""
    return oracle.wide(t).astype(np.clongdouble if t.is_complex() else np.longdouble)


def real_view(t: Tensor) -> Tensor:
    """What the ops take."""
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t.resolve_neg()


def spoilt(t: Tensor, at: tuple[int, ...], value: float) -> Tensor:
    """A copy with `value` in one place, the imaginary part of a complex tensor."""
    t = t.clone()
    (torch.view_as_real(t)[..., 1] if t.is_complex() else t)[at] = value
    return t


def views(dtype: torch.dtype) -> list[Tensor]:
    """Tensors that say one thing and store another, or share their elements."""
    x = oracle.draw(4, 6, 8, dtype=dtype)
    z = torch.complex(oracle.draw(4, 6, 8), oracle.draw(4, 6, 8, seed=1))
    z = z.to(dtype if dtype.is_complex else torch.complex64)
    found = [x[::2, :, 1::3], x.expand(3, 4, 6, 8)[..., 0], x.unfold(2, 3, 1)[0], torch._neg_view(x)]
    found += [x.conj(), x.mH, x.conj()[:, ::2]] if dtype.is_complex else []
    return found + ([z.conj().imag, z.real.mT] if dtype in (torch.float32, torch.complex64) else [])


def summed(t: Tensor, dims: tuple[int, ...]) -> int:
    """How many squares are added."""
    return math.prod(t.shape[axis] for axis in dims) * (2 if t.is_complex() else 1)


def exact_energy(t: Tensor, dims: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    a = exact(t)
    return np.sum(a.real**2 + a.imag**2, axis=dims)


def assert_energy(actual: Tensor, expected: np.ndarray, terms: int) -> None:
    """A term is rounded when it is squared and in every sum it is part of: `terms` times at most, in any order."""
    assert actual.dtype is torch.float64
    assert tuple(actual.shape) == expected.shape
    with np.errstate(invalid="ignore"):
        error = np.abs(exact(actual) - expected)
    # What underflows is off by a subnormal at most.
    assert (error <= terms * (U * (1 + 1e-9) * expected + 2.0**-1074)).all()


def check_energy(t: Tensor, dims: tuple[int, ...] = (-2, -1), argument: int | tuple[int, ...] | None = None) -> None:
    """The energy of `t` over `dims`, asked for as `argument`."""
    actual = energy(t, dims if argument is None else argument)
    assert_energy(actual, exact_energy(t, dims), summed(t, dims))


def check_orthogonality_error(t: Tensor) -> None:
    actual = orthogonality_error(t)
    a = exact(t)
    m, n = a.shape[-2:]
    residual = np.einsum("...ik,...jk->...ij", a, a.conj()) - np.eye(m)
    expected = np.sqrt((residual.real**2 + residual.imag**2).sum((-2, -1)))
    assert actual.dtype is torch.float64 and tuple(actual.shape) == expected.shape
    # A sum of k = n products (2n for complex, in either part) is off by k u |T| |T|^T (sqrt 2 k u), elementwise, so
    # that ||R|| is by k u ||T||^2; then I is subtracted, and at most m^2 squares (2m^2) are added.
    parts = 2 if t.is_complex() else 1
    size = (a.real**2 + a.imag**2).sum((-2, -1))
    bound = (parts**1.5 * n * size + (1 + parts * m * m / 2 + 2) * expected) * U * (1 + 1e-9)
    assert (np.abs(exact(actual) - expected) <= bound).all()


def largest_value(t: Tensor) -> np.ndarray:
    """By the SVD in float64, with every matrix scaled to 1 first: by a power of two, so exactly."""
    a = oracle.wide(t)
    if a.size == 0:
        return np.zeros(a.shape[:-2])
    peak = np.maximum(np.abs(a.real), np.abs(a.imag)).max((-2, -1), keepdims=True)
    # In two steps: 2^1074, which brings the smallest subnormal to 1, is no float64.
    half = np.where(peak > 0, np.frexp(peak)[1], 0) // 2
    rest = np.where(peak > 0, np.frexp(peak)[1], 0) - half
    for power in (half, rest):
        a = a * np.ldexp(1.0, -power)
    values = np.linalg.norm(a, 2, axis=(-2, -1)).astype(np.longdouble)
    return np.ldexp(np.ldexp(values, half[..., 0, 0]), rest[..., 0, 0])


def check_spectral_norm(t: Tensor) -> Tensor:
    value, expected = spectral_norm(t), largest_value(t)
    real = t.dtype.to_real() if t.is_complex() else t.dtype
    assert value.dtype is real and tuple(value.shape) == expected.shape
    info = torch.finfo(real)
    accuracy = ACCURACY[oracle.compute(real)] + (info.eps / 2 if real.itemsize == 2 else 0)
    smallest = info.smallest_normal * info.eps  # subnormals are so far apart
    assert (np.abs(exact(value) - expected) <= accuracy * expected + smallest).all(), (value, expected)
    return value
