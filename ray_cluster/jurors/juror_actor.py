"""The juror as Ray actors, and the `Scorer` through which rollout workers ask them.

One `JurorActor` holds one loaded juror and batches what many workers send it at the same time. An `ActorScorer` is what
the workers carry: it sends one uint8 array per call to one of the replicas and waits for its scores.

    scorer = start_jurors("pocket", replicas=2)
    scorer.score(images_BHWC)
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import ray

from juror_service.batching.batcher import Batcher, BatchRecord
from juror_service.jurors.registry import load_juror
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.scorer import Scorer

RECENT = 512
"""Batches over which `stats` takes its percentiles."""


@ray.remote(max_restarts=-1, max_task_retries=3, concurrency_groups={"control": 4})
class JurorActor:
    """A loaded juror behind a batcher. Scoring is pure, so Ray may restart the actor and repeat its calls.

    The forward pass runs in a thread beside the event loop and `health` and `stats` on a loop of their own, so both
    answer while a batch is computed, however many calls wait.

    Args:
        juror: a juror's name for `load_juror`, or a picklable function without arguments that makes a `Scorer`.
        options: passed to `load_juror`.
        batching: keyword arguments of `Batcher`.
        label: how it calls itself in logs and on the dashboard.
    """

    _label = "juror"  # Ray asks for the repr also when the constructor has failed

    def __init__(
        self,
        juror: str | Callable[[], Scorer] = "pocket",
        options: dict[str, Any] | None = None,
        batching: dict[str, Any] | None = None,
        label: str = "juror",
    ):
        self._label, self._started = label, time.monotonic()
        self._recent: deque[BatchRecord] = deque(maxlen=RECENT)
        self._misuse: UserError | None = None
        try:
            scorer = load_juror(juror, **(options or {})) if isinstance(juror, str) else juror()
        except UserError as error:
            # Raised by `describe` instead: an exception of a constructor reaches its caller as text only.
            self._misuse = error
        else:
            self._batcher = Batcher(scorer, on_batch=self._recent.append, **(batching or {}))

    def __repr__(self) -> str:
        return self._label

    # Its calls are too many to be worth a record each: they made Ray's GCS grow by 190 MB an hour.
    @ray.method(enable_task_events=False)
    async def score(self, timeout_s: float | None, *pieces_BHWC: np.ndarray) -> tuple[np.ndarray, int]:
        """Scores of images, see `Batcher.score`.

        Args:
            timeout_s: how long the caller is willing to wait.
            pieces_BHWC: the images, uint8 `(b, size, size, 3)`, in one array or in several that follow one another.

        Returns:
            float32 `(B,)` scores, and how many images wait here now, by which callers choose a replica.
        """
        images_BHWC = pieces_BHWC[0] if len(pieces_BHWC) == 1 else np.concatenate(pieces_BHWC)
        scores_B = await self._batcher.score(images_BHWC, timeout_s)
        return scores_B, self._batcher.queued_images

    @ray.method(concurrency_group="control")
    async def describe(self) -> tuple[int, str]:
        """Size and fingerprint of the juror.

        Raises:
            UserError: the juror could not be loaded as asked.
        """
        if self._misuse is not None:
            raise self._misuse
        return self._batcher.scorer.size, self._batcher.scorer.fingerprint

    @ray.method(concurrency_group="control")
    async def health(self) -> dict[str, Any]:
        """Whether it is there and what it is doing; answers at once, also while a batch runs."""
        return {
            "juror_loaded": self._misuse is None,
            "busy": self._batcher.busy,
            "queued_images": self._batcher.queued_images,
            "uptime_s": time.monotonic() - self._started,
            "pid": os.getpid(),
        }

    @ray.method(concurrency_group="control")
    async def stats(self) -> dict[str, float]:
        """Counts since its (re)start; waits, inference times and batch sizes over the last 512 batches.

        Keys: `requests`, `refused`, `failed`, `expired`, `cancelled`, `images` (computed), `batches`, `queued_images`,
        `open_requests`, `images_per_batch`, `requests_per_batch`, `wait_ms_p50`, `wait_ms_p95`, `inference_ms_p50`,
        `inference_ms_p95` and `busy_share` (of its time since the start).
        """
        counts, recent = self._batcher.stats, list(self._recent)
        waits = [1000 * wait for record in recent for wait in record.waits_s] or [0.0]
        inference = [1000 * record.inference_s for record in recent] or [0.0]
        return {
            "requests": counts.accepted,
            "refused": counts.refused,
            "failed": counts.failed,
            "expired": counts.expired,
            "cancelled": counts.cancelled,
            "images": counts.images,
            "batches": counts.batches,
            "queued_images": self._batcher.queued_images,
            "open_requests": self._batcher.open_requests,
            "images_per_batch": float(np.mean([record.num_images for record in recent] or [0.0])),
            "requests_per_batch": float(np.mean([record.num_requests for record in recent] or [0.0])),
            "wait_ms_p50": float(np.percentile(waits, 50)),
            "wait_ms_p95": float(np.percentile(waits, 95)),
            "inference_ms_p50": float(np.percentile(inference, 50)),
            "inference_ms_p95": float(np.percentile(inference, 95)),
            "busy_share": counts.inference_s / (time.monotonic() - self._started),
        }
