"""The RLlib algorithm, put together from a configuration: rollout workers as actors, learner and replay buffer here."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from juror_service.jurors.pocket_network import load_pocket_network
from ray_cluster.cluster.topology import Topology
from ray_cluster.learner.actor_learner import ActorLearner
from ray_cluster.learner.algorithms import algorithm_named
from ray_cluster.learner.q_learner import QLearner
from ray_cluster.rollout.rollout_worker import RolloutWorker
from rl_aesthetics.config.config import Config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.episodes.crops import Crops
from rl_aesthetics.episodes.photos import PLAIN, EpisodePhotos, Variants
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.afterstate import EditScoring
from rl_aesthetics.plan.resolve_head import initial_network
from rl_aesthetics.plan.resolve_values import fit_values
from rl_aesthetics.scores.scorer import Scorer


def build_algorithm(
    config: Config,
    dataset: RLDataset,
    scorer: Scorer,
    task: Task,
    topology: Topology,
    saved_scores: SavedScores | None = None,
) -> ActorLearner:
    """Build the RLlib algorithm: rollout workers as actors, learner and replay buffer in this process.

    Args:
        saved_scores: where rollout workers find scores of an earlier run; None if nobody keeps any.

    Raises:
        UserError: no learning algorithm has that name, or options do not fit these edits.
    """
    config = fit_values(config, task)
    training, learner = config.rl_training.training, config.learner
    learning = algorithm_named(learner.algorithm)
    algorithm_config: AlgorithmConfig = (
        ActorLearner.get_default_config()
        .framework("torch")
        .debugging(seed=learner.seed, log_level="ERROR")
        .environment(
            env="rl_aesthetics/ImageEdit-v0",
            env_config={
                "dataset": dataset,
                "scorer": scorer,
                "task": task,
                "fresh_degradations": learner.fresh_degradations,
                **episode_settings(config, dataset, task),
                "score_cache_size": config.juror.score_cache_size,
                "saved_scores": saved_scores,
                "store_frames": learning.stores_frames(learner),
                "notes": learning.notes(config, task),
                "review": config.curriculum.review,
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
            learner_config_dict={
                "settings": config,
                "algorithm": learning,
                "weight_decay": learner.weight_decay,
                "target_update_frequency": training.target_update_frequency,
                "weight_average": learner.weight_average,
                "bf16": learner.bf16,
                "compile": learner.compile,
            },
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
                    "network": learner.network,
                    "network_options": learner.network_options,
                    "actions": task.actions,
                    **learning.module_options(learner),
                },
            )
        )
        .reporting(
            min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0, min_train_timesteps_per_iteration=0
        )
    )
    algorithm: ActorLearner = algorithm_config.build_algo()
    if learner.pretrained is not None:
        tensors = initial_network(config, task).state_dict()
        algorithm.start_from(lambda network: network.load_state_dict(tensors))
    if learner.warm_start:
        algorithm.start_from(_as_the_pocket_juror)
    return algorithm


def episode_settings(config: Config, dataset: RLDataset, task: Task) -> dict[str, Any]:
    """What new photos of episodes are like: `variants` and `crops` of the rollout workers' settings.

    Raises:
        UserError: they are not for these edits.
    """
    return {"variants": _variants(config, dataset, task), "crops": _crops(config, dataset, task)}


def _crops(config: Config, dataset: RLDataset, task: Task) -> Crops | None:
    learner = config.learner
    if not learner.crops:
        return None
    if not (edit_space(task.actions).is_group and dataset.is_reversible):
        raise UserError("learner.crops is for reversible edits; others begin each episode on a new crop anyway")
    return Crops(len(dataset), learner.crops, seed=learner.seed)


def _variants(config: Config, dataset: RLDataset, task: Task) -> Variants:
    learner = config.learner
    variants = Variants(learner.undegraded_share, learner.collage_share)
    acts_on_given = EpisodePhotos(dataset, edit_space(task.actions)).acts_on_given
    if variants != PLAIN and not (learner.fresh_degradations and acts_on_given):
        raise UserError(
            "learner.undegraded_share and learner.collage_share are for photographic edits with "
            "learner.fresh_degradations=true: without them no photo is made for an episode"
        )
    return variants


def _as_the_pocket_juror(network: EditScoring) -> None:
    """Its score is sigmoid((logit − location) / temperature), or without a value range the tangent at its middle."""
    juror = load_pocket_network()
    linear = juror.head[-1]
    weight_F, bias = linear.weight / juror.temperature, (linear.bias - juror.location) / juror.temperature
    if network.value_range is None:
        weight_F, bias = weight_F / 4, bias / 4 + 0.5
    network.start_from(juror.trunk, weight_F, bias)
