"""Filtering along the sequence beside the torch.fft compositions that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fft import irfft, rfft

from benchmarks.operation import (
    BFLOAT16_SHAPES,
    CHANNELS_FIRST,
    FEW_CHANNELS,
    SHAPES,
    Operation,
    Shape,
    Target,
    Tensors,
    channels_first,
    filtered_by_item,
    forward,
    forward_and_autograd,
    gradients_by_item,
    transform_flops,
)
from spectrans.functional import spectral_filter

BLOCK = 2**18  # values of a block of channels: its temporaries stay in the second-level cache

# -- forward: x [batch, n, d], response complex [n//2+1, d] ------------------------------------------------------------


def arranged(response: Tensor) -> Tensor:
    """Bins side by side, as they are in the spectra that torch takes along -2."""
    return response.mT.contiguous().mT


def composed(x: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft(rfft(x, dim=-2) * response, n=x.shape[-2], dim=-2)
    return y


def in_place(x: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft(rfft(x, dim=-2).mul_(arranged(response)), n=x.shape[-2], dim=-2)
    return y


def transposed(x: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft(rfft(x.mT.contiguous(), dim=-1) * response.mT.contiguous(), n=x.shape[-2], dim=-1)
    return y.mT


def transposed_in_place(x: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft(rfft(x.mT.contiguous(), dim=-1).mul_(response.mT.contiguous()), n=x.shape[-2], dim=-1)
    return y.mT


def by_item(x: Tensor, response: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Temporaries the size of one item stay in cache."""
    y, response = torch.empty_like(x), arranged(response)
    for y_item, x_item in zip(y, x, strict=True):
        y_item.copy_(function(x_item, response))
    return y


def transposed_by_item(x: Tensor, response: Tensor) -> Tensor:
    n, response = x.shape[-2], response.mT.contiguous()
    y = torch.empty_like(x)
    for y_item, x_item in zip(y, x, strict=True):
        y_item.copy_(irfft(rfft(x_item.mT.contiguous(), dim=-1).mul_(response), n=n, dim=-1).mT)
    return y


