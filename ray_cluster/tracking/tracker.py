"""Record a run in MLflow without ever waiting for MLflow.

    with Tracker(config.mlflow, config, Path("runs/train")) as tracker:
        tracker.log_metrics({"train_avg_reward": 0.31, "epsilon": 0.4}, step=12_000)
        tracker.log_artifact(Path("runs/train/agent.safetensors"))

The training loop writes to a spool file in the run's folder (`spool.py`). One thread imports MLflow, creates a missing
database, sends what the file holds (`mlflow_delivery.py`), and when the server is away tries again for as long as the
run lasts. What could not be sent by the end stays in the file for `rl-aesthetics mlflow-upload`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from ray_cluster.tracking.mlflow_delivery import Delivery, one_line
from ray_cluster.tracking.provenance import git_tags, source_tags
from ray_cluster.tracking.spool import Spool, spool_path
from rl_aesthetics.config.cluster import MLflow
from rl_aesthetics.config.config import Config, load_config
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.atomic import write_text
from rl_aesthetics.files.redaction import SECRET_NAME, has_login, without_login
from rl_aesthetics.files.run_files import CONFIG_FILE, RUN_FILE

DEFAULT_URI = "sqlite:///mlflow.db"
LINE_LIMIT = 100  # entries a line: MLflow takes at most 100 parameters or tags in one request
GATHER_SECONDS = 0.5  # what is logged within this time leaves in one request
BACKOFF_SECONDS = (1, 2, 4, 8, 15, 30)
# How long the end of a run waits for MLflow after the last sign of progress. A database of our own is always there, but
# making its tables takes up to 20 s on a busy machine. Ray gives a stopped job 3 s between SIGTERM and SIGKILL.
PATIENCE_SECONDS = 10.0
PATIENCE_LOCAL_SECONDS = 60.0
PATIENCE_KILLED_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Tracker:
    """One run in MLflow, recorded from one process.

    As a context manager it ends the run as FINISHED, as KILLED after SIGTERM, Ctrl-C or `sys.exit` with a failure, and
    as FAILED after any other exception. No method waits for the network, `finish` excepted.

    Attributes:
        uri: where the run is recorded; a relative SQLite path made absolute.
        key: names the run; give it to a later Tracker to continue the run.
        spool: the file that holds what was not sent yet.
    """

    def __init__(
        self,
        settings: MLflow,
        config: Config,
        spool: Path,
        tags: Mapping[str, str] | None = None,
        key: str | None = None,
    ):
        """Begin the run now; MLflow hears of it as soon as it can.

        Args:
            settings: where to record, under which experiment and run name.
            config: the effective configuration; every setting becomes a parameter, secrets blotted out.
            spool: the run's folder, or the `.jsonl` file to use.
            tags: such as the dataset's fingerprint or the agent file; the git revision is added.
            key: of an earlier run to continue, from `Tracker.key`; None begins a new one.

        Raises:
            UserError: the URI is of a kind that cannot work, or the spool cannot be written or is in use.
        """
        self.uri = resolve_uri(settings.tracking_uri)
        self.key = key or uuid.uuid4().hex
        self.spool = spool_path(Path(spool)).absolute()
        self._spool = Spool(self.spool)
        self._status: str | None = None
        self._trouble: str | None = None
        self._progress = time.monotonic()
        self._wake, self._closing, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._outcome, self._delivered = threading.Lock(), False
        self._previous_handler: Any = None
        # MLflow would draw a name with `random`, which training seeds: every run would get the same one.
        name = settings.run_name or f"{self.spool.parent.name}-{self.key[:4]}"
        self._append("run", key=self.key, experiment=settings.experiment, name=name, uri=without_login(self.uri))
        if key is None:  # MLflow takes a parameter once, and a run that goes on has them
            self._append_entries("params", parameters(config))
        self.set_tags({**source_tags(), **(tags or {})})
        self._thread = threading.Thread(target=self._deliver, name="mlflow", daemon=True)
        self._thread.start()

    @property
    def status(self) -> str | None:
        """How the run ended; None while it goes on."""
        return self._status

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at a number of environment steps.

        Raises:
            OSError: the disk of the run's folder is full.
            TypeError, ValueError: a value is not a number.
        """
        self._append_entries("metrics", {name: float(value) for name, value in metrics.items()}, step=int(step))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run; a later value replaces an earlier one."""
        self._append_entries("tags", {name: without_login(str(value)) for name, value in tags.items()})

    def log_artifact(self, path: Path | str, artifact_path: str | None = None) -> None:
        """Upload a file or folder as it is now; it may be replaced (by rename) or deleted right afterwards.

        Args:
            artifact_path: the folder among the run's artifacts to put it in; None means the top.

        Raises:
            OSError: there is no such file.
        """
        self._append("artifact", path=self._spool.keep(Path(path)), artifact_path=artifact_path)

    def run_id(self, patience_s: float) -> str | None:
        """MLflow's id of this run, as soon as MLflow has heard of it; None if it has not within `patience_s`."""
        until = time.monotonic() + patience_s
        while True:
            for line in self._spool.lines():
                if line.content.get("note") == "sent" and line.content["key"] == self.key:
                    return line.content["run_id"]
            if time.monotonic() > until:
                return None
            time.sleep(0.1)

    def finish(self, status: str = "FINISHED") -> bool:
        """End the run and wait a bounded time for MLflow to take what is left; a second call does nothing more.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.

        Returns:
            Whether MLflow has everything. If not, a line in the log says how to upload the rest.
        """
        if self._status is None:
            self._append("finish", status=status)
            self._status = status
            self._closing.set()
            self._wake.set()
            self._wait(status)
        return self._delivered

    def __enter__(self) -> Tracker:
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # else somebody (Ray) raises already
            self._previous_handler = signal.signal(signal.SIGTERM, _exit_on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._previous_handler is not None and signal.getsignal(signal.SIGTERM) is _exit_on_signal:
            signal.signal(signal.SIGTERM, self._previous_handler)
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.finish("FINISHED")
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            self.finish("KILLED")
        else:
            self.finish("FAILED")

    def _append(self, record: str, **content: Any) -> None:
        if self._status is not None:
            raise RuntimeError(f"this run has ended ({self._status}); nothing more can be recorded in it")
        self._spool.append({"record": record, **content, "time": _now()})
        self._wake.set()

    def _append_entries(self, kind: str, entries: Mapping[str, Any], **content: Any) -> None:
        items = iter(entries.items())
        while part := dict(islice(items, LINE_LIMIT)):
            self._append("entries", **{kind: part}, **content)

    def _deliver(self) -> None:
        """Runs in the thread: send until the run has ended and nothing is left, or the end waits no longer."""
        try:
            revision = git_tags()  # asked for here, as it takes git some 20 ms
            if revision and not self._given_up.is_set():
                self._spool.append({"record": "entries", "tags": revision, "time": _now()})
            self._trouble = self._send_until_the_end()
            with self._outcome:
                if self._trouble is None and not self._given_up.is_set():
                    self._spool.delete()
                    self._delivered = True
        finally:
            self._spool.close()

    def _send_until_the_end(self) -> str | None:
        """Returns what kept something from being sent, None if everything was."""
        shown = without_login(self.uri)
        delivery: Delivery | None = None
        failures = 0
        while True:
            closing = self._closing.is_set()
            try:
                delivery = delivery or Delivery(self._spool, self.uri, shown)
                while delivery.send_next():
                    self._progress = time.monotonic()
                if failures:
                    _log.warning("MLflow at %s answers again and has everything so far.", shown)
                failures, self._trouble = 0, None
                if closing:
                    return delivery.trouble
                self._wake.wait()
                self._closing.wait(GATHER_SECONDS)
                self._wake.clear()
            except Exception as error:  # whatever is wrong with MLflow, training goes on and the spool keeps it all
                if self._given_up.is_set():  # and the spool closed
                    return self._trouble or one_line(error)
                self._trouble = one_line(error)
                if not failures:
                    _log.warning(
                        "MLflow at %s does not take the run's records (%s). They wait in %s until it does.",
                        *(shown, self._trouble, self.spool),
                    )
                failures += 1
                # The end of the run cuts a long pause short, then tries every second while `finish` still waits.
                pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]
                (self._given_up if closing else self._closing).wait(1 if closing else pause)

    def _wait(self, status: str) -> None:
        patience = PATIENCE_LOCAL_SECONDS if self.uri.startswith("sqlite:") else PATIENCE_SECONDS
        if status == "KILLED":
            patience = PATIENCE_KILLED_SECONDS
        self._progress = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - self._progress < patience:
            self._thread.join(0.05)
        with self._outcome:
            self._given_up.set()
            self._spool.close()  # a request may hang for long yet; whoever goes on with the run need not wait for it
        if not self._delivered:
            _log.warning(
                "MLflow at %s has not got all of this run (%s). The rest is in %s; upload it with: "
                "rl-aesthetics mlflow-upload %s",
                *(without_login(self.uri), self._trouble or "no answer in time", self.spool, self.spool.parent),
            )


