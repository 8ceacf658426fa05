"""The report of an evaluation: results.csv, before/after pictures, summary.json."""

import csv
import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scenes import dataset, good_agent, scene, scorer

from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import BEFORE_AFTER, PICTURES, REPORT, RESULTS, SUMMARY, TRAJECTORIES
from rl_aesthetics.reports import report
from rl_aesthetics.reports.before_after import before_after
from rl_aesthetics.reports.evaluate import evaluate

SEQUENCES = [("swap_gb",), ("invert_r", "shift_left_b"), ("swap_gb",)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    summary = evaluate(good_agent(max_steps=3), dataset(SEQUENCES), scorer(), folder, "agent.safetensors")
    return folder, summary


def test_the_folder_holds_the_report_and_nothing_else(written):
    folder, _ = written
    assert sorted(os.listdir(folder)) == sorted([BEFORE_AFTER, PICTURES, TRAJECTORIES, REPORT, RESULTS, SUMMARY])
    assert sorted(os.listdir(folder / PICTURES)) == [
        *("calibration.svg", "confusion.svg", "contact_sheet.jpg", "episodes.gif", "scores.svg", "success_by_edit.svg")
    ]
    assert sorted(os.listdir(folder / BEFORE_AFTER)) == [
        f"{k:04d}.{suffix}" for k in (1, 2, 3) for suffix in ("png", "txt")
    ]


def test_the_summary_file_is_the_returned_summary(written):
    folder, summary = written
    assert json.loads((folder / SUMMARY).read_text()) == summary


def test_results_have_the_guides_columns_and_a_row_for_each_photo(written):
    folder, summary = written
    with open(folder / RESULTS, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("image_id", "image_path", "initial_score", "final_score"),
        *("original_score", "improvement", "steps_taken", "actions"),
    ]
    assert [row["image_id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["actions"] == "swap_gb+STOP"
    assert set(rows[1]["actions"].split("+")) == {"invert_r", "shift_left_b", STOP}
    assert [int(row["steps_taken"]) for row in rows] == [2, 3, 2]
    for row in rows:
        initial, final, original, improvement = (
            float(row[name]) for name in ("initial_score", "final_score", "original_score", "improvement")
        )
        assert improvement == pytest.approx(final - initial, abs=2e-6)
        assert final == original > initial
    assert np.mean([float(row["improvement"]) for row in rows]) == pytest.approx(summary["mean_improvement"], abs=1e-5)


def test_the_summary_breaks_down_by_first_degradation_and_counts_the_actions(written):
    _, summary = written
    assert {name: row["episodes"] for name, row in summary["by_first_degradation"].items()} == {
        "swap_gb": 2,
        "invert_r": 1,
    }
    assert summary["by_first_degradation"]["invert_r"]["mean_steps"] == 3
    assert {name: times for name, times in summary["actions"].items() if times} == {
        "swap_gb": 2,
        "invert_r": 1,
        "shift_left_b": 1,
        STOP: 3,
    }
    assert list(summary["actions"]) == [*REVERSIBLE, STOP]


def test_edit_lists_stand_beside_the_pictures(written):
    folder, _ = written
    lines = (folder / BEFORE_AFTER / "0001.txt").read_text().splitlines()
    assert lines[0] == "photo 1, memory/1"
    assert lines[1].endswith(": swap_gb")
    assert lines[2:4] == ["edit 1: swap_gb", "edit 2: STOP"]


def test_pictures_show_degraded_edited_and_original_pixels(written):
    folder, _ = written
    photos = dataset(SEQUENCES)
    sheet = np.asarray(Image.open(folder / BEFORE_AFTER / "0001.png"))
    for expected in (photos.degraded(0), photos.original(0)):
        enlarged = np.kron(expected[..., ::-1], np.ones((5, 5, 1), np.uint8))  # 64 px is too narrow for a caption
        corners = np.argwhere((sheet[:-319, :-319] == enlarged[0, 0]).all(axis=2))
        assert any(np.array_equal(sheet[y : y + 320, x : x + 320], enlarged) for y, x in corners)


def test_at_most_20_photos_get_a_picture(tmp_path):
    evaluate(good_agent(), dataset([("swap_gb",)] * 22, 8, 8), scorer(), tmp_path, oracle=False)
    assert len(list((tmp_path / BEFORE_AFTER).glob("*.png"))) == report.FIRST == 20


def test_a_second_report_replaces_the_first_and_leaves_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    evaluate(good_agent(), dataset(SEQUENCES), scorer(), tmp_path, oracle=False)
    evaluate(good_agent(), dataset(SEQUENCES[:1]), scorer(), tmp_path, oracle=False)
    ours = [BEFORE_AFTER, PICTURES, TRAJECTORIES, REPORT, RESULTS, SUMMARY]
    assert sorted(os.listdir(tmp_path)) == sorted([*ours, "notes.txt"])
    assert sorted(os.listdir(tmp_path / BEFORE_AFTER)) == ["0001.png", "0001.txt"]
    assert json.loads((tmp_path / SUMMARY).read_text())["episodes"] == 1
    assert len((tmp_path / RESULTS).read_text().splitlines()) == 2


def test_a_file_in_the_place_of_the_folder_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*choose another output folder"):
        report.check_writable(tmp_path / "file")


def test_long_captions_wrap_within_their_panel():
    photos = [scene(96, 128)] * 3
    short = before_after("photo", photos, ["a", "", ""], [0.1, 0.2, 0.3])
    long = before_after("photo", photos, ["shift all left by half, " * 8, "", ""], [0.1, 0.2, 0.3])
    assert long.width == short.width
    assert long.height > short.height
    rows = np.asarray(long)[short.height :, long.width // 3 + 16 :]
    assert (rows == 255).all()  # nothing of the first caption runs into the second panel


def test_the_table_fits_80_columns_and_shows_agent_and_baselines(written):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.table(written[1]))
    text = console.export_text()
    for word in ("agent", "random", "always STOP", "greedy with juror", "exhaustive search", "recovered", "3 photos"):
        assert word in text
    assert "…" not in text
