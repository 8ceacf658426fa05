"""A load test of the juror service: many connections, some broken requests, every answer checked, memory watched.

    python benchmarks/juror_load.py                       # 10,000 requests from 64 connections, 5 % of them broken
    python benchmarks/juror_load.py --requests 1000 --json

Starts `rl-aesthetics juror serve` in a process of its own. A good request must come back with the score that the juror
gives to the same pixels in this process, a broken one with the status that names what is wrong with it. Exits with 1 if
any answer is missing or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from juror_service.jurors.registry import load_juror
from rl_aesthetics.photos.resize import reduce_image

TOLERANCE = 1e-4


def main() -> None:
    """Run the drill and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--broken", type=float, default=0.05, help="share of requests that are broken")
    parser.add_argument("--photos", type=int, default=200, help="different photos; the rest are repeats")
    parser.add_argument("--json", action="store_true", help="print one JSON row only")
    arguments = parser.parse_args()
    command = [
        sys.executable,
        "-u",
        "-m",
        "rl_aesthetics_cli",
        "juror",
        "serve",
        "--port=0",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split()[2]
        row = asyncio.run(drill(url, server.pid, arguments))
    finally:
        server.terminate()
        server.wait(60)
    if arguments.json:
        print(json.dumps(row))
    else:
        for name, value in row.items():
            print(f"{name:>20}  {value}")
    sys.exit(0 if row["right"] == row["requests"] else 1)


async def drill(url: str, pid: int, arguments: argparse.Namespace) -> dict:
    """Send everything and compare. Memory is measured after a warm-up of one tenth, and at the end."""
    random = np.random.default_rng(0)
    photos, scores = await asyncio.to_thread(good_requests, arguments.photos)
    plan = [
        int(random.integers(len(BROKEN))) - len(BROKEN) if random.random() < arguments.broken else number % len(photos)
        for number in range(arguments.requests)
    ]
    todo, wrong, latencies = iter(plan), [], []
    limits = httpx.Limits(max_connections=arguments.connections, max_keepalive_connections=arguments.connections)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)

        async def connection() -> None:
            for kind in todo:
                begun = time.perf_counter()
                if kind < 0:
                    request, status = BROKEN[kind]
                    answer = await client.post(**request)
                    right = answer.status_code == status
                else:
                    answer = await client.post("/v1/score", json=photos[kind])
                    right = answer.status_code == 200 and abs(answer.json()["score"] - scores[kind]) <= TOLERANCE
                latencies.append(time.perf_counter() - begun)
                if not right:
                    wrong.append((kind, answer.status_code, answer.text[:200]))

        begun = time.perf_counter()
        memory_at_tenth = 0.0

        async def watch_memory() -> None:
            nonlocal memory_at_tenth
            while len(latencies) < arguments.requests // 10:
                await asyncio.sleep(0.01)
            memory_at_tenth = resident_mb(pid)

        await asyncio.gather(watch_memory(), *(connection() for _ in range(arguments.connections)))
        seconds = time.perf_counter() - begun
    for kind, status, text in wrong[:5]:
        print(f"wrong answer to {kind}: {status} {text}", file=sys.stderr)
    p50, p95, p99 = (round(1000 * float(np.percentile(latencies, q)), 1) for q in (50, 95, 99))
    return {
        "requests": len(latencies),
        "right": len(latencies) - len(wrong),
        "broken": sum(kind < 0 for kind in plan),
        "connections": arguments.connections,
        "requests_per_s": round(len(latencies) / seconds),
        "ms_p50": p50,
        "ms_p95": p95,
        "ms_p99": p99,
        "server_mb": round(resident_mb(pid)),
        "server_mb_grown": round(resident_mb(pid) - memory_at_tenth),
    }


def good_requests(count: int) -> tuple[list[dict], np.ndarray]:
    """Photos as `/v1/score` takes them, and their scores by the juror itself."""
    juror, random = load_juror(), np.random.default_rng(1)
    requests, pixels = [], []
    for number in range(count):
        coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
        photo = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)
        requests.append({"filename": f"{number}.png", "b64": encoded(photo)})
        pixels.append(reduce_image(np.asarray(photo), juror.size))
    return requests, juror.score(pixels)


def encoded(photo: Image.Image) -> str:
    """A photo as PNG in base64."""
    file = io.BytesIO()
    photo.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError(f"process {pid} tells nothing of its memory")


BROKEN = [
    ({"url": "/v1/score", "json": {"b64": "not base64!"}}, 400),
    ({"url": "/v1/score", "json": {"b64": base64.b64encode(b"not an image").decode()}}, 400),
    ({"url": "/v1/score", "json": {"b64": encoded(Image.new("RGB", (99, 99)))[:64]}}, 400),
    ({"url": "/v1/score", "json": {"b64": encoded(Image.new("1", (9000, 9000)))}}, 413),
    ({"url": "/v1/score", "json": {}}, 422),
    ({"url": "/v1/score", "content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ({"url": "/v1/score", "content": b"x", "headers": {"content-type": "text/plain"}}, 415),
    ({"url": "/v1/score/ndarray", "files": {"array_file": ("x.npy", b"no array")}}, 400),
]


if __name__ == "__main__":
    main()
