"""The walk of photos through edit states: evaluation, `enhance` and the studio take it, whoever chooses the edits.

The environments of `episodes` pay rewards and begin again; a session does neither. It shows whoever acts what the
environments show, follows the edits, and ends a photo's walk by one rule: STOP, the step limit, or, for those who act
on what they see alone and would go in circles, an edit that would bring back an earlier version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.edits.space import EditSpace
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.edits.view import View
from rl_aesthetics.errors import UserError

Policy = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observations uint8 `(B, C, S, S)`, photos `(B,)`, edit states `(B,)`) to actions `(B,)`."""

Who = Literal["agent", "you"]
Stopped = Literal["STOP", "step_limit", "repeats", "recipe", "you"]

WHY: dict[Stopped, str] = {
    "STOP": "the agent chose STOP",
    "step_limit": "the step limit was reached",
    "repeats": "the next edit would have brought back an earlier version of the photo",
    "recipe": "the recipe has no further edit",
    "you": "you said that it is done",
}


@dataclass(frozen=True)
class Step:
    """One decision.

    Attributes:
        action: what was chosen, `STOP` included.
        score: the juror's, after it; None where nobody keeps the score.
        values: Q(s, a) of every action before it: the expected sum of rewards from here on, in units of the score.
            Empty where nobody said.
        score_before: the juror's, before it.
        applied: whether the photo was edited: not by STOP, nor by an edit that would bring back an earlier version.
        by: whose choice it was.
    """

    action: str
    score: float | None
    values: dict[str, float]
    score_before: float | None = None
    applied: bool = True
    by: Who = "agent"


@dataclass(frozen=True)
class Look:
    """A photo as it is after some edits.

    Attributes:
        edit: what led here; None for the photo as it came.
        by: whose choice it was.
        state: the edit state, a number that the session's `EditSpace` renders.
        score: the juror's score; None where nobody keeps the score.
        values: Q(s, a) of every action here, in units of the score; empty where nobody says.
    """

    edit: str | None
    by: Who | None
    state: int
    score: float | None
    values: dict[str, float]


