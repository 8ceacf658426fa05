"""Who runs where, planned from the cluster's machines and the configuration."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_cluster.cluster.topology import VALIDATION_CPUS, Node, one_machine, plan
from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError


def planned(nodes, *overrides):
    return plan(load_config(None, overrides), nodes)


def cpus_of(topology):
    return (
        topology.rollout_workers * topology.cpus_per_rollout_worker
        + topology.jurors * topology.cpus_per_juror
        + topology.num_learners * topology.cpus_per_learner
        + VALIDATION_CPUS
    )


def shown(topology):
    """The table's lines, each with its words one space apart."""
    return [" ".join(line.split()) for line in topology.table().splitlines()]


def test_the_plan_for_two_cores():
    assert shown(planned(one_machine(2), "learner.threads=1")) == [
        "role number CPUs each GPUs each where",
        "driver and replay buffer 1 0 0 here",
        "learner 1 1 threads 0 in the driver",
        "juror 1 0.5 0 here",
        "rollout worker 1 1 0 here",
        "validation worker 1 0.25 0 here",
    ]


def test_the_plan_for_one_gpu_that_juror_and_learner_share():
    topology = planned(one_machine(16, 1), "juror.num_gpus=0.5", "ray.num_gpus_learner=0.5", "learner.threads=4")
    assert shown(topology)[2:5] == [
        "learner 1 4 threads 0.5 in the driver",
        "juror 1 0.5 0.5 here",
        "rollout worker 14 1 0 here ×14",
    ]


def test_the_plan_for_eight_gpus_has_a_juror_on_each_and_the_learner_beside_one():
    topology = planned(one_machine(128, 8), "juror.num_gpus=0.5", "ray.num_gpus_learner=0.5", "learner.threads=8")
    assert shown(topology)[2:5] == [
        "learner 1 8 threads 0.5 in the driver",
        "juror 8 0.5 0.5 here ×8",
        "rollout worker 122 1 0 here ×122",
    ]


def test_a_learner_with_a_whole_gpu_leaves_the_others_to_the_jurors():
    topology = planned(one_machine(128, 8), "juror.num_gpus=1", "ray.num_gpus_learner=1")
    assert topology.jurors == 7


def test_the_plan_for_four_machines_of_eight_gpus_spreads_the_jurors():
    nodes = [Node("a", 96, 8, here=True), *(Node(name, 96, 8) for name in "bcd")]
    topology = planned(nodes, "juror.num_gpus=1", "juror.num_cpus=1", "ray.num_learners=4", "ray.num_gpus_learner=1")
    assert shown(topology)[1:] == [
        "driver and replay buffer 1 0 0 a",
        "learner 4 1 1 a ×4",
        "juror 28 1 1 b ×8, c ×8, d ×8, a ×4",
        "rollout worker 351 1 0 b ×88, c ×88, d ×88, a ×87",
        "validation worker 1 0.25 0 a",
    ]


def test_the_plan_for_many_cpus_beside_one_gpu():
    nodes = [Node("gpu", 8, 1, here=True), Node("cpu1", 64), Node("cpu2", 64)]
    topology = planned(nodes, "juror.num_gpus=0.5", "ray.num_gpus_learner=0.5", "learner.threads=2")
    assert shown(topology)[1:] == [
        "driver and replay buffer 1 0 0 gpu",
        "learner 1 2 threads 0.5 in the driver",
        "juror 1 0.5 0.5 gpu",
        "rollout worker 134 1 0 cpu1 ×64, cpu2 ×64, gpu ×6",
        "validation worker 1 0.25 0 gpu",
    ]


@pytest.mark.parametrize(("cpus", "workers"), [(2, 1), (4, 2), (8, 6), (16, 14)])
def test_auto_leaves_a_core_for_the_learner_and_what_juror_and_validation_need(cpus, workers):
    assert planned(one_machine(cpus)).rollout_workers == workers


settings_of_a_cluster = st.fixed_dictionaries(
    {
        "juror.replicas": st.integers(1, 4) | st.just("auto"),
        "juror.num_cpus": st.sampled_from([0, 0.25, 0.5, 1, 2]),
        "ray.cpus_per_rollout_worker": st.sampled_from([0.25, 0.5, 1, 2]),
        "ray.num_rollout_workers": st.one_of(st.just("auto"), st.integers(1, 20)),
        "ray.num_learners": st.integers(0, 2),
    }
)


