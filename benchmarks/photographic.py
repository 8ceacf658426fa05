"""Editing real photographs: how near does the agent bring degraded photos to their originals, beside what others do?

    rl-aesthetics generate --source DIR --output runs/photos --transformation tonal --depth 2 --juror reference
    python benchmarks/photographic.py --dataset runs/photos                        # 3 seeds × 20 minutes, and the table
    python benchmarks/photographic.py --dataset runs/photos --agent AGENT_FILE     # judge agents that are there

Unseen photos (the test split), three fresh degradations each: one or two of exposure, temperature, tint, contrast and
saturation, of strength 0.3 to 1.5 in EV or log2 of a factor. The supervised regression has the agent's network, crops,
degradations and time, learns the strengths themselves, and undoes them without steps: what it lacks is knowing when to
stop. Auto white balance is gray-world, followed by CLAHE; auto-levels stretches each channel for itself.

Prints means with 95 % intervals of a bootstrap over photos, and writes `photographic.json` and `contact_sheet.png`. It
deliberately leaves out people's opinion: nearer to the original is what is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from rl_aesthetics.agent import AGENT_FILE, DQNAgent
from rl_aesthetics.dataset import RLDataset
from rl_aesthetics.episode_photos import EpisodePhotos
from rl_aesthetics.episodes import Evaluation, agent_policy
from rl_aesthetics.evaluate import task_of
from rl_aesthetics.judges import leaves_alone
from rl_aesthetics.photo_quality import PhotoQuality, measure
from rl_aesthetics.pictures import Shot, contact_sheet
from rl_aesthetics.reference import ReferenceScorer
from rl_aesthetics.scoring import reduce_image
from rl_aesthetics.tonal_degradation import MODELS, degrade_tone, sequence_of
from rl_aesthetics.tone_trunk import ToneTrunk
from rl_aesthetics.transforms import TRANSFORMS, action_names
from rl_aesthetics.transforms.space import EditSpace

CONFIG = Path(__file__).parents[1] / "configs" / "photographic.yaml"
DEGRADATIONS_EACH = 3
PARAMETERS = MODELS["tonal"].parameters
SHEET = 24
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
        *(sys.executable, "-c", "from rl_aesthetics.cli import main; main()", "train", "--config", str(CONFIG)),
        *(f"dataset={dataset}", f"output={output}", f"learner.seed={seed}", f"learner.max_minutes={minutes}"),
        "--overwrite",
    ]
    subprocess.run(command, check=True)
    return output / AGENT_FILE


class Regression(nn.Module):
    """The agent's network, supervised: uint8 RGB `(B, 3, 64, 64)` to strengths of `PARAMETERS`, float32 `(B, 5)`."""

    def __init__(self):
        super().__init__()
        self.trunk = ToneTrunk()
        features = self.trunk.eval()(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape[1]
        self.head = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, len(PARAMETERS)))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(images_BCHW))


def regress(dataset: RLDataset, minutes: float, seed: int) -> Editor:
    """Train the supervised regression on variants of the training split, as many as the time allows."""
    torch.manual_seed(seed)
    photos = EpisodePhotos(dataset, EditSpace(action_names("tonal")), undegraded_share=0.15)
    network, generator = Regression().train(), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05, fused=True)
    started, limit = time.monotonic(), 60 * minutes
    while (elapsed := time.monotonic() - started) < limit:
        numbers = generator.integers(len(dataset), 2**32 - 1, 128)
        images = torch.from_numpy(np.stack([photos.pair(int(number))[0] for number in numbers]))
        wanted = torch.tensor([[photos.strengths(int(n)).get(name, 0.0) for name in PARAMETERS] for n in numbers])
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - elapsed / limit) + 5e-5
        optimizer.zero_grad()
        nn.functional.mse_loss(network(images), wanted.float()).backward()
        optimizer.step()
    network.eval()

    def edit(photo_HWC: np.ndarray) -> np.ndarray:
        planes = reduce_image(photo_HWC, 64)[..., ::-1].transpose(2, 0, 1)
        with torch.inference_mode():
            found = network(torch.from_numpy(np.ascontiguousarray(planes)[None]))[0].tolist()
        return degrade_tone(photo_HWC, {name: -value for name, value in zip(PARAMETERS, found, strict=True)})

    return edit


def auto_levels(photo_HWC: np.ndarray) -> np.ndarray:
    """Stretch each channel between its own 0.5 and 99.5 percentiles."""
    low, high = np.percentile(photo_HWC.reshape(-1, 3), (0.5, 99.5), axis=0)
    return np.clip((photo_HWC - low) / np.maximum(high - low, 1) * 255 + 0.5, 0, 255).astype(np.uint8)


