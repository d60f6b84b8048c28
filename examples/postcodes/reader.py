"""The network that reads one digit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Reader(nn.Module):
    """Images (n, 1, 28, 28) in [0, 1] to logits (n, 10); all activations are plain calls."""

    def __init__(self) -> None:
        super().__init__()
        self.strokes = nn.Conv2d(1, 8, kernel_size=5, stride=2)
        self.shapes = nn.Conv2d(8, 16, kernel_size=5, stride=2)
        self.hidden = nn.Linear(16 * 4 * 4, 32)
        self.digits = nn.Linear(32, 10)
        self.initialise()

    def initialise(self) -> None:
        """Draw the weights, wide enough for ReLU; the biases start at zero."""
        for layer in (self.strokes, self.shapes, self.hidden, self.digits):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the ten digits."""
        strokes = F.relu(self.strokes(images))
        shapes = self.shapes(strokes).relu_()
        hidden = torch.tanh(self.hidden(shapes.flatten(1)))
        return self.digits(hidden)
