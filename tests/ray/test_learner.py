"""Actor and learner on a real Ray cluster: what reaches the replay buffer, and what is learned from it."""

import os
import signal
import time

import numpy as np
import pytest
import ray
import torch
from natural_scenes import UnreliableScorer, make_scorer, scenes, started
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.replay.renderer import ReplayRenderer
from ray_cluster.replay.transition import DISCOUNTS
from ray_cluster.rollout.validation_worker import ValidationWorker
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.edits.view import View
from rl_aesthetics.episodes.photos import EpisodePhotos
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import agent_policy, random_policy
from rl_aesthetics.plan.tasks import task_of
from rl_aesthetics.rewards import ScoreDifference

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.ray, pytest.mark.slow]

WORKERS, GAMMA, RATIO, SYNC = 2, 0.37, 4.0, 7


@pytest.fixture(scope="module")
def photos():
    return scenes(0, 24)


@pytest.fixture(scope="module")
def algorithm(photos):
    algorithm = started(
        photos,
        make_scorer,
        WORKERS,
        f"training.gamma={GAMMA}",
        f"training.target_update_frequency={SYNC}",
        "training.epsilon_decay=0.998",
        "training.replay_capacity=50000",
        f"learner.samples_per_insert={RATIO}",
        "learner.learning_starts=200",
        "learner.replay=frames",
        "learner.target_action=stored",
    )
    yield algorithm
    algorithm.stop()


def held(algorithm):
    """The transitions in the buffer, in the order of insertion; nothing has been overwritten yet."""
    replay = algorithm.replay
    assert replay.added == len(replay) < replay.capacity
    return replay.transitions[: len(replay)]


def network_of(algorithm):
    return algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()


def tensors_of(algorithm):
    return {name: torch.from_numpy(tensor) for name, tensor in algorithm.network_weights().items()}


def check_episodes(transitions, dataset, task):
    """Every episode is there from its degraded photo to its end, in order, with the scores and rewards it must have."""
    space = edit_space(task.actions)
    view = View(space, dataset.thumbnails(64), dataset.original)

    def score(photos_B, states_B):
        return make_scorer().score(view(photos_B, states_B).transpose(0, 2, 3, 1))

    ends = np.flatnonzero(transitions["terminated"])
    firsts = np.concatenate([[0], ends[:-1] + 1])
    assert ends[-1] == len(transitions) - 1
    lengths = ends - firsts + 1
    assert lengths.max() <= task.max_steps
    assert (transitions["photo"] == np.repeat(transitions["photo"][firsts], lengths)).all()
    np.testing.assert_array_equal(transitions["state"][firsts], dataset.start_states()[transitions["photo"][firsts]])
    going = ~transitions["terminated"][:-1]
    np.testing.assert_array_equal(transitions["next_state"][:-1][going], transitions["state"][1:][going])
    np.testing.assert_array_equal(transitions["next_state"], space.after(transitions["state"], transitions["action"]))
    stopped = transitions["action"] == space.stop
    np.testing.assert_array_equal(transitions["terminated"][stopped], True)
    np.testing.assert_array_equal(lengths[~stopped[ends]], task.max_steps)
    assert (transitions["next_action"][ends] == -1).all()
    assert (transitions["next_action"][:-1][going] >= 0).all()

    photo = transitions["photo"]
    before, after = score(photo, transitions["state"]), score(photo, transitions["next_state"])
    np.testing.assert_allclose(transitions["score"], before, atol=1e-6)
    np.testing.assert_allclose(transitions["next_score"], after, atol=1e-6)
    reward = ScoreDifference()(before, after, score(photo, np.zeros_like(photo)), transitions["terminated"])
    np.testing.assert_allclose(transitions["reward"], reward, atol=1e-6)
    stopping = ScoreDifference()(after, after, score(photo, np.zeros_like(photo)), True)
    np.testing.assert_allclose(transitions["stop_reward"], stopping, atol=1e-6)
    np.testing.assert_allclose(transitions["stop_reward"][stopped], reward[stopped], atol=1e-6)


