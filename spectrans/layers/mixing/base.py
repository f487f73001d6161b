"""Base classes of the mixing layers, with the mathematical properties they can verify."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from spectrans.core.base import SpectralComponent
from spectrans.functional import energy_error, filter_operator_norm, orthogonality_error, spectral_norm
from spectrans.functional.arguments import (
    check_flag,
    check_length,
    check_lengths,
    check_non_negative,
    check_numbers,
    check_probability,
    check_signal,
)
from spectrans.ops.library import from_parts, hermitian_part

__all__ = ["FilterMixingLayer", "MixingLayer", "UnitaryMixingLayer"]

#: Equal frequency bands of `FilterMixingLayer.analyze_frequency_response`.
BANDS = 4

#: How far |H| may be from 1 everywhere for a filter to be called unitary.
_UNIT_TOLERANCE = 1e-5


def _group_delay(response: Tensor, n: int, dim: int) -> Tensor:
    """Minus the derivative of the phase along `dim`, in samples; n of those make a period."""
    response = response.movedim(dim, 0)
    steps = (response[1:] * response[:-1].conj()).angle()  # wrapped phase differences, so unwrapping is their sum
    # A step of pi (a delay of n/2) is as much a step of -pi: read it as a delay, whichever way rounding went.
    tie = math.pi * (1 - 64 * torch.finfo(steps.dtype).eps)
    steps = torch.where(steps > tie, steps - 2 * math.pi, steps)
    if response.shape[0] == 1:
        slope = torch.zeros_like(response.real)
    else:
        slope = torch.cat((steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]))
    return (-slope * (n / (2 * math.pi))).movedim(0, dim)


def _bands(k: Tensor, n: int) -> Tensor:
    """Band of bin k, that is the frequency k/n of a real signal, or (k - n)/n above the middle."""
    distance = torch.minimum(k, (n - k).abs())
    return (distance * (2 * BANDS) // n).clamp(max=BANDS - 1)


def _band_shares(
    energy: Tensor,  # [bins, d]
    band: Tensor,  # [bins]
) -> Tensor:  # [BANDS, d]
    per_band = torch.zeros_like(energy[:1]).repeat(BANDS, 1).index_add(0, band, energy)
    total = per_band.sum(0)
    return torch.where(total == 0, 1 / BANDS, per_band / torch.where(total == 0, 1.0, total))


def _gains(effective: Tensor) -> dict[str, Any]:
    """What the modulus of the response that acts says of a filter: unitary exactly if it is 1 everywhere."""
    unitary = bool(((effective.abs() - 1).abs() <= _UNIT_TOLERANCE).all())
    return {"unitary": unitary, "energy_preserving": unitary, "operator_norm": float(filter_operator_norm(effective))}


class MixingLayer(SpectralComponent):
    r"""Base class of token mixing by a spectral operation.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d, the last axis of the input.
    dropout : float, default 0.0
        Probability of dropping an element of the output in training.
    norm_eps : float, default 1e-5
        Epsilon for numerical stability in normalization, for layers and blocks that normalize.

    Attributes
    ----------
    hidden_dim : int
    dropout : nn.Module
        The dropout applied to the output.
    norm_eps : float

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or a value out of range.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing.base import MixingLayer
    >>> class Shift(MixingLayer):
    ...     def forward(self, x):
    ...         return self.dropout(x.roll(1, dims=-2))
    ...     def get_spectral_properties(self):
    ...         return dict(unitary=True, real_output=True, frequency_domain=False, energy_preserving=True)
    >>> layer = Shift(hidden_dim=8)
    >>> x = torch.randn(2, 16, 8)
    >>> layer.verify_shape_consistency(x, layer(x))
    True
    """

    def __init__(self, hidden_dim: int, dropout: float = 0.0, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.hidden_dim = check_length("hidden_dim", hidden_dim)
        self.dropout: nn.Module = nn.Dropout(check_probability("dropout", dropout))
        self.norm_eps = check_non_negative("norm_eps", norm_eps)

    @abstractmethod
    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the spectral operation for every real input, dropout aside.

        Returns
        -------
        dict
            At least the keys 'unitary' (the operator preserves inner products), 'real_output', 'frequency_domain'
            (the operation takes place on a spectrum) and 'energy_preserving' (the norm of each sample is kept).
        """

    def verify_shape_consistency(self, input_tensor: Tensor, output_tensor: Tensor) -> bool:
        """Whether the output has the shape of the input.

        Parameters
        ----------
        input_tensor, output_tensor : Tensor
            What went into the layer and what came out.

        Returns
        -------
        bool

        Raises
        ------
        TypeError
            If one of them is not a tensor.
        """
        for name, t in (("input_tensor", input_tensor), ("output_tensor", output_tensor)):
            if not isinstance(t, Tensor):
                raise TypeError(f"{name}: expected a tensor, got {type(t).__name__}")
        return input_tensor.shape == output_tensor.shape

    def compute_spectral_norm(self, tensor: Tensor) -> Tensor:
        r"""Largest singular value of `tensor` as a (batch * sequence, hidden) matrix, :math:`\max_v \|Av\| / \|v\|`.

        See :func:`spectrans.functional.spectral_norm`: differentiable, accurate to 1e-6 (1e-10 for float64).

        Parameters
        ----------
        tensor : Tensor
            [..., d], real or complex.

        Returns
        -------
        Tensor
            A real scalar in the precision of `tensor`; 0 where it has no elements, NaN where one is not finite.

        Raises
        ------
        TypeError
            If `tensor` is neither real floating-point nor complex, or not dense.
        ValueError
            If `tensor` has no axis.

        Examples
        --------
        >>> import torch
        >>> from spectrans.layers.mixing import FourierMixing
        >>> FourierMixing(hidden_dim=2).compute_spectral_norm(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        tensor(4.)
        """
        check_numbers(tensor, "tensor")
        if tensor.dim() == 0:
            raise ValueError("tensor: expected at least 1 dimension [..., d], got shape ()")
        d = tensor.shape[-1]
        return spectral_norm(tensor.reshape(-1, d) if d else tensor.reshape(0, 0))

    def compute_operator_norm(self, sequence_length: int) -> float | None:
        r"""The most by which the layer can amplify a sample of that many tokens, :math:`\max_x \|Tx\| / \|x\|`.

        Norms are over sequence and channels together; dropout is left out. For a linear layer this is its Lipschitz
        constant.

        Parameters
        ----------
        sequence_length : int
            Number of tokens n.

        Returns
        -------
        float or None
            None where it is not known, as here: layers that know better override this.

        Examples
        --------
        >>> from spectrans.layers.mixing import FourierMixing
        >>> FourierMixing(hidden_dim=4).compute_operator_norm(16)
        1.0
        >>> FourierMixing(hidden_dim=4, fft_norm="backward").compute_operator_norm(16)
        8.0
        """
        check_length("sequence_length", sequence_length)
        return None

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        return f"hidden_dim={self.hidden_dim}"

    def _check_input(self, x: Tensor) -> None:
        # What is no dense tensor, and may have no sizes, the functions refuse.
        if isinstance(x, Tensor) and not x.is_nested and (x.dim() < 2 or x.shape[-1] != self.hidden_dim):
            raise ValueError(
                f"x: expected shape [..., sequence, {self.hidden_dim}] for hidden_dim={self.hidden_dim}, "
                f"got {tuple(x.shape)}"
            )

    def _check_beside(self, x: Tensor, own: Tensor, what: str, hidden: bool = False) -> None:
        """What a layer with tensors of its own, like `own`, wants of its input; hidden: whether that is transformed."""
        self._check_input(x)
        check_signal(x)
        if x.device != own.device:
            raise ValueError(f"x: expected device {own.device}, that of the layer's {what}, got {x.device}")
        check_lengths(x, sequence=True, hidden=hidden)

    def _check_tokens(self, x: Tensor, grid: tuple[int, int]) -> None:
        if x.shape[-2] != grid[0] * grid[1]:
            raise ValueError(
                f"x: expected shape [..., {grid[0] * grid[1]}, {self.hidden_dim}] for grid={grid}, got {tuple(x.shape)}"
            )

    def _drop(self, y: Tensor) -> Tensor:
        if y.is_complex():
            # A complex value is dropped whole: torch's dropout draws no complex mask.
            return y * self.dropout(torch.ones_like(y.real)) if self.dropout.training else y
        dropped: Tensor = self.dropout(y)
        return dropped


