"""A sum tree over the rows of a ring: draws rows in proportion to their priorities, many at a time.

After section B.2.1 of Schaul et al., "Prioritized experience replay", arXiv 1511.05952, with every level of the tree
handled at once in numpy, so that a batch costs some twenty array operations rather than a walk for each row.
"""

from __future__ import annotations

import numpy as np


class SumTree:
    """Non-negative numbers, one a row, and the sums of ever larger groups of them, 16 bytes a row.

    Node k has the children 2k and 2k + 1, node 1 is the root, and rows are the nodes from `capacity` on; there need
    not be a power of two of them. Sums are always formed anew from both children, so rounding does not add up.

    Args:
        capacity: how many rows there are; all begin with 0.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.sums = np.zeros(2 * capacity)
        self._full_levels = capacity.bit_length() - 1  # below them a node may be a row already
        self._deepest = 1 << ((2 * capacity - 1).bit_length() - 1)

    @property
    def total(self) -> float:
        """The sum over all rows."""
        return float(self.sums[1])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.sums.nbytes

    def __getitem__(self, rows_B: np.ndarray) -> np.ndarray:
        """The rows' numbers, float64 `(B,)`."""
        return self.sums[rows_B + self.capacity]

    def __setitem__(self, rows_B: np.ndarray, values_B: np.ndarray | float) -> None:
        """Give rows (int `(B,)`) new numbers, float `(B,)` or one for all; of a row given twice the last one counts.

        Raises:
            ValueError: a number is negative or not finite.
        """
        values_B = np.asarray(values_B, np.float64)
        if not (np.isfinite(values_B) & (values_B >= 0)).all():
            raise ValueError("priorities must be finite and not negative")
        nodes = np.asarray(rows_B) + self.capacity
        if not len(nodes):
            return
        self.sums[nodes] = values_B
        deep = nodes >= self._deepest
        if self.capacity > 1 and deep.any():
            self._add_up(nodes[deep] >> 1)
        nodes = np.where(deep, nodes >> 1, nodes)
        first = self._deepest >> 1
        while first > 1:
            first >>= 1
            nodes = nodes >> 1
            if first <= len(nodes):  # fewer nodes on this level than were changed: take them all, they lie in order
                self.sums[first : 2 * first] = self.sums[2 * first : 4 * first].reshape(-1, 2).sum(1)
            else:
                self._add_up(nodes)

    def _add_up(self, nodes: np.ndarray) -> None:
        self.sums[nodes] = self.sums[2 * nodes] + self.sums[2 * nodes + 1]

    def find(self, sums_B: np.ndarray) -> np.ndarray:
        """The rows int `(B,)` in which the running sum over all rows passes `sums_B`, float in [0, total).

        A row whose number is 0 is never found, not even where rounding would lead to it.
        """
        left_to_go, nodes = np.array(sums_B, np.float64), np.ones(len(sums_B), np.int64)
        for _ in range(self._full_levels):
            nodes, left_to_go = self._descend(nodes, left_to_go)
        inner = nodes < self.capacity
        nodes[inner], _ = self._descend(nodes[inner], left_to_go[inner])
        return nodes - self.capacity

    def _descend(self, nodes: np.ndarray, left_to_go: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nodes = 2 * nodes
        left = self.sums[nodes]
        right = (left_to_go >= left) & (self.sums[nodes + 1] > 0)
        return nodes + right, left_to_go - left * right

    def sample(self, count: int, generator: np.random.Generator, minibatches: int = 1) -> np.ndarray:
        """Rows int `(count,)`, each drawn in proportion to its number, from as many strata of equal sum as there are
        rows in a minibatch: one from each. The rows of a minibatch lie next to each other.

        Raises:
            ValueError: all numbers are 0, or `count` is no multiple of `minibatches`.
        """
        if not self.total > 0:
            raise ValueError("there is nothing to sample")
        if count % minibatches:
            raise ValueError(f"{count} rows cannot be {minibatches} minibatches of one size")
        size = count // minibatches
        within = generator.random((minibatches, size))
        return self.find(((np.arange(size) + within) * (self.total / size)).ravel())
