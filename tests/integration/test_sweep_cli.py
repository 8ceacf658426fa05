"""`rl-aesthetics sweep` as a user runs it: what is wrong is told in one line, before anything starts."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "configs"


def sweep(*arguments, cwd):
    command = [sys.executable, "-m", "rl_aesthetics_cli", "sweep", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.mark.parametrize(
    ("changes", "overrides", "message"),
    [
        (None, [], "cannot read the sweep"),
        ({"space": {"training.gama": {"uniform": [0, 1]}}}, [], "unknown setting 'training.gama'"),
        ({}, ["training.num_epoch=3"], "unknown setting"),
        ({}, [], "no dataset: add dataset=DIR"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, changes, overrides, message):
    file = tmp_path / "sweep.yaml"
    if changes is not None:
        file.write_text(yaml.safe_dump({"space": {"training.gamma": {"uniform": [0.8, 1.0]}}, **changes}))
    done = sweep("--config", file, *overrides, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_its_help_says_what_it_leaves_and_how_to_call_it(tmp_path):
    shown = " ".join(sweep("--help", cwd=tmp_path).stdout.split())
    assert "best.yaml" in shown
    assert "rl-aesthetics sweep --config configs/sweep.yaml dataset=runs/data" in shown
