"""Scores from a vision transformer and a head on its embedding: what `aesthetic_v2_5` and `laion` have in common.

Bytes go to the device; everything else happens there: resampling, normalisation, the encoder in bfloat16 on a GPU that
computes in it, the embedding scaled to unit length and the head in float32. Nothing waits for the device before the
last batch of a call has been sent to it.

Shapes: B batch, H, W height and width, C channels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from juror_service.jurors.vision_weights import RANDOM, Release, digest, load_weights
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.scores.scorer import Images

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class EmbeddingScore(nn.Module):
    """uint8 RGB images `(B, H, W, 3)`, square, to scores float32 `(B,)`.

    Attributes:
        side: of the images that the encoder takes; others are resampled to it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, release: Release, encoder: nn.Module, head: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.encoder, self.head = encoder.to(dtype), head.float()
        self.dtype, self._embedding, self.side = dtype, release.embedding, _side(encoder)
        self.register_buffer("mean", 255 * torch.tensor(release.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(release.std).view(3, 1, 1), persistent=False)

    def forward(self, images_BHWC: torch.Tensor) -> torch.Tensor:
        """See the class."""
        pixels_BCHW = resample(images_BHWC.permute(0, 3, 1, 2).float(), self.side)
        pixels_BCHW = ((pixels_BCHW - self.mean) / self.std).to(self.dtype)
        embeddings = getattr(self.encoder(pixel_values=pixels_BCHW), self._embedding)
        # In bfloat16 the head's scores would lie on a grid of 1/32.
        return self.head(functional.normalize(embeddings.float(), dim=-1))[:, 0]


def _side(encoder: nn.Module) -> int:
    """Of the images that an encoder of `transformers` takes."""
    config: Any = encoder.config
    return int(config.image_size)


def resample(pixels_BCHW: torch.Tensor, side: int) -> torch.Tensor:
    """Bicubic with antialiasing; float32 with values 0–255.

    First the width, then the height, each clipped: so does Pillow, by which these models' images were resampled.
    """
    height, width = pixels_BCHW.shape[-2:]
    for size, before in (((height, side), width), ((side, side), height)):
        if before != side:
            pixels_BCHW = functional.interpolate(pixels_BCHW, size, mode="bicubic", antialias=True).clamp(0, 255)
    return pixels_BCHW


class VisionJuror:
    """A `Scorer` over a published encoder and head. Safe to call from several threads, which take turns.

    Attributes:
        size: side of the images that callers send.
        fingerprint: the juror's name and 16 hexadecimal digits of a hash of the weights, `size` and the data type: in
            bfloat16 scores differ from those in float32 by more than batches and files do.
        score_range: see `Release`.
        device: a PyTorch device.
        dtype: of the encoder.
    """

    def __init__(
        self,
        release: Release,
        weights: str | Path | None = None,
        device: str | None = None,
        dtype: str | None = None,
        compile: bool | str = False,
        batch: int = 64,
        size: int | None = None,
    ):
        """Load the weights.

        Args:
            weights: a folder, see `vision_weights`; the Hugging Face hub if left out; "random" to measure speed.
            device: a PyTorch device, such as cuda:1; the first GPU if there is one, else the CPU.
            dtype: float32, bfloat16 or float16; bfloat16 on a GPU that computes in it, else float32.
            compile: whether to compile the network (true, or a backend of `torch.compile`). Loading takes a minute
                longer and needs a C++ compiler.
            batch: images that go through the network at once, at most.
            size: side of the images that callers send; the encoder's own if left out. Anything else is resampled on
                the device: less than the encoder's side saves transport, more is averaged by the better filter.

        Raises:
            UserError: an option that cannot be, or weights that cannot be loaded.
        """
        for name, number in (("batch", batch), ("size", 1 if size is None else size)):
            if not isinstance(number, int) or number < 1:
                raise UserError(f"juror {release.juror!r} needs {name} to be a positive integer, got {number!r}")
        self.device = _device(release, device)
        self.dtype = _dtype(release, dtype, self.device)
        self._release, self._batch, self._compiled = release, batch, bool(compile)
        encoder, head = load_weights(release, weights)
        self.size = size or _side(encoder)
        facts = (release.mean, release.std, self.size, str(self.dtype))
        known = RANDOM if weights == RANDOM else digest(encoder, head, *facts)
        self.fingerprint, self.score_range = f"{release.juror}:{known}", release.score_range
        self._network = EmbeddingScore(release, encoder, head, self.dtype).to(self.device)
        self._run: Callable[[torch.Tensor], torch.Tensor] = self._network
        if compile:
            self._run = self._compile("inductor" if compile is True else compile)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"VisionJuror({self.fingerprint}, {self.device}, {str(self.dtype).removeprefix('torch.')})"

    @cached_property
    def flops_per_image(self) -> int:
        """Floating-point operations for one image, a multiplication and an addition being two; counted, not run."""
        encoder = self._network.encoder
        with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
            shape = type(encoder)(encoder.config).eval()
            layers = [layer for layer in self._network.head.children() if isinstance(layer, nn.Linear)]
            head = nn.Sequential(*(nn.Linear(layer.in_features, layer.out_features) for layer in layers))
            EmbeddingScore(self._release, shape, head, self.dtype)(
                torch.empty(1, self.size, self.size, 3, dtype=torch.uint8)
            )
        return counter.get_total_flops()

    def score(self, images: Images) -> np.ndarray:
        """Scores float32 `(B,)` of uint8 RGB images `(size, size, 3)`; an array `(B, size, size, 3)` will do too.

        Raises:
            ValueError: an image has another dtype or shape.
            ScoringError: the network failed (out of memory, for example), or gave something that is no score.
        """
        expected = (self.size, self.size, 3)
        for i, image in enumerate(images):
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != expected:
                given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
                raise ValueError(f"image {i}: juror {self._release.juror} needs uint8 {expected} RGB, got {given}")
        if not len(images):
            return np.empty(0, np.float32)
        starts = range(0, len(images), self._batch)
        try:
            with self._lock, torch.inference_mode():
                parts = [self._score_batch(np.stack(list(images[start : start + self._batch]))) for start in starts]
                scores = torch.cat(parts).cpu().numpy()
        except RuntimeError as error:
            raise ScoringError(f"juror {self._release.juror} failed on {len(images)} images: {error}") from error
        if not np.isfinite(scores).all():
            raise ScoringError(f"juror {self._release.juror} gave a score that is not a number")
        return scores

    def _score_batch(self, images_BHWC: np.ndarray) -> torch.Tensor:
        images = torch.from_numpy(images_BHWC)
        if self.device.type == "cuda":
            images = images.pin_memory()  # else the copy would wait for the batches before it
        images = images.to(self.device, non_blocking=True)
        if self._compiled and len(images) == 1:  # a batch of one would be compiled for itself
            return self._run(images.expand(2, -1, -1, -1).contiguous())[:1]
        return self._run(images)

    def _compile(self, backend: str) -> Callable[[torch.Tensor], torch.Tensor]:
        try:
            run = torch.compile(self._network, dynamic=True, backend=backend)
            with torch.inference_mode():
                run(torch.zeros(2, self.size, self.size, 3, dtype=torch.uint8, device=self.device))
        except RuntimeError as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"juror {self._release.juror!r} does not compile here: {reason}; load it without compile"
            ) from error
        return run


def _device(release: Release, name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(f"juror {release.juror!r} cannot run on device {name!r}: {reason}") from error
    return device


def _dtype(release: Release, name: str | None, device: torch.device) -> torch.dtype:
    if name is None:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if name not in _DTYPES:
        raise UserError(f"juror {release.juror!r} has no dtype {name!r}; it can be one of {', '.join(_DTYPES)}")
    return _DTYPES[name]
