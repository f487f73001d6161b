"""Trains a small classifier of spectral layers on real handwritten digits, each an 8x8 grid of tokens.

The data are the 1,797 digits that scikit-learn ships. A digit becomes 64 tokens (one a pixel: its intensity, embedded,
plus a learned position), three blocks mix them, and the mean token is classified. Along the way this script

- measures what each layer says of itself (`get_spectral_properties`),
- times one training step with the native kernels beside the same step on torch.fft,
- draws the training curve and the frequency responses that the filters have learned.

Run it with ``make demo``, or ``python examples/digits.py --help``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import spectrans
from spectrans.layers.mixing import AdaptiveGlobalFilter, GlobalFilterMixing, RealFourierMixing
from spectrans.layers.mixing.base import MixingLayer

TOKENS, CLASSES = 64, 10
TARGET = 0.97  # test accuracy below which this script fails


class Block(nn.Module):
    """Mix tokens, then channels, each behind a LayerNorm and around a skip connection."""

    def __init__(self, mixing: MixingLayer, hidden_dim: int) -> None:
        super().__init__()
        self.mixing = mixing
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in range(2))
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, 2 * hidden_dim), nn.GELU(), nn.Linear(2 * hidden_dim, hidden_dim)
        )

    def forward(self, x: Tensor) -> Tensor:  # [batch, tokens, hidden]
        x = x + self.mixing(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


class DigitClassifier(nn.Module):
    """64 tokens -> three blocks, each with another spectral layer -> the mean token -> 10 classes."""

    def __init__(self, hidden_dim: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Linear(1, hidden_dim)
        self.position = nn.Parameter(0.5 * torch.randn(TOKENS, hidden_dim))
        self.blocks = nn.Sequential(
            Block(
                GlobalFilterMixing(hidden_dim, TOKENS, dropout=dropout, activation="identity", filter_init_std=0.5),
                hidden_dim,
            ),
            Block(RealFourierMixing(hidden_dim, dropout=dropout), hidden_dim),
            Block(
                AdaptiveGlobalFilter(hidden_dim, TOKENS, dropout=dropout, activation="identity", filter_init_std=0.5),
                hidden_dim,
            ),
        )
        self.head = nn.Sequential(nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, CLASSES))

    def forward(self, pixels: Tensor) -> Tensor:  # [batch, 64] in 0 .. 1 -> [batch, 10]
        x = self.embed(pixels.unsqueeze(-1)) + self.position
        return self.head(self.blocks(x).mean(dim=1))


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train and test pixels and labels; a fifth is held out, every class in proportion."""
    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        (pixels / 16).astype(np.float32), labels, test_size=0.2, stratify=labels, random_state=seed
    )
    train_x, test_x, train_y, test_y = map(torch.from_numpy, parts)
    return train_x, train_y, test_x, test_y