@given(st.integers(1, 64), settings_of_a_cluster)
@settings(deadline=None)
def test_a_plan_fits_the_machine_or_is_refused_with_the_size_that_would_do(cpus, chosen):
    overrides = [f"{key}={value}" for key, value in chosen.items()]
    try:
        topology = planned(one_machine(cpus), *overrides)
    except UserError as error:
        needed = float(str(error).split(" need ")[1].split(" CPUs")[0])
        assert needed > cpus
        assert cpus_of(planned(one_machine(needed), *overrides)) == pytest.approx(needed)
    else:
        assert cpus_of(topology) <= cpus + 1e-9
        if chosen["ray.num_rollout_workers"] != "auto":
            assert topology.rollout_workers == chosen["ray.num_rollout_workers"]


clusters = st.lists(st.tuples(st.integers(1, 32), st.integers(0, 8)), min_size=1, max_size=5)
shares = st.sampled_from([0, 0.25, 0.4, 0.5, 1, 2])


@given(clusters, shares, shares, st.integers(0, 3))
@settings(deadline=None)
def test_no_machine_and_no_gpu_is_promised_twice(sizes, juror_gpus, learner_gpus, learners):
    nodes = [Node(str(k), cpus, gpus, here=k == 0) for k, (cpus, gpus) in enumerate(sizes)]
    overrides = [f"juror.num_gpus={juror_gpus}", f"ray.num_gpus_learner={learner_gpus}", f"ray.num_learners={learners}"]
    try:
        topology = planned(nodes, "juror.replicas=auto", *overrides)
    except UserError:
        return
    each = {
        "learner": (topology.cpus_per_learner, learner_gpus),
        "juror": (topology.cpus_per_juror, juror_gpus),
        "rollout worker": (topology.cpus_per_rollout_worker, 0),
        "validation worker": (VALIDATION_CPUS, 0),
    }
    for node in nodes:
        taken = [(topology.places.get(role, {}).get(node.name, 0), cost) for role, cost in each.items()]
        assert sum(count * cpus for count, (cpus, _) in taken) <= node.cpus + 1e-9
        assert sum(count * gpus for count, (_, gpus) in taken) <= node.gpus + 1e-9
    assert sum(topology.places["juror"].values()) == topology.jurors
    assert sum(topology.places["rollout worker"].values()) == topology.rollout_workers


def test_jurors_without_a_gpu_are_one_for_32_cpus():
    nodes = [Node("a", 48, here=True), Node("b", 48)]
    topology = planned(nodes)
    assert topology.jurors == 3
    assert sorted(topology.places["juror"].values()) == [1, 2]


def test_too_many_workers_are_the_users_mistake():
    with pytest.raises(UserError, match=r"8 rollout workers, 1 jurors .* need 8\.75 CPUs, the cluster has 4: lower"):
        planned(one_machine(4), "ray.num_rollout_workers=8")


def test_gpus_that_are_not_there_are_the_users_mistake():
    with pytest.raises(UserError, match=r"want 0\.75 GPUs, the cluster has 0: lower"):
        planned(one_machine(8), "juror.num_gpus=0.25", "ray.num_gpus_learner=0.5")


def test_a_learner_whose_machine_has_no_gpu_is_told_where_to_go():
    with pytest.raises(UserError, match=r"the machine that training is started on \(head\), which has 0: start it on"):
        planned([Node("head", 8, 0, here=True), Node("gpu", 8, 1)], "ray.num_gpus_learner=1")


def test_what_fits_the_cluster_but_no_machine_is_refused_with_what_is_free():
    nodes = [Node("a", 2, here=True), Node("b", 2)]
    with pytest.raises(UserError, match=r"a rollout worker wants 3 CPUs and 0 GPUs on one machine, and none has them"):
        planned(nodes, "ray.cpus_per_rollout_worker=3", "juror.num_cpus=0.25")


def test_the_learner_takes_the_cores_that_workers_leave_unless_told_otherwise():
    assert planned(one_machine(2)).learner_threads == max(1, (os.cpu_count() or 1) - 1)
    assert planned(one_machine(64), "learner.threads=3").learner_threads == 3


def test_it_prints_as_one_line_for_people():
    topology = planned(one_machine(4), "juror.replicas=2", "ray.num_rollout_workers=1", "learner.threads=1")
    assert str(topology) == "1 rollout worker, 2 jurors, learner with 1 thread"
    assert str(planned(one_machine(8), "ray.num_learners=2")).endswith("2 learner actors")
