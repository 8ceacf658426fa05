"""The replay buffer and the renderer of replayed transitions, without Ray."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_cluster.replay.renderer import ReplayRenderer
from ray_cluster.replay.replay import ReplayBuffer
from ray_cluster.replay.transition import TRANSITION
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.episodes.crops import Crops
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.scores.scorer import FunctionScorer

FRAME = (2,)
lengths_of_episodes = st.lists(st.integers(1, 5), min_size=1, max_size=30)
fragments_of_episodes = st.lists(st.lists(st.integers(1, 5), min_size=0, max_size=6), min_size=1, max_size=12)


def episodes(lengths, first=0):
    """Episodes whose every number says where it belongs: `photo` is the episode, `state` the step in it."""
    records = np.zeros(sum(lengths), TRANSITION)
    number = np.repeat(np.arange(first, first + len(lengths)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths]) if lengths else np.zeros(0, int)
    records["photo"], records["state"], records["next_state"] = number, step, step + 1
    records["reward"] = number + step / 10
    records["terminated"] = step == np.repeat(lengths, lengths) - 1
    return records, np.stack([number % 256, step], axis=1).astype(np.uint8)


def filled(capacity, fragments, frame_shape=FRAME):
    buffer, first = ReplayBuffer(capacity, frame_shape), 0
    for lengths in fragments:
        buffer.add(*episodes(lengths, first))
        first += len(lengths)
    return buffer


@given(st.integers(30, 60), fragments_of_episodes)
@settings(deadline=None)
def test_it_holds_the_newest_transitions_and_no_others(capacity, fragments):
    buffer = filled(capacity, fragments)
    everything, _ = episodes([length for lengths in fragments for length in lengths])
    newest = everything[-capacity:]
    assert (len(buffer), buffer.added) == (len(newest), len(everything))
    held = buffer.transitions[: len(buffer)]
    np.testing.assert_array_equal(np.sort(held["reward"]), np.sort(newest["reward"]))


@given(st.integers(30, 60), fragments_of_episodes)
@settings(deadline=None)
def test_the_next_frame_of_a_row_is_its_successors_also_after_wrapping_around(capacity, fragments):
    buffer = filled(capacity, fragments)
    rows = np.arange(len(buffer))
    before, after = buffer.observations(rows)
    held = buffer.transitions[rows]
    np.testing.assert_array_equal(before, np.stack([held["photo"] % 256, held["state"]], axis=1))
    going = ~held["terminated"]
    np.testing.assert_array_equal(after[going], np.stack([held["photo"] % 256, held["next_state"]], axis=1)[going])


@given(st.integers(30, 60), fragments_of_episodes)
@settings(deadline=None)
def test_no_row_bootstraps_past_the_end_of_its_episode(capacity, fragments):
    """Stock n-step replay bootstraps 20 % of short episodes' targets past their end."""
    buffer = filled(capacity, fragments)
    if not len(buffer):
        return
    rows = np.arange(len(buffer))
    held, following = buffer.transitions[rows], buffer.transitions[(rows + 1) % capacity]
    going = ~held["terminated"]
    np.testing.assert_array_equal(held["photo"][going], following["photo"][going])
    np.testing.assert_array_equal(held["next_state"][going], following["state"][going])
    assert buffer.transitions["terminated"][
        (buffer.position - 1) % capacity
    ]  # the newest row never lacks its successor


@given(lengths_of_episodes)
@settings(max_examples=30, deadline=None)
def test_every_step_of_every_episode_is_sampled_about_equally_often(lengths):
    """Stock prioritised n-step replay never samples the last starts of an episode."""
    buffer = filled(150, [lengths])
    each = 200
    counts = np.bincount(buffer.sample(each * len(buffer), np.random.default_rng(0)), minlength=len(buffer))
    assert len(counts) == len(buffer)
    assert abs(counts - each).max() < 7 * each**0.5  # seven standard deviations


def test_sampling_never_returns_a_row_that_was_not_written():
    buffer = filled(1000, [[3, 1, 5]])
    assert buffer.sample(5000, np.random.default_rng(0)).max() == 8


