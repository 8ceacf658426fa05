#!/usr/bin/env bash
# Expected: `learn(n, reset_num_timesteps=False)` goes on with the epsilon that the first call ended with.
# Happens:  the schedule is stretched over old and new steps together, so epsilon jumps up, 0.05 to 0.41 here, and a trained
#           agent plays at random again.
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
        seen.append(self.model.exploration_rate)
        return True


model = DQN("MlpPolicy", Steps(), learning_starts=10**6, exploration_fraction=0.8, exploration_final_eps=0.05,
            buffer_size=100, policy_kwargs={"net_arch": [4]}, seed=0)
model.learn(1000, callback=Watch())
model.learn(1000, callback=Watch(), reset_num_timesteps=False)
before, after = seen[999], max(seen[1000:])
print(f"epsilon at the end of the first 1,000 steps {before:.3f}, at most in the next 1,000 {after:.3f}")
if abs(before - 0.05) > 1e-6 or after < 0.3:
    raise SystemExit("changed")
PY
