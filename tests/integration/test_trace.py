"""barge trace: one request over all services, from daily files and from Elasticsearch, as a timeline and as JSON."""

import base64
import datetime
import json
import os
import pty
import re
import signal
import subprocess

import pytest

import barge as program
from scripted_elastic import Whole
from waiting import PATIENCE, wait_until, within_an_hour

DAY = 86400 * 10**9
BASE = 1542963600 * 10**9  # 2018-11-23T09:00:00Z
LONG_AGO = "2018-11-01"


def time_of(ns):
    return datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09d}Z"


def document(ns, request_id, service="orders", **more):
    made = {"@timestamp": time_of(ns), "service": {"name": service}, "http": {"request": {"id": request_id}}, **more}
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def file_config(lab, **sections):
    """Path of a configuration with output.file, whose agent is not started."""
    made = lab.barge(lab.config(**sections), start=False)
    os.makedirs(os.path.join(lab.folder, "out"), exist_ok=True)
    return made.config_path


def day_file(lab, ns):
    return os.path.join(lab.folder, "out", f"microservices-{time_of(ns)[:10].replace('-', '.')}.ndjson")


def append(path, *lines):
    with open(path, "ab") as f:
        f.write(b"".join(line + b"\n" for line in lines))


def stored(elastic, *documents, day="2018.11.23"):
    """Puts documents into the node as if they had been delivered."""
    for text in documents:
        elastic.store[f"microservices-{day}", f"id-{len(elastic.store):06d}"] = text


def es_config(lab, elastic, **sections):
    made = lab.barge(lab.config(elastic, **sections), start=False)
    return made.config_path


def trace(config, *arguments, **options):
    return program.run("trace", "-c", config, *arguments, **options)


