"""`rl-aesthetics evaluate` and `enhance` as they are used: real photos, the pocket juror, agent files, exit codes."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
import torch

from juror_service.jurors.pocket_network import load_pocket_network
from juror_service.jurors.registry import load_juror
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.files.run_files import AGENT_FILE
from rl_aesthetics.networks.registry import make_network
from rl_aesthetics.photos.resize import reduce_image

PHOTOS = [Path(skimage.__file__).parent / "data" / name for name in ("astronaut.png", "chelsea.png", "coffee.png")]
ACTIONS = (*REVERSIBLE, STOP)


def originals(size=192):
    for file in PHOTOS:
        photo = cv2.imread(str(file))
        yield photo[:size, :size], file.name


@pytest.fixture(scope="module")
def juror():
    return load_juror(threads=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, juror):
    """Each photo degraded by each of a few edits."""
    root = tmp_path_factory.mktemp("dataset")
    write_dataset(root, [("swap_rb",), ("invert_g",), ("shift_left_r",), ("shift_down_all",)], juror)
    return root


def write_dataset(root, sequences, juror, fingerprint=None):
    folder = root / "test"
    (folder / "images").mkdir(parents=True)
    (folder / "originals").mkdir()
    records = []
    for sequence in sequences:
        for photo, name in originals():
            number = len(records) + 1
            degraded, file = degrade(photo, sequence), f"images/{number:06d}.png"
            cv2.imwrite(str(folder / file), degraded)
            original = None
            if "gaussian_blur_3" in sequence:
                original = f"originals/{number:06d}.png"
                cv2.imwrite(str(folder / original), photo)
            score, initial = juror.score([reduce_image(x, juror.size)[..., ::-1] for x in (degraded, photo)])
            records.append(
                Record(
                    *(number, file, original, "+".join(sequence), sequence),
                    *(float(score), float(initial), name, photo.shape[1], photo.shape[0]),
                )
            )
    labels = sorted({record.transformation for record in records})
    write_annotations(folder, records, labels, {"juror": fingerprint or juror.fingerprint})


@pytest.fixture(scope="module")
def agent(tmp_path_factory, juror):
    """The afterstate network with the pocket juror's weights: it takes the edit whose result looks best."""
    network, pocket = make_network("afterstate", ACTIONS, 64), load_pocket_network()
    head = next(module for module in pocket.head if isinstance(module, torch.nn.Linear))
    network.start_from(pocket.trunk, head.weight, head.bias)
    network.head.bias.data[1] += 1e-3  # where no edit looks better, stop
    config = {"juror": {"name": "pocket", "options": {"threads": 1}}}
    description = AgentDescription("afterstate", ACTIONS, (3, 64, 64), 4, juror.fingerprint, config=config)
    file = tmp_path_factory.mktemp("agent") / AGENT_FILE
    DQNAgent(description, network).save(file)
    return file


def altered(agent, folder, **changes):
    """The agent's file with another description."""
    loaded = DQNAgent.load(agent)
    DQNAgent(replace(loaded.description, **changes), loaded.network).save(folder / "altered.safetensors")
    return folder / "altered.safetensors"


def evaluate(checkpoint, dataset, output, *more):
    return ("evaluate", "--checkpoint", checkpoint, "--dataset", dataset, "--output-dir", output, *more)


def enhance(checkpoint, output, *more):
    return ("enhance", "--checkpoint", checkpoint, "--output-dir", output, *more)


