"""How sampling scales with the number of rollout workers, and what ends it, with a juror that costs time but no CPU.

    python benchmarks/scaling.py                            # 1, 2, 4, 8 and 16 runners, about five minutes
    python benchmarks/scaling.py --runners 1 4 16 64        # on a larger machine
    python benchmarks/scaling.py --jurors 4                 # several jurors
    python benchmarks/scaling.py --quick                    # does it run at all?

The juror sleeps 20 ms a batch, however large, as a model on a GPU would. Nothing is remembered and nothing is learned,
so every step asks it: what is measured is `ActorLearner`, its rollout workers and the juror actor, as in training
with a slow juror. Each number of runners is measured after a warm-up; CPU time is that of the runners, the juror actor
and this process, from /proc, so that other programs do not count.

Three things can bound n runners, and the table shows all of them:

    of linear            the rate over n times the rate of one runner
    of what cores allow  the rate over the lesser of that and (cores / CPU time of a step, as one runner needs it)
    juror busy           the share of time in which the juror actor computes a batch

One juror answers one batch at a time and all runners meet in it, so they also compute at the same time: a round takes
20 ms plus n · c / cores, where c is the CPU time of a runner's step. That bends before the cores are full, unless there
are several jurors (`--jurors`), between which runners spread.

It deliberately leaves out learning (throughput.py) and the time of starting the runners.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import ray
from setting import machine, made_up_photos, start_ray, write_row

from ray_cluster.cluster.topology import one_machine, plan
from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.learner.actor_learner import ActorLearner
from ray_cluster.learner.build import build_algorithm
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.plan.run_plan import RunPlan

FULL = 0.9
"""Cores that are used to this share are full: the rest is the operating system's."""
NEVER = 1_000_000
"""Transitions before learning starts: more than a run samples."""


class SleepingJuror:
    """A `Scorer` that takes a fixed time for a batch and no CPU."""

    size, fingerprint = 64, "sleeping:1"

    def __init__(self, seconds: float):
        self.seconds = seconds

    def score(self, images) -> np.ndarray:
        time.sleep(self.seconds)
        return np.full(len(images), 0.5, np.float32)


@dataclass
class Point:
    """What was measured with so many runners; rates are medians over the rounds.

    Attributes:
        cpu_ms_per_call: CPU time of all processes for each vector step of a runner, which is one call of the juror.
        wait_ms: what a call waits in the juror's queue, median.
    """

    runners: int
    env_steps_per_s: float
    least: float
    most: float
    cores_used: float
    cpu_ms_per_call: float
    requests_per_batch: float
    juror_busy: float
    wait_ms: float


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that processes have used so far, user and system."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def started(dataset: RLDataset, runners: int, arguments: argparse.Namespace) -> tuple[ActorLearner, object]:
    seconds = arguments.juror_ms / 1000
    scorer = start_jurors(lambda: SleepingJuror(seconds), replicas=arguments.jurors, num_cpus=0)
    config = load_config(
        None,
        [
            f"learner.network={arguments.network}",
            "learner.replay=reference",
            f"learner.learning_starts={NEVER}",
            f"training.replay_capacity={2 * NEVER}",
            f"training.dataloader_batch_size={arguments.episodes}",
            f"ray.num_rollout_workers={runners}",
            "juror.num_cpus=0",
            "juror.score_cache_size=8",  # nearly nothing is remembered, so that every step asks
        ],
    )
    topology = plan(config, one_machine(runners + 2))
    return build_algorithm(RunPlan.of(config, dataset), scorer, topology), scorer


def sample(algorithm: ActorLearner, seconds: float) -> float:
    """Sample for about so long; how long it was."""
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        algorithm.training_step(min(0.5, seconds - elapsed))
    return time.perf_counter() - began


def measure(dataset: RLDataset, runners: int, arguments: argparse.Namespace) -> Point:
    algorithm, scorer = started(dataset, runners, arguments)
    try:
        pids = algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
        pids += [health["pid"] for health in ray.get([actor.health.remote() for actor in scorer.actors])]
        pids.append(os.getpid())
        sample(algorithm, arguments.warm_up)
        rates, cpu, elapsed, calls = [], 0.0, 0.0, 0
        before = scorer.stats()
        for _ in range(arguments.rounds):
            steps, used, asked = algorithm.env_steps, cpu_seconds(pids), algorithm.scorer_calls
            took = sample(algorithm, arguments.seconds)
            rates.append((algorithm.env_steps - steps) / took)
            cpu += cpu_seconds(pids) - used
            calls += algorithm.scorer_calls - asked
            elapsed += took
        after = scorer.stats()
        batches = sum(b["batches"] - a["batches"] for a, b in zip(before, after, strict=True))
        requests = sum(b["requests"] - a["requests"] for a, b in zip(before, after, strict=True))
        return Point(
            runners=runners,
            env_steps_per_s=statistics.median(rates),
            least=min(rates),
            most=max(rates),
            cores_used=cpu / elapsed,
            cpu_ms_per_call=1000 * cpu / max(1, calls),
            requests_per_batch=requests / max(1, batches),
            juror_busy=batches * arguments.juror_ms / 1000 / elapsed / arguments.jurors,
            wait_ms=statistics.median(replica["wait_ms_p50"] for replica in after),
        )
    finally:
        algorithm.stop()
        scorer.close()


