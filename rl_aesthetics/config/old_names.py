"""Settings by the names that they once had: for files of earlier versions, read for one format of them.

`OLD_NAMES` says what became of each. What an old file says where it says the default of that time is left out: it
speaks of everything, and most of that no longer exists where it is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from rl_aesthetics.config.rules import UNUSED
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.registry import of_last_format

_log = logging.getLogger(__name__)

Changes = dict[str, Any]
"""Values by dotted key."""


@dataclass(frozen=True)
class OldName:
    """What became of a setting.

    Attributes:
        default: what it was where nobody said otherwise.
        becomes: from its value to what is said now, by dotted key; nothing where it is gone.
        why: where it is gone, for the warning that it is left out.
    """

    default: Any
    becomes: Callable[[Any], Changes] = lambda value: {}
    why: str = ""


UNUSED_THEN = {
    "learner.target_action": "online",
    "learner.n_step": 1,
    "learner.value_stopping": False,
    "learner.prioritized": False,
    "learner.crops": 0,
}
"""What these settings were where nobody chose them, and `learner.full_information` ignored them; of others any value
did the same."""


GONE_SCHEDULES = ("cosine",)
"""Of `exploration.schedule`."""


def _now(key: str) -> Callable[[Any], Changes]:
    return lambda value: {key: value}


_OF_THE_NETWORK = {
    "dueling": False,
    "noisy": False,
    "num_atoms": 1,
    "value_support": None,
    "pretrained": None,
    "frozen": False,
    "warm_start": False,
}

OLD_NAMES: dict[str, OldName] = {
    **{
        f"learner.{name}": OldName(default, _now(f"learner.network.{name}"))
        for name, default in _OF_THE_NETWORK.items()
    },
    "learner.full_information": OldName(False, lambda on: {"learner.algorithm": "all_actions" if on else "dqn"}),
    "learner.augment": OldName(False, why="replay shows what was seen; learner.crops shows more parts of photos"),
    "learner.smallest_crop": OldName(0.625, why="replay shows what was seen; learner.crops shows more parts of photos"),
    "learner.bf16": OldName(False, why="learning in bfloat16 was never measured to be of use"),
    "learner.compile": OldName(False, why="compiled layers were never measured to be of use"),
    "rl_training.reward.fidelity_weight": OldName(
        0.0, why="change is priced beyond a limit, by change_limit and change_price"
    ),
    "learner.double_q": OldName(True, lambda on: {"learner.target_action": "online" if on else "target"}),
    # Had the last word: with it the other made no difference.
    "learner.remember_next_action": OldName(False, lambda on: {"learner.target_action": "stored" if on else "online"}),
    "juror.pixel_cache_size": OldName(0, why="rollout workers remember scores themselves"),
    "learner.network_options": OldName(
        {}, lambda options: {f"learner.network.{name}": value for name, value in options.items()}
    ),
}
"""What became of a setting, by its dotted key."""


def renamed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that an earlier version wrote, in today's names.

    Raises:
        UserError: it says one thing in an old name and another in the new one.
    """
    found: dict[str, Any] = deepcopy(dict(tree))
    said: Changes = {}
    for key, old in OLD_NAMES.items():
        *path, name = key.split(".")
        section = _section(found, path)
        if section is None or name not in section:
            continue
        value = section.pop(name)
        if value != old.default:
            said |= _said_now(key, value)
    for key, now in said.items():
        *path, name = key.split(".")
        if (there := (_section(found, path) or {}).get(name, now)) != now:
            raise UserError(f"{key} is {there}, and {now} by the name that it had before: leave the old name out")
        put(found, key.split("."), now)
    if (_section(dict(tree), ["learner"]) or {}).get("full_information"):
        _leave_out_unused(found)
    if (schedule := (_section(found, ["exploration"]) or {}).get("schedule")) in GONE_SCHEDULES:
        _log.warning("exploration.schedule=%s is read as 'linear': it fell in another curve to the same end", schedule)
        put(found, ["exploration", "schedule"], "linear")
    learner = _section(found, ["learner"]) or {}
    if "network_options" in (_section(dict(tree), ["learner"]) or {}):
        given = learner.get("network", {})
        options = given if isinstance(given, dict) else {"kind": given}
        learner["network"] = of_last_format(options.pop("kind", "simple_cnn"), options)
    network = learner.get("network")
    if isinstance(network, dict) and network.get("pretrained") is not None:
        network.pop("architecture", None)  # was written beside the weights that it comes from
    return found


def _leave_out_unused(tree: dict[str, Any]) -> None:
    """Written configurations named every setting, those that nothing was done with, too."""
    for key in UNUSED["all_actions"]:
        *path, name = key.split(".")
        section = _section(tree, path)
        if section and name in section and section[name] == UNUSED_THEN.get(key, section[name]):
            del section[name]
    (_section(tree, ["juror", "options"]) or {}).pop("juror", None)  # who would have been asked besides, and never was


def override(key: str, value: Any) -> Changes:
    """One setting's value in today's names, by dotted key. What somebody writes is meant, defaults included."""
    for old_key in OLD_NAMES:
        if key == old_key:
            return _said_now(key, value)
        if key.startswith(f"{old_key}."):
            for name in reversed(key.removeprefix(f"{old_key}.").split(".")):
                value = {name: value}
            return _said_now(old_key, value)
    return {key: value}


def put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set what lies below these keys. A network that is given by its kind alone becomes a mapping.

    Raises:
        KeyError: one of the keys leads to a value, not to a section.
    """
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if key == "network" and isinstance(below, str):
            below = tree[key] = {"kind": below}
        if not isinstance(below, dict):
            raise KeyError(key)
        tree = below
    tree[keys[-1]] = value


def _said_now(key: str, value: Any) -> Changes:
    old = OLD_NAMES[key]
    if old.why and value != old.default:
        _log.warning("%s=%s is left out: %s", key, value, old.why)
    return old.becomes(value)


def _section(tree: dict[str, Any], path: list[str]) -> dict[str, Any] | None:
    for key in path:
        below = tree.get(key)
        if not isinstance(below, dict):
            return None
        tree = below
    return tree
