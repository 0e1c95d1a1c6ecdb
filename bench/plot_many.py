#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plot_many.py DIR: what bench/many left in DIR (many-*.json) as a picture: the time of a start against how many are alive."""
import json
import math
import os
import statistics
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 420, 70, 50, 30, 190
SERIES = [  # file, key, label, colour; those that are there are drawn
    ("many-containers.json", "start_us", "container (crun run -d)", "#b5432f"),
    ("many-bridges.json", "entry_us", "VM on one bridge", "#8a6fb0"),
    ("many-nginx.json", "entry_us", "VM of nginx, routed tap", "#2f7f86"),
    ("many-pooled.json", "entry_us", "VM from a pool", "#c98a1b"),
    ("many-sleepers.json", "entry_us", "VM that sleeps", "#1f5fa8"),
    ("many-processes.json", "start_us", "process (fork, by a shell)", "#6b6b6b"),
]


def read(path, key):
    """Points (alive, milliseconds): crowd's medians of a hundred as they are, single starts by hundreds (tens, where there are few)."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    rows = [row for row in rows if key in row and ("what" not in row or row["what"] == key.split("_")[0])]
    if rows and "what" in rows[0]:
        return [(row["vms"], row[key] / 1000) for row in rows]
    step = 100 if len(rows) >= 1000 else 10
    parts = [rows[i:i + step] for i in range(0, len(rows) - step + 1, step)]
    return [(part[-1]["vms"], statistics.median(row[key] for row in part) / 1000) for part in parts]


def ticks(most):
    step = 10 ** math.floor(math.log10(most / 4))
    step = next(step * n for n in (1, 2, 5, 10) if most / (step * n) <= 6)
    return [i * step for i in range(int(most / step) + 1)]


def main():
    where = sys.argv[1]
    lines = []
    for name, key, label, colour in SERIES:
        path = os.path.join(where, name)
        points = read(path, key) if os.path.exists(path) else []
        if points:
            lines.append((points, label, colour))
    if not lines:
        sys.exit("plot_many.py: there is no many-*.json with starts in " + where)
    most_x = max(x for points, _, _ in lines for x, _ in points)
    low = 10 ** math.floor(math.log10(min(y for points, _, _ in lines for _, y in points)))
    high = 10 ** math.ceil(math.log10(max(y for points, _, _ in lines for _, y in points)))

    def at(x, y):
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / most_x
        up = math.log10(y / low) / math.log10(high / low)
        return "%.1f,%.1f" % (across, HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * up)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="#ffffff"/>']
    value = low
    while value <= high * 1.001:
        x, y = at(0, value).split(",")
        out.append('<path d="M%s,%s H%d" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%g ms</text>'
                   % (x, y, WIDTH - RIGHT, LEFT - 6, float(y) + 4, value))
        value *= 10
    for x in ticks(most_x):
        across = at(x, low).split(",")[0]
        out.append('<text x="%s" y="%d" text-anchor="middle">%d</text>' % (across, HEIGHT - BOTTOM + 18, x))
    out.append('<text x="%d" y="%d" text-anchor="middle">alive at once</text>' % ((LEFT + WIDTH - RIGHT) // 2, HEIGHT - 12))
    out.append('<text x="%d" y="18">time of one start (logarithmic)</text>' % LEFT)
    for i, (points, label, colour) in enumerate(lines):
        out.append('<polyline fill="none" stroke="%s" stroke-width="1.6" points="%s"/>' % (colour, " ".join(at(x, y) for x, y in points)))
        out.append('<text x="%d" y="%d" fill="%s">%s</text>' % (WIDTH - RIGHT + 10, TOP + 20 + 18 * i, colour, label))
    out.append("</svg>")
    print("\n".join(out))


main()
