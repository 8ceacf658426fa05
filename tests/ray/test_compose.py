"""Drill: every service of docker-compose.yml that needs no Docker is run with its own command and its own health check.

Addresses, ports and folders of the containers are put in this machine's terms; nothing else is changed. Prometheus runs
in tests/integration/test_dashboard.py; Grafana is in no package registry and is not run.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from free_ports import free_ports

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SECRET = "a-secret-of-this-drill-0123456789abcdef"

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(900)]


class Terms:
    """This machine's words for the containers' hosts, ports and folders."""

    def __init__(self, root):
        self.root, ports = root, {}
        self.ports = ports
        for port in ("5000", "5010", "6379", "8080", "8265", "8600"):
            (ports[port],) = free_ports(1)
        for folder in ("ray", "data", "mlflow"):
            (root / folder).mkdir(exist_ok=True)

    def __call__(self, text):
        text = re.sub(r"\$\{(\w+):\?[^}]*\}", SECRET, text)
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        text = re.sub(r"(?<![\w.-])(0\.0\.0\.0|head|mlflow(?=:\d))(?![\w.-])", "127.0.0.1", text)
        text = re.sub(r"(?<!\d)(5000|5010|6379|8080|8265|8600)(?!\d)", lambda found: str(self.ports[found[0]]), text)
        return re.sub(r"(?<![\w./])/(ray|data|mlflow)(?=[/\s]|$)|(?<=sqlite:///)/(mlflow)(?=/)", self._folder, text)

    def _folder(self, found):
        return f"{self.root}/{found[1] or found[2]}"


class Service:
    """One service, run here."""

    def __init__(self, name, terms, *more):
        self.name, self.service, self.terms = name, SERVICES[name], terms
        command = self.service["command"]
        words = [terms(word) for word in (shlex.split(command) if isinstance(command, str) else command)]
        given = self.service.get("environment", {})
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            **{key: terms(str(value)) for key, value in given.items() if key != "<<"},
        }
        self.log = terms.root / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*words, *more], env=self.environment, cwd=terms.root, stdout=log, stderr=log, start_new_session=True
            )

    def is_healthy(self):
        kind, *words = self.service["healthcheck"]["test"]
        assert kind == "CMD"
        words = [self.terms(word) for word in words]
        words[0] = sys.executable if words[0] == "python" else words[0]
        return subprocess.run(words, env=self.environment, capture_output=True, timeout=120).returncode == 0

    def becomes_healthy(self):
        deadline = time.monotonic() + 300
        while not self.is_healthy():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(1)
        return True

    def end(self):
        """As `docker stop` does; its exit status and what is left of it."""
        assert self.process.poll() is None, f"{self.name} has ended by itself: {self.log.read_text()[-3000:]}"
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(int(self.service.get("stop_grace_period", "60s").removesuffix("s")))
        return status, psutil.wait_procs(family, timeout=120)[1]


@pytest.fixture
def terms(tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="compose.", dir="/tmp") as root:  # short, for Ray's sockets
        yield Terms(Path(root))


@pytest.mark.parametrize("name", ["juror", "mlflow", "studio"])
def test_a_service_runs_is_healthy_and_ends_when_told(name, terms):
    service = Service(name, terms)
    assert not service.is_healthy()  # the check can fail
    try:
        service.becomes_healthy()
    finally:
        _, left = service.end()
    assert not left


def test_rays_head_and_worker_find_each_other_with_the_token(terms):
    head = Service("head", terms, "--node-ip-address=127.0.0.1")
    worker = None
    try:
        head.becomes_healthy()
        words = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-grpc-port=0"]
        metrics, agent = free_ports(2)
        worker = Service(
            "worker", terms, *words, f"--metrics-export-port={metrics}", f"--dashboard-agent-listen-port={agent}"
        )
        worker.becomes_healthy()
        count = "import ray, sys; ray.init(sys.argv[1]); print(sum(node['Alive'] for node in ray.nodes()))"
        ask = [sys.executable, "-c", count, terms("head:6379")]
        deadline = time.monotonic() + 120
        while (
            nodes := subprocess.run(ask, env=head.environment, capture_output=True, text=True)
        ).stdout.strip() != "2":
            assert time.monotonic() < deadline, nodes.stdout + nodes.stderr
        stranger = {**head.environment, "RAY_AUTH_TOKEN": "another-token-0123456789abcdef0123456789"}
        assert subprocess.run(ask, env=stranger, capture_output=True).returncode != 0
    finally:
        for service in filter(None, (worker, head)):
            _, left = service.end()
            assert not left
