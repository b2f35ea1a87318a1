"""Plays the kubelet and its container runtime: /var/log/pods, entries as containerd writes them, rotation as the kubelet does it.

The runtime cuts a line after every 16,384 bytes, marks what is not a line's end with P, takes one CR off before the line feed, and goes
on writing to a renamed file until it is told to reopen."""

import gzip
import itertools
import os
import shutil
import time

from docker_folder import rfc3339_nano

PIECE = 16384


class Run:
    """One run of a container: a writer of one log, with a stream's unfinished line of its own."""

    def __init__(self, folder, count):
        self.path = os.path.join(folder, f"{count}.log")
        self.now = time.time_ns() - 60 * 10**9
        self.open_line = {"stdout": b"", "stderr": b""}
        self.log = None
        self.messages = []
        self.rotations = itertools.count()
        self.reopen()

    def reopen(self):
        """What was read of an unfinished line goes into the old file."""
        if self.log:
            for stream, text in self.open_line.items():
                if text:
                    self.entry(stream, "P", text)
            self.open_line = dict.fromkeys(self.open_line, b"")
            self.log.close()
        self.log = open(self.path, "ab", buffering=0)

    def entry(self, stream, tag, text):
        self.now += 1000
        self.log.write(f"{rfc3339_nano(self.now)} {stream} {tag} ".encode() + text + b"\n")

    def write(self, data, stream="stdout"):
        """Bytes that the process writes."""
        *lines, rest = (self.open_line[stream] + data).split(b"\n")
        for line in lines:
            line = line[:-1] if line.endswith(b"\r") else line
            while len(line) > PIECE:
                self.entry(stream, "P", line[:PIECE])
                line = line[PIECE:]
            self.entry(stream, "F", line)
        while len(rest) > PIECE:
            self.entry(stream, "P", rest[:PIECE])
            rest = rest[PIECE:]
        self.open_line[stream] = rest

    def say(self, *messages, stream="stdout"):
        """Whole lines, remembered as what must arrive."""
        self.write("".join(m + "\n" for m in messages).encode(), stream)
        self.messages += messages

    def rename(self):
        """The first half of a rotation; the runtime writes on into the renamed file. Returns its path."""
        to = f"{self.path}.20261123-{next(self.rotations):06}"
        os.rename(self.path, to)
        return to

    def rotate(self, pack=()):
        """A rotation; the files `pack` become .gz through a .tmp."""
        to = self.rename()
        self.reopen()
        for path in pack:
            pack_file(path)
        return to

    def end(self):
        """The process has gone: what it did not end stays a piece."""
        for stream, text in self.open_line.items():
            if text:
                self.entry(stream, "P", text)
        self.open_line = dict.fromkeys(self.open_line, b"")
        self.close()

    def close(self):
        if self.log:
            self.log.close()
        self.log = None


def pack_file(path):
    with open(path, "rb") as f, gzip.open(path + ".tmp", "wb") as z:
        shutil.copyfileobj(f, z)
    os.rename(path + ".tmp", path + ".gz")
    os.unlink(path)


class Pod:
    def __init__(self, pods, namespace, name, uid):
        self.namespace, self.name, self.uid = namespace, name, uid
        self.path = os.path.join(pods.path, f"{namespace}_{name}_{uid}")
        self.pods = pods
        os.mkdir(self.path)

    def container(self, name="app"):
        folder = os.path.join(self.path, name)
        os.makedirs(folder, exist_ok=True)
        return folder

    def run(self, container="app", count=0):
        made = Run(self.container(container), count)
        self.pods.runs.append(made)
        return made

    def remove(self):
        shutil.rmtree(self.path)


class PodsFolder:
    def __init__(self, path):
        self.path = path
        self.runs = []
        self._uids = itertools.count(1)
        os.makedirs(path)

    def pod(self, name, namespace="shop", uid=None):
        return Pod(self, namespace, name, uid or f"00000000-0000-4000-8000-{next(self._uids):012x}")

    def close(self):
        for run in self.runs:
            run.close()
