#!/usr/bin/env bash
# Expected: Add, Sub and Mul of uint8 pictures are the same in every runtime of ONNX (in NumPy and the reference
#           implementation they wrap around at 256).
# Happens:  onnxruntime wraps, OpenVINO saturates: 200 + 100 is 44 or 255, 5 - 10 is 251 or 0.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
python - <<'PY'
import numpy as np
from onnx import helper
from two_runtimes import answers

first, second = np.uint8([200, 5, 100]), np.uint8([100, 10, 3])
seen = {}
for operator in ("Add", "Sub", "Mul"):
    given = answers(helper.make_node(operator, ["a", "b"], ["y"]), first, second)
    seen[operator] = [answer.tolist() for answer in given]
    print(f"{operator} of {first} and {second}: onnxruntime {seen[operator][0]}, OpenVINO {seen[operator][1]}")
if seen != {
    "Add": [[44, 15, 103], [255, 15, 103]],
    "Sub": [[100, 251, 97], [100, 0, 97]],
    "Mul": [[32, 50, 44], [255, 50, 255]],
}:
    raise SystemExit("changed")
PY
