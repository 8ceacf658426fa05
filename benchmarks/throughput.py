"""How fast this project samples and learns, beside stock RLlib DQN and Stable-Baselines3 DQN, in one run.

    pip install -c constraints.txt -e '.[bench]'
    python benchmarks/throughput.py                         # about eight minutes on two cores
    python benchmarks/throughput.py --dataset runs/data     # real photos in place of made-up ones
    python benchmarks/throughput.py --batch 128 --episodes 32
    python benchmarks/throughput.py --quick                 # does it run at all?

All systems get the same environment (`ImageEditVectorEnv`), photos, juror, network layers, batch size, replay capacity,
cores and number of episodes side by side (one where noted), and act with epsilon 0.05. They are measured at several
ratios of trained to sampled transitions, because a library that ties the two hides which of them it is slow at:

    tied       8, what Stable-Baselines3's defaults amount to: batch 32 every 4 steps
    learning   32, so that learning is the bottleneck
    sampling   0.1, so that sampling is the bottleneck
    own        what the library does by default

After a warm-up the systems take turns for several rounds, so that a disturbance of the machine meets all of them; each
turn begins with a short lead-in that is not counted. The bare loops do nothing but double-Q updates on batches that lie
ready in memory: what PyTorch allows on this machine. All get as many PyTorch threads for learning as the bare loop is
fastest with.

RLlib stands there twice: with its defaults, and with settings that suit it better (see peers.py). Stable-Baselines3 has
no double Q, which saves it one of three forward passes.

It deliberately leaves out the quality of what is learned (learning.py), more than one rollout worker, and GPUs.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from dataclasses import dataclass, field, replace

import ray
import torch
from ours import ThisProject
from peers import StableBaselines, StockRLlib
from setting import Setting, System, machine, made_up_photos, start_ray, write_row
from torch import nn

from rl_aesthetics.config.config import load_config
from rl_aesthetics.datasets.dataset import RLDataset
from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.registry import make_network

RATIOS = {"tied": 8.0, "learning": 32.0, "sampling": 0.1}
OURS, STOCK, SB3 = "this project", "RLlib DQN", "Stable-Baselines3 DQN"
STOCK_DEFAULTS, SB3_DEFAULTS = "RLlib DQN, its defaults", "Stable-Baselines3 DQN, its defaults, 1 episode"
EPSILON = 0.05


@dataclass
class Rates:
    """What was measured, one value a round.

    Attributes:
        cpu_ms_per_update: CPU time of the main process, whatever it does, for each learner update. Where sampling has a
            process of its own this is the price of learning alone. It hardly moves with the load of the machine.
    """

    env_steps_per_s: list[float] = field(default_factory=list)
    trained_per_s: list[float] = field(default_factory=list)
    scorer_calls_per_step: list[float] = field(default_factory=list)
    cpu_ms_per_update: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, dict[str, float]]:
        return {
            name: {"median": statistics.median(values), "least": min(values), "most": max(values)}
            for name, values in vars(self).items()
        }


class BareLoop:
    """Double-Q updates of the same network on ready batches, by PyTorch alone."""

    env_steps = 0

    def __init__(self, setting: Setting, threads: int):
        self.trained, self.batch, self.threads = 0, setting.batch, threads
        torch.manual_seed(setting.seed)
        self.network = make_network(setting.network, setting.task.actions, setting.task.observation_size)
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), 1e-4, fused=True)
        shape, actions = setting.task.spaces()[0].shape, len(setting.task.actions)
        self.batches = [
            (
                torch.randint(0, 256, (2, setting.batch, *shape), dtype=torch.uint8),
                torch.randint(0, actions, (setting.batch,)),
                torch.randn(setting.batch),
                (torch.rand(setting.batch) > 0.3).float(),
            )
            for _ in range(8)
        ]

    def advance(self, seconds: float) -> None:
        torch.set_num_threads(self.threads)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for (before, after), actions, rewards, going in self.batches:
                with torch.no_grad():
                    best = self.network(after).argmax(1)
                    wanted = rewards + 0.99 * going * self.target.taken(after, best)
                loss = nn.functional.smooth_l1_loss(self.network.taken(before, actions), wanted)
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 10)
                self.optimiser.step()
                self.trained += self.batch

    def scorer_calls(self) -> int:
        return 0


def this_project(setting: Setting) -> ThisProject:
    config = load_config(
        None,
        [
            f"learner.network={setting.network}",
            "learner.replay=frames",
            "learner.learning_starts=500",
            f"training.batch_size={setting.batch}",
            f"training.replay_capacity={setting.capacity}",
            f"training.dataloader_batch_size={setting.episodes}",
            f"training.epsilon_start={EPSILON}",
            f"training.epsilon_end={EPSILON}",
            "training.learning_rate=0.0001",
            f"juror.name={setting.juror}",
            "juror.options={threads: 1}",
            f"learner.threads={setting.threads}",
            "ray.num_rollout_workers=1",
        ],
    )
    return ThisProject(setting, config)


def systems(setting: Setting) -> dict[str, System]:
    rllib = {"lr": 1e-4, "num_steps_sampled_before_learning_starts": 500}
    stable_baselines = {"learning_rate": 1e-4, "learning_starts": 500, "exploration_final_eps": EPSILON}
    return {
        OURS: this_project(setting),
        STOCK: StockRLlib(setting, EPSILON, **rllib),
        STOCK_DEFAULTS: StockRLlib(setting, EPSILON, defaults=True, **rllib),
        SB3: StableBaselines(setting, **stable_baselines),
        SB3_DEFAULTS: StableBaselines(setting, episodes=1, **stable_baselines),
    }


def measure(system: System | BareLoop, lead_in: float, seconds: float, batch: int, rates: Rates) -> None:
    """One turn: a lead-in that does not count, then `seconds` that do."""
    system.advance(lead_in)
    before = system.env_steps, system.trained, system.scorer_calls()
    began, cpu = time.perf_counter(), time.process_time()
    system.advance(seconds)
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    steps, trained = system.env_steps - before[0], system.trained - before[1]
    rates.env_steps_per_s.append(steps / elapsed)
    rates.trained_per_s.append(trained / elapsed)
    rates.scorer_calls_per_step.append((system.scorer_calls() - before[2]) / max(1, steps))
    rates.cpu_ms_per_update.append(1000 * cpu * batch / max(1, trained))


def fastest(loops: dict[str, BareLoop], seconds: float) -> BareLoop:
    """The bare loop that trains most in `seconds`, the fewest threads first."""

    def trained(loop: BareLoop) -> int:
        loop.advance(seconds / 4)
        before = loop.trained
        loop.advance(seconds)
        return loop.trained - before

    return max(loops.values(), key=trained)


def run(setting: Setting, seconds: float, rounds: int, warm_up: float) -> dict[tuple[str, str], Rates]:
    """Rates by (system, mode)."""
    bare = {f"bare PyTorch loop, {n} thread{'s' * (n > 1)}": BareLoop(setting, n) for n in sorted({1, setting.cores})}
    setting = replace(setting, threads=fastest(bare, seconds).threads)
    print(f"learning uses {setting.threads} PyTorch thread{'s' * (setting.threads > 1)}")
    competitors = systems(setting)
    turns = [(name, mode) for mode in RATIOS for name in (OURS, STOCK, SB3)]
    turns += [(name, "own") for name in (STOCK_DEFAULTS, SB3_DEFAULTS)] + [(name, "–") for name in bare]
    results = {turn: Rates() for turn in turns}
    try:
        for name, system in competitors.items():
            if name in (OURS, STOCK, SB3):
                system.set_ratio(RATIOS["tied"])
            system.advance(warm_up)
            print(f"warmed up: {name}, {system.env_steps} steps, {system.trained} trained", flush=True)
        for number in range(1, rounds + 1):
            for (name, mode), rates in results.items():
                system = bare.get(name) or competitors[name]
                if mode in RATIOS:
                    system.set_ratio(RATIOS[mode])
                measure(system, min(2.0, seconds / 4), seconds, setting.batch, rates)
                print(
                    f"round {number}/{rounds}  {name}, {mode}: {rates.env_steps_per_s[-1]:.0f} env steps/s, "
                    f"{rates.trained_per_s[-1]:.0f} trained/s",
                    flush=True,
                )
    finally:
        for system in competitors.values():
            system.close()
    return results


def table(results: dict[tuple[str, str], Rates]) -> str:
    """The results as a Markdown table."""
    ceiling = max(statistics.median(r.trained_per_s) for (name, _), r in results.items() if name.startswith("bare"))
    heads = ["system", "ratio", "env steps/s", "trained/s", "× RLlib", "× its defaults", "of the bare loop"]
    heads += ["CPU ms/update", "juror calls/step"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"

    for (name, mode), rates in results.items():
        of = "env_steps_per_s" if mode == "sampling" else "trained_per_s"

        def times(peer: tuple[str, str], rates: Rates = rates, of: str = of) -> str:
            median = statistics.median(getattr(results[peer], of))
            return f"{statistics.median(getattr(rates, of)) / median:.1f}" if median else "–"

        bare = name.startswith("bare")
        cells = [
            name,
            mode,
            "–" if bare else spread(rates.env_steps_per_s),
            spread(rates.trained_per_s),
            times((STOCK, mode if mode in RATIOS else "tied")),
            times((STOCK_DEFAULTS, "own")),
            f"{statistics.median(rates.trained_per_s) / ceiling:.2f}",
            "–" if mode == "sampling" else f"{statistics.median(rates.cpu_ms_per_update):.1f}",
            "–" if bare else f"{statistics.median(rates.scorer_calls_per_step):.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="a folder that `rl-aesthetics generate` wrote; made-up photos if left out")
    parser.add_argument("--seconds", type=float, default=8, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=15, help="seconds, of each system")
    parser.add_argument("--batch", type=int, default=32, help="transitions in a learner update")
    parser.add_argument("--episodes", type=int, default=16, help="side by side")
    parser.add_argument("--network", default="atari_cnn", choices=["atari_cnn", "simple_cnn"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.rounds, arguments.warm_up = 1.0, 1, 4.0
    try:
        dataset = RLDataset(arguments.dataset, "train") if arguments.dataset else made_up_photos(256, arguments.seed)
    except UserError as error:
        parser.error(str(error))
    setting = Setting(
        dataset,
        episodes=arguments.episodes,
        batch=arguments.batch,
        network=arguments.network,
        seed=arguments.seed,
    )
    about = machine()
    # Two algorithms stand side by side and take turns; Ray counts their CPUs at the same time.
    start_ray(setting.cores + 2)
    results = run(setting, arguments.seconds, arguments.rounds, arguments.warm_up)
    ray.shutdown()
    print(
        f"\n{about['cpu']}, {about['cores']} cores, batch {setting.batch}, {setting.episodes} episodes, {about['date']}"
    )
    print(table(results))
    peers = [(OURS, "tied"), (STOCK, "tied"), (STOCK_DEFAULTS, "own")]
    ours, stock, defaults = (statistics.median(results[peer].trained_per_s) for peer in peers)
    print(f"\nThis project trains {ours / stock:.1f} times as many samples a second as RLlib's DQN set up for speed,")
    print(f"and {ours / defaults:.1f} times as many as with RLlib's defaults.")
    if not arguments.quick:
        row = {
            **about,
            "settings": {**vars(arguments), "dataset": dataset.fingerprint, "ratios": RATIOS},
            "results": [{"system": n, "ratio": m, **rates.summary()} for (n, m), rates in results.items()],
        }
        print(f"Wrote {write_row('throughput', row)}")


if __name__ == "__main__":
    main()
