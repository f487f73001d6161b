"""Fourier and Hartley mixing beside the torch.fft compositions that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fft import fft, fft2, hfft, rfft, rfft2

from benchmarks.operation import (
    BFLOAT16_SHAPES,
    NEVER_SLOWER,
    SHAPES,
    Operation,
    Shape,
    Target,
    Tensors,
    forward,
    forward_and_autograd,
    transform_flops,
)
from spectrans.functional import fourier_mixing, hartley_mixing

Function = Callable[[Tensor], Tensor]
Fill = Callable[[Tensor, Tensor], None]  # y, x

# -- two axes ----------------------------------------------------------------------------------------------------------
# F[-p, -q] = conj F[p, q] for real x: half of the spectrum gives both halves of Re F, and of Re F - Im F.


def parts(
    spectrum: Tensor,
    hartley: bool,
) -> tuple[Tensor, Tensor]:  # y where the spectrum is, y at the mirror image of where it is
    """Re F is even; Re F - Im F is Re F + Im F at the mirror image."""
    re, im = spectrum.real, spectrum.imag
    return (re - im, re + im) if hartley else (re, re)


def assemble(
    y: Tensor,  # [..., n, d], to be filled
    half: Tensor,  # [..., n, d//2+1]  y[p, q]
    mirror: Tensor,  # [..., n, d//2+1]  y[-p, -q]
) -> None:
    """Fills y from what is known of q <= d/2 alone; transposed arguments make it p <= n/2."""
    bins, rest = half.shape[-1], slice(1, y.shape[-1] - half.shape[-1] + 1)
    y[..., :bins] = half
    y[..., 0, bins:] = mirror[..., 0, rest].flip(-1)
    y[..., 1:, bins:] = mirror[..., 1:, rest].flip((-2, -1))


def through_fft2(x: Tensor, hartley: bool = False) -> Tensor:
    spectrum: Tensor = fft2(x, norm="ortho")
    return spectrum.real - spectrum.imag if hartley else spectrum.real


def through_rfft2(y: Tensor, x: Tensor, hartley: bool = False) -> None:
    assemble(y, *parts(rfft2(x, norm="ortho"), hartley))


def sequence_then_hidden(y: Tensor, x: Tensor, hartley: bool = False) -> None:
    half, mirror = parts(fft(rfft(x, dim=-2, norm="ortho"), dim=-1, norm="ortho"), hartley)
    assemble(y.mT, half.mT, mirror.mT)


def transposed_sequence_then_hidden(y: Tensor, x: Tensor, hartley: bool = False) -> None:
    rows = rfft(x.mT.contiguous(), dim=-1, norm="ortho").mT.contiguous()
    half, mirror = parts(fft(rows, dim=-1, norm="ortho"), hartley)
    assemble(y.mT, half.mT, mirror.mT)


def even_rows(x: Tensor) -> Tensor:  # [..., n//2+1, d]
    """Re F sees only e[j, l] = (x[j, l] + x[-j, -l]) / 2: rows j <= n/2 of it, then n real outputs a column."""
    n = x.shape[-2]
    even = x[..., : n // 2 + 1, :].clone()
    opposite = x[..., n - n // 2 :, :]  # rows -j, j = n/2 .. 1
    even[..., 0, 1:].lerp_(x[..., 0, 1:].flip(-1), 0.5)
    even[..., 1:, 0].lerp_(opposite[..., 0].flip(-1), 0.5)
    even[..., 1:, 1:].lerp_(opposite[..., 1:].flip((-2, -1)), 0.5)
    return even


def even_part(y: Tensor, x: Tensor) -> None:
    half = hfft(rfft(even_rows(x), dim=-1, norm="ortho"), n=x.shape[-2], dim=-2, norm="ortho")
    assemble(y, half, half)


def transposed_even_part(y: Tensor, x: Tensor) -> None:
    columns = rfft(even_rows(x), dim=-1, norm="ortho").mT.contiguous()
    half = hfft(columns, n=x.shape[-2], dim=-1, norm="ortho").mT
    assemble(y, half, half)


# -- one axis ----------------------------------------------------------------------------------------------------------


def through_fft(x: Tensor) -> Tensor:
    spectrum: Tensor = fft(x, dim=-2, norm="ortho")
    return spectrum.real


def through_rfft(y: Tensor, x: Tensor) -> None:
    half = rfft(x, dim=-2, norm="ortho").real
    bins, n = half.shape[-2], x.shape[-2]
    y[..., :bins, :] = half
    y[..., bins:, :] = half[..., 1 : n - bins + 1, :].flip(-2)


def through_transposed_rfft(x: Tensor) -> Tensor:
    half = rfft(x.mT.contiguous(), dim=-1, norm="ortho").real
    return torch.cat((half, half[..., 1 : (x.shape[-2] + 1) // 2].flip(-1)), dim=-1).mT


def even_samples(x: Tensor) -> Tensor:  # [..., n//2+1, d]
    """As even_rows, of the sequence alone."""
    n = x.shape[-2]
    even = x[..., : n // 2 + 1, :].clone()
    even[..., 1:, :].lerp_(x[..., n - n // 2 :, :].flip(-2), 0.5)
    return even


def through_hfft(x: Tensor) -> Tensor:
    y: Tensor = hfft(even_samples(x), n=x.shape[-2], dim=-2, norm="ortho")
    return y


def through_transposed_hfft(x: Tensor) -> Tensor:
    y: Tensor = hfft(even_samples(x).mT.contiguous(), n=x.shape[-2], dim=-1, norm="ortho")
    return y.mT


# -- whole batches, or item by item: temporaries the size of one item stay in cache ------------------------------------


def whole(fill: Fill, x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    fill(y, x)
    return y


def by_item(fill: Fill, x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    for y_item, x_item in zip(y, x, strict=True):
        fill(y_item, x_item)
    return y


def copied(function: Function, y: Tensor, x: Tensor) -> None:
    y.copy_(function(x))


def both_ways(functions: Mapping[str, Function], fills: Mapping[str, Fill]) -> dict[str, Function]:
    return {
        **functions,
        **{name: partial(whole, fill) for name, fill in fills.items()},
        **{f"{name}, by item": partial(by_item, partial(copied, function)) for name, function in functions.items()},
        **{f"{name}, by item": partial(by_item, fill) for name, fill in fills.items()},
    }


def two_axes(hartley: bool) -> dict[str, Function]:
    fills: dict[str, Fill] = {
        "rfft2, mirrored": partial(through_rfft2, hartley=hartley),
        "rfft sequence, fft hidden, mirrored": partial(sequence_then_hidden, hartley=hartley),
        "transposed copies, rfft sequence, fft hidden, mirrored": partial(
            transposed_sequence_then_hidden, hartley=hartley
        ),
    }
    if not hartley:
        fills["even part, rfft, hfft, mirrored"] = even_part
        fills["even part, rfft, transposed copy, hfft, mirrored"] = transposed_even_part
    return {"fft2": partial(through_fft2, hartley=hartley), **both_ways({}, fills)}


ONE_AXIS: dict[str, Function] = {
    "fft": through_fft,
    **both_ways(
        {
            "transposed copy, rfft, mirrored": through_transposed_rfft,
            "even part, hfft": through_hfft,
            "even part, transposed copy, hfft": through_transposed_hfft,
        },
        {"rfft, mirrored": through_rfft},
    ),
}

# -- the least work ----------------------------------------------------------------------------------------------------
# As the kernels do it; adding the mirror images and the scale are not counted.


def flops_one_axis(shape: Shape) -> float:
    batch, n, d = shape
    return batch * d * transform_flops(n)


def flops_two_axes(shape: Shape) -> float:
    """The rows and columns that the even part has, each a real transform."""
    batch, n, d = shape
    return batch * ((n // 2 + 1) * transform_flops(d) + (d // 2 + 1) * transform_flops(n))


def flops_hartley(shape: Shape) -> float:
    """Rows, then the real and the imaginary parts of their half spectra as columns."""
    batch, n, d = shape
    return batch * (n * transform_flops(d) + 2 * (d // 2 + 1) * transform_flops(n))


# -- operations --------------------------------------------------------------------------------------------------------


def signal(shape: Shape, dtype: torch.dtype) -> Tensors:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype),)


def signal_and_grad(shape: Shape, dtype: torch.dtype) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator).to(dtype) for _ in range(2))


class Again(torch.autograd.Function):
    """Forward and backward are the same operator: it is symmetric."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Function) -> Tensor:
        ctx.function = function
        return function(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.function(grad), None


def again(function: Function, x: Tensor) -> Tensor:
    y: Tensor = Again.apply(x, function)
    return y


def twice(flops: Callable[[Shape], float], shape: Shape) -> float:
    return 2 * flops(shape)


def both_directions(
    name: str,
    ours: Function,
    compositions: dict[str, Function],  # plain and complex first
    flops: Callable[[Shape], float],
    targets: Mapping[Shape, Target],  # of the forward direction
    bfloat16: Mapping[Shape, Target] | None = None,
) -> tuple[Operation, Operation]:
    """Backward, torch may use autograd, or know that the operator is symmetric and call the composition again."""
    plain = next(iter(compositions))
    return (
        Operation(
            name=name,
            direction="forward",
            inputs=signal,
            ours=partial(forward, ours),
            compositions={key: partial(forward, function) for key, function in compositions.items()},
            oracle=partial(forward, compositions[plain]),
            flops=flops,
            targets=targets,
            bfloat16=bfloat16 or {},
            sweep=True,
        ),
        Operation(
            name=name,
            direction="forward+backward",
            inputs=signal_and_grad,
            ours=partial(forward_and_autograd, ours),
            compositions={
                f"{plain}; autograd": partial(forward_and_autograd, compositions[plain]),
                **{
                    f"{key}; again": partial(forward_and_autograd, partial(again, function))
                    for key, function in compositions.items()
                },
            },
            oracle=partial(forward_and_autograd, compositions[plain]),
            flops=partial(twice, flops),
            targets=NEVER_SLOWER,  # not in the sweep: the kernel is the one that the forward direction calls
        ),
    )


OPERATIONS = (
    *both_directions(
        "fourier_mixing",
        fourier_mixing,
        two_axes(hartley=False),
        flops_two_axes,
        targets=dict.fromkeys(SHAPES, Target(6.0, floor=2.0)),
        bfloat16=dict.fromkeys(BFLOAT16_SHAPES, Target(6.0)),
    ),
    *both_directions(
        "fourier_mixing_1d", partial(fourier_mixing, dims=1), ONE_AXIS, flops_one_axis, targets=NEVER_SLOWER
    ),
    *both_directions("hartley_mixing", hartley_mixing, two_axes(hartley=True), flops_hartley, targets=NEVER_SLOWER),
)