def shifted(pixels: Tensor) -> Tensor:
    """Every second digit or so moved by up to a pixel each way: there are only 1,437 to learn from."""
    windows = (
        nn.functional.pad(pixels.view(-1, 8, 8), (1, 1, 1, 1)).unfold(1, 8, 1).unfold(2, 8, 1)
    )  # [batch, 3, 3, 8, 8]
    down, right = torch.where(torch.rand(len(pixels)) < 0.5, 1, torch.randint(3, (2, len(pixels))))
    return windows[torch.arange(len(pixels)), down, right].reshape(-1, TOKENS)


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, pixels: Tensor, labels: Tensor) -> float:
    """One update; the loss before it."""
    loss = nn.functional.cross_entropy(model(pixels), labels, label_smoothing=0.05)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Share of digits recognised."""
    model.eval()
    right = (model(pixels).argmax(dim=-1) == labels).float().mean().item()
    model.train()
    return right


def train(model: nn.Module, data: tuple[Tensor, ...], epochs: int, console: Console) -> dict[str, list[float]]:
    """Trains with AdamW on one cosine; the test set is only watched, never chosen by."""
    train_x, train_y, test_x, test_y = data
    batch = 64
    steps = -(-len(train_x) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * steps, pct_start=0.2)
    curve: dict[str, list[float]] = {"loss": [], "test accuracy": []}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=epochs)
        for _ in range(epochs):
            losses = []
            for index in torch.randperm(len(train_x)).split(batch):
                losses.append(training_step(model, optimizer, shifted(train_x[index]), train_y[index]))
                schedule.step()
            curve["loss"].append(statistics.mean(losses))
            curve["test accuracy"].append(accuracy(model, test_x, test_y))
            progress.update(task, advance=1, description=f"training, loss {curve['loss'][-1]:.3f}")
    return curve


def step_times(data: tuple[Tensor, ...], rounds: int = 30) -> dict[str, float]:
    """Median milliseconds of a training step on each backend, taken in turns."""
    pixels, labels = data[0][:64], data[1][:64]
    model = DigitClassifier()
    optimizer = torch.optim.AdamW(model.parameters())
    times: dict[str, list[float]] = {"native": [], "torch": []}
    for _ in range(rounds):
        for name, taken in times.items():
            start = time.perf_counter()
            with spectrans.backend(name):
                training_step(model, optimizer, pixels, labels)
            taken.append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(taken[2:]) for name, taken in times.items()}


@torch.no_grad()
def measured_properties(layer: MixingLayer) -> dict[str, bool]:
    """What get_spectral_properties claims, found out on random input: energy kept, inner products kept, output real."""
    layer = layer.eval()
    x, z = torch.randn(2, 8, TOKENS, layer.hidden_dim)
    y, w = layer(x), layer(z)
    inner = [(a * b).sum(dim=(1, 2)) for a, b in ((x, z), (y, w))]
    scale = x.square().sum(dim=(1, 2))
    keeps_energy = torch.allclose(y.square().sum(dim=(1, 2)) / scale, torch.ones(8), atol=1e-4)
    return {
        "energy_preserving": keeps_energy,
        "unitary": keeps_energy and torch.allclose(inner[0] / scale, inner[1] / scale, atol=1e-4),
        "real_output": not y.is_complex(),
    }


def properties_table(model: DigitClassifier) -> Table:
    """Claimed and measured, a row a layer."""
    table = Table(title="properties of each layer: claimed / measured")
    names = ("unitary", "energy_preserving", "real_output")
    for column in ("layer", *names):
        table.add_column(column)
    for block in model.blocks:
        claimed, measured = block.mixing.get_spectral_properties(), measured_properties(block.mixing)
        cells = [f"{'yes' if claimed[n] else 'no'} / {'yes' if measured[n] else 'no'}" for n in names]
        table.add_row(type(block.mixing).__name__, *cells)
    return table


def draw_curve(curve: dict[str, list[float]], path: Path) -> None:
    """Loss and test accuracy against the epoch."""
    epochs = range(1, len(curve["loss"]) + 1)
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(6.4, 5.2), layout="constrained")
    top.plot(epochs, curve["loss"], color="#0072B2")
    top.set(ylabel="training loss (nats)", yscale="log", title="Training on 1,437 handwritten digits")
    bottom.plot(epochs, [100 * share for share in curve["test accuracy"]], color="#D55E00")
    bottom.axhline(100 * TARGET, color="0.5", linestyle="--", linewidth=1, label=f"target, {100 * TARGET:.0f} %")
    bottom.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(50, 101))
    bottom.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_filters(model: DigitClassifier, path: Path) -> None:
    """|H| of every channel against frequency, for each layer that has a filter."""
    layers = [block.mixing for block in model.blocks if hasattr(block.mixing, "get_effective_response")]
    figure, axes = plt.subplots(1, len(layers), figsize=(9.6, 4.2), layout="constrained")
    for axis, layer in zip(axes, layers, strict=True):
        response = layer.get_effective_response().detach().abs()[: TOKENS // 2 + 1]  # [n // 2 + 1, hidden]
        channels = response.T[response.mean(dim=0).argsort()]
        image = axis.imshow(
            channels, aspect="auto", origin="lower", cmap="cividis", extent=(0, 0.5, 0, len(channels)), vmin=0
        )
        axis.set(xlabel="frequency (cycles per token)", ylabel="channel, by mean gain", title=type(layer).__name__)
        for rows in range(1, 4):  # eight tokens make a row of the picture
            axis.axvline(rows / 8, color="white", linestyle=":", linewidth=0.8)
        figure.colorbar(image, ax=axis, label="gain |H|")
    figure.suptitle("Learned filters (dotted: whole cycles per row of 8 pixels)")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    """Trains, measures, draws; 0 if the target was met."""
    parser = argparse.ArgumentParser(description="Spectral layers on scikit-learn's handwritten digits.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="folder for the pictures")
    options = parser.parse_args()
    console = Console()
    torch.manual_seed(options.seed)
    data = digits(options.seed)
    model = DigitClassifier()
    curve = train(model, data, options.epochs, console)
    reached = accuracy(model, data[2], data[3])
    console.print(f"test accuracy: [bold]{100 * reached:.2f} %[/bold] of {len(data[2])} digits never trained on")

    times = step_times(data)
    kernels = "native kernels" if spectrans.info()["libraries"]["ops_cpu"]["loaded"] else "no native kernels: torch.fft"
    console.print(
        f"time per training step, batch 64: {times['native']:.2f} ms ({kernels}), {times['torch']:.2f} ms (torch.fft)"
    )
    console.print(properties_table(model))

    options.output.mkdir(parents=True, exist_ok=True)
    draw_curve(curve, options.output / "training.png")
    draw_filters(model, options.output / "filters.png")
    console.print(f"pictures: {options.output / 'training.png'}, {options.output / 'filters.png'}")
    if reached < TARGET:
        console.print(f"[red]below the target of {100 * TARGET:.0f} %[/red]")
    return 0 if reached >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
