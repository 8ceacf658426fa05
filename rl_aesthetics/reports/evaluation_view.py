"""What the Evaluation view and the report show of an evaluation: charts and numbers from its trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from rl_aesthetics.edits.transforms import TRANSFORMS
from rl_aesthetics.evaluation.confusion import by_edit, confusion, undoing
from rl_aesthetics.evaluation.trajectories import KINDS, Trajectory
from rl_aesthetics.reports import charts

KIND_CLASSES = {"exact": "c3", "recovered": "c1", "improved": "c4", "unchanged": "c2", "worse": "bad"}
"""The colour of each kind of success in charts, a class of `charts.css`."""

KIND_MEANS = {
    "exact": "the original, pixel for pixel",
    "recovered": "at least the original’s score",
    "improved": "a higher score than degraded",
    "unchanged": "the score is as it was",
    "worse": "a lower score than degraded",
}

NUMBERS = (
    ("improved", "improved"),
    ("recovered", "recovered"),
    ("exact", "exact"),
    ("oracle_fraction", "of the possible"),
    ("mean_steps", "steps"),
    ("mean_final_score", "final score"),
)
"""Columns of the table of policies: key in `summary.json`, heading."""

POLICIES = {
    "agent": "the agent",
    "random": "random edits",
    "always_stop": "always STOP",
    "greedy_one_step_with_juror": "greedy with juror",
    "exhaustive_oracle": "exhaustive search",
}

_WITH_ORIGINAL = {
    "greedy_one_step_with_juror": "greedy with original",
    "exhaustive_oracle": "search with original",
}

ORIGINAL_NOTE = "Rows “with original” look at the original photo, which the agent never sees."


def uses_originals(summary: Mapping[str, Any]) -> bool:
    """Whether what scored this evaluation compares with the originals, so that policies that ask it know them."""
    return summary.get("scores_compare_with") == "originals"


def policy_name(name: str, summary: Mapping[str, Any]) -> str:
    """What a policy of `summary.json` is called before people."""
    known = {**POLICIES, **(_WITH_ORIGINAL if uses_originals(summary) else {})}
    return known.get(name, name)


def policy_table(summary: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The agent beside the baselines: (name, cells in the order of `NUMBERS`)."""
    rows = {"agent": summary, **summary.get("baselines", {})}
    return [
        (
            policy_name(name, summary),
            ["–" if row.get(key) is None else f"{row[key]:.3f}".replace("-", "−") for key, _ in NUMBERS],
        )
        for name, row in rows.items()
    ]


MEASURES = {"psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 3), "flip": ("FLIP, lower is nearer", 3)}
"""Heading and digits of the measures of `photo_quality`."""


def quality_table(summary: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """What others than the agent's own juror say: (who, before, after, share of photos that they find better).

    Empty where nobody was asked. A share that was not counted is a dash.
    """
    if not (quality := summary.get("quality")):
        return []
    rows = [
        (
            heading,
            f"{quality['before'][name]:.{digits}f}",
            f"{quality['after'][name]:.{digits}f}",
            f"{quality['psnr_improved']:.0%}" if name == "psnr" else "–",
        )
        for name, (heading, digits) in MEASURES.items()
    ]
    for name, said in quality["judges"].items():
        rows.append((f"judge {name}", f"{said['before']:.3f}", f"{said['after']:.3f}", f"{said['improved']:.0%}"))
    return rows


def title(name: str) -> str:
    """What an edit does, for people; `none` and `STOP` as they are."""
    return TRANSFORMS[name].title.replace(" by half", " ½") if name in TRANSFORMS else name


def evaluation_charts(trajectories: Sequence[Trajectory]) -> dict[str, Markup]:
    """The charts of an evaluation by the name that their files have: `success_by_edit`, `scores`, `calibration`,
    `confusion`."""
    edits = by_edit(trajectories)
    rows, columns, counts = confusion(trajectories)
    scores = {kind: [(one.degraded, one.final) for one in trajectories if one.kind == kind] for kind in KINDS}
    values = {kind: [(one.expected, one.earned) for one in trajectories if one.kind == kind] for kind in KINDS}
    return {
        "success_by_edit": charts.bars(
            {title(name): shares for name, shares in edits.items()},
            ("improved", "recovered", "exact"),
            {title(name): f"n {shares['photos']}" for name, shares in edits.items()},
        ),
        "scores": charts.scatter(scores, "score before", "score after", KIND_CLASSES),
        "calibration": charts.scatter(values, "expected (Q of the first action)", "earned (return)", KIND_CLASSES),
        "confusion": charts.matrix(
            [title(name) for name in rows],
            [title(name) for name in columns],
            counts,
            [title(undoing(name)) for name in rows],
            "photo was degraded by",
            "agent applied",
        ),
    }


def kind_counts(trajectories: Sequence[Trajectory]) -> dict[str, int]:
    """How many episodes ended in each way, those that occur, best first."""
    counts = Counter[str](one.kind for one in trajectories)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


def choices(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    """What can be filtered by: kinds, first actions, depths."""
    return {
        "kinds": list(kind_counts(trajectories)),
        "firsts": sorted({one.first for one in trajectories}),
        "depths": sorted({len(one.degradation) for one in trajectories}),
        "fooled": sum(one.verdict is not None and one.verdict.fooled for one in trajectories),
        "judged": any(one.verdict is not None for one in trajectories),
    }


def calibration_error(trajectories: Sequence[Trajectory]) -> float | None:
    """Mean of |expected − earned| over the episodes."""
    return sum(abs(one.expected - one.earned) for one in trajectories) / len(trajectories) if trajectories else None
