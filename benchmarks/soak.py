"""Whether a training that runs for long grows: memory and open files of every process, and Ray's object store.

    python benchmarks/soak.py --minutes 60
    python benchmarks/soak.py --minutes 10 --dataset runs/data     # photos of your own
    python benchmarks/soak.py --quick                              # does it run at all?

A training on small photos, with rollout workers, juror, validation, checkpoints with the replay buffer every minute,
agents and MLflow. All its processes are read from /proc every few seconds. The first third is warm-up (buffers fill,
caches learn, allocators settle) and does not count; through the rest goes a line (Theil and Sen: the median of all
pairs' slopes, with its 95 % interval). Something grows when even the least of that interval is above 0 and what it adds
up to over the time measured is beyond 5 % and 8 MB, or 5 files; then the program says so and exits with 1.

Memory is a process's own: resident less shared, so that the object store, which all map, counts once and by itself.
Processes that lived through less than half of the time measured are left out: nothing can be said of their growth.

It deliberately leaves out faults, which tests/ray/test_chaos.py has, and several machines.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from ray._private.internal_api import get_memory_info_reply
from ray._private.state import state
from scipy.stats import theilslopes
from setting import machine, write_row

from ray_cluster.cluster.session import ray_session
from ray_cluster.train.training import Training
from rl_aesthetics.config.config import load_config

WARM_UP = 1 / 3
"""Share of the time that does not count."""
INTERVAL_S = 5.0
MB = 2**20
STORE = ("object store", 0)
LIMITS = {"MB": 8.0, "files": 5.0}
"""What may be added over the time measured, if it is more than 5 %: an allocator's whim is not a leak."""


@dataclass
class Series:
    """One quantity of one process, after warm-up.

    Attributes:
        start, end: medians of the first and the last fifth.
        per_hour: slope; `low` and `high` are its 95 % interval.
        grows: whether it is beyond what chance and allocators explain.
    """

    process: str
    quantity: str
    start: float
    end: float
    per_hour: float
    low: float
    high: float
    grows: bool


class Sampler(threading.Thread):
    """Notes memory and open files of this process and all below it, and the object store, until told to stop."""

    def __init__(self) -> None:
        super().__init__(name="sampler", daemon=True)
        self.stop, self.began = threading.Event(), time.monotonic()
        self.rows: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)

    def run(self) -> None:
        me = psutil.Process()
        while not self.stop.wait(INTERVAL_S):
            now = time.monotonic() - self.began
            for process in [me, *me.children(recursive=True)]:
                try:
                    memory, files = process.memory_info(), process.num_fds()
                    title = role(process) if process.pid != me.pid else "driver: learner, replay buffer, MLflow"
                except psutil.Error:  # it has just ended
                    continue
                self.rows[title, process.pid].append((now, (memory.rss - memory.shared) / MB, files))
            stats = get_memory_info_reply(state).store_stats
            self.rows[STORE].append((now, stats.object_store_bytes_used / MB, stats.num_local_objects))


def role(process: psutil.Process) -> str:
    """What a process is for; Ray's workers change their title with the method that they run."""
    words = process.cmdline()
    if words and words[0].startswith("ray::"):
        return words[0].split(".")[0].removeprefix("ray::")
    script = next((word for word in words if word.endswith(".py")), words[0] if words else "?")
    return f"Ray's {Path(script).stem}"


