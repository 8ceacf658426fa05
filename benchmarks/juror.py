"""The juror: how fast it is, what batching gains, what the actor costs; side by side in one run.

    python benchmarks/juror.py                       # a table; a JSON row is added to benchmarks/juror.jsonl
    python benchmarks/juror.py --seconds 1 --output -

1. Images a second of the pocket juror by batch size.
2. Callers that ask again as soon as they are answered, 8 images a time: one request after the other; batched; and
   batched without ever holding an underfilled batch for callers about to come back. On a model whose batch costs
   5 ms and 0.02 ms an image (it sleeps, so the machine's load does not count).
3. A call with 32 images of 64×64 to the juror itself, to a bare Ray actor, and to the juror actor, in turns: latency,
   and CPU time of caller and actor together.

It leaves out the HTTP service, which `juror_load.py` measures.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from juror_service.batching.batcher import Batcher
from juror_service.jurors.bench import measure
from juror_service.jurors.registry import load_juror

CALLERS = (1, 4, 16)
IMAGES_PER_REQUEST = 8
MODES = (("one by one", IMAGES_PER_REQUEST, 0.002), ("batched, never held", 256, 0.0), ("batched", 256, 0.002))
"""Name, images in a batch at most, seconds that a batch is held at most."""
OVERHEAD_IMAGES = 32
SIZE = 64


class FixedCostJuror:
    """A model as a GPU has it: launching a batch costs far more than one more image in it."""

    size, fingerprint = SIZE, "fixed cost"

    def score(self, images):
        time.sleep(0.005 + 0.00002 * len(images))
        return np.zeros(len(images), np.float32)


class FreeJuror:
    """Costs nothing, so that what remains is the way there and back."""

    size, fingerprint = SIZE, "free"

    def score(self, images):
        return np.zeros(len(images), np.float32)


def main() -> None:
    """Measure, print, and add a row to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--output", default=str(Path(__file__).with_name("juror.jsonl")), help="'-' writes no file")
    arguments = parser.parse_args()
    row = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "load_before": [round(load, 1) for load in os.getloadavg()],
        "pocket": pocket(arguments.seconds),
        "batching": asyncio.run(batching(arguments.seconds)),
        "actor": actor(arguments.seconds),
    }
    show(row)
    if arguments.output != "-":
        with open(arguments.output, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"\nadded to {arguments.output}")


def pocket(seconds: float) -> list[dict]:
    """Images a second by batch size."""
    return [dataclasses.asdict(speed) for speed in measure(load_juror("pocket"), (1, 8, 32, 128), seconds)]


async def batching(seconds: float) -> list[dict]:
    """Requests a second and latencies for some numbers of callers, batched and one by one."""
    rows = []
    for callers in CALLERS:
        for mode, most, max_wait_s in MODES:
            batcher = Batcher(FixedCostJuror(), max_batch_images=most, max_wait_s=max_wait_s)
            latencies = await call_in_loops(batcher, callers, seconds)
            await batcher.close()
            rows.append(
                {
                    "callers": callers,
                    "mode": mode,
                    "requests_per_s": len(latencies) / seconds,
                    "images_per_batch": batcher.stats.images / batcher.stats.batches,
                    **percentiles(latencies),
                }
            )
    return rows


async def call_in_loops(batcher: Batcher, callers: int, seconds: float) -> list[float]:
    """What the requests of closed loops took, in seconds."""
    images_BHWC = np.zeros((IMAGES_PER_REQUEST, SIZE, SIZE, 3), np.uint8)
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def caller() -> None:
        while (begun := time.perf_counter()) < until:
            await batcher.score(images_BHWC)
            latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies


