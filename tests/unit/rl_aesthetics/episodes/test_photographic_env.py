"""Episodes of photographic edits: what is edited, what is compared with, what is paid."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import scene, scorer

from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.tonal_degradation import (
    DIFFICULTIES,
    MODELS,
    degrade_tone,
    sequence_of,
    strengths_of,
    tonal_model,
)
from rl_aesthetics.edits import edit_state
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import STOP, TRANSFORMS, action_names
from rl_aesthetics.episodes.all_action_rewards import ActionRewards
from rl_aesthetics.episodes.env import ImageEditEnv
from rl_aesthetics.episodes.photos import EpisodePhotos, Variants
from rl_aesthetics.episodes.start_states import VariantSampler
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import stop_policy
from rl_aesthetics.evaluation.reward_hacking import judge, leaves_alone, summarise
from rl_aesthetics.networks.registry import make_network
from rl_aesthetics.networks.tone_trunk import colour_histograms
from rl_aesthetics.photos.quality import IDENTICAL_DB, measure
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.rewards import make_reward
from rl_aesthetics.scores.reference import ReferenceScorer

TASK = Task(actions=action_names("tonal"), max_steps=6, reward=make_reward(step_penalty=0.0, terminal_bonus=0.0))
DEGRADED = [{"exposure": -1.0}, {"temperature": 0.75, "contrast": -0.5}, {"saturation": 0.5}]


def rewards_of(dataset, task=TASK):
    return ActionRewards(EpisodePhotos(dataset, edit_space(task.actions)), task.reward)


def photos(size=(64, 64)):
    named = [sequence_of(strengths) for strengths in DEGRADED]
    return RLDataset.from_arrays(
        [scene(*size, k) for k in range(len(named))], [names for names, _ in named], strengths=[s for _, s in named]
    )


def action(name):
    return TASK.actions.index(name)


def best_policy(evaluation):
    rewards = rewards_of(evaluation.dataset)
    return lambda observations, rows, states: rewards(rows, states)[0].argmax(1)


def test_the_degraded_photo_is_state_0_and_the_original_a_state_of_its_own():
    dataset = photos()
    table = EpisodePhotos(dataset, edit_space(TASK.actions))
    view = table.view(64)
    shown = view(np.array([0, 0]), np.array([0, table.original_state]))
    np.testing.assert_array_equal(shown[0].transpose(1, 2, 0)[..., ::-1], dataset.degraded(0))
    np.testing.assert_array_equal(shown[1].transpose(1, 2, 0)[..., ::-1], dataset.original(0))


def test_undoing_the_degradation_pays_and_doing_more_of_it_costs():
    env = ImageEditVectorEnv(photos(), ReferenceScorer(), TASK, num_envs=1)
    for name, sign in (("exposure_up_3", 1), ("exposure_down_3", -1)):
        env.sampler.pending = [0]
        env.ended_B[:] = True
        env.reset(seed=0)
        env.photos_B[:] = 0
        assert np.sign(env.step([action(name)])[1][0]) == sign


def test_the_reference_environment_gives_the_same_rewards_at_the_observations_size():
    dataset = photos()
    env, reference = (
        ImageEditVectorEnv(dataset, ReferenceScorer(), TASK, 1),
        ImageEditEnv(dataset, ReferenceScorer(), TASK),
    )
    env.reset(seed=1)
    reference.reset(options={"photo": int(env.photos_B[0])})
    for name in ("exposure_up", "tint_down", "exposure_up_3", "contrast_up", STOP):
        mine, theirs = env.step([action(name)]), reference.step(action(name))
        assert mine[1][0] == pytest.approx(theirs[1], abs=0.02)  # means of 16 pixels before and after rounding
        assert bool(mine[2][0]) == theirs[2]


def test_the_original_scores_1_and_nobody_can_score_without_it():
    env = ImageEditVectorEnv(photos(), ReferenceScorer(), TASK, 2)
    scores = env.scores(np.array([0, 1]), np.full(2, env.photos.original_state))
    np.testing.assert_allclose(scores, 1)
    with pytest.raises(ScoringError, match="originals"):
        ReferenceScorer().score([np.zeros((16, 16, 3), np.uint8)])


def test_the_rewards_of_all_actions_are_what_the_environment_pays():
    dataset = photos()
    env = ImageEditVectorEnv(dataset, ReferenceScorer(), TASK, num_envs=3)
    env.reset(seed=3)
    expected, _ = rewards_of(dataset)(env.photos_B, env.states_B)
    for number in (0, 5, 11, 19):
        env.reset(seed=3)
        np.testing.assert_allclose(env.step([number] * 3)[1], expected[:, number], atol=1e-5)


def test_variants_are_made_from_their_number_alone_and_differ():
    dataset = photos((96, 128))
    tables = [
        EpisodePhotos(dataset, edit_space(TASK.actions), variants=Variants(undegraded_share=0.2)) for _ in range(2)
    ]
    numbers = np.arange(3, 33)
    first, second = (table.view(64)(numbers, np.zeros(30, int)) for table in tables)
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first.reshape(30, -1), axis=0)) == 30


def test_some_variants_are_good_photos_to_be_left_alone():
    table = EpisodePhotos(photos((96, 128)), edit_space(TASK.actions), variants=Variants(undegraded_share=0.3))
    same = [np.array_equal(*table.pair(number)) for number in range(3, 303)]
    assert 0.2 < np.mean(same) < 0.4


def test_in_a_collage_a_part_of_another_photo_covers_a_quarter_to_three_quarters():
    dataset = photos((96, 128))
    one, two = (EpisodePhotos(dataset, edit_space(TASK.actions), variants=Variants(0.2, share)) for share in (0.0, 1.0))
    shares = []
    for number in range(3, 33):
        assert one.strengths(number) == two.strengths(number)
        changed_HW = (one.original(number) != two.original(number)).any(2)
        (rows,), (columns,) = np.nonzero(changed_HW.any(1)), np.nonzero(changed_HW.any(0))
        assert rows[0] == columns[0] == 0
        shares.append((rows[-1] + 1) * (columns[-1] + 1) / changed_HW.size)
        degraded = degrade_tone(two.original(number), two.strengths(number))
        np.testing.assert_array_equal(two.photo(number), degraded)
        given, original = (planes.astype(int).transpose(1, 2, 0) for planes in two.pair(number))
        whole = reduce_image(two.original(number), 64)[..., ::-1].astype(int)
        assert np.abs(whole - original).mean() < 6  # cut from a larger photo
        assert np.array_equal(given, original) == (not two.strengths(number))
    assert 0.2 < min(shares) < max(shares) <= 0.75


def test_fresh_episodes_are_variants_and_recorded_ones_are_not():
    table = EpisodePhotos(photos(), edit_space(TASK.actions))
    fresh, recorded = VariantSampler(table, True), VariantSampler(table, False)
    assert all(fresh()[0] >= 3 for _ in range(20))
    assert sorted(recorded()[0] for _ in range(3)) == [0, 1, 2]


def test_a_crop_is_compared_with_the_original_in_the_same_crop():
    dataset = photos((96, 128))
    task = Task(actions=action_names("photographic"), max_steps=4)
    env = ImageEditVectorEnv(dataset, ReferenceScorer(), task, 1)
    cut = edit_state.state_of(crop=2)
    whole, cropped = env.scores(np.array([0, 0]), np.array([0, cut]))
    assert cropped == pytest.approx(whole, abs=0.03)


def test_degradations_never_cancel_and_their_strengths_are_known():
    generator = np.random.default_rng(0)
    for _ in range(200):
        strengths = MODELS["tonal"].draw(generator)
        assert 1 <= len(strengths) <= 2
        assert all(0.3 <= abs(value) <= 1.5 for value in strengths.values())
        assert strengths_of(*sequence_of(strengths)) == strengths


def test_each_degradation_goes_its_way():
    photo = scene(64, 64, 0)
    assert degrade_tone(photo, {"exposure": -1}).mean() < photo.mean() < degrade_tone(photo, {"exposure": 1}).mean()
    assert degrade_tone(photo, {"contrast": -1}).std() < photo.std()
    assert degrade_tone(photo, {"haze": 0.5}).min() > photo.min()


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_difficulties_bound_the_strengths(difficulty):
    model = tonal_model("photographic", most=3, difficulty=difficulty)
    generator = np.random.default_rng(1)
    drawn = [value for _ in range(50) for name, value in model.draw(generator).items() if name != "haze"]
    assert DIFFICULTIES[difficulty][0] <= min(map(abs, drawn)) <= max(map(abs, drawn)) <= DIFFICULTIES[difficulty][1]


def test_more_parameters_than_there_are_is_refused():
    with pytest.raises(UserError, match="1 to 5"):
        tonal_model("tonal", most=6)


def test_following_the_reference_brings_photos_nearer_by_every_measure():
    evaluation = Evaluation(photos(), ReferenceScorer(), TASK)
    episodes = evaluation.run(best_policy(evaluation))
    judgement = judge(evaluation, episodes, {"naturalness": scorer()})
    assert (judgement.after.psnr > judgement.before.psnr + 3).all()
    assert (judgement.after.flip < judgement.before.flip).all()
    assert not judgement.fooled_N.any()
    assert summarise(judgement)["psnr_improved"] == 1


def test_a_policy_that_pleases_its_own_juror_alone_is_flagged():
    class LikesDark:
        size, fingerprint = 64, "dark:1"

        def score(self, images):
            return np.array([1 - np.mean(image) / 255 for image in images], np.float32)

    evaluation = Evaluation(photos(), LikesDark(), TASK)
    darker = action("exposure_down_3")
    judgement = judge(evaluation, evaluation.run(lambda observations, rows, states: np.full(len(rows), darker)))
    assert judgement.fooled_N[0]


def test_good_photos_are_left_alone_by_who_stops_and_not_by_who_does_not():
    evaluation = Evaluation(photos(), ReferenceScorer(), TASK)
    assert leaves_alone(evaluation, stop_policy(evaluation.space))["left_alone"] == 1
    brighter = action("exposure_up_3")
    assert leaves_alone(evaluation, lambda observations, rows, states: np.full(len(rows), brighter))["as_good_as"] == 0


def test_equal_photos_have_the_bound_of_psnr_and_no_distance():
    quality = measure([scene(64, 64, 0)], [scene(64, 64, 0)])
    assert (quality.psnr[0], quality.ssim[0], quality.flip[0]) == (IDENTICAL_DB, pytest.approx(1), 0)


def test_all_edits_together_have_states_too():
    space = edit_space(action_names(["swap_gb", "exposure_up", "exposure_down", "gaussian_blur_3"]))
    state = 0
    for name in ("exposure_up", "swap_gb", "gaussian_blur_3", "exposure_up", "exposure_down"):
        state = int(space.after(state, space.actions.index(name)))
    undone = int(space.after(int(space.after(0, 1)), 2))
    assert undone == 0
    photo = scene(32, 32, 0)
    assert space.render(photo, state).shape == photo.shape


@pytest.mark.parametrize("actions", [TASK.actions, ("crop_square", "clahe", "exposure_up", STOP)])
def test_the_afterstate_network_looks_at_one_more_step_of_what_it_sees(actions):
    network = make_network("afterstate", actions).eval()
    image = torch.from_numpy(np.ascontiguousarray(scene(64, 64, 0)[..., ::-1].transpose(2, 0, 1)))[None]
    for number, name in enumerate(actions):
        seen = network.edited(image, torch.tensor([number]))[0].numpy().transpose(1, 2, 0)[..., ::-1]
        expected = scene(64, 64, 0) if name == STOP else reduce_image(TRANSFORMS[name](scene(64, 64, 0)), 64)
        np.testing.assert_array_equal(seen, expected)


def seen(*images_HWC):
    """Observations of photos to which nothing was done yet."""
    images_BCHW = torch.from_numpy(np.stack(images_HWC).transpose(0, 3, 1, 2))
    return torch.cat([images_BCHW, torch.full_like(images_BCHW[:, :1], 128)], 1)


def test_the_tone_network_values_every_action_and_learns_from_light():
    network = make_network("tone", TASK.actions).eval()
    values = network(seen(scene(64, 64, 0), scene(64, 64, 0) // 2))
    assert values.shape == (2, len(TASK.actions))
    assert not torch.allclose(values[0], values[1])


def test_an_edit_beyond_the_limit_on_change_is_never_the_best_of_all_actions():
    limited = replace(TASK, reward=make_reward(step_penalty=0.0, terminal_bonus=0.0, change_limit=0.02))
    rows, states = np.arange(len(DEGRADED)), np.zeros(len(DEGRADED), np.int64)
    free_BA, limited_BA = (rewards_of(photos(), task)(rows, states)[0] for task in (TASK, limited))
    too_far_BA = limited_BA < free_BA
    np.testing.assert_allclose((free_BA - limited_BA)[too_far_BA], 1, atol=1e-6)
    assert too_far_BA[0, free_BA[0].argmax()]
    assert not too_far_BA[:, TASK.actions.index(STOP)].any()


def test_colour_histograms_count_every_pixel_once_in_each_of_the_four():
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    images[0, :, :2] = torch.tensor([255, 128, 7], dtype=torch.uint8)[:, None, None]
    shares_F = (colour_histograms(images)[0] / 4).square()
    joint_F, own_3F = shares_F[:512], shares_F[512:].view(3, 32)
    torch.testing.assert_close(joint_F[[0, 7 * 64 + 4 * 8]], torch.full((2,), 0.5))
    torch.testing.assert_close(own_3F[[0, 0, 1], [0, 31, 16]], torch.full((3,), 0.5))
    torch.testing.assert_close(own_3F[2, 0], torch.tensor(1.0))  # 7 and 0 share the first of 32 bins
    torch.testing.assert_close(shares_F.sum(), torch.tensor(4.0))


def test_the_tone_networks_values_are_on_the_given_scale():
    observations = seen(scene(64, 64, 0), scene(64, 64, 1))
    network, scaled = (make_network("tone", TASK.actions, value_scale=scale).eval() for scale in (1.0, 10.0))
    scaled.load_state_dict(network.state_dict())
    torch.testing.assert_close(scaled(observations) * 10, network(observations))


def test_the_tone_network_counts_and_leaves_out_only_when_learning():
    observations = seen(scene(64, 64, 0), scene(64, 64, 1))
    network = make_network("tone", TASK.actions, histograms=[16, 8], dropout=0.5)
    assert not torch.equal(network(observations), network(observations))
    network.eval()
    torch.testing.assert_close(network(observations), network(observations))
    # Neighbours stay neighbours, for the edges: otherwise it knows no places, no left and no right.
    torch.testing.assert_close(network(observations.flip(3)), network(observations))


def test_good_variants_are_as_sharp_as_degraded_ones():
    table = EpisodePhotos(photos((96, 128)), edit_space(TASK.actions), variants=Variants(undegraded_share=0.5))
    numbers = [n for n in range(len(table), 60) if table.strengths(n)]
    never = EpisodePhotos(photos((96, 128)), edit_space(TASK.actions), variants=Variants(undegraded_share=1.0))
    assert numbers
    for number in numbers:  # of one number the part is the same, whether it is degraded or not
        np.testing.assert_array_equal(table.pair(number)[1], never.pair(number)[0])
