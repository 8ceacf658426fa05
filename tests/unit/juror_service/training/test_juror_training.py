"""Training a pocket juror: the photos it reads, the pairs it makes, what it learns and what it writes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from juror_service.jurors.pocket import PocketJuror
from juror_service.jurors.pocket_network import PocketNetwork, load_pocket_network
from juror_service.training.degradations import DEGRADATIONS, STRENGTHS
from juror_service.training.train import Recipe, export_onnx, fit, ranking_loss, train_juror
from juror_service.training.train_evaluation import measure_juror
from juror_service.training.train_photos import RankingBatch, random_crop, ranking_batch, read_photos
from rl_aesthetics.edits.algebra import GENERATORS, NUM_STATES, distance, render_rgb
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import reduce_image

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Recipe(steps=40, originals=4, held_out=0.3, averaging=0.8)
EDITS = dict(zip(REVERSIBLE, GENERATORS, strict=True))


def scene(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A made-up landscape: blue above green, with a few orange discs."""
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3), np.uint8)
    horizon = int(height * rng.uniform(0.4, 0.6))
    image[:horizon] = np.linspace((70, 130, 230), (180, 210, 250), horizon)[:, None]
    image[horizon:] = np.linspace((110, 160, 60), (40, 80, 20), height - horizon)[:, None]
    for _ in range(4):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(image, (x, y), int(rng.integers(4, 14)), (230, 120, 30), -1)
    return image


