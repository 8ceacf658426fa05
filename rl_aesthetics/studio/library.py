"""What there is to look at: agents, datasets, evaluations and trainings in a folder of runs.

Pages name them by their place below that folder, and only names that were found there mean anything, so that no address
leads to a file elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.datasets.annotations import ANNOTATIONS, SPLITS
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.files.run_files import (
    AGENT_FILE,
    BEFORE_AFTER,
    CONFIG_FILE,
    EPOCH_AGENTS,
    METRICS_FILE,
    SUMMARY,
    TRAJECTORIES,
)
from rl_aesthetics.scores.scorer import Scorer

T = TypeVar("T")
MAX_DEPTH = 5
RESCAN_SECONDS = 5.0
_DEEP = {"images", "originals", BEFORE_AFTER, EPOCH_AGENTS, "mlartifacts", "mlflow_spool", "node_modules"}


@dataclass
class Found:
    """Paths by name, in alphabetical order, of each kind."""

    agents: dict[str, Path] = field(default_factory=dict)
    datasets: dict[str, Path] = field(default_factory=dict)
    evaluations: dict[str, Path] = field(default_factory=dict)
    trainings: dict[str, Path] = field(default_factory=dict)


class Library:
    """A folder of runs, looked through again every few seconds.

    Args:
        root: the folder.
        agents, datasets: more of them, from elsewhere.
        load_scorer: loads a juror by name; `None` means the one that the agent was trained with.
        jurors: the names that `load_scorer` knows.
    """

    def __init__(
        self,
        root: Path,
        load_scorer: Callable[[str | None, DQNAgent], Scorer],
        jurors: Sequence[str] = (),
        agents: Sequence[Path] = (),
        datasets: Sequence[Path] = (),
    ):
        self.root, self.jurors = root, tuple(jurors)
        self._load_scorer, self._more_agents, self._more_datasets = load_scorer, agents, datasets
        self._found, self._looked = Found(), float("-inf")
        self._cache: dict[tuple[str, ...], tuple[float, Any]] = {}
        self._lock, self._loading = threading.Lock(), threading.Lock()

    def found(self) -> Found:
        """What is there now, or was a few seconds ago."""
        with self._lock:
            if time.monotonic() - self._looked > RESCAN_SECONDS:
                self._found, self._looked = self._look(), time.monotonic()
            return self._found

    def _look(self) -> Found:
        found = Found()
        for folder, folders, files in os.walk(self.root):
            path = Path(folder)
            name = path.relative_to(self.root).as_posix()
            name = self.root.resolve().name or "runs" if name == "." else name
            if AGENT_FILE in files:
                found.agents[name] = path / AGENT_FILE
            if METRICS_FILE in files and CONFIG_FILE in files:
                found.trainings[name] = path
            if SUMMARY in files and TRAJECTORIES in files:
                found.evaluations[name] = path
            if any((path / split / ANNOTATIONS).is_file() for split in SPLITS if split in folders):
                found.datasets[name] = path
                folders[:] = [one for one in folders if one not in SPLITS]
            deep = name.count("/") + 1 >= MAX_DEPTH
            folders[:] = sorted(one for one in folders if not deep and one not in _DEEP and not one.startswith("."))
        found.agents |= {str(path): path for path in self._more_agents}
        found.datasets |= {str(path): path for path in self._more_datasets}
        return found

    def agent(self, name: str) -> DQNAgent:
        """Load an agent, or give the one loaded before.

        Raises:
            KeyError: no such name.
            UserError: its file is broken.
        """
        return self._kept(("agent",), self.found().agents[name], DQNAgent.load)

    def scorer(self, juror: str | None, agent: DQNAgent) -> Scorer:
        """The juror of that name, or the agent's own.

        Raises:
            KeyError: no such name.
            UserError: it cannot be loaded.
        """
        if juror and juror not in self.jurors:
            raise KeyError(juror)
        trained = agent.description.config.get("juror", {})
        key = ("juror", juror or f"{trained.get('name')}:{trained.get('options')}")
        with self._loading:
            if key not in self._cache:
                self._cache[key] = (0.0, self._load_scorer(juror or None, agent))
            scorer: Scorer = self._cache[key][1]
            return scorer

    def splits(self, name: str) -> list[str]:
        """The splits of a dataset.

        Raises:
            KeyError: no such dataset.
        """
        root = self.found().datasets[name]
        return [split for split in SPLITS if (root / split / ANNOTATIONS).is_file()]

    def dataset(self, name: str, split: str) -> RLDataset:
        """One split of a dataset.

        Raises:
            KeyError: no such dataset or split.
            UserError: it is broken.
        """
        if split not in self.splits(name):
            raise KeyError(split)
        root = self.found().datasets[name]
        return self.dataset_at(root, split)

    def dataset_at(self, root: Path, split: str) -> RLDataset:
        """A split by its folder, which must come from something found here, never from an address."""
        return self._kept(("split", split), root / split / ANNOTATIONS, lambda path: RLDataset(root, split))

    def kept(self, kind: str, path: Path, read: Callable[[Path], T]) -> T:
        """`read(path)`, remembered until the file changes."""
        return self._kept((kind,), path, read)

    def _kept(self, kind: tuple[str, ...], path: Path, read: Callable[[Path], T]) -> T:
        changed = path.stat().st_mtime
        key = (*kind, str(path))
        with self._loading:
            if key not in self._cache or self._cache[key][0] != changed:
                self._cache[key] = (changed, read(path))
            kept: T = self._cache[key][1]
            return kept
