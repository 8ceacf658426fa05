"""Options that cannot work together are refused at the start; a head's options become the network's."""

from pathlib import Path

import pytest
import yaml

from juror_service.jurors.registry import score_range
from rl_aesthetics.config.config import load_config, to_yaml
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.per_action import SimpleCNN
from rl_aesthetics.plan.resolve_values import resolve_values
from rl_aesthetics.plan.tasks import task_of


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["learner.network={kind: afterstate, dueling: true}"],
            "'afterstate' has no option 'dueling'; it has",
        ),
        (["learner.network=afterstate", "learner.network.num_atoms=51"], "has no option 'num_atoms'"),
        (["learner.network=afterstate", "learner.network.noisy=true"], "has no option 'noisy'"),
        (["learner.network={pretrained: x}"], "network 'simple_cnn' has no option 'pretrained'"),
        (["learner.network={kind: simple_cn}"], r"unknown network 'simple_cn' \(did you mean 'simple_cnn'\?\)"),
        (["learner.network=3"], "learner.network: needs a kind, such as simple_cnn"),
        (
            ["learner.network.num_atoms=0"],
            r"learner\.network: network 'simple_cnn': num_atoms: .*greater than",
        ),
        (["state.shape=[4, 64, 64]"], "says 4 channels, and learner.network=simple_cnn looks at 3"),
        (["learner.n_step=6"], "learner.n_step=6 must not exceed max_steps_per_episode=5"),
        (["learner.network={kind: resnet18, frozen: true}"], "frozen needs pretrained"),
        (["learner.network.value_support=[0, 1]"], "value_support needs num_atoms above 1"),
        (["learner.network={num_atoms: 51, value_support: [1, 0]}"], "with LOW below HIGH"),
        (["learner.network.noisy=true", "learner.target_action=stored"], "noisy excludes learner.target_action=stored"),
        (["learner.network.noisy=true", "exploration.policy=boltzmann"], "noisy excludes exploration.policy=boltzmann"),
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
        *("learner.target_action=online", "learner.n_step=3", "learner.prioritized=true", "learner.priority_alpha=0.5"),
        *("learner.value_stopping=true", "learner.priority_beta=0.4"),
        *("learner.crops=4", "training.target_update_frequency=100"),
    ],
)
def test_what_an_algorithm_does_nothing_with_is_refused_even_if_it_is_the_default(setting):
    key = setting.partition("=")[0]
    with pytest.raises(UserError, match=rf"{key} is not for learner\.algorithm=all_actions") as told:
        load_config(PHOTOGRAPHIC, [setting])
    assert "\n" not in str(told.value)


def test_atoms_are_of_a_network_and_still_nothing_for_all_actions():
    with pytest.raises(UserError, match=r"learner\.network\.num_atoms is not for learner\.algorithm=all_actions"):
        load_config(PHOTOGRAPHIC, ["learner.network={kind: simple_cnn, num_atoms: 51}"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.gamma=0.5", "needs rl_training.training.gamma=0"),
        ("juror.name=pocket", "needs rl_training.training.gamma=0, juror.name=reference"),
        ("learner.replay=reference", "learner.replay=frames"),
        ("juror.options={juror: pocket}", "leave juror.options.juror out"),
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


@pytest.mark.parametrize(
    ("old", "meant"),
    [
        ({}, "online"),
        ({"double_q": True, "remember_next_action": False}, "online"),
        ({"double_q": False, "remember_next_action": False}, "target"),
        ({"double_q": True, "remember_next_action": True}, "stored"),
        ({"double_q": False, "remember_next_action": True}, "stored"),
    ],
)
def test_two_settings_of_the_last_format_are_one_choice_of_the_next_action(tmp_path, old, meant):
    (tmp_path / "old.yaml").write_text(yaml.safe_dump({"learner": old}))
    assert load_config(tmp_path / "old.yaml").learner.target_action == meant


@pytest.mark.parametrize(
    "learner",
    [
        {"full_information": True, "algorithm": "dqn"},
        {"remember_next_action": True, "target_action": "online"},
        {"double_q": False, "target_action": "online"},
    ],
)
def test_the_old_name_and_the_new_one_must_not_contradict_each_other(tmp_path, learner):
    (tmp_path / "both.yaml").write_text(yaml.safe_dump({"learner": learner}))
    with pytest.raises(UserError, match="by the name that it had before: leave the old name out") as told:
        load_config(tmp_path / "both.yaml")
    assert "\n" not in str(told.value)


def resolved(*overrides):
    config = load_config(None, overrides)
    return resolve_values(config, task_of(config), score_range(config.juror.name))


def test_the_support_of_atoms_is_derived_from_reward_and_juror():
    network = resolved("learner.network={dueling: true, noisy: true, num_atoms: 51}").learner.network
    assert (network.dueling, network.noisy, network.num_atoms) == (True, True, 51)
    low, high = network.value_support
    # the pocket juror's scores lie in [0, 1]: five steps at −0.01 and a fall by 1, a rise by 1 and the bonus
    assert low < -1.05
    assert high > 1.09
    assert high - low < 3


def test_resolving_twice_changes_nothing_more_and_the_effective_configuration_can_be_read_again(tmp_path):
    config = resolved("learner.network={dueling: true, num_atoms: 51}")
    assert resolve_values(config, task_of(config), score_range(config.juror.name)) == config
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config(tmp_path / "config.yaml") == config


def test_what_was_not_left_open_stays_as_it_is():
    assert resolved().learner.network == SimpleCNN()


def test_a_support_that_does_not_hold_the_returns_is_refused():
    with pytest.raises(
        UserError, match=r"which learner.network.value_support=\[-0.5, 0.5\] does not hold: leave it out"
    ):
        resolved("learner.network={num_atoms: 11, value_support: [-0.5, 0.5]}")


def test_without_known_scores_the_support_has_to_be_given():
    unknown = ("learner.network.num_atoms=11", "juror.name=someone_elses")
    with pytest.raises(UserError, match="needs to know between what returns lie"):
        resolved(*unknown)
    assert resolved(*unknown, "learner.network.value_support=[-9, 9]").learner.network.value_support == (-9, 9)
