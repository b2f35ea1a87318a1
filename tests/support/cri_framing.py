"""What must arrive from logs of CRI runtimes: the rule for pieces, written down a second time, over the corpus (tests/corpus/cri.tar.xz).

A message is the P entries of a stream up to its F, over all files of a run, never of two."""

import calendar
import collections
import glob
import gzip
import json
import os
import re
import shutil
import tarfile
import time

import corpus
from docker_folder import rfc3339_nano

ENTRY = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d)) (stdout|stderr) ([FP]) ", re.A)

# text: bytes; time: of its first entry, UTC; complete: an F ended it.
Message = collections.namedtuple("Message", "stream text time complete")


def unpack(folder):
    """The corpus as it stood before the kubelet deleted anything; its cases."""
    with tarfile.open(corpus.path("cri.tar.xz")) as packed:
        packed.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else packed.extractall(folder)
    deleted = os.path.join(folder, "deleted")
    for path in glob.glob(os.path.join(glob.escape(deleted), "*", "*", "*")):
        shutil.move(path, os.path.join(folder, "pods", os.path.relpath(path, deleted)))
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as f:
        return json.load(f)["cases"]


def files_of(log):
    """The bytes of a run's files, oldest first, each once: a kubelet that died may have left a file beside its .gz."""
    found = {}
    for path in sorted(glob.glob(glob.escape(log) + ".*")):
        if not path.endswith(".tmp"):
            found.setdefault(path[:-3] if path.endswith(".gz") else path, path)
    contents = []
    for path in [found[name] for name in sorted(found)] + [log]:
        with (gzip.open(path) if path.endswith(".gz") else open(path, "rb")) as f:
            contents.append(f.read())
    return contents


def utc(match):
    ns = calendar.timegm(time.strptime(match[1].decode(), "%Y-%m-%dT%H:%M:%S")) * 10**9
    ns += int((match[2] or b"0").decode().ljust(9, "0"))
    if match[3]:
        offset = (int(match[4]) * 60 + int(match[5])) * 60 * 10**9
        ns -= offset if match[3] == b"+" else -offset
    return rfc3339_nano(ns)


def messages(files):
    """All messages of a run in the order in which they are complete; what no F ends comes last."""
    found, begun = [], {}
    for data in files:
        for line in data.split(b"\n")[:-1]:
            entry = ENTRY.match(line)
            stream = entry[6].decode()
            first, text = begun.pop(stream, (utc(entry), b""))
            text += line[entry.end():]
            if entry[7] == b"P":
                begun[stream] = first, text
            else:
                found.append(Message(stream, text, first, True))
    return found + [Message(stream, text, first, False) for stream, (first, text) in begun.items()]


def written(folder, case):
    """What the process of a case wrote, as messages: {stream: (ended, the rest or None)}; one CR goes with its line feed."""

    def cut(data):
        *lines, rest = data.split(b"\n")
        return [line[:-1] if line.endswith(b"\r") else line for line in lines], rest or None

    def bytes_of(ending):
        path = os.path.join(folder, "inputs", f"{case['case']}.{ending}")
        if not os.path.exists(path):
            return b""
        with open(path, "rb") as f:
            return f.read()

    if case["tty"]:
        return {"stdout": cut(bytes_of("tty").replace(b"\n", b"\r\n")), "stderr": ([], None)}
    return {stream: cut(bytes_of(stream)) for stream in ("stdout", "stderr")}
