"""Work that takes long, in a few threads with a bounded queue: who comes when it is full is told so at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from rl_aesthetics.errors import ScoringError, UserError

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Busy(Exception):
    """The queue is full; come back in a moment."""


class Job(Generic[T]):
    """A piece of work that waits, runs or is done.

    Attributes:
        future: its result; cancelled if it was cancelled while it waited.
        progress: what it is doing, for people.
    """

    def __init__(self, what: str):
        self.future: Future[T] = Future()
        self.progress = f"waiting to {what}"
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Do not begin, or end at the next opportunity."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """Whether somebody wants it ended."""
        return self._cancelled.is_set()

    @property
    def done(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self.future.done()


class Worker:
    """Runs jobs in the order in which they come.

    Args:
        threads: how many run side by side.
        capacity: how many may be running or waiting; more raise `Busy`.
    """

    def __init__(self, threads: int = 2, capacity: int = 10):
        self.capacity = capacity
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="studio")
        self._under_way = 0
        self._lock = threading.Lock()

    def submit(self, what: str, work: Callable[[Job[T]], T]) -> Job[T]:
        """Queue a function, which is given its job to report progress to and to ask whether it should end.

        Args:
            what: a verb phrase, such as `open the photo`.

        Raises:
            Busy: `capacity` jobs are under way.
        """
        with self._lock:
            if self._under_way >= self.capacity:
                raise Busy
            self._under_way += 1
        job: Job[T] = Job(what)
        self._pool.submit(self._run, job, work)
        return job

    def _run(self, job: Job[Any], work: Callable[[Job[Any]], Any]) -> None:
        try:
            if job.cancelled():
                job.future.cancel()
                return
            job.future.set_running_or_notify_cancel()
            try:
                job.future.set_result(work(job))
            except Exception as error:  # whatever it is, whoever waits for the job gets it
                if not isinstance(error, UserError | ScoringError):
                    _log.exception("a job failed")
                job.future.set_exception(error)
        finally:
            with self._lock:
                self._under_way -= 1

    def close(self) -> None:
        """Take no more work and let go of what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)
