"""Which release answered how much of a load, over time: ``python -m bench.shares RECORD.csv PICTURE.svg``."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bench.load import Sample, read

#: By release, in the order in which they appear; what got no answer.
_COLOURS = ("#206bc4", "#f59f00", "#2fb344", "#ae3ec9")
_FAILED = "#d63939"
_WIDTH, _HEIGHT = 760, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 34, 36
#: Seconds of one column.
STEP = 0.5


def shares(samples: Sequence[Sample], step: float = STEP) -> list[tuple[float, dict[str, float]]]:
    """For each stretch of `step` seconds from the first request on, the share of each release; "" is what failed."""
    counts: dict[int, Counter[str]] = {}
    began = samples[0].at
    for sample in samples:
        counts.setdefault(int((sample.at - began) / step), Counter())[sample.release if sample.is_good else ""] += 1
    return [
        (number * step, {release: count / found.total() for release, count in found.items()})
        for number, found in sorted(counts.items())
    ]


def picture(samples: Sequence[Sample], title: str, *, marks: Sequence[tuple[float, str]] = ()) -> str:
    """An SVG of it; `marks` are moments, epoch seconds, and what happened then."""
    columns = shares(samples)
    releases = list(dict.fromkeys(sample.release for sample in samples if sample.is_good))
    colours = {release: _COLOURS[number % len(_COLOURS)] for number, release in enumerate(releases)} | {"": _FAILED}
    seconds = columns[-1][0] + STEP
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(moment: float) -> float:
        return _LEFT + wide * moment / seconds

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12" fill="#333" shape-rendering="crispEdges">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{escape(title)}</text>',
    ]
    for moment, found in columns:
        bottom = float(_TOP + high)
        for release in [*releases, ""]:
            if share := found.get(release):
                height = high * share
                bottom -= height
                parts.append(
                    f'<rect x="{x(moment):.1f}" y="{bottom:.1f}" width="{wide * STEP / seconds + 0.1:.1f}"'
                    f' height="{height:.1f}" fill="{colours[release]}"/>'
                )
    for percent in (0, 50, 100):
        y = _TOP + high * (1 - percent / 100)
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    parts += [
        f'<text x="{x(moment):.1f}" y="{_TOP + high + 16}" text-anchor="middle">{moment} s</text>'
        for moment in range(0, int(seconds) + 1, max(1, round(seconds / 10)))
    ]
    for at, what in marks:
        place = x(at - samples[0].at)
        parts.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP}" y2="{_TOP + high}" stroke="#333"/>')
        # Where there is no room to the right of it, it stands to the left.
        offset, anchor = (4, "start") if place < _LEFT + wide * 0.7 else (-4, "end")
        words = f'x="{place + offset:.1f}" y="{_TOP + 12}" text-anchor="{anchor}" fill="#fff"'
        parts.append(f"<text {words}>{escape(what)}</text>")
    legend = [*((release, f"release {release}") for release in releases), ("", "failed")]
    for number, (release, words) in enumerate(legend):
        at = _LEFT + 120 * number
        parts.append(f'<rect x="{at}" y="{_HEIGHT - 14}" width="10" height="10" fill="{colours[release]}"/>')
        parts.append(f'<text x="{at + 15}" y="{_HEIGHT - 5}">{escape(words)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--title", default="Share of the requests that each release answered")
    asked = parser.parse_args()
    asked.picture.write_text(picture(read(asked.record), asked.title))


if __name__ == "__main__":
    main()
