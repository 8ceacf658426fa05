"""A trained agent: a network and everything that is needed to use it, in one file without any Ray.

`agent.safetensors` holds the network's tensors, and as JSON in its header (key `agent`) the network's settings, the
action names in order, the observation shape, the step limit, the juror's fingerprint and the training's configuration.
Safetensors cannot execute code when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import SkipValidation, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.atomic import write_file
from rl_aesthetics.files.run_files import AGENT_FILE
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.registry import network_settings, of_last_format
from rl_aesthetics.networks.settings import NetworkSettings

PACKAGED = Path(__file__).parent / "weights"
"""The folder of the agents that ship, with a card each."""

FORMAT = 2
"""Version of the agent file; a reader refuses the ones it does not know."""

WITH_OPTIONS = 1
"""The version that had the network's name, and its settings in a mapping of their own; read, no longer written."""


@dataclass(frozen=True)
class AgentDescription:
    """What an agent file says besides its tensors.

    Attributes:
        network: its settings; a kind alone means that kind with its defaults.
        actions: canonical names in the order of the network's outputs.
        observation_shape: `(3, S, S)`, or `(4, S, S)` where the fourth channel says which edits were made.
        max_steps: the step limit it was trained with.
        juror: fingerprint of the juror whose scores it was trained on.
        config: the effective configuration of its training.
        training: what is worth knowing of the training: epoch, environment steps, validation numbers.
    """

    network: SkipValidation[NetworkSettings]
    actions: tuple[str, ...]
    observation_shape: tuple[int, int, int]
    max_steps: int
    juror: str
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", network_settings(self.network))


class DQNAgent:
    """Chooses edits greedily by a Q-network.

    Args:
        description: what the network sees and does.
        network: the network itself; a new one with random weights if left out.
    """

    def __init__(self, description: AgentDescription, network: QNetwork | None = None):
        self.description = description
        if network is None:
            network = description.network.build(description.actions, self.size)
        self.network = network.eval()

    @property
    def actions(self) -> tuple[str, ...]:
        """The action names in the order of their indices."""
        return self.description.actions

    @property
    def size(self) -> int:
        """Side of the square observation."""
        return self.description.observation_shape[-1]

    @property
    def shows_edits(self) -> bool:
        """Whether a fourth channel of the observation says which edits were made (`photographic.edits_plane`)."""
        return self.description.observation_shape[0] == 4

    def values(self, observations_BCHW: np.ndarray) -> np.ndarray:
        """float32 `(B, A)` from uint8 `(B, C, S, S)`: the network's outputs as they are, to compare the actions of one
        observation by; whether they hold its score depends on the network (`q_values`)."""
        expected = (len(observations_BCHW), *self.description.observation_shape)
        if observations_BCHW.shape != expected or observations_BCHW.dtype != np.uint8:
            raise ValueError(f"expected uint8 {expected}, got {observations_BCHW.dtype} {observations_BCHW.shape}")
        device = next(self.network.parameters(), torch.empty(0)).device
        with torch.inference_mode():
            return self.network(torch.from_numpy(np.ascontiguousarray(observations_BCHW)).to(device)).cpu().numpy()

    def q_values(
        self, observations_BCHW: np.ndarray, scores_B: np.ndarray | Sequence[float] | None = None
    ) -> np.ndarray:
        """Q(s, a), float32 `(B, A)` from uint8 `(B, C, S, S)`: the return that is expected of each action.

        Args:
            scores_B: of the observations. The values of some networks include them, and they are taken out of these;
                None, where nobody knows them, leaves them in.
        """
        values_BA = self.values(observations_BCHW)
        if scores_B is None or not self.network.values_include_score:
            return values_BA
        return values_BA - np.asarray(scores_B, np.float32)[:, None]

    def act(self, observations_BCHW: np.ndarray) -> np.ndarray:
        """Action indices int `(B,)`: the arg max of `values`."""
        return self.values(observations_BCHW).argmax(1)

    def save(self, file: Path | str) -> None:
        """Write the agent file, beside and then by rename, so that a reader never finds half of one.

        Raises:
            UserError: its folder is missing or cannot be written.
        """
        file = Path(file)
        tensors = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        described = {each.name: getattr(self.description, each.name) for each in fields(self.description)}
        described["network"] = self.description.network.model_dump(mode="json")
        header = {"agent": json.dumps({"format": FORMAT, **described}, default=str)}
        write_file(file, save(tensors, metadata=header))

    @classmethod
    def load(cls, file: Path | str) -> DQNAgent:
        """Read an agent file, or the one in the folder that `rl-aesthetics train` wrote.

        Raises:
            UserError: no such file, no agent file, one of another version, one whose description makes no sense, or
                whose tensors do not fit its network.
        """
        file = Path(file)
        if file.is_dir():
            file = file / AGENT_FILE
        if not file.is_file():
            raise UserError(f"there is no agent file at {file}")
        try:
            with safe_open(file, framework="pt") as opened:
                header = (opened.metadata() or {}).get("agent")
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{file} is not an agent file ({error}); `rl-aesthetics train` writes {AGENT_FILE}"
            ) from None
        if header is None:
            raise UserError(f"{file} is a safetensors file without an agent's header; `rl-aesthetics train` writes one")
        agent = cls(_description(file, header))
        try:
            agent.network.load_state_dict(tensors)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(
                f"{file}: its tensors do not fit network {agent.description.network.kind!r}: {reason}"
            ) from None
        if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise UserError(f"{file}: {broken[0]} holds values that are no numbers; the training diverged")
        return agent


_DESCRIPTION = TypeAdapter(AgentDescription)


def _network(file: Path, given: Any) -> NetworkSettings:
    try:
        settings = network_settings(given)
    except UserError as error:
        raise UserError(f"{file} has a broken agent header: {error}") from None
    if settings.needs_files:  # a file that is read decides nothing outside itself
        raise UserError(f"{file} has a broken agent header: its network asks for weights in another file")
    return settings


def _description(file: Path, header: str) -> AgentDescription:
    try:
        described = json.loads(header)
        if not isinstance(described, dict):
            raise ValueError("it is not a mapping")
        if (version := described.pop("format", None)) not in (WITH_OPTIONS, FORMAT):
            raise UserError(
                f"{file} is of agent format {version!r}, this program reads {WITH_OPTIONS} and {FORMAT}; train it again"
            )
        if version == WITH_OPTIONS:
            options = described.pop("network_options", {})
            if not isinstance(options, dict):
                raise ValueError("network_options is not a mapping")
            described["network"] = of_last_format(described.get("network"), options)
        described["network"] = _network(file, described.get("network"))
        description = _DESCRIPTION.validate_python(described)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{file} has a broken agent header: {where}: {first['msg']}") from None
    except ValueError as error:
        raise UserError(f"{file} has a broken agent header: {error}") from None
    actions, (channels, *sides) = description.actions, description.observation_shape
    if unknown := [name for name in actions if name != STOP and name not in TRANSFORMS]:
        raise UserError(f"{file} was trained with unknown transforms: {', '.join(unknown)}")
    if len(set(actions)) < len(actions) or STOP in actions[:-1] or actions in ((), (STOP,)):
        raise UserError(f"{file} has no usable list of actions: {', '.join(actions) or 'it is empty'}")
    seen, side = description.network.channels, sides[0]
    if channels != seen or sides != [side, side] or side < 2 or side % 2 or description.max_steps < 1:
        shape = description.observation_shape
        raise UserError(f"{file} has a broken agent header: observations {shape}, {description.max_steps} steps")
    return description
