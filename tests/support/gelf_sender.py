"""Sends GELF as its clients do: datagrams, chunks, gzip, zlib, streams."""

import gzip
import json
import os
import random
import socket
import zlib

CHUNK_DATA = 1408


def pack(message, compression="none"):
    """A message (a dict, or bytes as they are) as the bytes of one datagram or of what is to be cut into chunks."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    if compression == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if compression == "zlib":
        return zlib.compress(data, 1)
    if isinstance(compression, int):  # zlib with another window: 9 … 15 bits
        packer = zlib.compressobj(6, zlib.DEFLATED, compression)
        return packer.compress(data) + packer.flush()
    return data


def chunks(data, chunk_id=None, size=CHUNK_DATA, empty_last=False):
    """The datagrams of a chunked message. empty_last: one chunk more without data, as go-gelf sends it."""
    chunk_id = chunk_id or os.urandom(8)
    parts = [data[i:i + size] for i in range(0, len(data), size)] or [b""]
    if empty_last:
        parts.append(b"")
    return [b"\x1e\x0f" + chunk_id + bytes((i, len(parts))) + part for i, part in enumerate(parts)]


class GelfSender:
    """A UDP sender with a socket (and so an address) of its own."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.sent = 0

    def datagram(self, data):
        self.socket.send(data)
        self.sent += 1

    def send(self, message, compression="none", chunked=None, order=None, seed=0, **chunk_options):
        """chunked: True, False, or None: when it is too long for one datagram. order: None or "reversed", "random"."""
        data = pack(message, compression)
        if chunked or (chunked is None and len(data) > CHUNK_DATA + 12):
            parts = chunks(data, **chunk_options)
            if order == "reversed":
                parts.reverse()
            elif order == "random":
                random.Random(seed).shuffle(parts)
            for part in parts:
                self.datagram(part)
        else:
            self.datagram(data)

    def close(self):
        self.socket.close()


class GelfStream:
    """A TCP sender: a NUL behind each message."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=20)

    def send(self, message):
        self.raw((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\0")

    def raw(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()


def message(text, **more):
    """A minimal GELF 1.1 message."""
    made = {"version": "1.1", "host": "sender-1", "short_message": text}
    made.update(more)
    return made
