"""One photo's picture for a report: degraded, edited and original side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PANEL = 288  # the least width of a panel, so that its caption can be read beside small photos
_MARGIN, _LINE, _TEXT, _TITLE = 16, 22, 15, 18
_INK, _FAINT, _PAPER = (32, 33, 36), (110, 113, 118), (255, 255, 255)
_BETTER, _WORSE = (19, 115, 51), (179, 38, 30)


def before_after(
    title: str,
    photos_BGR: Sequence[np.ndarray],
    captions: Sequence[str],
    scores: Sequence[float],
    names: Sequence[str] = ("degraded", "edited", "original"),
) -> Image.Image:
    """Photos side by side, each with its name, its score and a caption, which wraps.

    Args:
        photos_BGR: uint8 `(H, W, 3)` each, of one size; enlarged by a whole factor where captions need the room.
        captions: such as what was done to each; in Latin letters, for Pillow's own font has no others.
        scores: one a photo; those after the first are coloured by whether they are above or below the first.
    """
    height, width = photos_BGR[0].shape[:2]
    factor = -(-_PANEL // width)
    panel = width * factor
    title_font, font = ImageFont.load_default(_TITLE), ImageFont.load_default(_TEXT)
    wrapped = [_wrapped(caption, font, panel) for caption in captions]
    top = _MARGIN + _TITLE + 12
    rows = 1 + max(map(len, wrapped))
    sheet = Image.new(
        "RGB",
        (len(photos_BGR) * (panel + _MARGIN) + _MARGIN, top + height * factor + 10 + rows * _LINE + _MARGIN),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, _INK, title_font)
    for k, (photo, score, lines) in enumerate(zip(photos_BGR, scores, wrapped, strict=True)):
        image = Image.fromarray(np.ascontiguousarray(photo[..., ::-1]))
        left, below = _MARGIN + k * (panel + _MARGIN), top + height * factor + 10
        sheet.paste(image.resize((panel, height * factor), Image.Resampling.NEAREST), (left, top))
        draw.text((left, below), names[k], _INK, font)
        ink = _INK if k == 0 or score == scores[0] else _BETTER if score > scores[0] else _WORSE
        draw.text((left + panel, below), f"score {score:.3f}", ink, font, anchor="ra")
        for row, line in enumerate(lines, 1):
            draw.text((left, below + row * _LINE), line, _FAINT, font)
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
