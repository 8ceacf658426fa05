"""Where a training comes from (code, dataset, settings, job), for MLflow's tags and for Ray's job metadata."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rl_aesthetics.config.config import Config
from rl_aesthetics.datasets.dataset import RLDataset

REVISION_VARIABLE = "RL_AESTHETICS_REVISION"
"""The environment variable that names the code's git revision where there is no checkout, as in a container."""

COMMIT_TAG, DIRTY_TAG, JOB_TAG = "mlflow.source.git.commit", "git_dirty", "ray_submission_id"


def source_tags() -> dict[str, str]:
    """What MLflow shows as a run's source: the program, its user, and the submitted job that it is."""
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": Path(sys.argv[0]).name}
    with suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    if job := submission_id():
        tags |= {"mlflow.source.type": "JOB", JOB_TAG: job}
    return tags


def git_tags() -> dict[str, str]:
    """The revision of this code: of the git checkout that it runs from, else what `RL_AESTHETICS_REVISION` says."""
    here = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return {COMMIT_TAG: git("rev-parse", "HEAD"), DIRTY_TAG: str(bool(dirty)).lower()}
    except (OSError, subprocess.SubprocessError):
        revision = os.environ.get(REVISION_VARIABLE)
        return {COMMIT_TAG: revision} if revision else {}


def submission_id() -> str | None:
    """What `ray job submit` calls the job that this process is the driver of; None outside of a job."""
    # Ray tells the driver in this variable alone.
    return json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get("metadata", {}).get("job_submission_id")


def job_metadata(config: Config) -> dict[str, str]:
    """What tells a job from others: all settings, the code's revision, the dataset and its fingerprint.

    Secrets are not in it. Ray takes strings alone; settings are one string of JSON. The fingerprint is missing where
    the dataset cannot be seen, such as on a laptop that only submits.

    Raises:
        UserError: there is a dataset at that place, but it cannot be read.
    """
    metadata = {"config": json.dumps(config.written()), "output": str(config.output)}
    if config.dataset is not None:
        metadata["dataset"] = str(config.dataset)
        if config.dataset.exists():
            metadata["dataset_fingerprint"] = RLDataset(config.dataset, "train").fingerprint
    revision = git_tags()
    names = {COMMIT_TAG: "git_revision", DIRTY_TAG: "git_dirty"}
    return metadata | {names[tag]: value for tag, value in revision.items()}
