"""A folder of runs made of real parts, small, and the studio on it in this process."""

import contextlib
import json
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import skimage
import torch
import uvicorn

from juror_service.jurors.pocket_network import load_pocket_network
from juror_service.jurors.registry import load_juror
from rl_aesthetics.agents.agent import AgentDescription, DQNAgent
from rl_aesthetics.datasets.annotations import Record, write_annotations
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.datasets.degrade import degrade
from rl_aesthetics.datasets.tonal_degradation import sequence_of
from rl_aesthetics.edits.transforms import REVERSIBLE, STOP, action_names
from rl_aesthetics.evaluation.trajectories import read_trajectories
from rl_aesthetics.files.run_files import AGENT_FILE, FILMSTRIP
from rl_aesthetics.networks.registry import make_network
from rl_aesthetics.photos.resize import reduce_image
from rl_aesthetics.reports.evaluate import evaluate
from rl_aesthetics.scores.reference import ReferenceScorer
from rl_aesthetics.scores.scorer import FunctionScorer
from rl_aesthetics.studio.app import create_app
from rl_aesthetics.studio.gate import LOOPBACK_NAMES
from rl_aesthetics.studio.library import Library
from rl_aesthetics.studio.site import StudioSettings

SKIMAGE = Path(skimage.__file__).parent / "data"
PHOTOS = [SKIMAGE / name for name in ("astronaut.png", "chelsea.png")]
ACTIONS = (*REVERSIBLE, STOP)
SIDE = 192
LARGE = 300
EDITS = [(name,) for name in REVERSIBLE] + [("swap_gb", "invert_r"), ("shift_left_b", "shift_down_all")]


def make_runs(root):
    """What the views show.

    `data` (train, val, test), `train` (agent, metrics, filmstrip), `untrained` (agent), `evaluation` and
    `evaluation_untrained`; of photographic edits `photos` (test), `untrained_photographic` (agent) and
    `evaluation_photographic`, which a judge has seen; and `large`, a dataset of several pages.
    """
    juror = load_juror(threads=1)
    write_dataset(root / "data", juror)
    greedy, untrained = greedy_agent(juror), random_agent(juror)
    (root / "train").mkdir()
    greedy.save(root / "train" / AGENT_FILE)
    (root / "untrained").mkdir()
    untrained.save(root / "untrained" / AGENT_FILE)
    dataset = RLDataset(root / "data", "test")
    for agent, name in ((greedy, "evaluation"), (untrained, "evaluation_untrained")):
        evaluate(agent, dataset, juror, root / name, agent_file=name, oracle=False)
    write_training(root / "train", root / "data")
    write_photographic(root)
    write_large(root / "large")
    return root


def write_large(root):
    """300 photos that are hard links to one: three pages of the grid."""
    (root / "train" / "images").mkdir(parents=True)
    one = root / "photo.png"
    cv2.imwrite(str(one), cv2.imread(str(PHOTOS[1]))[:64, :64])
    records = []
    for number in range(1, LARGE + 1):
        name = f"images/{number:06d}.png"
        (root / "train" / name).hardlink_to(one)
        records.append(Record(number, name, None, "swap_gb", ("swap_gb",), number / 1000, 0.9, "cat.png", 64, 64))
    write_annotations(root / "train", records, ["swap_gb"], {"juror": "made up"})


def write_photographic(root):
    """Four photos of wrong exposure and colour, an agent with untrained values, and its evaluation before a judge.

    The agent makes everything darker, which the reference likes of what is too bright, and the judge never.
    """
    torch.manual_seed(2)
    described = AgentDescription("tone", action_names("tonal"), (4, 64, 64), 2, ReferenceScorer.fingerprint)
    agent = DQNAgent(replace(described, config={"juror": {"name": "reference"}}))
    with torch.no_grad():
        agent.network.head.advantage[-1].bias[described.actions.index("exposure_down_3")] += 10
    (root / "untrained_photographic").mkdir()
    agent.save(root / "untrained_photographic" / AGENT_FILE)
    folder = root / "photos" / "test"
    for name in ("images", "originals"):
        (folder / name).mkdir(parents=True)
    records, wrong = [], [{"exposure": -1.2}, {"exposure": 1.4}, {"temperature": -1.0}, {"contrast": -0.8, "tint": 0.9}]
    for number, strengths in enumerate(wrong, 1):
        file = PHOTOS[number % 2]
        photo, (sequence, sizes) = cv2.imread(str(file))[:SIDE, :SIDE], sequence_of(strengths)
        image, original = f"images/{number:06d}.png", f"originals/{number:06d}.png"
        cv2.imwrite(str(folder / image), degrade(photo, sequence, sizes))
        cv2.imwrite(str(folder / original), photo)
        records.append(
            Record(
                *(number, image, original, "+".join(sequence), sequence, 0.5, 1.0, file.name, SIDE, SIDE),
                strengths=sizes,
            )
        )
    write_annotations(folder, records, sorted({r.transformation for r in records}), {"juror": agent.description.juror})
    dataset = RLDataset(root / "photos", "test")
    brightness = FunctionScorer(lambda image: image.mean() / 255, 16, "brightness")
    output = root / "evaluation_photographic"
    evaluate(agent, dataset, ReferenceScorer(), output, oracle=False, held_out={"brightness": brightness})


