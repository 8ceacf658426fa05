#!/usr/bin/env bash
# Expected: the same tensors with the same metadata give the same bytes, so that a file's hash says what is in it.
# Happens:  metadata of two keys or more stands in the header in an order that changes from call to call in one process.
#           With a single key the bytes are always the same.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" safetensors==0.8.0 numpy==2.4.6
python - <<'PY'
import numpy as np
from safetensors.numpy import save

weights = {"a": np.zeros(3, np.float32), "b": np.ones(2, np.float32)}
four = {"config": "1", "actions": "2", "juror": "3", "format": "4"}
several = {save(weights, metadata=four) for _ in range(200)}
single = {save(weights, metadata={"agent": "all in one"}) for _ in range(200)}
print(f"200 saves with four keys: {len(several)} different files; with one key: {len(single)}")
if len(several) == 1 or len(single) != 1:
    raise SystemExit("changed")
PY
