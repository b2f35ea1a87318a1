"""GELF: what real senders sent, and what nobody should send."""

import collections
import contextlib
import datetime
import gzip
import os
import random
import signal
import socket
import struct
import time
import zlib
from decimal import Decimal

import json

import pytest

import corpus
from docker_folder import rfc3339_nano
from expect import as_object, check_document, value_at
from gelf_sender import chunks, message, pack
from waiting import PATIENCE, wait_until

UDP = "docker26/gelf/udp"
CASES = sorted(c for c in os.listdir(corpus.path(UDP)))
FLOOD = int(os.environ.get("BARGE_FLOOD", "60000"))
CLIENTS = ["gelf-pro", "gelf-stream", "graygelf", "winston-graylog2"]


def decimals(path):
    """Messages of a decoded file with their numbers as text says them."""
    with open(path, encoding="utf-8") as f:
        rows = [json.loads(line, parse_float=Decimal) for line in f]
    return [row.get("msg", row) for row in rows]


def instant(timestamp):
    """@timestamp of a GELF timestamp."""
    return rfc3339_nano(int(Decimal(timestamp).scaleb(9)))


def joined(messages):
    """What Docker's pieces become: [message with its whole text]. Same container, level and timestamp, after a piece of
    16,384 bytes or more that is no complete JSON."""
    found = []
    for m in messages:
        before = found[-1] if found else None
        if (before is not None and before["_last"] >= 16384 and as_object(before["short_message"]) is None
                and all(before.get(k) == m.get(k) for k in ("_container_id", "level", "timestamp"))):
            before["short_message"] += m["short_message"]
            before["_last"] = len(m["short_message"].encode())
        else:
            found.append({**m, "_last": len(m["short_message"].encode())})
    return found


def send_paced(barge, sender, datagrams, sent_before=0):
    """Sends without ever outrunning the socket's buffer."""
    for at in range(0, len(datagrams), 50):
        for datagram in datagrams[at:at + 50]:
            sender.datagram(datagram)
        wanted = sent_before + min(at + 50, len(datagrams))
        wait_until(lambda: barge.status()["inputs"]["gelf"]["datagrams"] >= wanted, 10, barge.status)
    return sent_before + len(datagrams)


def udp(lab, elastic=None, docker=None, **sections):
    address = lab.gelf_address()
    elastic = elastic or lab.elastic()
    barge = lab.barge(lab.config(elastic, docker, gelf_udp=f"127.0.0.1:{address[1]}", **sections))
    return elastic, barge, address


def test_everything_that_docker_sent(lab):
    elastic, barge, address = udp(lab)
    wanted, sent = [], 0
    for case in CASES:
        datagrams, _ = corpus.datagrams(UDP, case)
        sender = lab.gelf_sender(address)
        sent = send_paced(barge, sender, datagrams, sent)
        wanted += joined(decimals(corpus.path(UDP, case, "decoded.jsonl")))
    elastic.wait_for(len(wanted))
    barge.wait_drained()
    figures = barge.status()["inputs"]["gelf"]
    assert figures["datagrams"] == sent and figures["kernel_dropped"] == 0 and figures["incomplete"] == 0

    def key(container, stream, at):
        return container, stream, at

    unused = collections.defaultdict(list)
    for d in sorted(elastic.documents(), key=lambda d: d["event"]["sequence"]):
        unused[key(d["container"]["id"], d["stream"], d["@timestamp"])].append(d)
    for m in wanted:
        stream = "stdout" if m["level"] == 6 else "stderr"
        document = unused[key(m["_container_id"], stream, instant(m["timestamp"]))].pop(0)
        check_document(document, m["short_message"], **{"container.name": m["_container_name"], "container.image.name": m["_image_name"]})
        members = as_object(m["short_message"])
        if members is None:
            assert "log" not in document, document
        assert ("gelf_joined" in document.get("tags", [])) == (len(m["short_message"].encode()) > m["_last"])
        assert "_command" not in json.dumps(document)
    assert not any(unused.values())


