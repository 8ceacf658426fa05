"""The agent file: everything an agent needs in one file, and every way in which a file can be none."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.run_files import AGENT_FILE
from rl_aesthetics.networks.registry import NETWORKS
from rl_aesthetics.networks.settings import AfterstateSettings, ToneSettings

ACTIONS = (*REVERSIBLE, STOP)
OBSERVATIONS = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8)


def description(**changes):
    fields = {
        "network": "simple_cnn",
        "actions": ACTIONS,
        "observation_shape": (3, 64, 64),
        "max_steps": 5,
        "juror": "pocket:0123",
        "config": {"juror": {"name": "pocket"}, "rl_training": {"reward": {"step_penalty": 0.02}}},
        "training": {"epoch": 3, "val_success_rate": 0.9},
    }
    return AgentDescription(**{**fields, **changes})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / AGENT_FILE
    DQNAgent(description()).save(path)
    return path


def rewrite(file, change):
    """Change the header's JSON by a function, tensors as they are."""
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["agent"])
    header = change(header) or header
    save_file(load_file(file), file, {"agent": header if isinstance(header, str) else json.dumps(header)})


@pytest.mark.parametrize("network", NETWORKS)
def test_a_loaded_agent_is_the_saved_one(network, tmp_path):
    channels = NETWORKS[network]().channels
    observations = np.concatenate([OBSERVATIONS, OBSERVATIONS[:, :1]], 1)[:, :channels]
    saved = DQNAgent(description(network=network, observation_shape=(channels, 64, 64)))
    saved.save(tmp_path / "a.safetensors")
    loaded = DQNAgent.load(tmp_path / "a.safetensors")
    assert loaded.description == saved.description
    np.testing.assert_array_equal(loaded.values(observations), saved.values(observations))
    np.testing.assert_array_equal(loaded.act(observations), saved.values(observations).argmax(1))


def test_bug_3_the_file_keeps_the_actions_and_their_order(tmp_path):
    """The predecessor's checkpoints had no action list, and training and evaluation disagreed on STOP."""
    actions = ("invert_r", "swap_gb", "shift_left_all")
    DQNAgent(description(actions=actions)).save(tmp_path / "a.safetensors")
    loaded = DQNAgent.load(tmp_path / "a.safetensors")
    assert loaded.actions == actions
    assert loaded.values(OBSERVATIONS).shape == (4, 3)


def test_bug_3_a_description_with_another_number_of_actions_than_outputs_is_refused(file):
    def without_stop(header):
        header["actions"].remove(STOP)

    rewrite(file, without_stop)
    with pytest.raises(UserError, match="tensors do not fit network 'simple_cnn': size mismatch"):
        DQNAgent.load(file)


def test_the_networks_options_are_kept(tmp_path):
    saved = DQNAgent(description(network=AfterstateSettings(value_range=(-1, 3))))
    saved.save(tmp_path / "a.safetensors")
    loaded = DQNAgent.load(tmp_path / "a.safetensors")
    assert loaded.network.value_range == (-1, 3)
    np.testing.assert_array_equal(loaded.values(OBSERVATIONS), saved.values(OBSERVATIONS))


def of_format_1(**fields):
    def change(header):
        header.update(format=1, **fields)

    return change


def test_a_file_of_the_last_format_is_read(file):
    rewrite(file, of_format_1(network="simple_cnn", network_options={}))
    assert DQNAgent.load(file).description == description()
    DQNAgent(description(network=AfterstateSettings(mirror=True))).save(file)
    rewrite(file, of_format_1(network="edit_scoring", network_options={"mirror": True}))
    assert DQNAgent.load(file).description.network == AfterstateSettings(mirror=True)


def test_the_tone_network_of_the_last_format_is_read_if_it_saw_what_it_sees_now(tmp_path):
    file, now = tmp_path / AGENT_FILE, ToneSettings(histograms=(16,), members=1, dropout=0.0, value_scale=1.0)
    DQNAgent(description(network=now, observation_shape=(4, 64, 64))).save(file)
    sees = {"widths": [], "histograms": [16], "quantiles": True, "edits": True, "strengths": True}
    rewrite(file, of_format_1(network="tone", network_options=sees))
    assert DQNAgent.load(file).description.network == now
    for change in ({"widths": [8]}, {"strengths": False}):
        rewrite(file, of_format_1(network_options={**sees, **change}))
        with pytest.raises(UserError, match="'tone': it has no convolutions any more, and always quantiles") as told:
            DQNAgent.load(file)
        assert "\n" not in str(told.value)


