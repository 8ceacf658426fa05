"""`sweep`: many trainings with other settings each, and the best of them as a configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rl_aesthetics.config.sweep_plan import load_plan
from rl_aesthetics_cli.app import app

console = Console(highlight=False, soft_wrap=True)


@app.command()
def sweep(
    config: Annotated[
        Path, typer.Option(help="What to try: a YAML file such as configs/sweep.yaml, which explains itself.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of every trial: dataset=runs/data output=runs/sweep."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many trainings, in place of the file's number.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Time for all of it; what runs then is stopped.")
    ] = None,
) -> None:
    """Try settings that Optuna proposes, end poor trainings early, and write the best configuration.

    Each trial is a training like those of `train`, and a run in MLflow below
    the sweep's own. Trials share the juror and run side by side as far as the
    CPUs go. Ctrl-C ends the sweep with what it has.

    Leaves in the output folder best.yaml, which `train --config` takes,
    trials.json, and trials/, one folder a training. Needs
    pip install 'rl-aesthetics[sweep]'.

    Example: rl-aesthetics sweep --config configs/sweep.yaml dataset=runs/data
    output=runs/sweep --trials 10
    """
    settings = tuple(overrides or ())
    plan = load_plan(config, settings)
    plan = plan.model_copy(update={"trials": trials or plan.trials, "max_minutes": minutes or plan.max_minutes})
    from ray_cluster.sweep.sweep import Sweep  # starts no Ray, but importing it takes seconds

    run = Sweep(plan, settings, _Progress(plan.metric))
    console.print(
        f"{plan.trials} trials of {len(plan.space)} settings for {'the most' if plan.mode == 'max' else 'the least'} "
        f"{plan.metric}; starting Ray and juror"
    )
    report = run.run()
    table = Table(box=None)
    for heading in ("trial", plan.metric, "epochs", "", *plan.space):
        table.add_column(heading, no_wrap=True)
    for trial in report.trials:
        best = "–" if trial.best is None else f"{trial.best:.4g}"
        values = (_shown(trial.values[key]) for key in plan.space)
        table.add_row(trial.name, best, str(trial.epochs), trial.state, *values)
    console.print(table)
    for trial in report.trials:
        if trial.failure:
            console.print(f"trial {trial.name} failed: {trial.failure}", markup=False)
    console.print(f"{len(report.trials)} trials in {report.seconds:.0f} s")
    for file in (report.best_config, report.best_agent, run.output / "trials.json"):
        if file is not None:
            console.print(f"wrote {file}")
    if report.interrupted:
        sys.exit(130)


class _Progress:
    """One line with a trial's settings when it is first measured, then one whenever it gets better."""

    def __init__(self, metric: str):
        self.metric = metric
        self.best: dict[str, float] = {}

    def __call__(self, name: str, values: dict[str, Any], told: dict[str, Any]) -> None:
        if name not in self.best:
            shown = "  ".join(f"{key.rpartition('.')[2]}={_shown(value)}" for key, value in values.items())
            console.print(f"trial {name}: {shown}", markup=False)
        if self.best.get(name) != told["best"]:
            self.best[name] = told["best"]
            console.print(f"trial {name}, epoch {told['epoch']}: {self.metric} {told['best']:.4g}")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
