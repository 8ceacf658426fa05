"""A photographic training on real Ray: every action's reward learned at once, gone on with from its checkpoint."""

import numpy as np
import pytest
import ray
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from written_splits import write_darkened_split

from ray_cluster.learner.all_actions import ACTION_REWARDS, DESCRIBED, REMAINING, AllActions
from ray_cluster.train.training import Training
from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.edits.transforms import STOP, action_names
from rl_aesthetics.enhance.enhance import enhance_photo
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.tone_network import STRENGTHS
from rl_aesthetics.scores.reference import ReferenceScorer

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PHOTOS = {"train": 8, "val": 4}


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographic")
    for seed, (split, count) in enumerate(PHOTOS.items()):
        write_darkened_split(root / "data" / split, count, seed)

    def config(epochs):
        overrides = [
            f"dataset={root / 'data'}",
            f"output={root / 'run'}",
            f"mlflow.tracking_uri=sqlite:///{root}/mlflow.db",
            f"training.num_epochs={epochs}",
            "training.validation_frequency=1",
            "training.dataloader_batch_size=4",
            "training.batch_size=16",
            "training.max_steps_per_episode=4",
            "learner.learning_starts=16",
            "learner.updates_per_call=2",
            "learner.max_minutes=null",
        ]
        return load_config("configs/photographic.yaml", overrides)

    return config


@pytest.fixture(scope="module")
def trained(configured):
    """(the first training and its report, the one that went on and its report, the checkpoint that it went on from)"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        first = Training(configured(2))
        before = first.run()
        left = first.store.newest()[1]["training"]
        second = Training(configured(12), resume="auto")
        yield first, before, second, second.run(), left
        ray.shutdown()


def test_every_actions_reward_is_learned_and_no_juror_is_started(trained):
    training, report, *_ = trained
    algorithm = training.algorithm
    assert isinstance(algorithm.learning, AllActions)
    assert training.topology.jurors == 0
    assert "juror" not in training.topology.table()
    assert algorithm.trained > 0
    assert all(np.isfinite(row["train_avg_loss"]) for row in report.history if "train_avg_loss" in row)
    known = algorithm.replay.notes[ACTION_REWARDS][: len(algorithm.replay)]
    assert known.shape[1] == len(action_names("tonal"))
    assert (known[:, training.task.actions.index(STOP)] == 0).all()
    assert (known > 0).any(axis=1).mean() > 0.5  # of most states some edit leads nearer to the original


def test_the_rewards_that_were_learned_are_those_that_the_episodes_paid(trained):
    algorithm, task = trained[0].algorithm, trained[0].task
    rows = np.arange(len(algorithm.replay))
    transitions = algorithm.replay.transitions[rows]
    learned = algorithm.replay.notes[ACTION_REWARDS][rows, transitions["action"]]
    stopped = transitions["action"] == task.actions.index(STOP)
    assert stopped.any()
    # The price of change is paid at the end, and computed by the network, not learned.
    going_on = ~stopped & ~transitions["terminated"]
    np.testing.assert_allclose(learned[going_on], transitions["reward"][going_on], atol=2e-3)  # float16
    # Without a future the price of a step must be that of an edit alone, or it would not matter.
    paid = -transitions["reward"][stopped] - task.reward.step_penalty
    assert (np.isclose(paid, 0, atol=1e-6) | np.isclose(paid, task.reward.change_price, atol=1e-6)).all()
    assert (learned[stopped] == 0).all()


def test_the_strengths_that_remain_are_learned_beside_and_what_the_network_sees_is_described_once(trained):
    algorithm, task = trained[0].algorithm, trained[0].task
    assert algorithm.replay.frames is None  # nor are the frames sent that nobody looks at again
    transitions, notes = algorithm.replay.transitions[:64], algorithm.replay.notes[:64]
    numbers, states = (transitions[name].astype(np.int64) for name in ("photo", "state"))
    note = algorithm.learning.note
    for row in np.flatnonzero(states == 0)[:8]:
        strengths = note.photos.strengths(int(numbers[row]))
        wrong = [-strengths.get(name, 0.0) for name in STRENGTHS]
        np.testing.assert_allclose(notes[REMAINING][row], wrong, atol=2e-3)  # float16
    frames = note.photos.view(task.observation_size, task.shows_edits)(numbers, states)
    assert frames.shape[1:] == task.observation_shape
    np.testing.assert_allclose(notes[DESCRIBED], note.trunk.describe(torch.from_numpy(frames)), atol=2e-2)


def test_there_is_no_target_network(trained):
    module = trained[0].algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()
    assert module.networks() == [module.network]


def test_a_replay_buffer_of_the_last_format_is_gone_on_with_its_notes_made_anew(trained):
    algorithm = trained[2].algorithm
    state, notes = algorithm.replay.get_state(), algorithm.replay.notes.copy()
    frames = np.zeros((len(algorithm.replay), *trained[2].task.observation_shape), np.uint8)
    algorithm.replay.notes[:] = 0
    algorithm.learning.set_replay({name: state[name] for name in state if name != "notes"} | {"frames": frames})
    np.testing.assert_array_equal(algorithm.replay.notes, notes)


def test_it_goes_on_from_its_checkpoint(trained):
    _, before, resumed, after, _ = trained
    assert (before.epochs, after.epochs) == (2, 12)
    assert after.env_steps > before.env_steps
    assert after.history[0] == before.history[0]
    assert resumed.algorithm.episodes_done >= 12 * PHOTOS["train"]


def test_the_last_checkpoint_knows_the_last_epoch_though_that_took_no_step_of_its_own(trained):
    _, before, _, after, left = trained
    assert (left["epoch"], len(left["history"])) == (2, 2)
    assert after.history[:2] == before.history


def test_the_agent_it_leaves_came_nearest_in_validation_and_edits_photos_without_ray(trained):
    report = trained[3]
    gains = [row["val_avg_improvement"] for row in report.history if "val_avg_improvement" in row]
    assert report.metrics["val_avg_improvement"] == max(gains)
    agent = DQNAgent.load(report.agent)
    assert agent.description.juror == ReferenceScorer.fingerprint
    assert agent.actions == action_names("tonal")
    photo = np.random.default_rng(3).integers(0, 65536, (70, 91, 3)).astype(np.uint16)
    result = enhance_photo(agent, photo, None)
    assert (result.photo_HWC.shape, result.photo_HWC.dtype) == (photo.shape, np.uint16)


@pytest.mark.parametrize("share", ["undegraded_share", "collage_share"])
def test_good_photos_and_collages_are_refused_where_no_photo_is_made_for_an_episode(configured, share):
    config = configured(1)
    config = config.model_copy(update={"output": config.output.with_name("refused")})
    shares = {"undegraded_share": 0.0, "collage_share": 0.0, share: 0.1}
    learner = config.learner.model_copy(update={"fresh_degradations": False, **shares})
    config = config.model_copy(update={"learner": learner})
    with pytest.raises(UserError, match=r"learner\.fresh_degradations=true"):
        Training(config)
    assert not config.output.exists()
