"""A contextual bandit with full feedback: from every state the rewards of all actions are learned, not a return.

The reference score needs no juror, and what an edit does is computed, not observed. So a visited state tells the reward
of all its actions. Without discounted future (γ = 0) that reward is the whole target, and one state teaches A values in
place of one: Q(s, a) = E[similarity after − similarity before | what is seen], a greedy step towards the original, and
STOP where no step is expected to help. There is no TD error, no target network, and nothing that prefers one transition
to another; what is left of DQN is how episodes are run and replayed. (In a bandit's terms: the observation is the
context, and the feedback is full, as nothing needs to be tried to be known; see Lattimore and Szepesvári, "Bandit
Algorithms", chapters 18 and 27.)

Rollout workers compute the rewards where they run the episodes (`AllActionNotes`), so that the driver only learns.

Beside the values the network may learn what is still wrong with the photo, parameter by parameter (`Tone`'s
`strengths`), which is known while training, too.

With γ > 0 the values of actions that were not taken would need the value of states that nobody visited.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from torch import Tensor

from ray_cluster.learner.algorithm import Algorithm
from ray_cluster.learner.q_module import LOSS, TD_ERROR, TD_TARGET, QModule
from ray_cluster.replay.replay import ReplayBuffer
from rl_aesthetics.config.learner import Learner
from rl_aesthetics.edits import edit_state, tone
from rl_aesthetics.episodes.all_action_rewards import ActionRewards
from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.settings import ToneSettings
from rl_aesthetics.networks.tone_network import STRENGTHS
from rl_aesthetics.networks.tone_trunk import ToneTrunk
from rl_aesthetics.plan.run_plan import RunPlan
from rl_aesthetics.rewards import Reward

ACTION_REWARDS, CHANGES, SPREADS = "action_rewards", "changes", "spreads"
REMAINING, DESCRIBED = "remaining", "described"
_FAINT = 1.0  # ΔE that counts as a change at least
_MEASURED = 256  # photos, in the degradation that was recorded, that the spread of rewards is measured on
_STRENGTH_PLACES = [tone.TONE.index(name) for name in STRENGTHS]
_AT_ONCE = 64  # states to note when a replay buffer comes without notes


class AllActionNotes:
    """What a state teaches: rewards and changes of all actions, float16 `(A,)`, strengths that remain `(P,)`, and where
    nothing that the network sees is learned, its description `(D,)`, so that it is computed once and not for every
    time it is learned from.

    Args:
        photos: of the episodes.
        network: that acts by them.
        reward: of the task.
    """

    def __init__(self, photos: EpisodePhotos, network: QNetwork, reward: Reward):
        self.rewards_of, self.photos = ActionRewards(photos, reward), photos
        trunk = getattr(network, "trunk", None)
        self.trunk: ToneTrunk | None = trunk if getattr(trunk, "describes", False) else None
        actions, described = len(network.actions), 0
        if self.trunk is not None:
            shape = (1, self.trunk.channels, photos.size, photos.size)
            described = self.trunk.describe(torch.zeros(shape, dtype=torch.uint8)).shape[1]
        columns = {ACTION_REWARDS: actions, CHANGES: actions, REMAINING: len(STRENGTHS), DESCRIBED: described}
        self.dtype = np.dtype([(name, "<f2", (size,)) for name, size in columns.items() if size])

    def __call__(
        self, photos_B: np.ndarray, states_B: np.ndarray, observations_BCHW: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Tensor]]:
        notes_B = np.zeros(len(photos_B), self.dtype)
        if not len(notes_B):
            return notes_B, {}
        notes_B[ACTION_REWARDS], notes_B[CHANGES] = self.rewards_of(photos_B, states_B)
        notes_B[REMAINING] = self._remaining(photos_B, states_B)
        if self.trunk is None:
            return notes_B, {}
        with torch.inference_mode():
            described_BD = self.trunk.describe(torch.from_numpy(observations_BCHW))
        notes_B[DESCRIBED] = described_BD.numpy()
        return notes_B, {DESCRIBED: described_BD}

    def _remaining(self, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        """How far each parameter of `STRENGTHS` is from the original's, float64 `(B, P)`; NaN where nobody knows."""
        wrong_BP = np.full((len(photos_B), len(STRENGTHS)), np.nan)
        for row, number in enumerate(photos_B.tolist()):
            if (strengths := self.photos.strengths(number)) is not None:
                wrong_BP[row] = [strengths.get(name, 0.0) for name in STRENGTHS]
        return -(wrong_BP + edit_state.tones(states_B)[:, _STRENGTH_PLACES])


