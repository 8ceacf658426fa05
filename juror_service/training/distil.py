"""Train a pocket-sized student on a slow teacher's scores of photos and of what was done to them.

    rl-aesthetics juror distil --teacher aesthetic_v2_5 --photos DIR --output runs/student
    rl-aesthetics juror score --weights runs/student/pocket.onnx photo.jpg

This is how a laptop trains against the taste of a large model: the teacher is asked once for each image, which may
take hours and may be cut off at any time (`teacher_scores`), and the student then answers thousands of times a second.

The student's logit z is fitted to the teacher's rank, not to its scale: the target q of an image is the share of all
training images that the teacher scores lower, with the loss −q log σ(z) − (1 − q) log σ(−z). Images of one crop are
also compared in pairs, by the same loss on differences, whose target is σ(logit q_i − logit q_j): both have their least
at σ(z) = q (RankNet with soft targets; distillation after arXiv:1503.02531). So a score of the student reads: better
than that share of photos and altered photos, in the teacher's eyes.

Left out on purpose: resuming the student's training (a run takes minutes; the teacher's scores are what is slow).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from juror_service.jurors.pocket import PocketJuror
from juror_service.jurors.pocket_network import PocketNetwork
from juror_service.training.distil_card import model_card
from juror_service.training.distil_evaluation import measure_agreement, quantiles
from juror_service.training.distil_images import ALTERATIONS, ShownPhoto, map_ahead, show_photo
from juror_service.training.teacher_scores import TeacherScores
from juror_service.training.train import export_onnx, images_per_second
from juror_service.training.train_card import machine
from juror_service.training.train_evaluation import measure_drift
from juror_service.training.train_photos import provenance
from rl_aesthetics.errors import Progress, UserError
from rl_aesthetics.photos.sources.folder import open_folder
from rl_aesthetics.scores.scorer import Scorer

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class DistilRecipe:
    """Everything that decides what a run gives, apart from the teacher and the photos.

    Attributes:
        steps: optimiser steps.
        crops: of each training photo that the teacher sees: the whole photo, and further random ones.
        alterations: images made from each crop (edits, deeper edit states, degradations), all scored by the teacher.
        crops_a_step: crops that a step looks at, each with its alterations.
        learning_rate: peak of the one-cycle schedule (arXiv:1708.07120).
        weight_decay: of AdamW.
        averaging: decay a step of the exponential moving average of the weights, which is what gets exported.
        held_out: share of photos to measure on, never trained on.
        seed: of everything random, the choice of held-out photos included.
    """

    steps: int = 2500
    crops: int = 2
    alterations: int = 15
    crops_a_step: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    averaging: float = 0.998
    held_out: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class ScoredCrops:
    """What the student learns from or is measured on.

    Attributes:
        photos: names of the photos that the crops are of, each once.
        images: for each crop uint8 `(I, 64, 64, 3)` RGB; the first image is the crop, the others were made from it.
        scores_VI: the teacher's, float32.
    """

    photos: list[str]
    images: list[np.ndarray]
    scores_VI: np.ndarray


def distil_juror(
    teacher: Scorer,
    photos_folder: Path,
    output: Path,
    recipe: DistilRecipe,
    report: Progress = lambda what, done, total: None,
    name: str = "",
    licence: str = "",
) -> dict[str, Any]:
    """Score with the teacher, train a student, measure it on held-out photos and write what `train_juror` writes.

    `pocket.onnx`, `.safetensors`, `.json` and `.md` (the model card) appear by rename at the end; the teacher's scores
    are in a file of their own from the moment they are had.

    Args:
        report: called with what is being done, how much of it is, and how much there is.
        name, licence: of the teacher, for the model card.

    Returns:
        What `pocket.json` holds: the recipe, the teacher, the photos on each side, the measurements.

    Raises:
        UserError: no usable photos, an output folder that cannot be written, settings that cannot work, or a teacher
            that gives all images the same score.
        ScoringError: the teacher failed; what it answered before is kept.
    """
    _check(recipe)
    try:
        output.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".distilling-", dir=output)
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror}") from error
    with scratch as folder:
        scores, started = TeacherScores(teacher, output), time.perf_counter()
        seen, unseen, skipped = ask_teacher(scores, photos_folder, recipe, report)
        asking_seconds, started = time.perf_counter() - started, time.perf_counter()
        network = fit(seen, recipe, report)
        seconds = time.perf_counter() - started
        files = {suffix: Path(folder) / f"pocket{suffix}" for suffix in (".onnx", ".safetensors", ".json", ".md")}
        export_onnx(network, files[".onnx"])
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        files[".safetensors"].write_bytes(save(tensors))  # save_file makes it unreadable for other users
        juror = PocketJuror(files[".onnx"])
        student_VI = np.stack([juror.score(images) for images in unseen.images])
        images_BHWC = np.concatenate(unseen.images)
        record = {
            "teacher": {"name": name, "fingerprint": teacher.fingerprint, "size": teacher.size, "licence": licence},
            "recipe": asdict(recipe),
            "fingerprint": juror.fingerprint,
            "parameters": sum(p.numel() for p in network.parameters()),
            "photos": {"training": len(seen.photos), "held_out": len(unseen.photos), "skipped": skipped},
            "teacher_scores": {
                "images": seen.scores_VI.size + unseen.scores_VI.size,
                "asked": scores.asked,
                "seconds": round(asking_seconds),
                "at": list(QUANTILES),
                "quantiles": np.quantile(seen.scores_VI, QUANTILES).tolist(),
            },
            "training_seconds": round(seconds),
            "training_threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "machine": machine(),
            "held_out": measure_agreement(unseen.scores_VI, student_VI),
            "drift": measure_drift(juror, images_BHWC) | {"torch": _difference_to_torch(network, juror, images_BHWC)},
            "images_per_second": images_per_second(juror, seconds=1.0),
            "juror_threads": juror.threads,
            "held_out_photos": unseen.photos,
        }
        files[".json"].write_text(json.dumps(record, indent=1) + "\n")
        files[".md"].write_text(model_card(record, provenance(photos_folder)))
        for file in files.values():
            os.replace(file, output / file.name)
    return record


def ask_teacher(
    scores: TeacherScores, photos_folder: Path, recipe: DistilRecipe, report: Progress
) -> tuple[ScoredCrops, ScoredCrops, dict[str, str]]:
    """The teacher's scores of crops to train on and of held-out photos, and what was skipped with its reason.

    Raises:
        UserError: no such folder, or too few photos to train and to measure.
    """
    source = open_folder(photos_folder)
    skipped = {file.file: file.reason for file in source.skipped}
    show = partial(
        show_photo,
        teacher_side=scores.size,
        crops=recipe.crops,
        alterations=recipe.alterations,
        held_out=recipe.held_out,
        seed=recipe.seed,
    )
    names: dict[bool, list[str]] = {False: [], True: []}
    images: dict[bool, list[np.ndarray]] = {False: [], True: []}
    crops: dict[bool, list[np.ndarray]] = {False: [], True: []}
    what = f"photos scored by {scores.fingerprint}"
    for done, (found, shown) in enumerate(zip(source.photos, map_ahead(show, source.photos), strict=True), 1):
        if not isinstance(shown, ShownPhoto):
            skipped[found.name] = shown.reason
        else:
            names[shown.held_out].append(shown.name)
            images[shown.held_out] += list(shown.student_VIHWC)
            crops[shown.held_out] += [scores.score(list(images_IHWC)) for images_IHWC in shown.teacher_VIHWC]
        report(what, done, len(source.photos))
    if not names[False] or len(names[True]) < 2:
        raise UserError(
            f"{photos_folder} has {len(names[False]) + len(names[True])} usable photos, too few to train on some and "
            "measure on the others: add photos or change the share that is held out"
        )
    seen, unseen = (ScoredCrops(names[side], images[side], np.stack(crops[side])) for side in (False, True))
    return seen, unseen, skipped


def fit(crops: ScoredCrops, recipe: DistilRecipe, report: Progress, every: int = 50) -> PocketNetwork:
    """Train a student; returns its averaged weights, in evaluation mode.

    Raises:
        UserError: the teacher gives all images the same score, so there is nothing to learn.
    """
    if np.ptp(crops.scores_VI) == 0:
        raise UserError("the teacher gives every image the same score: there is nothing to learn from it")
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    targets_VI = torch.from_numpy(quantiles(crops.scores_VI.ravel()).astype(np.float32)).view(crops.scores_VI.shape)
    network = PocketNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.steps)
    for step in range(1, recipe.steps + 1):
        chosen = rng.integers(0, len(crops.images), recipe.crops_a_step)
        # A mirrored image keeps its score: half of the time, for all images of a crop alike.
        mirrored = [
            images[:, :, ::-1] if rng.random() < 0.5 else images for images in (crops.images[i] for i in chosen)
        ]
        images_BHWC = torch.from_numpy(np.concatenate(mirrored))
        logits_VI = network(images_BHWC.permute(0, 3, 1, 2)).view(len(chosen), -1)
        loss = rank_loss(logits_VI, targets_VI[torch.from_numpy(chosen)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        averaged.update_parameters(network)
        if step % every == 0 or step == recipe.steps:
            report("training steps", step, recipe.steps)
    return cast(PocketNetwork, averaged.module).eval()


def rank_loss(logits_VI: torch.Tensor, targets_VI: torch.Tensor) -> torch.Tensor:
    """The module's loss: of each image, and of each pair of images of one crop; equal parts.

    Args:
        logits_VI: float32, any.
        targets_VI: float32 in (0, 1).
    """
    images = logits_VI.shape[1]
    i, j = torch.triu_indices(images, images, 1)
    wanted_VI = torch.logit(targets_VI)
    pairs = torch.sigmoid(wanted_VI[:, i] - wanted_VI[:, j])
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    return cross_entropy(logits_VI, targets_VI) + cross_entropy(logits_VI[:, i] - logits_VI[:, j], pairs)


def _check(recipe: DistilRecipe) -> None:
    if recipe.steps < 1 or recipe.crops < 1 or not 1 <= recipe.alterations <= ALTERATIONS:
        raise UserError(
            f"distilling needs at least 1 step, 1 crop and 1 to {ALTERATIONS} alterations, got {recipe.steps}, "
            f"{recipe.crops} and {recipe.alterations}"
        )
    try:
        import onnx  # noqa: F401 - the exporter needs it, and a missing package must not cost a whole run
    except ImportError:
        raise UserError("distilling needs the onnx package: pip install 'rl-aesthetics[train-juror]'") from None


@torch.no_grad()
def _difference_to_torch(network: PocketNetwork, juror: PocketJuror, images_BHWC: np.ndarray) -> float:
    scores = network.score(torch.from_numpy(images_BHWC).permute(0, 3, 1, 2)).numpy()
    return float(np.abs(scores - juror.score(images_BHWC)).max())
