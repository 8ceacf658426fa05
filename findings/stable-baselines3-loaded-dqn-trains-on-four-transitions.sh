#!/usr/bin/env bash
# Expected: a DQN that is loaded without its replay memory collects `learning_starts` steps again before it trains.
# Happens:  the counter was loaded, the memory is empty: from the fourth step on it trains on batches of 32 drawn from
#           the four transitions that there are.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" torch==2.13.0 stable-baselines3==2.9.2 gymnasium==1.2.2 numpy==2.4.6
python - <<'PY'
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback


class Steps(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (2,), np.float32), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.taken += 1
        return self.observation_space.sample(), 1.0, self.taken == 5, False, {}


seen = []


class Watch(BaseCallback):
    def _on_step(self):
        seen.append((self.model.replay_buffer.size(), self.model._n_updates))
        return True


model = DQN("MlpPolicy", Steps(), learning_starts=100, buffer_size=2000, policy_kwargs={"net_arch": [4]}, seed=0)
model.learn(200)
model.save("model")
loaded = DQN.load("model", env=Steps())
before = loaded._n_updates
loaded.learn(20, callback=Watch(), reset_num_timesteps=False)
size = next(size for size, updates in seen if updates > before)
print(f"learning_starts=100; after loading it trained first when the memory held {size} transitions")
if size > 10:
    raise SystemExit("changed")
PY