def test_the_folder_of_a_training_will_do(file):
    assert DQNAgent.load(file.parent).description == description()


def test_saving_replaces_an_older_file_and_leaves_nothing_beside_it(file):
    DQNAgent(description(max_steps=7)).save(file)
    assert DQNAgent.load(file).description.max_steps == 7
    assert os.listdir(file.parent) == [file.name]


def test_saving_into_a_missing_folder_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*No such file"):
        DQNAgent(description()).save(tmp_path / "nowhere" / "a.safetensors")


def test_a_missing_file_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="no agent file at"):
        DQNAgent.load(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="no agent file at"):
        DQNAgent.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an agent", b"\xff" * 100])
def test_another_kind_of_file_is_a_users_mistake(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is not an agent file"):
        DQNAgent.load(tmp_path / "a.safetensors")


def test_a_pickled_checkpoint_is_refused_and_never_unpickled(tmp_path):
    torch.save({"model": torch.zeros(3)}, tmp_path / "checkpoint.pth")
    with pytest.raises(UserError, match="is not an agent file"):
        DQNAgent.load(tmp_path / "checkpoint.pth")


def test_half_a_file_is_a_users_mistake(file):
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is not an agent file"):
        DQNAgent.load(file)


def test_safetensors_without_the_header_are_a_users_mistake(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="without an agent's header"):
        DQNAgent.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(format=99), "format 99, this program reads 1 and 2"),
        (lambda h: h.pop("format") and None, "format None"),
        (lambda h: "{", "broken agent header"),
        (lambda h: "[]", "broken agent header: it is not a mapping"),
        (lambda h: h.pop("juror") and None, "broken agent header: juror"),
        (lambda h: h.update(actions="swap_gb"), "broken agent header: actions"),
        (lambda h: h.update(actions=["swap_xy"]), "unknown transforms: swap_xy"),
        (lambda h: h.update(actions=[STOP, "swap_gb"]), "no usable list of actions"),
        (lambda h: h.update(actions=["swap_gb", "swap_gb"]), "no usable list of actions"),
        (lambda h: h.update(actions=[]), "no usable list of actions"),
        (lambda h: h.update(network="resnet"), "unknown network 'resnet'"),
        (lambda h: h.update(network={"kind": "resnet18", "pretrained": "/home"}), "asks for weights in another file"),
        (lambda h: h.update(network={"kind": "simple_cnn", "x": 1}), "has no option 'x'"),
        (lambda h: h.update(observation_shape=[4, 64, 64]), r"broken agent header: observations \(4, 64, 64\)"),
        (lambda h: h.update(network="atari_cnn"), "tensors do not fit"),
        (lambda h: h.update(observation_shape=[3, 65, 65]), "broken agent header: observations"),
        (lambda h: h.update(observation_shape=[64, 64]), "broken agent header: observation_shape"),
        (lambda h: h.update(max_steps=0), "0 steps"),
    ],
)
def test_a_header_that_makes_no_sense_is_a_users_mistake(file, change, message):
    rewrite(file, change)
    with pytest.raises(UserError, match=message):
        DQNAgent.load(file)


def test_weights_that_are_no_numbers_are_refused(file):
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    next(iter(tensors.values()))[:] = torch.nan
    save_file(tensors, file, metadata)
    with pytest.raises(UserError, match="no numbers; the training diverged"):
        DQNAgent.load(file)


@pytest.mark.parametrize(
    "observations", [OBSERVATIONS.astype(np.float32), OBSERVATIONS[:, :, :32, :32], OBSERVATIONS[0]]
)
def test_observations_of_another_kind_are_refused(observations):
    with pytest.raises(ValueError, match="expected uint8"):
        DQNAgent(description()).values(observations)


def test_q_values_do_not_include_the_scores_of_what_is_seen():
    """Networks that value results learn Q + score; whoever asks for Q gets it whatever the network."""
    agent, scores = DQNAgent(description(network="afterstate")), np.array([0.25, 0.5, 0.75, 1.0], np.float32)
    expected = agent.values(OBSERVATIONS) - scores[:, None]
    np.testing.assert_array_equal(agent.q_values(OBSERVATIONS, scores), expected)
    np.testing.assert_array_equal(agent.q_values(OBSERVATIONS), agent.values(OBSERVATIONS))
    plain = DQNAgent(description())
    np.testing.assert_array_equal(plain.q_values(OBSERVATIONS, scores), plain.values(OBSERVATIONS))
