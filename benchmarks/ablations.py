"""What each idea of the learner is worth: configs/tuned.yaml with one thing changed at a time.

    rl-aesthetics generate --source DIR --output runs/data
    python benchmarks/ablations.py --dataset runs/data                                # all ideas, 3 seeds
    python benchmarks/ablations.py --dataset runs/data --ideas "no crops" "gamma 0.99" --seeds 5
    python benchmarks/ablations.py --quick                                            # does it run at all?

Every training ends after the same number of trained transitions, not by the clock, so a busy machine changes nothing
but how long it takes; what an idea costs in time is in the column of seconds, which is only worth reading on an idle
one. Each is followed by a greedy evaluation of the test split. The first row is configs/tuned.yaml as it is. Finished
trainings are kept in `ablations.jsonl` and not repeated (same idea, seed, dataset, juror and number of transitions), so
a run that is cut off goes on where it was.

It deliberately leaves out pairs of ideas: each row is one step away from the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from ours import ThisProject
from setting import RESULTS, Setting, machine, made_up_photos, start_ray, write_row

from juror_service.jurors.registry import load_juror
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.oracle import Oracle
from rl_aesthetics.plan.tasks import task_of

TUNED = Path(__file__).parents[1] / "configs" / "tuned.yaml"
REFERENCE = "as it is"
HEAD_PER_ACTION = ("learner.network=atari_cnn", "learner.value_stopping=false")
IDEAS: dict[str, tuple[str, ...]] = {
    REFERENCE: (),
    "no crops": ("learner.crops=0",),
    "stopping valued where the agent stopped only": ("learner.value_stopping=false",),
    "gamma 0.3": ("training.gamma=0.3",),
    "gamma 0.9": ("training.gamma=0.9",),
    "gamma 0.99": ("training.gamma=0.99",),
    "the last weights, not their average": ("learner.weight_average=null",),
    "next action searched for when learning (double Q)": ("learner.target_action=online",),
    "the same with single Q": ("learner.target_action=target",),
    "2-step returns": ("learner.n_step=2",),
    "prioritised replay": ("learner.prioritized=true",),
    "no mirror images when acting": ("learner.network.mirror=false",),
    "Huber's loss on unbounded values": ("learner.network.value_range=null",),
    "each transition trained 4 times, not 8": ("learner.samples_per_insert=4",),
    "convolutions as wide as the pocket juror's": ("learner.network.widths=[32, 64, 96, 128, 128]",),
    "begins as the pocket juror": ("learner.network.warm_start=true", "training.epsilon_start=0.1"),
    "a head per action (atari_cnn)": HEAD_PER_ACTION,
    "a head per action, dueling": (*HEAD_PER_ACTION, "learner.network.dueling=true"),
    "a head per action, C51": (*HEAD_PER_ACTION, "learner.network.num_atoms=51"),
    "a head per action, noisy": (*HEAD_PER_ACTION, "learner.network.noisy=true", "learner.target_action=online"),
    "a head per action, Rainbow": (
        *HEAD_PER_ACTION,
        "learner.network.dueling=true",
        "learner.network.num_atoms=51",
        "learner.network.noisy=true",
        "learner.target_action=online",
        "learner.n_step=3",
        "learner.prioritized=true",
    ),
    "a small residual network": ("learner.network=residual", "learner.value_stopping=false"),
}
COLUMNS = ("improved", "recovered", "exact", "oracle_fraction", "mean_steps", "seconds")


def train(train_set: RLDataset, overrides: tuple[str, ...], seed: int, trained: int, tested: Evaluation) -> dict:
    """One training and what it can do on the test split."""
    config = load_config(TUNED, [*overrides, f"learner.seed={seed}"])
    system = ThisProject(Setting(train_set, juror=config.juror.name, task=task_of(config), seed=seed), config)
    started = time.perf_counter()
    try:
        while system.trained < trained:
            system.algorithm.progress = system.trained / trained
            system.advance(0.5)
        seconds = time.perf_counter() - started
        episodes = tested.run(system.policy())
    finally:
        system.close()
    episodes.best_N = tested.best_N
    success = episodes.success()
    return {
        **asdict(success),
        "mean_steps": float(episodes.steps_N.mean()),
        "seconds": seconds,
        "env_steps": system.env_steps,
        "trained": system.trained,
    }


def table(rows: list[dict], ideas: list[str]) -> str:
    """Markdown: median (least–most) over the seeds."""
    lines = ["| configs/tuned.yaml, but | seeds | " + " | ".join(COLUMNS).replace("_", " ") + " |"]
    lines.append("| --- | --- |" + " --- |" * len(COLUMNS))
    for idea in ideas:
        mine = [row for row in rows if row["idea"] == idea]
        if not mine:
            continue
        cells = []
        for name in COLUMNS:
            values = [row[name] for row in mine]
            digits = {"seconds": 0, "mean_steps": 2}.get(name, 3)
            cells.append(f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})")
        lines.append(f"| {idea} | {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kept(path: Path, key: dict) -> list[dict]:
    """Rows of an earlier run that are about the same thing."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if all(row.get(name) == value for name, value in key.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="a folder that `rl-aesthetics generate` wrote")
    parser.add_argument("--ideas", nargs="+", default=list(IDEAS), help="rows of the table, by how they begin")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trained", type=int, default=40_000, help="transitions trained in each training")
    parser.add_argument("--quick", action="store_true", help="a thousand transitions on made-up photos, one seed")
    arguments = parser.parse_args()
    ideas = [idea for idea in IDEAS if any(idea.startswith(wanted) for wanted in arguments.ideas)]
    if not ideas:
        parser.error(f"no idea begins like that; there are: {'; '.join(IDEAS)}")
    seeds, trained = (1, 2000) if arguments.quick else (arguments.seeds, arguments.trained)
    if arguments.quick:
        train_set, test_set = made_up_photos(24, seed=0), made_up_photos(12, seed=1)
    elif arguments.dataset is None:
        parser.error("--dataset is missing (or --quick)")
    else:
        train_set, test_set = (RLDataset(arguments.dataset, split) for split in ("train", "test"))

    config = load_config(TUNED)
    tested = Evaluation(test_set, load_juror(config.juror.name, threads=1), task_of(config))
    tested.best_N = Oracle(tested).best_scores()
    folder = Path(tempfile.mkdtemp()) if arguments.quick else RESULTS
    key = {"photos": train_set.fingerprint, "juror": tested.scorer.fingerprint, "asked": trained}
    rows = kept(folder / "ablations.jsonl", key)
    start_ray(cpus=Setting(train_set).cores)
    for seed in range(seeds):
        for idea in ideas:
            if any(row["idea"] == idea and row["seed"] == seed for row in rows):
                continue
            result = train(train_set, IDEAS[idea], seed, trained, tested)
            row = {"idea": idea, "seed": seed, **key, **result, "overrides": IDEAS[idea], **machine()}
            write_row("ablations", row, folder)
            rows.append(row)
            print(f"seed {seed} {idea}: " + ", ".join(f"{name} {result[name]:.3f}" for name in COLUMNS), flush=True)
    print(table(rows, ideas))


if __name__ == "__main__":
    main()
