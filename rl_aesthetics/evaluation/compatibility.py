"""Whether agent, dataset and juror speak of the same things."""

from __future__ import annotations

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import UserError
from rl_aesthetics.scores.scorer import Scorer, is_full_reference


def check_juror(scorer: Scorer, agent: DQNAgent, dataset: RLDataset | None = None) -> None:
    """Check that the scores mean the same to scorer, agent and dataset.

    Raises:
        UserError: their juror fingerprints differ.
    """
    advice = "name a juror with --juror to go on with that one all the same"
    trained_on = agent.description.juror
    if trained_on and trained_on != scorer.fingerprint:
        raise UserError(f"the agent was trained on juror {trained_on}, but the juror is {scorer.fingerprint}; {advice}")
    if is_full_reference(scorer):
        return  # it compares pixels with pixels, whoever scored the dataset
    if dataset is not None and dataset.juror and dataset.juror != scorer.fingerprint:
        raise UserError(
            f"{dataset.root} was scored by {dataset.juror}, but the juror is {scorer.fingerprint}; {advice}"
        )


def check_actions(agent: DQNAgent, dataset: RLDataset) -> None:
    """Check that the agent can undo something of what was done to the photos; each reversible edit undoes itself.

    Raises:
        UserError: the agent has none of the edits that the photos were degraded with.
    """
    done = {name for record in dataset.records for name in record.sequence}
    if done and not done & set(agent.actions):
        raise UserError(
            f"{dataset.root or 'the dataset'} ({dataset.split}) was degraded with {', '.join(sorted(done))}, and the "
            f"agent has none of these edits, only {', '.join(agent.actions)}; evaluate it on another dataset"
        )
