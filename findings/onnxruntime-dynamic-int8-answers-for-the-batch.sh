#!/usr/bin/env bash
# Expected: what a dynamically quantised network says of one photo does not depend on the photos beside it in the batch.
# Happens:  it does: DynamicQuantizeLinear takes one scale from the whole batch, so one bright photo makes the others
#           coarser. In float32 alone and in company differ by less than 1e-6.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
python - 2>/dev/null <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

random = np.random.default_rng(0)
weights = [numpy_helper.from_array(random.normal(0, 0.2, shape).astype(np.float32), name)
           for name, shape in (("kernel", (16, 3, 3, 3)), ("head", (16, 4)))]
nodes = [
    helper.make_node("Conv", ["photo", "kernel"], ["c"], strides=[2, 2]),
    helper.make_node("Relu", ["c"], ["r"]),
    helper.make_node("GlobalAveragePool", ["r"], ["p"]),
    helper.make_node("Flatten", ["p"], ["f"]),
    helper.make_node("MatMul", ["f", "head"], ["value"]),
]
photo = helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["batch", 3, 32, 32])
value = helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch", 4])
opset = [helper.make_opsetid("", 18)]
onnx.save(helper.make_model(helper.make_graph(nodes, "g", [photo], [value], weights), opset_imports=opset, ir_version=9),
          "float32.onnx")
quantize_dynamic("float32.onnx", "int8.onnx")
dim, bright = (random.random((1, 3, 32, 32), np.float32) * scale for scale in (0.1, 1.0))
off = {}
for name in ("float32", "int8"):
    session = onnxruntime.InferenceSession(f"{name}.onnx", providers=["CPUExecutionProvider"])
    alone = session.run(None, {"photo": dim})[0][0]
    company = session.run(None, {"photo": np.concatenate([dim, bright])})[0][0]
    off[name] = float(np.abs(alone - company).max() / np.abs(alone).max())
    print(f"{name}: alone and beside a brighter photo differ by {off[name]:.2%} of the largest value")
if off["float32"] > 1e-5 or off["int8"] < 1e-3:
    raise SystemExit(print("changed") or 1)
PY
