"""Do two commits train the same agent? The weights of both, bit for bit, beside each other.

    python benchmarks/same_weights.py main HEAD                        # five or six minutes on two cores
    python benchmarks/same_weights.py HEAD $(git stash create)         # changes that are not committed yet
    python benchmarks/same_weights.py main HEAD --kinds photographic --seeds 0
    python benchmarks/same_weights.py main HEAD --kinds rainbow        # a head per action, curriculum, priorities
    python benchmarks/same_weights.py main HEAD --kinds reversible_resumed photographic_resumed
    python benchmarks/same_weights.py main HEAD --json FILE

Both commits are checked out in a temporary folder. Each makes its own datasets from the same made-up photos, and trains
on them with `learner.lockstep=true`, each time in a process and on a Ray of its own, with its own preset and a few
settings that make it small. Compared are the datasets (every byte), the trained weights after each epoch (the running
average where the preset keeps one; names of tensors do not count, as a refactoring may change them) and what was
measured in training and validation. Kinds that are `resumed` go on from the checkpoints in tests/files, which an early
version wrote. Exits with 0 if all of it is equal, with 1 if not, with 2 if a commit cannot train.

Where a commit calls a setting otherwise, add what it says to the setting's alternatives below. It deliberately leaves
out whether the agent is any good, and everything after training. It needs nothing of the project itself but git.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from safetensors import safe_open

ROOT = Path(__file__).parents[1]
BEGUN = ROOT / "tests" / "files" / "format_1"
PHOTOS, EPOCHS = 28, 4
PATIENCE_S = 900
COMMAND_LINES = {"rl_aesthetics_cli": ("-m", "rl_aesthetics_cli")}
"""How a commit is run that has this folder; others as `OLD_COMMAND_LINE`."""
OLD_COMMAND_LINE = ("-c", "from rl_aesthetics.cli import main; main()")
PRESETS = ("rl_aesthetics/config/presets", "configs")
"""Where presets may lie; the first folder that has the one in question."""

Choice = tuple[tuple[str, ...], ...]
"""Alternatives, each one or several settings; a commit is given the first that it understands."""

KEEP: Choice = (("learner.keep_checkpoints=9",),)
SMALL: tuple[Choice, ...] = (
    KEEP,
    ((f"training.num_epochs={EPOCHS}",),),
    (("training.batch_size=32",),),
    (("training.replay_capacity=2000",),),
    (("training.dataloader_batch_size=4",),),
    ((f"training.validation_frequency={EPOCHS // 2}",),),
    (("training.epsilon_decay=0.97",),),
    (("learner.learning_starts=32",),),
    (("learner.threads=1",),),
    (("ray.num_cpus=2",),),
    (("ray.num_rollout_workers=1", "learner.max_minutes=null", "learner.lockstep=true"),),
)
"""Settings of every training that is begun here."""

TARGET_NETWORK: Choice = (("training.target_update_frequency=7",),)
"""Of kinds that have one."""


@dataclass(frozen=True)
class Kind:
    """A way of training: the preset, what degrades the photos, what is set; or what of `BEGUN` is gone on with."""

    preset: str = ""
    generate: tuple[str, ...] = ("--depth", "2")
    settings: tuple[Choice, ...] = ()
    begun: str = ""


KINDS = {
    "reversible": Kind(
        "tuned",
        settings=(
            *SMALL,
            TARGET_NETWORK,
            (("learner.crops=4",),),
            (("learner.augment=false",), ()),  # the first of both also crops when it replays, the later ones never do
            (("juror.options={threads: 1}",),),
        ),
    ),
    "photographic": Kind(
        "photographic",
        generate=("--depth", "2", "--transformation", "tonal", "--juror", "reference"),
        settings=(
            *SMALL,
            (("training.max_steps_per_episode=6",),),
            (("reward.change_price=0.002", "reward.step_penalty=0.0002"),),  # it would stop at once, so little trained
        ),
    ),
    "rainbow": Kind(
        "default",
        settings=(
            *SMALL,
            (
                ("learner.dueling=true", "learner.num_atoms=11", "learner.noisy=true"),
                ("learner.network={kind: simple_cnn, dueling: true, num_atoms: 11, noisy: true}",),
            ),
            TARGET_NETWORK,
            (("learner.n_step=3",),),
            (("learner.prioritized=true",),),
            (("curriculum.enabled=true", "curriculum.threshold=0"),),
            (("juror.options={threads: 1}",),),
        ),
    ),
    "reversible_resumed": Kind(settings=(KEEP,), begun="reversible"),
    "photographic_resumed": Kind(settings=(KEEP,), begun="photographic"),
}


class CannotTrain(Exception):
    """A commit does not do what it is told; the last lines of what it said."""


@dataclass
class Commit:
    """A commit, checked out in `tree`; what it writes goes to `work`."""

    name: str
    tree: Path
    work: Path
    chosen: dict[Choice, tuple[str, ...]] = field(default_factory=dict)

    def run(self, *words: str | Path) -> None:
        """Run its command line in a process of its own.

        Raises:
            CannotTrain: it fails, or takes more than `PATIENCE_S`.
        """
        python = next((how for place, how in COMMAND_LINES.items() if (self.tree / place).is_dir()), OLD_COMMAND_LINE)
        self._python(*python, *map(str, words))

    def check(self) -> None:
        """Make sure that it runs its own code, and not a project that is installed.

        Raises:
            CannotTrain: it does not.
        """
        where = Path(self._python("-c", "import rl_aesthetics; print(rl_aesthetics.__file__)").strip())
        if not where.is_relative_to(self.tree):
            raise CannotTrain(f"{self.name} would run {where}")

    def _python(self, *words: str) -> str:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        environment = outside | {"PYTHONPATH": str(self.tree), "RAY_AUTH_MODE": "disabled", "CUDA_VISIBLE_DEVICES": ""}
        try:
            ran = subprocess.run(
                [sys.executable, *words],
                cwd=self.tree,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            raise CannotTrain(f"{self.name}: {' '.join(words)} took more than {PATIENCE_S} s") from None
        if ran.returncode:
            said = "\n".join((ran.stdout + ran.stderr).splitlines()[-12:])
            raise CannotTrain(f"{self.name}: {' '.join(words)} failed:\n{said}")
        return ran.stdout

    def preset(self, name: str) -> Path:
        """The file of a preset.

        Raises:
            CannotTrain: there is none.
        """
        places = [self.tree / folder / f"{name}.yaml" for folder in PRESETS]
        if not (there := [place for place in places if place.is_file()]):
            raise CannotTrain(f"{self.name} has no preset {name}.yaml in {' or '.join(PRESETS)}")
        return there[0]

    def settings(self, kind: Kind) -> list[str]:
        """What to set besides the preset, in this commit's words."""
        for choice in kind.settings:
            if choice not in self.chosen:
                self.chosen[choice] = self._understood(choice, kind)
        return [setting for choice in kind.settings for setting in self.chosen[choice]]

    def _understood(self, choice: Choice, kind: Kind) -> tuple[str, ...]:
        *others, last = choice
        for settings in others:
            with contextlib.suppress(CannotTrain):
                preset = ("--config", self.preset(kind.preset)) if kind.preset else ()
                self.run("train", *preset, "--dry-run", *settings)
                return settings
        return last  # whether it is understood shows when it is used

    def generate(self, name: str, photos: Path) -> str:
        """Make the dataset of a kind, or take the one of a training that was begun; returns its hash."""
        kind, folder = KINDS[name], self.work / name / "data"
        if kind.begun:
            shutil.copytree(BEGUN / "datasets" / kind.begun, folder)
        else:
            small = ("--max-size", "96", "--split-ratios", "0.75,0.25,0", "--workers", "1", "--seed", "7")
            self.run("generate", "--source", photos, "--output", folder, *small, *kind.generate)
        digest = hashlib.sha256()
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{file.relative_to(folder)} {file.stat().st_size}\n".encode() + file.read_bytes())
        return digest.hexdigest()

    def train(self, name: str, seed: int) -> tuple[dict[int, str], str]:
        """Train on the dataset of a kind; returns the hashes of the weights by epoch, and of the metrics."""
        kind, output = KINDS[name], self.work / name / f"seed_{seed}"
        settings = [f"dataset={self.work / name / 'data'}", f"output={output}", *self.settings(kind)]
        settings.append(f"mlflow.tracking_uri=sqlite:///{self.work}/mlflow.db")
        if kind.begun:
            shutil.copytree(BEGUN / "trainings" / kind.begun, output)
            self.run("train", "--config", output / "config.yaml", "--resume", "auto", *settings)
        else:
            self.run("train", "--config", self.preset(kind.preset), *settings, f"learner.seed={seed}")
        files = sorted(output.rglob("epoch_*.safetensors"))
        weights = {int(file.stem.removeprefix("epoch_")): weights_hash(file) for file in files}
        if not EPOCHS <= len(weights) == len(set(weights.values())):
            raise CannotTrain(f"{self.name} did not learn in each of {EPOCHS} epochs of {name}: {weights}")
        return weights, metrics_hash(output / "metrics.jsonl")


