"""From bytes to pixels: whatever comes, it is an image of the right size or one clear refusal."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from juror_service.http.payload import (
    PayloadError,
    PayloadLimits,
    image_from_array,
    image_from_base64,
    images_from_array,
    images_from_base64,
)

SIZE = 8
LIMITS = PayloadLimits(pixels=5000, images=4)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def saved(save, array):
    file = io.BytesIO()
    save(file, array)
    return file.getvalue()


def encoded(form, mode="RGB"):
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, form)
    return file.getvalue()


GOOD = [
    *(encoded(form) for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP")),
    encoded("PNG", "P"),
    encoded("PNG", "LA"),
    *(saved(save, PIXELS) for save in (np.save, np.savez, np.savez_compressed)),
    saved(np.save, PIXELS[None]),
]


@st.composite
def hostile_bytes(draw):
    """Good files with bytes changed, cut out or put in, and plain noise."""
    content = bytearray(draw(st.one_of(st.sampled_from(GOOD), st.binary(max_size=300))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(content)


@settings(max_examples=400, deadline=None)
@given(hostile_bytes())
def test_hostile_bytes_give_an_image_or_one_line(content):
    text = base64.b64encode(content).decode()
    for read in (
        lambda: image_from_array(content, LIMITS, SIZE),
        lambda: image_from_base64(text, LIMITS, SIZE),
        lambda: images_from_array(content, LIMITS, SIZE)[0],
    ):
        try:
            image = read()
        except PayloadError as error:
            assert error.status in (400, 413, 422)  # noqa: PT017 - either outcome is right
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert image.shape == (SIZE, SIZE, 3)
            assert image.dtype == np.uint8


@given(st.text(max_size=50))
def test_any_text_in_place_of_base64_is_refused(text):
    with pytest.raises(PayloadError):
        image_from_base64(text, LIMITS, SIZE)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_lossless_files_and_arrays_give_the_same_pixels(form):
    from_file = image_from_base64(base64.b64encode(encoded(form)).decode(), LIMITS, SIZE)
    np.testing.assert_array_equal(from_file, image_from_array(saved(np.save, PIXELS), LIMITS, SIZE))


def test_images_of_the_jurors_size_are_not_copied():
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    content = saved(np.save, images)
    read = images_from_array(content, LIMITS, SIZE)
    np.testing.assert_array_equal(read, images)
    assert not read.flags.owndata


def test_limits_hold_for_all_images_together_and_before_any_is_decoded(monkeypatch):
    text = base64.b64encode(encoded("PNG")).decode()  # 600 pixels
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PayloadError, match="1800 pixels together"):
        images_from_base64([text] * 3, PayloadLimits(pixels=1000), SIZE)
    with pytest.raises(PayloadError, match="5 images, at most 4"):
        images_from_base64([text] * 5, LIMITS, SIZE)
    with pytest.raises(PayloadError, match="30×20 pixels, at most 500"):
        image_from_base64(text, PayloadLimits(pixels=500), SIZE)
