"""Evaluation: greedy episodes, the baselines, and the exhaustive search they are measured against."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import CountingScorer, dataset, good_agent, naturalness, scorer

from rl_aesthetics.agents.agent import AgentDescription
from rl_aesthetics.edits import algebra
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, TRANSFORMS
from rl_aesthetics.episodes.env import ImageEditEnv
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.evaluation import oracle as module
from rl_aesthetics.evaluation.compatibility import check_actions, check_juror
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.oracle import Oracle
from rl_aesthetics.evaluation.policies import agent_policy, juror_policy, random_policy, stop_policy
from rl_aesthetics.plan.tasks import task_of_agent
from rl_aesthetics.reports.evaluate import evaluate
from rl_aesthetics.rewards import REWARDS, ScoreDifference, make_reward
from rl_aesthetics.scores.scorer import FunctionScorer

ONE_EDIT = [(name,) for name in REVERSIBLE]
SOME = [("swap_gb",), ("shift_left_all",), ("invert_r",), ("shift_down_b",), ("swap_rb",)]
FEW = ("swap_gb", "invert_r", "shift_left_b")


def trial(sequences=ONE_EDIT, task=None, juror=None, **kwargs):
    return Evaluation(dataset(sequences, **kwargs), juror or scorer(), task or Task())


def test_an_agent_that_undoes_every_edit_reaches_every_number():
    evaluation = trial(task=Task(max_steps=3))
    episodes = evaluation.run(agent_policy(good_agent()))
    episodes.best_N = Oracle(evaluation).best_scores()
    success = episodes.success()
    assert (success.improved, success.recovered, success.exact) == (1, 1, 1)
    assert success.oracle_fraction == pytest.approx(1)
    assert episodes.actions == [[edit, len(REVERSIBLE)] for edit in range(14)]
    assert episodes.steps_N.tolist() == [2] * 14


def test_stopping_at_once_leaves_everything_as_it_is():
    evaluation = trial()
    episodes = evaluation.run(stop_policy(evaluation.space))
    assert episodes.success().improved == 0
    assert episodes.steps_N.tolist() == [1] * 14
    np.testing.assert_array_equal(episodes.final_N, episodes.degraded_N)
    np.testing.assert_array_equal(episodes.finals_N, episodes.starts_N)


def test_there_is_no_stopping_at_once_without_stop():
    with pytest.raises(ValueError, match="no STOP"):
        stop_policy(edit_space(REVERSIBLE))


def test_the_random_baseline_is_random_and_the_same_for_the_same_seed():
    evaluation = trial()
    first, again, other = (evaluation.run(random_policy(evaluation.space, seed)) for seed in (0, 0, 1))
    assert first.actions == again.actions != other.actions
    assert first.success().improved < 0.5


def test_the_juror_baseline_takes_the_best_edit_and_stops_where_none_is_better():
    evaluation = trial([("swap_gb",), ("invert_r", "shift_left_b")])
    episodes = evaluation.run(juror_policy(evaluation.space, evaluation.scores))
    assert episodes.exact_N.all()
    assert [len(actions) for actions in episodes.actions] == [2, 3]
    assert all(actions[-1] == evaluation.space.stop for actions in episodes.actions)


def test_the_juror_baseline_stops_at_once_where_every_edit_is_worth_the_same():
    evaluation = trial(juror=FunctionScorer(lambda image: 0.5))
    assert evaluation.run(juror_policy(evaluation.space, evaluation.scores)).steps_N.tolist() == [1] * 14


def test_no_episode_is_longer_than_the_step_limit():
    evaluation = trial(task=Task(actions=REVERSIBLE, max_steps=3))
    assert evaluation.run(random_policy(evaluation.space)).steps_N.tolist() == [3] * 14


@settings(max_examples=20)
@given(
    seed=st.integers(0, 100),
    steps=st.integers(1, 5),
    size=st.sampled_from([32, 64]),
    name=st.sampled_from(list(REWARDS)),
    limit=st.sampled_from([1.0, 0.1]),
)
def test_returns_are_the_sums_of_what_the_environment_pays(seed, steps, size, name, limit):
    reward = make_reward(name, step_penalty=0.03, terminal_bonus=0.5, change_limit=limit, change_price=0.4)
    task = Task(max_steps=steps, reward=reward)
    evaluation = trial([("swap_gb",), ("invert_r", "swap_rb")], task, scorer(size))
    episodes = evaluation.run(random_policy(evaluation.space, seed))
    env = ImageEditEnv(evaluation.dataset, scorer(size), task)
    for photo, actions in enumerate(episodes.actions):
        env.reset(options={"photo": photo})
        paid = [env.step(action) for action in actions]
        assert [terminated for _, _, terminated, _, _ in paid] == [False] * (len(actions) - 1) + [True]
        assert episodes.returns_N[photo] == pytest.approx(sum(reward for _, reward, *_ in paid), abs=0.02)


def ends_by_brute_force(photo, sequence, actions, steps):
    """Every image in which an episode can end, by trying every sequence of actions on pixels."""
    edits = [name for name in actions if name != STOP]
    degraded = photo
    for name in sequence:
        degraded = TRANSFORMS[name](degraded)
    lengths = range(steps + 1) if STOP in actions else [steps]
    for length in lengths:
        for chosen in itertools.product(edits, repeat=length):
            image = degraded
            for name in chosen:
                image = TRANSFORMS[name](image)
            yield image


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("edits", [FEW, (*FEW, "gaussian_blur_3")])
def test_the_search_finds_the_best_of_all_sequences(edits, steps, stop):
    actions = (*edits, STOP) if stop else edits
    sequences = [("swap_gb",), ("invert_r", "shift_left_b"), ("shift_down_all",)]
    evaluation = trial(sequences, Task(actions=actions, max_steps=steps))
    for photo, sequence in enumerate(sequences):
        images = ends_by_brute_force(evaluation.dataset.original(photo), sequence, actions, steps)
        expected = max(naturalness(image[..., ::-1]) for image in images)
        assert Oracle(evaluation).best_scores()[photo] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=15)
@given(start=st.integers(0, algebra.NUM_STATES - 1), steps=st.integers(1, 4), stop=st.booleans())
def test_every_end_is_reached_by_its_actions(start, steps, stop):
    actions = (*REVERSIBLE, STOP) if stop else REVERSIBLE
    evaluation = trial(task=Task(actions=actions, max_steps=steps))
    ends = Oracle(evaluation).ends(start)
    states_K = np.full(len(ends.states_K), start)
    for actions_K in ends.actions_KT.T:
        states_K = np.where(actions_K < 0, states_K, evaluation.space.after(states_K, actions_K))
    np.testing.assert_array_equal(states_K, ends.states_K)
    assert len(set(ends.states_K.tolist())) == len(ends.states_K)
    lengths_K = (ends.actions_KT >= 0).sum(1)
    if stop:
        np.testing.assert_array_equal(lengths_K, algebra.distance(start, ends.states_K))
    else:
        assert (lengths_K == steps).all()


@pytest.mark.parametrize("stop", [True, False])
def test_the_oracle_policy_goes_the_shortest_way_to_the_best_end(stop):
    actions = (*REVERSIBLE, STOP) if stop else REVERSIBLE
    evaluation = trial([("swap_gb",), ("invert_r", "shift_left_b", "swap_rb")], Task(actions=actions))
    oracle = Oracle(evaluation)
    best_N = oracle.best_scores()
    episodes = evaluation.run(oracle.policy())
    np.testing.assert_array_equal(episodes.final_N, best_N)
    assert episodes.exact_N.all()
    assert episodes.steps_N.tolist() == ([2, 4] if stop else [5, 5])


def test_the_oracle_policy_needs_the_search():
    with pytest.raises(ValueError, match="best_scores"):
        Oracle(trial()).policy()


def test_too_many_ends_are_not_searched(monkeypatch):
    monkeypatch.setattr(module, "MAX_ENDS", 10)
    assert Oracle(trial(task=Task(actions=(*FEW, "gaussian_blur_3"), max_steps=3))).best_scores() is None


def test_all_policies_share_the_scores():
    juror = CountingScorer()
    evaluation = trial(SOME, Task(max_steps=3), juror)
    oracle = Oracle(evaluation)
    oracle.best_scores()
    asked = len(juror.calls)
    for policy in (stop_policy(evaluation.space), juror_policy(evaluation.space, evaluation.scores), oracle.policy()):
        evaluation.run(policy)
    assert len(juror.calls) == asked


def test_a_juror_that_cannot_answer_ends_the_evaluation():
    juror = CountingScorer()
    evaluation = trial(juror=juror)
    juror.failing = True
    with pytest.raises(ScoringError, match="needs every score"):
        evaluation.run(stop_policy(evaluation.space))


def test_degradations_that_cannot_be_undone_are_refused_in_one_line():
    with pytest.raises(UserError, match=r"gaussian_blur_3 did to a photo cannot be undone"):
        trial([("gaussian_blur_3",)])


def test_the_task_is_what_the_agent_was_trained_for():
    config = {"rl_training": {"reward": {"step_penalty": 0.02, "terminal_bonus": 0.3}}}
    agent = good_agent(("invert_r", "swap_gb"), max_steps=3, config=config)
    expected = Task(("invert_r", "swap_gb"), 3, ScoreDifference(0.02, 0.3), 64)
    assert task_of_agent(agent) == expected
    assert task_of_agent(agent, max_steps=2).max_steps == 2
    with pytest.raises(UserError, match="at least 1 step"):
        task_of_agent(agent, max_steps=0)


def test_an_agent_of_another_juror_is_refused_with_a_way_out():
    with pytest.raises(UserError, match="trained on juror pocket:1, but the juror is naturalness; name a juror"):
        check_juror(scorer(), good_agent(juror="pocket:1"))
    check_juror(scorer(), good_agent())


def test_a_dataset_of_another_juror_is_refused_with_a_way_out():
    photos = dataset([("swap_gb",)])
    check_juror(scorer(), good_agent(), photos)
    photos.juror = "pocket:1"
    with pytest.raises(UserError, match="was scored by pocket:1, but the juror is naturalness"):
        check_juror(scorer(), good_agent(), photos)


def test_an_agent_that_can_undo_nothing_of_the_dataset_is_refused():
    with pytest.raises(UserError, match="degraded with swap_gb, and the agent has none of these edits, only invert_r"):
        check_actions(good_agent(("invert_r", STOP)), dataset([("swap_gb",)]))
    check_actions(good_agent(("invert_r", STOP)), dataset([("swap_gb",), ("invert_r",)]))


def test_evaluate_puts_the_agent_beside_every_baseline(tmp_path):
    told = []
    summary = evaluate(
        good_agent(max_steps=3), dataset(SOME), scorer(), tmp_path, "a.safetensors", progress=lambda *p: told.append(p)
    )
    assert (summary["improved"], summary["exact"], summary["mean_steps"], summary["episodes"]) == (1, 1, 2, 5)
    assert summary["agent_file"] == "a.safetensors"
    assert summary["juror"] == summary["agent_juror"] == "naturalness"
    baselines = summary["baselines"]
    assert list(baselines) == ["random", "always_stop", "greedy_one_step_with_juror", "exhaustive_oracle"]
    assert baselines["always_stop"]["improved"] == 0
    assert baselines["random"]["improved"] < 0.5
    evaluation = trial(SOME, Task(max_steps=3))
    runs = [evaluation.run(random_policy(evaluation.space, seed)) for seed in range(5)]
    assert (baselines["random"]["runs"], baselines["random"]["episodes"]) == (5, 25)
    assert baselines["random"]["mean_steps"] == pytest.approx(np.mean([run.steps_N.mean() for run in runs]))
    assert baselines["greedy_one_step_with_juror"]["exact"] == baselines["exhaustive_oracle"]["exact"] == 1
    assert baselines["exhaustive_oracle"]["oracle_fraction"] == pytest.approx(1)
    assert ("exhaustive search", 5, 5) in told


def test_evaluate_without_the_search_or_stop_leaves_those_numbers_out(tmp_path):
    agent = good_agent(REVERSIBLE, max_steps=1)
    summary = evaluate(agent, dataset(SOME), scorer(), tmp_path, oracle=False)
    assert summary["oracle_fraction"] is None
    assert list(summary["baselines"]) == ["random", "greedy_one_step_with_juror"]
    assert summary["exact"] == 1


def test_a_failed_evaluation_leaves_the_older_report(tmp_path):
    evaluate(good_agent(), dataset(ONE_EDIT[:2]), scorer(), tmp_path, oracle=False)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    juror = CountingScorer()
    juror.failing = True
    with pytest.raises(ScoringError):
        evaluate(good_agent(), dataset(ONE_EDIT[:2]), juror, tmp_path)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_an_output_that_cannot_be_written_is_told_before_anything_is_scored(tmp_path):
    (tmp_path / "file").write_text("")
    juror = CountingScorer()
    with pytest.raises(UserError, match="cannot write to"):
        evaluate(good_agent(), dataset(ONE_EDIT), juror, tmp_path / "file" / "report")
    assert juror.calls == []


def test_a_description_alone_is_enough_for_a_task():
    described = AgentDescription("simple_cnn", ("swap_gb", STOP), (3, 32, 32), 2, "")
    agent = good_agent()
    agent.description = described
    assert task_of_agent(agent).observation_size == 32
