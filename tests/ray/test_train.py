"""A whole training on real Ray, from a dataset on disk to an agent file, with real MLflow."""

import json
import math

import pytest
import ray
from mlflow import MlflowClient
from written_splits import write_split

from juror_service.jurors.registry import load_juror
from ray_cluster.train.training import Training
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import agent_policy

pytestmark = [pytest.mark.ray, pytest.mark.slow]
EPOCHS, TRAINING_PHOTOS, VALIDATION_PHOTOS = 8, 12, 30


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", TRAINING_PHOTOS, 0)
    write_split(root / "val", VALIDATION_PHOTOS, 1)
    return root


def configured(dataset, output, *overrides):
    return load_config(
        None,
        [
            f"dataset={dataset}",
            f"output={output}",
            f"mlflow.tracking_uri=sqlite:///{output.parent}/mlflow.db",
            f"training.num_epochs={EPOCHS}",
            "training.validation_frequency=2",
            "training.dataloader_batch_size=4",
            "training.epsilon_decay=0.99",
            "learner.learning_starts=50",
            "learner.keep_checkpoints=2",
            "juror.options={threads: 1}",
            *overrides,
        ],
    )


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """(the training, its report, what it reported on the way)"""
    output, reported = tmp_path_factory.mktemp("out") / "run", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.chdir(output.parent)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        training = Training(configured(dataset, output), reported.append)
        report = training.run()
        yield training, report, reported
        ray.shutdown()


def test_an_epoch_is_one_episode_for_each_training_photo(trained):
    training, report, _ = trained
    assert report.epochs == EPOCHS
    assert training.algorithm.episodes_done >= EPOCHS * TRAINING_PHOTOS
    assert training.algorithm.trained > 0


def test_validation_runs_beside_training_and_leaves_no_transition(trained):
    training, report, _ = trained
    held = training.algorithm.replay.transitions[: len(training.algorithm.replay)]
    assert held["photo"].max() < TRAINING_PHOTOS  # validation has higher numbers, too
    assert training.algorithm.episodes_done == held["terminated"].sum()
    validated = [metrics["epoch"] for metrics in report.history if "val_success_rate" in metrics]
    assert sorted(validated) == [2, 4, 6, 8]


def test_every_epoch_is_reported_written_and_tracked_under_the_documented_names(trained):
    training, report, reported = trained
    rows = [json.loads(line) for line in (training.output / "metrics.jsonl").read_text().splitlines()]
    assert rows == report.history == reported
    assert sorted(row["epoch"] for row in rows) == list(range(1, EPOCHS + 1))
    names = {"epsilon", "perf_env_steps_per_s", "perf_trained_per_s", "perf_juror_calls_per_step"}
    names |= {"train_avg_reward", "train_success_rate", "train_avg_steps", "train_avg_loss", "samples_per_insert"}
    names |= {"val_avg_reward", "val_avg_improvement", "val_success_rate", "val_recovered", "val_exact"}
    assert names <= set().union(*rows)
    assert all(math.isfinite(value) for row in rows for value in row.values())
    client = MlflowClient(training.config.mlflow.tracking_uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == training.config.mlflow.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    assert names <= set(run.data.metrics)
    tracked = client.get_metric_history(run.info.run_id, "val_success_rate")
    expected = [(row["step"], row["val_success_rate"]) for row in rows if "val_success_rate" in row]
    assert sorted((metric.step, metric.value) for metric in tracked) == sorted(expected)


def test_the_agent_it_leaves_is_the_best_by_validation_and_says_so(trained, dataset):
    training, report, _ = trained
    rates = [metrics["val_success_rate"] for metrics in report.history if "val_success_rate" in metrics]
    assert report.metrics["val_success_rate"] == max(rates)
    agent = DQNAgent.load(report.agent)
    assert agent.actions == (*REVERSIBLE, "STOP")
    assert agent.description.training == report.metrics
    juror = load_juror("pocket", threads=1)
    assert agent.description.juror == juror.fingerprint
    success = Evaluation(RLDataset(dataset, "val"), juror, training.task).run(agent_policy(agent)).success()
    assert success.improved == pytest.approx(report.metrics["val_success_rate"])
    assert success.exact == pytest.approx(report.metrics["val_exact"])


def test_the_effective_configuration_and_the_newest_checkpoints_stay(trained):
    training, _, _ = trained
    assert load_config(training.output / "config.yaml") == training.config
    files = sorted(path.name for path in (training.output / "checkpoints").iterdir())
    assert files == [f"epoch_{EPOCHS - 1:04d}.safetensors", f"epoch_{EPOCHS:04d}.safetensors"]


def test_an_earlier_training_is_overwritten_only_on_request(trained):
    training, report, _ = trained
    with pytest.raises(UserError, match="from an earlier training: choose another output or pass --resume auto"):
        Training(training.config)
    assert report.agent.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=null"], "no dataset: add dataset=DIR"),
        (["dataset=/nowhere"], "no dataset at /nowhere"),
        (["learner.network=simple_cn"], "unknown network 'simple_cn'"),
        (["action_space.transforms=[swap_gb, gaussian_blur_3]", "learner.replay=reference"], "replay=reference needs"),
        (["output=/proc/nowhere"], "cannot write to /proc/nowhere"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(dataset, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        Training(configured(dataset, tmp_path / "run", *overrides))
    assert not (tmp_path / "run").exists()
