"""What the first version wrote is read and means what it meant. tests/files/format_1/README.md says what there is."""

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import yaml

from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config import rules
from rl_aesthetics.config.config import load_config
from rl_aesthetics.config.sweep_plan import load_plan
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import UserError

FILES = Path(__file__).parents[2] / "files" / "format_1"
VALUES = json.loads((FILES / "values.json").read_text())
CONFIGS = sorted(path for path in FILES.glob("*/**/*.yaml") if path.stem != "sweep")
NOW = {
    "learner.network": lambda config: {"afterstate": "edit_scoring"}.get(kind := config.learner.network.kind, kind),
    "learner.full_information": lambda config: config.learner.algorithm == "all_actions",
    "learner.double_q": lambda config: config.learner.target_action != "target",
    "learner.remember_next_action": lambda config: config.learner.target_action == "stored",
    **{
        f"learner.{name}": lambda config, name=name, default=default: of_network(config, name, default)
        for name, default in {
            **{"dueling": False, "noisy": False, "num_atoms": 1, "value_support": None},
            **{"pretrained": None, "frozen": False, "warm_start": False},
        }.items()
    },
    **{
        f"learner.network_options{name}": lambda config, name=name, default=default: of_network(
            config, name[1:], default
        )
        for name, default in {
            **{".value_range": None, ".mirror": False, ".widths": [], ".values_include_score": None},
            **{".histograms": (), ".members": 1, ".dropout": 0.0, ".value_scale": 1.0},
            **{".change_limit": 1.0, ".change_price": 1.0},
            **{".quantiles": True, ".edits": True, ".strengths": True, "": {}},
        }.items()
    },
}
"""For settings that have another name or form by now: from the old dotted key to a function of the configuration that
gives what the old setting would be."""
GONE = {
    *("learner.augment", "learner.smallest_crop", "learner.bf16", "learner.compile", "juror.pixel_cache_size"),
    "rl_training.reward.fidelity_weight",
}
"""What is left out, with a warning where it said anything."""
UNUSED = set(rules.UNUSED["all_actions"]) | {"learner.double_q", "learner.remember_next_action", "juror.options.juror"}
"""Nothing was done with these where all actions were learned from."""
INSTEAD = {("exploration.schedule", "cosine"): "linear"}
REFUSED = {"every_setting_tone": {"rl_training.reward.name": "difference", "rl_training.reward.terminal_bonus": 0.0}}
"""Files with settings that were ignored then and are refused now, and what has to be said in their place."""


def of_network(config, name, default):
    """A network's setting as JSON has it."""
    return config.learner.network.model_dump(mode="json").get(name, default)


def observations(shape):
    """Two random ones; where edits are shown, one without any and one with two steps of the first."""
    observations_BCHW = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    observations_BCHW[:, 3:] = 128
    observations_BCHW[1, 3:, 0] = 130
    return observations_BCHW


def old_agent(name, folder):
    """An agent file; a large one is packed."""
    if not name.endswith(".xz"):
        return FILES / name
    file = folder / "agent.safetensors"
    file.write_bytes(lzma.decompress((FILES / name).read_bytes()))
    return file


@pytest.mark.parametrize("name", VALUES)
def test_an_old_agent_values_actions_as_it_did(name, tmp_path):
    if name.startswith(("agents/resnet18", "agents/efficientnet_b0")):
        pytest.importorskip("transformers")
    if name == "agents/tone_convolutions.safetensors":  # of its kind no measurement supported any
        with pytest.raises(UserError, match="network 'tone': it has no convolutions any more"):
            DQNAgent.load(old_agent(name, tmp_path))
        return
    agent = DQNAgent.load(old_agent(name, tmp_path))
    assert list(agent.actions) == VALUES[name]["actions"]
    values_BA = agent.values(observations(agent.description.observation_shape))
    np.testing.assert_allclose(values_BA, VALUES[name]["values"], rtol=0, atol=1e-5)


def leaves(node, key=""):
    """(dotted key, value) of everything in a tree that is not a mapping; empty mappings are values."""
    if not (isinstance(node, dict) and node):
        return [(key, node)]
    return [leaf for name, value in node.items() for leaf in leaves(value, f"{key}.{name}".lstrip("."))]


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.relative_to(FILES)))
def test_an_old_configuration_says_what_it_said(file):
    instead = REFUSED.get(file.stem, {})
    if instead:
        with pytest.raises(UserError, match=r"rl_training\.reward\.name=difference"):
            load_config(file)
    config = load_config(file, [f"{key}={value}" for key, value in instead.items()])
    now = dict(leaves(config.model_dump(mode="json")))
    for key, value in leaves(yaml.safe_load(file.read_text())):
        if key in instead:
            continue
        if key in GONE or (config.learner.algorithm == "all_actions" and key in UNUSED):
            assert key not in now
            continue
        found = NOW[key](config) if key in NOW else now[key]
        assert found == INSTEAD.get((key, value if isinstance(value, str) else None), value), key


def test_an_old_sweep_is_understood():
    plan = load_plan(FILES / "configs" / "sweep.yaml")
    assert list(plan.space) == list(yaml.safe_load((FILES / "configs" / "sweep.yaml").read_text())["space"])


@pytest.mark.parametrize("kind", ["reversible", "photographic"])
def test_an_old_dataset_is_that_of_the_old_checkpoint(kind):
    _, parts = CheckpointStore(FILES / "trainings" / kind / "state").newest()
    assert parts["training"]["epoch"] == 2
    for split, photos in (("train", 6), ("val", 2)):
        dataset = RLDataset(FILES / "datasets" / kind, split)
        assert len(dataset.thumbnails(32)) == photos
    assert RLDataset(FILES / "datasets" / kind, "train").fingerprint == parts["training"]["identity"]["dataset"]
