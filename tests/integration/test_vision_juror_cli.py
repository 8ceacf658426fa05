"""The transformer jurors where they take long or need processes of their own."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs rl-aesthetics[transformers]")

from juror_service.jurors import aesthetic_v2_5, laion  # noqa: E402
from juror_service.jurors.vision_tower import VisionJuror  # noqa: E402

SMALL = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}
HEADS = {"aesthetic_v2_5": aesthetic_v2_5.RELEASE.head, "laion": laion.RELEASES["mlp"].head}


def small(**options):
    torch.manual_seed(0)
    release = dataclasses.replace(aesthetic_v2_5.RELEASE, architecture=SMALL)
    return VisionJuror(release, "random", device="cpu", **options)


def run(*arguments, **environment):
    command = [sys.executable, "-m", "rl_aesthetics_cli", "juror", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler")
def test_compiled_by_the_default_backend_it_gives_the_same_scores():
    images_BHWC = np.random.default_rng(0).integers(0, 256, (32, 56, 56, 3), np.uint8)
    plain, compiled = small().score(images_BHWC), small(compile=True)
    for size in (1, 7, 32):
        scores = np.concatenate([compiled.score(images_BHWC[i : i + size]) for i in range(0, 32, size)])
        np.testing.assert_allclose(scores, plain, rtol=0, atol=1e-3 * np.ptp(plain))


@pytest.mark.parametrize("name", HEADS)
def test_weights_that_cannot_be_fetched_are_one_line_that_says_what_to_provide(tmp_path, name):
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "photo.png")
    nowhere = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    nowhere |= {"https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    done = run("score", "--juror", name, tmp_path / "photo.png", **nowhere)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    for named in ("weights=FOLDER", "config.json", "model.safetensors", HEADS[name]):
        assert named in done.stderr


def test_list_shows_them_without_loading_anything(tmp_path):
    done = run("list", COLUMNS="220", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    for shown in ("aesthetic_v2_5", "384×384", "AGPL-3.0-only", "laion", "224×224", "clip-vit-large-patch14"):
        assert shown in done.stdout


def test_bench_gives_the_share_of_what_matrix_products_reach(tmp_path):
    # A juror of this size, so that the share of the peak is that of a real encoder and not of overhead.
    (tmp_path / "small_siglip.py").write_text(
        "import dataclasses\n"
        "from juror_service.jurors.registry import Juror\n"
        "from juror_service.jurors.aesthetic_v2_5 import RELEASE\n"
        "SMALL = dict(hidden_size=192, intermediate_size=768, num_hidden_layers=2, num_attention_heads=3,"
        " image_size=112, patch_size=14)\n"
        "def load():\n"
        "    from juror_service.jurors.vision_tower import VisionJuror\n"
        "    return VisionJuror(dataclasses.replace(RELEASE, architecture=SMALL), 'random', device='cpu')\n"
        "JUROR = Juror('a small SigLIP', 'none', 112, 'random', None, load)\n"
    )
    information = tmp_path / "small_siglip-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: small-siglip\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[rl_aesthetics.jurors]\nsmall_siglip = small_siglip:JUROR\n")
    done = run(
        "bench", "--juror", "small_siglip", "--batches", "8", "--seconds", "0.2", "--json", PYTHONPATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    speed = json.loads(done.stdout)
    assert speed["juror"] == "aesthetic_v2_5:random"
    assert speed["device"] == "cpu"
    assert 0 < speed["share_of_peak"] < 1.5  # of a peak measured on a machine that others use too
