"""The model card of a distilled student, written from what was measured: nothing in it is typed by hand."""

from __future__ import annotations

from typing import Any


def model_card(record: dict[str, Any], provenance: str) -> str:
    """Markdown from the record of `distil_juror`.

    Args:
        provenance: a paragraph on where the photos come from.
    """
    sections = [
        _INTRODUCTION.format(**record, **{"name": record["teacher"]["name"] or "a juror without a name"}),
        _scale(record["teacher_scores"]),
        _data(record, provenance),
        _recipe(record),
        _agreement(record["held_out"]),
        _running(record),
        _LIMITS.format(licence=record["teacher"]["licence"] or "unknown"),
    ]
    return "\n\n".join(sections) + "\n"


_INTRODUCTION = """# A student of {name}

A pocket juror (five 3×3 convolutions on 64×64 pixels, {parameters:,} parameters) that learned to score images as
`{name}` does (fingerprint `{teacher[fingerprint]}`, looking at {teacher[size]}×{teacher[size]} pixels). `pocket.onnx`
(what scores) and `pocket.safetensors` (for PyTorch, `juror_service.jurors.pocket_network`) hold the same weights.
Fingerprint `{fingerprint}`. Use it with `--weights pocket.onnx`, or `juror.options.weights` in a configuration."""

_LIMITS = """## What it is not

- It sees 64×64 pixels. What the teacher judges by finer detail, it can only guess from what usually goes with it.
- It agrees with the teacher as far as the table says, on photos like these; on others nobody measured it.
- Licence of the teacher's weights: {licence}. Whether it binds a student of its scores is for you to find out."""


def _scale(scores: dict[str, Any]) -> str:
    at, values = (" | ".join(row) for row in zip(*_scale_columns(scores), strict=True))
    return (
        "## The score\n\nfloat32 in (0, 1): the share of the training images (crops of photos and what was done to"
        " them) that, as the student estimates, the teacher scores lower. On the teacher's own scale:\n\n"
        f"| student | {at} |\n|{' --- |' * (len(scores['at']) + 1)}\n| teacher | {values} |"
    )


def _scale_columns(scores: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"{at:g}", f"{value:.4g}") for at, value in zip(scores["at"], scores["quantiles"], strict=True)]


def _data(record: dict[str, Any], provenance: str) -> str:
    photos, scores = record["photos"], record["teacher_scores"]
    return (
        f"## Data\n\n{photos['training']} photos for training, {photos['held_out']} held out, {len(photos['skipped'])}"
        " skipped (`pocket.json` lists them with the reason). Whether a photo is held out follows from a hash of its"
        f" bytes and the seed, so copies stay together. The teacher scored {scores['images']:,} images,"
        f" {scores['asked']:,} of them in this run, which took {scores['seconds']:,} s.\n\n{provenance}"
    )


def _recipe(record: dict[str, Any]) -> str:
    r = record["recipe"]
    return f"""## Recipe

    rl-aesthetics juror distil --teacher {record["teacher"]["name"]} --photos DIR --output DIR --steps {r["steps"]} \\
        --crops {r["crops"]} --alterations {r["alterations"]} --held-out {r["held_out"]} --seed {r["seed"]}

{r["crops"]} crop(s) of each photo (the whole, then 55–100 % of each side, mirrored half of the time), and from each
{r["alterations"]} image(s) made by one of the 14 edits, deeper ones of the 3,072 edit states, and degradations
(`juror_service/training/degradations.py`) at the teacher's size. Cross-entropy on the teacher's rank, and on
pairs of images of one crop (`juror_service/training/distil.py`). {r["crops_a_step"]} crops a step,
{r["steps"]:,} steps, AdamW, one-cycle to {r["learning_rate"]}, weight decay {r["weight_decay"]}; the exponential moving
average of the weights ({r["averaging"]}) is kept.
{record["training_seconds"]:,} s with {record["training_threads"]} thread(s), PyTorch {record["torch"]}, on:
{record["machine"]}."""


def _agreement(held: dict[str, Any]) -> str:
    above = held["photo_above_edit"]
    rows = [
        ("rank correlation (Spearman), all images", _number(held["spearman"])),
        ("among the images of one photo, mean", _number(held["spearman_within"])),
        ("over the photos themselves", _number(held["spearman_photos"])),
        (f"pairs of images of one photo in order, of {held['pairs']:,}", _percent(held["pairs_in_order"])),
        (
            f"where the teacher's scores differ by a standard deviation, of {held['clear_pairs']:,}",
            _percent(held["clear_pairs_in_order"]),
        ),
        ("photo above its one-edit state, by the teacher", _percent(above["teacher"])),
        ("photo above its one-edit state, by the student", _percent(above["student"])),
    ]
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return (
        f"## Agreement with the teacher\n\nOn {held['photos']} photos that training never saw, whole, with all 14"
        f" edits, deeper edit states and degradations of each: {held['images']:,} images.\n\n| measured | is |\n"
        f"| --- | --- |\n{table}"
    )


def _running(record: dict[str, Any]) -> str:
    drift = record["drift"]
    return f"""## Speed and drift

{record["images_per_second"]:,.0f} images/s, {record["juror_threads"]} threads, batches of 64, on: {record["machine"]}.

Largest difference of a score over all held-out images: alone against batches of 2 {drift["batch_2"]:.1e}, of 7
{drift["batch_7"]:.1e}, of 32 {drift["batch_32"]:.1e}; after a PNG round trip {drift["png"]:.1e}; ONNX Runtime against
PyTorch {drift["torch"]:.1e}."""


def _number(value: float | None) -> str:
    return "cannot be had" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "cannot be had" if share is None else f"{100 * share:.1f} %"
