"""Drill: a training is submitted to a Ray with tokens, stopped and submitted again, as docs/cluster.md says.

Every command and what it answered is appended to the file that RL_DRILL_LOG names; docs/operations.md shows one.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from free_ports import free_ports
from mlflow import MlflowClient
from test_chaos import overrides
from test_train import write_split

from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
from rl_aesthetics.datasets.dataset import RLDataset

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1200)]

GRACE_S = 60
TOKEN = "the-token-of-this-drill-0123456789abcdef"
METADATA = """
import json, sys, ray
ray.init(sys.argv[1], logging_level="ERROR")
print(json.dumps([dict(job.config.metadata) for job in ray._private.worker.global_worker.gcs_client
    .get_all_job_info().values()]))
"""


def until(condition, seconds, what, pause=0.5):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(pause)
    return value


def write_down(text):
    if log := os.environ.get("RL_DRILL_LOG"):
        with open(log, "a") as file:
            file.write(f"{text}\n\n")


class Head:
    """A Ray head with a token, a temporary folder and ports of its own; only its own processes are ended."""

    def __init__(self, root):
        self.root = root
        # Ray, like a fresh user, has nothing but the token's file and what a shell would give it.
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(root / "token"),
            "RAY_JOB_STOP_WAIT_TIME_S": str(GRACE_S),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        (root / "token").write_text(TOKEN)
        for attempt in range(8):  # Ray gives its raylet 30 s to start, which a busy machine may not grant
            self.log = root / f"head-{attempt}.log"
            self.process = self.start()
            until(lambda: self.runs() or self.process.poll() is not None, 300, "the head")
            if self.runs():
                return
        raise AssertionError(self.log.read_text()[-2000:])

    def start(self):
        gcs, self.port, client, agent, agent_grpc, metrics = free_ports(6)
        self.gcs = f"127.0.0.1:{gcs}"
        command = ["ray", "start", "--head", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        command += [f"--port={gcs}", f"--dashboard-port={self.port}", f"--ray-client-server-port={client}"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
        command += [f"--metrics-export-port={metrics}", "--min-worker-port=0", "--max-worker-port=0", "--num-cpus=2"]
        command += [f"--temp-dir={self.root}/ray"]
        with self.log.open("w") as log:
            return subprocess.Popen(
                command, env=self.environment, cwd=self.root, stdout=log, stderr=log, start_new_session=True
            )

    def runs(self):
        return "Ray runtime started" in self.log.read_text()

    def __call__(self, *words, environment=None, check=True):
        """Run a command as the user would; what it said."""
        began = time.monotonic()
        done = subprocess.run(
            words, env={**self.environment, **(environment or {})}, cwd=self.root, capture_output=True, text=True
        )
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        write_down(f"$ {shlex.join(words)}\n{said.rstrip()}\n[{time.monotonic() - began:.1f} s]")
        assert not check or done.returncode == 0, said
        return said

    def job(self, verb, *words, **options):
        return self("ray", "job", verb, "--address", f"http://127.0.0.1:{self.port}", *words, **options)

    def status(self, job):
        # "Status for job 'x': RUNNING", but "Job 'x' was stopped".
        return re.search(r"(?i)\b(pending|running|stopped|succeeded|failed)\b", self.job("status", job))[1].upper()

    def end(self):
        """End it; what of it is still there after minutes."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return psutil.wait_procs(family, timeout=120)[1]


@pytest.fixture
def head():
    # Ray's sockets lie in its folder, and their paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="job.", dir="/tmp") as root:
        head = Head(Path(root))
        try:
            yield head
        finally:
            alive = head.end()
        assert not alive, [process.cmdline()[:2] for process in alive]


def test_a_submitted_training_is_stopped_and_goes_on_in_the_same_mlflow_run(head):
    root, output = head.root, head.root / "run"
    write_split(root / "data" / "train", 12, 0)
    write_split(root / "data" / "val", 6, 1)
    database = f"sqlite:///{root}/mlflow.db"
    client, store = MlflowClient(database), CheckpointStore(output / "state")
    settings = overrides(root / "data", output, f"mlflow.tracking_uri={database}", "ray.num_rollout_workers=1")
    train = ["rl-aesthetics", "train", "--resume", "auto", *settings, "checkpoints.every_minutes=1000"]
    refused = head.job("list", environment={"RAY_AUTH_MODE": "disabled"}, check=False)
    assert "authentication" in refused.lower()

    metadata = head("rl-aesthetics", "train", "--job-metadata", *settings).strip()
    head.job("submit", "--no-wait", "--submission-id", "night-1", "--metadata-json", metadata, "--", *train)
    until(store.names, 400, "the first checkpoint")
    logs = until(lambda: re.search(r"epoch \d+/100000 .*", head.job("logs", "night-1")), 200, "an epoch", 5)
    listed = head.job("list")
    assert "night-1" in listed
    assert RLDataset(root / "data", "train").fingerprint in listed
    (known,) = [
        job
        for job in json.loads(head(sys.executable, "-c", METADATA, head.gcs).splitlines()[-1])
        if job.get("job_submission_id") == "night-1"
    ]
    assert json.loads(known["config"])["output"] == str(output)

    time.sleep(5)
    (first,) = store.names()
    stopped = time.time()
    head.job("stop", "--no-wait", "night-1")
    until(lambda: head.status("night-1") == "STOPPED", 3 * GRACE_S, "the job's end", 5)
    last = store.newest()[0]
    assert last > first
    took = (output / "state" / last / "manifest.json").stat().st_mtime - stopped
    assert took < GRACE_S  # what the command itself needs to start included
    write_down(f"the checkpoint was whole {took:.1f} s after the command was given")
    assert not re.search("Traceback|Error", head.job("logs", "night-1")), logs
    (experiment,) = (e for e in client.search_experiments() if e.name == "RL Image Optimization")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.tags["ray_submission_id"] == "night-1"
    assert run.data.tags["dataset"] == RLDataset(root / "data", "train").fingerprint

    done = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    epochs = f"training.num_epochs={len(done) + 20}"
    head.job("submit", "--no-wait", "--submission-id", "night-2", "--metadata-json", metadata, "--", *train, epochs)
    until(lambda: head.status("night-2") in ("SUCCEEDED", "FAILED"), 500, "the end", 5)
    logs = head.job("logs", "night-2")
    assert f"going on from checkpoint {last}" in logs
    assert head.status("night-2") == "SUCCEEDED", logs
    (again,) = client.search_runs([experiment.experiment_id])
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert again.data.tags["ray_submission_id"] == "night-2"
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert rows[: len(done)] == done
    assert [row["epoch"] for row in rows] == list(range(1, len(done) + 21))
    # MLflow keeps one of several equal values of one step and millisecond: epochs that took no step of their own.
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "epsilon")]
    assert set(steps) == {row["step"] for row in rows}
    assert not [text for text in (listed, logs, json.dumps(again.to_dictionary())) if TOKEN in text]
