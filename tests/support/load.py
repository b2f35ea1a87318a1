"""Numbered lines, and the check that each arrived exactly once."""

import collections
import json
import threading

from waiting import PATIENCE


def line(source, n, size=0):
    """A JSON line with source and number; every seventh is plain text that carries them, too."""
    pad = "x" * size
    if n % 7 == 3:
        return f'plain text of {source} number {n} {pad} {{"src":"{source}","n":{n}}}\n'.encode()
    return json.dumps({"level": "info", "msg": f"line {n}", "request_id": f"{n:032x}", "src": source, "n": n, "pad": pad}).encode() + b"\n"


def number_of(document):
    """(source, number) of a document made of line()."""
    if "n" in document:
        return document["src"], document["n"]
    text = document["message"]
    found = json.loads(text[text.rindex("{"):])
    return found["src"], found["n"]


def check_exactly_once(documents, counts):
    """counts: {source: how many were written}. Every number once, nothing else."""
    seen = collections.Counter(number_of(d) for d in documents)
    twice = [k for k, times in seen.items() if times > 1]
    assert not twice, f"{len(twice)} twice: {sorted(twice)[:5]}"
    missing = [(source, n) for source, count in counts.items() for n in range(count) if (source, n) not in seen]
    assert not missing, f"{len(missing)} missing: {missing[:3]} … {missing[-3:]}"
    assert sum(seen.values()) == sum(counts.values())


def check_order(documents):
    """Within a source, times rise with the number, to the last of their digits."""
    by_source = collections.defaultdict(list)
    for d in documents:
        source, n = number_of(d)
        second, _, fraction = d["@timestamp"].rstrip("Z").partition(".")
        by_source[source].append((n, (second, fraction.ljust(9, "0"))))
    for rows in by_source.values():
        rows.sort()
        assert [at for _, at in rows] == sorted(at for _, at in rows)


class Writer(threading.Thread):
    """Writes numbered lines to a container until it is told to stop or total is reached. before_rotation is called ahead of each
    rotation: a writer that must not outrun what it tests waits there."""

    def __init__(self, container, total, size=100, batch=50, before_rotation=None, pace=None):
        super().__init__(daemon=True)
        self.container, self.total, self.size, self.batch = container, total, size, batch
        self.written = 0
        self.failure = None
        self.pace = pace
        self._halt = threading.Event()
        if before_rotation:
            rotate = container.rotate

            def wait_and_rotate():
                if not self._halt.is_set():
                    before_rotation(container)
                rotate()

            container.rotate = wait_and_rotate

    def run(self):
        try:
            while self.written < self.total and not self._halt.is_set():
                n = min(self.batch, self.total - self.written)
                self.container.write(b"".join(line(self.container.name, self.written + i, self.size) for i in range(n)))
                self.written += n
                if self.pace:
                    self._halt.wait(self.pace)
        except Exception as e:  # noqa: BLE001 - told by finish()
            self.failure = e

    def finish(self, timeout=60):
        """Waits until all is written."""
        self.join(timeout * PATIENCE)
        assert not self.is_alive() and self.failure is None, self.failure
        return self.written

    def stop(self):
        self._halt.set()
        return self.finish()
