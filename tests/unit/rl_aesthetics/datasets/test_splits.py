"""Photos are divided by share, by photo, and the same way every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_aesthetics.datasets.splits import assign_splits
from rl_aesthetics.errors import UserError

GUIDE = (0.7, 0.15, 0.15)


def counts(split_of):
    values = list(split_of.values())
    return tuple(values.count(split) for split in ("train", "val", "test"))


@given(st.integers(3, 400), st.integers(0, 99))
def test_every_split_has_a_photo_and_the_shares_are_met_to_one_photo(photos, seed):
    found = counts(assign_splits([f"{i}.jpg" for i in range(photos)], GUIDE, seed))
    assert sum(found) == photos
    assert min(found) >= 1
    if photos >= 7:
        assert all(abs(count - photos * ratio) <= 1 for count, ratio in zip(found, GUIDE, strict=True))


def test_a_hundred_photos_are_divided_exactly():
    assert counts(assign_splits([f"{i}.jpg" for i in range(100)], GUIDE, 42)) == (70, 15, 15)


def test_order_and_repetition_of_names_do_not_matter():
    names = [f"{i}.jpg" for i in range(50)]
    assert assign_splits(names, GUIDE, 42) == assign_splits([*reversed(names), *names], GUIDE, 42)


def test_another_seed_divides_otherwise():
    names = [f"{i}.jpg" for i in range(50)]
    assert assign_splits(names, GUIDE, 42) != assign_splits(names, GUIDE, 43)


def test_a_further_photo_moves_few_of_the_others():
    names = [f"{i}.jpg" for i in range(200)]
    before, after = assign_splits(names, GUIDE, 42), assign_splits([*names, "new.jpg"], GUIDE, 42)
    assert sum(before[name] != after[name] for name in names) <= 2


def test_a_share_of_nothing_leaves_a_split_out():
    assert counts(assign_splits(["a", "b"], (1, 0, 0), 42)) == (2, 0, 0)
    assert counts(assign_splits(["a", "b", "c"], (0, 0, 1), 42)) == (0, 0, 3)


@pytest.mark.parametrize("photos", [1, 2])
def test_too_few_photos_say_so(photos):
    with pytest.raises(UserError, match=rf"^{photos} usable photos? cannot fill 3 splits \(train, val, test\)"):
        assign_splits([f"{i}.jpg" for i in range(photos)], GUIDE, 42)
