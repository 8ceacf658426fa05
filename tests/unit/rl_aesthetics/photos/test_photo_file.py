"""Photos at their full depth: what goes in comes out, pixels, EXIF, colour profile and the right way up."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from rl_aesthetics.photos.formats import PhotoError
from rl_aesthetics.photos.read import read_photo_file
from rl_aesthetics.photos.write import encode_photo

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKE, ORIENTATION = 0x010F, 0x0112


def exif(orientation=1):
    block = Image.Exif()
    block[MAKE], block[ORIENTATION] = "Holga", orientation
    return block.tobytes()


def pixels(dtype=np.uint8, height=20, width=32):
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top + 1, (height, width, 3), dtype=dtype)


def put(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_and_tiff_keep_every_pixel_of_both_depths_and_the_profile(tmp_path, suffix, dtype):
    file = put(tmp_path / f"a{suffix}", encode_photo(pixels(dtype), suffix, icc_profile=PROFILE))
    photo = read_photo_file(file)
    assert photo.pixels_HWC.dtype == dtype
    np.testing.assert_array_equal(photo.pixels_HWC, pixels(dtype))
    assert photo.icc_profile == PROFILE
    assert photo.suffix == suffix


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".jpg", np.uint8), (".tif", np.uint8)]
)
def test_the_exif_block_goes_along(tmp_path, suffix, dtype):
    file = put(tmp_path / f"a{suffix}", encode_photo(pixels(dtype), suffix, exif=exif()))
    with Image.open(file) as image:
        assert image.getexif()[MAKE] == "Holga"
    assert read_photo_file(file).exif


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright_and_says_so(tmp_path, orientation, dtype):
    upright = pixels(dtype)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright[:, ::-1].transpose(1, 0, 2)[:, :],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright[::-1].transpose(1, 0, 2)[:, :],
    }
    # 6 is shown turned a quarter clockwise, so it is stored turned a quarter the other way; 8 the reverse.
    turned[6], turned[8] = np.rot90(upright, 1), np.rot90(upright, -1)
    stored = np.ascontiguousarray(turned[orientation])
    file = put(tmp_path / "a.png", encode_photo(stored, ".png", exif=exif(orientation)))
    photo = read_photo_file(file)
    np.testing.assert_array_equal(photo.pixels_HWC, upright)
    with Image.open(io.BytesIO(encode_photo(photo.pixels_HWC, ".png", photo.exif))) as image:
        assert image.getexif()[ORIENTATION] == 1


def test_sixteen_bits_with_transparency_lie_on_white(tmp_path):
    image = np.concatenate([pixels(np.uint16), np.zeros((20, 32, 1), np.uint16)], axis=2)
    file = put(tmp_path / "a.png", cv2.imencode(".png", image)[1].tobytes())
    assert (read_photo_file(file).pixels_HWC == 65535).all()


def test_a_jpeg_of_sixteen_bits_has_the_upper_eight(tmp_path):
    flat = np.full((16, 16, 3), 0x80FF, np.uint16)
    photo = read_photo_file(put(tmp_path / "a.jpg", encode_photo(flat, ".jpg")))
    assert abs(photo.pixels_HWC.astype(int) - 0x80).max() <= 1


@pytest.mark.parametrize("content", [b"", b"no photo", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_photo_is_refused_with_a_reason(tmp_path, content):
    with pytest.raises(PhotoError, match=r"a\.png"):
        read_photo_file(put(tmp_path / "a.png", content))
