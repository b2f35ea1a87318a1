"""The containers of `make soak-live`: made, renamed, started again, rotated, removed, two threads of it."""

import collections
import os
import re
import shutil
import threading
import time

import engine as real_engine
from live_writers import Source
from waiting import wait_until

IMAGE = "barge-soak:1"
EVERY_MS = 250  # how often a container writes
LAST_LINES = 12  # hold both streams' last ones
LINE_BYTES = 240  # of a line in Docker's file, without what fills it
# Docker's rotation: small files, yet together as long as several seconds of a burst without an agent.
ROTATIONS = [{"max-size": "64k", "max-file": "12"}, {"max-size": "128k", "max-file": "6"}, {"max-size": "256k", "max-file": "4"},
             {"max-size": "256k", "max-file": "4", "compress": "true"}, {"max-size": "1m", "max-file": "2"}]
FILES_BYTES = 760_000  # the least of them holds
COMPRESSIONS = ["none", "none", "gzip", "zlib"]  # the engine needs a millisecond of CPU to compress a message


class Container:
    def __init__(self, name, gelf):
        self.name, self.made_as, self.gelf = name, name, gelf
        self.id = None
        self.lives = 0
        self.source = None
        self.dies_at = 0.0
        self.last_burst = 0.0
        self.pad = self.pace = None
        self.was_renamed = False


def import_image(engine, chatter):
    root = os.path.join(engine.home, "soak-image")
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy(chatter, os.path.join(root, "bin", "chatter"))
    shutil.copy(real_engine.BUSYBOX, os.path.join(root, "bin", "sh"))
    engine.import_folder(root, IMAGE)


