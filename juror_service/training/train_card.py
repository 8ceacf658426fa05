"""The model card of a trained pocket juror, written from what was measured: no number in it is typed by hand."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

TARGETS = {"pairs_in_order": 0.985, "greedy_exact": 0.975, "worst_edit": 0.90}
STRONGEST_IN_ORDER, IMAGES_PER_SECOND, DRIFT = 0.90, 4000, 1e-3
"""What the project asks of its default juror."""


def model_card(record: dict[str, Any], provenance: str) -> str:
    """Markdown from the record of `train_juror`.

    Args:
        record: what `pocket.json` holds; `notes`, a list of remarks added by hand, may be missing.
        provenance: a paragraph on where the photos come from.
    """
    held, photos = record["held_out"], record["photos"]
    sections = [
        _INTRODUCTION.format(**record),
        _data(photos, provenance),
        _recipe(record),
        "## On photos that training never saw",
        _PAIRS.format(**held),
        _table(("measured", "is", "asked"), _headline_rows(held)),
        _table(("edit", "photo above its edit"), [(name, _percent(x)) for name, x in held["by_edit"].items()]),
        _degradations(held["degradations"]),
        _scale(held["score_quantiles"]),
        _running(record),
        _LIMITS,
        *(["## Notes on this run", "\n".join(f"- {note}" for note in record["notes"])] if record.get("notes") else []),
    ]
    return "\n\n".join(sections) + "\n"


_INTRODUCTION = """# Pocket juror

How much a 64×64 image looks like a photo that nobody manipulated. Score: float32 in (0, 1), higher is more natural.
Five 3×3 convolutions with batch norm (32, 64, 96, 128, 128 channels, stride 2 four times), global average pooling and
one linear output: {parameters:,} parameters. `pocket.onnx` (what scores) and `pocket.safetensors` (the same network for
PyTorch, `juror_service.jurors.pocket_network`) hold the same weights. Fingerprint `{fingerprint}`.
Licence: Apache-2.0."""

_PAIRS = """{photos} photos at a dataset's size, seen whole, reduced to 64×64 by area averaging; {pairs:,} pairs of a
photo and one of its 14 one-edit states. An edit is undone exactly if of all 15 one-step results of the edited photo (14
edits and STOP) the best-scored one is the photo."""

_LIMITS = """## What it is not

- No human rated anything. It knows nothing of composition, subject or taste; a dull photo scores as high as a fine one.
- Made for differences between states of one photo. Scores of different photos are comparable only roughly.
- It sees 64×64 pixels: artefacts that vanish at that size do not exist for it, and exposure, contrast and colour are
  judged by what is usual in the training photos.
- Some edits leave a plausible photo (a red flower turned blue): no juror of pixels alone can put all pairs in order."""


def _data(photos: dict[str, Any], provenance: str) -> str:
    return (
        f"## Data\n\n{photos['training']} photos for training, {photos['held_out']} held out,"
        f" {len(photos['skipped'])} skipped (unreadable, tiny or grey; `pocket.json` lists them with the reason, and"
        " the held-out ones). Whether a photo is held out follows from a hash of its bytes and the seed, so copies stay"
        f" together.\n\n{provenance}"
    )


def _recipe(record: dict[str, Any]) -> str:
    r = record["recipe"]
    command = (
        f"rl-aesthetics juror train --photos DIR --output DIR --steps {r['steps']} --originals {r['originals']}"
        f" --held-out {r['held_out']} --seed {r['seed']}"
    )
    return f"""## Recipe

    {command}

RankNet loss, softplus(worse − better), on pairs of a random crop (55–100 % of each side, mirrored half of the time)
and what was done to it: a single edit; another single edit, or a further one on top of the first (which then also goes
below the first), or any of the 3,072 edit states; and one of the degradations below at two random strengths, the
stronger below the weaker. Swaps and shifts of the whole photo are drawn more often than other edits
(`juror_service/training/train_photos.py` has all shares and weights). {r["originals"]} crops a step,
{r["steps"]:,} steps, AdamW, one-cycle to {r["learning_rate"]}, weight decay {r["weight_decay"]}, dropout
0.3 before the head; the exponential moving average of the weights ({r["averaging"]}) is kept.
{record["training_seconds"]:,} s with
{record["training_threads"]} thread(s), PyTorch {record["torch"]}, on: {record["machine"]}. The same photos, seed,
versions and number of threads give the same weights."""


def _headline_rows(held: dict[str, Any]) -> list[tuple[str, str, str]]:
    names = {
        "pairs_in_order": "photo above its one-edit state",
        "worst_edit": "the same, worst edit",
        "greedy_exact": "one edit undone exactly",
    }
    rows = [(title, _percent(held[key]), f"≥ {_percent(TARGETS[key])}") for key, title in names.items()]
    return [*rows, ("two edits undone exactly, two greedy steps", _percent(held["two_edits_exact"]), "–")]


def _degradations(measured: dict[str, Any]) -> str:
    rows = []
    for name, m in measured.items():
        falls = all(later < earlier for earlier, later in zip(m["mean_score"], m["mean_score"][1:], strict=False))
        rows.append(
            (
                name,
                " → ".join(f"{x:.2f}" for x in m["mean_score"]),
                "yes" if falls else "**no**",
                " / ".join(_percent(x) for x in m["in_order"]),
            )
        )
    return (
        "### Degradations of growing strength\n\n"
        "Strengths 1 to 4 of `juror_service/training/degradations.py`, applied at "
        "64×64. Asked: the mean falls at each step, and at least "
        f"{_percent(STRONGEST_IN_ORDER)} in order at strength 4.\n\n"
        + _table(
            ("kind", "mean score, untouched → strength 4", "falls", "photo above it, strength 1 / 2 / 3 / 4"), rows
        )
    )


def _scale(quantiles: dict[str, Any]) -> str:
    rows = [
        (title, *(f"{x:.3f}" for x in quantiles[key]))
        for title, key in (("photos", "originals"), ("their one-edit states", "one_edit"))
    ]
    header = ("quantile", *(f"{q:.0%}" for q in quantiles["at"]))
    return (
        "### Score scale\n\n`sigmoid((logit − location) / temperature)`; the two constants put the medians of held-out"
        " photos and of their one-edit states at 0.85 and 0.25 and change no order.\n\n" + _table(header, rows)
    )


def _running(record: dict[str, Any]) -> str:
    drift = record["drift"]
    return f"""## Speed and drift

{record["images_per_second"]:,.0f} images/s (asked: {IMAGES_PER_SECOND:,}), ONNX Runtime {record["onnxruntime"]},
{record["juror_threads"]} threads, batches of 64, on: {record["machine"]}. A figure of one machine at one time.

Largest difference of a score, over all held-out photos (asked: {DRIFT}): alone against batches of 2
{drift["batch_2"]:.1e}, of 7 {drift["batch_7"]:.1e}, of 32 {drift["batch_32"]:.1e}; after a PNG round trip
{drift["png"]:.1e}; ONNX Runtime against PyTorch {drift["torch"]:.1e}."""


def machine() -> str:
    """This machine's processor, in words, as well as the system tells."""
    try:
        with open("/proc/cpuinfo") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    except OSError:
        model = ""
    return " ".join(part for part in (model or platform.processor() or platform.machine(), platform.system()) if part)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
