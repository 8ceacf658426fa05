"""Every panel of the Grafana dashboard has data, asked of a real Prometheus that scraped a real short training."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from free_ports import free_ports

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "ray_cluster" / "deploy"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus (apt-get install prometheus)"),
]

TRAINING = """
import sys
import ray
from written_splits import write_split
from pathlib import Path
from ray_cluster.train.training import Training
from rl_aesthetics.config.config import load_config
root = Path(sys.argv[1])
write_split(root / "data" / "train", 12, 0)
write_split(root / "data" / "val", 6, 1)
ports = {"_metrics_export_port": int(sys.argv[2]), "dashboard_port": int(sys.argv[3])}
ray.init(num_cpus=2, _temp_dir=str(root / "ray"), **ports)
Training(load_config(None, [f"dataset={root}/data", f"output={root}/run", *sys.argv[4:]])).run()
"""


def ask(port, query):
    address = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["data"]["result"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """The port of a Prometheus that scrapes a training under way."""
    # Ray's sockets lie in its folder, and their paths may have 107 characters.
    root = Path(subprocess.run(["mktemp", "-d", "/tmp/dash.XXXX"], capture_output=True, text=True).stdout.strip())
    port, metrics, dashboard = free_ports(3)
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    config = config.replace("/ray/prom_metrics", f"{root}/ray/prom_metrics").replace("10s", "2s")
    (root / "prometheus.yml").write_text(config)
    shutil.copy(DEPLOY / "prometheus" / "alerts.yml", root)
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": str(ROOT / "tests" / "support"),
        "OMP_NUM_THREADS": "1",
    }
    settings = [
        "training.num_epochs=100000",
        "training.dataloader_batch_size=4",
        "learner.learning_starts=50",
        "learner.max_minutes=20",
        "juror.options={threads: 1}",
        f"mlflow.tracking_uri=sqlite:///{root}/mlflow.db",
    ]
    command = [sys.executable, "-c", TRAINING, str(root), str(metrics), str(dashboard), *settings]
    with (root / "log").open("w") as log:
        training = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=root)
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={root}/prometheus.yml",
                f"--storage.tsdb.path={root}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + 600
    try:
        while time.monotonic() < deadline and training.poll() is None:
            time.sleep(2)
            try:
                if ask(port, "rate(ray_rl_trained_total[1m]) > 0") and ask(
                    port, "rate(ray_rl_juror_health_ms_count[5m])"
                ):
                    break
            except OSError:
                continue
        assert training.poll() is None, (root / "log").read_text()[-3000:]
        yield port
    finally:
        training.send_signal(signal.SIGTERM)
        server.terminate()
        training.wait(120)
        server.wait(60)
        shutil.rmtree(root, ignore_errors=True)


def panels():
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "training.json").read_text())
    return [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize(("title", "query"), panels())
def test_a_panel_has_data(prometheus, title, query):
    deadline = time.monotonic() + 60
    while not (found := ask(prometheus, query.replace("$run", ".+"))) and time.monotonic() < deadline:
        time.sleep(2)
    assert found, query
    assert all(float(series["value"][1]) >= 0 for series in found)


def test_no_alarm_is_raised_by_a_training_that_runs(prometheus):
    assert ask(prometheus, 'ALERTS{alertstate="firing"}') == []
