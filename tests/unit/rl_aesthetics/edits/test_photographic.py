"""A photographer's edits: direction, range, and the vector that any sequence of them amounts to."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_aesthetics.edits import edit_state, framing, photographic, render, tone
from rl_aesthetics.edits.transforms import PHOTOGRAPHIC, STOP, TRANSFORMS, action_names

EDITS = [TRANSFORMS[name].change for name in PHOTOGRAPHIC]
TONAL_EDITS = [name for name in PHOTOGRAPHIC if edit_state.FIELDS[TRANSFORMS[name].change.field].name in tone.TONE]
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(4, axis=0)


def photo(height=60, width=90, seed=1):
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = np.stack([50 + 120 * x, 40 + 150 * y, 200 - 120 * x], axis=2)
    return np.clip(planes + np.random.default_rng(seed).normal(0, 4, planes.shape), 0, 255).astype(np.uint8)


def edited(name, image=None):
    return TRANSFORMS[name](photo() if image is None else image).astype(float)


def state_after(sequence, start=0):
    for edit in sequence:
        start = int(edit_state.after(start, [EDITS[edit]])[0])
    return start


def state_of_all(changes):
    state = edit_state.UNEDITED
    for change in changes:
        state = int(edit_state.after(state, [change])[0])
    return state


def colourfulness(image):
    return np.ptp(image.astype(float), axis=2).mean()


@pytest.mark.parametrize("name", TONAL_EDITS)
def test_greys_from_black_to_white_still_rise_under_every_tonal_edit(name):
    field = edit_state.FIELDS[TRANSFORMS[name].change.field]
    for amount in (1, field.high):
        sign = np.sign(TRANSFORMS[name].change.amount)
        state = edit_state.state_of(**{field.name: int(sign * amount)})
        values = render.render(GREYS, state)[0].astype(int)
        assert (np.diff(values, axis=0) >= 0).all()
        assert values.min() >= 0
        assert values.max() <= 255


@pytest.mark.parametrize("parameter", ["exposure", "highlights", "shadows", "gamma"])
def test_up_is_brighter_and_down_is_darker(parameter):
    """Gamma too: the predecessor's "brighten" darkened (bug 8)."""
    assert edited(f"{parameter}_down").mean() < photo().mean() < edited(f"{parameter}_up").mean()


def test_a_step_of_exposure_is_a_quarter_of_an_ev_of_light():
    grey = np.full((2, 2, 3), 100, np.uint8)
    light = tone.light_of("uint8")
    ratio = light[TRANSFORMS["exposure_up"](grey)] / light[grey]
    assert np.log2(ratio).mean() == pytest.approx(edit_state.STEP, abs=0.02)


@pytest.mark.parametrize("name", edit_state.FINELY)
def test_three_fine_edits_are_one_step_and_nine_steps_of_three_are_within_the_limit(name):
    fine, step, coarse = (TRANSFORMS[f"{name}_up{size}"].change for size in ("_fine", "", "_3"))
    assert state_of_all([fine] * 3) == state_of_all([step])
    assert state_of_all([step] * 3) == state_of_all([coarse])
    furthest = edit_state.tones(np.array([state_of_all([coarse] * 9)]))[0, tone.TONE.index(name)]
    assert furthest == edit_state.LIMIT


def test_a_fine_edit_hardly_changes_middle_grey():
    grey = np.full((2, 2, 3), 118, np.uint8)
    for name in edit_state.FINELY:
        difference = TRANSFORMS[f"{name}_up_fine"](grey).astype(float) - grey
        assert 10 * np.log10(255**2 / max(np.square(difference).mean(), 0.1)) > 35


def test_highlights_act_on_bright_and_shadows_on_dark_values():
    bright, dark = slice(180, 250), slice(8, 60)
    for name, most, least in (("highlights_down", bright, dark), ("shadows_up", dark, bright)):
        change = np.abs(edited(name, GREYS) - GREYS)[0, :, 0]
        assert change[most].mean() > 4 * change[least].mean()


def test_contrast_turns_the_curve_about_middle_grey():
    up, down = edited("contrast_up", GREYS)[0, :, 0], edited("contrast_down", GREYS)[0, :, 0]
    assert up[40] < 40 < down[40]
    assert down[200] < 200 < up[200]
    assert abs(up[118] - 118) <= 1


