"""Plain text logs, and what logrotate does to them."""

import gzip
import os
import shutil

BANNER = b"/usr/sbin/mysqld, Version: 8.0.36 started with:\nTcp port: 3306  Unix socket: /run/mysqld.sock\nTime                 Id Command    Argument\n"


class TextLogs:
    """A folder of log files, and what must arrive from it: every line that was written, as often as it was."""

    def __init__(self, folder):
        self.folder, self.written = str(folder), []
        os.makedirs(self.folder)

    def at(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, *lines):
        with open(self.at(name), "ab") as f:
            for line in lines:
                f.write(line + b"\n")
        self.written += [line.decode() for line in lines]

    def banner(self, name):
        self.write(name, *BANNER.splitlines())

    def rename(self, *names):
        """logrotate: the last one's new name first."""
        for new, old in zip(names[::-1], names[-2::-1]):
            if os.path.exists(self.at(old)):
                os.rename(self.at(old), self.at(new))

    def gzip(self, name):
        with open(self.at(name), "rb") as f, gzip.open(self.at(name + ".gz"), "wb") as z:
            shutil.copyfileobj(f, z)
        os.unlink(self.at(name))

    def copytruncate(self, name, to):
        shutil.copyfile(self.at(name), self.at(to))
        os.truncate(self.at(name), 0)
