"""What it costs to change a photo visibly, computed from an observation: what is known of a reward is not learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_aesthetics.edits import edit_state, tone
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS

_SIDE = 16  # tone shows in few pixels


class ChangePrice:
    """What each action adds to the price of change (`Reward.change_limit`), by its result's distance from the photo as
    it was given.

    The photo as it was given is made from the observation by taking back the tonal edits that its fourth channel
    names. What they clipped is lost, but then the change is far beyond any limit. Only edits of tone count.

    Args:
        actions: names in the order of their indices.
        limit: mean absolute difference in [0, 1] that is free.
        price: of more.
    """

    def __init__(self, actions: Sequence[str], limit: float, price: float):
        self.limit, self.price = limit, price
        changes = [None if name == STOP else TRANSFORMS[name].change for name in actions]
        parameters = len(tone.TONE)
        self.steps_AP = np.zeros((len(actions), parameters), np.float32)
        for place, change in enumerate(changes):
            if change is not None and change.field < parameters:
                self.steps_AP[place, change.field] = change.amount * edit_state.FIELDS[change.field].unit
        self.most_P = np.array([field.high * field.unit for field in edit_state.FIELDS[:parameters]], np.float32)

    def __call__(self, observations_BCHW: np.ndarray) -> np.ndarray:
        """float32 `(B, A)` from uint8 `(B, 4, S, S)`; negative where an edit brings the photo back within the limit."""
        seen_B3SS, tones_BP = observations_BCHW[:, :3], edit_state.tones_shown(observations_BCHW)
        if seen_B3SS.shape[-1] % _SIDE == 0 and seen_B3SS.shape[-1] > _SIDE:
            parts = seen_B3SS.shape[-1] // _SIDE
            split = seen_B3SS.reshape(len(seen_B3SS), 3, _SIDE, parts, _SIDE, parts)
            seen_B3SS = (split.sum((3, 5), dtype=np.uint32) // parts**2).astype(np.uint8)
        given_B3SS = tone.render(np.ascontiguousarray(seen_B3SS), -tones_BP)
        after_BAP = np.clip(tones_BP[:, None] + self.steps_AP, -self.most_P, self.most_P)
        every_BAP = np.concatenate([tones_BP[:, None], after_BAP], 1)
        given_N3SS = np.repeat(given_B3SS, every_BAP.shape[1], 0)
        results_N3SS = tone.render(given_N3SS, every_BAP.reshape(-1, self.most_P.size))
        differences = np.abs(results_N3SS.astype(np.int16) - given_N3SS).mean((1, 2, 3)) / 255
        beyond_BA = (differences > self.limit).reshape(every_BAP.shape[:2]).astype(np.float32)
        return self.price * (beyond_BA[:, 1:] - beyond_BA[:, :1])
