"""Filtering over a grid of tokens beside the torch.fft compositions that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from benchmarks.operation import (
    Operation,
    Shape,
    Target,
    Tensors,
    filtered_by_item,
    forward,
    forward_and_autograd,
    gradients_by_item,
    transform_flops,
)
from spectrans.functional import spectral_filter2d

#: Those of GFNet's stages, and a larger one.
TARGETS = dict.fromkeys(((64, 14 * 14, 384), (64, 7 * 7, 512), (64, 32 * 32, 256)), Target(5.0))

LAST = (-3, -2)  # the axes of the grid, channels last


def grid_of(n: int) -> tuple[int, int]:
    """The h x w = n that is nearest to a square, h <= w."""
    h = next(h for h in range(isqrt(n), 0, -1) if n % h == 0)
    return h, n // h


# -- forward: x [batch, n, d], response complex [h, w//2+1, d] ---------------------------------------------------------


def ours(x: Tensor, response: Tensor) -> Tensor:
    return spectral_filter2d(x, response, grid_of(x.shape[-2]))


def arranged(response: Tensor) -> Tensor:
    """Bins side by side, as they are in the spectra that torch takes along the grid."""
    return response.movedim(-1, 0).contiguous().movedim(0, -1)


def composed(x: Tensor, response: Tensor) -> Tensor:
    grid = grid_of(x.shape[-2])
    y: Tensor = irfft2(rfft2(x.unflatten(-2, grid), dim=LAST) * response, s=grid, dim=LAST)
    return y.flatten(-3, -2)


def in_place(x: Tensor, response: Tensor) -> Tensor:
    grid = grid_of(x.shape[-2])
    y: Tensor = irfft2(rfft2(x.unflatten(-2, grid), dim=LAST).mul_(arranged(response)), s=grid, dim=LAST)
    return y.flatten(-3, -2)


def transposed(x: Tensor, response: Tensor) -> Tensor:
    grid = grid_of(x.shape[-2])
    y: Tensor = irfft2(rfft2(x.mT.contiguous().unflatten(-1, grid)) * response.movedim(-1, 0).contiguous(), s=grid)
    return y.flatten(-2, -1).mT


def transposed_in_place(x: Tensor, response: Tensor) -> Tensor:
    grid = grid_of(x.shape[-2])
    spectrum = rfft2(x.mT.contiguous().unflatten(-1, grid))
    y: Tensor = irfft2(spectrum.mul_(response.movedim(-1, 0).contiguous()), s=grid)
    return y.flatten(-2, -1).mT


def by_item(x: Tensor, response: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Temporaries the size of one item stay in cache."""
    y, response = torch.empty_like(x), arranged(response)
    for y_item, x_item in zip(y, x, strict=True):
        y_item.copy_(function(x_item, response))
    return y


# -- forward, and backward by hand -------------------------------------------------------------------------------------
# <g, irfft2(rfft2(x) H)>: to x flows irfft2(rfft2(g) conj H), to H flows c/n sum conj(rfft2(x)) rfft2(g), where c
# counts a bin and its mirror image: 2, but 1 in the columns that hold both, 0 and w/2. The spectrum of x is kept.


