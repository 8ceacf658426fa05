"""The best that could have been had: every end of an episode, tried one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.agents.edit_session import Policy
from rl_aesthetics.edits import algebra
from rl_aesthetics.evaluation.evaluation import Evaluation

MAX_ENDS = 4096
"""Ends of an episode that the exhaustive search tries at most. All 3,072 edit states fit; edits that lose information
have no normal form, so their sequences may be too many, and each is rendered at the photo's full size."""


@dataclass(frozen=True)
class Ends:
    """Where the episodes that begin in one state can end, nearest first.

    Attributes:
        states_K: edit states.
        actions_KT: the actions that lead to each, by a shortest way; −1 after the last.
    """

    states_K: np.ndarray
    actions_KT: np.ndarray


class Oracle:
    """Exhaustive search over the ends of an evaluation's episodes. Only edit states count, so five edits of 14 lead to
    at most 1,797 images a photo and not to half a million."""

    def __init__(self, evaluation: Evaluation):
        self.evaluation, self.space = evaluation, evaluation.space
        self._ends: dict[int, Ends | None] = {}
        self._best_ends: list[tuple[int, np.ndarray]] | None = None

    def best_scores(self, progress: Callable[[int, int], None] | None = None) -> np.ndarray | None:
        """The best score with which an episode of each photo could have ended, float32 `(N,)`; exhaustive.

        Only edit states count, so five edits of 14 lead to at most 1,797 images a photo and not to half a million.
        Without STOP an episode goes on to the step limit, so only what takes exactly that many edits counts.

        Args:
            progress: told the number of photos done, and of all.

        Returns:
            None where some photo has more than `MAX_ENDS` ends, which happens only with edits that lose information.
        """
        best_N = np.empty(len(self.evaluation.photos_N), np.float32)
        found: list[tuple[int, np.ndarray]] = []
        for photo, start in enumerate(self.evaluation.starts_N.tolist()):
            ends = self.ends(start)
            if ends is None:
                return None
            scores_K = self.evaluation.scores(np.full(len(ends.states_K), photo), ends.states_K)
            best = int(scores_K.argmax())  # the nearest of equally good ones
            best_N[photo] = scores_K[best]
            found.append((int(ends.states_K[best]), ends.actions_KT[best]))
            if progress:
                progress(photo + 1, len(self.evaluation.photos_N))
        self._best_ends = found
        return best_N

    def ends(self, start: int) -> Ends | None:
        """Where episodes that begin in `start` can end; None if in more than `MAX_ENDS` states."""
        # In a group the same ways lead from everywhere, since edits act on states from the right.
        begun = algebra.ORIGINAL if self.space.is_group else start
        if begun not in self._ends:
            self._ends[begun] = self._search(begun)
        found = self._ends[begun]
        if found is None or begun == start:
            return found
        return Ends(algebra.compose(start, found.states_K), found.actions_KT)

    def _search(self, start: int) -> Ends | None:
        steps, edits = self.evaluation.task.max_steps, len(self.space.edits)
        states_K, actions_KT = np.array([start]), np.full((1, steps), -1, np.int16)
        frontier, ways = states_K, actions_KT
        for step in range(steps):
            following = self.space.after(frontier[:, None], np.arange(edits)).ravel()
            following, first = np.unique(following, return_index=True)
            ways = ways[first // edits]
            ways[:, step] = first % edits
            if self.space.stop is None:
                states_K, actions_KT = frontier, ways = following, ways
            else:
                new = ~np.isin(following, states_K)
                frontier, ways = following[new], ways[new]
                states_K, actions_KT = np.concatenate([states_K, frontier]), np.concatenate([actions_KT, ways])
            if len(states_K) > MAX_ENDS:
                return None
        return Ends(states_K, actions_KT)

    def policy(self) -> Policy:
        """The shortest way to the best end that exhaustive search found; `best_scores` comes first.

        Raises:
            ValueError: `best_scores` was not called, or found too many ends to try.
        """
        if self._best_ends is None:
            raise ValueError("best_scores has not found the best ends")
        ways = [
            iter([*actions_T[actions_T >= 0].tolist(), *([] if self.space.stop is None else [self.space.stop])])
            for _, actions_T in self._best_ends
        ]
        return lambda observations, photos, states: np.array([next(ways[photo]) for photo in photos.tolist()])
