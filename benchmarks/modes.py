"""Truncated spectra beside the torch.fft compositions, and the matrix products, that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.fft import irfft, rfft

from benchmarks.operation import (
    CHANNELS_FIRST,
    FEW_CHANNELS,
    Operation,
    Shape,
    Target,
    Tensors,
    channels_first,
    forward,
    forward_and_autograd,
    transform_flops,
)
from spectrans.functional import irfft_modes, rfft_modes

KEPT = 16  # one mode of so many samples

# By transforms, and by definition: few modes, and more of a prime length.
TARGETS = dict.fromkeys(
    ((8, 512, 768), (8, 4096, 256), (4, 4096, 768), (8, 196, 384), (15, 53, 486), (2, 1021, 256)), Target(1.0)
)


def modes(n: int) -> int:
    return max(1, n // KEPT)


# -- forward: x [batch, n, d] -> [batch, modes, d] ---------------------------------------------------------------------


def ours(x: Tensor) -> Tensor:
    return rfft_modes(x, modes(x.shape[-2]))


def sliced(x: Tensor) -> Tensor:
    return rfft(x, dim=-2)[..., : modes(x.shape[-2]), :].contiguous()


def sliced_by_item(x: Tensor) -> Tensor:
    return torch.stack([sliced(item) for item in x])


def transposed(x: Tensor) -> Tensor:
    return rfft(x.mT.contiguous(), dim=-1)[..., : modes(x.shape[-2])].contiguous().mT


@lru_cache(2)  # they are large
def matrix(n: int, dtype: torch.dtype) -> Tensor:  # [2 modes, n]  cos, -sin
    turns = torch.arange(modes(n)).unsqueeze(-1) * torch.arange(n) % n
    angle = -2 * torch.pi * turns.double() / n
    return torch.cat((angle.cos(), angle.sin())).to(dtype)


def product(x: Tensor) -> Tensor:
    re, im = (matrix(x.shape[-2], x.dtype) @ x).chunk(2, dim=-2)
    return torch.complex(re, im)


# -- inverse: X [batch, modes, d], grid [n] -> [batch, n, d] -----------------------------------------------------------


def ours_inverse(spectrum: Tensor, grid: Tensor) -> Tensor:
    return irfft_modes(spectrum, grid.numel())


def padded(spectrum: Tensor, grid: Tensor) -> Tensor:
    x: Tensor = irfft(spectrum, n=grid.numel(), dim=-2)
    return x


def padded_by_item(spectrum: Tensor, grid: Tensor) -> Tensor:
    x = torch.empty(spectrum.shape[0], grid.numel(), spectrum.shape[2], dtype=grid.dtype)
    for x_item, item in zip(x, spectrum, strict=True):
        x_item.copy_(padded(item, grid))
    return x


def padded_transposed(spectrum: Tensor, grid: Tensor) -> Tensor:
    x: Tensor = irfft(spectrum.mT.contiguous(), n=grid.numel(), dim=-1)
    return x.mT


@lru_cache(2)  # they are large
def inverse_matrix(n: int, dtype: torch.dtype) -> Tensor:  # [n, 2 modes]
    weights = torch.full((2, modes(n), 1), 2 / n, dtype=torch.float64)
    weights[:, 0] /= 2
    return (matrix(n, torch.float64) * weights.flatten(0, 1)).to(dtype).mT.contiguous()


def inverse_product(spectrum: Tensor, grid: Tensor) -> Tensor:
    return inverse_matrix(grid.numel(), grid.dtype) @ torch.cat((spectrum.real, spectrum.imag), dim=-2)


# -- channels first: x [batch, d, n] <-> [batch, d, modes], and with all modes: rfft and irfft themselves --------------


def ours_along_lines(x: Tensor) -> Tensor:
    return rfft_modes(x, modes(x.shape[-1]), dim=-1)


def along_lines(x: Tensor) -> Tensor:
    return rfft(x)[..., : modes(x.shape[-1])].contiguous()


def along_lines_by_item(x: Tensor) -> Tensor:
    return torch.stack([along_lines(item) for item in x])


def product_along_lines(x: Tensor) -> Tensor:
    re, im = (x @ matrix(x.shape[-1], x.dtype).mT).chunk(2, dim=-1)
    return torch.complex(re, im)


def ours_inverse_along_lines(spectrum: Tensor, grid: Tensor) -> Tensor:
    return irfft_modes(spectrum, grid.numel(), dim=-1)


def padded_along_lines(spectrum: Tensor, grid: Tensor) -> Tensor:
    x: Tensor = irfft(spectrum, n=grid.numel())
    return x


def inverse_product_along_lines(spectrum: Tensor, grid: Tensor) -> Tensor:
    return torch.cat((spectrum.real, spectrum.imag), dim=-1) @ inverse_matrix(grid.numel(), grid.dtype).mT


def ours_whole(x: Tensor) -> Tensor:
    return rfft_modes(x, x.shape[-1] // 2 + 1, dim=-1)


# -- operations --------------------------------------------------------------------------------------------------------


def inputs(shape: Shape, dtype: torch.dtype, grad: bool = False) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype)
    return (x, spectrum(shape, dtype, generator)) if grad else (x,)


def inverse_inputs(shape: Shape, dtype: torch.dtype) -> Tensors:
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    return spectrum(shape, dtype, torch.Generator().manual_seed(0)), torch.arange(shape[1]).to(wide)


def spectrum(shape: Shape, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    batch, n, d = shape
    z = torch.randn((batch, modes(n), d), dtype=torch.complex64, generator=generator)
    z[:, 0].imag.zero_()
    return z.to(torch.complex128 if dtype is torch.float64 else torch.complex64)


def whole_spectrum(shape: Shape, dtype: torch.dtype) -> Tensors:
    (x,) = channels_first(inputs, shape, dtype)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    return rfft(x.to(wide)), torch.arange(shape[1]).to(wide)


def whole_flops(shape: Shape) -> float:
    batch, n, d = shape
    return batch * d * transform_flops(n)


def flops(shape: Shape, transforms: int = 1) -> float:
    """The parts that have no more bins than are kept; joining them comes on top."""
    batch, n, d = shape
    length = 2 * modes(n)
    return transforms * batch * d * n / length * transform_flops(length)


COMPOSITIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "rfft, slice": sliced,
    "rfft, slice, by item": sliced_by_item,
    "transposed copy, rfft, slice": transposed,
    "matrix product": product,
}

OPERATIONS = (
    Operation(
        name="rfft_modes",
        direction="forward",
        inputs=inputs,
        ours=partial(forward, ours),
        compositions={name: partial(forward, function) for name, function in COMPOSITIONS.items()},
        oracle=partial(forward, sliced),
        flops=flops,
        targets=TARGETS | FEW_CHANNELS,
        sweep=True,
    ),
    Operation(
        name="rfft_modes",
        direction="channels first",
        inputs=partial(channels_first, inputs),
        ours=partial(forward, ours_along_lines),
        compositions={
            "rfft, slice": partial(forward, along_lines),
            "rfft, slice, by item": partial(forward, along_lines_by_item),
            "matrix product": partial(forward, product_along_lines),
        },
        oracle=partial(forward, along_lines),
        flops=flops,
        targets=CHANNELS_FIRST,
    ),
    Operation(
        name="rfft_modes",
        direction="channels first, all",
        inputs=partial(channels_first, inputs),
        ours=partial(forward, ours_whole),
        compositions={"rfft": partial(forward, rfft)},
        oracle=partial(forward, rfft),
        flops=whole_flops,
        targets=CHANNELS_FIRST,
    ),
    Operation(
        name="rfft_modes",
        direction="forward+backward",
        inputs=partial(inputs, grad=True),
        ours=partial(forward_and_autograd, ours),
        compositions={
            f"{name}; autograd": partial(forward_and_autograd, function) for name, function in COMPOSITIONS.items()
        },
        oracle=partial(forward_and_autograd, sliced),
        flops=partial(flops, transforms=2),
        targets=TARGETS,
        sweep=True,
    ),
    Operation(
        name="irfft_modes",
        direction="forward",
        inputs=inverse_inputs,
        ours=partial(forward, ours_inverse),
        compositions={
            "irfft": partial(forward, padded),
            "irfft, by item": partial(forward, padded_by_item),
            "transposed copy, irfft": partial(forward, padded_transposed),
            "matrix product": partial(forward, inverse_product),
        },
        oracle=partial(forward, padded),
        flops=flops,
        targets=TARGETS | FEW_CHANNELS,
        sweep=True,
    ),
    Operation(
        name="irfft_modes",
        direction="channels first",
        inputs=partial(channels_first, inverse_inputs),
        ours=partial(forward, ours_inverse_along_lines),
        compositions={
            "irfft": partial(forward, padded_along_lines),
            "matrix product": partial(forward, inverse_product_along_lines),
        },
        oracle=partial(forward, padded_along_lines),
        flops=flops,
        targets=CHANNELS_FIRST,
    ),
    Operation(
        name="irfft_modes",
        direction="channels first, all",
        inputs=whole_spectrum,
        ours=partial(forward, ours_inverse_along_lines),
        compositions={"irfft": partial(forward, padded_along_lines)},
        oracle=partial(forward, padded_along_lines),
        flops=whole_flops,
        targets=CHANNELS_FIRST,
    ),
)
