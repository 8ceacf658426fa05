"""From the cluster's resources and the configuration to who runs where.

    print(plan(config, [Node("head", cpus=8, gpus=1, here=True), Node("worker", cpus=16, gpus=0)]).table())

The driver, with the replay buffer and unless `ray.num_learners` says otherwise the learner, runs where training was
started. Jurors are spread over the machines, those with a GPU share over the GPUs; rollout workers take what is left.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rl_aesthetics.config.config import Config
from rl_aesthetics.errors import UserError

VALIDATION_CPUS = 0.25
"""Set aside for the validation worker, which works for a second or two an epoch."""

CPUS_PER_JUROR = 32
"""'auto' jurors without a GPU: one for so many CPUs of the cluster. A pocket juror on one core scores some 3,000 images
a second, and with the score cache a rollout worker asks for fewer than 100 once training is under way."""

_SLACK = 1e-9


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: its name, its resources as Ray counts them, and whether the driver runs there."""

    name: str
    cpus: float
    gpus: float = 0.0
    here: bool = False


def one_machine(cpus: float, gpus: float = 0.0) -> list[Node]:
    """The cluster of this machine alone."""
    return [Node("here", cpus, gpus, here=True)]


@dataclass(frozen=True)
class Topology:
    """How many of each there are, and what Ray sets aside for each.

    Without learner actors the learner runs in the driver's process beside the replay buffer, takes no CPU of Ray's and
    uses the first GPU of the driver's machine, whose share jurors leave to it.

    Attributes:
        places: for each role, how many of it are expected on each node; Ray decides in the end.
    """

    rollout_workers: int
    cpus_per_rollout_worker: float
    jurors: int
    cpus_per_juror: float
    gpus_per_juror: float
    gpus_learner: float
    learner_threads: int
    num_learners: int = 0
    cpus_per_learner: float = 0.0
    places: dict[str, Counter[str]] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        jurors = f"{self.jurors} juror{'s' * (self.jurors != 1)}"
        workers = f"{self.rollout_workers} rollout worker{'s' * (self.rollout_workers > 1)}"
        learner = f"learner with {self.learner_threads} thread{'s' * (self.learner_threads > 1)}"
        if self.num_learners:
            learner = f"{self.num_learners} learner actor{'s' * (self.num_learners > 1)}"
        return f"{workers}, {jurors}, {learner}"

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """The table's rows: role, how many, CPUs each, GPUs each, where."""
        in_driver = self.num_learners == 0
        return [
            ("role", "number", "CPUs each", "GPUs each", "where"),
            self._row("driver and replay buffer", 1, 0, 0, "driver"),
            self._row("learner", max(1, self.num_learners), self.cpus_per_learner, self.gpus_learner, "learner")
            if not in_driver
            else ("learner", "1", f"{self.learner_threads} threads", f"{self.gpus_learner:g}", "in the driver"),
            *([self._row("juror", self.jurors, self.cpus_per_juror, self.gpus_per_juror, "juror")] * bool(self.jurors)),
            self._row("rollout worker", self.rollout_workers, self.cpus_per_rollout_worker, 0, "rollout worker"),
            self._row("validation worker", 1, VALIDATION_CPUS, 0, "validation worker"),
        ]

    def table(self) -> str:
        """The plan for people, one role a line."""
        rows = self.rows()
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]) for row in rows)

    def _row(self, title: str, number: int, cpus: float, gpus: float, role: str) -> tuple[str, str, str, str, str]:
        places = self.places.get(role, Counter())
        where = ", ".join(name if count == 1 == number else f"{name} ×{count}" for name, count in places.items())
        return title, str(number), f"{cpus:g}", f"{gpus:g}", where


class _Room:
    """What is still free on a node; each GPU on its own, as a share of a GPU cannot lie on two."""

    def __init__(self, node: Node):
        self.node, self.cpus = node, node.cpus
        self.gpus = [1.0] * int(node.gpus)

    def fits(self, cpus: float, gpus: float) -> bool:
        if gpus > 1:
            return cpus <= self.cpus + _SLACK and sum(free > 1 - _SLACK for free in self.gpus) >= gpus
        return cpus <= self.cpus + _SLACK and (gpus == 0 or max(self.gpus, default=0.0) >= gpus - _SLACK)

    def take(self, cpus: float, gpus: float) -> None:
        self.cpus -= cpus
        for _ in range(int(gpus)):
            self.gpus[self.gpus.index(max(self.gpus))] -= 1.0
        if gpus % 1:
            self.gpus[self.gpus.index(max(self.gpus))] -= gpus % 1


class _Planner:
    def __init__(self, nodes: Sequence[Node]):
        self.rooms = [_Room(node) for node in nodes]
        self.here = next((room for room in self.rooms if room.node.here), self.rooms[0])
        self.places: dict[str, Counter[str]] = {"driver": Counter([self.here.node.name])}

    def place(self, role: str, cpus: float, gpus: float, beside_driver: bool = False) -> bool:
        """Put one on the node with the most room, or beside the driver if that has any; False if it fits nowhere."""
        fitting = [room for room in self.rooms if room.fits(cpus, gpus)]
        if not fitting:
            return False
        mine = self.places.setdefault(role, Counter())
        room = max(
            fitting,
            key=lambda room: (beside_driver and room is self.here, -mine[room.node.name], sum(room.gpus), room.cpus),
        )
        room.take(cpus, gpus)
        mine[room.node.name] += 1
        return True


