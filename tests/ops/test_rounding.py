"""Halves are the nearest to what was computed: ties, overflow, subnormal numbers, whatever a NaN's bits are."""

from __future__ import annotations

import pytest
import torch

from spectrans.functional import spectral_filter

HALVES = (torch.float16, torch.bfloat16)


def rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float32 -> halves, by a kernel: a filter of one sample, 1."""
    response = torch.stack((values, torch.zeros_like(values)), dim=-1).unsqueeze(0)
    return spectral_filter(torch.ones(1, len(values), dtype=dtype), response).flatten()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_nearest(dtype: torch.dtype) -> None:
    # Every half, the floats next to it, and the ties between it and the next, with their neighbours.
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    halves = bits.view(dtype).float().view(torch.int32)
    tie = 1 << (12 if dtype is torch.float16 else 15)
    for step in (0, 1, -1, tie, tie - 1, tie + 1):
        values = (halves + step).view(torch.float32)
        assert same(rounded(values, dtype), values.to(dtype)), step


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_any_bits(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**31), 2**31, (1 << 16,), generator=generator).to(torch.int32)
    special = [0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0x7F7FFFFF, 0x7F7F8000, 0x477FEFFF, 0x477FF000, 1]
    bits[: 2 * len(special)] = torch.tensor([*special, *(s - 2**31 for s in special)], dtype=torch.int32)
    values = bits.view(torch.float32)
    assert same(rounded(values, dtype), values.to(dtype))


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_are_read_exactly(dtype: torch.dtype) -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    x = bits.view(dtype).unsqueeze(0)
    y = spectral_filter(x, torch.ones(1, len(bits), 2))
    assert same(y, x) and y.dtype is dtype
