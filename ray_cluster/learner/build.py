"""The RLlib algorithm, put together from a configuration: rollout workers as actors, learner and replay buffer here."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from juror_service.jurors.pocket_network import load_pocket_network
from ray_cluster.cluster.topology import Topology
from ray_cluster.learner.actor_learner import ActorLearner
from ray_cluster.learner.algorithms import algorithm_named
from ray_cluster.learner.q_learner import QLearner
from ray_cluster.rollout.rollout_worker import RolloutWorker
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.networks.afterstate import Afterstate
from rl_aesthetics.networks.settings import AfterstateSettings
from rl_aesthetics.plan.run_plan import RunPlan
from rl_aesthetics.scores.scorer import Scorer


def build_algorithm(
    plan: RunPlan,
    scorer: Scorer,
    topology: Topology,
    saved_scores: SavedScores | None = None,
) -> ActorLearner:
    """Build the RLlib algorithm: rollout workers as actors, learner and replay buffer in this process.

    Args:
        saved_scores: where rollout workers find scores of an earlier run; None if nobody keeps any.

    Raises:
        UserError: no learning algorithm has that name.
    """
    config = plan.config
    training, learner = config.rl_training.training, config.learner
    learning = algorithm_named(learner.algorithm)
    algorithm_config: AlgorithmConfig = (
        ActorLearner.get_default_config()
        .framework("torch")
        .debugging(seed=learner.seed, log_level="ERROR")
        .environment(
            env="rl_aesthetics/ImageEdit-v0",
            env_config={
                "plan": plan,
                "scorer": scorer,
                "saved_scores": saved_scores,
                "store_frames": learning.stores_frames(learner),
                "notes": learning.notes(plan),
                "threads": max(1, int(topology.cpus_per_rollout_worker)),
            },
        )
        .env_runners(
            env_runner_cls=RolloutWorker,
            num_env_runners=topology.rollout_workers,
            num_envs_per_env_runner=training.dataloader_batch_size,
            num_cpus_per_env_runner=topology.cpus_per_rollout_worker,
            rollout_fragment_length=config.ray.rollout_fragment_length,
        )
        .fault_tolerance(
            restart_failed_env_runners=True,
            # A worker that does not answer is asked again in a second; until then nothing waits for it.
            env_runner_health_probe_timeout_s=0.25,
        )
        .learners(
            num_learners=topology.num_learners,
            num_cpus_per_learner=topology.cpus_per_learner if topology.num_learners else "auto",
            num_gpus_per_learner=topology.gpus_learner,
            learner_class=QLearner,
            learner_config_dict={"plan": plan, "algorithm": learning},
        )
        .training(
            lr=training.learning_rate,
            grad_clip=learner.grad_clip,
            train_batch_size_per_learner=training.batch_size,
            num_steps_sampled_before_learning_starts=learner.learning_starts,
        )
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=learning.module,
                model_config={
                    "network": learner.network.portable(),
                    "actions": plan.task.actions,
                    **learning.module_options(learner),
                },
            )
        )
        .reporting(
            min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0, min_train_timesteps_per_iteration=0
        )
    )
    algorithm: ActorLearner = algorithm_config.build_algo()
    if learner.network.needs_files:
        tensors = plan.initial_network().state_dict()
        algorithm.start_from(lambda network: network.load_state_dict(tensors))
    if isinstance(learner.network, AfterstateSettings) and learner.network.warm_start:
        algorithm.start_from(_as_the_pocket_juror)
    return algorithm


def _as_the_pocket_juror(network: Afterstate) -> None:
    """Its score is sigmoid((logit − location) / temperature), or without a value range the tangent at its middle."""
    juror = load_pocket_network()
    linear = juror.head[-1]
    weight_F, bias = linear.weight / juror.temperature, (linear.bias - juror.location) / juror.temperature
    if network.value_range is None:
        weight_F, bias = weight_F / 4, bias / 4 + 0.5
    network.start_from(juror.trunk, weight_F, bias)
