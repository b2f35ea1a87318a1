"""make demo: an nginx gateway and the two services behind it, replayed from what a real Docker engine logged, and three GELF senders,
become documents. Needs neither Docker nor Elasticsearch; with ES=http://localhost:9200 it fills that node."""

import heapq
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))

import corpus  # noqa: E402
from gelf_sender import GelfSender, message  # noqa: E402
from docker_folder import rfc3339_nano  # noqa: E402

BARGE = os.environ.get("BARGE", os.path.join(TOP, "build", "barge"))
ES = os.environ.get("ES", "")
OUT = os.path.join(TOP, "out", "demo")
SECONDS = 4.0  # that the replay takes

CONFIG = """\
# What the demo runs: `{barge} run -c {shown}`
data_dir: {out}/data
inputs:
  docker: {{containers: {out}/containers}}
  gelf: {{udp: 127.0.0.1:{gelf}}}
enrich:
  fields: {{environment: demo}}
output:
{output}
status: {{listen: 127.0.0.1:{status}}}
log: {{level: warn}}
"""
TO_FILES = "  file: {{path: '{out}/microservices-%{{+YYYY.MM.dd}}.ndjson'}}"
TO_NODE = "  elasticsearch: {{hosts: ['{es}']}}"


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def short(path):
    return os.path.relpath(path)


def containers():
    """Puts the three containers' folders in place, their logs still empty: [(when, log, line)] in the order in which it happened."""
    events = []
    for name in ("gateway", "orders", "users"):
        source = corpus.container_folder("nginx", name)
        target = os.path.join(OUT, "containers", os.path.basename(source))
        os.makedirs(target)
        log = os.path.basename(source) + "-json.log"
        for paper in ("config.v2.json", "hostconfig.json"):
            shutil.copy(os.path.join(source, paper), target)
        with open(os.path.join(source, log), encoding="utf-8") as f:
            rows = [(json.loads(row)["time"], os.path.join(target, log), row) for row in f]
        events.append(rows)
    return list(heapq.merge(*events))


def requests():
    """Request ids that gateway and orders logged."""
    with open(corpus.path("nginx", "client.txt"), encoding="utf-8") as f:
        rows = [row.split() for row in f]
    return [row[1] for row in rows if len(row) == 3 and "/orders/" in row[2] and row[0] == "200" and len(row[1]) == 32]


def said(request_id):
    """What three senders that speak GELF have to say of a request: (service, compression, chunked, message)."""
    trace = "\n".join(f"    at no.example.payment.Gateway$Call.attempt(Gateway.java:{200 + i})" for i in range(60))
    yield "payment", "gzip", False, message("card authorised", host="pay-01", level=6, _service="payment", _request_id=request_id, _amount=129.5)
    yield "stock", "none", True, message("stock low", host="stock-02", level=4, _service="stock", _requestId=request_id, _sku="A-9", _qty=3)
    yield "mailer", "zlib", True, message("SMTP timed out", host="mail-01", level=3, _service="mailer", _correlation_id=request_id,
                                          full_message="SMTP timed out, the receipt is sent later\njava.net.SocketTimeoutException: connect timed out\n" + trace)


def status(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
        return json.loads(answer.read())


def wait_for(condition, seconds, process, what):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"demo: {what}")
        time.sleep(0.05)


def ready(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1).status == 200
    except (urllib.error.URLError, OSError):
        return False


def replay(events, senders, wanted, process):
    """Lets the lines happen again, now, in SECONDS; the GELF senders join in half-way."""
    begun, total = time.monotonic(), len(events)
    messages = list(senders)
    for i, (_, log, row) in enumerate(events):
        due = begun + SECONDS * i / total
        while time.monotonic() < due and process.poll() is None:
            time.sleep(max(0.0, min(0.05, due - time.monotonic())))
        head, _, tail = row.rpartition('"time":"')
        with open(log, "a", encoding="utf-8") as f:
            f.write(f'{head}"time":"{rfc3339_nano(time.time_ns())}"{tail[tail.index(chr(34)) + 1:]}')
        if wanted in row and "stderr" not in row and messages:
            while messages:
                sender, (_, compression, chunked, content) = messages.pop(0)
                content["timestamp"] = round(time.time(), 3)
                sender.send(content, compression, chunked=chunked, size=700 if chunked else 1408)


