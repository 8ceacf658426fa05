"""Editing real photographs: how near does the agent bring degraded photos to their originals, beside what others do?

    rl-aesthetics generate --source DIR --output runs/photos --transformation tonal --depth 2 --juror reference
    python benchmarks/photographic.py --dataset runs/photos                        # 3 seeds × 20 minutes, and the table
    python benchmarks/photographic.py --dataset runs/photos --seeds 1 --minutes 5  # a part; the rest can follow
    python benchmarks/photographic.py --dataset runs/photos --agent AGENT_FILE     # judge agents that are there

Unseen photos (the test split), three fresh degradations each: one or two of exposure, temperature, tint, contrast and
saturation, of strength 0.3 to 1.5 in EV or log2 of a factor. The supervised regression has the agent's layers, crops,
degradations and time, learns the strengths themselves, and undoes them without steps: what it lacks is knowing when to
stop. Auto white balance is gray-world, followed by CLAHE; auto-levels stretches each channel for itself. The oracle
knows the original and takes the agent's steps greedily: it says what the steps leave possible.

Every editor is a line of `rows.jsonl` in the output folder as soon as it is measured, and is not measured again: what
was interrupted goes on. Prints means with 95 % intervals of a bootstrap over photos, of the agents' seeds together,
too, and writes `contact_sheet.png`. It deliberately leaves out people's opinion: nearer to the original is what is
measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from rl_aesthetics.agents.agent import DQNAgent
from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.tonal_degradation import MODELS, degrade_tone, sequence_of
from rl_aesthetics.edits.space import edit_space
from rl_aesthetics.edits.transforms import TRANSFORMS, action_names
from rl_aesthetics.enhance.enhance import enhance_photo
from rl_aesthetics.episodes.photos import EpisodePhotos, Variants
from rl_aesthetics.episodes.task import Task
from rl_aesthetics.evaluation.evaluation import Evaluation
from rl_aesthetics.evaluation.policies import juror_policy
from rl_aesthetics.files.run_files import AGENT_FILE
from rl_aesthetics.networks.settings import ToneSettings
from rl_aesthetics.networks.tone_trunk import ToneTrunk
from rl_aesthetics.photos.quality import IDENTICAL_DB, LEFT_ALONE_DB, PhotoQuality, measure, psnr
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.reports.pictures import Shot, contact_sheet
from rl_aesthetics.rewards import make_reward
from rl_aesthetics.scores.reference import ReferenceScorer

CONFIG = Path(__file__).parents[1] / "configs" / "photographic.yaml"
DEGRADATIONS_EACH = 3
PARAMETERS = MODELS["tonal"].parameters
SHEET = 24
UNTOUCHED = round(IDENTICAL_DB, 2)
BINS = (("all", 0, 99), ("under 18 dB", 0, 18), ("18 to 26 dB", 18, 26), ("above 26 dB", 26, 99))

Editor = Callable[[np.ndarray], np.ndarray]


def unseen(dataset: RLDataset, seed: int = 7) -> RLDataset:
    """The split's originals, each under three fresh degradations."""
    generator = np.random.default_rng(seed)
    originals = [dataset.original(place) for place in range(len(dataset))]
    repeated = [photo for photo in originals for _ in range(DEGRADATIONS_EACH)]
    drawn = [sequence_of(MODELS["tonal"].draw(generator)) for _ in repeated]
    return RLDataset.from_arrays(
        repeated, [names for names, _ in drawn], split=dataset.split, strengths=[sizes for _, sizes in drawn]
    )


def train(dataset: Path, output: Path, seed: int, minutes: float) -> Path:
    """Train an agent with the command line; its file."""
    command = [
        *(sys.executable, "-m", "rl_aesthetics_cli", "train", "--config", str(CONFIG)),
        *(f"dataset={dataset}", f"output={output}", f"learner.seed={seed}", f"learner.max_minutes={minutes}"),
        "--overwrite",
    ]
    subprocess.run(command, check=True)
    return output / AGENT_FILE


class Regression(nn.Module):
    """The agent's network, supervised: uint8 `(B, 4, 64, 64)` to strengths of `PARAMETERS`, float32 `(B, 5)`."""

    def __init__(self, settings: ToneSettings):
        super().__init__()
        self.trunk = ToneTrunk(settings.histograms, settings.dropout)
        features = settings.histograms[-1]
        self.head = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, len(PARAMETERS)))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(images_BCHW))


def unedited(images_BCHW: torch.Tensor) -> torch.Tensor:
    """Observations `(B, 4, S, S)` of photos that nothing was done to yet."""
    return torch.cat([images_BCHW, torch.full_like(images_BCHW[:, :1], 128)], 1)


