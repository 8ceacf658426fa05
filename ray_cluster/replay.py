"""The central replay buffer: a few preallocated arrays.

A transition is one record of `TRANSITION`, 31 bytes. What the network looks at is either stored beside it, one uint8
frame a transition (the next observation is the next row's frame), or rendered when sampled from (photo, edit state):
then ten million transitions fit a laptop, and each sample can be augmented anew.

Only complete episodes are added, each ends `terminated`, and its rows lie next to each other: no row ever needs the
frame of a row that belongs to somebody else.
"""

from __future__ import annotations

import cv2
import numpy as np

from rl_aesthetics.transforms import algebra

TRANSITION = np.dtype(
    [
        ("photo", "<u4"),
        ("state", "<u4"),
        ("next_state", "<u4"),
        ("action", "<u2"),
        ("next_action", "<i2"),  # what the behaviour policy's network preferred next; −1 at the end of an episode
        ("reward", "<f4"),
        ("score", "<f4"),
        ("next_score", "<f4"),
        ("terminated", "?"),
    ],
    align=False,
)
"""One transition. `score` and `next_score` are the scorer's, of the photo in `state` and in `next_state`."""


class ReplayBuffer:
    """A ring of transitions, sampled uniformly with replacement.

    Args:
        capacity: transitions to keep; the oldest make room.
        frame_shape: shape of the uint8 frames to store beside them, or None to store none.
    """

    def __init__(self, capacity: int, frame_shape: tuple[int, ...] | None = None):
        self.capacity, self.size, self.position, self.added = capacity, 0, 0, 0
        self.transitions = np.zeros(capacity, TRANSITION)
        self.frames = None if frame_shape is None else np.zeros((capacity, *frame_shape), np.uint8)

    def __len__(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        """Bytes held, constant from construction on."""
        return self.transitions.nbytes + (0 if self.frames is None else self.frames.nbytes)

    def add(self, transitions: np.ndarray, frames: np.ndarray | None = None) -> None:
        """Append complete episodes, in order, with their frames if this buffer stores any."""
        count = len(transitions)
        if count > self.capacity:
            raise ValueError(f"{count} transitions at once do not fit a buffer of {self.capacity}")
        if (frames is None) != (self.frames is None):
            raise ValueError("this buffer stores frames" if frames is None else "this buffer stores no frames")
        rows = (self.position + np.arange(count)) % self.capacity
        self.transitions[rows] = transitions
        if frames is not None:
            self.frames[rows] = frames
        self.position = (self.position + count) % self.capacity
        self.size, self.added = min(self.capacity, self.size + count), self.added + count

    def sample(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Row numbers int `(count,)`."""
        return generator.integers(0, self.size, count)

    def observations(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The stored frames before and after each row, uint8 `(B, …)`; after a last step the second means nothing."""
        return self.frames[rows], self.frames[(rows + 1) % self.capacity]

    def get_state(self) -> dict:
        """Everything, for a checkpoint; only the filled part of the arrays."""
        return {
            "position": self.position,
            "added": self.added,
            "transitions": self.transitions[: self.size].copy(),
            "frames": None if self.frames is None else self.frames[: self.size].copy(),
        }

    def set_state(self, state: dict) -> None:
        """Continue from `get_state` of a buffer of the same capacity."""
        self.size, self.added, self.position = len(state["transitions"]), state["added"], state["position"]
        self.transitions[: self.size] = state["transitions"]
        if self.frames is not None:
            self.frames[: self.size] = state["frames"]


class ReplayRenderer:
    """Renders (photo, edit state) as the network sees it, optionally a random part of the photo, mirrored or not.

    A crop of the unedited photo that is then edited stands for another photo with the same edits: the augmentation of
    DrQ (arXiv 2004.13649), done where it commutes with the edits. Both observations of a transition show the same crop.

    Args:
        photos_NCHW: uint8 RGB `(N, 3, L, L)` of the unedited photos, larger than `size` where crops are to be sharp.
        size: side S of the observation.
        augment: whether to crop and mirror.
        smallest_crop: side of the smallest crop, as a fraction of L.
    """

    def __init__(self, photos_NCHW: np.ndarray, size: int, augment: bool, smallest_crop: float = 0.625):
        self.photos_NHWC = np.ascontiguousarray(photos_NCHW.transpose(0, 2, 3, 1))
        self.size, self.augment, self.smallest_crop = size, augment, smallest_crop

    def __call__(self, transitions_B: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Observations before and after each transition, uint8 `(B, 3, S, S)`."""
        photos_BCHW = self._photos(transitions_B["photo"], generator)
        return (
            algebra.render_rgb(photos_BCHW, transitions_B["state"]),
            algebra.render_rgb(photos_BCHW, transitions_B["next_state"]),
        )

    def _photos(self, numbers_B: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        side, size = self.photos_NHWC.shape[1], self.size
        out_BHWC = np.empty((len(numbers_B), size, size, 3), np.uint8)
        sides = np.full(len(numbers_B), side)
        mirrored = np.zeros(len(numbers_B), bool)
        if self.augment:
            sides = generator.integers(int(self.smallest_crop * side), side + 1, len(numbers_B))
            mirrored = generator.random(len(numbers_B)) < 0.5
        tops, lefts = (generator.integers(0, side - sides + 1) for _ in range(2))
        for k, number in enumerate(numbers_B):
            crop = self.photos_NHWC[number, tops[k] : tops[k] + sides[k], lefts[k] : lefts[k] + sides[k]]
            crop = crop[:, ::-1] if mirrored[k] else crop
            shrinks = sides[k] >= size
            cv2.resize(crop, (size, size), out_BHWC[k], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.ascontiguousarray(out_BHWC.transpose(0, 3, 1, 2))