def on_terminal(*arguments, env=None):
    """Runs barge with its standard output on a pseudo terminal of 80 columns: (exit status, bytes)."""
    import fcntl
    import struct
    import termios
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    process = subprocess.Popen([program.BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE,
                               env={**clean, "TERM": "xterm", **(env or {})})
    os.close(follower)
    said = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        said += data
    os.close(leader)
    errors = process.communicate(timeout=30 * PATIENCE)[1].decode(errors="replace")
    assert not program.SANITIZER.search(errors), errors
    return process.returncode, said.replace(b"\r\n", b"\n")


class Following:
    """`barge trace --follow` with what it has written so far."""

    def __init__(self, lab, *arguments):
        self.path = os.path.join(lab.folder, "followed")
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen([program.BINARY, "trace", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.PIPE)

    def lines(self):
        with open(self.path, "rb") as f:
            return f.read().split(b"\n")[:-1]

    def wait_for(self, n, what=b""):
        wait_until(lambda: sum(what in line for line in self.lines()) >= n, 15, self.lines)

    def end(self, how=signal.SIGINT):
        if how:
            self.process.send_signal(how)
        errors = self.process.communicate(timeout=20 * PATIENCE)[1].decode()
        assert not program.SANITIZER.search(errors), errors
        return self.process.returncode, errors


# ---- the daily files ----

def test_a_request_over_all_services(lab):
    """Through the whole agent: three containers, two days, and others' records between them."""
    docker = lab.docker()
    barge = lab.barge(lab.config(None, docker))
    gateway, orders, payment = (docker.container(f"shop-{n}-1", labels={"barge.service": n}) for n in ("gateway", "orders", "payment"))
    for i in range(50):
        orders.write(b'{"msg":"noise","requestId":"other-%d"}\n' % i, at_ns=BASE + DAY - 10**9 + i)
    gateway.write(b'{"method":"GET","path":"/orders/7","status":200,"requestId":"r-1"}\n', at_ns=BASE + DAY + 400_000_000)
    orders.write(b'{"level":"info","msg":"order read","requestId":"r-1"}\n', at_ns=BASE + DAY - 100_000_000)
    trace_text = "java.lang.IllegalStateException: no card" + "".join(f"\\n\\tat a.b.C{i}(C.java:{i})" for i in range(5))
    payment.write(b'{"level":"error","msg":"refused","requestId":"r-1","stack_trace":"%s"}\n' % trace_text.encode(), at_ns=BASE + DAY + 1)
    wait_until(lambda: len(barge.output_lines()) == 53, 15)
    done = trace(barge.config_path, "r-1", "--since", LONG_AGO)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == """\
r-1
ms from 2018-11-24T08:59:59.9Z

     0.000  orders   info   order read
            ╌╌ 100.0 ms ╌╌
   100.000  payment  error  refused
                            java.lang.IllegalStateException: no card
                            … 5 more lines
            ╌╌ 400.0 ms ╌╌
   500.000  gateway  -      GET /orders/7 200

3 services: orders, payment, gateway · 500.0 ms · 1 error · 3 records
"""
    as_json = trace(barge.config_path, "r-1", "--since", LONG_AGO, "--json")
    assert as_json.returncode == 0 and as_json.stderr == ""
    lines = [line.encode() for line in as_json.stdout.splitlines()]
    assert set(lines) <= set(barge.output_lines()) and len(lines) == 3
    assert [json.loads(line)["service"]["name"] for line in lines] == ["orders", "payment", "gateway"]


def test_only_the_days_since_then_are_read(lab):
    config = file_config(lab)
    for back in range(5):
        append(day_file(lab, BASE + back * DAY), document(BASE + back * DAY, "r-1"))
    day3 = time_of(BASE + 3 * DAY)
    assert len(trace(config, "r-1", "--json", "--since", day3).stdout.splitlines()) == 2
    said = trace(config, "other", "--since", day3)
    assert said.returncode == 1 and f"looked into 2 files of {lab.folder}/out/" in said.stderr and "--since" in said.stderr
    assert f"no record of other since {day3[:19]}Z" in said.stderr and said.stdout == ""
    assert trace(config, "r-1").returncode == 1  # 24 hours back


def test_ids_however_json_writes_them(lab):
    config = file_config(lab)
    spelt = [rb'{"@timestamp":"2018-11-23T09:00:00Z","http":{"request":{"id":"a\/b\u002bc-1"}},"n":1}',
             rb'{"@timestamp":"2018-11-23T09:00:01Z","trace":{"id":"a/b+c-1"},"n":2}']
    append(day_file(lab, BASE), *spelt, rb'{"@timestamp":"2018-11-23T09:00:02Z","message":"a/b+c-1","n":3}',
           b"no JSON with a/b+c-1", rb'{"@timestamp":"2018-11-23T09:00:02Z","http":{"request":{"id":"a/b+c-12"}},"n":4}')
    done = trace(config, "a/b+c-1", "--json", "--since", LONG_AGO)
    assert done.stdout.encode().splitlines() == spelt


def test_the_torn_last_line_is_left(lab):
    config = file_config(lab)
    append(day_file(lab, BASE), document(BASE, "r-1", message="whole"))
    with open(day_file(lab, BASE), "ab") as f:
        f.write(document(BASE + 1, "r-1", message="torn"))
    done = trace(config, "r-1", "--since", LONG_AGO)
    assert "whole" in done.stdout and "torn" not in done.stdout


def test_several_ids(lab):
    config = file_config(lab)
    append(day_file(lab, BASE), document(BASE, "r-1", message="one"),
           document(BASE + 10**6, "r-3", message="three", trace={"id": "t-2"}), document(BASE + 2 * 10**6, "r-1", message="one more"))
    done = trace(config, "r-1", "t-2", "--since", LONG_AGO)
    assert done.returncode == 0
    assert [line.split()[1:] for line in done.stdout.splitlines()[3:6]] == [
        ["r-1", "orders", "-", "one"], ["t-2", "orders", "-", "three"], ["r-1", "orders", "-", "one", "more"]]
    done = trace(config, "r-1", "nowhere", "--since", LONG_AGO)
    assert done.returncode == 1 and "no record of nowhere" in done.stderr and "one more" in done.stdout


# ---- wrong use ----

@pytest.mark.parametrize("arguments, says", [
    ([], "something is missing"), (["r-1", "--since", "yesterday"], "24h or 7d"), (["r-1", "--since", "0"], "24h or 7d"), (["r-1", "--since"], "--since"),
    (["r-1", "--quick"], "unknown option --quick"), (["r-1", "--json=1"], "no value"), (["r-1", "--width", "7"], "--width"),
    (["r-1", "--quiet", "5s"], "--follow"), ([""], "an id has"), (["x" * 2000], "an id has")])
def test_wrong_use(lab, arguments, says):
    done = trace(file_config(lab), *arguments)
    assert done.returncode == 2 and says in done.stderr and "usage: barge trace" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("section, place, says", [
    ("trace: {username: reader}", "1:19", "trace.username: password_file is missing"),
    ("trace: {password_file: /x}", "1:24", "trace.password_file: username is missing"),
    ("trace: {username: a, password_file: /x, api_key_file: /y}", "1:55", "not both"),
    ("trace: {hosts: [ftp://x]}", "1:17", "trace.hosts"),
    ("trace: {user: a}", "1:9", "username"),
    ("trace: {api_key_file: /y}\noutput: {file: {path: out/x.ndjson}}", "1:23", "the daily files are read")])
def test_a_wrong_trace_section(tmp_path, section, place, says):
    path = tmp_path / "b.yaml"
    path.write_text(section + "\n")
    done = program.run("check", "-c", path)
    assert done.returncode == 2 and done.stderr.startswith(f"{path}:{place}: ") and says in done.stderr


# ---- terminals ----

HOSTILE = {"message": "\x1b[2J\x1b]0;owned\x07 \u009b5m\r\b\u202ereversed", "log": {"level": "\x1b[0m"}, "a\x1b[1mb": "\x7f"}
SGR = re.compile(rb"\x1b\[[0-9;]*m")


def test_colours_on_a_terminal_alone(lab):
    config = file_config(lab)
    append(day_file(lab, BASE), document(BASE, "r-1", message="boom", log={"level": "error"}))
    asked = ("trace", "-c", config, "r-1", "--since", LONG_AGO)
    plain = program.run(*asked).stdout.encode()
    assert b"\x1b" not in plain
    status, colored = on_terminal(*asked)
    assert status == 0 and b"\x1b[1;31merror\x1b[0m" in colored and SGR.sub(b"", colored) == plain
    assert on_terminal(*asked, env={"NO_COLOR": "1"}) == (0, plain)
    assert on_terminal(*asked, env={"TERM": "dumb"}) == (0, plain)
    assert on_terminal(*asked, env={"NO_COLOR": ""})[1] == colored


def test_nothing_in_a_log_reaches_the_terminal(lab):
    config = file_config(lab)
    append(day_file(lab, BASE), document(BASE, "r-1", service="\x1b[31mred", **HOSTILE), document(BASE + 1, "r-1", **{"\x1b[8m": "\x1b[2J"}))
    asked = ("trace", "-c", config, "r-1", "--since", LONG_AGO)
    for said in (program.run(*asked).stdout.encode(), SGR.sub(b"", on_terminal(*asked, "--wrap")[1])):
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae", said), said
        assert b"^[[2J^[]0;owned^G" in said
    # JSON says the same, without a byte that would act.
    status, said = on_terminal(*asked, "--json")
    assert status == 0 and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", said)
    assert json.loads(said.splitlines()[0])["message"] == HOSTILE["message"]
    # What is asked for comes from a person, and may have been pasted.
    missing = program.run("trace", "-c", config, "\x1b[2J")
    assert missing.returncode == 1 and "\x1b" not in missing.stderr and "^[[2J" in missing.stderr


def test_long_messages_fit(lab):
    config = file_config(lab)
    append(day_file(lab, BASE), document(BASE, "r-1", message="word " * 60))
    asked = ("trace", "-c", config, "r-1", "--since", LONG_AGO)
    cut = on_terminal(*asked, env={"NO_COLOR": "1"})[1].decode()
    assert max(map(len, cut.splitlines())) == 80 and cut.count("word") < 15 and "…" in cut
    wrapped = on_terminal(*asked, "--wrap", env={"NO_COLOR": "1"})[1].decode()
    assert max(map(len, wrapped.splitlines())) <= 80 and wrapped.count("word") == 60
    assert program.run(*asked).stdout.count("word") == 60  # a pipe has no width
    assert program.run(*asked, "--width", "60").stdout.count("word") < 10


# ---- following ----

def test_follow_shows_each_record_once(lab):
    config = file_config(lab)
    path = day_file(lab, BASE)
    append(path, document(BASE, "r-1", message="number 0"))
    following = Following(lab, "-c", config, "r-1", "--since", LONG_AGO, "--follow")
    following.wait_for(1, b"number 0")
    for i in range(1, 3):
        with open(path, "ab") as f:  # in two writes, and others' between
            whole = document(BASE + i * 10**7, "r-1", message=f"number {i}") + b"\n" + document(BASE, "r-2", message="other") + b"\n"
            f.write(whole[:20])
            f.flush()
            f.write(whole[20:])
        following.wait_for(1, b"number %d" % i)
    append(day_file(lab, BASE + DAY), document(BASE + DAY, "r-1", message="number 3"))
    following.wait_for(1, b"number 3")
    status, errors = following.end()
    assert status == 0 and errors == ""
    lines = following.lines()
    assert [int(x) for x in re.findall(rb"number (\d)", b"\n".join(lines))] == list(range(4))
    assert lines[-1].endswith("· 4 records".encode()) and b"other" not in b"".join(lines)


def test_follow_ends_after_a_quiet_time(lab):
    config = file_config(lab)
    append(day_file(lab, BASE), document(BASE, "r-1"))
    following = Following(lab, "-c", config, "r-1", "--since", LONG_AGO, "--follow", "--quiet", "200ms", "--json")
    status, errors = following.end(how=None)
    assert status == 0 and errors == "" and following.lines() == [document(BASE, "r-1")]
    following = Following(lab, "-c", config, "r-2", "--follow", "--quiet", "200ms")
    status, errors = following.end(how=None)
    assert status == 1 and "no record of r-2" in errors and following.lines() == []


def test_follow_asks_a_node_that_was_away(lab):
    elastic = lab.elastic()
    stored(elastic, document(BASE, "r-1", message="number 0"))
    following = Following(lab, "-c", es_config(lab, elastic), "r-1", "--since", LONG_AGO, "--follow")
    following.wait_for(1, b"number 0")
    elastic.stop()
    stored(elastic, document(BASE + 1, "r-1", message="number 1"))
    elastic.start()
    following.wait_for(1, b"number 1")
    wait_until(lambda: "track_total_hits" in elastic.searches[-1] and elastic.searches[-1]["size"] == 0, 10)  # it only counts now
    status, _ = following.end()
    assert status == 0 and b"".join(following.lines()).count(b"number") == 2


# ---- Elasticsearch ----

def test_from_elasticsearch(lab):
    elastic, docker = lab.elastic(), lab.docker()
    barge = lab.barge(lab.config(elastic, docker))
    for i, name in enumerate(("gateway", "orders")):
        docker.container(f"shop-{name}-1", labels={"barge.service": name}).write(
            b'{"msg":"of %s","requestId":"r-1"}\n' % name.encode(), at_ns=BASE + (1 - i) * DAY)
    elastic.wait_for(2)
    done = trace(barge.config_path, "r-1", "--since", LONG_AGO)
    assert done.returncode == 0 and done.stderr == ""
    assert [line.split()[1] for line in done.stdout.splitlines() if " of " in line] == ["orders", "gateway"]
    as_json = trace(barge.config_path, "r-1", "--since", LONG_AGO, "--json").stdout.encode().splitlines()
    assert sorted(as_json) == sorted(elastic.store.values())
    assert trace(barge.config_path, "r-1", "--since", time_of(BASE + DAY), "--json").stdout.count("\n") == 1


@pytest.mark.parametrize("digits_ns, n", [(10**6, 10_500), (1, 2_100)], ids=["date", "date_nanos"])
def test_pages(lab, digits_ns, n):
    """More than a node gives at once, of few milliseconds: each record once, by all nine digits."""
    elastic = lab.elastic()
    elastic.digits_ns = digits_ns
    times = [BASE + i * 300 for i in range(n)]
    stored(elastic, *(document(times[i * 1009 % n], "r-1", n=i, event={"sequence": i // 4}) for i in range(n)))
    done = trace(es_config(lab, elastic), "r-1", "--since", LONG_AGO, "--json")
    assert done.returncode == 0 and done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [d["@timestamp"] for d in found] == [time_of(t) for t in times]
    assert len({d["n"] for d in found}) == n
    assert all(s["track_total_hits"] is False for s in elastic.searches)


def test_a_page_of_one_instant(lab):
    """3,000 records without a sequence in one millisecond: there is no place between them to go on from."""
    elastic = lab.elastic()
    stored(elastic, *(document(BASE + i, "r-1", n=i) for i in range(3000)), document(BASE + 10**9, "r-1", n=3000))
    done = trace(es_config(lab, elastic), "r-1", "--since", LONG_AGO, "--json")
    assert done.returncode == 0 and [json.loads(line)["n"] for line in done.stdout.splitlines()] == list(range(3001))


def test_indices_are_limited_by_their_date(lab):
    """The names that `since` leaves; all where they are too many, or where events of any day may be anywhere."""
    elastic = lab.elastic()

    def asked(since, **es):
        config = lab.barge(lab.config(elastic, output={"elasticsearch": es}), start=False).config_path
        assert trace(config, "r-1", "--since", since).returncode == 1
        return elastic.other_requests[-2].path.split("/")[1].split(",")

    def to_the_last_day(now):
        # Events may be a day ahead, and an hour for clocks that differ: late in the evening that is the day after tomorrow.
        ahead = ((now + datetime.timedelta(hours=25)).date() - now.date()).days
        days = [(now + datetime.timedelta(days=k)).strftime("%Y.%m.%d") for k in range(ahead + 1)]
        found = asked("23h", index_window="7d")
        assert found[-len(days):] == [f"microservices-{d}" for d in days]
        assert len(found) - len(days) in (0, 1)

    within_an_hour(to_the_last_day)
    assert asked("900d", index_window="7d") == asked("23h", index_window="0") == ["microservices-*"]
    assert asked("23h", index_window="7d", index="logs-%{service.name}-%{+YYYY.MM}")[-1].startswith("logs-*-20")
    assert asked("23h", index_window="7d", index="logs") == ["logs"]


def test_a_right_that_is_missing_is_named(lab):
    """As 8.19 does it: for many names nothing is found, for one it is said."""
    elastic = lab.elastic()
    config = es_config(lab, elastic)

    def refuse(request):
        if "_search" in request.path and "ignore_unavailable=true" not in request.path:
            return Whole(403, error_type="security_exception", reason="action [indices:data/read/search] is unauthorized for user [shipper]")
        return None

    elastic.on_other = refuse
    for _ in range(2):
        done = trace(config, "r-1")
        assert done.returncode == 1 and "privilege `read` on the indices microservices-*" in done.stderr and done.stdout == ""
        elastic.on_other = lambda request: Whole(403, error_type="security_exception", reason="no permissions")  # OpenSearch: always


def test_credentials_of_its_own(lab):
    elastic = lab.elastic(basic=("reader", "sesame"))
    stored(elastic, document(BASE, "r-1"))
    secret = os.path.join(lab.folder, "secret")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("sesame\n")
    shipper = {"username": "shipper", "password_file": secret}
    config = es_config(lab, elastic, output={"elasticsearch": shipper})
    done = trace(config, "r-1", "--since", LONG_AGO)
    assert done.returncode == 1 and "not accepted" in done.stderr and "output.elasticsearch" in done.stderr
    config = es_config(lab, elastic, output={"elasticsearch": shipper}, trace={"username": "reader", "password_file": secret})
    assert trace(config, "r-1", "--since", LONG_AGO, "--json").stdout.encode() == document(BASE, "r-1") + b"\n"
    sent = elastic.other_requests[-1].headers["authorization"]
    assert base64.b64decode(sent.split()[1]) == b"reader:sesame"
    missing = trace(config, "r-2", "--since", LONG_AGO)
    assert missing.returncode == 1 and "as user reader" in missing.stderr
    config = es_config(lab, elastic, trace={"username": "reader", "password_file": secret + "-not-there"})
    done = trace(config, "r-1")
    assert done.returncode == 1 and "trace.password_file: cannot open" in done.stderr
    # Another node, and a key.
    other = lab.elastic(api_key="a2V5")
    stored(other, document(BASE, "r-1", n=2))
    with open(secret, "w", encoding="utf-8") as f:
        f.write("a2V5\n")
    config = es_config(lab, elastic, trace={"hosts": [other.url], "api_key_file": secret})
    assert '"n":2' in trace(config, "r-1", "--since", LONG_AGO, "--json").stdout


def test_what_cannot_be_had_whole_is_told(lab):
    elastic = lab.elastic()
    stored(elastic, document(BASE, "r-1"))
    config = es_config(lab, elastic)
    answer = ('{"took":1,"timed_out":false,"_shards":{"total":2,"successful":1,"skipped":0,"failed":1},"hits":{"hits":['
              '{"_index":"i","_id":"1","_source":%s,"sort":[1,1]}]}}' % document(BASE, "r-1").decode())
    elastic.on_other = lambda request: Whole(200, answer)
    done = trace(config, "r-1", "--since", LONG_AGO, "--json")
    assert done.returncode == 1 and "shards did not answer" in done.stderr and done.stdout.encode() == document(BASE, "r-1") + b"\n"
    for bad, says in [(Whole(200, b"<html>"), "no Elasticsearch"), (Whole(500, reason="broken"), "broken"), (Whole(404), "no record of r-1")]:
        elastic.on_other = lambda request, bad=bad: bad
        done = trace(config, "r-1")
        assert done.returncode == 1 and says in done.stderr and done.stdout == ""
    busy = [Whole(503, error_type="search_phase_execution_exception", reason="all shards failed"), Whole(429), Whole(200, answer)]
    elastic.on_other = lambda request: busy.pop(0)
    assert document(BASE, "r-1").decode() in trace(config, "r-1", "--since", LONG_AGO, "--json").stdout and not busy
    elastic.stop()
    done = trace(config, "r-1")
    assert done.returncode == 1 and f"127.0.0.1:{elastic.port}" in done.stderr
