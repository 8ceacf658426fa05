"""The vectorised sum tree against walking through a list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_cluster.replay.sum_tree import SumTree

numbers = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))
capacities = st.integers(1, 70)


def filled(capacity, changes):
    """(the tree, a list of the same numbers) after the changes, in order."""
    tree, expected = SumTree(capacity), np.zeros(capacity)
    for rows, values in changes:
        tree[np.array(rows, int)] = np.array(values)
        for row, value in zip(rows, values, strict=True):
            expected[row] = value
    return tree, expected


@st.composite
def trees(draw):
    capacity = draw(capacities)
    rows = st.lists(st.integers(0, capacity - 1), max_size=40)
    changes = []
    for chosen in draw(st.lists(rows, min_size=1, max_size=6)):
        changes.append((chosen, draw(st.lists(numbers, min_size=len(chosen), max_size=len(chosen)))))
    return filled(capacity, changes)


@given(trees())
@settings(deadline=None)
def test_it_holds_the_latest_numbers_and_their_sum(drawn):
    tree, expected = drawn
    np.testing.assert_array_equal(tree[np.arange(tree.capacity)], expected)
    assert tree.total == pytest.approx(expected.sum(), rel=1e-12)


@given(trees())
@settings(deadline=None)
def test_every_node_is_exactly_the_sum_of_its_children(drawn):
    """Sums are never corrected by differences, so errors of rounding cannot add up over millions of updates."""
    tree, _ = drawn
    nodes = np.arange(1, tree.capacity)
    np.testing.assert_array_equal(tree.sums[nodes], tree.sums[2 * nodes] + tree.sums[2 * nodes + 1])


def rows_in_the_trees_order(tree):
    """Rows from left to right, by walking down both branches of every node."""

    def walk(node):
        return [node - tree.capacity] if node >= tree.capacity else [*walk(2 * node), *walk(2 * node + 1)]

    return walk(1)


@given(trees(), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
@settings(deadline=None)
def test_it_finds_the_row_in_which_the_running_sum_passes_a_number(drawn, shares):
    tree, expected = drawn
    if not tree.total:
        return
    order = rows_in_the_trees_order(tree)
    assert sorted(order) == list(range(tree.capacity))
    ends = np.cumsum(expected[order])
    for row, share in zip(tree.find(np.array(shares) * tree.total), shares, strict=True):
        place = order.index(row)
        begin = ends[place - 1] if place else 0.0
        slack = 1e-9 * tree.total
        assert begin - slack <= share * tree.total <= ends[place] + slack
        assert expected[row] > 0


@given(capacities, st.integers(1, 30), st.integers(1, 4), st.integers(0, 99))
@settings(deadline=None)
def test_each_row_of_a_minibatch_comes_from_a_stratum_of_its_own(capacity, size, minibatches, seed):
    generator = np.random.default_rng(seed)
    tree = SumTree(capacity)
    tree[np.arange(capacity)] = generator.random(capacity) + 0.01
    rows = tree.sample(size * minibatches, generator, minibatches)
    order = rows_in_the_trees_order(tree)
    ends = np.cumsum(tree[np.array(order)])
    begins, width = ends - tree[np.array(order)], tree.total / size
    for minibatch in rows.reshape(minibatches, size):
        for stratum, row in enumerate(minibatch):
            place = order.index(row)
            assert begins[place] <= (stratum + 1) * width * (1 + 1e-9)
            assert ends[place] >= stratum * width * (1 - 1e-9)


def test_rows_are_drawn_in_proportion_to_their_numbers():
    tree, wanted = SumTree(7), np.array([1, 0, 2, 3, 0, 4, 10.0])
    tree[np.arange(7)] = wanted
    drawn = np.bincount(tree.sample(20_000, np.random.default_rng(0), 2000), minlength=7) / 20_000
    np.testing.assert_allclose(drawn, wanted / wanted.sum(), atol=0.01)
    assert (drawn[wanted == 0] == 0).all()


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_number_that_is_no_priority_is_refused(value):
    with pytest.raises(ValueError, match="finite and not negative"):
        SumTree(4)[np.array([1])] = np.array([value])


def test_an_empty_tree_has_nothing_to_sample():
    with pytest.raises(ValueError, match="nothing to sample"):
        SumTree(4).sample(2, np.random.default_rng(0))


def test_it_takes_16_bytes_a_row_whatever_the_capacity():
    assert SumTree(1000).nbytes == 16_000
    assert SumTree(1025).nbytes == 16 * 1025
