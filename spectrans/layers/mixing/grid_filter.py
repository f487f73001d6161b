"""GFNet's global filter over an (h, w) grid of tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectrans.functional.arguments import check_non_negative
from spectrans.functional.filter2d import check_grid, spectral_filter2d
from spectrans.layers.mixing.base import FilterMixingLayer, _band_shares, _bands, _gains, _group_delay
from spectrans.ops.filter2d import effective_response
from spectrans.ops.library import compute_dtype

__all__ = ["GridFilterMixing"]


class GridFilterMixing(FilterMixingLayer):
    r"""GFNet's global filter: every channel of an (h, w) grid of tokens is filtered by its own learned response.

    .. math:: y = \operatorname{irfft2}(\operatorname{rfft2}(x) \odot W)

    The parameter has the name, shape and layout that GFNet's ``GlobalFilter`` gives it, so their ``state_dict``\ s
    interchange. GFNet's ``norm="ortho"`` cancels between transform and inverse.

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    grid : (int, int)
        (h, w): the h * w tokens are its rows, one after the other. Other grids raise a ValueError.
    dropout : float, default 0.0
        Dropout on the output.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    learnable_filters : bool, default True
        Whether the filter is a parameter or a buffer.
    filter_init_std : float, default 0.02
        Standard deviation of the initial real and imaginary parts of W.

    Attributes
    ----------
    complex_weight : Tensor
        W as (real, imaginary) pairs, [h, w//2+1, d, 2].
    grid : (int, int)
    sequence_length : int
        h * w.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in the call, if `x` is not real floating-point or not
        [..., h*w, hidden_dim].

    References
    ----------
    Y. Rao, W. Zhao, Z. Zhu, J. Lu, J. Zhou. Global Filter Networks for Image Classification. NeurIPS 2021.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import GridFilterMixing
    >>> layer = GridFilterMixing(hidden_dim=384, grid=(14, 14))
    >>> layer(torch.randn(8, 14 * 14, 384)).shape
    torch.Size([8, 196, 384])
    >>> {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    {'complex_weight': (14, 8, 384, 2)}
    """

    def __init__(
        self,
        hidden_dim: int,
        grid: tuple[int, int],
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        learnable_filters: bool = True,
        filter_init_std: float = 0.02,
    ) -> None:
        h, w = check_grid(grid)
        super().__init__(hidden_dim, h * w, dropout, norm_eps, learnable_filters)
        self.grid = (h, w)
        self.filter_init_std = check_non_negative("filter_init_std", filter_init_std)
        self._add_filter("complex_weight", h, w // 2 + 1, hidden_dim, 2)
        self.complex_weight: Tensor  # [h, w//2+1, d, 2]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the filter anew: normal, with standard deviation `filter_init_std`."""
        with torch.no_grad():
            self.complex_weight.normal_(std=self.filter_init_std)

    def forward(self, x: Tensor) -> Tensor:
        """Filter `x`, [..., h*w, d]; the result has its shape."""
        self._check_beside(x, self.complex_weight, "filter")
        self._check_tokens(x, self.grid)
        return self._drop(spectral_filter2d(x, self.complex_weight, self.grid))

    def _pairs(self) -> Tensor:  # [h, w//2+1, d, 2]
        return self.complex_weight.to(compute_dtype(self.complex_weight.dtype))

    def get_filter_response(self) -> Tensor:
        """W as parametrised: complex [h, w//2+1, d]. See :meth:`get_effective_response` for what acts."""
        pairs = self._pairs()
        return torch.complex(pairs[..., 0], pairs[..., 1])  # a view is not to be had of every place in memory

    def get_effective_response(self) -> Tensor:
        r"""The part of W that acts on a real signal: complex [h, w//2+1, d].

        All of it, but :math:`(W_{k_h} + \bar W_{-k_h}) / 2` in the columns :math:`k_w = 0` and, for even w,
        :math:`k_w = w/2`, each of which holds both bins of a conjugate pair.
        """
        return torch.view_as_complex(effective_response(self._pairs(), self.grid[1]).contiguous())

    def analyze_frequency_response(self) -> dict[str, Tensor]:
        r"""Magnitude, phase, group delay and energy bands of :meth:`get_effective_response`, H [h, w//2+1, d].

        Returns
        -------
        dict of Tensor
            'magnitude' [h, w//2+1, d]: :math:`|H|`.

            'phase' [h, w//2+1, d]: :math:`\arg H` in (-pi, pi].

            'group_delay' [2, h, w//2+1, d]: :math:`-\partial\varphi/\partial\omega` along :math:`k_h`, in rows, and
            along :math:`k_w`, in columns, with differences as in
            :meth:`FilterMixingLayer.analyze_frequency_response`. A pure shift by (r, c) tokens reads r and c in every
            bin, up to h/2 and w/2; beyond, the shorter way around the grid.

            'passband_energy' [4, d]: share of a channel's energy, mirrored half included, in each of four equal bands
            of :math:`\max(|f_h|, |f_w|)`, from 0 to half the sampling rate: square rings around frequency 0. The
            shares sum to 1; a channel that is zero everywhere shares equally.

        Examples
        --------
        >>> from spectrans.layers.mixing import GridFilterMixing
        >>> analysis = GridFilterMixing(hidden_dim=4, grid=(8, 6)).analyze_frequency_response()
        >>> {name: tuple(value.shape) for name, value in analysis.items()}
        {'magnitude': (8, 4, 4), 'phase': (8, 4, 4), 'group_delay': (2, 8, 4, 4), 'passband_energy': (4, 4)}
        """
        response, (h, w) = self.get_effective_response(), self.grid
        magnitude = response.abs()
        rows, columns = (torch.arange(size, device=response.device) for size in response.shape[:2])
        weight = torch.where((2 * columns) % w == 0, 1.0, 2.0).to(magnitude.dtype)
        energy = magnitude.square() * weight.unsqueeze(-1)
        band = torch.maximum(_bands(rows, h).unsqueeze(-1), _bands(columns, w))
        return {
            "magnitude": magnitude,
            "phase": response.angle(),
            "group_delay": torch.stack((_group_delay(response, h, 0), _group_delay(response, w, 1))),
            "passband_energy": _band_shares(energy.flatten(0, 1), band.flatten()),
        }

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of the filter as it stands.

        A filter is unitary exactly if its effective response has modulus 1 everywhere, so that is computed; the same
        goes for 'operator_norm', the largest modulus, which bounds how much the layer can amplify.
        """
        with torch.no_grad():
            gains = _gains(self.get_effective_response())
        return {
            **super().get_spectral_properties(),
            **gains,
            "grid": self.grid,
            "mixes_sequence": True,
            "mixes_hidden": False,
            "parameter_count": self.complex_weight.numel() if self.learnable_filters else 0,
        }

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        shown = f"hidden_dim={self.hidden_dim}, grid={self.grid}"
        return shown if self.learnable_filters else f"{shown}, learnable_filters=False"
