"""Mixing by a learned filter as long as the sequence: the global filter of GFNet and two relatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spectrans._backend import run
from spectrans.functional import filter_operator_norm, spectral_filter, spectral_filter_plane
from spectrans.functional.arguments import (
    check_flag,
    check_length,
    check_non_negative,
    check_probability,
    norm_code,
)
from spectrans.layers.mixing.base import FilterMixingLayer, _gains
from spectrans.ops.hermitian_half import hermitian_half
from spectrans.ops.library import compute_dtype, from_parts, hermitian_part

__all__ = ["AdaptiveGlobalFilter", "GlobalFilterMixing", "GlobalFilterMixing2D"]


def _identity(h: Tensor) -> Tensor:
    return h


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "identity": _identity,
}


def _resampled(
    h: Tensor,  # [n, ...]
    m: int,
) -> Tensor:  # [m, ...]
    """Linear interpolation of a response to m bins, frequency by frequency, around the circle.

    Bin k of m is the frequency k/m in cycles per sample, so it lies at k * n / m among the n bins, the last of which
    neighbours the first. DC stays DC, k and -k are treated alike: a Hermitian response remains one.
    """
    n = h.shape[0]
    scaled = torch.arange(m, device=h.device) * n
    below = scaled // m
    share = ((scaled % m).to(h.dtype) / m).reshape(-1, *[1] * (h.dim() - 1))
    return torch.lerp(h[below], h[(below + 1) % n], share)


class _GlobalFilter(FilterMixingLayer):
    """Parameters, response and properties of the filters whose H has one entry per frequency and channel."""

    _axes = 1  # over how many leading axes of H the transform runs

    def __init__(
        self,
        hidden_dim: int,
        sequence_length: int,
        activation: str,
        dropout: float,
        norm_eps: float,
        learnable_filters: bool,
        fft_norm: str,
        filter_init_std: float,
    ) -> None:
        super().__init__(hidden_dim, sequence_length, dropout, norm_eps, learnable_filters)
        if not isinstance(activation, str):
            raise TypeError(f"activation: expected a string, got {type(activation).__name__}")
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation: expected 'sigmoid', 'tanh' or 'identity', got {activation!r}")
        norm_code(fft_norm, "fft_norm")
        self.activation = activation
        self.fft_norm = fft_norm
        self.filter_init_std = check_non_negative("filter_init_std", filter_init_std)
        for name in ("filter_real", "filter_imag"):
            self._add_filter(name, sequence_length, hidden_dim)
        self.filter_real: Tensor  # [sequence_length, d]
        self.filter_imag: Tensor  # [sequence_length, d]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the filter anew: normal, with standard deviation `filter_init_std`."""
        with torch.no_grad():
            self.filter_real.normal_(std=self.filter_init_std)
            self.filter_imag.normal_(std=self.filter_init_std)

    def _parts(self, dtype: torch.dtype, n: int) -> list[Tensor]:  # two [n, d], in what `dtype` is computed in
        """Real and imaginary part of H for n samples."""
        activate, dtype = _ACTIVATIONS[self.activation], compute_dtype(dtype)
        parts = [activate(part.to(dtype)) for part in (self.filter_real, self.filter_imag)]
        # An exported program may leave n open: interpolated at its own frequencies, a response is what it was.
        fits = not torch.compiler.is_exporting() and n == self.sequence_length
        return parts if fits else [_resampled(part, n) for part in parts]

    def _half_pairs(self, dtype: torch.dtype, n: int) -> Tensor:  # [n//2+1, d, 2]
        """The Hermitian part of H for n samples, at frequencies that have all its moduli: H[-k] has that of H[k]."""
        return hermitian_part(from_parts(*self._parts(dtype, n)), self._axes)[: n // 2 + 1]

    def get_filter_response(self) -> Tensor:
        """H as parametrised, activation applied: complex [sequence_length, d].

        A real output sees its Hermitian part only; see :meth:`get_effective_response`.
        """
        return torch.complex(*self._parts(self.filter_real.dtype, self.sequence_length))

    def get_effective_response(self) -> Tensor:
        r"""The part of H that acts on a real signal, :math:`(H_k + \bar H_{-k}) / 2`: complex [sequence_length, d]."""
        pairs = from_parts(*self._parts(self.filter_real.dtype, self.sequence_length))
        return torch.view_as_complex(hermitian_part(pairs, self._axes))

    def compute_operator_norm(self, sequence_length: int) -> float:
        """The largest modulus of the effective response, interpolated for another than the layer's `sequence_length`.

        See :meth:`MixingLayer.compute_operator_norm`. Spectral dropout is left out, too.
        """
        with torch.no_grad():
            n = check_length("sequence_length", sequence_length)
            return float(filter_operator_norm(self._half_pairs(self.filter_real.dtype, n)))

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the filter as it stands, for inputs of `sequence_length`.

        A filter is unitary exactly if its effective response has modulus 1 everywhere, so that is computed; the same
        goes for 'operator_norm', the largest modulus, which bounds how much the layer can amplify.
        """
        with torch.no_grad():
            gains = _gains(self.get_effective_response())
        return {
            **super().get_spectral_properties(),
            **gains,
            "activation": self.activation,
            "mixes_sequence": True,
            "mixes_hidden": self._axes == 2,
            "parameter_count": self.filter_real.numel() + self.filter_imag.numel() if self.learnable_filters else 0,
        }

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        return f"{super().extra_repr()}, activation={self.activation!r}"


class GlobalFilterMixing(_GlobalFilter):
    r"""GFNet's mixing over the sequence: every channel is filtered by its own learned response.

    .. math:: y = \operatorname{Re} F^{-1}(H \odot F x), \qquad H = \sigma(W_r) + i\,\sigma(W_i)

    A real output depends on the Hermitian part of H alone, so H is folded to n//2+1 frequencies and the half-spectrum
    filter runs. A sequence of another length n interpolates H linearly in frequency (cycles per sample), around the
    circle, so that low frequencies stay low and DC stays DC.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    sequence_length : int
        Number of samples for which the filter is made.
    activation : {"sigmoid", "tanh", "identity"}
        :math:`\sigma`, applied to the real and to the imaginary part.
    dropout : float, default 0.0
        Dropout on the output.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    learnable_filters : bool, default True
        Whether the filter is a pair of parameters or a pair of buffers.
    fft_norm : {"ortho", "backward", "forward"} or None
        Accepted for compatibility: transform and inverse share it, so it cancels.
    filter_init_std : float, default 0.02
        Standard deviation of the initial :math:`W_r, W_i`.

    Attributes
    ----------
    filter_real, filter_imag : Tensor
        :math:`W_r, W_i`, real, [sequence_length, d].

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in the call, if `x` is not real floating-point or its
        last axis is not `hidden_dim` long.

    References
    ----------
    Y. Rao, W. Zhao, Z. Zhu, J. Lu, J. Zhou. Global Filter Networks for Image Classification. NeurIPS 2021.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import GlobalFilterMixing
    >>> layer = GlobalFilterMixing(hidden_dim=64, sequence_length=128)
    >>> layer(torch.randn(8, 128, 64)).shape, layer(torch.randn(8, 100, 64)).shape
    (torch.Size([8, 128, 64]), torch.Size([8, 100, 64]))
    """

    def __init__(
        self,
        hidden_dim: int,
        sequence_length: int,
        activation: str = "sigmoid",
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        learnable_filters: bool = True,
        fft_norm: str = "ortho",
        filter_init_std: float = 0.02,
    ) -> None:
        super().__init__(
            hidden_dim, sequence_length, activation, dropout, norm_eps, learnable_filters, fft_norm, filter_init_std
        )

    def forward(self, x: Tensor) -> Tensor:
        """Filter `x`, [..., n, d]; the result has its shape."""
        self._check_beside(x, self.filter_real, "filter", hidden=self._axes == 2)
        return self._drop(spectral_filter(x, self._half_response(x)))

    def _half_response(self, x: Tensor) -> Tensor:  # [n//2+1, d, 2] for x [..., n, d]
        return self._half_pairs(x.dtype, x.shape[-2])

    def _half_pairs(self, dtype: torch.dtype, n: int) -> Tensor:  # [n//2+1, d, 2]
        """Of the frequencies that a real signal has, and no other."""
        half: Tensor = run(hermitian_half, *self._parts(dtype, n))
        return half


class AdaptiveGlobalFilter(GlobalFilterMixing):
    r"""A global filter with frequency-aware initialisation, spectral dropout and a regularisation term.

    Parameters
    ----------
    hidden_dim, sequence_length, activation, dropout, norm_eps, learnable_filters, fft_norm, filter_init_std
        As in :class:`GlobalFilterMixing`.
    filter_regularization : float, default 0.0
        Weight :math:`\lambda` of :meth:`get_regularization_loss`.
    adaptive_initialization : bool, default True
        Let the initial standard deviation fall as :math:`1/\sqrt{1 + |k|}` with the frequency :math:`|k|` (the
        amplitudes of natural signals fall like that), its root mean square over all frequencies still being
        `filter_init_std`.
    spectral_dropout_p : float, default 0.0
        Probability of silencing a (frequency, channel) pair of the filter in training; the others grow by
        1 / (1 - p). The same filter serves the whole batch.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import AdaptiveGlobalFilter
    >>> layer = AdaptiveGlobalFilter(hidden_dim=64, sequence_length=128, filter_regularization=0.01)
    >>> loss = layer(torch.randn(8, 128, 64)).square().mean() + layer.get_regularization_loss()
    >>> loss.backward()
    """

    def __init__(
        self,
        hidden_dim: int,
        sequence_length: int,
        activation: str = "sigmoid",
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        learnable_filters: bool = True,
        fft_norm: str = "ortho",
        filter_init_std: float = 0.02,
        filter_regularization: float = 0.0,
        adaptive_initialization: bool = True,
        spectral_dropout_p: float = 0.0,
    ) -> None:
        # What reset_parameters and forward read; plain attributes may precede nn.Module.__init__.
        self.filter_regularization = check_non_negative("filter_regularization", filter_regularization)
        self.adaptive_initialization = check_flag("adaptive_initialization", adaptive_initialization)
        self.spectral_dropout_p = check_probability("spectral_dropout_p", spectral_dropout_p)
        super().__init__(
            hidden_dim, sequence_length, activation, dropout, norm_eps, learnable_filters, fft_norm, filter_init_std
        )

    def reset_parameters(self) -> None:
        """Draw the filter anew, its low frequencies larger than its high ones if `adaptive_initialization`."""
        super().reset_parameters()
        if not self.adaptive_initialization:
            return
        with torch.no_grad():
            # Counted, as an arange would not be divided among processes as the parameters may be.
            like = self.filter_real[:, :1]
            k = torch.ones_like(like, dtype=compute_dtype(like.dtype)).cumsum(0) - 1
            decay = (1 + torch.minimum(k, self.sequence_length - k)).rsqrt()
            weight = (decay / decay.square().mean().sqrt()).to(like.dtype)
            self.filter_real.mul_(weight)
            self.filter_imag.mul_(weight)

    def _half_response(self, x: Tensor) -> Tensor:
        response = super()._half_response(x)
        if self.training and self.spectral_dropout_p > 0:
            response = response * nn.functional.dropout(torch.ones_like(response[..., :1]), self.spectral_dropout_p)
        return response

    def get_regularization_loss(self) -> Tensor:
        r""":math:`\lambda (\|W_r\|_F^2 + \|W_i\|_F^2)`, a scalar to add to the training loss."""
        return self.filter_regularization * (self.filter_real.square().sum() + self.filter_imag.square().sum())

    def get_spectral_properties(self) -> dict[str, Any]:
        """As for :class:`GlobalFilterMixing`, of the filter without spectral dropout."""
        return {
            **super().get_spectral_properties(),
            "adaptive_initialization": self.adaptive_initialization,
            "filter_regularization": self.filter_regularization,
            "spectral_dropout_p": self.spectral_dropout_p,
        }


class GlobalFilterMixing2D(_GlobalFilter):
    r"""The global filter over sequence and hidden axis together: a learned 2-D circular convolution.

    .. math:: y = \operatorname{Re} F^{-1}(H \odot F x), \qquad F \text{ the 2-D DFT}

    One native kernel. Only the Hermitian part a + ib of H acts: with X the orthonormal Hartley transform of x, which is
    its own inverse,

    .. math:: y = \operatorname{Hartley}(a_k X_k - b_k X_{-k}).

    A sequence of another length interpolates H along its first axis, as in :class:`GlobalFilterMixing`.

    Parameters
    ----------
    hidden_dim, sequence_length, activation, dropout, norm_eps, learnable_filters, fft_norm, filter_init_std
        As in :class:`GlobalFilterMixing`.

    References
    ----------
    Y. Rao, W. Zhao, Z. Zhu, J. Lu, J. Zhou. Global Filter Networks for Image Classification. NeurIPS 2021.
    R. N. Bracewell. Discrete Hartley transform. Journal of the Optical Society of America 73 (12), 1983.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import GlobalFilterMixing2D
    >>> layer = GlobalFilterMixing2D(hidden_dim=64, sequence_length=128)
    >>> x = torch.randn(8, 128, 64)
    >>> expected = torch.fft.ifft2(torch.fft.fft2(x) * layer.get_filter_response()).real
    >>> torch.allclose(layer(x), expected, atol=1e-5)
    True
    """

    _axes = 2

    def __init__(
        self,
        hidden_dim: int,
        sequence_length: int,
        activation: str = "sigmoid",
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        learnable_filters: bool = True,
        fft_norm: str = "ortho",
        filter_init_std: float = 0.02,
    ) -> None:
        super().__init__(
            hidden_dim, sequence_length, activation, dropout, norm_eps, learnable_filters, fft_norm, filter_init_std
        )

    def forward(self, x: Tensor) -> Tensor:
        """Filter `x`, [..., n, d]; the result has its shape."""
        self._check_beside(x, self.filter_real, "filter", hidden=self._axes == 2)
        return self._drop(spectral_filter_plane(x, from_parts(*self._parts(x.dtype, x.shape[-2]))))
