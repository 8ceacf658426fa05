"""The client of the juror service, and the remote juror: right scores or typed errors, whatever the service does."""

import pickle
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from juror_server import SIZE, GatedJuror, mean_scores, occupied, running, some_images

from juror_service.errors import Closed, DeadlineExceeded, ImageFailed, QueueFull
from juror_service.http.app import ServiceSettings
from juror_service.http.client import JurorClient, Refused, Unreachable
from juror_service.http.payload import PayloadLimits
from juror_service.jurors.registry import load_juror
from juror_service.jurors.remote import RemoteJuror
from rl_aesthetics.errors import ScoringError, UserError


@pytest.fixture(scope="module")
def url():
    with running(GatedJuror, ServiceSettings(limits=PayloadLimits(images=8), cache_images=0)) as address:
        yield address


@pytest.mark.parametrize("count", [0, 1, 8, 19])
def test_the_client_gives_the_jurors_scores_in_order(url, count):
    images = some_images(count)
    with JurorClient(url) as client:
        scores = client.score(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, mean_scores(images), rtol=1e-6)


def test_a_bad_image_in_the_second_part_of_a_request_is_named_by_its_place(url):
    images = some_images(19)
    images[13] = 0
    with JurorClient(url) as client, pytest.raises(ImageFailed) as caught:
        client.score(images)
    assert list(caught.value.errors) == [13]
    assert np.isnan(caught.value.scores_B).sum() == 1


def answering(*responses):
    """A transport that gives these answers one after the other, and the requests it saw."""
    seen, left = [], list(responses)

    def handle(request):
        seen.append(request)
        answer = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return httpx.MockTransport(handle), seen


INFO = httpx.Response(200, json={"fingerprint": "f", "size": SIZE, "max_images": 8})


@pytest.mark.parametrize(
    ("status", "kind", "calls"),
    [(429, QueueFull, 4), (503, Closed, 4), (504, DeadlineExceeded, 1), (500, ScoringError, 1), (422, Refused, 1)],
)
def test_only_429_and_503_are_repeated_and_only_a_few_times(status, kind, calls):
    transport, seen = answering(INFO, httpx.Response(status, json={"error": "x", "detail": "no"}))
    with JurorClient("http://juror", transport=transport, max_retries=3) as client:
        client.describe()
        with pytest.raises(kind, match="no"):
            client.score(some_images(1))
    assert len(seen) == 1 + calls


def test_a_broken_connection_is_not_repeated():
    seen = []

    def breaks(request):
        seen.append(request)
        raise httpx.ReadError("connection reset by peer")

    with JurorClient("http://juror", transport=httpx.MockTransport(breaks)) as client, pytest.raises(Unreachable):
        client.describe()
    assert len(seen) == 1


def test_connections_are_kept_and_shared_by_threads():
    used = set()
    with running(GatedJuror, ServiceSettings(cache_images=0)) as url, JurorClient(url, connections=2) as client:
        original = client._http._transport.handle_request

        def handle(request):
            response = original(request)
            used.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            return response

        client._http._transport.handle_request = handle
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda seed: client.score(some_images(1, seed)), range(30)))
    assert 1 <= len(used) <= 2


def test_a_retry_never_comes_sooner_than_asked_nor_after_the_deadline():
    busy = httpx.Response(429, headers={"retry-after": "1"}, json={"error": "x", "detail": "no"})
    good = httpx.Response(200, json={"fingerprint": "f", "results": [{"filename": "0", "score": 0.5, "message": "ok"}]})
    transport, _ = answering(INFO, busy, good)
    with JurorClient("http://juror", transport=transport) as client:
        client.describe()
        begun = time.perf_counter()
        assert client.score(some_images(1)) == 0.5
        assert 1.0 <= time.perf_counter() - begun < 3
    transport, seen = answering(INFO, busy)
    with JurorClient("http://juror", transport=transport, timeout_s=0.5) as client:
        client.describe()
        begun = time.perf_counter()
        with pytest.raises(QueueFull) as caught:
            client.score(some_images(1))
        assert time.perf_counter() - begun < 0.4
        assert caught.value.retry_after_s == 1.0
    assert len(seen) == 2


@pytest.mark.parametrize(
    "body",
    [{"fingerprint": "f", "results": []}, {"results": "x"}, [], {"fingerprint": "f", "results": [{"score": "x"}]}],
)
def test_an_answer_that_is_no_score_is_an_error_not_a_score(body):
    transport, _ = answering(INFO, httpx.Response(200, json=body))
    with JurorClient("http://juror", transport=transport) as client, pytest.raises(ScoringError):
        client.score(some_images(1))


def test_nobody_there_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with JurorClient(address) as client, pytest.raises(Unreachable):
        client.describe()
    with pytest.raises(UserError, match="no juror answers at"):
        load_juror("remote", url=address)
    with pytest.raises(UserError, match="needs url="):
        load_juror("remote", url="localhost")


def test_the_clients_deadline_holds_whatever_the_service_does():
    with occupied() as (url, _, _), JurorClient(url, timeout_s=0.3) as client:
        client.describe()
        begun = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            client.score(some_images(1))
        assert time.perf_counter() - begun < 5


def test_the_remote_juror_is_the_juror_behind_the_service():
    pocket = load_juror("pocket", threads=1)
    with running(lambda: pocket) as url:
        remote = load_juror("remote", url=url)
        assert (remote.size, remote.fingerprint) == (pocket.size, pocket.fingerprint)
        images = some_images(20)
        np.testing.assert_allclose(remote.score(list(images)), pocket.score(list(images)), atol=1e-5)
        copy = pickle.loads(pickle.dumps(remote))
        np.testing.assert_allclose(copy.score(images), pocket.score(images), atol=1e-5)


def test_a_juror_exchanged_behind_the_service_is_noticed():
    juror = GatedJuror()
    with running(lambda: juror) as url:
        remote = RemoteJuror(url)
        juror.fingerprint = "another"
        with pytest.raises(ScoringError, match="was gated, is another now"):
            remote.score(some_images(1))