@pytest.mark.parametrize("client", CLIENTS)
def test_everything_that_other_clients_sent(lab, client):
    elastic, barge, address = udp(lab)
    datagrams, _ = corpus.datagrams("gelf-npm", client)
    wanted = decimals(corpus.path("gelf-npm", client, "decoded.jsonl"))
    send_paced(barge, lab.gelf_sender(address), datagrams)
    elastic.wait_for(len(wanted))
    barge.wait_drained()
    check_clients(elastic.documents(), wanted)


LEVELS = {0: "fatal", 1: "fatal", 2: "fatal", 3: "error", 4: "warn", 5: "info", 6: "info", 7: "debug"}


def check_clients(documents, wanted):
    """Messages of senders that are not Docker: text, time, level, request id, each once."""
    unused = collections.defaultdict(list)
    for d in documents:
        # The decoded files name the folder of a stack trace by another name than the datagrams do.
        d["message"] = d["message"].replace("/tmp/dockercorpus/", "/corpus/")
        unused[d["message"]].append(d)
    for m in wanted:
        text = m.get("full_message") or m.get("short_message") or m.get("message")
        members = as_object(text)
        candidates = unused[text] if members is None else [d for rest in unused.values() for d in rest]
        fits = [d for d in candidates if "timestamp" not in m or d["@timestamp"] == instant(m["timestamp"])]
        assert fits, (m, candidates[:2])
        document = fits[0]
        unused[document["message"]].remove(document)
        if "_request_id" in m:
            assert value_at(document, "http.request.id") == m["_request_id"]
        if members is None and isinstance(m.get("level"), int):
            assert document["log"]["level"] == LEVELS[m["level"]], document
    assert not any(unused.values())


def test_streams_that_docker_and_others_sent(lab):
    address = lab.gelf_address("tcp")
    elastic = lab.elastic()
    barge = lab.barge(lab.config(elastic, gelf_tcp=f"127.0.0.1:{address[1]}"))
    wanted = 0
    for folder in sorted(glob_streams()):
        for data, _ in corpus.streams(folder):
            stream = lab.gelf_stream(address)
            # In odd portions, so that frames are cut everywhere.
            for at in range(0, len(data), 4099):
                stream.raw(data[at:at + 4099])
            stream.close()
        for path in sorted(os.listdir(corpus.path(folder))):
            if path.endswith(".jsonl"):
                messages = decimals(corpus.path(folder, path))
                wanted += len(joined(messages)) if "docker26" in folder else len(messages)
    elastic.wait_for(wanted)
    barge.wait_drained()


def glob_streams():
    return ["gelf-npm/gelf-pro-tcp"] + [f"docker26/gelf/tcp/{c}" for c in os.listdir(corpus.path("docker26/gelf/tcp"))]


def test_fields_of_a_message(lab):
    elastic, barge, address = udp(lab)
    lab.gelf_sender(address).send(message("stock low", host="srv-9", timestamp=1542963600.000140891, level=4, facility="shop", _sku="A-9",
                                          _qty=3, _requestId="r-1", _service="orders", _ok=True, _user_name="x"))
    lab.gelf_sender(address).send(b'{"version":"1.1","host":"srv-9","short_message":"short","full_message":"the whole\\nstory",'
                                  b'"timestamp":1542963600.000140891,"_id":"no","level":3}')
    elastic.wait_for(2)
    barge.wait_drained()
    by_text = {d["message"]: d for d in elastic.documents()}
    d = by_text["stock low"]
    assert d["host"]["name"] == "srv-9" and d["log"]["level"] == "warn" and d["service"]["name"] == "orders"
    assert d["http"]["request"]["id"] == "r-1" and d["sku"] == "A-9" and d["qty"] == 3
    # Nine digits, from the decimal text.
    assert by_text["the whole\nstory"]["@timestamp"] == "2018-11-23T09:00:00.000140891Z"
    assert {index for index, _ in elastic.store} == {"microservices-2018.11.23"}


