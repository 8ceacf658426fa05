"""Decides which waiting images run together and when, without a clock, threads or I/O of its own.

- An idle juror starts at once with what is there; a busy one collects.
- A juror that has just finished knows that its callers are likely to come back, and holds an underfilled batch for
  them if that pays: if they have lately been back sooner than a batch takes. For what it then waits, all run together;
  starting at once, those who come back meanwhile would wait for a whole batch. It waits until as many requests are
  there as were about, never longer than `max_wait_s`, nor longer than a batch takes (the ski-rental argument).
- A batch holds at most `max_batch_images` images; a larger request is spread over several batches.
- At most `max_queue_images` images wait; what comes beyond is refused at once (`QueueFull`).
- A request that is dropped leaves the queue before it costs anything; if it is being computed, its late answer is
  thrown away. Answers find their request by id, so none can reach another.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from juror_service.errors import QueueFull

RETURN_WEIGHT = 0.25
"""Of the newest in the running mean of how long callers take to be back."""


@dataclass(eq=False)
class Request:
    """Images of one caller that wait for their scores."""

    id: int
    images_BHWC: np.ndarray
    arrived: float
    scores_B: np.ndarray = field(init=False)
    errors: dict[int, str] = field(default_factory=dict)
    taken: int = 0  # images handed to batches so far
    answered: int = 0

    def __post_init__(self):
        self.scores_B = np.full(len(self.images_BHWC), np.nan, np.float32)


@dataclass(frozen=True)
class Part:
    """Images `start:stop` of a request, as they sit in a batch."""

    request_id: int
    images_BHWC: np.ndarray
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """What the juror computes in one go."""

    parts: tuple[Part, ...]
    started: float
    waits_s: tuple[float, ...]
    """How long each request waited whose first image is in this batch."""

    @property
    def num_images(self) -> int:
        return sum(part.stop - part.start for part in self.parts)

    def images_BHWC(self) -> np.ndarray:
        """The images in one array; no copy where they come from one request."""
        pieces = [part.images_BHWC[part.start : part.stop] for part in self.parts]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class BatchQueue:
    """Decides what runs when. Times are seconds on any monotonic clock, always handed in by the caller.

    Args:
        max_batch_images: images in a batch, at most.
        max_wait_s: how long, at most, a juror that has just finished holds an underfilled batch; 0 never does.
        max_queue_images: images that may wait, those being computed not counted.
    """

    def __init__(self, max_batch_images: int, max_wait_s: float, max_queue_images: int):
        if min(max_batch_images, max_queue_images) < 1 or max_wait_s < 0:
            raise ValueError("batch and queue need room for an image, and a wait cannot be negative")
        self.max_batch_images, self.max_wait_s, self.max_queue_images = max_batch_images, max_wait_s, max_queue_images
        self.waiting_images = 0
        self.running: Batch | None = None
        self._waiting: OrderedDict[int, Request] = OrderedDict()  # not all of their images are in a batch yet
        self._open: dict[int, Request] = {}  # not all of their images are answered yet
        self._expected_requests = 0
        self._hold_until = -math.inf
        self._finished_at, self._awaited = -math.inf, 0  # the last batch, and how many of its callers are not back yet
        self._return_s = 0.0  # how long callers take to be back, running mean

    def __len__(self) -> int:
        """Requests without their full answer."""
        return len(self._open)

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._open

    def offer(self, request: Request) -> None:
        """Queue a request.

        Raises:
            QueueFull: no room for its images.
        """
        images = len(request.images_BHWC)
        if self.waiting_images + images > self.max_queue_images:
            raise QueueFull(
                f"{self.waiting_images} images wait already and {images} more are over the limit of "
                f"{self.max_queue_images}"
            )
        self._waiting[request.id] = self._open[request.id] = request
        self.waiting_images += images
        if self._awaited:
            self._awaited -= 1
            if not self._awaited:
                self._note_return(request.arrived)

    def drop(self, request_id: int) -> None:
        """Forget a request that was cancelled or ran out of time; no error if it is gone already."""
        request = self._open.pop(request_id, None)
        if request is not None and self._waiting.pop(request_id, None) is not None:
            self.waiting_images -= len(request.images_BHWC) - request.taken

    def next_batch(self, now: float) -> Batch | float | None:
        """What to do now: run this batch, ask again at this time, or nothing (None) until something changes.

        A returned batch is running until `finish`.
        """
        if self.running is not None or not self._waiting:
            return None
        full = self.waiting_images >= self.max_batch_images
        if not full and now < self._hold_until and len(self._waiting) < self._expected_requests:
            return self._hold_until
        parts, waits, room = [], [], self.max_batch_images
        while room and self._waiting:
            request = next(iter(self._waiting.values()))
            count = min(room, len(request.images_BHWC) - request.taken)
            parts.append(Part(request.id, request.images_BHWC, request.taken, request.taken + count))
            if request.taken == 0:
                waits.append(now - request.arrived)
            request.taken += count
            room -= count
            self.waiting_images -= count
            if request.taken == len(request.images_BHWC):
                del self._waiting[request.id]
        self.running = Batch(tuple(parts), now, tuple(waits))
        return self.running

    def finish(self, scores_B: np.ndarray, errors: dict[int, str], now: float) -> list[Request]:
        """Hand the running batch's answers to its requests.

        Args:
            scores_B: float32, one per image of the batch.
            errors: position in the batch -> why that image has no score.

        Returns:
            the requests that now have all their answers. Those that were dropped meanwhile are not among them.
        """
        batch, self.running = self.running, None
        assert batch is not None, "no batch is running"
        assert len(scores_B) == batch.num_images, "a batch needs one score per image"
        complete, offset = [], 0
        for part in batch.parts:
            count = part.stop - part.start
            request = self._open.get(part.request_id)
            if request is not None:
                request.scores_B[part.start : part.stop] = scores_B[offset : offset + count]
                for position in range(offset, offset + count) if errors else ():
                    if position in errors:
                        request.errors[part.start + position - offset] = errors[position]
                request.answered += count
                if request.answered == len(request.images_BHWC):
                    complete.append(self._open.pop(request.id))
            offset += count
        if self._awaited:  # at least so long
            self._note_return(now)
        self._finished_at, self._awaited = now, len(complete)
        self._expected_requests = len(complete) + len(self._waiting)
        longest = min(self.max_wait_s, now - batch.started)
        self._hold_until = now + longest if self._return_s <= longest else -math.inf
        return complete

    def _note_return(self, now: float) -> None:
        self._return_s += RETURN_WEIGHT * (now - self._finished_at - self._return_s)
