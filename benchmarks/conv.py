"""Causal long convolution beside the torch.fft compositions that compute the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fft import irfft, rfft
from torch.nn.functional import conv1d, pad

from benchmarks.operation import (
    CHANNELS_FIRST,
    FEW_CHANNELS,
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
from spectrans.functional import fft_conv

#: The shapes with targets.
SHAPES: tuple[Shape, ...] = ((8, 1024, 256), (8, 4096, 256), (2, 16384, 256))

# -- forward: u [batch, n, d], k [n, d]; zero-padded to 2 n ------------------------------------------------------------


def composed(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-2]
    y: Tensor = irfft(rfft(u, n=2 * n, dim=-2) * rfft(k, n=2 * n, dim=-2), n=2 * n, dim=-2)
    return y[..., :n, :]


def in_place(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-2]
    y: Tensor = irfft(rfft(u, n=2 * n, dim=-2).mul_(rfft(k, n=2 * n, dim=-2)), n=2 * n, dim=-2)
    return y[..., :n, :]


def transposed(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-2]
    y: Tensor = irfft(rfft(u.mT.contiguous(), n=2 * n) * rfft(k.mT.contiguous(), n=2 * n), n=2 * n)
    return y[..., :n].mT


def transposed_in_place(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-2]
    y: Tensor = irfft(rfft(u.mT.contiguous(), n=2 * n).mul_(rfft(k.mT.contiguous(), n=2 * n)), n=2 * n)
    return y[..., :n].mT


def by_item(u: Tensor, k: Tensor) -> Tensor:
    """Temporaries are those of one item."""
    n = u.shape[-2]
    response = rfft(k, n=2 * n, dim=-2)
    y = torch.empty_like(u)
    for y_item, u_item in zip(y, u, strict=True):
        y_item.copy_(irfft(rfft(u_item, n=2 * n, dim=-2).mul_(response), n=2 * n, dim=-2)[:n])
    return y


def transposed_by_item(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-2]
    response = rfft(k.mT.contiguous(), n=2 * n)
    y = torch.empty_like(u)
    for y_item, u_item in zip(y, u, strict=True):
        y_item.copy_(irfft(rfft(u_item.mT.contiguous(), n=2 * n).mul_(response), n=2 * n)[:, :n].mT)
    return y


# -- channels first: u [batch, d, n], k [n, d] turned to [d, n] --------------------------------------------------------


def ours_along_lines(u: Tensor, k: Tensor) -> Tensor:
    return fft_conv(u, k.mT, dim=-1)


def along_lines(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-1]
    y: Tensor = irfft(rfft(u, n=2 * n) * rfft(k.mT.contiguous(), n=2 * n), n=2 * n)
    return y[..., :n]


def along_lines_in_place(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-1]
    y: Tensor = irfft(rfft(u, n=2 * n).mul_(rfft(k.mT.contiguous(), n=2 * n)), n=2 * n)
    return y[..., :n]


def along_lines_by_item(u: Tensor, k: Tensor) -> Tensor:
    n = u.shape[-1]
    response = rfft(k.mT.contiguous(), n=2 * n)
    y = torch.empty_like(u)
    for y_item, u_item in zip(y, u, strict=True):
        y_item.copy_(irfft(rfft(u_item, n=2 * n).mul_(response), n=2 * n)[:, :n])
    return y


# -- fewer taps than samples: u [batch, n, d], k [taps, d] -------------------------------------------------------------

#: By shape of the signal: the short convolutions of state-space models, and what is between them and long ones.
FEW_TAPS: dict[Shape, int] = {
    (8, 512, 768): 3,
    (8, 2048, 256): 4,
    (4, 4096, 256): 32,
    (1, 16384, 64): 64,
    (1, 2**20, 1): 256,
}
#: Signals longer than their kernels, most of them by far: audio, and sequences of many channels.
LONG_SIGNALS: dict[Shape, int] = {
    (1, 2**18, 2): 1024,
    (1, 2**18, 8): 4096,
    (1, 2**20, 1): 16384,
    (2, 65536, 64): 1024,
    (2, 16384, 256): 600,
    (8, 1000, 512): 200,
}


def taps(counts: dict[Shape, int], shape: Shape) -> int:
    return counts.get(shape, min(3, shape[1]))


def tap_by_tap(u: Tensor, k: Tensor) -> Tensor:
    y = u * k[0]
    for lag in range(1, k.shape[0]):
        y[:, lag:].addcmul_(u[:, :-lag], k[lag])
    return y


def depthwise(u: Tensor, k: Tensor) -> Tensor:
    y: Tensor = conv1d(pad(u.mT, (k.shape[0] - 1, 0)), k.flip(0).T.unsqueeze(1), groups=k.shape[1])
    return y.mT.contiguous()


def overlap_save(u: Tensor, k: Tensor, *, times: int) -> Tensor:
    """Of blocks at least `times` as long as the taps, which have some samples in common with their neighbours."""
    (batch, n, d), before = u.shape, k.shape[0] - 1
    length = 1 << (times * k.shape[0] - 1).bit_length()
    step = length - before
    blocks = -(-n // step)
    parts = pad(u.mT, (before, blocks * step - n)).unfold(-1, length, step)
    y = irfft(rfft(parts) * rfft(k.T, n=length).unsqueeze(1), n=length)[..., before:]
    return y.reshape(batch, d, -1)[..., :n].mT.contiguous()


def shorter_kernel(shape: Shape, dtype: torch.dtype, *, counts: dict[Shape, int]) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    wide, count = torch.float64 if dtype is torch.float64 else torch.float32, taps(counts, shape)
    u = torch.randn(shape, generator=generator).to(dtype)
    return u, torch.randn(count, shape[-1], generator=generator).to(wide) / count**0.5


def flops_by_taps(shape: Shape) -> float:
    batch, n, d = shape
    return 2.0 * batch * n * d * taps(FEW_TAPS, shape)


def flops_by_blocks(shape: Shape) -> float:
    """Of blocks four times as long as the taps, there and back."""
    (batch, n, d), count = shape, taps(LONG_SIGNALS, shape)
    return batch * d * n / (3 * count) * 2 * transform_flops(4 * count)


# -- forward, and backward by hand -------------------------------------------------------------------------------------
# <g, k * u>: to u flows the correlation of g with k, to k the sum over the batch of that of g with u. The spectra of u
# and k are kept.


class ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, k: Tensor) -> Tensor:
        n = u.shape[-2]
        spectrum, response = rfft(u, n=2 * n, dim=-2), rfft(k, n=2 * n, dim=-2)
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft(spectrum * response, n=2 * n, dim=-2)[:, :n]
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (spectrum, response) = grad.shape[-2], ctx.saved_tensors
        grad_spectrum = rfft(grad, n=2 * n, dim=-2)
        grad_k = irfft((spectrum.conj() * grad_spectrum).sum(0), n=2 * n, dim=-2)[:n]
        return irfft(grad_spectrum.mul_(response.conj()), n=2 * n, dim=-2)[:, :n], grad_k


class ByHandTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, k: Tensor) -> Tensor:
        n = u.shape[-2]
        spectrum, response = rfft(u.mT.contiguous(), n=2 * n), rfft(k.mT.contiguous(), n=2 * n)
        ctx.save_for_backward(spectrum, response)
        y: Tensor = irfft(spectrum * response, n=2 * n)[..., :n]
        return y.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (spectrum, response) = grad.shape[-2], ctx.saved_tensors
        grad_spectrum = rfft(grad.mT.contiguous(), n=2 * n)
        grad_k = irfft((spectrum.conj() * grad_spectrum).sum(0), n=2 * n)[..., :n]
        return irfft(grad_spectrum.mul_(response.conj()), n=2 * n)[..., :n].mT, grad_k.mT


def to_bins(item: Tensor) -> Tensor:
    spectrum: Tensor = rfft(item.mT.contiguous(), n=2 * item.shape[-2])
    return spectrum


def to_item(spectrum: Tensor, n: int) -> Tensor:
    y: Tensor = irfft(spectrum, n=2 * n)[:, :n]
    return y.mT


class ByHandByItem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, k: Tensor) -> Tensor:
        response = to_bins(k)
        y, spectra = filtered_by_item(u, response, to_bins, partial(to_item, n=u.shape[-2]))
        ctx.save_for_backward(response, *spectra)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensors:
        n, (response, *spectra) = grad.shape[-2], ctx.saved_tensors
        grad_u, correlation = gradients_by_item(grad, response, spectra, to_bins, partial(to_item, n=n))
        return grad_u, to_item(correlation, n)


# -- the least work: transforms of length 2 n, a complex product of 6 flops for each of n bins -------------------------


def flops_forward(shape: Shape) -> float:
    batch, n, d = shape
    return d * (batch * (2 * transform_flops(2 * n) + 6 * n) + transform_flops(2 * n))


def flops_forward_and_backward(shape: Shape) -> float:
    """The spectra of u and k count twice: keeping them from the forward pass would cost memory instead."""
    batch, n, d = shape
    return d * (batch * (5 * transform_flops(2 * n) + 20 * n) + 3 * transform_flops(2 * n))


# -- operations --------------------------------------------------------------------------------------------------------


def inputs(shape: Shape, dtype: torch.dtype, grad: bool = False) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    u = torch.randn(shape, generator=generator).to(dtype)
    k = torch.randn(shape[1:], generator=generator).to(wide) / shape[1] ** 0.5
    return (u, k, torch.randn(shape, generator=generator).to(dtype)) if grad else (u, k)


TARGETS = dict.fromkeys(SHAPES, Target(5.0))

OPERATIONS = (
    Operation(
        name="fft_conv",
        direction="forward",
        inputs=inputs,
        ours=partial(forward, fft_conv),
        compositions={
            "rfft, multiply, irfft": partial(forward, composed),
            "rfft, mul_, irfft": partial(forward, in_place),
            "transposed copy, multiply": partial(forward, transposed),
            "transposed copy, mul_": partial(forward, transposed_in_place),
            "rfft, mul_, irfft, by item": partial(forward, by_item),
            "transposed copy, mul_, by item": partial(forward, transposed_by_item),
        },
        oracle=partial(forward, composed),
        flops=flops_forward,
        targets=TARGETS | FEW_CHANNELS,
        sweep=True,
    ),
    Operation(
        name="fft_conv",
        direction="channels first",
        inputs=partial(channels_first, inputs),
        ours=partial(forward, ours_along_lines),
        compositions={
            "rfft, multiply, irfft": partial(forward, along_lines),
            "rfft, mul_, irfft": partial(forward, along_lines_in_place),
            "rfft, mul_, irfft, by item": partial(forward, along_lines_by_item),
        },
        oracle=partial(forward, along_lines),
        flops=flops_forward,
        targets=CHANNELS_FIRST,
    ),
    Operation(
        name="fft_conv",
        direction="few taps",
        inputs=partial(shorter_kernel, counts=FEW_TAPS),
        ours=partial(forward, fft_conv),
        compositions={
            "tap by tap": partial(forward, tap_by_tap),
            "conv1d": partial(forward, depthwise),
            "overlap-save, 4 times": partial(forward, partial(overlap_save, times=4)),
            "overlap-save, 16 times": partial(forward, partial(overlap_save, times=16)),
        },
        oracle=partial(forward, tap_by_tap),
        flops=flops_by_taps,
        targets=dict.fromkeys(FEW_TAPS, Target(1.0)),
    ),
    Operation(
        name="fft_conv",
        direction="long signals",
        inputs=partial(shorter_kernel, counts=LONG_SIGNALS),
        ours=partial(forward, fft_conv),
        compositions={
            "transposed copy, mul_": partial(forward, transposed_in_place),
            **{
                f"overlap-save, {times} times": partial(forward, partial(overlap_save, times=times))
                for times in (2, 4, 16)
            },
        },
        oracle=partial(forward, transposed),
        flops=flops_by_blocks,
        targets=dict.fromkeys(LONG_SIGNALS, Target(1.0)),
    ),
    Operation(
        name="fft_conv",
        direction="forward+backward",
        inputs=partial(inputs, grad=True),
        ours=partial(forward_and_autograd, fft_conv),
        compositions={
            "rfft, multiply, irfft; autograd": partial(forward_and_autograd, composed),
            "transposed copy, multiply; autograd": partial(forward_and_autograd, transposed),
            "rfft, multiply, irfft; by hand": partial(forward_and_autograd, ByHand.apply),
            "transposed copy, multiply; by hand": partial(forward_and_autograd, ByHandTransposed.apply),
            "transposed copy, multiply; by hand, by item": partial(forward_and_autograd, ByHandByItem.apply),
        },
        oracle=partial(forward_and_autograd, ByHand.apply),
        flops=flops_forward_and_backward,
        targets=TARGETS,
        sweep=True,
    ),
)
