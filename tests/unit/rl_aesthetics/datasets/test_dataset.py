"""The dataset on disk: what is written can be read back, by us and by COCO tools, and damage is told."""

import json
import math
import pickle

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.degrade import degrade, is_reversible
from rl_aesthetics.edits import algebra
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import reduce_image

SEQUENCES = [("swap_gb",), ("invert_r", "shift_left_all"), ("gaussian_blur_3",)]
SIZES = [(64, 96), (128, 66), (70, 70)]


def originals():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in SIZES]


@pytest.fixture
def root(tmp_path):
    """A dataset of three photos in `train`, the last degraded beyond repair."""
    folder = tmp_path / "data" / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "originals").mkdir()
    records = []
    for number, (photo, sequence) in enumerate(zip(originals(), SEQUENCES, strict=True), 1):
        name = f"{number:06d}.png"
        cv2.imwrite(str(folder / "images" / name), degrade(photo, sequence))
        original_file = None if is_reversible(sequence) else f"originals/{name}"
        if original_file:
            cv2.imwrite(str(folder / original_file), photo)
        height, width = photo.shape[:2]
        records.append(
            Record(
                number, f"images/{name}", original_file, "+".join(sequence), sequence, 0.25 * number, 0.5 * number,
                f"holiday/{number}.jpg", width, height, seed=number, copy=0,
            )
        )  # fmt: skip
    write_annotations(folder, records, [r.transformation for r in records], {"juror": "test juror"})
    return tmp_path / "data"


def edit_annotations(root, change):
    path = root / "train" / "annotations.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_written_dataset_is_read_back_whole(root):
    dataset = RLDataset(root, "train")
    assert len(dataset) == 3
    assert dataset.juror == "test juror"
    for index, (photo, sequence) in enumerate(zip(originals(), SEQUENCES, strict=True)):
        degraded, score, transformation = dataset[index]
        np.testing.assert_array_equal(degraded, degrade(photo, sequence))
        assert (score, transformation) == (0.5 * (index + 1), "+".join(sequence))
        assert dataset.records[index].sequence == sequence


def test_originals_come_back_pixel_for_pixel_undone_or_from_file(root):
    dataset = RLDataset(root, "train")
    for index, photo in enumerate(originals()):
        np.testing.assert_array_equal(dataset.original(index), photo)


def test_pycocotools_loads_it_with_the_right_sizes(root):
    coco = COCO(str(root / "train" / "annotations.json"))
    for image in coco.loadImgs(coco.getImgIds()):
        pixels = cv2.imread(str(root / "train" / "images" / image["file_name"]))
        assert (image["height"], image["width"]) == pixels.shape[:2]
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert annotation["bbox"] == [0, 0, image["width"], image["height"]]
        assert annotation["area"] == image["width"] * image["height"]
        (category,) = coco.loadCats(annotation["category_id"])
        assert category["name"] == annotation["transformation"]


def test_thumbnails_are_reduced_rgb_planes_and_kept(root):
    dataset = RLDataset(root, "train")
    thumbnails = dataset.thumbnails(32)
    assert thumbnails.shape == (3, 3, 32, 32)
    np.testing.assert_array_equal(thumbnails[1], reduce_image(originals()[1][..., ::-1], 32).transpose(2, 0, 1))
    assert dataset.thumbnails(32) is thumbnails
    assert not thumbnails.flags.writeable
    degraded = dataset.thumbnails(32, "degraded")
    np.testing.assert_array_equal(
        degraded[1], reduce_image(degrade(originals()[1], SEQUENCES[1])[..., ::-1], 32).transpose(2, 0, 1)
    )


def test_start_states_are_those_of_the_recipes():
    dataset = RLDataset.from_arrays(originals(), [("swap_gb",), ("swap_rb", "swap_gb"), ()])
    photo = originals()[1]
    states = dataset.start_states()
    np.testing.assert_array_equal(algebra.apply(photo, states[1]), dataset.degraded(1))
    assert states[2] == algebra.ORIGINAL


def test_start_states_refuse_what_cannot_be_undone(root):
    with pytest.raises(ValueError, match="gaussian_blur_3"):
        RLDataset(root, "train").start_states()


def test_what_is_pickled_holds_no_pixels(root):
    dataset = RLDataset(root, "train")
    dataset.thumbnails(64)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 4000
    np.testing.assert_array_equal(pickle.loads(pickled).degraded(0), dataset.degraded(0))


