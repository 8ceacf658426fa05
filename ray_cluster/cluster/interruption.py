"""SIGTERM and Ctrl-C while a training runs: finish what cannot be cut short, then end in good order."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any


class Interruption:
    """Notes SIGTERM and Ctrl-C instead of raising in the middle of an update; a second one ends the process at once.

    As a context manager, on the main thread; elsewhere nothing is noted and signals do what they did before.

        with Interruption() as interruption:
            while not interruption():
                step()
            interruption.raise_()

    Ray sends SIGTERM to a stopped job and SIGKILL three seconds later (`RAY_JOB_STOP_WAIT_TIME_S`).
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether the process was asked to end."""
        return self.received is not None

    def raise_(self) -> None:
        """End as the signal would have: `KeyboardInterrupt`, or `SystemExit` with 128 + its number. Nothing without."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            sys.exit(128 + self.received)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.raise_()
        self.received = number
