"""An episode on a user's photo that can be watched, taken back, steered and played by hand.

`rl_aesthetics.enhance.enhance` is the same without the hands: left alone, the agent takes the same steps in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.edits.registry import STOP, TRANSFORMS
from rl_aesthetics.edits.space import EditSpace
from rl_aesthetics.edits.view import View
from rl_aesthetics.enhance.enhance import WHY
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.reference import needs_reference
from rl_aesthetics.scores.scorer import Scorer
from rl_aesthetics.studio.uploads import PhotoFile

Who = Literal["agent", "you"]


@dataclass(frozen=True)
class Look:
    """The photo as it is after some edits.

    Attributes:
        edit: what led here; None for the photo as it came.
        by: whose choice it was.
        state: the edit state, a number that the episode's `EditSpace` renders.
        score: the juror's score; None where nobody keeps the score.
        values: Q(s, a) of every action as the agent sees the photo here, in units of the score.
    """

    edit: str | None
    by: Who | None
    state: int
    score: float | None
    values: dict[str, float]


class PhotoEpisode:
    """The edits of one photo, from the first look on.

    Args:
        agent: whose values are shown and who goes on when asked to.
        scorer: who keeps the score; decides nothing. Nobody does where it is None, or compares with originals, which a
            user's photo has not.
        photo: loaded when the first look is taken.

    Attributes:
        looks: the photo as it came and after each edit.
        stopped: why the agent did not go on, a key of `enhance.WHY`; `you` where a person said it is done; None while
            it may go on.
    """

    def __init__(self, agent: DQNAgent, scorer: Scorer | None, photo: PhotoFile):
        self.agent, self.photo = agent, photo
        self.scorer = None if scorer is None or needs_reference(scorer) else scorer
        self.space = EditSpace(agent.actions)
        self._even = not self.space.photographic  # only half shifts ask for even sides
        self.looks: list[Look] = []
        self.stopped: str | None = None

    def begin(self) -> None:
        """Decode the photo and take the first look.

        Raises:
            PhotoError: it cannot be decoded.
            ScoringError: the juror cannot answer.
        """
        self.photo.load((self.agent.size, *(() if self.scorer is None else (self.scorer.size,))), self._even)
        self.looks = [self._look(None, None, 0)]
        self.stopped = None

    def go_on(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Let the agent edit until it stops, as many steps as it was trained for, or the first repetition.

        It may go back to what the photo was before a person's last edit: that is how it takes a mistake back.
        """
        self.stopped = None
        begun = max((place for place, look in enumerate(self.looks) if look.by == "you"), default=0)
        for _ in range(self.agent.description.max_steps):
            if cancelled():
                return
            here = self.looks[-1]
            edit = max(here.values, key=here.values.__getitem__)  # the first of equals, as arg max
            if edit == STOP:
                self.stopped = "STOP"
                return
            state = self._after(edit)
            if state in {look.state for look in self.looks[begun:]}:
                self.stopped = "repeats"
                return
            self.looks.append(self._look(edit, "agent", state))
        self.stopped = "step_limit"

    def apply(self, edit: str) -> None:
        """Apply an edit of one's own choice; `STOP` says that it is done.

        Raises:
            UserError: the agent has no such edit.
        """
        if edit not in self.agent.actions:
            raise UserError(f"this agent has no edit {edit!r}; it has {', '.join(self.agent.actions)}")
        self.stopped = "you" if edit == STOP else None
        if edit != STOP:
            self.looks.append(self._look(edit, "you", self._after(edit)))

    def undo(self) -> None:
        """Take the last edit back; without an edit, nothing happens."""
        if len(self.looks) > 1:
            self.looks.pop()
        self.stopped = None

    def go_back(self, step: int) -> None:
        """Take back everything after the given number of edits."""
        del self.looks[max(1, step + 1) :]
        self.stopped = None

    def why(self) -> str:
        """Why there is no further step, with STOP's value beside the best alternative's; empty while there may be."""
        if self.stopped is None:
            return ""
        if self.stopped == "you":
            return "You said that it is done."
        values = self.looks[-1].values
        edits = {edit: value for edit, value in values.items() if edit != STOP}
        best = max(edits, key=edits.__getitem__)
        said = f"{WHY[self.stopped][0].upper()}{WHY[self.stopped][1:]}"
        alternative = f"the best edit, {TRANSFORMS[best].title}, with {edits[best]:+.3f}"
        if self.stopped == "STOP":
            return f"{said}: it expects {values[STOP]:+.3f} of stopping here and less of {alternative}."
        if self.stopped == "repeats":
            return f"{said}: {TRANSFORMS[best].title} ({edits[best]:+.3f}), which it cannot know; it sees no past."
        stop = f"; STOP stood at {values[STOP]:+.3f}" if STOP in values else ""
        return f"{said} ({self.agent.description.max_steps}). It would have gone on to {alternative}{stop}."

    @property
    def edits(self) -> tuple[str, ...]:
        """Names of the edits so far, in order."""
        return tuple(look.edit for look in self.looks if look.edit is not None)

    def rendered(self, step: int) -> np.ndarray:
        """The display copy after some edits, uint8 BGR."""
        return self.space.edit(self.photo.display_HWC, self.looks[step].state)

    def full_size(self) -> np.ndarray:
        """Every pixel of the original, edited; whole where nothing was done. uint8 BGR `(H, W, 3)`."""
        state = self.looks[-1].state
        return self.space.edit(self._pixels(), state) if state else self.photo.pixels()

    def recipe(self) -> dict:
        """What was done, by whom, what the agent expected and what the juror said, for JSON."""
        described = self.agent.description
        return {
            "photo": self.photo.name,
            "edits": list(self.edits),
            "score_before": self.looks[0].score,
            "score_after": self.looks[-1].score,
            "stopped": self.stopped,
            "why": self.why(),
            "juror": "" if self.scorer is None else self.scorer.fingerprint,
            "agent_juror": described.juror,
            "steps": [
                {
                    "edit": look.edit,
                    "by": look.by,
                    "score": look.score,
                    "values": {name: round(value, 6) for name, value in look.values.items()},
                }
                for look in self.looks
            ],
        }

    def _after(self, edit: str) -> int:
        return int(self.space.after(self.looks[-1].state, self.agent.actions.index(edit)))

    def _look(self, edit: str | None, by: Who | None, state: int) -> Look:
        score = None
        if self.scorer is not None:
            seen_BHWC = self._view(self.scorer.size)(_ONE, np.array([state])).transpose(0, 2, 3, 1)
            score = float(self.scorer.score(seen_BHWC)[0])
        seen_1CHW = self._view(self.agent.size, self.agent.shows_edits)(_ONE, np.array([state]))
        values_A = self.agent.q_values(seen_1CHW, None if score is None else [score])[0]
        values = {name: float(value) for name, value in zip(self.agent.actions, values_A, strict=True)}
        return Look(edit, by, state, score, values)

    def _view(self, size: int, shows_edits: bool = False) -> View:
        reduction_1CHW = self.photo.reduction(size, self._even)[None]
        return View(self.space, reduction_1CHW, lambda number: self._pixels(), shows_edits=shows_edits)

    def _pixels(self) -> np.ndarray:
        return self.photo.even_pixels() if self._even else self.photo.pixels()


_ONE = np.zeros(1, int)
