"""Episodes of any policy on a split: what it did, what came of it, and the best that could have been had.

Validation during training runs these; `evaluate.py` puts an agent beside the baselines with them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.degrade import is_reversible
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.episodes.photo_scores import PhotoScores
from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.evaluation.episodes import Episodes
from rl_aesthetics.evaluation.policies import Policy
from rl_aesthetics.photos.quality import pixel_change
from rl_aesthetics.scores.score_cache import ScoreCache
from rl_aesthetics.scores.scorer import Scorer

MAX_ENDS = 4096
"""Ends of an episode that the exhaustive search tries at most. All 3,072 edit states fit; edits that lose information
have no normal form, so their sequences may be too many, and each is rendered at the photo's full size."""

_RECENT_PHOTOS = 64  # full-size photos kept while edits that lose information are rendered, about 28 MB at 384 px


@dataclass(frozen=True)
class Ends:
    """Where the episodes that begin in one state can end, nearest first.

    Attributes:
        states_K: edit states.
        actions_KT: the actions that lead to each, by a shortest way; −1 after the last.
    """

    states_K: np.ndarray
    actions_KT: np.ndarray


class Evaluation:
    """A split, a task and a scorer, on which policies are tried.

    Every photo gives one episode from its recorded degradation. Scores are asked for once and shared by all policies.

    Raises:
        ScoringError: where a score could not be had; an evaluation with holes would not be one.
        UserError: the edits are reversible, and the split holds degradations that cannot be undone: they have no edit
            state to begin in.
    """

    def __init__(self, dataset: RLDataset, scorer: Scorer, task: Task, batch_size: int = 64):
        self.space = edit_space(task.actions)
        one_way = {r.transformation for r in dataset.records if not is_reversible(r.sequence)}
        if self.space.is_group and one_way:
            raise UserError(
                f"{dataset.root or 'the dataset'} ({dataset.split}): what {', '.join(sorted(one_way))} did to a photo "
                "cannot be undone by edits; generate a dataset with reversible transformations"
            )
        self.dataset, self.scorer, self.task, self.batch_size = dataset, scorer, task, batch_size
        self.photos = EpisodePhotos(dataset, self.space, task.observation_size)
        self.photo = lru_cache(_RECENT_PHOTOS)(self.photos.photo)
        self.view = self.photos.view(task.observation_size, task.shows_edits)
        same = scorer.size == task.observation_size and not task.shows_edits
        juror_view = self.view if same else self.photos.view(scorer.size)
        for view in (self.view, juror_view):
            view.photo = self.photo
        # Enough for every state of the search, 256 MB at most.
        cache = ScoreCache(scorer.fingerprint, min(max(1 << 20, 4096 * len(dataset)), 1 << 24))
        self._scores = PhotoScores(scorer, juror_view, cache)
        self._ends: dict[int, Ends | None] = {}
        self._best_ends: list[tuple[int, np.ndarray]] | None = None
        self.starts_N = self.photos.start_states()
        self.photos_N = np.arange(len(dataset))

    def at_depth(self, depth: int, seed: int = 0) -> Evaluation:
        """The same photos, each with a degradation of this depth in place of the recorded one; scores are shared."""
        other = copy.copy(self)
        states = np.flatnonzero(depth == algebra.DEPTH)
        other.starts_N = np.random.default_rng([seed, depth]).choice(states, len(self.photos_N))
        other._best_ends = None
        return other

    def result(self, place: int, state: int) -> np.ndarray:
        """A photo of the split in an edit state, at the dataset's size: uint8 `(H, W, 3)` BGR."""
        return self.space.render(self.photo(place), state)

    def scores(self, photos_B: np.ndarray, states_B: np.ndarray, chunk: int = 1024) -> np.ndarray:
        """float32 `(B,)`."""
        parts = [self._scores(photos_B[k : k + chunk], states_B[k : k + chunk]) for k in range(0, len(photos_B), chunk)]
        scores = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if np.isnan(scores).any():
            raise ScoringError("the juror did not answer; an evaluation needs every score")
        return scores

    def run(self, policy: Policy) -> Episodes:
        """Run every episode to its end, greedily by `policy`."""
        states_N, going_N = self.starts_N.copy(), np.ones(len(self.photos_N), bool)
        actions: list[list[int]] = [[] for _ in self.photos_N]
        for _ in range(self.task.max_steps):
            live = np.flatnonzero(going_N)
            for k in range(0, len(live), self.batch_size):
                rows = live[k : k + self.batch_size]
                chosen = np.asarray(policy(self.view(rows, states_N[rows]), rows, states_N[rows]))
                states_N[rows] = self.space.after(states_N[rows], chosen)
                for row, action in zip(rows, chosen, strict=True):
                    actions[row].append(int(action))
                if self.space.stop is not None:
                    going_N[rows[chosen == self.space.stop]] = False
        return self._judge(states_N, actions)

    def _judge(self, finals_N: np.ndarray, actions: list[list[int]]) -> Episodes:
        degraded = self.scores(self.photos_N, self.starts_N)
        final = self.scores(self.photos_N, finals_N)
        original = self.scores(self.photos_N, np.full(len(self.photos_N), self.photos.original_state))
        returns = self._returns(finals_N, actions, degraded, original)
        exact = self._exact(finals_N, final, original)
        return Episodes(self.starts_N, finals_N, actions, degraded, final, original, returns, exact)

    def _exact(self, finals_N: np.ndarray, final_N: np.ndarray, original_N: np.ndarray) -> np.ndarray:
        if not self.photos.acts_on_given:
            return finals_N == algebra.ORIGINAL
        exact_N = np.zeros(len(finals_N), bool)
        for place in np.flatnonzero(np.isclose(final_N, original_N, atol=1e-5)).tolist():  # equal pixels, equal scores
            result_HWC = self.result(place, int(finals_N[place]))
            exact_N[place] = np.array_equal(result_HWC, self.dataset.original(place))
        return exact_N

    def _returns(
        self, finals_N: np.ndarray, actions: list[list[int]], degraded_N: np.ndarray, original_N: np.ndarray
    ) -> np.ndarray:
        """Undiscounted sums `(N,)` of what the environment would have paid on the way."""
        reward, change_N = self.task.reward, np.zeros(len(actions), np.float32)
        if reward.prices_change:
            for k in range(0, len(actions), self.batch_size):
                rows = self.photos_N[k : k + self.batch_size]
                before, after = self.view(rows, self.starts_N[rows]), self.view(rows, finals_N[rows])
                change_N[rows] = pixel_change(before, after)
        returns_N = np.zeros(len(actions), np.float32)
        states_N, previous_N = self.starts_N.copy(), degraded_N.copy()
        steps_N = np.array([len(sequence) for sequence in actions])
        for step in range(1, self.task.max_steps + 1):
            rows = np.flatnonzero(steps_N >= step)
            taken = np.array([actions[row][step - 1] for row in rows], int)
            states_N[rows] = self.space.after(states_N[rows], taken)
            new = self.scores(self.photos_N[rows], states_N[rows])
            returns_N[rows] += reward(
                previous_N[rows],
                new,
                original_N[rows],
                steps_N[rows] == step,
                degraded_B=degraded_N[rows],
                stopped_B=np.zeros(len(rows), bool) if self.space.stop is None else taken == self.space.stop,
                steps_B=step,
                change_B=change_N[rows],
            )
            previous_N[rows] = new
        return returns_N

    def best_scores(self, progress: Callable[[int, int], None] | None = None) -> np.ndarray | None:
        """The best score with which an episode of each photo could have ended, float32 `(N,)`; exhaustive.

        Only edit states count, so five edits of 14 lead to at most 1,797 images a photo and not to half a million.
        Without STOP an episode goes on to the step limit, so only what takes exactly that many edits counts.

        Args:
            progress: told the number of photos done, and of all.

        Returns:
            None where some photo has more than `MAX_ENDS` ends, which happens only with edits that lose information.
        """
        best_N = np.empty(len(self.photos_N), np.float32)
        found: list[tuple[int, np.ndarray]] = []
        for photo, start in enumerate(self.starts_N.tolist()):
            ends = self.ends(start)
            if ends is None:
                return None
            scores_K = self.scores(np.full(len(ends.states_K), photo), ends.states_K)
            best = int(scores_K.argmax())  # the nearest of equally good ones
            best_N[photo] = scores_K[best]
            found.append((int(ends.states_K[best]), ends.actions_KT[best]))
            if progress:
                progress(photo + 1, len(self.photos_N))
        self._best_ends = found
        return best_N

    def ends(self, start: int) -> Ends | None:
        """Where episodes that begin in `start` can end; None if in more than `MAX_ENDS` states."""
        if self.space.is_group:  # the same ways lead from everywhere, since edits act on states from the right
            if algebra.ORIGINAL not in self._ends:
                self._ends[algebra.ORIGINAL] = self._search(algebra.ORIGINAL)
            from_original = self._ends[algebra.ORIGINAL]
            return Ends(algebra.compose(start, from_original.states_K), from_original.actions_KT)
        if start not in self._ends:
            self._ends[start] = self._search(start)
        return self._ends[start]

    def _search(self, start: int) -> Ends | None:
        steps, edits = self.task.max_steps, len(self.space.edits)
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

    def random_policy(self, seed: int = 0) -> Policy:
        """Every action equally often."""
        generator = np.random.default_rng(seed)
        return lambda observations, photos, states: generator.integers(0, len(self.space), len(photos))

    def stop_policy(self) -> Policy:
        """STOP at once, which leaves every photo as it is."""
        if self.space.stop is None:
            raise ValueError("this action space has no STOP")
        return lambda observations, photos, states: np.full(len(photos), self.space.stop)

    def juror_policy(self) -> Policy:
        """Ask the juror about every edit's result and take the best: greedy one-step search. Needs a juror to act."""

        def choose(observations, photos_B, states_B):
            following_BA = self.space.after(states_B[:, None], np.arange(len(self.space)))
            scores = self.scores(np.repeat(photos_B, len(self.space)), following_BA.ravel())
            scores_BA = scores.reshape(following_BA.shape)
            if self.space.stop is not None:  # STOP unless an edit is better
                scores_BA[:, self.space.stop] = np.nextafter(scores_BA[:, self.space.stop], np.inf)
            return scores_BA.argmax(1)

        return choose

    def oracle_policy(self) -> Policy:
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
