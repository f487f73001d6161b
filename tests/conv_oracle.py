"""The op `conv` and its derivatives against the float64 oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import oracle
import torch

from spectrans.functional import fft_conv
from spectrans.ops.conv import conv, conv_backward, conv_backward_reference, conv_reference

Optional = torch.Tensor | None


def peak(*factors: Optional) -> float:
    return math.prod(float(t.detach().double().abs().max()) for t in factors if t is not None and t.numel())


def gain(k: torch.Tensor, skip: Optional = None) -> float:
    """Bound of the convolution's norm: the sum of the taps' magnitudes, in the channel where it is largest."""
    total = k.detach().double().abs().sum(0)
    return float((total if skip is None else total + skip.detach().double().abs()).max()) if total.numel() else 0.0


def wide(t: Optional) -> Any:
    return None if t is None else oracle.wide(t)


def check(
    y: torch.Tensor,
    u: torch.Tensor,
    k: torch.Tensor,
    pre: Optional = None,
    post: Optional = None,
    skip: Optional = None,
    causal: bool = True,
    adjoint: bool = False,
) -> None:
    expected = oracle.conv(wide(u), wide(k), wide(pre), wide(post), wide(skip), causal, adjoint)
    magnitude = gain(k, skip) * peak(post) * oracle.norm(u if pre is None else wide(u) * wide(pre))
    # Three transforms of at most twice the length, and the products.
    oracle.assert_close(y, expected, n=2 * u.shape[-2], magnitude=magnitude, transforms=4)


def check_kernel_grad(
    r: torch.Tensor,
    grad: torch.Tensor,
    u: torch.Tensor,
    k: torch.Tensor,
    pre: Optional = None,
    post: Optional = None,
    causal: bool = True,
) -> None:
    assert r.dtype is k.dtype and r.stride() == torch.empty_like(k).stride()
    expected = oracle.conv_kernel_grad(wide(grad), wide(u), wide(k), wide(pre), wide(post), causal)
    p = wide(grad) if post is None else wide(grad) * wide(post)
    v = wide(u) if pre is None else wide(u) * wide(pre)
    samples = max(1, math.prod(u.shape[:-2]))
    n = u.shape[-2]
    # The root of the number of lags: a Euclidean norm over them of values bounded one by one.
    magnitude = math.sqrt(2 * n) * oracle.norm(p, v)
    oracle.assert_close(r, expected, n=2 * n, magnitude=magnitude, transforms=4 + samples, dtype=u.dtype)
    lag = np.arange(k.shape[0]) - (0 if causal else (k.shape[0] - 1) // 2)
    assert not r[oracle.tensor(np.abs(lag) >= n)].any()


def check_backward(
    results: Sequence[torch.Tensor],
    grad: torch.Tensor,
    u: torch.Tensor,
    k: torch.Tensor,
    pre: Optional = None,
    post: Optional = None,
    skip: Optional = None,
    causal: bool = True,
) -> None:
    of_u, of_k, of_pre, of_post = results
    check(of_u, grad, k, post, pre, skip, causal, adjoint=True)
    check_kernel_grad(of_k, grad, u, k, pre, post, causal)
    if pre is None:
        assert of_pre.shape == (0,)
    else:
        check(of_pre, grad, k, post, u, skip, causal, adjoint=True)
    if post is None:
        assert of_post.shape == (0,)
    else:
        check(of_post, u, k, pre, grad, skip, causal)


def check_all(g: torch.Tensor, *arguments: Any) -> None:
    """The op, its adjoint and its derivatives at u, k, pre, post, skip, causal."""
    *tensors, causal = arguments
    check(conv(*tensors, causal, False), *tensors, causal)
    check(conv(*tensors, causal, True), *tensors, causal, adjoint=True)
    check_backward(conv_backward(g, *tensors, causal), g, *tensors, causal)


def check_long(g: torch.Tensor, *arguments: Any, tolerance: float) -> None:
    """The same beside the reference in float64, whose sums are not quadratic work; relative to each result's norm."""
    *tensors, causal = arguments
    wide_tensors = [t if t is None else t.double() for t in tensors]
    for adjoint in (False, True):
        y, exact = conv(*tensors, causal, adjoint), conv_reference(*wide_tensors, causal, adjoint)
        assert (y.double() - exact).norm() <= tolerance * exact.norm()
    exacts = conv_backward_reference(g.double(), *wide_tensors, causal)
    for a, b in zip(conv_backward(g, *tensors, causal), exacts, strict=True):
        assert (a.double() - b).norm() <= tolerance * b.norm()


def call(
    u: torch.Tensor, k: torch.Tensor, pre: Optional, post: Optional, skip: Optional, causal: bool = True, dim: int = -2
) -> torch.Tensor:
    return fft_conv(u, k, causal=causal, pre_gate=pre, post_gate=post, skip=skip, dim=dim)


def draw(
    *shape: int,
    m: int,
    dtype: torch.dtype = torch.float64,
    gates: tuple[bool, bool, bool] = (False, False, False),
) -> tuple[Any, ...]:
    """u, k, pre, post, skip."""
    wide_dtype = oracle.compute(dtype)
    pre, post = (oracle.draw(*shape, dtype=dtype, seed=11 + i) if on else None for i, on in enumerate(gates[:2]))
    skip = oracle.draw(shape[-1], dtype=wide_dtype, seed=13) if gates[2] else None
    k = oracle.draw(m, shape[-1], dtype=torch.float64, seed=7).div(math.sqrt(m)).to(wide_dtype)
    return oracle.draw(*shape, dtype=dtype), k, pre, post, skip
