"""A second training on the same dataset starts with what the juror said in the first, on real Ray."""

import pytest
import ray
from test_train import configured
from written_splits import write_split

from juror_service.jurors.registry import load_juror
from ray_cluster.train.training import Training
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import action_names
from rl_aesthetics.edits.view import View
from rl_aesthetics.episodes.saved_scores import SavedScores

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", 6, 0)
    write_split(root / "val", 4, 1)
    return root


@pytest.fixture(scope="module")
def train(dataset, tmp_path_factory):
    """Trains with two rollout workers and gives back the report."""
    folder = tmp_path_factory.mktemp("out")

    def run(name, *overrides):
        settings = ["training.num_epochs=12", "training.validation_frequency=12", "ray.num_rollout_workers=2"]
        return Training(configured(dataset, folder / name, *settings, *overrides)).run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.chdir(folder)
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
        yield run
        ray.shutdown()


@pytest.fixture(scope="module")
def first(train):
    return train("first")


def juror_calls(report):
    """For each environment step, over all epochs."""
    steps = [row["step"] for row in report.history]
    taken = [now - before for now, before in zip(steps, [0, *steps], strict=False)]
    return sum(n * row["perf_juror_calls_per_step"] for n, row in zip(taken, report.history, strict=True)) / steps[-1]


def test_every_score_kept_is_the_jurors(first, dataset):
    photos, juror = RLDataset(dataset, "train"), load_juror("pocket", threads=1)
    saved = SavedScores(photos, juror.fingerprint)
    rows = saved.cache().entries()
    assert len(rows) == saved.check() > 100
    assert set(rows["photo"]) == set(range(6))  # of both workers, who have three photos each
    view = View(edit_space(action_names("reversible", True)), photos.thumbnails(juror.size), photos.original)
    again = juror.score(view(rows["photo"], rows["state"]).transpose(0, 2, 3, 1))
    assert rows["score"] == pytest.approx(again, abs=1e-5)


def test_the_second_training_asks_the_juror_less(first, train):
    second = train("second")
    assert second.history[0]["perf_score_cache_hit_rate"] > first.history[0]["perf_score_cache_hit_rate"]
    assert juror_calls(second) < 0.8 * juror_calls(first)


def test_the_jurors_are_tracked(first):
    answered = [row for row in first.history if row["juror_replicas"]]  # on a busy machine not every one is in time
    assert answered
    for row in answered:
        assert row["juror_replicas"] == 1
        assert row["juror_images_per_batch"] >= 1
        assert row["juror_inference_ms_p50"] > 0
    assert all(0 <= row["perf_score_cache_hit_rate"] < 1 for row in first.history)


def test_switched_off_it_neither_reads_nor_writes(first, train, dataset):
    (file,) = (dataset / "scores").iterdir()
    file.write_bytes(b"damaged")
    train("cold", "juror.save_scores=false", "training.num_epochs=2")
    assert file.read_bytes() == b"damaged"


def test_a_damaged_file_is_replaced(first, train, dataset, caplog):
    (file,) = (dataset / "scores").iterdir()
    file.write_bytes(b"damaged")
    train("after damage", "training.num_epochs=2")
    assert "Saved scores are not used, and will be replaced" in caplog.text
    photos = RLDataset(dataset, "train")
    assert SavedScores(photos, load_juror("pocket").fingerprint).check() > 0
