"""The juror service as a process: where it binds, how it ends, and that it stands a load."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from juror_server import GatedJuror, mean_scores, some_images

from juror_service.http.app import ServiceSettings
from juror_service.http.client import JurorClient
from juror_service.http.serve import serve
from juror_service.jurors.registry import load_juror
from rl_aesthetics.errors import UserError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_a_public_address_without_a_token_is_refused(host):
    with pytest.raises(UserError, match="no token"):
        serve(GatedJuror, ServiceSettings(), host=host, port=0)


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(UserError, match="cannot listen on"):
        serve(GatedJuror, ServiceSettings(), port=listener.getsockname()[1])


def test_a_juror_that_does_not_load_ends_the_service_with_its_reason():
    with pytest.raises(UserError, match="unknown juror 'pokcet'"):
        serve(lambda: load_juror("pokcet"), ServiceSettings(), port=0, announce=lambda _: None)


SERVE_SLOWLY = """
import sys, time
import numpy as np
from juror_service.http.app import ServiceSettings
from juror_service.http.serve import serve

class Slow:
    size, fingerprint = 64, "slow"
    def score(self, images):
        time.sleep(1.5)
        return np.array([image.mean() for image in images], np.float32)

serve(Slow, ServiceSettings(), port=0, announce=lambda line: print(line, flush=True))
"""


def address_of(process):
    line = process.stdout.readline()
    return line.split()[2]


def test_told_to_stop_it_finishes_what_it_accepted_and_takes_nothing_new():
    process = subprocess.Popen([sys.executable, "-c", SERVE_SLOWLY], stdout=subprocess.PIPE, text=True)
    try:
        url = address_of(process)
        with JurorClient(url) as client, ThreadPoolExecutor(3) as threads:
            client.describe()
            images = [some_images(2, seed) for seed in range(3)]
            accepted = [threads.submit(client.score, batch) for batch in images]
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}/livez")
            for batch, answer in zip(images, accepted, strict=True):
                np.testing.assert_allclose(answer.result(), mean_scores(batch), rtol=1e-6)
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_juror_serve_is_a_command():
    command = [sys.executable, "-m", "rl_aesthetics_cli", "juror", "serve", "--port", "0"]
    token = {"JUROR_TOKEN": "s3cret", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | token,
        # A test run in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        with JurorClient(address_of(process), token="s3cret") as client:
            images = some_images(3)
            direct = load_juror("pocket").score(images)
            np.testing.assert_allclose(client.score(images), direct, atol=1e-5)
            begun = [time.perf_counter()]
            for _ in range(30):
                client.score(images)
                begun.append(time.perf_counter())
            assert min(np.diff(begun)) < 0.03  # 40 ms where an answer's body waits for its headers' acknowledgement
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_under_load_with_broken_requests_every_answer_is_right_and_memory_is_flat():
    """The full drill, 10,000 requests from 64 connections, is `python benchmarks/juror_load.py`."""
    drill = Path(__file__).parents[2] / "benchmarks" / "juror_load.py"
    command = [sys.executable, str(drill), "--requests", "600", "--connections", "32", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["requests"] == row["right"] == 600
    assert row["broken"] == pytest.approx(30, abs=20)
    assert row["server_mb_grown"] < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--juror", "pokcet"], "unknown juror 'pokcet'"),
        (["--option", "thread=1"], "no option 'thread'"),
        (["--max-queue", "10"], "the queue holds 10"),
    ],
)
def test_what_only_loading_shows_to_be_a_mistake_is_one_line_and_exit_code_2(arguments, message):
    """These find their mistake after the service has begun to listen: signal handlers and all, a process of its own."""
    command = [sys.executable, "-m", "rl_aesthetics_cli", "juror", "serve", "--port", "0"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
