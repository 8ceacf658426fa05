"""Progress for people: a bar on a terminal, one plain line per interval elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL_S = 10.0


class EpochProgress:
    """Shows training epochs as they finish; called with each epoch's metrics.

    Args:
        epochs: how many there will be at most.
        max_minutes: the time limit, if there is one.
    """

    def __init__(self, console: Console, epochs: int, max_minutes: float | None = None):
        self.console, self.epochs, self.max_minutes = console, epochs, max_minutes
        self.bar = (
            Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._printed = 0.0
        self._validation = ""

    def __enter__(self) -> EpochProgress:
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task("", total=self.epochs, numbers="starting Ray, juror and rollout workers")
        else:
            limit = f" or {self.max_minutes:g} minutes" if self.max_minutes else ""
            self.console.print(f"training for {self.epochs} epochs{limit}; starting Ray, juror and rollout workers")
        return self

    def __exit__(self, *exception) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, metrics: dict[str, float]) -> None:
        if "val_success_rate" in metrics:
            self._validation = (
                f"  val improved {metrics['val_success_rate']:.2f} exact {metrics['val_exact']:.2f}"
                f" (epoch {metrics['epoch']:.0f})"
            )
        line = (
            f"reward {metrics.get('train_avg_reward', float('nan')):+.3f}"
            f"  train improved {metrics.get('train_success_rate', float('nan')):.2f}"
            f"  epsilon {metrics['epsilon']:.2f}"
            f"  {metrics['perf_env_steps_per_s']:.0f} steps/s  {metrics['perf_trained_per_s']:.0f} trained/s"
            f"{self._validation}"
        )
        if self.bar:
            self.bar.update(self.task, completed=metrics["epoch"], numbers=line)
        elif time.monotonic() - self._printed >= PLAIN_INTERVAL_S or metrics["epoch"] == self.epochs:
            self._printed = time.monotonic()
            self.console.print(f"epoch {metrics['epoch']:.0f}/{self.epochs}  {metrics['seconds']:.0f} s  {line}")


class PartsProgress:
    """Parts of a piece of work, done and in all; called with what is being done and the two numbers."""

    def __init__(self, console: Console):
        self.console = console
        self.bar = Progress(console=console, transient=True) if console.is_terminal else None
        self.tasks: dict[str, TaskID] = {}
        self._printed = time.monotonic()

    def __enter__(self) -> PartsProgress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, what: str, done: int, of: int) -> None:
        if self.bar:
            if what not in self.tasks:
                self.tasks[what] = self.bar.add_task(what, total=of)
            self.bar.update(self.tasks[what], completed=done, total=of)
        elif time.monotonic() - self._printed >= PLAIN_INTERVAL_S:
            self._printed = time.monotonic()
            self.console.print(f"{what}: {done} of {of}")
