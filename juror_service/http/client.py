"""The client of the HTTP service.

    with JurorClient("http://localhost:5010") as juror:
        scores = juror.score(images_BHWC)

It keeps connections open, bounds every call by a deadline, repeats a call only after 429 and 503 and only a few times,
and raises typed errors, all of them `ScoringError`.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from juror_service.errors import Closed, DeadlineExceeded, ImageFailed, QueueFull
from rl_aesthetics.errors import ScoringError

TOKEN_VARIABLE = "JUROR_TOKEN"
"""The environment variable with the bearer token of service and client."""

RETRIED = (429, 503)


class Unreachable(ScoringError):
    """There is nobody at that address, or the connection broke. Not repeated: it may never come back."""


class Refused(ScoringError):
    """The service does not take this request, and would not take it again.

    Attributes:
        status: the HTTP status, 4xx.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[Refused], tuple[str, int]]:
        return type(self), (self.args[0], self.status)


@dataclass(frozen=True)
class RemoteJurorInfo:
    """What the service says of its juror: fingerprint, side of its images, and images in a request at most."""

    fingerprint: str
    size: int
    max_images: int


@dataclass(frozen=True)
class RemoteScores:
    """float32 scores `(B,)`, the fingerprint of the juror that gave them, and position -> why an image has none."""

    scores_B: np.ndarray
    fingerprint: str
    errors: dict[int, str] = field(default_factory=dict)


class _Call:
    """One call with its deadline and its retries, apart from how bytes get there and back."""

    def __init__(self, timeout_s: float, max_retries: int):
        self.deadline = time.monotonic() + timeout_s
        self.timeout_s, self.retries_left, self.backoff_s = timeout_s, max_retries, 0.05

    def remaining(self) -> float:
        """Seconds left.

        Raises:
            DeadlineExceeded: none.
        """
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise DeadlineExceeded(f"no answer within {self.timeout_s:g} s")
        return seconds

    def pause_before_retry(self, response: httpx.Response) -> float | None:
        """How long to wait before the call is repeated; None if this answer stands.

        At least as long as the service asks for, with jitter on top so that those who were refused together do not come
        back together; not at all if the deadline would pass meanwhile.
        """
        if response.status_code not in RETRIED or self.retries_left == 0:
            return None
        pause = _retry_after(response) + random.uniform(0.5, 1.0) * self.backoff_s
        if time.monotonic() + pause >= self.deadline:
            return None
        self.retries_left -= 1
        self.backoff_s *= 2
        return pause


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", "0")))
    except ValueError:  # a date: the service never sends one, a proxy may
        return 1.0


def _successful(response: httpx.Response) -> httpx.Response:
    """The answer itself, if it is a success; else its typed error is raised."""
    if response.is_success:
        return response
    raise _failure(response)


def _failure(response: httpx.Response) -> ScoringError:
    """The typed error of an answer that is no success."""
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = response.text[:200] or response.reason_phrase
    status, message = response.status_code, f"{response.request.url}: {detail} ({response.status_code})"
    if status == 429:
        return QueueFull(message, _retry_after(response))
    if status == 503:
        return Closed(message)
    if status == 504:
        return DeadlineExceeded(message)
    return Refused(message, status) if 400 <= status < 500 else ScoringError(message)


