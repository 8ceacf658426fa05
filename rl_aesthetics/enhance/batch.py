"""Many photos through `enhance`: side by side, each written when it is done, so that a run that was cut off goes on.

What is done to a photo is either decided by an agent or read from a recipe; the files are the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.agents.edit_session import WHY
from rl_aesthetics.edits import recipe
from rl_aesthetics.enhance.enhance import Enhancement, enhance_photo
from rl_aesthetics.enhance.results import write_enhancement
from rl_aesthetics.files.atomic import write_file
from rl_aesthetics.photos.formats import PhotoError
from rl_aesthetics.photos.read import read_photo_file
from rl_aesthetics.photos.resize import eight_bits, fit_within
from rl_aesthetics.photos.write import encode_photo
from rl_aesthetics.reports.pictures import Shot, contact_sheet
from rl_aesthetics.scores.scorer import Scorer

CONTACT_SHEET = "contact_sheet.jpg"
_SHEET_SIDE = 320


@dataclass(frozen=True)
class Work:
    """What is done to every photo, and what is written besides the result and its record.

    Attributes:
        decide: from pixels, uint8 or uint16 BGR, to the enhancement.
        agent_file, agent_juror: for the record.
        steps: write the photo after every edit as `NAME.step1.png`, ….
        recipes: write `NAME.recipe.json`.
    """

    decide: Callable[[np.ndarray], Enhancement]
    agent_file: str = ""
    agent_juror: str = ""
    steps: bool = False
    recipes: bool = False


@dataclass(frozen=True)
class Done:
    """What became of a photo.

    Attributes:
        photo, result, record: its files.
        enhancement: without the pixels; None where the photo could not be used, or was done in an earlier run.
        before, after: small uint8 BGR pictures for the contact sheet.
        refused: why it could not be used.
    """

    photo: Path
    result: Path
    record: Path
    enhancement: Enhancement | None = None
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    refused: PhotoError | None = None


def agent_work(
    agent: DQNAgent,
    scorer: Scorer | None,
    max_steps: int | None,
    agent_file: Path,
    steps: bool = False,
    recipes: bool = False,
) -> Work:
    """An agent decides; arguments as `enhance_photo`."""
    return Work(
        lambda pixels_HWC: enhance_photo(agent, pixels_HWC, scorer, max_steps),
        str(agent_file),
        agent.description.juror,
        steps,
        recipes,
    )


def recipe_work(edits: Sequence[str], source: Path, steps: bool = False, recipes: bool = False) -> Work:
    """The edits of a recipe, whatever the photo; nobody judges."""

    def decide(pixels_HWC: np.ndarray) -> Enhancement:
        result_HWC = recipe.render(pixels_HWC, edits)
        rows, columns = (pixels_HWC.shape[side] - result_HWC.shape[side] for side in (0, 1))
        odd = (rows, columns) if max(rows, columns) <= 1 else (0, 0)  # a crop that was asked for is no loss
        return Enhancement(result_HWC, (), "recipe", odd, None, None, "", tuple(edits))

    return Work(decide, str(source), steps=steps, recipes=recipes)


def enhance_all(
    plan: Sequence[tuple[Path, Path, Path]], work: Work, jobs: int = 1, resume: bool = False
) -> Iterator[Done]:
    """Enhance photos, `jobs` at a time, in the order of the plan.

    Args:
        plan: from `enhance.plan_outputs`.
        resume: leave alone what has its result and its record, which is written last.

    Raises:
        UserError: a result cannot be written.
        ScoringError: the scorer could not answer.
    """

    def one(files: tuple[Path, Path, Path]) -> Done:
        if resume and files[1].exists() and files[2].exists():
            return Done(*files)
        try:
            return _enhance(Done(*files), work)
        except PhotoError as error:
            return Done(*files, refused=error)

    with ThreadPoolExecutor(jobs) as pool:  # decoding, rendering and encoding leave the interpreter lock alone
        yield from pool.map(one, plan)


def _enhance(done: Done, work: Work) -> Done:
    file = read_photo_file(done.photo)
    enhancement = work.decide(file.pixels_HWC)
    done.result.parent.mkdir(parents=True, exist_ok=True)
    if work.steps:
        for number, pixels_HWC in enumerate(recipe.render_steps(file.pixels_HWC, enhancement.edits)):
            if number:
                name = done.result.with_suffix(f".step{number}.png")
                write_file(name, encode_photo(pixels_HWC, ".png", file.exif, file.icc_profile))
    if work.recipes:
        text = json.dumps(recipe.describe(enhancement.edits), indent=2)
        write_file(done.record.with_suffix(".recipe.json"), (text + "\n").encode())
    write_enhancement(enhancement, done.photo, done.result, done.record, work.agent_file, work.agent_juror)
    return replace(
        done,
        enhancement=replace(enhancement, photo_HWC=np.zeros((0, 0, 3), np.uint8)),
        before=_small(file.pixels_HWC),
        after=_small(enhancement.photo_HWC),
    )


def _small(pixels_HWC: np.ndarray) -> np.ndarray:
    return eight_bits(fit_within(pixels_HWC, _SHEET_SIDE))


def write_contact_sheet(folder: Path, results: Sequence[Done]) -> Path | None:
    """One page with every photo before and after; None if there is nothing to show."""
    pairs = [
        (Shot(done.before, done.photo.name), Shot(done.after, ", ".join(done.enhancement.edits) or "left as it is"))
        for done in results
        if done.before is not None and done.after is not None and done.enhancement is not None
    ]
    if not pairs:
        return None
    file = folder / CONTACT_SHEET
    contact_sheet(pairs, side=_SHEET_SIDE).save(file, "JPEG", quality=90)
    return file


def says(done: Done) -> str:
    """What happened to a photo, for people: one line."""
    enhancement = done.enhancement
    if enhancement is None:
        return f"{done.photo}: done before"
    scores = ""
    if enhancement.score_before is not None and enhancement.score_after is not None:
        scores = f"score {enhancement.score_before:.3f} → {enhancement.score_after:.3f}; "
    runs = [(name, len(list(same))) for name, same in groupby(enhancement.edits)]
    edits = " → ".join(name if times == 1 else f"{name} ×{times}" for name, times in runs)
    return f"{done.photo}: {edits or 'left as it is'}; {scores}{WHY[enhancement.stopped]}"


def default_jobs() -> int:
    """Photos at a time: two, or one on a single core. Each holds its pixels several times."""
    return min(2, os.cpu_count() or 1)
