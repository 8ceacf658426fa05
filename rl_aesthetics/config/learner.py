"""The learner's part of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from rl_aesthetics.config.section import Fraction, Positive, Section
from rl_aesthetics.networks.per_action import SimpleCNN
from rl_aesthetics.networks.registry import NetworkChoice
from rl_aesthetics.networks.settings import ToneSettings


class Learner(Section):
    """How the transitions are learned from."""

    algorithm: str = Field(
        "dqn",
        description="'dqn', or 'all_actions': learn every action's reward from each state, a contextual bandit with "
        "full feedback (juror.name=reference and gamma=0 only)",
    )
    network: NetworkChoice = Field(
        SimpleCNN(), description="a Q-network by its kind, or a mapping with its kind and settings of its own"
    )
    initial_agent: Path | None = Field(None, description="an agent file to go on from, such as a checkpoint")
    target_action: Literal["stored", "online", "target"] = Field(
        "online",
        description="which next action the target network values: the online network's choice (double Q), its own, or "
        "the one that the acting network preferred then and there, which saves searching again",
    )
    n_step: Positive = Field(1, description="rewards summed up before the value of what follows, fewer at an end")
    prioritized: bool = Field(False, description="replay in proportion to (|TD error| + 0.001)^priority_alpha")
    priority_alpha: Fraction = Field(0.6, description="0 replays uniformly, 1 in proportion to the errors")
    priority_beta: Fraction = Field(
        0.4, description="how far weights make up for priorities at the start; 1, in full, by the end of the training"
    )
    replay: Literal["frames", "reference"] = Field(
        "frames", description="store observations, or (photo, edit state) rendered when sampled"
    )
    crops: int = Field(
        0, ge=0, description="random crops of each photo that count as photos of their own, with scores of their own"
    )
    value_stopping: bool = Field(
        False, description="after each edit learn, too, what stopping there would have paid ('afterstate' only)"
    )
    samples_per_insert: float = Field(4.0, gt=0, description="transitions trained for each transition sampled")
    learning_starts: Positive = Field(500, description="transitions sampled before the first update")
    updates_per_call: Positive = Field(8, description="minibatches that go to the learner in one call")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    learning_rate_end: float | None = Field(None, gt=0, description="linear decay to this by the last epoch")
    grad_clip: float | None = Field(10.0, gt=0, description="bound on the global gradient norm")
    weight_average: float | None = Field(
        None, gt=0, lt=1, description="validate and keep the running average of the weights with this decay an update"
    )
    fresh_degradations: bool = Field(
        False, description="draw a new degradation of the same depth for each training episode"
    )
    undegraded_share: Fraction = Field(
        0.0, description="share of training episodes on good photos ('tonal' and its like, fresh degradations only)"
    )
    collage_share: Fraction = Field(
        0.0, description="share of these episodes on two photos put together ('tonal' and its like, fresh degradations)"
    )
    checkpoint_frequency: Positive = Field(1, description="epochs between two checkpoints")
    keep_checkpoints: Positive = Field(3, description="checkpoints to keep beside the best agent")
    max_minutes: float | None = Field(None, gt=0, description="stop after this much training time")
    threads: Positive | None = Field(None, description="threads of the learner; none chooses by the machine")
    lockstep: bool = Field(
        False, description="sample and learn in turns: slower, and one seed gives one result, bit for bit"
    )
    seed: int = Field(0, ge=0, description="decides everything random in training")

    @property
    def describes_beforehand(self) -> bool:
        """Whether all that the network sees of a photo can be computed once, as nothing of it is learned."""
        return self.algorithm == "all_actions" and isinstance(self.network, ToneSettings)
