"""What every edit space begins with: its actions by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from rl_aesthetics.edits.transforms import STOP
from rl_aesthetics.errors import UserError

NOT_SHOWN = "observations of 4 channels say which photographic edits were made; use them with those"


class ActionList(ABC):
    """Names of edits and perhaps `STOP`, in the order of the action indices.

    Raises:
        ValueError: `STOP` stands anywhere but at the end.
    """

    def __init__(self, actions: Sequence[str]):
        self.actions = tuple(actions)
        self.edits = tuple(name for name in self.actions if name != STOP)
        self.stop = len(self.edits) if STOP in self.actions else None
        if STOP in self.actions[:-1]:
            raise ValueError("STOP must be the last action")

    def __len__(self) -> int:
        return len(self.actions)

    @abstractmethod
    def after(self, states_B: np.ndarray | int, actions_B: np.ndarray | int) -> np.ndarray:
        """The states that the actions lead to."""

    def walk(self, names: Iterable[str], start: int = 0) -> list[int]:
        """The states after each of the named edits, one after the other."""
        states = [start]
        for name in names:
            states.append(int(self.after(states[-1], self.actions.index(name))))
        return states[1:]

    def framing(self, states_B: np.ndarray | int) -> np.ndarray:
        """Unedited: these edits have no framing of their own."""
        return np.zeros_like(states_B)

    def edits_plane(self, states_B: np.ndarray, size: int) -> np.ndarray:
        """There is none.

        Raises:
            UserError: always.
        """
        raise UserError(NOT_SHOWN)

    def parameters(self, state: int) -> dict[str, float] | None:
        """None: these states are no parameters."""
        return None
