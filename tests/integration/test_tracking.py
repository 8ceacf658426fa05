"""Tracking against a real `mlflow server` on a loopback port, and against the default SQLite file.

Between the tracker and the server stands a proxy that can misbehave on request: the answers are the server's own.
"""

import itertools
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import Proxy, Server, free_port

from ray_cluster.tracking import tracker as tracking
from ray_cluster.tracking.spool import Spool
from ray_cluster.tracking.tracker import Tracker, upload
from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError

LOG_BATCH = "/api/2.0/mlflow/runs/log-batch"
EXPERIMENTS = itertools.count(1)


@pytest.fixture(scope="module")
def local_run(tmp_path_factory):
    """A run recorded with the default settings: its folder, and how long the tracker held training up at the start."""
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        config = load_config()
        began = time.perf_counter()
        tracker = Tracker(config.mlflow, config, folder / "run")
        seconds = time.perf_counter() - began
        with tracker:
            log(tracker, 0, 5)
            Path("agent").write_text("weights")
            tracker.log_artifact("agent")
    return folder, seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory, local_run):
    server = Server(tmp_path_factory.mktemp("server"))
    shutil.copy(local_run[0] / "mlflow.db", server.folder)  # making another one takes 5 s
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(server):
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture
def experiment():
    return f"experiment {next(EXPERIMENTS)}"


@pytest.fixture
def make_tracker(tmp_path, monkeypatch, experiment):
    monkeypatch.setattr(tracking, "GATHER_SECONDS", 0.05)
    monkeypatch.setattr(tracking, "BACKOFF_SECONDS", (0.1, 0.2))

    def make(uri, folder="run", **arguments):
        config = load_config(None, [f"mlflow.experiment={experiment}", f"mlflow.tracking_uri={uri}"])
        return Tracker(config.mlflow, config, tmp_path / folder, **arguments)

    return make


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def steps(first, last):
    return [(step, step / 2) for step in range(first, last)]


def log(tracker, first, last):
    for step in range(first, last):
        tracker.log_metrics({"train_avg_reward": step / 2}, step)


def test_a_run_arrives_whole(server, make_tracker, experiment, tmp_path):
    before = int(time.time() * 1000)
    (tmp_path / "agent.safetensors").write_bytes(b"weights")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "results.csv").write_text("image_id\n1\n")
    names = ["train_avg_reward", "val_success_rate", "epsilon", "perf_env_steps_per_s"]
    with make_tracker(server.uri, tags={"dataset": "abc"}) as tracker:
        for step in range(5):
            tracker.log_metrics({name: step * 10 + number for number, name in enumerate(names)}, step * 1000)
        tracker.log_artifact(tmp_path / "agent.safetensors", "checkpoints")
        tracker.log_artifact(tmp_path / "evaluation")
        tracker.set_tags({"agent": "agent.safetensors"})
    run = server.run(experiment)
    assert run.info.status == "FINISHED"
    assert before <= run.info.start_time <= run.info.end_time
    for number, name in enumerate(names):
        assert server.history(run, name) == [(step * 1000, step * 10 + number) for step in range(5)]
    assert run.data.params["rl_training.training.gamma"] == "0.99"
    assert run.data.tags.items() >= {"dataset": "abc", "agent": "agent.safetensors"}.items()
    artifact = server.client.download_artifacts(run.info.run_id, "checkpoints/agent.safetensors", tmp_path)
    assert Path(artifact).read_bytes() == b"weights"
    assert [f.path for f in server.client.list_artifacts(run.info.run_id, "evaluation")] == ["evaluation/results.csv"]
    assert list((tmp_path / "run").iterdir()) == []


def test_every_setting_is_a_parameter(server, make_tracker, experiment):
    config = load_config(None, [f"mlflow.experiment={experiment}", f"mlflow.tracking_uri={server.uri}"])
    make_tracker(server.uri).finish()
    assert server.run(experiment).data.params == tracking.parameters(config)


def test_the_code_revision_is_a_tag(server, make_tracker, experiment):
    folder = Path(tracking.__file__).parent
    revision = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True)
    if revision.returncode:
        pytest.skip("not a git checkout")
    make_tracker(server.uri).finish()
    assert server.run(experiment).data.tags["mlflow.source.git.commit"] == revision.stdout.strip()


def test_values_that_are_no_numbers_arrive_as_such(server, make_tracker, experiment):
    with make_tracker(server.uri) as tracker:
        tracker.log_metrics({"train_avg_loss": float("nan"), "epsilon": 1.0}, 1)
    ((step, loss),) = server.history(server.run(experiment), "train_avg_loss")
    assert step == 1
    assert loss != loss


