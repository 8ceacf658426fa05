"""What an agent did on each photo of an evaluation, step by step, with what it expected: `episodes.jsonl`.

One JSON object a line and photo. The file keeps the names of its first version: `recipe` for the degradation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rl_aesthetics.agents.edit_session import Step
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.errors import UserError

if TYPE_CHECKING:
    from rl_aesthetics.agents.agent import DQNAgent
    from rl_aesthetics.evaluation.episodes import Episodes
    from rl_aesthetics.evaluation.evaluation import Evaluation

KINDS = ("exact", "recovered", "improved", "unchanged", "worse")
SORTS = ("judged", "worst", "best", "surprise", "photo")
Kind = Literal["exact", "recovered", "improved", "unchanged", "worse"]
NONE = "none"


@dataclass(frozen=True)
class Verdict:
    """What others than the agent's own juror make of a result (`reward_hacking`).

    Attributes:
        quality: PSNR in dB, SSIM and FLIP to the original by their names in lower case, each before and after.
        judges: scores of held-out judges by name, each before and after.
        fooled: own score up, others down.
    """

    quality: dict[str, tuple[float, float]]
    judges: dict[str, tuple[float, float]]
    fooled: bool

    @property
    def gain(self) -> float:
        """What PSNR gained, in dB."""
        before, after = self.quality["psnr"]
        return after - before


@dataclass(frozen=True)
class Trajectory:
    """One episode.

    Attributes:
        image_id, image_file, source_file: which photo of the split.
        degradation: what it was degraded with, in order.
        degraded, original: the juror's scores of both.
        best: the best score within the step limit, where it was searched for.
        exact: whether the result is the original, pixel for pixel.
        earned: the undiscounted sum of the rewards.
        steps: every decision.
        verdict: what others say, where they were asked.
    """

    image_id: int
    image_file: str
    source_file: str
    degradation: tuple[str, ...]
    degraded: float
    original: float
    best: float | None
    exact: bool
    earned: float
    steps: tuple[Step, ...]
    verdict: Verdict | None = None

    @property
    def final(self) -> float:
        """The score in the end."""
        score = self.steps[-1].score if self.steps else None
        return self.degraded if score is None else score

    @property
    def kind(self) -> Kind:
        """The most that can be said for it."""
        if self.exact:
            return "exact"
        if self.final == self.degraded:
            return "unchanged"
        if self.final < self.degraded:
            return "worse"
        return "recovered" if self.final >= self.original else "improved"

    @property
    def edits(self) -> tuple[str, ...]:
        """What the agent applied."""
        return tuple(step.action for step in self.steps if step.action != STOP)

    @property
    def first(self) -> str:
        """Its first action."""
        return self.steps[0].action if self.steps else NONE

    @property
    def expected(self) -> float:
        """What the agent expected of its first action: the return, as far as it could tell."""
        return self.steps[0].values[self.first] if self.steps else 0.0


def trajectories_of(agent: DQNAgent, evaluation: Evaluation, episodes: Episodes) -> list[Trajectory]:
    """Finished episodes with what the agent expected on the way.

    Args:
        agent: whose episodes they are.
        evaluation: what they were run on.

    Raises:
        ScoringError: the scorer could not answer.
    """
    states_N, scores_N = episodes.starts_N.copy(), episodes.degraded_N.copy()
    steps: list[list[Step]] = [[] for _ in episodes.actions]
    for _, live, taken_B, following_B in episodes.by_step():
        before_B = scores_N[live]
        q_BA = np.concatenate(
            [
                agent.q_values(evaluation.view(rows, states_N[rows]), scores_N[rows])
                for rows in np.split(live, range(evaluation.batch_size, len(live), evaluation.batch_size))
            ]
        )
        states_N[live], scores_N[live] = following_B, evaluation.scores(live, following_B)
        for row, action, q_A, before in zip(live, taken_B, q_BA, before_B, strict=True):
            name = agent.actions[action]
            values = {other: round(float(value), 5) for other, value in zip(agent.actions, q_A, strict=True)}
            steps[row].append(Step(name, float(scores_N[row]), values, float(before), applied=name != STOP))
    return [
        Trajectory(
            record.image_id,
            record.image_file,
            record.source_file,
            record.sequence,
            float(episodes.degraded_N[k]),
            float(episodes.original_N[k]),
            None if episodes.best_N is None else float(episodes.best_N[k]),
            bool(episodes.exact_N[k]),
            float(episodes.returns_N[k]),
            tuple(steps[k]),
        )
        for k, record in enumerate(evaluation.dataset.records)
    ]


def write_trajectories(file: Path, trajectories: Iterable[Trajectory]) -> None:
    """One line a trajectory."""
    with file.open("w", encoding="utf-8") as opened:
        for one in trajectories:
            row = {field.name: getattr(one, field.name) for field in fields(one)}
            row["recipe"] = row.pop("degradation")
            row["steps"] = [{"action": step.action, "score": step.score, "values": step.values} for step in one.steps]
            row["verdict"] = None if one.verdict is None else asdict(one.verdict)
            opened.write(json.dumps(row, allow_nan=False) + "\n")


def read_trajectories(file: Path) -> tuple[Trajectory, ...]:
    """What `write_trajectories` wrote.

    Raises:
        UserError: the file is broken.
    """
    try:
        return tuple(_trajectory(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is broken ({error}); run `rl-aesthetics evaluate` again") from error


def _trajectory(row: dict[str, Any]) -> Trajectory:
    steps: list[Step] = []
    for step in row.pop("steps"):
        before = steps[-1].score if steps else row["degraded"]
        steps.append(Step(**step, score_before=before, applied=step["action"] != STOP))
    degradation, verdict = tuple(row.pop("recipe")), _verdict(row.pop("verdict", None))
    return Trajectory(**row, degradation=degradation, steps=tuple(steps), verdict=verdict)


def _verdict(row: dict[str, Any] | None) -> Verdict | None:
    if row is None:
        return None
    quality, judges = (
        {name: (before, after) for name, (before, after) in row[key].items()} for key in ("quality", "judges")
    )
    return Verdict(quality, judges, fooled=row["fooled"])


def sorts_of(trajectories: Iterable[Trajectory]) -> tuple[str, ...]:
    """The orders that make sense for these trajectories, the first one by default."""
    return SORTS if any(one.verdict for one in trajectories) else SORTS[1:]


def select(
    trajectories: Sequence[Trajectory],
    kind: str = "",
    first: str = "",
    depth: int | None = None,
    sort: str = "",
    fooled: bool = False,
) -> list[Trajectory]:
    """Some of the trajectories, in an order.

    Args:
        kind, first, depth: only those of this kind, with this first action, with so many edits to undo; empty for all.
        sort: `judged` (own score up and others down first, then by what PSNR gained, least first), `worst` (farthest
            below the original first), `best`, `surprise` (expected and earned farthest apart first), or `photo`; by
            default the first of `sorts_of`.
        fooled: only those whose own score rose while the others' fell.
    """
    sorts = sorts_of(trajectories)
    sort = sort if sort in sorts else sorts[0]
    chosen = [
        one
        for one in trajectories
        if (not kind or one.kind == kind)
        and (not first or one.first == first)
        and (depth is None or len(one.degradation) == depth)
        and (not fooled or (one.verdict is not None and one.verdict.fooled))
    ]
    keys = {
        "judged": lambda one: (*((not one.verdict.fooled, one.verdict.gain) if one.verdict else (2, 0)), one.image_id),
        "worst": lambda one: (one.final - one.original, one.image_id),
        "best": lambda one: (one.original - one.final, one.image_id),
        "surprise": lambda one: (-abs(one.expected - one.earned), one.image_id),
        "photo": lambda one: one.image_id,
    }
    return sorted(chosen, key=keys[sort])
