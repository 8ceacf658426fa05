"""Rendering: one Jinja environment for the studio's pages and the report, with what templates may call."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rl_aesthetics.edits.transforms import STOP, TRANSFORMS

HERE = Path(__file__).parent
STATIC = HERE / "static"


def edit_title(name: str | None) -> str:
    """What an action does, for people; names of actions that are not there any more are left as they are."""
    if not name:
        return "nothing"
    if name == STOP:
        return "STOP"
    return TRANSFORMS[name].title if name in TRANSFORMS else name


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, a true minus, and no negative zero."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else f"±{0:.{digits}f}"


def score(value: float | None) -> str:
    """A score, or a dash where nobody keeps it."""
    return "–" if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A share in whole per cent, or a dash where it is not known."""
    return "–" if share is None else f"{share:.0%}".replace("-", "−")


@lru_cache
def _digest(name: str, changed: float) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]


def static(name: str) -> str:
    """Address of a file in `static/` that changes with its content, so that browsers may keep it."""
    return f"/static/{name}?v={_digest(name, (STATIC / name).stat().st_mtime)}"


def bar(value: float, most: float) -> dict[str, float]:
    """Where a bar of a diverging chart begins and how wide it is, in per cent of its width; zero is in the middle."""
    share = 50 * min(1.0, abs(value) / most) if most else 0.0
    return {"x": round(50 - share if value < 0 else 50, 2), "width": round(max(share, 0.4), 2)}


@lru_cache
def environment() -> Environment:
    """Everything that goes into a page is escaped; what a template misnames is an error."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(edit_title=edit_title, signed=signed, percent=percent, score=score)
    found.globals.update(static=static, bar=bar, STOP=STOP)
    return found


def render(template: str, **context: Any) -> str:
    """A page as text."""
    return environment().get_template(template).render(**context)