class Churn:
    """files, gelf: how many containers of each kind stand at a time; rate: lines a second that all of them write; period_s: the
    shortest time between two of a kind of event; life_s: shortest and longest life of a container."""

    def __init__(self, dice, engine, agent, writers, files, gelf, rate, period_s, life_s):
        self.dice, self.engine, self.agent, self.writers = dice, engine, agent, writers
        self.population = {False: files, True: gelf}
        self.rate, self.period_s, self.life_s = rate / (files + gelf), period_s, life_s
        self.events = collections.Counter()
        self.containers = []
        self.file_ids = set()
        self.problems = []
        self.halt = threading.Event()
        self._number = 0
        self._graves = []  # (when, container, how)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._guarded, args=(f,), daemon=True, name=f.__name__) for f in (self._keep, self._bury)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Nothing is made or removed any more."""
        self.halt.set()
        for thread in self._threads:
            thread.join(600)

    def _guarded(self, work):
        try:
            work()
        except Exception as e:  # noqa: BLE001 - told by whoever looks
            if not self.halt.is_set():
                self.problems.append(f"{work.__name__}: {type(e).__name__}: {e}")

    def files_there(self):
        """Containers with log files that Docker has still."""
        try:
            return len(self.file_ids.intersection(os.listdir(self.engine.containers)))
        except FileNotFoundError:
            return 0

    def drawn(self, mean_s):
        """A time to wait: between half and one and a half."""
        return mean_s * (0.5 + self.dice.random())

    # -- making --

    def _make(self, kind, gelf, burst=0, options=()):
        with self._lock:
            self._number += 1
            c = Container(f"{kind}-{self._number}", gelf)
            c.pad = self.dice.randrange(20, 300)
            c.pace = (max(1, round(self.rate * (0.3 + 1.4 * self.dice.random()) * EVERY_MS / 1000)), EVERY_MS)
            log = self.dice.choice(ROTATIONS)
            if gelf:
                log = {"gelf-address": "udp://" + self.agent.gelf, "gelf-compression-type": self.dice.choice(COMPRESSIONS)}
        self._plan(c, burst)
        command = ["/bin/chatter", self.writers.address, c.name]
        c.id = self.engine.run(*command, name=c.name, driver="gelf" if gelf else "json-file", log_options=log, image=IMAGE,
                               options=["--label", f"com.docker.compose.service={kind}", *options])
        c.source.container_id = c.id
        if not gelf:
            self.file_ids.add(c.id)
        self.events["made"] += 1
        return c

    def _plan(self, c, burst=0):
        c.lives += 1
        c.source = Source(f"{c.made_as}.{c.lives}", c.made_as, c.gelf)
        c.source.names, c.source.container_id = {c.name}, c.id
        self.writers.plan(c.source, c.pad, c.pace, burst)

    def _silence(self, c):
        """Before a container ends whose messages nobody can read again: it writes no more, and the engine has sent all that it wrote. The
        engine keeps a megabyte of them in memory, and gives up what it has not sent some seconds after a container has ended."""
        if not c.gelf or not self.writers.hold(c.source.container):
            return
        number = re.compile(rf'"src":"{re.escape(c.source.name)}","n":(\d+)')
        last = {n for k in range(1, LAST_LINES) if (n := c.source.written - k) >= 0}

        def sent():
            done = self.engine.try_docker("logs", "--tail", "5000", c.name)
            return not last.difference(map(int, number.findall(done.stdout + done.stderr)))

        wait_until(sent, 60, lambda: f"the engine sends what {c.name} wrote", every_s=0.2)

    # -- the keeper: what lives long --

    def _keep(self):
        again_at, rename_at, burst_at = (time.monotonic() + self.drawn(self.period_s * k) for k in (4, 2, 1))
        while not self.halt.is_set():
            self._fill()
            self._let_die()
            now = time.monotonic()
            if now >= rename_at and self._rename():
                rename_at = now + self.drawn(2 * self.period_s)
            if now >= burst_at and self._burst():
                burst_at = now + self.drawn(self.period_s)
            if now >= again_at and self._again():
                again_at = now + self.drawn(4 * self.period_s)
            self.halt.wait(0.1)

    def _fill(self):
        for gelf, wanted in self.population.items():
            if sum(c.gelf == gelf for c in self.containers) < wanted:
                c = self._make("pay" if gelf else "shop", gelf)
                c.dies_at = time.monotonic() + self.life_s[0] + self.dice.random() * (self.life_s[1] - self.life_s[0])
                self.containers.append(c)

    def _let_die(self):
        for c in [c for c in self.containers if time.monotonic() >= c.dies_at][:1]:
            how = self.dice.choice(["stopped", "ended", "killed"])
            if how != "killed":
                self._silence(c)
            if how == "stopped":
                self.engine.docker("stop", "-t", "60", c.name)
            elif how == "ended":
                self.writers.end(c.source.container)
            self.containers.remove(c)
            with self._lock:
                self._graves.append((time.monotonic() + self.drawn(self.period_s) * self.dice.choice([0, 1]), c, how))

    def _rename(self):
        some = [c for c in self.containers if not c.was_renamed]
        if not some:
            return False
        c = self.dice.choice(some)
        old, c.name = c.name, c.name + "-renamed"
        c.was_renamed = True
        c.source.names.add(c.name)
        self.engine.docker("rename", old, c.name)
        self.events["renamed"] += 1
        return True

    def _burst(self):
        now = time.monotonic()
        some = [c for c in self.containers if now - c.last_burst > max(20, 2 * self.period_s)]
        if not some:
            return False
        self.burst(self.dice.choice(some))
        return True

    def burst(self, c):
        c.last_burst = time.monotonic()
        most = 2000 if c.gelf else FILES_BYTES // 3 // (LINE_BYTES + c.pad)
        self.writers.burst(c.source.container, self.dice.randrange(most // 4, most))
        self.events["burst"] += 1

    def burst_of_all(self):
        for c in list(self.containers):
            self.burst(c)

    def _again(self):
        c = self.dice.choice(self.containers) if self.containers else None
        if c is None:
            return False
        self._silence(c)
        self.engine.docker("stop", "-t", "60", c.name)
        self.writers.wait_ended(c.source)
        self._plan(c)
        self.engine.docker("start", c.name)
        self.events["started again"] += 1
        return True

    # -- the undertaker: what is removed --

    def _bury(self):
        job_at = time.monotonic() + self.drawn(self.period_s)
        while not self.halt.is_set():
            now = time.monotonic()
            with self._lock:
                due = [g for g in self._graves if g[0] <= now]
                self._graves = [g for g in self._graves if g[0] > now]
            for _, c, how in due:
                with self.agent.gate:
                    self._remove(c, how)
            if now >= job_at:
                job_at = now + self.drawn(self.period_s)
                with self.agent.gate:
                    self._job()
            self.halt.wait(0.1)

    def _remove(self, c, how):
        if how == "killed":
            self._silence(c)
            self.writers.hold(c.source.container)
            self.engine.docker("rm", "-f", c.name)
        else:
            self.writers.wait_ended(c.source)
            self.engine.docker("wait", c.name)
            self.engine.docker("rm", c.name)
        self.events[how + " and removed"] += 1

    def _job(self):
        """A container that writes and is gone."""
        c = self._make("job", self.dice.random() < 0.4, burst=self.dice.randrange(20, 600), options=["--rm"])
        self._silence(c)
        self.writers.end(c.source.container)
        folder = os.path.join(self.engine.containers, c.id)
        wait_until(lambda: not os.path.exists(folder), 60, f"{c.name} is removed", every_s=0.05)
        self.events["removed at once"] += 1

    # -- the end --

    def let_all_end(self):
        """They write no more; their containers and log files stand."""
        for c in self.containers + [c for _, c, _ in self._graves]:
            self._silence(c)
        for source in list(self.writers.sources):
            if not source.ended:
                self.writers.end(source.container)
        for source in self.writers.sources:
            self.writers.wait_ended(source)

    def remove_all(self):
        names = self.engine.docker("ps", "-aq").split()
        if names:
            self.engine.docker("rm", "-f", *names)
