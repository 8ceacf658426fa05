"""What every action would be paid, by comparison with the original: the reference score of all results at once."""

from __future__ import annotations

import numpy as np

from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.quality import pixel_change
from rl_aesthetics.rewards import Reward
from rl_aesthetics.scores.reference import ReferenceScorer, lab, similarity

_AT_ONCE = 8  # states whose results stay in a processor's cache


class ActionRewards:
    """Rewards of all actions in states that are known by photo number and edit state.

    The terminal bonus is left out: it is for the original's score, which steps of fixed size hardly ever meet.

    STOP is worth 0. The environment charges it for its step as it does edits, but where no future counts, a price of
    all actions alike would change nothing. So the price of a step is here what an edit must promise.

    Args:
        photos: whose numbers are meant.
        reward: its prices of a step and of change count, its differences are those of similarity.

    Raises:
        UserError: the edits are not photographic, or STOP is not among them.
    """

    def __init__(self, photos: EpisodePhotos, reward: Reward):
        self.photos, self.space, self.scorer, self.reward = photos, photos.space, ReferenceScorer(), reward
        if not self.space.acts_on_given or self.space.stop is None:
            raise UserError("learner.algorithm=all_actions needs photographic transforms alone, and STOP")
        self.stop = self.space.stop
        self.view = photos.view(self.scorer.size)

    def __call__(self, photos_B: np.ndarray, states_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and changes, float32 `(B, A)` each.

        A reward is score after − score before − step penalty − what more change costs; of STOP, which ends it all, 0.
        A change is by how much the action alters the photo as it is: root of the mean squared ΔE.
        """
        parts = [
            self._rewards(photos_B[k : k + _AT_ONCE].astype(np.int64), states_B[k : k + _AT_ONCE].astype(np.int64))
            for k in range(0, len(photos_B), _AT_ONCE)
        ]
        rewards, changes = zip(*parts, strict=True)
        return np.concatenate(rewards), np.concatenate(changes)

    def _rewards(self, photos_B: np.ndarray, states_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        actions = len(self.space)
        every_N = np.repeat(photos_B, actions)
        following_N = self.space.after(states_B[:, None], np.arange(actions)).ravel()
        if self.space.renders_reductions(following_N, self.scorer.size).all():  # a photo is reduced once for all
            given_N3SS = np.repeat(self.view.reductions_NCHW[photos_B], actions, axis=0)
            images_N3SS = self.space.render_reductions(given_N3SS, following_N)
        else:
            images_N3SS = self.view(every_N, following_N)
        if (self.space.framing(following_N) == self.space.framing(np.repeat(states_B, actions))).all():
            originals_N3SS, each = self.view.originals(photos_B, states_B), actions
        else:
            originals_N3SS, each = self.view.originals(every_N, following_N), 1
        images_NSS3, originals_NSS3 = (lab(images.transpose(0, 2, 3, 1)) for images in (images_N3SS, originals_N3SS))
        originals_NSS3 = np.repeat(originals_NSS3, each, axis=0)
        scores_BA = similarity(images_NSS3, originals_NSS3).reshape(-1, actions)
        rewards_BA = scores_BA - scores_BA[:, [self.stop]] - self.reward.step_penalty
        if self.reward.prices_change:
            rewards_BA -= self._prices(images_N3SS, photos_B)
        rewards_BA[:, self.stop] = 0
        images_BAF = images_NSS3.reshape(len(photos_B), actions, -1)
        squared_BA = np.square(images_BAF - images_BAF[:, [self.stop]]).sum(2)
        return rewards_BA, np.sqrt(squared_BA / self.scorer.size**2)

    def _prices(self, images_N3SS: np.ndarray, photos_B: np.ndarray) -> np.ndarray:
        """What the changes since the photo was given cost after each action, less what they cost before: `(B, A)`."""
        actions = len(self.space)
        given_N3SS = np.repeat(self.view.reductions_NCHW[photos_B], actions, axis=0)
        prices_BA: np.ndarray = self.reward.price(pixel_change(given_N3SS, images_N3SS)).reshape(-1, actions)
        more_BA: np.ndarray = prices_BA - prices_BA[:, [self.stop]]
        return more_BA
