#!/usr/bin/env bash
# Expected: FLIP refuses uint8 pictures, or measures what it measures of the same pictures in 0 to 1.
# Happens:  it takes them and answers another number: 0.04 instead of 0.52 here, so a large error passes for a small one.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" flip-evaluator==1.7 numpy==2.4.6
python - <<'PY'
import flip_evaluator
import numpy as np

random = np.random.default_rng(0)
photo_HWC = random.integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
other_HWC = np.ascontiguousarray(np.roll(photo_HWC, 3, 1))


def error(first, second):
    return float(flip_evaluator.evaluate(first, second, "LDR", applyMagma=False)[1])


pixels = error(photo_HWC, other_HWC)
light = error(photo_HWC.astype(np.float32) / 255, other_HWC.astype(np.float32) / 255)
print(f"FLIP of the same two pictures: in 0 to 1 {light:.3f}, as uint8 {pixels:.3f}")
if abs(pixels - light) < 0.1:
    raise SystemExit("changed")
PY
