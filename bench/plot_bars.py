#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plot_bars.py FILE UNIT NAME...: from standard input a group a line, its name and a value for each NAME, with tabs between: bars on a logarithmic scale, as a picture."""
import math
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 760, 290, 90, 34, 16, 14
COLOURS = ["#1f5fa8", "#b5432f", "#2f7f86", "#6b6b6b"]


def main():
    file, unit, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    groups = [line.rstrip("\n").split("\t") for line in sys.stdin if line.strip()]
    if not groups or not names or any(len(group) != len(names) + 1 for group in groups):
        sys.exit("plot_bars.py: a line has a name and %d values" % len(names))
    rows = [(group[0], [float(value) for value in group[1:]]) for group in groups]
    values = [value for _, many in rows for value in many]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    if low == high:
        low /= 10

    def across(value):
        return (WIDTH - LEFT - RIGHT) * math.log10(value / low) / math.log10(high / low)

    height = TOP + len(rows) * (len(names) * BAR + GAP) + 10
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (WIDTH, height),
           '<rect width="100%" height="100%" fill="#ffffff"/>']
    for i, name in enumerate(names):
        x = LEFT + 120 * i
        out.append('<rect x="%d" y="10" width="12" height="12" fill="%s"/><text x="%d" y="21">%s</text>' % (x, COLOURS[i % len(COLOURS)], x + 18, escape(name)))
    y = TOP
    for name, many in rows:
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (LEFT - 8, y + len(names) * BAR / 2 + 4, escape(name)))
        for i, value in enumerate(many):
            out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (LEFT, y, max(across(value), 1), BAR - 2, COLOURS[i % len(COLOURS)]))
            out.append('<text x="%.1f" y="%d">%g %s</text>' % (LEFT + max(across(value), 1) + 5, y + BAR - 4, value, escape(unit)))
            y += BAR
        y += GAP
    out.append("</svg>")
    with open(file, "w", encoding="utf-8") as svg:
        svg.write("\n".join(out) + "\n")


main()
