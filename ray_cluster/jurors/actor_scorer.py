"""The `Scorer` through which rollout workers ask juror actors."""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError, TaskCancelledError

from juror_service.errors import Closed, DeadlineExceeded, QueueFull
from ray_cluster.jurors.juror_actor import JurorActor
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.scores.scorer import Scorer

TRACKED = ("images_per_batch", "requests_per_batch", "wait_ms_p95", "inference_ms_p50", "busy_share")
"""Of `stats`, what `ActorScorer.metrics` hands on."""

PIECE_BYTES = 100_000
"""Ray sends arguments below 100 KiB (`max_direct_call_object_size`) along with the call."""
INLINE_BYTES = 512 * 1024
"""Up to here images travel as such pieces, beyond as one array through the object store. Round trip on 2 cores for 16,
32, 64, 128 images of 64×64: in pieces 1.7, 2.1, 3.0, 6.2 ms, as one array 2.9, 3.0, 3.3, 3.8 ms."""


class ActorScorer:
    """A `Scorer` over one or several `JurorActor` replicas. Picklable; may be called from several threads.

    A call goes to the less loaded of two replicas drawn at random (the power of two choices, Mitzenmacher 2001): by the
    images that this process has under way there and the queue that the replica reported last. A replica that died or
    refused is tried again, elsewhere if there is an elsewhere, a bounded number of times.

    Attributes:
        size: side of the square images that the juror looks at.
        fingerprint: the juror's.
        retries: how many calls had to be sent again so far.
    """

    ATTEMPTS = 6
    MAX_IMAGES = 1024
    """Images in one call to an actor; more are sent in several."""
    REPORT_VALID_S = 0.05
    """After that a replica's reported queue says nothing any more: at full speed it has been worked off."""

    def __init__(
        self,
        actors: Sequence[ActorHandle[Any]],
        size: int,
        fingerprint: str,
        timeout_s: float = 60.0,
        start_more: Callable[[int], list[ActorHandle[Any]]] | None = None,
    ):
        """Args:
        actors: `JurorActor` handles of the same juror.
        timeout_s: how long a call to `score` may take at most, retries and actor restarts included.
        start_more: starts so many actors like these; without it the pool cannot grow.
        """
        if not actors:
            raise ValueError("an ActorScorer needs at least one actor")
        self.actors, self.size, self.fingerprint, self.timeout_s = list(actors), size, fingerprint, timeout_s
        self._start_more = start_more
        self.retries = 0
        self._under_way = [0] * len(actors)
        self._reported = [(0, 0.0)] * len(actors)
        self._lock = threading.Lock()
        self._random = random.Random()

    def __reduce__(self) -> tuple[Any, ...]:
        # What a worker holds asks the actors, and neither starts nor ends any.
        return type(self), (self.actors, self.size, self.fingerprint, self.timeout_s)

    def score(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Score images, uint8 `(size, size, 3)` RGB each, or one array `(B, size, size, 3)` of them.

        Returns:
            float32 `(B,)`, in order.

        Raises:
            ValueError: an image of another shape or type.
            ScoringError: no answer within `timeout_s`, after all attempts, or for some image; never a made-up score.
        """
        if not len(images):
            return np.zeros(0, np.float32)
        images_BHWC = np.ascontiguousarray(images)
        if images_BHWC.dtype != np.uint8 or images_BHWC.shape[1:] != (self.size, self.size, 3):
            raise ValueError(
                f"the juror needs uint8 (B, {self.size}, {self.size}, 3), got {images_BHWC.dtype} {images_BHWC.shape}"
            )
        deadline = time.monotonic() + self.timeout_s
        chunks = [images_BHWC[i : i + self.MAX_IMAGES] for i in range(0, len(images_BHWC), self.MAX_IMAGES)]
        return np.concatenate([self._score_chunk(chunk, deadline) for chunk in chunks])

    def grow(self, replicas: int) -> bool:
        """See `JurorPool.grow`: start what is missing to so many replicas, and ask them, too."""
        missing = replicas - len(self.actors)
        if missing <= 0 or self._start_more is None:
            return False
        more = self._start_more(missing)
        with self._lock:
            self.actors += more
            self._under_way += [0] * len(more)
            self._reported += [(0, 0.0)] * len(more)
        return True

    def close(self) -> None:
        """End the actors."""
        for actor in self.actors:
            ray.kill(actor)

    def readings(self, timeout_s: float) -> list[tuple[float, dict[str, float]]]:
        """See `JurorPool.readings`; one replica is asked after the other."""
        found: list[tuple[float, dict[str, float]]] = []
        for actor in self.actors:
            asked_at = time.monotonic()
            answer: ray.ObjectRef[dict[str, float]] = actor.stats.remote()
            stats = ray.get(answer, timeout=timeout_s)
            found.append((time.monotonic() - asked_at, stats))
        return found

    def stats(self) -> list[dict[str, float]]:
        """`JurorActor.stats` of every replica."""
        return ray.get([actor.stats.remote() for actor in self.actors], timeout=self.timeout_s)

    def metrics(self, timeout_s: float = 1.0) -> dict[str, float]:
        """How the jurors are doing, for tracking: means over the replicas that answer in time; never raises for others.

        Keys: `juror_replicas` (that answered), and, if there are any, `juror_images_per_batch`,
        `juror_requests_per_batch`, `juror_wait_ms_p95`, `juror_inference_ms_p50` and `juror_busy_share`.
        """
        asked: list[ray.ObjectRef[dict[str, float]]] = [actor.stats.remote() for actor in self.actors]
        answered, late = ray.wait(asked, num_returns=len(asked), timeout=timeout_s)
        for answer in late:
            ray.cancel(answer)
        stats = []
        for answer in answered:
            with suppress(RayActorError):  # it died meanwhile, and is restarted
                stats.append(ray.get(answer))
        metrics = {"juror_replicas": float(len(stats))}
        for name in TRACKED if stats else ():
            metrics[f"juror_{name}"] = float(np.mean([replica[name] for replica in stats]))
        return metrics

    def _score_chunk(self, images_BHWC: np.ndarray, deadline: float) -> np.ndarray:
        failed: set[int] = set()
        problem: Exception | None = None
        for attempt in range(self.ATTEMPTS):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            replica = self._choose(failed)
            try:
                return self._ask(replica, images_BHWC, remaining)
            except QueueFull as error:
                problem, pause = error, error.retry_after_s
            except (RayActorError, Closed) as error:
                problem, pause = error, 0.1 * 2**attempt  # an actor restarts in a second or two
            failed.add(replica)
            with self._lock:
                self.retries += 1
            if len(failed) >= len(self.actors):  # every one was tried: give them time
                failed.clear()
                pause = min(pause, 5.0) * self._random.uniform(0.5, 1.0)
                time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        raise ScoringError(f"no juror answered after {attempt + 1} attempts in {self.timeout_s:g} s: {problem}")

    def _ask(self, replica: int, images_BHWC: np.ndarray, timeout_s: float) -> np.ndarray:
        with self._lock:
            self._under_way[replica] += len(images_BHWC)
        answer: ray.ObjectRef[tuple[np.ndarray, int]] = self.actors[replica].score.remote(
            timeout_s, *_pieces(images_BHWC)
        )
        try:
            scores_B, queued = ray.get(answer, timeout=timeout_s)
        except GetTimeoutError as error:
            ray.cancel(answer)
            raise DeadlineExceeded(f"juror {replica} gave no score within {timeout_s:g} s") from error
        except RayTaskError as error:
            raise error.cause from None  # as the juror raised it; the traceback through Ray says nothing more
        except TaskCancelledError as error:
            raise ScoringError(f"the call to juror {replica} was cancelled") from error
        finally:
            with self._lock:
                self._under_way[replica] -= len(images_BHWC)
        if scores_B.shape != (len(images_BHWC),):
            raise ScoringError(f"juror {replica} answered {scores_B.shape} scores for {len(images_BHWC)} images")
        with self._lock:
            self._reported[replica] = (queued, time.monotonic())
        return scores_B

    def _choose(self, avoid: set[int]) -> int:
        candidates = [i for i in range(len(self.actors)) if i not in avoid]
        if len(candidates) == 1:
            return candidates[0]
        return min(self._random.sample(candidates, 2), key=self._load)

    def _load(self, replica: int) -> int:
        queued, at = self._reported[replica]
        recent = time.monotonic() - at < self.REPORT_VALID_S
        return self._under_way[replica] + (queued if recent else 0)


def _pieces(images_BHWC: np.ndarray) -> list[np.ndarray]:
    """The images as they travel fastest, see `INLINE_BYTES`."""
    per_piece = PIECE_BYTES // images_BHWC[0].nbytes
    if per_piece == 0 or images_BHWC.nbytes > INLINE_BYTES:
        return [images_BHWC]
    return [images_BHWC[i : i + per_piece] for i in range(0, len(images_BHWC), per_piece)]


def start_jurors(
    juror: str | Callable[[], Scorer] = "pocket",
    options: dict[str, Any] | None = None,
    *,
    replicas: int = 1,
    num_cpus: float = 0.5,
    num_gpus: float = 0.0,
    batching: dict[str, Any] | None = None,
    timeout_s: float = 60.0,
    start_timeout_s: float = 180.0,
) -> ActorScorer:
    """Start juror actors and wait until they have loaded.

    Args:
        juror: a juror's name, or a picklable function without arguments that makes a `Scorer`.
        options: passed to `load_juror`.
        replicas: how many actors.
        num_cpus, num_gpus: what Ray sets aside for each.
        batching: keyword arguments of `Batcher`, such as `max_batch_images`.
        timeout_s: how long a call to `ActorScorer.score` may take.
        start_timeout_s: how long to wait for the actors.

    Returns:
        their `Scorer`. The actors live as long as somebody holds it.

    Raises:
        UserError: the juror is unknown or cannot be loaded, or the cluster has no room for it.
        ScoringError: the actors died while starting.
    """
    if replicas < 1:
        raise UserError(f"juror.replicas must be at least 1, got {replicas}")
    name = juror if isinstance(juror, str) else getattr(juror, "__name__", type(juror).__name__)
    count = itertools.count()
    run = secrets.token_hex(2)  # actor names are unique in a Ray namespace, and jobs may share one

    def start(number: int) -> list[ActorHandle[Any]]:
        return [
            JurorActor.options(
                name=f"juror-{name}-{i}-{run}", num_cpus=num_cpus, num_gpus=num_gpus, scheduling_strategy="SPREAD"
            ).remote(juror, options, batching, label=f"juror {name} #{i}")
            for i in itertools.islice(count, number)
        ]

    def described(actors: list[ActorHandle[Any]]) -> set[tuple[int, str]]:
        try:
            return set(ray.get([actor.describe.remote() for actor in actors], timeout=start_timeout_s))
        except GetTimeoutError as error:
            raise UserError(
                f"juror {name!r} did not start within {start_timeout_s:g} s; it asks for {len(actors)} × ({num_cpus} "
                f"CPU, {num_gpus} GPU), the cluster has {ray.available_resources().get('CPU', 0):g} CPU and "
                f"{ray.available_resources().get('GPU', 0):g} GPU free"
            ) from error
        except UserError as error:
            raise UserError(str(error.cause)) from None
        except RayActorError as error:
            raise ScoringError(f"juror {name!r} could not be started: {error}") from error

    def start_more(number: int) -> list[ActorHandle[Any]]:
        actors = start(number)
        described(actors)
        return actors

    actors = start(replicas)
    found = described(actors)
    if len(found) > 1:
        raise UserError(f"the replicas of juror {name!r} differ: {sorted(found)}; install one version on all")
    ((size, fingerprint),) = found
    return ActorScorer(actors, size, fingerprint, timeout_s, start_more)
