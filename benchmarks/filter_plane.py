"""Filtering along both axes beside the torch.fft compositions that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fft import fft2, irfft2, rfft2

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
from spectrans.functional import spectral_filter_plane

TARGETS = dict.fromkeys(((8, 128, 256), (8, 512, 768), (32, 512, 768), (8, 1000, 512), (64, 196, 384)), Target(3.0))

CHANNELS, SEQUENCE = (-2, -1), (-1, -2)  # the axis that is halved comes last

# x [batch, n, d], and a Hermitian response three times over, so that nobody has to rearrange it: real pairs [n, d, 2],
# and its halves, complex [n, d//2+1] and [n//2+1, d].

# -- forward -----------------------------------------------------------------------------------------------------------


def ours(x: Tensor, pairs: Tensor, *_: Tensor) -> Tensor:
    return spectral_filter_plane(x, pairs)


def composed(x: Tensor, _: Tensor, response: Tensor, *__: Tensor) -> Tensor:
    y: Tensor = irfft2(rfft2(x) * response, s=x.shape[-2:])
    return y


def in_place(x: Tensor, _: Tensor, response: Tensor, *__: Tensor) -> Tensor:
    y: Tensor = irfft2(rfft2(x).mul_(response), s=x.shape[-2:])
    return y


def in_place_by_sequence(x: Tensor, _: Tensor, __: Tensor, response: Tensor) -> Tensor:
    y: Tensor = irfft2(rfft2(x, dim=SEQUENCE).mul_(response), s=x.shape[:-3:-1], dim=SEQUENCE)
    return y


def by_item(x: Tensor, *responses: Tensor, function: Callable[..., Tensor]) -> Tensor:
    """Temporaries the size of one item stay in cache."""
    y = torch.empty_like(x)
    for y_item, x_item in zip(y, x, strict=True):
        y_item.copy_(function(x_item, *responses))
    return y


# -- forward, and backward by hand -------------------------------------------------------------------------------------
# <g, irfft2(rfft2(x) H)>: to x flows irfft2(rfft2(g) conj H), to H, as a whole spectrum, 1/(n d) sum conj(fft2(x))
# fft2(g), of which the half [n, d//2+1] is asked for. The spectrum of x is kept.


class ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        spectrum = rfft2(x)
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft2(spectrum * response, s=x.shape[-2:])
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        shape, (spectrum, response) = grad.shape[-2:], ctx.saved_tensors
        grad_spectrum = rfft2(grad)
        grad_response = (spectrum.conj() * grad_spectrum).sum(0).div_(shape.numel())
        return irfft2(grad_spectrum.mul_(response.conj()), s=shape), grad_response


class ByHandByItem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, response: Tensor) -> Tensor:
        y, spectra = filtered_by_item(x, response, rfft2, partial(irfft2, s=x.shape[-2:]))
        ctx.save_for_backward(response, *spectra)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        shape, (response, *spectra) = grad.shape[-2:], ctx.saved_tensors
        grad_x, correlation = gradients_by_item(grad, response, spectra, rfft2, partial(irfft2, s=shape))
        return grad_x, correlation.div_(shape.numel())


def ours_and_autograd(x: Tensor, pairs: Tensor, _: Tensor, __: Tensor, grad: Tensor) -> Tensors:
    y, grad_x, grad_response = forward_and_autograd(ours, x, pairs, grad)
    return y, grad_x, torch.view_as_complex(grad_response)[:, : x.shape[-1] // 2 + 1]


def half_and_autograd(x: Tensor, _: Tensor, response: Tensor, __: Tensor, grad: Tensor, *, function: Any) -> Tensors:
    return forward_and_autograd(function, x, response, grad)


# -- the least work: two Hartley transforms of both axes, and three operations a bin -----------------------------------


def plane_flops(n: int, d: int) -> float:
    return n * transform_flops(d) + d * transform_flops(n)


def flops_forward(shape: Shape) -> float:
    batch, n, d = shape
    return batch * (2 * plane_flops(n, d) + 3 * n * d)


def flops_forward_and_backward(shape: Shape) -> float:
    """The spectrum of x counts twice: keeping it from the forward pass would cost memory instead."""
    batch, n, d = shape
    return batch * (5 * plane_flops(n, d) + 10 * n * d)


# -- operations --------------------------------------------------------------------------------------------------------


def inputs(shape: Shape, dtype: torch.dtype, grad: bool = False) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    _, n, d = shape
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    x = torch.randn(shape, generator=generator).to(dtype)
    response = fft2(torch.randn(n, d, generator=generator).to(wide)) / (n * d) ** 0.5
    response = (response + response.roll((-1, -1), (0, 1)).flip(0, 1).conj()) / 2  # what fft2 rounds is not, exactly
    responses = (torch.view_as_real(response), response[:, : d // 2 + 1].contiguous(), response[: n // 2 + 1].clone())
    return (x, *responses, torch.randn(shape, generator=generator).to(dtype)) if grad else (x, *responses)


COMPOSITIONS: dict[str, Callable[..., Tensor]] = {
    "rfft2, multiply, irfft2": composed,
    "rfft2, mul_, irfft2": in_place,
    "rfft2, mul_, irfft2, the sequence halved": in_place_by_sequence,
    "rfft2, mul_, irfft2, by item": partial(by_item, function=in_place),
    "rfft2, mul_, irfft2, the sequence halved, by item": partial(by_item, function=in_place_by_sequence),
}

OPERATIONS = (
    Operation(
        name="spectral_filter_plane",
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
        name="spectral_filter_plane",
        direction="forward+backward",
        inputs=partial(inputs, grad=True),
        ours=ours_and_autograd,
        compositions={
            "rfft2, multiply, irfft2; by hand": partial(half_and_autograd, function=ByHand.apply),
            "rfft2, multiply, irfft2; by hand, by item": partial(half_and_autograd, function=ByHandByItem.apply),
        },
        oracle=partial(half_and_autograd, function=ByHand.apply),
        flops=flops_forward_and_backward,
        targets=TARGETS,
        sweep=True,
    ),
)
