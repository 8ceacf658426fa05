"""A job and a run say what they come from, and nothing that is written down holds a secret."""

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ray_cluster.tracking import provenance
from rl_aesthetics.config.config import load_config, to_yaml
from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.files.redaction import has_login, without_login, without_secrets
from rl_aesthetics_cli import data, training  # noqa: F401 - the latter two add their commands
from rl_aesthetics_cli.app import app

SECRETS = [
    "juror.name=remote",
    "juror.options={url: 'http://me:hush@juror:5010', token: hush, timeout_s: 3}",
    "mlflow.tracking_uri=https://me:hush@mlflow.example",
    "checkpoints.storage=s3://key:hush@bucket/run",
]


@pytest.fixture
def dataset(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "images").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / "images" / "1.png"), np.zeros((64, 64, 3), np.uint8))
        record = Record(1, "images/1.png", None, "swap_rb", ("swap_rb",), 0.2, 0.8, "1.png", 64, 64)
        write_annotations(tmp_path / split, [record], ["swap_rb"], {"juror": "not asked"})
    return tmp_path


def test_a_jobs_metadata_is_settings_revision_and_dataset_as_strings(dataset):
    metadata = provenance.job_metadata(load_config(None, [f"dataset={dataset}", "training.gamma=0.5"]))
    assert json.loads(metadata["config"])["rl_training"]["training"]["gamma"] == 0.5
    assert metadata["dataset"] == str(dataset)
    assert metadata["dataset_fingerprint"] == RLDataset(dataset, "train").fingerprint
    assert all(isinstance(value, str) for value in metadata.values())


def test_a_machine_that_only_submits_need_not_see_the_dataset():
    metadata = provenance.job_metadata(load_config(None, ["dataset=/nowhere/data"]))
    assert metadata["dataset"] == "/nowhere/data"
    assert "dataset_fingerprint" not in metadata


def test_the_revision_is_the_checkouts():
    here = Path(provenance.__file__).parent
    revision = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True)
    if revision.returncode:
        pytest.skip("not a git checkout")
    assert provenance.git_tags()[provenance.COMMIT_TAG] == revision.stdout.strip()


def test_where_there_is_no_checkout_the_environment_names_the_revision(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv(provenance.REVISION_VARIABLE, "abc123")
    assert provenance.git_tags() == {provenance.COMMIT_TAG: "abc123"}
    monkeypatch.delenv(provenance.REVISION_VARIABLE)
    assert provenance.git_tags() == {}


def test_a_run_names_the_job_that_it_was_submitted_as(monkeypatch):
    job = {"runtime_env": {}, "metadata": {"job_submission_id": "night-1", "job_name": "night-1"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    assert provenance.source_tags()[provenance.JOB_TAG] == "night-1"
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR")
    assert provenance.JOB_TAG not in provenance.source_tags()


def test_neither_metadata_nor_the_written_settings_hold_a_secret():
    config = load_config(None, SECRETS)
    for text in (json.dumps(provenance.job_metadata(config)), to_yaml(config), json.dumps(config.written())):
        assert "hush" not in text
    assert config.juror.options["token"] == "hush"  # who asks the juror still has it
    assert yaml.safe_load(to_yaml(config))["juror"]["options"] == {"url": "http://***@juror:5010", "timeout_s": 3}


@pytest.mark.parametrize("flag", ["--dry-run", "--job-metadata"])
def test_what_train_prints_holds_no_secret(flag):
    done = CliRunner().invoke(app, ["train", flag, *SECRETS, "ray.num_cpus=2"])
    assert done.exit_code == 0, done.output
    assert "juror:5010" in done.output
    assert "hush" not in done.output


def test_job_metadata_is_one_line_for_ray_job_submit(dataset):
    from ray.dashboard.modules.job.common import JobSubmitRequest

    done = CliRunner().invoke(app, ["train", "--job-metadata", f"dataset={dataset}"])
    (line,) = done.output.splitlines()
    request = JobSubmitRequest(entrypoint="true", metadata=json.loads(line))  # checks its types
    assert request.metadata["dataset_fingerprint"]


trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.just("http://a:hush@b"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "api_key", "Token", "x"]), inner, max_size=3)
    ),
)


@given(trees)
def test_no_secret_survives_at_any_depth_and_twice_is_once(tree):
    clean = without_secrets(tree)
    written = json.dumps(clean)
    assert "hush" not in written
    assert '"api_key":' not in written
    assert '"Token":' not in written
    assert without_secrets(clean) == clean


def test_a_login_is_known_to_have_been_there_when_it_is_blotted_out():
    assert without_login("see s3://key:hush@bucket/run") == "see s3://***@bucket/run"
    assert has_login("s3://***@bucket/run")
    assert not has_login("s3://bucket/run")
