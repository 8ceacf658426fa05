"""Weights of the transformer jurors that cannot be what they should be, and options that cannot be."""

import os
import pickle
import shutil

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs rl-aesthetics[transformers]")

from safetensors.torch import load_file, save_file  # noqa: E402
from vision_jurors import SIGLIP  # noqa: E402

from juror_service.jurors.registry import load_juror  # noqa: E402
from rl_aesthetics.errors import UserError  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_folder_that_is_not_there_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"no folder at .*nowhere.*model\.safetensors.*aesthetic_predictor_v2_5\.pth"):
        load_juror("aesthetic_v2_5", weights=tmp_path / "nowhere")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", SIGLIP.head])
def test_a_file_that_is_missing_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(UserError, match=f"lacks {missing};"):
        load_juror("aesthetic_v2_5", weights=folder)


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", SIGLIP.head])
@pytest.mark.parametrize("content", [b"", b"not what it should be"])
def test_a_broken_file_is_a_users_mistake(folder, broken, content):
    (folder / broken).write_bytes(content)
    with pytest.raises(UserError, match="no readable"):
        load_juror("aesthetic_v2_5", weights=folder)


def test_a_truncated_encoder_is_a_users_mistake(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="no readable SiglipVisionModel"):
        load_juror("aesthetic_v2_5", weights=folder)


def test_weights_that_lack_a_tensor_are_not_filled_with_random_numbers(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.encoder.layers.1.mlp.fc2.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors.*layers\.1\.mlp\.fc2\.weight"):
        load_juror("aesthetic_v2_5", weights=folder)


def test_another_encoder_is_refused(folders, tmp_path, folder):
    shutil.copy(folders["clip"] / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(UserError, match=str(folder)):
        load_juror("aesthetic_v2_5", weights=folder)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda state: state.pop("scoring_head.2.bias"), "should hold scoring_head.0.weight"),
        (lambda state: state.update({"scoring_head.9.weight": torch.zeros(1)}), r"scoring_head\.9"),
        (lambda state: state.update({"scoring_head.2.weight": torch.zeros(64, 1024)}), "not .*1024, 128"),
        (lambda state: state.update({"scoring_head.0.weight": torch.zeros(1024, 40)}), "embeddings of 40.* makes 48"),
    ],
)
def test_another_head_is_refused(folder, spoil, named):
    state = torch.load(folder / SIGLIP.head)
    spoil(state)
    torch.save(state, folder / SIGLIP.head)
    with pytest.raises(UserError, match=named):
        load_juror("aesthetic_v2_5", weights=folder)


def test_code_in_a_heads_file_does_not_run(folder, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    torch.save({"scoring_head.0.weight": Attack()}, folder / SIGLIP.head)
    assert pickle.dumps(Attack())
    with pytest.raises(UserError, match="no readable"):
        load_juror("aesthetic_v2_5", weights=folder)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"device": "cuad"}, "cuad"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"dtype": "float8"}, "float32, bfloat16"),
        ({"batch": 0}, "batch"),
        ({"size": "large"}, "size"),
        ({"compile": "quickly"}, "quickly"),
        ({"weigths": "."}, "did you mean 'weights'"),
    ],
)
def test_an_option_that_cannot_be_is_named(folders, options, named):
    with pytest.raises(UserError, match=named):
        load_juror("aesthetic_v2_5", **({"weights": folders["siglip"]} | options))


def test_an_unknown_head_is_answered_with_the_known_ones(folders):
    with pytest.raises(UserError, match=r"'liner' \(did you mean 'linear'\?\)"):
        load_juror("laion", weights=folders["clip"], head="liner")