class EditSession:
    """Photos under edits, side by side.

    Args:
        space: what edits there are.
        view: what whoever acts sees of the photos.
        photos_N, starts_N: the photos' numbers in the view and the edit states that they begin in; by default one
            photo, number 0, as it came.
        agent: whose values go with every look, and who acts where no policy does.
        score: scores float32 `(B,)` of photos `(B,)` in edit states `(B,)`; decides nothing. None: nobody keeps it.
        batch_size: photos that whoever acts is shown together.

    Attributes:
        looks: of each photo, as it began and after each edit.
        stopped: of each photo, why there is no further step; None while there may be.

    Raises:
        ScoringError: from here, `run` and `apply`, when the scorer cannot answer.
    """

    def __init__(
        self,
        space: EditSpace,
        view: View,
        photos_N: Sequence[int] | np.ndarray = (0,),
        starts_N: Sequence[int] | np.ndarray = (0,),
        agent: DQNAgent | None = None,
        score: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        batch_size: int = 64,
    ):
        self.space, self.view, self.agent, self.score, self.batch_size = space, view, agent, score, batch_size
        self.photos_N = np.asarray(photos_N, np.int64)
        self.looks: list[list[Look]] = [[] for _ in self.photos_N]
        self.stopped: list[Stopped | None] = [None] * len(self.photos_N)
        self._last: list[Step | None] = [None] * len(self.photos_N)  # the decision that ended it and edited nothing
        for rows in self._batches(list(range(len(self.photos_N)))):
            self._arrive(rows, [None] * len(rows), [int(starts_N[row]) for row in rows], None)

    def states(self) -> np.ndarray:
        """The edit states that the photos are in, int64 `(N,)`."""
        return np.array([looks[-1].state for looks in self.looks], np.int64)

    def edits(self, row: int = 0) -> tuple[str, ...]:
        """Names of the edits of a photo so far, in order."""
        return tuple(look.edit for look in self.looks[row] if look.edit is not None)

    def steps(self, row: int = 0) -> tuple[Step, ...]:
        """Every decision on a photo, in order; the last one may have edited nothing."""
        looks, last = self.looks[row], self._last[row]
        steps = [
            Step(after.edit or "", after.score, before.values, before.score, by=after.by or "agent")
            for before, after in pairwise(looks)
        ]
        return tuple(steps if last is None else [*steps, last])

    def run(
        self,
        max_steps: int,
        policy: Policy | None = None,
        until_repeat: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Go on with every photo until its end, at most so many steps.

        Args:
            policy: who acts; by default the agent, greedily.
            until_repeat: end where an edit would bring back what the photo was since a person's last edit. So an agent
                may take a person's edit back.
            cancelled: asked before each step whether to leave it at that.

        Raises:
            UserError: a step limit below 1.
        """
        if max_steps < 1:
            raise UserError(f"editing needs at least 1 step, got {max_steps}")
        for row in range(len(self.looks)):
            self._go_on(row)
        for _ in range(max_steps):
            if cancelled():
                return
            for rows in self._batches(self._live()):
                self._follow(rows, self._choose(rows, policy), until_repeat)
        for row in self._live():
            self.stopped[row] = "step_limit"

    def apply(self, edit: str, row: int = 0) -> None:
        """A person's own edit; `STOP` says that it is done.

        Raises:
            UserError: there is no such edit.
        """
        if edit not in self.space.actions:
            raise UserError(f"this agent has no edit {edit!r}; it has {', '.join(self.space.actions)}")
        self._go_on(row)
        if edit == STOP:
            self._end(row, STOP, "you")
            return
        state = self.space.after(self.looks[row][-1].state, self.space.actions.index(edit))
        self._arrive([row], [edit], [int(state)], "you")

    def go_back(self, step: int, row: int = 0) -> None:
        """Take back everything after the given number of edits."""
        del self.looks[row][max(1, step + 1) :]
        self._go_on(row)

    def _batches(self, rows: list[int]) -> list[list[int]]:
        return [rows[k : k + self.batch_size] for k in range(0, len(rows), self.batch_size)]

    def _live(self) -> list[int]:
        return [row for row, stopped in enumerate(self.stopped) if stopped is None]

    def _choose(self, rows: list[int], policy: Policy | None) -> list[int]:
        """Actions by their numbers."""
        if policy is not None:
            states_B = np.array([self.looks[row][-1].state for row in rows])
            photos_B = self.photos_N[rows]
            chosen_B = policy(self.view(photos_B, states_B), photos_B, states_B)
            return [int(action) for action in chosen_B]
        if self.agent is None:
            raise ValueError("nobody acts: neither a policy nor an agent")
        return [int(np.argmax(list(self.looks[row][-1].values.values()))) for row in rows]

    def _follow(self, rows: list[int], actions: list[int], until_repeat: bool) -> None:
        states_B = np.array([self.looks[row][-1].state for row in rows])
        following = self.space.after(states_B, np.array(actions)).tolist()
        arrived: list[tuple[int, str, int]] = []
        for row, action, state in zip(rows, actions, following, strict=True):
            if action == self.space.stop:
                self._end(row, STOP, "STOP")
            elif until_repeat and state in self._seen(row):
                self._end(row, self.space.actions[action], "repeats")
            else:
                arrived.append((row, self.space.actions[action], state))
        if arrived:
            there, edits, states = zip(*arrived, strict=True)
            self._arrive(list(there), list(edits), list(states), "agent")

    def _seen(self, row: int) -> set[int]:
        """The states that a photo was in since a person's last edit."""
        looks = self.looks[row]
        begun = max((place for place, look in enumerate(looks) if look.by == "you"), default=0)
        return {look.state for look in looks[begun:]}

    def _arrive(self, rows: list[int], edits: Sequence[str | None], states: list[int], by: Who | None) -> None:
        photos_B, states_B = self.photos_N[rows], np.array(states, np.int64)
        scores_B = None if self.score is None else self.score(photos_B, states_B)
        values: list[dict[str, float]] = [{}] * len(rows)
        if self.agent is not None:
            q_BA = self.agent.q_values(self.view(photos_B, states_B), scores_B)
            values = [dict(zip(self.space.actions, q_A, strict=True)) for q_A in q_BA.tolist()]
        scores: list[float | None] = [None] * len(rows) if scores_B is None else scores_B.tolist()
        for row, edit, state, score, q in zip(rows, edits, states, scores, values, strict=True):
            self.looks[row].append(Look(edit, by, state, score, q))

    def _end(self, row: int, action: str, stopped: Stopped) -> None:
        look = self.looks[row][-1]
        by: Who = "you" if stopped == "you" else "agent"
        self._last[row] = Step(action, look.score, look.values, look.score, applied=False, by=by)
        self.stopped[row] = stopped

    def _go_on(self, row: int) -> None:
        self.stopped[row], self._last[row] = None, None
