"""Charts as SVG text, for the studio, the report and MLflow alike.

They carry classes and no colours of their own: `charts.css` gives them those of the page, light or dark. `standalone`
makes a file of one. All texts are escaped. Each says in its label what it shows, for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from markupsafe import Markup

from rl_aesthetics.pages.rendering import STATIC

STYLE = STATIC / "charts.css"
WIDTH, HEIGHT = 400, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 30, 40

Points = Sequence[tuple[float, float]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, `most` + 1 at most."""
    span = high - low
    if not span > 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value / 1000:g}k".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def _svg(label: str, body: Sequence[str], width: float = WIDTH, height: float = HEIGHT, kind: str = "") -> Markup:
    text = escape(label)
    # Others are as wide as their column; a matrix of few edits would be blown up.
    size = f' width="{1.15 * width:.0f}"' if "few" in kind else ""
    return Markup(
        f'<svg class="chart {kind}"{size} viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{text}">'
        f"{''.join(body)}</svg>"
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start", turn: float = 0) -> str:
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'


class _Plane:
    """Axes, and where a point of the data is on the drawing."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float], x_title: str, y_title: str):
        self.xs = xs if xs[1] > xs[0] else (xs[0], xs[0] + 1)
        self.ys = ys if ys[1] > ys[0] else (ys[0] - 0.5, ys[0] + 0.5)
        self.body: list[str] = []
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        for value in ticks(*self.ys):
            y = self.y(value)
            self.body.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            self.body.append(_text(_LEFT - 6, y + 4, _number(value), "tick", "end"))
        for value in ticks(*self.xs):
            self.body.append(_text(self.x(value), bottom + 15, _number(value), "tick", "middle"))
        self.body.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        self.body.append(_text((_LEFT + right) / 2, HEIGHT - 6, x_title, "title", "middle"))
        self.body.append(_text(12, (_TOP + bottom) / 2, y_title, "title", "middle", -90))

    def x(self, value: float) -> float:
        return _LEFT + (value - self.xs[0]) / (self.xs[1] - self.xs[0]) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.ys[0]) / (self.ys[1] - self.ys[0]) * (HEIGHT - _TOP - _BOTTOM)


def _legend(names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    body, x = [], float(_LEFT)
    for name, kind in zip(names, kinds, strict=True):
        body.append(f'<rect class="{kind} key" x="{x:.1f}" y="7" width="10" height="10" rx="2"/>')
        body.append(_text(x + 14, 16, name, "tick"))
        x += 24 + 5.9 * len(name)
    return body


def lines(
    series: Mapping[str, Points], x_title: str, y_title: str, bounds: tuple[float, float] | None = None
) -> Markup:
    """Curves over a common axis, at most four.

    Args:
        series: points in the order of x by the curve's name; what is not finite is left out.
        bounds: of y; from the data if left out.
    """
    kept = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    flat = [point for points in kept.values() for point in points]
    if not flat:
        return _svg(f"{y_title}: nothing yet", [_text(WIDTH / 2, HEIGHT / 2, "nothing yet", "tick", "middle")])
    ys = [y for _, y in flat]
    low, high = bounds or (min(ys), max(ys))
    if bounds is None:
        low, high = (0.0 if 0 <= low < 0.5 * high else low), high + 0.05 * (high - low)
    plane = _Plane((min(0.0, flat[0][0]), max(x for x, _ in flat)), (low, high), x_title, y_title)
    kinds = [f"c{number % 4 + 1}" for number in range(len(kept))]
    body = [*plane.body, *(_legend(list(kept), kinds) if len(kept) > 1 else [])]
    said = []
    for (name, points), kind in zip(kept.items(), kinds, strict=True):
        if points:
            path = " ".join(f"{plane.x(x):.1f},{plane.y(y):.1f}" for x, y in _thinned(points))
            body.append(f'<polyline class="{kind} curve" points="{path}"/>')
            x, y = points[-1]
            body.append(f'<circle class="{kind} dot" cx="{plane.x(x):.1f}" cy="{plane.y(y):.1f}" r="3"/>')
            said.append(f"{name} {_number(round(points[0][1], 3))} at first, {_number(round(y, 3))} at last")
    return _svg(f"{y_title} over {x_title}: {'; '.join(said)}", body)


def _thinned(points: Points, most: int = 400) -> Points:
    return points if len(points) <= most else [points[round(k * (len(points) - 1) / (most - 1))] for k in range(most)]


def scatter(
    groups: Mapping[str, Points],
    x_title: str,
    y_title: str,
    kinds: Mapping[str, str],
    bounds: tuple[float, float] | None = None,
) -> Markup:
    """Points of several groups on equal axes, with the diagonal where both are the same.

    Args:
        groups: points by the group's name.
        kinds: the class of each group.
        bounds: of both axes; from the data if left out.
    """
    flat = [value for points in groups.values() for point in points for value in point]
    if not flat:
        return _svg(f"{y_title} against {x_title}: nothing", [])
    low, high = bounds or (min(flat), max(flat))
    margin = 0.03 * (high - low or 1)
    plane = _Plane((low - margin, high + margin), (low - margin, high + margin), x_title, y_title)
    ends = [plane.x(low), plane.y(low), plane.x(high), plane.y(high)]
    body = [*plane.body, '<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends)]
    shown = {name: points for name, points in groups.items() if points}
    for name, points in shown.items():
        body += [
            f'<circle class="{kinds[name]} point" cx="{plane.x(x):.1f}" cy="{plane.y(y):.1f}" r="3.2"/>'
            for x, y in points
        ]
    body += _legend(list(shown), [kinds[name] for name in shown])
    above = sum(y > x for points in groups.values() for x, y in points)
    total = sum(map(len, groups.values()))
    return _svg(f"{y_title} against {x_title}: {above} of {total} photos above the diagonal", body)


def bars(rows: Mapping[str, Mapping[str, float]], series: Sequence[str], notes: Mapping[str, str]) -> Markup:
    """Horizontal bars of shares, one group a row.

    Args:
        rows: shares in [0, 1] by series, by the row's name.
        series: which shares, at most four.
        notes: a word at the end of each row.
    """
    left, pitch, thick = 138, 8 + 8 * len(series), 7
    height = 30 + pitch * len(rows) + 20
    width = WIDTH - left - 44
    kinds = [f"c{number + 1}" for number in range(len(series))]
    body = _legend(series, kinds)
    for share in (0, 0.5, 1):
        x = left + share * width
        body.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="26" y2="{height - 18}"/>')
        body.append(_text(x, height - 5, f"{share:.0%}", "tick", "middle"))
    for number, (name, shares) in enumerate(rows.items()):
        top = 30 + number * pitch
        body.append(_text(left - 6, top + pitch / 2, name, "tick", "end"))
        body.append(_text(WIDTH - 2, top + pitch / 2, notes[name], "tick", "end"))
        for place, one in enumerate(series):
            body.append(
                f'<rect class="{kinds[place]} bar" x="{left}" y="{top + place * (thick + 1)}" '
                f'width="{max(1.0, shares[one] * width):.1f}" height="{thick}"/>'
            )
    worst = min(rows.items(), key=lambda row: row[1][series[-1]], default=None)
    said = f"; least {series[-1]}: {worst[0]}, {worst[1][series[-1]]:.0%}" if worst else ""
    return _svg(f"{', '.join(series)} by edit{said}", body, height=height)


def matrix(
    rows: Sequence[str], columns: Sequence[str], counts: np.ndarray, right: Sequence[str], y_title: str, x_title: str
) -> Markup:
    """A table of counts, shaded by each row's shares.

    Args:
        counts: int `(rows, columns)`.
        right: the column that is right for each row.
    """
    cell, left, top = 24, 150, 134
    width, height = left + cell * len(columns) + 26, top + cell * len(rows) + 4
    body = [_text(4, top - 8, y_title, "title"), _text(left, 12, x_title, "title")]
    for place, name in enumerate(columns):
        x = left + place * cell + cell / 2 + 4
        body.append(_text(x, top - 6, name, "tick", "start", -60))
    hits = 0
    for line, name in enumerate(rows):
        y, total = top + line * cell, int(counts[line].sum())
        body.append(_text(left - 6, y + cell / 2 + 4, name, "tick", "end"))
        for place, column in enumerate(columns):
            count = int(counts[line, place])
            hits += count if column == right[line] else 0
            shade = 0 if not count else max(1, round(10 * count / total))
            same = " same" if column == right[line] else ""
            x = left + place * cell
            body.append(
                f'<rect class="cell h{shade}{same}" x="{x + 1}" y="{y + 1}" width="{cell - 2}" height="{cell - 2}"/>'
            )
            if count:
                dark = " on-dark" if shade >= 5 else ""
                body.append(_text(x + cell / 2, y + cell / 2 + 4, str(count), f"count{dark}", "middle"))
    label = f"{y_title} against {x_title}: {hits} of {int(counts.sum())} undone by the edit that takes it back"
    return _svg(label, body, width, height, "matrix few" if len(columns) < 10 else "matrix")


def standalone(chart: Markup) -> str:
    """A chart as a file of its own, on white, with its style inside."""
    style = STYLE.read_text(encoding="utf-8")
    text = str(chart).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" ', 1)
    head, rest = text.split(">", 1)
    return f'{head}><style>{style}</style><rect class="paper" width="100%" height="100%"/>{rest}'
