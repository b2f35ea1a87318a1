"""Figures over time of `make soak-live`: a CSV, a table and a plot without any library."""

import csv

COLUMNS = ["seconds", "made", "there", "written", "read", "delivered", "lag_bytes", "buffer_bytes", "rss_kib", "fds", "files", "cpu_s",
           "node_rss_mib", "node", "kernel_dropped", "events"]


class Figures:
    """Rows as they are sampled, each a dict of COLUMNS; None where nobody was there to ask."""

    def __init__(self, path):
        self.rows = []
        self._file = open(path, "w", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._file, COLUMNS)
        self._csv.writeheader()

    def add(self, row):
        self.rows.append(row)
        self._csv.writerow(row)
        self._file.flush()

    def close(self):
        self._file.close()


def clock(seconds):
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def _number(value, form=",.0f"):
    return "–" if value is None else format(value, form)


def backlog(row):
    return None if row["delivered"] is None else max(0, row["written"] - row["delivered"])


def cpu_us_per_record(before, row):
    """Of the agent between two rows."""
    if None in (before["cpu_s"], row["cpu_s"]) or row["read"] - before["read"] < 50:
        return None
    return 1e6 * (row["cpu_s"] - before["cpu_s"]) / (row["read"] - before["read"])


def _events(rows):
    counted = {}
    for row in rows:
        for event in filter(None, row["events"].split("; ")):
            counted[event] = counted.get(event, 0) + 1
    return ", ".join(e if n == 1 else f"{n} × {e}" for e, n in counted.items())


def table(rows, most=18):
    """A Markdown table of at most so many rows, evenly spread; where the agent was away in one, the next one that saw it."""
    seen = [i for i, row in enumerate(rows) if row["rss_kib"] is not None and row["read"] is not None]
    if not seen:
        return "no figures"
    picked = sorted({min(seen, key=lambda i: abs(i - k * (len(rows) - 1) / max(1, most - 1))) for k in range(most)})
    lines = ["| time | containers made | lines written | delivered | not yet | buffer KiB | RSS MiB | open files | CPU s | µs a record | node MiB | since the row above |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    before, last = None, -1
    for i in picked:
        row = rows[i]
        lines.append("| " + " | ".join([
            clock(row["seconds"]), _number(row["made"]), _number(row["written"]), _number(row["delivered"]), _number(backlog(row)),
            _number(row["buffer_bytes"] / 1024), _number(row["rss_kib"] / 1024, ".1f"), _number(row["fds"]), _number(row["cpu_s"], ".1f"),
            _number(cpu_us_per_record(before, row) if before else None, ".1f"), _number(row["node_rss_mib"]), _events(rows[last + 1:i + 1])]) + " |")
        before, last = row, i
    return "\n".join(lines)


# ---- the plot ----

WIDTH, HEIGHT, LEFT, TOP, GAP = 1000, 110, 80, 40, 26
MARKS = {"agent killed": "#d62728", "agent upgraded": "#1f77b4", "node": "#ff7f0e"}


def _ticks(top):
    """A round number not far below the top."""
    step = 1.0
    while step * 10 <= top:
        step *= 10
    while step > top and step > 1e-9:
        step /= 10
    return step * max(m for m in (1, 2, 5) if step * m <= top) if top > 0 else 1.0


def _panel(title, points, x_of, y):
    top = max([v for _, v in points if v is not None], default=1.0) * 1.05 or 1.0
    tick = _ticks(top)
    parts = [f'<text x="{LEFT}" y="{y - 6}" font-weight="bold">{title}</text>',
             f'<rect x="{LEFT}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>']
    for value in (0, tick):
        at = y + HEIGHT - HEIGHT * value / top
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:,.10g}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
    stretch = []
    for at, value in points + [(0, None)]:
        if value is not None:
            stretch.append(f"{x_of(at):.1f},{y + HEIGHT - HEIGHT * value / top:.1f}")
        elif stretch:
            parts.append(f'<polyline points="{" ".join(stretch)}" fill="none" stroke="#333" stroke-width="1.2"/>')
            stretch = []
    return parts


def _axis(seconds, x_of, y):
    step = next((s for s in (10, 30, 60, 300, 600, 1800, 3600, 7200, 21600) if seconds / s <= 12), 86400)
    return [f'<text x="{x_of(at):.1f}" y="{y + 14}" text-anchor="middle">{clock(at)}</text>' for at in range(0, int(seconds) + 1, step)]


def plot(rows, title):
    """An SVG of small multiples over one time."""
    seconds = max(rows[-1]["seconds"], 1.0)

    def x_of(at):
        return LEFT + WIDTH * at / seconds

    pairs = list(zip([rows[0]] + rows, rows))
    panels = [
        ("barge: RSS, MiB", [(r["seconds"], None if r["rss_kib"] is None else r["rss_kib"] / 1024) for r in rows]),
        ("barge: open files", [(r["seconds"], r["fds"]) for r in rows]),
        ("barge: CPU, µs a record", [(r["seconds"], None if r["read"] is None or b["read"] is None else cpu_us_per_record(b, r)) for b, r in pairs]),
        ("lines a second", [(r["seconds"], (r["written"] - b["written"]) / max(0.1, r["seconds"] - b["seconds"])) for b, r in pairs]),
        ("written, not delivered yet", [(r["seconds"], backlog(r)) for r in rows]),
        ("buffer, KiB", [(r["seconds"], None if r["buffer_bytes"] is None else r["buffer_bytes"] / 1024) for r in rows]),
        ("node: RSS, MiB", [(r["seconds"], r["node_rss_mib"]) for r in rows]),
    ]
    height = TOP + len(panels) * (HEIGHT + GAP) + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="100%" height="100%" fill="white"/><text x="{LEFT}" y="14">{title}; '
             'red: the agent is killed, blue: upgraded, orange: the node goes or comes</text>']
    for row in rows:
        for what, colour in MARKS.items():
            if what in row["events"]:
                parts.append(f'<line x1="{x_of(row["seconds"]):.1f}" x2="{x_of(row["seconds"]):.1f}" y1="{TOP - 6}" y2="{height - 30}" '
                             f'stroke="{colour}" stroke-opacity="0.5" stroke-dasharray="3 2"/>')
    for i, (name, points) in enumerate(panels):
        parts += _panel(name, points, x_of, TOP + 16 + i * (HEIGHT + GAP))
    parts += _axis(seconds, x_of, TOP + 16 + (len(panels) - 1) * (HEIGHT + GAP) + HEIGHT)
    return "\n".join(parts + ["</svg>", ""])
