"""`rl-aesthetics generate` as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rl_aesthetics.datasets.annotations import SPLITS
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import TRANSFORMS


def rl_aesthetics(*arguments, typed="", cwd=None, **variables):
    """Run the installed command; returns the finished process."""
    command = Path(sys.executable).with_name("rl-aesthetics")
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return subprocess.run(
        [command, *map(str, arguments)],
        input=typed,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=240,
        env={**environment, "RAY_AUTH_MODE": "disabled", "COLUMNS": "100", **variables},
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(8):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
        coarse.resize((200, 151), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    Image.new("RGB", (30, 30), "red").save(folder / "tiny.png")
    return folder


@pytest.mark.slow
def test_a_folder_becomes_a_dataset_and_every_path_is_printed(photos, tmp_path):
    result = rl_aesthetics("generate", "--source", photos, "--output", tmp_path / "data", "--depth", "2")
    assert result.returncode == 0, result.stderr
    printed = [Path(line.strip()) for line in result.stdout.splitlines() if line.startswith("  /")]
    assert set(printed) == {tmp_path / "data" / split / "annotations.json" for split in SPLITS} | {
        tmp_path / "data" / "skipped.json"
    }
    assert all(path.is_file() for path in printed)
    assert "1 × too small: 30×30 pixels, the shorter side needs 64" in result.stdout
    assert [len(RLDataset(tmp_path / "data", split)) for split in SPLITS] == [6, 1, 1]
    assert "\r" not in result.stdout  # no bar where nobody sees it
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_guides_questions_fill_the_settings(photos, tmp_path):
    typed = f"My experiment\nrl_training_data\nmy_dataset\nSwapColorChannelTransformerGB\n{photos}\n\n"
    result = rl_aesthetics("generate", "--interactive", typed=typed, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for question, default in (
        ("Experiment Name", "RL Dataset Generation"),
        ("Target directory", "rl_training_data"),
        ("Target dataset ID", "rl_flickr8k"),
        ("Transformer name", "RANDOM"),
        ("Source dataset", "flickr8k"),
        ("Batch size", "16"),
    ):
        assert f"{question} [{default}]:" in result.stdout
    dataset = RLDataset(tmp_path / "rl_training_data", "train")
    assert {record.transformation for record in dataset.records} == {"swap_gb"}
    assert dataset.info["dataset_id"] == "my_dataset"
    assert dataset.info["experiment"] == "My experiment"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--source": "/nowhere/at/all"}, "no folder of photos at /nowhere/at/all"),
        ({"--transformation": "swap_xy"}, "unknown transform 'swap_xy'"),
        ({"--depth": "10"}, "--depth must be from 1 to 9, got 10"),
        ({"--split-ratios": "0.5,0.5"}, "--split-ratios must be three shares"),
        ({"--output": "/proc/1/data"}, "cannot write to /proc/1"),
        ({"--source": "flickr2k"}, "no checksum is known"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_leaves_nothing(photos, tmp_path, changes, message):
    arguments = {"--source": photos, "--output": tmp_path / "deep" / "data"} | changes
    result = rl_aesthetics("generate", *(part for pair in arguments.items() for part in pair))
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_is_not_there_is_told_at_once(photos, tmp_path):
    result = rl_aesthetics("generate", "--source", photos, "--output", tmp_path / "a", RAY_ADDRESS="127.0.0.1:9")
    assert result.returncode == 2
    assert "cannot join the Ray cluster at 127.0.0.1:9" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_source_or_output_is_told(tmp_path):
    assert "no photos: add --source" in rl_aesthetics("generate", "--output", tmp_path / "a").stderr
    assert "no output: add --output" in rl_aesthetics("generate", "--source", "samples").stderr


def test_an_existing_output_is_kept(photos, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "diary.txt").write_text("dear diary")
    kept = rl_aesthetics("generate", "--source", photos, "--output", tmp_path / "data")
    assert (kept.returncode, "exists already" in kept.stderr) == (2, True)
    kept = rl_aesthetics("generate", "--source", photos, "--output", tmp_path / "data", "--overwrite")
    assert (kept.returncode, "no dataset" in kept.stderr) == (2, True)
    assert (tmp_path / "data" / "diary.txt").read_text() == "dear diary"


def test_transforms_are_listed_with_their_other_names():
    listed = rl_aesthetics("transforms").stdout
    for transform in TRANSFORMS.values():
        assert transform.name in listed
        assert all(alias in listed for alias in transform.aliases)