def test_every_way_of_packing(lab):
    elastic, barge, address = udp(lab)
    ways = ["none", "gzip", "zlib", 9, 10, 11, 12, 13, 14, 15]
    n = 0
    for way in ways:
        for size in (10, 1400, 5000, 60000):
            for order in (None, "reversed", "random"):
                sender = lab.gelf_sender(address)
                text = random.Random(n).randbytes(size // 2).hex()
                sender.send(message(f"{n} {text}"), way, chunked=None if size < 60000 else True, order=order, seed=n, empty_last=size == 5000)
                sender.close()
                n += 1
                wait_until(lambda: barge.ledger()["read"] == n, 10, barge.status)
    elastic.wait_for(n)
    texts = {d["message"] for d in elastic.documents()}
    assert len(texts) == n and "kernel_dropped" in barge.status()["inputs"]["gelf"]


def test_chunks_of_many_senders_at_once(lab):
    """One chunk id used by all of them: the sender's address tells them apart."""
    elastic, barge, address = udp(lab)
    senders = [lab.gelf_sender(address) for _ in range(50)]
    parts = [chunks(pack(message(f"sender {i} " + "x" * 4000)), chunk_id=b"samesame") for i in range(50)]
    for number in range(len(parts[0])):
        for i, sender in enumerate(senders):
            sender.datagram(parts[i][number])
    elastic.wait_for(50)
    assert {d["message"].split(" x")[0] for d in elastic.documents()} == {f"sender {i}" for i in range(50)}
    barge.wait_drained()


def test_a_repeated_datagram_is_two_messages(lab):
    elastic, barge, address = udp(lab)
    sender = lab.gelf_sender(address)
    for _ in range(2):
        sender.send(message("twice", timestamp=1542963600.5))
    elastic.wait_for(2)
    barge.wait_drained()


BOMB = zlib.compress(b"\0" * (64 << 20), 9)


def abuse():
    """Datagrams that nobody should send."""
    good = pack(message("x"))
    yield from (bytes([b]) for b in range(256))
    yield from (b"\x1e\x0f" + b"12345678"[:n] for n in range(9))
    yield from (b"\x1e\x0fabcdefg" + bytes([i]) + bytes([seq, count]) + b"{" for i, (seq, count) in enumerate([(0, 0), (5, 5), (200, 129), (255, 255), (3, 2), (128, 128)]))
    yield from (b"\x1e\x0fcontrary" + bytes([0, count]) + b"{" for count in (2, 3, 4))
    yield from (b"{", b"{}", b"[]", b"null", b"\x00", b"{\"short_message\":", b"{\"host\":1,\"short_message\":[]}", b"\xff\xfe{}")
    packed = gzip.compress(good)
    yield from (packed[:-1], packed[:-8], packed[:20], packed[:10], packed[:-8] + b"\0" * 8, b"\x1f\x8b", b"\x1f\x8b\x08\x04" + b"\xff" * 100)
    yield from (zlib.compress(good)[:-1], b"\x78\xbb" + b"abcd" * 9, b"\x78\x9c", BOMB[:60000])
    yield gzip.compress(gzip.compress(good))
    yield from (random.Random(i).randbytes(random.Random(i).randrange(1, 1500)) for i in range(200))


def test_abuse_is_counted_and_survived(lab):
    elastic, barge, address = udp(lab)
    sender = lab.gelf_sender(address)
    datagrams = list(abuse())
    sent = send_paced(barge, sender, datagrams)
    for part in chunks(BOMB):
        if len(chunks(BOMB)) <= 128:
            sender.datagram(part)
            sent += 1
    lab.gelf_sender(address).send(message("still here"))
    wait_until(lambda: any(d.get("message") == "still here" for d in elastic.documents()), 10, "the good one")
    figures = barge.status()["inputs"]["gelf"]
    assert figures["bad_chunks"] > 0 and figures["undecodable"] > 0 and figures["datagrams"] == sent + 1
    ledger = barge.balanced()
    assert ledger["dropped"]["invalid"] > 0
    barge.wait_drained()


def test_incomplete_messages_are_given_up_after_five_seconds(lab):
    elastic, barge, address = udp(lab)
    sender = lab.gelf_sender(address)
    for i in range(10):
        for part in chunks(pack(message("x" * 5000)))[:-1]:
            sender.datagram(part)
    wait_until(lambda: barge.status()["inputs"]["gelf"]["chunks_pending"] > 0, 5)
    wait_until(lambda: barge.status()["inputs"]["gelf"]["incomplete"] == 10, 12, barge.status)
    assert barge.status()["inputs"]["gelf"]["chunks_pending"] == 0 and barge.ledger()["read"] == 0 and not elastic.store


def test_a_flood_of_chunks_leaves_room_for_others(lab):
    """A sender that never finishes a message: bounded memory, and the messages of others come through."""
    elastic, barge, address = udp(lab, inputs={"gelf": {"max_pending": "1MiB"}})
    flood, honest = lab.gelf_sender(address), lab.gelf_sender(address)
    sent = 0
    for round_number in range(20):
        sent = send_paced(barge, flood, [b"\x1e\x0f" + os.urandom(8) + b"\x00\x02" + b"x" * 1400 for _ in range(200)], sent)
        honest.send(message(f"honest {round_number} " + "y" * 3000), chunked=True)
        sent += len(chunks(pack(message(f"honest {round_number} " + "y" * 3000))))
        elastic.wait_for(round_number + 1)
    assert barge.status()["inputs"]["gelf"]["pending_bytes"] <= 1 << 20
    assert barge.status()["inputs"]["gelf"]["evicted"] > 0


def sent_in_full(barge, sender, others=0):
    """Waits until each datagram has been received or dropped by the kernel, and no more; the figures then."""
    def figures():
        # The kernel tells how many it dropped together with the next datagram.
        sender.send(message("nudge"))
        now = barge.status()["inputs"]["gelf"]
        return now if now["datagrams"] + now["kernel_dropped"] >= sender.sent + others else None

    found = wait_until(figures, 20, barge.status, every_s=0.1)
    assert found["datagrams"] + found["kernel_dropped"] == sender.sent + others
    return found


def test_endless_ids_at_line_rate(lab):
    """First chunks with ever new ids, as fast as they can be sent: memory stays below the cap, the books balance to the
    datagram, and complete messages of another sender arrive."""
    elastic, barge, address = udp(lab, inputs={"gelf": {"max_pending": "8MiB"}}, log={"level": "warn"})
    flood, honest = lab.gelf_sender(address), lab.gelf_sender(address)
    before, peak, n = barge.rss_kib(), 0, 0
    rest = b"\x00\x02" + b"x" * 500
    for i in range(FLOOD):
        flood.datagram(b"\x1e\x0f" + struct.pack("<Q", i * 0x9E3779B97F4A7C15 % (1 << 64)) + rest)
        if i % 500 == 0:
            honest.send(message(f"honest {n} " + "y" * 4000))
            n += 1
            peak = max(peak, barge.rss_kib())
    figures = sent_in_full(barge, honest, flood.sent)
    barge.wait_drained()
    arrived = sum(1 for d in elastic.documents() if d["message"].startswith("honest"))
    # What the kernel dropped never was complete.
    assert arrived >= 0.99 * n - figures["kernel_dropped"], (arrived, n, figures)
    assert figures["evicted"] > 0 and figures["pending_bytes"] <= 8 << 20
    if PATIENCE == 1:  # a sanitizer has memory of its own
        # Besides: what the honest messages take on their way, 64 datagrams of any size, and a message put together.
        assert max(peak, barge.rss_kib()) - before < (8 << 10) + 12000, (before, peak)
    print(f"{FLOOD} ids: {before} KiB before, {peak} at most; {arrived} of {n} arrived; {figures}")


def dear_json():
    """8 MiB in few datagrams, of the kind that costs most when it is taken apart."""
    return zlib.compress(b'{"short_message":"m","_a":' + b'{"a":' * 60 + b'{"x.y":"' + b"\\n" * ((4 << 20) - 1000) + b'"}' + b"}" * 61, 9)


@pytest.mark.parametrize("bomb", [BOMB, dear_json()], ids=["zeros", "json"])
def test_bombs_cost_little(lab, bomb):
    """150 kB/s of bombs, a figure at which other receivers fill a core."""
    elastic, barge, address = udp(lab, log={"level": "warn"})
    bombs, honest = lab.gelf_sender(address), lab.gelf_sender(address)
    before, began, sent, n = barge.cpu_seconds(), time.monotonic(), 0, 0
    while time.monotonic() - began < 3 / PATIENCE:  # where all takes longer, a bomb does, too
        if sent > 150000 * (time.monotonic() - began):
            time.sleep(0.01)
            continue
        for part in chunks(bomb, size=60000):
            bombs.datagram(part)
            sent += len(part)
        honest.send(message(f"honest {n} " + "y" * 3000), "gzip")
        n += 1
    figures = sent_in_full(barge, honest, bombs.sent)
    share = (barge.cpu_seconds() - before) / (time.monotonic() - began)
    wait_until(lambda: sum(1 for v in list(elastic.store.values()) if b'"honest ' in v) >= n - figures["kernel_dropped"], 20, barge.status)
    assert figures["undecodable"] > 0 and n > 0
    barge.wait_drained()
    print(f"{sent} bytes of bombs: {share * 100:.1f} % of a core")
    assert share < 0.5 * PATIENCE


def test_a_network_that_repeats_reorders_and_loses(lab):
    """Chunks twice, out of order, and some not at all: what came whole is there once; the rest is counted."""
    elastic, barge, address = udp(lab)
    sender, rng = lab.gelf_sender(address), random.Random(19)
    on_the_way, whole, torn = [], set(), 0
    for i in range(300):
        parts = chunks(pack(message(f"message {i} " + rng.randbytes(rng.randrange(1500, 4000)).hex()), rng.choice(["none", "gzip"])),
                       size=rng.choice([200, 500, 1408]), chunk_id=struct.pack(">Q", i))
        kept = [p for p in parts if rng.random() > 0.01]
        whole |= {i} if len(kept) == len(parts) else set()
        torn += 0 < len(kept) < len(parts)
        on_the_way += [(i + rng.random() * 6, p) for p in kept]
    datagrams = []
    for _, part in sorted(on_the_way):
        datagrams.append(part)
        if rng.random() < 0.3:  # and at once again, while the message lacks others
            datagrams.append(part)
    # A repetition behind the last chunk begins a message that never ends.
    begun = {}
    for d in datagrams:
        key, count = d[2:10], d[11]
        got = begun.setdefault(key, set())
        got.add(d[10])
        if len(got) == count:
            del begun[key]
    sent = send_paced(barge, sender, datagrams)
    elastic.wait_for(len(whole))
    wait_until(lambda: barge.status()["inputs"]["gelf"]["chunks_pending"] == 0, 12, barge.status)
    figures = barge.status()["inputs"]["gelf"]
    ledger = barge.wait_drained()
    assert {int(d["message"].split()[1]) for d in elastic.documents()} == whole and ledger["read"] == len(whole)
    assert torn > 20 and figures["incomplete"] == len(begun) and figures["datagrams"] == sent
    assert figures["bad_chunks"] == 0 and figures["kernel_dropped"] == 0


# GELF messages that are none, or odd: what the document must have
ODD = [
    ({"short_message": "no host or version"}, {"host": {"name": "test-host"}}),
    ({"host": "h", "message": "message instead"}, {}),
    ({"host": 7, "short_message": "host is a number", "version": 3}, {}),
    ({"host": "h", "short_message": "own ids", "_id": "x", "_index": "evil", "_source": {"a": 1}, "_type": "t", "@timestamp": {"a": 1}}, {}),
    ({"host": "h", "short_message": "time is text", "timestamp": "1542963600.25"}, {"@timestamp": "2018-11-23T09:00:00.25Z"}),
    ({"host": "h", "short_message": "time is a date", "timestamp": "2018-11-23T09:00:00Z"}, {}),
    (b'{"host":"h","short_message":"time is NaN","timestamp":"NaN","_inf":1e999,"_long":' + b"9" * 400 + b"}", {}),
    (b'{"host":"h","short_message":"time is huge","timestamp":1e999}', {}),
    ({"host": "h", "short_message": "time is before all", "timestamp": -1}, {}),
    ({"host": "h", "short_message": "level is a word", "level": "warn"}, {}),
    ({"host": "h", "short_message": "level is 99", "level": 99}, {}),
    (b'{"host":"h","short_message":"names that meet","_a":1,"a":2,"__a":3,"_a":4,"_a.b":5,"_":6,"":7,"_ ":8,"_a_b":9,"_a..b":10}', {}),
    (b'{"host":"h","short_message":"a long name","_' + b"k" * 40000 + b'":1}', {}),
    (b'{"host":"h","short_message":"many","_k":0' + b"".join(b',"_k%d":%d' % (i, i) for i in range(1000)) + b"}", {"k7": 7, "k999": 999}),
    (b'{"host":"h","short_message":"the rest is cut off","_a":1}{"short_message":"not this"}', {"a": 1}),
    (b'\n {"host":"h","short_message":"lone \\ud800 and raw \x01 and \xff"}', {}),
]


def test_odd_messages_are_shipped(lab):
    elastic, barge, address = udp(lab)
    sender = lab.gelf_sender(address)
    for i, (m, _) in enumerate(ODD):
        data = m if isinstance(m, bytes) else json.dumps(m).encode()
        sender.send(data.replace(b'"short_message":"', b'"short_message":"%d ' % i, 1).replace(b'"message": "', b'"message": "%d ' % i, 1)
                    .replace(b'"short_message": "', b'"short_message": "%d ' % i, 1))
    elastic.wait_for(len(ODD))  # the scripted node refuses a name that is there twice, and names of its own
    barge.wait_drained()
    by_number = {int(d["message"].split()[0]): d for d in elastic.documents()}
    now = datetime.datetime.now(datetime.timezone.utc)
    for i, (m, wanted) in enumerate(ODD):
        document = by_number[i]
        for name, value in wanted.items():
            assert document[name] == value, document
        if "@timestamp" not in wanted:  # the time of arrival
            at = datetime.datetime.fromisoformat(document["@timestamp"][:19] + "+00:00")
            assert abs((now - at).total_seconds()) < 120 * PATIENCE, document
        assert not {"_id", "_index", "_source", "_type"} & set(document)
    # Beyond what is taken apart: whole, as text.
    sender.send(b'{"short_message":"10000 fields"' + b"".join(b',"_k%d":1' % i for i in range(3000)) + b"}")
    sender.send(b'{"short_message":"deep","_a":' + b"[" * 20000 + b"]" * 20000 + b"}")
    elastic.wait_for(len(ODD) + 2)
    barge.wait_drained()
    texts = [d["message"] for d in elastic.documents()]
    assert any(t.startswith('{"short_message":"10000 fields","_k0":1') for t in texts) and any(t.startswith('{"short_message":"deep"') for t in texts)


def test_timestamps_all_over_make_few_indices(lab):
    elastic, barge, address = udp(lab, output={"elasticsearch": {"index_window": "7d"}})
    sender, now = lab.gelf_sender(address), int(time.time())
    days = [*range(-10000, 10000, 97), *range(-9, 3)]
    for day in days:
        sender.send(message("m", timestamp=max(1, now + day * 86400)))
    elastic.wait_for(len(days))
    barge.wait_drained()
    # seven days back, today, one ahead; and midnight may pass meanwhile
    assert 8 <= len({index for index, _ in elastic.store}) <= 10


def test_senders_of_every_kind(lab):
    """IPv6, IPv4 on a socket for both, broadcast, a source port of 0."""
    elastic = lab.elastic()
    port = lab.gelf_address()[1]
    barge = lab.barge(lab.config(elastic, gelf_udp=f"[::]:{port}"))
    wanted = {"v4"}
    lab.gelf_sender(("127.0.0.1", port)).send(message("v4"))
    lab.gelf_sender(("127.0.0.1", port)).send(message("v4 in parts"), chunked=True, size=20)
    wanted.add("v4 in parts")
    with contextlib.suppress(OSError):
        lab.gelf_sender(("::1", port)).send(message("v6 in parts"), chunked=True, size=20)
        wanted.add("v6 in parts")
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(pack(message("broadcast")), ("127.255.255.255", port))
        wanted.add("broadcast")
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as s:
        for part in chunks(pack(message("from port 0")), size=40):
            s.sendto(struct.pack(">HHHH", 0, port, 8 + len(part), 0) + part, ("127.0.0.1", 0))
        wanted.add("from port 0")
    elastic.wait_for(len(wanted))
    barge.wait_drained()
    assert {d["message"] for d in elastic.documents()} == wanted


def test_kernel_drops_are_counted(lab):
    elastic, barge, address = udp(lab, inputs={"gelf": {"receive_buffer": "8KiB"}})
    sender = lab.gelf_sender(address)
    sender.send(message("first"))
    elastic.wait_for(1)
    barge.terminate(signal.SIGSTOP)
    for i in range(2000):
        sender.send(message(f"burst {i}"))
    barge.terminate(signal.SIGCONT)

    figures = sent_in_full(barge, sender)
    assert figures["kernel_dropped"] > 0
    elastic.wait_for(figures["datagrams"])
    barge.wait_drained()


def test_what_was_received_survives_kill_9(lab):
    elastic, barge, address = udp(lab)
    elastic.stop()
    sender = lab.gelf_sender(address)
    for i in range(100):
        sender.send(message(f"kept {i}"))
    wait_until(lambda: barge.ledger()["read"] == 100, 10, barge.status)
    barge.restart(kill=True)
    assert barge.ledger()["buffered"] == 100
    elastic.start()
    elastic.wait_for(100)
    barge.wait_drained()
    assert {d["message"] for d in elastic.documents()} == {f"kept {i}" for i in range(100)}


def test_a_container_is_looked_up_by_its_id(lab):
    docker = lab.docker()
    container = docker.container("shop-orders-1", image="shop/orders:1.4", labels={"com.docker.compose.service": "orders"}, driver="gelf")
    elastic, barge, address = udp(lab, docker=docker)
    docker_fields = {"_command": "run", "_container_id": container.id, "_container_name": "shop-orders-1", "_created": "2026-11-23T03:55:20.6Z",
                     "_image_id": "sha256:" + "ab" * 32, "_image_name": "shop/orders:1.4", "_tag": container.id[:12], "_my.label/x": "v"}
    lab.gelf_sender(address).send(message("hello", level=6, timestamp=1542963600.123, **docker_fields))
    lab.gelf_sender(address).send(message('{"level":"warn","msg":"inner","n":1}', level=3, timestamp=1542963600.123, **docker_fields))
    elastic.wait_for(2)
    barge.wait_drained()
    outer, inner = sorted(elastic.documents(), key=lambda d: d["message"])
    for d in (outer, inner):
        assert d["container"]["id"] == container.id and d["container"]["name"] == "shop-orders-1"
        assert d["container"]["image"]["name"] == "shop/orders:1.4" and d["service"]["name"] == "orders"
        assert d["container"]["labels"]["my_label_x"] == "v"
    assert outer["stream"] == "stdout" and "log" not in outer and outer["message"] == "hello"
    assert inner["stream"] == "stderr" and inner["log"]["level"] == "warn" and inner["n"] == 1


def test_streams_are_cut_at_nul_and_nowhere_else(lab):
    address = lab.gelf_address("tcp")
    elastic = lab.elastic()
    barge = lab.barge(lab.config(elastic, gelf_tcp=f"127.0.0.1:{address[1]}"))
    one, two = lab.gelf_stream(address), lab.gelf_stream(address)
    texts = [f"message {i}\nwith a line feed" for i in range(50)]
    data = b"".join(pack(message(t)) + (b"\n" if i % 2 else b"") + b"\0" for i, t in enumerate(texts))
    for i in range(0, len(data), 7):
        one.raw(data[i:i + 7])
    two.raw(b"\0\0" + pack(message("other")) + b"\0" + b'{"short_message":"never ended"')
    two.close()
    elastic.wait_for(52)
    barge.wait_drained()
    torn = '{"short_message":"never ended"'
    assert {d["message"] for d in elastic.documents()} == {*texts, "other", torn}
    assert [d["message"] for d in elastic.documents() if "tags" in d] == [torn]


def test_what_is_no_gelf_is_shipped_as_text(lab):
    """Odd input is shipped with a word in tags; what nobody could read is counted."""
    elastic, barge, address = udp(lab)
    sender = lab.gelf_sender(address)
    for text in ["hello", "ærlig talt", '{"short_message":"cut', "{}", '{"version":"1.1","host":"h1"}', "[1,2]"]:
        sender.datagram(text.encode())
    for rubbish in [b"", b" \n", b"\0\0\0", b"\xff\xfe\xfd", b"bell\a"]:
        sender.datagram(rubbish)
    elastic.wait_for(6)
    documents = {d.get("message"): d for d in elastic.documents()}
    for text in ["hello", "ærlig talt", '{"short_message":"cut', "[1,2]"]:
        assert documents[text]["tags"] == ["json_invalid"], text
    assert "tags" not in documents["{}"]
    assert documents[None]["version"] == "1.1" and documents[None]["app"]["host"] == "h1"
    wait_until(lambda: barge.ledger()["dropped"]["invalid"] + barge.status()["inputs"]["gelf"]["undecodable"] == 5, 10, "five counted")


def test_both_families_and_both_kinds_on_one_port(lab):
    address = lab.gelf_address("tcp")
    where = f"127.0.0.1:{address[1]}"
    elastic = lab.elastic()
    barge = lab.barge(lab.config(elastic, gelf_udp=where, gelf_tcp=where))
    lab.gelf_sender(address).send(message("udp"))
    lab.gelf_stream(address).send(message("tcp"))
    elastic.wait_for(2)
    barge.wait_drained()


def test_full_buffer_drops_datagrams_and_counts_them(lab):
    """A file waits, a datagram cannot; what was taken of both arrives."""
    docker = lab.docker()
    elastic, barge, address = udp(lab, docker=docker, buffer={"max_size": "4MiB"})
    elastic.stop()
    sender = lab.gelf_sender(address)
    container = docker.container("app-1")
    container.write(b"".join(b"line %05d " % i + b"x" * 1000 + b"\n" for i in range(6000)))
    sent = 0
    while barge.ledger()["dropped"]["buffer_full"] == 0:
        sent = send_paced(barge, sender, [pack(message(f"gelf {sent + i} " + "y" * 1000)) for i in range(200)], sent)
    ledger = barge.balanced()
    assert barge.status()["buffer"]["bytes"] <= 4 << 20
    wait_until(lambda: barge.status()["inputs"]["docker"]["lag_bytes"] > 0, 10, barge.status)
    elastic.start()
    wait_until(lambda: sum(1 for v in list(elastic.store.values()) if b'"line ' in v) == 6000, 40, barge.status)
    ledger = barge.wait_drained()
    assert ledger["read"] == 6000 + sent and ledger["delivered"] == len(elastic.store) == 6000 + sent - ledger["dropped"]["buffer_full"]
