"""Configurations in the words of earlier versions: files, overrides, and what agents and checkpoints carry."""

import pytest
import yaml

from rl_aesthetics.config.config import Config, load_config
from rl_aesthetics.config.old_names import OLD_NAMES, renamed
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.per_action import ResNet18, SimpleCNN
from rl_aesthetics.networks.settings import AfterstateSettings


def learner(**settings):
    return Config.model_validate(renamed({"learner": settings})).learner


def test_a_networks_name_and_options_are_its_settings_now():
    options = {"mirror": True, "value_range": [-0.1, 1.1]}
    network = learner(network="edit_scoring", network_options=options, warm_start=True).network
    assert network == AfterstateSettings(mirror=True, value_range=(-0.1, 1.1), warm_start=True)


def test_settings_of_the_head_stood_beside_the_network():
    then = {"dueling": True, "noisy": True, "num_atoms": 51, "value_support": [-1, 1]}
    assert learner(**then).network == SimpleCNN(dueling=True, noisy=True, num_atoms=51, value_support=(-1, 1))


def test_old_defaults_say_nothing_about_networks_that_have_no_such_settings():
    then = {key.removeprefix("learner."): old.default for key, old in OLD_NAMES.items() if key.startswith("learner.")}
    assert learner(network="edit_scoring", **then).network == AfterstateSettings()


def test_the_architecture_was_written_beside_the_weights_that_it_comes_from():
    options = {"architecture": {"depths": [1]}, "imagenet": True}
    network = learner(network="resnet18", pretrained="/weights", network_options=options).network
    assert network == ResNet18(pretrained="/weights", imagenet=True)


def test_old_names_work_in_files_and_in_overrides_which_mean_defaults_too(tmp_path):
    (tmp_path / "old.yaml").write_text(yaml.safe_dump({"learner": {"network": "simple_cnn", "dueling": True}}))
    assert load_config(tmp_path / "old.yaml").learner.network.dueling
    assert not load_config(tmp_path / "old.yaml", ["learner.dueling=false"]).learner.network.dueling
    overrides = ["learner.network=edit_scoring", "learner.network_options.mirror=true"]
    assert load_config(tmp_path / "old.yaml", overrides).learner.network == AfterstateSettings(mirror=True)
    with pytest.raises(UserError, match="no option 'noisy'"):
        load_config(None, ["learner.network=afterstate", "learner.noisy=false"])


def test_what_is_renamed_is_a_copy():
    tree = {"learner": {"network": "simple_cnn", "dueling": True}}
    renamed(tree)
    assert tree == {"learner": {"network": "simple_cnn", "dueling": True}}
