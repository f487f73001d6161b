"""Matrices whose largest singular value is hard to find, each for a reason of its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def orthonormal(n: int, columns: int | None = None, seed: int = 0) -> Array:  # [n, columns]
    return np.linalg.qr(_random(n, n, seed=seed))[0][:, :columns]


def with_values(values: Array, m: int, d: int, seed: int = 0) -> Array:  # [m, d]
    """A matrix with the given singular values, up to rounding, and random vectors."""
    k = len(values)
    return (orthonormal(m, k, seed) * values) @ orthonormal(d, k, seed + 1).T


def _hadamard(n: int) -> Array:
    h = np.ones((1, 1))
    while 2 * len(h) <= n:
        h = np.block([[h, h], [h, -h]])
    return h


def _companion(n: int) -> Array:
    c = np.eye(n, k=-1)
    c[:, -1] = np.arange(n) % 5 - 2.0
    return c


def _kahan(n: int, theta: float = 1.2) -> Array:
    s, c = math.sin(theta), math.cos(theta)
    return s ** np.arange(n)[:, None] * (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def _without_row_sums(n: int) -> Array:
    # Of no row, no column: a start vector of ones is in the null space of both sides.
    a = _random(n, n)
    return a - a.mean(0) - a.mean(1, keepdims=True) + a.mean()


def _dominant_entry(n: int) -> Array:
    a = 1e-3 * _random(n, n)
    a[n // 2, n // 3] = 5.0
    return a


def _shy(n: int) -> Array:
    # The largest value belongs to vectors at right angles to whatever one might start from.
    k = np.arange(n)
    starts = np.stack((np.ones(n), (-1.0) ** k, k == 0, k == n - 1, k, np.cos(k), np.sin(k + 1.0)), -1)
    left, right = (np.linalg.qr(np.c_[starts, _random(n, n, seed=seed)])[0] for seed in (0, 1))
    values = np.linspace(0.5, 1, n)
    values[min(n - 1, starts.shape[1])] = 2
    return (left * values) @ right.T


def pseudo_random(n: int) -> Array:
    """The kernel's start: splitmix64, uniform in (-1, 1)."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-52 - 1


def _unseen(n: int) -> Array:
    # Of rank two, and the largest value belongs to a vector that the kernel's start has no part of.
    right = np.linalg.qr(np.c_[pseudo_random(n), _random(n, n)])[0]
    left = orthonormal(n)
    k = min(n - 1, 1)
    return 2 * np.outer(left[:, 0], right[:, k]) + np.outer(left[:, k], right[:, 0] + right[:, -1])


def _arrow(n: int) -> Array:
    a = np.diag(np.arange(1.0, n + 1))
    a[0] = a[:, 0] = 1.0
    return a


def _hidden(n: int) -> Array:
    # Equal values but one, which a start vector sees through a single coordinate.
    a = np.eye(n)
    a[-1, -1] = 1.01
    return a


def _top(*values: float) -> Callable[[int], Array]:
    return lambda n: with_values(np.r_[values, np.linspace(0.9, 0.1, n)][:n], n, n)


#: By name: the n x n matrix.
SQUARE: dict[str, Callable[[int], Array]] = {
    "identity": np.eye,
    "minus identity": lambda n: -np.eye(n),
    "zero": lambda n: np.zeros((n, n)),
    "ones": lambda n: np.ones((n, n)),
    "random": lambda n: _random(n, n),
    "orthogonal": orthonormal,
    "reflection": lambda n: np.eye(n) - 2 / n * np.ones((n, n)),
    "Hadamard": _hadamard,
    "permutation": lambda n: np.eye(n)[np.random.default_rng(n).permutation(n)],
    "reversal": lambda n: np.eye(n)[::-1],
    "shift": lambda n: np.eye(n, k=1),  # nilpotent: all eigenvalues are zero
    "equal blocks": lambda n: np.kron(np.eye(-(-n // 3)), _random(3, 3))[:n, :n],
    "rank one": lambda n: np.outer(_random(n), _random(n, seed=1)),
    "rank two of equal values": lambda n: with_values(np.full(min(n, 2), 3.0), n, n),
    "half rank": lambda n: with_values(np.linspace(1, 2, (n + 1) // 2), n, n),
    "without row sums": _without_row_sums,
    "path Laplacian": lambda n: (
        np.diag(np.r_[1, np.full(max(n - 2, 0), 2.0), 1][:n]) - np.eye(n, k=1) - np.eye(n, k=-1)
    ),
    "one column": lambda n: np.outer(_random(n), np.eye(n)[n // 2]),
    "dominant entry": _dominant_entry,
    "last entry": lambda n: np.diag(np.r_[np.zeros(n - 1), 1.0]),
    "hidden": _hidden,
    "shy": _shy,
    "unseen": _unseen,
    "arrow": _arrow,
    "integers": lambda n: np.diag(np.arange(1.0, n + 1)),
    "uniform": lambda n: with_values(np.arange(1.0, n + 1), n, n),
    "companion": _companion,
    "Hilbert": lambda n: 1 / (np.arange(n)[:, None] + np.arange(n) + 1.0),
    "Vandermonde": lambda n: np.vander(np.linspace(-1, 1, n), increasing=True),
    "Toeplitz": lambda n: 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1),
    "Kahan": _kahan,
    "Jordan": lambda n: np.eye(n) + np.eye(n, k=1),
    "triangle": lambda n: np.tril(np.ones((n, n))),
    "alternating": lambda n: (-1.0) ** (np.arange(n)[:, None] + np.arange(n)),
    "geometric": lambda n: with_values(0.5 ** np.arange(n), n, n),
    "graded": lambda n: with_values(np.logspace(12, -12, n), n, n),
    "graded rows": lambda n: np.logspace(-12, 12, n)[:, None] * _random(n, n),
    "graded diagonal": lambda n: np.diag(np.logspace(-12, 12, n)),
    "repeated": _top(1.0, 1.0, 1.0),
    "all but one repeated": lambda n: with_values(np.r_[np.ones(n - 1), 0.5], n, n),
    **{f"gap {gap}": _top(1.0, 1.0 - gap) for gap in (1e-1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-11, 1e-13, 1e-14)},
    "cluster": lambda n: with_values(1 - 1e-6 * np.arange(n) / n, n, n),
    "dense top": lambda n: with_values(np.cos(np.linspace(0, 1.5, n)), n, n),  # 1 - O(1/n^2)
}
