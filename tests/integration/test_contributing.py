"""CONTRIBUTING.md does what it says: each of its examples is followed in a copy of the project.

The word after the language of a code block is the file it belongs to. `python` makes that file, `diff` changes it,
`yaml` is added at its end; `bash` is run.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("rl_aesthetics", "juror_service", "ray_cluster", "rl_aesthetics_cli", "configs", "pyproject.toml")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
)


@pytest.fixture
def copy(tmp_path):
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def change(text, diff):
    """Apply the lines of a diff without line numbers; what it takes out must occur exactly once."""
    lines = diff.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, f"the project no longer has:\n{before}"
    return text.replace(before, after)


def run(commands, folder):
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),  # the copy, not the installed project
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "200",
    }
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("A transform", ["2 passed", "invert what is bright", "- solarise"]),
        ("A juror", ["1 passed", "how colourful an image is", "name: colourfulness"]),
        ("A network", ["1 passed", "kind: pooled_cnn", "width: 32"]),
        ("An algorithm", ["1 passed", "algorithm: mellowmax"]),
        ("A photo source", ["1 passed", "https://example.org/holidays.zip"]),
    ],
)
def test_the_worked_example_works(copy, section, said):
    printed, sources = "", []
    for language, name, block in BLOCK.findall(SECTIONS[section]):
        file = copy / name
        if language == "bash":
            printed += run(block, copy)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        if language == "diff":
            block = change(file.read_text(), block)
        elif language == "yaml":
            block = f"{file.read_text()}\n{block}"
        else:
            assert not file.exists(), f"the project has {name} by now; show something else"
        file.write_text(block)
        sources += [str(file)] if file.suffix == ".py" else []
    for words in said:
        assert words in printed
    run(f"ruff check {' '.join(sources)} && ruff format --check {' '.join(sources)}", copy)


def test_every_section_is_followed():
    assert list(SECTIONS) == ["A transform", "A juror", "A network", "An algorithm", "A photo source"]
