#!/usr/bin/env bash
# Expected: `DQNConfig().training(noisy=True)` puts noisy layers into the network (Fortunato et al. 2018).
# Happens:  on the new API stack it is stored and not read: the network has the same layers and as many parameters, and its
#           values are the same at each call.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" torch==2.13.0 'ray[rllib]==2.60.0' numpy==2.4.6
python - 2>/dev/null <<'PY'
import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.dqn import DQNConfig

spaces = {"observation_space": gymnasium.spaces.Box(-1, 1, (4,), np.float32), "action_space": gymnasium.spaces.Discrete(3)}
parameters, steady = {}, {}
for noisy in (False, True):
    config = DQNConfig().environment(**spaces).training(noisy=noisy)
    spec = config.get_default_rl_module_spec()
    spec.observation_space, spec.action_space = spaces.values()
    spec.model_config = config.model_config
    module = spec.build()
    parameters[noisy] = sum(weights.numel() for weights in module.parameters())
    values = [module.compute_q_values({"obs": torch.ones(1, 4)})["qf_preds"] for _ in range(3)]
    steady[noisy] = all(torch.equal(values[0], value) for value in values)
    print(f"noisy={noisy}: {parameters[noisy]} parameters, the same values at each call: {steady[noisy]}")
if parameters[True] != parameters[False] or not steady[True]:
    raise SystemExit(print("changed") or 1)
PY
