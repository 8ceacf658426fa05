"""The environment: the readable reference and the fast one give the same transitions."""

from functools import lru_cache

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import CountingScorer, dataset, naturalness, scorer

from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, action_names
from rl_aesthetics.episodes.env import ImageEditEnv
from rl_aesthetics.episodes.start_states import EpisodeSampler
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.rewards import REWARDS, ScoreDifference, make_reward

TASK = Task()
STOP_INDEX = len(REVERSIBLE)
EVERY_REWARD = [
    ScoreDifference(change_limit=0.1, change_price=0.5),
    *(make_reward(name) for name in REWARDS),
    make_reward("delayed", options={"shaping": 0.7}),
    make_reward("stop_only", change_limit=0.1, change_price=0.5),
    make_reward("delayed", change_limit=0.1),
]
SEQUENCES = [("swap_gb",), ("invert_r",), ("shift_left_all", "swap_rg"), ("shift_down_b",)]
SMALL = dataset(SEQUENCES)


@lru_cache
def larger(height, width):
    return dataset(SEQUENCES, height, width)


def action(name):
    return TASK.actions.index(name)


def vector_env(photos=SMALL, num_envs=3, task=TASK, sampler=None, juror=None, **kwargs):
    return ImageEditVectorEnv(photos, juror or scorer(), task, num_envs, sampler=sampler, **kwargs)


class Shadow:
    """Follows a vector environment with a reference environment for each of its sub-environments."""

    def __init__(self, env, photos, tolerance, score_tolerance):
        self.env, self.tolerance, self.score_tolerance = env, tolerance, score_tolerance
        self.references = [ImageEditEnv(photos, env.scores.scorer, env.task) for _ in range(env.num_envs)]
        self.over = [True] * env.num_envs

    def reset(self, seed):
        observations_B, info = self.env.reset(seed=seed)
        for k in range(self.env.num_envs):
            self._begin(k, observations_B[k], info)

    def step(self, actions_B):
        observations_B, rewards_B, terminated_B, truncated_B, info = self.env.step(actions_B)
        assert not truncated_B.any()
        for k, reference in enumerate(self.references):
            if self.over[k]:  # NEXT_STEP: the action is ignored, nothing is paid, and a new episode begins
                assert (rewards_B[k], terminated_B[k]) == (0, False)
                self._begin(k, observations_B[k], info)
                continue
            before = reference.score
            observation, reward, terminated, _, reference_info = reference.step(actions_B[k])
            self._same(observations_B[k], observation)
            assert terminated_B[k] == terminated
            for mine, theirs in (
                (info["score"][k], reference_info["score"]),
                (info["previous_score"][k], before),
                (rewards_B[k], reward),
            ):
                assert mine == pytest.approx(theirs, abs=self.score_tolerance)
            if terminated:
                assert info["steps"][k] == len(reference.edits)
                assert info["exact"][k] == np.array_equal(reference.image, reference.dataset.original(info["photo"][k]))
                assert info["original_score"][k] == pytest.approx(
                    reference_info["original_score"], abs=self.score_tolerance
                )
            self.over[k] = terminated

    def _begin(self, k, observation, info):
        sequence = [REVERSIBLE[edit] for edit in algebra.sequence_to(int(info["state"][k]))]
        options = {"photo": info["photo"][k], "sequence": sequence}
        self._same(observation, self.references[k].reset(options=options)[0])
        self.over[k] = False

    def _same(self, mine, theirs):
        difference = np.abs(mine.astype(int) - theirs.astype(int))
        assert mine.dtype == theirs.dtype == np.uint8
        assert difference.max() <= self.tolerance


def play(shadow, seed, actions):
    shadow.reset(seed)
    for actions_B in actions:
        shadow.step(np.array(actions_B))


def action_lists(num_actions, steps=14):
    return st.lists(st.tuples(*[st.integers(0, num_actions - 1)] * 3), min_size=1, max_size=steps)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), fresh=st.booleans(), steps=st.integers(1, 6), actions=action_lists(15))
def test_both_environments_make_the_same_transitions(seed, fresh, steps, actions):
    task = Task(max_steps=steps)
    env = vector_env(task=task, sampler=EpisodeSampler(SMALL.start_states(), fresh=fresh))
    play(Shadow(env, SMALL, tolerance=0, score_tolerance=0), seed, actions)


@pytest.mark.parametrize("reward", EVERY_REWARD, ids=lambda reward: type(reward).__name__)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 4), actions=action_lists(15))
def test_both_environments_pay_the_same_whatever_the_reward(reward, seed, steps, actions):
    play(Shadow(vector_env(task=Task(max_steps=steps, reward=reward)), SMALL, 0, score_tolerance=1e-6), seed, actions)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), actions=action_lists(3, steps=8))