def actor(seconds: float) -> list[dict]:
    """What a call takes directly, through an actor that does nothing but answer, and through the juror actor.

    Beside the wall clock, which other programs disturb, the CPU time of caller and actor together.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from ray_cluster.jurors.actor_scorer import _pieces, start_jurors

    class Bare:
        async def score(self, *pieces_BHWC):
            return np.zeros(OVERHEAD_IMAGES, np.float32)

        async def pid(self):
            return os.getpid()

    images_BHWC = np.random.default_rng(0).integers(0, 256, (OVERHEAD_IMAGES, SIZE, SIZE, 3), np.uint8)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        bare = ray.remote(num_cpus=0.1)(Bare).remote()
        rows = []
        for name, direct, juror in (("free", FreeJuror(), FreeJuror), ("pocket", load_juror("pocket"), "pocket")):
            through_ray = start_jurors(juror)
            (replica,) = through_ray.actors
            calls = {
                "directly": (lambda direct=direct: direct.score(images_BHWC), None),
                "Ray alone": (lambda: ray.get(bare.score.remote(*_pieces(images_BHWC))), ray.get(bare.pid.remote())),
                "juror actor": (
                    lambda scorer=through_ray: scorer.score(images_BHWC),
                    ray.get(replica.health.remote())["pid"],
                ),
            }
            rows.append({"juror": name, "images": OVERHEAD_IMAGES, **in_turns(calls, seconds)})
        return rows
    finally:
        ray.shutdown()


def in_turns(calls: dict[str, tuple[Callable[[], object], int | None]], seconds: float) -> dict[str, dict[str, float]]:
    """Latency and CPU time of calls that are made one after the other in turns, so that all see the same machine.

    Args:
        calls: by name, what to call and the process that serves it, if it is another one.
    """
    for call, _ in calls.values():
        for _ in range(10):
            call()
    latencies = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    before = {name: cpu_seconds(pid) for name, (_, pid) in calls.items() if pid}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(latencies["directly"]) < 50:
        for name, (call, _) in calls.items():
            begun, used = time.perf_counter(), time.process_time()
            call()
            latencies[name].append(time.perf_counter() - begun)
            spent[name] += time.process_time() - used
    for name, at_first in before.items():
        spent[name] += cpu_seconds(calls[name][1]) - at_first
    return {
        name: percentiles(taken) | {"ms_cpu": round(1000 * spent[name] / len(taken), 2)}
        for name, taken in latencies.items()
    }


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {f"ms_p{q}": round(1000 * float(np.percentile(latencies, q)), 2) for q in (50, 95, 99)}


def show(row: dict) -> None:
    """Print the row as tables, in Markdown."""
    print(f"{row['machine']}, {row['date']}, load before {row['load_before'][0]}\n")
    print("| pocket, batch | images/s | ms p50 | ms p95 | of peak |\n| ---: | ---: | ---: | ---: | ---: |")
    for speed in row["pocket"]:
        rate, p50, p95, share = (speed[key] for key in ("images_per_s", "ms_p50", "ms_p95", "share_of_peak"))
        print(f"| {speed['batch']} | {rate:,.0f} | {p50:.2f} | {p95:.2f} | {share:.0%} |")
    print("\n| callers | | requests/s | images/batch | ms p50 | p95 | p99 |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for r in row["batching"]:
        print(
            f"| {r['callers']} | {r['mode']} | {r['requests_per_s']:,.0f} | {r['images_per_batch']:.1f} | "
            f"{r['ms_p50']} | {r['ms_p95']} | {r['ms_p99']} |"
        )
    print(f"\n| {OVERHEAD_IMAGES} images | | ms p50 | p95 | p99 | ms CPU | over direct, p50 | CPU |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for r in row["actor"]:
        direct = r["directly"]
        for mode in ("directly", "Ray alone", "juror actor"):
            m = r[mode]
            numbers = (m[key] for key in ("ms_p50", "ms_p95", "ms_p99", "ms_cpu"))
            over = (m[key] - direct[key] for key in ("ms_p50", "ms_cpu"))
            print(f"| {r['juror']} | {mode} | " + " | ".join(f"{number:.2f}" for number in (*numbers, *over)) + " |")


if __name__ == "__main__":
    main()
