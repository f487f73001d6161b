"""Norm checks as functions: energy, orthogonality, the largest singular value, the Lipschitz constant of a filter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from spectrans._backend import run
from spectrans.functional.arguments import as_int, check_count, check_flag, check_numbers
from spectrans.functional.filter2d import check_grid
from spectrans.ops import norms as _ops
from spectrans.ops.filter2d import effective_response
from spectrans.ops.library import compute_dtype

__all__ = ["energy", "energy_error", "filter_operator_norm", "orthogonality_error", "spectral_norm"]

# -- arguments ---------------------------------------------------------------------------------------------------------


def _check_axis(axis: int, x: Tensor, argument: str, name: str) -> int:
    """A negative axis of x."""
    axis = as_int(axis)
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"{argument}: expected an int, got {type(axis).__name__}")
    if not -x.dim() <= axis < x.dim():
        article = "an" if name in "ax" else "a"
        raise ValueError(
            f"{argument}: expected {-x.dim()} to {x.dim() - 1} for {article} {name} of {x.dim()} dimensions, got {axis}"
        )
    return axis - x.dim() if axis >= 0 else axis


def _check_axes(dims: int | Sequence[int], x: Tensor, name: str) -> list[int]:
    """Negative axes of x, each once."""
    if x.dim() == 0:
        raise ValueError(f"{name}: expected at least 1 dimension, got shape ()")
    dims = as_int(dims)
    if not isinstance(dims, (int, tuple, list)) or isinstance(dims, bool):
        raise TypeError(f"dims: expected an int or several, got {type(dims).__name__}")
    axes = [_check_axis(axis, x, "dims", name) for axis in ([dims] if isinstance(dims, int) else dims)]
    if len(set(axes)) < len(axes):
        raise ValueError(f"dims: expected every axis once, got {dims}")
    if not axes:
        raise ValueError(f"dims: expected at least one axis, got {dims}")
    return axes


def _check_half(x: Tensor, name: str, axes: list[int], n: int, dim: int) -> int:
    """The negative axis `dim` of x, which holds the half spectrum of a signal of n samples."""
    check_count(n, "n")
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    axis = _check_axis(dim, x, "dim", name)
    if axis not in axes:
        raise ValueError(f"dim: expected one of dims={tuple(axes)}, over which energy is summed, got {dim}")
    if x.shape[axis] != n // 2 + 1:
        raise ValueError(
            f"{name}: expected {n // 2 + 1} bins (n//2+1) along dim={dim} for n={n}, got shape {tuple(x.shape)}"
        )
    return axis


def _real(x: Tensor, axes: list[int]) -> tuple[Tensor, list[int]]:
    """A complex tensor is one with an axis more; its energy is that of both parts."""
    if not x.is_complex():
        return x, axes
    return torch.view_as_real(x.resolve_conj()), [*(axis - 1 for axis in axes), -1]


# -- energy ------------------------------------------------------------------------------------------------------------


def _energy(x: Tensor, axes: list[int]) -> Tensor:
    real, axes = _real(x, axes)
    result: Tensor = run(_ops.energy, real.resolve_neg(), axes)
    return result


def _half_spectrum_energy(x: Tensor, axes: list[int], n: int, axis: int) -> Tensor:
    """Every bin stands for two but DC and, for even n, Nyquist: the first and the last."""
    bins, last = x.shape[axis], int(n % 2 == 0)
    total = _energy(x.narrow(axis, 0, 1), axes)
    if n > 2:
        total = total + 2 * _energy(x.narrow(axis, 1, bins - 1 - last), axes)
    return total + _energy(x.narrow(axis, bins - 1, 1), axes) if last else total


def energy(
    x: Tensor,
    dims: int | Sequence[int] = (-2, -1),
    *,
    n: int | None = None,
    dim: int = -2,
) -> Tensor:  # the other axes
    r"""Sum of squares over some axes: the energy of each sample.

    .. math:: E = \sum |x_j|^2

    Squares are taken and added in float64, whatever the dtype of `x`, so that neither overflow nor the length of the
    sum matters (squares of float64 values beyond 1e154 do overflow). One read of memory, no temporaries;
    differentiable, twice.

    Given `n`, `x` is the half spectrum ``torch.fft.rfft(signal, dim=dim, norm="ortho")`` of a real signal of n samples,
    and the result the energy of the signal: by Parseval's theorem, bins count twice, but those at frequency 0 and (for
    even n) n/2, which have no mirror image.

    Parameters
    ----------
    x : Tensor
        Real or complex, of one axis or more, any strides; float16, bfloat16, float32, float64, complex64 or complex128.
    dims : int or sequence of int, default (-2, -1)
        The axes to sum over: by default sequence and channels, which leaves one energy a sample.
    n : int, optional
        The length of the real signal whose half spectrum `x` is along `dim`.
    dim : int, default -2
        The frequency axis, one of `dims`. Without meaning where `n` is not given.

    Returns
    -------
    Tensor
        float64 (float32 on devices without), of the shape of the axes that are left.

    Raises
    ------
    TypeError
        If `x` is neither real floating-point nor complex, or an axis or `n` not an int.
    ValueError
        If an axis is out of range or named twice, `dim` not among `dims`, or the bins not n//2+1.

    See Also
    --------
    energy_error : The relative difference of two.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import energy
    >>> energy(torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]]))
    tensor([25.,  1.], dtype=torch.float64)
    >>> x = torch.randn(2, 9, 4)
    >>> spectrum = torch.fft.rfft(x, dim=-2, norm="ortho")
    >>> torch.allclose(energy(spectrum, n=9), energy(x))
    True
    """
    check_numbers(x, "x")
    axes = _check_axes(dims, x, "x")
    if n is None:
        return _energy(x, axes)
    return _half_spectrum_energy(x, axes, n, _check_half(x, "x", axes, n, dim))


def energy_error(
    a: Tensor,
    b: Tensor,
    dims: int | Sequence[int] = (-2, -1),
    *,
    n: int | None = None,
    dim: int = -2,
) -> Tensor:  # the other axes
    r"""Relative difference of the energies of two tensors, sample by sample.

    .. math:: \frac{|E_b - E_a|}{E_a}, \qquad E = \sum |x_j|^2

    0 where both energies are 0, infinite (and without a useful derivative) where only that of `a` is, NaN where
    either is not finite. Each tensor is read once; sums are in float64, so that elements below 1e-162 have no energy,
    and above 1e154 an infinite one. An operator T is unitary only if this is 0, up to rounding, for a = x and b = T
    x.

    Parameters
    ----------
    a, b : Tensor
        Real or complex, any strides; the axes that are not summed over are the same in both. The others may differ: a
        signal and its spectrum, say.
    dims : int or sequence of int, default (-2, -1)
        The axes to sum over, in both.
    n, dim : int, optional
        Given `n`, `b` is the half spectrum along `dim` of a real signal of n samples, as in :func:`energy`.

    Returns
    -------
    Tensor
        float64 (float32 on devices without), of the shape of the axes that are left.

    Raises
    ------
    TypeError, ValueError
        As in :func:`energy`, and if the other axes or the devices differ.

    See Also
    --------
    energy : Of one tensor.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import energy_error, hartley_mixing
    >>> x = torch.randn(4, 16, 8)
    >>> bool((energy_error(x, hartley_mixing(x)) < 1e-5).all())
    True
    >>> spectrum = torch.fft.rfft(x, dim=-2, norm="ortho")
    >>> bool((energy_error(x, spectrum, n=16) < 1e-5).all())
    True
    """
    check_numbers(a, "a")
    check_numbers(b, "b")
    of_a, of_b = _check_axes(dims, a, "a"), _check_axes(dims, b, "b")
    left_a, left_b = (
        [s for axis, s in enumerate(t.shape, -t.dim()) if axis not in of] for t, of in ((a, of_a), (b, of_b))
    )
    if left_a != left_b:
        raise ValueError(f"b: expected the shape of a, {tuple(a.shape)}, but for dims={dims}, got {tuple(b.shape)}")
    if a.device != b.device:
        raise ValueError(f"b: expected device {a.device}, that of a, got {b.device}")
    if n is not None:
        before, after = _energy(a, of_a), _half_spectrum_energy(b, of_b, n, _check_half(b, "b", of_b, n, dim))
    else:
        (real_a, axes_a), (real_b, axes_b) = _real(a, of_a), _real(b, of_b)
        if axes_a == axes_b:
            pair = (real_a.resolve_neg(), real_b.resolve_neg())
            before, after = run(_ops.energies, *pair, axes_a)
        else:
            before, after = _energy(a, of_a), _energy(b, of_b)
    difference = (after - before).abs()
    nothing = difference == 0
    error = torch.where(nothing, 0.0, difference / torch.where(nothing, 1.0, before))
    return torch.where(difference.isinf(), math.nan, error)


# -- matrices ----------------------------------------------------------------------------------------------------------


def _check_matrices(t: Tensor, name: str) -> None:
    check_numbers(t, name)
    if t.dim() < 2:
        raise ValueError(f"{name}: expected at least 2 dimensions [..., m, n], got shape {tuple(t.shape)}")


def orthogonality_error(
    t: Tensor,  # [..., m, n]
) -> Tensor:  # [...]
    r"""Distance of the rows of a matrix from being orthonormal.

    .. math:: \|T T^H - I\|_F

    Products are taken and added in float64, whatever the dtype. Neither I nor the difference nor the product is held
    in memory. Differentiable, twice (the derivative does form the product); at 0, its minimum, the derivative is 0.

    Parameters
    ----------
    t : Tensor
        [..., m, n], real or complex, any strides; float16, bfloat16, float32, float64, complex64 or complex128.
        More rows than columns cannot be orthonormal: the error is then at least sqrt(m - n).

    Returns
    -------
    Tensor
        [...], float64 (float32 on devices without): 0 where there are no rows.

    Raises
    ------
    TypeError
        If `t` is neither real floating-point nor complex.
    ValueError
        If it has fewer than two axes.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import orthogonality_error
    >>> dft = torch.fft.fft(torch.eye(8), norm="ortho")
    >>> bool(orthogonality_error(dft) < 1e-5)
    True
    >>> orthogonality_error(2 * torch.eye(4))
    tensor(6., dtype=torch.float64)
    """
    _check_matrices(t, "t")
    pairs = t.is_complex()
    real = torch.view_as_real(t.resolve_conj()) if pairs else t.resolve_neg()
    result: Tensor = run(_ops.orthogonality_error, real, pairs)
    return result


def spectral_norm(
    x: Tensor,  # [..., m, d]
) -> Tensor:  # [...]
    r"""Largest singular value of a matrix.

    .. math:: \sigma = \max_v \|x v\| / \|v\|

    Golub-Kahan-Lanczos bidiagonalisation from a fixed pseudo-random vector, with :math:`w = x^H x v` in one read of x
    a step and full reorthogonalisation: :math:`\theta = \|x v\|^2 \le \sigma^2`, always, and some squared singular
    value lies within the residual :math:`\|x^H x v - \theta v\|` of :math:`\theta`, computed in float64. It ends
    where that is 1e-10 of :math:`\theta` (5e-12 for float64), so that the largest value is told from others near it,
    and the relative error is below 1e-6 (1e-10), unless the fixed vector has ten thousand times (twenty times) less
    of its vector than of theirs. Matrices that converge slowly are bidiagonalised to the end. Those with up to 32 rows
    or columns (16 of complex numbers) need no iteration on the CPU: their small :math:`x x^H` or :math:`x^H x`, added
    in float64, is squared until it is the projector onto the vector of its largest eigenvalue, and the relative error
    is that of rounding.

    The derivative is :math:`u v^H`; where the largest value is repeated, u and v are one of its pairs of singular
    vectors and this is one of the subderivatives. Where x is 0 or not finite, the derivative is 0. Second derivatives
    use a full decomposition; those of ``torch.func`` and of forward mode are ``torch.linalg.svd``'s, NaN where
    smaller values repeat.

    Parameters
    ----------
    x : Tensor
        [..., m, d], real or complex, any strides; float16, bfloat16, float32, float64, complex64 or complex128.

    Returns
    -------
    Tensor
        [...], real, in the precision of `x` (halves are rounded once): 0 where the matrix has no elements, NaN where
        an element is not finite.

    Raises
    ------
    TypeError
        If `x` is neither real floating-point nor complex.
    ValueError
        If it has fewer than two axes.

    References
    ----------
    G. Golub, W. Kahan. Calculating the singular values and pseudo-inverse of a matrix. SIAM Journal on Numerical
    Analysis 2 (2), 1965.
    B. N. Parlett. The Symmetric Eigenvalue Problem. SIAM, 1998: chapter 13.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import spectral_norm
    >>> spectral_norm(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(4.)
    """
    _check_matrices(x, "x")
    pairs = x.is_complex()
    real = torch.view_as_real(x.resolve_conj()) if pairs else x.resolve_neg()
    value: Tensor = run(_ops.spectral_norm, real, pairs)[0]
    return value if value.dtype is real.dtype else value.to(real.dtype)


# -- responses ---------------------------------------------------------------------------------------------------------


def filter_operator_norm(
    response: Tensor,  # [frequencies ..., d], or [frequencies ..., d_out, d_in] for channel_mixing
    *,
    n: int | None = None,
    grid: tuple[int, int] | None = None,
    channel_mixing: bool = False,
) -> Tensor:  # scalar
    r"""Lipschitz constant of a filter: the most by which it can amplify a signal.

    .. math:: \max_{k, c} |H_{kc}|, \qquad \text{or } \max_k \sigma_{\max}(H_k) \text{ where it mixes channels}

    A filter is a circulant matrix, so this is no bound but the exact largest singular value of the layer as a linear
    operator on the whole sequence.

    Parameters
    ----------
    response : Tensor
        H, complex, or real with (real, imaginary) pairs in one more axis: [frequencies ..., d]; with
        `channel_mixing`, a matrix a frequency, [frequencies ..., d_out, d_in], as in Fourier neural operators.
    n : int, optional
        The length of the real signals whose n//2+1 frequencies (or the first of them) H multiplies: its imaginary part
        at frequency 0 and at n/2 then has no effect, and none here.
    grid : (int, int), optional
        The grid (h, w) of tokens for a response [h, w//2+1, ...] of :func:`spectral_filter2d`: only the Hermitian part
        counts in the columns 0 and w/2. Not together with `n`.
    channel_mixing : bool, default False
        Whether H is a matrix a frequency.

    Returns
    -------
    Tensor
        A real scalar in the precision of H (halves are rounded once), differentiable, twice: 0 where H has no
        elements, NaN where it has one.

    Raises
    ------
    TypeError
        If `response` is neither complex nor floating-point, or an argument not of the type above.
    ValueError
        If its shape does not fit, or both `n` and `grid` are given.

    Examples
    --------
    >>> import torch
    >>> from spectrans.functional import filter_operator_norm
    >>> response = torch.tensor([[1 + 5j], [3 + 4j], [2 + 0j]])  # of 4 samples and one channel
    >>> filter_operator_norm(response), filter_operator_norm(response, n=4)
    (tensor(5.0990), tensor(5.))
    """
    check_numbers(response, "response")
    check_flag("channel_mixing", channel_mixing)
    if n is not None and grid is not None:
        raise ValueError(f"grid: expected None together with n={n}, got {grid}")
    dtype = response.real.dtype if response.is_complex() else response.dtype
    is_complex = response.is_complex()
    trailing = (2 if channel_mixing else 1) + (not is_complex)  # axes that are not frequencies
    names = "frequencies ..., " + ("d_out, d_in" if channel_mixing else "d") + ("" if is_complex else ", 2")
    frequencies = response.dim() - trailing
    if frequencies < 1 or not (is_complex or response.shape[-1] == 2):
        kind = "" if is_complex else " of a real dtype (real and imaginary part)"
        raise ValueError(f"response: expected shape [{names}]{kind}, got {tuple(response.shape)}")
    pairs = torch.view_as_real(response.resolve_conj()) if is_complex else response.to(compute_dtype(dtype))
    if n is not None:
        pairs = _without_imag_alone(pairs, n, frequencies, response)
    if grid is not None:
        h, w = check_grid(grid)
        if frequencies != 2 or tuple(pairs.shape[:2]) != (h, w // 2 + 1):
            expected = names.replace("frequencies ...", f"{h}, {w // 2 + 1}")
            raise ValueError(
                f"response: expected shape [{expected}] (h, w//2+1) for grid={(h, w)}, got {tuple(response.shape)}"
            )
        pairs = effective_response(pairs.flatten(2, -2), w).unflatten(2, pairs.shape[2:-1])
    if pairs.numel() == 0:
        return pairs.abs().sum().to(dtype)
    if channel_mixing:
        norms: Tensor = run(_ops.spectral_norm, pairs, True)[0]
        return norms.amax().to(dtype)
    flat = pairs.flatten(0, -2).unsqueeze(0)
    index: Tensor = run(_ops.largest_modulus, flat.detach())
    return torch.view_as_complex(flat[0].index_select(0, index)).abs().sum().to(dtype)


def _without_imag_alone(pairs: Tensor, n: int, frequencies: int, response: Tensor) -> Tensor:
    """No imaginary part where a frequency is its own mirror image."""
    check_count(n, "n")
    if n < 1:
        raise ValueError(f"n: expected 1 or more, got {n}")
    if frequencies != 1 or pairs.shape[0] > n // 2 + 1:
        raise ValueError(
            f"response: expected one axis of up to {n // 2 + 1} frequencies (n//2+1) for n={n}, "
            f"got shape {tuple(response.shape)}"
        )
    k = torch.arange(pairs.shape[0], device=pairs.device)
    acts = torch.stack((torch.ones_like(k, dtype=torch.bool), (2 * k) % n != 0), -1)
    return torch.where(acts.reshape(-1, *[1] * (pairs.dim() - 2), 2), pairs, 0.0)
