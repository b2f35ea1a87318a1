"""make bench: the reference load through barge to a counting sink on loopback, beside what its peers took for the same.

    run.py [--build BUILD] [--lines N] all|load|instructions|redaction|multiline|pods|gelf|idle
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]

import gen_docker_log  # noqa: E402

LINES = 1_457_000
ROUNDS = 3
CALLGRIND_LINES = (5_000, 45_000)  # the difference leaves starting and stopping out
GELF_RATE, GELF_SECONDS, GELF_BYTES = 200_000, 5, 300
IDLE_CONTAINERS, IDLE_SECONDS = 1000, 10

# Measured with the same load and a sink of the same kind on two cores.
PEERS = [("Fluent Bit 5.1.1", "62,600", "31.6", "47", "61"), ("rsyslog 8.2302", "131,500", "98", "19", "94"),
         ("Vector 0.57", "122,000", "84", "20", "130"), ("Filebeat 7.17", "-", "188", "8", "110")]
GOAL = ("goal", "≤ 5,000", "≤ 3.5", "≥ 250", "≤ 16")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method), timeout=30) as answer:
        return answer.read()


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            sys.exit(f"bench: not within {seconds} s: {what}")
        time.sleep(0.02)


class Sink:
    """capacity: documents per second and bytes that may wait; without, it takes what comes."""

    def __init__(self, build, seq="seq", port=None, capacity=()):
        self.port = port or free_port()
        self.process = subprocess.Popen([os.path.join(build, "bench", "sink"), str(self.port), seq, *map(str, capacity)])
        wait_for(self._up, 5, "the sink")

    def _up(self):
        try:
            return self.stats() is not None
        except OSError:
            return False

    def stats(self):
        return json.loads(get(self.port, "/stats"))

    def sources(self):
        """What each source brought, and when (monotonic seconds)."""
        return json.loads(get(self.port, "/sources"))

    def reset(self):
        get(self.port, "/reset", "POST")

    def close(self):
        self.process.terminate()
        self.process.wait()


class Agent:
    """barge on a folder of its own; its end gives what it used."""

    def __init__(self, bench, sink, compression="none", containers=None, gelf=None, wrapper=(), receive_buffer="8MiB", more=None):
        self.folder = os.path.join(bench.work, "agent")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.port = free_port()
        config = {
            "data_dir": os.path.join(self.folder, "data"),
            "inputs": {"docker": {"containers": containers} if containers else "off",
                       "gelf": {"udp": f"127.0.0.1:{gelf}" if gelf else "", "receive_buffer": receive_buffer}},
            "buffer": {"min_free": "1MiB"},
            "output": {"elasticsearch": {"hosts": [f"http://127.0.0.1:{sink.port}"], "compression": compression, "index_window": "0"}},
            "setup": False,
            "status": {"listen": f"127.0.0.1:{self.port}"},
            **(more or {}),
        }
        path = os.path.join(self.folder, "barge.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f, indent=1)
        self.log = os.path.join(self.folder, "barge.log")
        self.began = time.monotonic()
        with open(self.log, "wb") as log:
            # What counts instructions works inside the process.
            environment = {**os.environ, "BARGE_SANDBOX": "off"} if wrapper else None
            self.process = subprocess.Popen([*wrapper, bench.barge, "run", "-c", path], stdin=subprocess.DEVNULL, stderr=log, env=environment)

    def status(self):
        return json.loads(get(self.port, "/status"))

    def ready(self):
        try:
            get(self.port, "/ready")
            return True
        except OSError:
            return False

    def running(self):
        if self.process.poll() is None:
            return True
        with open(self.log, encoding="utf-8", errors="replace") as f:
            sys.exit(f"bench: barge ended with {self.process.returncode}:\n{f.read()[-2000:]}")

    def cpu_ns(self):
        """Nanoseconds that all its threads have run."""
        tasks = f"/proc/{self.process.pid}/task"
        total = 0
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        return total

    def peak_rss_mb(self):
        """From /proc: what wait4 says includes this script's own memory, from before exec."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) * 1024 / 1e6

    def stop(self):
        """Ends it; (CPU seconds, peak RSS in MB)."""
        rss = self.peak_rss_mb()
        self.process.terminate()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                sys.exit(f"bench: barge ended with {self.process.returncode}:\n{f.read()[-2000:]}")
        return usage.ru_utime + usage.ru_stime, rss


