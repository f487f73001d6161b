"""Sums over large batches: as accurate as if they were added pairwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from spectrans.functional import fft_conv, spectral_filter, spectral_filter2d, spectral_filter_plane

# Equal terms, whose rounding errors are equal, too: one after the other, a hundred thousand would lose two digits.
CASES: dict[str, tuple[tuple[int, int, int], Callable[..., torch.Tensor], tuple[int, ...]]] = {
    "filter": ((100_000, 1, 16), spectral_filter, (1, 16, 2)),
    "filter, few channels": ((20_000, 1, 1), spectral_filter, (1, 1, 2)),
    "filter, parts of a line": ((5_000, 288, 1), spectral_filter, (145, 1, 2)),
    "filter2d": ((100_000, 1, 16), lambda x, h: spectral_filter2d(x, h, (1, 1)), (1, 1, 16, 2)),
    "filter2d, parts of a row": ((5_000, 288, 1), lambda x, h: spectral_filter2d(x, h, (8, 36)), (8, 19, 1, 2)),
    "filter_plane": ((100_000, 1, 16), spectral_filter_plane, (1, 16, 2)),
    "conv": ((100_000, 1, 16), fft_conv, (1, 16)),
    "conv, parts of a line": ((5_000, 144, 1), fft_conv, (1, 1)),
}


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("name", CASES)
def test_large_batches(threads: int, name: str) -> None:
    (batch, n, d), f, shape = CASES[name]
    x, h = torch.full((batch, n, d), 1.1), torch.ones(shape)

    def gradient(x: torch.Tensor) -> torch.Tensor:
        taps = h.to(x.dtype).requires_grad_()
        (result,) = torch.autograd.grad(f(x, taps), taps, x)
        return result

    exact = batch * gradient(x[:1].double())
    error = (gradient(x).double() - exact).abs().max() / exact.abs().max()
    assert float(error) <= 16 * torch.finfo(torch.float32).eps
