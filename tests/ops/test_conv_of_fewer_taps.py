"""`conv` where taps are few, or far fewer than samples: by definition, and by segments of the signal."""

from __future__ import annotations

from itertools import product

import oracle
import pytest
import torch
from conv_oracle import check, check_all, check_backward, check_long, draw

from spectrans.ops.conv import conv, conv_backward


# One segment of rows, or several, with zeros around the first and the last.
@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(
    ("case", "n", "m"), [(0, 255, 5), (1, 511, 32), (2, 512, 1), (3, 513, 4), (4, 769, 17), (5, 1040, 64)]
)
def test_few_taps(case: int, n: int, m: int) -> None:
    for kind, gates in enumerate(((False, False, False), (True, True, True), (False, True, False))):
        dtypes = (torch.bfloat16, torch.float32, torch.float64)
        for place, (batch, d) in enumerate(((1, 1), (2, 20), (5, 3), (1, 70))):
            dtype = dtypes[(case + kind + place) % len(dtypes)]
            arguments = draw(batch, n, d, m=m, dtype=dtype, gates=gates)
            g = oracle.draw(batch, n, d, dtype=dtype, seed=1)
            for causal in (True, False):
                check_all(g, *arguments, causal)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts_of_segments(layout: str) -> None:
    for shape in ((2, 800, 1), (2, 790, 18)):
        u, g = oracle.LAYOUTS[layout](shape, torch.float32), oracle.draw(*shape, dtype=torch.float32, seed=1)
        _, k, pre, post, skip = draw(*shape, m=9, dtype=torch.float32, gates=(True, True, True))
        for arguments in ((u, k, pre, post, skip), (pre, k, u, post, skip), (pre, k, post, u, skip)):
            check(conv(*arguments, False, False), *arguments, False)
            check_backward(conv_backward(g, *arguments, False), g, *arguments, False)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("n", "m", "d"), [(8192, 128, 3), (65536, 128, 2)])
def test_few_taps_of_long_signals(n: int, m: int, d: int) -> None:
    arguments = draw(1, n, d, m=m, dtype=torch.float32, gates=(False, True, True))
    g = oracle.draw(1, n, d, dtype=torch.float32, seed=1)
    for causal in (True, False):
        check_long(g, *arguments, causal, tolerance=oracle.transform_error(torch.float32, n))


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_few_taps_spread_nothing_further(value: float) -> None:
    for d, place in product((1, 20), (0, 254, 255, 600, 999)):
        arguments = u, *_ = draw(2, 1000, d, m=7, dtype=torch.float32, gates=(True, True, True))
        clean = conv(*arguments, False, False)
        u[1, place, d - 1] = value
        y = conv(*arguments, False, False)
        met = slice(max(0, place - 3), place + 4)
        assert not y[1, met, d - 1].isfinite().any()
        y[1, met, d - 1] = clean[1, met, d - 1]
        assert torch.equal(y, clean)


# Signals with fewer taps than samples are taken whole, or cut where that is faster: many channels into windows side by
# side, of which the last may have fewer rows; a few into segments, parts of whose lines are side by side, the last with
# up to twice as many rows as the others.
CUT = (
    (3, 600, 17, 257),
    (2, 1000, 20, 300),
    (5, 1100, 5, 600),
    (1, 5003, 1, 150),
    (1, 4000, 1, 129),
    (3, 4700, 3, 140),
    (2, 5500, 8, 300),
    (1, 9001, 4, 700),
    (1, 12_400, 2, 1030),
    (2, 4096, 20, 100),
    (1, 5003, 70, 256),
    (3, 4500, 16, 65),
    (2, 9000, 33, 129),
    (1, 40000, 2, 200),
    (1, 70001, 1, 140),
)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("batch", "n", "d", "m"), CUT)
def test_segments(batch: int, n: int, d: int, m: int) -> None:
    for dtype, gates in ((torch.float32, (True, True, True)), (torch.bfloat16, (False, True, False))):
        arguments = draw(batch, n, d, m=m, dtype=dtype, gates=gates)
        g = oracle.draw(batch, n, d, dtype=dtype, seed=1)
        error = 2 * oracle.transform_error(dtype, n) + torch.finfo(dtype).eps / 2  # the latter when it is stored
        for causal in (True, False):
            check_long(g, *arguments, causal, tolerance=error)


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize("layout", oracle.LAYOUTS)
def test_layouts_of_long_segments(layout: str) -> None:
    for shape in ((2, 4200, 18), (2, 4200, 3)):
        u, g = oracle.LAYOUTS[layout](shape, torch.float32), oracle.draw(*shape, dtype=torch.float32, seed=1)
        _, k, pre, post, skip = draw(*shape, m=90, dtype=torch.float32, gates=(True, True, True))
        for arguments in ((u, k, pre, post, skip), (pre, k, u, post, skip), (pre, k, post, u, skip)):
            check_long(g, *arguments, False, tolerance=2 * oracle.transform_error(torch.float32, shape[1]))
            assert conv(*arguments, False, False).stride() == torch.empty_like(arguments[0]).stride()


@pytest.mark.usefixtures("cpu_kernels")
@pytest.mark.parametrize(("n", "d", "m"), [(9000, 33, 129), (40000, 2, 200)])
def test_nan_stays_in_its_segments(n: int, d: int, m: int) -> None:
    arguments = u, *_ = draw(2, n, d, m=m, dtype=torch.float32, gates=(True, True, True))
    clean = conv(*arguments, True, False)
    u[1, n // 2, d - 1] = float("nan")
    y = conv(*arguments, True, False)
    assert y[1, n // 2 : n // 2 + m, d - 1].isnan().all()
    near = slice(n // 2 - 2048, n // 2 + 2048)  # no segment is longer
    y[1, near, d - 1] = clean[1, near, d - 1]
    assert torch.equal(y, clean)
