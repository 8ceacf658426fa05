#!/usr/bin/env bash
# Expected: `RescaleObservation(env, 0, 1)` of a uint8 picture gives floats from 0 to 1.
# Happens:  the observation stays uint8, so every pixel below 255 becomes 0; the observation space agrees, nothing warns.
#           (-1 to 1 is refused.) The vector wrapper does the same.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" gymnasium==1.4.0 numpy==2.4.6
python - <<'PY'
import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import RescaleObservation
from gymnasium.wrappers.vector import RescaleObservation as RescaleObservations


class Photo(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (3, 4, 4), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full((3, 4, 4), 200, np.uint8), {}


one, many = RescaleObservation(Photo(), 0, 1), RescaleObservations(SyncVectorEnv([Photo] * 2), 0, 1)
seen, batch = one.reset()[0], many.reset()[0]
print("a pixel of 200 becomes", seen.max(), seen.dtype, "and in a batch", batch.max(), batch.dtype)
print("in its space:", one.observation_space.contains(seen))
if (seen.max(), seen.dtype, batch.max(), batch.dtype) != (0, np.uint8, 0, np.uint8):
    raise SystemExit("changed")
PY
