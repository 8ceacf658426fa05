"""Train a pocket juror on a folder of photos, by ranking: a photo above what was done to it.

    rl-aesthetics juror train --photos DIR --output runs/juror
    rl-aesthetics juror score --weights runs/juror/pocket.onnx photo.jpg

No human rated anything: the supervision is that an edit makes a photo worse (RankIQA, arXiv:1707.08347; the loss of a
pair is RankNet's). `train_photos` makes the pairs, `train_evaluation` measures on photos that training never saw.

Left out on purpose: pretrained features (slower to run and no better at this, see the model card) and resuming (a run
takes minutes).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from juror_service.jurors.pocket import PocketJuror
from juror_service.jurors.pocket_network import PocketNetwork
from juror_service.training.train_card import machine, model_card
from juror_service.training.train_evaluation import measure_drift, measure_juror
from juror_service.training.train_photos import ONE_EDIT, RankingBatch, provenance, ranking_batch, read_photos
from rl_aesthetics.edits.algebra import render_rgb
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import reduce_image

MEDIAN_ORIGINAL, MEDIAN_ONE_EDIT = 0.85, 0.25
"""Where the score scale puts the median held-out photo and the median of its one-edit degradations."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run gives, apart from the photos.

    Attributes:
        steps: optimiser steps.
        originals: crops of photos a step; each comes with four images of what was done to it.
        learning_rate: peak of the one-cycle schedule (arXiv:1708.07120).
        weight_decay: of AdamW.
        averaging: decay a step of the exponential moving average of the weights, which is what gets exported.
        held_out: share of photos to measure on, never trained on.
        seed: of everything random, the choice of held-out photos included.
    """

    steps: int = 5500
    originals: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    averaging: float = 0.998
    held_out: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class FitStep:
    """How far a run is: `step` of `steps`, and the mean ranking loss since the last report (0.69 is chance)."""

    step: int
    steps: int
    loss: float


def ranking_loss(logits_B: torch.Tensor, batch: RankingBatch) -> torch.Tensor:
    """Weighted mean of RankNet's −log P(better above worse) = softplus(worse − better) over the pairs of a batch."""
    margins = logits_B[torch.from_numpy(batch.worse)] - logits_B[torch.from_numpy(batch.better)]
    return (nn.functional.softplus(margins) * torch.from_numpy(batch.weights)).sum()


