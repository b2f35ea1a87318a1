"""Sockets passed to a process as systemd passes them."""

import fcntl
import os
import socket
import sys

PASS = """
import os, sys
given = [int(x) for x in sys.argv[1].split(",")]
for at, fd in enumerate(given):
    os.dup2(fd, 3 + at, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activated(*sockets):
    """Options of a Barge that gets the sockets as systemd passes them: numbers from 3 on, LISTEN_PID of the process itself."""
    fds = [s.fileno() for s in sockets]
    return {"wrapper": [sys.executable, "-ISc", PASS, ",".join(map(str, fds))], "pass_fds": fds}


def high(s):
    """The socket at a high number, so that the wrapper's moves do not cover it."""
    fd = fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, 200)
    made = socket.socket(fileno=fd)
    s.close()
    return made


def large(s):
    """With a receive buffer of 8 MiB, as ReceiveBuffer= of a socket unit gives it, where we may."""
    if os.geteuid() == 0:
        s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
