"""Several jurors as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juror_service.jurors.mix import MixedJuror, Part
from juror_service.jurors.registry import load_juror
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.scores.reference import ReferenceScorer
from rl_aesthetics.scores.scorer import FunctionScorer, is_full_reference

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def brightness(scale=1.0, size=64):
    return FunctionScorer(lambda image: scale * image.mean() / 255, size, f"brightness {scale} {size}")


def redness(scale=1.0):
    return FunctionScorer(lambda image: scale * image[..., 0].mean() / 255, 64, f"redness {scale}")


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.5, 100))
def test_a_mix_is_the_weighted_mean_on_a_common_scale(first, second, scale):
    """What a juror's scale is does not matter, its range says."""
    mix = MixedJuror([Part(brightness(), first, 0, 1), Part(redness(scale), second, 0, scale)])
    expected = (first * brightness().score(IMAGES) + second * redness().score(IMAGES)) / (first + second)
    np.testing.assert_allclose(mix.score(IMAGES), expected, atol=1e-5)
    assert mix.score(IMAGES).dtype == np.float32
    assert mix.score([]).shape == (0,)


def test_a_mix_of_one_juror_ranks_as_that_juror_does():
    pocket = load_juror("pocket", threads=1)
    mix = load_juror("mix", jurors=[{"name": "pocket", "weight": 3, "options": {"threads": 1}}])
    np.testing.assert_allclose(mix.score(IMAGES), pocket.score(IMAGES), atol=1e-6)
    assert mix.fingerprint != pocket.fingerprint


def test_jurors_of_other_sizes_get_images_of_theirs():
    mix = MixedJuror([Part(brightness(), 1, 0, 1), Part(brightness(size=32), 1, 0, 1)])
    assert mix.size == 64
    np.testing.assert_allclose(mix.score(IMAGES), brightness().score(IMAGES), atol=2 / 255)


def test_a_mixed_score_lies_between_similarity_and_juror():
    reference, originals = ReferenceScorer(64), IMAGES[[0, 0, 2, 3, 4]]
    mix = MixedJuror([Part(reference, 0.25, 0, 1), Part(brightness(), 0.75, 0, 1)])
    assert is_full_reference(mix)
    assert not is_full_reference(MixedJuror([Part(brightness(), 1, 0, 1)]))
    np.testing.assert_allclose(
        mix.score(IMAGES, originals),
        0.25 * reference.score(IMAGES, originals) + 0.75 * brightness().score(IMAGES),
        atol=1e-6,
    )
    with pytest.raises(ScoringError, match="originals"):
        mix.score(IMAGES)


def test_the_reference_of_a_mix_compares_at_its_own_size():
    mix = load_juror("mix", jurors=[{"name": "reference", "range": [0, 1]}])
    both = MixedJuror([*mix.parts, Part(brightness(), 1e-9, 0, 1)])
    small = [reduce_image(image, 16) for image in IMAGES]
    expected = ReferenceScorer().score(small, small[::-1])
    np.testing.assert_allclose(both.score(IMAGES, IMAGES[::-1]), expected, atol=1e-6)


def test_the_fingerprint_knows_every_juror_weight_and_range():
    def fingerprint(*parts):
        return MixedJuror([Part(*part) for part in parts]).fingerprint

    one, two = (brightness(), 1, 0, 1), (redness(), 2, 0, 1)
    others = [
        fingerprint(one),
        fingerprint(one, (redness(), 1, 0, 1)),
        fingerprint(one, (redness(), 2, 0, 2)),
        fingerprint(one, (redness(3.0), 2, 0, 1)),
    ]
    assert fingerprint(one, two) == fingerprint(two, one)
    assert len({fingerprint(one, two), *others}) == 5


def test_if_one_juror_cannot_answer_there_is_no_score():
    def fail(image):
        raise ScoringError("away")

    with pytest.raises(ScoringError, match="away"):
        MixedJuror([Part(brightness(), 1, 0, 1), Part(FunctionScorer(fail), 0.01, 0, 1)]).score(IMAGES)


@pytest.mark.parametrize(
    ("jurors", "message"),
    [
        ([], "needs jurors:"),
        ("pocket", "needs jurors:"),
        (["pocket"], "each juror of a mix needs a name"),
        ([{"name": "poket"}], "unknown juror 'poket'.*pocket"),
        ([{"name": "pocket", "wieght": 1}], "has no 'wieght'.*weight"),
        ([{"name": "pocket", "weight": 0}], "weight must be above 0, got 0"),
        ([{"name": "pocket", "range": [1, 0]}], "LOW below HIGH"),
        ([{"name": "pocket", "options": {"thread": 1}}], "juror 'pocket' has no option 'thread'"),
        ([{"name": "mix"}], "cannot be part of a mix"),
    ],
)
def test_a_mix_that_cannot_be_is_told_in_one_line(jurors, message):
    with pytest.raises(UserError, match=message) as raised:
        load_juror("mix", jurors=jurors)
    assert "\n" not in str(raised.value)
