"""The program under test: one class per process."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from waiting import PATIENCE, TooLate, wait_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("BARGE", os.path.join(TOP, "build", "barge"))
CRASHING = BINARY + "-crash"
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: |SUMMARY: \w+Sanitizer|DEADLYSIGNAL")


def _ports():
    """Port numbers below those that the kernel hands out by itself, another stretch for each worker of a test run."""
    begin = 20000 + 1500 * (WORKER % 8)
    offset = os.getpid() % 1500
    while True:
        yield begin + offset
        offset = (offset + 1) % 1500


_next_port = _ports()


def free_port(kind=socket.SOCK_STREAM):
    for port in _next_port:
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def balance(ledger):
    """read minus everything that became of it: 0 when the books balance."""
    return ledger["read"] - (ledger["delivered"] + ledger["duplicate"] + ledger["dead_lettered"] + sum(ledger["dropped"].values())
                             + ledger["buffered"])


def is_sanitized():
    """Whether the program under test is a build with a sanitizer, whose runtime needs what the sandbox forbids."""
    with open(BINARY, "rb") as f:
        return re.search(rb"__(asan|tsan|msan)_init", f.read()) is not None


def proc_status(pid, thread=None):
    """/proc/PID/status as {name: text}."""
    with open(f"/proc/{pid}/task/{thread or pid}/status", encoding="ascii", errors="replace") as f:
        return {name: text.strip() for name, _, text in (line.partition(":") for line in f)}


def syscall_of(pid):
    """Number and first argument of the system call that the main thread is in."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
        return " ".join(f.read().split()[:2])


def run(*arguments, env=None, stdin=None, timeout=30):
    """Runs a command of barge to its end: CompletedProcess with text."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=timeout * PATIENCE,
                          env={**os.environ, **(env or {})}, input=stdin, check=False)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


class Barge:
    """`barge run` on a configuration. folder: a folder of its own for configuration, data and log. binary: CRASHING is the one on
    a disk that forgets and fails (crash_io.c)."""

    def __init__(self, folder, config, env=None, wrapper=(), pass_fds=(), binary=None):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.config = dict(config)
        self.config.setdefault("data_dir", os.path.join(self.folder, "data"))
        self.config.setdefault("status", {"listen": f"127.0.0.1:{free_port()}"})
        self.config_path = os.path.join(self.folder, "barge.yaml")
        self.env = env or {}
        self.wrapper = list(wrapper)
        self.pass_fds = pass_fds
        self.binary = binary or BINARY
        self.process = None
        self.lives = 0
        self.write_config()

    def write_config(self):
        """JSON is YAML."""
        with open(self.config_path, "w", encoding="utf-8") as f:
            json.dump(self.config, f, indent=1)

    @property
    def data_dir(self):
        return self.config["data_dir"]

    @property
    def log_path(self):
        return os.path.join(self.folder, f"barge.{self.lives}.log")

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # -- its life --

    def start(self, ready=True):
        assert self.process is None
        self.lives += 1
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*self.wrapper, self.binary, "run", "-c", self.config_path], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env={**os.environ, **self.env}, pass_fds=self.pass_fds)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, deadline_s=15.0):
        wait_until(lambda: self.process.poll() is not None or self.code("/ready") == 200, deadline_s, lambda: "ready; " + self.log()[-2000:])
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()[-4000:]}"

    def running(self):
        return self.process is not None and self.process.poll() is None

    def terminate(self, how=signal.SIGTERM):
        self.process.send_signal(how)

    def wait(self, deadline_s=20.0):
        """Waits for its end; returns the exit status."""
        wait_until(lambda: self.process.poll() is not None, deadline_s, lambda: "end of barge; " + self.log()[-3000:])
        status = self.process.returncode
        self.process = None
        return status

    def stop(self, deadline_s=20.0, books=True):
        """SIGTERM, and what must hold of every ending: status 0, no sanitizer's word, books that balance."""
        assert self.running(), f"barge had ended by itself:\n{self.log()[-4000:]}"
        if books and self.config["status"]["listen"]:
            self.balanced()
        self.terminate()
        status = self.wait(deadline_s)
        self.check_log()
        assert status == 0, f"exit status {status}:\n{self.log()[-4000:]}"

    def kill9(self):
        """SIGKILL, as sudden as it gets."""
        self.process.kill()
        self.wait()

    def reload(self, wanted="configuration reloaded"):
        """SIGHUP; returns what was logged until the wanted words."""
        begin = len(self.log())
        self.terminate(signal.SIGHUP)
        wait_until(lambda: wanted in self.log()[begin:], 10, self.log)
        return self.log()[begin:]

    def restart(self, kill=False):
        if kill:
            self.kill9()
        else:
            self.stop()
        return self.start()

    def check_log(self):
        text = self.log()
        found = SANITIZER.search(text)
        assert not found, text[max(0, found.start() - 200):found.start() + 6000]
        assert "assertion failed" not in text.lower(), text[-3000:]

    def close(self):
        """For teardowns: ends what still runs, with all the checks; checks what had ended."""
        if self.process is not None:
            if self.process.poll() is not None:
                status = self.process.returncode
                self.process = None
                raise AssertionError(f"barge had ended by itself with {status}:\n{self.log()[-4000:]}")
            try:
                self.stop()
            except TooLate:
                self.kill9()
                raise
        self.check_log()

    # -- its pages --

    def get(self, path, timeout=10):
        url = f"http://{self.config['status']['listen']}{path}"
        with urllib.request.urlopen(url, timeout=timeout * PATIENCE) as answer:
            return answer.read()

    def code(self, path):
        """HTTP status of a page, 0 when nobody answers."""
        try:
            self.get(path, timeout=2)
            return 200
        except urllib.error.HTTPError as e:
            return e.code
        except (urllib.error.URLError, OSError):
            return 0

    def status(self):
        return json.loads(self.get("/status"))

    def ledger(self):
        return self.status()["ledger"]

    def metrics(self):
        """{name with its labels: value}"""
        found = {}
        for line in self.get("/metrics").decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def balanced(self):
        """The books, once they balance (which is at once)."""
        books = {}

        def look():
            books.update(self.ledger())
            return balance(books) == 0

        wait_until(look, 5, lambda: f"books that balance: {books}")
        return books

    def wait_drained(self, deadline_s=20.0):
        """Waits until everything that it has read is finished; returns the books."""
        wait_until(lambda: self.ledger()["buffered"] == 0, deadline_s, lambda: f"drained: {self.status()}")
        return self.ledger()

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # -- its output files --

    def output_lines(self):
        """Lines of all daily files of output.file, as bytes."""
        folder = os.path.dirname(self.config["output"]["file"]["path"])
        lines = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as f:
                lines += [line for line in f.read().split(b"\n") if line]
        return lines

    def output_documents(self):
        return [json.loads(line) for line in self.output_lines()]
