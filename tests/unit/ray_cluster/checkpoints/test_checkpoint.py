"""Checkpoints on disk: what comes back, what is passed over, what is refused, what is kept."""

import contextlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ray_cluster.checkpoints.checkpoint_store import MANIFEST, CheckpointStore, DamagedCheckpoint, open_checkpoint
from ray_cluster.checkpoints.state_tree import pack, unpack
from ray_cluster.replay.transition import TRANSITION
from rl_aesthetics.errors import UserError

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | arrays.arrays(
        st.sampled_from([np.uint8, np.float32, np.int64, bool]), arrays.array_shapes(min_dims=0, min_side=0)
    )
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(trees)
def test_a_tree_comes_back_as_it_was_packed(tree):
    assert same(tree, unpack(pack(tree)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_tensors_of_any_kind_come_back_bit_for_bit(dtype, shape):
    tensor = torch.randn(shape).to(dtype)
    (back,) = unpack(pack([tensor]))
    assert back.dtype == dtype
    assert torch.equal(back, tensor)


def test_records_generators_and_optimisers_come_back():
    records = np.zeros(3, TRANSITION)
    records["reward"] = [0.1, -0.2, np.inf]
    generator = np.random.default_rng(5)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tree = {"r": records, "g": generator.bit_generator.state, "o": optimizer.state_dict(), "last": records[1]["reward"]}
    back = unpack(pack(tree))
    assert back["r"].dtype == TRANSITION
    assert back["r"].tobytes() == records.tobytes()
    assert back["last"].dtype == np.float32
    other = np.random.default_rng()
    other.bit_generator.state = back["g"]
    assert other.random(4).tolist() == generator.random(4).tolist()
    again = torch.optim.AdamW(network.parameters(), lr=0.5)
    again.load_state_dict(back["o"])
    assert str(again.state_dict()) == str(optimizer.state_dict())


def test_what_cannot_be_written_without_pickle_is_refused():
    with pytest.raises(TypeError, match="a object cannot be packed"):
        pack({"x": object()})
    with pytest.raises(TypeError, match="arrays of Python objects"):
        pack(np.array([None]))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_value_error(data):
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of damage
        unpack(data)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_damage_anywhere_is_a_value_error_or_other_content(at, value):
    data = bytearray(pack({"a": np.arange(50), "b": [1, "x"]}))
    data[at % len(data)] = value
    with contextlib.suppress(ValueError):
        unpack(bytes(data))


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "state", keep=2)


def parts(step):
    return {"learner": {"weights": torch.full((4,), float(step))}, "progress": {"env_steps": step}}


def test_a_checkpoint_is_read_as_it_was_written(store):
    name = store.write(1200, parts(1200))
    newest, back = store.newest()
    assert newest == name == "step_000000001200"
    assert back["progress"] == {"env_steps": 1200}
    assert torch.equal(back["learner"]["weights"], torch.full((4,), 1200.0))


def test_the_newest_and_the_best_are_kept(store):
    for step in (10, 20, 30, 40, 50):
        store.write(step, parts(step), best=20)
    assert store.names() == [f"step_{step:012d}" for step in (20, 40, 50)]


def test_a_checkpoint_of_the_same_step_replaces_the_earlier_one(store):
    store.write(10, parts(1))
    store.write(10, parts(2))
    assert store.newest()[1]["progress"] == {"env_steps": 2}


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "manifest", "pickle"])
def test_a_damaged_checkpoint_is_passed_over_with_one_line(store, tmp_path, damage):
    store.write(10, parts(10))
    name = store.write(20, parts(20))
    file = tmp_path / "state" / name / "learner.safetensors"
    if damage == "truncated":
        os.truncate(file, file.stat().st_size - 1)
    elif damage == "altered":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif damage == "missing":
        file.unlink()
    elif damage == "manifest":
        (file.parent / MANIFEST).write_text('{"format": 1, "parts": {"learner.safetensors": 3}}')
    else:
        file.write_bytes(pickle.dumps({"weights": 1}))
    warnings = []
    newest, back = store.newest(warnings.append)
    assert (newest, back["progress"]) == ("step_000000000010", {"env_steps": 10})
    (line,) = warnings
    assert f"{name} is damaged and passed over: " in line
    assert "\n" not in line


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def test_a_malicious_pickle_is_not_executed_even_if_its_hash_is_right(store, tmp_path):
    import hashlib

    name = store.write(10, parts(10))
    folder, data = tmp_path / "state" / name, pickle.dumps(Evil(tmp_path / "executed"))
    (folder / "learner.safetensors").write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["parts"]["learner.safetensors"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedCheckpoint, match=r"learner\.safetensors: "):
        store.read(name)
    assert not (tmp_path / "executed").exists()


def test_a_manifest_cannot_point_out_of_its_folder(store, tmp_path):
    name = store.write(10, parts(10))
    manifest = tmp_path / "state" / name / MANIFEST
    content = json.loads(manifest.read_text())
    content["parts"]["../../secret.safetensors"] = {"bytes": 1, "sha256": ""}
    manifest.write_text(json.dumps(content))
    with pytest.raises(DamagedCheckpoint, match="names a part"):
        store.read(name)


def test_what_a_crash_left_half_written_is_no_checkpoint(store, tmp_path):
    name = store.write(10, parts(10))
    half = tmp_path / "state" / ".step_000000000020.partial"
    half.mkdir()
    (half / "learner.safetensors").write_bytes(b"half")
    (tmp_path / "state" / "step_000000000030").mkdir()  # an object store, before the manifest
    assert store.names() == [name]
    store.write(20, parts(20))
    assert not half.exists()


def test_another_format_is_refused_with_one_line(store, tmp_path):
    name = store.write(10, parts(10))
    manifest = tmp_path / "state" / name / MANIFEST
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(UserError, match=r"is of checkpoint format 0, this program reads 1: go on with"):
        store.newest()


def test_a_path_may_name_a_checkpoint_or_the_folder_of_them(store, tmp_path):
    store.write(10, parts(10))
    store.write(20, parts(20))
    assert open_checkpoint(str(tmp_path / "state"))[0] == "step_000000000020"
    assert open_checkpoint(str(tmp_path / "state" / "step_000000000010"))[1]["progress"] == {"env_steps": 10}
    assert open_checkpoint(f"file://{tmp_path}/state")[0] == "step_000000000020"
    assert open_checkpoint(str(tmp_path / "nowhere")) is None


def test_an_unknown_kind_of_storage_is_the_users_mistake():
    with pytest.raises(UserError, match="cannot use carrier://pigeon for checkpoints"):
        CheckpointStore("carrier://pigeon")


FULL_DISK = """
import sys, torch
from ray_cluster.checkpoints.checkpoint_store import CheckpointStore
store = CheckpointStore(sys.argv[1])
store.write(10, {"learner": torch.zeros(1000)})
try:
    store.write(20, {"learner": torch.zeros(1_000_000)})
except OSError as error:
    print("refused:", error.strerror or error)
assert store.names() == ["step_000000000010"], store.names()
assert not list(__import__("pathlib").Path(sys.argv[1]).glob(".*"))
print("whole:", store.newest()[0])
"""


def test_a_full_disk_costs_the_new_checkpoint_and_no_other(tmp_path):
    mount = f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -c '{FULL_DISK}' {tmp_path}/state"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*command, f"mount -t tmpfs none {tmp_path}"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk in a namespace")
    done = subprocess.run([*command, mount], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "whole: step_000000000010" in done.stdout
    assert "refused: " in done.stdout