def regress(dataset: RLDataset, minutes: float, seed: int) -> Editor:
    """Train the supervised regression on variants of the training split, for so many CPU minutes of one core."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    learner = load_config(str(CONFIG)).learner
    variants = Variants(learner.undegraded_share, learner.collage_share)
    photos = EpisodePhotos(dataset, edit_space(action_names("tonal")), variants=variants)
    network, generator = Regression(learner.network).train(), np.random.default_rng(seed)
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=_average, use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05, fused=True)
    started, limit = time.process_time(), 60 * minutes
    while (elapsed := time.process_time() - started) < limit:
        numbers = generator.integers(len(dataset), 2**32 - 1, 128)
        images = torch.from_numpy(np.stack([photos.pair(int(number))[0] for number in numbers]))
        wanted = torch.tensor([[photos.strengths(int(n)).get(name, 0.0) for name in PARAMETERS] for n in numbers])
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - elapsed / limit) + 5e-5
        optimizer.zero_grad()
        nn.functional.mse_loss(network(unedited(images)), wanted.float()).backward()
        optimizer.step()
        average.update_parameters(network)
    network = average.module
    network.eval()

    def edit(photo_HWC: np.ndarray) -> np.ndarray:
        planes = reduce_image(photo_HWC, 64)[..., ::-1].transpose(2, 0, 1)
        with torch.inference_mode():
            found = network(unedited(torch.from_numpy(np.ascontiguousarray(planes)[None])))[0].tolist()
        return degrade_tone(photo_HWC, {name: -value for name, value in zip(PARAMETERS, found, strict=True)})

    return edit


def auto_levels(photo_HWC: np.ndarray) -> np.ndarray:
    """Stretch each channel between its own 0.5 and 99.5 percentiles."""
    low, high = np.percentile(photo_HWC.reshape(-1, 3), (0.5, 99.5), axis=0)
    return np.clip((photo_HWC - low) / np.maximum(high - low, 1) * 255 + 0.5, 0, 255).astype(np.uint8)


def white_balance_and_clahe(photo_HWC: np.ndarray) -> np.ndarray:
    """Gray-world white balance, then CLAHE (clip limit 2, 8×8)."""
    return TRANSFORMS["clahe"](TRANSFORMS["gray_world"](photo_HWC))


def _average(mean: torch.Tensor, now: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Exponential, with a decay that grows to 0.999, so that the first weights are soon forgotten."""
    if not mean.is_floating_point():  # batch norm counts its batches
        return now
    return torch.lerp(mean, now, 1 - min(0.999, (1 + int(count)) / (10 + int(count))))


def edit_with(agent: DQNAgent) -> Editor:
    """The agent as it edits a user's photo."""
    return lambda photo_HWC: enhance_photo(agent, photo_HWC, None).photo_HWC


def oracle(photos: RLDataset) -> list[np.ndarray]:
    """What greedy steps lead to if every result can be compared with the original."""
    task = Task(action_names("tonal"), 16, make_reward(step_penalty=0.0, terminal_bonus=0.0))
    evaluation = Evaluation(photos, ReferenceScorer(), task)
    finals_N = evaluation.run(juror_policy(evaluation.space, evaluation.scores)).finals_N
    return [evaluation.result(place, int(state)) for place, state in enumerate(finals_N)]


