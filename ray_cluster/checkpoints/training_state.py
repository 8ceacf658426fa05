"""What a training has to remember to go on exactly: taken out of a running algorithm, and put into a new one.

    parts = capture(algorithm, replay_limit_mb=4096)      # trees, see `state_tree.py`
    restore(other_algorithm, parts)

Parts: `learner` (online and target network, optimiser, its counters), `replay`, `runners` (episodes under way,
generators, known scores; by worker index) and `counters` (of the driver, with its generators).
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from ray_cluster.learner.actor_learner import ActorLearner
from ray_cluster.learner.algorithms import algorithm_named
from ray_cluster.learner.q_learner import QLearner
from ray_cluster.replay.transition import TRANSITION
from ray_cluster.rollout.rollout_worker import RolloutWorker
from rl_aesthetics.config.config import Config
from rl_aesthetics.errors import UserError

_COUNTERS = (
    *("env_steps", "episodes_done", "trained", "dropped", "scorer_calls", "score_lookups", "score_hits"),
    "curriculum_depth",
)
SETTLE_S = 1.0
"""How long a checkpoint waits for fragments under way; Ray gives a stopped job 3 s in all."""

_log = logging.getLogger(__name__)


def capture(algorithm: ActorLearner, replay_limit_mb: float = float("inf")) -> dict[str, Any]:
    """The state of an algorithm between two training steps.

    Rollout workers are asked for nothing more until what they have under way has come in. A worker that does not answer
    within a second has no part in the state: after a restart it begins new episodes.

    Args:
        replay_limit_mb: a replay buffer that holds more is left out.
    """
    algorithm.settle(SETTLE_S)
    group = algorithm.env_runner_group
    runners = group.foreach_env_runner(_runner_state, local_env_runner=False, timeout_seconds=SETTLE_S)
    parts = {
        "learner": _first(algorithm.learner_group.foreach_learner(_learner_state)),
        "runners": {index: state for index, state in runners if state is not None},
        "counters": {
            "counts": {name: getattr(algorithm, name) for name in _COUNTERS if hasattr(algorithm, name)},
            "generator": algorithm.generator.bit_generator.state,
            "torch": torch.get_rng_state(),
            "episodes": list(algorithm.finished_episodes),
            "replay_added": algorithm.replay.added,
        },
    }
    if algorithm.replay.nbytes <= replay_limit_mb * 1e6:
        parts["replay"] = algorithm.replay.get_state()
    return parts


def restore(algorithm: ActorLearner, parts: dict[str, Any]) -> None:
    """Let a new algorithm of the same settings go on from a captured state.

    Workers that the state knows nothing of begin new episodes, as do all of them if their number or the number of
    episodes side by side is another one. Without a replay buffer in the state, learning waits until it is filled again.

    Args:
        parts: passed `check_replay`.

    Raises:
        UserError: the state is of another network or optimiser.
    """
    learner, counters = parts["learner"], parts["counters"]

    def load(worker: QLearner) -> str | None:
        return _load_learner(worker, learner)

    if problem := _first(algorithm.learner_group.foreach_learner(load)):
        raise UserError(f"the checkpoint does not fit this training's network: {problem}")
    if "replay" in parts:
        algorithm.learning.set_replay(parts["replay"])
    else:
        algorithm.replay.added = counters["replay_added"]
    for name, value in counters["counts"].items():
        setattr(algorithm, name, value)
    algorithm.generator.bit_generator.state = counters["generator"]
    algorithm.finished_episodes = list(counters["episodes"])
    algorithm.send_weights(surely=True)
    group = algorithm.env_runner_group
    indices = set(group.healthy_worker_ids())
    if indices == set(parts["runners"]):
        for index, state in parts["runners"].items():
            group.foreach_env_runner(
                "set_rollout_state", kwargs={"state": state}, remote_worker_ids=[index], local_env_runner=False
            )
    else:
        _log.warning(
            "the checkpoint has the episodes of %d rollout workers, there are %d now: all begin new ones",
            *(len(parts["runners"]), len(indices)),
        )
    torch.set_rng_state(counters["torch"])


def check_replay(config: Config, parts: dict[str, Any]) -> None:
    """Make sure that a captured replay buffer fits a configuration; there may be none in the state.

    Raises:
        UserError: it does not.
    """
    if "replay" not in parts:
        return
    state, capacity = parts["replay"], config.rl_training.training.replay_capacity
    transitions: np.ndarray = state["transitions"]
    wrapped = state["position"] != len(transitions)  # the newest are somewhere in the middle
    if transitions.dtype != TRANSITION or len(transitions) > capacity or (wrapped and len(transitions) < capacity):
        raise UserError(
            f"the checkpoint's replay buffer ({len(transitions)} transitions) does not fit this training's "
            f"({capacity}): leave rl_training.training.replay_capacity as it was"
        )
    stores = algorithm_named(config.learner.algorithm).stores_frames(config.learner)
    # Notes stand in the place of frames that an earlier version kept.
    unfit = state["frames"] is None if stores else state["frames"] is not None and config.learner.replay == "reference"
    if unfit:
        raise UserError("the checkpoint was written with another learner.replay: leave it as it was")


def _runner_state(worker: RolloutWorker) -> tuple[int, dict | None]:
    return worker.worker_index, worker.rollout_state()


def _learner_state(learner: QLearner) -> dict[str, Any]:
    (optimizer,) = learner._named_optimizers.values()
    return {
        "module": learner.module[DEFAULT_MODULE_ID].unwrapped().state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": learner.average.state_dict() if learner.average else None,
        "counts": {name: getattr(learner, name) for name in ("updates", "skipped_updates")},
        "losses": [float(loss) for loss in learner.losses],
        "torch": torch.get_rng_state(),
    }


def _load_learner(learner: QLearner, state: dict[str, Any]) -> str | None:
    """Returns what does not fit, None if everything does."""
    (optimizer,) = learner._named_optimizers.values()
    module, tensors = learner.module[DEFAULT_MODULE_ID].unwrapped(), state["module"]
    if len(module.networks()) == 1:  # earlier versions kept a target network whether or not one was used
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("_target_network.")}
    try:
        module.load_state_dict(tensors)
        optimizer.load_state_dict(state["optimizer"])
        learner.lay_out_moments()
        learner.restart_average()
        if learner.average and state.get("average"):
            learner.average.load_state_dict(state["average"])
    except (RuntimeError, ValueError, KeyError) as error:
        return " ".join(str(error).split())[:200]
    for name, value in state["counts"].items():
        setattr(learner, name, value)
    learner.losses = [torch.tensor(loss) for loss in state["losses"]]
    torch.set_rng_state(state["torch"])
    return None


def _first(results) -> Any:
    """What the first learner answered: all hold the same."""
    return next(iter(results)).get()