class AllActionsModule(QModule):
    """`QModule` whose loss is the squared error of all actions' values, each in units of what its reward may spread.

    By the triangle inequality an edit that changes the photo by so much brings it nearer to the original by so much at
    most. So errors are divided by that change (`ActionRewards`): three steps of tint change a photo four times as much
    as one of temperature, a bright photo more than a dark one, and without the division most of the loss would be how
    bad great edits of bright photos are, where what matters is which small one is good.

    The squared errors of the estimated strengths are added, where the network makes any.

    A training batch has `ACTION_REWARDS` and `SPREADS` `(B, A)`, `REMAINING` `(B, P)`, and `DESCRIBED` `(B, D)`, or
    `OBS` where what the network sees is learned, too.
    """

    def values(self, batch: dict[str, Any]) -> Tensor:
        if DESCRIBED not in batch:
            return super().values(batch)
        values_BA: Tensor = self.network.of_description(batch[DESCRIBED], batch[Columns.OBS])
        return values_BA

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Loss and largest error, float32 `(B,)`, and the targets `(B, A)`: the rewards themselves."""
        targets_BA = batch[ACTION_REWARDS]
        if DESCRIBED not in batch:
            errors_MBA = (self.network(batch[Columns.OBS]) - targets_BA)[None]
            loss_B = (errors_MBA / batch[SPREADS]).square().mean(2).sum(0)
        else:  # each member of an ensemble has a loss of its own, or they would be one network
            values_MBA, estimates_MBP = self.network.learned(batch[DESCRIBED])
            errors_MBA = values_MBA - targets_BA
            loss_B = (errors_MBA / batch[SPREADS]).square().mean(2).sum(0)
            wrong_MBP = estimates_MBP - batch[REMAINING]
            loss_B = loss_B + wrong_MBP.nan_to_num().square().mean(2).sum(0)  # NaN: strengths are not known
        return {LOSS: loss_B, TD_ERROR: errors_MBA.detach().mean(0).abs().amax(1), TD_TARGET: targets_BA}


class AllActions(Algorithm):
    """What could have been done is learned from: notes of the states that were visited, whatever was done in them."""

    module = AllActionsModule

    def __init__(self, plan: RunPlan):
        super().__init__(plan)
        task, config, learner = plan.task, plan.config, plan.config.learner
        network = learner.network.portable().build(task.actions, task.observation_size)
        self.note = self.notes(plan)(plan.photos(), network)
        recorded_N = np.arange(min(len(plan.dataset), _MEASURED))
        rewards_NA, changes_NA = self.note.rewards_of(recorded_N, np.zeros(len(recorded_N), np.int64))
        self.spread = float(np.sqrt(np.square(rewards_NA / (changes_NA + _FAINT)).mean())) or 1.0
        frame_shape = config.observation_shape if self.stores_frames(learner) else None
        self.replay = ReplayBuffer(config.rl_training.training.replay_capacity, frame_shape, self.note.dtype)

    @classmethod
    def stores_frames(cls, learner: Learner) -> bool:
        return not learner.describes_beforehand

    @classmethod
    def notes(cls, plan: RunPlan) -> partial[AllActionNotes]:
        reward, network = plan.task.reward, plan.config.learner.network
        if isinstance(network, ToneSettings) and network.change_limit < 1:  # the network computes that price itself
            reward = replace(reward, change_limit=1.0)
        return partial(AllActionNotes, reward=reward)

    def columns(
        self, rows: np.ndarray, generator: np.random.Generator, minibatches: int, progress: float
    ) -> dict[str, Tensor]:
        assert self.replay.notes is not None
        notes = self.replay.notes[rows]
        arrays = {
            ACTION_REWARDS: notes[ACTION_REWARDS],
            SPREADS: self.spread * (notes[CHANGES] + _FAINT),
            REMAINING: notes[REMAINING],
        }
        if self.note.trunk is not None:
            arrays[DESCRIBED] = notes[DESCRIBED]
        columns = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
        if self.replay.frames is not None:
            columns[Columns.OBS] = torch.from_numpy(self.replay.frames[rows])
        return columns

    def set_replay(self, state: dict[str, Any]) -> None:
        super().set_replay(state)
        if "notes" in state:
            return
        # Of an earlier format, which kept frames in their place.
        assert self.replay.notes is not None
        task = self.plan.task
        view = self.note.photos.view(task.observation_size, task.shows_edits)
        for start in range(0, len(self.replay), _AT_ONCE):
            part = self.replay.transitions[start : min(start + _AT_ONCE, len(self.replay))]
            photos, states = part["photo"].astype(np.int64), part["state"].astype(np.int64)
            self.replay.notes[start : start + len(part)] = self.note(photos, states, view(photos, states))[0]
