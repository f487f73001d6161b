"""The native float32 kernels are at least as close to float64 as torch.fft is in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import torch

import spectrans
from spectrans.ops.conv import conv, conv_backward, conv_backward_reference, conv_reference
from spectrans.ops.filter import filter, filter_reference, filter_response_grad, filter_response_grad_reference
from spectrans.ops.filter2d import (
    effective_response,
    filter2d,
    filter2d_reference,
    filter2d_response_grad,
    filter2d_response_grad_reference,
)
from spectrans.ops.mixing import mixing, mixing_reference
from spectrans.ops.modes import modes, modes_inverse, modes_inverse_reference, modes_reference

LONG = (1000, 1023, 1024, 1536, 2187, 3125, 4096, 4099, 8191, 10007)

pytestmark = pytest.mark.usefixtures("cpu_kernels", "_fused_multiply_add")


@pytest.fixture
def _fused_multiply_add() -> None:
    """Skips where SPECTRANS_CPU forces a set without FMA on a CPU that has it: torch.fft would still use it."""
    cpu = spectrans.info()["cpu"]
    if cpu["forced"] == "baseline" and cpu["features"].get("fma"):
        pytest.skip("without FMA a product and its sum round twice; torch.fft has it")


def is_intel() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "GenuineIntel" in cpu.read_text()


#: What is not met. On Intel's CPUs with AVX-512 MKL rounds less at these than elsewhere: torch.fft is 3 to 7 % closer.
SHORTFALLS = frozenset(
    ["test_mixing_of_the_sequence[32]"]
    + [f"{test}[3125]" for test in ("test_filter", "test_modes_inverse", "test_single_lines")]
    + [f"test_filter2d[{grid}]" for grid in ((14, 16), (32, 14), (128, 14))]
)


@pytest.fixture(autouse=True)
def _shortfalls(request: pytest.FixtureRequest) -> None:
    if request.node.name in SHORTFALLS and torch.backends.cpu.get_cpu_capability() == "AVX512" and is_intel():
        reason = "MKL's transforms for Intel's AVX-512 are closer to float64"
        request.applymarker(pytest.mark.xfail(raises=AssertionError, reason=reason))  # not strict: models differ


# Both errors are estimates from a sample of random inputs; with S independent numbers each, the quotient of two equal
# root mean squares scatters by about 1/sqrt(S) relative. Three standard deviations are granted; S is kept in the
# thousands.
VALUES = 8192


def channels(n: int) -> int:
    return max(4, VALUES // (2 * n))


def rms(actual: torch.Tensor, expected: np.ndarray) -> float:
    """Root mean square of the error, relative to that of the result."""
    return float(np.linalg.norm(oracle.wide(actual) - expected) / np.linalg.norm(expected))


def assert_no_worse(native: torch.Tensor, reference: torch.Tensor, expected: np.ndarray, shortfall: float = 0) -> None:
    """`shortfall`: what is not met, of which the README tells."""
    ours, theirs = rms(native, expected), rms(reference, expected)
    slack = 3 / np.sqrt(expected.size) + shortfall
    assert ours <= theirs * (1 + slack), f"native {ours:.3g}, torch.fft {theirs:.3g}: ratio {ours / theirs:.3f}"


def every_length_and(lengths: tuple[int, ...]) -> list[int]:
    return [*range(1, 601), *lengths]


@pytest.mark.parametrize("n", every_length_and(LONG))
def test_mixing_of_the_sequence(n: int) -> None:
    x = oracle.draw(2, n, channels(n), dtype=torch.float32)
    for hartley in (False, True):
        flags = (True, False, hartley, 1)
        expected = oracle.mixing(oracle.wide(x), True, False, hartley, "ortho")
        assert_no_worse(mixing(x, *flags), mixing_reference(x, *flags), expected)


@pytest.mark.parametrize("d", every_length_and(LONG))
def test_mixing_of_the_hidden_axis(d: int) -> None:
    x = oracle.draw(2, channels(d), d, dtype=torch.float32)
    flags = (False, True, True, 1)
    expected = oracle.mixing(oracle.wide(x), False, True, True, "ortho")
    assert_no_worse(mixing(x, *flags), mixing_reference(x, *flags), expected)


@pytest.mark.parametrize("n", [*range(1, 601, 7), 1000, 1023, 1024, 1536])
def test_mixing_of_both(n: int) -> None:
    for d in (24, 31):
        x = oracle.draw(2, n, d, dtype=torch.float32)
        for hartley in (False, True):
            flags = (True, True, hartley, 1)
            expected = oracle.mixing(oracle.wide(x), True, True, hartley, "ortho")
            assert_no_worse(mixing(x, *flags), mixing_reference(x, *flags), expected)


@pytest.mark.parametrize("d", [32, 64, 128, 256, 512])
@pytest.mark.parametrize("n", [8, 16, 30, 64, 100, 128, 256, 512])
def test_mixing_of_both_at_powers_of_two(n: int, d: int) -> None:
    # Where torch rounds least, the sums that rows are folded to, of which the real parts are made, show; and with
    # AVX-512 there, on some CPUs, in Hartley transforms as well.
    x = oracle.draw(max(2, VALUES // (n * d)), n, d, dtype=torch.float32)
    for hartley, shortfall in ((False, 0.08), (True, 0.03)):
        flags = (True, True, hartley, 1)
        expected = oracle.mixing(oracle.wide(x), True, True, hartley, "ortho")
        assert_no_worse(mixing(x, *flags), mixing_reference(x, *flags), expected, shortfall)


@pytest.mark.parametrize("n", every_length_and(LONG))
def test_filter(n: int) -> None:
    d = channels(n)
    h = oracle.draw_response(n, d, torch.float32)
    for batch in (2, 1):
        x = oracle.draw(batch, n, d, dtype=torch.float32)
        expected = oracle.filtered(oracle.wide(x), oracle.wide(h))
        assert_no_worse(filter(x, h, False), filter_reference(x, h, False), expected)


@pytest.mark.parametrize("n", every_length_and(LONG))
def test_response_gradient(n: int) -> None:
    d = channels(n)
    x, g = oracle.draw(2, n, d, dtype=torch.float32), oracle.draw(2, n, d, dtype=torch.float32, seed=1)
    expected = oracle.response_grad(oracle.wide(g), oracle.wide(x))
    assert_no_worse(filter_response_grad(g, x), filter_response_grad_reference(g, x), expected)


SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 19, 24, 28, 32, 37, 49, 64, 97, 128)
GRIDS = [(side, side) for side in SIDES] + [grid for side in SIDES[1:] for grid in ((side, 14), (14, side), (1, side))]


@pytest.mark.parametrize("grid", dict.fromkeys(GRIDS), ids=str)
def test_filter2d(grid: tuple[int, int]) -> None:
    n = grid[0] * grid[1]
    d = channels(n)
    x, g = oracle.draw(2, n, d, dtype=torch.float32), oracle.draw(2, n, d, dtype=torch.float32, seed=1)
    h = oracle.draw_response2d(*grid, d, torch.float32)
    expected = oracle.filtered2d(oracle.wide(x), oracle.wide(h))
    assert_no_worse(filter2d(x, h, False), filter2d_reference(x, h, False), expected)
    expected = oracle.response_grad2d(oracle.wide(g), oracle.wide(x), grid[0])
    native, reference = (f(g, x, grid[0]) for f in (filter2d_response_grad, filter2d_response_grad_reference))
    assert_no_worse(native, reference, expected)


@pytest.mark.parametrize("n", SIDES)
def test_filter2d_of_one_column(n: int) -> None:
    # Of a single column torch makes a complex transform: twice the work, and half of the error ends in the imaginary
    # part, which it drops. What a real transform is held against is torch's real transform, of the same data as a row.
    d = channels(n)
    x, g = oracle.draw(2, n, d, dtype=torch.float32), oracle.draw(2, n, d, dtype=torch.float32, seed=1)
    column = oracle.draw_response2d(n, 1, d, torch.float32)
    row = effective_response(column, 1)[: n // 2 + 1].transpose(0, 1)
    expected = oracle.filtered2d(oracle.wide(x), oracle.wide(column))
    assert_no_worse(filter2d(x, column, False), filter2d_reference(x, row, False), expected)
    alone = (2 * torch.arange(n // 2 + 1)) % n == 0
    native = filter2d_response_grad(g, x, n)[: n // 2 + 1, 0] * torch.where(alone, 1, 2).reshape(-1, 1, 1)
    reference = filter2d_response_grad_reference(g, x, 1)[0]
    assert_no_worse(native, reference, oracle.response_grad2d(oracle.wide(g), oracle.wide(x), 1)[0])


@pytest.mark.parametrize("n", [*range(1, 601, 7), *LONG])
def test_conv(n: int) -> None:
    d = channels(n)
    k = oracle.draw(n, d, dtype=torch.float32) / n**0.5
    u, g = oracle.draw(2, n, d, dtype=torch.float32), oracle.draw(2, n, d, dtype=torch.float32, seed=1)
    for causal in (True, False):
        arguments = (u, k, None, None, None, causal)
        exact = (u.double(), k.double(), None, None, None, causal)
        expected = oracle.wide(conv_reference(*exact, False))
        assert_no_worse(conv(*arguments, False), conv_reference(*arguments, False), expected)
        native, reference = conv_backward(g, *arguments), conv_backward_reference(g, *arguments)
        for i, expected_grad in enumerate(conv_backward_reference(g.double(), *exact)[:2]):
            assert_no_worse(native[i], reference[i], oracle.wide(expected_grad))


@pytest.mark.parametrize("n", [*range(1, 601, 4), 1049, 2053, *LONG])
def test_modes(n: int) -> None:
    few = [n // 64 + 2] if n >= 1000 else []
    for count in (*few, min(n // 16 + 2, n // 2 + 1), n // 2 + 1):  # one alone is a sum
        d = max(channels(n), VALUES // (4 * count))
        x = oracle.draw(2, n, d, dtype=torch.float32)
        flags = (count, False, False, 1)
        expected = oracle.modes(oracle.wide(x), count, norm="ortho")
        y, reference = modes(x, *flags), modes_reference(x, *flags)
        assert_no_worse(torch.view_as_real(y), torch.view_as_real(reference), expected)


@pytest.mark.parametrize("n", [*range(1, 601, 4), *range(2, 66, 2), 100, 128, 256, 1049, 2053, *LONG])
def test_modes_inverse(n: int) -> None:
    few = [n // 64 + 1] if n >= 1000 else []
    shortfall = 0.08 if n in (4, 8) else 0  # sums of products that torch makes in two steps
    for count in (*few, n // 16 + 1, n // 2 + 1):
        z = torch.view_as_complex(oracle.draw(2, count, channels(n), 2, dtype=torch.float32))
        flags = (n, torch.float32, False, True, 2)
        expected = oracle.from_modes(oracle.wide(torch.view_as_real(z)), n)
        assert_no_worse(modes_inverse(z, *flags), modes_inverse_reference(z, *flags), expected, shortfall)


@pytest.mark.parametrize("n", [*oracle.LINE_LENGTHS, *LONG])
def test_single_lines(n: int) -> None:
    # One at a time, so that its parts share the lanes of a register.
    count = max(1, VALUES // n)
    x = oracle.draw(count, n, 1, dtype=torch.float32)
    z = torch.view_as_complex(oracle.draw(count, n // 2 + 1, 1, 2, dtype=torch.float32))
    h, k = oracle.draw_response(n, 1, torch.float32), oracle.draw(n, 1, dtype=torch.float32) / n**0.5

    def exact_lines(lines: torch.Tensor) -> torch.Tensor:
        return lines.to(torch.complex128 if lines.is_complex() else torch.float64)

    def each(op: Callable[..., torch.Tensor], lines: torch.Tensor, parameters: Iterable[Any]) -> torch.Tensor:
        result = torch.cat([op(line.unsqueeze(0), *parameters) for line in lines])
        return torch.view_as_real(result) if result.is_complex() else result

    for op, reference, lines, parameters in (
        (mixing, mixing_reference, x, (True, False, True, 1)),
        (filter, filter_reference, x, (h, False)),
        (modes, modes_reference, x, (n // 2 + 1, False, False, 1)),
        (modes_inverse, modes_inverse_reference, z, (n, torch.float32, False, True, 2)),
        (conv, conv_reference, x, (k, None, None, None, True, False)),
    ):
        exact = [p.double() if isinstance(p, torch.Tensor) else p for p in parameters]
        exact = [torch.float64 if p is torch.float32 else p for p in exact]
        expected = oracle.wide(each(reference, exact_lines(lines), exact))
        assert_no_worse(each(op, lines, parameters), each(reference, lines, parameters), expected)
