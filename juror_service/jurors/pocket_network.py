"""The pocket juror's network: five 3×3 convolutions, small enough to embed and to score thousands of images a second.

Training and export use it, and the afterstate Q-network, which has the same trunk, can start from its weights
(`load_pocket_network`); scoring runs the exported ONNX file and never imports this module.

Shapes: B batch, C channels, H, W height and width, F features.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.trunks import convolution_trunk

WEIGHTS = Path(__file__).parents[1] / "weights" / "pocket.safetensors"
"""The packaged weights, the same numbers as in `pocket.onnx`."""


class PocketNetwork(nn.Module):
    """Images to a logit: the higher, the more the image looks like a photo that nobody manipulated.

    Attributes:
        trunk: uint8 or float RGB `(B, 3, 64, 64)`, values 0–255, to features float32 `(B, 128)`. It normalises inside.
        head: features `(B, 128)` to logits `(B, 1)`.
        location, temperature: scalar buffers that place logits on the score scale, see `score`.
    """

    size = 64
    """Side of the square images it looks at, pixels."""
    features = 128
    """Width of the trunk's output."""
    location: torch.Tensor
    temperature: torch.Tensor

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128, 128), dropout: float = 0.3):
        """Make a network with random weights.

        Args:
            widths: channels after each convolution; all but the last halve the resolution.
            dropout: share of features dropped before the head while training.
        """
        super().__init__()
        self.trunk = convolution_trunk(widths)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], 1))
        self.register_buffer("location", torch.zeros(()))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits float32 `(B,)` of uint8 or float RGB images `(B, 3, 64, 64)` with values 0–255."""
        return self.head(self.trunk(images_BCHW))[:, 0]

    def score(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Scores float32 `(B,)` in (0, 1): `sigmoid((logit − location) / temperature)`, increasing in the logit."""
        return torch.sigmoid((self(images_BCHW) - self.location) / self.temperature)


def load_pocket_network(path: str | Path = WEIGHTS) -> PocketNetwork:
    """The trained network, in evaluation mode, from a `.safetensors` file that `juror train` wrote.

    Raises:
        UserError: the file is missing or holds some other network.
    """
    network = PocketNetwork()
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"no juror weights at {path}: make them with `rl-aesthetics juror train`") from None
    except RuntimeError as error:
        raise UserError(f"{path} does not hold a pocket juror: {str(error).splitlines()[0]}") from error
    return network.eval()