class Bench:
    def __init__(self, build, lines):
        self.build, self.lines = os.path.abspath(build), lines
        self.barge = os.path.join(self.build, "barge")
        self.work = os.path.join(self.build, "bench", "work")
        os.makedirs(self.work, exist_ok=True)

    def load(self, lines):
        """A containers folder with one container whose log is the reference load of so many lines; (folder, bytes)."""
        folder = os.path.join(self.build, "bench", f"load-{lines}")
        container_id = "b" * 64
        log = os.path.join(folder, container_id, container_id + "-json.log")
        if not os.path.exists(log):
            print(f"making the reference load, {lines} lines …", flush=True)
            os.makedirs(os.path.dirname(log), exist_ok=True)
            papers = {"config.v2.json": {"ID": container_id, "Name": "/shop-orders-1", "State": {"Running": True}, "LogPath": log,
                                         "Config": {"Image": "shop/orders:1.4", "Labels": {"com.docker.compose.service": "orders"}}},
                      "hostconfig.json": {"LogConfig": {"Type": "json-file", "Config": {}}}}
            for name, content in papers.items():
                with open(os.path.join(folder, container_id, name), "w", encoding="utf-8") as f:
                    json.dump(content, f)
            gen_docker_log.write(log + ".making", lines)
            os.rename(log + ".making", log)
        return folder, os.path.getsize(log)

    def pods_load(self, lines):
        """The same lines as a CRI runtime writes them: the folder of pods."""
        folder = os.path.join(self.build, "bench", f"pods-{lines}")
        log = os.path.join(folder, "shop_orders-7d9f8b6c5d-x2x9k_3f1c9a52-7a0e-4b59-9f0d-5d0c1e6b8a11", "orders", "0.log")
        if not os.path.exists(log):
            os.makedirs(os.path.dirname(log), exist_ok=True)
            source, _ = self.load(lines)
            with open(os.path.join(source, "b" * 64, "b" * 64 + "-json.log"), encoding="utf-8") as f, open(log + ".making", "w", encoding="utf-8") as to:
                for line in f:
                    entry = json.loads(line)
                    to.write(f"{entry['time']} {entry['stream']} F {entry['log']}")
            os.rename(log + ".making", log)
        return folder

    def ship(self, lines, compression, wrapper=(), seconds=600, more=None):
        """One shipment from start to last document: (bytes of log, seconds, CPU seconds, peak RSS in MB)."""
        folder, size = self.load(lines)
        with open(os.path.join(folder, "b" * 64, "b" * 64 + "-json.log"), "rb") as f:
            while f.read(1 << 24):  # into the page cache, for every round alike
                pass
        sink = Sink(self.build)
        try:
            agent = Agent(self, sink, compression, containers=folder, wrapper=wrapper, more=more)
            wait_for(lambda: agent.running() and sink.stats()["documents"] >= lines, seconds, "all lines in the sink")
            took = sink.stats()["last"] - agent.began
            cpu, rss = agent.stop()
            found = sink.stats()
            if (found["seen"], found["repeated"], found["missing"], found["unnumbered"]) != (lines, 0, 0, 0):
                sys.exit(f"bench: not every line exactly once: {found}")
            return size, took, cpu, rss
        finally:
            sink.close()

    def throughput(self, compression):
        rounds = [self.ship(self.lines, compression) for _ in range(ROUNDS)]
        gigabytes = rounds[0][0] / 1e9
        speed = [size / 1e6 / took for size, took, _, _ in rounds]
        cpu = [c / gigabytes for _, _, c, _ in rounds]
        rss = max(r for _, _, _, r in rounds)
        print(f"{compression}: MB/s {', '.join(f'{s:.0f}' for s in speed)}; CPU s/GB {', '.join(f'{c:.2f}' for c in cpu)}; peak RSS {rss:.1f} MB; "
              f"{self.lines} lines, each once", flush=True)
        return statistics.median(speed), statistics.median(cpu), rss

    def callgrind(self, lines, more=None):
        out = os.path.join(self.work, "callgrind.out")
        wrapper = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        self.ship(lines, "none", wrapper, more=more)
        with open(out, encoding="utf-8", errors="replace") as f:
            return int(re.search(r"^(?:summary|totals): (\d+)", f.read(), re.M).group(1))

    def instructions(self, what="", more=None):
        few, many = (self.callgrind(n, more) for n in CALLGRIND_LINES)
        per_event = (many - few) / (CALLGRIND_LINES[1] - CALLGRIND_LINES[0])
        print(f"instructions per event in user space{what}: {per_event:,.0f}", flush=True)
        return per_event

    def redaction(self):
        """What redaction costs: every kind looked for, and every kind with a pseudonym and some fields."""
        key_file = os.path.join(self.work, "redact.key")
        with open(key_file, "w", encoding="ascii") as f:
            f.write("0123456789abcdef0123456789abcdef")
        fields = [{"field": name, "action": "drop"} for name in ("user.password", "*.authorization", "headers.cookie")]
        off = self.instructions(", redaction off")
        mask = self.instructions(", all kinds masked", {"redact": {"rules": [{"kind": "all"}]}})
        full = self.instructions(", all kinds as pseudonyms and three fields",
                                 {"redact": {"key_file": key_file, "rules": [*fields, {"kind": "all", "action": "hash"}]}})
        print(f"redaction: {mask / off - 1:+.1%} masked, {full / off - 1:+.1%} with pseudonyms and fields", flush=True)

    def multiline(self):
        """What it costs to look for stack traces in the reference load, which has none."""
        self.instructions(", parser: multiline", {"parsers": [{"container": "*", "parser": "multiline"}]})

    def pods(self):
        few, many = (self.callgrind(n, {"inputs": {"docker": "off", "kubernetes": {"pods": self.pods_load(n)}, "gelf": "off"}}) for n in CALLGRIND_LINES)
        print(f"instructions per event in user space, of a pod: {(many - few) / (CALLGRIND_LINES[1] - CALLGRIND_LINES[0]):,.0f}", flush=True)

    def gelf(self):
        count = GELF_RATE * GELF_SECONDS
        port = free_port(socket.SOCK_DGRAM)
        sink = Sink(self.build, "n")
        try:
            agent = Agent(self, sink, gelf=port, receive_buffer="32MiB")
            wait_for(lambda: agent.running() and agent.ready(), 10, "ready")
            said = subprocess.run([os.path.join(self.build, "bench", "gelf-send"), str(port), str(count), str(GELF_BYTES), str(GELF_RATE)],
                                  capture_output=True, text=True, check=True).stdout.strip()

            def figures():
                status = agent.status()
                gelf = status["inputs"]["gelf"]
                done = gelf["datagrams"] + gelf["kernel_dropped"] >= count and status["ledger"]["buffered"] == 0
                return (gelf["datagrams"], gelf["kernel_dropped"], status["ledger"]["dropped"]) if done else None

            try:
                taken, dropped, others = wait_for(figures, 60, "all datagrams taken, dropped or delivered")
            except SystemExit:
                taken, dropped, others = agent.status()["inputs"]["gelf"]["datagrams"], "?", agent.status()["ledger"]["dropped"]
            found = sink.stats()
            cpu, rss = agent.stop()
            with open("/proc/sys/net/core/rmem_max", encoding="ascii") as f:
                rmem = int(f.read())
            print(f"GELF, {GELF_BYTES} bytes: {said}; received {taken}, dropped by the kernel {dropped}, dropped {others}; in the sink "
                  f"{found['seen']} once, {found['repeated']} twice; CPU {cpu:.2f} s, peak RSS {rss:.1f} MB (net.core.rmem_max {rmem})", flush=True)
        finally:
            sink.close()

    def idle(self):
        folder = os.path.join(self.work, "idle")
        shutil.rmtree(folder, ignore_errors=True)
        for i in range(IDLE_CONTAINERS):
            container_id = f"{i:064x}"
            os.makedirs(os.path.join(folder, container_id))
            with open(os.path.join(folder, container_id, "config.v2.json"), "w", encoding="utf-8") as f:
                json.dump({"ID": container_id, "Name": f"/idle-{i}", "Config": {"Image": "i", "Labels": {}}, "State": {"Running": True}}, f)
            with open(os.path.join(folder, container_id, "hostconfig.json"), "w", encoding="utf-8") as f:
                json.dump({"LogConfig": {"Type": "json-file", "Config": {}}}, f)
            gen_docker_log.write(os.path.join(folder, container_id, container_id + "-json.log"), 1, src=i)
        sink = Sink(self.build)
        try:
            agent = Agent(self, sink, containers=folder)
            wait_for(lambda: agent.running() and sink.stats()["documents"] >= IDLE_CONTAINERS, 60, "the first lines")
            wait_for(lambda: agent.status()["ledger"]["buffered"] == 0, 10, "drained")
            settled = time.monotonic() + 3
            wait_for(lambda: time.monotonic() > settled, 10, "settled")
            before, begun = agent.cpu_ns(), time.monotonic()
            wait_for(lambda: time.monotonic() - begun > IDLE_SECONDS, IDLE_SECONDS + 5, "idling")
            used = (agent.cpu_ns() - before) / 1e6
            _, rss = agent.stop()
            print(f"idle over {IDLE_CONTAINERS} containers: {used:.2f} ms of CPU in {IDLE_SECONDS} s, peak RSS {rss:.1f} MB", flush=True)
        finally:
            sink.close()

    def table(self, per_event, plain, packed):
        rows = [("", "instructions per event", "CPU s per GB", "MB/s on 2 cores", "peak RSS, MB"), *PEERS, GOAL,
                ("barge", f"{per_event:,.0f}", f"{plain[1]:.2f}", f"{plain[0]:.0f}", f"{plain[2]:.1f}"),
                ("barge, gzip", "", f"{packed[1]:.2f}", f"{packed[0]:.0f}", f"{packed[2]:.1f}")]
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        print()
        for r in rows:
            print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(r, widths))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("what", choices=["all", "load", "instructions", "redaction", "multiline", "pods", "gelf", "idle"])
    a = parser.parse_args()
    bench = Bench(a.build, a.lines)
    if a.what in ("all", "load"):
        plain = bench.throughput("none")
        packed = bench.throughput("gzip")
    if a.what in ("all", "instructions"):
        per_event = bench.instructions()
    if a.what in ("all", "redaction"):
        bench.redaction()
    if a.what in ("all", "multiline"):
        bench.multiline()
    if a.what in ("all", "pods"):
        bench.pods()
    if a.what in ("all", "gelf") and os.path.exists(os.path.join(bench.build, "bench", "gelf-send")):
        bench.gelf()
    if a.what in ("all", "idle"):
        bench.idle()
    if a.what == "all":
        bench.table(per_event, plain, packed)


if __name__ == "__main__":
    main()
