"""Photos of every kind come in as 8-bit BGR, and what cannot be used says why."""

import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.formats import MAX_PIXELS
from rl_aesthetics.photos.read import is_grey, prepare_photo
from rl_aesthetics.photos.sources import PhotoError, open_source, read_photo
from rl_aesthetics.photos.sources.folder import open_folder
from rl_aesthetics.photos.sources.samples import TILE, open_samples


@pytest.fixture
def photo():
    """A smooth colour photo, uint8 (80, 120, 3) BGR: red grows to the right, green downwards, blue is constant."""
    height, width = np.mgrid[0:80, 0:120]
    return np.stack([np.full((80, 120), 60), height * 3, width * 2], axis=2).astype(np.uint8)


def rgb(photo):
    return Image.fromarray(photo[..., ::-1])


def png_header(width, height):
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_lossless_files_come_in_as_they_are(tmp_path, photo, suffix):
    rgb(photo).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_photo(tmp_path / f"a.{suffix}"), photo)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_files_come_in_nearly_as_they_are(tmp_path, photo, suffix):
    rgb(photo).save(tmp_path / f"a.{suffix}", quality=95)
    assert np.abs(read_photo(tmp_path / f"a.{suffix}").astype(int) - photo).mean() < 2


def test_the_content_tells_the_format_not_the_name(tmp_path, photo):
    rgb(photo).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg"), photo)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(tmp_path, photo, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb(photo).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), np.rot90(photo, turn))


def test_transparency_is_laid_over_white(tmp_path, photo):
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:, :60] = 0
    Image.fromarray(np.dstack([photo[..., ::-1], alpha])).save(tmp_path / "a.png")
    read = read_photo(tmp_path / "a.png")
    assert (read[:, :60] == 255).all()
    np.testing.assert_array_equal(read[:, 60:], photo[:, 60:])


def test_palettes_are_looked_up_with_their_transparent_colour(tmp_path):
    image = Image.new("P", (80, 80), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.paste(0, (0, 0, 40, 80))
    image.save(tmp_path / "a.png", transparency=0)
    read = read_photo(tmp_path / "a.png")
    assert (read[0, 0] == 255).all()
    assert read[0, 79].tolist() == [50, 100, 200]


def test_sixteen_bits_keep_their_upper_eight(tmp_path, photo):
    cv2.imwrite(str(tmp_path / "colour.png"), photo.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "colour.tiff"), photo.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "grey.png"), photo[..., 2].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_photo(tmp_path / "colour.png"), photo)
    np.testing.assert_array_equal(read_photo(tmp_path / "colour.tiff"), photo)
    np.testing.assert_array_equal(read_photo(tmp_path / "grey.png"), np.repeat(photo[..., 2:], 3, axis=2))


def test_cmyk_becomes_rgb(tmp_path, photo):
    rgb(photo).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_photo(tmp_path / "a.jpg").astype(int) - photo).mean() < 3


def test_cmyk_with_a_broken_profile_is_still_read(tmp_path, photo):
    rgb(photo).convert("CMYK").save(tmp_path / "a.jpg", quality=95, icc_profile=b"no profile at all")
    assert np.abs(read_photo(tmp_path / "a.jpg").astype(int) - photo).mean() < 3


def test_cmyk_with_a_profile_of_another_kind_is_still_read(tmp_path, photo):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb(photo).convert("CMYK").save(tmp_path / "a.jpg", quality=95, icc_profile=profile)
    assert np.abs(read_photo(tmp_path / "a.jpg").astype(int) - photo).mean() < 3


def test_a_large_jpeg_may_be_decoded_smaller_but_not_too_small(tmp_path):
    Image.effect_noise((1600, 800), 40).convert("RGB").save(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "a.jpg").shape == (800, 1600, 3)
    assert read_photo(tmp_path / "a.jpg", at_least=500).shape == (400, 800, 3)
    assert read_photo(tmp_path / "a.jpg", at_least=5000).shape == (800, 1600, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
def test_a_truncated_file_is_refused(tmp_path, photo, suffix):
    path = tmp_path / f"a.{suffix}"
    rgb(photo).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PhotoError, match=r"truncated|not a JPEG"):
        read_photo(path)


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("not a photo")
    with pytest.raises(PhotoError, match="not a JPEG, PNG, WebP, TIFF or BMP"):
        read_photo(tmp_path / "a.jpg")


def attempt(path):
    """`read`, or the reason why not; anything else that is raised fails the test."""
    try:
        return "read" if read_photo(path).ndim == 3 else ""
    except PhotoError as error:
        return error.reason


