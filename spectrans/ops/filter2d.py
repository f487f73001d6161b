"""The op ``spectrans::filter2d`` and its derivatives: a response in the frequency domain of an (h, w) token grid."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans.ops import trilinear
from spectrans.ops.library import compute_dtype, from_parts, hermitian_part, with_strides_of


def _real_columns(w: int, device: torch.device) -> Tensor:  # bool [w//2+1, 1, 1]
    # DC and, for even w, Nyquist: the mirror image of bin (kh, kw) is (-kh, kw), in the same column.
    columns = torch.arange(w // 2 + 1, device=device)
    return ((2 * columns) % w == 0).reshape(-1, 1, 1)


def effective_response(
    response: Tensor,  # [h, w//2+1, d, 2]
    w: int,
) -> Tensor:  # [h, w//2+1, d, 2]
    """What acts of a response: all of it, but (H[kh] + conj H[-kh]) / 2 in the columns that hold both."""
    return torch.where(_real_columns(w, response.device), hermitian_part(response, 1), response)


def _on_grid(x: Tensor, h: int, w: int) -> Tensor:  # [..., h*w, d] -> [..., h, w, d]
    return x.reshape(*x.shape[:-2], h, w, x.shape[-1])  # no (un)flatten: batched backward passes do not know them


def filter2d_reference(
    x: Tensor,  # [..., h*w, d]
    response: Tensor,  # [h, w//2+1, d, 2]
    adjoint: bool = False,
) -> Tensor:  # [..., h*w, d]
    """irfft2(rfft2(x) * H) over the grid, H conjugated for the adjoint; numpy's irfft2 semantics on every device."""
    if x.numel() == 0:
        return with_strides_of(x, x + response.sum().mul(0))  # keeps the (zero) derivative with respect to the response
    h = response.shape[0]
    w = x.shape[-2] // h
    real, imag = effective_response(response, w).unbind(-1)
    spectrum = torch.fft.rfft2(_on_grid(x.to(compute_dtype(x.dtype)), h, w), dim=(-3, -2))
    filtered = spectrum * torch.complex(real, -imag if adjoint else imag)
    y: Tensor = torch.fft.irfft2(filtered, s=(h, w), dim=(-3, -2))
    return with_strides_of(x, y.reshape(x.shape))


def filter2d_response_grad_reference(
    grad: Tensor,  # [..., h*w, d]
    x: Tensor,  # [..., h*w, d]
    h: int,
) -> Tensor:  # [h, w//2+1, d, 2]
    """c / (h w) * sum conj(X) G over the leading axes: c = 1 in the columns that hold both bins of a pair, else 2."""
    n, d = x.shape[-2:]
    w = n // h
    dtype = compute_dtype(x.dtype)
    if x.numel() == 0:
        return x.new_zeros((h, w // 2 + 1, d, 2), dtype=dtype)
    x_spectrum, grad_spectrum = (torch.fft.rfft2(_on_grid(t.to(dtype), h, w), dim=(-3, -2)) for t in (x, grad))
    # conj_physical: a lazy conj would never be resolved below the dispatcher keys that compiled code skips.
    product = (x_spectrum.conj_physical() * grad_spectrum).reshape(-1, h, w // 2 + 1, d).sum(0)
    pairs = from_parts(product.real, product.imag)
    # Hermitian already, but for rounding: now the imaginary part of a bin that is its own mirror image is exactly zero.
    return torch.where(_real_columns(w, x.device), effective_response(pairs, w), 2 * pairs) / n


def _response_shape(n: int, d: int, h: int) -> tuple[int, ...]:
    return h, n // h // 2 + 1, d, 2


filter2d, filter2d_response_grad, filter2d_backward = trilinear.define(
    "filter2d", filter2d_reference, filter2d_response_grad_reference, _response_shape, grid=("h",)
)