@pytest.mark.parametrize("parameter", ["saturation", "vibrance"])
def test_colour_gets_stronger_upwards_and_grey_stays_grey(parameter):
    assert (
        colourfulness(edited(f"{parameter}_down")) < colourfulness(photo()) < colourfulness(edited(f"{parameter}_up"))
    )
    assert colourfulness(edited(f"{parameter}_up", GREYS)) == 0


def test_vibrance_moves_pale_colours_more_than_strong_ones():
    pale, strong = np.full((2, 2, 3), (110, 120, 130), np.uint8), np.full((2, 2, 3), (20, 60, 220), np.uint8)
    growth = [colourfulness(edited("vibrance_up_3", image)) / colourfulness(image) for image in (pale, strong)]
    assert growth[0] > 1.3 > 1.15 > growth[1]


def test_temperature_warms_and_tint_turns_magenta_at_the_same_luminance():
    grey = np.full((2, 2, 3), 120, np.uint8)
    blue, green, red = edited("temperature_up", grey)[0, 0]
    assert blue < green < red
    blue, green, red = edited("tint_up", grey)[0, 0]
    assert green < min(blue, red)
    light = tone.light_of("uint8")
    for name in ("temperature_up_3", "tint_down_3"):
        luminance = light[TRANSFORMS[name](grey)[0, 0, ::-1]] @ tone.LUMA
        assert luminance == pytest.approx(float(light[120]), rel=0.03)


def test_gray_world_makes_the_means_of_light_equal():
    cast = render.render(photo(), edit_state.state_of(temperature=15))
    light = tone.light_of("uint8")
    spread = [np.ptp(light[image].mean((0, 1))) for image in (cast, TRANSFORMS["gray_world"](cast))]
    assert spread[1] < 0.1 * spread[0]


def test_auto_contrast_fills_the_range_and_leaves_a_flat_image_alone():
    flat = (photo() // 3 + 80).astype(np.uint8)
    assert np.ptp(edited("auto_contrast", flat)) > 250 > 2 * np.ptp(flat)
    one_colour = np.full((8, 8, 3), 90, np.uint8)
    np.testing.assert_array_equal(TRANSFORMS["auto_contrast"](one_colour), one_colour)


def test_sharpening_and_denoising_go_opposite_ways_and_clahe_adds_local_contrast():
    def detail(image):
        return cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).std()

    assert detail(edited("denoise")) < detail(photo()) < detail(edited("sharpen"))
    assert edited("clahe").std() > photo().std()


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (64, 64), (41, 57)])
@pytest.mark.parametrize("kind", range(1, len(framing.CROPS)))
def test_crops_have_their_ratio_lie_within_the_photo_and_take_no_more_than_they_must(height, width, kind):
    top, left, rows, columns = framing.crop_box(height, width, kind)
    assert min(top, left) >= 0
    assert top + rows <= height
    assert left + columns <= width
    name = framing.CROPS[kind]
    if name != "thirds":
        across, down = (1, 1) if name == "square" else map(int, name.split("_"))
        if height > width and across > down:
            across, down = down, across
        assert columns / rows == pytest.approx(across / down, abs=0.12)
        assert rows >= height - 1 or columns >= width - 1


def test_the_rule_of_thirds_moves_what_stands_out_toward_a_third():
    image = np.full((120, 180, 3), 128, np.uint8)
    image[54:66, 84:96] = np.random.default_rng(0).integers(0, 256, (12, 12, 3))  # in the middle
    y, x = framing.what_matters(framing.crop(image, framing.CROPS.index("thirds")))
    assert min(abs(y - 1 / 3), abs(y - 2 / 3)) < 0.1
    assert min(abs(x - 1 / 3), abs(x - 2 / 3)) < 0.1


@pytest.mark.parametrize("degrees", [-4.0, 3.0])
def test_a_tilted_horizon_is_levelled_and_the_size_stays(degrees):
    image = np.full((200, 300, 3), 220, np.uint8)
    image[110:] = 40
    matrix = cv2.getRotationMatrix2D((150, 100), degrees, 1.2)
    tilted = cv2.warpAffine(image, matrix, (300, 200), borderMode=cv2.BORDER_REPLICATE)
    assert framing.tilt(tilted) == pytest.approx(degrees, abs=0.4)
    levelled = framing.level(tilted)
    assert levelled.shape == tilted.shape
    assert abs(framing.tilt(levelled)) < 0.4


