"""Q-networks: from an observation to the value of every action.

To add one, subclass `QNetwork` or `HeadPerAction` (`q_network.py`), implement `forward`, and list it in `NETWORKS`.

Shapes: B batch, A actions, C H W image, F features. Observations are uint8 RGB `(B, 3, S, S)`; networks normalise them
themselves, once.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.networks.afterstate import EditScoring
from rl_aesthetics.networks.per_action import AtariCNN, EfficientNetB0, Residual, ResNet18, SimpleCNN
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.networks.tone import Tone

NETWORKS: dict[str, type[QNetwork]] = {
    "simple_cnn": SimpleCNN,
    "atari_cnn": AtariCNN,
    "residual": Residual,
    "tone": Tone,
    "resnet18": ResNet18,
    "efficientnet_b0": EfficientNetB0,
    "edit_scoring": EditScoring,
}
"""Every Q-network by its name in the configuration."""


def make_network(name: str, actions: Sequence[str], size: int = 64, **options: Any) -> QNetwork:
    """Build a Q-network by name.

    Args:
        options: keyword arguments of the network's own.

    Raises:
        UserError: no network has that name, or it has no such option.
    """
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}{closest(name, NETWORKS)}; there are {', '.join(NETWORKS)}")
    known = _options(NETWORKS[name])
    if unknown := set(options) - known:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise UserError(f"network {name!r} has no option {sorted(unknown)[0]!r}; {has}")
    return NETWORKS[name](actions, size, **options)


def _options(network: type[QNetwork]) -> set[str]:
    """Names of the keyword arguments of a network's own, those included that it hands on to the class above."""
    names: set[str] = set()
    for kind in network.__mro__:
        parameters = inspect.signature(kind.__init__).parameters
        names |= {name for name, its in parameters.items() if its.default is not its.empty and name != "size"}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names
