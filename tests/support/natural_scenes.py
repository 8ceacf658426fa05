"""A small world that workers of a real Ray can learn in: photos of one scene, and a scorer that knows it."""

import sys

import numpy as np
import ray

from ray_cluster.cluster.topology import one_machine, plan
from ray_cluster.jurors.actor_scorer import start_jurors
from ray_cluster.learner.build import build_algorithm
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import REVERSIBLE
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.plan.run_plan import RunPlan
from rl_aesthetics.scores.scorer import FunctionScorer

SHARES = ["juror.num_cpus=0.1", "ray.cpus_per_rollout_worker=0.3"]  # several algorithms share two CPUs

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test's module


def planes():
    """A scene in blue, green and red, each brighter than the last and each with a gradient of its own."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 64), np.linspace(-0.5, 0.5, 64))
    return np.stack([60 + 60 * x + 20 * y, 120 - 30 * x - 50 * y, 190 + 20 * x + 40 * y], axis=2)


def scene(number):
    """A photo of the scene, with its own light and noise: uint8 BGR `(64, 64, 3)`."""
    rng = np.random.default_rng(number)
    return np.clip(np.rint(planes() + rng.integers(-10, 11) + rng.integers(-8, 9, (64, 64, 3))), 0, 255).astype(
        np.uint8
    )


def naturalness(image_RGB):
    """How close an image is to the scene, in [0, 1]: every edit of a photo of it lowers that."""
    return 1 - np.abs(image_RGB[..., ::-1] - planes()).mean() / 255


def make_scorer():
    return FunctionScorer(naturalness, fingerprint="naturalness")


class UnreliableScorer(FunctionScorer):
    """Fails at random, about once in eight calls."""

    def __init__(self):
        super().__init__(naturalness, fingerprint="naturalness")
        self.random = np.random.default_rng(0)

    def score(self, images):
        if self.random.random() < 0.12:
            raise ScoringError("out of order")
        return super().score(images)


def scenes(first, count):
    """Photos from number `first` on, each with one edit."""
    edits = np.random.default_rng(first).integers(0, len(REVERSIBLE), count)
    return RLDataset.from_arrays([scene(first + k) for k in range(count)], [[REVERSIBLE[edit]] for edit in edits])


def started(dataset, make, workers, *overrides, juror=None):
    """An algorithm with so many rollout workers, whose jurors `make` makes, unless there is one."""
    config = load_config(None, [*SHARES, f"ray.num_rollout_workers={workers}", *overrides])
    run = RunPlan.of(config, dataset)
    return build_algorithm(run, juror or start_jurors(make, num_cpus=0.1), plan(config, one_machine(2)))
