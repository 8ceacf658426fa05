#!/usr/bin/env bash
# Expected: Resize of a uint8 picture is the float result rounded, in every mode that the specification allows for uint8.
# Happens:  linear without antialias cuts fractions off, with antialias it rounds; cubic without antialias passes the
#           checker and loads, and fails when it is run. The reference implementation of onnx rounds.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
python - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

onnxruntime.set_default_logger_severity(4)


def resized(line, kind, to, **options):
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, 1, to])
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **options)
    x, y = (helper.make_tensor_value_info(name, kind, [1, 1, 1, n]) for name, n in (("x", len(line)), ("y", to)))
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], [sizes]),
                              opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": line.reshape(1, 1, 1, -1)})[0].ravel()


line = np.uint8([0, 0, 0, 255, 255, 255, 1, 2, 200, 90])
cut, rounded = [], []
for options, to, seen in (({"mode": "linear"}, 23, cut), ({"mode": "linear", "antialias": 1}, 4, rounded)):
    exact = resized(line.astype(np.float32), TensorProto.FLOAT, to, **options)
    given = resized(line, TensorProto.UINT8, to, **options)
    seen += [np.array_equal(given, np.floor(exact)), np.array_equal(given, np.rint(exact))]
    print(options, "equals the float result cut off:", seen[0], " rounded:", seen[1])
try:
    refused = not len(resized(line, TensorProto.UINT8, 23, mode="cubic"))
except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
    refused = True
print("cubic on uint8 fails when run:", refused)
if (cut, rounded, refused) != ([True, False], [False, True], True):
    raise SystemExit("changed")
PY
