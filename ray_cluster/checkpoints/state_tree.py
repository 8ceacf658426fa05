"""Nested states as bytes that are read without executing anything.

RLlib and PyTorch keep their states as dictionaries in dictionaries, with arrays, tensors and plain values at the ends.
`pack` writes such a tree as one safetensors file: the arrays as raw bytes, the structure as JSON in its header. Pickle,
which RLlib's own checkpoints use, runs whatever code the file asks for.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save

_KEY = "tree"


def pack(tree: Any) -> bytes:
    """A tree of dict, list, tuple, None, bool, int, float, str, NumPy arrays and scalars, and PyTorch tensors as bytes.

    Tensors are moved to the CPU. Integers may be of any size, floats may be infinite or NaN.

    Raises:
        TypeError: something else is in the tree.
    """
    raw: dict[str, np.ndarray] = {}
    structure = _encode(tree, raw)
    return save(raw, metadata={_KEY: json.dumps(structure)})


def unpack(data: bytes) -> Any:
    """What `pack` was given; arrays and tensors own their memory.

    Raises:
        ValueError: these bytes were not written by `pack`, or are damaged.
    """
    try:
        # The header is read here because `safetensors.numpy.load` drops it; `safe_open` reads only from local files.
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        body = memoryview(data)[8 + length :]
        raw = {}
        for name, entry in entries.items():
            begin, end = entry["data_offsets"]
            if not 0 <= begin <= end <= len(body):
                raise ValueError("an array lies outside the file")
            raw[name] = body[begin:end]
        return _decode(json.loads(header["__metadata__"][_KEY]), raw)
    except (KeyError, TypeError, IndexError, AttributeError, UnicodeDecodeError, SafetensorError) as error:
        raise ValueError(f"not a packed state: {type(error).__name__} {error}") from error


def _encode(node: Any, raw: dict[str, np.ndarray]) -> Any:
    if node is None or (isinstance(node, bool | int | float | str) and not isinstance(node, np.generic)):
        return node
    if isinstance(node, dict):
        return {"items": [[_encode(key, raw), _encode(value, raw)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list" if isinstance(node, list) else "tuple": [_encode(value, raw) for value in node]}
    if isinstance(node, torch.Tensor):
        flat = node.detach().cpu().contiguous().reshape(-1)
        name = _keep(flat.view(torch.uint8).numpy() if flat.numel() else np.zeros(0, np.uint8), raw)
        return {"tensor": name, "dtype": str(node.dtype).removeprefix("torch."), "shape": list(node.shape)}
    if isinstance(node, np.ndarray | np.generic):
        array = np.ascontiguousarray(node)
        if array.dtype.hasobject:
            raise TypeError("arrays of Python objects cannot be packed")
        name = _keep(np.frombuffer(array.tobytes(), np.uint8), raw)
        kind = "array" if isinstance(node, np.ndarray) else "scalar"
        return {kind: name, "dtype": np.lib.format.dtype_to_descr(array.dtype), "shape": list(np.shape(node))}
    raise TypeError(f"a {type(node).__name__} cannot be packed")


def _keep(bytes_N: np.ndarray, raw: dict[str, np.ndarray]) -> str:
    raw[name := f"{len(raw):06d}"] = bytes_N
    return name


def _decode(node: Any, raw: dict[str, memoryview]) -> Any:
    if not isinstance(node, dict):
        return node
    if "items" in node:
        return {_hashable(_decode(key, raw)): _decode(value, raw) for key, value in node["items"]}
    if "list" in node:
        return [_decode(value, raw) for value in node["list"]]
    if "tuple" in node:
        return tuple(_decode(value, raw) for value in node["tuple"])
    if "tensor" in node:
        dtype = getattr(torch, node["dtype"])
        data = bytearray(raw[node["tensor"]])
        flat = torch.frombuffer(data, dtype=dtype) if data else torch.zeros(0, dtype=dtype)
        return flat.reshape(node["shape"])
    kind = "array" if "array" in node else "scalar"
    array = np.frombuffer(bytearray(raw[node[kind]]), _dtype(node["dtype"])).reshape(node["shape"])
    return array if kind == "array" else array[()]


def _hashable(key: Any) -> Any:
    if not isinstance(key, str | int | float | bool | tuple | None):
        raise ValueError(f"a {type(key).__name__} cannot be a key")
    return key


def _dtype(description: Any) -> np.dtype:
    if isinstance(description, list):  # JSON has no tuples, and NumPy takes nothing else for a field
        description = [(name, kind, *(tuple(shape) for shape in rest)) for name, kind, *rest in description]
    return np.lib.format.descr_to_dtype(description)
