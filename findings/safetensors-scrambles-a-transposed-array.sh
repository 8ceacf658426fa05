#!/usr/bin/env bash
# Expected: `safetensors.numpy.save` of a transposed array keeps its values, or refuses, as `safetensors.torch` does.
# Happens:  shape and dtype are right, the values are those of the array's memory, in another order; no error. (Its
#           docstring asks for contiguous arrays; a transposed array is dense, only in Fortran's order.)
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" safetensors==0.8.0 numpy==2.4.6
python - <<'PY'
import numpy as np
from safetensors.numpy import load, save

planes_CHW = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
given_HWC = planes_CHW.transpose(1, 2, 0)
back_HWC = load(save({"photo": given_HWC}))["photo"]
safe_HWC = load(save({"photo": np.ascontiguousarray(given_HWC)}))["photo"]
print("given:", given_HWC.ravel()[:8], "back:", back_HWC.ravel()[:8])
print("same shape:", back_HWC.shape == given_HWC.shape, " same values:", np.array_equal(back_HWC, given_HWC))
print("made contiguous first, same values:", np.array_equal(safe_HWC, given_HWC))
scrambled = back_HWC.shape == given_HWC.shape and np.array_equal(back_HWC.ravel(), planes_CHW.ravel())
if not scrambled or not np.array_equal(safe_HWC, given_HWC):
    raise SystemExit("changed")
PY