def weigh(correlation: Tensor, grid: tuple[int, int], columns: int = -2) -> Tensor:
    """c/n times sum conj(rfft2(x)) rfft2(g), in place."""
    h, w = grid
    correlation.div_(h * w).narrow(columns, 1, (w - 1) // 2).mul_(2)
    return correlation


class ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        grid, response = grid_of(x.shape[-2]), arranged(response)
        spectrum = rfft2(x.unflatten(-2, grid), dim=LAST)
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft2(spectrum * response, s=grid, dim=LAST)
        return y.flatten(-3, -2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        grid, (spectrum, response) = grid_of(grad.shape[-2]), ctx.saved_tensors
        grad_spectrum = rfft2(grad.unflatten(-2, grid), dim=LAST)
        grad_response = weigh((spectrum.conj() * grad_spectrum).sum(0), grid)
        return irfft2(grad_spectrum.mul_(response.conj()), s=grid, dim=LAST).flatten(-3, -2), grad_response


class ByHandTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        grid, response = grid_of(x.shape[-2]), response.movedim(-1, 0).contiguous()
        spectrum = rfft2(x.mT.contiguous().unflatten(-1, grid))
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft2(spectrum * response, s=grid)
        return y.flatten(-2, -1).mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        grid, (spectrum, response) = grid_of(grad.shape[-2]), ctx.saved_tensors
        grad_spectrum = rfft2(grad.mT.contiguous().unflatten(-1, grid))
        grad_response = weigh((spectrum.conj() * grad_spectrum).sum(0), grid, columns=-1)
        grad_x = irfft2(grad_spectrum.mul_(response.conj()), s=grid)
        return grad_x.flatten(-2, -1).mT, grad_response.movedim(0, -1)


def to_bins(item: Tensor) -> Tensor:
    return rfft2(item.mT.contiguous().unflatten(-1, grid_of(item.shape[-2])))


def to_item(spectrum: Tensor, grid: tuple[int, int]) -> Tensor:
    return irfft2(spectrum, s=grid).flatten(-2, -1).mT


class ByHandByItem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        grid, response = grid_of(x.shape[-2]), response.movedim(-1, 0).contiguous()
        y, spectra = filtered_by_item(x, response, to_bins, partial(to_item, grid=grid))
        ctx.save_for_backward(response, *spectra)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        grid, (response, *spectra) = grid_of(grad.shape[-2]), ctx.saved_tensors
        grad_x, correlation = gradients_by_item(grad, response, spectra, to_bins, partial(to_item, grid=grid))
        return grad_x, weigh(correlation, grid, columns=-1).movedim(0, -1)


# -- the least work: as of a filter of sequences, but a column of a half spectrum is complex: two real transforms ------


def transform2d_flops(n: int) -> float:
    h, w = grid_of(n)
    return h * transform_flops(w) + w * transform_flops(h)


def flops_forward(shape: Shape) -> float:
    batch, n, d = shape
    return batch * d * (2 * transform2d_flops(n) + 3 * n)


def flops_forward_and_backward(shape: Shape) -> float:
    """The spectrum of x counts twice: keeping it from the forward pass would cost memory instead."""
    batch, n, d = shape
    return batch * d * (5 * transform2d_flops(n) + 10 * n)


# -- operations --------------------------------------------------------------------------------------------------------


def inputs(shape: Shape, dtype: torch.dtype, grad: bool = False) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    x = torch.randn(shape, generator=generator).to(dtype)
    kernel = torch.randn(shape[1:], generator=generator).to(wide) / shape[1] ** 0.5
    response = rfft2(kernel.unflatten(0, grid_of(shape[1])), dim=LAST).contiguous()
    return (x, response, torch.randn(shape, generator=generator).to(dtype)) if grad else (x, response)


COMPOSITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rfft2, multiply, irfft2": composed,
    "rfft2, mul_, irfft2": in_place,
    "transposed copy, multiply": transposed,
    "transposed copy, mul_": transposed_in_place,
    "rfft2, mul_, irfft2, by item": partial(by_item, function=in_place),
    "transposed copy, mul_, by item": partial(by_item, function=transposed_in_place),
}

OPERATIONS = (
    Operation(
        name="spectral_filter2d",
        direction="forward",
        inputs=inputs,
        ours=partial(forward, ours),
        compositions={name: partial(forward, function) for name, function in COMPOSITIONS.items()},
        oracle=partial(forward, composed),
        flops=flops_forward,
        targets=TARGETS,
        sweep=True,
    ),
    Operation(
        name="spectral_filter2d",
        direction="forward+backward",
        inputs=partial(inputs, grad=True),
        ours=partial(forward_and_autograd, ours),
        compositions={
            "rfft2, multiply, irfft2; autograd": partial(forward_and_autograd, composed),
            "transposed copy, multiply; autograd": partial(forward_and_autograd, transposed),
            "rfft2, multiply, irfft2; by hand": partial(forward_and_autograd, ByHand.apply),
            "transposed copy, multiply; by hand": partial(forward_and_autograd, ByHandTransposed.apply),
            "transposed copy, multiply; by hand, by item": partial(forward_and_autograd, ByHandByItem.apply),
        },
        oracle=partial(forward_and_autograd, ByHand.apply),
        flops=flops_forward_and_backward,
        targets=TARGETS,
        sweep=True,
    ),
)
