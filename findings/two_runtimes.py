"""One ONNX operator in onnxruntime and in OpenVINO, both on the CPU; the findings about OpenVINO compare them."""

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

ELEMENT = {np.dtype("uint8"): TensorProto.UINT8, np.dtype("float32"): TensorProto.FLOAT}


def model(node, *inputs, to=None, constants=()):
    """A file with a model of one node: its inputs are `a` and `b`, shaped as these arrays, its output `y`."""
    kind = ELEMENT[inputs[0].dtype]
    given = [helper.make_tensor_value_info(name, kind, array.shape) for name, array in zip("ab", inputs, strict=False)]
    y = helper.make_tensor_value_info("y", kind, to or inputs[0].shape)
    graph = helper.make_graph([node], "one", given, [y], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, "model.onnx")
    return "model.onnx"


def answers(node, *inputs, to=None, constants=()):
    """What onnxruntime and what OpenVINO, asked for float32 precision, answer."""
    file = model(node, *inputs, to=to, constants=constants)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return session.run(None, dict(zip("ab", inputs, strict=False)))[0], compiled(list(inputs))[0]
