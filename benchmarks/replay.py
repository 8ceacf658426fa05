"""How long the central replay buffer takes for a batch, uniform and prioritised, with stored frames and by reference.

    python benchmarks/replay.py                        # a million transitions; stored frames take 12.3 GB of memory
    python benchmarks/replay.py --stored 200000        # where there is less
    python benchmarks/replay.py --quick                # does it run at all?

A batch is what one learner update gets: rows drawn, n-step returns, importance weights, frames copied into the arrays
that the learner is given; then priorities from TD errors. By reference it also says how long rendering takes, which is
the price of not storing frames. It deliberately leaves out adding transitions (a few a millisecond) and the learner.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from setting import machine, made_up_photos, write_row

from ray_cluster.replay.prioritized import PrioritizedReplayBuffer
from ray_cluster.replay.renderer import ReplayRenderer
from ray_cluster.replay.replay import ReplayBuffer
from ray_cluster.replay.transition import TRANSITION

SHAPE, GAMMA, BETA, PHOTOS, LENGTH = (3, 64, 64), 0.99, 0.5, 500, 5
BLOCK = 10_000
"""Transitions added at a time, a multiple of the episodes' length."""


def filled(capacity: int, frames: bool, prioritized: bool) -> ReplayBuffer:
    """A full buffer of episodes of five steps, with priorities as TD errors would leave them."""
    random = np.random.default_rng(0)
    kind = PrioritizedReplayBuffer if prioritized else ReplayBuffer
    buffer = kind(capacity, SHAPE if frames else None)
    pixels = random.integers(0, 256, (BLOCK, *SHAPE), np.uint8) if frames else None
    for first in range(0, capacity, BLOCK):
        count = min(BLOCK, capacity - first)
        transitions = np.zeros(count, TRANSITION)
        transitions["photo"] = random.integers(0, PHOTOS, count)
        for name in ("state", "next_state"):
            transitions[name] = random.integers(0, 3072, count)
        transitions["reward"] = random.normal(size=count)
        transitions["terminated"] = np.arange(count) % LENGTH == LENGTH - 1
        buffer.add(transitions, None if pixels is None else pixels[:count])
    if isinstance(buffer, PrioritizedReplayBuffer):
        buffer.update_priorities(np.arange(capacity), random.exponential(0.1, capacity))
    return buffer


def draw(buffer: ReplayBuffer, batch: int, n_step: int, generator: np.random.Generator, out) -> np.ndarray:
    """One batch, as `ActorLearner` draws it; its rows."""
    rows = buffer.sample(batch, generator)
    sample = buffer.steps(rows, n_step, GAMMA)
    if isinstance(buffer, PrioritizedReplayBuffer):
        buffer.weights(rows, BETA)
    if buffer.frames is not None:
        buffer.observations(rows, sample.ends, out)
    return rows


def times(what: Callable[[], object], repeats: int) -> np.ndarray:
    """Milliseconds of each call, float `(repeats,)`, after some that do not count."""
    for _ in range(max(3, repeats // 20)):
        what()
    taken = np.empty(repeats)
    for k in range(repeats):
        began = time.perf_counter()
        what()
        taken[k] = 1000 * (time.perf_counter() - began)
    return taken


def spread(milliseconds: np.ndarray) -> dict[str, float]:
    low, median, high = np.percentile(milliseconds, [10, 50, 90])
    return {"median": float(median), "p10": float(low), "p90": float(high)}


def shown(values: dict[str, float] | None) -> str:
    return "–" if values is None else f"{values['median']:.2f} ({values['p10']:.2f}–{values['p90']:.2f})"


def measure(capacity: int, frames: bool, prioritized: bool, batch: int, n_step: int, repeats: int) -> dict:
    """A row of the table."""
    buffer, generator = filled(capacity, frames, prioritized), np.random.default_rng(1)
    out = tuple(np.empty((batch, *SHAPE), np.uint8) for _ in range(2)) if frames else None
    row = {
        "sampling": "prioritised" if prioritized else "uniform",
        "observations": "stored" if frames else "by reference",
        "transitions": capacity,
        "bytes": buffer.nbytes / capacity,
        "batch_ms": spread(times(partial(draw, buffer, batch, n_step, generator, out), repeats)),
        "priorities_ms": None,
        "render_ms": None,
    }
    rows = draw(buffer, batch, n_step, generator, out)
    if isinstance(buffer, PrioritizedReplayBuffer):
        errors = generator.exponential(0.1, batch)
        row["priorities_ms"] = spread(times(lambda: buffer.update_priorities(rows, errors), repeats))
    if not frames:
        renderer = ReplayRenderer(made_up_photos(PHOTOS, 0).thumbnails(SHAPE[-1]), SHAPE[-1])
        sample = buffer.steps(rows, n_step, GAMMA)
        row["render_ms"] = spread(times(lambda: renderer(sample.transitions), max(10, repeats // 10)))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, default=1_000_000, help="transitions with stored frames, 12.3 kB each")
    parser.add_argument("--referenced", type=int, default=1_000_000, help="transitions by reference")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--n-step", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="few transitions, few repeats")
    arguments = parser.parse_args()
    stored, referenced, repeats = arguments.stored, arguments.referenced, arguments.repeats
    if arguments.quick:
        stored, referenced, repeats = 10_000, 50_000, 20
    about, before = machine(), os.times()
    print("| observations | sampling | transitions | bytes each | ms a batch | ms for priorities | ms to render |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    rows = []
    for frames, capacity in ((False, referenced), (True, stored)):
        for prioritized in (False, True):
            row = measure(capacity, frames, prioritized, arguments.batch, arguments.n_step, repeats)
            rows.append(row)
            print(
                f"| {row['observations']} | {row['sampling']} | {capacity:,} | {row['bytes']:,.0f} | "
                f"{shown(row['batch_ms'])} | {shown(row['priorities_ms'])} | {shown(row['render_ms'])} |",
                flush=True,
            )
    used, elapsed = os.times(), os.times().elapsed - before.elapsed
    share = (used.user + used.system - before.user - before.system) / elapsed
    print(f"batch {arguments.batch}, n-step {arguments.n_step}, median (10 %–90 %) of {repeats}")
    print(f"it had {share:.2f} of a core")
    if not arguments.quick:
        row = {**about, "batch": arguments.batch, "n_step": arguments.n_step, "cpu_share": share, "rows": rows}
        print(f"Wrote {write_row('replay', row)}")


if __name__ == "__main__":
    main()