class UnitaryMixingLayer(MixingLayer):
    r"""Base class of mixing by an operator that preserves energy and inner products, :math:`T T^H = I`.

    Parameters
    ----------
    hidden_dim, dropout, norm_eps
        As in :class:`MixingLayer`.
    energy_tolerance : float, default 1e-4
        Relative tolerance of the two ``verify_`` methods.

    Attributes
    ----------
    energy_tolerance : float

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing.base import UnitaryMixingLayer
    >>> class Reversal(UnitaryMixingLayer):
    ...     def forward(self, x):
    ...         return self.dropout(x.flip(-2))
    >>> layer, x = Reversal(hidden_dim=8), torch.randn(2, 16, 8)
    >>> layer.verify_energy_preservation(x, layer(x))
    True
    """

    def __init__(
        self, hidden_dim: int, dropout: float = 0.0, norm_eps: float = 1e-5, energy_tolerance: float = 1e-4
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps)
        self.energy_tolerance = check_non_negative("energy_tolerance", energy_tolerance)

    def get_spectral_properties(self) -> dict[str, Any]:
        """Properties of a unitary transform with real output; see :meth:`MixingLayer.get_spectral_properties`."""
        return {
            "unitary": True,
            "real_output": True,
            "frequency_domain": True,
            "energy_preserving": True,
            "energy_tolerance": self.energy_tolerance,
        }

    def compute_operator_norm(self, sequence_length: int) -> float | None:
        """1, as of every unitary operator; see :meth:`MixingLayer.compute_operator_norm`."""
        check_length("sequence_length", sequence_length)
        return 1.0 if self.get_spectral_properties()["unitary"] else None

    def verify_energy_preservation(self, input_tensor: Tensor, output_tensor: Tensor) -> bool:
        r"""Parseval: whether :math:`|\,\|out\|^2 - \|in\|^2\,| \le tol \cdot \|in\|^2` for each sample.

        A transform over the sequence moves energy between tokens, and one over the hidden axis between channels, so
        energies are summed, in float64, over the axes that the layer mixes: the last two, unless its
        'mixes_sequence' or 'mixes_hidden' (:meth:`get_spectral_properties`) says that it leaves one alone. Of a half
        output, which was rounded once, a relative change by the unit of its last place is allowed besides.

        Parameters
        ----------
        input_tensor, output_tensor : Tensor
            [..., n, d], real or complex, with the same leading axes.

        Returns
        -------
        bool
            True for an empty batch; False if any value is not finite or axes over which nothing is summed differ.

        Raises
        ------
        TypeError
            If one of them is not a dense tensor of real floating-point or complex numbers.
        ValueError
            If they are on different devices.

        Examples
        --------
        >>> import torch
        >>> from spectrans.layers.mixing import FourierMixing, RealFourierMixing
        >>> x = torch.randn(4, 16, 8)
        >>> hartley, fnet = RealFourierMixing(hidden_dim=8), FourierMixing(hidden_dim=8)
        >>> hartley.verify_energy_preservation(x, hartley(x)), fnet.verify_energy_preservation(x, fnet(x))
        (True, False)
        """
        check_numbers(input_tensor, "input_tensor")
        check_numbers(output_tensor, "output_tensor")
        if output_tensor.device != input_tensor.device:
            raise ValueError(
                f"output_tensor: expected device {input_tensor.device}, that of input_tensor, "
                f"got {output_tensor.device}"
            )
        if input_tensor.dim() != output_tensor.dim():
            return False
        if input_tensor.dim() < 2:
            input_tensor, output_tensor = (t.reshape(1, -1) for t in (input_tensor, output_tensor))
        mixes = self.get_spectral_properties()
        axes = tuple(axis for axis, name in ((-2, "mixes_sequence"), (-1, "mixes_hidden")) if mixes.get(name, True))
        axes = axes or (-2, -1)
        kept = [axis for axis in range(-input_tensor.dim(), 0) if axis not in axes]
        if any(input_tensor.shape[axis] != output_tensor.shape[axis] for axis in kept):
            return False
        is_half = output_tensor.dtype in (torch.float16, torch.bfloat16)
        tolerance = self.energy_tolerance + (torch.finfo(output_tensor.dtype).eps if is_half else 0.0)
        error = energy_error(input_tensor.detach(), output_tensor.detach(), axes)
        return bool((error.isfinite() & (error <= tolerance)).all())

    def verify_orthogonality(self, transform_matrix: Tensor) -> bool:
        r"""Whether :math:`\|T T^H - I\|_F \le tol \cdot \|I\|_F`: orthonormal rows.

        Parameters
        ----------
        transform_matrix : Tensor
            [..., m, n] with m <= n, real or complex; a batch verifies if each matrix does.

        Returns
        -------
        bool
            True for an empty batch; False if any value is not finite.

        Raises
        ------
        TypeError
            If `transform_matrix` is not a dense tensor of real floating-point or complex numbers.
        ValueError
            If it has fewer than two axes, or more rows than columns.

        Examples
        --------
        >>> import torch
        >>> from spectrans.layers.mixing import RealFourierMixing
        >>> dft = torch.fft.fft(torch.eye(8), norm="ortho")
        >>> RealFourierMixing(hidden_dim=8).verify_orthogonality(dft)
        True
        """
        check_numbers(transform_matrix, "transform_matrix")
        if transform_matrix.dim() < 2 or transform_matrix.shape[-2] > transform_matrix.shape[-1]:
            raise ValueError(
                "transform_matrix: expected shape [..., m, n] with m <= n (the rows of a taller matrix cannot be "
                f"orthonormal), got {tuple(transform_matrix.shape)}"
            )
        bound = self.energy_tolerance * math.sqrt(transform_matrix.shape[-2])
        error = orthogonality_error(transform_matrix.detach())
        return bool((error.isfinite() & (error <= bound)).all())


