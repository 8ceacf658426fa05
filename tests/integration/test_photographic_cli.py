"""Photographs from end to end on the command line: degrade, train, evaluate before other judges, edit, replay."""

import csv
import json

import numpy as np
import pytest
import ray
import tifffile
from mlflow import MlflowClient
from PIL import Image

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield tmp_path_factory.mktemp("photographic")
        ray.shutdown()


def write_photos(folder):
    for number in range(12):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(30, 226, (6, 8, 3), np.uint8))
        photo = coarse.resize((120, 97), Image.Resampling.BICUBIC)
        (folder / "photos").mkdir(exist_ok=True)
        photo.save(folder / "photos" / f"{number}.png")


def test_from_photos_to_edited_photos(run, folder):
    write_photos(folder)
    data, output = folder / "data", folder / "run"
    ratios = ("--split-ratios", "0.5,0.25,0.25", "--max-size", 96)
    code, out, err = run(
        *("generate", "--source", folder / "photos", "--output", data, "--juror", "reference"),
        *("--transformation", "tonal", "--depth", 2, *ratios),
    )
    assert code == 0, err
    assert "next: rl-aesthetics train --config configs/photographic.yaml" in out
    described = json.loads((data / "train" / "annotations.json").read_text())
    assert all(0.3 <= abs(size) <= 1.5 for row in described["annotations"] for size in row["strengths"])

    code, out, err = run(
        *("train", "--config", "configs/photographic.yaml", f"dataset={data}", f"output={output}"),
        *(f"mlflow.tracking_uri=sqlite:///{folder}/mlflow.db", "learner.max_minutes=null", "training.num_epochs=2"),
        *("training.dataloader_batch_size=4", "training.batch_size=16", "training.max_steps_per_episode=4"),
        *("learner.learning_starts=16", "learner.updates_per_call=2"),
    )
    assert code == 0, err
    assert f"wrote {output / 'agent.safetensors'}" in out
    assert "on average" in out

    report = folder / "report"
    code, out, err = run(
        *("evaluate", "--checkpoint", output, "--dataset", data, "--output-dir", report, "--judge", "pocket")
    )
    assert code == 0, err
    assert "PSNR" in out
    assert "judge pocket" in out
    summary = json.loads((report / "summary.json").read_text())
    assert summary["baselines"]["always_stop"]["exact"] == 0  # degraded photos that are left alone are no originals
    assert 0 <= summary["quality"]["undegraded"]["left_alone"] <= 1
    with open(report / "judges.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["episodes"]
    assert {"psnr_after", "flip_after", "pocket_after", "fooled"} <= set(rows[0])
    page = (report / "report.html").read_text()
    assert page.index(f'data-photo="{rows[0]["image_id"]}"') < page.index(f'data-photo="{rows[-1]["image_id"]}"')
    assert "judge pocket" in page
    assert "greedy with original" in out

    assert "added to the training's run in MLflow" in out
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run_id,) = (
        found.info.run_id for e in client.search_experiments() for found in client.search_runs([e.experiment_id])
    )
    curves = {f"pictures/curve_{name}.svg" for name in ("epsilon", "loss", "reward", "speed", "steps", "success")}
    strips = {"pictures/filmstrip.png", "pictures/filmstrip.gif"}
    assert artifacts(client, run_id, "pictures") == curves | strips
    evaluation = artifacts(client, run_id, "evaluation/test")
    assert {path.rpartition("/")[2] for path in evaluation if path.startswith("evaluation/test/pictures/")} == {
        *("calibration.svg", "confusion.svg", "scores.svg", "success_by_edit.svg", "contact_sheet.jpg", "episodes.gif")
    }
    assert {f"evaluation/test/{name}" for name in ("report.html", "judges.csv", "episodes.jsonl")} < evaluation
    for path in ("evaluation/test/pictures/episodes.gif", "pictures/filmstrip.gif"):
        with Image.open(client.download_artifacts(run_id, path, folder)) as animation:
            assert (animation.format, animation.n_frames > 1) == ("GIF", True)


def artifacts(client, run_id, path):
    """Paths of all files at and below a folder among a run's artifacts."""
    below = client.list_artifacts(run_id, path)
    return {file.path for file in below if not file.is_dir}.union(
        *(artifacts(client, run_id, file.path) for file in below if file.is_dir)
    )


def test_enhance_edits_a_folder_and_a_recipe_repeats_it(run, folder):
    photos, results = folder / "mine", folder / "edited"
    (photos / "trip").mkdir(parents=True)
    random = np.random.default_rng(5)
    tifffile.imwrite(photos / "deep.tiff", random.integers(0, 20000, (80, 101, 3)).astype(np.uint16), photometric="rgb")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture = Image.fromarray(random.integers(0, 256, (60, 90, 3), np.uint8))
    picture.save(photos / "trip" / "turned.jpg", exif=exif)
    code, out, err = run(
        *("enhance", photos, "--checkpoint", folder / "run", "--output-dir", results),
        *("--format", "same", "--recipe", "--steps", "--contact-sheet"),
    )
    assert code == 0, err
    assert f"wrote {results / 'contact_sheet.jpg'}" in out
    deep = tifffile.imread(results / "deep.tiff")
    assert (deep.dtype, deep.shape) == (np.uint16, (80, 101, 3))
    with Image.open(results / "trip" / "turned.jpg") as turned:
        assert (turned.size, turned.getexif().get(0x0112)) == ((60, 90), 1)
    recipe = json.loads((results / "deep.recipe.json").read_text())
    assert len(list(results.glob("deep.step*.png"))) == len(recipe["edits"])

    again = folder / "again"
    code, _, err = run(
        *("enhance", photos / "deep.tiff", "--apply", results / "deep.recipe.json"),
        *("--output-dir", again, "--format", "same"),
    )
    assert code == 0, err
    np.testing.assert_array_equal(tifffile.imread(again / "deep.tiff"), deep)

    code, out, err = run(
        *("enhance", photos, "--checkpoint", folder / "run", "--output-dir", results, "--format", "same", "--resume")
    )
    assert code == 0, err
    assert out.count("done before") == 2
