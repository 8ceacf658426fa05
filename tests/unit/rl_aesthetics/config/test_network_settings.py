"""A network's settings in the configuration: a kind, or a mapping, or one of them at a time."""

import pytest
import yaml

from rl_aesthetics.config.config import load_config, settings, to_yaml
from rl_aesthetics.networks.per_action import AtariCNN
from rl_aesthetics.networks.registry import NETWORKS
from rl_aesthetics.networks.settings import AfterstateSettings

MIRROR = AfterstateSettings(mirror=True)


@pytest.mark.parametrize(
    "overrides",
    [
        ["learner.network={kind: afterstate, mirror: true}"],
        ["learner.network=afterstate", "learner.network.mirror=true"],
        ["learner.network.kind=afterstate", "learner.network.mirror=true"],
        ["learner.network.mirror=true", "learner.network.kind=afterstate"],
    ],
)
def test_there_are_several_ways_to_say_the_same(overrides):
    assert load_config(None, overrides).learner.network == MIRROR


def test_another_kind_forgets_what_the_file_says_of_the_first(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"learner": {"network": {"kind": "afterstate", "mirror": True}}}))
    assert load_config(tmp_path / "a.yaml").learner.network == MIRROR
    assert load_config(tmp_path / "a.yaml", ["learner.network=atari_cnn"]).learner.network == AtariCNN()


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_effective_configuration_reads_back_with_every_network(kind, tmp_path):
    config = load_config(None, [f"learner.network={kind}"])
    (tmp_path / "effective.yaml").write_text(to_yaml(config))
    assert load_config(tmp_path / "effective.yaml") == config


def test_every_setting_of_every_network_is_among_the_settings():
    keys = [key for key, _, _ in settings()]
    own = {f"learner.network.{name}" for network in NETWORKS.values() for name in network.model_fields} - {
        "learner.network.kind"
    }
    assert own <= set(keys)
    assert len(keys) == len(set(keys))
