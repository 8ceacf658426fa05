"""One batcher for the Ray actor and the HTTP service: many callers' images leave as one batch.

A juror's forward pass has a cost per batch and a cost per image, so concurrent callers are served faster together.
`BatchQueue` holds the rules; `Batcher` puts them on an asyncio event loop, with the forward pass in a thread beside it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from juror_service.batching.batch_queue import Batch, BatchQueue, Request
from juror_service.errors import Closed, DeadlineExceeded, ImageFailed, QueueFull
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.scores.scorer import Scorer

__all__ = ["BatchRecord", "Batcher", "BatcherStats", "Closed", "DeadlineExceeded", "ImageFailed", "QueueFull"]

MAX_QUEUE_IMAGES = 4096
"""About a second of work for the pocket juror, 50 MB of its images."""


def score_isolating(scorer: Scorer, images_BHWC: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Score a batch so that a bad image fails alone.

    A batch that raises is halved until the culprits are single, at most 2 B − 1 calls. A `ScoringError` means that the
    juror could not answer, whatever the images; that batch fails as a whole.

    Returns:
        float32 `(B,)` scores, NaN where there is none, and for those positions why.
    """
    scores, errors = np.full(len(images_BHWC), np.nan, np.float32), {}
    pending = [(0, len(images_BHWC))]
    while pending:
        start, stop = pending.pop()
        try:
            answer = np.asarray(scorer.score(images_BHWC[start:stop]), np.float32)
            if answer.shape != (stop - start,):
                raise ScoringError(f"the juror answered {answer.shape} for {stop - start} images")
        except ImageFailed as failure:
            answer = failure.scores_B
            errors.update({start + position: reason for position, reason in failure.errors.items()})
        except ScoringError as error:
            errors.update(dict.fromkeys(range(start, stop), str(error)))
            continue
        except Exception as error:  # a juror may raise anything; it is reported to whoever sent the image
            if stop - start > 1:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]
            else:
                errors[start] = f"{type(error).__name__}: {error}"
            continue
        scores[start:stop] = answer
        for position in np.flatnonzero(~np.isfinite(answer)):
            scores[start + position] = np.nan
            errors.setdefault(int(start + position), f"the juror answered {answer[position]}")
    return scores, errors


@dataclass(frozen=True)
class BatchRecord:
    """One finished batch, for histograms. `waits_s` are the queueing times of the requests that began with it."""

    num_images: int
    num_requests: int
    waits_s: tuple[float, ...]
    inference_s: float


@dataclass
class BatcherStats:
    """Counts since the start. Every accepted request ends as one of answered, failed, expired or cancelled."""

    accepted: int = 0
    refused: int = 0
    answered: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    batches: int = 0
    images: int = 0
    inference_s: float = 0.0


