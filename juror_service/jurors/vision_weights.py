"""Weights of jurors that are published as an image encoder on the Hugging Face hub and a small head of linear layers.

A release has the same form wherever it lies: a folder with the encoder as `transformers` saves it (`config.json` and
safetensors) and the head's file under its published name. What comes from the hub goes through the same code as a
folder of the user's, so that code is tested without a network. PyTorch and transformers are imported when weights are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_aesthetics.errors import UserError
from rl_aesthetics.networks.quiet_transformers import quiet_transformers

if TYPE_CHECKING:
    from torch import nn

RANDOM = "random"
"""Instead of a folder: random weights of the published architecture, to measure speed; the scores mean nothing."""


@dataclass(frozen=True)
class Release:
    """What was published, and how to use it.

    Attributes:
        juror: the juror's name.
        encoder: repository on the hub.
        encoder_class: name of the class in `transformers`.
        embedding: the attribute of the encoder's output that the head reads.
        width: the attribute of the encoder's configuration that says how wide it is.
        architecture: the encoder's configuration where it differs from the defaults of `transformers`.
        mean, std: of each channel (RGB, scaled to 0–1) that the encoder was trained to expect.
        head: name of the head's file.
        head_url: where it is published.
        layers: names of the head's linear layers in its file, in order. Nothing but dropout lies between them.
        hidden: widths between those layers.
        score_range: lowest and highest rating in the head's training data; nothing confines scores to it.
    """

    juror: str
    encoder: str
    encoder_class: str
    embedding: str
    width: str
    architecture: dict[str, Any]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: str
    head_url: str
    layers: tuple[str, ...]
    hidden: tuple[int, ...]
    score_range: tuple[float, float]


def load_weights(release: Release, weights: str | Path | None) -> tuple[nn.Module, nn.Sequential]:
    """The encoder and the head, float32 on the CPU, in evaluation mode.

    Args:
        weights: a folder; the hub, or what was fetched from it before, if None; `RANDOM`.

    Raises:
        UserError: transformers is missing, the weights cannot be had, or they are not those of such a juror.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            f"juror {release.juror!r} needs transformers: pip install 'rl-aesthetics[transformers]'"
        ) from None
    encoder_class = getattr(transformers, release.encoder_class)
    if weights == RANDOM:
        encoder = encoder_class(encoder_class.config_class(**release.architecture))
        return encoder.eval(), _linear_layers([getattr(encoder.config, release.width), *release.hidden, 1])
    if weights is None:
        head_file, folder = _fetch_head(release), _fetch_encoder(release)
    else:
        folder = Path(weights)
        head_file = folder / release.head
        _require_files(release, folder)
    head = read_head(release, head_file)
    encoder = _read_encoder(release, encoder_class, folder)
    if (width := getattr(encoder.config, release.width)) != head[0].in_features:
        raise UserError(
            f"{head_file} is a head for embeddings of {head[0].in_features}, but the encoder in {folder} makes {width}"
        )
    return encoder, head


def read_head(release: Release, file: Path) -> nn.Sequential:
    """The head's linear layers, float32, from the state dict that it is published as; runs no code that is in the file.

    Raises:
        UserError: the file is unreadable or holds some other network.
    """
    import pickle

    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f"{file} is no readable PyTorch file ({_first_line(error)})") from error
    expected = [f"{layer}.{part}".removeprefix(".") for layer in release.layers for part in ("weight", "bias")]
    found = sorted(state) if isinstance(state, dict) else []
    if found != sorted(expected):
        raise UserError(f"{file} is no head of {release.juror}: it should hold {', '.join(expected)}; it has {found}")
    widths = [state[expected[0]].shape[-1], *release.hidden, 1]
    head = _linear_layers(widths)
    try:
        head.load_state_dict(dict(zip(head.state_dict(), (state[name].float() for name in expected), strict=True)))
    except RuntimeError as error:
        raise UserError(f"{file} is no head of {release.juror}: its layers are not {widths} wide") from error
    return head


def digest(encoder: nn.Module, head: nn.Module, *facts: object) -> str:
    """16 hexadecimal digits for the weights, whatever files they came in, and further facts that decide a score."""
    content = hashlib.sha256(repr(facts).encode())
    for module in (encoder, head):
        # Some versions of transformers wrap the encoder once more.
        tensors = {name.removeprefix("vision_model."): tensor for name, tensor in module.state_dict().items()}
        for name, tensor in sorted(tensors.items()):
            content.update(f"{name} {tuple(tensor.shape)}".encode())
            content.update(tensor.float().contiguous().view(-1).numpy().data)
    return content.hexdigest()[:16]


def _linear_layers(widths: list[int]) -> nn.Sequential:
    from torch import nn

    return nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(widths))).eval()


def _require_files(release: Release, folder: Path) -> None:
    holds = f"config.json, model.safetensors (of {release.encoder}) and {release.head} (from {release.head_url})"
    if not folder.is_dir():
        raise UserError(f"no folder at {folder}: weights of {release.juror} are a folder with {holds}")
    missing = [name for name in ("config.json", release.head) if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("model.safetensors")
    if missing:
        raise UserError(f"{folder} lacks {' and '.join(missing)}; weights of {release.juror} are {holds}")


def _fetch_encoder(release: Release) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "*.safetensors", "*.safetensors.index.json"]
    try:
        return Path(snapshot_download(release.encoder, allow_patterns=wanted))
    except Exception as error:  # the hub's client and the HTTP library under it raise a dozen kinds
        raise _unavailable(release, release.encoder, error) from error


def _fetch_head(release: Release) -> Path:
    from torch import hub

    file = Path(hub.get_dir()) / "checkpoints" / release.head
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            hub.download_url_to_file(release.head_url, str(file), progress=False)
        except OSError as error:
            raise _unavailable(release, release.head_url, error) from error
    return file


def _unavailable(release: Release, what: str, error: Exception) -> UserError:
    return UserError(
        f"cannot fetch {what} ({_first_line(error)}); without a network give weights=FOLDER that holds config.json and "
        f"model.safetensors of {release.encoder}, and {release.head}"
    )


def _read_encoder(release: Release, encoder_class: Any, folder: Path) -> nn.Module:
    import torch
    from safetensors import SafetensorError

    try:
        with quiet_transformers():
            encoder, report = encoder_class.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, SafetensorError) as error:
        raise UserError(f"{folder} holds no readable {release.encoder_class}: {_first_line(error)}") from error
    # transformers fills what a file lacks with random numbers, and a juror of random numbers would invent its scores.
    if lacking := sorted(report["missing_keys"]):
        raise UserError(f"the weights in {folder} lack {len(lacking)} tensors of the encoder, the first {lacking[0]}")
    return encoder.eval()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
