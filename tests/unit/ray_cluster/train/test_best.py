"""Which agent of a training is kept, and that a checkpoint knows it."""

import numpy as np

from ray_cluster.train.best import BestSoFar
from ray_cluster.train.output import Records
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.networks.per_action import SimpleCNN


def an_agent():
    return DQNAgent(AgentDescription(SimpleCNN(), ("swap_gb", "STOP"), (3, 64, 64), 5, "pocket:0"))


def measured(epoch, improved, exact=0.0, reward=0.0, gain=0.0):
    return {
        "epoch": epoch,
        "val_success_rate": improved,
        "val_exact": exact,
        "val_avg_reward": reward,
        "val_avg_improvement": gain,
    }


def offered(best, *epochs):
    for metrics in epochs:
        best.offer(an_agent(), metrics, Records())
    return DQNAgent.load(best.file).description.training["epoch"]


def test_success_comes_first_then_exactness_then_the_reward_and_the_earlier_of_equals(tmp_path):
    best = BestSoFar(tmp_path / "agent.safetensors")
    assert offered(best, measured(1, 0.5), measured(2, 0.4, 0.9)) == 1
    assert offered(best, measured(3, 0.5, 0.1), measured(4, 0.5, 0.1)) == 3
    assert offered(best, measured(5, 0.5, 0.1, 0.2)) == 5
    assert best.metrics["epoch"] == 5


def test_where_originals_are_not_reached_the_improvement_comes_first(tmp_path):
    best = BestSoFar(tmp_path / "agent.safetensors", approximates=True)
    assert offered(best, measured(1, 0.9, gain=0.1), measured(2, 0.5, gain=0.2)) == 2


def test_going_on_from_its_state_it_has_the_same_agent_and_the_same_standard(tmp_path):
    best = BestSoFar(tmp_path / "agent.safetensors")
    offered(best, measured(1, 0.5))
    best.history.append(measured(1, 0.5))
    state = best.state()
    best.file.write_bytes(b"of a run that went on and was stopped")
    resumed = BestSoFar(best.file)
    resumed.restore(state)
    assert np.array_equal(state["agent"], np.frombuffer(best.file.read_bytes(), np.uint8))
    assert (resumed.history, resumed.metrics) == (best.history, best.metrics)
    assert offered(resumed, measured(2, 0.4)) == 1
