"""Dataset generation on a real Ray: right, reproducible, whole, and clear about what it leaves out."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import ray
from PIL import Image
from pycocotools.coco import COCO

from juror_service.jurors.registry import load_juror
from ray_cluster.generate.generate import GenerateSettings, generate
from rl_aesthetics.datasets.annotations import SPLITS
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.photos.sources import read_photo
from rl_aesthetics.scores.scorer import FunctionScorer

pytestmark = pytest.mark.ray

PHOTOS = 24


def redness(image):
    return float(image[..., 0].mean() - image[..., 2].mean()) / 255


def make_redness():
    return FunctionScorer(redness, fingerprint="redness")


class Broken:
    size, fingerprint = 64, "broken"

    def score(self, images):
        raise ScoringError("the juror is out for lunch")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
        object_store_memory=200 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},  # where the scorers above are found
    )
    yield
    ray.shutdown()


def landscape(seed):
    """A smooth colour picture with some noise: sky above, ground below."""
    random = np.random.default_rng(seed)
    height, width = random.integers(150, 300, 2)
    rows = np.linspace(0, 1, height)[:, None, None]
    sky, ground = random.integers(40, 220, (2, 3))
    return np.clip(sky * (1 - rows) + ground * rows + random.normal(0, 9, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "trip").mkdir()
    for number in range(PHOTOS):
        name = f"trip/{number:02d}.png" if number % 2 else f"{number:02d}.jpg"
        Image.fromarray(landscape(number)).save(folder / name)
    return folder


def settings(photos, output, **changes):
    return GenerateSettings(
        **{"source": str(photos), "output": output, "scorer": make_redness, "batch_size": 5} | changes
    )


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def generated(photos, tmp_path_factory):
    """A dataset that the real pocket juror scored."""
    output = tmp_path_factory.mktemp("out") / "data"
    seen = []
    report = generate(
        settings(photos, output, scorer=None, max_size=160), progress=lambda *progress: seen.append(progress)
    )
    return output, report, seen


def test_splits_are_shares_of_the_photos(generated):
    output, report, _ = generated
    assert report.photos == report.images == {"train": 17, "val": 4, "test": 3}
    assert {split: len(RLDataset(output, split)) for split in SPLITS} == report.images


def test_progress_counts_every_photo(generated):
    assert generated[2][-1] == ("degrading and scoring photos", PHOTOS, PHOTOS)


def test_degraded_pixels_are_the_recipe_applied_and_undoing_it_is_exact(generated, photos):
    output, _, _ = generated
    for split in SPLITS:
        dataset = RLDataset(output, split)
        for i, record in enumerate(dataset.records):
            original = dataset.original(i)
            np.testing.assert_array_equal(degrade(original, record.sequence), dataset.degraded(i))
            source = read_photo(photos / record.source_file)
            assert max(original.shape) <= 160
            assert original.shape[0] % 2 == original.shape[1] % 2 == 0
            # The right original: the source photo, reduced. Nothing else is near it.
            difference = reduce_image(source, 32).astype(int) - reduce_image(original, 32)
            assert np.abs(difference).mean() < 4


def test_scores_are_the_jurors_of_the_pixels_in_the_files(generated):
    output, report, _ = generated
    juror = load_juror("pocket")
    assert report.juror == juror.fingerprint
    for split in SPLITS:
        dataset = RLDataset(output, split)
        assert dataset.juror == juror.fingerprint
        for kind, read in (("score", dataset.degraded), ("initial_score", dataset.original)):
            views = [np.ascontiguousarray(reduce_image(read(i), juror.size)[..., ::-1]) for i in range(len(dataset))]
            np.testing.assert_allclose([getattr(r, kind) for r in dataset.records], juror.score(views), atol=2e-6)


def test_annotations_are_coco_with_sizes_and_shared_categories(generated):
    output, _, _ = generated
    categories = []
    for split in SPLITS:
        coco = COCO(str(output / split / "annotations.json"))
        categories.append(coco.loadCats(coco.getCatIds()))
        for image in coco.loadImgs(coco.getImgIds()):
            with Image.open(output / split / "images" / image["file_name"]) as file:
                assert (file.format, file.size) == ("PNG", (image["width"], image["height"]))
    assert categories[0] == categories[1] == categories[2]


def test_nothing_in_the_dataset_names_this_machine(generated, photos):
    output, _, _ = generated
    for split in SPLITS:
        text = (output / split / "annotations.json").read_text()
        assert str(photos.parent) not in text
        assert str(output.parent) not in text


def test_same_seed_same_bytes_for_any_number_of_workers(photos, tmp_path):
    generate(settings(photos, tmp_path / "one", workers=1, scorer=None))
    generate(settings(photos, tmp_path / "two", workers=2, jurors=2, scorer=None))
    assert content(tmp_path / "one") == content(tmp_path / "two")
    generate(settings(photos, tmp_path / "other", seed=43))
    assert content(tmp_path / "one") != content(tmp_path / "other")


def test_a_depth_is_the_exact_distance_of_every_photo(photos, tmp_path):
    generate(settings(photos, tmp_path / "a", depth=3))
    for split in SPLITS:
        assert set(algebra.DEPTH[RLDataset(tmp_path / "a", split).start_states()]) == {3}


def test_random_uses_many_edits_and_a_list_only_those(photos, tmp_path):
    generate(settings(photos, tmp_path / "random", copies=2))
    generate(settings(photos, tmp_path / "list", transformation="SwapColorChannelTransformerGB,invert_r"))
    used = {r.transformation for split in SPLITS for r in RLDataset(tmp_path / "random", split).records}
    assert len(used) >= 10
    assert used <= set(REVERSIBLE)
    used = {r.transformation for split in SPLITS for r in RLDataset(tmp_path / "list", split).records}
    assert used == {"swap_gb", "invert_r"}


def test_what_cannot_be_undone_keeps_its_original_in_a_file(photos, tmp_path):
    generate(settings(photos, tmp_path / "a", transformation="GaussianBlur3"))
    dataset = RLDataset(tmp_path / "a", "train")
    for i, record in enumerate(dataset.records):
        assert record.original_file == record.image_file.replace("images", "originals")
        np.testing.assert_array_equal(degrade(dataset.original(i), ["gaussian_blur_3"]), dataset.degraded(i))


def test_copies_differ_and_share_split_and_initial_score(photos, tmp_path):
    report = generate(settings(photos, tmp_path / "a", copies=3))
    assert sum(report.images.values()) == 3 * PHOTOS
    records = [(split, r) for split in SPLITS for r in RLDataset(tmp_path / "a", split).records]
    for source_file in {r.source_file for _, r in records}:
        mine = [(split, r) for split, r in records if r.source_file == source_file]
        assert len({split for split, _ in mine}) == 1
        assert len({r.transformation for _, r in mine}) == 3
        assert len({r.initial_score for _, r in mine}) == 1


def test_a_limit_takes_that_many_photos(photos, tmp_path):
    report = generate(settings(photos, tmp_path / "a", limit=7))
    assert sum(report.photos.values()) == 7


def test_unusable_files_are_left_out_and_listed_with_reasons(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        (folder / f"good{number}.jpg").write_bytes((photos / f"{2 * number:02d}.jpg").read_bytes())
    whole = (photos / "20.jpg").read_bytes()
    (folder / "again.jpg").write_bytes((folder / "good0.jpg").read_bytes())
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a photo")
    Image.new("RGB", (40, 40), "red").save(folder / "tiny.png")
    Image.effect_noise((200, 200), 50).convert("RGB").save(folder / "grey.png")
    report = generate(settings(folder, tmp_path / "a"))
    reasons = {file.file: file.reason for file in report.skipped}
    assert sum(report.images.values()) == 4
    assert set(reasons) == {"good0.jpg", "truncated.jpg", "text.jpg", "tiny.png", "grey.png"}
    assert "truncated" in reasons["truncated.jpg"]
    assert reasons["tiny.png"].startswith("too small")
    assert reasons["grey.png"].startswith("grey only")
    assert reasons["good0.jpg"] == "the same pixels as again.jpg"
    listed = json.loads((tmp_path / "a" / "skipped.json").read_text())
    assert {file["file"]: file["reason"] for file in listed} == reasons


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transformation": "swap_xy"}, "unknown transform"),
        ({"depth": 10}, "from 1 to 9"),
        ({"copies": 15}, "--copies 15"),
        ({"split_ratios": (0.5, 0.5, 0.5)}, "--split-ratios"),
        ({"split_ratios": (1.5, -0.5, 0.0)}, "--split-ratios"),
        ({"max_size": 10}, "--max-size"),
        ({"workers": 0}, "--workers"),
        ({"limit": 0}, "--limit"),
        ({"limit": 2}, "2 usable photos cannot fill 3 splits"),
        ({"scorer": None, "juror": "poket"}, "did you mean 'pocket'"),
        ({"source": "/nowhere/at/all"}, "no folder of photos"),
    ],
)
def test_a_wrong_setting_is_told_and_leaves_nothing(photos, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        generate(settings(photos, tmp_path / "deep" / "a", **changes))
    assert list(tmp_path.iterdir()) == []


def test_an_output_among_the_photos_or_around_them_is_refused(photos):
    with pytest.raises(UserError, match="lies in the folder of photos"):
        generate(settings(photos, photos / "data"))
    with pytest.raises(UserError, match="which would be replaced"):
        generate(settings(photos / "trip", photos, overwrite=True))
    assert len(list(photos.rglob("*.*g"))) == PHOTOS


def test_an_existing_dataset_is_replaced_only_when_asked(photos, tmp_path):
    generate(settings(photos, tmp_path / "a", limit=6))
    before = content(tmp_path / "a")
    with pytest.raises(UserError, match="exists already"):
        generate(settings(photos, tmp_path / "a", limit=8))
    assert content(tmp_path / "a") == before
    generate(settings(photos, tmp_path / "a", limit=8, overwrite=True))
    assert sum(len(RLDataset(tmp_path / "a", split)) for split in SPLITS) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_juror_that_cannot_score_ends_it_without_a_dataset(photos, tmp_path):
    with pytest.raises(ScoringError, match="out for lunch"):
        generate(settings(photos, tmp_path / "a", scorer=Broken))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_loads_and_the_next_one_cleans_up(photos, tmp_path):
    program = f"""
        import sys, time
        from ray_cluster.generate.generate import GenerateSettings, generate
        def stop(what, done, total):
            print("writing", flush=True)
            time.sleep(60)
        generate(GenerateSettings(source={str(photos)!r}, output={str(tmp_path / "a")!r}, workers=1), stop)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a").exists()
    (leftover,) = tmp_path.iterdir()
    for split in SPLITS:
        with pytest.raises(UserError):
            RLDataset(leftover, split)
    generate(settings(photos, tmp_path / "a"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
