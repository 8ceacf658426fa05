"""Q-networks: from an observation to the value of every action.

To add one, write a file with its settings, as in `per_action.py`, and list them in `NetworkChoice`. One whose forward
pass is its own has a class for it in a file beside (`tone.py`), which its settings build.

Shapes: B batch, A actions, C H W image, F features. Observations are uint8 RGB `(B, 3, S, S)`; networks normalise them
themselves, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from rl_aesthetics.errors import UserError, closest
from rl_aesthetics.networks.per_action import AtariCNN, EfficientNetB0, Residual, ResNet18, SimpleCNN
from rl_aesthetics.networks.settings import AfterstateSettings, NetworkSettings, ToneSettings

if TYPE_CHECKING:
    from rl_aesthetics.networks.q_network import QNetwork

AnyNetwork = (
    SimpleCNN
    | AtariCNN
    | Residual
    | ToneSettings
    | ResNet18
    | EfficientNetB0
    | AfterstateSettings
)  # fmt: skip
"""The settings of every Q-network."""

NETWORKS: dict[str, type[NetworkSettings]] = {
    settings.model_fields["kind"].default: settings for settings in get_args(AnyNetwork)
}
"""The same by kind."""

OLD_KINDS = {"edit_scoring": "afterstate"}
"""What kinds were called in the last format."""

OLD_DEFAULTS: dict[str, dict[str, Any]] = {
    "tone": {
        **{"widths": (32, 64, 96, 128), "histograms": (), "quantiles": False, "edits": False, "strengths": False},
        **{"members": 1, "dropout": 0.0, "value_scale": 1.0},
    }
}
"""What networks' options were where nobody said otherwise, in the last format, and is not so now."""


def with_kind(given: Any) -> Any:
    """A network's settings as a mapping with a known `kind`: a name alone is that kind with its defaults.

    Raises:
        ValueError: there is no such network.
    """
    if isinstance(given, NetworkSettings):
        return given
    tree = {"kind": given} if isinstance(given, str) else given
    if not isinstance(tree, dict):
        raise ValueError("needs a kind, such as simple_cnn, or a mapping with one")
    kind = str(tree.get("kind", SimpleCNN().kind))
    kind = OLD_KINDS.get(kind, kind)
    if kind not in NETWORKS:
        raise ValueError(f"unknown network {kind!r}{closest(kind, NETWORKS)}; there are {', '.join(NETWORKS)}")
    return {**tree, "kind": kind}


NetworkChoice = Annotated[Annotated[AnyNetwork, Field(discriminator="kind")], BeforeValidator(with_kind)]
"""One network's settings, read from a kind or a mapping."""

_READER: TypeAdapter[AnyNetwork] = TypeAdapter(NetworkChoice)


def network_settings(network: NetworkSettings | str | dict[str, Any], **options: Any) -> NetworkSettings:
    """The settings of a network, from its kind and its own options.

    Raises:
        UserError: there is no such network, it has no such option, or it cannot be.
    """
    if isinstance(network, NetworkSettings):
        assert not options
        return network
    try:
        return _READER.validate_python({**with_kind(network), **options})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(told(first["loc"], first["type"], first["msg"])) from None
    except ValueError as error:
        raise UserError(str(error)) from None


def of_last_format(kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The settings of a network in today's words, from its name and its options in the last format's."""
    return {"kind": kind, **OLD_DEFAULTS.get(str(kind), {}), **options}


def told(place: Sequence[int | str], fault: str, message: str) -> str:
    """One line for what pydantic found wrong with a network's settings.

    Args:
        place: where: the kind, then what is below.
    """
    kind, *below = [str(part) for part in place]
    if fault == "extra_forbidden":
        return f"network {kind!r} has no option {below[0]!r}; {_has(kind)}"
    where = f"{'.'.join(below)}: " if below else ""
    return f"network {kind!r}: {where}{message.removeprefix('Value error, ')}"


def _has(kind: str) -> str:
    names: Iterable[str] = sorted(name for name in NETWORKS[kind].model_fields if name != "kind")
    return f"it has {', '.join(names)}" if names else "it has none"


def make_network(
    network: NetworkSettings | str | dict[str, Any], actions: Sequence[str], size: int = 64, **options: Any
) -> QNetwork:
    """Build a Q-network.

    Args:
        network: its settings, or its kind, whose own options may follow.

    Raises:
        UserError: as `network_settings` and `NetworkSettings.build`.
    """
    return network_settings(network, **options).build(actions, size)
