"""Tiny vision jurors in the published form, made once for the tests of this folder that ask for them."""

import shutil

import numpy as np
import pytest
from tiny_releases import images, write_release
from vision_jurors import JURORS, SIGLIP

from juror_service.jurors import laion
from juror_service.jurors.registry import load_juror


@pytest.fixture(scope="module")
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("weights")
    return {
        "siglip": write_release(root / "siglip", SIGLIP),
        "clip": write_release(root / "clip", *laion.RELEASES.values()),
    }


@pytest.fixture
def folder(folders, tmp_path):
    """A copy of the SigLIP release that a test may spoil."""
    return shutil.copytree(folders["siglip"], tmp_path / "weights")


@pytest.fixture(scope="module")
def load(folders):
    def load(name, **options):
        folder, head = JURORS[name]
        return load_juror(name.split()[0], weights=folders[folder], device="cpu", **head, **options)

    return load


@pytest.fixture(scope="module")
def scenes():
    return images(40)


@pytest.fixture(scope="module")
def alone(load, scenes):
    """Scores by juror, each image by itself."""
    jurors = {name: load(name) for name in JURORS}
    return {name: np.concatenate([juror.score([image]) for image in scenes]) for name, juror in jurors.items()}
