"""The juror over HTTP: `rl-aesthetics juror serve`, OpenAPI at `/openapi.json`, a page to try it at `/docs`.

A request is let in or refused before its body is read (`gate`), decoded in a thread within limits (`payload`), looked
up (`cache`), batched with others (`batching`) and answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Depends, FastAPI, File, Header, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from juror_service.batching.batcher import MAX_QUEUE_IMAGES, Batcher
from juror_service.batching.caching_batcher import CachingBatcher
from juror_service.errors import Closed, DeadlineExceeded, ImageFailed, QueueFull
from juror_service.http.gate import Gate, problem
from juror_service.http.payload import (
    PayloadError,
    PayloadLimits,
    image_from_array,
    image_from_base64,
    images_from_array,
    images_from_base64,
)
from juror_service.http.schemas import (
    BATCH_BODY,
    NPY,
    EncodedImage,
    EncodedImages,
    Health,
    JurorInfo,
    Score,
    Scores,
    problems,
)
from juror_service.http.service_metrics import ServiceMetrics
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.scores.scorer import Scorer
from rl_aesthetics.web.request_body import BodyRefused

ACCEPTS = {
    "/v1/score": ("application/json",),
    "/v1/score/ndarray": ("multipart/form-data",),
    "/v1/score/batch": ("application/json", NPY),
    "/v1/juror": (),
}

T = TypeVar("T")
Seconds = Annotated[
    float,
    Header(alias="X-Timeout-Seconds", ge=0.1, le=86400, allow_inf_nan=False, description="How long to wait, at most."),
]


@dataclass(frozen=True)
class ServiceSettings:
    """How the service runs.

    Attributes:
        token: what clients must send as a bearer token; None lets everybody in.
        limits: of one request.
        timeout_s: the longest that a request waits for its score; it may ask for less with `X-Timeout-Seconds`.
        max_requests: under way at the same time; more get 429.
        cache_images: scores remembered by pixels.
        decode_threads: how many images are decoded at the same time.
        batching: keyword arguments of `Batcher`.
    """

    token: str | None = None
    limits: PayloadLimits = field(default_factory=PayloadLimits)
    timeout_s: float = 30.0
    max_requests: int = 256
    cache_images: int = 100_000
    decode_threads: int = 2
    batching: dict[str, Any] = field(default_factory=dict)


class Service:
    """What the routes share: a juror that is loading, there, or stopping."""

    def __init__(self, load: Callable[[], Scorer], settings: ServiceSettings):
        if settings.limits.images > (room := settings.batching.get("max_queue_images", MAX_QUEUE_IMAGES)):
            raise UserError(f"a request may have {settings.limits.images} images but the queue holds {room} at most")
        self.settings, self.metrics = settings, ServiceMetrics()
        self.failure: Exception | None = None
        self._load, self._stopping = load, False
        self._cache: CachingBatcher | None = None
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")

    @property
    def status(self) -> str:
        """`ok`, `loading`, `failed` or `stopping`."""
        if self._stopping:
            return "stopping"
        if self._cache is not None:
            return "ok"
        return "loading" if self.failure is None else "failed"

    @property
    def cache(self) -> CachingBatcher:
        """What scores; raises `Closed` while there is nothing that could."""
        if self._cache is None or self._stopping:
            raise Closed(f"the juror is {self.status}")
        return self._cache

    async def start(self) -> None:
        """Load the juror, beside the event loop."""
        scorer = await asyncio.get_running_loop().run_in_executor(None, self._load)
        batcher = Batcher(scorer, on_batch=self.metrics.batch, **self.settings.batching)
        self._cache = CachingBatcher(batcher, self.settings.cache_images)
        self.metrics.watch(self._cache)

    async def stop(self) -> None:
        """Finish what was accepted."""
        self._stopping = True
        if self._cache is not None:
            await self._cache.close()
        self._decoders.shutdown(wait=False)

    def deadline(self, timeout_s: float) -> float:
        """When a request that came now has to be answered, in the event loop's time."""
        return asyncio.get_running_loop().time() + min(timeout_s, self.settings.timeout_s)

    async def decode(self, deadline: float, work: Callable[..., T], *arguments: Any) -> T:
        """Run a function of `payload` in a decoding thread, with the limits and the juror's size added."""
        size, loop = self.cache.batcher.scorer.size, asyncio.get_running_loop()
        decoding = loop.run_in_executor(self._decoders, partial(work, *arguments, self.settings.limits, size))
        try:
            return await asyncio.wait_for(decoding, deadline - loop.time())
        except asyncio.TimeoutError as error:
            raise DeadlineExceeded("no time was left to decode the image") from error

    async def score(self, request: Request, images: np.ndarray | list[np.ndarray], deadline: float) -> np.ndarray:
        """Scores float32 `(B,)`; the batcher drops the request when the client hangs up (`ClientGone`)."""
        begun, remaining = time.perf_counter(), deadline - asyncio.get_running_loop().time()
        scores_B = await _while_connected(request, self.cache.score(images, remaining))
        self.metrics.scoring.observe(time.perf_counter() - begun)
        return scores_B

    def given_out(self, score: np.float32) -> float:
        """A score on its way to a client."""
        self.metrics.scores.observe(float(score))
        return float(score)


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, but cancel it when the client hangs up, so that it costs nothing more."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(
    load: Callable[[], Scorer],
    settings: ServiceSettings | None = None,
    on_load_failure: Callable[[], None] | None = None,
) -> FastAPI:
    """The ASGI application.

    Args:
        load: makes the juror; called once in a thread when the application starts. Until it is there, scoring answers
            503 and `/readyz` says so.
        settings: how the service runs.
        on_load_failure: called when `load` has failed; the reason is `app.state.service.failure`.
    """
    settings = settings or ServiceSettings()
    service = Service(load, settings)

    async def loading() -> None:
        try:
            await service.start()
        except Exception as error:  # loaders may raise anything; whoever runs the service decides
            service.failure = error
            if on_load_failure is not None:
                on_load_failure()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(loading())
        yield
        task.cancel()
        await service.stop()

    app = FastAPI(
        title="Juror",
        summary="Turns pixels into a score; higher is better.",
        version="1",
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(
        Gate,
        metrics=service.metrics,
        accepts=ACCEPTS,
        token=settings.token,
        max_body_bytes=settings.limits.body_bytes,
        max_requests=settings.max_requests,
        body_timeout_s=settings.timeout_s,
    )
    _add_error_handlers(app)
    _add_operations(app, service)
    _add_scoring(app, service)
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/health", tags=["operations"])
    async def health() -> Health:
        """Whether the juror is loaded; always 200."""
        return Health(status=service.status, juror_loaded=service.status == "ok")

    @app.get("/livez", tags=["operations"])
    async def alive() -> Health:
        """200 as long as the process answers: restart it if this fails."""
        return Health(status=service.status, juror_loaded=service.status == "ok")

    @app.get("/readyz", tags=["operations"], responses={503: {"description": "Not now.", "model": Health}})
    async def ready(response: Response) -> Health:
        """200 if requests can be sent here, 503 while loading or stopping."""
        response.status_code = 200 if service.status == "ok" else 503
        return Health(status=service.status, juror_loaded=service.status == "ok")

    @app.get("/metrics", tags=["operations"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(service.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_scoring(app: FastAPI, service: Service) -> None:
    limits, longest = service.settings.limits, service.settings.timeout_s
    # The gate has checked the token already; this puts it into the OpenAPI document.
    route: dict[str, Any] = {
        "tags": ["scoring"],
        "responses": problems(),
        "dependencies": [Depends(HTTPBearer(auto_error=False))] if service.settings.token else [],
    }

    def single(filename: str, scores_B: np.ndarray) -> Score:
        return Score(filename=filename, score=service.given_out(scores_B[0]), message="ok")

    @app.get("/v1/juror", **route | {"responses": problems(401, 503)})
    async def juror() -> JurorInfo:
        """The juror behind this service and what it takes."""
        scorer = service.cache.batcher.scorer
        return JurorInfo(
            fingerprint=scorer.fingerprint,
            size=scorer.size,
            max_images=limits.images,
            max_body_bytes=limits.body_bytes,
        )

    @app.post("/v1/score", **route)
    async def score(request: Request, image: EncodedImage, timeout_s: Seconds = longest) -> Score:
        """Score one photo, sent as a file in base64."""
        deadline = service.deadline(timeout_s)
        pixels = await service.decode(deadline, image_from_base64, image.b64)
        return single(image.filename, await service.score(request, [pixels], deadline))

    @app.post("/v1/score/ndarray", **route)
    async def score_ndarray(
        request: Request,
        array_file: Annotated[UploadFile, File(description="npy, or npz with one array: RGB (H, W, 3) uint8.")],
        timeout_s: Seconds = longest,
    ) -> Score:
        """Score one image, sent as a NumPy file."""
        deadline = service.deadline(timeout_s)
        pixels = await service.decode(deadline, image_from_array, await array_file.read())
        return single(array_file.filename or "", await service.score(request, [pixels], deadline))

    @app.post("/v1/score/batch", **route, openapi_extra=BATCH_BODY)
    async def score_batch(request: Request, timeout_s: Seconds = longest) -> Scores:
        """Score several images in one request. An image that cannot be scored has `score: null` and says why."""
        body, cache, deadline = await request.body(), service.cache, service.deadline(timeout_s)
        refused: dict[int, str] = {}
        images: np.ndarray | list[np.ndarray]
        if request.headers["content-type"].split(";")[0].strip().lower() == NPY:
            images = await service.decode(deadline, images_from_array, body)
            names = [str(position) for position in range(len(images))]
        else:
            names, images, refused = await service.decode(deadline, _decode_batch, body)
        errors = dict(refused)
        sent = [position for position in range(len(names)) if position not in refused]
        scores_B = np.full(len(names), np.nan, np.float32)
        if sent:
            try:
                scores_B[sent] = await service.score(request, images, deadline)
            except ImageFailed as failure:
                scores_B[sent] = failure.scores_B
                errors |= {sent[position]: reason for position, reason in failure.errors.items()}
        results = [
            Score(filename=name, score=None, message=errors[position])
            if position in errors
            else Score(filename=name, score=service.given_out(scores_B[position]), message="ok")
            for position, name in enumerate(names)
        ]
        return Scores(fingerprint=cache.batcher.scorer.fingerprint, results=results)


def _decode_batch(body: bytes, limits: PayloadLimits, size: int) -> tuple[list[str], list[np.ndarray], dict[int, str]]:
    """Names, the images that could be decoded, and position -> reason for those that could not."""
    encoded = EncodedImages.model_validate_json(body).images
    return [image.filename for image in encoded], *images_from_base64([image.b64 for image in encoded], limits, size)


def _add_error_handlers(app: FastAPI) -> None:
    def answers(kind: type[Exception], describe: Callable[[Any], tuple[int, dict[str, str], bytes]]) -> None:
        async def handler(_: Request, error: Exception) -> Response:
            status, headers, body = describe(error)
            return Response(body, status, headers)

        app.add_exception_handler(kind, handler)

    def invalid(error: RequestValidationError | ValidationError) -> tuple[int, dict[str, str], bytes]:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(400 if first["type"] == "json_invalid" else 422, f"{where}: {first['msg']}".removeprefix(": "))

    def http(error: HTTPException) -> tuple[int, dict[str, str], bytes]:
        if isinstance(error.__cause__, BodyRefused):  # FastAPI wraps what happens while it reads a body
            return problem(error.__cause__.status, str(error.__cause__))
        status, headers, body = problem(error.status_code, str(error.detail))
        return status, headers | dict(error.headers or {}), body

    answers(RequestValidationError, invalid)
    answers(ValidationError, invalid)
    answers(HTTPException, http)
    answers(BodyRefused, lambda error: problem(error.status, str(error)))
    answers(PayloadError, lambda error: problem(error.status, str(error)))
    answers(QueueFull, lambda error: problem(429, str(error), error.retry_after_s))
    answers(DeadlineExceeded, lambda error: problem(504, str(error)))
    answers(Closed, lambda error: problem(503, str(error), retry_after_s=2))
    answers(ScoringError, lambda error: problem(500, str(error)))
    answers(ClientGone, lambda error: problem(499, "the client has gone"))
