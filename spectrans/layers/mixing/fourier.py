"""Parameter-free mixing by Fourier and Hartley transforms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.functional import fourier_mixing, hartley_mixing
from spectrans.functional.arguments import (
    check_dense,
    check_flag,
    check_length,
    check_lengths,
    check_signal,
    norm_code,
)
from spectrans.functional.mixing import mix
from spectrans.layers.mixing.base import UnitaryMixingLayer
from spectrans.ops.library import compute_dtype

__all__ = ["FourierMixing", "FourierMixing1D", "RealFourierMixing", "SeparableFourierMixing"]


class _FourierLayer(UnitaryMixingLayer):
    """What the four layers share: a norm, and properties that follow from it."""

    def __init__(
        self,
        hidden_dim: int,
        dropout: float,
        norm_eps: float,
        energy_tolerance: float,
        fft_norm: str,
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps, energy_tolerance)
        norm_code(fft_norm, "fft_norm")
        self.fft_norm = fft_norm

    def _properties(self, *, unitary: bool, real_output: bool = True, **extra: Any) -> dict[str, Any]:
        return {
            **super().get_spectral_properties(),
            "unitary": unitary,
            "real_output": real_output,
            "energy_preserving": unitary,
            "fft_norm": self.fft_norm,
            "learnable_parameters": False,
            **extra,
        }

    def compute_operator_norm(self, sequence_length: int) -> float:
        r"""1 for ``fft_norm="ortho"``, :math:`\sqrt N` for "backward", :math:`1/\sqrt N` for "forward".

        N is the number of points of the transform. Real part or not: the real part of an orthonormal transform is 0
        on odd signals, but keeps even ones, such as constants, whole. See :meth:`MixingLayer.compute_operator_norm`.
        """
        mixes = self.get_spectral_properties()
        check_length("sequence_length", sequence_length)
        points = (sequence_length if mixes["mixes_sequence"] else 1) * (self.hidden_dim if mixes["mixes_hidden"] else 1)
        return float(points ** {"backward": 0.5, "ortho": 0.0, "forward": -0.5}[self.fft_norm or "backward"])

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        return f"{super().extra_repr()}, fft_norm={self.fft_norm!r}"


class FourierMixing(_FourierLayer):
    r"""FNet's mixing: the real part of the 2-D DFT over sequence and hidden axis.

    .. math:: y = \operatorname{Re}(F_n x F_d)

    The real part of a unitary transform is not unitary: with ``keep_complex=False`` the layer keeps between none and
    all of the energy of its input. `RealFourierMixing` is the real and orthogonal relative.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    dropout : float, default 0.0
        Dropout on the output.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    energy_tolerance : float, default 1e-4
        See :class:`UnitaryMixingLayer`.
    fft_norm : {"ortho", "backward", "forward"} or None
        As in ``torch.fft``, whose None is "backward".
    keep_complex : bool, default False
        Return the complex spectrum instead of its real part. This is ``torch.fft``, not a spectrans kernel; halves
        give complex64, and complex inputs are accepted.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in the call, if `x` is not real floating-point or its
        last axis is not `hidden_dim` long.

    References
    ----------
    J. Lee-Thorp, J. Ainslie, I. Eckstein, S. Ontanon. FNet: Mixing Tokens with Fourier Transforms. NAACL 2022.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import FourierMixing
    >>> FourierMixing(hidden_dim=64)(torch.randn(8, 128, 64)).shape
    torch.Size([8, 128, 64])
    """

    _axes = 2

    def __init__(
        self,
        hidden_dim: int,
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        energy_tolerance: float = 1e-4,
        fft_norm: str = "ortho",
        keep_complex: bool = False,
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps, energy_tolerance, fft_norm)
        self.keep_complex = check_flag("keep_complex", keep_complex)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `x`, [..., n, d]; the result has its shape."""
        self._check_input(x)
        if self.keep_complex:
            return self._drop(self._spectrum(x))
        return self._drop(fourier_mixing(x, self._axes, self.fft_norm))

    def _spectrum(self, x: Tensor) -> Tensor:  # complex, the shape of x
        if not isinstance(x, Tensor):
            raise TypeError(f"x: expected a tensor, got {type(x).__name__}")
        if not (x.is_floating_point() or x.is_complex()):
            raise TypeError(f"x: expected a floating-point or complex dtype, got {x.dtype}")
        check_dense(x, "x")
        check_lengths(x, sequence=True, hidden=self._axes == 2)
        if x.is_floating_point():
            x = x.to(compute_dtype(x.dtype))
        if x.numel() == 0:
            return x.to(x.dtype.to_complex())
        spectrum: Tensor = torch.fft.fftn(x, dim=(-2, -1)[: self._axes], norm=self.fft_norm)
        return spectrum

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the layer: unitary only as the complex, "ortho" transform."""
        return self._properties(
            unitary=self.keep_complex and self.fft_norm == "ortho",
            real_output=not self.keep_complex,
            mixes_sequence=True,
            mixes_hidden=self._axes == 2,
        )

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        return f"{super().extra_repr()}, keep_complex=True" if self.keep_complex else super().extra_repr()


class FourierMixing1D(FourierMixing):
    r"""The real part of the DFT over the sequence; channels stay apart.

    .. math:: y = \operatorname{Re}(F_n x)

    Parameters, errors and ``keep_complex`` are those of :class:`FourierMixing`.

    References
    ----------
    J. Lee-Thorp, J. Ainslie, I. Eckstein, S. Ontanon. FNet: Mixing Tokens with Fourier Transforms. NAACL 2022.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import FourierMixing1D
    >>> x = torch.randn(8, 128, 64)
    >>> y = FourierMixing1D(hidden_dim=64)(x)
    >>> torch.allclose(y, torch.fft.fft(x, dim=1, norm="ortho").real, atol=1e-5)
    True
    """

    _axes = 1


class RealFourierMixing(_FourierLayer):
    r"""The 2-D Hartley transform over sequence and hidden axis: real, orthogonal, its own inverse.

    .. math:: y = \operatorname{Re}(F_n x F_d) - \operatorname{Im}(F_n x F_d)

    It holds the whole spectrum of a real input in a real tensor of the same size, so nothing is lost, where
    :class:`FourierMixing` keeps the even part of x only. Orthogonal for ``fft_norm="ortho"``; otherwise up to a
    factor.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    dropout : float, default 0.0
        Dropout on the output.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    energy_tolerance : float, default 1e-4
        See :class:`UnitaryMixingLayer`.
    fft_norm : {"ortho", "backward", "forward"} or None
        As in ``torch.fft``, whose None is "backward".

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in the call, if `x` is not real floating-point or its
        last axis is not `hidden_dim` long.

    References
    ----------
    R. N. Bracewell. Discrete Hartley transform. Journal of the Optical Society of America 73 (12), 1983.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import RealFourierMixing
    >>> layer = RealFourierMixing(hidden_dim=64)
    >>> x = torch.randn(8, 128, 64)
    >>> torch.allclose(layer(layer(x)), x, atol=1e-5)
    True
    """

    def __init__(
        self,
        hidden_dim: int,
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        energy_tolerance: float = 1e-4,
        fft_norm: str = "ortho",
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps, energy_tolerance, fft_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `x`, [..., n, d]; the result has its shape."""
        self._check_input(x)
        return self._drop(hartley_mixing(x, 2, self.fft_norm))

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the layer: orthogonal for ``fft_norm="ortho"``."""
        unitary = self.fft_norm == "ortho"
        return self._properties(unitary=unitary, involutory=unitary, mixes_sequence=True, mixes_hidden=True)


class SeparableFourierMixing(_FourierLayer):
    r"""The real part of a DFT over the sequence, then the real part of a DFT over the hidden axis; either optional.

    .. math:: y = \operatorname{Re}(\operatorname{Re}(F_n x)\, F_d)

    Both parts are cosine transforms: :math:`y_{pq} = s \sum_{j,l} x_{jl} \cos(2\pi pj/n) \cos(2\pi ql/d)`, which is not
    the cosine of the sum that :class:`FourierMixing` computes.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    mix_features : bool, default True
        Transform the hidden axis.
    mix_sequence : bool, default True
        Transform the sequence.
    dropout : float, default 0.0
        Dropout on the output.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    energy_tolerance : float, default 1e-4
        See :class:`UnitaryMixingLayer`.
    fft_norm : {"ortho", "backward", "forward"} or None
        As in ``torch.fft``, whose None is "backward".

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, or both transforms are switched off; in the call, if `x`
        is not real floating-point or its last axis is not `hidden_dim` long.

    References
    ----------
    J. Lee-Thorp, J. Ainslie, I. Eckstein, S. Ontanon. FNet: Mixing Tokens with Fourier Transforms. NAACL 2022.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import FourierMixing1D, SeparableFourierMixing
    >>> x = torch.randn(8, 128, 64)
    >>> sequence_only = SeparableFourierMixing(hidden_dim=64, mix_features=False)
    >>> torch.equal(sequence_only(x), FourierMixing1D(hidden_dim=64)(x))
    True
    """

    def __init__(
        self,
        hidden_dim: int,
        mix_features: bool = True,
        mix_sequence: bool = True,
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        energy_tolerance: float = 1e-4,
        fft_norm: str = "ortho",
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps, energy_tolerance, fft_norm)
        self.mix_features = check_flag("mix_features", mix_features)
        self.mix_sequence = check_flag("mix_sequence", mix_sequence)
        if not (mix_features or mix_sequence):
            raise ValueError("mix_features, mix_sequence: expected at least one to be True, got False and False")

    def forward(self, x: Tensor) -> Tensor:
        """Mix `x`, [..., n, d]; the result has its shape."""
        self._check_input(x)
        check_signal(x)
        y = x.to(compute_dtype(x.dtype))  # rounded once, after both transforms
        if self.mix_sequence:
            y = mix(y, True, False, False, self.fft_norm)
        if self.mix_features:
            y = mix(y, False, True, False, self.fft_norm)
        return self._drop(y.to(x.dtype))

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the layer: cosine transforms lose the odd part of x, so it is never unitary."""
        return self._properties(unitary=False, mixes_sequence=self.mix_sequence, mixes_hidden=self.mix_features)

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        return f"{super().extra_repr()}, mix_features={self.mix_features}, mix_sequence={self.mix_sequence}"
