"""Drills: parts of a training are killed or starved, and training goes on or is resumed with nothing wrong in it.

Rollout workers are killed for half a minute; RL_DRILL_SECONDS=120 makes it two.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from written_splits import write_split

from juror_service.jurors.registry import load_juror
from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
from ray_cluster.train.training import Training
from rl_aesthetics.config.config import load_config
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.view import View

pytestmark = [
    pytest.mark.usefixtures("mlflow_database"),
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.chaos,
    pytest.mark.timeout(900),
]

DRILL_SECONDS = float(os.environ.get("RL_DRILL_SECONDS", "30"))
BETWEEN_KILLS_S = 10.0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_split(root / "train", 12, 0)
    write_split(root / "val", 6, 1)
    return root


@pytest.fixture(autouse=True)
def without_tokens(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    yield
    ray.shutdown()


def overrides(dataset, output, *more):
    return [
        f"dataset={dataset}",
        f"output={output}",
        "training.num_epochs=100000",
        "training.dataloader_batch_size=4",
        "training.replay_capacity=60000",
        "training.epsilon_decay=0.999",
        "training.validation_frequency=20",
        "learner.replay=reference",
        "learner.learning_starts=50",
        "learner.threads=1",
        "learner.samples_per_insert=1",
        "learner.checkpoint_frequency=50",
        "juror.num_cpus=0.2",
        "juror.options={threads: 1}",
        "juror.save_scores=false",
        "ray.cpus_per_rollout_worker=0.4",
        *more,
    ]


def my_processes(title):
    """Ray processes below this one, by their title; those of other Rays on the machine are none of ours."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass
    return found


def check_buffer(training):
    """Every score and reward in the replay buffer equals a recomputed one, and the counters add up."""
    algorithm, task = training.algorithm, training.task
    held = algorithm.replay.transitions[: len(algorithm.replay)]
    juror, space = load_juror("pocket", threads=1), edit_space(task.actions)
    view = View(space, training.dataset.thumbnails(juror.size), training.dataset.original)

    def score(states):
        pairs, place = np.unique(np.stack([held["photo"], states]), axis=1, return_inverse=True)
        return juror.score(view(*pairs).transpose(0, 2, 3, 1))[place.ravel()]

    before, after = score(held["state"]), score(held["next_state"])
    original = score(np.zeros_like(held["state"]))
    np.testing.assert_allclose(held["score"], before, atol=1e-3)
    np.testing.assert_allclose(held["next_score"], after, atol=1e-3)
    near = np.abs(after - original) < 2e-3  # there the bonus hangs on the last digit
    rewards = task.reward(before, after, original, held["terminated"])
    np.testing.assert_allclose(held["reward"][~near], rewards[~near], atol=3e-3)
    assert algorithm.replay.added == len(held)
    assert algorithm.episodes_done == held["terminated"].sum()
    assert algorithm.env_steps >= len(held)


def test_rollout_workers_killed_every_ten_seconds(dataset, tmp_path):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    config = load_config(
        None, overrides(dataset, tmp_path / "run", "ray.num_rollout_workers=2", "training.validation_frequency=1000")
    )
    killed, done, wanted = [], threading.Event(), DRILL_SECONDS / BETWEEN_KILLS_S
    training = Training(config)

    def kill():
        while len(killed) < wanted and not done.wait(BETWEEN_KILLS_S):
            workers = my_processes("ray::RolloutWorker")
            if workers and training.history:
                workers[len(killed) % len(workers)].kill()
                killed.append(training.algorithm.env_steps)

    def enough(metrics):
        restarted = training.algorithm.env_runner_group.num_remote_worker_restarts()
        if len(killed) >= wanted and restarted and training.algorithm.env_steps > killed[-1]:
            training.config.learner.max_minutes = 1e-6  # it has gone on after the last of them

    training.report = enough
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        report = training.run()
    finally:
        done.set()
        killer.join()
    assert len(killed) >= wanted
    assert report.env_steps > killed[-1] > killed[0]
    check_buffer(training)
    ray.shutdown()
    assert not my_processes("ray::")