def test_both_pay_the_same_for_edits_that_cannot_be_undone(seed, actions):
    task = Task(("gaussian_blur_3", "swap_gb", STOP), 3, EVERY_REWARD[-1])
    play(Shadow(vector_env(task=task), SMALL, 0, score_tolerance=1e-6), seed, actions)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([(96, 150), (130, 64), (384, 216)]),
    juror_size=st.sampled_from([32, 33, 64]),
    actions=action_lists(15, steps=8),
)
def test_on_larger_photos_they_differ_by_the_rounding_of_averages_at_most(seed, size, juror_size, actions):
    photos = larger(*size)
    env = vector_env(photos, juror=scorer(juror_size))
    play(Shadow(env, photos, tolerance=1, score_tolerance=2 / 255), seed, actions)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), actions=action_lists(3, steps=8))
def test_the_guides_custom_action_space_without_stop_works_in_both(seed, actions):
    guide = ["SwapColorChannelTransformerGB", "InvertColorChannelTransformerR", "GaussianBlur3"]
    task = Task(actions=action_names(guide, add_stop=False), max_steps=4)
    play(Shadow(vector_env(task=task), SMALL, tolerance=0, score_tolerance=0), seed, actions)


def test_the_reference_passes_gymnasiums_checker():
    env = gym.make("rl_aesthetics/ImageEdit-v0", dataset=SMALL, scorer=scorer(), render_mode="rgb_array")
    check_env(env.unwrapped)


def test_both_are_registered_under_one_name():
    env = gym.make_vec(
        "rl_aesthetics/ImageEdit-v0", 2, vectorization_mode="vector_entry_point", dataset=SMALL, scorer=scorer()
    )
    assert isinstance(env, ImageEditVectorEnv)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert isinstance(gym.make("rl_aesthetics/ImageEdit-v0", dataset=SMALL, scorer=scorer()).unwrapped, ImageEditEnv)


def test_observations_lie_in_the_declared_spaces_and_infos_split_by_episode():
    """RLlib wraps a vector environment in `DictInfoToList`."""
    env = DictInfoToList(vector_env())
    observations_B, infos = env.reset(seed=3)
    assert env.observation_space.contains(observations_B)
    observations_B, *_, infos = env.step(np.array([0, 3, STOP_INDEX]))
    assert env.observation_space.contains(observations_B)
    assert [set(info) for info in infos] == [set(infos[0])] * 3
    assert all(np.ndim(value) == 0 for info in infos for value in info.values())  # no images


def test_the_reference_renders_the_full_size_photo_in_rgb():
    photos = dataset([("swap_gb",)], 96, 128)
    env = ImageEditEnv(photos, scorer(), render_mode="rgb_array")
    env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), photos.degraded(0)[..., ::-1])


def test_bug_1_stop_is_a_transition_with_its_own_reward():
    env = vector_env(num_envs=1, sampler=EpisodeSampler(SMALL.start_states()[:1]))
    before, _ = env.reset(seed=0)
    after, rewards, terminated, truncated, info = env.step([STOP_INDEX])
    np.testing.assert_array_equal(before, after)
    assert rewards[0] == pytest.approx(-TASK.reward.step_penalty)
    assert (terminated[0], truncated[0], info["steps"][0]) == (True, False, 1)


def test_stop_at_the_originals_score_pays_the_bonus():
    env = vector_env(num_envs=1, sampler=EpisodeSampler(SMALL.start_states()[:1]))
    env.reset(seed=0)
    _, _, terminated, _, info = env.step([action("swap_gb")])
    assert not terminated[0]
    _, rewards, terminated, _, info = env.step([STOP_INDEX])
    assert rewards[0] == pytest.approx(TASK.reward.terminal_bonus - TASK.reward.step_penalty)
    assert terminated[0]
    assert info["exact"][0]


def test_the_step_limit_terminates_and_pays_the_bonus():
    """It is part of the task, so it is no truncation: nothing lies beyond it to bootstrap from."""
    task = Task(max_steps=1, reward=ScoreDifference(step_penalty=0.0, terminal_bonus=5.0))
    env = vector_env(num_envs=1, task=task, sampler=EpisodeSampler(SMALL.start_states()[:1]))
    env.reset(seed=0)
    _, rewards, terminated, truncated, _ = env.step([action("swap_gb")])
    assert rewards[0] > 5
    assert (terminated[0], truncated[0]) == (True, False)


def test_after_an_end_the_next_step_begins_another_episode_whatever_the_action():
    env = vector_env(num_envs=2)
    env.reset(seed=0)
    _, _, terminated, _, ended = env.step([STOP_INDEX, 0])
    assert terminated.tolist() == [True, False]
    observations, rewards, terminated, truncated, info = env.step([5, 0])
    assert (rewards[0], terminated[0], truncated[0], info["steps"][0]) == (0, False, False, 0)
    assert info["photo"][0] != ended["photo"][0]
    expected = env.view(info["photo"], info["state"])
    np.testing.assert_array_equal(observations, expected)
    assert info["steps"][1] == 2  # the other goes on


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), actions=action_lists(15, steps=20))
def test_the_scorer_is_called_once_a_step_at_most_and_never_twice_for_a_state(seed, actions):
    juror = CountingScorer()
    env = vector_env(juror=juror)
    env.reset(seed=seed)
    for actions_B in actions:
        before = len(juror.calls)
        env.step(np.array(actions_B))
        assert len(juror.calls) <= before + 1
    asked = [image.tobytes() for call in juror.calls for image in call]
    assert len(asked) == len(set(asked))
    assert len(asked) == len(env.scores.cache)


