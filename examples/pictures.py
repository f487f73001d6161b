"""Draws the pictures of `spectrans.plot` in docs/pictures: filters that learned to denoise, a model that was watched.

- A `GlobalFilterMixing` learns to take noise from random signals and to delay them by three samples. The best filter
  for that is known, Wiener's: |H| = S / (S + N), S and N being the power spectra of signal and noise, and a delay of 3.
- A `GridFilterMixing` learns to take noise from patches of a photograph.
- `spectrans.monitor` watches the classifier of digits.py train.

Run it with ``python examples/pictures.py``; it needs the packages of ``pip install '.[demo]'``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from digits import DigitClassifier, digits, shifted, training_step
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

import spectrans
from spectrans.layers.mixing import FilterMixingLayer, GlobalFilterMixing, GridFilterMixing
from spectrans.plot import plot_energy, plot_frequency_response, plot_spectrum

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
TOKENS, CHANNELS, DELAY = 128, 32, 3
SIDE = 24  # of a patch, pixels
Batch = Callable[[int], tuple[Tensor, Tensor]]  # how many -> what goes in, what should come out


def powers() -> tuple[Tensor, Tensor]:
    """Power spectra of signal and noise, [TOKENS//2+1, CHANNELS]: a lowpass and white, a corner for each channel."""
    f = torch.arange(TOKENS // 2 + 1)[:, None] / TOKENS
    corner = torch.logspace(-1.5, -0.8, CHANNELS)
    signal = (1 + (f / corner) ** 2) ** -1.5
    return signal / signal.mean(0), torch.full_like(signal, 0.1)


def signals(count: int) -> tuple[Tensor, Tensor]:
    """Noisy signals, and the same without noise, DELAY samples later: [count, TOKENS, CHANNELS]."""
    signal, noise = (
        torch.fft.irfft(torch.fft.rfft(torch.randn(count, TOKENS, CHANNELS), dim=1) * power.sqrt(), n=TOKENS, dim=1)
        for power in powers()
    )
    return signal + noise, signal.roll(DELAY, dims=1)


def patches() -> Batch:
    """Patches of a photograph, [count, SIDE * SIDE, 3], with noise and without; the channels are colours."""
    image = torch.from_numpy(load_sample_image("china.jpg") / 255.0).float()
    image = (image - image.mean((0, 1))) / image.std((0, 1))
    windows = image.unfold(0, SIDE, 1).unfold(1, SIDE, 1)  # [rows, columns, 3, SIDE, SIDE]
    fade = torch.hann_window(SIDE, periodic=False)  # what does not fit end to end would fill the axes f = 0
    fade = torch.outer(fade, fade).flatten()[:, None]

    def batch(count: int) -> tuple[Tensor, Tensor]:
        row, column = (torch.randint(size, (count,)) for size in windows.shape[:2])
        clean = windows[row, column].flatten(2).transpose(1, 2)
        clean = (clean - clean.mean(1, keepdim=True)) * fade
        return clean + 0.2 * torch.randn_like(clean), clean

    return batch


def train(layer: FilterMixingLayer, batch: Batch, steps: int, count: int) -> None:
    """Least squares by Adam, its rate falling to zero."""
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        noisy, clean = batch(count)
        loss = nn.functional.mse_loss(layer(noisy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"{type(layer).__name__}: mean square error {loss.item():.4f}")


def draw_response(layer: GlobalFilterMixing, grid: GridFilterMixing) -> plt.Figure:
    """Gain and delay beside the best ones, every channel, and the plane of a grid."""
    figure, ((gain, delay), (channels, plane)) = plt.subplots(2, 2, figsize=(9.6, 7.2), layout="constrained")
    plot_frequency_response(layer, ax=gain)
    signal, noise = powers()
    f = torch.arange(TOKENS // 2 + 1) / TOKENS
    wiener = (signal / (signal + noise)).median(dim=1).values
    gain.plot(f, wiener, color="black", linestyle=":", label="best: S / (S + N), median")
    gain.legend(frameon=False)
    gain.set(title="gain", ylim=(0, None))
    plot_frequency_response(layer, kind="group_delay", ax=delay)
    delay.axhline(DELAY, color="black", linestyle=":", label=f"best: {DELAY} samples")
    delay.legend(frameon=False)
    delay.set(title="delay", ylim=(0, 2 * DELAY))
    plot_frequency_response(layer, channels="map", label="gain of each channel", ax=channels)
    plot_frequency_response(grid, label=f"gain on patches of {SIDE} x {SIDE} pixels", ax=plane)
    return figure


@torch.no_grad()
def draw_spectrum(layer: GlobalFilterMixing) -> plt.Figure:
    """What goes into the filter, what should come out, what does."""
    noisy, clean = signals(1024)
    figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for x, label in ((noisy, "with noise"), (clean, "without"), (layer(noisy), "filtered")):
        plot_spectrum(x, label=label, ax=ax)
    return figure


def draw_energy(epochs: int, seed: int) -> plt.Figure:
    """Three layers of a classifier while it trains, and once more afterwards, beside their bounds."""
    pixels, labels, *_ = digits(seed)
    model = DigitClassifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    with spectrans.monitor(model, budget=None, quiet=True) as training:
        for _ in range(epochs):
            for index in torch.randperm(len(pixels)).split(64):
                training_step(model, optimizer, shifted(pixels[index]), labels[index])
    with spectrans.monitor(model.eval(), strict=True) as trained, torch.no_grad():
        model(pixels)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), width_ratios=(3, 2), layout="constrained")
    plot_energy(training.records, ax=left).set_title("in training, after dropout")
    plot_energy(trained.records, ax=right).set_title("trained")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="The pictures of spectrans.plot.")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    layer = GlobalFilterMixing(CHANNELS, TOKENS, activation="identity")
    train(layer, signals, steps=600, count=64)
    grid = GridFilterMixing(3, (SIDE, SIDE))
    train(grid, patches(), steps=600, count=64)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("response", draw_response(layer, grid)),
        ("spectrum", draw_spectrum(layer)),
        ("energy", draw_energy(12, options.seed)),
    ):
        figure.savefig(options.output / f"{name}.png", dpi=150, metadata={"Software": None})
        plt.close(figure)
        print(options.output / f"{name}.png")


if __name__ == "__main__":
    main()
