"""What the functions check of their arguments, before any work is done."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from spectrans.ops.library import compute_dtype
from spectrans.ops.mixing import NORMS

REAL_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
COMPLEX_DTYPES = frozenset((torch.complex64, torch.complex128))
_NORM_CODES: dict[str | None, int] = {None: 0, **{name: code for code, name in enumerate(NORMS)}}


def check_dense(t: Tensor, name: str) -> None:
    """A tensor with strides."""
    if t.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {t.layout}")
    if t.is_nested:
        raise TypeError(f"{name}: expected a dense tensor, got a nested one")


def check_numbers(t: Tensor, name: str) -> None:
    """A real or complex tensor, of any shape."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(t).__name__}")
    check_dense(t, name)
    if t.dtype not in REAL_DTYPES and t.dtype not in COMPLEX_DTYPES:
        raise TypeError(
            f"{name}: expected dtype float16, bfloat16, float32, float64, complex64 or complex128, got {t.dtype}"
        )


def check_signal(x: Tensor, name: str = "x") -> None:
    """A real tensor [..., n, d]."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dtype not in REAL_DTYPES:
        raise TypeError(f"{name}: expected dtype float16, bfloat16, float32 or float64, got {x.dtype}")
    check_dense(x, name)
    if x.dim() < 2:
        raise ValueError(f"{name}: expected at least 2 dimensions [..., n, d], got shape {tuple(x.shape)}")


def check_lengths(x: Tensor, sequence: bool, hidden: bool) -> None:
    """The axes to be transformed have elements."""
    # One question where there is nothing amiss.
    if x.numel() == 0 and ((sequence and x.shape[-2] == 0) or (hidden and x.shape[-1] == 0)):
        raise ValueError(f"x: expected transformed axes of length 1 or more, got shape {tuple(x.shape)}")


def norm_code(norm: str | None, name: str = "norm") -> int:
    """The op's number for a `norm` of torch.fft."""
    if not (norm is None or isinstance(norm, str)):
        raise TypeError(f"{name}: expected a string or None, got {type(norm).__name__}")
    if norm not in _NORM_CODES:
        raise ValueError(f"{name}: expected 'ortho', 'backward' or 'forward', got {norm!r}")
    return _NORM_CODES[norm]


def as_int(value: Any) -> Any:
    """One of numpy's integers as Python's; what is none, as it is."""
    if isinstance(value, int) or not isinstance(value, numbers.Integral):
        return value
    return int(value)


def is_channels_first(dim: int, dims: int, name: str = "x") -> bool:
    """Whether `dim`, the sequence axis and one of the last two of `dims`, is the last."""
    dim = as_int(dim)
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise TypeError(f"dim: expected an int, -2 or -1, got {type(dim).__name__}")
    if dim == -2 or dim == dims - 2:
        return False
    if dim == -1 or dim == dims - 1:
        return True
    raise ValueError(
        f"dim: expected -2 or -1 (or {dims - 2} or {dims - 1}) for {'an' if name == 'x' else 'a'} {name} of {dims} "
        f"dimensions, got {dim}"
    )


def check_count(value: int, name: str) -> int:
    """An int, one of numpy's as Python's, or one that a compiler does not know yet."""
    if isinstance(value, torch.SymInt):
        return value
    value = as_int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if not torch.compiler.is_compiling() and value >= 2**63:  # a compiler would ask that of any length
        raise ValueError(f"{name}: expected less than 2**63, got {value}")
    return value


def check_gates(
    pre_gate: Tensor | None, post_gate: Tensor | None, x: Tensor, of: str
) -> tuple[Tensor | None, Tensor | None]:
    """Factors of `x`, an argument called `of`, and of what becomes of it; under autocast, cast to its dtype."""
    return _checked_gate(pre_gate, "pre_gate", x, of), _checked_gate(post_gate, "post_gate", x, of)


def _checked_gate(gate: Tensor | None, name: str, x: Tensor, of: str) -> Tensor | None:
    if gate is None:
        return None
    if not isinstance(gate, Tensor):
        raise TypeError(f"{name}: expected a tensor or None, got {type(gate).__name__}")
    check_dense(gate, name)
    if gate.shape != x.shape:
        raise ValueError(f"{name}: expected shape {tuple(x.shape)}, that of {of}, got {tuple(gate.shape)}")
    if gate.device != x.device:
        raise ValueError(f"{name}: expected device {x.device}, that of {of}, got {gate.device}")
    if gate.dtype is x.dtype:
        return gate
    device = x.device.type
    if gate.dtype in REAL_DTYPES and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return gate.to(x.dtype)
    raise TypeError(f"{name}: expected dtype {x.dtype}, that of {of}, got {gate.dtype}")


def response_pairs(
    response: Tensor,  # complex [frequencies ..., d] or real [frequencies ..., d, 2]
    x: Tensor,  # [..., n, d]
    frequencies: tuple[int, ...],
    axes: str,  # what those are, for messages
    sizes: dict[str, int],  # what they follow from
) -> Tensor:  # [frequencies ..., d, 2], the compute dtype of x
    """A response as real pairs, in the precision the work on x is done in."""
    if not isinstance(response, Tensor):
        raise TypeError(f"response: expected a tensor, got {type(response).__name__}")
    are_pairs = not response.is_complex()
    if are_pairs and response.dtype not in REAL_DTYPES:
        raise TypeError(f"response: expected a complex or floating-point dtype, got {response.dtype}")
    check_dense(response, "response")
    d = x.shape[-1]
    expected = (*frequencies, d, 2) if are_pairs else (*frequencies, d)
    if response.shape != expected:
        known = ", ".join(f"{name}={size}" for name, size in sizes.items())
        meaning = f"{axes} frequencies, d channels" + (", real and imaginary part" if are_pairs else "")
        raise ValueError(
            f"response: expected shape {expected} ({meaning}) for {known} and d={d}, got {tuple(response.shape)}"
        )
    if response.device != x.device:
        raise ValueError(f"response: expected device {x.device}, that of x, got {response.device}")
    if not are_pairs:
        response = torch.view_as_real(response.resolve_conj())
    dtype = compute_dtype(x.dtype)
    return response if response.dtype is dtype else response.to(dtype)


# Of the settings of functions and layers: each returns what it was given, numpy's numbers as Python's.


def check_length(name: str, value: int) -> int:
    """A number of things: an int, 1 or more."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}: expected 1 or more, got {value}")
    return int(value)


def check_number(name: str, value: float, low: float, high: float, expected: str) -> float:
    """A number in a range, which `expected` puts into words."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not low <= value <= high:  # NaN fails too
        raise ValueError(f"{name}: expected {expected}, got {value}")
    return value if type(value) in (int, float) else float(value)


def check_probability(name: str, value: float) -> float:
    """A number from 0 to 1."""
    return check_number(name, value, 0.0, 1.0, "a probability between 0 and 1")


def check_non_negative(name: str, value: float) -> float:
    """A number, 0 or more."""
    return check_number(name, value, 0.0, math.inf, "0 or more")


def check_flag(name: str, value: bool) -> bool:
    """A bool, not what only counts as one."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")
    return value
