"""What an evaluation leaves behind, to be read by people and by programs.

    OUTPUT/results.csv              one row a photo
    OUTPUT/before_after/0001.png    the first 20 photos: degraded, edited, original
    OUTPUT/before_after/0001.txt    their edits, one a line
    OUTPUT/report.html              everything on one page that needs no other file and can be mailed
    OUTPUT/episodes.jsonl           every decision with what the agent expected, see `trajectories`
    OUTPUT/pictures/                the page's charts, a contact sheet of the worst episodes, and an animation
    OUTPUT/summary.json             the agent's numbers, and the baselines' under `baselines`

Everything is written beside and moved into place at the end, `summary.json` last: where it stands, the rest is whole.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from rl_aesthetics.edits.transforms import STOP, TRANSFORMS
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.trajectories import Trajectory, write_trajectories
from rl_aesthetics.files.run_files import BEFORE_AFTER, PICTURES, REPORT, RESULTS, SUMMARY, TRAJECTORIES
from rl_aesthetics.reports.before_after import before_after
from rl_aesthetics.reports.episode_pictures import write_pictures
from rl_aesthetics.reports.evaluation_view import ORIGINAL_NOTE, policy_name, uses_originals
from rl_aesthetics.reports.report_page import render_report

if TYPE_CHECKING:
    from rl_aesthetics.evaluation.episodes import Episodes
    from rl_aesthetics.evaluation.evaluation import Evaluation


COLUMNS = (
    "image_id",
    "image_path",
    "initial_score",
    "final_score",
    "original_score",
    "improvement",
    "steps_taken",
    "actions",
)
"""Of `results.csv`. `initial_score` is the degraded photo's; `actions` are names joined by `+`, STOP included."""

FIRST = 20
"""Photos that get a picture."""


def numbers(episodes: Episodes) -> dict[str, float | int | None]:
    """The four success numbers and the means of a batch of episodes; `mean_steps` counts STOP."""
    success = episodes.success()
    return {
        "improved": success.improved,
        "recovered": success.recovered,
        "exact": success.exact,
        "oracle_fraction": success.oracle_fraction,
        "mean_steps": float(episodes.steps_N.mean()),
        "episodes": len(episodes.actions),
        "mean_degraded_score": float(episodes.degraded_N.mean(dtype=np.float64)),
        "mean_final_score": float(episodes.final_N.mean(dtype=np.float64)),
        "mean_original_score": float(episodes.original_N.mean(dtype=np.float64)),
        "mean_improvement": float((episodes.final_N - episodes.degraded_N).mean(dtype=np.float64)),
        "mean_return": float(episodes.returns_N.mean(dtype=np.float64)),
    }


