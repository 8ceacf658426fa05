"""How the studio feels with 10,000 photos: the first view, scrolling to the end, ten visitors at once and an eleventh.

    python benchmarks/studio.py              # makes a dataset of 10,000 photos in a temporary folder
    python benchmarks/studio.py --quick      # 1,000
    python benchmarks/studio.py --no-browser # the server alone

`rl-aesthetics studio` runs in a process of its own, with an empty folder for thumbnails. A view's time is from the
request to the last byte, warm, of 20. The browser is Debian's Chromium without a screen: it draws every frame in
software, on the same cores as the studio, so its frames are a lower bound of what a desk has. The page scrolls by
`STEP` pixels a frame until every photo is in it, and then back to the top; a frame is the time between two calls of
`requestAnimationFrame`. Where other programs want the processor, only CPU times can be compared: of the studio for a
view, and of the browser's main thread for a frame.

Left out: a network between the two, and photos larger than what `generate` makes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
from setting import machine, write_row

from juror_service.jurors.registry import load_juror
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP
from rl_aesthetics.files.run_files import AGENT_FILE
from rl_aesthetics.reports.evaluate import evaluate

DIFFERENT, WIDTH, HEIGHT = 64, 384, 256
TESTED = 100
REPEATS = 20
LIMIT_S = 240
VIEWS = {
    "Enhance": "/enhance",
    "Dataset, first page": "/dataset",
    "Dataset, by loss": "/dataset?sort=loss_down",
    "Dataset, one edit, score 0.4 to 0.6": "/dataset?edit=swap_gb&least=0.4&most=0.6",
    "Dataset, another page": "/dataset/part?name=data&page=40",
    "Evaluation, 100 episodes": "/evaluation",
}
STEP = 400
SCROLL = """([step, photos, limit_s]) => new Promise((done) => {
  const begun = performance.now(), frames_ms = [];
  let last = begun;
  const tick = (now) => {
    frames_ms.push(now - last);
    last = now;
    const before = scrollY, late = now - begun > 1000 * limit_s;
    scrollBy(0, step);
    const reached = document.querySelectorAll(".grid li").length;
    if (late || (scrollY === before && (step < 0 || reached >= photos))) done({ frames_ms, reached });
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
})"""


def photo(random: np.random.Generator, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Smooth colours with some grain, uint8 BGR: about as hard to encode as a photo."""
    smooth = cv2.resize(random.integers(0, 256, (6, 9, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def make_runs(root: Path, count: int) -> None:
    """A dataset whose files are hard links to a few photos, an untrained agent, and its evaluation on 100 photos."""
    random = np.random.default_rng(0)
    files = []
    for number in range(DIFFERENT):
        files.append(root / f"{number}.png")
        cv2.imwrite(str(files[-1]), photo(random))
    juror, number = load_juror("pocket", threads=1), 0
    for split, size in (("train", count - 2 * TESTED), ("val", TESTED), ("test", TESTED)):
        folder = root / "data" / split
        (folder / "images").mkdir(parents=True)
        records = []
        for _ in range(size):
            number += 1
            name, edit = f"images/{number:06d}.png", REVERSIBLE[random.integers(14)]
            os.link(files[number % DIFFERENT], folder / name)
            score, initial = random.uniform(0.2, 0.8, 2)
            source = f"made up/{number % DIFFERENT}.png"
            records.append(Record(number, name, None, edit, (edit,), score, initial, source, WIDTH, HEIGHT))
        write_annotations(folder, records, sorted(REVERSIBLE), {"juror": juror.fingerprint})
    actions = (*REVERSIBLE, STOP)
    agent = DQNAgent(AgentDescription("simple_cnn", actions, (3, 64, 64), 5, juror.fingerprint))
    (root / "train").mkdir()
    agent.save(root / "train" / AGENT_FILE)
    evaluate(agent, RLDataset(root / "data", "test"), juror, root / "evaluation", oracle=False)


def cpu_ms(process: psutil.Process) -> float:
    """CPU time that a process has used so far."""
    times = process.cpu_times()
    return 1000 * (times.user + times.system)


def view_times(url: str, server: psutil.Process) -> dict[str, dict[str, float]]:
    """Milliseconds of each view: the very first request for it, the median and the worst of the warm ones, and the
    studio's mean CPU time for a warm one."""
    rows = {}
    with httpx.Client(base_url=url, timeout=120) as client:
        for name, address in VIEWS.items():
            times = []
            for repeat in range(1 + REPEATS):
                if repeat == 1:
                    used = cpu_ms(server)
                begun = time.perf_counter()
                client.get(address).raise_for_status()
                times.append(1000 * (time.perf_counter() - begun))
            rows[name] = {"first": times[0], "warm": statistics.median(times[1:]), "worst": max(times[1:])}
            rows[name]["cpu"] = (cpu_ms(server) - used) / REPEATS
    return rows


def visitors(url: str, count: int) -> list[tuple[int, float]]:
    """As many visitors at once, each with a photo of 12 megapixels: status and seconds until the answer."""
    content = cv2.imencode(".jpg", photo(np.random.default_rng(1), 4000, 3000))[1].tobytes()

    def visit(client: httpx.Client) -> tuple[int, float]:
        token = client.get("/enhance").text.split('name="form_token" value="')[1].split('"')[0]
        begun = time.perf_counter()
        sent = client.post(
            "/enhance",
            data={"form_token": token, "agent": "train", "juror": ""},
            files={"photos": ("a.jpg", content)},
        )
        while sent.status_code == 200 and "Working" in client.get(sent.url.path).text:
            time.sleep(0.1)
        return sent.status_code, time.perf_counter() - begun

    clients = [httpx.Client(base_url=url, timeout=300, follow_redirects=True) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(visit, clients))
    for client in clients:
        client.close()
    return sorted(answers, key=lambda answer: answer[1])


def scroll(url: str, count: int) -> dict[str, float]:
    """Open the grid in a browser, go to its end and back, and time the frames."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{url}/dataset")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        wire = page.context.new_cdp_session(page)
        wire.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy_ms() -> float:
            found = {one["name"]: one["value"] for one in wire.send("Performance.getMetrics")["metrics"]}
            return 1000 * found["TaskDuration"]

        row = {"first paint ms": painted}
        for way, step in (("down", STEP), ("back", -STEP)):
            begun, used = time.perf_counter(), busy_ms()
            seen = page.evaluate(SCROLL, [step, count, LIMIT_S])
            frames_F = np.array(seen["frames_ms"])
            row |= {f"{way}: photos in the page": seen["reached"], f"{way}: s": time.perf_counter() - begun}
            row |= {f"{way}: frames": len(frames_F), f"{way}: median ms": float(np.median(frames_F))}
            row |= {f"{way}: 99 % within ms": float(np.quantile(frames_F, 0.99))}
            row |= {f"{way}: worst ms": float(frames_F.max()), f"{way}: over 50 ms": int((frames_F > 50).sum())}
            row[f"{way}: main thread's CPU ms a frame"] = (busy_ms() - used) / len(frames_F)
        browser.close()
    return row


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="1,000 photos")
    parser.add_argument("--no-browser", action="store_true")
    arguments = parser.parse_args()
    count = 1_000 if arguments.quick else arguments.photos
    row = {"photos": count, **machine()}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        root.mkdir()
        make_runs(root, count)
        row["report_of_100_episodes_mb"] = (root / "evaluation" / "report.html").stat().st_size / 1e6
        program = [sys.executable, "-u", "-m", "rl_aesthetics_cli", "studio"]
        server = subprocess.Popen(
            [*program, f"--runs={root}", "--port=0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": folder},
        )
        try:
            url = server.stdout.readline().split()[-1]
            row["views_ms"] = view_times(url, psutil.Process(server.pid))
            if not arguments.no_browser:
                row["scrolling"] = scroll(url, count)
            row["visitors"] = visitors(url, 11)
        finally:
            server.terminate()
            server.wait(60)
    _print(row)
    print(f"wrote {write_row('studio', row)}")


def _print(row: dict) -> None:
    print(f"report of 100 episodes: {row['report_of_100_episodes_mb']:.1f} MB\n")
    print("| view | first request, ms | warm, ms | worst, ms | CPU, ms |\n| --- | --- | --- | --- | --- |")
    for name, times in row["views_ms"].items():
        print(f"| {name} | {times['first']:.0f} | {times['warm']:.0f} | {times['worst']:.0f} | {times['cpu']:.0f} |")
    print()
    for name, value in row.get("scrolling", {}).items():
        print(f"{name}: {value:,.1f}")
    taken = [seconds for status, seconds in row["visitors"] if status == 200]
    busy = [seconds for status, seconds in row["visitors"] if status == 503]
    print(f"{len(taken)} of 11 visitors were answered, after {min(taken):.1f} to {max(taken):.1f} s", end="; ")
    print(f"{len(busy)} told that it is busy" + (f", after {busy[0]:.2f} s" if busy else ""))


if __name__ == "__main__":
    main()
