"""Small sweeps on real Ray Tune with real Optuna and MLflow, from a YAML file to the best configuration."""

import json
import os
import signal
import threading

import pytest
import yaml
from mlflow import MlflowClient
from written_splits import write_split

from ray_cluster.sweep.sweep import Sweep, share
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.config.sweep_plan import SweepPlan, load_plan
from rl_aesthetics.errors import UserError

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.ray, pytest.mark.slow]
EPOCHS = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", 8, 0)
    write_split(root / "val", 8, 1)
    return root


def prepared(folder, dataset, **plan):
    """(plan, overrides) of a sweep over what a step costs: a trial where it costs 1 has a far lower reward."""
    (folder / "sweep.yaml").write_text(
        yaml.safe_dump(
            {
                "settings": {
                    "training.num_epochs": EPOCHS,
                    "training.dataloader_batch_size": 4,
                    "learner.learning_starts": 20,
                    "training.batch_size": 16,
                    "juror.num_cpus": 0.1,
                    "juror.options": {"threads": 1},
                    "juror.save_scores": False,
                    "ray.cpus_per_rollout_worker": 0.5,
                    "mlflow.tracking_uri": f"sqlite:///{folder}/mlflow.db",
                },
                "space": {"reward.step_penalty": {"uniform": [0.0, 1.0]}, "training.gamma": {"choice": [0.5, 0.9]}},
                "first": [
                    {"reward.step_penalty": 0.0, "training.gamma": 0.9},
                    {"reward.step_penalty": 1.0, "training.gamma": 0.5},
                ],
                "metric": "val_avg_reward",
                "trials": 2,
                "trials_at_once": 1,
                "asha": {"grace_period": 1, "reduction_factor": 2},
                **plan,
            }
        )
    )
    overrides = (f"dataset={dataset}", f"output={folder / 'out'}")
    return load_plan(folder / "sweep.yaml", overrides), overrides


@pytest.fixture(scope="module")
def swept(dataset, tmp_path_factory):
    """(folder, the sweep, its report, what it reported on the way)"""
    folder, told = tmp_path_factory.mktemp("sweep"), []
    sweep = Sweep(*prepared(folder, dataset), lambda name, values, result: told.append((name, values, result["epoch"])))
    return folder, sweep, sweep.run(), told


def test_the_best_trial_comes_first_and_a_poor_one_is_ended_early(swept):
    """The predecessor's pruner never fired."""
    _, _, report, told = swept
    good, poor = report.trials
    assert good.values == {"reward.step_penalty": 0.0, "training.gamma": 0.9}
    assert (good.state, good.epochs) == ("finished", EPOCHS)
    assert (poor.state, poor.epochs) == ("ended early", 1)
    assert good.best > poor.best + 0.5
    assert [epoch for name, _, epoch in told if name == good.name] == list(range(1, EPOCHS + 1))


def test_what_was_tried_is_what_the_trial_was_trained_with(swept):
    """A sampled gamma never reached the predecessor's model."""
    folder, _, report, _ = swept
    for trial in report.trials:
        used = load_config(folder / "out/trials" / trial.name / "config.yaml").rl_training
        assert used.reward.step_penalty == trial.values["reward.step_penalty"]
        assert used.training.gamma == trial.values["training.gamma"]


def test_the_best_configuration_is_one_that_train_takes_and_its_agent_is_there(swept, dataset):
    folder, _, report, _ = swept
    config = load_config(report.best_config)
    assert config.rl_training.reward.step_penalty == 0.0
    assert config.rl_training.training.gamma == 0.9
    assert config.dataset == dataset
    assert config.output == load_config().output
    assert config.rl_training.training.num_epochs == EPOCHS
    assert DQNAgent.load(report.best_agent).description.config["rl_training"]["training"]["gamma"] == 0.9
    kept = json.loads((folder / "out/trials.json").read_text())
    assert [trial["name"] for trial in kept] == [trial.name for trial in report.trials]


def test_trials_are_runs_below_the_sweeps_own(swept):
    _, sweep, report, _ = swept
    client = MlflowClient(sweep.config.mlflow.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name(sweep.config.mlflow.experiment).experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(report.trials) == len(runs) - 1
    assert {run.data.params["rl_training.training.gamma"] for run in children} == {"0.9", "0.5"}
    assert sorted(run.info.status for run in children) == ["FINISHED", "KILLED"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_val_avg_reward"] == pytest.approx(report.trials[0].best)
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {"best.yaml", "trials.json"}


def test_an_earlier_sweep_is_not_overwritten(swept, dataset):
    folder, sweep, _, _ = swept
    with pytest.raises(UserError, match="holds an earlier sweep"):
        Sweep(sweep.plan, (f"dataset={dataset}", f"output={folder / 'out'}"))


def test_ctrl_c_ends_it_with_what_it_has(dataset, tmp_path):
    asked = threading.Event()

    def interrupt(name, values, told):
        if not asked.is_set():
            asked.set()
            os.kill(os.getpid(), signal.SIGINT)

    plan, overrides = prepared(tmp_path, dataset, asha={"enabled": False})
    report = Sweep(plan.model_copy(update={"trials": 5}), overrides, interrupt).run()
    assert report.interrupted
    assert len(report.trials) < 5
    assert report.trials[0].best is not None
    assert {trial.state for trial in report.trials} <= {"stopped", "finished"}
    assert load_config(report.best_config).rl_training.reward.step_penalty == 0.0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert {run.info.status for run in client.search_runs(["1"])} <= {"KILLED", "FINISHED"}


def test_trials_share_what_the_jurors_leave():
    config = load_config(None, ["juror.num_cpus=1", "ray.num_rollout_workers=2"])
    plan = SweepPlan(space={"training.gamma": {"choice": [0.9]}}, trials=20)
    bundles, at_once = share(config, plan, cpus=14)
    assert (bundles, at_once) == ([{"CPU": 1.0}, {"CPU": 2.25}], 4)
    assert share(config, plan.model_copy(update={"trials_at_once": 2}), 14)[1] == 2
    bundles, at_once = share(config, plan, cpus=3.5)  # a learner of less than a CPU, so that one trial fits
    assert (bundles[0]["CPU"], at_once) == (0.25, 1)
    with pytest.raises(UserError, match=r"a trial needs 2.35 CPUs .* the jurors leave 1 of 2"):
        share(config, plan, cpus=2)
