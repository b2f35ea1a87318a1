"""An episode: one data folder, some twenty lives of the agent under traffic, each ended by a fault; then it drains and is judged from
outside. Everything that chance decides follows from the seed, but for the scheduling of the machine."""

import collections
import json
import os
import random
import shutil
import signal
import socket
import time

import segments
from barge import BINARY, CRASHING, Barge, balance, free_port
from disk import Disk
from docker_folder import DockerFolder
from scripted_elastic import Close, Cut, Late, Refuse, ScriptedElastic, Whole
from traffic import TOKEN, Traffic, text_of
from waiting import PATIENCE, wait_until

# Calls at which a life is ended; the number is drawn up to the second value.
CALLS = [("write@*.seg", 60), ("write@spare", 4), ("write@next", 2), ("write@state", 20), ("sync@*.seg", 8), ("sync@state", 4),
         ("dirsync@buffer", 4), ("rename@*.seg", 4), ("unlink@*.seg", 4), ("create@spare", 3), ("create@next", 1), ("allocate@spare", 3),
         ("truncate@*", 2), ("mkdir@*", 4), ("any", 200)]
FILE_CALLS = [("write@*.ndjson", 30), ("sync@*.ndjson", 30), ("create@*.ndjson", 1), ("dirsync@out", 1), ("truncate@*.ndjson", 1)]

FAULTS = {
    "kill": "kill -9 at a random moment",
    "kill-start": "kill -9 at a random moment, the next life again while it starts",
    "stop": "kill -9 at a call: write, fsync, rename, unlink, …",
    "stop-start": "kill -9 at a call of the start, several times in a row",
    "cut-nothing": "power cut, unsynced writes lost",
    "cut-all": "power cut, unsynced writes kept",
    "cut-some": "power cut, unsynced sectors, lengths and names kept or lost",
}

Verdict = collections.namedtuple("Verdict", "faults records must lost twice slowest_start_s problems")


def _chaos(dice):
    """A node that is slow, breaks off and refuses now and then, so that requests overtake each other and verdicts get lost."""
    def answer(_request):
        x = dice.random()
        if x < 0.06:
            return Late(dice.random() * 0.15)
        if x < 0.08:
            return Cut(dice.randrange(0, 400))
        if x < 0.09:
            return Close(index=dice.random() < 0.5)
        if x < 0.10:
            return Whole(503)
        return None

    def item(_item):
        return Refuse(429, "es_rejected_execution_exception", "queue is full") if dice.random() < 0.002 else None

    return answer, item


