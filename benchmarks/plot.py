"""The rates as an SVG bar chart, written by hand: no plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from benchmarks.measure import MEASURES
from benchmarks.session import Results, Spread

WIDTH, LABEL_WIDTH, BAR_WIDTH = 760, 150, 430
BAR_HEIGHT, BAR_STEP, TITLE_HEIGHT, TOP = 16, 24, 34, 44
RATE = MEASURES["rate"]
OURS = "svcjobs"

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  .label { text-anchor: end }
  .ours { fill: #2563b0 } .theirs { fill: #8c959f }
  .spread { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ours { fill: #6cb0ff } .theirs { fill: #7d8590 }
    .spread { stroke: #e6edf3 }
  }
"""


def rates_svg(results: Results, labels: Mapping[str, str], ours: str = OURS) -> str:
    """One group of bars a workload, each group on its own scale, with the range of the rounds as a line.

    Bars whose name begins with ``ours`` are in colour.
    """
    parts: list[str] = []
    y = TOP
    for workload, label in labels.items():
        bars = [(name, rate) for name, measured in results.items() if (rate := measured.get(workload, {}).get("rate"))]
        if not bars:
            continue
        parts.append(f'<text class="group" x="12" y="{y + 14}">{escape(label)}</text>')
        parts += _group(bars, y + TITLE_HEIGHT - 8, ours)
        y += TITLE_HEIGHT + BAR_STEP * len(bars)
    title = f"{RATE.label} in {RATE.unit}: median, and the range of the rounds"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" role="img" aria-label="{title}">\n'
        f"<style>{STYLE}</style>\n"
        f'<text class="title" x="12" y="24">{title.capitalize()}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _group(bars: Sequence[tuple[str, Spread]], top: int, ours: str) -> list[str]:
    scale = BAR_WIDTH / max(rate.high for _, rate in bars)
    parts: list[str] = []
    for number, (name, rate) in enumerate(bars):
        y = top + number * BAR_STEP
        middle = y + BAR_HEIGHT / 2
        low, median, high = (LABEL_WIDTH + value * scale for value in (rate.low, rate.median, rate.high))
        kind, width = "ours" if name.startswith(ours) else "theirs", median - LABEL_WIDTH
        parts += [
            f'<text class="label" x="{LABEL_WIDTH - 8}" y="{y + 13}">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" rx="2"/>',
            f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>',
            f'<text x="{high + 8:.1f}" y="{y + 13}">{RATE.text(rate.median)}</text>',
        ]
    return parts
