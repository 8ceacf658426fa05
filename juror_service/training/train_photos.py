"""Photos for training a juror: read them, split them by photo, cut crops, make pairs of better and worse from them."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from juror_service.training.degradations import DEGRADATIONS
from rl_aesthetics.edits.algebra import GENERATORS, NUM_STATES, compose, render_rgb
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.read import prepare_photo
from rl_aesthetics.photos.resize import fit_within, reduce_image
from rl_aesthetics.photos.sources import PhotoError, read_photo
from rl_aesthetics.photos.sources.folder import open_folder

TRAINING_SIDE = 256  # longer side: enough for crops of half a photo at 64 px, and a thousand photos fit in 150 MB
DATASET_SIDE = 384  # longer side that a dataset's photos have by default

ONE_EDIT = np.array(GENERATORS)
"""The states one edit away from an unedited photo, in the guide's order."""

EDIT_WEIGHTS = {"swap_gb": 6, "swap_rb": 6, "swap_rg": 6, "shift_left_all": 3, "shift_down_all": 3}
"""How often training draws an edit, against 1 for all others: a swap is judged by what colour things have, a shift of
the whole photo by its layout; the others leave traces that a few hundred steps suffice to find."""

DEGRADATION_WEIGHTS = {"noise": 2, "more_contrast": 2, "overexposure": 2, "colour_cast": 2}
"""The same for degradations."""

_EDIT_SHARES = np.array([EDIT_WEIGHTS.get(name, 1) for name in REVERSIBLE], float)
_EDIT_SHARES /= _EDIT_SHARES.sum()
_DEGRADATION_SHARES = np.array([DEGRADATION_WEIGHTS.get(name, 1) for name in DEGRADATIONS], float)
_DEGRADATION_SHARES /= _DEGRADATION_SHARES.sum()


@dataclass(frozen=True)
class Photo:
    """One photo, reduced.

    Attributes:
        name: path below the folder it was found in.
        image: uint8 RGB; the longer side at most 256 pixels, or 384, a dataset photo's, if it is held out.
        held_out: whether training must not see it.
    """

    name: str
    image: np.ndarray
    held_out: bool


def read_photos(folder: Path, held_out: float = 0.2, seed: int = 0) -> tuple[list[Photo], dict[str, str]]:
    """Read all photos below a folder.

    Which photos are held out follows from their bytes and the seed alone: neither file names nor further photos move
    one from one side to the other, and copies of one file stay together.

    Returns:
        The photos in order of their names, and what was skipped with its reason.

    Raises:
        UserError: no such folder, or too few photos to train and to measure.
    """
    source = open_folder(folder)
    photos, skipped = [], {file.file: file.reason for file in source.skipped}
    for found in source.photos:
        try:
            photo = read_photo(found.path)
            image = prepare_photo(photo, DATASET_SIDE, found.path)
        except PhotoError as error:
            skipped[found.name] = error.reason
            continue
        draw = hashlib.sha256(f"{seed}:".encode() + found.path.read_bytes()).digest()[:8]
        is_held_out = int.from_bytes(draw, "big") < held_out * 2**64
        if not is_held_out:
            image = fit_within(photo, TRAINING_SIDE)
        photos.append(Photo(found.name, np.ascontiguousarray(image[..., ::-1]), is_held_out))
    sides = {photo.held_out for photo in photos}
    if sides != {True, False}:
        raise UserError(
            f"{folder} has {len(photos)} usable photos, too few to train on some and measure on the others: "
            "add photos or change the share that is held out"
        )
    return photos, skipped


def provenance(folder: Path) -> str:
    """A sentence on where a folder's photos come from: by package, if its `photos.csv` has a column of that name."""
    try:
        with open(folder / "photos.csv", newline="") as file:
            packages = Counter(row["package"] for row in csv.DictReader(file))
    except (FileNotFoundError, KeyError):
        return f"The photos are those of one folder, `{folder.resolve().name}`."
    listed = ", ".join(f"{package} ({count})" for package, count in sorted(packages.items()))
    return f"The photos are taken from freely distributable packages, under the licence of each: {listed}."


