"""How well an agent edits photos it has not seen, beside baselines and the best that could be had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.agents.edit_session import Policy
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import Progress
from rl_aesthetics.evaluation import reward_hacking
from rl_aesthetics.evaluation.compatibility import check_actions
from rl_aesthetics.evaluation.episodes import Episodes
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.oracle import Oracle
from rl_aesthetics.evaluation.policies import agent_policy, juror_policy, random_policy, stop_policy
from rl_aesthetics.evaluation.trajectories import trajectories_of
from rl_aesthetics.plan.tasks import task_of_agent
from rl_aesthetics.reports import report
from rl_aesthetics.scores.scorer import Scorer, is_full_reference

RANDOM_SEEDS = 5
"""Runs of the random baseline, whose numbers are averaged."""


def evaluate(
    agent: DQNAgent,
    dataset: RLDataset,
    scorer: Scorer,
    output_dir: Path | str,
    agent_file: Path | str = "",
    max_steps: int | None = None,
    oracle: bool = True,
    progress: Progress | None = None,
    held_out: Mapping[str, Scorer] | None = None,
) -> dict[str, Any]:
    """Let an agent edit every photo of a split, put it beside the baselines, and write the report.

    `rl_aesthetics.reports.report` says what is in `output_dir` afterwards. All scores are asked of
    `scorer`; those recorded in the dataset are not used.

    Args:
        agent_file: where the agent came from, for the summary.
        max_steps: another step limit than the agent was trained with.
        oracle: search exhaustively for the best that could be had, which takes most of the time: up to 1,797 scores a
            photo with five steps. Without it there is no `oracle_fraction` and no `exhaustive_oracle`.
        progress: told what is being done, how many of its parts are done, and how many there are.
        held_out: judges by name, which training never used.

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
    evaluation = Evaluation(dataset, scorer, task_of_agent(agent, max_steps))
    search, space = Oracle(evaluation), evaluation.space
    best_N = search.best_scores(lambda done, of: tell("exhaustive search", done, of)) if oracle else None

    policies: dict[str, list[Policy]] = {"agent": [agent_policy(agent)]}
    policies["random"] = [random_policy(space, seed) for seed in range(RANDOM_SEEDS)]
    if space.stop is not None:
        policies["always_stop"] = [stop_policy(space)]
    policies["greedy_one_step_with_juror"] = [juror_policy(space, evaluation.scores)]
    if best_N is not None:
        policies["exhaustive_oracle"] = [search.policy()]
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
        "scores_compare_with": "originals" if is_full_reference(scorer) else "nothing",
        "agent_juror": agent.description.juror,
        "dataset_juror": dataset.juror,
    }
    summary = report.summarise(evaluation, agents, runs, described)
    judgement = None
    if held_out or evaluation.photos.acts_on_given:  # where edits can be undone exactly, `exact` says it all
        judgement = reward_hacking.judge(evaluation, agents, held_out)
        undegraded = reward_hacking.leaves_alone(evaluation, agent_policy(agent))
        summary["quality"] = reward_hacking.summarise(judgement, undegraded)
    trajectories = trajectories_of(agent, evaluation, agents)
    if judgement is not None:
        trajectories = reward_hacking.attach(trajectories, judgement)
    report.write(Path(output_dir), evaluation, agents, summary, trajectories)
    if judgement is not None:
        reward_hacking.write(Path(output_dir), evaluation, agents, judgement, summary["quality"])
    return summary
