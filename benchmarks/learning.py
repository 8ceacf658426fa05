"""How fast this project learns to edit photos it never saw, beside Stable-Baselines3 DQN and stock RLlib DQN.

    pip install -c constraints.txt -e '.[bench]'
    rl-aesthetics generate --source samples --output runs/data
    python benchmarks/learning.py --dataset runs/data                                # 3 seeds of ours, 1 of each peer
    python benchmarks/learning.py --dataset runs/data --minutes 10 --peer-minutes 40 # four times our time for the peers
    python benchmarks/learning.py --dataset runs/data --systems "this project" --seeds 5 learner.crops=0
    python benchmarks/learning.py --quick                                            # does it run at all?

Every system trains on the train split with the same environment, juror, cores and step limit, by the clock, one after
the other. Every few seconds the clock stops and the test split is edited greedily (`Evaluation`): `improved`,
`recovered`, `exact`, and the share of the improvement that exhaustive search finds. Building the system is not counted
either. Where our configuration draws a new degradation for every episode, the peers' environment does so too.

    this project                     configs/tuned.yaml, or what follows on the command line; from random weights, as
                                     the peers begin, unless that says `learner.network.warm_start=true`
    Stable-Baselines3, its defaults  1 episode, batch 32, learning rate 1e-4, an update every 4 steps
    Stable-Baselines3, tuned         16 episodes, batch 128, learning rate 5e-4, 8 transitions trained for each sampled
    RLlib                            its learning rate, batch and exploration; 16 episodes, 8 to 1, uniform replay

The peers use the usual DQN network (`atari_cnn`). Their exploration falls by the clock (Stable-Baselines3: in the first
tenth of the time, RLlib: in 10,000 steps).

Writes `learning-DATE.json` and `.png` after each finished run, so a long benchmark that is cut off keeps what it has.
It deliberately leaves out the time that our rollout worker is busy during an evaluation: it finishes what it was asked
for, at most two fragments of 8 steps in every episode.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import ray
import torch
from ours import ThisProject
from peers import StableBaselines, StockRLlib
from setting import RESULTS, Setting, System, machine, made_up_photos, start_ray
from throughput import BareLoop, fastest

from juror_service.jurors.registry import load_juror
from rl_aesthetics.config.config import Config, load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.oracle import Oracle
from rl_aesthetics.evaluation.policies import juror_policy, random_policy
from rl_aesthetics.plan.tasks import task_of

OURS = "this project"
THRESHOLDS = (0.60, 0.75, 0.90)
TUNED = Path(__file__).parents[1] / "configs" / "tuned.yaml"


@dataclass(frozen=True)
class Point:
    """What a system can do after `seconds` of training."""

    seconds: float
    env_steps: int
    trained: int
    improved: float
    recovered: float
    exact: float
    oracle_fraction: float | None
    mean_steps: float


@dataclass
class Curve:
    """One training of one system."""

    system: str
    seed: int
    points: list[Point]

    def time_to(self, improved: float) -> float | None:
        """Seconds until the first evaluation with at least this success rate; None if there was none."""
        return next((point.seconds for point in self.points if point.improved >= improved), None)


def ours(setting: Setting, config: Config, budget_s: float) -> System:
    seeded = config.model_copy(update={"learner": config.learner.model_copy(update={"seed": setting.seed})})
    return ThisProject(setting, seeded, budget_s)


def stable_baselines(setting: Setting, config: Config, budget_s: float) -> System:
    # A million transitions, its default, would take 25 GB; these are never full in an hour.
    return StableBaselines(replace(setting, capacity=100_000), episodes=1, budget_s=budget_s)


def stable_baselines_tuned(setting: Setting, config: Config, budget_s: float) -> System:
    system = StableBaselines(
        replace(setting, batch=128, episodes=16, capacity=100_000),
        budget_s=budget_s,
        learning_rate=5e-4,
        learning_starts=1000,
        target_update_interval=2000,
    )
    system.set_ratio(8)
    return system


def rllib(setting: Setting, config: Config, budget_s: float) -> System:
    system = StockRLlib(replace(setting, capacity=50_000), epsilon=[(0, 1.0), (10_000, 0.05)])
    system.set_ratio(8)
    return system


SYSTEMS: dict[str, Callable[[Setting, Config, float], System]] = {
    OURS: ours,
    "Stable-Baselines3, its defaults": stable_baselines,
    "Stable-Baselines3, tuned": stable_baselines_tuned,
    "RLlib": rllib,
}


def train(
    name: str, system: System, seed: int, budget_s: float, every_s: float, evaluation: Evaluation, best_N
) -> Curve:
    """Train by the clock, which stands still during an evaluation."""
    curve, elapsed = Curve(name, seed, []), 0.0
    while True:
        episodes = evaluation.run(system.policy())
        episodes.best_N = best_N
        success = episodes.success()
        point = Point(
            round(elapsed, 1), system.env_steps, system.trained, **asdict(success), mean_steps=episodes.steps_N.mean()
        )
        curve.points.append(point)
        print(
            f"{name}, seed {seed}: {elapsed:.0f} s, {point.env_steps} steps, improved {point.improved:.3f}, "
            f"recovered {point.recovered:.3f}, exact {point.exact:.3f}, {point.mean_steps:.2f} edits",
            flush=True,
        )
        if elapsed >= budget_s:
            return curve
        began = time.perf_counter()
        system.advance(min(every_s, budget_s - elapsed))
        elapsed += time.perf_counter() - began


def table(curves: list[Curve]) -> str:
    """Medians over the seeds, with the range where there are several, as a Markdown table."""

    def over_seeds(values: list[float | None], digits: int) -> str:
        if None in values:
            return f"– ({sum(value is not None for value in values)} of {len(values)} reached it)"
        text = f"{statistics.median(values):.{digits}f}"
        return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f})"

    heads = ["system", "seeds", *(f"s to {t:.2f} improved" for t in THRESHOLDS), "after s"]
    heads += ["improved", "recovered", "exact", "of the possible", "edits"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for name in dict.fromkeys(curve.system for curve in curves):
        mine = [curve for curve in curves if curve.system == name]
        last = [curve.points[-1] for curve in mine]
        cells = [name, str(len(mine))]
        cells += [over_seeds([curve.time_to(threshold) for curve in mine], 0) for threshold in THRESHOLDS]
        cells += [f"{last[0].seconds:.0f}"]
        cells += [
            over_seeds([getattr(point, what) for point in last], 2) for what in ("improved", "recovered", "exact")
        ]
        fractions = [point.oracle_fraction for point in last]
        cells += ["–" if None in fractions else over_seeds(fractions, 2)]
        cells += [over_seeds([point.mean_steps for point in last], 2)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_ups(curves: list[Curve]) -> list[str]:
    """How much earlier ours reaches each threshold than the best peer, by the medians over the seeds."""
    names = dict.fromkeys(curve.system for curve in curves)
    peers = [name for name in names if name != OURS]

    def median(name: str, threshold: float) -> float:
        times = [curve.time_to(threshold) for curve in curves if curve.system == name]
        return statistics.median(math.inf if seconds is None else seconds for seconds in times)

    lines = []
    for name in names:
        for threshold in THRESHOLDS if peers and name not in peers else ():
            mine, best = median(name, threshold), min(median(peer, threshold) for peer in peers)
            own = "not reached" if mine == math.inf else f"{mine:.0f} s"
            their = "not reached by a peer" if best == math.inf else f"{best:.0f} s by the best peer"
            factor = f": {best / mine:.1f} times" if 0 < mine < math.inf and best < math.inf else ""
            lines.append(f"{name}, {threshold:.2f} improved: {own}, {their}{factor}")
    return lines


plt.switch_backend("Agg")  # needs no screen


def plot(curves: list[Curve], baselines: dict[str, float], title: str, path: Path) -> None:
    """Success on unseen photos against wall-clock time, a line a run."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True, sharex=True)
    for axis, what in zip(axes, ("improved", "exact"), strict=True):
        for curve in curves:
            number = list(SYSTEMS).index(curve.system)
            first = curve is next(other for other in curves if other.system == curve.system)
            axis.plot(
                [point.seconds for point in curve.points],
                [getattr(point, what) for point in curve.points],
                color=f"C{number}",
                alpha=0.9 if first else 0.45,
                label=curve.system if first else None,
            )
        axis.set(xlabel="seconds of training", ylabel="share of unseen photos", title=what, ylim=(0, 1.08))
        axis.grid(alpha=0.3)
    for name, improved in baselines.items():
        axes[0].axhline(improved, linestyle=":", color="grey")
        axes[0].text(0, improved, f" {name}", va="bottom", color="grey", fontsize=8)
    axes[0].legend(loc="lower right")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="a folder that `rl-aesthetics generate` wrote")
    parser.add_argument("--config", default=str(TUNED), help="of this project")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes to the configuration")
    parser.add_argument("--minutes", type=float, default=10, help="training time of this project")
    parser.add_argument("--peer-minutes", type=float, help="training time of each peer; the same if left out")
    parser.add_argument("--every", type=float, default=15, help="seconds of training between two evaluations")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of this project")
    parser.add_argument("--peer-seeds", type=int, default=1, help="trainings of each peer")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--no-oracle", action="store_true", help="no exhaustive search for the best possible")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file and the plot")
    parser.add_argument("--quick", action="store_true", help="seconds, made-up photos, written to a temporary folder")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes, arguments.peer_minutes, arguments.every = 0.2, 0.2, 6.0
        arguments.seeds = arguments.peer_seeds = 1
        arguments.no_oracle, arguments.output = True, Path(tempfile.mkdtemp(prefix="learning-"))
    elif not arguments.dataset:
        parser.error("--dataset is missing: make one with `rl-aesthetics generate --source samples --output runs/data`")
    return arguments


