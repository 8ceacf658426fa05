"""The published form of the transformer jurors with tiny models: same files, same tensor names, weights from a formula.

Every tensor follows from its name alone, so the models are the same with every version of every library, and scores of
other people's code on them can be written down.
"""

import json
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import transformers

from juror_service.jurors.vision_weights import Release

SIDE = 56
TOWER = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 14,
}
TEXT = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 40,
    "max_position_embeddings": 8,
}


def tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Normal numbers seeded by the name, of a size that keeps activations about 1."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        drawn /= np.sqrt(np.prod(shape[1:]))
    elif "norm" in name and name.endswith("weight"):
        drawn = 1 + 0.1 * drawn
    else:
        drawn *= 0.1
    return torch.from_numpy(np.asarray(drawn, np.float32))


def write_release(folder: Path, *releases: Release) -> Path:
    """Save a full two-tower model, as the hub has it, and the heads of the releases."""
    folder.mkdir(parents=True, exist_ok=True)
    if releases[0].encoder_class.startswith("Siglip"):
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=TEXT, vision_config=TOWER))
        width, size = TOWER["hidden_size"], {"height": SIDE, "width": SIDE}
        processor = {"image_processor_type": "SiglipImageProcessor", "size": size, "resample": 3}
    else:
        width = 32
        model = transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config=TEXT, vision_config=TOWER | {"projection_dim": width}, projection_dim=width
            )
        )
        processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}, "resample": 3}
    model.load_state_dict({name: tensor(name, tuple(given.shape)) for name, given in model.state_dict().items()})
    model.save_pretrained(folder)
    mean_std = {"image_mean": list(releases[0].mean), "image_std": list(releases[0].std)}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor | mean_std))
    for release in releases:
        torch.save(head_state(release, width), folder / release.head)
    return folder


def head_state(release: Release, width: int) -> dict[str, torch.Tensor]:
    widths = [width, *release.hidden, 1]
    state = OrderedDict()  # what torch.save makes of a module's state, and the published heads are
    for layer, inputs, outputs in zip(release.layers, widths, widths[1:], strict=False):
        for part, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            name = f"{layer}.{part}".removeprefix(".")
            state[name] = tensor(f"{release.head} {name}", shape)
    return state


def images(count: int, size: int = SIDE, seed: int = 0) -> list[np.ndarray]:
    """Smooth scenes of many colours, noise, black and white: uint8 RGB."""
    import cv2

    rng = np.random.default_rng(seed)
    drawn = [
        cv2.resize(rng.integers(0, 256, (n, n, 3), np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
        for n in np.linspace(2, size, count - 2).astype(int)
    ]
    return [*drawn, np.zeros((size, size, 3), np.uint8), np.full((size, size, 3), 255, np.uint8)]
