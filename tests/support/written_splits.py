"""Splits of small datasets on disk, as `generate` writes them."""

import cv2
import numpy as np
from PIL import Image

from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.datasets.tonal_degradation import degrade_tone, sequence_of
from rl_aesthetics.edits.transforms import REVERSIBLE


def write_split(folder, count, seed):
    """Smooth colourful noise, each photo with one edit."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    records = []
    for number in range(1, count + 1):
        sequence = (REVERSIBLE[random.integers(14)],)
        photo = cv2.resize(random.integers(0, 256, (6, 6, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"images/{number}.png"), degrade(photo, sequence))
        records.append(
            Record(number, f"images/{number}.png", None, sequence[0], sequence, 0.2, 0.8, f"{number}.png", 96, 96)
        )
    write_annotations(folder, records, sorted(set(REVERSIBLE)), {"juror": "not asked"})


def write_darkened_split(folder, count, seed):
    """Smooth colourful noise, each photo darkened."""
    random, records = np.random.default_rng(seed), []
    for kind in ("images", "originals"):
        (folder / kind).mkdir(parents=True)
    names, sizes = sequence_of({"exposure": -1.0})
    for number in range(1, count + 1):
        coarse = Image.fromarray(random.integers(30, 226, (6, 6, 3), np.uint8))
        photo = np.asarray(coarse.resize((96, 96), Image.Resampling.BICUBIC))
        degraded = degrade_tone(np.ascontiguousarray(photo[..., ::-1]), {"exposure": -1.0})[..., ::-1]
        places = [f"{kind}/{number:06d}.png" for kind in ("images", "originals")]
        for place, image in zip(places, (degraded, photo), strict=True):
            Image.fromarray(np.ascontiguousarray(image)).save(folder / place)
        records.append(
            Record(number, *places, "+".join(names), names, 0.2, 0.8, f"{number}.png", 96, 96, strengths=sizes)
        )
    write_annotations(folder, records, ["exposure_down"], {"juror": "not asked"})