def test_what_is_logged_together_leaves_in_one_request(proxy, make_tracker):
    tracker = make_tracker(proxy.uri)
    until(lambda: proxy.posts.count(LOG_BATCH) >= 1)
    time.sleep(0.5)
    proxy.posts.clear()
    tracker.log_metrics({f"metric_{number}": number for number in range(13)}, 1)
    assert tracker.finish()
    assert proxy.posts == [LOG_BATCH, "/api/2.0/mlflow/runs/update"]


def test_runs_have_names_of_their_own_however_training_seeds(server, make_tracker, experiment):
    for _ in range(2):
        random.seed(0)
        make_tracker(server.uri).finish()
    first, second = (run.info.run_name for run in server.runs(experiment))
    assert first != second
    assert first.startswith("run-")


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit(15), "KILLED"), (SystemExit(0), "FINISHED")],
)
def test_the_status_tells_how_the_run_ended(server, make_tracker, experiment, error, status):
    with pytest.raises((Exception, KeyboardInterrupt, SystemExit)), make_tracker(server.uri):
        raise error
    assert server.run(experiment).info.status == status


def test_nothing_can_be_recorded_after_the_end(server, make_tracker):
    tracker = make_tracker(server.uri)
    tracker.finish()
    with pytest.raises(RuntimeError, match="has ended"):
        tracker.log_metrics({"epsilon": 1}, 1)


def test_an_earlier_run_can_be_continued(server, make_tracker, experiment):
    with make_tracker(server.uri) as tracker:
        log(tracker, 0, 3)
    with make_tracker(server.uri, key=tracker.key) as tracker:
        log(tracker, 3, 6)
    assert server.history(server.run(experiment), "train_avg_reward") == steps(0, 6)


def test_a_server_that_is_down_costs_training_next_to_nothing(make_tracker):
    uri = f"http://127.0.0.1:{free_port()}"
    began = time.perf_counter()
    tracker = make_tracker(uri)
    assert time.perf_counter() - began < 0.1
    seconds = []
    for step in range(2000):
        began = time.perf_counter()
        tracker.log_metrics({f"metric_{number}": step for number in range(13)}, step)
        seconds.append(time.perf_counter() - began)
    print(f"log_metrics: median {statistics.median(seconds) * 1e6:.0f} µs, slowest {max(seconds) * 1e6:.0f} µs")
    assert statistics.median(seconds) < 0.2e-3
    assert sum(seconds) < 2000 * 0.2e-3
    tracker.finish("KILLED")


def test_a_run_that_began_without_a_server_is_uploaded_later(server, make_tracker, experiment, tmp_path, caplog):
    began = time.time() * 1000
    tracker = make_tracker(f"http://127.0.0.1:{free_port()}")
    log(tracker, 0, 500)
    (tmp_path / "checkpoint").write_text("first")
    tracker.log_artifact(tmp_path / "checkpoint")
    (tmp_path / "checkpoint").unlink()
    assert not tracker.finish("KILLED")
    assert f"rl-aesthetics mlflow-upload {tmp_path / 'run'}" in caplog.text
    until(lambda: not tracker._thread.is_alive())
    with pytest.raises(UserError, match="Connection refused"):
        upload(tmp_path / "run")
    command = [Path(sys.executable).parent / "rl-aesthetics", "mlflow-upload", tmp_path / "run"]
    subprocess.run([*command, "--tracking-uri", server.uri], check=True)
    run = server.run(experiment)
    assert abs(run.info.start_time - began) < 1000
    assert run.info.status == "KILLED"
    assert server.history(run, "train_avg_reward") == steps(0, 500)
    assert Path(server.client.download_artifacts(run.info.run_id, "checkpoint", tmp_path)).read_text() == "first"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_server_that_stops_and_starts_again_loses_and_doubles_nothing(server, make_tracker, experiment, tmp_path):
    with make_tracker(server.uri) as tracker:
        log(tracker, 0, 100)
        until(lambda: server.runs(experiment))
        until(lambda: len(server.history(server.run(experiment), "train_avg_reward")) == 100)
        server.stop()
        log(tracker, 100, 1500)  # more than one request can hold
        (tmp_path / "agent").write_text("middle")
        tracker.log_artifact(tmp_path / "agent")
        (tmp_path / "agent").unlink()
        server.start()
        log(tracker, 1500, 1600)
        assert tracker.finish()
    run = server.run(experiment)
    assert server.history(run, "train_avg_reward") == steps(0, 1600)
    assert [file.path for file in server.client.list_artifacts(run.info.run_id)] == ["agent"]
    assert run.info.status == "FINISHED"


def test_errors_of_the_server_are_sat_out(server, proxy, make_tracker, experiment, caplog):
    proxy.mode = "fail"
    with make_tracker(proxy.uri) as tracker:
        log(tracker, 0, 10)
        until(lambda: "does not take" in caplog.text)
        proxy.mode = "pass"
        until(lambda: "answers again" in caplog.text)
        proxy.mode = "fail"
        log(tracker, 10, 20)
        time.sleep(0.5)
        proxy.mode = "pass"
    assert server.history(server.run(experiment), "train_avg_reward") == steps(0, 20)


