"""The writer: ids, splits, categories and files follow from the photos, not from the order in which they arrive."""

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rl_aesthetics.datasets.annotations import SPLITS
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.dataset_writer import DatasetWriter, DegradedPhoto
from rl_aesthetics.datasets.degrade import degrade, is_reversible
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.sources import Photo, PhotoSource, Skipped

SEQUENCES = [("swap_gb",), ("gaussian_blur_3",), ("invert_r", "shift_left_b")]
INFO = {"juror": "test"}


def photo_of(index):
    return np.random.default_rng(index).integers(0, 256, (64, 80, 3), np.uint8)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def degraded(index, copy=0, photo=None):
    photo = photo_of(index) if photo is None else photo
    sequence = SEQUENCES[(index + copy) % len(SEQUENCES)]
    return DegradedPhoto(
        index=index,
        copy=copy,
        sequence=sequence,
        seed=index,
        width=80,
        height=64,
        digest=str(photo.sum()),
        score=0.1 * index,
        initial_score=0.12345678,
        degraded=png(degrade(photo, sequence)),
        original=b"" if is_reversible(sequence) else png(photo),
    )


def source(count, tiles=1):
    photos = [Photo(Path(f"{i}.jpg"), f"{i:02d}.jpg", f"{i // tiles:02d}.jpg") for i in range(count)]
    return PhotoSource("test", tuple(photos), (Skipped("broken.jpg", "unreadable"),))


def write(folder, photos, of, ratios=(0.5, 0.25, 0.25)):
    folder.mkdir()
    writer = DatasetWriter(folder, of)
    for photo in photos:
        writer.add(photo)
    return writer.finish(ratios, 42, INFO)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_order_of_arrival_does_not_matter(tmp_path):
    photos = [degraded(index, copy) for index in range(8) for copy in range(2)]
    write(tmp_path / "a", photos, source(8))
    write(tmp_path / "b", photos[::-1], source(8))
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_everything_is_read_back_with_exact_originals(tmp_path):
    written = write(tmp_path / "a", [degraded(index) for index in range(8)], source(8))
    assert written.images == written.photos == {"train": 4, "val": 2, "test": 2}
    seen = set()
    for split in SPLITS:
        dataset = RLDataset(tmp_path / "a", split)
        for i, record in enumerate(dataset.records):
            index = int(record.source_file[:2])
            seen.add(index)
            np.testing.assert_array_equal(dataset.original(i), photo_of(index))
            assert record.score == round(0.1 * index, 6)
            assert record.initial_score == 0.123457
    assert seen == set(range(8))


def test_image_ids_and_categories_are_shared_by_all_splits(tmp_path):
    write(tmp_path / "a", [degraded(index) for index in range(9)], source(9))
    documents = [json.loads((tmp_path / "a" / split / "annotations.json").read_text()) for split in SPLITS]
    ids = list(itertools.chain.from_iterable([image["id"] for image in d["images"]] for d in documents))
    assert sorted(ids) == list(range(1, 10))
    assert documents[0]["categories"] == documents[1]["categories"] == documents[2]["categories"]
    labels = [category["name"] for category in documents[0]["categories"]]
    assert labels == ["swap_gb", "gaussian_blur_3", "invert_r+shift_left_b"]
    assert [d["info"]["split"] for d in documents] == list(SPLITS)


def test_tiles_and_copies_of_a_photo_stay_in_one_split(tmp_path):
    photos = [degraded(index, copy) for index in range(24) for copy in range(2)]
    written = write(tmp_path / "a", photos, source(24, tiles=4))
    assert sum(written.photos.values()) == 6
    groups = [{int(r.source_file[:2]) // 4 for r in RLDataset(tmp_path / "a", split).records} for split in SPLITS]
    assert not (groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2])


def test_the_same_photo_under_two_names_is_used_once(tmp_path):
    photos = [degraded(index) for index in range(4)] + [degraded(4, photo=photo_of(1))]
    written = write(tmp_path / "a", photos, source(5))
    assert sum(written.images.values()) == 4
    assert Skipped("04.jpg", "the same pixels as 01.jpg") in written.skipped


def test_skipped_files_are_listed_and_counted(tmp_path):
    (tmp_path / "a").mkdir()
    writer = DatasetWriter(tmp_path / "a", source(4))
    writer.skip(3, "grey only")
    for index in range(3):
        writer.add(degraded(index))
    assert writer.seen == 4
    writer.finish((1, 0, 0), 42, INFO)
    listed = json.loads((tmp_path / "a" / "skipped.json").read_text())
    assert listed == [{"file": "03.jpg", "reason": "grey only"}, {"file": "broken.jpg", "reason": "unreadable"}]
    assert RLDataset(tmp_path / "a", "train").info["skipped_files"] == 2
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["skipped.json", "train"]


def test_nothing_usable_says_why(tmp_path):
    (tmp_path / "a").mkdir()
    writer = DatasetWriter(tmp_path / "a", source(2))
    writer.skip(0, "grey only")
    writer.skip(1, "grey only")
    with pytest.raises(UserError, match="no photo of test can be used: 2 × grey only; 1 × unreadable"):
        writer.finish((1, 0, 0), 42, INFO)


def test_what_is_there_before_the_end_does_not_load(tmp_path):
    (tmp_path / "a").mkdir()
    writer = DatasetWriter(tmp_path / "a", source(2))
    writer.add(degraded(0))
    with pytest.raises(UserError, match="holds no dataset"):
        RLDataset(tmp_path / "a", "train")
