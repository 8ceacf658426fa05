"""What others than the agent's own juror say of its results, on the page and in the files."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from a_trajectory import a_trajectory
from rich.console import Console
from scenes import good_agent, scene, scorer

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.tonal_degradation import sequence_of
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.evaluation.confusion import confusion, undoing
from rl_aesthetics.evaluation.trajectories import Verdict, read_trajectories, select, sorts_of
from rl_aesthetics.files.run_files import REPORT, TRAJECTORIES
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.reports import report
from rl_aesthetics.reports.evaluate import evaluate
from rl_aesthetics.scores.reference import ReferenceScorer
from rl_aesthetics.scores.scorer import FunctionScorer

ACTIONS = ("exposure_up", "exposure_down_3", STOP)
DEGRADED = [{"exposure": 1.5}, {"exposure": -1.0}, {"exposure": 1.0}, {"exposure": -0.5}]


class AlwaysDarker(QNetwork):
    """Makes everything darker once: right for what is too bright, and wrong for what is too dark."""

    def forward(self, observations_BCHW):
        return torch.tensor([[-0.5, 0.5, 0.1]]).repeat(len(observations_BCHW), 1)


def photos():
    named = [sequence_of(strengths) for strengths in DEGRADED]
    return RLDataset.from_arrays(
        [scene(64, 64, k) for k in range(len(named))], [names for names, _ in named], strengths=[s for _, s in named]
    )


def darkness(image_RGB):
    return 1 - image_RGB.mean() / 255


def evaluated(folder, own, judges=None):
    agent = DQNAgent(
        AgentDescription("simple_cnn", ACTIONS, (3, 64, 64), 1, own.fingerprint), AlwaysDarker(ACTIONS, 64)
    )
    return evaluate(agent, photos(), own, folder, oracle=False, held_out=judges or {})


@pytest.fixture(scope="module")
def fooled(tmp_path_factory):
    """An agent whose juror likes the dark, before a judge who likes what is natural: photos 2 and 4 get worse."""
    folder = tmp_path_factory.mktemp("fooled")
    own = FunctionScorer(darkness, 64, "darkness")
    return folder, evaluated(folder, own, {"naturalness": scorer()})


def order_on_page(folder):
    text = (folder / REPORT).read_text()
    return text, [int(number) for number in re.findall(r'<article class="trajectory"[^>]*data-photo="(\d+)"', text)]


def test_photos_whose_own_score_rose_while_the_judges_fell_come_first_and_are_flagged(fooled):
    folder, summary = fooled
    text, order = order_on_page(folder)
    gains = {one.image_id: one.verdict.gain for one in read_trajectories(folder / TRAJECTORIES)}
    assert set(order[:2]) == {2, 4}
    assert gains[order[0]] < gains[order[1]] < 0 < gains[order[2]] < gains[order[3]]
    articles = text.split('<article class="trajectory"')[1:]
    assert ["own score up, others down" in article for article in articles] == [True, True, False, False]
    assert summary["quality"]["fooled"] == 0.5
    assert "2 of 4 photos (50%)" in text


def test_the_page_shows_what_each_judge_said_of_each_photo_and_of_all(fooled):
    folder, summary = fooled
    text, _ = order_on_page(folder)
    said = summary["quality"]["judges"]["naturalness"]
    assert f"<td>{said['before']:.3f}</td><td>{said['after']:.3f}</td><td>{said['improved']:.0%}</td>" in text
    for one in read_trajectories(folder / TRAJECTORIES):
        before, after = one.verdict.judges["naturalness"]
        assert f"naturalness {before:.3f} → {after:.3f}" in text
        assert (after < before) == one.verdict.fooled
        assert f"PSNR {one.verdict.quality['psnr'][0]:.2f} → {one.verdict.quality['psnr'][1]:.2f} dB" in text


def test_without_judges_nothing_is_said_of_them(tmp_path):
    evaluate(good_agent(), RLDataset.from_arrays([scene()], [("swap_gb",)]), scorer(), tmp_path, oracle=False)
    text, _ = order_on_page(tmp_path)
    assert "What others say" not in text
    assert "judges’ worst first" not in text
    assert json.loads((tmp_path / TRAJECTORIES).read_text())["verdict"] is None


def test_what_knows_the_original_is_called_so_on_page_and_terminal(tmp_path, fooled):
    summary = evaluated(tmp_path, ReferenceScorer())
    text, _ = order_on_page(tmp_path)
    assert '<th scope="row">greedy with original</th>' in text
    assert "greedy with juror" not in text
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.table(summary))
    said = " ".join(console.export_text().split())
    assert "greedy with original" in said
    assert "which the agent never sees" in said
    assert '<th scope="row">greedy with juror</th>' in order_on_page(fooled[0])[0]


def test_order_and_filter_by_verdict():
    def judged(number, before, after, fooled):
        verdict = Verdict({"psnr": (before, after)}, {}, fooled)
        return replace(a_trajectory(["exposure_up"], ["STOP"], number=number), verdict=verdict)

    trajectories = [
        judged(1, 20, 25, False),
        judged(2, 20, 19, True),
        judged(3, 20, 15, False),
        judged(4, 20, 10, True),
    ]
    assert [one.image_id for one in select(trajectories)] == [4, 2, 3, 1]
    assert [one.image_id for one in select(trajectories, fooled=True)] == [4, 2]
    assert sorts_of(trajectories)[0] == "judged"
    assert sorts_of([a_trajectory()])[0] == "worst"


def test_a_photographic_edit_is_undone_by_the_steps_the_other_way():
    assert undoing("exposure_down") == "exposure_up"
    assert undoing("swap_gb") == "swap_gb"
    assert undoing("sharpen") == "sharpen"
    trajectories = [
        a_trajectory(["exposure_down"], ["exposure_up_3", "exposure_up", "tint_up", "STOP"]),
        a_trajectory(["tint_up"], ["exposure_up", "STOP"]),
    ]
    rows, columns, counts = confusion(trajectories)
    found = {(row, column): int(counts[i, j]) for i, row in enumerate(rows) for j, column in enumerate(columns)}
    assert {pair: count for pair, count in found.items() if count} == {
        ("exposure_down", "exposure_up"): 1,
        ("tint_up", "exposure_up"): 1,
    }
    assert columns[: len(rows)] == [undoing(row) for row in rows]
    assert np.trace(counts[:, : len(rows)]) == 1


@pytest.mark.parametrize("size", ["", "_3", "_fine"])
def test_a_step_the_other_way_is_a_hit_whatever_its_size(size):
    trajectories = [
        a_trajectory(["exposure_down"], [f"exposure_up{size}", "STOP"]),
        a_trajectory([f"tint_up{size}"], ["tint_down"]),
    ]
    rows, columns, counts = confusion(trajectories)
    assert (rows, columns) == (["exposure_down", "tint_up"], ["exposure_up", "tint_down", "none"])
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 0]])
    assert undoing(f"exposure_up{size}") == "exposure_down"
