"""Write docs/configuration.md from the settings themselves: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rl_aesthetics.config.config import Config, load_config, settings
from rl_aesthetics.networks.registry import NETWORKS
from rl_aesthetics.networks.settings import NetworkSettings

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("configuration.md")

NETWORK = "learner.network"
COLUMNS = "| key | default | tuned | meaning |\n|---|---|---|---|\n"
HEAD = """# Configuration

<!-- Written by `make docs` from rl_aesthetics/config/config.py; a test fails when it is out of date. -->

`rl-aesthetics train --config FILE KEY=VALUE …` reads the YAML file, then applies the overrides, then checks everything.
An unknown key is refused with the nearest known one. Keys below `rl_training` may leave that word out:
`training.num_epochs=20`. Values are YAML: `rl_training.action_space.transforms=[swap_gb,invert_r]`. `--dry-run` prints
the effective configuration and stops.

A network is given by its kind, `learner.network=tone`, which takes that kind's defaults and forgets what a file says of
another, or as a mapping: `learner.network={kind: tone, members: 2}`. `learner.network.members=2` changes one setting of
the kind that is chosen already. Names of the last version are understood.

*Default* is also what the guide's configuration, [`configs/default.yaml`](../configs/default.yaml), says. *Tuned* is
what [`configs/tuned.yaml`](../configs/tuned.yaml), the best settings found, has instead.
"""


def page() -> str:
    """The whole page."""
    tuned = load_config(ROOT / "configs" / "tuned.yaml")
    sections: dict[str, list[str]] = {}
    for key, default, meaning in settings():
        section, _, setting = key.rpartition(".")
        if section != NETWORK:  # each kind has a table of its own
            value = _at(tuned, key)
            value = value.kind if isinstance(value, NetworkSettings) else value
            sections.setdefault(section, []).append(_row(setting, default, value, meaning))
    text = [HEAD]
    for section, rows in sections.items():
        text.append(_table(section or "top level", _about(section), rows))
        if section == NETWORK.rpartition(".")[0]:
            text += _networks(tuned.learner.network)
    return "".join(text)


def _networks(tuned: NetworkSettings) -> Iterator[str]:
    """A table for each kind of network; what is tuned is of one kind."""
    for kind, network in NETWORKS.items():
        rows = [
            _row(setting, default, getattr(tuned, setting) if kind == tuned.kind else default, meaning)
            for setting, default, meaning in settings(network)
        ]
        yield _table(f"{NETWORK}: {kind}", " ".join((network.__doc__ or "").split()), rows)


def _table(title: str, about: str, rows: list[str]) -> str:
    return f"\n## {title}\n\n{about}\n\n{COLUMNS}{''.join(rows)}"


def _row(setting: str, default: Any, tuned: Any, meaning: str) -> str:
    instead = "" if tuned == default else f"`{_shown(tuned)}`"
    return f"| `{setting}` | `{_shown(default)}` | {instead} | {meaning} |\n"


def _at(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _about(section: str) -> str:
    kind: Any = Config
    for part in section.split(".") if section else ():
        kind = kind.model_fields[part].annotation
    return " ".join((kind.__doc__ or "").split())


def _shown(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple):
        value = list(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()


if __name__ == "__main__":
    PAGE.write_text(page())
