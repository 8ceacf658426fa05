"""What one run is, from its first epoch to its last, and whether a checkpoint is of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
from ray_cluster.checkpoints.training_state import check_replay
from rl_aesthetics.agents.agent import AgentDescription
from rl_aesthetics.config.config import Config
from rl_aesthetics.config.old_names import renamed
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.registry import network_settings, of_last_format
from rl_aesthetics.networks.settings import NetworkSettings
from rl_aesthetics.plan.run_plan import RunPlan

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run and where it lies.

    Attributes:
        plan: what follows from its configuration.
        validation_set: the photos that it is validated on.
        output: its folder.
        store: of its checkpoints.
        juror: fingerprint of who scores.
    """

    plan: RunPlan
    validation_set: RLDataset
    output: Path
    store: CheckpointStore
    juror: str

    @property
    def config(self) -> Config:
        """The plan's."""
        return self.plan.config

    def description(self, training: Mapping[str, Any] | None = None) -> AgentDescription:
        """Of an agent of this run.

        Args:
            training: what is worth knowing of its training.
        """
        return AgentDescription(
            network=self.config.learner.network.portable(),
            actions=self.plan.task.actions,
            observation_shape=self.config.observation_shape,
            max_steps=self.plan.task.max_steps,
            juror=self.juror,
            config=self.config.written(),
            training=dict(training or {}),
        )

    def identity(self) -> dict[str, Any]:
        """What must be the same where a checkpoint is written and where it is read, and the configuration."""
        return {
            "identity": {
                "dataset": self.plan.dataset.fingerprint,
                "juror": self.juror,
                "network": self.config.learner.network.portable().model_dump(mode="json"),
                "actions": list(self.plan.task.actions),
                "observations": list(self.config.observation_shape),
                "step limit": self.plan.task.max_steps,
            },
            "config": self.config.written(),
        }

    def check(self, parts: Mapping[str, Any]) -> None:
        """Make sure that a checkpoint can be gone on from, and say which settings were others then.

        Args:
            parts: of the checkpoint.

        Raises:
            UserError: it was written by a training of another task.
        """
        before, now = parts["training"], self.identity()
        if difference := _network_of(before["identity"]).unlike(self.config.learner.network.portable()):
            raise UserError(f"the checkpoint was written with another network: {difference}")
        for what, ours in now["identity"].items():
            if what != "network" and (theirs := before["identity"][what]) != ours:
                raise UserError(f"the checkpoint was written with another {what}: {theirs}, not {ours}")
        check_replay(self.config, dict(parts))
        then = _written_now(before["config"])
        changed = sorted(
            f"{section}.{name}" if isinstance(value, dict) else section
            for section, value in now["config"].items()
            for name in (value if isinstance(value, dict) else [""])
            if (value[name] if name else value) != _at(then, section, name)
        )
        if changed := [name for name in changed if name not in ("output", "dataset")]:
            _log.warning("settings changed since the checkpoint: %s", ", ".join(changed))


def _network_of(identity: Mapping[str, Any]) -> NetworkSettings:
    """The network of a checkpoint; its options stood beside its name in the last format."""
    if "network options" in identity:
        return network_settings(of_last_format(identity["network"], identity["network options"]))
    return network_settings(identity["network"])


def _written_now(config: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's configuration as it would be written now."""
    try:
        return Config.model_validate(renamed(config)).written()
    except ValidationError as error:  # what is compared with it says so; going on does not depend on it
        _log.warning("the checkpoint's settings cannot be read any more: %s", error.errors()[0]["msg"])
        return renamed(config)


def _at(tree: Mapping[str, Any], section: str, name: str) -> Any:
    value = tree.get(section)
    return value.get(name) if name and isinstance(value, dict) else value
