"""Where the corpus lies, and what it says must arrive."""

import glob
import json
import os

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "corpus")


def path(*parts):
    return os.path.join(ROOT, *parts)


def input_bytes(name):
    with open(path("inputs", name + ".bin"), "rb") as f:
        return f.read()


def container_folder(*parts):
    """The one folder under parts whose name is a container's id."""
    found = [d for d in glob.glob(path(*parts, "*")) if len(os.path.basename(d)) == 64]
    assert len(found) == 1, (parts, found)
    return found[0]


def json_file_cases():
    with open(path("docker26", "json-file", "index.tsv"), encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    return [(case, container_id) for case, container_id, *_ in rows if os.path.isdir(path("docker26", "json-file", case))]


def datagrams(*parts):
    """Datagrams in their order, and the messages that they carry."""
    files = sorted(glob.glob(path(*parts, "[0-9]*.bin")))
    sent = []
    for file in files:
        with open(file, "rb") as f:
            sent.append(f.read())
    return sent, decoded(path(*parts, "decoded.jsonl"))


def streams(*parts):
    """[(bytes of a stream, its messages)] of a folder of connections."""
    found = []
    for file in sorted(glob.glob(path(*parts, "conn*.bin"))):
        with open(file, "rb") as f:
            found.append((f.read(), decoded(file[:-4] + ".jsonl")))
    return found


def decoded(file):
    with open(file, encoding="utf-8") as f:
        return [json.loads(line) for line in f]
