"""The op ``spectrans::filter`` and its derivatives: multiplication by a response in the frequency domain."""

from __future__ import annotations

import torch
from torch import Tensor

from spectrans.ops import trilinear
from spectrans.ops.library import compute_dtype, from_parts, with_strides_of


def _self_conjugate_bins(n: int, device: torch.device) -> Tensor:  # bool [n//2+1, 1]
    # DC and, for even n, Nyquist: X[k] = conj X[-k] there, so only the real part of the response acts.
    bins = torch.arange(n // 2 + 1, device=device)
    return ((2 * bins) % n == 0).unsqueeze(-1)


def filter_reference(
    x: Tensor,  # [..., n, d]
    response: Tensor,  # [n//2+1, d, 2]
    adjoint: bool = False,
) -> Tensor:  # [..., n, d]
    """irfft(rfft(x) * H) along the sequence, H conjugated for the adjoint; numpy's irfft semantics on every device."""
    if x.numel() == 0:
        return with_strides_of(x, x + response.sum().mul(0))  # keeps the (zero) derivative with respect to the response
    n = x.shape[-2]
    real, imag = response.unbind(-1)
    imag = imag.masked_fill(_self_conjugate_bins(n, x.device), 0.0)
    spectrum = torch.fft.rfft(x.to(compute_dtype(x.dtype)), dim=-2)
    filtered = spectrum * torch.complex(real, -imag if adjoint else imag)
    y: Tensor = torch.fft.irfft(filtered, n=n, dim=-2)
    return with_strides_of(x, y)


def filter_response_grad_reference(
    grad: Tensor,  # [..., n, d]
    x: Tensor,  # [..., n, d]
) -> Tensor:  # [n//2+1, d, 2]
    """c_k / n * sum conj(X) G over the leading axes: c = 1 at DC and Nyquist (imaginary part zero), 2 between."""
    n, d = x.shape[-2:]
    dtype = compute_dtype(x.dtype)
    if x.numel() == 0:
        return x.new_zeros((n // 2 + 1, d, 2), dtype=dtype)
    x_spectrum = torch.fft.rfft(x.to(dtype), dim=-2)
    grad_spectrum = torch.fft.rfft(grad.to(dtype), dim=-2)
    # conj_physical: a lazy conj would never be resolved below the dispatcher keys that compiled code skips.
    product = (x_spectrum.conj_physical() * grad_spectrum).reshape(-1, n // 2 + 1, d).sum(0)
    alone = _self_conjugate_bins(n, x.device)
    real = torch.where(alone, product.real, 2 * product.real) / n
    imag = (2 * product.imag).masked_fill(alone, 0.0) / n
    return from_parts(real, imag)


def _response_shape(n: int, d: int) -> tuple[int, ...]:
    return n // 2 + 1, d, 2


filter, filter_response_grad, filter_backward = trilinear.define(
    "filter", filter_reference, filter_response_grad_reference, _response_shape
)