class FilterMixingLayer(MixingLayer):
    r"""Base class of mixing by a filter: multiplication by a response H in the frequency domain.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    sequence_length : int
        Number of samples n for which the filter is made.
    dropout, norm_eps
        As in :class:`MixingLayer`.
    learnable_filters : bool, default True
        Whether the filter is a parameter. If not, it is a buffer, and part of the ``state_dict`` all the same.

    Attributes
    ----------
    sequence_length : int
    learnable_filters : bool

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing.base import FilterMixingLayer
    >>> class Delay(FilterMixingLayer):
    ...     def forward(self, x):
    ...         return self.dropout(x.roll(3, dims=-2))
    ...     def get_filter_response(self):
    ...         k = torch.arange(self.sequence_length)
    ...         return torch.exp(-2j * torch.pi * 3 * k / self.sequence_length)[:, None].expand(-1, self.hidden_dim)
    >>> delay = Delay(hidden_dim=4, sequence_length=16).analyze_frequency_response()["group_delay"]
    >>> bool(torch.allclose(delay, torch.tensor(3.0), atol=1e-4))
    True
    """

    def __init__(
        self,
        hidden_dim: int,
        sequence_length: int,
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        learnable_filters: bool = True,
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps)
        self.sequence_length = check_length("sequence_length", sequence_length)
        self.learnable_filters = check_flag("learnable_filters", learnable_filters)

    def get_spectral_properties(self) -> dict[str, Any]:
        """Properties of a filter about which nothing more is known: real, and not promised to keep the energy."""
        return {
            "unitary": False,
            "real_output": True,
            "frequency_domain": True,
            "energy_preserving": False,
            "learnable_filters": self.learnable_filters,
            "sequence_length": self.sequence_length,
        }

    @abstractmethod
    def get_filter_response(self) -> Tensor:
        """The response H, complex, of the shape of the filter: [sequence_length, d] or [sequence_length//2+1, d]."""

    def get_effective_response(self) -> Tensor:
        r"""The part of H that acts on a real signal and gives a real one, of the shape of :meth:`get_filter_response`.

        :math:`(H_k + \bar H_{-k}) / 2` of a full response; of a half spectrum all but the imaginary parts at the
        frequencies 0 and (for even n) n/2, which are their own mirror images.

        Raises
        ------
        ValueError
            If the response has neither n nor n//2+1 frequencies.

        Examples
        --------
        >>> from spectrans.layers.mixing import GlobalFilterMixing
        >>> layer = GlobalFilterMixing(hidden_dim=4, sequence_length=16)
        >>> bool((layer.get_effective_response().imag[0] == 0).all())
        True
        """
        response = self.get_filter_response()
        n, bins = self.sequence_length, response.shape[0]
        pairs = torch.view_as_real(response.resolve_conj())
        if bins == n // 2 + 1:
            k = torch.arange(bins, device=response.device)
            alone = ((2 * k) % n == 0).reshape(-1, *[1] * (response.dim() - 1))
            pairs = from_parts(pairs[..., 0], pairs[..., 1].masked_fill(alone, 0.0))
        elif bins == n:
            pairs = hermitian_part(pairs, 1)
        else:
            raise ValueError(
                f"get_filter_response: expected {n} frequencies or {n // 2 + 1} (n//2+1) along the first axis for "
                f"sequence_length={n}, got shape {tuple(response.shape)}"
            )
        return torch.view_as_complex(pairs)

    def compute_operator_norm(self, sequence_length: int) -> float | None:
        """The largest modulus of :meth:`get_effective_response`; None for another than the layer's `sequence_length`.

        See :meth:`MixingLayer.compute_operator_norm`.
        """
        if check_length("sequence_length", sequence_length) != self.sequence_length:
            return None
        with torch.no_grad():
            return float(filter_operator_norm(self.get_effective_response()))

    def analyze_frequency_response(self) -> dict[str, Tensor]:
        r"""Magnitude, phase, group delay and energy bands of :meth:`get_filter_response`, H [m, d].

        Returns
        -------
        dict of Tensor
            'magnitude' [m, d]: :math:`|H|`.

            'phase' [m, d]: :math:`\arg H` in (-pi, pi].

            'group_delay' [m, d]: :math:`-d\varphi/d\omega` in samples, :math:`\varphi` the phase unwrapped along the
            first axis and :math:`\omega = 2\pi k/n`; central differences, one-sided at the ends. A pure delay of k
            samples reads k in every bin, up to n/2; beyond, the shorter way around the circle, k - n.

            'passband_energy' [4, d]: share of a channel's energy :math:`\sum |H|^2` in each of four equal bands of
            :math:`|f|`, from 0 to half the sampling rate. The shares sum to 1; a channel that is zero everywhere
            shares equally.

        Examples
        --------
        >>> from spectrans.layers.mixing import GlobalFilterMixing
        >>> analysis = GlobalFilterMixing(hidden_dim=4, sequence_length=16).analyze_frequency_response()
        >>> {name: tuple(value.shape) for name, value in analysis.items()}
        {'magnitude': (16, 4), 'phase': (16, 4), 'group_delay': (16, 4), 'passband_energy': (4, 4)}
        """
        response = self.get_filter_response()
        n, bins = self.sequence_length, response.shape[0]
        magnitude = response.abs()
        k = torch.arange(bins, device=response.device)
        # A half spectrum holds each bin but DC and Nyquist for two.
        weight = torch.where((2 * k) % n == 0, 1.0, 2.0) if bins == n // 2 + 1 else torch.ones_like(k)
        energy = magnitude.square() * weight.to(magnitude.dtype).unsqueeze(-1)
        return {
            "magnitude": magnitude,
            "phase": response.angle(),
            "group_delay": _group_delay(response, n, 0),
            "passband_energy": _band_shares(energy, _bands(k, n)),
        }

    def _add_filter(self, name: str, *shape: int) -> None:
        """A tensor to be filled: a parameter if filters are learned, else a buffer."""
        if self.learnable_filters:
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        else:
            self.register_buffer(name, torch.empty(shape))

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        shown = f"{super().extra_repr()}, sequence_length={self.sequence_length}"
        return shown if self.learnable_filters else f"{shown}, learnable_filters=False"
