"""Checkpoints on object stores: `pyarrow.fs` against servers that speak S3 and Google's protocol, on loopback ports."""

import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import torch
from mlflow_server import free_port
from pyarrow import fs

from ray_cluster.checkpoints.checkpoint_store import MANIFEST, CheckpointStore, open_checkpoint

pytestmark = pytest.mark.slow
pytest.importorskip("moto", reason="needs moto[server]")
pytest.importorskip("gcp_storage_emulator", reason="needs gcp-storage-emulator")

SERVERS = {
    "s3": [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port"],
    "gs": [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--host", "127.0.0.1", "--port"],
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request, tmp_path_factory):
    """(kind, address) of an object store that keeps everything in memory and lets anybody in."""
    port = free_port()
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    with (tmp_path_factory.mktemp(request.param) / "log").open("w") as log:
        process = subprocess.Popen([*SERVERS[request.param], str(port)], stdout=log, stderr=log)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{address}/", timeout=5).close()
                    break
                except urllib.error.HTTPError:
                    break  # it answers, if only that there is nothing at /
                except OSError:
                    assert process.poll() is None, "the object store did not start"
                    assert time.monotonic() < deadline, "the object store does not answer"
                    time.sleep(0.2)
            yield request.param, address
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
def storage(server, monkeypatch, request):
    """The URI of an empty folder of a bucket; addressed as in docs/cluster.md, by the environment."""
    kind, address = server
    bucket = "b" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    if kind == "gs":
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", address)
        make = urllib.request.Request(
            f"{address}/storage/v1/b?project=p",
            json.dumps({"name": bucket}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(make, timeout=10).close()
        return f"gs://anonymous@{bucket}/run"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    urllib.request.urlopen(urllib.request.Request(f"{address}/{bucket}", method="PUT"), timeout=10).close()
    return f"s3://{bucket}/run"


def parts(step):
    return {"learner": {"weights": torch.full((1_000,), float(step))}, "progress": {"env_steps": step}}


def test_a_checkpoint_comes_back_from_an_object_store(storage):
    name = CheckpointStore(storage).write(1200, parts(1200))
    newest, back = CheckpointStore(storage).newest()
    assert newest == name
    assert torch.equal(back["learner"]["weights"], parts(1200)["learner"]["weights"])
    assert open_checkpoint(f"{storage}/{name}")[1]["progress"] == {"env_steps": 1200}
    assert open_checkpoint(storage)[0] == name


def test_the_newest_and_the_best_are_kept_there_too(storage):
    store = CheckpointStore(storage, keep=2)
    for step in (10, 20, 30, 40, 50):
        store.write(step, parts(step), best=20)
    assert store.names() == [f"step_{step:012d}" for step in (20, 40, 50)]
    store.clear()
    assert store.names() == []


def test_without_its_manifest_a_checkpoint_does_not_count(storage):
    store = CheckpointStore(storage)
    first, second = store.write(10, parts(10)), store.write(20, parts(20))
    files, root = fs.FileSystem.from_uri(storage)
    files.delete_file(f"{root}/{second}/{MANIFEST}")  # as if the writer had died before the last object
    assert store.names() == [first]
    assert store.newest()[0] == first


def test_an_object_that_is_not_what_was_written_is_passed_over(storage):
    store = CheckpointStore(storage)
    first, second = store.write(10, parts(10)), store.write(20, parts(20))
    files, root = fs.FileSystem.from_uri(storage)
    manifest = json.loads(files.open_input_file(f"{root}/{second}/{MANIFEST}").readall())
    with files.open_output_stream(f"{root}/{second}/learner.safetensors") as stream:
        stream.write(bytes(manifest["parts"]["learner.safetensors"]["bytes"]))
    warnings = []
    assert store.newest(warnings.append)[0] == first
    assert "the content of learner.safetensors is not what was written" in warnings[0]


def test_a_bucket_that_is_not_there_is_an_os_error_which_training_survives(storage):
    with pytest.raises(OSError, match=r"not found|missing project id"):
        CheckpointStore(re.sub(r"b[0-9a-f]{12}", "no-such-bucket", storage)).write(10, parts(10))


def test_keys_in_the_address_are_used_and_never_shown(storage):
    if not storage.startswith("s3://"):
        pytest.skip("Google's client takes no keys in an address")
    store = CheckpointStore(storage.replace("s3://", "s3://somebody:hush@"))
    name = store.write(10, parts(10))
    assert store.newest()[0] == name
    assert "hush" not in store.storage