def random_crop(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A crop of 55 to 100 % of each side, mirrored half of the time, reduced to `(size, size, 3)`.

    The sides are drawn apart, because jurors see photos of all aspect ratios squeezed into a square.
    """
    height, width = image.shape[:2]
    h = max(min(size, height), round(height * rng.uniform(0.55, 1)))
    w = max(min(size, width), round(width * rng.uniform(0.55, 1)))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    crop = reduce_image(image[y : y + h, x : x + w], size)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


@dataclass(frozen=True)
class RankingBatch:
    """Images with the pairs that a juror should put in order.

    Attributes:
        images_BCHW: uint8 RGB.
        better, worse: int `(P,)`, indices of images: `better[p]` must score above `worse[p]`.
        weights: float32 `(P,)`, how much each pair counts; they sum to 1.
    """

    images_BCHW: np.ndarray
    better: np.ndarray
    worse: np.ndarray
    weights: np.ndarray


def ranking_batch(photos: list[np.ndarray], originals: int, size: int, rng: np.random.Generator) -> RankingBatch:
    """Crops of random photos, each with four images that go below it.

    - A single edit.
    - Another single edit (50 %), a further edit on top of the first (35 %, and then below the first too), or any of the
      3,072 edit states (15 %).
    - One kind of degradation at two strengths, the stronger below the weaker.
    """
    crops = np.stack([random_crop(photos[i], size, rng) for i in rng.integers(0, len(photos), originals)])
    crops_BCHW = crops.transpose(0, 3, 1, 2)
    first = rng.choice(14, originals, p=_EDIT_SHARES)
    other = _draw_another(first, rng)
    kind = rng.choice(3, originals, p=(0.5, 0.35, 0.15))
    states = [ONE_EDIT[other], compose(ONE_EDIT[first], ONE_EDIT[other]), rng.integers(1, NUM_STATES, originals)]
    images = [crops_BCHW, render_rgb(crops_BCHW, ONE_EDIT[first]), render_rgb(crops_BCHW, np.choose(kind, states))]

    names, weak, strong = list(DEGRADATIONS), [], []
    for crop in crops:
        degrade = DEGRADATIONS[names[rng.choice(len(names), p=_DEGRADATION_SHARES)]]
        strength = rng.uniform(0.5, 3.5)
        seed = rng.integers(2**32)  # the same noise and the same hue at both strengths
        weak.append(degrade(crop, strength, np.random.default_rng(seed)))
        strong.append(degrade(crop, strength + rng.uniform(0.75, 2), np.random.default_rng(seed)))
    images += [np.stack(degraded).transpose(0, 3, 1, 2) for degraded in (weak, strong)]

    crop_at, first_at, second_at, weak_at, strong_at = np.arange(5 * originals).reshape(5, originals)
    deeper = kind == 1
    groups = [  # better, worse, weight
        (crop_at, first_at, 1.0),
        (crop_at, second_at, 1.0),
        (first_at[deeper], second_at[deeper], 0.25),
        (crop_at, strong_at, 0.5),
        (crop_at, weak_at, 0.35),
        (weak_at, strong_at, 0.35),
    ]
    better, worse = (np.concatenate([group[i] for group in groups]) for i in (0, 1))
    weights = np.concatenate([np.full(len(group[0]), group[2], np.float32) for group in groups])
    return RankingBatch(np.concatenate(images), better, worse, weights / weights.sum())


def _draw_another(first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An edit for each of `first`, drawn by the same weights among those that differ from it."""
    shares = np.tile(_EDIT_SHARES, (len(first), 1))
    shares[np.arange(len(first)), first] = 0
    cumulated = np.cumsum(shares, axis=1)
    drawn = rng.random(len(first)) * cumulated[:, -1]
    return (cumulated <= drawn[:, None]).sum(axis=1)
