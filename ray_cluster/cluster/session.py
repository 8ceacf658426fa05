"""The Ray to work on: the one at hand, a cluster to join, or one of our own for the time being."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping

import ray
from ray.job_config import JobConfig

from ray_cluster.cluster.topology import Node, one_machine
from rl_aesthetics.errors import UserError

_CHATTY = {  # what they say below these levels is for developers of Ray, nothing that a user could act on
    "ray.rllib": logging.ERROR,
    "ray.tune": logging.ERROR,
    "ray._common.deprecation": logging.ERROR,
    "ray.data": logging.WARNING,
    "ray.data._internal.progress": logging.ERROR,
}

TASK_RECORDS = 10_000
"""Calls that Ray's GCS keeps a record of, for its dashboard; its own default of 100,000 is some 150 MB."""


@contextlib.contextmanager
def ray_session(
    address: str | None = None,
    num_cpus: int | None = None,
    dashboard: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Use the Ray that is initialised already; else join `address` or what `RAY_ADDRESS` names (as in a submitted job);
    else start one here. What was started or joined here is left at the end.

    Args:
        num_cpus: CPUs of a cluster started here; the machine's, but at least two, if left out.
        dashboard: whether a cluster started here has one.
        metadata: of the job that this process becomes in the cluster; what `ray job submit` was given is kept.

    Raises:
        UserError: the cluster to join is not there.
    """
    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(level)
    ours = not ray.is_initialized()
    if ours:
        # RLlib hands its configuration to the runners through the object store, and Ray's core then warns on standard
        # error, as an error, that they could not be restarted if it were lost; it lives as long as this process.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        with _left_out(b"Set ray log level from environment variable"):
            if address := address or os.environ.get("RAY_ADDRESS"):
                _join(address, metadata)
            else:
                _start(num_cpus or max(2, os.cpu_count() or 1), dashboard, metadata)
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def joins_a_cluster(address: str | None = None) -> bool:
    """Whether `ray_session` would join a cluster, or use one that is joined already, rather than start one here."""
    return ray.is_initialized() or bool(address or os.environ.get("RAY_ADDRESS"))


def cluster_nodes() -> list[Node]:
    """The machines of the cluster as they are now, this one first."""
    here = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"]]
    alive.sort(key=lambda node: (node["NodeID"] != here, node["NodeManagerHostname"], node["NodeID"]))
    names = [node["NodeManagerHostname"] for node in alive]
    return [
        Node(
            name if names.count(name) == 1 else f"{name}#{names[:k].count(name) + 1}",
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            here=node["NodeID"] == here,
        )
        for k, (name, node) in enumerate(zip(names, alive, strict=True))
    ]


def local_nodes(num_cpus: int | None = None) -> list[Node]:
    """The cluster that `ray_session` would start on this machine."""
    import torch

    return one_machine(num_cpus or max(2, os.cpu_count() or 1), torch.cuda.device_count())


@contextlib.contextmanager
def _left_out(words: bytes) -> Iterator[None]:
    """Leave lines with these words out of what is written to standard error meanwhile, by Ray's core in C++, too; the
    rest is written at the end."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            written.seek(0)
            for line in written:
                if words not in line:
                    os.write(2, line)


def _start(num_cpus: int, dashboard: bool, metadata: Mapping[str, str] | None) -> None:
    try:
        ray.init(
            "local",
            num_cpus=num_cpus,
            include_dashboard=dashboard,
            log_to_driver=False,
            logging_level=logging.ERROR,
            job_config=JobConfig(metadata=dict(metadata or {})),
            _system_config={"task_events_max_num_task_in_gcs": TASK_RECORDS},
        )
    except Exception as error:  # Ray has no type of its own for this
        if "timed out during startup" not in str(error):
            raise
        raise UserError(
            "Ray did not start within its 30 seconds: the machine is too busy; end other programs, or join a cluster "
            "with ray.address"
        ) from error


def _join(address: str, metadata: Mapping[str, str] | None) -> None:
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit() and "://" not in host:  # Ray itself would wait for minutes for a cluster that is not there
            socket.create_connection((host, int(port)), timeout=10).close()
        job = JobConfig(metadata=dict(metadata or {}))
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING, job_config=job)
    except (OSError, ValueError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot join the Ray cluster at {address}: {said}") from error
