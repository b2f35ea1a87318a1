"""Plays the Docker engine: its containers folder, its json-file driver, its rotation.

The driver's bytes follow moby's jsonfilelog and copier (Docker 20.10 to 26): pieces of 16,384 bytes, Go's escaping, times with
their trailing zeros trimmed; the ways to rotate are those that engines have.
"""

import codecs
import gzip
import json
import os
import secrets
import shutil
import time

PIECE = 16384


_BAD = "\udcff"  # stands for a byte that is no UTF-8: Go writes it as \ufffd, a real U+FFFD as it is


def _each_byte(error):
    return _BAD * (error.end - error.start), error.end


codecs.register_error("go", _each_byte)


def go_text(data):
    """Bytes as text for go_string."""
    return data.decode("utf-8", errors="go")


def as_go_reads(data):
    """Bytes as they come out of Go's JSON encoder again: each byte that is no UTF-8 has become U+FFFD."""
    return go_text(data).replace(_BAD, "\ufffd")


_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x3C: "\\u003c", 0x3E: "\\u003e", 0x26: "\\u0026",
            0x2028: "\\u2028", 0x2029: "\\u2029", ord(_BAD): "\\ufffd"}
_ESCAPES.update({c: f"\\u{c:04x}" for c in range(0x20) if c not in _ESCAPES})


def go_string(text):
    """A JSON string as Go writes it."""
    return '"' + text.translate(_ESCAPES) + '"'


