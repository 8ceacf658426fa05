"""What is drawn of episodes and trainings: trajectories, charts, filmstrip, contact sheet, animation."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from a_trajectory import a_trajectory
from PIL import Image
from scenes import dataset, good_agent, scorer

from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.confusion import confusion
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import agent_policy
from rl_aesthetics.evaluation.trajectories import read_trajectories, select, trajectories_of, write_trajectories
from rl_aesthetics.files.run_files import FILMSTRIP
from rl_aesthetics.plan.tasks import task_of_agent
from rl_aesthetics.reports import charts
from rl_aesthetics.reports.filmstrip import (
    chosen_places,
    draw_filmstrip,
    edited,
    photos_of,
    read_filmstrip,
    some,
)
from rl_aesthetics.reports.pictures import FRAME_MS, LAST_FRAME_MS, Shot, animate, contact_sheet
from rl_aesthetics.reports.training_view import read_metrics, write_training_pictures

SEQUENCES = [("swap_gb",), ("invert_r", "shift_left_b"), ("shift_down_all",)]


@pytest.fixture(scope="module")
def evaluated():
    agent = good_agent(max_steps=3)
    evaluation = Evaluation(dataset(SEQUENCES), scorer(), task_of_agent(agent))
    episodes = evaluation.run(agent_policy(agent))
    return agent, evaluation, episodes, trajectories_of(agent, evaluation, episodes)


def test_a_trace_tells_every_decision_as_it_was(evaluated):
    agent, _, episodes, trajectories = evaluated
    for k, one in enumerate(trajectories):
        assert [step.action for step in one.steps] == [agent.actions[action] for action in episodes.actions[k]]
        assert all(max(step.values, key=step.values.get) == step.action for step in one.steps)
        assert one.final == pytest.approx(float(episodes.final_N[k]))
        assert one.earned == pytest.approx(float(episodes.returns_N[k]))
    # The agent's values are the naturalness of what an edit leads to; a score is no part of a Q-value.
    first = trajectories[0].steps[0]
    assert first.values["swap_gb"] == pytest.approx(trajectories[0].original - trajectories[0].degraded, abs=1e-4)


def test_traces_survive_their_file_and_a_broken_one_is_told(evaluated, tmp_path):
    *_, trajectories = evaluated
    write_trajectories(tmp_path / "episodes.jsonl", trajectories)
    assert read_trajectories(tmp_path / "episodes.jsonl") == tuple(trajectories)
    (tmp_path / "episodes.jsonl").write_text('{"image_id": 1}\n')
    with pytest.raises(UserError, match="rl-aesthetics evaluate"):
        read_trajectories(tmp_path / "episodes.jsonl")


def test_a_file_of_the_first_version_is_read(tmp_path):
    step = {"action": "swap_gb", "score": 0.7, "values": {"swap_gb": 0.5, "STOP": 0.0}}
    row = {"image_id": 3, "image_file": "3.png", "source_file": "c.jpg", "recipe": ["swap_gb"], "degraded": 0.2}
    row |= {"original": 0.7, "best": None, "exact": True, "earned": 0.4, "steps": [step]}
    (tmp_path / "episodes.jsonl").write_text(json.dumps(row) + "\n")
    (one,) = read_trajectories(tmp_path / "episodes.jsonl")
    assert (one.degradation, one.edits, one.final, one.expected) == (("swap_gb",), ("swap_gb",), 0.7, 0.5)
    write_trajectories(tmp_path / "again.jsonl", [one])
    assert json.loads((tmp_path / "again.jsonl").read_text()) == {**row, "verdict": None}


@pytest.mark.parametrize(
    ("final", "exact", "kind"),
    [(0.9, True, "exact"), (0.95, False, "recovered"), (0.5, False, "improved"), (0.2, False, "unchanged")],
)
def test_an_episode_is_called_by_the_most_that_can_be_said_for_it(final, exact, kind):
    assert a_trajectory(actions=["swap_gb"], final=final, exact=exact).kind == kind
    assert a_trajectory(actions=["swap_gb"], final=0.1).kind == "worse"


def test_confusion_pairs_each_applied_edit_with_what_the_agent_did_about_it():
    trajectories = [
        a_trajectory(["swap_gb"], ["swap_gb", "STOP"]),
        a_trajectory(["swap_gb"], ["invert_r", "STOP"]),
        a_trajectory(["swap_gb"], ["STOP"]),
        a_trajectory(["invert_r", "swap_gb"], ["swap_gb", "invert_b", "STOP"]),
    ]
    rows, columns, counts = confusion(trajectories)
    found = {(row, column): int(counts[i, j]) for i, row in enumerate(rows) for j, column in enumerate(columns)}
    assert {pair: count for pair, count in found.items() if count} == {
        ("swap_gb", "swap_gb"): 2,
        ("swap_gb", "invert_r"): 1,
        ("swap_gb", "none"): 1,
        ("invert_r", "invert_b"): 1,
    }


def test_selection_filters_and_puts_the_worst_first():
    trajectories = [
        a_trajectory(["swap_gb"], ["STOP"], final=final, number=k) for k, final in enumerate((0.8, 0.2, 0.5))
    ]
    assert [one.image_id for one in select(trajectories)] == [1, 2, 0]
    assert [one.image_id for one in select(trajectories, sort="best")] == [0, 2, 1]
    assert [one.image_id for one in select(trajectories, kind="unchanged")] == [1]
    assert select(trajectories, depth=2) == []


def test_charts_are_well_formed_escaped_and_say_what_they_show():
    drawn = [
        charts.lines({"a<b": [(0, 1.0), (10, float("nan")), (20, 3.0)]}, "steps", "x & y"),
        charts.scatter({"one": [(0.1, 0.2)], "none": []}, "before", "after", {"one": "c1", "none": "c2"}),
        charts.bars({"swap": {"exact": 0.5}}, ("exact",), {"swap": "n 2"}),
        charts.matrix(["a", "b"], ["a", "none"], np.array([[2, 1], [0, 3]]), ["a", "b"], "applied", "undone"),
    ]
    for chart in drawn:
        root = ElementTree.fromstring(charts.standalone(chart))
        assert root.get("role") == "img"
        assert len(root.get("aria-label")) > 10
    assert "2 of 6 undone by the edit that takes it back" in drawn[3]
    assert drawn[0].count("<circle") == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-0.25, 0.6, [-0.2, 0, 0.2, 0.4, 0.6]), (0, 40_000, [0, 1e4, 2e4, 3e4, 4e4])],
)
def test_ticks_are_round_and_few(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_the_filmstrip_shows_the_same_photos_at_every_validation(evaluated, tmp_path):
    _, evaluation, episodes, _ = evaluated
    photos = photos_of(evaluation, episodes)
    lines = [{"epoch": epoch, "step": 10 * epoch, "photos": photos} for epoch in (1, 2, 2)]
    (tmp_path / FILMSTRIP).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"epoch": 3, "st')
    moments = read_filmstrip(tmp_path / FILMSTRIP)
    assert [moment.epoch for moment in moments] == [1, 2]
    photo, edits, _ = moments[0].photos[0]
    assert (edited(evaluation.dataset, photo, edits) == evaluation.dataset.original(0)).all()
    picture = draw_filmstrip(evaluation.dataset, moments)
    assert picture.height == 4 * (128 + 28) + 8  # degraded, two validations, original


def test_a_few_are_evenly_spread_with_both_ends():
    assert chosen_places(80) == [0, 11, 23, 34, 45, 56, 68, 79]
    assert chosen_places(3) == [0, 1, 2]
    assert some(range(100), 3) == [0, 50, 99] or some(range(100), 3) == [0, 49, 99]


def test_a_trainings_pictures_are_drawn_from_its_folder(evaluated, tmp_path):
    _, evaluation, episodes, _ = evaluated
    rows = [{"epoch": k, "step": 10 * k, "epsilon": 1 / k, "val_success_rate": k / 5} for k in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"epo')
    assert read_metrics(tmp_path / "metrics.jsonl") == rows
    line = {"epoch": 3, "step": 30, "photos": photos_of(evaluation, episodes)}
    (tmp_path / FILMSTRIP).write_text(json.dumps(line) + "\n")
    write_training_pictures(tmp_path / "pictures", tmp_path, evaluation.dataset)
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"curve_success.svg", "curve_epsilon.svg", "filmstrip.png", "filmstrip.gif"} <= names


def test_an_animation_stays_longer_on_the_last_frame_of_an_episode(tmp_path):
    def shots(count):
        return [Shot(np.full((20, 30, 3), 40 * k, np.uint8), f"{k}") for k in range(count)]

    animate(tmp_path / "episodes.gif", [shots(3), shots(2)])
    with Image.open(tmp_path / "episodes.gif") as opened:
        durations = []
        for frame in range(opened.n_frames):
            opened.seek(frame)
            durations.append(opened.info["duration"])
    assert durations == [FRAME_MS, FRAME_MS, LAST_FRAME_MS, FRAME_MS, LAST_FRAME_MS]
    assert contact_sheet([shots(3), shots(2), shots(1)]).width == 2 * (3 * 158 + 16) + 8
