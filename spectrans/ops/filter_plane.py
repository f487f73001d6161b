"""The op ``spectrans::filter_plane`` and its derivatives: a response over sequence and channels together."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans.ops import trilinear
from spectrans.ops.library import compute_dtype, from_parts, hermitian_part, with_strides_of


def filter_plane_reference(
    x: Tensor,  # [..., n, d]
    response: Tensor,  # [n, d, 2]
    adjoint: bool = False,
) -> Tensor:  # [..., n, d]
    """Re ifft2(fft2(x) * H) over the last two axes, H conjugated for the adjoint: by half spectra."""
    if x.numel() == 0:
        return with_strides_of(x, x + response.sum().mul(0))  # keeps the (zero) derivative with respect to the response
    n, d = x.shape[-2:]
    real, imag = hermitian_part(response, 2)[:, : d // 2 + 1].unbind(-1)
    spectrum = torch.fft.rfft2(x.to(compute_dtype(x.dtype)))
    y: Tensor = torch.fft.irfft2(spectrum * torch.complex(real, -imag if adjoint else imag), s=(n, d))
    return with_strides_of(x, y)


def filter_plane_response_grad_reference(
    grad: Tensor,  # [..., n, d]
    x: Tensor,  # [..., n, d]
) -> Tensor:  # [n, d, 2]
    """The Hermitian part of 1 / (n d) * sum conj(X) G over the leading axes."""
    n, d = x.shape[-2:]
    dtype = compute_dtype(x.dtype)
    if x.numel() == 0:
        return x.new_zeros((n, d, 2), dtype=dtype)
    x_spectrum, grad_spectrum = (torch.fft.fft2(t.to(dtype)) for t in (x, grad))
    # conj_physical: a lazy conj would never be resolved below the dispatcher keys that compiled code skips.
    product = (x_spectrum.conj_physical() * grad_spectrum).reshape(-1, n, d).sum(0)
    # Hermitian already, but for rounding: now the imaginary part of a bin that is its own mirror image is exactly zero.
    return hermitian_part(from_parts(product.real, product.imag), 2) / (n * d)


def _response_shape(n: int, d: int) -> tuple[int, ...]:
    return n, d, 2


filter_plane, filter_plane_response_grad, filter_plane_backward = trilinear.define(
    "filter_plane",
    filter_plane_reference,
    filter_plane_response_grad_reference,
    _response_shape,
    mixes_channels=True,
)
