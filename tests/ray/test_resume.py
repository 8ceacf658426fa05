"""A training that was stopped and goes on equals one that never was, bit for bit."""

import os
import signal

import numpy as np
import pytest
import ray
import torch
from mlflow import MlflowClient
from test_train import write_split

from ray_cluster.checkpoint import CheckpointStore
from ray_cluster.learner import ActorLearnerDQN
from ray_cluster.train import Training
from rl_aesthetics.agent import DQNAgent
from rl_aesthetics.config import load_config
from rl_aesthetics.errors import UserError

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EPOCHS = 6
REPLAYS = {
    "frames": ("learner.network=simple_cnn",),
    "reference": (
        "learner.network=edit_scoring",
        "learner.replay=reference",
        "learner.augment=true",
        "learner.fresh_degradations=true",
        "learner.remember_next_action=true",
        "learner.learning_rate_end=0.0001",
    ),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", 12, 0)
    write_split(root / "val", 6, 1)
    return root


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        torch.set_num_threads(1)
        yield
        ray.shutdown()


def configured(dataset, output, *overrides):
    return load_config(
        None,
        [
            f"dataset={dataset}",
            f"output={output}",
            f"mlflow.tracking_uri=sqlite:///{output.parent}/mlflow.db",
            f"training.num_epochs={EPOCHS}",
            "training.dataloader_batch_size=4",
            "training.replay_capacity=400",
            "training.target_update_frequency=7",
            "learner.learning_starts=40",
            "learner.lockstep=true",
            "learner.threads=1",
            "ray.num_rollout_workers=1",
            "juror.options={threads: 1}",
            "juror.save_scores=false",
            *overrides,
        ],
    )


@pytest.fixture
def stop_after(monkeypatch):
    """Send SIGTERM to this process in a training's nth step."""

    def arrange(steps):
        step, taken = ActorLearnerDQN.training_step, []

        def counted(self, seconds=1.0):
            taken.append(self.env_steps)
            if len(taken) == steps:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, seconds)

        monkeypatch.setattr(ActorLearnerDQN, "training_step", counted)

    return arrange


def outcome(training):
    """Everything that training changes, the clock excepted."""
    algorithm = training.algorithm
    learned = algorithm.replay.get_state()
    return {
        "history": [
            {
                name: value
                for name, value in row.items()
                if not name.startswith(("perf_", "juror_")) and name != "seconds"
            }
            for row in training.history
        ],
        "replay": {name: getattr(value, "tobytes", lambda value=value: value)() for name, value in learned.items()},
        "counts": (algorithm.env_steps, algorithm.episodes_done, algorithm.trained, algorithm.scorer_calls),
        "network": {name: value.tobytes() for name, value in training.final.items()},
    }


def trained(config, **options):
    """A training whose final network was noted before it was taken down."""
    training = Training(config, **options)
    report = training.report

    def note(metrics):
        training.final = training.algorithm.network_weights()
        report(metrics)

    training.report = note
    training.run()
    return training


@pytest.mark.parametrize("replay", REPLAYS)
def test_two_halves_equal_the_whole_bit_for_bit(dataset, tmp_path, replay, stop_after):
    whole = trained(configured(dataset, tmp_path / "whole", *REPLAYS[replay]))
    halves = configured(dataset, tmp_path / "halves", *REPLAYS[replay])
    stop_after(len(whole.history))  # in the middle of an epoch, with episodes under way
    with pytest.raises(SystemExit) as stopped:
        trained(halves)
    assert stopped.value.code == 128 + signal.SIGTERM
    resumed = trained(halves, resume="auto")
    one, other = outcome(whole), outcome(resumed)
    assert one["counts"] == other["counts"]
    for ours, theirs in zip(one["history"], other["history"], strict=True):
        assert {name: (ours[name], theirs.get(name)) for name in ours if ours[name] != theirs.get(name)} == {}
    assert one["replay"] == other["replay"]
    assert one["network"] == other["network"]
    best, again = (DQNAgent.load(training.output) for training in (whole, resumed))
    for name, tensor in best.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])