def possible(point: Point, one: Point, cores: int, episodes: int) -> float:
    """Env steps/s that so many runners could make if only one runner's pace and the cores bounded them."""
    allowed = cores * episodes / (one.cpu_ms_per_call / 1000)
    return min(point.runners / one.runners * one.env_steps_per_s, allowed)


def bend(points: list[Point], cores: int, arguments: argparse.Namespace) -> str:
    """Where the curve leaves 0.9 of linear, and by what."""
    one = points[0]
    for point in points[1:]:
        linear = point.env_steps_per_s / (point.runners / one.runners * one.env_steps_per_s)
        if linear >= 0.9:
            continue
        where = f"It bends at {point.runners} runners ({linear:.2f} of linear): "
        if point.cores_used >= FULL * cores:
            return where + f"the cores are full ({point.cores_used:.1f} of {cores})."
        round_ms = arguments.juror_ms + one.cpu_ms_per_call * max(1.0, point.runners / cores)
        expected = point.runners * arguments.episodes / round_ms * 1000
        return where + (
            f"{point.cores_used:.1f} of {cores} cores are used, the juror is busy {point.juror_busy:.0%} of the time, "
            f"with {point.requests_per_batch:.1f} requests a batch. Runners that meet in one batch compute at the same "
            f"time: {arguments.juror_ms:g} ms + {point.runners} × {one.cpu_ms_per_call:.1f} ms / {cores} cores make "
            f"{expected:,.0f} env steps/s, measured are {point.env_steps_per_s:,.0f}."
        )
    return f"At least 0.9 of linear up to {points[-1].runners} runners."


def table(points: list[Point], cores: int, arguments: argparse.Namespace) -> str:
    heads = ["runners", "env steps/s", "of linear", "of what cores allow", "cores used", "CPU ms/call"]
    heads += ["requests/batch", "juror busy", "wait ms"]
    lines = [f"| {' | '.join(heads)} |", f"|{' ---: |' * len(heads)}"]
    one = points[0]
    for point in points:
        linear = point.runners / one.runners * one.env_steps_per_s
        cells = [
            str(point.runners),
            f"{point.env_steps_per_s:,.0f} ({point.least:,.0f}–{point.most:,.0f})",
            f"{point.env_steps_per_s / linear:.2f}",
            f"{point.env_steps_per_s / possible(point, one, cores, arguments.episodes):.2f}",
            f"{point.cores_used:.2f}",
            f"{point.cpu_ms_per_call:.1f}",
            f"{point.requests_per_batch:.1f}",
            f"{point.juror_busy:.2f}",
            f"{point.wait_ms:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runners", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--jurors", type=int, default=1, help="juror actors")
    parser.add_argument("--juror-ms", type=float, default=20, help="time of a batch")
    parser.add_argument("--episodes", type=int, default=16, help="side by side in each runner")
    parser.add_argument("--network", default="atari_cnn")
    parser.add_argument("--seconds", type=float, default=6, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=5, help="seconds, for each number of runners")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="1 and 2 runners, one short round, nothing written")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.runners, arguments.seconds, arguments.rounds, arguments.warm_up = [1, 2], 1.0, 1, 1.0
    if min(arguments.runners) < 1 or arguments.jurors < 1:
        parser.error("--runners and --jurors must be at least 1")
    runners = sorted(set(arguments.runners))
    about, dataset, cores = machine(), made_up_photos(256, arguments.seed), len(os.sched_getaffinity(0))
    start_ray(max(runners) + 2)  # Ray's bookkeeping; how many cores there are is what is measured
    points = []
    for number in runners:
        points.append(measure(dataset, number, arguments))
        print(f"{number} runners: {points[-1].env_steps_per_s:,.0f} env steps/s", flush=True)
    ray.shutdown()
    print(
        f"\n{about['cpu']}, {cores} cores, {arguments.episodes} episodes a runner, {arguments.jurors} juror(s) of "
        f"{arguments.juror_ms:g} ms a batch, {about['date']}, load before {about['load_before']}"
    )
    print(table(points, cores, arguments))
    print(f"\n{bend(points, cores, arguments)}")
    if not arguments.quick:
        row = {**about, "settings": vars(arguments), "results": [asdict(point) for point in points]}
        print(f"Wrote {write_row('scaling', row)}")


if __name__ == "__main__":
    main()
