"""No include goes up, no two files include each other, and agent/DESIGN.md lists what there is: layers.py FILE...

The layers are those of agent/DESIGN.md; a folder may include itself and what stands above it in this table.
"""

import re
import sys

LAYERS = [
    ("agent/base",),
    ("agent/loop", "agent/config", "agent/buffer", "agent/sandbox"),
    ("parsers",),
    ("outputs",),
    ("agent/pipeline",),
    ("agent/inputs",),
    ("agent/status",),
    ("agent/commands", "agent"),
]
# Side by side, and no business of each other's.
APART = {("parsers", "agent/loop"), ("parsers", "agent/buffer"), ("outputs", "agent/loop")}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def folder_of(path):
    """The longest folder of the table that path lies in."""
    folders = [f for layer in LAYERS for f in layer]
    held = [f for f in folders if path.startswith(f + "/")]
    return max(held, key=len) if held else None


def rank(folder):
    return next(i for i, layer in enumerate(LAYERS) if folder in layer)


def cycle_in(graph):
    """Some cycle of headers as a list, or None."""
    state = {}

    def walk(node, way):
        state[node] = "open"
        for other in graph.get(node, ()):
            if state.get(other) == "open":
                return way[way.index(other):] + [other] if other in way else [node, other]
            if other not in state:
                found = walk(other, way + [other])
                if found:
                    return found
        state[node] = "done"
        return None

    for start in sorted(graph):
        if start not in state:
            found = walk(start, [start])
            if found:
                return found
    return None


def listing():
    """{folder: (names that DESIGN.md's list of source files begins a line with, all names in it)}"""
    with open("agent/DESIGN.md", encoding="utf-8") as f:
        text = f.read().partition("\n## Source files\n")[2]
    found = {}
    for folder, rows in re.findall(r"^`([a-z/]+)/`\n\n((?:\* .*\n)+)", text, re.M):
        begun = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\* (`\w+`(?:, `\w+`)*):", rows, re.M)))
        found[folder] = (set(begun), set(re.findall(r"`(\w+)`", rows)))
    return found


def unlisted(paths):
    """What DESIGN.md and the tree do not agree on."""
    there = {p.rpartition(".")[0] for p in paths}
    described = listing()
    for folder, (begun, _) in described.items():
        for name in sorted(begun):
            if f"{folder}/{name}" not in there:
                yield f"agent/DESIGN.md: {folder}/ has no {name}"
    for path in paths:
        folder, _, name = path.rpartition("/")
        if path.endswith(".h") and name[:-2] not in described.get(folder, ((), ()))[1]:
            yield f"{path}: is not in agent/DESIGN.md's list of source files"


def main(paths):
    wrong = list(unlisted(paths))
    graph = {}
    for path in paths:
        here = folder_of(path)
        if here is None:
            wrong.append(f"{path}: lies in no layer of tests/lint/layers.py")
            continue
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            to = match.group(1)
            there = folder_of(to)
            if there is None:
                wrong.append(f'{path}:{line}: "{to}" is not named from the top of the repository')
                continue
            if path.endswith(".h"):
                graph.setdefault(path, []).append(to)
            up = rank(there) > rank(here) or (rank(there) == rank(here) and there != here and here != "agent")
            if up or (here, there) in APART:
                wrong.append(f"{path}:{line}: {here} may not include {there} ({to})")
    ring = cycle_in(graph)
    if ring:
        wrong.append("headers include each other: " + " -> ".join(ring))
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


sys.exit(main(sys.argv[1:]))
