"""The trained agent edits a user's photo: decisions at the observation's size, edits on every pixel of the original.

The edits are exact, so the result is written without loss as PNG unless JPEG is asked for. Input files are only read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.agents.edit_session import EditSession, Step, Stopped
from rl_aesthetics.edits.recipe import check_depth
from rl_aesthetics.edits.space import EditSpace, edit_space
from rl_aesthetics.edits.view import View
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.resize import crop_even, eight_bits, reduce_image
from rl_aesthetics.scores.scorer import Scorer, is_full_reference


@dataclass(frozen=True)
class Enhancement:
    """An edited photo and how it came about.

    Attributes:
        photo_HWC: the result, BGR `(H, W, 3)` of the photo's own depth.
        steps: every decision, in order.
        stopped: why there is no further step, a key of `WHY`.
        cropped: (rows, columns) cut off at the bottom and the right, 0 or 1 each: half shifts need even sides.
            A photo that is left as it is stays whole.
        score_before, score_after: the juror's scores of the photo and of the result; None where nobody judged.
        juror: the fingerprint of whose scores these are; empty where nobody judged.
        recipe: the edits, where they were given rather than decided step by step.
    """

    photo_HWC: np.ndarray
    steps: tuple[Step, ...]
    stopped: Stopped
    cropped: tuple[int, int]
    score_before: float | None
    score_after: float | None
    juror: str
    recipe: tuple[str, ...] = ()

    @property
    def edits(self) -> tuple[str, ...]:
        """Names of the edits that were applied, in order."""
        return self.recipe or tuple(step.action for step in self.steps if step.applied)


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
        UserError: the photo is smaller than 2×2, the limit below 1, or its 16 bits are more than the edits know.
        ScoringError: the scorer could not answer.
    """
    height, width = photo_HWC.shape[:2]
    if min(height, width) < 2:
        raise UserError(f"a photo of {width}×{height} pixels is too small to edit")
    scorer = usable_scorer(scorer)
    space = edit_space(agent.actions)
    check_depth(space, photo_HWC)
    seen_HWC = eight_bits(editable(space, photo_HWC))
    session = open_session(agent, scorer, space, partial(reduction_of, seen_HWC), lambda: seen_HWC)
    session.run(agent.description.max_steps if max_steps is None else max_steps, until_repeat=True)
    result_HWC, (stopped,), looks = finish(session, photo_HWC), session.stopped, session.looks[0]
    if stopped is None:
        raise AssertionError("a session that nobody cancels ends")
    return Enhancement(
        photo_HWC=result_HWC,
        steps=session.steps(),
        stopped=stopped,
        cropped=(height % 2, width % 2) if session.edits() and space.needs_even_sides else (0, 0),
        score_before=looks[0].score,
        score_after=looks[-1].score,
        juror="" if scorer is None else scorer.fingerprint,
    )


def usable_scorer(scorer: Scorer | None) -> Scorer | None:
    """The scorer, unless it compares with originals, which a user's photo has not."""
    return None if scorer is None or is_full_reference(scorer) else scorer


def open_session(
    agent: DQNAgent,
    scorer: Scorer | None,
    space: EditSpace,
    reduction: Callable[[int], np.ndarray],
    pixels: Callable[[], np.ndarray],
) -> EditSession:
    """A session on a user's photo, as it came.

    Args:
        scorer: from `usable_scorer`.
        space: of the agent's actions.
        reduction: gives the photo as `editable`, reduced to a side: uint8 RGB `(3, S, S)`.
        pixels: gives the photo as `editable` itself, uint8 BGR, for edits that need neighbouring pixels.
    """

    def view(size: int, shows_edits: bool = False) -> View:
        return View(space, reduction(size)[None], lambda number: pixels(), shows_edits=shows_edits)

    seen = view(agent.size, agent.shows_edits)
    if scorer is None:
        return EditSession(space, seen, agent=agent)
    same = scorer.size == agent.size and not agent.shows_edits
    judged = seen if same else view(scorer.size)

    def score(photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        return scorer.score(list(judged(photos_B, states_B).transpose(0, 2, 3, 1)))

    return EditSession(space, seen, agent=agent, score=score)


def editable(space: EditSpace, photo_HWC: np.ndarray) -> np.ndarray:
    """The photo as the edits need it: only half shifts ask for even sides."""
    return crop_even(photo_HWC) if space.needs_even_sides else photo_HWC


def finish(session: EditSession, photo_HWC: np.ndarray) -> np.ndarray:
    """Every pixel of the photo edited, a new array; whole where nothing was done."""
    (state,) = session.states().tolist()
    return session.space.render(editable(session.space, photo_HWC), state) if state else photo_HWC.copy()


def reduction_of(photo_HWC: np.ndarray, size: int) -> np.ndarray:
    """uint8 RGB `(3, size, size)` of a BGR photo."""
    return np.ascontiguousarray(reduce_image(photo_HWC, size)[..., ::-1].transpose(2, 0, 1))