def test_the_scorer_gets_rgb_images_of_the_size_it_asks_for():
    juror = CountingScorer(size=32)
    env = vector_env(dataset(SEQUENCES, 96, 128), juror=juror)
    env.reset(seed=0)
    env.step(np.array([STOP_INDEX, 0, 0]))
    (images,) = juror.calls
    assert {(image.shape, image.dtype) for image in images} == {((32, 32, 3), np.dtype(np.uint8))}
    best = max(images, key=naturalness)  # the original of the episode that ended
    assert naturalness(best) > naturalness(best[..., ::-1])


def test_bug_6_an_episode_that_cannot_be_scored_is_dropped_without_a_made_up_reward():
    """On a timeout the predecessor's juror answered 0.0, which became a reward like any other."""
    juror = CountingScorer()
    env = vector_env(num_envs=2, juror=juror)
    env.reset(seed=0)
    env.step([0, 0])
    juror.failing = True
    _, rewards, terminated, truncated, info = env.step([0, 1])  # back to a known state; on to an unknown one
    assert rewards[1] == 0
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [False, True])
    assert info["dropped"].tolist() == [False, True]
    assert np.isnan(info["score"][1])
    assert rewards[0] != 0  # what the cache knows needs no scorer
    assert env.dropped_episodes == 1

    juror.failing = False
    _, rewards, _, truncated, info = env.step([0, 0])
    assert (rewards[1], truncated[1], info["steps"][1]) == (0, False, 0)  # a new episode
    _, rewards, _, _, info = env.step([0, 0])
    assert np.isfinite(info["score"]).all()
    assert env.dropped_episodes == 1


def test_a_failure_at_the_end_of_an_episode_leaves_no_outcome():
    juror = CountingScorer()
    env = vector_env(num_envs=1, juror=juror)
    env.reset(seed=0)
    env.step([0])
    juror.failing = True
    _, rewards, terminated, truncated, info = env.step([STOP_INDEX])  # its score is known, the original's is not
    assert (rewards[0], terminated[0], truncated[0], info["exact"][0]) == (0, False, True, False)


def test_the_reference_says_so_when_it_cannot_be_scored():
    juror = CountingScorer()
    env = ImageEditEnv(SMALL, juror)
    env.reset(seed=0)
    juror.failing = True
    with pytest.raises(Exception, match="told to fail"):
        env.step(0)


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_pass_visits_each_photo_of_a_shard_once_and_shards_partition_the_photos(photos, shards, seed):
    starts, seen = np.arange(photos) % 7, []
    for shard in range(min(shards, photos)):
        sampler = EpisodeSampler(starts, shard=(shard, min(shards, photos)))
        sampler.seed(seed)
        for _ in range(2):
            one_pass = [sampler() for _ in sampler.photos]
            assert sorted(photo for photo, _ in one_pass) == sampler.photos.tolist()
            assert all(state == starts[photo] for photo, state in one_pass)
        seen += sampler.photos.tolist()
    assert sorted(seen) == list(range(photos))


def test_more_samplers_than_photos_share_them():
    assert EpisodeSampler(np.zeros(2, int), shard=(5, 8)).photos.tolist() == [0, 1]


def test_fresh_degradations_are_as_deep_as_the_recorded_ones():
    sampler = EpisodeSampler(SMALL.start_states(), fresh=True)
    sampler.seed(0)
    drawn = [sampler() for _ in range(200)]
    for photo, state in drawn:
        assert algebra.DEPTH[state] == len(SEQUENCES[photo])
    assert len({state for photo, state in drawn if photo == 0}) == 14


def test_workers_with_other_seeds_run_other_episodes_and_the_same_seed_runs_the_same():
    photos = dataset([("swap_gb",)] * 12)

    def episodes(seed):
        env = vector_env(photos, num_envs=4)
        first = env.reset(seed=seed)[1]["photo"].tolist()
        env.step([STOP_INDEX] * 4)
        return first + env.step([0] * 4)[4]["photo"].tolist()

    assert episodes(1) == episodes(1)
    assert len({tuple(episodes(seed)) for seed in range(4)}) == 4


def test_stop_must_be_the_last_action():
    with pytest.raises(ValueError, match="STOP must be the last"):
        vector_env(task=Task(actions=(STOP, "swap_gb")))
