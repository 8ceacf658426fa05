"""A training that was stopped and goes on equals one that never was, bit for bit."""

import os
import shutil
import signal
from typing import NamedTuple

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from written_splits import write_split

from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.learner.actor_learner import ActorLearner
from ray_cluster.tracking import tracker as tracking
from ray_cluster.train.training import Training
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import Config, load_config
from rl_aesthetics.errors import UserError

pytestmark = [
    pytest.mark.usefixtures("mlflow_database", "cluster"),
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

EPOCHS = 6
REPLAYS = {
    "frames": ("learner.network=simple_cnn",),
    "reference": (
        "learner.network=afterstate",
        "learner.replay=reference",
        "learner.fresh_degradations=true",
        "learner.target_action=stored",
        "learner.learning_rate_end=0.0001",
        "learner.weight_average=0.9",
        "curriculum.enabled=true",
        "curriculum.max_depth=3",
        "curriculum.measure=improved",
        "curriculum.threshold=0",  # every epoch passes, and every third one makes episodes deeper
        "curriculum.patience=3",
    ),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", 12, 0)
    write_split(root / "val", 6, 1)
    return root


@pytest.fixture(scope="module", autouse=True)
def patience():
    """Time for MLflow to hear how a stopped run ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "PATIENCE_KILLED_SECONDS", 30.0)
        yield


def configured(dataset, output, *overrides):
    return load_config(
        None,
        [
            f"dataset={dataset}",
            f"output={output}",
            f"mlflow.experiment={output.parent.name}",
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


def stop_in_step(config, steps, **options):
    """Train, and send SIGTERM to this process in the nth step."""
    step, taken = ActorLearner.training_step, []

    def counted(self, seconds=1.0):
        taken.append(self.env_steps)
        if len(taken) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActorLearner, "training_step", counted)
        with pytest.raises(SystemExit) as stopped:
            Training(config, **options).run()
    assert stopped.value.code == 128 + signal.SIGTERM


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


@pytest.fixture(scope="module")
def juror():
    """A juror for all trainings that need no fresh one; it remembers nothing."""
    return start_jurors("pocket", {"threads": 1}, num_cpus=0)


@pytest.fixture(scope="module")
def journey(dataset, tmp_path_factory):
    """A training that was stopped in the middle of an epoch with episodes under way, and gone on with."""
    config = configured(dataset, tmp_path_factory.mktemp("journey") / "run", *REPLAYS["frames"])
    whole = trained(configured(dataset, tmp_path_factory.mktemp("whole") / "run", *REPLAYS["frames"]))
    stop_in_step(config, len(whole.history))
    killed = runs(config)
    return Journey(config, whole, killed, trained(config, resume="auto"))


class Journey(NamedTuple):
    config: Config
    whole: Training
    killed: list[Run]
    resumed: Training


def check_equal(whole, resumed):
    one, other = outcome(whole), outcome(resumed)
    assert one["counts"] == other["counts"]
    for ours, theirs in zip(one["history"], other["history"], strict=True):
        assert {name: (ours[name], theirs.get(name)) for name in ours if ours[name] != theirs.get(name)} == {}
    assert one["replay"] == other["replay"]
    assert one["network"] == other["network"]
    best, again = (DQNAgent.load(training.output) for training in (whole, resumed))
    for name, tensor in best.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])


def test_two_halves_equal_the_whole_bit_for_bit(journey):
    check_equal(journey.whole, journey.resumed)


def test_two_halves_of_every_option_equal_the_whole_bit_for_bit(dataset, tmp_path, juror):
    whole = trained(configured(dataset, tmp_path / "whole", *REPLAYS["reference"]), scorer=juror)
    halves = configured(dataset, tmp_path / "halves", *REPLAYS["reference"])
    stop_in_step(halves, len(whole.history), scorer=juror)
    _, parts = CheckpointStore(halves.output / "state").newest()
    assert parts["training"]["depths"] == {"passed": 2}  # the next epoch that passes makes them deeper
    check_equal(whole, trained(halves, resume="auto", scorer=juror))


def runs(config):
    client = MlflowClient()
    return client.search_runs([client.get_experiment_by_name(config.mlflow.experiment).experiment_id])


def test_a_stopped_run_is_marked_killed_and_the_resumed_one_is_the_same_run(journey):
    (run,), (again,) = journey.killed, runs(journey.config)
    assert run.info.status == "KILLED"
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    history = MlflowClient().get_metric_history(run.info.run_id, "train_avg_reward")
    steps = [metric.step for metric in history]
    assert steps == sorted(set(steps)) == [row["step"] for row in journey.resumed.history]
    lines = (journey.config.output / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(journey.resumed.history) == EPOCHS


def test_a_finished_training_goes_on_when_it_is_given_more_epochs(journey, tmp_path, caplog, juror):
    shutil.copytree(journey.config.output, tmp_path / "run")
    more = load_config(
        journey.config.output / "config.yaml", [f"output={tmp_path}/run", f"training.num_epochs={EPOCHS + 2}"]
    )
    report = Training(more, resume="auto", scorer=juror).run()
    assert report.epochs == EPOCHS + 2
    assert "settings changed since the checkpoint: rl_training.training" in caplog.text


def test_without_a_checkpoint_auto_begins_anew(dataset, tmp_path, juror):
    config = configured(dataset, tmp_path / "run", "training.num_epochs=1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"left": "by a run that died in its first epoch"}\n')
    assert Training(config, resume="auto", scorer=juror).run().epochs == 1
    assert "left" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_checkpoint_named_by_its_path_is_gone_on_from_without_its_replay_buffer(dataset, tmp_path, juror):
    config = configured(
        dataset,
        tmp_path / "run",
        *("checkpoints.every_minutes=0", "checkpoints.keep=9", "checkpoints.replay_limit_mb=0"),
        "training.num_epochs=3",
    )
    Training(config, scorer=juror).run()
    store = CheckpointStore(tmp_path / "run" / "state")
    first, *newer = store.names()
    assert newer
    parts = store.read(first)
    assert "replay" not in parts  # it was over the limit
    added = parts["counters"]["replay_added"]
    assert added > 0
    resumed, seen = Training(config, resume=f"{tmp_path}/run/state/{first}", scorer=juror), []
    resumed.report = lambda metrics: seen.append(store.names())
    resumed.run()
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3]
    assert not set(seen[0]) & set(newer)  # a later --resume auto must not go on from them
    assert len(resumed.algorithm.replay) == resumed.algorithm.replay.added - added >= 40


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.max_steps_per_episode=3"], "written with another step limit: 5, not 3"),
        (["action_space.add_stop_action=false"], "written with another actions: "),
        (["learner.network=afterstate"], "written with another network: simple_cnn, not afterstate"),
        (["training.replay_capacity=200"], "leave rl_training.training.replay_capacity as it was"),
    ],
)
def test_a_checkpoint_of_another_task_is_refused(journey, overrides, message, juror):
    config = load_config(journey.config.output / "config.yaml", overrides)
    before = content(journey.config.output)
    with pytest.raises(UserError, match=message):
        Training(config, resume="auto", scorer=juror).run()
    assert content(journey.config.output) == before


def test_newer_checkpoints_than_a_refused_one_stay(journey, juror):
    first, *newer = CheckpointStore(journey.config.output / "state").names()
    assert newer
    config = load_config(journey.config.output / "config.yaml", ["training.max_steps_per_episode=3"])
    before = content(journey.config.output)
    with pytest.raises(UserError, match="written with another step limit"):
        Training(config, resume=f"{journey.config.output}/state/{first}", scorer=juror).run()
    assert content(journey.config.output) == before


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resume_and_overwrite_exclude_each_other(dataset, tmp_path):
    with pytest.raises(UserError, match="exclude each other"):
        Training(configured(dataset, tmp_path / "run"), resume="auto", overwrite=True)


def test_a_checkpoint_that_is_not_there_is_the_users_mistake(dataset, tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint at /nowhere"):
        Training(configured(dataset, tmp_path / "run"), resume="/nowhere")
