"""Quantiles of light, colour ratios and edges: what they are, and that edits move them by their strength."""

import numpy as np
import torch
from scenes import scene

from rl_aesthetics.edits import edit_state, render, tone
from rl_aesthetics.networks.tone_statistics import QUANTILE_FEATURES, QUANTILES, bin_counts, tone_quantiles


def images(count=3):
    # Nothing near black or white, so that edits clip nothing.
    return torch.from_numpy(np.stack([scene(64, 64, k) // 3 + 60 for k in range(count)]).transpose(0, 3, 1, 2).copy())


def features(images_BCHW):
    return tone_quantiles(images_BCHW).view(len(images_BCHW), QUANTILE_FEATURES // len(QUANTILES), len(QUANTILES))


def edited(images_BCHW, **steps):
    state = edit_state.state_of(**steps)
    return torch.from_numpy(render.render_reductions(images_BCHW.numpy(), np.full(len(images_BCHW), state)))


def test_they_are_the_quantiles_that_sorting_gives():
    light = tone.light_of("uint8")[images().numpy()].reshape(3, 3, -1)
    logs = np.log2(light + 2.0**-9)
    ranks = np.rint(np.array(QUANTILES) * (logs.shape[2] - 1)).astype(int)
    found = features(images()).numpy()
    for channel in range(3):
        np.testing.assert_allclose(found[:, channel], np.sort(logs[:, channel])[:, ranks], atol=0.01)
    ratio = np.sort(logs[:, 0] - logs[:, 1])[:, ranks]
    np.testing.assert_allclose(found[:, 4], 1.5 * ratio, atol=0.03)
    saturation = np.sort(1 - (light.min(1) + 2.0**-9) / (light.max(1) + 2.0**-9))[:, ranks]
    np.testing.assert_allclose(found[:, 7], 3 * saturation, atol=0.05)


def test_exposure_and_casts_shift_them_by_their_strength_wherever_the_photo_lies():
    before, brighter, warmer = (
        features(batch) for batch in (images(), edited(images(), exposure=6), edited(images(), temperature=6))
    )
    shift = (brighter - before)[:, :4]
    torch.testing.assert_close(shift, torch.full_like(shift, 0.5), atol=0.06, rtol=0)
    ratios = (brighter - before)[:, 4:7]
    assert ratios.abs().max() < 0.1
    red_to_blue = (warmer - before)[:, 6]
    torch.testing.assert_close(red_to_blue, torch.full_like(red_to_blue, 0.75), atol=0.12, rtol=0)


def test_contrast_steepens_edges():
    before, flatter = features(images()), features(edited(images(), contrast=-6))
    change = (flatter - before)[:, 8, -6:]  # of the steep ones; eight bits round the faint ones
    assert -0.8 < change.mean() < -0.2


def test_they_know_no_left_and_right_and_bear_black_white_and_grey():
    torch.testing.assert_close(tone_quantiles(images()), tone_quantiles(images().flip(3)))
    flat = torch.stack([torch.full((3, 8, 8), value, dtype=torch.uint8) for value in (0, 128, 255)])
    assert torch.isfinite(tone_quantiles(flat)).all()


def test_counts_are_those_of_each_row():
    bins = torch.tensor([[0, 2, 2], [1, 1, 1]])
    assert bin_counts(bins, 4).tolist() == [[1, 0, 2, 0], [0, 3, 0, 0]]