def white_balance_and_clahe(photo_HWC: np.ndarray) -> np.ndarray:
    """Gray-world white balance, then CLAHE (clip limit 2, 8×8)."""
    return TRANSFORMS["clahe"](TRANSFORMS["gray_world"](photo_HWC))


def interval(values_N: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean and the 95 % interval of a bootstrap over photos; the degradations of one photo stay together."""
    by_photo = values_N.reshape(-1, DEGRADATIONS_EACH).mean(1) if len(values_N) % DEGRADATIONS_EACH == 0 else values_N
    draws = np.random.default_rng(seed).integers(0, len(by_photo), (2000, len(by_photo)))
    low, high = np.percentile(by_photo[draws].mean(1), (2.5, 97.5))
    return float(values_N.mean()), float(low), float(high)


def row(name: str, before: PhotoQuality, after: PhotoQuality) -> dict:
    """One line of the table."""
    mean, low, high = interval(after.psnr - before.psnr)
    bins = {
        label: float((after.psnr - before.psnr)[rows].mean())
        for label, least, most in BINS
        if (rows := (before.psnr >= least) & (before.psnr < most)).any()
    }
    numbers = {
        "psnr": float(after.psnr.mean()),
        "gain_db": mean,
        "gain_low": low,
        "gain_high": high,
        "gain_by_input": bins,
    }
    improved = {"psnr_improved": float((after.psnr > before.psnr).mean())}
    return {"method": name, **numbers, **improved, "ssim": float(after.ssim.mean()), "flip": float(after.flip.mean())}


def line(numbers: dict) -> str:
    """A row of the Markdown table."""
    by_input = " | ".join(f"{numbers['gain_by_input'].get(label, float('nan')):+.2f}" for label, _, _ in BINS[1:])
    return (
        f"| {numbers['method']} | {numbers['psnr']:.2f} | {numbers['gain_db']:+.2f} ({numbers['gain_low']:+.2f} to "
        f"{numbers['gain_high']:+.2f}) | {by_input} | {numbers['psnr_improved']:.2f} | {numbers['ssim']:.3f} | "
        f"{numbers['flip']:.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/photographic_benchmark"))
    parser.add_argument("--agent", type=Path, nargs="*", help="agents to judge in place of training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--regression-minutes", type=float, help="as long as the agents if left out; 0 leaves it out")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    photos = unseen(RLDataset(arguments.dataset, "test"))
    given = [photos.degraded(place) for place in range(len(photos))]
    originals = [photos.original(place) for place in range(len(photos))]
    before = measure(given, originals)
    rows = [row("input", before, before)]
    editors: dict[str, Editor] = {"auto-levels": auto_levels, "white balance + CLAHE": white_balance_and_clahe}
    minutes = arguments.minutes if arguments.regression_minutes is None else arguments.regression_minutes
    if minutes:
        editors["supervised regression"] = regress(RLDataset(arguments.dataset, "train"), minutes, seed=0)
    for name, edit in editors.items():
        rows.append(row(name, before, measure([edit(photo) for photo in given], originals)))
        print(line(rows[-1]), flush=True)
    files = arguments.agent or [
        train(arguments.dataset, arguments.output / f"seed_{seed}", seed, arguments.minutes)
        for seed in range(arguments.seeds)
    ]
    good = []
    for file in files:
        agent = DQNAgent.load(file)
        evaluation = Evaluation(photos, ReferenceScorer(), task_of(agent))
        finals_N = evaluation.run(agent_policy(agent)).finals_N
        results = [evaluation.result(place, int(state)) for place, state in enumerate(finals_N)]
        rows.append(row(f"agent {file.parent.name}", before, measure(results, originals)))
        print(line(rows[-1]), flush=True)
        once = Evaluation(RLDataset(arguments.dataset, "test"), ReferenceScorer(), task_of(agent))
        good.append({"agent": str(file), **leaves_alone(once, agent_policy(agent))})
        print(f"undegraded: {good[-1]}")
    places = np.linspace(0, len(photos) - 1, SHEET).astype(int)
    shots = [
        [
            Shot(given[place], f"degraded {before.psnr[place]:.1f} dB"),
            Shot(results[place], f"edited {measure([results[place]], [originals[place]]).psnr[0]:.1f} dB"),
            Shot(originals[place], "original"),
        ]
        for place in places
    ]
    contact_sheet(shots, columns=3).save(arguments.output / "contact_sheet.png")
    header = "| | PSNR dB | gain (95 % interval) | under 18 | 18–26 | above 26 | improved | SSIM | FLIP |"
    print("\n".join([header, "| --- " + "| ---: " * 8 + "|", *map(line, rows)]))
    text = json.dumps(
        {"photos": len(photos), "rows": rows, "undegraded": good, "threads": cv2.getNumThreads()}, indent=2
    )
    (arguments.output / "photographic.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
