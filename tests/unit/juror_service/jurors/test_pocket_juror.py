"""The pocket juror as its callers rely on it: the registry, the score, and that the score does not move."""

import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from juror_service.jurors import registry as jurors
from juror_service.jurors.pocket import WEIGHTS, PocketJuror
from juror_service.jurors.registry import Juror, available_jurors, load_juror
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.scores.scorer import FunctionScorer

DRIFT = 1e-3  # of a score range of 1: what the project allows


@pytest.fixture(scope="module")
def juror():
    return load_juror("pocket", threads=1)


@pytest.fixture(scope="module")
def images():
    """70 images, more than one chunk of the juror: smooth scenes of many colours, noise, black and white."""
    rng = np.random.default_rng(0)
    images = [reduce_image(rng.integers(0, 256, (n, n, 3), np.uint8), 64) for n in range(2, 36) for _ in range(2)]
    return [*images, np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)]


@pytest.fixture(scope="module")
def alone(juror, images):
    return np.concatenate([juror.score([image]) for image in images])


@pytest.mark.parametrize("size", [2, 7, 32, 70])
def test_score_does_not_move_with_the_batch(juror, images, alone, size):
    batches = [images[i : i + size] for i in range(0, len(images), size)]
    np.testing.assert_allclose(np.concatenate([juror.score(batch) for batch in batches]), alone, rtol=0, atol=DRIFT)


def test_score_does_not_move_with_the_neighbours_in_the_batch(juror, images, alone):
    np.testing.assert_allclose(juror.score(images[::-1])[::-1], alone, rtol=0, atol=DRIFT)


def test_score_survives_a_png_round_trip(juror, images, alone):
    files = [cv2.imencode(".png", image[..., ::-1])[1] for image in images]
    decoded = [cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1] for file in files]
    np.testing.assert_allclose(juror.score(decoded), alone, rtol=0, atol=DRIFT)


def test_score_does_not_move_with_the_number_of_threads(images, alone):
    np.testing.assert_allclose(PocketJuror(threads=2).score(images), alone, rtol=0, atol=DRIFT)


def test_onnx_and_torch_weights_score_the_same(images, alone):
    torch = pytest.importorskip("torch")
    from juror_service.jurors.pocket_network import load_pocket_network

    with torch.no_grad():
        scores = load_pocket_network().score(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    np.testing.assert_allclose(scores.numpy(), alone, rtol=0, atol=DRIFT)


def test_trunk_gives_the_features_that_the_head_reads():
    torch = pytest.importorskip("torch")
    from juror_service.jurors.pocket_network import load_pocket_network

    network = load_pocket_network()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    features = network.trunk(images)
    assert features.shape == (3, network.features)
    assert torch.equal(network.head(features)[:, 0], network(images))
    assert torch.equal(network(images.float()), network(images))


def test_scores_are_float32_between_0_and_1_and_differ(alone, images):
    assert alone.dtype == np.float32
    assert alone.shape == (len(images),)
    assert ((alone >= 0) & (alone <= 1)).all()
    assert len(np.unique(alone)) > len(images) / 2


def test_an_array_scores_like_a_list(juror, images, alone):
    np.testing.assert_array_equal(juror.score(np.stack(images)), juror.score(images))


def test_read_only_images_score(juror, images, alone):
    image = images[0].copy()
    image.flags.writeable = False
    assert juror.score([image]) == pytest.approx(alone[:1], abs=DRIFT)


def test_no_images_no_scores(juror):
    scores = juror.score([])
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (np.zeros((3, 64, 64), np.uint8), r"\(3, 64, 64\)"),
        (np.zeros((64, 64), np.uint8), r"\(64, 64\)"),
        (np.zeros((128, 64, 3), np.uint8), r"\(128, 64, 3\)"),
        ([[0]], "list"),
    ],
)
def test_a_wrong_image_is_named_with_what_is_wrong(juror, images, bad, named):
    with pytest.raises(ValueError, match=f"image 1.*{named}"):
        juror.score([images[0], bad])


def test_a_failing_runtime_is_a_scoring_error_and_not_a_score(images):
    juror = PocketJuror(threads=1)

    def fail(outputs, inputs):
        raise RuntimeError("out of memory")

    juror._session = SimpleNamespace(run=fail)
    with pytest.raises(ScoringError, match="out of memory"):
        juror.score(images[:2])


def test_a_score_that_is_not_a_number_is_refused(images):
    juror = PocketJuror(threads=1)
    juror._session = SimpleNamespace(run=lambda outputs, inputs: [np.full(len(inputs["images"]), np.nan, np.float32)])
    with pytest.raises(ScoringError, match="not a number"):
        juror.score(images[:2])


def test_weights_fit_in_two_megabytes():
    assert WEIGHTS.stat().st_size <= 2e6


def test_fingerprint_follows_the_weights(juror, tmp_path):
    onnx = pytest.importorskip("onnx")
    assert PocketJuror(threads=1).fingerprint == juror.fingerprint
    model = onnx.load(WEIGHTS)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.raw_data = weights.raw_data[::-1]
    onnx.save(model, tmp_path / "other.onnx")
    assert PocketJuror(tmp_path / "other.onnx", threads=1).fingerprint != juror.fingerprint


@pytest.mark.parametrize("content", [None, b"", b"not an onnx file"])
def test_weights_that_are_none_are_a_users_mistake(tmp_path, content):
    path = tmp_path / "weights.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.onnx"):
        PocketJuror(path)


def test_no_threads_is_a_users_mistake():
    with pytest.raises(UserError, match="thread"):
        load_juror("pocket", threads=0)


def test_scoring_needs_no_torch(images, tmp_path):
    np.save(tmp_path / "image.npy", images[0])
    program = (
        "import sys, numpy; from juror_service.jurors.registry import load_juror;"
        f"print(load_juror('pocket').score([numpy.load({str(tmp_path / 'image.npy')!r})]));"
        "assert not {'torch', 'ray', 'mlflow', 'fastapi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_unknown_juror_is_answered_with_the_nearest_name():
    with pytest.raises(UserError, match=r"'poket'.*did you mean 'pocket'"):
        load_juror("poket")


def test_an_unknown_option_is_answered_with_the_nearest_one():
    with pytest.raises(UserError, match=r"'thread'.*did you mean 'threads'"):
        load_juror("pocket", thread=1)


def _entry_point(name, value):
    return SimpleNamespace(
        name=name, value="package:JUROR", dist=SimpleNamespace(name="their-package"), load=lambda: value
    )


def test_another_package_adds_a_juror(monkeypatch):
    juror = Juror("brightness", "MIT", 8, "none", 0, lambda: FunctionScorer(np.mean, size=8))
    monkeypatch.setattr(jurors, "entry_points", lambda group: [_entry_point("bright", juror)])
    names = list(available_jurors())
    assert (names[0], names[-1]) == ("pocket", "bright")
    assert load_juror("bright").score([np.full((8, 8, 3), 7, np.uint8)]) == 7


@pytest.mark.parametrize(("name", "value"), [("pocket", None), ("odd", "no juror")])
def test_another_packages_mistake_names_the_package(monkeypatch, name, value):
    monkeypatch.setattr(jurors, "entry_points", lambda group: [_entry_point(name, value)])
    with pytest.raises(UserError, match="their-package"):
        available_jurors()