def test_hostile_bytes_give_a_reason_and_never_a_crash(tmp_path, photo):
    random = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "tiff", "bmp"):
        path = tmp_path / f"a.{suffix}"
        rgb(photo).save(path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            places = random.integers(0, len(whole), 8)
            damaged[places] = random.integers(0, 256, 8)
            path.write_bytes(damaged.tobytes())
            outcome = attempt(path)
            assert outcome == "read" or (outcome and "\n" not in outcome)


@pytest.mark.parametrize("side", [14_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
    assert side**2 > MAX_PIXELS
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    with pytest.raises(PhotoError, match="too large"):
        read_photo(tmp_path / "a.png")


def test_missing_files_and_folders_are_told_apart(tmp_path):
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(tmp_path / "a.jpg")
    with pytest.raises(PhotoError, match="a folder"):
        read_photo(tmp_path)


def test_a_photo_error_survives_pickling():
    error = pickle.loads(pickle.dumps(PhotoError("a.jpg", "grey only")))
    assert (str(error), error.path, error.reason) == ("a.jpg: grey only", Path("a.jpg"), "grey only")


@pytest.mark.parametrize(
    ("size", "expected"), [((1001, 667), (384, 256)), ((667, 1001), (256, 384)), ((101, 95), (100, 94))]
)
def test_a_dataset_photo_is_at_most_max_size_and_even(size, expected):
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    assert prepare_photo(noise, 384).shape[1::-1] == expected


def test_an_odd_side_loses_one_row_or_column_and_nothing_else(photo):
    np.testing.assert_array_equal(prepare_photo(photo[:79, :119], 384), photo[:78, :118])


@pytest.mark.parametrize(
    ("shape", "reason"), [((63, 500, 3), "too small: 500×63"), ((100, 2000, 3), "too narrow: 384×19")]
)
def test_tiny_and_narrow_photos_are_refused(shape, reason):
    with pytest.raises(PhotoError, match=reason):
        prepare_photo(np.random.default_rng(0).integers(0, 256, shape, np.uint8), 384)


def test_grey_photos_are_refused_even_with_jpeg_noise(tmp_path):
    Image.effect_noise((200, 200), 60).convert("RGB").save(tmp_path / "a.jpg", quality=80)
    with pytest.raises(PhotoError, match="grey only"):
        prepare_photo(read_photo(tmp_path / "a.jpg"), 384)


def test_a_photo_with_a_spot_of_colour_is_not_grey(photo):
    grey = np.repeat(photo[..., 2:], 3, axis=2)
    assert is_grey(grey)
    grey[:10, :10] = (0, 0, 255)
    assert not is_grey(grey)


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_searched_deeply_and_listed_in_order(tmp_path, photo):
    for name in ("b/z.jpg", "b/c/d.PNG", "a.webp", "README.md", ".hidden.png", ".git/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("md"):
            (tmp_path / name).write_text("text")
        else:
            rgb(photo).save(tmp_path / name)
    (tmp_path / "no_suffix").write_bytes((tmp_path / "b/z.jpg").read_bytes())
    (tmp_path / "fake.jpg").write_text("text")
    source = open_folder(tmp_path)
    assert [p.name for p in source.photos] == ["a.webp", "b/c/d.PNG", "b/z.jpg", "no_suffix"]
    assert [(f.file, f.reason) for f in source.skipped] == [("fake.jpg", "not a JPEG, PNG, WebP, TIFF or BMP image")]
    assert source.name == tmp_path.name


def test_loops_of_links_do_not_hang(tmp_path, photo):
    rgb(photo).save(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    source = open_folder(tmp_path)
    assert [p.name for p in source.photos] == ["a.png"]
    assert [f.file for f in source.skipped] == ["dangling.png"]


def test_a_missing_folder_a_file_and_an_empty_folder_are_mistakes(tmp_path):
    with pytest.raises(UserError, match="no folder of photos"):
        open_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(UserError, match="is a file"):
        open_folder(tmp_path / "notes.txt")
    with pytest.raises(UserError, match="no photo in"):
        open_folder(tmp_path)


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'flickr8k'"):
        open_source("flickr9k")


# --- sample photos ---------------------------------------------------------------------------------------------------


def test_samples_are_a_few_hundred_tiles_of_photos_in_packages():
    source = open_samples()
    assert 200 < len(source.photos) < 800
    assert len({photo.group for photo in source.photos}) > 40
    assert [photo.name for photo in source.photos] == sorted(photo.name for photo in source.photos)
    assert len({photo.name for photo in source.photos}) == len(source.photos)


def test_tiles_lie_within_their_photo_and_name_their_place():
    photo = next(photo for photo in open_samples().photos if photo.box)
    assert photo.name == f"{photo.group}#xywh={','.join(map(str, photo.box))}"
    with Image.open(photo.path) as image:
        left, top, width, height = photo.box
        assert width == height == int(TILE * min(image.size))
        assert left + width <= image.width
        assert top + height <= image.height


def test_samples_need_neither_the_network_nor_the_packages_imported():
    program = (
        "import sys, socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from rl_aesthetics.photos.sources.samples import open_samples\n"
        "open_samples()\n"
        "assert not {'skimage', 'sklearn', 'pooch', 'interior_photos'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
