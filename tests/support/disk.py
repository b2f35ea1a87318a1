"""The disk below a barge-crash: what a loss of power leaves of a folder (crash_io.c keeps the books of it)."""

import os
import shutil

SECTORS = (512, 4096)
KEPT = ("nothing", "all", "some")  # of what was not fsynced


class Disk:
    """root: the folder whose fate is recorded; it begins empty, or as it stands, all of it on disk."""

    def __init__(self, folder):
        # As /proc/self/fd names the files in it.
        folder = os.path.realpath(str(folder))
        self.root = os.path.join(folder, "disk")
        self.shadow = os.path.join(folder, "disk-shadow")
        os.makedirs(self.root, exist_ok=True)
        self.begin()

    @property
    def environment(self):
        return {"BARGE_DISK": f"{self.root} {self.shadow}"}

    def _at(self, kind, name):
        return os.path.join(self.shadow, kind, str(name))

    def begin(self):
        """All that lies below root is on disk."""
        shutil.rmtree(self.shadow, ignore_errors=True)
        for kind in ("live", "disk", "lost", "names"):
            os.makedirs(os.path.join(self.shadow, kind))
        self.begun_with = set()
        for folder, _, files in os.walk(self.root):
            names = []
            for entry in os.scandir(folder):
                names.append(f"{entry.inode()} {'d' if entry.is_dir(follow_symlinks=False) else 'f'} {entry.name}\n")
            with open(self._names(os.path.relpath(folder, self.root)), "w", encoding="utf-8") as f:
                f.writelines(names)
            for name in files:
                path = os.path.join(folder, name)
                inode = os.stat(path).st_ino
                os.link(path, self._at("live", inode))
                shutil.copyfile(path, self._at("disk", inode))
                self.begun_with.add(path)

    def _names(self, relative):
        return self._at("names", ("" if relative == "." else "/" + relative).replace("/", "%") + "%")

    def _names_on_disk(self, relative):
        """{name: (inode, is a folder)}"""
        found = {}
        try:
            with open(self._names(relative), encoding="utf-8") as f:
                for line in f:
                    inode, kind, name = line.rstrip("\n").split(" ", 2)
                    found[name] = int(inode), kind == "d"
        except FileNotFoundError:
            pass
        return found

    def _read(self, kind, inode):
        try:
            with open(self._at(kind, inode), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    # -- what was fsynced --

    def synced(self):
        """{path: bytes as of its last fsync} of every file that stands below root. Whether its name was fsynced, and those of the
        folders above it, is not asked: to see to that was the agent's business, too."""
        found = {}
        for folder, _, files in os.walk(self.root):
            for name in files:
                path = os.path.join(folder, name)
                found[path] = self._read("disk", os.stat(path).st_ino) or b""
        return found

    # -- the loss of power --

    def cut(self, dice, kept):
        """Leaves of root what is on disk, and of what was written since nothing, all, or any of it: sectors, lengths, names. The
        process must have ended."""
        made = self.root + ".cut"
        shutil.rmtree(made, ignore_errors=True)
        share, sector = dice.random(), dice.choice(SECTORS)

        def keep():
            return kept == "all" or (kept == "some" and dice.random() < share)

        self._cut_folder(".", made, keep, sector)
        shutil.rmtree(self.root)
        os.rename(made, self.root)
        self.begin()

    def _cut_folder(self, relative, made, keep, sector):
        os.makedirs(os.path.join(made, relative), mode=0o700)
        before = self._names_on_disk(relative)
        try:
            now = {e.name: (e.inode(), e.is_dir(follow_symlinks=False)) for e in os.scandir(os.path.join(self.root, relative))}
        except FileNotFoundError:
            now = {}
        for name in sorted(before | now):
            old, new = before.get(name), now.get(name)
            chosen = new if old == new or keep() else old
            if chosen is None:
                continue
            below = name if relative == "." else f"{relative}/{name}"
            if chosen[1]:
                self._cut_folder(below, made, keep, sector)
            else:
                self._cut_file(chosen[0], os.path.join(made, below), os.path.join(self.root, below), keep, sector)

    def _cut_file(self, inode, to, path, keep, sector):
        live, disk, lost = (self._read(kind, inode) for kind in ("live", "disk", "lost"))
        if live is None:  # nobody wrote to it through the seam
            shutil.copyfile(path, to)
            return
        disk, lost = disk or b"", lost or b""
        out = bytearray(disk)
        if len(live) != len(disk) and keep():
            out = out[:len(live)] + bytes(max(0, len(live) - len(out)))
        for at in range(0, len(live), sector):
            part = live[at:at + sector]
            if part == disk[at:at + sector] or any(lost[at // 512:(at + sector) // 512]) or not keep():
                continue
            out += bytes(max(0, at + len(part) - len(out)))
            out[at:at + len(part)] = part
        with open(to, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(out)