def summarise(
    evaluation: Evaluation, agent: Episodes, baselines: Mapping[str, Sequence[Episodes]], described: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `summary.json`.

    Args:
        agent: the agent's episodes.
        baselines: episodes of other policies by name; of several runs the numbers are averaged.
        described: what was evaluated: files, split, step limit, juror fingerprints.
    """
    names = evaluation.task.actions
    used = Counter(names[action] for sequence in agent.actions for action in sequence)
    summary = {**numbers(agent), **described, "actions": {name: used[name] for name in names}}
    first = np.array([record.sequence[0] if record.sequence else "" for record in evaluation.dataset.records])
    order = {name: place for place, name in enumerate(["", *TRANSFORMS])}
    summary["by_first_degradation"] = {
        name or "none": numbers(agent.of(np.flatnonzero(first == name)))
        for name in sorted(set(first.tolist()), key=order.__getitem__)
    }
    summary["baselines"] = {name: _mean([numbers(run) for run in runs]) for name, runs in baselines.items()}
    return summary


def _mean(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len(runs) == 1:
        return dict(runs[0])
    mean = {
        key: None if value is None else float(np.mean([run[key] for run in runs])) for key, value in runs[0].items()
    }
    return {**mean, "episodes": sum(run["episodes"] for run in runs), "runs": len(runs)}


def check_writable(folder: Path | str) -> None:
    """Make a folder if it is missing, and try whether files can be written there, before hours are spent.

    Raises:
        UserError: they cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another output folder") from error


def write(
    output_dir: Path,
    evaluation: Evaluation,
    episodes: Episodes,
    summary: Mapping[str, Any],
    trajectories: Sequence[Trajectory] = (),
) -> None:
    """Write the whole report into a folder, in place of an older one there; other files stay.

    Args:
        trajectories: what the agent saw and expected, for the page, `episodes.jsonl` and the pictures, which are left
            out where there are none.

    Raises:
        UserError: the folder cannot be written.
    """
    check_writable(output_dir)
    beside = Path(tempfile.mkdtemp(prefix=".evaluation-", dir=output_dir))
    try:
        _write_results(beside / RESULTS, evaluation, episodes)
        _write_pictures(beside / BEFORE_AFTER, evaluation, episodes)
        text = json.dumps(summary, indent=2, allow_nan=False)
        (beside / SUMMARY).write_text(text + "\n", encoding="utf-8")
        (beside / PICTURES).mkdir()
        if trajectories:
            write_trajectories(beside / TRAJECTORIES, trajectories)
            (beside / REPORT).write_text(render_report(evaluation.dataset, trajectories, summary), encoding="utf-8")
            write_pictures(beside / PICTURES, evaluation.dataset, trajectories)
        (output_dir / SUMMARY).unlink(missing_ok=True)  # of an older report, whose other files go now
        for name in (BEFORE_AFTER, PICTURES):
            if (output_dir / name).exists():
                os.replace(output_dir / name, beside / f"old_{name}")
        for name in (BEFORE_AFTER, PICTURES, RESULTS, TRAJECTORIES, REPORT, SUMMARY):
            if (beside / name).exists():
                os.replace(beside / name, output_dir / name)
            else:
                (output_dir / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {output_dir}: {error.strerror}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_results(file: Path, evaluation: Evaluation, episodes: Episodes) -> None:
    names, dataset = evaluation.task.actions, evaluation.dataset
    with open(file, "w", newline="", encoding="utf-8", errors="surrogateescape") as opened:
        rows = csv.writer(opened)
        rows.writerow(COLUMNS)
        for k, record in enumerate(dataset.records):
            initial, final, original = (
                float(scores[k]) for scores in (episodes.degraded_N, episodes.final_N, episodes.original_N)
            )
            path = Path(record.image_file) if dataset.root is None else dataset.folder / record.image_file
            actions = episodes.actions[k]
            rows.writerow(
                [
                    record.image_id,
                    path.as_posix(),
                    *(f"{score:.6f}" for score in (initial, final, original, final - initial)),
                    len(actions),
                    "+".join(names[action] for action in actions),
                ]
            )


def _write_pictures(folder: Path, evaluation: Evaluation, episodes: Episodes) -> None:
    folder.mkdir()
    dataset, names = evaluation.dataset, evaluation.task.actions
    for k, record in enumerate(dataset.records[:FIRST]):
        original = dataset.original(k)
        edited = evaluation.result(k, int(episodes.finals_N[k]))
        actions = [names[action] for action in episodes.actions[k]]
        picture = before_after(
            f"photo {record.image_id} of {dataset.split!r}",
            [dataset.degraded(k), edited, original],
            [
                ", ".join(titles(record.sequence)) or "as it was",
                ", ".join(titles(actions)) + ("; this is the original, pixel for pixel" if episodes.exact_N[k] else ""),
                "",
            ],
            [float(scores[k]) for scores in (episodes.degraded_N, episodes.final_N, episodes.original_N)],
        )
        picture.save(folder / f"{k + 1:04d}.png")
        (folder / f"{k + 1:04d}.txt").write_text(
            f"photo {record.image_id}, {record.source_file}\n"
            f"degraded {episodes.degraded_N[k]:.4f}: {', '.join(record.sequence) or 'nothing'}\n"
            + "".join(f"edit {step}: {name}\n" for step, name in enumerate(actions, 1))
            + f"edited {episodes.final_N[k]:.4f}, original {episodes.original_N[k]:.4f}\n",
            encoding="utf-8",
            errors="surrogateescape",
        )


def titles(names: Iterable[str]) -> list[str]:
    """What actions do, for people."""
    return [name if name == STOP else TRANSFORMS[name].title for name in names]


def table(summary: Mapping[str, Any]) -> Table:
    """The agent beside the baselines, for a terminal of 80 columns."""
    title = f"{summary['episodes']} photos of {summary['split']!r}, at most {summary['max_steps']} steps"
    note = ORIGINAL_NOTE if uses_originals(summary) and summary["baselines"] else None
    shown = Table(title=title, title_justify="left", caption=note, caption_justify="left", box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    columns = {
        "improved": "improved",
        "recovered": "recovered",
        "exact": "exact",
        "oracle_fraction": "oracle\nfraction",
        "mean_steps": "steps",
        "mean_final_score": "final\nscore",
    }
    for header in columns.values():
        shown.add_column(header, justify="right", vertical="bottom")
    for name, row in {"agent": summary, **summary["baselines"]}.items():
        cells = ["–" if row[column] is None else f"{row[column]:.3f}" for column in columns]
        shown.add_row(policy_name(name, summary), *cells, style="bold" if name == "agent" else None)
    return shown
