"""A package of somebody else's adds a juror: installed with pip, found by its entry point, used by name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "sunset-jurors"
version = "1.0"

[project.entry-points."rl_aesthetics.jurors"]
{name} = "sunset_jurors:JUROR"
"""

MODULE = """
import numpy as np
from juror_service.jurors import Juror


class Redness:
    size, fingerprint = 8, "redness:1"

    def __init__(self, weight=1.0):
        self.weight = weight

    def score(self, images):
        return np.array([self.weight * image[..., 0].mean() / 255 for image in images], np.float32)


JUROR = Juror("how red it is", "MIT", 8, "none", None, Redness)
"""


def install(folder: Path, name: str) -> Path:
    """Install a package with a juror of that name, and give back where it is."""
    project, site = folder / "project", folder / "site"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT.format(name=name))
    (project / "sunset_jurors.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Nothing is fetched: setuptools is there because PyTorch needs it.
    arguments = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(project)]
    subprocess.run([*pip, *arguments], check=True, capture_output=True, timeout=240)
    return site


def juror(site: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "rl_aesthetics_cli", "juror", *map(str, arguments)]
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return install(tmp_path_factory.mktemp("package"), "sunsets")


def test_it_is_listed_after_the_built_in_ones(site):
    listed = juror(site, "list").stdout
    assert "sunsets: how red it is" in listed
    assert listed.index("pocket (default)") < listed.index("sunsets")


def test_it_scores_by_name_and_takes_its_options(site, tmp_path):
    Image.new("RGB", (30, 20), (51, 0, 0)).save(tmp_path / "evening.png")
    done = juror(site, "score", "--json", "--juror", "sunsets", "--option", "weight=2", tmp_path / "evening.png")
    assert json.loads(done.stdout) == {"file": str(tmp_path / "evening.png"), "score": 0.4}, done.stderr


def test_a_mistake_with_it_is_answered_as_with_any_other(site):
    done = juror(site, "score", "--juror", "sunset", "x.png")
    assert done.returncode == 2
    assert "did you mean 'sunsets'" in done.stderr


def test_a_package_that_takes_a_name_in_use_is_named(tmp_path):
    done = juror(install(tmp_path, "pocket"), "list")
    assert done.returncode == 2
    assert "sunset-jurors adds a juror named 'pocket', a name already taken" in done.stderr
