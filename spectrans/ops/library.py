"""The dispatcher namespace ``spectrans`` and what its ops have in common."""

from __future__ import annotations

import torch

#: Schemas are defined here; the native libraries only register kernels for them.
library = torch.library.Library("spectrans", "DEF")

#: Outputs follow the strides of the inputs, so a compiler must not change those behind the op's back.
TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype an op computes in: float64 for float64, float32 for everything narrower."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def with_strides_of(like: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """`result` with the strides of ``torch.empty_like(like)``: what every op promises for its output."""
    out = torch.empty_like(like)
    if out.stride() == result.stride() and result.dtype is out.dtype:
        return result
    return out.copy_(result)
