"""Photos in, a degraded and scored dataset out, with Ray Data.

    rl-aesthetics generate --source samples --output runs/data
    rl-aesthetics generate --source ~/Pictures --output runs/data --transformation RANDOM --depth 2

Tasks read, resize and degrade photos and hand on PNG bytes plus the few pixels that the juror looks at; actors score
those; the driver alone writes files, so a killed run has nobody left who could write. The result depends on the photos
and the settings only: recipes come from seed and photo name, the juror sees the same batches for any number of workers,
and rows may arrive in any order.

On a cluster of several machines the photos must be readable under the same path on all of them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
from ray.util.annotations import RayDeprecationWarning

from juror_service.jurors.registry import load_juror
from ray_cluster.cluster.session import ray_session
from ray_cluster.generate.stages import DegradePhotos, ScorePhotos
from rl_aesthetics.datasets.annotations import ANNOTATIONS, SPLITS
from rl_aesthetics.datasets.dataset_writer import SKIPPED, DatasetWriter, DegradedPhoto
from rl_aesthetics.datasets.degrade import choices
from rl_aesthetics.datasets.tonal_degradation import MODELS, TonalDegradation, tonal_model
from rl_aesthetics.errors import Progress, ScoringError, UserError
from rl_aesthetics.files.staged_folder import StagedFolder
from rl_aesthetics.photos.read import MIN_SIDE
from rl_aesthetics.photos.sources import Photo, PhotoSource, Skipped, open_source
from rl_aesthetics.scores.scorer import Scorer


@dataclass(frozen=True)
class GenerateSettings:
    """What to generate.

    Attributes:
        source: `samples`, a dataset id or a folder of photos (`rl_aesthetics.photos.sources.open_source`).
        output: the folder that appears.
        transformation: `RANDOM` (all reversible edits), one name, or several, by comma or as a list; or a degradation
            model of `tonal_degradation.MODELS`.
        depth: how many edits a photo is away from its original, 1 to 9; of a degradation model, the most parameters
            that go wrong at once.
        difficulty: strengths of a degradation model, see `tonal_degradation.DIFFICULTIES`; the model's own if None.
        max_size: longer side in pixels, at most; photos are never enlarged.
        seed: decides recipes and splits.
        split_ratios: shares of source photos for train, val and test; they sum to 1.
        copies: differently degraded versions of each photo.
        limit: use at most this many photos, chosen by the seed; all if None.
        juror: name of the juror that scores.
        scorer: makes the scorer in place of `juror`; picklable, called without arguments in each actor.
        workers: Ray tasks that read and degrade at the same time; one per CPU if None.
        jurors: actors that score.
        batch_size: photos in one task, and in one batch for the juror.
        overwrite: replace a dataset that is there.
        sha256: checksum of a downloaded source's archive, where the registry knows none.
        name: of the dataset, noted in it; `rl_` and the source's name if empty.
        experiment: noted in the dataset.
    """

    source: str
    output: str | Path
    transformation: str | Sequence[str] = "RANDOM"
    depth: int = 1
    max_size: int = 384
    seed: int = 42
    split_ratios: tuple[float, float, float] = (0.7, 0.15, 0.15)
    copies: int = 1
    limit: int | None = None
    juror: str = "pocket"
    scorer: Callable[[], Scorer] | None = None
    workers: int | None = None
    jurors: int = 1
    batch_size: int = 16
    overwrite: bool = False
    sha256: str | None = None
    difficulty: str | None = None
    name: str = ""
    experiment: str = "RL Dataset Generation"


@dataclass(frozen=True)
class GenerateReport:
    """What was generated.

    Attributes:
        output: the dataset's folder.
        juror: fingerprint of the juror that scored.
        seconds: how long it took, Ray's start included.
        photos: source photos by split.
        images: degraded images by split.
        skipped: files that were not used.
        mean_score, mean_initial_score: of the degraded images and of their originals.
    """

    output: Path
    juror: str
    seconds: float
    photos: dict[str, int]
    images: dict[str, int]
    skipped: tuple[Skipped, ...]
    mean_score: float
    mean_initial_score: float


def generate(settings: GenerateSettings, progress: Progress | None = None) -> GenerateReport:
    """Generate a dataset; it appears in one piece at the end, or not at all.

    Uses the Ray that the caller has initialised, else the cluster that `RAY_ADDRESS` names, else starts one here and
    stops it afterwards.

    Args:
        progress: told about downloading, and about photos done.

    Raises:
        UserError: a setting, the source or the output is wrong; or no photo could be used.
        ScoringError: the juror could not score.
    """
    started = time.monotonic()
    sequences = _check(settings)
    output = Path(settings.output)
    _refuse_nesting(settings.source, output)
    make_scorer = settings.scorer or functools.partial(load_juror, settings.juror)
    with StagedFolder(output, settings.overwrite, is_dataset) as staged:
        scorer = make_scorer()
        size, fingerprint = scorer.size, scorer.fingerprint
        del scorer  # it may hold a large model; the actors load their own
        source = _limited(open_source(settings.source, settings.sha256, progress), settings)
        work = DegradePhotos(sequences, settings.seed, settings.copies, settings.max_size, size)
        try:
            writer = DatasetWriter(staged.path, source)
            with ray_session(num_cpus=settings.workers), _without_progress_bars():
                for row in _rows(source.photos, work, make_scorer, settings):
                    _write(writer, row)
                    if progress:
                        progress("degrading and scoring photos", writer.seen, len(source.photos))
            written = writer.finish(settings.split_ratios, settings.seed, _info(settings, source, fingerprint))
        except OSError as error:
            raise UserError(f"cannot write to {output.parent}: {error.strerror or error}") from error
        staged.commit()
    return GenerateReport(output, fingerprint, time.monotonic() - started, **vars(written))


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds a generated dataset and nothing else at its top."""
    names = {path.name for path in folder.iterdir()}
    return names <= {*SPLITS, SKIPPED} and any((folder / split / ANNOTATIONS).is_file() for split in SPLITS)


