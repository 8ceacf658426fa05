import numpy as np
import pytest

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.episodes.crops import Crops, cut, cut_squares
from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.episodes.start_states import EpisodeSampler


def smooth_photos(count: int) -> list[np.ndarray]:
    y, x = np.mgrid[0:96, 0:128] / 128
    return [
        (127 + 120 * np.sin(np.stack([k + 3 * x, 2 * y + k, x + y], axis=-1))).astype(np.uint8) for k in range(count)
    ]


@pytest.fixture(scope="module")
def dataset() -> RLDataset:
    return RLDataset.from_arrays(smooth_photos(3), [[REVERSIBLE[k]] for k in range(3)])


def test_the_same_arguments_give_the_same_crops():
    first, second = Crops(5, 4, seed=1)(np.arange(25)), Crops(5, 4, seed=1)(np.arange(25))
    assert all((a == b).all() for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


def test_numbers_below_n_are_the_whole_photos():
    boxes = Crops(5, 4)(np.arange(5))
    assert not np.any([boxes.tops_B, boxes.lefts_B, boxes.mirrored_B])
    assert set(boxes.heights_B) == set(boxes.widths_B) == {1}


def test_crops_lie_within_the_photo_and_are_no_smaller_than_asked():
    boxes = Crops(50, 20, smallest=0.5)(np.arange(50 * 21))
    for starts, sides in ((boxes.tops_B, boxes.heights_B), (boxes.lefts_B, boxes.widths_B)):
        assert starts.min() >= 0
        assert (starts + sides).max() <= 1 + 1e-6
        assert sides.min() >= 0.5


def test_half_of_the_crops_are_mirrored():
    assert 0.4 < Crops(50, 20)(np.arange(50, 50 * 21)).mirrored_B.mean() < 0.6


def test_a_cut_at_full_size_has_even_sides_and_reduces_to_the_cut_of_the_reduction():
    photo_HWC = smooth_photos(1)[0]
    crops = Crops(1, 8)
    for number in range(1, 9):
        part_HWC = cut(photo_HWC, crops(number))
        assert [side % 2 for side in part_HWC.shape[:2]] == [0, 0]
        from_whole = cut_squares(
            RLDataset.from_arrays([photo_HWC], [["swap_gb"]]).thumbnails(128).transpose(0, 2, 3, 1), crops([number]), 64
        )[0]
        from_part = RLDataset.from_arrays([part_HWC], [["swap_gb"]]).thumbnails(64)[0].transpose(1, 2, 0)
        assert np.abs(from_whole.astype(int) - from_part).mean() < 3


def test_an_episode_on_a_crop_shows_the_crop_under_its_edits(dataset):
    crops = Crops(3, 4)
    photos = EpisodePhotos(dataset, edit_space(REVERSIBLE), crops=crops)
    numbers, states = np.array([1, 4, 11]), np.array([0, 5, 77])
    shown = photos.view(64)(numbers, states)
    squares = dataset.thumbnails(128).transpose(0, 2, 3, 1)
    parts = cut_squares(squares, crops(numbers[1:]), 64).transpose(0, 3, 1, 2)
    assert (shown[0] == dataset.thumbnails(64)[1]).all()
    assert (shown[1:] == algebra.render_rgb(parts, states[1:])).all()


def test_once_loaded_no_episode_waits_for_a_file(dataset, monkeypatch):
    photos = EpisodePhotos(dataset, edit_space(REVERSIBLE), crops=Crops(3, 4))
    photos.load()

    def read(index):
        raise AssertionError(f"photo {index} was read again")

    monkeypatch.setattr(dataset, "original", read)
    numbers = np.arange(15)
    assert photos.view(64)(numbers, np.zeros(15, int)).any((1, 2, 3)).all()


def test_a_sampler_draws_every_crop_of_its_photos_and_no_others(dataset):
    sampler = EpisodeSampler(dataset.start_states(), shard=(0, 2), variants=2)
    drawn = {sampler()[0] for _ in range(300)}
    assert drawn == {0, 3, 6, 2, 5, 8}
