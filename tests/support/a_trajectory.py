"""A trajectory with a few numbers of its own."""

from rl_aesthetics.evaluation.trajectories import Step, Trajectory


def a_trajectory(recipe=(), actions=(), degraded=0.2, final=0.2, original=0.9, exact=False, number=1):
    steps = tuple(Step(name, final, {name: 0.5}) for name in actions)
    return Trajectory(number, "a.png", "a", tuple(recipe), degraded, original, None, exact, 0.1, steps)