def write_dataset(root, juror):
    """Each photo degraded by each recipe in `test`, one of each in `val` and `train`."""
    number, labels = 0, sorted({"+".join(sequence) for sequence in EDITS})
    for split in ("train", "val", "test"):
        folder = root / split
        (folder / "images").mkdir(parents=True)
        records = []
        for place, sequence in enumerate(EDITS):
            for file in PHOTOS if split == "test" else PHOTOS[place % 2 : place % 2 + 1]:
                number += 1
                photo = cv2.imread(str(file))[:SIDE, :SIDE]
                degraded, name = degrade(photo, sequence), f"images/{number:06d}.png"
                cv2.imwrite(str(folder / name), degraded)
                score, initial = juror.score([reduce_image(x, juror.size)[..., ::-1] for x in (degraded, photo)])
                records.append(
                    Record(
                        *(number, name, None, "+".join(sequence), sequence),
                        *(float(score), float(initial), f"scikit-image/{file.name}", SIDE, SIDE),
                    )
                )
        write_annotations(folder, records, labels, {"juror": juror.fingerprint})


def greedy_agent(juror):
    """The afterstate network with the pocket juror's weights: it takes the edit whose result looks best."""
    network, pocket = make_network("afterstate", ACTIONS, 64), load_pocket_network()
    head = next(module for module in pocket.head if isinstance(module, torch.nn.Linear))
    network.start_from(pocket.trunk, head.weight, head.bias)
    network.head.bias.data[1] += 1e-3  # where no edit looks better, stop
    return DQNAgent(AgentDescription("afterstate", ACTIONS, (3, 64, 64), 5, juror.fingerprint), network)


def random_agent(juror):
    torch.manual_seed(0)
    return DQNAgent(AgentDescription("simple_cnn", ACTIONS, (3, 64, 64), 5, juror.fingerprint))


def write_training(folder, data):
    """What a training leaves beside its agent: five epochs, three validations, and what became of eight photos."""
    (folder / "config.yaml").write_text(f"dataset: {data}\n")
    records = RLDataset(data, "val").records[:8]
    with (folder / "metrics.jsonl").open("w") as metrics, (folder / FILMSTRIP).open("w") as film:
        for epoch in range(1, 6):
            row = {"epoch": epoch, "step": 1000 * epoch, "seconds": 10.0 * epoch, "epsilon": 1 / epoch}
            row |= {"train_success_rate": epoch / 6, "train_avg_reward": epoch / 10, "train_avg_steps": 6 - epoch}
            row |= {"train_avg_loss": 1 / epoch, "perf_env_steps_per_s": 300.0, "perf_trained_per_s": 1200.0}
            if epoch % 2:
                row |= {"val_success_rate": epoch / 5, "val_recovered": epoch / 6, "val_exact": epoch / 7}
                row |= {"val_avg_reward": epoch / 9, "val_avg_steps": 2.5}
                undone = [list(r.sequence[::-1]) if place < epoch else [] for place, r in enumerate(records)]
                photos = [
                    {"image_id": r.image_id, "edits": edits, "score": r.initial_score if edits else r.score}
                    for r, edits in zip(records, undone, strict=True)
                ]
                film.write(json.dumps({"epoch": epoch, "step": 1000 * epoch, "photos": photos}) + "\n")
            metrics.write(json.dumps(row) + "\n")


def load_scorer(name, agent):
    """As the command line does it."""
    name = name or agent.description.config.get("juror", {}).get("name", "pocket")
    return load_juror(name, **({"threads": 1} if name == "pocket" else {}))


@contextlib.contextmanager
def running(runs, load=load_scorer, **settings):
    """The studio on a free port, in a thread; yields its address and its `Site`."""
    library = Library(runs, load, ["pocket"])
    app = create_app(library, StudioSettings(**{"hosts": LOOPBACK_NAMES, **settings}))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            until = time.monotonic() + 60
            while not server.started:
                assert time.monotonic() < until
                time.sleep(0.02)
            yield url, app.state.site
        finally:
            server.should_exit = True
            thread.join(30)


def visitor(url, **options):
    """A client with a session of its own."""
    client = httpx.Client(base_url=url, timeout=60, follow_redirects=True, **options)
    client.get("/enhance")
    return client


def form_token(client):
    """What this visitor's forms carry."""
    text = client.get("/enhance").text
    return text.split('name="form_token" value="')[1].split('"')[0]


def undone(runs, name="evaluation"):
    """The trajectories of an evaluation."""
    return read_trajectories(runs / name / "episodes.jsonl")
