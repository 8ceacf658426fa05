"""The trained agent edits a user's photo: decisions at the observation's size, edits on every pixel of the original.

The edits are exact, so the result is written without loss as PNG unless JPEG is asked for. Input files are only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.edits.space import EditSpace
from rl_aesthetics.edits.view import View
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.scores.reference import needs_reference
from rl_aesthetics.scores.scorer import Scorer

Stopped = Literal["STOP", "step_limit", "repeats", "recipe"]

WHY: dict[Stopped, str] = {
    "STOP": "the agent chose STOP",
    "step_limit": "the step limit was reached",
    "repeats": "the next edit would have brought back an earlier version of the photo",
    "recipe": "the recipe has no further edit",
}


@dataclass(frozen=True)
class Step:
    """One decision.

    Attributes:
        edit: the action that the agent values most, `STOP` included.
        applied: whether the photo was edited: not by STOP, nor by an edit that would bring back an earlier version.
        values: Q(s, a) of every action: the expected sum of rewards from here on, in units of the score.
        score_before, score_after: the juror's score.
    """

    edit: str
    applied: bool
    values: dict[str, float]
    score_before: float
    score_after: float


@dataclass(frozen=True)
class Enhancement:
    """An edited photo and how it came about.

    Attributes:
        photo_HWC: the result, BGR `(H, W, 3)` of the photo's own depth.
        steps: every decision, in order.
        stopped: why there is no further step, a key of `WHY`.
        cropped: (rows, columns) cut off at the bottom and the right, 0 or 1 each: half shifts need even sides.
            A photo that is left as it is stays whole.
        score_before, score_after: the juror's scores of the photo and of the result; NaN where nobody judged.
        juror: the fingerprint of whose scores these are; empty where nobody judged.
        recipe: the edits, where they were given rather than decided step by step.
    """

    photo_HWC: np.ndarray
    steps: tuple[Step, ...]
    stopped: Stopped
    cropped: tuple[int, int]
    score_before: float
    score_after: float
    juror: str
    recipe: tuple[str, ...] = ()

    @property
    def edits(self) -> tuple[str, ...]:
        """Names of the edits that were applied, in order."""
        return self.recipe or tuple(step.edit for step in self.steps if step.applied)


def enhance_photo(
    agent: DQNAgent, photo_HWC: np.ndarray, scorer: Scorer | None, max_steps: int | None = None
) -> Enhancement:
    """Edit one photo greedily until the agent stops, the step limit, or the first repetition.

    The agent acts on what it sees alone, so from a version of the photo that it has seen before it would go in circles
    until the step limit; it stops instead. The juror is asked for the report only and decides nothing. Decisions are
    made on eight bits; the edits are rendered once, on the photo's own.

    Args:
        photo_HWC: uint8 or uint16 BGR `(H, W, 3)` of any size from 2×2 on.
        scorer: None, or one that compares with originals, which a user's photo has not, leaves the scores unknown.
        max_steps: another step limit than the agent was trained with; STOP counts as a step.

    Raises:
        UserError: the photo is smaller than 2×2, or the limit below 1.
        ScoringError: the scorer could not answer.
    """
    max_steps = agent.description.max_steps if max_steps is None else max_steps
    if max_steps < 1:
        raise UserError(f"editing needs at least 1 step, got {max_steps}")
    height, width = photo_HWC.shape[:2]
    if min(height, width) < 2:
        raise UserError(f"a photo of {width}×{height} pixels is too small to edit")
    space = EditSpace(agent.actions)
    even_HWC = photo_HWC  # only half shifts ask for even sides
    if not space.photographic:
        even_HWC = np.ascontiguousarray(photo_HWC[: height // 2 * 2, : width // 2 * 2])
    if scorer is not None and needs_reference(scorer):
        scorer = None
    shallow_HWC = even_HWC if even_HWC.dtype == np.uint8 else (even_HWC >> 8).astype(np.uint8)
    view = _view(space, shallow_HWC, agent.size, agent.shows_edits)
    same = scorer is None or (scorer.size == agent.size and not agent.shows_edits)
    juror_view = view if same else _view(space, shallow_HWC, scorer.size)

    def score(state: int) -> float:
        if scorer is None:
            return float("nan")
        return float(scorer.score(juror_view(np.zeros(1, int), np.array([state])).transpose(0, 2, 3, 1))[0])

    state, seen, steps = 0, {0}, []
    stopped: Stopped = "step_limit"
    before = first = score(state)
    while len(steps) < max_steps:
        known = None if scorer is None else [before]
        values_A = agent.q_values(view(np.zeros(1, int), np.array([state])), known)[0]
        values = {name: float(value) for name, value in zip(agent.actions, values_A, strict=True)}
        action = int(values_A.argmax())
        following = int(space.after(state, action))
        if action == space.stop or following in seen:
            stopped = "STOP" if action == space.stop else "repeats"
            steps.append(Step(agent.actions[action], False, values, before, before))
            break
        after = score(following)
        steps.append(Step(agent.actions[action], True, values, before, after))
        state, before = following, after
        seen.add(state)
    edited = any(step.applied for step in steps)
    return Enhancement(
        photo_HWC=space.edit(even_HWC, state) if edited else photo_HWC.copy(),
        steps=tuple(steps),
        stopped=stopped,
        cropped=(height % 2, width % 2) if edited and not space.photographic else (0, 0),
        score_before=first,
        score_after=before,
        juror="" if scorer is None else scorer.fingerprint,
    )


def _view(space: EditSpace, photo_HWC: np.ndarray, size: int, shows_edits: bool = False) -> View:
    reduction_1CHW = np.ascontiguousarray(reduce_image(photo_HWC, size)[..., ::-1].transpose(2, 0, 1))[None]
    return View(space, reduction_1CHW, lambda number: photo_HWC, shows_edits=shows_edits)
