"""The transformer jurors on tiny models in the published form: loading, agreement with other code, the contract."""

import dataclasses
import json
import shutil
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs rl-aesthetics[transformers]")

from safetensors.torch import load_file, save_file  # noqa: E402
from tiny_releases import SIDE, TEXT, TOWER, images  # noqa: E402
from vision_jurors import CLIP, JURORS, SIGLIP  # noqa: E402

from juror_service.jurors import laion  # noqa: E402
from juror_service.jurors.registry import load_juror  # noqa: E402
from juror_service.jurors.vision_tower import VisionJuror, resample  # noqa: E402
from rl_aesthetics.errors import ScoringError  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

# What the packages aesthetic-predictor-v2-5 2024.12.18.1 and simple-aesthetics-predictor 0.1.2 (`V2Linear`, `V1`) gave
# for the first six of `images(40)` on the weights of `tiny_releases`, so that agreement is tested without them too.
RECORDED = {
    "aesthetic_v2_5": [-0.102549, -0.039983, 0.083537, -0.127965, 0.026032, 0.018775],
    "laion": [0.289524, 0.431209, 0.534432, 0.398294, 0.528779, 0.528441],
    "laion linear": [0.112923, 0.041824, 0.038467, 0.077027, -0.128778, 0.000303],
}


def close(scores, alone, share=1e-3):
    """Equal to a share of the spread of scores; the declared range of 9 would be far too easy for tiny models."""
    np.testing.assert_allclose(scores, alone, rtol=0, atol=share * np.ptp(alone))


# What is loaded


def test_listing_jurors_loads_neither_torch_nor_transformers():
    program = (
        "import sys; from juror_service.jurors.registry import available_jurors; print(*available_jurors());"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    listed = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert {"aesthetic_v2_5", "laion"} <= set(listed.stdout.split())


def test_the_tiny_releases_have_the_form_of_the_published_ones(folders):
    names = set(load_file(folders["siglip"] / "model.safetensors"))
    assert {"logit_scale", "logit_bias", "text_model.head.weight", "vision_model.head.probe"} <= names
    assert {"vision_model.embeddings.patch_embedding.weight", "vision_model.encoder.layers.1.mlp.fc1.bias"} <= names
    assert json.loads((folders["siglip"] / "config.json").read_text())["model_type"] == "siglip"
    names = set(load_file(folders["clip"] / "model.safetensors"))
    assert {"visual_projection.weight", "text_projection.weight", "vision_model.pre_layrnorm.weight"} <= names
    assert json.loads((folders["clip"] / "config.json").read_text())["model_type"] == "clip"


@pytest.mark.parametrize(("release", "parameters"), [(SIGLIP, 428_225_600), (CLIP, 303_966_208)])
def test_the_published_architectures_have_the_published_number_of_parameters(release, parameters):
    encoder_class = getattr(transformers, release.encoder_class)
    with torch.device("meta"):
        encoder = encoder_class(encoder_class.config_class(**release.architecture))
    assert sum(p.numel() for p in encoder.parameters()) == parameters


def test_random_weights_serve_to_measure_speed_and_say_what_they_are():
    juror = VisionJuror(dataclasses.replace(SIGLIP, architecture=TOWER), "random")
    assert juror.fingerprint == "aesthetic_v2_5:random"
    assert juror.size == SIDE
    assert np.isfinite(juror.score(images(3))).all()


def test_an_encoder_without_its_text_half_is_the_same_juror(load, folder):
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if name.startswith("vision_model.")},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    assert load_juror("aesthetic_v2_5", weights=folder).fingerprint == load("aesthetic_v2_5").fingerprint


# Agreement with other people's code


@pytest.mark.parametrize("name", JURORS)
def test_scores_agree_with_those_recorded_from_other_implementations(name, alone):
    np.testing.assert_allclose(alone[name][:6], RECORDED[name], rtol=0, atol=1e-4)


