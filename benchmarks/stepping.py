"""How fast the environment alone steps, beside one photo at a time under Stable-Baselines3's vector environments.

    pip install -c constraints.txt -e '.[bench]'
    python benchmarks/stepping.py                       # made-up photos of 128 pixels, a minute
    python benchmarks/stepping.py --dataset runs/data   # real ones

Random actions, 16 episodes side by side. All scores are known: `ImageEditVectorEnv` has seen every state that occurs,
and `ImageEditEnv`, which keeps no scores, gets a scorer that answers 0.5 without looking. What is counted is CPU time,
that of Stable-Baselines3's worker processes included, so other programs on the machine matter little; steps are those
of episodes, the step in which a vector environment begins anew not counted.

Acting is measured apart: greedy actions of some networks for 32 photos at once, in one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from setting import machine, made_up_photos, write_row
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.episodes.env import ImageEditEnv
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.registry import make_network
from rl_aesthetics.networks.trunks import NARROW
from rl_aesthetics.scores.scorer import FunctionScorer

EPISODES = 16
RANGE = {"value_range": (-0.1, 1.1)}
NETWORKS = {
    "simple_cnn": ("simple_cnn", {}),
    "atari_cnn": ("atari_cnn", {}),
    "afterstate, as configs/tuned.yaml trains it": ("afterstate", {**RANGE, "widths": NARROW}),
    "afterstate, as wide as the pocket juror": ("afterstate", RANGE),
}


def half(image: np.ndarray) -> float:
    return 0.5


def free_scorer() -> FunctionScorer:
    """Costs nothing, so that nobody pays for scores."""
    return FunctionScorer(half, fingerprint="half")


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


class Ours:
    """`ImageEditVectorEnv`, whose score cache is warm after the first turns."""

    def __init__(self, dataset: RLDataset, generator: np.random.Generator):
        self.environment = ImageEditVectorEnv(dataset, free_scorer(), Task(), num_envs=EPISODES)
        self.environment.reset(seed=0)
        self.generator, self.resetting = generator, np.zeros(EPISODES, bool)
        self.processes = [psutil.Process()]

    def advance(self, steps: int) -> int:
        taken = 0
        for actions_B in self.generator.integers(0, len(self.environment.space), (steps, EPISODES)):
            taken += EPISODES - int(self.resetting.sum())
            _, _, terminated_B, truncated_B, _ = self.environment.step(actions_B)
            self.resetting = terminated_B | truncated_B
        return taken

    def close(self) -> None:
        self.environment.close()


class OneByOne:
    """`ImageEditEnv` under one of Stable-Baselines3's vector environments."""

    def __init__(self, kind: type[VecEnv], dataset: RLDataset, generator: np.random.Generator):
        def make() -> ImageEditEnv:
            cv2.setNumThreads(1)
            return ImageEditEnv(dataset, free_scorer(), Task())

        before = {child.pid for child in psutil.Process().children(recursive=True)}
        self.environment, self.generator = kind([make] * EPISODES), generator
        self.environment.reset()
        children = psutil.Process().children(recursive=True)
        self.processes = [psutil.Process(), *(child for child in children if child.pid not in before)]

    def advance(self, steps: int) -> int:
        for actions_B in self.generator.integers(0, self.environment.action_space.n, (steps, EPISODES)):
            self.environment.step(actions_B)
        return steps * EPISODES

    def close(self) -> None:
        self.environment.close()


SYSTEMS: dict[str, Callable[[RLDataset, np.random.Generator], Ours | OneByOne]] = {
    "ImageEditVectorEnv": Ours,
    "ImageEditEnv, DummyVecEnv": lambda dataset, generator: OneByOne(DummyVecEnv, dataset, generator),
    "ImageEditEnv, SubprocVecEnv": lambda dataset, generator: OneByOne(SubprocVecEnv, dataset, generator),
}


def stepping(dataset: RLDataset, rounds: int, steps: int) -> dict[str, list[float]]:
    """Steps a CPU second, a value a round; the systems take turns."""
    systems = {name: make(dataset, np.random.default_rng(0)) for name, make in SYSTEMS.items()}
    systems["ImageEditVectorEnv"].advance(20 * steps)
    rates: dict[str, list[float]] = {name: [] for name in systems}
    try:
        for _ in range(rounds):
            for name, system in systems.items():
                turns = steps * (10 if name == "ImageEditVectorEnv" else 1)  # CPU clocks tick every 10 ms
                before = cpu_seconds(system.processes)
                taken = system.advance(turns)
                rates[name].append(taken / (cpu_seconds(system.processes) - before))
    finally:
        for system in systems.values():
            system.close()
    return rates


def acting(rounds: int) -> dict[str, list[float]]:
    """Greedy actions a second with each network, on one core, a value a round."""
    observations_BCHW = torch.randint(0, 256, (32, 3, 64, 64), dtype=torch.uint8)
    networks = {
        title: make_network(name, Task().actions, 64, **options).eval() for title, (name, options) in NETWORKS.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in networks}
    torch.set_num_threads(1)
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for name, network in networks.items():
                began, actions = time.process_time(), 0
                while time.process_time() - began < 0.5:
                    network(observations_BCHW).argmax(1)
                    actions += len(observations_BCHW)
                rates[name].append(actions / (time.process_time() - began))
    return {name: values[1:] for name, values in rates.items()}


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="a folder that `rl-aesthetics generate` wrote")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="of 16 episodes at once, a round")
    arguments = parser.parse_args()
    about = machine()
    try:
        dataset = RLDataset(arguments.dataset.resolve(), "train") if arguments.dataset else made_up_photos(64, 0)
    except UserError as error:
        raise SystemExit(f"stepping.py: {error}") from None
    cv2.setNumThreads(1)
    rates, acted = stepping(dataset, arguments.rounds, arguments.steps), acting(arguments.rounds)
    ours = statistics.median(rates["ImageEditVectorEnv"])
    print(f"{about['cpu']}, {len(dataset)} photos, load {about['load_before']} before\n")
    print("| environment | steps a CPU second | ours is so many times as fast |\n| --- | ---: | ---: |")
    for name, values in rates.items():
        print(f"| {name} | {spread(values)} | {ours / statistics.median(values):.1f} |")
    print("\n| network | greedy actions a CPU second |\n| --- | ---: |")
    for name, values in acted.items():
        print(f"| {name} | {spread(values)} |")
    settings = {name: value for name, value in vars(arguments).items() if name != "dataset"}
    write_row("stepping", {**about, "settings": settings, "photos": len(dataset), "stepping": rates, "acting": acted})


if __name__ == "__main__":
    main()
