"""barge top on a pseudo terminal: what it shows, and that it leaves the terminal as it was."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest

import barge as program
from load import line
from waiting import PATIENCE, wait_until

ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """barge on a pseudo terminal of its own, which it controls."""

    def __init__(self, *arguments, rows=24, columns=80):
        self.leader, self.follower = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.follower)
        self.said = b""
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        self.process = subprocess.Popen([program.BINARY, *map(str, arguments)], stdin=self.follower, stdout=self.follower,
                                        stderr=subprocess.PIPE, env={**env, "TERM": "xterm"}, start_new_session=True)

    def resize(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.leader], [], [], 0)[0]:
            self.said += os.read(self.leader, 65536)
        return self.said.replace(b"\r\r\n", b"\r\n")  # the terminal adds a carriage return of its own

    def frame(self):
        """The lines of the last whole frame."""
        frames = self.read().split(b"\x1b[H")
        whole = [f for f in frames if b"q ends" in f]
        return [ESCAPES.sub(b"", x).decode() for x in whole[-1].split(b"\r\n")] if whole else []

    def wait_for(self, text):
        wait_until(lambda: any(re.search(text, x) for x in self.frame()), 15, lambda: (text, self.said[-3000:]))

    def end(self):
        """Waits for its end; returns the exit status, and whether the terminal is as it was found."""
        wait_until(lambda: self.read() is not None and self.process.poll() is not None, 10, lambda: self.said[-500:])
        errors = self.process.stderr.read().decode()
        self.process.stderr.close()
        assert not program.SANITIZER.search(errors) and errors == "", errors
        restored = termios.tcgetattr(self.follower) == self.before and self.read().endswith(LEAVE)
        os.close(self.leader)
        os.close(self.follower)
        return self.process.returncode, restored


def test_rates_and_size(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    screen = Screen("top", "-c", barge.config_path)
    screen.wait_for(r"^docker +0  lag 0 B")
    container.write(b"".join(line("app-1", i) for i in range(500)))
    screen.wait_for(r"^docker +[1-9][0-9,]* +[0-9.]+ [KM]?i?B +500 ")
    elastic.wait_for(500)
    screen.wait_for(r"^delivered .* 500  0 on their way")
    screen.wait_for(r"^output +breaker closed  0 of \d+ requests under way, [0-9.]+/s, \d+ ms each")
    assert screen.said.startswith(ENTER) and b"\x1b[2J" not in screen.said
    screen.resize(6, 40)
    os.kill(screen.process.pid, signal.SIGWINCH)
    wait_until(lambda: len(screen.frame()) == 6, 10, screen.frame)
    assert max(map(len, screen.frame())) <= 40
    os.write(screen.leader, b"q")
    assert screen.end() == (0, True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_signal_leaves_the_terminal_as_it_was(lab, how):
    barge = lab.barge(lab.config())
    screen = Screen("top", "-c", barge.config_path)
    screen.wait_for("^barge ")
    assert termios.tcgetattr(screen.follower) != screen.before  # no echo, no line to be ended
    screen.process.send_signal(how)
    assert screen.end() == (0, True)


def test_an_agent_that_goes_away_and_comes_back(lab):
    barge = lab.barge(lab.config())
    screen = Screen("top", "-c", barge.config_path)
    screen.wait_for("^barge ")
    barge.stop()
    screen.wait_for("^! no agent answers")
    barge.start()
    wait_until(lambda: screen.frame() and not screen.frame()[0].startswith("!"), 15, screen.frame)
    os.write(screen.leader, b"q")
    assert screen.end() == (0, True)


def test_without_a_terminal_it_is_status(lab):
    barge = lab.barge(lab.config())
    once = program.run("top", "-c", barge.config_path)
    assert once.returncode == 0 and "\x1b" not in once.stdout and "ledger\n  read" in once.stdout
    assert once.stdout.splitlines()[0].startswith("barge ")
    barge.stop()
    assert program.run("top", "-c", barge.config_path).returncode == 1
    screen = Screen("top", "-c", barge.config_path)
    assert screen.process.wait(10 * PATIENCE) == 1 and b"no agent answers" in screen.process.stderr.read()
    assert screen.read() == b""
