"""The juror over HTTP: its scores, every status it refuses with, its metrics; real servers and sockets."""

import io
import socket
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from juror_server import SIZE, GatedJuror, b64, encoded, expected, http, npy, occupied, photo, running
from PIL import Image

from juror_service.http.app import ServiceSettings
from juror_service.http.client import JurorClient, Refused
from juror_service.http.payload import PayloadLimits
from juror_service.http.schemas import NPY
from juror_service.http.service_metrics import ERROR_TYPES


@pytest.fixture(scope="module")
def juror():
    return GatedJuror()


@pytest.fixture(scope="module")
def url(juror):
    limits = PayloadLimits(body_bytes=300_000, pixels=250_000, images=8)
    with running(lambda: juror, ServiceSettings(limits=limits, cache_images=0)) as address:
        yield address


# --- scores ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_a_file_in_base64_is_scored(url, form):
    answer = http.post(f"{url}/v1/score", json={"filename": "a.png", "b64": b64(encoded(photo(), form))})
    assert answer.status_code == 200
    assert answer.json() == {"filename": "a.png", "score": pytest.approx(expected(photo())), "message": "ok"}


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_a_numpy_file_is_scored(url, save):
    answer = http.post(f"{url}/v1/score/ndarray", files={"array_file": ("x.npy", npy(photo(), save))})
    assert answer.json() == {"filename": "x.npy", "score": pytest.approx(expected(photo())), "message": "ok"}


def test_an_array_in_fortran_order_is_the_same_image(url):
    content = npy(np.asfortranarray(photo()))
    answer = http.post(f"{url}/v1/score/ndarray", files={"array_file": ("x.npy", content)})
    assert answer.json()["score"] == pytest.approx(expected(photo()))


def test_a_photo_is_turned_as_its_orientation_says(url):
    tag = Image.Exif()
    tag[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "PNG", exif=tag)
    turned = np.rot90(photo(), -1)
    answer = http.post(f"{url}/v1/score", json={"b64": b64(file.getvalue())})
    assert answer.json()["score"] == pytest.approx(expected(turned))


def test_a_batch_is_scored_in_order_and_one_bad_image_fails_alone(url):
    images = [{"filename": f"{n}", "b64": b64(encoded(photo(n)))} for n in range(4)]
    images[1]["b64"] = "not base64"
    images[2]["b64"] = b64(encoded(photo(2))[:100])
    images.append({"filename": "black", "b64": b64(encoded(np.zeros((8, 8, 3), np.uint8)))})
    body = http.post(f"{url}/v1/score/batch", json={"images": images}).json()
    assert body["fingerprint"] == "gated"
    assert [row["filename"] for row in body["results"]] == ["0", "1", "2", "3", "black"]
    scores = [row["score"] for row in body["results"]]
    assert scores == [pytest.approx(expected(photo(0))), None, None, pytest.approx(expected(photo(3))), None]
    messages = [row["message"] for row in body["results"]]
    assert messages[0] == messages[3] == "ok"
    assert "base64" in messages[1]
    assert "truncated" in messages[2]
    assert "cannot look at black" in messages[4]


@pytest.mark.parametrize("side", [SIZE, 40])
def test_a_batch_as_one_array_is_scored(url, side):
    images = np.stack([photo(n, (side, side)) for n in range(5)])
    body = http.post(f"{url}/v1/score/batch", content=npy(images), headers={"content-type": NPY}).json()
    assert [row["score"] for row in body["results"]] == pytest.approx([expected(image) for image in images])


def test_the_same_pixels_are_computed_once_also_while_they_are_under_way():
    juror = GatedJuror()
    juror.gate.clear()
    with running(lambda: juror) as url:
        request = {"json": {"b64": b64(encoded(photo()))}, "timeout": 20}
        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(http.post, f"{url}/v1/score", **request) for _ in range(8)]
            deadline = time.monotonic() + 20
            while "juror_cache_shared_total 7.0" not in http.get(f"{url}/metrics").text:
                assert time.monotonic() < deadline, "seven of the eight did not wait for the first"
                time.sleep(0.05)
            juror.gate.set()
            scores = {answer.result().json()["score"] for answer in answers}
        scores.add(http.post(f"{url}/v1/score", **request).json()["score"])
        (score,) = scores
        assert score == pytest.approx(expected(photo()))
        assert juror.images == 1
        metrics = http.get(f"{url}/metrics").text
        assert "juror_cache_hits_total 1.0" in metrics
        assert "juror_cache_shared_total 7.0" in metrics


# --- every refusal -----------------------------------------------------------------------------------------------


def bomb():
    """A PNG of 100 million pixels in a few bytes."""
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


def npz_bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", bytes(20_000_000))
    return file.getvalue()