def main() -> None:
    arguments = parsed()
    about = machine()
    try:
        config = load_config(arguments.config, arguments.overrides)
        if arguments.dataset:
            training, test = (RLDataset(Path(arguments.dataset).resolve(), split) for split in ("train", "test"))
        else:
            training, test = made_up_photos(64, 0), made_up_photos(24, 1)
        task, juror = task_of(config), load_juror(config.juror.name, **config.juror.options)
        evaluation = Evaluation(test, juror, task)
    except UserError as error:
        raise SystemExit(f"learning.py: {error}") from None
    setting = Setting(training, fresh=config.learner.fresh_degradations, juror=config.juror.name, task=task)
    loops = {str(threads): BareLoop(setting, threads) for threads in sorted({1, setting.cores})}
    setting = replace(setting, threads=fastest(loops, 2).threads)
    best_N = None if arguments.no_oracle else Oracle(evaluation).best_scores()
    baselines = {
        "random": evaluation.run(random_policy(evaluation.space)).success().improved,
        "greedy one step with the juror": evaluation.run(juror_policy(evaluation.space, evaluation.scores))
        .success()
        .improved,
    }
    name = arguments.output / f"learning-{time.strftime('%Y%m%d-%H%M')}"
    arguments.output.mkdir(parents=True, exist_ok=True)
    title = f"{len(training)} photos, {len(test)} unseen, {task.max_steps} steps; {about['cpu']}, {setting.cores} cores"
    start_ray(setting.cores + 1)
    # Where files lie says nothing; the dataset's fingerprint and the configuration follow.
    settings = {key: value for key, value in vars(arguments).items() if key not in ("dataset", "config", "output")}
    curves: list[Curve] = []
    for number in range(max(arguments.seeds, arguments.peer_seeds)):
        for system_name in arguments.systems:
            mine = system_name == OURS
            if number >= (arguments.seeds if mine else arguments.peer_seeds):
                continue
            budget_s = 60 * (arguments.minutes if mine else arguments.peer_minutes or arguments.minutes)
            torch.manual_seed(number)
            system = SYSTEMS[system_name](replace(setting, seed=number), config, budget_s)
            try:
                curves.append(train(system_name, system, number, budget_s, arguments.every, evaluation, best_N))
            finally:
                system.close()
            document = {
                **about,
                "settings": {**settings, "threads_of_peers": setting.threads},
                "config": config.model_dump(mode="json"),
                "dataset": {"train": training.fingerprint, "test": test.fingerprint, "juror": juror.fingerprint},
                "baselines": baselines,
                "curves": [asdict(curve) for curve in curves],
            }
            name.with_suffix(".json").write_text(json.dumps(document, indent=1))
            plot(curves, baselines, title, name.with_suffix(".png"))
    ray.shutdown()
    print(f"\n{title}, {about['date']}\n{table(curves)}\n")
    print("\n".join(speed_ups(curves)))
    print(f"Wrote {name}.json and {name}.png")


if __name__ == "__main__":
    main()
