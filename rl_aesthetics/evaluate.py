"""How well an agent edits photos it has not seen, beside baselines and the best that could be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rl_aesthetics import judges, report
from rl_aesthetics.agent import DQNAgent
from rl_aesthetics.config import Reward, Training
from rl_aesthetics.dataset import RLDataset
from rl_aesthetics.env import Task
from rl_aesthetics.episodes import Episodes, Evaluation, Policy, agent_policy
from rl_aesthetics.errors import UserError
from rl_aesthetics.reference import needs_reference
from rl_aesthetics.scoring import Scorer
from rl_aesthetics.traces import trace

RANDOM_SEEDS = 5
"""Runs of the random baseline, whose numbers are averaged."""


def task_of(agent: DQNAgent, max_steps: int | None = None) -> Task:
    """The task that an agent was trained for: its actions, observations, step limit and reward.

    Args:
        max_steps: another step limit.

    Raises:
        UserError: a step limit below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise UserError(f"an episode needs at least 1 step, got {max_steps}")
    described = agent.description
    settings = described.config.get("rl_training", {})
    gamma = settings.get("training", {}).get("gamma", Training().gamma)
    return Task(
        actions=described.actions,
        max_steps=max_steps or described.max_steps,
        reward=Reward.model_validate(settings.get("reward", {})).make(gamma),
        observation_size=agent.size,
        shows_edits=agent.shows_edits,
    )


def check_juror(scorer: Scorer, agent: DQNAgent, dataset: RLDataset | None = None) -> None:
    """Check that the scores mean the same to scorer, agent and dataset.

    Raises:
        UserError: their juror fingerprints differ.
    """
    advice = "name a juror with --juror to go on with that one all the same"
    trained_on = agent.description.juror
    if trained_on and trained_on != scorer.fingerprint:
        raise UserError(f"the agent was trained on juror {trained_on}, but the juror is {scorer.fingerprint}; {advice}")
    if needs_reference(scorer):
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


def evaluate(
    agent: DQNAgent,
    dataset: RLDataset,
    scorer: Scorer,
    output_dir: Path | str,
    agent_file: Path | str = "",
    max_steps: int | None = None,
    oracle: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
    jurors: Mapping[str, Scorer] | None = None,
) -> dict:
    """Let an agent edit every photo of a split, put it beside the baselines, and write the report.

    `rl_aesthetics.report` says what is in `output_dir` afterwards. All scores are asked of `scorer`; those recorded in
    the dataset are not used.

    Args:
        agent_file: where the agent came from, for the summary.
        max_steps: another step limit than the agent was trained with.
        oracle: search exhaustively for the best that could be had, which takes most of the time: up to 1,797 scores a
            photo with five steps. Without it there is no `oracle_fraction` and no `exhaustive_oracle`.
        progress: told what is being done, how many of its parts are done, and how many there are.
        jurors: further judges by name, which training never used.

    Returns:
        The content of `summary.json`.

    Raises:
        UserError: the agent has none of the edits that degraded the photos, the degradations cannot be undone, or
            `output_dir` cannot be written.
        ScoringError: the scorer could not answer.
    """
    tell = progress or (lambda what, done, of: None)
    check_actions(agent, dataset)
    report.check_writable(output_dir)
    evaluation = Evaluation(dataset, scorer, task_of(agent, max_steps))
    best_N = evaluation.best_scores(lambda done, of: tell("exhaustive search", done, of)) if oracle else None

    policies: dict[str, list[Policy]] = {"agent": [agent_policy(agent)]}
    policies["random"] = [evaluation.random_policy(seed) for seed in range(RANDOM_SEEDS)]
    if evaluation.space.stop is not None:
        policies["always_stop"] = [evaluation.stop_policy()]
    policies["greedy_one_step_with_juror"] = [evaluation.juror_policy()]
    if best_N is not None:
        policies["exhaustive_oracle"] = [evaluation.oracle_policy()]
    runs: dict[str, list[Episodes]] = {}
    for number, (name, tries) in enumerate(policies.items(), 1):
        runs[name] = [evaluation.run(policy) for policy in tries]
        for episodes in runs[name]:
            episodes.best_N = best_N
        tell("policies", number, len(policies))
    (agents,) = runs.pop("agent")
    described = {
        "agent_file": str(agent_file),
        "dataset": str(dataset.root or ""),
        "dataset_fingerprint": dataset.fingerprint,
        "split": dataset.split,
        "max_steps": evaluation.task.max_steps,
        "juror": scorer.fingerprint,
        "scores_compare_with": "originals" if needs_reference(scorer) else "nothing",
        "agent_juror": agent.description.juror,
        "dataset_juror": dataset.juror,
    }
    summary = report.summarise(evaluation, agents, runs, described)
    judgement = None
    if jurors or evaluation.photos.given:  # where edits can be undone exactly, `exact` says it all
        judgement = judges.judge(evaluation, agents, dict(jurors or {}))
        undegraded = judges.leaves_alone(evaluation, agent_policy(agent))
        summary["quality"] = judges.summarise(judgement, undegraded)
    traces = trace(agent, evaluation, agents)
    if judgement is not None:
        traces = judges.attach(traces, judgement)
    report.write(Path(output_dir), evaluation, agents, summary, traces)
    if judgement is not None:
        judges.write(Path(output_dir), evaluation, agents, judgement, summary["quality"])
    return summary
