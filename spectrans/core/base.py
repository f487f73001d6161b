"""The parent class of every layer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SpectralComponent(nn.Module, ABC):
    """Abstract ``nn.Module`` that all spectral components derive from.

    Examples
    --------
    >>> import torch
    >>> from spectrans.core.base import SpectralComponent
    >>> class Doubling(SpectralComponent):
    ...     def forward(self, x):
    ...         return 2 * x
    >>> Doubling()(torch.ones(1, 2, 3)).sum()
    tensor(12.)
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, [batch, sequence n, hidden d], to a tensor of the same shape."""
