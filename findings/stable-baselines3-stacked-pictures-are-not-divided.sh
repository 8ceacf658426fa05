#!/usr/bin/env bash
# Expected: uint8 pictures reach a Stable-Baselines3 network in 0 to 1, also when gymnasium has stacked them.
# Happens:  one picture (3, 64, 64) does; a stack of gymnasium's FrameStackObservation (2, 3, 64, 64), which is no picture
#           for it any more, and a picture whose highest value is not 255 arrive as 0 to 255. Nothing warns.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" torch==2.13.0 stable-baselines3==2.9.2 gymnasium==1.2.2 numpy==2.4.6
python - <<'PY'
import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.preprocessing import preprocess_obs


class Photo(gymnasium.Env):
    action_space = Discrete(2)
    observation_space = Box(0, 255, (3, 64, 64), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(self.observation_space.shape, 200, np.uint8), {}


single, stacked, dark = Photo(), FrameStackObservation(Photo(), 2), Photo()
dark.observation_space = Box(0, 250, (3, 64, 64), np.uint8)
seen = {}
for name, env in (("single", single), ("stacked", stacked), ("highest 250", dark)):
    observation = torch.from_numpy(np.array(env.reset()[0]))[None]
    seen[name] = round(float(preprocess_obs(observation, env.observation_space).max()), 3)
    print(f"{name}, {tuple(observation.shape)}: a pixel of 200 reaches the network as {seen[name]}")
if seen != {"single": 0.784, "stacked": 200.0, "highest 250": 200.0}:
    raise SystemExit("changed")
PY
