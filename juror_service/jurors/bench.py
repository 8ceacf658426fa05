"""How fast a juror is on this machine, by batch size, and how much of the device's peak that is.

The peak of a GPU is its data sheet's, where we know the card; that of a CPU, and of other cards, is what a large matrix
product reaches in the same number of threads just before: no data sheet knows the clock that a shared or throttled
processor runs at.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rl_aesthetics.scores.scorer import Scorer

DATA_SHEETS = {
    "H200": 989.5e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989.5e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165.2e12,
}
"""Dense bfloat16 FLOP/s with float32 sums, by a part of the card's name; the first that matches counts."""

WARM_UP = 2
"""Batches before measuring begins; fewer if they take long."""


@dataclass(frozen=True)
class Speed:
    """One batch size.

    Attributes:
        images_per_s: throughput, one batch after another.
        ms_p50, ms_p95: of a batch.
        share_of_peak: floating-point operations a second, as a share of the device's peak; None if it cannot be told
            how many an image takes.
    """

    batch: int
    images_per_s: float
    ms_p50: float
    ms_p95: float
    share_of_peak: float | None


@dataclass(frozen=True)
class Peak:
    """What a device can do.

    Attributes:
        flops_per_s: floating-point operations a second; a multiplication and an addition are two.
        source: where the number comes from.
    """

    flops_per_s: float
    source: str


class Bench:
    """Measures one loaded juror.

    Attributes:
        device: where it computes, such as `cpu`, `cuda:0` or a service's address.
        threads: of the CPU that it uses, None if it does not say or computes elsewhere.
    """

    def __init__(self, scorer: Scorer):
        self.scorer = scorer
        self.device = str(getattr(scorer, "device", "cpu"))
        self.threads: int | None = getattr(scorer, "threads", None) if self.device == "cpu" else None

    @cached_property
    def flops_per_image(self) -> int | None:
        """What the juror says (`flops_per_image`), or what is counted in its ONNX graph; None if neither is there."""
        declared = getattr(self.scorer, "flops_per_image", None)
        return declared if declared is not None else _onnx_flops_per_image(self.scorer)

    @cached_property
    def peak(self) -> Peak:
        """The device's peak, for the juror's number format."""
        return device_peak(self.device, str(getattr(self.scorer, "dtype", "float32")), self.threads)

    def measure(self, batch: int, seconds: float = 2.0) -> Speed:
        """Score random images in batches of this size for some seconds."""
        size = self.scorer.size
        images_BHWC = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
        taken: list[float] = []
        warm = False
        for number in itertools.count():
            images_BHWC[:, 0, 0] = (
                number % 256,
                number // 256 % 256,
                number // 65536 % 256,
            )  # a cache must not know them
            begun = time.perf_counter()
            self.scorer.score(images_BHWC)
            taken.append(time.perf_counter() - begun)
            if not warm:
                warm = number == WARM_UP or sum(taken) > seconds
                taken = [] if warm else taken
            elif sum(taken) >= seconds and len(taken) >= 2:
                break
        rate = batch * len(taken) / sum(taken)
        p50, p95 = (1000 * float(np.percentile(taken, q)) for q in (50, 95))
        flops = self.flops_per_image
        return Speed(batch, rate, p50, p95, rate * flops / self.peak.flops_per_s if flops else None)


def measure(scorer: Scorer, batches: Iterable[int], seconds: float = 2.0) -> list[Speed]:
    """The speeds of a juror by batch size, each measured for some seconds."""
    bench = Bench(scorer)
    return [bench.measure(batch, seconds) for batch in batches]


def device_peak(device: str, dtype: str, threads: int | None = None) -> Peak:
    """The peak of a device: see the module.

    Args:
        device: a PyTorch device.
        dtype: of the computation, such as `float32` or `torch.bfloat16`.
        threads: of a CPU; PyTorch's own number if left out.
    """
    dtype = dtype.removeprefix("torch.")
    if device.startswith("cuda") and dtype in ("bfloat16", "float16"):
        import torch

        name = torch.cuda.get_device_name(device)
        for card, flops_per_s in DATA_SHEETS.items():
            if re.search(rf"\b{card}\b", name):
                return Peak(flops_per_s, f"data sheet of {name}, dense {dtype}")
    # On a CPU a product must not take so long that other programs get in between.
    side = 8192 if device.startswith("cuda") else 512
    return Peak(matmul_flops_per_s(device, dtype, side, threads), f"measured: {side}×{side} matrix product in {dtype}")


def matmul_flops_per_s(device: str, dtype: str, side: int, threads: int | None = None, seconds: float = 0.3) -> float:
    """The best that square matrix products reach on a device in `seconds`, in FLOP/s."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        matrix = torch.randn(side, side, device=device, dtype=getattr(torch, dtype))
        best, until = math.inf, time.perf_counter() + seconds
        while time.perf_counter() < until or best == math.inf:
            begun = time.perf_counter()
            matrix @ matrix
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - begun)
    finally:
        torch.set_num_threads(before)
    return 2 * side**3 / best


def _onnx_flops_per_image(scorer: Scorer) -> int | None:
    """Counted in the graph of a juror that holds an ONNX Runtime session; None for any other."""
    import onnxruntime

    for session in vars(scorer).values() if hasattr(scorer, "__dict__") else ():
        if isinstance(session, onnxruntime.InferenceSession) and len(session.get_inputs()) == 1:
            # ONNX Runtime keeps what it was given, under these names, and has no public ones for it.
            model = getattr(session, "_model_bytes", None) or getattr(session, "_model_path", None)
            image = np.zeros((1, scorer.size, scorer.size, 3), np.uint8)
            return None if model is None else onnx_flops(model, {session.get_inputs()[0].name: image})
    return None


def onnx_flops(model: bytes | str, inputs: dict[str, np.ndarray]) -> int:
    """Operations of the convolutions and matrix products of an ONNX model; a multiplication and an addition are two.

    ONNX Runtime's profiler writes down the shapes of every node that ran, so no other package needs to read the graph.

    Args:
        model: the file's content, or its path.
        inputs: one run's inputs by name; the operations are those of this run.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "nodes")
        # As written: fused nodes have other names and layouts.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    return sum(_node_flops(event["args"]) for event in events if "output_type_shape" in event.get("args", {}))


_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")
"""The operators that count; of a convolution also which input has the weights."""


def _node_flops(node: dict[str, Any]) -> int:
    operator = node["op_name"]
    inputs, outputs = (
        [s for part in node[f"{side}_type_shape"] for s in part.values()] for side in ("input", "output")
    )
    if operator in _CONVOLUTIONS:
        return 2 * math.prod(outputs[0]) * math.prod(inputs[_CONVOLUTIONS[operator]][1:])
    if operator in _PRODUCTS:
        return 2 * math.prod(inputs[0]) * outputs[0][-1]
    return 0