def test_a_request_whose_answer_was_lost_is_not_recorded_twice(server, proxy, make_tracker, experiment, tmp_path):
    proxy.mode = "lose"  # the answers to create-experiment, search, create, log-batch and update
    (tmp_path / "agent").write_text("weights")
    with make_tracker(proxy.uri) as tracker:
        for part in range(3):
            log(tracker, part * 10, part * 10 + 10)
            until(lambda sent=2 * part + 2: proxy.posts.count(LOG_BATCH) >= sent)
        tracker.log_artifact(tmp_path / "agent")
    assert proxy.posts.count("/api/2.0/mlflow/runs/create") == 1  # the second time it was found
    assert server.history(server.run(experiment), "train_avg_reward") == steps(0, 30)


def test_a_server_that_hangs_holds_the_end_up_for_a_bounded_time(proxy, make_tracker, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE_SECONDS", 1.0)
    proxy.mode = "hang"
    tracker = make_tracker(proxy.uri)
    log(tracker, 0, 10)
    time.sleep(0.5)
    began = time.monotonic()
    assert not tracker.finish()
    assert time.monotonic() - began < 1.5
    assert tracker.spool.exists()
    Spool(tracker.spool).close()  # nobody has it open, though the request hangs on


def test_what_the_server_refuses_blocks_nothing_else(server, make_tracker, experiment, tmp_path, caplog):
    with make_tracker(server.uri) as tracker:
        tracker.log_metrics({"epsilon": 0.5, "no!such!name": 1, "train_avg_steps": 3}, 1)
        log(tracker, 0, 5)
    run = server.run(experiment)
    assert server.history(run, "epsilon") == [(1, 0.5)]
    assert server.history(run, "train_avg_steps") == [(1, 3)]
    assert server.history(run, "train_avg_reward") == steps(0, 5)
    assert run.info.status == "FINISHED"
    assert "no!such!name" in caplog.text
    with pytest.raises(UserError, match="refused 1 record"):
        upload(tmp_path / "run")
    assert tracker.spool.exists()


def test_the_next_run_in_the_same_folder_delivers_what_the_last_left(server, proxy, make_tracker, experiment):
    proxy.mode = "fail"
    first = make_tracker(proxy.uri)
    log(first, 0, 5)
    first.finish("KILLED")
    until(lambda: not first._thread.is_alive())
    with make_tracker(server.uri) as second:
        log(second, 5, 10)
    runs = server.runs(experiment)
    histories = {run.data.tags["rl_aesthetics.key"]: server.history(run, "train_avg_reward") for run in runs}
    assert histories == {first.key: steps(0, 5), second.key: steps(5, 10)}
    assert {run.info.status for run in runs} == {"KILLED", "FINISHED"}


LOOP = """
import sys, time
from pathlib import Path
from ray_cluster.tracking.tracker import Tracker
from rl_aesthetics.config.config import load_config
config = load_config(None, [f"mlflow.experiment={sys.argv[2]}", f"mlflow.tracking_uri={sys.argv[1]}"])
with Tracker(config.mlflow, config, Path("run")) as tracker:
    for step in range(1_000_000):
        tracker.log_metrics({"train_avg_reward": step / 2}, step)
        print(step, flush=True)
        time.sleep(0.02)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_a_killed_run_with_everything(server, experiment, tmp_path, number):
    command = [sys.executable, "-c", LOOP, server.uri, experiment]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    printed = iter(process.stdout)
    until(lambda: next(printed) and server.runs(experiment))
    time.sleep(1)
    process.send_signal(number)
    began = time.monotonic()
    *_, last = printed
    process.wait(20)
    assert time.monotonic() - began < 5  # Ray allows 3 s; a busy machine gets some more
    if (tmp_path / "run" / "mlflow_spool.jsonl").exists():  # surely so after SIGKILL
        upload(tmp_path / "run")
    run = server.run(experiment)
    assert run.info.status == "KILLED"
    history = server.history(run, "train_avg_reward")
    assert history == steps(0, len(history))
    assert len(history) - int(last) in (1, 2)  # the last one may have been written and not yet printed


def test_without_settings_the_run_is_in_a_database_in_the_current_folder(local_run):
    folder, seconds = local_run
    assert seconds < 0.1  # making the database took seconds, and training did not wait for it
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("RL Image Optimization").experiment_id])
    assert run.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "train_avg_reward")] == list(range(5))
    assert run.info.artifact_uri.startswith(f"file://{folder}/mlartifacts/")
    assert Path(client.download_artifacts(run.info.run_id, "agent")).read_text() == "weights"
    assert not (folder / "mlruns").exists()
