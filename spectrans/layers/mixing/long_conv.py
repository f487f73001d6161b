"""Mixing by a convolution with a kernel as long as the sequence: the mixer of Hyena, H3 and S4's relatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spectrans.functional import fft_conv, filter_operator_norm, rfft_modes, spectral_filter
from spectrans.functional.arguments import check_flag, check_gates, check_length, check_non_negative
from spectrans.layers.mixing.base import _UNIT_TOLERANCE, FilterMixingLayer, _gains
from spectrans.ops.library import compute_dtype

__all__ = ["LongConvMixing"]


class LongConvMixing(FilterMixingLayer):
    r"""Every channel is convolved with its own learned kernel, as long as the sequence; optionally gated.

    With :math:`v = g_\text{pre} \odot x`,

    .. math::
        y_t = g_{\text{post},t} \left( \sum_s k_s \, v_{t-s} + D \, v_t \right),

    where samples before the first are zero (causal), or those from the end of the sequence (circular). One native
    kernel does all of a causal convolution, its gates and the skip: see :func:`~spectrans.functional.fft_conv`. The
    circular one is a filter, :func:`~spectrans.functional.spectral_filter`.

    Sequences of any length are taken: a shorter one meets the first taps only, and to a longer one the kernel is zero
    beyond its last tap.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    sequence_length : int
        Number of taps m.
    dropout : float, default 0.0
        Dropout on the output.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    learnable_filters : bool, default True
        Whether kernel and skip are parameters or buffers.
    filter_init_std : float, default 0.02
        Standard deviation of the initial taps. The skip begins as 1: the layer as nearly the identity.
    causal : bool, default True
        Whether y depends on past samples alone; if not, the convolution is circular.

    Attributes
    ----------
    kernel : Tensor
        k, real, [sequence_length, d].
    skip : Tensor
        D, real, [d].
    causal : bool

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in the call, if `x` is not real floating-point or its
        last axis is not `hidden_dim` long, or a gate has not the shape, device and (outside autocast) dtype of `x`.

    References
    ----------
    M. Poli, S. Massaroli, E. Nguyen, et al. Hyena Hierarchy: Towards Larger Convolutional Language Models. ICML 2023.

    D. Y. Fu, E. L. Epstein, E. Nguyen, et al. Simple Hardware-Efficient Long Convolutions for Sequence Modeling.
    ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import LongConvMixing
    >>> layer, x = LongConvMixing(hidden_dim=64, sequence_length=128), torch.randn(8, 128, 64)
    >>> layer(x, pre_gate=torch.rand_like(x), post_gate=torch.rand_like(x)).shape
    torch.Size([8, 128, 64])
    >>> torch.allclose(layer(x)[:, :50], layer(x[:, :50]), atol=1e-5)  # what comes later has no effect
    True
    """

    def __init__(
        self,
        hidden_dim: int,
        sequence_length: int,
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        learnable_filters: bool = True,
        filter_init_std: float = 0.02,
        causal: bool = True,
    ) -> None:
        super().__init__(hidden_dim, sequence_length, dropout, norm_eps, learnable_filters)
        self.filter_init_std = check_non_negative("filter_init_std", filter_init_std)
        self.causal = check_flag("causal", causal)
        self._add_filter("kernel", sequence_length, hidden_dim)
        self._add_filter("skip", hidden_dim)
        self.kernel: Tensor  # [sequence_length, d]
        self.skip: Tensor  # [d]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the taps anew: normal, with standard deviation `filter_init_std`; and a skip of 1."""
        with torch.no_grad():
            self.kernel.normal_(std=self.filter_init_std)
            self.skip.fill_(1.0)

    def forward(
        self,
        x: Tensor,  # [..., n, d]
        pre_gate: Tensor | None = None,  # the shape of x
        post_gate: Tensor | None = None,  # the shape of x
    ) -> Tensor:
        """Convolve `x`, [..., n, d]; the result has its shape, and so have the gates."""
        self._check_beside(x, self.kernel, "filter")
        pre_gate, post_gate = check_gates(pre_gate, post_gate, x, "x")
        if self.causal:
            return self._drop(fft_conv(x, self.kernel, pre_gate=pre_gate, post_gate=post_gate, skip=self.skip))
        response = self._response(x.dtype, x.shape[-2])
        if pre_gate is None and post_gate is None:
            return self._drop(spectral_filter(x, response))
        y = x.to(compute_dtype(x.dtype))  # rounded once, after all
        y = spectral_filter(y if pre_gate is None else y * pre_gate.to(y.dtype), response)
        return self._drop((y if post_gate is None else y * post_gate.to(y.dtype)).to(x.dtype))

    def _response(self, dtype: torch.dtype, n: int) -> Tensor:  # complex [n//2+1, d]
        """Of the circular convolution of n samples, or of the causal one at n // 2 + 1 frequencies."""
        kernel, skip = (t.to(compute_dtype(dtype)) for t in (self.kernel, self.skip))
        kernel = nn.functional.pad(kernel, (0, 0, 0, n - self.sequence_length))  # or less of it
        return rfft_modes(kernel, n // 2 + 1) + skip

    def get_filter_response(self) -> Tensor:
        r""":math:`H_k = \sum_s k_s e^{-2\pi i sk/m} + D`, complex [sequence_length//2+1, d]: the half spectrum.

        A circular convolution multiplies the spectrum of its input by H. A causal one does so with that of a signal
        which goes on for ever; at the ends of a sequence its output differs.
        """
        return self._response(self.kernel.dtype, self.sequence_length)

    def compute_operator_norm(self, sequence_length: int) -> float | None:
        r"""Of a circular convolution the largest :math:`|H|` for that many samples; None for a causal one.

        Without gates; see :meth:`MixingLayer.compute_operator_norm`. (That of a causal one is a matter of the singular
        values of a matrix of n x n for each channel.)
        """
        n = check_length("sequence_length", sequence_length)
        if self.causal:
            return None
        with torch.no_grad():
            return float(filter_operator_norm(self._response(self.kernel.dtype, n), n=n))

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the convolution as it stands, for inputs of `sequence_length`, without gates.

        A circular one is unitary exactly if the modulus of its response is 1 everywhere, and its 'operator_norm' is
        the largest; a causal one is unitary exactly if it is the identity, or minus that, in each channel.
        """
        with torch.no_grad():
            if self.causal:
                first, later = self.kernel[0] + self.skip, self.kernel[1:]
                unitary = bool(((first.abs() - 1).abs() <= _UNIT_TOLERANCE).all())
                unitary = unitary and bool((later.abs().sum(0) <= _UNIT_TOLERANCE).all())
                gains: dict[str, Any] = {"unitary": unitary, "energy_preserving": unitary}
            else:
                gains = _gains(self.get_effective_response())
        return {
            **super().get_spectral_properties(),
            **gains,
            "causal": self.causal,
            "mixes_sequence": True,
            "mixes_hidden": False,
            "parameter_count": self.kernel.numel() + self.skip.numel() if self.learnable_filters else 0,
        }

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        return f"{super().extra_repr()}, causal={self.causal}"
