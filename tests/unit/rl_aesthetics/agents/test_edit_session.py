"""The walk of photos through edit states, whoever chooses the edits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import dataset, good_agent, scorer

from rl_aesthetics.agents.edit_session import EditSession, Look, Step
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.episodes.env import ImageEditEnv
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.evaluation import Evaluation

SEQUENCES = [("swap_gb",), ("invert_r", "shift_left_b"), ("shift_down_all",)]
ACTIONS = (*REVERSIBLE, STOP)


@pytest.fixture(scope="module")
def evaluation():
    return Evaluation(dataset(SEQUENCES), scorer(), Task())


def begun(evaluation, rows=(0, 1, 2), **options):
    rows = np.array(rows)
    return EditSession(
        evaluation.space, evaluation.view, rows, evaluation.starts_N[rows], score=evaluation.scores, **options
    )


def scripted(ways):
    """Plays these actions, one list for each photo."""
    left = [iter(way) for way in ways]
    return lambda observations, photos, states: np.array([next(left[photo]) for photo in photos])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(ACTIONS) - 1), min_size=5, max_size=5))
def test_a_session_goes_where_the_environment_goes(evaluation, actions):
    env = ImageEditEnv(evaluation.dataset, evaluation.scorer, evaluation.task)
    env.reset(options={"photo": 1})
    session = begun(evaluation)
    session.run(evaluation.task.max_steps, scripted([[14] * 5, actions, [14] * 5]))
    for step, action in zip(session.steps(1), actions, strict=False):
        *_, last, _, info = env.step(action)
        assert step.action == ACTIONS[action]
        assert step.score == pytest.approx(info["score"], abs=1e-6)
    assert last
    assert len(session.steps(1)) == len(info["edits"])
    np.testing.assert_array_equal(evaluation.result(1, session.states()[1]), env.image)


def test_photos_side_by_side_go_as_each_alone(evaluation):
    together = begun(evaluation, agent=good_agent(), batch_size=2)
    together.run(5)
    for row in range(3):
        alone = begun(evaluation, [row], agent=good_agent())
        alone.run(5)
        assert alone.edits() == together.edits(row) != ()
        assert alone.stopped == [together.stopped[row]] == [STOP]


def test_steps_say_what_was_expected_and_what_came_of_it(evaluation):
    session = begun(evaluation, agent=good_agent())
    session.run(5)
    edit, stop = session.steps(0)
    first, second = session.looks[0]
    assert edit == Step("swap_gb", second.score, first.values, first.score)
    assert stop == Step(STOP, second.score, second.values, second.score, applied=False)
    assert (first.edit, first.by, second.edit, second.by) == (None, None, "swap_gb", "agent")


def test_without_a_scorer_and_an_agent_a_session_only_walks(evaluation):
    session = EditSession(evaluation.space, evaluation.view, evaluation.photos_N, evaluation.starts_N)
    session.run(2, scripted([[0, 1], [14, 14], [2, 2]]))
    assert session.looks[1] == [Look(None, None, int(evaluation.starts_N[1]), None, {})]
    assert session.stopped == ["step_limit", STOP, "step_limit"]
    assert session.states()[2] == evaluation.starts_N[2]
    with pytest.raises(ValueError, match="nobody acts"):
        session.run(1)


def test_repetitions_end_a_walk_where_that_is_asked_for(evaluation):
    ways = [[0, 0, 1], [14], [14]]
    session = begun(evaluation)
    session.run(3, scripted(ways), until_repeat=True)
    assert (session.edits(0), session.stopped[0]) == ((ACTIONS[0],), "repeats")
    session = begun(evaluation)
    session.run(3, scripted(ways))
    assert session.stopped[0] == "step_limit"
    assert len(session.edits(0)) == 3


def test_a_limit_below_one_step_is_a_users_mistake(evaluation):
    with pytest.raises(UserError, match="at least 1 step"):
        begun(evaluation).run(0, scripted([[], [], []]))
