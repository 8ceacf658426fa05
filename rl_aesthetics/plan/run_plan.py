"""What a run is, settled once: everything that follows from its configuration, its photos and the juror's scores."""

from __future__ import annotations

from dataclasses import dataclass

from rl_aesthetics.config.config import Config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.space import EditSpace, edit_space
from rl_aesthetics.episodes.crops import Crops
from rl_aesthetics.episodes.photos import PLAIN, EpisodePhotos, Variants
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.q_network import QNetwork
from rl_aesthetics.plan.resolve_head import initial_network
from rl_aesthetics.plan.resolve_values import resolve_values
from rl_aesthetics.plan.tasks import task_of


@dataclass(frozen=True)
class RunPlan:
    """One object for the learning algorithm, the rollout workers and whoever else has a part in a run.

        plan = RunPlan.of(config, dataset, score_range)

    Picklable: it travels to the workers as it is, and nobody derives anything from the configuration again.

    Attributes:
        config: the training's, its network settled (`resolve_values`).
        dataset: the photos to train on.
        task: what an episode is.
        space: what its actions do to photos.
        variants: what new photos of episodes are like, where edits act on the photo as it is given.
        crops: parts of photos that count as photos of their own; None if there are none.
    """

    config: Config
    dataset: RLDataset
    task: Task
    space: EditSpace
    variants: Variants = PLAIN
    crops: Crops | None = None

    @classmethod
    def of(cls, config: Config, dataset: RLDataset, score_range: tuple[float, float] | None = None) -> RunPlan:
        """The plan of a configuration.

        Args:
            score_range: the least and the greatest score of the juror, where it says so; the configuration's comes
                first.

        Raises:
            UserError: the configuration does not fit these photos, or its network neither task nor juror.
        """
        task = task_of(config)
        config = resolve_values(config, task, score_range)
        learner, space = config.learner, edit_space(task.actions)
        if learner.replay == "reference" and not space.is_group:
            raise UserError("learner.replay=reference needs reversible transforms alone; use learner.replay=frames")
        variants = Variants(learner.undegraded_share, learner.collage_share)
        crops = Crops(len(dataset), learner.crops, seed=learner.seed) if learner.crops else None
        plan = cls(config, dataset, task, space, variants, crops)
        plan.check(dataset)
        if crops and not (space.is_group and dataset.is_reversible):
            raise UserError("learner.crops is for reversible edits; others begin each episode on a new crop anyway")
        if variants != PLAIN and not (learner.fresh_degradations and plan.approximates):
            raise UserError(
                "learner.undegraded_share and learner.collage_share are for photographic edits with "
                "learner.fresh_degradations=true: without them no photo is made for an episode"
            )
        return plan

    def check(self, dataset: RLDataset) -> None:
        """Make sure that episodes can begin with every photo of a split.

        Raises:
            UserError: they cannot.
        """
        try:
            EpisodePhotos(dataset, self.space).start_states()
        except ValueError as error:
            raise UserError(f"{dataset.root or 'the dataset'} cannot be trained on: {error}") from None

    def photos(self) -> EpisodePhotos:
        """The photos that training episodes begin with; each call makes its own, with a memory of its own."""
        return EpisodePhotos(self.dataset, self.space, self.task.observation_size, self.variants, self.crops)

    @property
    def approximates(self) -> bool:
        """Whether edits act on the degraded photo as it is given, so that they come near the original at best."""
        return self.photos().acts_on_given

    @property
    def deepest(self) -> int:
        """The greatest number of edits that a training photo is away from its original; 1 where nobody counts."""
        photos = self.photos()
        return 1 if photos.acts_on_given else int(algebra.DEPTH[photos.start_states()].max())

    def initial_network(self) -> QNetwork:
        """The network as training begins with it, see `resolve_head.initial_network`."""
        return initial_network(self.config, self.task)
