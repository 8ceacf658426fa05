"""Settings as the last format called them: configurations lie in agent files, checkpoints and folders of trainings."""

from __future__ import annotations

import copy
from typing import Any

from rl_aesthetics.config.rules import UNUSED


def renamed(tree: Any) -> Any:
    """A configuration in today's words, from one in these or in those of the last format; a new tree.

    Raises:
        ValueError: it says the same thing in both, and not the same.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("learner"), dict):
        return tree
    tree = copy.deepcopy(tree)
    if "full_information" in tree["learner"]:
        _full_information(tree)
    return tree


def _full_information(tree: dict[str, Any]) -> None:
    """`learner.full_information` is now an algorithm of its own."""
    learner = tree["learner"]
    if not learner.pop("full_information"):
        return
    if learner.setdefault("algorithm", "all_actions") != "all_actions":
        raise ValueError(f"learner.full_information means algorithm=all_actions, not {learner['algorithm']}")
    # Written configurations named every setting, those that nothing was done with, too.
    for key in UNUSED["all_actions"]:
        *path, setting = key.split(".")
        section = tree
        for part in path:
            section = section.get(part) or {}
        if setting in section and section[setting] == DEFAULTS_THEN.get(key, section[setting]):
            del section[setting]


DEFAULTS_THEN = {
    "learner.double_q": True,
    "learner.remember_next_action": False,
    "learner.n_step": 1,
    "learner.value_stopping": False,
    "learner.prioritized": False,
    "learner.num_atoms": 1,
    "learner.value_support": None,
    "learner.warm_start": False,
    "learner.augment": False,
    "learner.crops": 0,
}
"""What these settings are where nobody chose them. Of the others any value did the same."""
