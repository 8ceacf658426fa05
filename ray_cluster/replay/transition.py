"""The schema of a transition, from the rollout worker that makes it to the learner's batch of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.networks.q_network import QNetwork

TRANSITION = np.dtype(
    [
        ("photo", "<u4"),
        ("state", "<u8"),  # 60 bits in a photographic space
        ("next_state", "<u8"),
        ("action", "<u2"),
        ("next_action", "<i2"),  # what the acting network preferred next; −1 at the end, or where it is not remembered
        ("reward", "<f4"),
        ("score", "<f4"),
        ("next_score", "<f4"),
        ("stop_reward", "<f4"),  # what STOP would have paid after this step
        ("terminated", "?"),
    ],
    align=False,
)
"""One transition. `score` and `next_score` are the scorer's, of the photo in `state` and in `next_state`."""

NEXT_ACTIONS, SCORES, NEXT_SCORES = "next_actions", "scores", "next_scores"
DISCOUNTS, WEIGHTS, STOP_VALUES = "discounts", "weights", "stop_values"
"""Columns of a learner's batch besides RLlib's own (`ray.rllib.core.columns.Columns`), tensors `(B,)`: what
`TRANSITION` calls `next_action`, `score` and `next_score`; what the value that follows is multiplied with; importance
weights; and what stopping right after the first step is worth."""

EPISODE = np.dtype(
    [
        ("steps", "<i4"),
        ("episode_return", "<f4"),
        ("degraded_score", "<f4"),
        ("final_score", "<f4"),
        ("original_score", "<f4"),
        ("exact", "?"),
    ]
)
"""What is known of a finished episode."""


class StateNotes(Protocol):
    """What an algorithm wants to know of each state that is visited, computed where the episode runs.

    Attributes:
        dtype: of a note, a structured type.
    """

    dtype: np.dtype[Any]

    def __call__(
        self, photos_B: np.ndarray, states_B: np.ndarray, observations_BCHW: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Tensor]]:
        """Notes `(B,)` of photos in edit states as the agent sees them, and columns `(B, …)` that its module may act
        by, so that nothing is computed twice."""
        ...


MakeNotes = Callable[[EpisodePhotos, QNetwork], StateNotes]
"""Makes the notes of one worker, from its photos and the network that it acts by."""


@dataclass
class Fragment:
    """What a rollout worker sends: complete episodes only.

    Attributes:
        transitions: `TRANSITION` records, episode after episode, each in order.
        frames: the observation of each transition, uint8 `(T, 3, S, S)`, or None where replay does without.
        episodes: `EPISODE` records.
        env_steps: steps taken since the last fragment, those of unfinished and dropped episodes included.
        dropped: episodes thrown away because a score could not be had.
        scorer_calls: calls of the scorer.
        lookups, hits: scores that were needed, and those of them that were known already.
        scored: new scores, `SCORED` records; none where nobody keeps them.
        seconds: time it took.
        notes: `StateNotes` of the state before each transition `(T,)`, where the algorithm wants any.
    """

    transitions: np.ndarray
    frames: np.ndarray | None
    episodes: np.ndarray
    env_steps: int
    dropped: int
    scorer_calls: int
    lookups: int
    hits: int
    scored: np.ndarray
    seconds: float
    notes: np.ndarray | None = None
