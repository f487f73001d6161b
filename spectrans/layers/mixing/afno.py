"""The adaptive Fourier neural operator: every kept frequency passes through the same small network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spectrans.functional import irfft_modes, rfft_modes
from spectrans.functional.arguments import check_length, check_non_negative, check_number
from spectrans.functional.filter2d import check_grid
from spectrans.layers.mixing.base import MixingLayer
from spectrans.ops.library import from_parts

__all__ = ["AFNOMixing"]


def _real_matrix(
    w: Tensor,  # [2, blocks, i, o]: real and imaginary part
) -> Tensor:  # [blocks, 2i, 2o]
    """What multiplies (real, imaginary) pairs as w does complex numbers: one real product, without complex copies."""
    re, im = w
    rows = torch.stack((from_parts(re, im), from_parts(-im, re)), dim=-3)  # [blocks, i, 2, o, 2]
    return rows.flatten(-2).flatten(1, 2)


def _pairs(
    b: Tensor,  # [2, blocks, o]
) -> Tensor:  # [blocks, 1, 2o]
    return b.movedim(0, -1).flatten(-2).unsqueeze(1)


def _along_columns(
    transform: Callable[..., Tensor],
    rows: Tensor,  # complex [..., h, modes, d]
) -> Tensor:
    return rows if rows.numel() == 0 else transform(rows, dim=-3, norm="ortho")  # MKL refuses to transform nothing


class AFNOMixing(MixingLayer):
    r"""The AFNO mixer: every frequency passes through a two-layer complex network, block by block of its channels.

    With :math:`X = \operatorname{rfft}(x)` (orthonormal) along the sequence, or rfft2 over a grid of tokens,

    .. math::
        Y_k = S_\lambda\!\left( W_2 \, \operatorname{ReLU}(W_1 X_k + b_1) + b_2 \right), \qquad
        y = x + \operatorname{irfft}(Y),

    for the lowest frequencies k; at the others Y is zero. ReLU and the soft threshold
    :math:`S_\lambda(v) = \operatorname{sign}(v) \max(|v| - \lambda, 0)` act on real and imaginary parts. Weights and
    biases are the same at every frequency, so sequences of any length are taken; each block of d / `num_blocks`
    channels has its own.

    Frequencies that are not kept are neither stored nor (mostly) computed: see
    :func:`~spectrans.functional.rfft_modes`. The network works on (real, imaginary) pairs, one real matrix product a
    layer; under autocast in its precision, otherwise in float32, or float64 where `x` is. The result is rounded once.

    The parameters have the names, shapes and initial scale that the authors' ``AFNO1D`` and ``AFNO2D`` give them, so
    their ``state_dict``\ s interchange. The outputs are theirs, too, but for grids of which a part is kept: their code
    counts the frequencies along a row as n // 2 + 1 of all n tokens, and so keeps more columns. (FourCastNet's layer of
    the same name also drops rows: another network.)

    Parameters
    ----------
    hidden_dim : int
        Number of channels d.
    dropout : float, default 0.0
        Dropout on what is added to x.
    norm_eps : float, default 1e-5
        See :class:`MixingLayer`.
    num_blocks : int, default 8
        Blocks of channels that have nothing to do with each other; d must be a multiple.
    sparsity_threshold : float, default 0.01
        :math:`\lambda`.
    hard_thresholding_fraction : float, default 1.0
        Share of the n // 2 + 1 frequencies that is kept, rounded down; over a grid, of the w // 2 + 1 along its rows.
        More than 0, at most 1. At least one has to be left.
    hidden_size_factor : int, default 1
        Width of the hidden layer over that of the block.
    grid : (int, int), optional
        (h, w): the tokens are the h * w of a grid, row by row, and frequencies are those of both axes.

    Attributes
    ----------
    w1, w2 : Tensor
        Complex matrices, [2, num_blocks, d / num_blocks, width] and the other way round; real parts, then imaginary.
    b1, b2 : Tensor
        [2, num_blocks, width] and [2, num_blocks, d / num_blocks].
    num_blocks, sparsity_threshold, hard_thresholding_fraction, hidden_size_factor, grid
        As given.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in the call, if `x` is not real floating-point, its last
        axis is not `hidden_dim` long, its tokens are not those of the grid, or no frequency would be kept.

    References
    ----------
    J. Guibas, M. Mardani, Z. Li, A. Tao, A. Anandkumar, B. Catanzaro. Adaptive Fourier Neural Operators: Efficient
    Token Mixers for Transformers. ICLR 2022.

    Examples
    --------
    >>> import torch
    >>> from spectrans.layers.mixing import AFNOMixing
    >>> AFNOMixing(hidden_dim=64)(torch.randn(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    >>> layer = AFNOMixing(hidden_dim=64, grid=(14, 14), hard_thresholding_fraction=0.5)
    >>> layer(torch.randn(2, 14 * 14, 64)).shape
    torch.Size([2, 196, 64])
    """

    def __init__(
        self,
        hidden_dim: int,
        dropout: float = 0.0,
        norm_eps: float = 1e-5,
        num_blocks: int = 8,
        sparsity_threshold: float = 0.01,
        hard_thresholding_fraction: float = 1.0,
        hidden_size_factor: int = 1,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(hidden_dim, dropout, norm_eps)
        self.num_blocks = check_length("num_blocks", num_blocks)
        if hidden_dim % num_blocks != 0:
            raise ValueError(f"num_blocks: expected a divisor of hidden_dim={hidden_dim}, got {num_blocks}")
        self.sparsity_threshold = check_non_negative("sparsity_threshold", sparsity_threshold)
        self.hard_thresholding_fraction = check_number(
            "hard_thresholding_fraction", hard_thresholding_fraction, 0.0, 1.0, "a share between 0 and 1"
        )
        if self.hard_thresholding_fraction == 0.0:
            raise ValueError("hard_thresholding_fraction: expected more than 0, got 0")
        self.hidden_size_factor = check_length("hidden_size_factor", hidden_size_factor)
        self.grid = None if grid is None else check_grid(grid)
        block, width = hidden_dim // num_blocks, hidden_dim // num_blocks * hidden_size_factor
        self.w1 = nn.Parameter(torch.empty(2, num_blocks, block, width))
        self.b1 = nn.Parameter(torch.empty(2, num_blocks, width))
        self.w2 = nn.Parameter(torch.empty(2, num_blocks, width, block))
        self.b2 = nn.Parameter(torch.empty(2, num_blocks, block))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases anew: normal, with standard deviation 0.02."""
        with torch.no_grad():
            for parameter in (self.w1, self.b1, self.w2, self.b2):
                parameter.normal_(std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the tokens of `x`, [..., n, d]; the result has its shape."""
        self._check_beside(x, self.w1, "weights")
        n = x.shape[-2]
        if self.grid is None:
            spectrum = rfft_modes(x, self._kept(n), norm="ortho")
            mixed = irfft_modes(self._network(spectrum), n, norm="ortho")
        else:
            h, w = self.grid
            self._check_tokens(x, self.grid)
            rows = rfft_modes(x.unflatten(-2, (h, w)), self._kept(w), norm="ortho")
            rows = _along_columns(torch.fft.ifft, self._network(_along_columns(torch.fft.fft, rows)))
            mixed = irfft_modes(rows, w, norm="ortho").flatten(-3, -2)
        return (x + self._drop(mixed)).to(x.dtype)

    def _kept(self, n: int) -> int:
        """How many of the frequencies of n samples pass through the network."""
        total = n // 2 + 1
        if self.hard_thresholding_fraction == 1.0:
            return total
        kept: int = torch.sym_int(total * self.hard_thresholding_fraction)
        if kept < 1:
            raise ValueError(
                f"x: expected so many samples that a frequency is kept, got {n}: {total} frequencies, and of those "
                f"hard_thresholding_fraction={self.hard_thresholding_fraction} leaves none"
            )
        return kept

    def _network(
        self,
        spectrum: Tensor,  # complex [..., d]
    ) -> Tensor:  # the shape of the spectrum
        pairs = torch.view_as_real(spectrum)
        dtype = pairs.dtype
        w1, b1, w2, b2 = (p.to(dtype) for p in (self.w1, self.b1, self.w2, self.b2))
        blocks = pairs.reshape(-1, self.num_blocks, 2 * w1.shape[2]).transpose(0, 1)  # [blocks, frequencies, 2i]
        hidden = torch.baddbmm(_pairs(b1), blocks, _real_matrix(w1)).relu()
        out = torch.baddbmm(_pairs(b2), hidden, _real_matrix(w2)).to(dtype)
        out = nn.functional.softshrink(out, self.sparsity_threshold)
        return torch.view_as_complex(out.transpose(0, 1).reshape(pairs.shape))

    def get_spectral_properties(self) -> dict[str, Any]:
        """What is true of every such network: it is not linear, and nothing bounds the energy of what it adds."""
        return {
            "unitary": False,
            "real_output": True,
            "frequency_domain": True,
            "energy_preserving": False,
            "linear": False,
            "mixes_sequence": True,
            "mixes_hidden": self.num_blocks < self.hidden_dim,
            "grid": self.grid,
            "parameter_count": sum(p.numel() for p in self.parameters()),
        }

    def extra_repr(self) -> str:
        """Arguments shown by ``print(layer)``."""
        shown = f"{super().extra_repr()}, num_blocks={self.num_blocks}"
        if self.hard_thresholding_fraction != 1.0:
            shown += f", hard_thresholding_fraction={self.hard_thresholding_fraction}"
        return shown if self.grid is None else f"{shown}, grid={self.grid}"
