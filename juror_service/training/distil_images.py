"""What a teacher and its student are shown of a photo: crops of it, and what was done to each.

The teacher sees them at its own size, the student the same images reduced to 64×64.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from juror_service.training.degradations import DEGRADATIONS
from juror_service.training.train_photos import ONE_EDIT
from rl_aesthetics.edits.algebra import DEPTH, render_rgb
from rl_aesthetics.photos.read import prepare_photo
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.photos.sources import PhotoError, read_photo
from rl_aesthetics.photos.sources.source import Photo

STUDENT_SIDE = 64

DEEPER = 9
"""Edit states of two edits and more, drawn for each crop."""

ALTERATIONS = len(ONE_EDIT) + DEEPER + len(DEGRADATIONS)
"""How many images can be made from a crop: the 14 edits, deeper edit states, each degradation at a random strength."""

_PHOTO_SIDE = 768  # longer side that crops are cut from: half of it is still sharp at 384 pixels
_DEEP_STATES = np.flatnonzero(DEPTH >= 2)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ShownPhoto:
    """Images of one photo. Axes: V crops, I images of each; the first image of a crop is the crop itself.

    Attributes:
        name: of the photo in its folder.
        held_out: whether training must not see it. Then there is one crop, the whole photo, with all `ALTERATIONS` in
            order: one edit, deeper states, degradations.
        teacher_VIHWC: uint8 RGB at the teacher's size.
        student_VIHWC: uint8 RGB, 64×64.
    """

    name: str
    held_out: bool
    teacher_VIHWC: np.ndarray
    student_VIHWC: np.ndarray


def show_photo(
    photo: Photo, teacher_side: int, crops: int, alterations: int, held_out: float, seed: int
) -> ShownPhoto | PhotoError:
    """Read a photo and make the images of it, or the reason why it cannot be used.

    Everything follows from the file's bytes and the arguments: another run makes the same images, whatever other photos
    there are, and holds out the photos that `juror train` holds out.

    Args:
        crops: of a photo to train on: the whole photo first, then random ones.
        alterations: images made from each crop, at most `ALTERATIONS`.
        held_out: share of photos.
    """
    try:
        content = photo.path.read_bytes()
        image = prepare_photo(read_photo(photo.path, at_least=_PHOTO_SIDE), _PHOTO_SIDE, photo.path)[..., ::-1]
    except OSError as error:
        return PhotoError(photo.path, f"cannot be read ({error.strerror})")
    except PhotoError as error:
        return error
    draw = hashlib.sha256(f"{seed}:".encode() + content).digest()
    is_held_out = int.from_bytes(draw[:8], "big") < held_out * 2**64
    rng = np.random.default_rng(int.from_bytes(draw, "big"))
    shown = []
    for i in range(1 if is_held_out else crops):
        crop = image if i == 0 else _random_crop(image, rng)
        # Half shifts undo themselves on even sides only.
        crop = reduce_image(np.ascontiguousarray(crop), teacher_side + teacher_side % 2)
        wanted = np.arange(ALTERATIONS) if is_held_out else rng.permutation(ALTERATIONS)[:alterations]
        shown.append(np.stack([crop, *_alter(crop, wanted, rng)]))
    teacher = np.stack([[reduce_image(image, teacher_side) for image in images] for images in shown])
    student = np.stack([[reduce_image(image, STUDENT_SIDE) for image in images] for images in shown])
    return ShownPhoto(photo.name, is_held_out, teacher, student)


def _random_crop(image_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """55 to 100 % of each side, drawn apart, mirrored half of the time."""
    height, width = image_HWC.shape[:2]
    h, w = (round(side * rng.uniform(0.55, 1)) for side in (height, width))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    crop = image_HWC[y : y + h, x : x + w]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _alter(crop_HWC: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    states = np.concatenate([ONE_EDIT, rng.choice(_DEEP_STATES, DEEPER, replace=False)])
    strengths = rng.uniform(0.5, 4, len(DEGRADATIONS))
    crop_BCHW = crop_HWC.transpose(2, 0, 1)[None]
    for index in wanted:
        if index < len(states):
            yield render_rgb(crop_BCHW, states[index : index + 1])[0].transpose(1, 2, 0)
        else:
            kind = index - len(states)
            name, strength = list(DEGRADATIONS)[kind], strengths[kind]
            if name == "blur":  # its strength is in pixels of 64×64 images
                strength *= len(crop_HWC) / STUDENT_SIDE
            yield DEGRADATIONS[name](crop_HWC, strength, rng)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = 2, ahead: int = 4
) -> Iterator[Result]:
    """`map` in background threads, in order, a few results in advance: the teacher need not wait for photos."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
