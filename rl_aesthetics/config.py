"""The configuration: the guide's YAML tree, plus what the juror, Ray, the learner and MLflow need.

Every setting has one line of description here, its type, its range and its default; `configs/*.yaml` say what differs.
Reading goes file, then `key.sub=value` overrides, then validation; an unknown key is refused with the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from rl_aesthetics import rewards
from rl_aesthetics.algorithm_rules import check_algorithm, check_sight
from rl_aesthetics.curriculum import Curriculum
from rl_aesthetics.errors import UserError
from rl_aesthetics.exploration import Exploration
from rl_aesthetics.section import Fraction, Positive, Section
from rl_aesthetics.transforms.transform import closest
from rl_aesthetics.yaml_file import read_mapping


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
    fidelity_weight: float = Field(0.0, ge=0, description="price at the end: times the pixels' mean change, in [0, 1]")
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
            fidelity_weight=self.fidelity_weight,
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
        description="channels, height, width; uint8: RGB, and perhaps a fourth with the photographic edits made so far",
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


class Juror(Section):
    """Who scores."""

    name: str = Field("pocket", description="a juror's name, see `rl-aesthetics juror list`")
    options: dict[str, Any] = Field({}, description="passed to the juror, such as url for 'remote'")
    replicas: Positive | Literal["auto"] = Field(
        "auto", description="juror actors; 'auto' is one for each GPU, or without GPU share one for 32 CPUs"
    )
    num_cpus: float = Field(0.5, ge=0, description="CPUs that Ray sets aside for each juror actor")
    num_gpus: float = Field(0, ge=0, description="GPU share of each juror actor")
    score_range: tuple[float, float] | None = Field(
        None, description="the least and the greatest score, for value_range: auto, where the juror does not say"
    )
    score_cache_size: Positive = Field(2_000_000, description="scores that each rollout worker remembers")
    save_scores: bool = Field(
        True, description="keep scores beside the dataset for the next training on it; never in lockstep"
    )
    pixel_cache_size: int = Field(
        0, ge=0, description="scores that each juror actor remembers by pixels; pays where workers share few photos"
    )


class RayCluster(Section):
    """Where the work runs."""

    address: str | None = Field(None, description="a running cluster ('auto' or host:port); none starts one here")
    num_cpus: Positive | None = Field(None, description="CPUs of a cluster started here; none counts the machine's")
    num_rollout_workers: int | Literal["auto"] = Field(
        "auto", description="EnvRunner actors; 'auto' leaves a CPU each for the learner and the juror"
    )
    cpus_per_rollout_worker: float = Field(1, gt=0, description="CPUs that Ray sets aside for each rollout worker")
    rollout_fragment_length: Positive = Field(8, description="vector steps that a worker sends at a time")
    num_gpus_learner: float = Field(0, ge=0, description="GPU share of the learner, or of each learner actor")
    num_learners: int = Field(
        0, ge=0, description="learner actors that share each batch; 0 learns in the driver, beside the replay buffer"
    )
    cpus_per_learner: float = Field(1, gt=0, description="CPUs that Ray sets aside for each learner actor")
    elastic: bool = Field(
        True, description="fit rollout workers ('auto') and jurors to a cluster that grew or shrank, at each epoch"
    )
    dashboard: bool = Field(False, description="start the dashboard of a cluster started here")

    @field_validator("num_rollout_workers")
    @classmethod
    def _at_least_one(cls, workers: int | str) -> int | str:
        if workers != "auto" and workers < 1:
            raise ValueError("must be 'auto' or at least 1")
        return workers


class Learner(Section):
    """How the transitions are learned from."""

    network: str = Field("simple_cnn", description="a Q-network, see rl_aesthetics/networks")
    network_options: dict[str, Any] = Field({}, description="the network's own, such as value_range of 'edit_scoring'")
    initial_agent: Path | None = Field(None, description="an agent file to go on from, such as a checkpoint")
    warm_start: bool = Field(False, description="begin as the pocket juror ('edit_scoring' only)")
    pretrained: str | None = Field(
        None, description="folder or hub name of the weights that 'resnet18' or 'efficientnet_b0' begins with"
    )
    frozen: bool = Field(False, description="leave the pretrained convolutions as they are")
    double_q: bool = Field(True, description="the online network picks the next action, the target network values it")
    n_step: Positive = Field(1, description="rewards summed up before the value of what follows, fewer at an end")
    dueling: bool = Field(False, description="one stream for the state's value, one for the actions' advantages")
    num_atoms: Positive = Field(1, description="more than 1 learns the return's distribution on so many values (C51)")
    value_support: tuple[float, float] | None = Field(
        None, description="the least and the greatest of these values; none derives them from reward and juror"
    )
    noisy: bool = Field(False, description="learned noise on the head's weights explores, in place of epsilon")
    prioritized: bool = Field(False, description="replay in proportion to (|TD error| + 0.001)^priority_alpha")
    priority_alpha: Fraction = Field(0.6, description="0 replays uniformly, 1 in proportion to the errors")
    priority_beta: Fraction = Field(
        0.4, description="how far weights make up for priorities at the start; 1, in full, by the end of the training"
    )
    replay: Literal["frames", "reference"] = Field(
        "frames", description="store observations, or (photo, edit state) rendered when sampled"
    )
    augment: bool = Field(False, description="random crops and flips at replay ('reference' only)")
    smallest_crop: float = Field(0.625, gt=0, le=1, description="side of the smallest crop at replay, as a fraction")
    crops: int = Field(
        0, ge=0, description="random crops of each photo that count as photos of their own, with scores of their own"
    )
    value_stopping: bool = Field(
        False, description="after each edit learn, too, what stopping there would have paid ('edit_scoring' only)"
    )
    remember_next_action: bool = Field(
        False, description="value the next action that the acting network preferred, in place of searching again"
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
    full_information: bool = Field(
        False, description="learn every action's reward from each state (juror.name=reference and gamma=0 only)"
    )
    checkpoint_frequency: Positive = Field(1, description="epochs between two checkpoints")
    keep_checkpoints: Positive = Field(3, description="checkpoints to keep beside the best agent")
    max_minutes: float | None = Field(None, gt=0, description="stop after this much training time")
    threads: Positive | None = Field(None, description="threads of the learner; none chooses by the machine")
    bf16: bool = Field(False, description="learn with bfloat16 autocast; on a CPU without AMX it is slower")
    compile: bool = Field(False, description="torch.compile the layers where they learn; needs a C++ compiler on a CPU")
    lockstep: bool = Field(
        False, description="sample and learn in turns: slower, and one seed gives one result, bit for bit"
    )
    seed: int = Field(0, ge=0, description="decides everything random in training")


class Checkpoints(Section):
    """What a training needs to go on where it was stopped, see `train --resume`."""

    storage: str | None = Field(
        None, description="folder, s3://… or gs://… of the checkpoints; none means `state` in the output folder"
    )
    every_minutes: float = Field(
        5, ge=0, description="after the first epoch, one at the end of an epoch once this has passed since the last"
    )
    keep: Positive = Field(2, description="checkpoints to keep, besides that of the best epoch")
    replay_limit_mb: float = Field(4096, ge=0, description="a larger replay buffer is left out and filled again")


class MLflow(Section):
    """Where runs are recorded."""

    tracking_uri: str | None = Field(None, description="none means MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")
    experiment: str = Field("RL Image Optimization", description="the experiment's name")
    run_name: str | None = Field(None, description="the run's name; none names it after the output folder")


class Config(Section):
    """Everything that `rl-aesthetics train` can be told."""

    dataset: Path | None = Field(None, description="a folder that `rl-aesthetics generate` wrote")
    output: Path = Field(Path("runs/train"), description="where agent, checkpoints and effective config go")
    rl_training: RLTraining = RLTraining()
    juror: Juror = Juror()
    ray: RayCluster = RayCluster()
    learner: Learner = Learner()
    exploration: Exploration = Exploration()
    curriculum: Curriculum = Curriculum()
    checkpoints: Checkpoints = Checkpoints()
    mlflow: MLflow = MLflow()

    @model_validator(mode="after")
    def _options_that_need_each_other(self) -> Config:
        training, learner = self.rl_training.training, self.learner
        try:
            reward = self.rl_training.reward.make(training.gamma)
        except UserError as error:
            raise ValueError(f"rl_training.reward: {error}") from None
        if reward.needs_stop and not self.rl_training.action_space.add_stop_action:
            raise ValueError(
                f"rl_training.reward.name={self.rl_training.reward.name} pays for STOP alone: it needs "
                "rl_training.action_space.add_stop_action=true"
            )
        check_algorithm(learner, training, self.exploration)
        if learner.augment and learner.replay != "reference":
            raise ValueError("learner.augment needs learner.replay=reference")
        if learner.value_stopping and not self.rl_training.action_space.add_stop_action:
            raise ValueError("learner.value_stopping needs rl_training.action_space.add_stop_action")
        if learner.value_stopping and reward.prices_change:  # the change of photos not stopped at is not recorded
            raise ValueError("learner.value_stopping excludes rl_training.reward.fidelity_weight and change_limit")
        known = self.juror.name == "reference" and learner.replay == "frames"
        if learner.full_information and (training.gamma or not known):
            raise ValueError(
                "learner.full_information needs rl_training.training.gamma=0, juror.name=reference and "
                "learner.replay=frames: only then is every action's value known at once"
            )
        check_sight(learner, self.rl_training.state)
        if learner.warm_start and learner.network != "edit_scoring":
            raise ValueError("learner.warm_start needs learner.network=edit_scoring")
        if learner.warm_start and learner.initial_agent:
            raise ValueError("learner.warm_start and learner.initial_agent exclude each other")
        if training.epsilon_end > training.epsilon_start:
            raise ValueError("rl_training.training.epsilon_end must not exceed epsilon_start")
        if learner.lockstep and (learner.max_minutes or self.ray.num_rollout_workers != 1):
            raise ValueError(
                "learner.lockstep needs ray.num_rollout_workers=1, and an end by epochs, not by learner.max_minutes"
            )
        if self.curriculum.enabled and self.rl_training.action_space.transforms != "reversible":
            raise ValueError("curriculum.enabled needs rl_training.action_space.transforms=reversible")
        depths = self.curriculum.start_depth, self.curriculum.max_depth or self.curriculum.start_depth
        if depths[0] > depths[1] or depths[1] > training.max_steps_per_episode:
            raise ValueError(
                f"curriculum: start_depth ({depths[0]}) must not exceed max_depth ({depths[1]}), nor that the "
                f"max_steps_per_episode ({training.max_steps_per_episode})"
            )
        if training.batch_size % max(1, self.ray.num_learners):
            raise ValueError("rl_training.training.batch_size must be a multiple of ray.num_learners, which share it")
        # A worker sends a fragment of every episode at once, and those that it ends may have begun in earlier ones.
        fragment = training.dataloader_batch_size * (self.ray.rollout_fragment_length + training.max_steps_per_episode)
        needed = max(training.batch_size, learner.learning_starts, fragment)
        if training.replay_capacity < needed:
            raise ValueError(
                f"rl_training.training.replay_capacity must be at least {needed}: it holds batch_size, "
                "learning_starts, and dataloader_batch_size × (rollout_fragment_length + max_steps_per_episode)"
            )
        return self


def load_config(file: Path | str | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file (none means the defaults) and apply `key.sub=value` overrides, whose values are YAML.

    Keys below `rl_training` may leave that first word out: `training.num_epochs=3`.

    Raises:
        UserError: a missing or broken file, an unknown key, a value out of its range.
    """
    tree = {} if file is None else read_mapping(Path(file), "config")
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key:
            raise UserError(f"{override!r} is not an override; write key.sub=value")
        try:
            _assign(tree, key.split("."), yaml.safe_load(value))
        except yaml.YAMLError:
            raise UserError(f"the value of {override!r} is not YAML; quote it") from None
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(_one_line(error, "" if file is None else f"{file}: ")) from None


def to_yaml(config: Config) -> str:
    """The whole effective configuration but for secrets, as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.written(), sort_keys=False, allow_unicode=True)


def settings(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every setting as (dotted key, default, description)."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from settings(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.default, field.description or ""


def _assign(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    if keys[0] in RLTraining.model_fields:
        keys = ["rl_training", *keys]
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UserError(f"{'.'.join(keys)} does not exist: {key} is a value, not a section")
    tree[keys[-1]] = value


def _one_line(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where}unknown setting {key!r}{closest(key, [known for known, _, _ in settings()])}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}{key}: {message}, got {first['input']!r}" if key else f"{where}{message}"
