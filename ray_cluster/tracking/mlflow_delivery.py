"""Send a spool to MLflow in order, at least once, and without duplicates.

A request whose answer was lost is sent again. That is safe because all of it is idempotent: MLflow stores a metric once
for each (run, name, step, time, value), a parameter sent again with its value changes nothing, an artifact replaces
itself, and the run carries a key of ours in a tag, by which it is found again.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from ray_cluster.tracking.spool import Line, Spool

KEY_TAG = "rl_aesthetics.key"
MOST_METRICS, MOST_OTHERS = 800, 100  # MLflow takes 1,000 entries in a request, 100 parameters and tags among them
ARTIFACT_ATTEMPTS = 3  # tries while the server answers otherwise, before an artifact is set aside
REQUEST_TIMEOUT_SECONDS = 20
_CAUSE = re.compile(r"\[Errno -?\d+\] [\w ]+|too many \d+ error responses|(Read|Connection to \S+) timed out")


class Delivery:
    """Sends one spool to one MLflow. Slow to make: it imports MLflow and may create a database.

    What MLflow refuses for good, such as a metric with an impossible name, is set aside, so that it blocks nothing; it
    stays in the spool.

    Args:
        spool: what to send; notes on what became of it are appended.
        uri: where to send it.
        destination: the name of `uri` in the notes. Notes on another destination do not count.

    Raises:
        Exception: whatever MLflow raises; every method may, and may be called again.
    """

    def __init__(self, spool: Spool, uri: str, destination: str):
        # Our own schedule decides about trying again; MLflow's (7 times, about 4 minutes) would only hide an outage.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_TIMEOUT_SECONDS))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nobody asked for training to phone anywhere
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # our stdout is for results
        from mlflow import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._spool, self._uri, self._to = spool, uri, destination
        self._client = MlflowClient(uri)
        self._offset = 0
        self._run_ids: dict[str, str] = {}
        self._set_aside: dict[int, str] = {}
        self._run: dict[str, Any] | None = None  # the run that is open at the offset
        self._last_time = 0
        self._artifact_attempts = 0
        self._read_notes()

    @property
    def trouble(self) -> str | None:
        """What was set aside, in words; None if nothing."""
        if not self._set_aside:
            return None
        return f"it refused {len(self._set_aside)} record(s), the first because: {next(iter(self._set_aside.values()))}"

    def send_next(self) -> bool:
        """Send the next record, or as many metrics, parameters and tags as one request takes; False if none is left."""
        batch = self._next_batch()
        if not batch:
            return False
        first = batch[0].content
        if first["record"] == "run":
            self.end_abandoned_run()
            self._begin_run(first)
        elif self._run is not None:
            if first["record"] == "entries":
                self._log(self._entries(batch))
            elif first["record"] == "artifact":
                self._log_artifact(batch[0])
            elif first["record"] == "finish":
                self._client.set_terminated(self._run_id, first["status"], first["time"])
        self._passed(batch[-1])
        self._note("sent", upto=self._offset, key=self._run and self._run["key"], run_id=self._run_id)
        return True

    def retry_set_aside(self) -> None:
        """Try again what was refused before."""
        run = self._run
        for line in self._spool.lines():
            if line.content.get("record") == "run":
                self._run = line.content
            elif self._set_aside.pop(line.start, None) is not None:
                self._artifact_attempts = ARTIFACT_ATTEMPTS
                if line.content["record"] == "artifact":
                    self._log_artifact(line)
                else:
                    self._log(self._entries([line]))
                if line.start not in self._set_aside:
                    self._note("accepted", at=line.start)
        self._run = run

    def end_abandoned_run(self) -> None:
        """Mark a run that left no end, because its process was killed, as KILLED when it was last heard of."""
        if self._run is not None and not self._run.get("ended"):
            self._client.set_terminated(self._run_id, "KILLED", self._last_time)
            self._run["ended"] = True

    @property
    def _run_id(self) -> Any:
        """Of the run that records belong to now, in MLflow; None before there is one."""
        return self._run_ids.get(self._run["key"]) if self._run else None

    def _read_notes(self) -> None:
        for _, _, content in self._spool.lines():
            note = content.get("note")
            if note is None or content["to"] != self._to:
                continue
            if note == "sent":
                self._offset = content["upto"]
                self._run_ids[content["key"]] = content["run_id"]
            elif note == "set_aside":
                self._set_aside[content["at"]] = content["reason"]
            elif note == "accepted":
                self._set_aside.pop(content["at"], None)
        for line in self._spool.lines():
            if line.start >= self._offset:
                break
            self._passed(line)

    def _passed(self, line: Line) -> None:
        record = line.content.get("record")
        if record == "run":
            self._run = dict(line.content)
        elif record == "finish" and self._run is not None:
            self._run["ended"] = True
        self._last_time = line.content.get("time", self._last_time)
        self._offset = line.end
        self._artifact_attempts = 0

    def _next_batch(self) -> list[Line]:
        batch: list[Line] = []
        sizes = {"metrics": 0, "params": 0, "tags": 0}
        for line in self._spool.lines(self._offset):
            record = line.content.get("record")
            if record is None:
                continue
            if record != "entries":
                return batch or [line]
            for kind in sizes:
                sizes[kind] += len(line.content.get(kind, ()))
            if batch and (sizes["metrics"] > MOST_METRICS or max(sizes["params"], sizes["tags"]) > MOST_OTHERS):
                return batch
            batch.append(line)
        return batch

    def _begin_run(self, record: dict[str, Any]) -> None:
        experiment_id = self._experiment(record["experiment"])
        found = self._client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{record['key']}'", max_results=1)
        if found:
            run_id = found[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
        else:
            tags = {KEY_TAG: record["key"]}
            run_id = self._client.create_run(experiment_id, record["time"], tags, record["name"]).info.run_id
        self._run_ids[record["key"]] = run_id

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if experiment := self._client.get_experiment_by_name(name):
            return experiment.experiment_id
        place = None
        if self._uri.startswith("sqlite:///"):  # beside the database, wherever the program was started
            place = (Path(self._uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri()
        try:
            return self._client.create_experiment(name, artifact_location=place)
        except MlflowException as error:
            theirs = self._client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or theirs is None:
                raise
            return theirs.experiment_id  # somebody else's run was quicker

    def _entries(self, batch: list[Line]) -> list[tuple[int, Any]]:
        from mlflow.entities import Metric, Param, RunTag

        entries: list[tuple[int, Any]] = []
        for line in batch:
            time, step = line.content["time"], line.content.get("step", 0)
            for name, value in line.content.get("metrics", {}).items():
                entries.append((line.start, Metric(name, value, time, step)))
            entries += [(line.start, Param(*item)) for item in line.content.get("params", {}).items()]
            entries += [(line.start, RunTag(*item)) for item in line.content.get("tags", {}).items()]
        return entries

    def _log(self, entries: list[tuple[int, Any]]) -> None:
        """Send in one request; if MLflow refuses the content, halve until the culprit stands alone."""
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException

        metrics = [entry for _, entry in entries if isinstance(entry, Metric)]
        params = [entry for _, entry in entries if isinstance(entry, Param)]
        tags = [entry for _, entry in entries if isinstance(entry, RunTag)]
        try:
            self._client.log_batch(self._run_id, metrics, params, tags)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if self._client.get_run(self._run_id).info.lifecycle_stage != "active":
                raise  # deleted in the web page; it may be restored there
            if len(entries) == 1:
                self._refused(entries[0][0], error)
            else:
                self._log(entries[: len(entries) // 2])
                self._log(entries[len(entries) // 2 :])

    def _log_artifact(self, line: Line) -> None:
        path = self._spool.path.parent / line.content["path"]
        try:
            self._client.log_artifact(self._run_id, str(path), line.content["artifact_path"])
        except Exception as error:
            self._client.get_run(self._run_id)  # raises if it is the server that is away
            self._artifact_attempts += 1
            if path.exists() and self._artifact_attempts < ARTIFACT_ATTEMPTS:
                raise
            self._refused(line.start, error)
        else:
            self._spool.release(line.content["path"])

    def _refused(self, at: int, error: Exception) -> None:
        self._set_aside[at] = one_line(error)
        self._note("set_aside", at=at, reason=self._set_aside[at])
        logging.getLogger(__name__).warning("MLflow refuses a record of the run: %s", self._set_aside[at])

    def _note(self, note: str, **content: Any) -> None:
        self._spool.append({"note": note, **content, "to": self._to})


def one_line(error: Exception) -> str:
    """An exception in one line of at most 200 characters: the cause where a failed request names one."""
    text = " ".join(str(error).split()) or type(error).__name__
    if cause := _CAUSE.search(text):
        return cause[0]
    return text if len(text) <= 200 else text[:199] + "…"