class Episode:
    def __init__(self, folder, seed, fault, output, lives=20, max_life_s=0.8, gelf=True):
        self.folder, self.seed, self.fault, self.output, self.lives, self.max_life_s = str(folder), seed, fault, output, lives, max_life_s
        self.dice = random.Random(f"{seed} {fault} {output}")
        self.cuts_power = fault.startswith("cut")
        os.makedirs(self.folder, exist_ok=True)
        self.disk = Disk(self.folder)
        self.elastic = ScriptedElastic() if output == "elasticsearch" else None
        self.docker = DockerFolder(os.path.join(self.folder, "containers"))
        udp = ("127.0.0.1", free_port(socket.SOCK_DGRAM)) if gelf else None
        tcp = ("127.0.0.1", free_port()) if gelf else None
        self.traffic = Traffic(self.docker, random.Random(self.dice.random()), long_lines=not self.cuts_power,
                               compress=self.dice.random() < 0.3, gelf_udp=udp, gelf_tcp=tcp)
        self.barge = Barge(os.path.join(self.folder, "agent"), self._config(udp, tcp))
        self.must = set()      # tokens that were accepted for good: on disk
        self.must_now = set()  # accepted as far as kill -9 goes: a power cut may still take them
        self.last_read = 0
        self.starts = []
        self.faults = 0
        self.problems = []

    def _config(self, udp, tcp):
        config = {
            "data_dir": os.path.join(self.disk.root, "data"),
            "inputs": {"docker": {"containers": self.docker.path},
                       "gelf": {"udp": f"{udp[0]}:{udp[1]}" if udp else "", "tcp": f"{tcp[0]}:{tcp[1]}" if tcp else ""}},
            "enrich": {"host": "soak"},
            "buffer": {"max_size": "4MiB", "min_free": "1MiB", "sync": "50ms"},
            "log": {"level": "info"},
            "setup": False,
        }
        if self.elastic:
            config["output"] = {"elasticsearch": {"hosts": [self.elastic.url], "compression": "none", "batch_size": "64KiB",
                                                  "batch_delay": "20ms", "timeout": "20s", "index_window": "0"}}
            self.elastic.on_request, self.elastic.on_item = _chaos(random.Random(self.dice.random()))
        else:
            config["output"] = {"file": {"path": os.path.join(self.disk.root, "out", "day-%{+YYYY.MM.dd}.ndjson")}}
        return config

    # -- a life and its end --

    def _start(self, faults="", binary=BINARY):
        env = {"BARGE_FAULTS": faults}
        if self.cuts_power:
            binary = CRASHING
            env.update(self.disk.environment)
        self.barge.binary, self.barge.env = binary, env
        self.begun = time.monotonic()
        self.ready = False
        self.barge.start(ready=False)

    def _watch(self, until_s):
        """Lets it live; notes how long it took to be ready and what its books say. False when it has ended by itself."""
        while time.monotonic() < self.begun + until_s:
            if self.barge.process.poll() is not None:
                return False
            self._look()
            time.sleep(0.01)
        return True

    def _look(self):
        try:
            if not self.ready and self.barge.code("/ready") == 200:
                self.ready = True
                self.starts.append(time.monotonic() - self.begun)
            if self.ready:
                self._see(self.barge.ledger())
        except (OSError, ValueError):
            pass  # it ended meanwhile

    def _see(self, ledger):
        if balance(ledger) != 0:
            self.problems.append(f"books do not balance: {ledger}")
        if not self.cuts_power and ledger["read"] < self.last_read:
            self.problems.append(f"read went back from {self.last_read}: {ledger}")
        self.last_read = ledger["read"]

    def _end(self):
        """SIGKILL, if it is not dead of that already; what was accepted."""
        self.barge.process.kill()
        status = self.barge.wait()
        if status != -signal.SIGKILL:
            self.problems.append(f"ended by itself with {status}: {self.barge.log()[-2000:]}")
        try:
            self.barge.check_log()
        except AssertionError as e:
            self.problems.append(str(e)[-2000:])
        found = segments.in_folder(os.path.join(self.barge.data_dir, "buffer"))
        self.must_now |= self._tokens(segments.committed({p: found[p] for p in found if p not in self.disk.begun_with}))

    def _tokens(self, documents):
        return {m.group() for d in documents for m in TOKEN.finditer(d)}

    def _cut_power(self):
        synced = self.disk.synced()
        new = {p: data for p, data in synced.items() if p not in self.disk.begun_with}
        self.must |= self._tokens(segments.committed(new))
        for path, data in synced.items():
            if path.endswith(".ndjson"):
                self.must |= self._tokens(data.split(b"\n")[:-1])
        if self.elastic:
            self.must |= self._tokens(list(self.elastic.store.values()))
        self.must_now = set()
        self.disk.cut(self.dice, self.fault.removeprefix("cut-"))
        self.traffic.cut()

    def _life(self):
        dice, fault = self.dice, self.fault
        self.faults += 1
        if fault.startswith("stop"):
            calls = CALLS + (FILE_CALLS if not self.elastic else [])
            call, most = dice.choice(calls)
            n = dice.randrange(1, most + 1) if fault == "stop" else dice.randrange(1, min(most, 25) + 1)
            if fault == "stop-start" and dice.random() < 0.7:
                call = "any"
            self._start(f"stop {call} {n} {dice.choice(('before', 'half', 'after'))}", CRASHING)
            self._watch(self.max_life_s if fault == "stop" else self.max_life_s / 4)
            self._end()
            return
        self._start()
        soon = fault == "kill-start" and self.faults % 2 == 0
        self._watch(dice.random() * (0.03 if soon else self.max_life_s))
        self._end()
        if self.cuts_power and dice.random() < 0.85:
            self._cut_power()
        elif self.cuts_power:
            self.faults -= 1  # killed only: what it left unsynced is cut later

    def _node_goes_and_comes(self):
        if self.elastic is None:
            return
        if self.elastic._listener is None:
            self.elastic.start()
        elif self.dice.random() < 0.1:
            self.elastic.stop()

    # -- the whole of it --

    def run(self):
        self.traffic.start()
        try:
            while self.faults < self.lives:
                self._node_goes_and_comes()
                self._life()
            self.traffic.stop()
            return self._judge()
        finally:
            self.close()

    def _drain(self):
        if self.elastic:
            self.elastic.on_request = self.elastic.on_item = None
            if self.elastic._listener is None:
                self.elastic.start()
        self._start()
        self.barge.wait_ready()
        self.starts.append(time.monotonic() - self.begun)

        def drained():
            status = self.barge.status()
            self._see(status["ledger"])
            return status["ledger"]["buffered"] == 0 and status["inputs"]["docker"]["lag_bytes"] == 0

        wait_until(drained, 40, lambda: f"drained: {self.barge.status()}")
        return self.barge.ledger()

    def _delivered(self):
        """[bytes of a document]"""
        if self.elastic:
            return list(self.elastic.store.values())
        folder = os.path.join(self.disk.root, "out")
        lines = []
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as f:
                lines += [line for line in f.read().split(b"\n") if line]
        return lines

    def _judge(self):
        problems = self.problems
        try:
            ledger = self._drain()
            must = self.must | self.must_now | self.traffic.standing()
            # The last lines may have been seen and not yet read when the lag was zero.
            try:
                wait_until(lambda: must <= self._tokens(self._delivered()), 10)
                ledger = self.barge.wait_drained()
            except AssertionError:
                pass
            self._check_folder()
            self.barge.stop()
        except AssertionError as e:
            problems.append(str(e)[-3000:])
            must, ledger = self.must | self.must_now | self.traffic.standing(), None
        delivered = self._delivered()
        counts = collections.Counter()
        for document in delivered:
            tokens = {m.group() for m in TOKEN.finditer(document)}
            counts.update(tokens)
            self._check_bytes(document, tokens)
        lost = must - counts.keys()
        twice = {t for t, n in counts.items() if n > 1} - self.traffic.excused
        if ledger and not self.cuts_power:
            kept = ledger["read"] - sum(ledger["dropped"].values())
            if kept != len(delivered):
                problems.append(f"{len(delivered)} documents, but the books say {ledger}")
            if ledger["dropped"]["damaged"] or ledger["dead_lettered"]:
                problems.append(f"damage without a power cut, or dead letters: {ledger}")
        if self.elastic:
            problems += self.elastic.complaints[:5]
        if lost:
            problems.append(f"{len(lost)} lost: {sorted(lost)[:5]}")
        if twice:
            problems.append(f"{len(twice)} twice: {sorted(twice)[:5]}")
        if max(self.starts, default=0) > 2 * PATIENCE:
            problems.append(f"a start took {max(self.starts):.1f} s")
        return Verdict(self.faults, len(delivered), len(must), len(lost), len(twice), max(self.starts, default=0.0), problems)

    def _check_bytes(self, document, tokens):
        if len(tokens) != 1 or tokens <= self.traffic.excused:
            return
        try:
            message = json.loads(document)["message"]
        except (ValueError, KeyError) as e:
            self.problems.append(f"{e}: {document[:300]!r}")
            return
        source, n = TOKEN.search(document).groups()
        if message != text_of(source.decode(), int(n), self.traffic.long_lines and source.startswith(b"c")):
            self.problems.append(f"other bytes than were written: {document[:300]!r}")

    def _check_folder(self):
        """What all those lives left behind is gone, but for what damaged by a power cut is kept for a look."""
        folder = os.path.join(self.barge.data_dir, "buffer")

        def small():
            names = [n for n in os.listdir(folder) if not n.endswith((".bad", ".foreign"))]
            return len(names) <= 6 and sum(os.path.getsize(os.path.join(folder, n)) for n in names) <= 1 << 20

        wait_until(small, 10, lambda: f"a small folder: {sorted(os.listdir(folder))}")

    def close(self):
        if self.barge.process is not None:
            self.barge.process.kill()
            self.barge.process.wait()
        if self.elastic:
            self.elastic.stop()
        self.docker.close()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