def test_a_machine_joins_and_leaves_a_two_machine_cluster(dataset, tmp_path):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    ray.init(address=cluster.address, log_to_driver=False)
    config = load_config(
        None,
        overrides(
            dataset, tmp_path / "run", "ray.cpus_per_rollout_worker=0.7", "learner.max_minutes=4", "juror.replicas=1"
        ),
    )
    training, seen, added = Training(config), [], []

    def watch(metrics):
        group = training.algorithm.env_runner_group
        seen.append(group.num_healthy_remote_env_runners())
        if metrics["epoch"] == 5:
            added.append(cluster.add_node(num_cpus=2))
        elif len(added) == 1 and seen[-1] > seen[0] and metrics["epoch"] > 20:
            homes = group.foreach_env_runner(
                lambda worker: ray.get_runtime_context().get_node_id(), local_env_runner=False, timeout_seconds=60
            )
            added.append(set(homes))
            cluster.remove_node(added[0], allow_graceful=False)
        elif len(added) == 2 and seen[-1] <= seen[0] and metrics["epoch"] % 10 == 0:
            added.append("done")
            training.config.learner.max_minutes = 1e-6  # it has gone on without the machine: enough

    training.report = watch
    try:
        report = training.run()
        assert len(added) == 3, (seen[:3], seen[-3:], len(added))
        assert len(added[1]) == 2  # rollout workers ran on both
        assert report.env_steps > 0
        check_buffer(training)
    finally:
        ray.shutdown()
        cluster.shutdown()


def train(dataset, output, *more):
    command = [sys.executable, "-m", "rl_aesthetics_cli", "train"]
    return [*command, *overrides(dataset, output, "ray.num_cpus=2", "ray.num_rollout_workers=1", *more)]


def test_a_driver_killed_with_sigkill_is_resumed(dataset, tmp_path, monkeypatch):
    output, store = tmp_path / "run", CheckpointStore(tmp_path / "run" / "state")
    command = train(dataset, output, "checkpoints.every_minutes=0")
    # Ray's agents report to the dead head for so long (60 s, if it is left out) before they end.
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "15")
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while len(store.names()) < 2 and time.monotonic() < deadline and driver.poll() is None:
        time.sleep(0.2)
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    monkeypatch.delenv("RAY_gcs_rpc_server_reconnect_timeout_s")
    steps = store.newest()[1]["counters"]["counts"]["env_steps"]
    _, alive = psutil.wait_procs(family, timeout=400)  # Ray's dashboard agent takes minutes on a busy machine
    assert not alive, [process.cmdline()[:2] for process in alive]
    config = load_config(None, command[command.index("train") + 1 :])
    config.learner.max_minutes = store.newest()[1]["training"]["seconds"] / 60 + 0.2
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    training = Training(config, resume="auto")
    report = training.run()
    assert report.env_steps > steps
    assert [row["epoch"] for row in report.history] == list(range(1, len(report.history) + 1))
    check_buffer(training)


def test_sigterm_leaves_a_checkpoint_within_the_grace_time(dataset, tmp_path):
    output, store = tmp_path / "run", CheckpointStore(tmp_path / "run" / "state")
    command = train(dataset, output, "checkpoints.every_minutes=1000")
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not store.names() and time.monotonic() < deadline and driver.poll() is None:
        time.sleep(0.2)
    first = store.names()
    time.sleep(5)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(60) == 128 + signal.SIGTERM
    (*_, last) = store.names()
    assert last > first[-1]
    assert store.newest()[0] == last


FULL = """
import json, sys
from ray_cluster.train.training import Training
from rl_aesthetics.config.config import load_config
report = Training(load_config(None, sys.argv[1:])).run()
print(json.dumps(report.history[-1]))
"""


def test_a_disk_that_is_full_at_every_checkpoint_does_not_end_a_training(dataset, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, f"mount -t tmpfs none {full}"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk in a namespace")
    words = overrides(
        dataset,
        tmp_path / "run",
        "ray.num_cpus=2",
        "ray.num_rollout_workers=1",
        "training.num_epochs=6",
        "learner.replay=frames",
        "training.replay_capacity=400",
        "checkpoints.every_minutes=0",
        f"checkpoints.storage={full}/state",
    )
    script = f'mount -t tmpfs -o size=600k none {full} && exec "$@"'
    command = [*unshare, script, "sh", sys.executable, "-c", FULL, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "no checkpoint at step" in done.stderr
    assert len((Path(tmp_path) / "run" / "metrics.jsonl").read_text().splitlines()) == 6
    assert os.path.exists(tmp_path / "run" / "agent.safetensors")