def test_a_dataset_in_memory_behaves_like_one_on_disk(root):
    on_disk, in_memory = RLDataset(root, "train"), RLDataset.from_arrays(originals(), SEQUENCES, [0.5, 1.0, 1.5])
    for index in range(3):
        assert in_memory[index][1:] == on_disk[index][1:]
        np.testing.assert_array_equal(in_memory.degraded(index), on_disk.degraded(index))
        np.testing.assert_array_equal(in_memory.original(index), on_disk.original(index))
    np.testing.assert_array_equal(in_memory.thumbnails(16), on_disk.thumbnails(16))


def test_a_dataset_in_memory_invents_no_scores():
    assert math.isnan(RLDataset.from_arrays(originals(), SEQUENCES)[0][1])


def test_an_odd_sided_photo_in_memory_is_refused():
    with pytest.raises(ValueError, match="even sides"):
        RLDataset.from_arrays([np.zeros((65, 64, 3), np.uint8)], [("swap_gb",)])


def test_the_fingerprint_changes_with_the_annotations(root):
    before = RLDataset(root, "train").fingerprint
    assert RLDataset(root, "train").fingerprint == before
    edit_annotations(root, lambda document: document["annotations"][0].update(score=0.3))
    assert RLDataset(root, "train").fingerprint != before


def test_same_records_same_bytes(root, tmp_path):
    dataset = RLDataset(root, "train")
    write_annotations(
        tmp_path, dataset.records, [r.transformation for r in dataset.records], {"juror": dataset.juror}
    )  # fmt: skip
    assert (tmp_path / "annotations.json").read_bytes() == (root / "train" / "annotations.json").read_bytes()


def test_a_missing_folder_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        RLDataset(tmp_path / "nowhere", "train")


def test_a_folder_without_annotations_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="holds no dataset"):
        RLDataset(tmp_path, "train")


def test_a_missing_split_names_those_that_are_there(root):
    with pytest.raises(UserError, match="no split 'validation'; it has train"):
        RLDataset(root, "validation")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"info": 3}', b"\xff\xfe"])
def test_broken_json_is_a_users_mistake(root, text):
    (root / "train" / "annotations.json").write_bytes(text)
    with pytest.raises(UserError, match="broken"):
        RLDataset(root, "train")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["annotations"][1].pop("score"),
        lambda d: d["annotations"].pop(),
        lambda d: d["annotations"].append(d["annotations"][0]),
        lambda d: d["images"][0].pop("width"),
        lambda d: d["annotations"][0].update(sequence=["swap_xy"]),
        lambda d: d["info"].pop("juror"),
        lambda d: d.update(images={}),
    ],
)
def test_damaged_annotations_are_a_users_mistake(root, change):
    edit_annotations(root, change)
    with pytest.raises(UserError, match=r"annotations\.json (is broken|holds no photo)"):
        RLDataset(root, "train")


def test_an_empty_split_is_a_users_mistake(root):
    edit_annotations(root, lambda d: d.update(images=[], annotations=[]))
    with pytest.raises(UserError, match="holds no photo"):
        RLDataset(root, "train")


def test_another_format_version_is_a_users_mistake(root):
    edit_annotations(root, lambda d: d["info"].update(version="99"))
    with pytest.raises(UserError, match="format '99'"):
        RLDataset(root, "train")


@pytest.mark.parametrize("file", ["images/000002.png", "originals/000003.png"])
def test_a_missing_image_is_told_when_the_dataset_is_opened(root, file):
    (root / "train" / file).unlink()
    with pytest.raises(UserError, match=f"{file} is missing"):
        RLDataset(root, "train")


def test_a_broken_image_is_told_when_it_is_read(root):
    (root / "train" / "images" / "000001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    dataset = RLDataset(root, "train")
    with pytest.raises(UserError, match=r"000001\.png is broken"):
        dataset.degraded(0)


def test_an_image_of_another_size_is_told_when_it_is_read(root):
    cv2.imwrite(str(root / "train" / "images" / "000001.png"), np.zeros((10, 12, 3), np.uint8))
    with pytest.raises(UserError, match="12×10, its annotation says 96×64"):
        RLDataset(root, "train").degraded(0)
