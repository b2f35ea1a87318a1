"""The other end of chatter.c: tells the containers of `make soak-live` what to write, and keeps what they say they have written."""

import bisect
import os
import selectors
import socket
import threading
import time

from waiting import wait_until

KEEP_EVERY_S = 0.5


class Source:
    """The lines 0 … written - 1 under one name: what one life of a container wrote."""

    def __init__(self, name, container, gelf):
        self.name, self.container, self.gelf = name, container, gelf
        self.container_id = None
        self.names = {container}  # that the container had while it wrote
        self.written = 0
        self.ended = False
        self.times, self.counts = [0.0], [0]  # when so many were written at least, twice a second

    def at(self, written, now):
        self.written = written
        if now - self.times[-1] >= KEEP_EVERY_S:
            self.times.append(now)
            self.counts.append(written)

    def count_at(self, when):
        """How many were written at a time at most half a second before it."""
        return self.counts[max(0, bisect.bisect_right(self.times, when) - 1)]

    def when(self, n):
        """The stretch of time in which line n was written."""
        i = bisect.bisect_right(self.counts, n)
        return self.times[i - 1], self.times[i] if i < len(self.times) else None


class _Link:
    def __init__(self, connection):
        self.connection, self.pending = connection, b""
        self.name = self.source = None
        self.held = self.ended = False
        self.pace = (0, 0)


class Writers(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True, name="writers")
        self.address = f"barge-soak-{os.getpid()}"
        self.begun = time.monotonic()
        self.sources = []
        self.broken = []  # containers that went away without a word
        self._lock = threading.RLock()
        self._planned, self._links = {}, {}
        self._paused = False
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind("\0" + self.address)
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._halt = threading.Event()
        self.start()

    def clock(self):
        return time.monotonic() - self.begun

    # -- for the others --

    def plan(self, source, pad, pace=(0, 0), burst=0):
        """What the container does when it comes. burst: so many lines, then nothing until it is told to end."""
        with self._lock:
            self.sources.append(source)
            self._planned[source.container] = (source, pad, pace, burst)

    def written(self):
        with self._lock:
            return sum(s.written for s in self.sources)

    def burst(self, container, lines):
        with self._lock:
            link = self._links.get(container)
            if link and not link.ended and not (self._paused and not link.source.gelf):
                self._send(link, f"burst {lines}\n")

    def hold(self, container):
        """Until the container has said that all that it wrote has left it, and is silent; False when it has ended."""
        wait_until(lambda: container in self._links or container not in self._planned, 60, f"{container} is there", every_s=0.02)
        with self._lock:
            link = self._links.get(container)
            if not link or link.ended:
                return False
            self._send(link, "hold\n")
        wait_until(lambda: link.held or link.ended, 60, f"{container} holds", every_s=0.02)
        return True

    def end(self, container):
        """Once it is there."""
        wait_until(lambda: container not in self._planned, 60, f"{container} is there", every_s=0.02)
        with self._lock:
            link = self._links.get(container)
            if link:
                self._send(link, "end\n")

    def wait_ended(self, source, deadline_s=60):
        wait_until(lambda: source.ended, deadline_s, f"{source.name} ended", every_s=0.02)

    def pause_files(self, on):
        """Those that write files wait, or go on."""
        with self._lock:
            self._paused = on
            for link in self._links.values():
                if not link.source.gelf and not link.ended and not link.held:
                    self._send(link, "pace 0 1000\n" if on else "pace {} {}\n".format(*link.pace))

    def close(self):
        self._halt.set()
        self.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    # -- its own thread --

    @staticmethod
    def _send(link, text):
        try:
            link.connection.sendall(text.encode())
        except OSError:
            pass  # it is told when the end of the connection is read

    def run(self):
        while not self._halt.is_set():
            for key, _ in self._selector.select(0.2):
                if key.fileobj is self._listener:
                    link = _Link(self._listener.accept()[0])
                    self._selector.register(link.connection, selectors.EVENT_READ, link)
                else:
                    self._read(key.data)

    def _read(self, link):
        try:
            data = link.connection.recv(65536)
        except OSError:
            data = b""
        with self._lock:
            *lines, link.pending = (link.pending + data).split(b"\n")
            for line in lines:
                self._said(link, *line.decode().split())
            if data:
                return
            self._selector.unregister(link.connection)
            link.connection.close()
            if not link.ended and not link.held:
                self.broken.append(link.name or "?")
            if self._links.get(link.name) is link:
                del self._links[link.name]

    def _said(self, link, word, what):
        if word == "hello":
            link.name = what
            link.source, pad, link.pace, burst = self._planned.pop(what)
            self._links[what] = link
            paused = self._paused and not link.source.gelf
            self._send(link, f"be {link.source.name} {pad}\n" + (f"burst {burst}\n" if burst else
                                                                   "pace {} {}\n".format(*((0, 1000) if paused else link.pace))))
            return
        link.source.at(int(what), self.clock())
        if word == "ended":
            link.ended = link.source.ended = True
        elif word == "held":
            link.held = link.source.ended = True
