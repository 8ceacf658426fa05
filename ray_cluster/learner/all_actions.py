"""Learning from every action at once, where its reward is known without taking it.

The reference score needs no juror, and what an edit does is computed, not observed. So a visited state tells the reward
of all its actions. Without discounted future (γ = 0) that reward is the whole target, and one state teaches A values in
place of one: Q(s, a) = E[similarity after − similarity before | what is seen], a greedy step towards the original, and
STOP where no step is expected to help. Behaviour, environment, replay and actor-learner are those of the DQN.

Beside the values the network may learn what is still wrong with the photo, parameter by parameter (`Tone`'s
`strengths`), which is known while training, too.

With γ > 0 the values of actions that were not taken would need the value of states that nobody visited.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from ray_cluster.learner.actor_learner import ActorLearnerDQN
from ray_cluster.learner.q_module import LOSS, TD_ERROR, TD_TARGET, QModule
from ray_cluster.replay.transition import Fragment
from rl_aesthetics.edits import photographic, tone
from rl_aesthetics.episodes.all_action_rewards import ActionRewards
from rl_aesthetics.networks.settings import ToneSettings
from rl_aesthetics.networks.tone import STRENGTHS
from rl_aesthetics.networks.tone_trunk import ToneTrunk

ACTION_REWARDS, SPREADS = "action_rewards", "spreads"
DESCRIBED, REMAINING = "described", "remaining"
_FAINT = 1.0  # ΔE that counts as a change at least
_MEASURED = 256  # photos, in the degradation that was recorded, that the spread of rewards is measured on
_STRENGTH_PLACES = [tone.TONE.index(name) for name in STRENGTHS]


class FullInformationModule(QModule):
    """`QModule` whose loss is the squared error of all actions' values, each in units of what its reward may spread.

    By the triangle inequality an edit that changes the photo by so much brings it nearer to the original by so much at
    most. So errors are divided by that change (`ActionRewards`): three steps of tint change a photo four times as much
    as one of temperature, a bright photo more than a dark one, and without the division most of the loss would be how
    bad great edits of bright photos are, where what matters is which small one is good.

    The squared errors of the estimated strengths, where the network has any, are added.
    """

    def _forward_train(self, batch: dict[str, Any], **kwargs) -> dict[str, Any]:
        """Loss and largest error, float32 `(B,)`, and the targets `(B, A)`: the rewards themselves."""
        targets_BA = batch[ACTION_REWARDS]
        if DESCRIBED not in batch:
            errors_MBA = (self.network(batch[Columns.OBS]) - targets_BA)[None]
            loss_B = (errors_MBA / batch[SPREADS]).square().mean(2).sum(0)
        else:  # each member of an ensemble has a loss of its own, or they would be one network
            values_MBA, estimates_MBP = self.network.learned(batch[DESCRIBED])
            errors_MBA = values_MBA - targets_BA
            loss_B = (errors_MBA / batch[SPREADS]).square().mean(2).sum(0)
            if estimates_MBP.shape[2]:
                wrong_MBP = estimates_MBP - batch[REMAINING]
                loss_B = loss_B + wrong_MBP.nan_to_num().square().mean(2).sum(0)  # NaN: strengths are not known
        return {LOSS: loss_B, TD_ERROR: errors_MBA.detach().mean(0).abs().amax(1), TD_TARGET: targets_BA}


class FullInformationDQN(ActorLearnerDQN):
    """`ActorLearnerDQN` that keeps what a state teaches beside the replay buffer: rewards and changes of all actions,
    float16 `(capacity, A)`, strengths that remain `(capacity, P)`, and where nothing that the network sees is learned,
    its description `(capacity, D)`, so that it is computed once and not for every time it is learned from."""

    def setup(self, config) -> None:
        super().setup(config)
        settings = config.env_config
        task = settings["task"]
        network = self.settings.learner.network
        if isinstance(network, ToneSettings) and network.change_limit < 1:  # the network computes that price itself
            task = replace(task, reward=replace(task.reward, change_limit=1.0))
        self.rewards_of = ActionRewards(settings["dataset"], task, settings["variants"])
        capacity, actions = self.replay.capacity, len(task.actions)
        self.action_rewards, self.changes = (np.zeros((capacity, actions), np.float16) for _ in range(2))
        self.remaining = np.zeros((capacity, len(STRENGTHS)), np.float16)
        recorded_N = np.arange(min(len(settings["dataset"]), _MEASURED))
        rewards_NA, changes_NA = self.rewards_of(recorded_N, np.zeros(len(recorded_N), np.int64))
        self.spread = float(np.sqrt(np.square(rewards_NA / (changes_NA + _FAINT)).mean())) or 1.0
        self.trunk = self._describing_trunk()
        if self.trunk is not None:
            shape = (1, *self.settings.observation_shape)
            described = self.trunk.describe(torch.zeros(shape, dtype=torch.uint8)).shape[1]
            self.described = np.zeros((capacity, described), np.float16)
        self.known = np.zeros(capacity, bool)  # rows that a checkpoint brought back are not, at first

    def _describing_trunk(self) -> ToneTrunk | None:
        """The trunk of the network if all that it sees can be computed beforehand."""
        task, network = self.config.env_config["task"], self.settings.learner.network
        trunk = getattr(network.portable().build(task.actions, task.observation_size), "trunk", None)
        return trunk.eval() if getattr(trunk, "describes", False) else None

    def _take(self, fragments: list[Fragment]) -> None:
        for fragment in fragments:
            rows = (self.replay.position + np.arange(len(fragment.transitions))) % self.replay.capacity
            super()._take([fragment])
            self._note(rows)
        if not fragments:
            super()._take(fragments)  # which knows how long to wait for some

    def _note(self, rows: np.ndarray) -> None:
        """Compute what these rows of the replay buffer teach."""
        if not len(rows):
            return
        transitions, photos = self.replay.transitions[rows], self.rewards_of.photos
        numbers, states = transitions["photo"].astype(np.int64), transitions["state"].astype(np.int64)
        self.action_rewards[rows], self.changes[rows] = self.rewards_of(numbers, states)
        done_BP = photographic.tones(states)[:, _STRENGTH_PLACES]
        for row, number, done_P in zip(rows, numbers.tolist(), done_BP, strict=True):
            strengths = photos.strengths(number)
            wrong = [np.nan if strengths is None else strengths.get(name, 0.0) for name in STRENGTHS]
            self.remaining[row] = -(np.array(wrong) + done_P)
        if self.trunk is not None:
            for part in np.array_split(rows, max(1, len(rows) // 64)):
                frames = torch.from_numpy(self.replay.frames[part])
                self.described[part] = self.trunk.describe(frames).numpy()
        self.known[rows] = True

    def _learn(self, updates: int) -> None:
        size = self.settings.rl_training.training.batch_size
        rows = self.replay.sample(updates * size, self.generator, updates)
        self._note(np.unique(rows[~self.known[rows]]))
        columns = {
            ACTION_REWARDS: self.action_rewards[rows],
            SPREADS: self.spread * (self.changes[rows] + _FAINT),
            REMAINING: self.remaining[rows],
        }
        if self.trunk is not None:
            columns[DESCRIBED] = self.described[rows]
        columns = {name: torch.from_numpy(column.astype(np.float32)) for name, column in columns.items()}
        if self.trunk is None:
            columns[Columns.OBS] = torch.from_numpy(self.replay.frames[rows])
        self.learner_group.update(
            batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, len(rows)),
            timesteps={"learning_rate": self.learning_rate},
            minibatch_size=size // max(1, self.settings.ray.num_learners),
        )
        self.trained += len(rows)
