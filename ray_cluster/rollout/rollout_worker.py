"""Rollout workers: RLlib EnvRunner actors that run episodes and send back arrays."""

from __future__ import annotations

import time
from functools import cached_property

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from ray_cluster.replay.transition import EPISODE, TRANSITION, Fragment, MakeNotes, StateNotes
from rl_aesthetics.episodes.saved_scores import SavedScores
from rl_aesthetics.episodes.start_states import episode_order
from rl_aesthetics.episodes.vector_env import ImageEditVectorEnv
from rl_aesthetics.plan.run_plan import RunPlan
from rl_aesthetics.scores.score_cache import ScoreCache

_EPISODES = ("photos_B", "states_B", "starts_B", "steps_B", "ended_B")
"""Of the environment: what is under way in each of its episodes."""


class RolloutWorker(SingleAgentEnvRunner):
    """Runs an `ImageEditVectorEnv` with an epsilon-greedy policy.

    RLlib starts, restarts, seeds and feeds it weights like any EnvRunner. Only the inner loop is our own: it keeps
    columns in place of episode objects, so that nothing but the network, the transforms and the juror costs time.

    `env_config` has `plan` (the `RunPlan`), `scorer`, `saved_scores` (a `SavedScores` or None), `store_frames`, `notes`
    (makes the `StateNotes` of each state, or None) and `threads`.
    """

    def __repr__(self) -> str:
        return f"RolloutWorker({self.worker_index}/{self.num_workers}, {self.num_envs} episodes)"

    def make_env(self) -> None:
        settings = self.config.env_config
        torch.set_num_threads(settings["threads"])
        plan: RunPlan = settings["plan"]
        photos, fresh = plan.photos(), plan.config.learner.fresh_degradations
        workers = max(1, self.num_workers)
        shard = max(0, (self.worker_index or 0) - 1) % workers, workers
        sampler = episode_order(photos, fresh, shard, plan.config.curriculum.review)
        saved: SavedScores | None = settings["saved_scores"]
        cache = (
            ScoreCache(settings["scorer"].fingerprint, plan.config.juror.score_cache_size)
            if saved is None
            else saved.cache(sampler.photos)
        )
        self.env = ImageEditVectorEnv(
            plan.dataset,
            settings["scorer"],
            plan.task,
            num_envs=self.config.num_envs_per_env_runner,
            sampler=sampler,
            cache=cache,
            photos=photos,
        )
        self.num_envs = self.env.num_envs
        self._needs_initial_reset = True
        if photos.crops is not None or (photos.acts_on_given and fresh):
            photos.load()  # while the learner starts, too; the first episodes would wait for it

    def sample(
        self,
        *,
        epsilon: float,
        temperature: float | None = None,
        depth: int | None = None,
        vector_steps: int | None = None,
        **kwargs,
    ) -> Fragment:
        """Take `vector_steps` steps (the configured fragment length if left out) in every episode.

        Args:
            epsilon: share of random actions.
            temperature: draw the other actions with probabilities ∝ exp(Q / temperature); None takes the best.
            depth: of the degradations with which the episodes begin from now on; None as the dataset has them.
        """
        started, environment = time.perf_counter(), self.env
        self._temperature, environment.sampler.depth = temperature, depth
        if self._needs_initial_reset:
            self._observations, _ = environment.reset(seed=self._seed)
            self._generator = np.random.default_rng(self._seed)
            self._resetting = np.zeros(self.num_envs, bool)
            self._records: list[list[np.void]] = [[] for _ in range(self.num_envs)]
            self._frames: list[list[np.ndarray]] = [[] for _ in range(self.num_envs)]
            self._notes: list[list[np.ndarray]] = [[] for _ in range(self.num_envs)]
            self._needs_initial_reset = False
        calls, dropped, cache = environment.scores.calls, environment.dropped_episodes, environment.scores.cache
        hits, misses = cache.hits, cache.misses
        done_records: list[np.void] = []
        done_frames: list[np.ndarray] = []
        done_notes: list[np.ndarray] = []
        episodes: list[tuple] = []
        env_steps = 0
        for _ in range(vector_steps or self.config.get_rollout_fragment_length(self.worker_index)):
            env_steps += int((~self._resetting).sum())
            self._step(epsilon, done_records, done_frames, done_notes, episodes)
        self.num_env_steps_sampled_lifetime += env_steps
        store_frames = self.config.env_config["store_frames"]
        shape = (0, *environment.single_observation_space.shape)
        transitions, finished = np.array(done_records, TRANSITION), np.array(episodes, EPISODE)
        self._value_stopping(transitions, finished)
        return Fragment(
            transitions=transitions,
            frames=(np.stack(done_frames) if done_frames else np.zeros(shape, np.uint8)) if store_frames else None,
            episodes=finished,
            env_steps=env_steps,
            dropped=environment.dropped_episodes - dropped,
            scorer_calls=environment.scores.calls - calls,
            lookups=cache.hits + cache.misses - hits - misses,
            hits=cache.hits - hits,
            scored=cache.take_new(),
            seconds=time.perf_counter() - started,
            notes=None if self._note is None else np.concatenate([np.zeros(0, self._note.dtype), *done_notes]),
        )

    @cached_property
    def _note(self) -> StateNotes | None:
        """Made when the first episodes begin: the network is there then."""
        make: MakeNotes | None = self.config.env_config["notes"]
        return None if make is None else make(self.env.photos, self.module.network)

    def _step(
        self,
        epsilon: float,
        done_records: list[np.void],
        done_frames: list[np.ndarray],
        done_notes: list[np.ndarray],
        episodes: list[tuple],
    ) -> None:
        observations, resetting = self._observations, self._resetting
        explore = self._generator.random(self.num_envs) < epsilon
        random_actions = self._generator.integers(0, len(self.env.space), self.num_envs)
        # Most of an afterstate worker's time: what is about to be reset, or begins at random, is not looked at.
        remembers = self.module.model_config.get("target_action") == "stored"
        looked_at = ~resetting & (~explore | np.array([remembers and bool(mine) for mine in self._records]))
        live, place_B, known = np.flatnonzero(~resetting), np.cumsum(~resetting) - 1, {}
        if self._note is not None:
            noted, known = self._note(self.env.photos_B[live], self.env.states_B[live], observations[live])
        greedy, chosen = self._preferred(observations, looked_at, known)
        actions = np.where(explore, random_actions, chosen)
        self._observations, rewards, terminated, dropped, info = self.env.step(actions)
        records = np.empty(self.num_envs, TRANSITION)
        for name, column in (
            ("photo", info["photo"]),
            ("state", info["previous_state"]),
            ("next_state", info["state"]),
            ("action", actions),
            ("next_action", -1),
            ("reward", rewards),
            ("score", info["previous_score"]),
            ("next_score", info["score"]),
            ("stop_reward", np.nan),
            ("terminated", terminated),
        ):
            records[name] = column
        for k in range(self.num_envs):
            mine = self._records[k]
            if resetting[k]:
                continue
            if dropped[k]:
                self._records[k], self._frames[k], self._notes[k] = [], [], []
                continue
            if mine and remembers:
                mine[-1]["next_action"] = greedy[k]
            mine.append(records[k])
            if self.config.env_config["store_frames"]:
                self._frames[k].append(observations[k])
            if self._note is not None:
                self._notes[k].append(noted[place_B[k] : place_B[k] + 1])
            if terminated[k]:
                episodes.append(
                    (
                        len(mine),
                        sum(float(record["reward"]) for record in mine),
                        info["degraded_score"][k],
                        info["score"][k],
                        info["original_score"][k],
                        info["exact"][k],
                    )
                )
                done_records += mine
                done_frames += self._frames[k]
                done_notes += self._notes[k]
                self._records[k], self._frames[k], self._notes[k] = [], [], []
        self._resetting = terminated | dropped

    def _preferred(
        self, observations: np.ndarray, looked_at: np.ndarray, known: dict[str, torch.Tensor]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best actions and those to take where nothing is explored, int64 `(B,)`; 0 where not `looked_at`.

        Args:
            known: columns that were noted already, of the episodes that are not reset.
        """
        greedy = np.zeros(self.num_envs, np.int64)
        if not looked_at.any():
            return greedy, greedy
        with torch.inference_mode():
            of_live = torch.from_numpy(looked_at[~self._resetting])
            columns = {name: column[of_live] for name, column in known.items()}
            output = self.module.forward_inference({Columns.OBS: torch.from_numpy(observations[looked_at])} | columns)
        greedy[looked_at] = output[Columns.ACTIONS].numpy()
        if self._temperature is None:
            return greedy, greedy
        # The Gumbel-max trick draws from the softmax of Q / temperature.
        logits_BA = output[Columns.ACTION_DIST_INPUTS].numpy() / self._temperature
        drawn = greedy.copy()
        drawn[looked_at] = (logits_BA + self._generator.gumbel(size=logits_BA.shape)).argmax(1)
        return greedy, drawn

    def _value_stopping(self, transitions: np.ndarray, episodes: np.ndarray) -> None:
        """Note what STOP would have paid after each step of the episodes, which only their ends tell."""
        lengths_E = episodes["steps"]
        firsts_E = np.cumsum(lengths_E) - lengths_E
        scores_T = transitions["next_score"]
        transitions["stop_reward"] = self.env.task.reward(
            scores_T,
            scores_T,
            np.repeat(episodes["original_score"], lengths_E),
            True,
            degraded_B=np.repeat(episodes["degraded_score"], lengths_E),
            stopped_B=True,
            steps_B=np.arange(len(transitions)) - np.repeat(firsts_E, lengths_E) + 2,
        )

    def rollout_state(self) -> dict | None:
        """What its next steps depend on besides the weights: episodes under way, generators, known scores."""
        if self._needs_initial_reset:
            return None
        environment, sampler = self.env, self.env.sampler
        return {
            "episodes": {name: getattr(environment, name).copy() for name in _EPISODES},
            "resetting": self._resetting,
            "records": [np.array(records, TRANSITION) for records in self._records],
            "frames": [np.array(frames, np.uint8) for frames in self._frames],
            "generator": self._generator.bit_generator.state,
            "sampler": sampler.random.bit_generator.state,
            "pending": list(map(int, sampler.pending)),
            "torch": torch.get_rng_state(),
            "scores": environment.scores.cache.entries(),
        }

    def set_rollout_state(self, state: dict) -> None:
        """Go on as the worker did whose `rollout_state` this is."""
        environment, sampler = self.env, self.env.sampler
        for name, values in state["episodes"].items():
            setattr(environment, name, values.copy())
        self._observations = environment.view(environment.photos_B, environment.states_B)
        self._resetting = state["resetting"].copy()
        self._records = [list(records.copy()) for records in state["records"]]  # what Ray hands over is read-only
        self._frames = [list(frames) if self.config.env_config["store_frames"] else [] for frames in state["frames"]]
        self._notes = [self._notes_of(np.array(records, TRANSITION)) for records in self._records]
        self._generator = np.random.default_rng()
        self._generator.bit_generator.state = state["generator"]
        sampler.random.bit_generator.state = state["sampler"]
        sampler.pending = list(state["pending"])
        torch.set_rng_state(state["torch"])
        environment.scores.cache.add(state["scores"])
        self._needs_initial_reset = False

    def _notes_of(self, records_T: np.ndarray) -> list[np.ndarray]:
        """The notes of an episode's steps so far, made again, `(1,)` each."""
        if self._note is None or not len(records_T):
            return []
        photos_T, states_T = records_T["photo"].astype(np.int64), records_T["state"].astype(np.int64)
        notes_T, _ = self._note(photos_T, states_T, self.env.view(photos_T, states_T))
        return np.split(notes_T, len(notes_T))

    def get_metrics(self) -> dict:
        """RLlib's own; ours travel in the fragments."""
        return self.metrics.reduce()

    def stop(self) -> None:
        if self.env is not None:  # the driver's own runner has no environment
            self.env.close()
