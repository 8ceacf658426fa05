#!/usr/bin/env bash
# Expected: a model whose input is uint8 refuses float32 data, as onnxruntime does.
# Happens:  OpenVINO casts it without a word: a picture in 0 to 1 becomes black, and what is beyond 0 to 255 wraps.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
python - <<'PY'
import numpy as np
import onnxruntime
import openvino
from onnx import helper
from two_runtimes import model

node = helper.make_node("Identity", ["a"], ["y"])
file = model(node, np.uint8([1, 2, 3, 4]))
floats = np.float32([0.25, 0.99, 1.7, 300])
compiled = openvino.Core().compile_model(file, "CPU")
taken = compiled([floats])[0].tolist()
try:
    onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"a": floats})
    refused = False
except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
    refused = "Unexpected input data type" in str(error)
print(f"given {floats}: OpenVINO goes on with {taken}; onnxruntime refuses: {refused}")
if taken != [0, 0, 1, 44] or not refused:
    raise SystemExit("changed")
PY
