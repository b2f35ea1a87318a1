"""Reads the buffer's segments by FORMAT.md alone: what stands in them committed. No checksums: only for files that no power cut and no
damage has touched since their life wrote them."""

import glob
import os
import struct

HEADER, HEAD, ID = 128, 28, 18
DATA, COMMIT, SNAPSHOT = 0xD1, 0xC2, 0x53


def committed_in(segment, first_seq=None):
    """(documents up to the last commit, the sequence number behind them) of a segment's bytes. None when it does not begin with
    first_seq or is no segment: what came before it is not whole."""
    if len(segment) < HEADER or segment[:8] != b"BARGESEG":
        return None
    seq, = struct.unpack_from("<Q", segment, 64 + 16)
    if first_seq is not None and seq != first_seq:
        return None
    found, pending, at, snapshot = [], [], HEADER, False
    committed_seq = seq
    while at + HEAD <= len(segment):
        length, _, kinds, number = struct.unpack_from("<IIIQ", segment, at + 4)
        kind, index_n = kinds & 0xFF, kinds >> 24
        end = at + HEAD + length
        if kind not in (DATA, COMMIT, SNAPSHOT) or number != seq or end > len(segment):
            break
        if kind == DATA:
            pending.append(segment[at + HEAD:end - index_n - ID])
            seq += 1
        else:
            snapshot = snapshot or kind == SNAPSHOT
            found += pending
            pending, committed_seq = [], seq
        at = end
    return (found, committed_seq) if snapshot else None


def committed(files):
    """The documents that a start must find in these segments, {path: bytes}, in the order of the log, delivered ones included."""
    found, seq = [], None
    for path in sorted(p for p in files if p.endswith(".seg")):
        part = committed_in(files[path], seq)
        if part is None:
            break
        found += part[0]
        seq = part[1]
    return found


def in_folder(folder):
    """{path: bytes} of a buffer's folder."""
    found = {}
    for path in glob.glob(os.path.join(folder, "*.seg")):
        with open(path, "rb") as f:
            found[path] = f.read()
    return found