def test_scores_agree_with_the_package_aesthetic_predictor_v2_5(folders, alone, scenes):
    theirs = pytest.importorskip("aesthetic_predictor_v2_5", reason="pip install --no-deps aesthetic-predictor-v2-5")
    # Its own loading, image processor and model, on the same files.
    folder = folders["siglip"]
    model, processor = theirs.convert_v2_5_from_siglip(str(folder / SIGLIP.head), encoder_model_name=str(folder))
    pixels = processor(images=[Image.fromarray(scene) for scene in scenes], return_tensors="pt").pixel_values
    with torch.no_grad():
        scores = model.eval()(pixels).logits[:, 0].numpy()
    np.testing.assert_allclose(alone["aesthetic_v2_5"], scores, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "their_class", "prefix"),
    [("laion", "AestheticsPredictorV2Linear", ""), ("laion linear", "AestheticsPredictorV1", "predictor.")],
)
def test_scores_agree_with_the_package_simple_aesthetics_predictor(folders, alone, scenes, name, their_class, prefix):
    theirs = pytest.importorskip("aesthetics_predictor", reason="pip install --no-deps simple-aesthetics-predictor")
    folder, release = folders["clip"], laion.RELEASES[JURORS[name][1].get("head", "mlp")]
    model = getattr(theirs, their_class)(transformers.CLIPVisionConfig.from_pretrained(folder))
    encoder = load_file(folder / "model.safetensors")
    model.load_state_dict(
        {key: value for key, value in encoder.items() if key.startswith("vis")}
        | {prefix + key: value for key, value in torch.load(folder / release.head).items()}
    )
    # The processor by Pillow, which had the plain name before transformers 5.
    processor_class = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    processor = processor_class.from_pretrained(folder, crop_size={"height": SIDE, "width": SIDE})
    pixels = processor(images=[Image.fromarray(scene) for scene in scenes], return_tensors="pt").pixel_values
    with torch.no_grad():
        scores = model.eval()(pixels).logits[:, 0].numpy()
    np.testing.assert_allclose(alone[name], scores, rtol=0, atol=1e-4)


def test_embeddings_have_unit_length_before_the_head(folders, tmp_path, alone, scenes):
    folder = shutil.copytree(folders["clip"], tmp_path / "weights")
    tensors = load_file(folder / "model.safetensors")
    tensors["visual_projection.weight"] *= 10
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    close(load_juror("laion", weights=folder).score(scenes), alone["laion"])