def two_arrays():
    file = io.BytesIO()
    np.savez(file, a=photo(), b=photo())
    return file.getvalue()


def npy_claiming(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


JSON = {"content-type": "application/json"}
BAD_FILES = {
    "not base64": (400, "@@@"),
    "not an image": (400, b64(b"hello")),
    "empty": (400, ""),
    "truncated": (400, b64(encoded(photo())[:200])),
    "gif": (400, b64(encoded(photo(), "GIF"))),
    "bomb": (413, b64(bomb())),
}
BAD_ARRAYS = {
    "not numpy": (400, b"hello"),
    "cut off": (400, npy(photo())[:-7]),
    "pickled": (422, npy(np.array([{}], dtype=object))),
    "float": (422, npy(photo().astype(np.float32))),
    "grey": (422, npy(photo()[..., 0])),
    "empty side": (422, npy(np.zeros((0, 5, 3), np.uint8))),
    "too many pixels": (413, npy_claiming((100_000, 100_000, 3))),
    "overflowing shape": (413, npy_claiming((2**40, 2**40, 3))),
    "npz bomb": (413, npz_bomb()),
    "two arrays": (422, two_arrays()),
    "broken zip": (400, b"PK\x03\x04 and nothing"),
}


def refused(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error"] == ERROR_TYPES[status]
    assert body["detail"]
    assert "\n" not in body["detail"]
    return body["detail"]


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_the_senders_mistake(url, name):
    status, text = BAD_FILES[name]
    refused(http.post(f"{url}/v1/score", json={"b64": text}), status)


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_a_bad_array_is_the_senders_mistake(url, name):
    status, content = BAD_ARRAYS[name]
    refused(http.post(f"{url}/v1/score/ndarray", files={"array_file": ("x.npy", content)}), status)


@pytest.mark.parametrize("route", ["/v1/score", "/v1/score/batch"])
def test_json_that_is_none_is_400_and_json_of_another_kind_422(url, route):
    refused(http.post(url + route, content=b"{", headers=JSON), 400)
    detail = refused(http.post(url + route, json={"b65": "x"}), 422)
    assert "equired" in detail


def test_a_form_without_the_file_is_422(url):
    refused(http.post(f"{url}/v1/score/ndarray", files={"other": ("x.npy", b"x")}), 422)


@pytest.mark.parametrize("route", ["/v1/score", "/v1/score/ndarray", "/v1/score/batch"])
@pytest.mark.parametrize("kind", ["text/plain", None])
def test_another_content_type_is_415(url, route, kind):
    detail = refused(http.post(url + route, content=b"x", headers={"content-type": kind} if kind else {}), 415)
    assert "takes" in detail


def connected(url):
    return socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=5)


def test_a_body_that_says_it_is_too_long_is_413_before_it_is_read(url):
    with connected(url) as connection:
        connection.sendall(
            b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


def test_a_body_that_grows_too_long_is_413(url):
    def chunks():
        for _ in range(20):
            yield b" " * 50_000

    refused(http.post(f"{url}/v1/score", content=chunks(), headers=JSON), 413)


def test_too_many_images_are_413(url):
    refused(http.post(f"{url}/v1/score/batch", json={"images": [{"b64": "x"}] * 9}), 413)
    many = npy(np.ones((9, 8, 8, 3), np.uint8))
    refused(http.post(f"{url}/v1/score/batch", content=many, headers={"content-type": NPY}), 413)


def test_images_with_too_many_pixels_together_are_413(url):
    content = b64(encoded(np.full((300, 300, 3), 7, np.uint8)))
    refused(http.post(f"{url}/v1/score/batch", json={"images": [{"b64": content}] * 3}), 413)


def test_a_body_that_does_not_arrive_is_408():
    with running(GatedJuror, ServiceSettings(timeout_s=0.3)) as url, connected(url) as connection:
        connection.sendall(
            b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        assert b" 408 " in connection.recv(4096).split(b"\r\n")[0]


def test_an_image_the_juror_fails_on_is_500(url):
    black = b64(encoded(np.zeros((8, 8, 3), np.uint8)))
    assert "cannot look at black" in refused(http.post(f"{url}/v1/score", json={"b64": black}), 500)


def test_unknown_routes_and_methods(url):
    refused(http.get(f"{url}/v1/nothing"), 404)
    answer = http.get(f"{url}/v1/score")
    refused(answer, 405)
    assert answer.headers["allow"] == "POST"
    refused(http.post(f"{url}/v1/juror"), 405)


def test_without_the_token_nothing_is_scored_but_health_is_told():
    with running(GatedJuror, ServiceSettings(token="s3cret")) as url:
        request = {"json": {"b64": b64(encoded(photo()))}}
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}):
            answer = http.post(f"{url}/v1/score", headers=headers, **request)
            refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert http.post(f"{url}/v1/score", headers={"authorization": "Bearer s3cret"}, **request).status_code == 200
        assert http.get(f"{url}/livez").status_code == 200
        with JurorClient(url, token="s3cret") as client:
            assert client.describe().size == SIZE
        with JurorClient(url) as client, pytest.raises(Refused) as caught:
            client.describe()
        assert caught.value.status == 401


def test_a_full_queue_is_429_with_a_time_to_come_again():
    limits = PayloadLimits(images=1)
    with occupied(limits=limits, batching={"max_queue_images": 1, "max_batch_images": 1}) as (url, juror, threads):
        waiting = threads.submit(http.post, f"{url}/v1/score", json={"b64": b64(encoded(photo(1)))}, timeout=20)
        time.sleep(0.2)
        answer = http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo(2)))})
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        juror.gate.set()
        assert waiting.result().status_code == 200