def transposed_by_block(x: Tensor, response: Tensor) -> Tensor:
    """An item of many tokens is larger than the cache: some of its channels at a time."""
    n, response = x.shape[-2], response.mT.contiguous()
    width = max(1, BLOCK // n)
    y = torch.empty_like(x)
    for y_item, x_item in zip(y, x, strict=True):
        for to, some, factor in zip(*(t.split(width) for t in (y_item.mT, x_item.mT, response)), strict=True):
            to.copy_(irfft(rfft(some.contiguous(), dim=-1).mul_(factor), n=n, dim=-1))
    return y


# -- channels first: x [batch, d, n] -----------------------------------------------------------------------------------


def along_lines(x: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft(rfft(x) * response.mT, n=x.shape[-1])
    return y


def along_lines_in_place(x: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft(rfft(x).mul_(response.mT.contiguous()), n=x.shape[-1])
    return y


def along_lines_by_item(x: Tensor, response: Tensor) -> Tensor:
    return by_item(x, response, along_lines)


# -- forward, and backward by hand -------------------------------------------------------------------------------------
# <g, irfft(rfft(x) H)>: to x flows irfft(rfft(g) conj H), to H flows c_k/n sum conj(rfft(x)) rfft(g), where c counts
# a bin and its mirror image: 2, but 1 at 0 and n/2. The spectrum of x is kept.


def weigh(correlation: Tensor, n: int, bins: int = -2) -> Tensor:
    """c_k/n times sum conj(rfft(x)) rfft(g), in place."""
    correlation.div_(n).narrow(bins, 1, (n - 1) // 2).mul_(2)
    return correlation


class ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        response = arranged(response)
        spectrum = rfft(x, dim=-2)
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft(spectrum * response, n=x.shape[-2], dim=-2)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (spectrum, response) = grad.shape[-2], ctx.saved_tensors
        grad_spectrum = rfft(grad, dim=-2)
        grad_response = weigh((spectrum.conj() * grad_spectrum).sum(0), n)
        return irfft(grad_spectrum.mul_(response.conj()), n=n, dim=-2), grad_response


class ByHandTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        response = response.mT.contiguous()
        spectrum = rfft(x.mT.contiguous(), dim=-1)
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft(spectrum * response, n=x.shape[-2], dim=-1)
        return y.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (spectrum, response) = grad.shape[-2], ctx.saved_tensors
        grad_spectrum = rfft(grad.mT.contiguous(), dim=-1)
        grad_response = weigh((spectrum.conj() * grad_spectrum).sum(0), n, bins=-1)
        return irfft(grad_spectrum.mul_(response.conj()), n=n, dim=-1).mT, grad_response.mT


def to_bins(item: Tensor) -> Tensor:
    return rfft(item, dim=-2)


def to_bins_transposed(item: Tensor) -> Tensor:
    return rfft(item.mT.contiguous(), dim=-1)


class ByHandByItem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        response = arranged(response)
        y, spectra = filtered_by_item(x, response, to_bins, partial(irfft, n=x.shape[-2], dim=-2))
        ctx.save_for_backward(response, *spectra)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (response, *spectra) = grad.shape[-2], ctx.saved_tensors
        grad_x, correlation = gradients_by_item(grad, response, spectra, to_bins, partial(irfft, n=n, dim=-2))
        return grad_x, weigh(correlation, n)


class ByHandTransposedByItem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        n, response = x.shape[-2], response.mT.contiguous()
        y, spectra = filtered_by_item(x, response, to_bins_transposed, lambda z: irfft(z, n=n, dim=-1).mT)
        ctx.save_for_backward(response, *spectra)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (response, *spectra) = grad.shape[-2], ctx.saved_tensors
        grad_x, correlation = gradients_by_item(
            grad, response, spectra, to_bins_transposed, lambda z: irfft(z, n=n, dim=-1).mT
        )
        return grad_x, weigh(correlation, n, bins=-1).mT


# -- the least work: a complex product is 6 flops a bin, its accumulation 8, and there are n/2 bins --------------------


def flops_forward(shape: Shape) -> float:
    batch, n, d = shape
    return batch * d * (2 * transform_flops(n) + 3 * n)


def flops_forward_and_backward(shape: Shape) -> float:
    """The spectrum of x counts twice: keeping it from the forward pass would cost memory instead."""
    batch, n, d = shape
    return batch * d * (5 * transform_flops(n) + 10 * n)


# -- operations --------------------------------------------------------------------------------------------------------


def inputs(shape: Shape, dtype: torch.dtype, grad: bool = False) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    x = torch.randn(shape, generator=generator).to(dtype)
    response = rfft(torch.randn(shape[1:], generator=generator).to(wide), dim=-2).contiguous() / shape[1] ** 0.5
    return (x, response, torch.randn(shape, generator=generator).to(dtype)) if grad else (x, response)


COMPOSITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rfft, multiply, irfft": composed,
    "rfft, mul_, irfft": in_place,
    "transposed copy, multiply": transposed,
    "transposed copy, mul_": transposed_in_place,
    "rfft, mul_, irfft, by item": partial(by_item, function=in_place),
    "transposed copy, mul_, by item": transposed_by_item,
    "transposed copy, mul_, by block of channels": transposed_by_block,
}

OPERATIONS = (
    Operation(
        name="spectral_filter",
        direction="forward",
        inputs=inputs,
        ours=partial(forward, spectral_filter),
        compositions={name: partial(forward, function) for name, function in COMPOSITIONS.items()},
        oracle=partial(forward, composed),
        flops=flops_forward,
        targets=dict.fromkeys(SHAPES, Target(6.0, floor=1.5)) | FEW_CHANNELS,
        bfloat16=dict.fromkeys(BFLOAT16_SHAPES, Target(6.0)),
        sweep=True,
    ),
    Operation(
        name="spectral_filter",
        direction="channels first",
        inputs=partial(channels_first, inputs),
        ours=partial(forward, partial(spectral_filter, dim=-1)),
        compositions={
            "rfft, multiply, irfft": partial(forward, along_lines),
            "rfft, mul_, irfft": partial(forward, along_lines_in_place),
            "rfft, multiply, irfft, by item": partial(forward, along_lines_by_item),
        },
        oracle=partial(forward, along_lines),
        flops=flops_forward,
        targets=CHANNELS_FIRST,
    ),
    Operation(
        name="spectral_filter",
        direction="forward+backward",
        inputs=partial(inputs, grad=True),
        ours=partial(forward_and_autograd, spectral_filter),
        compositions={
            "rfft, multiply, irfft; autograd": partial(forward_and_autograd, composed),
            "transposed copy, multiply; autograd": partial(forward_and_autograd, transposed),
            "rfft, multiply, irfft; by hand": partial(forward_and_autograd, ByHand.apply),
            "transposed copy, multiply; by hand": partial(forward_and_autograd, ByHandTransposed.apply),
            "rfft, multiply, irfft; by hand, by item": partial(forward_and_autograd, ByHandByItem.apply),
            "transposed copy, multiply; by hand, by item": partial(forward_and_autograd, ByHandTransposedByItem.apply),
        },
        oracle=partial(forward_and_autograd, ByHand.apply),
        flops=flops_forward_and_backward,
        targets=dict.fromkeys(SHAPES, Target(6.0)),
        bfloat16=dict.fromkeys(BFLOAT16_SHAPES, Target(6.0)),
        sweep=True,
    ),
)
