"""What the HTTP service tells Prometheus. Every series exists from the start, so that no panel reads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from juror_service.batching.caching_batcher import CacheStats, CachingBatcher

if TYPE_CHECKING:
    from juror_service.batching.batcher import BatchRecord

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SCORES = (*(n / 10 for n in range(1, 11)), 2, 3, 4, 5, 6, 7, 8, 9, 10)
"""Jurors score in (0, 1) or from 1 to 10."""

ERROR_TYPES = {
    400: "undecodable",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "slow_body",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "queue_full",
    499: "client_gone",
    500: "inference",
    503: "unavailable",
    504: "deadline",
}
"""Status -> the `type` of `juror_errors_total`, also the `error` in the body."""


class ServiceMetrics:
    """The service's metrics, in a registry of their own.

    - `juror_request_duration_seconds{route,status}`: whole requests, decoding included
    - `juror_scoring_duration_hist_seconds`: from decoded to scored, cache and queue included
    - `juror_queue_wait_seconds`, `juror_inference_seconds`, `juror_batch_images`: the batcher
    - `juror_queue_images`, `juror_requests_open`: now waiting
    - `juror_cache_hits_total`, `juror_cache_shared_total`, `juror_cache_misses_total`: images
    - `juror_scoring_value`: the scores given out
    - `juror_errors_total{type}`, `juror_model_loaded`
    """

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = self._histogram(
            "juror_request_duration_seconds", "Requests.", SECONDS, labels=("route", "status")
        )
        self.scoring = self._histogram("juror_scoring_duration_hist_seconds", "Decoded to scored.", SECONDS)
        self.waits = self._histogram("juror_queue_wait_seconds", "Time of a request in the queue.", SECONDS)
        self.inference = self._histogram("juror_inference_seconds", "Forward pass of a batch.", SECONDS)
        self.batch_images = self._histogram("juror_batch_images", "Images in a batch.", IMAGES)
        self.scores = self._histogram("juror_scoring_value", "Scores given out.", SCORES)
        self.errors = Counter("juror_errors", "Requests that failed.", ["type"], registry=self.registry)
        for kind in ERROR_TYPES.values():
            self.errors.labels(kind)
        self.loaded = Gauge("juror_model_loaded", "1 once the juror can score.", registry=self.registry)
        self._cache: CachingBatcher | None = None
        self.registry.register(self)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def watch(self, cache: CachingBatcher) -> None:
        """Report this cache and its batcher from now on."""
        self._cache = cache
        self.loaded.set(1)

    def batch(self, record: BatchRecord) -> None:
        """A batch was computed."""
        self.batch_images.observe(record.num_images)
        self.inference.observe(record.inference_s)
        for wait in record.waits_s:
            self.waits.observe(wait)

    def collect(self):
        """Gauges and counters that are read where they are kept; called by the registry."""
        cache = self._cache
        queued, requests = (cache.batcher.queued_images, cache.batcher.open_requests) if cache is not None else (0, 0)
        stats = cache.stats if cache is not None else CacheStats()
        yield GaugeMetricFamily("juror_queue_images", "Images waiting.", value=queued)
        yield GaugeMetricFamily("juror_requests_open", "Requests with the batcher.", value=requests)
        yield CounterMetricFamily("juror_cache_hits", "Images answered from the cache.", value=stats.hits)
        yield CounterMetricFamily("juror_cache_shared", "Images that another was computed for.", value=stats.shared)
        yield CounterMetricFamily("juror_cache_misses", "Images sent to the juror.", value=stats.misses)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