@pytest.fixture(scope="module")
def stopped(dataset, tmp_path_factory):
    """The configuration of a training that was stopped."""
    config = configured(dataset, tmp_path_factory.mktemp("stopped") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActorLearnerDQN, "settle", signalling(ActorLearnerDQN.settle))
        with pytest.raises(SystemExit):
            Training(config).run()
    return config


def signalling(method):
    """The method, which sends SIGTERM to this process first."""

    def signalled(self, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return method(self, *arguments)

    return signalled


def runs(config):
    client = MlflowClient(config.mlflow.tracking_uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == config.mlflow.experiment)
    return client, client.search_runs([experiment.experiment_id])


def test_a_stopped_run_is_marked_killed_and_the_resumed_one_is_the_same_run(stopped):
    _, (run,) = runs(stopped)
    assert run.info.status == "KILLED"
    report = Training(stopped, resume="auto").run()
    client, (again,) = runs(stopped)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    history = client.get_metric_history(run.info.run_id, "train_avg_reward")
    steps = [metric.step for metric in history]
    assert steps == sorted(set(steps)) == [row["step"] for row in report.history]
    lines = (stopped.output / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == report.epochs == EPOCHS


def test_a_finished_training_goes_on_when_it_is_given_more_epochs(stopped, caplog):
    more = stopped.model_copy(deep=True)
    more.rl_training.training.num_epochs = EPOCHS + 2
    report = Training(more, resume="auto").run()
    assert report.epochs == EPOCHS + 2
    assert "settings changed since the checkpoint: rl_training.training" in caplog.text


def test_without_a_checkpoint_auto_begins_anew(dataset, tmp_path):
    config = configured(dataset, tmp_path / "run", "training.num_epochs=1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"left": "by a run that died in its first epoch"}\n')
    assert Training(config, resume="auto").run().epochs == 1
    assert "left" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_replay_buffer_over_the_limit_is_left_out_and_filled_again(dataset, tmp_path, stop_after):
    config = configured(dataset, tmp_path / "run", "checkpoints.replay_limit_mb=0")
    stop_after(4)
    with pytest.raises(SystemExit):
        Training(config).run()
    _, parts = CheckpointStore(tmp_path / "run" / "state").newest()
    assert "replay" not in parts
    added = parts["counters"]["replay_added"]
    assert added > 0
    resumed = Training(config, resume="auto")
    resumed.run()
    assert len(resumed.algorithm.replay) == resumed.algorithm.replay.added - added >= 40


def test_a_checkpoint_named_by_its_path_leaves_no_newer_one_behind(dataset, tmp_path):
    config = configured(
        dataset, tmp_path / "run", "checkpoints.every_minutes=0", "checkpoints.keep=9", "training.num_epochs=3"
    )
    Training(config).run()
    store = CheckpointStore(tmp_path / "run" / "state")
    first = store.names()[0]
    report = Training(config, resume=f"{tmp_path}/run/state/{first}").run()
    assert report.epochs == 3
    assert np.all(np.diff([row["epoch"] for row in report.history]) == 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.max_steps_per_episode=3"], "written with another step limit: 5, not 3"),
        (["action_space.add_stop_action=false"], "written with another actions: "),
        (["learner.network=edit_scoring"], "written with another network: simple_cnn, not edit_scoring"),
        (["training.replay_capacity=200"], "leave rl_training.training.replay_capacity as it was"),
    ],
)
def test_a_checkpoint_of_another_task_is_refused(stopped, overrides, message):
    config = load_config(stopped.output / "config.yaml", overrides)
    with pytest.raises(UserError, match=message):
        Training(config, resume="auto").run()


def test_resume_and_overwrite_exclude_each_other(dataset, tmp_path):
    with pytest.raises(UserError, match="exclude each other"):
        Training(configured(dataset, tmp_path / "run"), resume="auto", overwrite=True)


def test_a_checkpoint_that_is_not_there_is_the_users_mistake(dataset, tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint at /nowhere"):
        Training(configured(dataset, tmp_path / "run"), resume="/nowhere")
