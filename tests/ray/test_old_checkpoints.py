"""A training that the first version began is gone on with. tests/files/format_1/README.md says what there is of it."""

import json
import shutil
from pathlib import Path

import pytest

from ray_cluster.train.training import Training
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import load_config

pytestmark = [pytest.mark.usefixtures("mlflow_database", "cluster"), pytest.mark.ray, pytest.mark.slow]
FILES = Path(__file__).parents[1] / "files" / "format_1"


@pytest.mark.parametrize("kind", ["reversible", "photographic"])
def test_an_old_training_goes_on_from_its_checkpoint(kind, tmp_path):
    shutil.copytree(FILES / "datasets" / kind, tmp_path / "data")
    shutil.copytree(FILES / "trainings" / kind, tmp_path / "run")
    before = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    places = [f"dataset={tmp_path / 'data'}", f"output={tmp_path / 'run'}", "mlflow.tracking_uri=null"]
    training = Training(load_config(tmp_path / "run" / "config.yaml", places), resume="auto")
    report = training.run()
    assert [row["epoch"] for row in report.history] == [1, 2, 3, 4, 5, 6]
    assert report.history[:2] == before
    assert all(row["train_avg_loss"] > 0 for row in report.history)
    assert DQNAgent.load(report.agent).actions == training.task.actions
