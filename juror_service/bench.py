"""How fast a juror is on this machine, by batch size."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rl_aesthetics.scoring import Scorer


@dataclass(frozen=True)
class Speed:
    """One batch size.

    Attributes:
        images_per_s: throughput, one batch after another.
        ms_p50, ms_p95: of a batch.
        share_of_peak: floating-point operations a second, as a share of what matrix products reach on this device;
            None if the juror does not say how many an image takes.
    """

    batch: int
    images_per_s: float
    ms_p50: float
    ms_p95: float
    share_of_peak: float | None


def measure(scorer: Scorer, batches: Iterable[int], seconds: float = 2.0) -> list[Speed]:
    """Score random images in batches of each size for some seconds.

    A juror may have an attribute `flops_per_image` (a multiplication and an addition are two), and `device`, a PyTorch
    device, if it is not the CPU.
    """
    flops = getattr(scorer, "flops_per_image", None)
    peak = matmul_flops_per_s(str(getattr(scorer, "device", "cpu"))) if flops else None
    random = np.random.default_rng(0)
    speeds = []
    for batch in batches:
        images_BHWC = random.integers(0, 256, (batch, scorer.size, scorer.size, 3), np.uint8)
        for _ in range(3):
            scorer.score(images_BHWC)
        taken: list[float] = []
        while sum(taken) < seconds or len(taken) < 5:
            begun = time.perf_counter()
            scorer.score(images_BHWC)
            taken.append(time.perf_counter() - begun)
        rate = batch * len(taken) / sum(taken)
        p50, p95 = (1000 * float(np.percentile(taken, q)) for q in (50, 95))
        speeds.append(Speed(batch, rate, p50, p95, rate * flops / peak if flops and peak else None))
    return speeds


def matmul_flops_per_s(device: str = "cpu", seconds: float = 0.5) -> float:
    """What square matrix products reach on a device: float32 on a CPU, bfloat16 on a GPU; in FLOP/s."""
    import torch

    on_gpu = device.startswith("cuda")
    side = 8192 if on_gpu else 1024
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if on_gpu else torch.float32)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until or best == float("inf"):
        begun = time.perf_counter()
        matrix @ matrix
        if on_gpu:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best
