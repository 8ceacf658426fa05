"""A juror service in this process, and images to send to it; used by the tests of service and clients."""

import base64
import contextlib
import io
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import uvicorn
from PIL import Image

from juror_service.http.app import ServiceSettings, create_app
from rl_aesthetics.photos.resize import reduce_image

SIZE = 64
http = httpx.Client(timeout=20)
"""One client for all tests: a new one reads the certificates of the system anew."""


class GatedJuror:
    """Scores an image by its mean; waits while `gate` is closed; fails on a black image; counts what it computed."""

    size, fingerprint = SIZE, "gated"

    def __init__(self):
        self.gate, self.images = threading.Event(), 0
        self.gate.set()

    def score(self, images):
        assert self.gate.wait(20)
        self.images += len(images)
        if any(not image.any() for image in images):
            raise ValueError("cannot look at black")
        return np.array([image.mean() for image in images], np.float32)


@contextlib.contextmanager
def running(load, settings=None, wait=True):
    """The service on a free port, in a thread; yields its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(load, settings), log_level="warning", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            until = time.monotonic() + 20
            while wait and http.get(f"{url}/readyz").status_code != 200:
                assert time.monotonic() < until, http.get(f"{url}/health").text
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join(30)


def photo(seed=0, size=(90, 60)):
    return np.random.default_rng(seed).integers(1, 256, (*size[::-1], 3), np.uint8)


def encoded(pixels, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def b64(content):
    return base64.b64encode(content).decode()


def npy(array, save=np.save):
    file = io.BytesIO()
    save(file, array)
    return file.getvalue()


def expected(pixels):
    return float(np.float32(reduce_image(pixels, SIZE).mean()))


def some_images(count, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (count, SIZE, SIZE, 3), np.uint8)


def mean_scores(images):
    return np.array([image.mean() for image in images], np.float32)


@contextlib.contextmanager
def occupied(**settings):
    """A service whose juror is computing one image and will not finish by itself."""
    juror = GatedJuror()
    with running(lambda: juror, ServiceSettings(**settings)) as url, ThreadPoolExecutor(8) as threads:
        juror.gate.clear()
        first = threads.submit(http.post, f"{url}/v1/score", json={"b64": b64(encoded(photo(99)))}, timeout=20)
        try:
            time.sleep(0.2)
            yield url, juror, threads
        finally:
            juror.gate.set()
        assert first.result().status_code == 200