def test_epsilon_decays_with_every_finished_episode(algorithm):
    """It decayed per epoch once: 0.951 after ten."""
    assert algorithm.epsilon == 1.0
    while algorithm.episodes_done < 50:
        algorithm.training_step(0.2)
    finished = int(held(algorithm)["terminated"].sum())
    assert algorithm.episodes_done == finished
    assert algorithm.epsilon == pytest.approx(max(0.05, 0.998**finished))


def test_complete_episodes_with_their_stop_and_their_rewards_reach_the_buffer(algorithm, photos):
    """STOP was never stored as a transition once."""
    while len(algorithm.replay) < 600:
        algorithm.training_step(0.2)
    task = task_of(algorithm.settings)
    check_episodes(held(algorithm), photos, task)
    stops = held(algorithm)["action"] == task.actions.index(STOP)
    assert stops.sum() > 20
    episodes = algorithm.take_episodes()
    assert episodes["steps"].sum() == len(algorithm.replay)


def test_stored_frames_are_what_replay_by_reference_would_render(algorithm, photos):
    rows = np.flatnonzero(~held(algorithm)["terminated"])[:200]
    before, after = algorithm.replay.observations(rows)
    renderer = ReplayRenderer(photos.thumbnails(64), 64)
    rendered = renderer(algorithm.replay.transitions[rows])
    np.testing.assert_array_equal(before, rendered[0])
    np.testing.assert_array_equal(after, rendered[1])


