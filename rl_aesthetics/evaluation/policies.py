"""Who chooses the edits in an evaluation: the agent, and what it is put beside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.agents.edit_session import Policy
from rl_aesthetics.edits.space import EditSpace


def agent_policy(agent: DQNAgent) -> Policy:
    """What the agent does: greedy, epsilon 0."""
    return lambda observations, photos, states: agent.act(observations)


def random_policy(space: EditSpace, seed: int = 0) -> Policy:
    """Every action equally often."""
    generator = np.random.default_rng(seed)
    return lambda observations, photos, states: generator.integers(0, len(space), len(photos))


def stop_policy(space: EditSpace) -> Policy:
    """STOP at once, which leaves every photo as it is.

    Raises:
        ValueError: there is no STOP.
    """
    stop = space.stop
    if stop is None:
        raise ValueError("this action space has no STOP")
    return lambda observations, photos, states: np.full(len(photos), stop)


def juror_policy(space: EditSpace, scores: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Policy:
    """Ask the juror about every edit's result and take the best: greedy one-step search. Needs a juror to act.

    Args:
        scores: of photos in edit states, such as `Evaluation.scores`.
    """

    def choose(observations: np.ndarray, photos_B: np.ndarray, states_B: np.ndarray) -> np.ndarray:
        following_BA = space.after(states_B[:, None], np.arange(len(space)))
        scores_BA = scores(np.repeat(photos_B, len(space)), following_BA.ravel()).reshape(following_BA.shape)
        if space.stop is not None:  # STOP unless an edit is better
            scores_BA[:, space.stop] = np.nextafter(scores_BA[:, space.stop], np.inf)
        best_B: np.ndarray = scores_BA.argmax(1)
        return best_B

    return choose
