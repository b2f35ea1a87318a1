"""What must arrive from Docker's log bytes: the framing rule, written down a second time.

A record without a line feed at its end is continued when its text is 16,384 bytes or more and the next record of that stream has the
same time; otherwise it is complete as it stands.
"""

import collections
import glob
import gzip
import json
import os
import re

PIECE = 16384

# text without its line feed; position: where its first byte stands in its (uncompressed) file; file: that file's number.
Framed = collections.namedtuple("Framed", "stream text time file position attrs")


def frame(files):
    """files: the bytes of a container's files, oldest first. All of them well-formed; the last one ended."""
    found, still_open = [], {}

    def end(stream):
        first, parts = still_open.pop(stream)
        found.append(first._replace(text="".join(parts)))

    for number, data in enumerate(files):
        position = 0
        for line in data.split(b"\n")[:-1]:
            record = json.loads(line)
            log, stream, when = record.get("log", ""), record.get("stream"), record["time"]
            if stream in still_open:
                first, parts = still_open[stream]
                if when != first.time or len(parts[-1].encode()) < PIECE:
                    end(stream)
            if stream not in still_open:
                still_open[stream] = (Framed(stream, None, when, number, position, record.get("attrs")), [])
            if log.endswith("\n"):
                still_open[stream][1].append(log[:-1])
                end(stream)
            else:
                still_open[stream][1].append(log)
            position += len(line) + 1
    for stream in list(still_open):
        end(stream)
    return found


def files_of(folder):
    """The bytes of a container's log files, oldest first, unpacked."""
    base = os.path.join(folder, os.path.basename(folder) + "-json.log")

    def age(path):
        number = re.search(r"\.(\d+)(\.gz)?$", path)
        return int(number.group(1)) if number else 0

    found = []
    for path in sorted(glob.glob(base + "*"), key=age, reverse=True):
        with (gzip.open(path) if path.endswith(".gz") else open(path, "rb")) as f:
            found.append(f.read())
    return found