@pytest.fixture(scope="module")
def one_thread():
    """More threads than free cores make tiny batches many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scenes():
    return [scene(seed) for seed in range(24)]


@pytest.fixture
def folder(tmp_path, scenes):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(scenes):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return folder


def names(photos, held_out):
    return {photo.name for photo in photos if photo.held_out == held_out}


def test_the_split_does_not_move_when_photos_are_added_or_renamed(folder):
    before = names(read_photos(folder, 0.3)[0], held_out=True)
    for path in list(folder.iterdir()):
        path.rename(path.with_name("renamed-" + path.name))
    Image.fromarray(scene(99)).save(folder / "further.png")
    after = names(read_photos(folder, 0.3)[0], held_out=True)
    assert 0 < len(before) < 24
    assert {name.removeprefix("renamed-") for name in after - {"further.png"}} == before


def test_copies_of_a_photo_stay_on_one_side(folder):
    for path in list(folder.iterdir()):
        (folder / f"copy-{path.name}").write_bytes(path.read_bytes())
    photos, _ = read_photos(folder, 0.5)
    for held_out in (True, False):
        side = names(photos, held_out)
        assert {name.removeprefix("copy-") for name in side} == {name for name in side if "copy-" not in name}


def test_another_seed_holds_out_other_photos(folder):
    assert names(read_photos(folder, 0.5, seed=0)[0], True) != names(read_photos(folder, 0.5, seed=1)[0], True)


def test_what_cannot_be_used_is_skipped_with_its_reason(folder):
    (folder / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (40, 300)).save(folder / "small.png")
    Image.fromarray(scene(3)).convert("L").save(folder / "grey.png")
    (folder / "notes.txt").write_text("not a photo, and not looked at")
    photos, skipped = read_photos(folder, 0.3)
    assert len(photos) == 24
    assert skipped.keys() == {"broken.jpg", "small.png", "grey.png"}
    assert "300" in skipped["small.png"]
    assert "grey" in skipped["grey.png"]


@given(st.integers(0, 2**32 - 1), st.integers(64, 150), st.integers(64, 150))
@settings(max_examples=30, deadline=None)
def test_crops_have_the_jurors_size_whatever_the_photo(seed, height, width):
    crop = random_crop(scene(1, height, width), 64, np.random.default_rng(seed))
    assert crop.shape == (64, 64, 3)
    assert crop.dtype == np.uint8


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_moves_further_from_the_photo_as_it_grows(name, scenes):
    degrade = DEGRADATIONS[name]
    before = scenes[0].copy()
    distances = []
    for strength in STRENGTHS:
        degraded = degrade(scenes[0], strength, np.random.default_rng(0))
        assert degraded.shape == before.shape
        assert degraded.dtype == np.uint8
        distances.append(np.abs(degraded.astype(float) - before).mean())
    assert distances == sorted(distances)
    assert distances[0] > 0
    np.testing.assert_array_equal(scenes[0], before)


def edit_pairs(batch, originals):
    return [(b, w) for b, w in zip(batch.better, batch.worse, strict=True) if w < 3 * originals]


def test_every_photo_goes_above_its_edits_and_an_edit_above_a_further_one(scenes):
    n = 24
    batch = ranking_batch(scenes, n, 8, np.random.default_rng(0))  # 8 px, so that all 3,072 states are soon rendered
    crops, images = batch.images_BCHW[:n], batch.images_BCHW
    assert images.shape == (n * 5, 3, 8, 8)
    assert batch.weights.sum() == pytest.approx(1)
    assert len(batch.better) == len(batch.worse) == len(batch.weights)

    def edits_of(image):  # the least number of edits that gives these pixels from their crop
        states = np.arange(NUM_STATES)
        rendered = render_rgb(np.repeat(crops[image % n][None], NUM_STATES, axis=0), states)
        return distance(states[(rendered == images[image]).all(axis=(1, 2, 3))]).min()

    pairs = edit_pairs(batch, n)
    assert {w for b, w in pairs if b < n} == set(range(n, 3 * n))
    assert any(b >= n for b, w in pairs)
    for better, worse in pairs:
        assert better % n == worse % n
        assert edits_of(better) < edits_of(worse)


def test_edits_that_are_hard_to_judge_are_drawn_more_often(scenes):
    n = 400
    batch = ranking_batch(scenes, n, 8, np.random.default_rng(0))
    crops, first = batch.images_BCHW[:n], batch.images_BCHW[n : 2 * n]
    share = {name: (render_rgb(crops, np.full(n, s)) == first).all(axis=(1, 2, 3)).mean() for name, s in EDITS.items()}
    assert sum(share.values()) == pytest.approx(1, abs=0.05)  # two edits may give the same pixels
    assert all(share[swap] > 2 * share["invert_r"] for swap in ("swap_gb", "swap_rb", "swap_rg"))


def test_every_photo_goes_above_a_degradation_and_that_above_a_stronger_one(scenes):
    n = 8
    batch = ranking_batch(scenes, n, 64, np.random.default_rng(1))
    pairs = [(b, w) for b, w in zip(batch.better, batch.worse, strict=True) if w >= 3 * n]
    assert sorted(b for b, _ in pairs if b < n) == sorted([*range(n), *range(n)])
    crop_of = {w: b for b, w in pairs if b < n}
    chains = [(crop_of[b], b, w) for b, w in pairs if b >= n]
    assert len(chains) == n
    images = batch.images_BCHW.astype(float)
    for crop, weak, strong in chains:
        assert crop_of[strong] == crop
        assert 0 < np.abs(images[weak] - images[crop]).mean() < np.abs(images[strong] - images[crop]).mean()


def test_the_loss_is_small_only_for_the_right_order():
    image = np.zeros((2, 3, 64, 64), np.uint8)
    batch = RankingBatch(image, np.array([0]), np.array([1]), np.ones(1, np.float32))
    assert ranking_loss(torch.tensor([9.0, 0.0]), batch) < 1e-3
    assert ranking_loss(torch.tensor([0.0, 9.0]), batch) > 8
    assert ranking_loss(torch.tensor([1.0, 1.0]), batch) == pytest.approx(np.log(2))


def test_the_loss_falls_and_two_runs_of_one_seed_agree(scenes):
    reports = [[], []]
    networks = [fit(scenes, TINY, run.append, every=10) for run in reports]
    assert reports[0] == reports[1]
    assert [p.step for p in reports[0]] == [10, 20, 30, 40]
    assert reports[0][-1].loss < 0.7 * reports[0][0].loss
    first, second = (network.state_dict() for network in networks)
    assert all((first[name] == second[name]).all() for name in first)


def test_training_writes_a_juror_that_loads_and_says_how_good_it_is(folder, tmp_path):
    output = tmp_path / "out"
    record = train_juror(folder, output, TINY)
    assert sorted(path.name for path in output.iterdir()) == [
        "pocket.json",
        "pocket.md",
        "pocket.onnx",
        "pocket.safetensors",
    ]
    juror = PocketJuror(output / "pocket.onnx", threads=1)
    assert juror.fingerprint == record["fingerprint"]
    assert json.loads((output / "pocket.json").read_text()) == json.loads(json.dumps(record))
    unseen = [photo.image for photo in read_photos(folder, TINY.held_out)[0] if photo.held_out]
    assert record["photos"]["held_out"] == len(unseen)
    measured = measure_juror(juror.score, unseen)
    assert record["held_out"]["by_edit"] == measured["by_edit"]
    assert record["held_out"]["greedy_exact"] == measured["greedy_exact"]
    assert record["held_out"]["score_quantiles"]["originals"][2] == pytest.approx(0.85, abs=1e-3)
    assert record["drift"]["torch"] < 1e-3
    load_pocket_network(output / "pocket.safetensors")
    card = (output / "pocket.md").read_text()
    assert f"{100 * record['held_out']['pairs_in_order']:.1f} %" in card
    assert record["fingerprint"] in card


def test_an_interrupted_run_changes_nothing(folder, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "pocket.onnx").write_bytes(b"the one from before")

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_juror(folder, output, TINY, interrupt)
    assert [path.name for path in output.iterdir()] == ["pocket.onnx"]
    assert (output / "pocket.onnx").read_bytes() == b"the one from before"


def test_measuring_knows_a_perfect_juror_from_an_ignorant_one(scenes):
    known = {reduce_image(image, 64).tobytes() for image in scenes}
    perfect = measure_juror(lambda images: np.array([float(i.tobytes() in known) for i in images]), scenes)
    assert perfect["pairs_in_order"] == perfect["worst_edit"] == perfect["greedy_exact"] == 1
    assert perfect["degradations"]["blur"]["in_order"] == [1, 1, 1, 1]
    ignorant = measure_juror(lambda images: np.zeros(len(images)), scenes)
    assert ignorant["pairs_in_order"] == ignorant["worst_edit"] == 0
    assert ignorant["greedy_exact"] < 0.1


def test_weights_of_another_network_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file(PocketNetwork(widths=(8, 8, 8, 8, 128)).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"other\.safetensors does not hold"):
        load_pocket_network(tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="juror train"):
        load_pocket_network(tmp_path / "missing.safetensors")


def test_batch_norm_is_folded_into_the_exported_convolutions(tmp_path):
    onnx = pytest.importorskip("onnx")
    export_onnx(PocketNetwork().eval(), tmp_path / "network.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node]
    assert kinds.count("Conv") == 5
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize(
    ("recipe", "named"),
    [(Recipe(steps=0), "step"), (Recipe(held_out=0.0), "too few"), (Recipe(originals=1), "originals")],
)
def test_a_recipe_that_cannot_work_is_refused(folder, tmp_path, recipe, named):
    with pytest.raises(UserError, match=named):
        train_juror(folder, tmp_path / "out", recipe)


def test_missing_photos_are_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        train_juror(tmp_path / "nowhere", tmp_path / "out", TINY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        train_juror(tmp_path / "empty", tmp_path / "out", TINY)


def test_an_output_that_is_a_file_is_a_users_mistake(folder, tmp_path):
    Path(tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        train_juror(folder, tmp_path / "file", TINY)
