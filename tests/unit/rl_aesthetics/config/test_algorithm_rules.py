"""Options that cannot work together are refused at the start; a head's options become the network's."""

from pathlib import Path

import pytest
import yaml

from rl_aesthetics.config.config import load_config, to_yaml
from rl_aesthetics.errors import UserError
from rl_aesthetics.plan.resolve_values import fit_values
from rl_aesthetics.plan.task import task_of


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["learner.network=edit_scoring", "learner.dueling=true"],
            "learner.dueling needs a network with an output for",
        ),
        (["learner.network=edit_scoring", "learner.num_atoms=51"], "learner.num_atoms needs a network with an output"),
        (["learner.network=edit_scoring", "learner.noisy=true"], "learner.noisy needs a network with an output for"),
        (["learner.network=edit_scoring", "learner.pretrained=x"], "learner.pretrained needs a network with an output"),
        (["learner.network_options={dueling: true}"], r"learner\.network_options\.dueling: write learner\.dueling"),
        (["learner.network_options={pretrained: x}"], r"learner\.network_options\.pretrained: write learner\.pretrain"),
        (["learner.n_step=6"], "learner.n_step=6 must not exceed max_steps_per_episode=5"),
        (["learner.frozen=true", "learner.network=resnet18"], "learner.frozen needs learner.pretrained"),
        (["learner.value_support=[0, 1]"], "learner.value_support needs learner.num_atoms above 1"),
        (["learner.num_atoms=51", "learner.value_support=[1, 0]"], "with LOW below HIGH"),
        (["learner.noisy=true", "learner.remember_next_action=true"], "learner.noisy excludes learner.remember_next"),
        (["learner.noisy=true", "exploration.policy=boltzmann"], "learner.noisy excludes exploration.policy=boltzmann"),
        (["learner.priority_alpha=1.5"], "learner.priority_alpha"),
        (["learner.n_step=0"], "learner.n_step"),
    ],
)
def test_what_cannot_work_together_is_refused_in_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as told:
        load_config(None, overrides)
    assert "\n" not in str(told.value)


PHOTOGRAPHIC = "configs/photographic.yaml"


@pytest.mark.parametrize(
    "setting",
    [
        *("learner.double_q=true", "learner.n_step=3", "learner.prioritized=true", "learner.priority_alpha=0.5"),
        *("learner.num_atoms=51", "learner.value_stopping=true", "learner.remember_next_action=true"),
        *("learner.augment=true", "learner.crops=4", "training.target_update_frequency=100"),
    ],
)
def test_what_an_algorithm_does_nothing_with_is_refused_even_if_it_is_the_default(setting):
    key = setting.partition("=")[0]
    with pytest.raises(UserError, match=rf"{key} is not for learner\.algorithm=all_actions") as told:
        load_config(PHOTOGRAPHIC, [setting])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.gamma=0.5", "needs rl_training.training.gamma=0"),
        ("juror.name=pocket", "needs rl_training.training.gamma=0, juror.name=reference"),
        ("learner.replay=reference", "learner.replay=frames"),
        ("reward.terminal_bonus=0.1", "rl_training.reward.terminal_bonus=0"),
        ("reward.name=stop_only", "rl_training.reward.name=difference"),
    ],
)
def test_all_actions_need_rewards_that_are_known_without_acting(setting, message):
    with pytest.raises(UserError, match=message):
        load_config(PHOTOGRAPHIC, [setting])


def test_a_written_configuration_leaves_out_what_its_algorithm_does_nothing_with(tmp_path):
    config = load_config(PHOTOGRAPHIC)
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert "n_step" not in to_yaml(config)
    assert load_config(tmp_path / "config.yaml") == config
    assert "n_step" in to_yaml(load_config(None))


@pytest.mark.parametrize("complete", [False, True])
def test_full_information_of_the_last_format_means_all_actions(tmp_path, complete):
    """A training's config.yaml named every setting, those that nothing was done with, too."""
    tree = yaml.safe_load(Path(PHOTOGRAPHIC).read_text())
    del tree["learner"]["algorithm"]
    tree["learner"]["full_information"] = True
    if complete:
        unused = {"double_q": True, "n_step": 1, "prioritized": False, "priority_alpha": 0.6, "smallest_crop": 0.625}
        tree["learner"] |= unused
        tree["rl_training"]["training"]["target_update_frequency"] = 100
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(tree))
    assert load_config(tmp_path / "old.yaml") == load_config(PHOTOGRAPHIC)


def test_the_old_name_and_the_new_one_must_not_contradict_each_other():
    with pytest.raises(UserError, match="full_information means algorithm=all_actions, not dqn"):
        load_config(None, ["learner.full_information=true", "learner.algorithm=dqn"])


def fitted(*overrides):
    config = load_config(None, overrides)
    return fit_values(config, task_of(config))


def test_a_heads_options_become_the_networks():
    config = fitted("learner.dueling=true", "learner.noisy=true", "learner.num_atoms=51")
    options = config.learner.network_options
    assert (options["dueling"], options["noisy"], options["num_atoms"]) == (True, True, 51)
    low, high = options["value_support"]
    # the pocket juror's scores lie in [0, 1]: five steps at −0.01 and a fall by 1, a rise by 1 and the bonus
    assert low < -1.05
    assert high > 1.09
    assert high - low < 3


def test_fitting_twice_changes_nothing_more_and_the_effective_configuration_can_be_read_again(tmp_path):
    config = fitted("learner.dueling=true", "learner.num_atoms=51")
    assert fit_values(config, task_of(config)) == config
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config(tmp_path / "config.yaml") == config


def test_without_options_the_network_has_none():
    assert fitted().learner.network_options == {}


def test_a_support_that_does_not_hold_the_returns_is_refused():
    with pytest.raises(UserError, match=r"which learner.value_support=\[-0.5, 0.5\] does not hold: leave it out"):
        fitted("learner.num_atoms=11", "learner.value_support=[-0.5, 0.5]")


def test_without_known_scores_the_support_has_to_be_given():
    unknown = ("learner.num_atoms=11", "juror.name=someone_elses")
    with pytest.raises(UserError, match="needs to know between what returns lie"):
        fitted(*unknown)
    assert fitted(*unknown, "learner.value_support=[-9, 9]").learner.network_options["value_support"] == [-9, 9]


def test_pretrained_weights_are_for_backbones():
    with pytest.raises(UserError, match=r"learner\.pretrained is for backbones such as resnet18; 'simple_cnn'"):
        fitted("learner.pretrained=/nowhere")
