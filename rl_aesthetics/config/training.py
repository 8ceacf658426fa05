"""The guide's part of the configuration: dataset, episode, reward, actions and observations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from rl_aesthetics import rewards
from rl_aesthetics.config.section import Fraction, Positive, Section


class DatasetGeneration(Section):
    """How a dataset is made from photos: what `generate --config FILE` does where its flags leave something out."""

    source_dataset: str = Field("flickr8k", description="a dataset id, 'samples' or a folder of photos")
    output_dir: str = Field("rl_training_data", description="the folder to write")
    split_ratios: tuple[Fraction, Fraction, Fraction] = Field((0.7, 0.15, 0.15), description="train, val, test")
    use_random_transformer: bool = Field(True, description="degrade with any of the reversible transforms")
    seed: int = Field(42, ge=0, description="decides splits and degradations")

    @field_validator("split_ratios")
    @classmethod
    def _sum_to_one(cls, ratios: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(ratios) - 1) > 1e-6:
            raise ValueError(f"must sum to 1, not {sum(ratios):g}")
        return ratios


class Training(Section):
    """The episode and the DQN of the guide."""

    max_steps_per_episode: Positive = Field(5, description="edits the agent may apply to a photo, STOP included")
    batch_size: Positive = Field(32, description="transitions in one learner update")
    replay_capacity: Positive = Field(10_000, description="transitions in the central replay buffer")
    learning_rate: float = Field(1e-3, gt=0, description="the optimiser's (peak) learning rate")
    gamma: Fraction = Field(0.99, description="discount factor")
    epsilon_start: Fraction = Field(1.0, description="share of random actions at the start")
    epsilon_end: Fraction = Field(0.05, description="share of random actions that remains")
    epsilon_decay: float = Field(0.995, gt=0, le=1, description="factor on epsilon for each finished episode")
    target_update_frequency: Positive = Field(100, description="learner updates between two target network syncs")
    num_epochs: Positive = Field(10, description="an epoch is one episode for each training image")
    dataloader_batch_size: Positive = Field(8, description="episodes that one rollout worker runs side by side")
    validation_frequency: Positive = Field(1, description="epochs between two validations")


class Reward(Section):
    """What a step is worth. 'difference' is the guide's: `new − previous − step_penalty`, plus `terminal_bonus` at the
    end where the original's score is reached. The formulas of the others are in rl_aesthetics/rewards/."""

    name: str = Field(
        "difference",
        description="'difference', 'sigmoid_bonus' (a smooth bonus), 'clipped' (differences cut), 'delayed' (all at "
        "the end) or 'stop_only' (all at the end, to those who STOP)",
    )
    step_penalty: float = Field(0.01, ge=0, description="price of a step, STOP included")
    terminal_bonus: float = Field(0.1, ge=0, description="paid once, when the episode ends at the original's score")
    change_limit: float = Field(1.0, gt=0, le=1, description="pixels' mean change beyond which the end costs more")
    change_price: float = Field(1.0, ge=0, description="what it costs more")
    options: dict[str, float] = Field(
        {}, description="the reward's own: width of 'sigmoid_bonus', limit of 'clipped', shaping of 'delayed'"
    )

    def make(self, gamma: float) -> rewards.Reward:
        """The reward that is described here, for an agent with this discount.

        Raises:
            UserError: no reward has that name or that option.
        """
        return rewards.make_reward(
            self.name,
            step_penalty=self.step_penalty,
            terminal_bonus=self.terminal_bonus,
            change_limit=self.change_limit,
            change_price=self.change_price,
            gamma=gamma,
            options=self.options,
        )


class ActionSpace(Section):
    """What the agent may do."""

    transforms: Literal["reversible", "tonal", "photographic", "all"] | list[str] = Field(
        "reversible",
        description="'reversible' (the guide's 14), 'tonal', 'photographic', 'all', or a list of transform names",
    )
    add_stop_action: bool = Field(True, description="STOP as the last action, which ends the episode")


class State(Section):
    """What the agent sees."""

    shape: tuple[Literal[3, 4], Positive, Positive] = Field(
        (3, 64, 64),
        description="channels, height, width; uint8 RGB. A network that sees its edits adds a channel by itself",
    )

    @field_validator("shape")
    @classmethod
    def _even_square(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if shape[1] != shape[2] or shape[1] % 2:
            raise ValueError(f"needs equal, even sides, not {shape[1]}×{shape[2]}")
        return shape


class RLTraining(Section):
    """The guide's tree, unchanged."""

    dataset_generation: DatasetGeneration = DatasetGeneration()
    training: Training = Training()
    reward: Reward = Reward()
    action_space: ActionSpace = ActionSpace()
    state: State = State()