def test_crops_are_photos_of_their_own_with_scores_of_their_own(photos):
    algorithm = started(
        photos,
        make_scorer,
        1,
        "learner.network=afterstate",
        "learner.network.value_range=auto",
        "learner.value_stopping=true",
        "learner.crops=3",
        "learner.replay=reference",
        "learner.learning_starts=64",
        "juror.score_range=[0, 1]",
    )
    try:
        while algorithm.trained < 256:
            algorithm.training_step(0.2)
        transitions = held(algorithm)
        crops = algorithm.plan.crops
        space = algorithm.plan.space
        view = EpisodePhotos(photos, space, crops=crops).view(64)
        assert set(transitions["photo"] // len(photos)) == {0, 1, 2, 3}
        seen = view(transitions["photo"], transitions["next_state"])
        scores = make_scorer().score(seen.transpose(0, 2, 3, 1))
        np.testing.assert_allclose(transitions["next_score"], scores, atol=1e-6)
        _, replayed = algorithm.learning.renderer(transitions)
        parts = transitions["photo"] >= len(photos)
        np.testing.assert_array_equal(replayed[parts], seen[parts])
        assert all(np.isfinite(algorithm.take_losses()))
    finally:
        algorithm.stop()


def test_the_configured_gamma_reaches_what_is_learned_from(algorithm, monkeypatch):
    """A sampled hyper-parameter never reached the model once."""
    seen, update = [], algorithm.learner_group.update

    def noting(**kwargs):
        seen.append(kwargs["batch"].policy_batches[DEFAULT_MODULE_ID][DISCOUNTS])
        return update(**kwargs)

    monkeypatch.setattr(algorithm.learner_group, "update", noting)
    algorithm._learn(4)
    assert sorted(seen[0].unique().tolist()) == pytest.approx([0, GAMMA])


def test_the_target_network_is_synced_every_so_many_updates(algorithm):
    """The sync was tested once an episode, and could be skipped."""
    module, learner = network_of(algorithm), algorithm.learner_group._learner

    def same():
        online, target = module.network.state_dict(), module._target_network.state_dict()
        return all(torch.equal(online[name], target[name]) for name in online)

    for _ in range(3 * SYNC):
        algorithm._learn(1)
        assert same() == (learner.updates % SYNC == 0), learner.updates


def test_samples_per_insert_is_held_within_5_percent(algorithm):
    # What is under way when counting stops, two calls' updates and two fragments, is 256 transitions at most.
    while len(algorithm.replay) < 6000:
        algorithm.training_step(0.5)
    assert algorithm.samples_per_insert == pytest.approx(RATIO, rel=0.05)
    assert algorithm.trained == 32 * algorithm.learner_group._learner.updates


def check_workers_follow(algorithm):
    """Every worker comes to act with the learner's weights; one with two updates under way is left out at first."""
    wanted, deadline = algorithm.network_weights(), time.monotonic() + 20
    while time.monotonic() < deadline:
        algorithm.send_weights()
        acting = algorithm.env_runner_group.foreach_env_runner(
            lambda worker: {name: tensor.numpy() for name, tensor in worker.module.network.state_dict().items()},
            local_env_runner=False,
        )
        if all((weights[name] == wanted[name]).all() for weights in acting for name in wanted):
            break
    assert len(acting) == WORKERS
    for weights in acting:
        for name in wanted:
            np.testing.assert_array_equal(weights[name], wanted[name], name)


def test_the_learners_weights_reach_the_rollout_workers(algorithm):
    algorithm.training_step(0.3)
    check_workers_follow(algorithm)


def test_validation_never_enters_the_buffer(algorithm):
    """Validation episodes went into the replay buffer once. Here they are of photos with numbers of their own."""
    validation, task = scenes(1000, 40), task_of(algorithm.settings)
    scorer = algorithm.config.env_config["scorer"]
    description = AgentDescription("simple_cnn", task.actions, (3, 64, 64), task.max_steps, scorer.fingerprint)
    worker = ValidationWorker.remote(validation, scorer, task, description)
    before, pending = len(algorithm.replay), [worker.run.remote(tensors_of(algorithm)) for _ in range(3)]
    while len(ray.wait(pending, num_returns=len(pending), timeout=0)[0]) < len(pending) or (
        len(algorithm.replay) < before + 200
    ):
        algorithm.training_step(0.2)
    results = ray.get(pending)
    ray.kill(worker)
    assert all(0 <= result["val_success_rate"] <= 1 for result in results)
    assert held(algorithm)["photo"].max() < 24
    assert algorithm.episodes_done == held(algorithm)["terminated"].sum()


def test_a_killed_rollout_worker_is_restarted_and_training_goes_on(algorithm, photos):
    def pids():
        return algorithm.env_runner_group.foreach_env_runner(lambda worker: os.getpid(), local_env_runner=False)

    victim, steps, trained = pids()[0], algorithm.env_steps, algorithm.trained
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(running := pids()) < WORKERS or victim in running:
        assert time.monotonic() < deadline, running
        algorithm.train()
    assert algorithm.env_steps > steps
    assert algorithm.trained > trained
    check_workers_follow(algorithm)
    check_episodes(held(algorithm), photos, task_of(algorithm.settings))


def test_without_exploration_the_remembered_next_action_is_the_one_taken_next(algorithm):
    training = algorithm.settings.rl_training.training
    training.epsilon_end = training.epsilon_start = 0.0
    before = len(algorithm.replay)
    while len(algorithm.replay) < before + 600:  # what was asked for earlier may still explore
        algorithm.training_step(0.2)
    transitions = held(algorithm)[-300:]
    going = ~transitions["terminated"][:-1]
    assert going.sum() > 50
    np.testing.assert_array_equal(transitions["next_action"][:-1][going], transitions["action"][1:][going])


def test_the_network_looks_only_at_what_it_chooses_for(algorithm):
    def explore_only(worker):
        """Observations that the network saw, steps, and the share of next actions that are the network's choice."""
        looked_at, forward = [], worker.module.forward_inference

        def counting(batch):
            looked_at.append(len(batch[Columns.OBS]))
            return forward(batch)

        worker.sample(epsilon=1.0, vector_steps=12)  # so that all episodes have begun with the weights of now
        worker.module.forward_inference = counting
        fragment = worker.sample(epsilon=1.0, vector_steps=40)
        del worker.module.forward_inference
        going_on = fragment.transitions[~fragment.transitions["terminated"]]
        observations = torch.from_numpy(worker.env.view(going_on["photo"], going_on["next_state"]))
        with torch.inference_mode():
            greedy = forward({Columns.OBS: observations})[Columns.ACTIONS].numpy()
        return sum(looked_at), fragment.env_steps, (greedy == going_on["next_action"]).mean()

    results = algorithm.env_runner_group.foreach_env_runner(explore_only, local_env_runner=False)
    assert len(results) == WORKERS
    for looked_at, steps, right in results:
        # A random episode has about four steps; its first is not looked at, nor what is only there to be reset.
        assert 0.5 * steps < looked_at < 0.9 * steps
        assert right > 0.98  # other batches may decide a tie differently


def test_an_episode_that_could_not_be_scored_is_dropped_and_counted(photos):
    algorithm = started(
        photos,
        UnreliableScorer,
        1,
        "learner.network=afterstate",
        "learner.replay=reference",
        "learner.target_action=stored",
        "learner.learning_starts=100",
    )
    deadline = time.monotonic() + 60
    while (len(algorithm.replay) < 400 or not algorithm.dropped) and time.monotonic() < deadline:
        algorithm.training_step(0.2)
    assert algorithm.dropped > 0
    assert len(algorithm.replay) >= 400
    check_episodes(held(algorithm), photos, task_of(algorithm.settings))
    assert np.isfinite(algorithm.take_losses()).all()
    assert algorithm.trained > 0
    algorithm.stop()


def test_a_juror_killed_three_times_leaves_no_wrong_reward(photos):
    juror = start_jurors(make_scorer, num_cpus=0.1)
    algorithm = started(
        photos,
        make_scorer,
        1,
        "juror.score_cache_size=8",  # nearly nothing is remembered, so that every step asks
        "learner.learning_starts=100",
        "learner.target_action=stored",
        juror=juror,
    )

    def pid():
        return ray.get(juror.actors[0].health.remote())["pid"]

    killed = []
    deadline = time.monotonic() + 90
    while len(killed) < 3 and time.monotonic() < deadline:
        before = len(algorithm.replay)
        while len(algorithm.replay) < before + 60 and time.monotonic() < deadline:
            algorithm.training_step(0.2)
        killed.append(pid())
        os.kill(killed[-1], signal.SIGKILL)
    before = len(algorithm.replay)
    while len(algorithm.replay) < before + 60 and time.monotonic() < deadline:
        algorithm.training_step(0.2)
    assert len(set(killed)) == 3
    assert pid() not in killed
    assert len(algorithm.replay) >= before + 60
    check_episodes(held(algorithm), photos, task_of(algorithm.settings))
    assert algorithm.episodes_done == held(algorithm)["terminated"].sum()
    algorithm.stop()


def test_reward_goes_up(photos):
    """A few seconds of training on two dozen photos of a scene, judged on photos of it that training never saw."""
    algorithm = started(
        photos,
        make_scorer,
        1,
        "learner.fresh_degradations=true",
        "learner.learning_starts=200",
        "training.dataloader_batch_size=16",
        "training.epsilon_decay=0.998",
    )
    task = task_of(algorithm.settings)
    evaluation = Evaluation(scenes(5000, 60), make_scorer(), task)
    random = evaluation.run(random_policy(evaluation.space))
    assert random.success().improved < 0.3
    agent = DQNAgent(AgentDescription("simple_cnn", task.actions, (3, 64, 64), task.max_steps, "naturalness"))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        algorithm.training_step(2.0)
        agent.network.load_state_dict(tensors_of(algorithm))
        trained = evaluation.run(agent_policy(agent))
        if trained.success().improved > 0.7 and trained.returns_N.mean() > random.returns_N.mean() + 0.2:
            break
    algorithm.stop()
    assert trained.success().improved > 0.7
    assert trained.returns_N.mean() > random.returns_N.mean() + 0.2
