"""Who runs where, planned from the cluster's resources and the configuration."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_cluster.topology import VALIDATION_CPUS, Topology, plan
from rl_aesthetics.config import load_config
from rl_aesthetics.errors import UserError


def planned(cpus, gpus=0, *overrides):
    return plan(load_config(None, overrides), cpus, gpus)


def cpus_of(topology):
    return (
        topology.rollout_workers * topology.cpus_per_rollout_worker
        + topology.jurors * topology.cpus_per_juror
        + VALIDATION_CPUS
    )


def test_two_cores_hold_one_rollout_worker_and_one_juror():
    topology = planned(2)
    assert (topology.rollout_workers, topology.jurors) == (1, 1)


@pytest.mark.parametrize(("cpus", "workers"), [(4, 2), (8, 6), (16, 14), (64, 62)])
def test_auto_leaves_a_core_for_the_learner_and_what_juror_and_validation_need(cpus, workers):
    topology = planned(cpus)
    assert topology.rollout_workers == workers
    assert cpus_of(topology) + 1 <= cpus


settings_of_a_cluster = st.fixed_dictionaries(
    {
        "juror.replicas": st.integers(1, 4),
        "juror.num_cpus": st.sampled_from([0, 0.25, 0.5, 1, 2]),
        "ray.cpus_per_rollout_worker": st.sampled_from([0.25, 0.5, 1, 2]),
        "ray.num_rollout_workers": st.one_of(st.just("auto"), st.integers(1, 20)),
    }
)


@given(st.integers(1, 64), settings_of_a_cluster)
@settings(deadline=None)
def test_a_plan_fits_the_cluster_or_is_refused_with_the_size_that_would_do(cpus, chosen):
    overrides = [f"{key}={value}" for key, value in chosen.items()]
    try:
        topology = planned(cpus, 0, *overrides)
    except UserError as error:
        needed = float(str(error).split(" need ")[1].split(" CPUs")[0])
        assert needed > cpus
        assert cpus_of(planned(needed, 0, *overrides)) == pytest.approx(needed)
    else:
        assert cpus_of(topology) <= cpus + 1e-9
        if chosen["ray.num_rollout_workers"] != "auto":
            assert topology.rollout_workers == chosen["ray.num_rollout_workers"]


def test_too_many_workers_are_the_users_mistake():
    with pytest.raises(UserError, match=r"8 rollout workers, 1 jurors .* need 8\.75 CPUs, the cluster has 4: lower"):
        planned(4, 0, "ray.num_rollout_workers=8")


def test_gpus_that_are_not_there_are_the_users_mistake():
    with pytest.raises(UserError, match=r"want 0\.75 GPUs, the cluster has 0: lower"):
        planned(8, 0, "juror.num_gpus=0.25", "ray.num_gpus_learner=0.5")


def test_gpu_shares_are_handed_out_as_configured():
    topology = planned(8, 1, "juror.replicas=2", "juror.num_gpus=0.25", "ray.num_gpus_learner=0.5")
    assert (topology.gpus_per_juror, topology.gpus_learner) == (0.25, 0.5)


def test_the_learner_takes_the_cores_that_workers_leave_unless_told_otherwise():
    assert planned(2).learner_threads == max(1, (os.cpu_count() or 1) - 1)
    assert planned(64, 0, "learner.threads=3").learner_threads == 3


def test_it_prints_as_one_line_for_people():
    topology = Topology(1, 1, 2, 0.5, 0, 0, 1)
    assert str(topology) == "1 rollout worker, 2 jurors, learner with 1 thread"
