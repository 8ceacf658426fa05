#!/usr/bin/env bash
# Expected: OpenVINO does what Resize's `antialias=1` asks for, or says that it cannot.
# Happens:  it loads the model without a word and resizes without antialias: a fine pattern that onnxruntime averages to
#           grey keeps black and white.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
python - <<'PY'
import numpy as np
from onnx import TensorProto, helper
from two_runtimes import answers

stripes = np.tile(np.float32([0, 0, 0, 255]), 16).reshape(1, 1, 1, 64)
sizes = [helper.make_tensor("s", TensorProto.INT64, [4], [1, 1, 1, 16])]
spread = {}
for antialias in (0, 1):
    node = helper.make_node("Resize", ["a", "", "", "s"], ["y"], mode="linear", antialias=antialias)
    shape = (1, 1, 1, 16)
    native, other = (out.ravel() for out in answers(node, stripes, to=shape, constants=sizes))
    spread[antialias] = native, other
    print(f"antialias={antialias}: onnxruntime {native[4:8].round(1)}, OpenVINO {other[4:8].round(1)}")
same_without = np.allclose(*spread[0], atol=1e-3)
ignored = np.allclose(spread[0][1], spread[1][1], atol=1e-3) and not np.allclose(*spread[1], atol=1)
if not same_without or not ignored:
    raise SystemExit("changed")
PY
