"""How exploration falls in the course of training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_aesthetics.config.config import load_config
from rl_aesthetics.config.exploration import Exploration, scheduled
from rl_aesthetics.errors import UserError

SCHEDULES = ["exponential", "linear"]


@given(st.sampled_from(SCHEDULES), st.floats(0.5, 1), st.floats(0, 0.5), st.lists(st.integers(0, 5000), min_size=2))
def test_a_schedule_begins_at_the_start_never_rises_and_never_leaves_its_ends(schedule, start, end, counts):
    values = [scheduled(schedule, start, end, done, 0.99, 1000) for done in [0, *sorted(counts)]]
    assert values[0] == pytest.approx(start)
    assert values == sorted(values, reverse=True)
    assert all(end - 1e-9 <= value <= start + 1e-9 for value in values)


def test_the_guides_schedule_is_the_default():
    assert Exploration().at(10, 999, (1.0, 0.05), 0.995) == (pytest.approx(0.995**10), None)
    assert Exploration().at(10_000, 0, (1.0, 0.05), 0.995) == (0.05, None)


def test_a_schedule_of_a_given_length_reaches_its_end_and_stays():
    found = [scheduled("linear", 1.0, 0.1, done, 0.9, 400) for done in (0, 100, 200, 300, 400, 4000)]
    assert found == pytest.approx([1.0, 0.775, 0.55, 0.325, 0.1, 0.1], abs=1e-4)


def test_it_may_count_steps_in_place_of_episodes():
    exploration = Exploration(schedule="linear", per="step", over=100)
    assert exploration.at(episodes=0, steps=50, epsilon=(1.0, 0.0), decay=0.9)[0] == pytest.approx(0.5)
    assert exploration.at(episodes=99, steps=0, epsilon=(1.0, 0.0), decay=0.9)[0] == 1.0


def test_boltzmann_has_a_temperature_in_place_of_random_actions():
    exploration = Exploration(policy="boltzmann", schedule="linear", over=10, temperature_end=0.02)
    assert exploration.at(0, 0, (1.0, 0.05), 0.9) == (0.0, pytest.approx(0.1))
    assert exploration.at(10, 0, (1.0, 0.05), 0.9) == (0.0, pytest.approx(0.02))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["exploration.schedule=linear"], "schedule=linear needs exploration.over, how long it takes"),
        (["exploration.schedule=sawtooth"], "exploration.schedule: .*'exponential' or 'linear'"),
        (["exploration.temperature_end=1"], "temperature_end must not exceed temperature_start"),
        (["exploration.policy=boltzman"], "exploration.policy: .*'epsilon_greedy' or 'boltzmann'"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as raised:
        load_config(None, overrides)
    assert "\n" not in str(raised.value)
