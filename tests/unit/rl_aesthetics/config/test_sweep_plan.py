"""What a sweep's YAML may say, and one clear line for every mistake."""

from pathlib import Path

import pytest
import yaml

from rl_aesthetics.config.config import load_config
from rl_aesthetics.config.sweep_plan import load_plan
from rl_aesthetics.errors import UserError

SPACE = {"training.learning_rate": {"loguniform": ["1e-4", "1e-2"]}, "training.batch_size": {"choice": [32, 64]}}
SWEEP = Path(__file__).parents[4] / "configs" / "sweep.yaml"


def written(folder, **changes):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"space": SPACE, **changes}, sort_keys=False))
    return path


def test_numbers_may_be_written_as_people_write_them(tmp_path):
    """YAML 1.1 takes 1e-4 for a string."""
    (tmp_path / "sweep.yaml").write_text("space: {training.learning_rate: {loguniform: [1e-4, 1e-2]}}")
    assert load_plan(tmp_path / "sweep.yaml").space["training.learning_rate"].arguments == (1e-4, 1e-2)
    first = load_plan(
        written(tmp_path, space={"training.gamma": {"uniform": [0, 1]}}, first=[{"training.gamma": "1e-1"}])
    )
    assert first.first == [{"training.gamma": 0.1}]


def test_bug_5_what_is_tried_reaches_the_training_and_wins_over_settings_and_overrides(tmp_path):
    """A sampled hyper-parameter (gamma) never reached the predecessor's model."""
    (tmp_path / "base.yaml").write_text("rl_training: {training: {gamma: 0.5, num_epochs: 7}}")
    plan = load_plan(
        written(
            tmp_path,
            base="base.yaml",
            settings={"training.num_epochs": 9, "learner.seed": 3},
            space={"training.gamma": {"uniform": [0.8, 1.0]}},
        )
    )
    config = plan.config({"training.gamma": 0.8125}, ("learner.seed=4", "training.gamma=0.9"))
    assert config.rl_training.training.gamma == 0.8125
    assert config.rl_training.training.num_epochs == 9
    assert config.learner.seed == 4
    assert config.rl_training.training.batch_size == load_config().rl_training.training.batch_size


def test_values_keep_their_kinds_on_the_way(tmp_path):
    plan = load_plan(written(tmp_path))
    config = plan.config({"training.learning_rate": 1e-05, "training.batch_size": 64})
    assert config.rl_training.training.learning_rate == 1e-05
    assert config.rl_training.training.batch_size == 64


def test_the_sweep_that_comes_along_is_valid_and_begins_with_the_tuned_settings():
    plan = load_plan(SWEEP)
    tuned = load_config(SWEEP.with_name("tuned.yaml"))
    first = plan.config(plan.first[0])
    fixed = {name: getattr(tuned.rl_training.training, name) for name in ("num_epochs", "validation_frequency")}
    assert first.rl_training.training.model_copy(update=fixed) == tuned.rl_training.training
    assert first.learner == tuned.learner
    assert set(plan.first[0]) == set(plan.space)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {}}, "space: .*at least 1 item"),
        ({"space": {"training.gama": {"uniform": [0, 1]}}}, "unknown setting 'training.gama'.*training.gamma"),
        ({"space": {"training.gamma": {"unifrom": [0, 1]}}}, "unknown 'space.training.gamma.unifrom'.*uniform"),
        ({"space": {"training.gamma": [0, 1]}}, "training.gamma needs one of choice, uniform"),
        ({"space": {"training.gamma": {}}}, "needs exactly one of choice"),
        ({"space": {"training.gamma": {"uniform": [0, 1], "choice": [1]}}}, "needs exactly one of choice"),
        (
            {"space": {"training.gamma": {"uniform": [1, 0]}}},
            r"the first number must be below the second, got \[1, 0\]",
        ),
        ({"space": {"training.learning_rate": {"loguniform": [0, 1]}}}, "both numbers must be above 0"),
        ({"space": {"training.gamma": {"uniform": [0.5, 1.5]}}}, "training.gamma: .*less than or equal to 1"),
        ({"space": {"training.batch_size": {"uniform": [16, 32]}}}, "batch_size: .*integer"),
        (
            {"space": {"learner.network": {"choice": ["simple_cnn", "afterstate"]}}, "metrics": "x"},
            "'metrics'.*metric",
        ),
        ({"settings": {"learner.sed": 1}}, "unknown setting 'learner.sed'.*learner.seed"),
        ({"base": "nowhere.yaml"}, "cannot read the config .*nowhere.yaml"),
        ({"first": [{"training.gamma": 0.9}]}, "first: training.gamma is not in space"),
        (
            {"space": {"training.gamma": {"uniform": [0, 0.9]}}, "first": [{"training.gamma": 0.95}]},
            r"first: training.gamma=0.95 is not within uniform \[0.0, 0.9\]",
        ),
        (
            {"space": {"training.batch_size": {"randint": [16, 64]}}, "first": [{"training.batch_size": 32.5}]},
            r"first: training.batch_size=32.5 is not within randint \[16, 64\]",
        ),
        (
            {"space": {"training.batch_size": {"choice": [16, 64]}}, "first": [{"training.batch_size": 32}]},
            r"first: training.batch_size=32 is not within choice \[16, 64\]",
        ),
        (
            {
                "space": {"training.gamma": {"uniform": [0, 1]}, "training.batch_size": {"choice": [16, 64]}},
                "first": [{"training.gamma": 0.5}],
            },
            "first: a point says nothing of training.batch_size",
        ),
        ({"space": {"juror.replicas": {"choice": [1, 2]}}}, "juror.replicas is the same for all trials"),
        ({"metric": "val_sucess_rate"}, "metric: no training has 'val_sucess_rate'.*'val_success_rate'"),
        ({"trials": 0}, "trials: .*greater than or equal to 1"),
        ({"asha": {"reduction_factor": 1}}, "asha.reduction_factor: .*greater than or equal to 2"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as raised:
        load_plan(written(tmp_path, **changes))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "is not YAML"), ("- 1", "must hold a mapping"), ("", "space: Field required")]
)
def test_a_broken_file_is_told(tmp_path, content, message):
    (tmp_path / "sweep.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        load_plan(tmp_path / "sweep.yaml")
