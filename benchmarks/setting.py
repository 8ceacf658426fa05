"""What all systems of a benchmark share: what they can do, photos, episode and machine; and where the results go."""

from __future__ import annotations

import datetime
import json
import logging
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import ray

from juror_service.jurors.registry import load_juror
from rl_aesthetics.agents.edit_session import Policy
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.episodes.start_states import EpisodeSampler
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv

RESULTS = Path(__file__).parent / "results"


class System(Protocol):
    """A DQN that trains by the clock.

        system.advance(10)                  # train for ten seconds
        system.env_steps, system.trained    # counters
        evaluation.run(system.policy())

    Attributes:
        env_steps: environment steps taken so far.
        trained: transitions in all learner updates so far.
    """

    env_steps: int
    trained: int

    def advance(self, seconds: float) -> None:
        """Train for about `seconds`."""

    def set_ratio(self, ratio: float) -> None:
        """From now on train `ratio` transitions for each one sampled, as closely as the library can."""

    def scorer_calls(self) -> int:
        """Calls of the juror so far."""

    def policy(self) -> Policy:
        """The greedy policy as it is now."""

    def close(self) -> None:
        """Stop its processes."""


@dataclass(frozen=True)
class Setting:
    """The same for every system.

    Attributes:
        dataset: the photos to train on.
        episodes: how many episodes run side by side.
        batch: transitions in a learner update.
        cores: CPU cores that a system may use.
        threads: of PyTorch in a peer's main process, where it acts and learns in turns.
        capacity: transitions in the replay buffer.
        fresh: draw a new degradation for every episode, in place of the recorded one.
        network: in `rl_aesthetics.networks.registry`, a head per action.
        juror: a juror's name.
    """

    dataset: RLDataset
    episodes: int = 16
    batch: int = 32
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    threads: int = 1
    capacity: int = 20_000
    fresh: bool = False
    network: str = "atari_cnn"
    juror: str = "pocket"
    task: Task = field(default_factory=Task)
    seed: int = 0

    def sampler(self) -> EpisodeSampler:
        return EpisodeSampler(self.dataset.start_states(), fresh=self.fresh)

    def environment(self, kind: type[ImageEditVectorEnv], episodes: int | None = None) -> ImageEditVectorEnv:
        """The environment with a juror in the same process: a peer pays for no way to it."""
        juror = load_juror(self.juror, threads=1)
        return kind(self.dataset, juror, self.task, num_envs=episodes or self.episodes, sampler=self.sampler())


def made_up_photos(count: int, seed: int, side: int = 128) -> RLDataset:
    """Smooth colourful noise, each with one random edit: enough where only speed is measured."""
    random = np.random.default_rng(seed)
    photos = [
        cv2.resize(random.integers(0, 256, (6, 6, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
        for _ in range(count)
    ]
    edits = random.integers(0, len(REVERSIBLE), count)
    return RLDataset.from_arrays(photos, [[REVERSIBLE[edit]] for edit in edits])


def start_ray(cpus: int) -> None:
    """A local cluster for as long as the program lives, as quiet as Ray can be."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    for chatty in ("ray.rllib", "ray.tune", "ray._common.deprecation"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def machine() -> dict[str, object]:
    """What a result depends on besides the program: CPU, cores, versions, date."""
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line.partition(":")[2].strip() for line in cpu_info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "ray", "stable-baselines3", "numpy", "onnxruntime")},
    }


def write_row(name: str, row: dict, folder: Path = RESULTS) -> Path:
    """Append a result to `name`.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    return path
