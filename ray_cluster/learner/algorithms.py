"""The learning algorithms that `learner.algorithm` can name."""

from __future__ import annotations

from ray_cluster.learner.algorithm import Algorithm
from ray_cluster.learner.all_actions import AllActions
from ray_cluster.learner.dqn import DQN
from rl_aesthetics.errors import UserError, closest

ALGORITHMS: dict[str, type[Algorithm]] = {
    "dqn": DQN,
    "all_actions": AllActions,
}
"""Every algorithm by its name in the configuration. To add one, write its file and name it here."""


def algorithm_named(name: str) -> type[Algorithm]:
    """The algorithm with this name.

    Raises:
        UserError: there is none.
    """
    if name not in ALGORITHMS:
        raise UserError(f"unknown algorithm {name!r}{closest(name, ALGORITHMS)}; there are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]