def rfc3339_nano(ns):
    seconds, rest = divmod(ns, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def pieces(line, final_newline=True):
    """What the engine's copier makes of one line: its pieces, the last with the line feed."""
    whole = line + (b"\n" if final_newline else b"")
    out, at = [], 0
    while at < len(whole):
        cut = whole.find(b"\n", at, at + PIECE)
        end = cut + 1 if cut >= 0 else min(at + PIECE, len(whole))
        out.append(whole[at:end])
        at = end
    return out


def messages_of(output):
    """The messages that a process's output (one stream, one run) becomes: what must arrive, by Docker's framing rule."""
    lines = output.split(b"\n")
    last = lines.pop()
    found = []
    for line in lines:
        found.append("".join(as_go_reads(p) for p in pieces(line))[:-1])
    if last:
        found.append("".join(as_go_reads(p) for p in pieces(last, final_newline=False)))
    return found


class Container:
    """One container's folder. rotation: "chain" (rename .1, .2, …), and for max_file=1 "unlink" (23.0 and later), "rename"
    (20.10), "truncate" (19.03 and before)."""

    def __init__(self, folder, name, image="shop/test:1.0", labels=None, env=None, container_id=None, max_size=0, max_file=1,
                 compress=False, rotation=None, log_options=None, driver="json-file", tty=False, running=True, write_config=True):
        self.id = container_id or secrets.token_hex(32)
        self.folder = os.path.join(folder, self.id)
        self.path = os.path.join(self.folder, self.id + "-json.log")
        self.name, self.image, self.labels, self.env = name, image, labels or {}, env or []
        self.max_size, self.max_file, self.compress = max_size, max_file, compress
        self.rotation = rotation or ("chain" if max_file > 1 else "unlink")
        self.attrs = None
        self.driver, self.tty, self.running = driver, tty, running
        self.finished_at = "0001-01-01T00:00:00Z"
        self.log_options = log_options or {}
        self.rotations = 0
        self._carry = {}
        self._now = None
        os.mkdir(self.folder, 0o710)
        if write_config:
            self.write_config()
        self._file = self._open() if driver == "json-file" else None

    def _open(self):
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        return os.fdopen(fd, "ab", buffering=0)

    # -- its papers --

    def write_config(self):
        """config.v2.json and hostconfig.json, by rename like the engine."""
        config = {"StreamConfig": {}, "State": {"Running": self.running, "Pid": 4711 if self.running else 0,
                                                "StartedAt": "2026-11-23T03:38:40.1Z", "FinishedAt": self.finished_at},
                  "ID": self.id, "Created": "2026-11-23T03:38:40.0Z", "Path": "run", "Args": [],
                  "Config": {"Hostname": self.id[:12], "Tty": self.tty, "Env": self.env, "Cmd": ["run"], "Image": self.image,
                             "Labels": self.labels},
                  "Image": "sha256:" + "ab" * 32, "LogPath": self.path if self.driver == "json-file" else "",
                  "Name": "/" + self.name, "Driver": "overlay2"}
        host = {"Binds": None, "LogConfig": {"Type": self.driver, "Config": self.log_options}, "NetworkMode": "default"}
        for file, content in (("config.v2.json", config), ("hostconfig.json", host)):
            path = os.path.join(self.folder, file)
            with open(path + ".tmp", "w", encoding="utf-8") as f:
                json.dump(content, f)
            os.rename(path + ".tmp", path)

    def rename(self, name):
        self.name = name
        self.write_config()

    # -- its output --

    def clock(self, ns=None):
        """The time of the next record; without an argument, later than the last one."""
        if ns is not None:
            self._now = ns
        elif self._now is None:
            self._now = time.time_ns()
        else:
            self._now += 811_337
        return self._now

    def write(self, data, stream="stdout", at_ns=None):
        """What the process writes. What is no whole line yet waits, as it does in the engine."""
        held, since = self._carry.pop(stream, (b"", None))
        data = held + data
        out, start = [], 0
        while True:
            end = data.find(b"\n", start)
            if end < 0:
                break
            when = since if since is not None else self.clock(at_ns)
            since = None
            for piece in pieces(data[start:end]):
                out.append((piece, when))
            start = end + 1
        rest = data[start:]
        while len(rest) >= PIECE:
            since = since if since is not None else self.clock(at_ns)
            out.append((rest[:PIECE], since))
            rest = rest[PIECE:]
        if rest or since is not None:
            self._carry[stream] = (rest, since)
        self._append([self.record_bytes(go_text(piece), stream, when) for piece, when in out])

    def record_bytes(self, log, stream="stdout", when_ns=0, time_text=None):
        attrs = ""
        if self.attrs:
            attrs = ',"attrs":{' + ",".join(go_string(k) + ":" + go_string(v) for k, v in sorted(self.attrs.items())) + "}"
        text = '{"log":' + go_string(log) + ',"stream":"' + stream + '"' + attrs + ',"time":"' + (time_text or rfc3339_nano(when_ns)) + '"}\n'
        return text.encode("utf-8", errors="surrogatepass")

    def append_raw(self, data):
        """Bytes straight into the log: torn lines, NUL runs, what no engine would write."""
        self._file.write(data)

    def _append(self, records):
        if self.max_size <= 0:
            self._file.write(b"".join(records))
            return
        for record in records:
            if self._size() >= self.max_size:
                self.rotate()
            self._file.write(record)

    def _size(self):
        return os.fstat(self._file.fileno()).st_size

    def exit(self):
        """The process ends: what it had begun is written as it stands."""
        for stream in list(self._carry):
            rest, since = self._carry.pop(stream)
            if rest:
                self._append([self.record_bytes(go_text(rest), stream, since if since is not None else self.clock())])
        self.running = False
        self.finished_at = rfc3339_nano(self.clock())
        self.write_config()

    def start(self):
        """docker start: the papers say so some time after its first output."""
        self.running = True
        self.write_config()

    # -- rotation and removal --

    def rotate(self):
        self.rotations += 1
        if self.rotation == "truncate":
            self._file.truncate(0)
            return
        self._file.close()
        if self.rotation == "unlink":
            os.unlink(self.path)
        else:
            keep = max(self.max_file, 2)
            suffix = ".gz" if self.compress else ""
            for i in range(keep - 1, 1, -1):
                if os.path.exists(f"{self.path}.{i - 1}{suffix}"):
                    os.replace(f"{self.path}.{i - 1}{suffix}", f"{self.path}.{i}{suffix}")
            os.replace(self.path, self.path + ".1")
        self._file = self._open()
        if self.compress and self.rotation == "chain":
            self._compress(self.path + ".1")

    def _compress(self, path):
        with open(path, "rb") as source, open(path + ".gz", "wb") as target:
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=target, mtime=0) as packed:
                shutil.copyfileobj(source, packed)
        os.unlink(path)

    def remove(self):
        """docker rm: the folder goes, papers and all."""
        if self._file:
            self._file.close()
        shutil.rmtree(self.folder)

    def size(self):
        return os.path.getsize(self.path)

    def close(self):
        if self._file and not self._file.closed:
            self._file.close()


class DockerFolder:
    """The containers folder of an engine."""

    def __init__(self, path):
        self.path = str(path)
        os.makedirs(self.path, exist_ok=True)
        self.containers = []

    def container(self, name, **options):
        made = Container(self.path, name, **options)
        self.containers.append(made)
        return made

    def adopt(self, folder):
        """Copies a container's folder of the corpus in; returns its id."""
        container_id = os.path.basename(str(folder).rstrip("/"))
        shutil.copytree(folder, os.path.join(self.path, container_id))
        return container_id

    def close(self):
        for container in self.containers:
            container.close()