def interval(values_N: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean and the 95 % interval of a bootstrap over photos; what belongs to one photo stays together.

    Args:
        values_N: photo after photo, `DEGRADATIONS_EACH` each.
    """
    by_photo = values_N.reshape(-1, DEGRADATIONS_EACH).mean(1)
    draws = np.random.default_rng(seed).integers(0, len(by_photo), (2000, len(by_photo)))
    low, high = np.percentile(by_photo[draws].mean(1), (2.5, 97.5))
    return float(values_N.mean()), float(low), float(high)


def row(method: str, after: PhotoQuality, good_N: np.ndarray | None = None, **more) -> dict:
    """A line of `rows.jsonl`.

    Args:
        good_N: PSNR of undegraded photos to themselves, after the edit.
    """
    each = {name: getattr(after, name).round(4).tolist() for name in ("psnr", "ssim", "flip")}
    return {"method": method, **more, **each, "undegraded": None if good_N is None else good_N.round(2).tolist()}


def line(name: str, rows: list[dict], before: dict) -> str:
    """A row of the Markdown table, of one editor or of several seeds together."""
    start_N = np.array(before["psnr"])
    psnr_SN = np.array([row["psnr"] for row in rows])
    gain_SN = psnr_SN - start_N
    mean, low, high = interval(gain_SN.mean(0))
    groups = [(start_N >= least) & (start_N < most) for _, least, most in BINS[1:]]
    by_input = " | ".join(f"{gain_SN[:, some].mean():+.2f}" if some.any() else "–" for some in groups)
    ssim, flip = (np.mean([row[name] for row in rows]) for name in ("ssim", "flip"))
    goods = [row["undegraded"] for row in rows if row["undegraded"]]
    kept, same = (f"{np.mean(np.array(goods) >= least):.2f}" if goods else "–" for least in (LEFT_ALONE_DB, UNTOUCHED))
    return (
        f"| {name} | {psnr_SN.mean():.2f} | {mean:+.2f} ({low:+.2f} to {high:+.2f}) | {by_input} | "
        f"{(gain_SN > 0).mean():.2f} | {(gain_SN >= 1).mean():.2f} | {ssim:.3f} | {flip:.3f} | {kept} | {same} |"
    )


def table(rows: list[dict]) -> str:
    """All editors, the seeds of a method together."""
    before = next(row for row in rows if row["method"] == "input")
    counts = [sum(least <= value < most for value in before["psnr"]) for _, least, most in BINS[1:]]
    header = [
        "",
        "PSNR dB",
        "gain (95 % interval)",
        *(f"{label} ({count})" for (label, _, _), count in zip(BINS[1:], counts, strict=True)),
        *("improved", "by 1 dB", "SSIM", "FLIP", "undegraded ≥ 35 dB", "untouched"),
    ]
    lines = ["| " + " | ".join(header) + " |", "| --- " + "| ---: " * (len(header) - 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        some = [row for row in rows if row["method"] == method]
        name = method if len(some) == 1 else f"{method}, {len(some)} seeds"
        lines.append(line(name, some, before))
    return "\n".join(lines)


def sheet(given: list, results: list, originals: list) -> Image.Image:
    """`SHEET` of the photos, evenly spread: degraded, edited, original."""
    places = np.linspace(0, len(given) - 1, SHEET).astype(int)
    shots = []
    for place in places.tolist():
        was, became = (psnr(photos[place], originals[place]) for photos in (given, results))
        shots.append(
            [
                Shot(given[place], f"degraded {was:.1f} dB"),
                Shot(results[place], f"edited {became:.1f} dB", None if became == was else became > was),
                Shot(originals[place], "original"),
            ]
        )
    return contact_sheet(shots, columns=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/photographic_benchmark"))
    parser.add_argument("--agent", type=Path, nargs="*", default=[], help="agents to judge in place of training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each agent's training")
    parser.add_argument(
        "--regression-minutes", type=float, help="CPU minutes of one core; twice --minutes if left out, 0 leaves it out"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    file = arguments.output / "rows.jsonl"
    rows = [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []
    test = RLDataset(arguments.dataset, "test")
    photos = unseen(test)
    given = [photos.degraded(place) for place in range(len(photos))]
    originals = [photos.original(place) for place in range(len(photos))]
    good = [test.original(place) for place in range(len(test))]

    def known(method: str, which: int | str = 0) -> bool:
        return any((row["method"], row["which"]) == (method, which) for row in rows)

    def add(method: str, results: list, good_N: np.ndarray | None, **more) -> None:
        rows.append(row(method, measure(results, originals), good_N, **{"which": 0, **more}))
        with open(file, "a", encoding="utf-8") as opened:
            opened.write(json.dumps(rows[-1]) + "\n")
        print(line(method, rows[-1:], rows[0]), flush=True)

    def judge(method: str, edit: Editor, **more) -> None:
        kept_N = np.array([psnr(edit(photo), photo) for photo in good])
        add(method, [edit(photo) for photo in given], kept_N, **more)

    if not known("input"):
        add("input", given, None)
    for name, edit in (("auto-levels", auto_levels), ("white balance + CLAHE", white_balance_and_clahe)):
        if not known(name):
            judge(name, edit)
    if not known("oracle"):
        add("oracle", oracle(photos), None)
    agents = [(str(path), path) for path in arguments.agent]
    for seed in range(0 if arguments.agent else arguments.seeds):
        agents.append((seed, arguments.output / f"seed_{seed}" / AGENT_FILE))
    for which, path in agents:
        if not known("agent", which):
            if not arguments.agent:
                train(arguments.dataset, path.parent, which, arguments.minutes)
            agent = DQNAgent.load(path)
            judge("agent", edit_with(agent), which=which, training=agent.description.training)
    minutes = 2 * arguments.minutes if arguments.regression_minutes is None else arguments.regression_minutes
    for seed in range(arguments.seeds if minutes else 0):
        if not known("supervised regression", seed):
            edit = regress(RLDataset(arguments.dataset, "train"), minutes, seed)
            judge("supervised regression", edit, which=seed, cpu_minutes=minutes)
    print(table(rows))
    if agents:
        edit = edit_with(DQNAgent.load(agents[0][1]))
        sheet(given, [edit(photo) for photo in given], originals).save(arguments.output / "contact_sheet.png")


if __name__ == "__main__":
    main()
