"""`train` and `demo`: a dataset in, an agent out; and everything from photos to edited photos in one go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax

from rl_aesthetics.config.config import Config, load_config, to_yaml
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import CONFIG_FILE, METRICS_FILE
from rl_aesthetics_cli.app import app
from rl_aesthetics_cli.progress import EpochProgress

console = Console(highlight=False, soft_wrap=True)

PROMPTS = (
    ("Experiment name", "mlflow.experiment"),
    ("Dataset root", "dataset"),
    ("Max steps per episode", "rl_training.training.max_steps_per_episode"),
    ("Number of epochs", "rl_training.training.num_epochs"),
    ("Batch size", "rl_training.training.batch_size"),
    ("Learning rate", "rl_training.training.learning_rate"),
    ("Add STOP action", "rl_training.action_space.add_stop_action"),
)
"""The guide's questions and the settings that they fill."""


@app.command()
def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as dataset=runs/data output=runs/train."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file, such as configs/tuned.yaml.")] = None,
    interactive: Annotated[bool, typer.Option(help="Ask for the most important settings first.")] = False,
    overwrite: Annotated[
        bool, typer.Option(help="Replace what an earlier training left in the output folder.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="auto|PATH",
            help="Go on where a training was stopped: 'auto' from its newest checkpoint, if there is one, else from "
            "the start; or from the checkpoint at PATH.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Print the effective configuration and who would run where, and stop.")
    ] = False,
    job_metadata: Annotated[
        bool,
        typer.Option(help="Print settings, git revision and dataset for `ray job submit --metadata-json`, and stop."),
    ] = False,
) -> None:
    """Train an agent on a dataset that `generate` wrote.

    Leaves agent.safetensors (the best by validation), checkpoints, the
    effective configuration and metrics.jsonl in the output folder, and the
    curves in MLflow. docs/configuration.md lists every setting.

    Example: rl-aesthetics train --config configs/tuned.yaml dataset=runs/data
    output=runs/train training.num_epochs=20
    """
    settings = load_config(config, overrides or ())
    if interactive:
        settings = load_config(config, [*(overrides or ()), *_ask(settings)])
    if job_metadata:
        from ray_cluster.tracking import provenance

        print(json.dumps(provenance.job_metadata(settings)))
        return
    if dry_run:
        _show(settings)
        _show_plan(settings)
        return
    run_training(settings, overwrite, resume)


def run_training(settings: Config, overwrite: bool, resume: str | None = None):
    """Train with a progress display, print what was written, and return the `TrainReport`."""
    if settings.dataset is None:
        raise UserError("no dataset: add dataset=DIR, a folder that `rl-aesthetics generate` wrote")
    from ray_cluster.train.training import Training  # starts no Ray, but importing it takes seconds

    training = Training(settings, overwrite=overwrite, resume=resume)
    _show(settings)
    epochs = settings.rl_training.training.num_epochs
    with EpochProgress(console, epochs, settings.learner.max_minutes) as progress:
        training.report, training.announce = progress, console.print
        report = training.run()
    best = report.metrics
    console.print(
        f"trained {report.epochs} epochs, {report.env_steps:,} environment steps in {report.seconds:.0f} s; the best "
        f"agent, of epoch {best['epoch']:.0f}: improved {best['val_success_rate']:.3f} "
        f"(score {best['val_avg_improvement']:+.3f} on average), recovered {best['val_recovered']:.3f}, "
        f"exact {best['val_exact']:.3f} of the validation photos"
    )
    for file in (report.agent, settings.output / CONFIG_FILE, settings.output / METRICS_FILE):
        console.print(f"wrote {file}")
    return report


def _show(settings: Config) -> None:
    console.print(Syntax(to_yaml(settings), "yaml", background_color="default"))


def _show_plan(settings: Config) -> None:
    """Who would run where, on the cluster to join or on this machine, where nothing is started for it."""
    from ray_cluster.cluster.session import cluster_nodes, joins_a_cluster, local_nodes, ray_session
    from ray_cluster.cluster.topology import plan

    if joins_a_cluster(settings.ray.address):
        with ray_session(settings.ray.address):
            nodes = cluster_nodes()
    else:
        nodes = local_nodes(settings.ray.num_cpus)
    console.print(plan(settings, nodes).table())


def _ask(settings: Config) -> list[str]:
    """The guide's prompts, each with the setting's present value as its default."""
    answers = []
    for question, key in PROMPTS:
        value = settings
        for part in key.split("."):
            value = getattr(value, part)
        shown = ("y" if value else "n") if isinstance(value, bool) else value
        answer = typer.prompt(question, default="" if shown is None else str(shown))
        answers.append(f"{key}={answer}")
    return answers
