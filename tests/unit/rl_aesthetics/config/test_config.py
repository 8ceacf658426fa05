"""The configuration: the guide's YAML, overrides, and one clear line for every mistake."""

import pytest
import yaml

from rl_aesthetics.config.config import Config, load_config, settings, to_yaml
from rl_aesthetics.errors import UserError

GUIDE = """
rl_training:
  dataset_generation:
    source_dataset: "flickr8k"
    output_dir: "rl_training_data"
    split_ratios: [0.7, 0.15, 0.15]
    use_random_transformer: true
    seed: 42

  training:
    max_steps_per_episode: 5
    batch_size: 32
    replay_capacity: 10000
    learning_rate: 0.001
    gamma: 0.99
    epsilon_start: 1.0
    epsilon_end: 0.05
    epsilon_decay: 0.995
    target_update_frequency: 100
    num_epochs: 10
    dataloader_batch_size: 8
    validation_frequency: 1

  reward:
    step_penalty: 0.01
    terminal_bonus: 0.1

  action_space:
    add_stop_action: true

  state:
    shape: [3, 64, 64]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(GUIDE)
    return path


def test_the_guides_yaml_is_understood_and_holds_the_defaults(file):
    assert load_config(file) == load_config() == Config()


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


OTHER_VALUES = {
    "dataset_generation.source_dataset": "samples",
    "dataset_generation.output_dir": "elsewhere",
    "dataset_generation.split_ratios": [0.5, 0.25, 0.25],
    "dataset_generation.use_random_transformer": False,
    "dataset_generation.seed": 7,
    "training.max_steps_per_episode": 3,
    "training.batch_size": 64,
    "training.replay_capacity": 5000,
    "training.learning_rate": 0.0002,
    "training.gamma": 0.9,
    "training.epsilon_start": 0.8,
    "training.epsilon_end": 0.1,
    "training.epsilon_decay": 0.999,
    "training.target_update_frequency": 50,
    "training.num_epochs": 4,
    "training.dataloader_batch_size": 16,
    "training.validation_frequency": 2,
    "reward.step_penalty": 0.05,
    "reward.terminal_bonus": 0.2,
    "action_space.add_stop_action": False,
    "state.shape": [3, 96, 96],
}


def at(config, key):
    value = config.model_dump(mode="json")["rl_training"]
    for part in key.split("."):
        value = value[part]
    return value


def test_every_setting_of_the_guide_is_tried_below():
    assert set(OTHER_VALUES) == {key for key, _ in leaves(yaml.safe_load(GUIDE)["rl_training"])}


@pytest.mark.parametrize("key", OTHER_VALUES)
def test_bug_3_what_the_yaml_says_is_what_is_used(file, key):
    """The predecessor ignored its YAML."""
    tree = yaml.safe_load(GUIDE)
    section, name = key.split(".")
    tree["rl_training"][section][name] = OTHER_VALUES[key]
    file.write_text(yaml.safe_dump(tree))
    assert at(load_config(file), key) == OTHER_VALUES[key]


@pytest.mark.parametrize("prefix", ["", "rl_training."])
def test_overrides_win_over_the_file_with_or_without_the_first_word(file, prefix):
    config = load_config(file, [f"{prefix}training.num_epochs=3", f"{prefix}state.shape=[3, 32, 32]"])
    assert config.rl_training.training.num_epochs == 3
    assert config.rl_training.state.shape == (3, 32, 32)
    assert config.rl_training.training.batch_size == 32


def test_the_last_override_of_a_setting_wins():
    assert load_config(None, ["learner.seed=1", "learner.seed=2"]).learner.seed == 2


def test_the_effective_configuration_reads_back_as_it_is(tmp_path):
    config = load_config(None, ["dataset=runs/data", "juror.options={url: http://x}", "learner.grad_clip=null"])
    (tmp_path / "effective.yaml").write_text(to_yaml(config))
    assert load_config(tmp_path / "effective.yaml") == config


def test_an_empty_file_means_the_defaults(file):
    file.write_text("")
    assert load_config(file) == Config()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.num_epoch=3", r"unknown setting 'rl_training.training.num_epoch' \(did you mean .*num_epochs'\?\)"),
        ("trainning.num_epochs=3", "unknown setting 'trainning'"),
        ("training.gamma=1.5", "rl_training.training.gamma: .*less than or equal to 1, got 1.5"),
        ("training.batch_size=0", "batch_size: .*greater than or equal to 1"),
        ("training.batch_size=many", "batch_size: .*integer"),
        ("state.shape=[3, 64, 32]", "needs equal, even sides, not 64×32"),
        ("state.shape=[3, 65, 65]", "needs equal, even sides"),
        ("dataset_generation.split_ratios=[0.5, 0.5, 0.5]", "must sum to 1, not 1.5"),
        ("training.epsilon_start=0.01", "epsilon_end must not exceed epsilon_start"),
        ("learner.network.warm_start=true", "network 'simple_cnn' has no option 'warm_start'; it has dueling, noisy"),
        ("ray.num_rollout_workers=0", "must be 'auto' or at least 1"),
        ("training.replay_capacity=100", "replay_capacity must be at least 500"),
        ("training.num_epochs", "is not an override; write key.sub=value"),
        ("=3", "is not an override"),
        ("training=3", "training"),
        ("training.num_epochs.x=3", "num_epochs"),
        ("training.num_epochs=[", "is not YAML"),
    ],
)
def test_a_wrong_override_is_told_in_one_line(override, message):
    with pytest.raises(UserError, match=message) as raised:
        load_config(None, [override])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "is not YAML"), ("- 1", "must hold a mapping"), ("\x00", "is not YAML"), ("foo: 1", "unknown setting")],
)
def test_a_broken_file_is_told_in_one_line_that_names_it(file, content, message):
    file.write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        load_config(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the config .*No such file"):
        load_config(tmp_path / "none.yaml")


def test_every_setting_says_what_it_is():
    assert [key for key, _, description in settings() if not description] == []
