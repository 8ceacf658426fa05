"""`rl-aesthetics juror distil` as a user runs it, with a teacher from another package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TEACHER = '''
"""A juror of another package: how much redder than blue an image is. Counts its calls in a file."""
import numpy as np
from juror_service.jurors import Juror


class Warmth:
    size = 48
    fingerprint = "warmth:1"

    def __init__(self, log=None):
        self.log = log

    def score(self, images):
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{len(images)}\\n")
        return np.array([image[..., 0].mean() - image[..., 2].mean() for image in images], np.float32)


JUROR = Juror("warmth", "MIT", 48, "none", 0, Warmth)
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with an installed package that adds the juror `warmth`."""
    package = tmp_path_factory.mktemp("site")
    (package / "warmth_teacher.py").write_text(TEACHER)
    information = package / "warmth_teacher-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: warmth-teacher\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[rl_aesthetics.jurors]\nwarmth = warmth_teacher:JUROR\n")
    return package


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(40):
        colours = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
        Image.fromarray(colours).resize((120, 90), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def run(package):
    def run(*arguments, code=0):
        command = [
            sys.executable,
            "-m",
            "rl_aesthetics_cli",
            "juror",
            *map(str, arguments),
        ]
        environment = os.environ | {"PYTHONPATH": str(package)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
        assert done.returncode == code, done.stderr
        return done

    return run


def test_a_student_agrees_with_its_teacher_on_photos_it_never_saw_and_asks_it_once(run, photos, tmp_path):
    output, log = tmp_path / "student", tmp_path / "log"
    arguments = ["--teacher", "warmth", "--photos", photos, "--output", output, "--teacher-option", f"log={log}"]
    small = ["--crops", 1, "--alterations", 8, "--held-out", 0.3, "--threads", 1]
    first = run("distil", *arguments, *small, "--steps", 120)
    record = json.loads((output / "pocket.json").read_text())
    asked = sum(map(int, log.read_text().split()))
    assert asked == record["teacher_scores"]["asked"] <= record["teacher_scores"]["images"]
    assert record["held_out"]["spearman"] > 0.8
    assert f"{record['held_out']['spearman']:.3f}" in first.stdout
    printed = [Path(line) for line in first.stdout.splitlines() if line.startswith(str(output))]
    assert sorted(path.suffix for path in printed) == [".json", ".md", ".onnx", ".safetensors"]
    assert all(path.is_file() for path in printed)

    again = run("distil", *arguments, *small, "--steps", 2)
    assert sum(map(int, log.read_text().split())) == asked
    assert "warmth scored 0 images" in again.stdout

    scored = run("score", "--json", "--weights", output / "pocket.onnx", photos / "0.png").stdout
    assert 0 < json.loads(scored)["score"] < 1


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"--teacher": "warm"}, "did you mean 'warmth'"),
        ({"--teacher-option": "log"}, "KEY=VALUE"),
        ({"--teacher-option": "logs=1"}, "did you mean 'log'"),
        ({"--photos": "nowhere"}, "nowhere"),
        ({"--alterations": "40"}, "31"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(run, photos, tmp_path, changed, named):
    options = {"--teacher": "warmth", "--photos": photos, "--output": tmp_path / "out", "--steps": 1} | changed
    done = run("distil", *(part for option in options.items() for part in option), code=2)
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
