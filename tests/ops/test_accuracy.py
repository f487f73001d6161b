"""The native float32 kernels are at least as close to float64 as torch.fft is in float32."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch

import spectrans
from spectrans.ops.filter import filter, filter_reference, filter_response_grad, filter_response_grad_reference
from spectrans.ops.mixing import mixing, mixing_reference
from spectrans.ops.modes import modes, modes_inverse, modes_inverse_reference, modes_reference

LONG = (1000, 1023, 1024, 1536, 2187, 3125, 4096, 4099, 8191, 10007)

pytestmark = pytest.mark.usefixtures("native_library", "_fused_multiply_add")


@pytest.fixture
def _fused_multiply_add() -> None:
    """Skips where SPECTRANS_CPU forces a set without FMA on a CPU that has it: torch.fft would still use it."""
    cpu = spectrans.info()["cpu"]
    if cpu["forced"] == "baseline" and cpu["features"].get("fma"):
        pytest.skip("without FMA a product and its sum round twice; torch.fft has it")


# Both errors are estimates from a sample of random inputs; with S independent numbers each, the quotient of two equal
# root mean squares scatters by about 1/sqrt(S) relative. Three standard deviations are granted; S is kept in the
# thousands.
VALUES = 8192


def channels(n: int) -> int:
    return max(4, min(256, VALUES // (2 * n)))


def rms(actual: torch.Tensor, expected: np.ndarray) -> float:
    """Root mean square of the error, relative to that of the result."""
    return float(np.linalg.norm(oracle.wide(actual) - expected) / np.linalg.norm(expected))


def compare(native: torch.Tensor, reference: torch.Tensor, expected: np.ndarray) -> None:
    ours, theirs = rms(native, expected), rms(reference, expected)
    slack = 3 / np.sqrt(expected.size)
    assert ours <= theirs * (1 + slack), f"native {ours:.3g}, torch.fft {theirs:.3g}: ratio {ours / theirs:.3f}"


def slow(lengths: tuple[int, ...]) -> list[int]:
    return [*range(1, 601), *lengths]


@pytest.mark.parametrize("n", slow(LONG))
def test_mixing_of_the_sequence(n: int) -> None:
    x = oracle.draw(2, n, channels(n), dtype=torch.float32)
    for hartley in (False, True):
        flags = (True, False, hartley, 1)
        expected = oracle.mixing(oracle.wide(x), True, False, hartley, "ortho")
        compare(mixing(x, *flags), mixing_reference(x, *flags), expected)


@pytest.mark.parametrize("d", slow(LONG))
def test_mixing_of_the_hidden_axis(d: int) -> None:
    x = oracle.draw(2, channels(d), d, dtype=torch.float32)
    flags = (False, True, True, 1)
    expected = oracle.mixing(oracle.wide(x), False, True, True, "ortho")
    compare(mixing(x, *flags), mixing_reference(x, *flags), expected)


@pytest.mark.parametrize("n", [*range(1, 601, 7), 1000, 1023, 1024, 1536])
def test_mixing_of_both(n: int) -> None:
    for d in (24, 31):
        x = oracle.draw(2, n, d, dtype=torch.float32)
        for hartley in (False, True):
            flags = (True, True, hartley, 1)
            expected = oracle.mixing(oracle.wide(x), True, True, hartley, "ortho")
            compare(mixing(x, *flags), mixing_reference(x, *flags), expected)


@pytest.mark.parametrize("n", slow(LONG))
def test_filter(n: int) -> None:
    d = channels(n)
    h = oracle.draw_response(n, d, torch.float32)
    for batch in (2, 1):
        x = oracle.draw(batch, n, d, dtype=torch.float32)
        expected = oracle.filtered(oracle.wide(x), oracle.wide(h))
        compare(filter(x, h, False), filter_reference(x, h, False), expected)


@pytest.mark.parametrize("n", slow(LONG))
def test_response_gradient(n: int) -> None:
    d = channels(n)
    x, g = oracle.draw(2, n, d, dtype=torch.float32), oracle.draw(2, n, d, dtype=torch.float32, seed=1)
    expected = oracle.response_grad(oracle.wide(g), oracle.wide(x))
    compare(filter_response_grad(g, x), filter_response_grad_reference(g, x), expected)


@pytest.mark.parametrize("n", [*range(1, 601, 4), *LONG])
def test_modes(n: int) -> None:
    for count in (min(n // 16 + 2, n // 2 + 1), n // 2 + 1):  # one alone is a sum
        d = max(channels(n), VALUES // (4 * count))
        x = oracle.draw(2, n, d, dtype=torch.float32)
        flags = (count, False, False, 1)
        expected = oracle.modes(oracle.wide(x), count, norm="ortho")
        compare(modes(x, *flags), modes_reference(x, *flags), expected)


@pytest.mark.parametrize("n", [*range(1, 601, 4), *LONG])
def test_modes_inverse(n: int) -> None:
    for count in (n // 16 + 1, n // 2 + 1):
        pairs = oracle.draw(2, count, channels(n), 2, dtype=torch.float32)
        flags = (n, torch.float32, False, True, 2)
        expected = oracle.from_modes(oracle.wide(pairs), n)
        compare(modes_inverse(pairs, *flags), modes_inverse_reference(pairs, *flags), expected)