def upload(run: Path, tracking_uri: str | None = None) -> str:
    """Send what an ended run could not, and delete its spool.

    Args:
        run: the run's folder.
        tracking_uri: where to; None means where the run was to be recorded. A new place gets everything the file holds.

    Returns:
        The URI that has the run now.

    Raises:
        UserError: there is nothing to upload, the run still goes on, or MLflow does not take it.
    """
    path = spool_path(Path(run)).absolute()
    if not path.is_file():
        raise UserError(f"there is nothing to upload in {path.parent}: it has no {path.name}")
    spool = Spool(path)
    try:
        recorded = next((line.content["uri"] for line in spool.lines() if line.content.get("record") == "run"), None)
        uri = tracking_uri or recorded
        if uri is None:
            raise UserError(f"{path} holds no run")
        if tracking_uri is None and has_login(uri):
            raise UserError(f"the login to {uri} was not written down; give it with --tracking-uri")
        uri = resolve_uri(uri)
        try:
            delivery = Delivery(spool, uri, without_login(uri))
            delivery.retry_set_aside()
            while delivery.send_next():
                pass
            delivery.end_abandoned_run()
        except Exception as error:
            raise UserError(f"MLflow at {without_login(uri)} does not take the run: {one_line(error)}") from error
        if delivery.trouble:
            raise UserError(f"MLflow at {without_login(uri)} has the run, but {delivery.trouble}; see {path}")
        spool.delete()
        return without_login(uri)
    finally:
        spool.close()


