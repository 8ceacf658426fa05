"""The central replay buffer: a few preallocated arrays.

A transition is one record of `TRANSITION`, 41 bytes. What the network looks at is either stored beside it, one uint8
frame a transition (the next observation is the next row's frame), or rendered when sampled from (photo, edit state):
then ten million transitions fit a laptop. What an algorithm noted of the state
before the transition (`StateNotes`) lies beside it.

Only complete episodes are added, each ends `terminated`, and its rows lie next to each other, so n-step returns and
next observations are found when sampled: the rows up to the end of an episode are younger than the one it is looked at
from, and there as long as that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ray_cluster.replay.transition import TRANSITION


@dataclass(frozen=True)
class Sample:
    """Transitions over up to n steps, drawn from the buffer.

    Attributes:
        rows: where each begins, int `(B,)`.
        ends: the row of its last step, int `(B,)`.
        transitions: `TRANSITION` records `(B,)`. What is before the step (`photo`, `state`, `action`, `score`) is of
            the first step, what comes after it (`next_state`, `next_action`, `next_score`, `terminated`) of the last;
            `reward` is the discounted sum of all.
        first_next_scores: the score right after the first step, float32 `(B,)`.
        discounts: what the value after the last step is multiplied with, float32 `(B,)`: γ to the power of the steps
            taken, 0 where the episode ended.
    """

    rows: np.ndarray
    ends: np.ndarray
    transitions: np.ndarray
    first_next_scores: np.ndarray
    discounts: np.ndarray


class ReplayBuffer:
    """A ring of transitions, sampled uniformly with replacement.

    Args:
        capacity: transitions to keep; the oldest make room.
        frame_shape: shape of the uint8 frames to store beside them, or None to store none.
        notes: type of the `StateNotes` to store beside them, or None to store none.
    """

    def __init__(self, capacity: int, frame_shape: tuple[int, ...] | None = None, notes: np.dtype[Any] | None = None):
        self.capacity, self.size, self.position, self.added = capacity, 0, 0, 0
        self.transitions = np.zeros(capacity, TRANSITION)
        self.frames = None if frame_shape is None else np.zeros((capacity, *frame_shape), np.uint8)
        self.notes = None if notes is None else np.zeros(capacity, notes)

    def __len__(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        """Bytes held, constant from construction on."""
        return sum(0 if array is None else array.nbytes for array in (self.transitions, self.frames, self.notes))

    def add(
        self, transitions: np.ndarray, frames: np.ndarray | None = None, notes: np.ndarray | None = None
    ) -> np.ndarray:
        """Append complete episodes, in order, with the frames and notes that this buffer stores; returns their rows."""
        count = len(transitions)
        if count > self.capacity:
            raise ValueError(f"{count} transitions at once do not fit a buffer of {self.capacity}")
        if (frames is None) != (self.frames is None):
            raise ValueError("this buffer stores frames" if frames is None else "this buffer stores no frames")
        if (notes is None) != (self.notes is None):
            raise ValueError("this buffer stores notes" if notes is None else "this buffer stores no notes")
        rows = (self.position + np.arange(count)) % self.capacity
        self.transitions[rows] = transitions
        if frames is not None:
            self.frames[rows] = frames
        if notes is not None:
            self.notes[rows] = notes
        self.position = (self.position + count) % self.capacity
        self.size, self.added = min(self.capacity, self.size + count), self.added + count
        return rows

    def sample(self, count: int, generator: np.random.Generator, minibatches: int = 1) -> np.ndarray:
        """Row numbers int `(count,)`, those of each of the equally large minibatches next to each other."""
        return generator.integers(0, self.size, count)

    def steps(self, rows: np.ndarray, n: int, gamma: float) -> Sample:
        """The n-step transitions that begin at `rows`, or fewer steps where an episode ends before.

        R = Σ γᵏ rₜ₊ₖ over the m ≤ n steps that there are, and γᵐ, or 0 at the end of the episode, for what follows
        (Sutton 1988; as in Rainbow, arXiv 1710.02298, but right at the ends of short episodes).
        """
        transitions, ends = self.transitions[rows], rows.copy()
        first_next_scores = transitions["next_score"].copy()
        returns, power = transitions["reward"].astype(np.float64), np.full(len(rows), gamma)
        going = ~transitions["terminated"]
        for _ in range(n - 1):
            ends[going] += 1
            ends[ends >= self.capacity] -= self.capacity
            latest = self.transitions[ends[going]]
            returns[going] += power[going] * latest["reward"]
            power[going] *= gamma
            going[going] = ~latest["terminated"]
        if n > 1:
            last = self.transitions[ends]
            for name in ("next_state", "next_action", "next_score", "terminated"):
                transitions[name] = last[name]
            transitions["reward"] = returns
        return Sample(rows, ends, transitions, first_next_scores, (power * going).astype(np.float32))

    def observations(
        self, rows: np.ndarray, ends: np.ndarray | None = None, out: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The stored frames at each row and after it, or after `ends`, uint8 `(B, …)`; after a last step the second
        means nothing.

        Args:
            out: arrays to fill in place of new ones.
        """
        before, after = out or (None, None)
        following = (rows if ends is None else ends) + 1
        # Rows are known to lie within the ring; without the check numpy copies straight into `out`.
        return (
            np.take(self.frames, rows, axis=0, out=before, mode="wrap"),
            np.take(self.frames, following, axis=0, out=after, mode="wrap"),
        )

    def get_state(self) -> dict:
        """Everything, for a checkpoint; only the filled part of the arrays."""
        state = {
            "position": self.position,
            "added": self.added,
            "transitions": self.transitions[: self.size].copy(),
            "frames": None if self.frames is None else self.frames[: self.size].copy(),
        }
        return state if self.notes is None else state | {"notes": self.notes[: self.size].copy()}

    def set_state(self, state: dict) -> None:
        """Continue from `get_state` of a buffer of the same capacity; notes may be missing, and are then to be made."""
        self.size, self.added, self.position = len(state["transitions"]), state["added"], state["position"]
        self.transitions[: self.size] = state["transitions"]
        if self.frames is not None:
            self.frames[: self.size] = state["frames"]
        if self.notes is not None and "notes" in state:
            self.notes[: self.size] = state["notes"]
