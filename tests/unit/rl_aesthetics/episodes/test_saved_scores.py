"""Scores kept beside a dataset: found by the next run, never believed when they may belong to something else."""

import logging
import os
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.score_cache import SCORED, ScoreCache


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dataset of one photo."""
    root = tmp_path_factory.mktemp("data")
    (root / "train" / "images").mkdir(parents=True)
    cv2.imwrite(str(root / "train/images/1.png"), np.zeros((4, 4, 3), np.uint8))
    record = Record(1, "images/1.png", None, "invert_r", ("invert_r",), 0.2, 0.8, "1.png", 4, 4)
    write_annotations(root / "train", [record], ["invert_r"], {"juror": "f"})
    return root


@pytest.fixture
def dataset(written):
    folder = written / "scores"
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    return RLDataset(written, "train")


def scored(photos, seed=0):
    random = np.random.default_rng(seed)
    rows = np.zeros(len(photos), SCORED)
    rows["photo"], rows["state"], rows["score"] = (
        photos,
        random.integers(0, 3072, len(photos)),
        random.random(len(photos)),
    )
    return rows


def knows(cache, rows):
    scores, known = cache.lookup(rows["photo"], rows["state"])
    return bool(known.all()) and bool((scores == rows["score"]).all())


def test_scores_of_several_workers_are_merged_and_found_again(dataset):
    first, second = scored(range(0, 300, 2), 1), scored(range(1, 300, 2), 2)
    saved = SavedScores(dataset, "pocket:1f2e")
    assert saved.check() == 0
    assert saved.merge(first)
    assert SavedScores(dataset, "pocket:1f2e").merge(second)  # another run, or a later checkpoint of this one
    later = SavedScores(dataset, "pocket:1f2e")
    assert later.check() == 300
    assert knows(later.cache(), np.concatenate([first, second]))
    assert later.path.parent == dataset.root / "scores"
    assert [file.name for file in later.path.parent.iterdir()] == ["train.pocket_1f2e.npz"]


def test_a_worker_takes_only_the_scores_of_its_photos(dataset):
    rows = scored(range(100))
    saved = SavedScores(dataset, "f")
    saved.merge(rows)
    cache = pickle.loads(pickle.dumps(saved)).cache(np.arange(0, 100, 4))
    assert len(cache) == 25
    assert knows(cache, rows[::4])


def test_what_was_found_is_not_new_and_what_is_stored_is(dataset):
    saved = SavedScores(dataset, "f")
    saved.merge(scored(range(10)))
    cache = saved.cache()
    assert len(cache.take_new()) == 0
    cache.store(np.array([77]), np.array([3]), np.array([0.5]))
    assert cache.take_new().tolist() == [(77, 3, 0.5)]
    assert len(cache.take_new()) == 0


def test_the_file_is_bounded_and_the_oldest_scores_go_first(dataset):
    saved = SavedScores(dataset, "f", capacity=64)
    for start in range(0, 1000, 100):
        saved.merge(scored(range(start, start + 100), start))
    assert saved.check() <= 64
    assert saved.path.stat().st_size < 64 * SCORED.itemsize + 2000
    assert (saved.cache().entries()["photo"] >= 800).all()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no cache", None])
def test_a_damaged_file_is_one_line_in_the_log_and_is_replaced(dataset, caplog, content):
    saved, rows = SavedScores(dataset, "f"), scored(range(5))
    saved.merge(rows)
    saved.path.write_bytes(saved.path.read_bytes()[:-40] if content is None else content)
    with caplog.at_level(logging.WARNING):
        assert saved.check() == 0
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(saved.path) in line
    assert "\n" not in line
    assert len(saved.cache()) == 0
    assert saved.merge(rows)
    assert saved.check() == 5


def test_scores_of_another_juror_or_of_changed_photos_are_not_used(dataset, caplog):
    SavedScores(dataset, "f/1").merge(scored(range(5)))
    same_name = SavedScores(dataset, "f:1")
    assert same_name.path == SavedScores(dataset, "f/1").path
    assert same_name.check() == 0
    assert "scores of another scorer" in caplog.text
    dataset.fingerprint = "photos that were exchanged"
    assert SavedScores(dataset, "f/1").check() == 0
    assert "scores of other photos" in caplog.text


def test_a_score_that_is_no_number_spoils_the_file(dataset, caplog):
    saved, rows = SavedScores(dataset, "f"), scored(range(3))
    saved.merge(rows)
    rows["score"][1] = np.nan
    with open(saved.path, "wb") as file:
        strings = {"format": "1", "scorer": "f", "photos": dataset.fingerprint}
        np.savez(file, scored=rows, **{name: np.array(text) for name, text in strings.items()})
    assert saved.check() == 0
    assert "not a number" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_goes_without(dataset, caplog):
    dataset.root.chmod(0o500)
    try:
        assert not SavedScores(dataset, "f").merge(scored(range(3)))
    finally:
        dataset.root.chmod(0o700)
    assert "not kept" in caplog.text


def test_a_file_in_the_place_of_the_folder_goes_without(dataset, caplog):
    (dataset.root / "scores").write_text("mine")
    try:
        assert not SavedScores(dataset, "f").merge(scored(range(3)))
    finally:
        (dataset.root / "scores").unlink()
    assert "not kept" in caplog.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_happens_to_the_bytes_the_scores_are_right_or_refused(tmp_path, data):
    rows, path = scored(range(20)), tmp_path / "c.npz"
    cache = ScoreCache("f", 64, "d")
    cache.add(rows)
    cache.save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    again = ScoreCache("f", 64, "d")
    try:
        again.restore(path)
    except UserError as error:
        refusal = str(error)
    else:
        refusal = ""
        held = {(int(row["photo"]), int(row["state"])): row["score"] for row in again.entries()}
        stored = {(int(row["photo"]), int(row["state"])): row["score"] for row in rows}
        assert held.items() <= stored.items()
    assert "\n" not in refusal
