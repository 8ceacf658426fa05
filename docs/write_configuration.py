"""Write docs/configuration.md from the settings themselves: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rl_aesthetics.config.config import Config, load_config, settings

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("configuration.md")

COLUMNS = "| key | default | tuned | meaning |\n|---|---|---|---|\n"
HEAD = """# Configuration

<!-- Written by `make docs` from rl_aesthetics/config/config.py; a test fails when it is out of date. -->

`rl-aesthetics train --config FILE KEY=VALUE …` reads the YAML file, then applies the overrides, then checks everything.
An unknown key is refused with the nearest known one. Keys below `rl_training` may leave that word out:
`training.num_epochs=20`. Values are YAML: `rl_training.action_space.transforms=[swap_gb,invert_r]`. `--dry-run` prints
the effective configuration and stops.

*Default* is also what the guide's configuration, [`configs/default.yaml`](../configs/default.yaml), says. *Tuned* is
what [`configs/tuned.yaml`](../configs/tuned.yaml), the best settings found, has instead.
"""


def page() -> str:
    """The whole page."""
    tuned = load_config(ROOT / "configs" / "tuned.yaml")
    text, section = [HEAD], None
    for key, default, meaning in settings():
        name, _, setting = key.rpartition(".")
        if name != section:
            section = name
            text.append(f"\n## {name or 'top level'}\n\n{_about(name)}\n\n{COLUMNS}")
        value: Any = tuned
        for part in key.split("."):
            value = getattr(value, part)
        instead = "" if value == default else f"`{_shown(value)}`"
        text.append(f"| `{setting}` | `{_shown(default)}` | {instead} | {meaning} |\n")
    return "".join(text)


def _about(section: str) -> str:
    kind = Config
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