def test_evaluate_measures_an_agent_beside_the_baselines(agent, dataset, tmp_path):
    output = tmp_path / "made" / "on demand"
    finished = subprocess.run(
        [Path(sys.executable).parent / "rl-aesthetics", *map(str, evaluate(agent, dataset, output, "--max-steps", 2))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    for file in ("summary.json", "results.csv", "before_after"):
        assert f"wrote {output / file}" in finished.stdout
    for row in ("agent", "random", "always STOP", "greedy with juror", "exhaustive search"):
        assert row in finished.stdout

    summary = json.loads((output / "summary.json").read_text())
    assert (summary["episodes"], summary["max_steps"], summary["split"]) == (12, 2, "test")
    assert summary["agent_file"] == str(agent)
    assert summary["juror"] == summary["agent_juror"] == summary["dataset_juror"]
    assert summary["baselines"]["always_stop"]["improved"] == 0
    assert summary["improved"] >= 0.75 > summary["baselines"]["random"]["improved"]
    assert 0 < summary["oracle_fraction"] <= summary["baselines"]["exhaustive_oracle"]["oracle_fraction"] + 1e-9
    with open(output / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image_path"]).is_file() for row in rows] == [True] * 12
    assert np.mean([float(row["improvement"]) > 0 for row in rows]) == summary["improved"]
    assert len(list((output / "before_after").glob("*.png"))) == 12


def test_enhance_edits_photos_and_leaves_the_files_alone(agent, tmp_path):
    photo = tmp_path / "holiday.png"
    original = next(originals(193))[0]  # odd sides
    cv2.imwrite(str(photo), degrade(np.ascontiguousarray(original), ["invert_g"]))
    before = photo.read_bytes()
    finished = subprocess.run(
        [Path(sys.executable).parent / "rl-aesthetics", *map(str, enhance(agent, tmp_path / "out", photo))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "invert_g" in finished.stdout
    assert "cut one row and one column" in finished.stdout
    assert f"wrote {tmp_path / 'out' / 'holiday.png'}" in finished.stdout
    assert photo.read_bytes() == before
    record = json.loads((tmp_path / "out" / "holiday.json").read_text())
    assert "invert_g" in record["edits"]
    assert record["score_after"] > record["score_before"]
    assert record["cropped"] == {"rows": 1, "columns": 1}
    assert cv2.imread(str(tmp_path / "out" / "holiday.png")).shape == (192, 192, 3)


@pytest.mark.parametrize("command", ["evaluate", "enhance"])
def test_help_tells_what_to_give(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "--checkpoint" in out
    assert "--juror" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "none.safetensors"), "no agent file at none.safetensors"),
        (("--checkpoint", __file__), "is not an agent file"),
        (("--dataset", "nowhere"), "no dataset at nowhere"),
        (("--split", "val"), "has no split 'val'; it has test"),
        (("--output-dir", f"{__file__}/report"), "cannot write to"),
        (("--juror", "poket"), "unknown juror 'poket' (did you mean 'pocket'?)"),
    ],
)
def test_evaluate_tells_a_mistake_in_one_line(run, agent, dataset, tmp_path, arguments, message):
    code, _, err = run(*evaluate(agent, dataset, tmp_path / "report"), *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_a_step_limit_below_one_is_refused(run, agent, dataset, tmp_path):
    code, _, err = run(*evaluate(agent, dataset, tmp_path / "report", "--max-steps", 0))
    assert code == 2
    assert "--max-steps" in err


def test_an_agent_of_another_juror_needs_the_juror_by_name(run, agent, dataset, tmp_path):
    other = altered(agent, tmp_path, juror="pocket:another")
    code, _, err = run(*evaluate(other, dataset, tmp_path / "report", "--no-oracle"))
    assert code == 2
    assert "the agent was trained on juror pocket:another, but the juror is pocket:" in err
    code, _, err = run(*enhance(other, tmp_path / "out", PHOTOS[0]))
    assert (code, "trained on juror pocket:another" in err) == (2, True)

    code, out, _ = run(*evaluate(other, dataset, tmp_path / "report", "--no-oracle", "--juror", "pocket"))
    assert code == 0
    assert "the agent was trained on pocket:another" in out
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["agent_juror"] == "pocket:another" != summary["juror"]


def test_a_dataset_of_another_juror_is_refused(run, agent, juror, tmp_path):
    write_dataset(tmp_path / "data", [("swap_rb",)], juror, fingerprint="pocket:another")
    code, _, err = run(*evaluate(agent, tmp_path / "data", tmp_path / "report"))
    assert (code, "was scored by pocket:another" in err) == (2, True)


def test_an_agent_that_has_none_of_the_datasets_edits_is_refused(run, agent, juror, tmp_path):
    write_dataset(tmp_path / "data", [("swap_rb",)], juror)
    other = altered(agent, tmp_path, actions=("invert_r", "invert_g", STOP))
    code, _, err = run(*evaluate(other, tmp_path / "data", tmp_path / "report"))
    assert (code, "the agent has none of these edits" in err) == (2, True)


def test_where_a_degradation_cannot_be_undone_no_episode_ends_at_the_original(run, agent, juror, tmp_path):
    write_dataset(tmp_path / "data", [("gaussian_blur_3",)], juror)
    other = altered(agent, tmp_path, actions=("gaussian_blur_3", STOP))
    code, _, _ = run(*evaluate(other, tmp_path / "data", tmp_path / "report"))
    assert code == 0
    assert json.loads((tmp_path / "report" / "summary.json").read_text())["exact"] == 0


@pytest.mark.parametrize("name", ["missing.jpg", "words.jpg", "."])
def test_enhance_tells_an_unreadable_photo_and_edits_the_others(run, agent, tmp_path, name):
    (tmp_path / "words.jpg").write_text("no photo")
    code, _, err = run(*enhance(agent, tmp_path / "out", tmp_path / name, PHOTOS[1]))
    assert code == 2
    assert "skipped" in err
    assert "1 of 2 photos could not be edited" in err
    assert sorted(os.listdir(tmp_path / "out")) == ["chelsea.json", "chelsea.png"]


def test_enhance_refuses_to_replace_results_and_photos(run, agent, tmp_path):
    assert run(*enhance(agent, tmp_path, PHOTOS[1]))[0] == 0
    code, _, err = run(*enhance(agent, tmp_path, PHOTOS[1]))
    assert (code, "is there already; pass --overwrite" in err) == (2, True)
    assert run(*enhance(agent, tmp_path, PHOTOS[1], "--overwrite"))[0] == 0
    before = (tmp_path / "chelsea.png").read_bytes()
    code, _, err = run(*enhance(agent, tmp_path, tmp_path / "chelsea.png", "--overwrite"))
    assert (code, "photos are never replaced" in err) == (2, True)
    assert (tmp_path / "chelsea.png").read_bytes() == before


def test_enhance_needs_no_ray(agent, tmp_path):
    code = """
import sys
from rl_aesthetics_cli.main import main
try:
    main()
except SystemExit as exit_:
    assert not exit_.code, exit_.code
assert not {"ray", "mlflow"} & set(sys.modules), "imported"
"""
    arguments = map(str, enhance(agent, tmp_path / "out", PHOTOS[1]))
    finished = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "out" / "chelsea.json").is_file()