def judge(rows: list[tuple[float, float, float]], title: str, names: tuple[str, str], since: float) -> list[Series]:
    """The two series of a process, those before `since` seconds left out."""
    measured = np.array([row for row in rows if row[0] >= since])
    fifth, found = max(1, len(measured) // 5), []
    hours = measured[:, 0] / 3600
    for column, quantity in enumerate(names, start=1):
        values = measured[:, column]
        start, end = float(np.median(values[:fifth])), float(np.median(values[-fifth:]))
        slope, _, low, high = (float(number) for number in theilslopes(values, hours, 0.95))
        added = slope * (hours[-1] - hours[0])
        unit = "MB" if quantity == "MB" else "files"
        grows = low > 0 and added > max(0.05 * start, LIMITS[unit])
        found.append(Series(title, quantity, start, end, slope, low, high, bool(grows)))
    return found


def judge_all(sampler: Sampler, seconds: float) -> list[Series]:
    """Every process that lived through half of the time measured, the driver and its workers first."""
    since, found = WARM_UP * seconds, []
    half = 0.5 * (1 - WARM_UP) * seconds
    for (title, pid), rows in sorted(sampler.rows.items(), key=lambda item: (item[0][0].startswith("Ray"), item[0])):
        measured = [row for row in rows if row[0] >= since]
        if len(measured) > 5 and measured[-1][0] - measured[0][0] >= half:
            found += judge(rows, title, ("MB", "objects" if pid == 0 else "files"), since)
    return found


def table(found: list[Series]) -> str:
    """Markdown, one line a series."""
    lines = [
        "| process | | first | last | an hour | 95 % interval | |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for s in found:
        lines.append(
            f"| {s.process} | {s.quantity} | {s.start:.1f} | {s.end:.1f} | {s.per_hour:+.1f} | "
            f"{s.low:+.1f} to {s.high:+.1f} | {'**grows**' if s.grows else ''} |"
        )
    return "\n".join(lines)


def generated(folder: Path) -> Path:
    """A dataset of small photos; made in another process, so that its Ray is gone before anything is measured."""
    command = [
        sys.executable,
        "-m",
        "rl_aesthetics_cli",
        "generate",
        "--source",
        "samples",
    ]
    command += ["--output", str(folder), "--max-size", "128", "--copies", "4"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--dataset", type=Path, help="a folder that `generate` wrote; sample photos if left out")
    parser.add_argument("--cpus", type=int, default=2, help="of the Ray that is started")
    parser.add_argument("--workers", type=int, default=1, help="rollout workers")
    parser.add_argument("--quick", action="store_true", help="a minute and a half: shows that it runs")
    arguments = parser.parse_args()
    minutes = 1.5 if arguments.quick else arguments.minutes
    with tempfile.TemporaryDirectory() as temporary:
        root, where = Path(temporary), machine()
        dataset = arguments.dataset or generated(root / "data")
        settings = [
            f"dataset={dataset}",
            f"output={root}/run",
            f"mlflow.tracking_uri=sqlite:///{root}/mlflow.db",
            "training.num_epochs=1000000",
            "training.replay_capacity=20000",
            "training.dataloader_batch_size=8",
            "training.validation_frequency=4",
            "learner.replay=reference",
            "learner.learning_starts=200",
            "learner.checkpoint_frequency=20",
            f"learner.max_minutes={minutes}",
            "learner.threads=1",
            "checkpoints.every_minutes=1",
            "juror.options={threads: 1}",
            "juror.score_cache_size=20000",
            f"ray.num_rollout_workers={arguments.workers}",
            "ray.cpus_per_rollout_worker=0.5",
        ]
        with ray_session(num_cpus=arguments.cpus):
            training, sampler = Training(load_config(None, settings)), Sampler()
            sampler.start()
            report = training.run()
            sampler.stop.set()
            sampler.join()
    found = judge_all(sampler, report.seconds)
    print(table(found))
    grown = [f"{s.process}: {s.quantity}" for s in found if s.grows]
    summary = {"minutes": report.seconds / 60, "epochs": report.epochs, "env_steps": report.env_steps, "grows": grown}
    print(
        f"\n{summary['minutes']:.1f} minutes, {report.epochs} epochs, {report.env_steps:,} steps; grows: {grown or '-'}"
    )
    write_row("soak", {**where, **summary, "workers": arguments.workers, "series": [asdict(s) for s in found]})
    sys.exit(1 if grown else 0)


if __name__ == "__main__":
    main()
