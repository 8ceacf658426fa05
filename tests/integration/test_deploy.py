"""The files that start clusters say what Ray, Prometheus and the program understand."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ray_cluster.train.metrics import COUNTERS, GAUGES, JUROR_GAUGES
from rl_aesthetics_cli.app import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "ray_cluster" / "deploy"
KUBERAY = [DEPLOY / "kuberay" / name for name in ("raycluster.yaml", "rayjob.yaml")]
EXPORTED = {f"ray_{name}_total" for name in COUNTERS} | {f"ray_{name}" for name in (*GAUGES, *JUROR_GAUGES)}
EXPORTED |= {"ray_rl_juror_health_ms_bucket"}


@pytest.mark.parametrize("name", ["on-premise.yaml", "aws.yaml"])
def test_ray_takes_the_launchers_file(name, monkeypatch):
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((DEPLOY / name).read_text())
    prepared = prepare_config(config)  # as `ray up` does
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert sum(node.get("max_workers", 0) for node in types.values()) >= 2
    assert any("RAY_AUTH_MODE=token" in command for command in prepared["head_start_ray_commands"])


@pytest.mark.parametrize("file", KUBERAY, ids=lambda file: file.name)
def test_kuberays_pods_are_pods_and_run_without_root(file):
    kubernetes = pytest.importorskip("kubernetes_validate")
    manifest = yaml.safe_load(file.read_text())
    assert manifest["apiVersion"] == "ray.io/v1"
    cluster = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    assert cluster["authOptions"]["mode"] == "token"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": group["template"]["spec"]}
        kubernetes.validate(pod, kubernetes.latest_version(), strict=True)
        (container,) = group["template"]["spec"]["containers"]
        assert container["securityContext"]["runAsNonRoot"] is True


def test_rays_autoscaler_reads_the_kuberay_cluster_as_it_is_meant():
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    manifest = yaml.safe_load(KUBERAY[0].read_text())
    manifest["metadata"]["namespace"] = "default"  # as the cluster's API fills it in
    config = _derive_autoscaling_config_from_ray_cr(manifest)  # as the autoscaler beside the head does; validates
    types = {name: node["resources"] for name, node in config["available_node_types"].items()}
    assert {name: (node["CPU"], node.get("GPU", 0)) for name, node in types.items()} == {
        config["head_node_type"]: (8, 1),
        "cpu": (16, 0),
        "gpu": (8, 1),
    }
    assert config["max_workers"] == 24
    assert config["idle_timeout_minutes"] == 5


# No package has the schemas of these custom resources. This is what KubeRay 1.5 knows of them, by name, so that a slip
# of the pen is found; the types below them are Kubernetes' own, which the test of the pods checks.
CLUSTER_FIELDS = {
    "rayVersion",
    "authOptions",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
GROUP_FIELDS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
JOB_FIELDS = {
    "entrypoint",
    "entrypointNumGpus",
    "submissionMode",
    "backoffLimit",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
    "rayClusterSpec",
}


@pytest.mark.parametrize("file", KUBERAY, ids=lambda file: file.name)
def test_kuberays_own_fields_are_spelt_as_the_operator_reads_them(file):
    spec = yaml.safe_load(file.read_text())["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    assert "rayClusterSpec" not in spec or set(spec) <= JOB_FIELDS
    assert set(cluster) <= CLUSTER_FIELDS
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert set(group) <= GROUP_FIELDS
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert group.get("minReplicas", 0) <= group.get("replicas", 0) <= group.get("maxReplicas", 1)


def test_the_job_and_the_cluster_are_the_same_machines():
    cluster, job = (yaml.safe_load(file.read_text()) for file in KUBERAY)
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_the_jobs_command_is_one_that_the_program_takes():
    from rl_aesthetics_cli import data, training  # noqa: F401 - add their commands

    words = shlex.split(yaml.safe_load(KUBERAY[1].read_text())["spec"]["entrypoint"])
    assert words[:2] == ["rl-aesthetics", "train"]
    (at,) = (k for k, word in enumerate(words) if word.startswith("/app/configs"))
    words[at] = str(ROOT / words[at].removeprefix("/app/"))
    done = CliRunner().invoke(app, [*words[1:], "--dry-run", "juror.num_gpus=0", "ray.num_gpus_learner=0"])
    assert done.exit_code == 0, done.output


def test_every_panel_and_alarm_asks_for_metrics_that_are_exported():
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "training.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = set(re.findall(r"ray_rl_\w+", " ".join([*queries, *(rule["expr"] for rule in rules)])))
    assert asked <= EXPORTED
    assert EXPORTED - asked == {"ray_rl_score_lookups_total"} - asked


def test_the_dashboard_file_is_what_its_program_writes():
    import runpy

    module = runpy.run_path(str(DEPLOY / "grafana" / "write_dashboard.py"))
    assert json.loads(module["FILE"].read_text()) == module["dashboard"]()


def test_each_alarm_has_its_place_in_the_operations_page():
    page = (ROOT / "docs" / "operations.md").read_text()
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert f"### {rule['alert']}\n" in page


def test_compose_services_are_pinned_bound_to_loopback_and_checked():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, service in compose["services"].items():
        assert re.search(r":[^:/]+$", service["image"]), name
        assert not service["image"].endswith(":latest")
        assert service["healthcheck"]["test"], name
        assert all(port.startswith("${BIND:-127.0.0.1}:") for port in service.get("ports", ())), name
        assert service["cap_drop"] == ["ALL"]


def test_every_secret_of_compose_is_in_the_example():
    names = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / ".env.example").read_text()
    assert names >= {"RAY_AUTH_TOKEN", "JUROR_TOKEN", "STUDIO_TOKEN", "GRAFANA_ADMIN_PASSWORD"}
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in names)
