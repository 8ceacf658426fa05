"""Pictures of what an agent did, for people who were not there: contact sheet, filmstrip, animation.

They are what training and evaluation add to a run's artifacts. Photos go in as uint8 BGR arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAINT, _STAGE = (255, 255, 255), (27, 27, 27), (89, 89, 89), (227, 227, 225)
_BETTER, _WORSE = (20, 105, 47), (163, 39, 30)
_GAP, _LINE = 8, 16
FRAME_MS, LAST_FRAME_MS = 900, 2200


@dataclass(frozen=True)
class Shot:
    """A photo with what is written below it.

    Attributes:
        photo_HWC: uint8 BGR.
        caption: one line, in Latin letters.
        better: colours the caption: True green, False red, None grey.
    """

    photo_HWC: np.ndarray
    caption: str
    better: bool | None = None


def _panel(shot: Shot, side: int) -> Image.Image:
    """A photo fitted into a square, and its caption below."""
    panel = Image.new("RGB", (side, side + _LINE + 4), _PAPER)
    panel.paste(_STAGE, (0, 0, side, side))
    height, width = shot.photo_HWC.shape[:2]
    scale = side / max(height, width)
    sides = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    photo = cv2.resize(shot.photo_HWC, sides, interpolation=interpolation)
    panel.paste(
        Image.fromarray(np.ascontiguousarray(photo[..., ::-1])), ((side - sides[0]) // 2, (side - sides[1]) // 2)
    )
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(12)
    caption = shot.caption
    while caption and font.getlength(caption) > side:
        caption = caption[:-2] + "…" if not caption.endswith("…") else caption[:-3] + "…"
    ink = _FAINT if shot.better is None else _BETTER if shot.better else _WORSE
    draw.text((0, side + 3), caption, ink, font)
    return panel


def contact_sheet(episodes: Sequence[Sequence[Shot]], columns: int = 2, side: int = 150) -> Image.Image:
    """Episodes side by side, each a row of shots: as it came, after each edit, the original.

    Args:
        episodes: at least one.
        columns: episodes in a row of the sheet.
        side: of a shot, in pixels.
    """
    longest = max(map(len, episodes))
    cell_width, cell_height = longest * (side + _GAP) + 2 * _GAP, side + _LINE + 4 + _GAP
    rows = -(-len(episodes) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), _PAPER)
    for number, shots in enumerate(episodes):
        left, top = _GAP + number % columns * cell_width, _GAP + number // columns * cell_height
        for place, shot in enumerate(shots):
            sheet.paste(_panel(shot, side), (left + place * (side + _GAP), top))
    return sheet


def filmstrip(rows: Sequence[tuple[str, Sequence[Shot]]], side: int = 128) -> Image.Image:
    """The same photos again and again: one row a moment, with its name before it.

    Args:
        rows: (name, shots), each with as many shots as the first.
    """
    label = 90
    height = side + _LINE + 4 + _GAP
    strip = Image.new("RGB", (label + len(rows[0][1]) * (side + _GAP) + _GAP, len(rows) * height + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(14)
    for line, (name, shots) in enumerate(rows):
        top = _GAP + line * height
        draw.text((_GAP, top + side / 2 - 8), name, _INK, font)
        for place, shot in enumerate(shots):
            strip.paste(_panel(shot, side), (label + place * (side + _GAP), top))
    return strip


def animate(file: Path, episodes: Sequence[Sequence[Shot]], side: int = 256) -> None:
    """Write an animated GIF: episodes one after the other, a frame a step, the last one for longer.

    Args:
        episodes: at least one, each with at least one shot.
    """
    frames = [_panel(shot, side) for shots in episodes for shot in shots]
    durations = [
        LAST_FRAME_MS if place == len(shots) - 1 else FRAME_MS for shots in episodes for place in range(len(shots))
    ]
    # Median cut takes 170 times as long, and as much as all the rest of an evaluation's report.
    first, *rest = (frame.quantize(256, Image.Quantize.FASTOCTREE) for frame in frames)
    first.save(file, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True, disposal=1)
