"""The schema of a transition, of an episode's summary, and of what a rollout worker sends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


@dataclass
class Fragment:
    """What a rollout worker sends: complete episodes only.

    Attributes:
        transitions: `TRANSITION` records, episode after episode, each in order.
        frames: the observation of each transition, uint8 `(T, 3, S, S)`, or None where replay renders them.
        episodes: `EPISODE` records.
        env_steps: steps taken since the last fragment, those of unfinished and dropped episodes included.
        dropped: episodes thrown away because a score could not be had.
        scorer_calls: calls of the scorer.
        lookups, hits: scores that were needed, and those of them that were known already.
        scored: new scores, `SCORED` records; none where nobody keeps them.
        seconds: time it took.
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
