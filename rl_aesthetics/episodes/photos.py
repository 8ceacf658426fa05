"""What episodes begin with, by number: the photo as the agent is given it, and the original that it should become.

In the reversible space the photo of an episode is the original and its degradation an edit state. A photographer's
edits act on the file that there is: there the degraded photo is what is edited, edit state 0, and what its 8 bits have
clipped is lost, as it is to whoever opens it. The original is the state `REFERENCE`, which no edit leads to.

Numbers below N are the dataset's photos with their recorded degradations. Number i + N · v is photo i in variant v > 0:
a random crop, mirrored or not, under a random degradation, all drawn from the number itself. So a rollout worker makes
a new photo for every episode, and whoever knows the number can make it again. A part of another photo may cover a part
of it (as in CutMix, arXiv 1905.04899): what went wrong is the same for both, and which photo it is tells less.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import cv2
import numpy as np

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.tonal_degradation import MODELS, TonalDegradation, degrade_tone, strengths_of
from rl_aesthetics.edits import edit_state
from rl_aesthetics.edits.space import EditSpace
from rl_aesthetics.edits.view import View
from rl_aesthetics.episodes.crops import Boxes, Crops, cut, cut_squares
from rl_aesthetics.photos.resize import reduce_image

_RECENT = 512  # variants kept rendered, 25 kB each at 64 pixels: the episodes of a vector environment, and some
_SMALLEST = 0.5  # side of a part, as a fraction of the photo's
_COVERED = 0.25, 0.75  # of a collage's height or width by the other photo


@dataclass(frozen=True)
class Variants:
    """What the new photos of episodes are.

    Attributes:
        undegraded_share: good already, so that leaving them alone is learned too.
        collage_share: put together from two photos.
    """

    undegraded_share: float = 0.0
    collage_share: float = 0.0


PLAIN = Variants()
"""One degraded photo each."""


@dataclass(frozen=True)
class _Variant:
    """Which part of its photo it is, how that was degraded, and which part of another photo covers how much of it."""

    box: Boxes
    strengths: dict[str, float]
    other: Boxes | None = None
    covered: float = 0.0
    above: bool = False

    def put_together(self, part_HWC: np.ndarray, other_HWC: np.ndarray) -> np.ndarray:
        """The collage of two parts of the same size; a new array."""
        collage_HWC = part_HWC.copy()
        if self.above:
            rows = slice(int(self.covered * len(part_HWC)))
            collage_HWC[rows] = other_HWC[rows]
        else:
            columns = slice(int(self.covered * part_HWC.shape[1]))
            collage_HWC[:, columns] = other_HWC[:, columns]
        return collage_HWC


class EpisodePhotos:
    """The photos that a space's edits act on, by number.

    Args:
        dataset: what was degraded.
        space: what edits there are.
        size: side of the observation; other sizes are reduced from it, or from the photo.
        variants: what the numbers from N on are like.
        crops: in a reversible space, the numbers from N on; there are none if left out.
    """

    def __init__(
        self,
        dataset: RLDataset,
        space: EditSpace,
        size: int = 64,
        variants: Variants = PLAIN,
        crops: Crops | None = None,
    ):
        self.dataset, self.space, self.size, self.variants = dataset, space, size, variants
        self.crops = crops
        self.acts_on_given = space.acts_on_given or not dataset.is_reversible
        """Whether edits act on the degraded photo as it is given, rather than on the original."""
        self.original_state = edit_state.REFERENCE if self.acts_on_given else edit_state.UNEDITED
        described = dataset.info.get("degradation_model")
        self.model = TonalDegradation.from_description(described) if described else MODELS["tonal"]
        self._recent: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.dataset)

    def load(self) -> None:
        """Read what numbers from N on are made of; otherwise that is done when the first episodes begin."""
        self.dataset.thumbnails(2 * self.size)
        if self.crops is not None:
            self.dataset.thumbnails(self.size)  # number i is the whole photo

    def start_states(self) -> np.ndarray:
        """The edit state in which each photo's recorded episode begins, int64 `(N,)`."""
        return np.zeros(len(self.dataset), np.int64) if self.acts_on_given else self.dataset.start_states()

    def view(self, size: int, shows_edits: bool = False) -> View:
        """What somebody sees of the photos who looks at `size` × `size` pixels, and perhaps at the edits so far."""
        if not self.acts_on_given and self.crops is None:
            return View(self.space, self.dataset.thumbnails(size), self.dataset.original, shows_edits=shows_edits)
        if not self.acts_on_given:
            return View(self.space, Reductions(self, size, "original"), self.original, shows_edits=shows_edits)
        given, originals = Reductions(self, size, "given"), Reductions(self, size, "original")
        return View(self.space, given, self.photo, originals, self.original, shows_edits)

    def photo(self, number: int) -> np.ndarray:
        """What edits act on in the photo with this number, uint8 `(H, W, 3)` BGR: as it is given, or the original."""
        index, variant = number % len(self.dataset), number // len(self.dataset)
        if not self.acts_on_given:
            return self.dataset.original(index)
        if variant == 0:
            return self.dataset.degraded(index)
        return degrade_tone(self.original(number), self._variant(number).strengths)

    def original(self, number: int) -> np.ndarray:
        """What it should become, uint8 `(H, W, 3)` BGR."""
        photo_HWC = self.dataset.original(number % len(self.dataset))
        if number < len(self.dataset):
            return photo_HWC
        variant = self._variant(number)
        part_HWC = cut(photo_HWC, variant.box)
        if variant.other is None:
            return part_HWC
        other_HWC = cut(self.dataset.original(variant.other.photos_B.item()), variant.other)
        other_HWC = cv2.resize(other_HWC, part_HWC.shape[1::-1], interpolation=cv2.INTER_AREA)
        return variant.put_together(part_HWC, other_HWC)

    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(as given, original) of a variant, uint8 RGB `(3, S, S)` each, at the observation's size."""
        if number in self._recent:
            self._recent.move_to_end(number)
            return self._recent[number]
        variant = self._variant(number)
        # The larger square is degraded and then reduced, as a photo is: clipping comes before averaging. Good ones take
        # the same way, or else their sharpness would tell them.
        side = self.size if self.crops is not None else 2 * self.size
        original_LL3 = self._square(variant.box, side)
        if variant.other is not None:
            original_LL3 = variant.put_together(original_LL3, self._square(variant.other, side))
        original_3SS = reduce_image(original_LL3, self.size).transpose(2, 0, 1)
        if not variant.strengths:
            return self._remember(number, (original_3SS, original_3SS))
        given_LL3 = np.ascontiguousarray(degrade_tone(original_LL3[..., ::-1], variant.strengths)[..., ::-1])
        return self._remember(number, (reduce_image(given_LL3, self.size).transpose(2, 0, 1), original_3SS))

    def _square(self, box: Boxes, side: int) -> np.ndarray:
        """One part of a photo, uint8 RGB `(side, side, 3)`."""
        photo_3LL = self.dataset.thumbnails(2 * self.size)[box.photos_B.item()]
        return cut_squares(photo_3LL.transpose(1, 2, 0)[None], replace(box, photos_B=np.zeros(1, int)), side)[0]

    def _remember(self, number: int, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        self._recent[number] = pair
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return pair

    def strengths(self, number: int) -> dict[str, float] | None:
        """How a photo was degraded; empty for good ones, and where edits act on the original. None is not known: it was
        degraded by other edits than those of `tonal_degradation`."""
        if number >= len(self.dataset):
            return self._variant(number).strengths
        record = self.dataset.records[number]
        return strengths_of(record.sequence, record.strengths) if record.strengths else None

    def _variant(self, number: int) -> _Variant:
        if self.crops is not None:
            return _Variant(self.crops(np.array([number])), {})
        generator = np.random.default_rng(number)
        box, good = self._part(number, generator), generator.random() < self.variants.undegraded_share
        strengths = {} if good else self.model.draw(generator)
        if generator.random() >= self.variants.collage_share:
            return _Variant(box, strengths)
        other = self._part(int(generator.integers(len(self.dataset))), generator)
        return _Variant(box, strengths, other, generator.uniform(*_COVERED), generator.random() < 0.5)

    def _part(self, number: int, generator: np.random.Generator) -> Boxes:
        """A random part of a photo, of its shape."""
        share_1, place_21 = generator.uniform(_SMALLEST, 1, 1), generator.random((2, 1))
        mirrored_1, photo_1 = generator.random(1) < 0.5, np.array([number % len(self.dataset)])
        top_1, left_1 = place_21 * (1 - share_1)
        return Boxes(photo_1, top_1, left_1, share_1, share_1, mirrored_1)


class Reductions:
    """All photos of `EpisodePhotos` reduced to squares, made when asked for: `reductions[numbers]`.

    Args:
        which: `given` or `original`.
    """

    def __init__(self, photos: EpisodePhotos, size: int, which: str):
        self.photos, self.which = photos, which
        self.shape = (len(photos), 3, size, size)
        self._recorded: np.ndarray | None = None

    def __getitem__(self, numbers_B: np.ndarray) -> np.ndarray:
        """uint8 RGB `(B, 3, size, size)`; a new array."""
        numbers_B = np.asarray(numbers_B)
        reductions = np.empty((len(numbers_B), *self.shape[1:]), np.uint8)
        recorded_B = numbers_B < len(self.photos)
        if recorded_B.any():
            if self._recorded is None:
                kind = "degraded" if self.which == "given" else "original"
                self._recorded = self.photos.dataset.thumbnails(self.shape[-1], kind)
            reductions[recorded_B] = self._recorded[numbers_B[recorded_B]]
        size, place = self.shape[-1], ("given", "original").index(self.which)
        for k in np.flatnonzero(~recorded_B):
            planes = self.photos.pair(int(numbers_B[k]))[place]
            if size == self.photos.size:
                reductions[k] = planes
            else:
                image_HWC = np.ascontiguousarray(planes.transpose(1, 2, 0))
                reductions[k] = reduce_image(image_HWC, size).transpose(2, 0, 1)
        return reductions
