#!/usr/bin/env bash
# Expected: one model gives one answer in onnxruntime and in onnxruntime-web (WebAssembly, in Node).
# Happens:  Cast of a float outside 0 to 255 to uint8: natively the low eight bits of the integer, so -1 is 255 and -300 is
#           212; in the browser's runtime 0 for both, but 300 is 44 in either. (The specification leaves these undefined.)
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
npm install --silent --no-audit --no-fund --prefix "$folder" onnxruntime-web@1.30.0
cat > native.py <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [5])
y = helper.make_tensor_value_info("y", TensorProto.UINT8, [5])
graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8)], "g", [x], [y])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), "cast.onnx")
session = onnxruntime.InferenceSession("cast.onnx", providers=["CPUExecutionProvider"])
print(*session.run(None, {"x": np.float32([254.7, 300, 255.5, -1, -300])})[0])
PY
cat > web.js <<'JS'
const runtime = require("onnxruntime-web");
runtime.env.wasm.numThreads = 1;
(async () => {
  const session = await runtime.InferenceSession.create(require("fs").readFileSync("cast.onnx"));
  const x = new runtime.Tensor("float32", Float32Array.from([254.7, 300, 255.5, -1, -300]), [5]);
  console.log(Array.from((await session.run({ x })).y.data).join(" "));
})();
JS
native=$(python native.py) web=$(node web.js)
echo "254.7 300 255.5 -1 -300 as uint8"
echo "onnxruntime:     $native"
echo "onnxruntime-web 1.30.0: $web"
[[ $native == "254 44 255 255 212" && $web == "254 44 255 0 0" ]]