def plan(config: Config, nodes: Sequence[Node]) -> Topology:
    """Fit the configuration to the machines of a cluster.

    Raises:
        UserError: it does not fit; the message says what is missing.
    """
    juror, ray = config.juror, config.ray
    cpus, gpus = sum(node.cpus for node in nodes), sum(int(node.gpus) for node in nodes)
    planner = _Planner(nodes)
    jurors = _number_of_jurors(config, nodes) if juror.replicas == "auto" else juror.replicas
    if juror.name == "reference":  # which is computed where it is needed; one more juror may be mixed in
        jurors = 0 if juror.options.get("juror") is None else 1 if juror.replicas == "auto" else jurors
    learners = ray.num_learners
    wanted_gpus = jurors * juror.num_gpus + max(1, learners) * ray.num_gpus_learner
    if wanted_gpus > gpus:
        raise UserError(
            f"jurors and learner want {wanted_gpus:g} GPUs, the cluster has {gpus:g}: lower juror.num_gpus or "
            "ray.num_gpus_learner"
        )
    at_least = 1 if ray.num_rollout_workers == "auto" else ray.num_rollout_workers
    needed = at_least * ray.cpus_per_rollout_worker + jurors * juror.num_cpus + VALIDATION_CPUS
    needed += learners * ray.cpus_per_learner
    if needed > cpus + _SLACK:
        learning = f", {learners} learners" if learners else ""
        raise UserError(
            f"{at_least} rollout workers, {jurors} jurors{learning} and the validation need {needed:g} CPUs, the "
            f"cluster has {cpus:g}: lower ray.num_rollout_workers, ray.cpus_per_rollout_worker or juror.num_cpus"
        )

    if learners == 0 and ray.num_gpus_learner:
        if not planner.here.fits(0, ray.num_gpus_learner):
            raise UserError(
                f"the learner wants {ray.num_gpus_learner:g} GPUs of the machine that training is started on "
                f"({planner.here.node.name}), which has {planner.here.node.gpus:g}: start it on another, or set "
                "ray.num_learners=1"
            )
        planner.here.take(0, ray.num_gpus_learner)
    for _ in range(learners):
        _place(planner, "learner", ray.cpus_per_learner, ray.num_gpus_learner, beside_driver=True)
    for _ in range(jurors):
        _place(planner, "juror", juror.num_cpus, juror.num_gpus)
    _place(planner, "validation worker", VALIDATION_CPUS, 0, beside_driver=True)
    workers = _place_workers(planner, config)
    here = os.cpu_count() or 1
    beside = planner.places.get("rollout worker", Counter())[planner.here.node.name]
    return Topology(
        rollout_workers=workers,
        cpus_per_rollout_worker=ray.cpus_per_rollout_worker,
        jurors=jurors,
        cpus_per_juror=juror.num_cpus,
        gpus_per_juror=juror.num_gpus,
        gpus_learner=ray.num_gpus_learner,
        learner_threads=config.learner.threads or max(1, here - beside),
        num_learners=learners,
        cpus_per_learner=ray.cpus_per_learner if learners else 0.0,
        places=planner.places,
    )


def _number_of_jurors(config: Config, nodes: Sequence[Node]) -> int:
    """One for each GPU that has its share free, or for so many CPUs; at least one."""
    share, learners = config.juror.num_gpus, config.ray.num_learners
    if not share:
        return max(1, int(sum(node.cpus for node in nodes) // CPUS_PER_JUROR))
    if share > 1:
        slots = sum(int(node.gpus // share) for node in nodes)
    else:
        of_learners = max(1, learners) if config.ray.num_gpus_learner > 1 - share + _SLACK else 0
        slots = sum(int(node.gpus) for node in nodes) - of_learners
    # Half of the CPUs at most: jurors without anybody who asks them are of no use.
    by_cpus = sum(node.cpus for node in nodes) / 2 // config.juror.num_cpus if config.juror.num_cpus else slots
    return max(1, int(min(slots, by_cpus)))


def _place(planner: _Planner, role: str, cpus: float, gpus: float, beside_driver: bool = False) -> None:
    if not planner.place(role, cpus, gpus, beside_driver):
        free = ", ".join(f"{r.node.name} {r.cpus:g} CPUs {max(r.gpus, default=0):g} GPU" for r in planner.rooms)
        raise UserError(
            f"a {role} wants {cpus:g} CPUs and {gpus:g} GPUs on one machine, and none has them free ({free}): ask for "
            "less or for fewer"
        )


def _place_workers(planner: _Planner, config: Config) -> int:
    wanted, share = config.ray.num_rollout_workers, config.ray.cpus_per_rollout_worker
    if wanted != "auto":
        for _ in range(wanted):
            _place(planner, "rollout worker", share, 0)
        return wanted
    if config.ray.num_learners == 0:
        planner.here.cpus -= 1.0  # for the learner, unless nothing else would be left
    workers = 0
    while planner.place("rollout worker", share, 0):
        workers += 1
    if not workers:
        planner.here.cpus += 1.0
        _place(planner, "rollout worker", share, 0)
    return max(1, workers)