@pytest.mark.parametrize("side", [SIDE // 2, SIDE - 1, 2 * SIDE, 3 * SIDE])
def test_resampling_on_the_device_is_that_of_the_image_processors(side):
    for image in images(6, side):
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        ours = resample(pixels, SIDE)[0].permute(1, 2, 0).numpy()
        theirs = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
        assert np.abs(ours - theirs).max() <= 1.5  # Pillow rounds to integers, twice


def test_a_juror_may_be_sent_images_of_another_size(load, scenes):
    large = images(6, 2 * SIDE)
    resized = [np.asarray(Image.fromarray(i).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for i in large]
    juror = load("aesthetic_v2_5", size=2 * SIDE)
    assert juror.size == 2 * SIDE
    close(juror.score(large), load("aesthetic_v2_5").score(resized), share=0.01)
    with pytest.raises(ValueError, match=r"\(112, 112, 3\)"):
        juror.score(scenes[:1])


# The contract: a score belongs to an image, and to nothing else


@pytest.mark.parametrize("size", [2, 7, 32])
@pytest.mark.parametrize("name", JURORS)
def test_score_does_not_move_with_the_batch(load, alone, scenes, name, size):
    juror = load(name)
    batches = [scenes[i : i + size] for i in range(0, len(scenes), size)]
    close(np.concatenate([juror.score(batch) for batch in batches]), alone[name])


@pytest.mark.parametrize("name", JURORS)
def test_score_survives_a_png_round_trip(load, alone, scenes, name):
    files = [cv2.imencode(".png", image[..., ::-1])[1] for image in scenes]
    close(load(name).score([cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1] for file in files]), alone[name])


@pytest.mark.parametrize("name", JURORS)
def test_score_does_not_move_with_the_size_of_inner_batches_and_threads(load, alone, scenes, name):
    torch.set_num_threads(2)
    try:
        close(load(name, batch=3).score(np.stack(scenes)), alone[name])
    finally:
        torch.set_num_threads(1)


def test_a_compiled_network_gives_the_same_scores_for_every_batch(load, alone, scenes):
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    juror = load("aesthetic_v2_5", compile="eager")  # captured, not translated: that takes half a minute
    for size in (1, 2, 7, 32):
        batches = [scenes[i : i + size] for i in range(0, len(scenes), size)]
        close(np.concatenate([juror.score(batch) for batch in batches]), alone["aesthetic_v2_5"])
    assert counters["stats"]["unique_graphs"] == 1  # one for all batch sizes


@pytest.mark.parametrize("name", JURORS)
def test_another_attention_kernel_gives_the_same_scores(load, alone, scenes, name):
    juror = load(name)
    before = juror._network.encoder.config._attn_implementation
    juror._network.encoder.set_attn_implementation("eager")
    assert before == "sdpa"
    close(juror.score(scenes), alone[name])


@pytest.mark.parametrize("name", JURORS)
def test_in_bfloat16_only_the_encoder_is_coarse(load, alone, scenes, name):
    juror = load(name, dtype="bfloat16")
    assert {p.dtype for p in juror._network.encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in juror._network.head.parameters()} == {torch.float32}
    scores = juror.score(scenes)
    close(scores, alone[name], share=0.05)
    assert (scores != torch.from_numpy(scores).bfloat16().float().numpy()).mean() > 0.9  # on no grid
    low, high = juror.score_range
    for size in (1, 2, 7, 32):
        batches = [scenes[i : i + size] for i in range(0, len(scenes), size)]
        drift = np.abs(np.concatenate([juror.score(batch) for batch in batches]) - scores).max()
        assert drift <= 1e-3 * (high - low)


def test_threads_get_the_scores_of_their_own_images(load, alone, scenes):
    juror, scores = load("laion"), {}

    def score(i):
        scores[i] = juror.score(scenes[i::4])

    threads = [threading.Thread(target=score, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        close(scores[i], alone["laion"][i::4])


def test_scores_are_float32_and_tell_images_apart(alone):
    for scores in alone.values():
        assert scores.dtype == np.float32
        assert len(np.unique(scores)) == len(scores)


def test_no_images_no_scores(load):
    scores = load("laion").score([])
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


def test_the_fingerprint_follows_weights_precision_and_size(load, folder):
    fingerprints = [
        load("aesthetic_v2_5").fingerprint,
        load("aesthetic_v2_5", dtype="bfloat16").fingerprint,
        load("aesthetic_v2_5", size=64).fingerprint,
        load("laion").fingerprint,
        load("laion linear").fingerprint,
    ]
    state = torch.load(folder / SIGLIP.head)
    state["scoring_head.8.bias"] += 1
    torch.save(state, folder / SIGLIP.head)
    fingerprints.append(load_juror("aesthetic_v2_5", weights=folder).fingerprint)
    assert len(set(fingerprints)) == len(fingerprints)
    assert load("aesthetic_v2_5", batch=2).fingerprint == fingerprints[0]


def test_operations_are_counted_for_the_share_of_the_peak(load):
    d, m, layers, tokens, pixels = 48, 96, 2, (SIDE // 14) ** 2, 3 * 14 * 14
    layer = tokens * (4 * d * d + 2 * d * m) + 2 * tokens * tokens * d
    pooling = 2 * tokens * d * d + 2 * d * d + 2 * tokens * d + 2 * d * m
    head = d * 1024 + 1024 * 128 + 128 * 64 + 64 * 16 + 16
    expected = 2 * (tokens * pixels * d + layers * layer + pooling + head)
    assert load("aesthetic_v2_5").flops_per_image == pytest.approx(expected, rel=0.001)


# What goes wrong


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (np.zeros((SIDE, SIDE, 3), np.float32), "float32"),
        (np.zeros((3, SIDE, SIDE), np.uint8), rf"\(3, {SIDE}, {SIDE}\)"),
        (np.zeros((2 * SIDE, SIDE, 3), np.uint8), rf"\({2 * SIDE}, {SIDE}, 3\)"),
        ([[0]], "list"),
    ],
)
def test_a_wrong_image_is_named_with_what_is_wrong(load, scenes, bad, named):
    with pytest.raises(ValueError, match=f"image 1.*{named}"):
        load("laion").score([scenes[0], bad])


def test_a_score_that_is_not_a_number_is_refused(folder, scenes):
    state = torch.load(folder / SIGLIP.head)
    state["scoring_head.8.bias"][:] = float("nan")
    torch.save(state, folder / SIGLIP.head)
    with pytest.raises(ScoringError, match="not a number"):
        load_juror("aesthetic_v2_5", weights=folder).score(scenes[:2])


def test_a_failing_network_is_a_scoring_error_and_not_a_score(load, scenes):
    juror = load("laion")
    juror._network.head[0] = torch.nn.Linear(7, 1024)
    with pytest.raises(ScoringError, match="laion failed on 2 images"):
        juror.score(scenes[:2])


def test_the_text_half_has_no_say(folders, tmp_path, alone, scenes):
    assert TEXT["hidden_size"] == TOWER["hidden_size"]  # so that a mix-up of the two would load
    folder = shutil.copytree(folders["clip"], tmp_path / "weights")
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if name.startswith("text"):
            tensors[name].zero_()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(
        load_juror("laion", weights=folder).score(scenes[:4]),
        load_juror("laion", weights=folders["clip"]).score(scenes[:4]),
    )