def test_a_photo_without_lines_is_not_turned():
    noise = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8), (0, 0), 4)
    assert framing.tilt(noise) == 0


@given(st.lists(st.integers(0, len(EDITS) - 1), max_size=12), st.randoms())
def test_the_order_of_tonal_edits_does_not_matter(sequence, random):
    tonal = [edit for edit in sequence if EDITS[edit].kind == edit_state.ADD]
    shuffled = random.sample(tonal, len(tonal))
    within = np.abs(edit_state.tones(np.array([state_after(tonal)]))).max() < 1
    if within:  # at the bounds of a parameter, order does matter
        assert state_after(tonal) == state_after(shuffled)


@settings(max_examples=40)
@given(start=st.lists(st.integers(0, len(EDITS) - 1), max_size=6), name=st.sampled_from(tone.TONE))
def test_one_step_up_and_one_down_is_the_photo_itself(start, name):
    state = state_after([edit for edit in start if edit_state.edit_size(EDITS[edit]) <= 1])
    up, down = (TRANSFORMS[f"{name}_{way}"].change for way in ("up", "down"))
    there_and_back = int(edit_state.after(edit_state.after(state, [up]), [down]).ravel()[0])
    assert there_and_back == state
    image = photo(20, 24)
    only = int(edit_state.after(edit_state.after(0, [up]), [down]).ravel()[0])
    np.testing.assert_array_equal(render.render(image, only), image)


@given(st.lists(st.integers(0, len(EDITS) - 1), max_size=30))
def test_states_are_packed_without_loss_and_stay_in_bounds(sequence):
    state = state_after(sequence)
    values = edit_state.unpack(state)
    assert 0 <= state < 2**60
    assert edit_state.pack(values) == state
    assert all(field.low <= value <= field.high for field, value in zip(edit_state.FIELDS, values, strict=True))


def test_a_value_out_of_its_field_is_refused():
    with pytest.raises(ValueError, match="outside"):
        edit_state.state_of(exposure=edit_state.FIELDS[0].high + 1)


def test_light_that_passes_white_comes_back():
    """Exposure and recovery in one vector meet before anything is clipped."""
    state = edit_state.state_of(exposure=8 * edit_state.FINE, gamma=0)
    back = int(edit_state.after(state, [TRANSFORMS["exposure_down"].change] * 1)[0])
    for _ in range(7):
        back = int(edit_state.after(back, [TRANSFORMS["exposure_down"].change])[0])
    np.testing.assert_array_equal(render.render(GREYS, back), GREYS)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=9, max_size=9), st.booleans(), st.booleans())
def test_reductions_are_rendered_as_photos_of_their_size_are(steps, mirrored, balanced):
    state = edit_state.state_of(
        **dict(zip(tone.TONE, steps, strict=True)), flip_horizontal=int(mirrored), gray_world=int(balanced)
    )
    image = photo(32, 32)
    full = render.render(image, state)[..., ::-1].transpose(2, 0, 1)
    batch = np.stack([image[..., ::-1].transpose(2, 0, 1)] * 2)
    rendered = render.render_reductions(batch, np.array([state, 0]))
    # What lies half way between two values is rounded by the last bit of a float, which depends on the memory layout.
    difference = np.abs(rendered[0].astype(int) - full)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002
    np.testing.assert_array_equal(rendered[1], batch[1])


def test_sixteen_bits_stay_sixteen_bits_and_agree_with_eight():
    image = photo()
    deep = image.astype(np.uint16) * 257
    state = edit_state.state_of(exposure=2, contrast=1, saturation=2, temperature=-1, highlights=-2)
    shallow, full = render.render(image, state), render.render(deep, state)
    assert full.dtype == np.uint16
    assert np.abs(full / 257 - shallow).max() < 1
    assert len(np.unique(full)) > 2 * len(np.unique(shallow)) or len(np.unique(full)) > 250


def test_named_action_spaces():
    assert action_names("photographic") == (*PHOTOGRAPHIC, STOP)
    assert action_names("tonal", add_stop=False) == photographic.TONAL
    assert set(action_names("all")) == {*TRANSFORMS, STOP}
