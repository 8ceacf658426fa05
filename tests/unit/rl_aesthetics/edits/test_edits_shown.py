"""Observations whose fourth channel says which edits were made, and the price of change that is computed from them."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from scenes import scene, scorer

from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.tonal_degradation import sequence_of
from rl_aesthetics.edits import edit_state, render, tone
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import STOP, action_names
from rl_aesthetics.enhance.enhance import enhance_photo
from rl_aesthetics.episodes.env import ImageEditEnv
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.errors import UserError
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import agent_policy
from rl_aesthetics.networks.change_price import ChangePrice
from rl_aesthetics.networks.registry import make_network
from rl_aesthetics.networks.settings import ToneSettings
from rl_aesthetics.networks.tone_network import STRENGTHS
from rl_aesthetics.photos.quality import pixel_change
from rl_aesthetics.plan.tasks import task_of, task_of_agent
from rl_aesthetics.rewards import make_reward
from rl_aesthetics.scores.reference import ReferenceScorer

ACTIONS = action_names("tonal")
TASK = Task(ACTIONS, 6, make_reward(step_penalty=0.0, terminal_bonus=0.0), shows_edits=True)
OPTIONS = {"histograms": [16, 8], "members": 1, "dropout": 0.0, "value_scale": 1.0}


def photos():
    named = [sequence_of(strengths) for strengths in ({"exposure": -1.0}, {"temperature": 0.75, "contrast": -0.5})]
    return RLDataset.from_arrays(
        [scene(64, 64, k) for k in range(len(named))], [names for names, _ in named], strengths=[s for _, s in named]
    )


def views(states, images=None):
    images = np.stack([scene(64, 64, k)[..., ::-1].transpose(2, 0, 1) for k in range(len(states))])
    shown = render.render_reductions(images, np.array(states))
    return images, np.concatenate([shown, edit_state.edits_plane(states, 64)], 1)


def test_the_plane_says_every_edit_by_its_row():
    state = edit_state.state_of(exposure=-30, tint=2, clahe=1, crop=5)
    plane_SS = edit_state.edits_plane([state], 64)[0, 0]
    assert (plane_SS == plane_SS[:, :1]).all()
    values = edit_state.unpack(state)
    np.testing.assert_array_equal(plane_SS[: edit_state.EDITS_SIZE, 0].astype(int) - 128, values)
    assert (plane_SS[edit_state.EDITS_SIZE :] == 128).all()
    np.testing.assert_allclose(edit_state.tones_shown(views([state])[1]), edit_state.tones([state]))
    with pytest.raises(ValueError, match="rows"):
        edit_state.edits_plane([state], 16)


def test_both_environments_show_photo_and_edits():
    env, reference = (
        ImageEditVectorEnv(photos(), ReferenceScorer(), TASK, 1),
        ImageEditEnv(photos(), ReferenceScorer(), TASK),
    )
    assert env.single_observation_space == gym.spaces.Box(0, 255, (4, 64, 64), np.uint8)
    shown, _ = env.reset(seed=1)
    first, _ = reference.reset(options={"photo": int(env.photos_B[0])})
    np.testing.assert_array_equal(shown[0], first)
    for name in ("exposure_up_fine", "tint_down", "exposure_up_3"):
        mine, theirs = env.step([ACTIONS.index(name)]), reference.step(ACTIONS.index(name))
        assert theirs[0] in reference.observation_space
        np.testing.assert_array_equal(mine[0][0, 3], theirs[0][3])
        assert mine[1][0] == pytest.approx(theirs[1], abs=0.02)
    assert mine[0][0, 3, 0, 0] == 128 + 1 + 9  # twelfths of an EV


def test_edits_shown_are_not_taken_for_changed_pixels():
    env = ImageEditVectorEnv(photos(), ReferenceScorer(), TASK, 1)
    shown, _ = env.reset(seed=0)
    hidden = shown.copy()
    hidden[:, 3] = 255
    assert pixel_change(shown, hidden) == 0


def test_only_photographic_edits_can_be_shown():
    dataset = RLDataset.from_arrays([scene(64, 64, 0)], [["swap_gb"]])
    for environment in (ImageEditVectorEnv, ImageEditEnv):
        with pytest.raises(UserError, match="photographic"):
            environment(dataset, scorer(64), Task(shows_edits=True))


@pytest.mark.parametrize("edits", [(), ("exposure_up_fine",), ("exposure_up", "tint_down_fine"), ("contrast_down_3",)])
def test_the_price_of_change_is_that_of_crossing_the_limit(edits):
    space, limit = edit_space(ACTIONS), 0.0125
    state = 0
    for name in edits:
        state = int(space.after(state, ACTIONS.index(name)))
    given, observations = views([state, state])
    prices_BA = ChangePrice(ACTIONS, limit, 0.5)(observations)

    def beyond(states_B):
        return pixel_change(given, render.render_reductions(given, np.array(states_B))) > limit

    before = beyond([state, state])
    for number, name in enumerate(ACTIONS):
        following = int(space.after(state, number))
        expected = 0.5 * (beyond([following] * 2).astype(float) - before)
        np.testing.assert_allclose(prices_BA[:, number], expected, err_msg=name)
    assert (prices_BA[:, ACTIONS.index(STOP)] == 0).all()


def test_a_tone_network_takes_the_computed_price_off_what_it_has_learned():
    torch.manual_seed(0)
    free = make_network("tone", ACTIONS, **OPTIONS).eval()
    priced = make_network("tone", ACTIONS, **OPTIONS, change_limit=0.0125, change_price=0.5).eval()
    priced.load_state_dict(free.state_dict())
    _, observations = views([0, 0])
    tensors = torch.from_numpy(observations)
    prices = torch.from_numpy(ChangePrice(ACTIONS, 0.0125, 0.5)(observations))
    assert prices.max() == 0.5
    torch.testing.assert_close(priced(tensors), free(tensors) - prices)
    [learned], _ = priced.learned(priced.trunk.describe(tensors))
    torch.testing.assert_close(learned, free(tensors))


def test_estimated_strengths_stand_beside_the_values_and_change_nothing_of_their_shape():
    network = make_network("tone", ACTIONS, **OPTIONS).eval()
    tensors = torch.from_numpy(views([0, edit_state.state_of(tint=3)])[1])
    [values], [estimates] = network.learned(network.trunk.describe(tensors))
    assert estimates.shape == (2, len(STRENGTHS))
    torch.testing.assert_close(network(tensors), values)
    with pytest.raises(UserError, match="network 'tone' has no option 'dueling'"):
        make_network("tone", ACTIONS, **OPTIONS, dueling=True)


def test_the_value_of_an_action_is_the_mean_of_the_members():
    network = make_network("tone", ACTIONS, **{**OPTIONS, "members": 3}).eval()
    tensors = torch.from_numpy(views([0, edit_state.state_of(tint=3)])[1])
    values_MBA, estimates_MBP = network.learned(network.trunk.describe(tensors))
    assert estimates_MBP.shape == (3, 2, len(STRENGTHS))
    assert (values_MBA.std(0)[:, :-1] > 0).all()  # they begin with weights of their own
    torch.testing.assert_close(network(tensors), values_MBA.mean(0))


def test_what_was_edited_is_never_left_out_when_learning():
    network = make_network("tone", ACTIONS, **{**OPTIONS, "dropout": 1.0})
    tensors = torch.from_numpy(views([0, 0])[1])
    edited = tensors.clone()
    edited[:, 3] = torch.from_numpy(edit_state.edits_plane([edit_state.state_of(exposure=9)] * 2, 64)[:, 0])
    seen = [network.trunk.histograms[0].register_forward_pre_hook(lambda layer, given: inputs.append(given[0]))]
    inputs = []
    network(tensors), network(edited)
    seen[0].remove()
    tones = len(tone.TONE)
    assert (inputs[0] == 0).all()
    assert inputs[1][0, network.trunk.shares : network.trunk.shares + tones].tolist() == [1.5, *[0] * (tones - 1)]


def test_an_agent_that_is_shown_its_edits_evaluates_and_edits_photos(tmp_path):
    torch.manual_seed(1)
    description = AgentDescription(ToneSettings(**OPTIONS), ACTIONS, (4, 64, 64), 5, "")
    DQNAgent(description).save(tmp_path / "agent.safetensors")
    agent = DQNAgent.load(tmp_path)
    assert agent.shows_edits
    task = task_of_agent(agent, None)
    assert task.observation_shape == (4, 64, 64)
    evaluation = Evaluation(photos(), ReferenceScorer(), task)
    episodes = evaluation.run(agent_policy(agent))
    photo = evaluation.photo(0)
    result = enhance_photo(agent, photo, None)
    if result.stopped != "repeats":
        np.testing.assert_array_equal(result.photo_HWC, evaluation.result(0, int(episodes.finals_N[0])))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learner.network.edits=false"], "always quantiles, edits and strengths"),
        (["learner.network.widths=[8]"], "no convolutions any more"),
        (["learner.network=atari_cnn", "state.shape=[4, 64, 64]"], "4 channels"),
    ],
)
def test_networks_and_observations_that_do_not_fit_are_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        load_config("configs/photographic.yaml", overrides)


def test_the_network_decides_what_is_seen_and_four_channels_may_be_written_out():
    for shape in ("[3, 64, 64]", "[4, 64, 64]"):
        config = load_config("configs/photographic.yaml", [f"state.shape={shape}"])
        assert config.observation_shape == task_of(config).observation_shape == (4, 64, 64)


def test_a_training_that_would_show_reversible_edits_is_refused_before_it_starts():
    config = load_config("configs/photographic.yaml", ["action_space.transforms=reversible"])
    with pytest.raises(UserError, match="photographic"):
        task_of(config)