def test_a_stored_transition_takes_at_most_13_kB_and_one_by_reference_at_most_64_bytes():
    capacity = 1000
    assert ReplayBuffer(capacity, (3, 64, 64)).nbytes <= 13_000 * capacity
    assert ReplayBuffer(capacity).nbytes <= 64 * capacity


def test_its_memory_does_not_grow():
    buffer = ReplayBuffer(50, FRAME)
    before = buffer.nbytes
    for first in range(40):
        buffer.add(*episodes([5, 2, 4], first))
    assert buffer.nbytes == before


@given(st.integers(30, 60), fragments_of_episodes, lengths_of_episodes, st.booleans())
@settings(deadline=None)
def test_a_restored_buffer_goes_on_like_the_saved_one(capacity, fragments, more, stored):
    shape = FRAME if stored else None
    buffer = ReplayBuffer(capacity, shape)
    for lengths in fragments:
        records, frames = episodes(lengths)
        buffer.add(records, frames if stored else None)
    restored = ReplayBuffer(capacity, shape)
    restored.set_state(pickle.loads(pickle.dumps(buffer.get_state())))
    for one in (buffer, restored):
        for length in more:
            records, frames = episodes([length], first=200)
            one.add(records, frames if stored else None)
    assert (len(restored), restored.position, restored.added) == (len(buffer), buffer.position, buffer.added)
    np.testing.assert_array_equal(restored.transitions, buffer.transitions)
    if stored:
        np.testing.assert_array_equal(restored.frames, buffer.frames)


def test_a_saved_state_does_not_change_with_the_buffer():
    buffer = filled(20, [[5, 5]])
    state = buffer.get_state()
    buffer.add(*episodes([5, 5, 5], first=77))
    assert set(state["transitions"]["photo"]) == {0, 1}


def test_more_than_fits_at_once_is_refused():
    with pytest.raises(ValueError, match="12 transitions at once do not fit a buffer of 10"):
        ReplayBuffer(10, FRAME).add(*episodes([5, 5, 2]))


def test_frames_are_given_exactly_where_they_are_stored():
    records, frames = episodes([2])
    with pytest.raises(ValueError, match="stores frames"):
        ReplayBuffer(10, FRAME).add(records)
    with pytest.raises(ValueError, match="stores no frames"):
        ReplayBuffer(10).add(records, frames)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((128, 128), (96, 160), (200, 130), (64, 64))]
    return RLDataset.from_arrays(photos, [[REVERSIBLE[k]] for k in (0, 4, 7, 13)])


def test_it_renders_exactly_what_the_environment_showed(dataset):
    env = ImageEditVectorEnv(dataset, FunctionScorer(lambda image: float(image.mean())), num_envs=6)
    rng = np.random.default_rng(1)
    shown, _ = env.reset(seed=0)
    renderer = ReplayRenderer(dataset.thumbnails(64), 64)
    seen = 0
    for _ in range(12):
        live = ~env.ended_B
        before, shown_before = env.states_B.copy(), shown
        shown, _, _, _, info = env.step(rng.integers(0, 15, 6))
        records = np.zeros(6, TRANSITION)
        records["photo"], records["state"], records["next_state"] = info["photo"], before, info["state"]
        rendered, rendered_after = renderer(records[live])
        np.testing.assert_array_equal(rendered, shown_before[live])
        np.testing.assert_array_equal(rendered_after, shown[live])
        seen += live.sum()
    assert seen > 30


edit_states = st.integers(0, algebra.NUM_STATES - 1)


@given(st.lists(st.tuples(st.integers(0, 11), edit_states, edit_states), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_both_observations_show_one_crop_and_edits_come_after_it(dataset, drawn):
    records = np.zeros(len(drawn), TRANSITION)
    records["photo"], records["state"], records["next_state"] = np.array(drawn).T
    renderer = ReplayRenderer(dataset.thumbnails(64), 64, Crops(len(dataset), 2))
    before, after = renderer(records)
    crops = algebra.render_rgb(before, algebra.inverse(records["state"]))
    np.testing.assert_array_equal(crops, algebra.render_rgb(after, algebra.inverse(records["next_state"])))
    records["state"] = algebra.ORIGINAL
    np.testing.assert_array_equal(crops, renderer(records)[0])
