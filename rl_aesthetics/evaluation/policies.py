"""Who chooses the edits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent

Policy = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observations uint8 `(B, 3, S, S)`, photos `(B,)`, edit states `(B,)`) to actions `(B,)`."""


def agent_policy(agent: DQNAgent) -> Policy:
    """What the agent does: greedy, epsilon 0."""
    return lambda observations, photos, states: agent.act(observations)
