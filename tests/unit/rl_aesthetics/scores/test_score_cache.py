"""The cache of scores by photo and edit state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_aesthetics.edits.algebra import NUM_STATES
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.score_cache import ScoreCache

KEYS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, NUM_STATES - 1)), max_size=24)


def score_of(photos, states):
    """Any function of the key that tells keys apart."""
    return (np.asarray(photos) * 7.25 + np.asarray(states) * 0.001).astype(np.float32)


def columns(keys):
    return np.array([k[0] for k in keys], int), np.array([k[1] for k in keys], int)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=12), st.sampled_from([1, 8, 64, 4096]))
def test_what_is_known_is_right_and_what_was_stored_last_is_known(operations, capacity):
    cache = ScoreCache("f", capacity)
    for writes, keys in operations:
        photos, states = columns(keys)
        if writes:
            cache.store(photos, states, score_of(photos, states))
            if len(keys):
                assert cache.lookup(photos[-1:], states[-1:])[1].all()
        scores, known = cache.lookup(photos, states)
        assert scores.dtype == np.float32
        assert known.dtype == bool
        np.testing.assert_array_equal(scores[known], score_of(photos, states)[known])
        assert np.isnan(scores[~known]).all()
        assert len(cache) <= cache.capacity


def test_nothing_is_forgotten_below_half_the_capacity_of_a_typical_load():
    cache = ScoreCache("f", 1 << 16)
    rng = np.random.default_rng(0)
    seen = np.unique(rng.integers(0, 50 * NUM_STATES, 20_000))
    photos, states = seen // NUM_STATES, seen % NUM_STATES
    for part in np.array_split(np.arange(len(seen)), 600):
        cache.store(photos[part], states[part], score_of(photos[part], states[part]))
    assert cache.lookup(photos, states)[1].mean() > 0.99


def test_a_full_set_forgets_the_least_recently_used_entry():
    cache = ScoreCache("f", capacity=8)  # one set of eight
    photos = np.arange(8)
    states = np.zeros(8, int)
    cache.store(photos, states, score_of(photos, states))
    cache.lookup(np.array([0]), np.array([0]))  # used again: photo 1, stored with the rest, is now among the oldest
    cache.store(np.array([100]), np.array([0]), np.array([1.0]))
    assert cache.lookup(np.array([0]), np.array([0]))[1].all()
    assert cache.lookup(np.array([100]), np.array([0]))[1].all()
    assert len(cache) == 8


def test_a_repeated_key_in_one_store_takes_one_entry_and_keeps_its_last_score():
    cache = ScoreCache("f", 64)
    cache.store(np.array([3, 3]), np.array([5, 5]), np.array([1.0, 2.0]))
    assert len(cache) == 1
    assert cache.lookup(np.array([3]), np.array([5]))[0] == 2.0


def test_memory_does_not_grow_with_what_is_stored():
    cache = ScoreCache("f", 4096)
    before = cache.nbytes
    for start in range(0, 40_000, 1000):
        photos = np.arange(start, start + 1000)
        cache.store(photos, photos % 3072, np.ones(1000))
    assert cache.nbytes == before
    assert len(cache) <= cache.capacity == 4096


def test_hits_and_misses_are_counted():
    cache = ScoreCache("f", 64)
    cache.store(np.array([1]), np.array([2]), np.array([0.5]))
    cache.lookup(np.array([1, 1, 9]), np.array([2, 3, 2]))
    assert (cache.hits, cache.misses) == (1, 2)
    assert cache.hit_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_failed_score_is_never_remembered(bad):
    cache = ScoreCache("f", 64)
    with pytest.raises(ValueError, match="finite"):
        cache.store(np.array([1, 2]), np.array([0, 0]), np.array([0.5, bad]))
    assert len(cache) == 0


def test_a_saved_cache_starts_the_next_run_warm(tmp_path):
    path = tmp_path / "scores.npz"
    cache = ScoreCache("f", 4096, photos_fingerprint="d")
    photos, states = np.arange(500), np.arange(500) * 6
    cache.store(photos, states, score_of(photos, states))
    cache.save(path)
    warm = ScoreCache("f", 8192, photos_fingerprint="d")
    assert warm.restore(path) == len(cache)
    scores, known = warm.lookup(photos, states)
    assert known.sum() == len(cache)
    np.testing.assert_array_equal(scores[known], score_of(photos, states)[known])
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.npz"]


def test_a_smaller_cache_keeps_the_most_recent_of_a_saved_one(tmp_path):
    cache = ScoreCache("f", 64)
    for photo in range(16):
        cache.store(np.array([photo]), np.array([0]), np.array([photo]))
    cache.save(tmp_path / "c.npz")
    small = ScoreCache("f", 8)
    small.restore(tmp_path / "c.npz")
    assert small.lookup(np.array([15]), np.array([0]))[0] == 15


@pytest.mark.parametrize(("scorer", "photos", "match"), [("g", "d", "scorer"), ("f", "e", "photos")])
def test_scores_of_another_juror_or_other_photos_are_refused(tmp_path, scorer, photos, match):
    cache = ScoreCache("f", 64, photos_fingerprint="d")
    cache.save(tmp_path / "c.npz")
    with pytest.raises(UserError, match=match):
        ScoreCache(scorer, 64, photos_fingerprint=photos).restore(tmp_path / "c.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a cache"])
def test_an_unreadable_file_is_one_clear_line(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(UserError, match="not a readable score cache"):
        ScoreCache("f", 64).restore(tmp_path / "c.npz")
