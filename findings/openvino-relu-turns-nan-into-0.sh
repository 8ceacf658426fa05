#!/usr/bin/env bash
# Expected: a NaN in a network's input or weights comes out as NaN, so that a broken model can be told by its output.
# Happens:  in OpenVINO (x86-64) Relu of NaN is 0: the output looks healthy. onnxruntime, NumPy and PyTorch keep the NaN.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
python - <<'PY'
import numpy as np
from onnx import helper
from two_runtimes import answers

values = np.float32([1, np.nan, -2, 3])
native, other = answers(helper.make_node("Relu", ["a"], ["y"]), values)
print(f"Relu of {values}: onnxruntime {native}, OpenVINO {other}")
if not np.isnan(native[1]) or other.tolist() != [1, 0, 0, 3]:
    raise SystemExit("changed")
PY