class Batcher:
    """Scores for many concurrent callers on one asyncio event loop.

    The scorer is called from one thread beside the loop, so health checks and arrivals go on while a batch runs. May be
    made outside the loop; from the first `score` on it belongs to the loop that called it.

    Args:
        scorer: what computes; only ever called with one batch at a time.
        max_batch_images: images in a batch, at most.
        max_wait_s: how long, at most, an underfilled batch is held for callers that are likely to come back.
        max_queue_images: images that may wait; more are refused.
        on_batch: called on the loop after each batch, for metrics; must not raise.
        executor: where the scorer runs; one thread of its own by default.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        max_batch_images: int = 256,
        max_wait_s: float = 0.05,
        max_queue_images: int = MAX_QUEUE_IMAGES,
        on_batch: Callable[[BatchRecord], None] | None = None,
        executor: Executor | None = None,
    ):
        self.scorer = scorer
        self.stats = BatcherStats()
        self._queue = BatchQueue(max_batch_images, max_wait_s, max_queue_images)
        self._on_batch = on_batch
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="juror")
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._drained: asyncio.Event | None = None

    @property
    def queued_images(self) -> int:
        """Images that wait, those being computed not counted."""
        return self._queue.waiting_images

    @property
    def open_requests(self) -> int:
        """Requests accepted and not yet answered."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a batch is being computed."""
        return self._queue.running is not None

    async def score(self, images: np.ndarray | Sequence[np.ndarray], timeout_s: float | None = None) -> np.ndarray:
        """Score images.

        Args:
            images: uint8 `(B, size, size, 3)` RGB, or as many single images; not to be changed meanwhile.
            timeout_s: how long the caller is willing to wait; None for as long as it takes.

        Returns:
            float32 `(B,)`, in order.

        Raises:
            ValueError: images of another shape or type than the juror looks at, or more than the queue can ever hold.
            QueueFull: refused because too much is waiting.
            DeadlineExceeded: no answer within `timeout_s`.
            ImageFailed: some of the images could not be scored; carries the scores of the others.
            Closed: `close` was called.
        """
        images_BHWC = self.checked(images)
        if self._closed:
            raise Closed("the juror is shutting down")
        if not len(images_BHWC):
            return np.zeros(0, np.float32)
        if timeout_s is not None and timeout_s <= 0:
            self.stats.expired += 1
            self.stats.accepted += 1
            raise DeadlineExceeded("the request's time had run out when it arrived")
        loop = self._loop = self._loop or asyncio.get_running_loop()
        request = Request(next(self._ids), images_BHWC, loop.time())
        try:
            self._queue.offer(request)
        except QueueFull as error:
            self.stats.refused += 1
            error.retry_after_s = self._seconds_to_drain()
            raise
        self.stats.accepted += 1
        answer = self._answers[request.id] = loop.create_future()
        expiry = None if timeout_s is None else loop.call_later(timeout_s, self._expire, request, timeout_s)
        self._pump()
        try:
            await answer
        except asyncio.CancelledError:
            if request.id in self._queue:
                self.stats.cancelled += 1
            raise
        finally:
            if expiry is not None:
                expiry.cancel()
            del self._answers[request.id]
            self._queue.drop(request.id)
            self._note_drained()
        if request.errors:
            raise ImageFailed(request.errors, request.scores_B)
        return request.scores_B

    def checked(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """The images as one uint8 array `(B, size, size, 3)`; not copied if they are one already.

        Raises:
            ValueError: the juror cannot look at them, or there are more than the queue can ever hold.
        """
        size = self.scorer.size
        if not isinstance(images, np.ndarray):
            for position, image in enumerate(images):
                if np.shape(image) != (size, size, 3):
                    raise ValueError(f"image {position} has shape {np.shape(image)}, the juror needs {(size, size, 3)}")
            images = np.stack(images) if len(images) else np.zeros((0, size, size, 3), np.uint8)
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            raise ValueError(f"the juror needs uint8 (B, {size}, {size}, 3), got {images.dtype} {images.shape}")
        if len(images) > self._queue.max_queue_images:
            raise ValueError(f"a request of {len(images)} images is over the limit of {self._queue.max_queue_images}")
        return images

    async def close(self) -> None:
        """Take nothing new, finish what was accepted, and free the thread."""
        self._closed = True
        self._drained = asyncio.Event()
        self._note_drained()
        await self._drained.wait()
        self._executor.shutdown(wait=False)

    def _pump(self) -> None:
        """Start what can be started; called whenever something changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        assert self._loop is not None  # there is nothing to pump before the first request
        todo = self._queue.next_batch(self._loop.time())
        if isinstance(todo, Batch):
            done = self._loop.run_in_executor(self._executor, partial(self._compute, todo))
            done.add_done_callback(partial(self._finished, todo))
        elif todo is not None:
            self._timer = self._loop.call_at(todo, self._pump)

    def _compute(self, batch: Batch) -> tuple[np.ndarray, dict[int, str]]:
        return score_isolating(self.scorer, batch.images_BHWC())

    def _finished(self, batch: Batch, done: asyncio.Future) -> None:
        assert self._loop is not None
        now = self._loop.time()
        try:
            scores_B, errors = done.result()
        except (Exception, asyncio.CancelledError) as error:  # not the juror: the thread, or an array too large to make
            reason = f"{type(error).__name__}: {error}"
            scores_B = np.full(batch.num_images, np.nan, np.float32)
            errors = dict.fromkeys(range(batch.num_images), reason)
        self.stats.batches += 1
        self.stats.images += batch.num_images
        self.stats.inference_s += now - batch.started
        complete = self._queue.finish(scores_B, errors, now)
        for request in complete:
            if request.errors:
                self.stats.failed += 1
            else:
                self.stats.answered += 1
            if not self._answers[request.id].done():
                self._answers[request.id].set_result(None)
        self._pump()
        self._note_drained()
        if self._on_batch is not None:
            self._on_batch(BatchRecord(batch.num_images, len(batch.parts), batch.waits_s, now - batch.started))

    def _expire(self, request: Request, timeout_s: float) -> None:
        if not self._answers[request.id].done():  # nor cancelled in this very instant
            self._queue.drop(request.id)
            self.stats.expired += 1
            self._answers[request.id].set_exception(DeadlineExceeded(f"no score within {timeout_s:g} s"))

    def _seconds_to_drain(self) -> float:
        """How long the waiting images will take, by the pace so far; 1 before there was any."""
        if not self.stats.images:
            return 1.0
        return self._queue.waiting_images * self.stats.inference_s / self.stats.images

    def _note_drained(self) -> None:
        if self._drained is not None and not self._answers and not self.busy:
            self._drained.set()
