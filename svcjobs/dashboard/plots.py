"""A line over time as an SVG, which scales to any width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from markupsafe import Markup

from svcjobs.dashboard.history import Points

WIDTH = 300
HEIGHT = 60
MOST_POINTS = 120
_TOP = 3
"""Room above the highest value, for the width of the line."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of values over time.

    Args:
        title: what they are.
        svg: the picture; empty while fewer than two values are known.
        now: the last value, as people read it.
        highest: the highest one.
    """

    title: str
    svg: Markup
    now: str
    highest: str


def plot(title: str, points: Points, show: Callable[[float], str]) -> Plot:
    """Draw a line from left to right, from zero up to the highest value."""
    known = [value for _, value in points if value is not None]
    last = points[-1][1] if points else None
    now = "–" if last is None else show(last)
    if len(known) < 2:
        return Plot(title, Markup(), now, "–")
    highest = show(max(known))
    label = Markup.escape(f"{title}: now {now}, highest {highest}")
    lines = "".join(
        f'<polygon points="{line[0][0]:.1f},{HEIGHT} {_text(line)} {line[-1][0]:.1f},{HEIGHT}"/>'
        f'<polyline points="{_text(line)}"/>'
        for line in _lines(_thinned(points), max(known))
    )
    picture = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">{lines}</svg>'
    )
    return Plot(title, Markup(picture), now, highest)  # noqa: S704 - numbers, and a label that is escaped


def _thinned(points: Points) -> Points:
    """No more points than can be told apart; peaks stay."""
    step = -(-len(points) // MOST_POINTS)
    groups = [points[at : at + step] for at in range(0, len(points), step)]
    return [max(group, key=lambda point: -1 if point[1] is None else point[1]) for group in groups]


def _lines(points: Points, highest: float) -> Iterator[list[tuple[float, float]]]:
    """The parts between the gaps, in the picture's units."""
    begin, end = points[0][0], points[-1][0]
    line: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            x = (at - begin) / ((end - begin) or 1) * WIDTH
            line.append((x, HEIGHT - (HEIGHT - _TOP) * value / (highest or 1)))
        elif line:
            yield line
            line = []
    if line:
        yield line


def _text(line: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
