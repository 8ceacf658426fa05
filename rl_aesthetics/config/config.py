"""The configuration: the guide's YAML tree, plus what the juror, Ray, the learner and MLflow need.

Every setting has one line of description here, its type, its range and its default; `configs/*.yaml` say what differs.
Reading goes file, then `key.sub=value` overrides, then validation; an unknown key is refused with the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from rl_aesthetics.config.cluster import Checkpoints, Juror, MLflow, RayCluster
from rl_aesthetics.config.curriculum import Curriculum
from rl_aesthetics.config.exploration import Exploration
from rl_aesthetics.config.learner import Learner
from rl_aesthetics.config.old_names import override, put, renamed
from rl_aesthetics.config.rules import (
    check_algorithm,
    check_all_actions,
    check_observations,
    check_unused,
    without_unused,
)
from rl_aesthetics.config.section import Section
from rl_aesthetics.config.training import RLTraining
from rl_aesthetics.config.yaml_file import read_mapping
from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.networks.registry import NETWORKS, told
from rl_aesthetics.networks.settings import NetworkSettings


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

    @model_validator(mode="before")
    @classmethod
    def _names_of_the_last_format(cls, tree: Any) -> Any:
        return renamed(tree) if isinstance(tree, dict) else tree

    @model_serializer(mode="wrap")
    def _without_unused(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_unused(written(self))

    @model_validator(mode="after")
    def _options_that_need_each_other(self) -> Config:
        training, learner = self.rl_training.training, self.learner
        check_unused(self, self.learner.algorithm)
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
        if learner.value_stopping and not self.rl_training.action_space.add_stop_action:
            raise ValueError("learner.value_stopping needs rl_training.action_space.add_stop_action")
        if learner.value_stopping and reward.prices_change:  # the change of photos not stopped at is not recorded
            raise ValueError("learner.value_stopping excludes rl_training.reward.change_limit")
        if learner.algorithm == "all_actions":
            check_all_actions(self.rl_training, learner, self.juror)
        check_observations(learner, self.rl_training.state)
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

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """What the agent sees: the guide's height and width, and as many channels as its network looks at."""
        _, height, width = self.rl_training.state.shape
        return self.learner.network.channels, height, width


def load_config(file: Path | str | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file (none means the defaults) and apply `key.sub=value` overrides, whose values are YAML.

    Keys below `rl_training` may leave that first word out: `training.num_epochs=3`.

    Raises:
        UserError: a missing or broken file, an unknown key, a value out of its range.
    """
    tree = {} if file is None else read_mapping(Path(file), "config")
    try:
        tree = renamed(tree)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    for given in overrides:
        key, separator, value = given.partition("=")
        if not separator or not key:
            raise UserError(f"{given!r} is not an override; write key.sub=value")
        try:
            for now, what in override(key, yaml.safe_load(value)).items():
                _assign(tree, now.split("."), what)
        except yaml.YAMLError:
            raise UserError(f"the value of {given!r} is not YAML; quote it") from None
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(_one_line(error, "" if file is None else f"{file}: ")) from None


def to_yaml(config: Config) -> str:
    """The whole effective configuration but for secrets, as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.written(), sort_keys=False, allow_unicode=True)


def settings(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every setting as (dotted key, default, description); those of the networks as `learner.network.…`, each once."""
    for name, field in section.model_fields.items():
        kind, key = field.annotation, f"{prefix}{name}"
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from settings(kind, f"{key}.")
        elif isinstance(field.default, NetworkSettings):
            yield key, field.default.kind, field.description or ""
            own = {setting: told for network in NETWORKS.values() for setting, *told in settings(network, f"{key}.")}
            yield from ((setting, *told) for setting, told in own.items())
        elif name != "kind":
            yield key, field.default, field.description or ""


def _assign(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    if keys[0] in RLTraining.model_fields:
        keys = ["rl_training", *keys]
    try:
        put(tree, keys, value)
    except KeyError as key:
        raise UserError(f"{'.'.join(keys)} does not exist: {key.args[0]} is a value, not a section") from None


def _one_line(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    place = first["loc"]
    if place[:2] == ("learner", "network") and len(place) > 2:  # the third is the kind
        return f"{where}learner.network: {told(place[2:], first['type'], first['msg'])}"
    key = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        return f"{where}unknown setting {key!r}{closest(key, [known for known, _, _ in settings()])}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}{key}: {message}, got {first['input']!r}" if key else f"{where}{message}"
