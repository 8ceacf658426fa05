"""Photo datasets by id, downloaded once: `datasets.yaml` lists them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rl_aesthetics.errors import Progress, UserError
from rl_aesthetics.photos.sources.archive import extract
from rl_aesthetics.photos.sources.download import download
from rl_aesthetics.photos.sources.folder import open_folder
from rl_aesthetics.photos.sources.source import PhotoSource

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

OWN, SHIPPED = Path("configs", "datasets.yaml"), Path(__file__).with_name("datasets.yaml")
"""Where the datasets are listed: in the working folder, or else here."""


class ArchiveDataset(BaseModel):
    """One entry of `datasets.yaml`; the comments there say what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    archive: Literal["zip", "tar"]
    sha256: _Sha256 | None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    size: Annotated[int, Field(gt=0)] | None = None
    folder: str = ""
    licence: str = ""


def load_registry(path: Path | None = None) -> dict[str, ArchiveDataset]:
    """The datasets by id.

    Args:
        path: a file like `datasets.yaml` beside this one; if left out, `configs/datasets.yaml` of the working folder,
            if there is one, else the shipped one.

    Raises:
        UserError: the file is missing or has a mistake.
    """
    if path is None:
        path = next(file for file in (OWN, SHIPPED) if file.is_file())
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, ArchiveDataset]).validate_python(entries)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def cache_folder() -> Path:
    """Where downloads are kept: `RL_AESTHETICS_CACHE`, or `rl-aesthetics` in the user's cache folder."""
    if chosen := os.environ.get("RL_AESTHETICS_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rl-aesthetics"


def open_dataset(
    dataset_id: str,
    dataset: ArchiveDataset,
    sha256: str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> PhotoSource:
    """The photos of a dataset, downloaded, verified and unpacked if they are not in the cache yet.

    Args:
        sha256: checksum to verify with in place of the registry's.
        cache: folder to keep it in; `cache_folder()` if left out.

    Raises:
        UserError: no checksum is known and none is given, or the download or the archive is bad.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UserError(f"--sha256 must be 64 hexadecimal digits, got {sha256!r}")
    algorithm, digest = _checksum(dataset_id, dataset, sha256)
    folder = (cache or cache_folder()) / "datasets"
    unpacked = folder / f"{dataset_id}-{digest[:12]}"
    if not unpacked.exists():  # it appears by rename, so what is there is whole and was verified
        suffix = "zip" if dataset.archive == "zip" else "tar"
        archive = download(dataset.url, folder / f"{unpacked.name}.{suffix}", algorithm, digest, progress)
        extract(archive, dataset.archive, unpacked, progress)
        archive.unlink()
    return open_folder(unpacked / dataset.folder, dataset_id)


def _checksum(dataset_id: str, dataset: ArchiveDataset, sha256: str | None) -> tuple[str, str]:
    if known := sha256 or dataset.sha256:
        return "sha256", known.lower()
    if dataset.md5:
        return "md5", dataset.md5
    raise UserError(
        f"no checksum is known for dataset {dataset_id!r}, so it is not used unverified: give --sha256 if you have "
        f"one, or download {dataset.url} yourself and give the folder"
    )
