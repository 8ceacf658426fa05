#!/usr/bin/env bash
# Expected: a float picture cast to uchar is rounded, as OpenCV's saturate_cast rounds.
# Happens:  it is clipped to 0 and 255, but fractions are cut off: an edit in float darkens by half a level on average.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6
python - <<'PY'
import numpy as np
import pyvips

given = np.float32([[0.6, 99.5, 254.9, 300.0, -3.0]])
cast = pyvips.Image.new_from_array(given).cast("uchar").numpy().ravel().tolist()
rounded = pyvips.Image.new_from_array(given).rint().cast("uchar").numpy().ravel().tolist()
print("libvips", ".".join(str(pyvips.version(n)) for n in range(3)))
print("given:", given.ravel().tolist(), " cast:", cast, " rint and cast:", rounded)
if cast != [0, 99, 254, 255, 0] or rounded != [1, 100, 255, 255, 0]:
    raise SystemExit("changed")
PY
