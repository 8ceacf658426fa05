"""Where photos come from: a folder, the sample photos of installed packages, or a downloadable archive.

To add a kind of source, write a function that returns a `PhotoSource` in a file of this folder and give it a word in
`open_source`; to add a downloadable dataset, add an entry to `datasets.yaml`.
"""

from __future__ import annotations

from pathlib import Path

from rl_aesthetics.errors import Progress, UserError, closest
from rl_aesthetics.photos.formats import PhotoError
from rl_aesthetics.photos.read import read_photo
from rl_aesthetics.photos.sources.catalogue import load_registry, open_dataset
from rl_aesthetics.photos.sources.folder import open_folder
from rl_aesthetics.photos.sources.samples import open_samples
from rl_aesthetics.photos.sources.source import Photo, PhotoSource, Skipped

__all__ = ["Photo", "PhotoError", "PhotoSource", "Skipped", "open_source", "read_photo"]


def open_source(spec: str, sha256: str | None = None, progress: Progress | None = None) -> PhotoSource:
    """Find the photos that `--source` names.

    Args:
        spec: `samples`, a dataset id of `datasets.yaml`, or a folder. A word that is both means the dataset;
            `./word` means the folder.
        sha256: checksum of a dataset's archive, in place of the one in the file.
        progress: told about downloading and unpacking.

    Raises:
        UserError: there is no such source, or it cannot be had.
    """
    if spec == "samples":
        return open_samples()
    if "/" not in spec and not spec.startswith("."):
        registry = load_registry()
        if spec.lower() in registry:
            return open_dataset(spec.lower(), registry[spec.lower()], sha256, progress=progress)
        if not Path(spec).exists():
            known = ("samples", *registry)
            raise UserError(
                f"no photo source {spec!r}{closest(spec, known)}: give a folder, or one of {', '.join(known)}"
            )
    return open_folder(spec)