def remember_run(tracker: Tracker, folder: Path, status: str) -> None:
    """Note in a training's folder which run it was and how it ended, for `record_evaluation`."""
    run = {"key": tracker.key, "tracking_uri": without_login(tracker.uri), "status": status}
    write_text(folder / RUN_FILE, json.dumps(run) + "\n")


def record_evaluation(training: Path, evaluation: Path, summary: Mapping[str, Any]) -> bool:
    """Add an evaluation to the MLflow run of the training that its agent comes from.

    Args:
        training: the training's folder.
        evaluation: the folder whose content becomes `evaluation/SPLIT` among the run's artifacts.
        summary: its numbers become metrics named `SPLIT_…`.

    Returns:
        Whether the training has a run and MLflow has taken everything.

    Raises:
        UserError: where the run was recorded cannot be reached in principle (see `resolve_uri`).
    """
    try:
        run = json.loads((training / RUN_FILE).read_text())
        config = load_config(training / CONFIG_FILE)
    except FileNotFoundError:
        return False
    settings = config.mlflow.model_copy(update={"tracking_uri": run["tracking_uri"]})
    split = summary["split"]
    numbers = {f"{split}_{name}": value for name, value in summary.items() if isinstance(value, int | float)}
    with Tracker(settings, config, evaluation, key=run["key"]) as tracker:
        tracker.log_metrics(numbers, step=0)
        for part in sorted(evaluation.iterdir()):
            if part != tracker.spool and not part.name.startswith("."):
                tracker.log_artifact(part, f"evaluation/{split}")
        return tracker.finish(run["status"])  # adding to a run says nothing about how it ended


def resolve_uri(uri: str | None) -> str:
    """The tracking URI in force: the one given, MLFLOW_TRACKING_URI, or a SQLite file in the current folder.

    Raises:
        UserError: a folder of files, which MLflow no longer writes to, or a SQLite file in a folder that is not there.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    if uri.startswith("file:") or ("://" not in uri and uri != "databricks"):
        raise UserError(
            f"MLflow no longer records in folders ({uri}); use {DEFAULT_URI} or the http address of a server"
        )
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        if not os.access(database.parent, os.W_OK) or (database.exists() and not os.access(database, os.W_OK)):
            raise UserError(f"cannot write the MLflow database {database}; check mlflow.tracking_uri")
        uri = f"sqlite:///{database}"
    return uri


def parameters(config: Config) -> dict[str, str]:
    """Every setting under its dotted name, written as in YAML; secrets among the juror's options are blotted out."""
    return dict(_flat(config.model_dump(mode="json"), ""))


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif SECRET_NAME.search(name) and value is not None:
            yield f"{prefix}{name}", "***"
        else:
            yield f"{prefix}{name}", without_login(value if isinstance(value, str) else json.dumps(value))


def _now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