def _batch_request(images_BHWC: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    np.save(file, images_BHWC, allow_pickle=False)
    return {
        "method": "POST",
        "url": "/v1/score/batch",
        "content": file.getvalue(),
        "headers": {"content-type": "application/x-npy"},
    }


def _read_scores(response: httpx.Response, count: int) -> RemoteScores:
    try:
        body = response.json()
        results, fingerprint = body["results"], body["fingerprint"]
        scores_B = np.array([np.nan if row["score"] is None else row["score"] for row in results], np.float32)
        errors = {i: str(row["message"]) for i, row in enumerate(results) if row["score"] is None}
    except (ValueError, KeyError, TypeError) as error:
        raise ScoringError(f"{response.request.url} does not answer as a juror does: {error!r}") from error
    if len(scores_B) != count:
        raise ScoringError(f"{response.request.url} answered {len(scores_B)} scores for {count} images")
    if np.isfinite(scores_B).sum() != count - len(errors):
        raise ScoringError(f"{response.request.url} answered a score that is not a number")
    return RemoteScores(scores_B, fingerprint, errors)


def _read_info(response: httpx.Response) -> RemoteJurorInfo:
    try:
        body = response.json()
        return RemoteJurorInfo(str(body["fingerprint"]), int(body["size"]), int(body["max_images"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ScoringError(f"{response.request.url} does not answer as a juror does: {error!r}") from error


def _stacked(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    images_BHWC = np.ascontiguousarray(images)
    if images_BHWC.dtype != np.uint8 or images_BHWC.ndim != 4 or images_BHWC.shape[-1] != 3:
        raise ValueError(f"needs uint8 images (H, W, 3) of one size, got {images_BHWC.dtype} {images_BHWC.shape}")
    return images_BHWC


def _joined(parts: list[RemoteScores]) -> RemoteScores:
    """The answers to a request that was sent in parts.

    Raises:
        ImageFailed: some images have no score.
        ScoringError: the parts come from different jurors.
    """
    fingerprints = {part.fingerprint for part in parts}
    if len(fingerprints) > 1:
        raise ScoringError(f"the juror was exchanged during the call: {sorted(fingerprints)}")
    scores_B, offset = np.concatenate([part.scores_B for part in parts]), 0
    errors: dict[int, str] = {}
    for part in parts:
        errors |= {offset + position: reason for position, reason in part.errors.items()}
        offset += len(part.scores_B)
    if errors:
        raise ImageFailed(errors, scores_B)
    return RemoteScores(scores_B, fingerprints.pop())


class JurorClient:
    """A client of the juror service; may be used from several threads.

    Args:
        url: where the service is, for example `http://localhost:5010`.
        token: its bearer token; `JUROR_TOKEN` of the environment if left out.
        timeout_s: how long a call may take, retries included.
        max_retries: how often a call is repeated after 429 or 503.
        connections: kept open, and used at the same time, at most.
        transport: an httpx transport in place of the network, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout_s: float = 30.0,
        max_retries: int = 4,
        connections: int = 16,
        transport: httpx.BaseTransport | None = None,
    ):
        token = token if token is not None else os.environ.get(TOKEN_VARIABLE)
        self.url, self.timeout_s, self.max_retries = url.rstrip("/"), timeout_s, max_retries
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"} if token else {},
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
        )
        self._info: RemoteJurorInfo | None = None

    def __enter__(self) -> JurorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def describe(self) -> RemoteJurorInfo:
        """The juror behind the service; asked for once."""
        if self._info is None:
            self._info = _read_info(self._send({"method": "GET", "url": "/v1/juror"}))
        return self._info

    def score(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Scores float32 `(B,)` of uint8 RGB images of one size; best of the size that the juror looks at.

        Raises:
            ValueError: something else than such images.
            QueueFull, Closed: still refused after all retries.
            DeadlineExceeded: no answer in time.
            ImageFailed: some images could not be scored.
            Refused, Unreachable, ScoringError: see there.
        """
        return self.score_with_fingerprint(images).scores_B

    def score_with_fingerprint(self, images: np.ndarray | Sequence[np.ndarray]) -> RemoteScores:
        """As `score`, and which juror gave the scores."""
        fingerprint, most = self.describe().fingerprint, self.describe().max_images
        if not len(images):
            return RemoteScores(np.zeros(0, np.float32), fingerprint)
        images_BHWC = _stacked(images)
        parts = [images_BHWC[i : i + most] for i in range(0, len(images_BHWC), most)]
        return _joined([_read_scores(self._send(_batch_request(part)), len(part)) for part in parts])

    def _send(self, request: dict[str, Any]) -> httpx.Response:
        call = _Call(self.timeout_s, self.max_retries)
        while True:
            with self._typed_errors():
                response = self._http.request(**_timed(request, call.remaining()))
            if (pause := call.pause_before_retry(response)) is None:
                return _successful(response)
            time.sleep(pause)

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"{self.url}: no answer within {self.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.url}: {error}") from error


def _timed(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    # The service takes no less than 0.1 s; our own patience ends when it ends.
    headers = {**request.get("headers", {}), "x-timeout-seconds": f"{max(0.1, seconds):.3f}"}
    return {**request, "headers": headers, "timeout": seconds}
