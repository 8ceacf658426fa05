"""A cluster that grows or shrinks during a training: more or fewer rollout workers and jurors from the next epoch."""

from __future__ import annotations

import logging

import ray

from ray_cluster.cluster.session import cluster_nodes
from ray_cluster.cluster.topology import Topology, plan
from ray_cluster.jurors.juror_pool import JurorPool
from ray_cluster.learner.actor_learner import ActorLearner
from rl_aesthetics.config.config import Config
from rl_aesthetics.errors import UserError

_log = logging.getLogger(__name__)


class ClusterFollower:
    """Called between epochs: plans anew when the cluster's machines are others than before.

    New rollout workers and jurors are started where the plan has more of them. Workers whose machine is gone and for
    which there is no room elsewhere are given up; jurors restart elsewhere by themselves, and those that cannot are
    passed over by whoever asks. Numbers that the configuration fixes stay as they are.
    """

    def __init__(self, config: Config, algorithm: ActorLearner, jurors: JurorPool):
        self.config, self.algorithm, self.jurors = config, algorithm, jurors
        self._nodes = cluster_nodes()

    def __call__(self) -> None:
        nodes = cluster_nodes()
        if nodes == self._nodes:
            return
        self._nodes = nodes
        try:
            planned = plan(self.config, nodes)
        except UserError as error:
            _log.warning("the cluster changed and the plan does not fit it any more, so nothing is added: %s", error)
            return
        self._follow(planned)
        _log.warning("the cluster has %d machines now: %s", len(nodes), planned)

    def _follow(self, planned: Topology) -> None:
        group = self.algorithm.env_runner_group
        assert group is not None
        if self.config.juror.replicas == "auto" and self.jurors.grow(planned.jurors):
            jurors = self.jurors
            group.foreach_env_runner(  # workers under way are told when they next listen: nobody waits for them here
                lambda worker: setattr(worker.env.scores, "scorer", jurors), local_env_runner=False, timeout_seconds=0
            )
        if self.config.ray.num_rollout_workers != "auto":
            return
        surplus = group.num_remote_env_runners() - planned.rollout_workers
        silent = set(group._worker_manager.actor_ids()) - set(group.healthy_worker_ids())
        for worker in sorted(silent)[: max(0, surplus)]:
            ray.kill(group._worker_manager.remove_actor(worker))
        if surplus < 0:
            group.add_workers(-surplus)
            self.algorithm.send_weights()