def test_too_many_requests_are_429_before_their_body_is_read():
    with occupied(max_requests=1) as (url, _, _):
        answer = http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo(2)))})
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1


def test_a_request_that_runs_out_of_time_is_504_and_never_a_score():
    with occupied() as (url, _, _):
        request = {"json": {"b64": b64(encoded(photo(1)))}, "headers": {"X-Timeout-Seconds": "0.2"}}
        begun = time.perf_counter()
        refused(http.post(f"{url}/v1/score", **request), 504)
        assert time.perf_counter() - begun < 5


def test_after_a_deadline_every_later_score_is_still_that_of_its_own_image():
    """The predecessor left the late answer in a queue: every later score was that of the image before."""
    with occupied() as (url, juror, _):
        request = {"json": {"b64": b64(encoded(photo(1)))}, "headers": {"X-Timeout-Seconds": "0.1"}}
        refused(http.post(f"{url}/v1/score", **request), 504)
        juror.gate.set()
        for seed in range(3):
            score = http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo(seed)))}).json()["score"]
            assert score == pytest.approx(expected(photo(seed)))


def test_a_client_that_hangs_up_costs_nothing():
    with occupied(batching={"max_batch_images": 1}) as (url, juror, _):
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo(1)))}, timeout=0.2)
        time.sleep(0.2)
        juror.gate.set()
        assert http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo(2)))}).status_code == 200
        assert juror.images == 2
        assert 'juror_errors_total{type="client_gone"} 1.0' in http.get(f"{url}/metrics").text


def test_while_the_juror_loads_health_answers_and_scoring_is_503():
    loaded = threading.Event()

    def load():
        assert loaded.wait(20)
        return GatedJuror()

    with running(load, wait=False) as url:
        answer = http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo()))})
        refused(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert http.get(f"{url}/health").json() == {"status": "loading", "juror_loaded": False}
        assert http.get(f"{url}/livez").status_code == 200
        assert http.get(f"{url}/readyz").status_code == 503
        assert "juror_model_loaded 0.0" in http.get(f"{url}/metrics").text
        loaded.set()
        with JurorClient(url) as client:  # repeats after 503
            assert client.score(photo(size=(SIZE, SIZE))[None]) == pytest.approx(expected(photo(size=(SIZE, SIZE))))
        assert http.get(f"{url}/health").json() == {"status": "ok", "juror_loaded": True}
        assert "juror_model_loaded 1.0" in http.get(f"{url}/metrics").text


# --- metrics -----------------------------------------------------------------------------------------------------

METRICS = (
    "juror_request_duration_seconds_bucket",
    "juror_scoring_duration_hist_seconds_bucket",
    "juror_model_loaded",
    "juror_errors_total",
    "juror_scoring_value_bucket",
    "juror_queue_images",
    "juror_requests_open",
    "juror_batch_images_bucket",
    "juror_queue_wait_seconds_bucket",
    "juror_inference_seconds_bucket",
    "juror_cache_hits_total",
    "juror_cache_shared_total",
    "juror_cache_misses_total",
)


def test_every_metric_that_a_panel_may_read_is_exported(url):
    http.post(f"{url}/v1/score", json={"b64": b64(encoded(photo()))})
    exported = {line.split("{")[0].split(" ")[0] for line in http.get(f"{url}/metrics").text.splitlines()}
    assert set(METRICS) <= exported


def test_errors_are_counted_by_type_and_all_types_exist_from_the_start():
    with running(GatedJuror) as url:
        text = http.get(f"{url}/metrics").text
        assert all(f'juror_errors_total{{type="{kind}"}} 0.0' in text for kind in ERROR_TYPES.values())
        http.post(f"{url}/v1/score", json={"b64": "@"})
        assert 'juror_errors_total{type="undecodable"} 1.0' in http.get(f"{url}/metrics").text
