"""Reproducible training, and the curriculum: whole trainings on real Ray."""

import json

import numpy as np
import pytest
from mlflow import MlflowClient
from ray.rllib.core import DEFAULT_MODULE_ID
from written_splits import write_split

from ray_cluster.train.training import Training
from rl_aesthetics.config.config import load_config
from rl_aesthetics.edits import algebra

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", 12, 0)
    write_split(root / "val", 16, 1)
    return root


def trained(dataset, output, *overrides):
    training = Training(
        load_config(
            None,
            [
                f"dataset={dataset}",
                f"output={output}",
                f"mlflow.tracking_uri=sqlite:///{output.parent}/mlflow.db",
                "training.dataloader_batch_size=4",
                "training.target_update_frequency=7",
                "learner.learning_starts=40",
                "learner.threads=1",
                "ray.num_rollout_workers=1",
                "juror.options={threads: 1}",
                "juror.save_scores=false",
                *overrides,
            ],
        )
    )
    training.run()
    return training


def outcome(training):
    """Everything that a training does, the clock and the juror's pace excepted."""
    timed = ("seconds", "perf_", "juror_")
    algorithm = training.algorithm
    history = [
        {name: value for name, value in metrics.items() if not name.startswith(timed)} for metrics in training.history
    ]
    held = algorithm.replay.transitions[: len(algorithm.replay)].tolist()
    module = algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    return history, held, weights


def same(one, other):
    return (
        json.dumps(one[0]) == json.dumps(other[0])
        and one[1] == other[1]
        and all(np.array_equal(one[2][name], other[2][name]) for name in one[2])
    )


def test_one_seed_gives_one_training_bit_for_bit_and_another_seed_another(dataset, tmp_path):
    """Losses, metrics, transitions and weights: with fresh degradations and the pocket juror."""
    settings = [
        "learner.lockstep=true",
        "learner.network=afterstate",
        "learner.network.value_range=auto",
        "learner.replay=reference",
        "learner.fresh_degradations=true",
        "training.num_epochs=4",
        "training.epsilon_decay=0.99",
    ]
    runs = [
        outcome(trained(dataset, tmp_path / name, *settings, f"learner.seed={seed}"))
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    ]
    assert any("train_avg_loss" in metrics for metrics in runs[0][0])
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_depth_rises_with_success_the_workers_follow_and_mlflow_is_told(dataset, tmp_path):
    training = trained(
        dataset,
        tmp_path / "curriculum",
        "training.num_epochs=8",
        "learner.lockstep=true",
        "curriculum.enabled=true",
        "curriculum.max_depth=3",
        "curriculum.measure=improved",
        "curriculum.threshold=0",  # every measurement passes: what is tested is the way from there to the workers
        "curriculum.review=0",
    )
    depths = [metrics["curriculum_depth"] for metrics in training.history]
    assert depths[:3] == [1, 2, 3]
    assert set(depths[3:]) == {3}
    assert all(0 <= metrics["curriculum_val_improved"] <= 1 for metrics in training.history)
    held = training.algorithm.replay.transitions[: len(training.algorithm.replay)]
    firsts = np.flatnonzero(np.concatenate([[True], held["terminated"][:-1]]))
    begun = algebra.DEPTH[held["state"][firsts]].tolist()
    assert begun[0] == 1
    assert begun[-1] == 3
    assert begun[: begun.index(2)] == [1] * begun.index(2)
    (run,) = MlflowClient(training.config.mlflow.tracking_uri).search_runs(["1"])
    client = MlflowClient(training.config.mlflow.tracking_uri)
    assert [m.value for m in client.get_metric_history(run.info.run_id, "curriculum_depth")] == depths


def test_an_unreached_threshold_keeps_the_depth_and_boltzmann_exploration_is_reported(dataset, tmp_path):
    training = trained(
        dataset,
        tmp_path / "flat",
        "training.num_epochs=3",
        "curriculum.enabled=true",
        "curriculum.max_depth=2",
        "curriculum.threshold=1.0",
        "curriculum.patience=3",
        "exploration.policy=boltzmann",
        "exploration.schedule=linear",
        "exploration.over=30",
    )
    assert {metrics["curriculum_depth"] for metrics in training.history} == {1}
    temperatures = [metrics["temperature"] for metrics in training.history]
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[-1] == 0.005
    assert {metrics["epsilon"] for metrics in training.history} == {0}
    held = training.algorithm.replay.transitions[: len(training.algorithm.replay)]
    assert len(set(held["action"].tolist())) > 10