def fit(
    photos: list[np.ndarray],
    recipe: Recipe,
    report: Callable[[FitStep], None] = lambda progress: None,
    every: int = 50,
) -> PocketNetwork:
    """Train a network on photos, uint8 RGB; returns its averaged weights, in evaluation mode.

    Args:
        report: called after every `every` steps and after the last.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = PocketNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.steps)
    losses: list[float] = []
    for step in range(1, recipe.steps + 1):
        batch = ranking_batch(photos, recipe.originals, network.size, rng)
        images = torch.from_numpy(batch.images_BCHW).contiguous(memory_format=torch.channels_last)
        loss = ranking_loss(network(images), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        averaged.update_parameters(network)
        losses.append(loss.item())
        if step % every == 0 or step == recipe.steps:
            report(FitStep(step, recipe.steps, float(np.mean(losses))))
            losses.clear()
    return cast(PocketNetwork, averaged.module).eval()


def calibrate(network: PocketNetwork, photos: list[np.ndarray]) -> None:
    """Set `location` and `temperature` so that the medians over `photos` come to lie where the score scale wants them.

    Raises:
        UserError: the network does not rank photos above their edits, so no scale can be laid through the two medians.
    """
    images_BCHW = np.stack([reduce_image(photo, network.size) for photo in photos]).transpose(0, 3, 1, 2)
    original = np.median(_logits(network, images_BCHW))
    edited = np.median([_logits(network, render_rgb(images_BCHW, np.full(len(photos), s))) for s in ONE_EDIT])
    if original <= edited:
        raise UserError(
            "the juror learned nothing: held-out photos rank below their edits; train longer or on more photos"
        )
    targets = [np.log(p / (1 - p)) for p in (MEDIAN_ORIGINAL, MEDIAN_ONE_EDIT)]
    temperature = (original - edited) / (targets[0] - targets[1])
    network.temperature.fill_(float(temperature))
    network.location.fill_(float(original - temperature * targets[0]))


@torch.no_grad()
def _difference_to_torch(juror: PocketJuror, network: PocketNetwork, photos: list[np.ndarray]) -> float:
    images_BHWC = np.stack([reduce_image(photo, network.size) for photo in photos])
    scores = network.score(torch.from_numpy(images_BHWC).permute(0, 3, 1, 2)).numpy()
    return float(np.abs(scores - juror.score(images_BHWC)).max())


@torch.no_grad()
def _logits(network: PocketNetwork, images_BCHW: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(np.ascontiguousarray(images_BCHW))).numpy()


class _Exported(nn.Module):
    """What the ONNX file computes: `images` uint8 `(batch, 64, 64, 3)` RGB to `score` float32 `(batch,)`."""

    def __init__(self, network: PocketNetwork):
        super().__init__()
        self.network = network

    def forward(self, images_BHWC: torch.Tensor) -> torch.Tensor:
        return self.network.score(images_BHWC.permute(0, 3, 1, 2))


def export_onnx(network: PocketNetwork, path: Path) -> None:
    """Write a network as ONNX, batch norm folded into the convolutions."""
    example = torch.zeros(2, network.size, network.size, 3, dtype=torch.uint8)
    axes = {"images": {0: "batch"}, "score": {0: "batch"}}
    with warnings.catch_warnings():
        # The successor needs onnxscript and writes the same graph for a plain stack of convolutions.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Exported(network).eval(),
            (example,),
            str(path),
            input_names=["images"],
            output_names=["score"],
            dynamic_axes=axes,
            dynamo=False,
        )


def train_juror(
    photos_folder: Path, output: Path, recipe: Recipe, report: Callable[[FitStep], None] = lambda progress: None
) -> dict[str, Any]:
    """Train, measure on held-out photos and write `pocket.onnx`, `.safetensors`, `.json` and `.md` (the model card).

    The files appear by rename at the end: an interrupted run leaves what was there before.

    Returns:
        What `pocket.json` holds: the recipe, the photos on each side, the measurements.

    Raises:
        UserError: no usable photos, an output folder that cannot be written, or a run too short to learn anything.
    """
    if recipe.steps < 1 or recipe.originals < 2:
        raise UserError(
            f"training needs at least 1 step and 2 originals a step, got {recipe.steps} and {recipe.originals}"
        )
    try:
        import onnx  # noqa: F401 - the exporter needs it, and a missing package must not cost a whole run
    except ImportError:
        raise UserError("training a juror needs the onnx package: pip install 'rl-aesthetics[train-juror]'") from None
    try:
        output.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".training-", dir=output)
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror}") from error
    with scratch as folder:
        photos, skipped = read_photos(photos_folder, recipe.held_out, recipe.seed)
        seen = [photo.image for photo in photos if not photo.held_out]
        unseen = [photo.image for photo in photos if photo.held_out]
        started = time.perf_counter()
        network = fit(seen, recipe, report)
        seconds = time.perf_counter() - started
        calibrate(network, unseen)
        files = {suffix: Path(folder) / f"pocket{suffix}" for suffix in (".onnx", ".safetensors", ".json", ".md")}
        export_onnx(network, files[".onnx"])
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        files[".safetensors"].write_bytes(save(tensors))  # save_file makes it unreadable for other users
        juror = PocketJuror(files[".onnx"])
        record = {
            "recipe": asdict(recipe),
            "fingerprint": juror.fingerprint,
            "parameters": sum(p.numel() for p in network.parameters()),
            "photos": {"training": len(seen), "held_out": len(unseen), "skipped": skipped},
            "training_seconds": round(seconds),
            "training_threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": machine(),
            "held_out": measure_juror(juror.score, unseen),
            "drift": measure_drift(juror, unseen) | {"torch": _difference_to_torch(juror, network, unseen)},
            "images_per_second": images_per_second(juror),
            "juror_threads": juror.threads,
            "held_out_photos": [photo.name for photo in photos if photo.held_out],
        }
        files[".json"].write_text(json.dumps(record, indent=1) + "\n")
        files[".md"].write_text(model_card(record, provenance(photos_folder)))
        for file in files.values():
            os.replace(file, output / file.name)
    return record


def images_per_second(juror: PocketJuror, batch: int = 64, seconds: float = 2.0) -> float:
    """How many images a juror scores a second on this machine as it is now, one batch after another."""
    images = np.random.default_rng(0).integers(0, 256, (batch, juror.size, juror.size, 3), np.uint8)
    juror.score(images)
    started, scored = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        juror.score(images)
        scored += batch
    return scored / elapsed
