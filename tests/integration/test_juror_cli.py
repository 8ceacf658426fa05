"""`rl-aesthetics juror` as a user runs it, in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from juror_service.jurors.registry import load_juror
from rl_aesthetics.photos.resize import reduce_image


def run(*arguments, code=0):
    command = [sys.executable, "-m", "rl_aesthetics_cli", "juror", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == code, done.stderr
    return done


def photo(seed: int) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return Image.fromarray(colours).resize((180, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"photo{i}{suffix}" for i, suffix in enumerate((".jpg", ".png", ".webp", ".tiff", ".bmp"))]
    for i, path in enumerate(paths):
        photo(i).save(path)
    return paths


def test_json_is_one_line_a_file_and_nothing_else(files):
    lines = [json.loads(line) for line in run("score", "--json", *files).stdout.splitlines()]
    assert [line["file"] for line in lines] == [str(file) for file in files]
    images = [reduce_image(np.asarray(Image.open(file)), 64) for file in files]
    assert [line["score"] for line in lines] == pytest.approx(load_juror("pocket").score(images).tolist(), abs=1e-3)


def test_the_table_names_every_file_and_its_score(files):
    scores = [json.loads(line)["score"] for line in run("score", "--json", *files).stdout.splitlines()]
    table = run("score", *files).stdout
    for file, score in zip(files, scores, strict=True):
        assert f"{score:.3f}"[:4] in table
        assert file.name in table


def test_a_photo_turned_by_exif_scores_like_the_upright_one(tmp_path):
    upright = photo(7)
    upright.save(tmp_path / "upright.png")
    sideways = upright.transpose(Image.Transpose.ROTATE_90)
    exif = sideways.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    sideways.save(tmp_path / "sideways.png", exif=exif)
    sideways.save(tmp_path / "untold.png")
    names = ("upright.png", "sideways.png", "untold.png")
    out = run("score", "--json", *(tmp_path / name for name in names)).stdout
    upright_score, sideways_score, untold_score = (json.loads(line)["score"] for line in out.splitlines())
    assert sideways_score == upright_score
    assert untold_score != upright_score


@pytest.mark.parametrize("content", [None, b"", b"no image", "truncated"])
def test_an_unreadable_file_is_one_line_and_code_2(files, tmp_path, content):
    bad = tmp_path / "bad.jpg"
    if content == "truncated":
        whole = files[0].read_bytes()
        bad.write_bytes(whole[: len(whole) // 2])
    elif content is not None:
        bad.write_bytes(content)
    done = run("score", "--json", files[0], bad, code=2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "bad.jpg" in done.stderr


def test_an_unknown_juror_is_one_line_and_code_2(files):
    done = run("score", "--juror", "poket", files[0], code=2)
    assert len(done.stderr.splitlines()) == 1
    assert "did you mean 'pocket'" in done.stderr


def test_list_shows_name_licence_size_and_weights():
    out = run("list").stdout
    for shown in ("pocket (default)", "Apache-2.0", "64×64", " MB", " GB", "pocket.onnx"):
        assert shown in out


def test_train_writes_a_juror_that_score_uses(files, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(30):
        scene = np.zeros((90, 120, 3), np.uint8)
        scene[:45], scene[45:] = (120, 170, 240), (60, 110 + i, 30)
        scene[30:60, 3 * i : 3 * i + 20] = (200, 90, 40)
        Image.fromarray(scene).save(photos / f"{i}.png")
    output = tmp_path / "juror"
    arguments = ("--photos", photos, "--output", output, "--steps", 60, "--originals", 8, "--threads", 1)
    done = run("train", *arguments)
    assert "step 60 of 60" in done.stderr
    printed = [Path(line) for line in done.stdout.splitlines() if line.startswith(str(output))]
    assert sorted(path.suffix for path in printed) == [".json", ".md", ".onnx", ".safetensors"]
    assert all(path.is_file() for path in printed)
    own, packaged = (
        run("score", "--json", files[0], *weights).stdout for weights in (("--weights", output / "pocket.onnx"), ())
    )
    assert json.loads(own)["score"] != json.loads(packaged)["score"]


def test_train_without_photos_is_one_line_and_code_2(tmp_path):
    done = run("train", "--photos", tmp_path / "nowhere", "--output", tmp_path / "out", code=2)
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere" in done.stderr
