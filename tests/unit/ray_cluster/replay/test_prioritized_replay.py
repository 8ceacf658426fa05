"""Prioritised replay and n-step returns over short episodes, against what a loop over an episode gives."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_cluster.replay.prioritized import PrioritizedReplayBuffer
from ray_cluster.replay.replay import ReplayBuffer
from ray_cluster.replay.transition import TRANSITION

FRAME = (3,)
lengths_of_episodes = st.lists(st.integers(1, 5), min_size=1, max_size=30)
fragments_of_episodes = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=12)


def episodes(lengths, first=0):
    """Episodes with random rewards; `photo` is the episode's number, `state` the step in it."""
    records = np.zeros(sum(lengths), TRANSITION)
    number = np.repeat(np.arange(first, first + len(lengths)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    records["photo"], records["state"], records["next_state"] = number, step, step + 1
    records["terminated"] = step == np.repeat(lengths, lengths) - 1
    random = np.random.default_rng(first)
    for name in ("reward", "score", "next_score"):
        records[name] = random.normal(size=len(records))
    records["action"] = random.integers(0, 15, len(records))
    records["next_action"] = np.where(records["terminated"], -1, random.integers(0, 15, len(records)))
    return records, np.stack([number // 256, number % 256, step], axis=1).astype(np.uint8)


def filled(capacity, fragments, kind=ReplayBuffer):
    """(buffer, every episode that was added by its number)"""
    buffer, first, known = kind(capacity, FRAME), 0, {}
    for lengths in fragments:
        records, frames = episodes(lengths, first)
        buffer.add(records, frames)
        known |= {number: records[records["photo"] == number] for number in range(first, first + len(lengths))}
        first += len(lengths)
    return buffer, known


def naive_steps(episode, step, n, gamma):
    """(return, discount, last step) of up to n steps from `step`, one at a time."""
    total, discount = 0.0, 1.0
    for k in range(step, min(step + n, len(episode))):
        total += discount * float(episode[k]["reward"])
        discount *= gamma
        if episode[k]["terminated"]:
            return total, 0.0, k
    return total, discount, k


@given(st.integers(30, 60), fragments_of_episodes, st.integers(1, 6), st.floats(0, 1))
@settings(deadline=None)
def test_n_step_returns_of_every_row_are_those_of_a_loop_over_its_episode(capacity, fragments, n, gamma):
    """Stock n-step replay never samples an episode's last starts, or bootstraps past its end; here the ring also
    overwrites the beginnings of episodes."""
    buffer, known = filled(capacity, fragments)
    rows = np.arange(len(buffer))
    sample = buffer.steps(rows, n, gamma)
    _, after = buffer.observations(rows, sample.ends)
    for k, row in enumerate(rows):
        start = buffer.transitions[row]
        episode = known[start["photo"]]
        total, discount, last = naive_steps(episode, start["state"], n, gamma)
        got = sample.transitions[k]
        assert got["reward"] == pytest.approx(total, rel=1e-5, abs=1e-5)
        assert sample.discounts[k] == pytest.approx(discount, rel=1e-5)
        for name in ("photo", "state", "action", "score"):
            assert got[name] == start[name]
        for name in ("next_state", "next_action", "next_score", "terminated"):
            assert got[name] == episode[last][name]
        if discount:
            assert after[k].tolist() == [start["photo"] // 256, start["photo"] % 256, last + 1]


def test_episodes_shorter_than_n_are_worth_all_of_their_rewards():
    """Stock prioritised n-step replay loops for ever when no episode is n steps long."""
    buffer, known = filled(30, [[1, 2, 1]])
    sample = buffer.steps(np.arange(4), 3, 0.5)
    assert (sample.discounts == 0).all()
    second = known[1]["reward"]
    np.testing.assert_allclose(sample.transitions["reward"][1], second[0] + 0.5 * second[1], rtol=1e-6)


def test_one_step_is_what_was_stored():
    buffer, _ = filled(40, [[3, 5, 1], [4]])
    rows = np.array([0, 3, 12, 8])
    sample = buffer.steps(rows, 1, 0.9)
    np.testing.assert_array_equal(sample.transitions, buffer.transitions[rows])
    np.testing.assert_allclose(sample.discounts, np.where(buffer.transitions[rows]["terminated"], 0, 0.9), rtol=1e-6)


def test_looking_at_steps_leaves_the_buffer_as_it_is():
    buffer, _ = filled(40, [[3, 5, 1]])
    before = buffer.transitions.copy()
    buffer.steps(np.arange(9), 4, 0.9)
    np.testing.assert_array_equal(buffer.transitions, before)


def test_frames_come_into_the_arrays_that_are_given():
    buffer, _ = filled(40, [[3, 5, 1]])
    rows = np.arange(8)
    out = np.zeros((8, *FRAME), np.uint8), np.zeros((8, *FRAME), np.uint8)
    given_back = buffer.observations(rows, out=out)
    assert given_back[0] is out[0]
    assert given_back[1] is out[1]
    for mine, theirs in zip(out, buffer.observations(rows), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@given(st.integers(30, 60), fragments_of_episodes, st.integers(0, 99))
@settings(deadline=None)
def test_prioritised_rows_were_written_and_new_ones_have_the_largest_priority(capacity, fragments, seed):
    buffer, _ = filled(capacity, fragments, PrioritizedReplayBuffer)
    random = np.random.default_rng(seed)
    rows = buffer.sample(32, random)
    assert (rows < len(buffer)).all()
    buffer.update_priorities(rows, random.normal(size=32) * 3)
    new = buffer.add(*episodes([2, 3], first=500))
    np.testing.assert_array_equal(buffer.priorities[new], buffer.largest)
    assert buffer.priorities[np.arange(len(buffer))].max() == buffer.largest


def test_transitions_are_drawn_in_proportion_to_their_errors_to_the_power_of_alpha():
    buffer = PrioritizedReplayBuffer(10, FRAME, alpha=0.5, epsilon=0.0)
    buffer.add(*episodes([4]))
    errors = np.array([0.0, 1.0, -4.0, 9.0])
    buffer.update_priorities(np.arange(4), errors)
    drawn = np.bincount(buffer.sample(12_000, np.random.default_rng(0), 1000), minlength=4) / 12_000
    np.testing.assert_allclose(drawn, [0, 1 / 6, 2 / 6, 3 / 6], atol=0.01)


@given(lengths_of_episodes, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_with_alpha_0_and_beta_anything_it_is_uniform_replay(lengths, seed):
    buffer = PrioritizedReplayBuffer(150, FRAME, alpha=0.0)
    buffer.add(*episodes(lengths))
    random = np.random.default_rng(seed)
    rows = buffer.sample(40, random)
    buffer.update_priorities(rows, random.normal(size=40))
    np.testing.assert_array_equal(buffer.weights(rows, 0.7), 1)
    counts = np.bincount(buffer.sample(200 * len(buffer), random, 200), minlength=len(buffer))
    assert abs(counts - 200).max() < 7 * 200**0.5


@given(lengths_of_episodes, st.floats(0, 1), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_weights_are_those_of_the_paper_over_the_largest_of_each_minibatch(lengths, beta, minibatches, seed):
    buffer = PrioritizedReplayBuffer(150, FRAME)
    buffer.add(*episodes(lengths))
    random = np.random.default_rng(seed)
    buffer.update_priorities(np.arange(len(buffer)), random.exponential(size=len(buffer)))
    rows = buffer.sample(8 * minibatches, random, minibatches)
    all_priorities = buffer.priorities[np.arange(len(buffer))]
    probability = all_priorities / all_priorities.sum()
    expected = (1 / (len(buffer) * probability[rows])) ** beta
    expected = (expected.reshape(minibatches, 8) / expected.reshape(minibatches, 8).max(1, keepdims=True)).ravel()
    np.testing.assert_allclose(buffer.weights(rows, beta, minibatches), expected, rtol=1e-5)


def test_with_beta_1_the_weighted_mean_is_the_mean_over_the_buffer():
    """What the weights are for: prioritised sampling leaves the expected gradient as it was."""
    buffer = PrioritizedReplayBuffer(200, FRAME)
    buffer.add(*episodes([5] * 40))
    random = np.random.default_rng(0)
    values = random.exponential(size=200)
    buffer.update_priorities(np.arange(200), values)
    rows = buffer.sample(200_000, random)
    weights = buffer.weights(rows, 1.0)
    assert (weights * values[rows]).sum() / weights.sum() == pytest.approx(values.mean(), abs=0.01)
    assert abs(values[rows].mean() - values.mean()) > 0.2  # else it proves nothing


def test_an_error_that_is_no_number_leaves_its_priority():
    buffer = PrioritizedReplayBuffer(10, FRAME)
    buffer.add(*episodes([3]))
    buffer.update_priorities(np.array([0, 1]), np.array([np.nan, 2.0]))
    assert buffer.priorities[np.arange(3)].tolist() == [1, pytest.approx(2.001**0.6), 1]


@given(st.integers(30, 60), fragments_of_episodes, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_restored_prioritised_buffer_goes_on_like_the_saved_one(capacity, fragments, seed):
    buffer, _ = filled(capacity, fragments, PrioritizedReplayBuffer)
    random = np.random.default_rng(seed)
    buffer.update_priorities(buffer.sample(16, random), random.normal(size=16) * 2)
    restored, _ = filled(capacity, [[5, 5, 5]], PrioritizedReplayBuffer)
    restored.set_state(pickle.loads(pickle.dumps(buffer.get_state())))
    for one in (buffer, restored):
        one.add(*episodes([2, 4], first=700))
    np.testing.assert_array_equal(*(one.sample(64, np.random.default_rng(seed)) for one in (buffer, restored)))
    assert restored.largest == buffer.largest


def test_a_prioritised_transition_takes_at_most_13_kB_and_one_by_reference_at_most_64_bytes():
    capacity = 1000
    assert PrioritizedReplayBuffer(capacity, (3, 64, 64)).nbytes <= 13_000 * capacity
    assert PrioritizedReplayBuffer(capacity).nbytes <= 64 * capacity
