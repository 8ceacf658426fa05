"""What episodes begin with, by number: the photo as the agent is given it, and the original that it should become.

In the reversible space the photo of an episode is the original and its degradation an edit state. A photographer's
edits act on the file that there is: there the degraded photo is what is edited, edit state 0, and what its 8 bits have
clipped is lost, as it is to whoever opens it. The original is the state `REFERENCE`, which no edit leads to.

Numbers below N are the dataset's photos with their recorded degradations. Number i + N · v is photo i in variant v > 0:
a random crop, mirrored or not, under a random degradation, all drawn from the number itself. So a rollout worker makes
a new photo for every episode, and whoever knows the number can make it again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from rl_aesthetics.crops import Boxes, Crops, cut, cut_squares
from rl_aesthetics.dataset import RLDataset
from rl_aesthetics.scoring import reduce_image
from rl_aesthetics.tonal_degradation import MODELS, TonalDegradation, degrade_tone
from rl_aesthetics.transforms import photographic
from rl_aesthetics.transforms.space import EditSpace, View

_RECENT = 512  # variants kept rendered, 25 kB each at 64 pixels: the episodes of a vector environment, and some
_SMALLEST = 0.55  # side of a part, as a fraction of the photo's


class EpisodePhotos:
    """The photos that a space's edits act on, by number.

    Args:
        dataset: what was degraded.
        space: what edits there are.
        size: side of the observation; other sizes are reduced from it, or from the photo.
        undegraded_share: of the variants that are good already, so that leaving them alone is learned too.
        crops: in a reversible space, the numbers from N on; there are none if left out.
    """

    def __init__(
        self,
        dataset: RLDataset,
        space: EditSpace,
        size: int = 64,
        undegraded_share: float = 0.0,
        crops: Crops | None = None,
    ):
        self.dataset, self.space, self.size, self.undegraded_share = dataset, space, size, undegraded_share
        self.crops = crops
        self.given = space.photographic or not dataset.is_reversible
        """Whether edits act on the degraded photo as it is given, rather than on the original."""
        self.original_state = photographic.REFERENCE if self.given else 0
        described = dataset.info.get("degradation_model")
        self.model = TonalDegradation.from_description(described) if described else MODELS["tonal"]
        self._recent: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.dataset)

    def start_states(self) -> np.ndarray:
        """The edit state in which each photo's recorded episode begins, int64 `(N,)`."""
        return np.zeros(len(self.dataset), np.int64) if self.given else self.dataset.start_states()

    def view(self, size: int) -> View:
        """What somebody sees of the photos who looks at `size` × `size` pixels."""
        if not self.given and self.crops is None:
            return View(self.space, self.dataset.thumbnails(size), self.dataset.original)
        if not self.given:
            return View(self.space, Reductions(self, size, "original"), self.original)
        return View(
            self.space, Reductions(self, size, "given"), self.photo, Reductions(self, size, "original"), self.original
        )

    def photo(self, number: int) -> np.ndarray:
        """What edits act on in the photo with this number, uint8 `(H, W, 3)` BGR: as it is given, or the original."""
        index, variant = number % len(self.dataset), number // len(self.dataset)
        if not self.given:
            return self.dataset.original(index)
        if variant == 0:
            return self.dataset.degraded(index)
        box, strengths = self._variant(number)
        return degrade_tone(cut(self.dataset.original(index), box), strengths)

    def original(self, number: int) -> np.ndarray:
        """What it should become, uint8 `(H, W, 3)` BGR."""
        index, variant = number % len(self.dataset), number // len(self.dataset)
        photo_HWC = self.dataset.original(index)
        if variant == 0:
            return photo_HWC
        return cut(photo_HWC, self._variant(number)[0])

    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(as given, original) of a variant, uint8 RGB `(3, S, S)` each, at the observation's size."""
        if number in self._recent:
            self._recent.move_to_end(number)
            return self._recent[number]
        photo_3LL = self.dataset.thumbnails(2 * self.size)[number % len(self.dataset)]
        box, strengths = self._variant(number)
        box = replace(box, photos_B=np.zeros(1, int))
        # The larger square is degraded and then reduced, as a photo is: clipping comes before averaging. Good ones take
        # the same way, or else their sharpness would tell them.
        side = self.size if self.crops is not None else 2 * self.size
        original_LL3 = cut_squares(photo_3LL.transpose(1, 2, 0)[None], box, side)[0]
        original_3SS = reduce_image(original_LL3, self.size).transpose(2, 0, 1)
        if not strengths:
            return self._remember(number, (original_3SS, original_3SS))
        given_LL3 = np.ascontiguousarray(degrade_tone(original_LL3[..., ::-1], strengths)[..., ::-1])
        return self._remember(number, (reduce_image(given_LL3, self.size).transpose(2, 0, 1), original_3SS))

    def _remember(self, number: int, pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        self._recent[number] = pair
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return pair

    def strengths(self, number: int) -> dict[str, float]:
        """How a variant was degraded; empty for good photos, and where edits act on the original."""
        return self._variant(number)[1]

    def _variant(self, number: int) -> tuple[Boxes, dict[str, float]]:
        """Which part of its photo a variant is, and how that was degraded."""
        return (self.crops(np.array([number])), {}) if self.crops is not None else self._drawn(number)

    def _drawn(self, number: int) -> tuple[Boxes, dict[str, float]]:
        """The part of a photo, of its shape, and how it was degraded, drawn from the variant's number."""
        generator = np.random.default_rng(number)
        share_1, place_21 = generator.uniform(_SMALLEST, 1, 1), generator.random((2, 1))
        mirrored_1, good = generator.random(1) < 0.5, generator.random() < self.undegraded_share
        box = Boxes(np.zeros(1, int), *(place_21 * (1 - share_1)), share_1, share_1, mirrored_1)
        return box, {} if good else self.model.draw(generator)


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