def documents_in_files():
    found = []
    for name in sorted(os.listdir(OUT)):
        if name.endswith(".ndjson"):
            with open(os.path.join(OUT, name), encoding="utf-8") as f:
                found += [json.loads(row) for row in f]
    return found


def documents_in_node(request_id):
    query = {"size": 50, "query": {"match_phrase": {"http.request.id": request_id}}}
    urllib.request.urlopen(urllib.request.Request(ES + "/microservices-*/_refresh", method="POST"), timeout=10).read()
    asked = urllib.request.Request(ES + "/microservices-*/_search", json.dumps(query).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return [hit["_source"] for hit in json.loads(answer.read())["hits"]["hits"]]


def trace(path, request_id):
    """What `barge trace` shows of a request, as its person sees it."""
    command = [BARGE, "trace", request_id, "-c", path]
    print(f"   $ {short(BARGE)} trace {request_id} -c {short(path)}\n", flush=True)
    done = subprocess.run(command, check=False)
    print(flush=True)
    return done.returncode


def check_node():
    """A node that is not there is told at once, not after a wait for what cannot arrive."""
    try:
        urllib.request.urlopen(ES, timeout=10).close()
    except urllib.error.HTTPError as e:
        sys.exit(f"demo: {ES} answers {e.code} {e.reason}; the demo has no password to give, ES= wants a node without one")
    except (OSError, ValueError) as e:
        sys.exit(f"demo: no Elasticsearch answers at {ES}: {getattr(e, 'reason', e)}; start one there, or run `make demo` without ES=")


def main():
    if ES:
        check_node()
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    events = containers()
    gelf, page = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    path = os.path.join(OUT, "barge.yaml")
    with open(path, "w", encoding="utf-8") as f:
        output = (TO_NODE if ES else TO_FILES).format(out=OUT, es=ES)
        f.write(CONFIG.format(barge=short(BARGE), shown=short(path), out=OUT, gelf=gelf, status=page, output=output))
    wanted = requests()[2]
    with open(os.path.join(OUT, "barge.log"), "wb") as log:
        process = subprocess.Popen([BARGE, "run", "-c", path], stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_for(lambda: ready(page), 10, process, f"barge does not become ready; see {short(OUT)}/barge.log")
        print(f"barge runs ({short(path)}). A gateway, two services and three GELF senders begin to log …", flush=True)
        senders = [(GelfSender(("127.0.0.1", gelf)), s) for s in said(wanted)]
        total = len(events) + len(senders)
        replay(events, senders, wanted, process)
        wait_for(lambda: sum(status(page)["ledger"][k] for k in ("delivered", "duplicate")) >= total, 20, process,
                 f"not everything arrived: {status(page)['ledger'] if process.poll() is None else 'barge has ended'}")
        ledger = status(page)["ledger"]
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
    story = documents_in_node(wanted) if ES else [d for d in documents_in_files() if d.get("http", {}).get("request", {}).get("id") == wanted]
    print(f"… {ledger['read']} records read, {ledger['delivered']} documents delivered, barge ended with status {process.returncode}.\n")
    print("One request over all services:\n")
    traced = trace(path, wanted)
    if ES:
        query = urllib.parse.quote(f'http.request.id:"{wanted}"')
        print(f"The documents are in {ES}; the same question:\n   curl '{ES}/microservices-*/_search?q={query}&sort=@timestamp&pretty'")
    else:
        print("The documents lie in " + ", ".join(short(os.path.join(OUT, n)) for n in sorted(os.listdir(OUT)) if n.endswith(".ndjson")) +
              f", one a line:\n   grep {wanted} {short(OUT)}/*.ndjson")
        print("An Elasticsearch is filled with: make demo ES=http://localhost:9200")
    services = {d.get("service", {}).get("name") for d in story}
    missing = {"gateway", "orders", "payment", "stock", "mailer"} - services
    if missing or process.returncode != 0 or traced != 0:
        sys.exit(f"demo: nothing of {', '.join(sorted(missing))}" if missing else "demo: barge ended badly")


main()