def weights_hash(file: Path) -> str:
    """SHA-256 of all tensors of an agent file: their types, shapes and bytes, in no order and without names."""
    with safe_open(file, framework="np") as opened:
        tensors = [opened.get_tensor(name) for name in opened.keys()]  # noqa: SIM118 - not a dict
    each = [hashlib.sha256(f"{t.dtype.str} {t.shape}".encode() + t.tobytes()).hexdigest() for t in tensors]
    return hashlib.sha256("".join(sorted(each)).encode()).hexdigest()


def metrics_hash(file: Path) -> str:
    """SHA-256 of what was measured in training and validation, the clock excepted."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [{name: row[name] for name in sorted(row) if name.startswith(("train_", "val_"))} for row in rows]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def make_photos(folder: Path) -> Path:
    """Smooth colourful noise with some grain."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(PHOTOS):
        coarse = random.integers(20, 236, (5, 6, 3), np.uint8)
        photo = cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC) + random.normal(0, 4, (72, 96, 3))
        cv2.imwrite(str(folder / f"{number:02d}.png"), photo.clip(0, 255).astype(np.uint8))
    return folder


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def checked_out(names: list[str]) -> Iterator[tuple[list[Commit], Path]]:
    """Both commits, and an empty folder; everything is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="same_weights_") as folder:
        root, commits = Path(folder).resolve(), []
        try:
            for side, name in zip("ab", names, strict=True):
                commit = Commit(git("rev-parse", "--short", f"{name}^{{commit}}"), root / side, root / f"{side}_work")
                commits.append(commit)
                git("worktree", "add", "--detach", str(commit.tree), commit.name)
                commit.work.mkdir()
                commit.check()
            yield commits, root
        finally:
            for commit in commits:
                if commit.tree.exists():
                    git("worktree", "remove", "--force", str(commit.tree))


def compare(commits: list[Commit], photos: Path, kind: str, seeds: list[int]) -> Iterator[dict]:
    """The rows of one kind, as they become known."""
    datasets = [commit.generate(kind, photos) for commit in commits]
    for seed in [0] if KINDS[kind].begun else seeds:
        started = time.perf_counter()
        (ours, our_metrics), (theirs, their_metrics) = [commit.train(kind, seed) for commit in commits]
        unlike = [epoch for epoch in sorted({*ours, *theirs}) if ours.get(epoch) != theirs.get(epoch)]
        row = {
            "kind": kind,
            "seed": seed,
            "dataset": datasets,
            "weights": [weights[max(weights)] for weights in (ours, theirs)],
            "metrics": [our_metrics, their_metrics],
            "differs_from_epoch": unlike[0] if unlike else None,
        }
        row["equal"] = not unlike and all(len(set(row[what])) == 1 for what in ("dataset", "weights", "metrics"))
        print(f"{kind} seed {seed}: {'equal' if row['equal'] else 'NOT EQUAL'}, ", end="", flush=True)
        print(f"{time.perf_counter() - started:.0f} s", flush=True)
        yield row


def table(rows: list[dict], commits: list[Commit]) -> str:
    """Markdown; hashes are cut after 16 digits."""
    lines = [
        f"| kind | seed | dataset | weights of {commits[0].name} | of {commits[1].name} | metrics | equal |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        dataset, metrics = ("same" if len(set(row[what])) == 1 else "differs" for what in ("dataset", "metrics"))
        epoch = row["differs_from_epoch"]
        verdict = "yes" if row["equal"] else "**no**" + (f", weights from epoch {epoch} on" if epoch else "")
        ours, theirs = (f"`{digest[:16]}`" for digest in row["weights"])
        lines.append(f"| {row['kind']} | {row['seed']} | {dataset} | {ours} | {theirs} | {metrics} | {verdict} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs=2, metavar="COMMIT", help="what git understands as one")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["reversible", "photographic"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows, with whole hashes")
    arguments = parser.parse_args()
    started = time.perf_counter()
    try:
        with checked_out(arguments.commits) as (commits, root):
            photos = make_photos(root / "photos")
            rows = [row for kind in arguments.kinds for row in compare(commits, photos, kind, arguments.seeds)]
    except subprocess.CalledProcessError as error:
        print(f"error: {error.stderr.strip()}", file=sys.stderr)
        return 2
    except CannotTrain as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(rows, commits))
    equal = all(row["equal"] for row in rows)
    if arguments.json:
        names = [commit.name for commit in commits]
        result = {"commits": names, "equal": equal, "seconds": round(time.perf_counter() - started), "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