def _sequences(settings: GenerateSettings) -> tuple[tuple[str, ...], ...] | TonalDegradation:
    name = settings.transformation
    if isinstance(name, str) and name.lower() in MODELS:
        return tonal_model(name, settings.depth, settings.difficulty)
    if settings.difficulty is not None:
        raise UserError(f"--difficulty is for --transformation {' and '.join(MODELS)}; other edits have one strength")
    return choices(name, settings.depth)


def _check(settings: GenerateSettings) -> tuple[tuple[str, ...], ...] | TonalDegradation:
    sequences = _sequences(settings)
    ratios = settings.split_ratios
    if len(ratios) != len(SPLITS) or any(not 0 <= ratio <= 1 for ratio in ratios) or abs(sum(ratios) - 1) > 1e-6:
        raise UserError(f"--split-ratios must be three shares that sum to 1, got {','.join(map(str, ratios))}")
    if not isinstance(sequences, TonalDegradation) and settings.copies > len(sequences):
        raise UserError(
            f"--copies {settings.copies} asks for more different degradations than there are ({len(sequences)})"
        )
    if settings.max_size < MIN_SIDE:
        raise UserError(f"--max-size must be at least {MIN_SIDE} pixels, got {settings.max_size}")
    for name in ("copies", "limit", "workers", "jurors", "batch_size"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if settings.seed < 0:
        raise UserError(f"--seed must not be negative, got {settings.seed}")
    return sequences


def _refuse_nesting(source: str, output: Path) -> None:
    photos, target = Path(source).resolve(), output.resolve()
    if photos.is_dir() and photos in (target, *target.parents):
        raise UserError(
            f"{output} lies in the folder of photos {source}: its images would be taken for photos next time"
        )
    if photos.is_dir() and target in photos.parents:
        raise UserError(f"the photos at {source} lie in {output}, which would be replaced: choose another output")


def _limited(source: PhotoSource, settings: GenerateSettings) -> PhotoSource:
    if settings.limit is None or len(source.photos) <= settings.limit:
        return source
    order = sorted(source.photos, key=lambda p: hashlib.sha256(f"{settings.seed}:limit:{p.name}".encode()).digest())
    chosen = tuple(sorted(order[: settings.limit], key=lambda photo: photo.name))
    return PhotoSource(source.name, chosen, source.skipped)


def _rows(
    photos: Sequence[Photo], work: DegradePhotos, make_scorer: Callable[[], Scorer], settings: GenerateSettings
) -> Iterator[dict[str, Any]]:
    items = [
        {"index": i, "path": str(photo.path), "name": photo.name, "box": list(photo.box or (0, 0, 0, 0))}
        for i, photo in enumerate(photos)
    ]
    # A block stays one block through both stages: the juror's batches are the same for any number of workers.
    count = -(-len(items) // settings.batch_size)
    blocks = ray.data.from_items(items, override_num_blocks=count)
    tasks = TaskPoolStrategy(size=settings.workers and min(settings.workers, count))
    degraded = blocks.map_batches(work, batch_size=None, compute=tasks, num_cpus=1)
    # Scoring is a small part of the work: on two cores it must not take one of them for itself.
    resources = {"num_cpus": 0}
    if len(ray.nodes()) == 1:
        # A juror that dies on the only machine would die there again, and a restartable one makes Ray print an error.
        resources |= {"max_restarts": 0, "max_task_retries": 0}
    with warnings.catch_warnings():
        # Its replacement comes with Ray 2.64; pyproject.toml holds Ray below that.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        dataset = degraded.map_batches(
            ScorePhotos,
            fn_constructor_args=(make_scorer,),
            batch_size=None,
            compute=ActorPoolStrategy(size=settings.jurors),
            **resources,
        )
    for block in dataset.iter_batches(batch_size=None, batch_format="numpy"):
        for values in zip(*block.values(), strict=True):
            row = dict(zip(block.keys(), values, strict=True))
            if row["failure"]:
                raise ScoringError(str(row["failure"]))
            yield row


def _write(writer: DatasetWriter, row: dict[str, Any]) -> None:
    if row["reason"]:
        writer.skip(int(row["index"]), str(row["reason"]))
        return
    writer.add(
        DegradedPhoto(
            index=int(row["index"]),
            copy=int(row["copy"]),
            sequence=tuple(str(row["sequence"]).split("+")),
            seed=int(row["recipe_seed"]),
            width=int(row["width"]),
            height=int(row["height"]),
            digest=str(row["digest"]),
            score=float(row["score"]),
            initial_score=float(row["initial_score"]),
            degraded=row["degraded"],
            original=row["original"],
            strengths=tuple(float(strength) for strength in str(row["strengths"]).split("+") if strength),
        )
    )


def _info(settings: GenerateSettings, source: PhotoSource, juror: str) -> dict[str, Any]:
    transformation, model = settings.transformation, _sequences(settings)
    return {
        "contributor": "rl-aesthetics",
        "dataset_id": settings.name or f"rl_{source.name}",
        "experiment": settings.experiment,
        "juror": juror,
        "source": source.name,
        "transformation": transformation if isinstance(transformation, str) else ",".join(transformation),
        "depth": settings.depth,
        "max_size": settings.max_size,
        "seed": settings.seed,
        "split_ratios": list(settings.split_ratios),
        "copies": settings.copies,
        "limit": settings.limit,
        **({"degradation_model": model.described()} if isinstance(model, TonalDegradation) else {}),
    }


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Ray Data's bars belong to its developers; ours count photos."""
    context = DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        yield
    finally:
        context.enable_progress_bars = bars
