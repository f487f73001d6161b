"""The float64 oracle of the tests (numpy.fft), and how far an implementation may be from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

# 1, 2, 3, primes (with and without a butterfly of their own), powers, mixed, 600.
LENGTHS = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
    13,
    15,
    16,
    17,
    19,
    31,
    32,
    37,
    49,
    60,
    64,
    97,
    101,
    128,
    210,
    243,
    256,
    343,
    600,
)
# Signals of fewer channels than a register has lanes, whose lines share these in parts, as many as divide their length:
# every number of parts, of prime lengths; then parts of other lengths, a power of two; and primes, and twice and five
# times one, whose convolutions are what has parts.
LINE_LENGTHS = (
    *(131 * parts for parts in range(2, 7)),
    *(37 * parts for parts in range(7, 17)),
    *(330, 480, 525, 1024, 257, 1009, 1283, 2062, 1315),
)
# (batch, channels): from one line on; 17 leave one over.
LINES = ((1, 1), (2, 1), (5, 1), (17, 1), (1, 2), (3, 3), (2, 5), (1, 7), (4, 8))
#: Batches of so few channels that several items share a vector: they fill it, leave lanes, or packs, that are not full.
PACKS = ((16, 2), (9, 4), (5, 8), (11, 3), (4, 12), (37, 1), (21, 5))
#: Batches [batch, d] whose sums are of parts: an item to a part, several, and so many that a part is summed in pieces;
#: last tiles that overlap.
PARTS = ((2, 17), (9, 44), (70, 100), (40, 264))
#: More than the caches keep, so that results go past them: whole groups of channels, some and a rest, no whole vectors.
LARGE = ((16, 256, 576), (3, 1000, 1040), (33, 130, 598))
FEW_LENGTHS = (1, 2, 3, 8, 13, 17, 60)
# Lines, squares, primes with and without a butterfly of their own, twiddled and untwiddled stages, odd and even sides,
# and as long ones as plans of a single signal leave gaps in.
GRIDS = (
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 3),
    (3, 1),
    (1, 16),
    (16, 1),
    (2, 2),
    (2, 3),
    (3, 2),
    (4, 4),
    (5, 8),
    (8, 5),
    (7, 7),
    (9, 6),
    (6, 9),
    (14, 14),
    (16, 12),
    (17, 13),
    (13, 17),
    (1, 37),
    (37, 2),
    (3, 64),
    (25, 18),
    (32, 32),
    (192, 2),
    (3, 192),
    (320, 1),
)
FEW_GRIDS = ((1, 1), (1, 6), (5, 1), (2, 2), (3, 4), (4, 3), (7, 8), (17, 2), (2, 17))
BATCHES = ((), (0,), (1,), (3,), (4,), (2, 3), (0, 2))
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NORMS = ("ortho", "backward", "forward")


def lines(case: int) -> Iterator[tuple[int, int, torch.dtype]]:
    """LINES, each with one dtype: with every one in three cases in a row."""
    dtypes = (torch.bfloat16, torch.float32, torch.float64)
    for place, (batch, d) in enumerate(LINES):
        yield batch, d, dtypes[(case + place + place // len(dtypes)) % len(dtypes)]


Array = np.ndarray


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    """Normal deviates, the same for the same shape and seed, rounded to `dtype` (complex ones for a complex dtype)."""
    generator = torch.Generator("cpu").manual_seed(seed + 1_000_003 * sum((i + 1) * s for i, s in enumerate(shape)))
    drawn = torch.complex128 if dtype.is_complex else torch.float64
    t = torch.randn(shape, dtype=drawn, generator=generator, device="cpu")  # the same on every device
    return t.to(torch.get_default_device(), dtype)


def tensor(array: Array) -> torch.Tensor:
    """On the device in use."""
    return torch.from_numpy(array).to(torch.get_default_device())


def draw_response(n: int, d: int, dtype: torch.dtype = torch.float64, seed: int = 7) -> torch.Tensor:
    """Real pairs [n//2+1, d, 2] of modulus around 1, with imaginary parts at DC and Nyquist that must not act."""
    return draw(n // 2 + 1, d, 2, dtype=dtype, seed=seed) / math.sqrt(2)


def draw_response2d(h: int, w: int, d: int, dtype: torch.dtype = torch.float64, seed: int = 7) -> torch.Tensor:
    """Real pairs [h, w//2+1, d, 2] of modulus around 1, not Hermitian in the columns that hold both of a pair."""
    return draw(h, w // 2 + 1, d, 2, dtype=dtype, seed=seed) / math.sqrt(2)


def wide(t: torch.Tensor) -> Array:
    """As numpy, float64 (or complex128)."""
    dtype = torch.complex128 if t.is_complex() else torch.float64
    return t.detach().cpu().to(dtype).resolve_conj().resolve_neg().numpy()


def mixing(x: Array, sequence: bool, hidden: bool, hartley: bool, norm: str) -> Array:
    axes = [axis for axis, on in ((-2, sequence), (-1, hidden)) if on]
    if x.size == 0:
        return x
    z = np.fft.fftn(x, axes=axes, norm=norm)
    return z.real - z.imag if hartley else z.real


def filtered(x: Array, response: Array, adjoint: bool = False) -> Array:
    if x.size == 0:
        return x
    h = response[..., 0] + 1j * response[..., 1]
    n = x.shape[-2]
    return np.fft.irfft(np.fft.rfft(x, axis=-2) * (h.conj() if adjoint else h), n, axis=-2)


def response_grad(grad: Array, x: Array) -> Array:
    n, d = x.shape[-2:]
    if x.size == 0:
        return np.zeros((n // 2 + 1, d, 2))
    p = np.fft.rfft(x, axis=-2).conj() * np.fft.rfft(grad, axis=-2)
    p = p.reshape(-1, n // 2 + 1, d).sum(0)
    alone = (2 * np.arange(n // 2 + 1)) % n == 0
    weight = np.where(alone, 1.0, 2.0)[:, None] / n
    return np.stack((weight * p.real, np.where(alone[:, None], 0.0, weight * p.imag)), -1)


def filtered2d(x: Array, response: Array, adjoint: bool = False) -> Array:
    if x.size == 0:
        return x
    h, d = response.shape[0], x.shape[-1]
    z = response[..., 0] + 1j * response[..., 1]
    grid = x.reshape(*x.shape[:-2], h, -1, d)
    spectrum = np.fft.rfft2(grid, axes=(-3, -2)) * (z.conj() if adjoint else z)
    return np.fft.irfft2(spectrum, grid.shape[-3:-1], axes=(-3, -2)).reshape(x.shape)


def response_grad2d(grad: Array, x: Array, h: int) -> Array:
    n, d = x.shape[-2:]
    w = n // h
    if x.size == 0:
        return np.zeros((h, w // 2 + 1, d, 2))
    g_spectrum, x_spectrum = (np.fft.rfft2(t.reshape(-1, h, w, d), axes=(1, 2)) for t in (grad, x))
    p = (x_spectrum.conj() * g_spectrum).sum(0)
    weight = np.where((2 * np.arange(w // 2 + 1)) % w == 0, 1.0, 2.0)[:, None] / n
    return np.stack((weight * p.real, weight * p.imag), -1)


def filtered_plane(x: Array, response: Array, adjoint: bool = False) -> Array:
    if x.size == 0:
        return x
    z = response[..., 0] + 1j * response[..., 1]
    z = (z + np.roll(z[::-1, ::-1], (1, 1), (0, 1)).conj()) / 2  # the adjoint of the part that acts
    return np.fft.ifft2(np.fft.fft2(x) * (z.conj() if adjoint else z)).real


def plane_response_grad(grad: Array, x: Array) -> Array:
    n, d = x.shape[-2:]
    if x.size == 0:
        return np.zeros((n, d, 2))
    g_spectrum, x_spectrum = (np.fft.fft2(t.reshape(-1, n, d)) for t in (grad, x))
    p = (x_spectrum.conj() * g_spectrum).sum(0) / (n * d)
    return np.stack((p.real, p.imag), -1)


def _each_line(f: Callable[..., Array], *lines: Array) -> Array:
    """f of every channel of every sample: [..., n, d] and [m, d] -> [..., m, d]."""
    shape = np.broadcast_shapes(*(t.shape[:-2] for t in lines)) + lines[0].shape[-1:]
    columns = [np.broadcast_to(t.swapaxes(-2, -1), (*shape, t.shape[-2])) for t in lines]
    if math.prod(shape) == 0:
        return np.zeros((*shape[:-1], lines[0].shape[-2], shape[-1]))
    results = [f(*(t[index] for t in columns)) for index in np.ndindex(*shape)]
    return np.reshape(results, (*shape, -1)).swapaxes(-2, -1)


def conv(
    u: Array,  # [..., n, d]
    k: Array,  # [m, d]
    pre: Array | None = None,
    post: Array | None = None,
    skip: Array | None = None,
    causal: bool = True,
    adjoint: bool = False,
) -> Array:
    n, m = u.shape[-2], k.shape[0]
    zero = 0 if causal else (m - 1) // 2
    first = m - 1 - zero if adjoint else zero
    v = u if pre is None else pre * u
    y = _each_line(lambda v, k: np.convolve(v, k)[first : first + n], v, k[::-1] if adjoint else k)
    y = y if skip is None else y + skip * v
    return y if post is None else post * y


def conv_kernel_grad(
    grad: Array, u: Array, k: Array, pre: Array | None = None, post: Array | None = None, causal: bool = True
) -> Array:
    m, d = k.shape
    n = u.shape[-2]
    p, v = (grad if post is None else post * grad), (u if pre is None else pre * u)
    # lag -(n - 1) .. n - 1
    lags = _each_line(lambda p, v: np.convolve(p, v[::-1]), p, v).reshape(-1, 2 * n - 1 if u.size else n, d).sum(0)
    at = n - 1 - (0 if causal else (m - 1) // 2) + np.arange(m)
    result = np.zeros((m, d))
    acts = (at >= 0) & (at < len(lags))
    result[acts] = lags[at[acts]]
    return result


def modes(x: Array, count: int, mirrored: bool = False, norm: str = "backward") -> Array:  # pairs [..., count, d, 2]
    """The first bins of rfft; mirrored: times the number of bins that each stands for."""
    n = x.shape[-2]
    if x.size == 0:
        return np.zeros((*x.shape[:-2], count, x.shape[-1], 2))
    z = np.fft.rfft(x, axis=-2, norm=norm)[..., :count, :]
    if mirrored:
        z = z * np.where((2 * np.arange(count)) % n == 0, 1, 2)[:, None]
    return np.stack((z.real, z.imag), -1)


def from_modes(pairs: Array, n: int, mirrored: bool = True, norm: str = "backward") -> Array:  # [..., n, d]
    """irfft of the first bins; not mirrored: each stands for itself alone."""
    *batch, count, d, _ = pairs.shape
    if pairs.size == 0:
        return np.zeros((*batch, n, d))
    z = pairs[..., 0] + 1j * pairs[..., 1]
    if not mirrored:
        z = z / np.where((2 * np.arange(count)) % n == 0, 1, 2)[:, None]
    return np.fft.irfft(z, n, axis=-2, norm=norm)


def compute(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32


def transform_error(dtype: torch.dtype, n: int) -> float:
    """Bound of |error| / |result| (Euclidean norms) for one transform of n points computed in `dtype`.

    Higham, Accuracy and Stability of Numerical Algorithms, theorem 24.2: log2(n) * eta, eta = mu + gamma_4 (sqrt 2 +
    mu), gamma_4 = 4u/(1 - 4u), twiddles good to mu = u, u = eps/2. That is 6.7u to first order. A length without a
    factorisation costs two transforms of at most 4n points instead of one of n.
    """
    u = torch.finfo(compute(dtype)).eps / 2
    return 2 * 6.7 * u * math.log2(4 * n)


def assert_close(
    actual: torch.Tensor,
    expected: Array,
    *,
    n: int,
    magnitude: float,
    transforms: int = 1,
    dtype: torch.dtype | None = None,
) -> None:
    """`actual` is `expected` up to the rounding of `transforms` transforms of n points.

    `magnitude` is the Euclidean norm of what was transformed, before parts of it (an imaginary part, say) were
    dropped or cancelled; `dtype` that of the data, where the result is wider.
    """
    dtype = dtype or actual.dtype
    assert tuple(actual.shape) == expected.shape
    error = float(np.linalg.norm((wide(actual) - expected).ravel()))
    # The sum bounds the error of the arithmetic and of the one rounding of the result.
    bound = transforms * transform_error(dtype, n) * magnitude
    bound += torch.finfo(actual.dtype).eps / 2 * float(np.linalg.norm(expected.ravel()))
    if actual.dtype is torch.float16:  # below its normal range the spacing is constant
        bound += math.sqrt(expected.size) * torch.finfo(torch.float16).smallest_normal * torch.finfo(torch.float16).eps
    assert error <= bound, f"error {error:.3g} exceeds {bound:.3g}"


def norm(*arrays: torch.Tensor | Array) -> float:
    """Product of Euclidean norms."""
    return math.prod(float(np.linalg.norm((wide(a) if isinstance(a, torch.Tensor) else a).ravel())) for a in arrays)


# Ways for a [batch, n, d] tensor to lie in memory.


def _contiguous(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    return draw(*shape, dtype=dtype)


def _transposed(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, n, d = shape
    return draw(b, d, n, dtype=dtype).transpose(1, 2)


def _batch_inside(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, n, d = shape
    return draw(n, d, b, dtype=dtype).permute(2, 0, 1)


def _sequence_first(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, n, d = shape
    return draw(n, b, d, dtype=dtype).transpose(0, 1)


def _expanded_batch(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    return draw(1, *shape[1:], dtype=dtype).expand(shape)


def _expanded_channels(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    return draw(*shape[:2], 1, dtype=dtype).expand(shape)


def _expanded_sequence(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, _, d = shape
    return draw(b, 1, d, dtype=dtype).expand(shape)


def _odd_offset(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, n, d = shape
    return draw(b + 1, n + 3, d + 5, dtype=dtype)[1:, 1 : n + 1, 3 : d + 3]


def _every_other(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, n, d = shape
    return draw(b, 2 * n, 3 * d, dtype=dtype)[:, 1::2, ::3]


def _misaligned(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    b, n, d = shape
    return draw(b * n * d + 1, dtype=dtype)[1:].view(shape)


LAYOUTS = {
    layout.__name__.removeprefix("_"): layout
    for layout in (
        _contiguous,
        _transposed,
        _batch_inside,
        _sequence_first,
        _expanded_batch,
        _expanded_channels,
        _expanded_sequence,
        _odd_offset,
        _every_other,
        _misaligned,
    )
}

#: What torch.library.opcheck is given. It takes a second, and looks at a schema, a fake kernel and a derivative: what
#: each does with a dtype has nothing to do with the layout, so that not every one of both is needed with every other.
OPCHECKED = ((torch.float32, "contiguous"), (torch.bfloat16, "transposed"))
