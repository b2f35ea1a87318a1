"""Every answer and every silence of Elasticsearch: nothing lost, nothing twice, nothing held up."""

import json
import os
import random
import re
import subprocess
import time

import pytest

import barge as program
from load import check_exactly_once, line, number_of
from scripted_elastic import Close, Cut, Late, Refuse, Rewritten, Silence, Whole
from waiting import PATIENCE, holds_for, wait_until

FULL = Refuse(429, "es_rejected_execution_exception", "rejected execution of coordinating operation")
UNREADY = Refuse(503, "unavailable_shards_exception", "[i][0] primary shard is not active")
CLOSED = Refuse(400, "index_closed_exception", "closed")
SHARDS = Refuse(400, "validation_exception", "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has "
                "[1000]/[1000] maximum normal shards open;")
LIMIT = Refuse(400, "document_parsing_exception", "[1:2] failed to parse field [n] of type [long] in document with id 'x'. Preview of field's value: 'abc'")


@pytest.fixture
def setup(lab):
    """Makes (elastic, container, barge): one container that is shipped to one node."""

    def make(**sections):
        elastic, docker = lab.elastic(), lab.docker()
        container = docker.container("app-1")
        return elastic, container, lab.barge(lab.config(elastic, docker, **sections))

    return make


def write(container, start, count, size=50):
    container.write(b"".join(line("app-1", i, size) for i in range(start, start + count)))


def finish(elastic, barge, count, deadline_s=30.0):
    elastic.wait_for(count, deadline_s)
    ledger = barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": count})
    assert ledger["dead_lettered"] == 0 and sum(ledger["dropped"].values()) == 0
    return ledger


# ---- items ----

def test_only_what_failed_is_sent_again(setup):
    """One accepted, the rest refused for now: the rest is retried, and only the rest."""
    elastic, container, barge = setup()
    elastic.on_item = refuse_all_but_one()
    write(container, 0, 1000)
    ledger = finish(elastic, barge, 1000)
    assert elastic.counts[429] >= 1 and elastic.counts[409] == 0
    assert ledger["duplicate"] == 0 and barge.status()["output"]["retries"] >= elastic.counts[429]


def refuse_all_but_one():
    """The first request with more than ten items: all but its first item are refused with 429."""
    chosen = []

    def on_item(item):
        if not chosen and len(item.request.items) > 10:
            chosen.append(item.request)
        return FULL if chosen and item.request is chosen[0] and item is not item.request.items[0] else None

    return on_item


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mixed_verdicts(setup, seed):
    """Statuses in random order: each item gets its own fate, positions never slip."""
    dice = random.Random(seed)
    elastic, container, barge = setup()
    tries = {}

    def on_item(item):
        tries[item.id] = tries.get(item.id, 0) + 1
        return dice.choice([None, FULL, UNREADY, None]) if tries[item.id] < 4 else None

    elastic.on_item = on_item
    write(container, 0, 3000)
    finish(elastic, barge, 3000)


def test_a_refused_record_is_folded_and_the_others_go_on(setup):
    """400 for its shape: sent once more with the field that the error names as text; never as it was."""
    elastic, container, barge = setup()
    elastic.on_item = lambda item: LIMIT if json.loads(item.document).get("n") == "abc" else None
    container.write(b'{"msg":"good 1"}\n{"msg":"bad","n":"abc","kept":7}\n{"msg":"good 2"}\n')
    elastic.wait_for(3)
    ledger = barge.wait_drained()
    documents = {d["message"]: d for d in elastic.documents()}
    bad = documents["bad"]
    assert "n" not in bad and bad["kept"] == 7 and "abc" in bad["event"]["original"]
    assert "failed to parse field [n]" in bad["barge"]["refused"]
    assert "barge" not in documents["good 1"] and ledger["delivered"] == 3 and ledger["dead_lettered"] == 0
    assert barge.status()["output"]["refused"] == 1
    # The next such record goes right at once.
    before = elastic.counts[400]
    container.write(b'{"msg":"bad again","n":"abc"}\n')
    elastic.wait_for(4)
    assert elastic.counts[400] == before


def test_an_outage_names_its_knob(setup):
    elastic, container, barge = setup()
    elastic.stop()
    container.write(b"waits\n")
    told = wait_until(lambda: [line for line in barge.log().splitlines() if "not delivered" in line], 15, barge.log)
    assert "knob: output.elasticsearch.hosts" in told[0]


def test_a_full_buffer_is_told_with_its_knob(setup):
    elastic, container, barge = setup(buffer={"max_size": "4MiB", "min_free": "0"})
    elastic.stop()
    for n in range(0, 12000, 1000):
        write(container, n, 1000, size=500)
    wait_until(lambda: barge.status()["buffer"]["full"], 20, barge.status)
    told, = (line for line in barge.log().splitlines() if "the buffer is full" in line)
    assert "knob=buffer.max_size" in told


def dead_letters(barge):
    folder = os.path.join(barge.data_dir, "dead-letters")
    found = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".ndjson"):
            with open(os.path.join(folder, name), "rb") as f:
                found += [json.loads(text) for text in f.read().split(b"\n") if text]
    return found


def test_dead_letters_and_their_replay(setup):
    """Refused again after folding: kept with the reason, sent again when asked."""
    elastic, container, barge = setup()
    poison = True
    elastic.on_item = lambda item: LIMIT if poison and b"poison" in item.document else None
    container.write(b'{"msg":"good 1"}\n{"msg":"poison","n":"abc"}\n{"msg":"good 2"}\n')
    elastic.wait_for(2)
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1, 15, barge.ledger)
    barge.wait_drained()
    letter, = dead_letters(barge)
    assert "failed to parse field [n]" in letter["reason"] and letter["document"]["message"] == "poison"
    assert letter["index"].startswith("microservices-") and len(letter["_id"]) == 24
    # It is told once and counted once, by the type of the error: its reason may quote the record.
    told, = (line for line in barge.log().splitlines() if "dead letters" in line and "level=warn" in line)
    assert LIMIT.error["type"] in told and LIMIT.error["reason"] not in told and letter["index"] in told
    assert barge.status()["output"]["refused"] == 1
    # It is on disk, and stays over a restart.
    barge.restart()
    assert len(dead_letters(barge)) == 1
    poison = False
    done = program.run("replay", "-c", barge.config_path)
    assert done.returncode == 0, done.stderr
    elastic.wait_for(3, 20)
    ledger = barge.wait_drained()
    # A replayed dead letter is read again.
    assert ledger["read"] == 4 and ledger["dead_lettered"] == 1 and ledger["delivered"] == 3
    assert (letter["index"], letter["_id"]) in elastic.store and not dead_letters(barge)


def test_capacity_is_not_the_records_fault(setup):
    """Midnight with a cluster at its shard limit: retried until it is raised."""
    elastic, container, barge = setup()
    elastic.on_item = lambda item: SHARDS
    write(container, 0, 200)
    wait_until(lambda: elastic.counts[400] >= 3, 15)
    holds_for(lambda: barge.ledger()["dead_lettered"] == 0, 0.3)
    elastic.on_item = None
    finish(elastic, barge, 200, 40)


def test_an_index_in_trouble_does_not_hold_up_the_others(setup):
    elastic, container, barge = setup()
    day = 86400 * 10**9
    base = 1542963600 * 10**9
    elastic.closed_indices["microservices-2018.11.23"] = CLOSED
    for i in range(400):
        container.write(line("app-1", i), at_ns=base + (i % 2) * day)
    wait_until(lambda: elastic.indices()["microservices-2018.11.24"] == 200, 20, lambda: str(elastic.indices()))
    # The books move with the finished prefix: what lies behind a record that waits is not settled yet.
    assert barge.balanced()["buffered"] >= 200 and barge.ledger()["dead_lettered"] == 0
    elastic.closed_indices.clear()
    finish(elastic, barge, 400, 60)


def park(elastic, container, barge):
    """Writes 100 records for an index that is closed, until they are parked."""
    elastic.closed_indices["microservices-2018.11.23"] = CLOSED
    base = 1542963600 * 10**9
    for i in range(100):
        container.write(line("app-1", i), at_ns=base + i)
    wait_until(lambda: barge.status()["output"]["parked"] == 100, 40, barge.status)
    assert barge.ledger()["buffered"] == 0


@pytest.mark.limit(150)
def test_a_closed_index_is_parked_and_replayed_by_itself(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"park_after": "2s"}})
    park(elastic, container, barge)
    elastic.closed_indices.clear()
    elastic.wait_for(100, 90)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 100})
    wait_until(lambda: barge.status()["output"]["parked"] == 0, 10, barge.status)


@pytest.mark.limit(150)
def test_what_an_earlier_life_parked_is_replayed_too(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"park_after": "2s"}})
    park(elastic, container, barge)
    barge.restart()
    wait_until(lambda: barge.status()["output"]["parked"] == 100, 10, barge.status)
    elastic.closed_indices.clear()
    elastic.wait_for(100, 90)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 100})


@pytest.mark.parametrize("block", [Refuse(429, "cluster_block_exception", "index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];"),
                                   Refuse(403, "cluster_block_exception", "index [i] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"),
                                   Refuse(403, "cluster_block_exception", "index [i] blocked by: [FORBIDDEN/8/index write (api)];"),
                                   Refuse(403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized for user [barge]"),
                                   Refuse(404, "index_not_found_exception", "no such index [i]"),
                                   Refuse(503, "process_cluster_event_timeout_exception", "failed to process cluster event (put-mapping) within 30s"),
                                   Refuse(507, "never_heard_of_it", "what is this")], ids=lambda r: f"{r.status}-{r.error['type']}")
def test_what_passes_is_waited_for(setup, block):
    elastic, container, barge = setup()
    elastic.on_item = lambda item: block
    write(container, 0, 50)
    wait_until(lambda: elastic.counts[block.status] >= 2, 15)
    ledger = barge.balanced()
    assert ledger["delivered"] == ledger["dead_lettered"] == 0 and ledger["buffered"] == 50
    elastic.on_item = None
    finish(elastic, barge, 50, 60)


# ---- whole requests ----

@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 401, 403, 404, 408, 501, 599])
def test_a_whole_refusal_is_tried_again(setup, status):
    elastic, container, barge = setup()
    elastic.answer_next(Whole(status), times=2)
    write(container, 0, 500)
    finish(elastic, barge, 500, 40)
    assert barge.status()["output"]["failed_requests"] >= 2


@pytest.mark.parametrize("after", ["1", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-5"])
def test_retry_after(setup, after):
    elastic, container, barge = setup()
    elastic.answer_next(Whole(429, headers=[("Retry-After", after)]))
    write(container, 0, 10)
    finish(elastic, barge, 10)


ODD_ANSWERS = {
    "cut in the header": Cut(30), "cut before the body": Cut(140), "cut in the body": Cut(400),
    "closed without an answer": Close(index=True), "closed without indexing": Close(),
    "empty": Whole(200, b""), "html": Whole(200, b"<html><body>Welcome</body></html>", content_type="text/html"),
    "no items": Rewritten(lambda a: {"took": 1, "errors": False}),
    "items empty": Rewritten(lambda a: {**a, "items": []}),
    "an item short": Rewritten(lambda a: {**a, "items": a["items"][:-1]}),
    "an item more": Rewritten(lambda a: {**a, "items": a["items"] + a["items"][:1]}),
    "status as text": Rewritten(lambda a: {**a, "items": [{"create": {**i["create"], "status": str(i["create"]["status"])}} for i in a["items"]]}),
    "status missing": Rewritten(lambda a: {**a, "items": [{"create": {k: v for k, v in i["create"].items() if k != "status"}} for i in a["items"]]}),
    "two keys an item": Rewritten(lambda a: {**a, "items": [{**i, "index": i["create"]} for i in a["items"]]}),
    "another action": Rewritten(lambda a: {**a, "items": [{"delete": i["create"]} for i in a["items"]]}),
    "a huge number": Rewritten(lambda a: json.dumps(a).replace('"status": 201', '"status": 201' + "0" * 40)),
    "text behind": Rewritten(lambda a: json.dumps(a) + "x"),
    "not JSON": Whole(200, b'{"took":1,"errors":false,"items":[{'),
    "redirect": Whole(301, b"", headers=[("Location", "http://127.0.0.1:1/")]),
    "no content": Whole(204, b"", content_type=None),
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_what_cannot_be_read_whole_is_no_success(setup, answer):
    """The same records again, and each once in the store."""
    elastic, container, barge = setup()
    elastic.answer_next(answer, times=2)
    write(container, 0, 300)
    ledger = finish(elastic, barge, 300, 40)
    assert elastic.script_done() and ledger["read"] == 300 and ledger["delivered"] + ledger["duplicate"] == 300


def test_errors_false_does_not_excuse_an_item(setup):
    elastic, container, barge = setup()
    elastic.on_item = refuse_all_but_one()
    elastic.answer_next(Rewritten(lambda a: {**a, "errors": False}), times=1)
    write(container, 0, 500)
    finish(elastic, barge, 500)


def test_answers_may_be_in_any_form(setup):
    """errors before took, unknown members, no spaces, spaces, errors:true where all went well."""
    elastic, container, barge = setup()
    elastic.answer_next(Rewritten(lambda a: json.dumps({"new": {"items": [1]}, "items": a["items"], "errors": True, "took": 1}, indent=2)))
    write(container, 0, 200)
    ledger = finish(elastic, barge, 200)
    assert ledger["duplicate"] == 0 and len(elastic.requests) >= 1


def test_a_swallowed_answer_becomes_duplicates_that_are_no_duplicates(setup):
    elastic, container, barge = setup()
    elastic.answer_next(Close(index=True))
    write(container, 0, 400)
    ledger = finish(elastic, barge, 400)
    assert ledger["duplicate"] == elastic.counts[409] > 0 and ledger["delivered"] + ledger["duplicate"] == 400


def test_silence_is_timed_out(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"timeout": f"{round(1 * PATIENCE)}s"}})
    elastic.answer_next(Silence(index=True), times=2)
    elastic.answer_next(Late(0.2), times=3)
    write(container, 0, 300)
    finish(elastic, barge, 300, 40)


def test_413_halves(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"batch_size": "1MiB"}})
    elastic.max_content_length = 100_000
    write(container, 0, 2000, 400)
    finish(elastic, barge, 2000, 40)
    refused = [r for r in elastic.requests if r.outcome == 413]
    assert refused and len(refused) < 40
    # The limit has been learnt.
    write(container, 2000, 1000, 400)
    finish(elastic, barge, 3000, 40)
    assert len([r for r in elastic.requests if r.outcome == 413]) <= len(refused) + 2


def test_one_record_that_is_too_large_for_the_node(setup):
    elastic, container, barge = setup()
    elastic.max_content_length = 100_000
    container.write(line("app-1", 0) + b"y" * 300_000 + b"\n" + line("app-1", 1))
    elastic.wait_for(2)
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1, 20, barge.ledger)
    barge.wait_drained()
    assert len(dead_letters(barge)[0]["document"]["message"]) == 300_000


def test_a_whole_400_is_bisected_to_the_record(setup):
    elastic, container, barge = setup()
    elastic.on_request = lambda request: Whole(400, error_type="x_content_parse_exception", reason="[1:1] bad") if b"poison" in request.body else None
    container.write(b"".join(line("app-1", i) if i != 500 else b"poison\n" for i in range(1000)))
    elastic.wait_for(999, 30)
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1, 20, barge.ledger)
    barge.wait_drained()
    assert dead_letters(barge)[0]["document"]["message"] == "poison"
    assert {number_of(d)[1] for d in elastic.documents()} == set(range(1000)) - {500}
    assert len([r for r in elastic.requests if r.outcome == 400]) <= 40


def test_a_400_for_everything_condemns_nothing(setup):
    """Three singles in a row that fail alike: it is the request, not the records."""
    elastic, container, barge = setup()
    elastic.on_request = lambda request: Whole(400, error_type="illegal_argument_exception", reason="no handler")
    write(container, 0, 50)
    wait_until(lambda: len(elastic.requests) >= 12, 20)
    holds_for(lambda: barge.ledger()["dead_lettered"] <= 3, 0.5)
    elastic.on_request = None
    wait_until(lambda: len(elastic.store) + barge.ledger()["dead_lettered"] == 50, 60, barge.status)
    assert barge.ledger()["dead_lettered"] == 0


def test_a_400_that_is_not_elasticsearchs_condemns_nothing(setup):
    """A proxy's HTML page with status 400 says nothing of a record."""
    elastic, container, barge = setup()
    elastic.answer_next(Whole(400, b"<html>Bad Request</html>", content_type="text/html"), times=4)
    container.write(line("app-1", 0))
    finish(elastic, barge, 1, 40)


# ---- the node away ----

def test_the_node_away_and_back(setup):
    """Nothing lost, memory flat, the breaker shows, and it drains by itself."""
    elastic, container, barge = setup(buffer={"max_size": "64MiB"})
    write(container, 0, 1000, 300)
    elastic.wait_for(1000)
    elastic.stop()
    write(container, 1000, 4000, 300)
    wait_until(lambda: barge.status()["output"]["breaker"] == "open", 20, barge.status)
    wait_until(lambda: barge.ledger()["read"] == 5000, 20, barge.ledger)
    before = barge.rss_kib()
    write(container, 5000, 40000, 300)
    wait_until(lambda: barge.ledger()["read"] == 45000, 40, barge.ledger)
    grown = barge.rss_kib() - before
    assert barge.code("/health") == 200
    assert barge.status()["output"]["last_error"]
    if PATIENCE == 1:
        assert grown < 4096, f"{grown} KiB more"
    elastic.start()
    finish(elastic, barge, 45000, 60)
    wait_until(lambda: barge.status()["output"]["breaker"] == "closed", 10, barge.status)


def test_a_full_buffer_stops_the_tail_and_nothing_is_lost(setup):
    elastic, container, barge = setup(buffer={"max_size": "4MiB"})
    elastic.stop()
    write(container, 0, 20000, 300)
    wait_until(lambda: barge.status()["buffer"]["full"], 20, barge.status)
    figures = barge.status()["buffer"]
    assert figures["bytes"] <= figures["max_bytes"] == 4 << 20
    wait_until(lambda: barge.status()["inputs"]["docker"]["lag_bytes"] > 0, 10, barge.status)
    barge.restart(kill=True)
    elastic.start()
    finish(elastic, barge, 20000, 60)


def test_several_hosts_and_a_broken_one_is_left_out(lab):
    good, broken, other = lab.elastic(), lab.elastic(), lab.elastic()
    broken.on_request = lambda request: Whole(503)
    docker = lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config([good, broken, other], docker, output={"elasticsearch": {"batch_size": "16KiB"}}))
    for i in range(10):
        write(container, i * 500, 500)
        wait_until(lambda n=i: len(good.store) + len(other.store) >= (n + 1) * 500, 30)
    barge.wait_drained()
    check_exactly_once(good.documents() + other.documents(), {"app-1": 5000})
    assert good.requests and other.requests and len(broken.requests) < 20
    other.stop()
    write(container, 5000, 500)
    wait_until(lambda: len(good.store) + len(other.store) >= 5500, 40)
    barge.wait_drained()


def test_compression(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"compression": "gzip"}})
    write(container, 0, 2000, 300)
    finish(elastic, barge, 2000)
    sent = [r for r in elastic.requests if r.items]
    assert all(r.headers.get("content-encoding") == "gzip" for r in sent)
    assert sum(r.wire_bytes for r in sent) < sum(len(r.body) for r in sent) / 2


def test_batches_keep_to_their_size(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"batch_size": "64KiB"}})
    write(container, 0, 5000, 300)
    finish(elastic, barge, 5000)
    assert max(len(r.body) for r in elastic.requests) <= 2 * 65536


# ---- who may ---

def test_basic_and_refused_credentials(lab):
    elastic, docker = lab.elastic(basic=("barge", "pass word:1")), lab.docker()
    container = docker.container("app-1")
    secret = os.path.join(lab.folder, "password")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("wrong\n")
    os.chmod(secret, 0o600)
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"username": "barge", "password_file": secret}}))
    write(container, 0, 100)
    wait_until(lambda: "401" in str(barge.status()["output"]["last_error"]), 20, barge.status)
    assert barge.ledger()["dead_lettered"] == 0 and not elastic.store
    with open(secret, "w", encoding="utf-8") as f:
        f.write("pass word:1\n")
    finish(elastic, barge, 100, 60)
    assert "pass word" not in barge.log()


def test_api_key(lab):
    elastic, docker = lab.elastic(api_key="aWQ6a2V5"), lab.docker()
    container = docker.container("app-1")
    secret = os.path.join(lab.folder, "key")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("aWQ6a2V5\n")
    os.chmod(secret, 0o600)
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"api_key_file": secret}}))
    write(container, 0, 100)
    finish(elastic, barge, 100)


def test_tls_with_a_private_authority(lab):
    authority = lab.authority()
    elastic, docker = lab.elastic(tls=authority), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"tls": {"ca_file": authority.ca_file}}}))
    write(container, 0, 1000)
    finish(elastic, barge, 1000)


def test_tls_that_does_not_verify_keeps_the_data(lab):
    """The right port, but a certificate of nobody whom we trust."""
    authority = lab.authority()
    elastic, docker = lab.elastic(tls=authority), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    write(container, 0, 10)
    wait_until(lambda: re.search("certificate|SSL", str(barge.status()["output"]["last_error"])), 20, barge.status)
    assert not elastic.requests and barge.ledger()["buffered"] == 10


def test_the_environments_proxy_is_not_used(lab):
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    proxy = "http://127.0.0.1:1"
    barge = lab.barge(lab.config(elastic, docker), env={"http_proxy": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy, "all_proxy": proxy})
    elastic.wait_for(1)
    barge.wait_drained()


# ---- ends ----

@pytest.mark.parametrize("trouble", ["hangs", "away", "busy"])
def test_sigterm_with_a_node_in_trouble_keeps_to_the_time(lab, trouble):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, shutdown_timeout="1s"))
    if trouble == "hangs":
        elastic.on_request = lambda request: Silence()
    elif trouble == "busy":
        elastic.on_request = lambda request: Whole(503)
    else:
        elastic.stop()
    write(container, 0, 500)
    wait_until(lambda: barge.ledger()["read"] == 500, 10)
    begun = time.monotonic()
    barge.stop()
    assert time.monotonic() - begun < 1 + 2 * PATIENCE
    if trouble == "away":
        elastic.start()
    elastic.on_request = None
    barge.start()
    finish(elastic, barge, 500, 40)


def test_sigterm_hands_over_what_it_can(setup):
    elastic, container, barge = setup(output={"elasticsearch": {"batch_delay": "5s"}})
    write(container, 0, 100)
    wait_until(lambda: barge.ledger()["read"] == 100, 10)
    barge.stop()
    assert len(elastic.store) == 100


def test_a_second_sigterm_ends_at_once(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, shutdown_timeout="50s"))
    elastic.on_request = lambda request: Silence()
    write(container, 0, 100)
    wait_until(lambda: elastic.requests, 10)
    barge.terminate()
    wait_until(lambda: "stopping" in barge.log(), 10)
    barge.terminate()
    assert barge.wait(5) in (0, 1)
    elastic.on_request = None
    barge.start()
    finish(elastic, barge, 100, 40)


# ---- a full disk ----

@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 40 MiB, which is not there any more after the test."""
    path = str(tmp_path / "disk")
    os.mkdir(path)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,nr_inodes=1000", "barge-test", path], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


def fill_up(path):
    """Takes every byte that is free."""
    with open(os.path.join(path, "filler"), "ab") as f:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    os.write(f.fileno(), bytes(size))
            except OSError:
                pass


def test_a_full_disk_with_the_node_away(small_disk, lab):
    """Not a byte is left, for the agent's own log neither, and it is killed and started again so: when the node comes back it
    delivers what it has, which makes room, and reads on by itself."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    config = lab.config(elastic, docker, buffer={"max_size": "32MiB", "min_free": "1MiB"})
    config["data_dir"] = os.path.join(small_disk, "data")
    barge = lab.barge(config, wrapper=["sh", "-c", 'exec "$0" "$@" 2>/dev/full'])
    elastic.stop()
    write(container, 0, 3000, 300)
    wait_until(lambda: barge.ledger()["buffered"] == 3000, 20, barge.status)
    fill_up(small_disk)
    write(container, 3000, 3000, 300)
    barge.restart(kill=True)
    assert barge.balanced()["buffered"] < 6000
    elastic.start()
    finish(elastic, barge, 6000, 60)
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize < 8 << 20


def test_a_limit_on_file_sizes_is_got_over(lab):
    """A write ends at RLIMIT_FSIZE, with a signal that would kill: the next segment takes what did not fit."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, buffer={"max_size": "64MiB"}, log={"level": "info"}), wrapper=["prlimit", "--fsize=2000000"])
    elastic.stop()
    write(container, 0, 9000, 300)
    wait_until(lambda: barge.ledger()["buffered"] == 9000, 30, barge.status)
    segments = os.path.join(barge.data_dir, "buffer")
    assert len([n for n in os.listdir(segments) if n.endswith(".seg")]) >= 3
    assert "File too large" in barge.log()
    barge.restart(kill=True)
    elastic.start()
    finish(elastic, barge, 9000, 60)


@pytest.mark.limit(120)
def test_a_closed_index_on_a_full_disk_holds_nothing_up(small_disk, lab):
    """No byte can be written, not even a dead letter: the segment of the closed index is kept as it is, those behind it go,
    and the others' records flow again. When the index opens its records are replayed."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    config = lab.config(elastic, docker, buffer={"max_size": "32MiB", "min_free": "1MiB"})
    config["data_dir"] = os.path.join(small_disk, "data")
    base, day = 1542963600 * 10**9, 86400 * 10**9
    elastic.closed_indices["microservices-2018.11.23"] = CLOSED
    for i in range(20):
        container.write(line("app-1", i, 300), at_ns=base + i)
    for i in range(20, 20000):
        container.write(line("app-1", i, 300), at_ns=base + day + i)
    barge = lab.barge(config)
    wait_until(lambda: elastic.indices()["microservices-2018.11.24"] == 19980, 60, lambda: str(elastic.indices()))
    held = barge.status()["buffer"]["bytes"]
    assert held > 8 << 20 and barge.status()["output"]["parked"] == 0
    fill_up(small_disk)
    for i in range(20000, 40000):
        container.write(line("app-1", i, 300), at_ns=base + day + i)
    wait_until(lambda: elastic.indices()["microservices-2018.11.24"] == 39980, 60, lambda: f"{elastic.indices()} {barge.status()}")
    assert barge.status()["output"]["parked"] == 20 and barge.balanced()["dead_lettered"] == 20
    parked = os.listdir(os.path.join(barge.data_dir, "dead-letters", "parked"))
    assert [name for name in parked if name.endswith(".seg")] and not [n for n in parked if os.path.getsize(
        os.path.join(barge.data_dir, "dead-letters", "parked", n)) and n.endswith(".ndjson")]
    # Over a restart on the full disk, too.
    barge.restart(kill=True)
    wait_until(lambda: barge.status()["output"]["parked"] == 20, 10, barge.status)
    elastic.closed_indices.clear()
    wait_until(lambda: len(elastic.store) == 40000, 60, lambda: f"{len(elastic.store)} {barge.status()}")
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 40000})
    wait_until(lambda: barge.status()["output"]["parked"] == 0 and not os.listdir(os.path.join(barge.data_dir, "replay")), 10, barge.status)


@pytest.mark.limit(120)
def test_dead_letters_at_their_quota_do_not_hide_that_an_index_accepts_again(lab):
    """Neither parked nor delivered for want of room: the index is tried on, and goes when it opens."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, dead_letters={"max_size": "1MiB"}, output={"elasticsearch": {"park_after": "1s"}}))
    elastic.closed_indices["microservices-2018.11.23"] = CLOSED
    base = 1542963600 * 10**9
    for i in range(6000):
        container.write(line("app-1", i, 300), at_ns=base + i)
    wait_until(lambda: "dead_letters.max_size" in barge.log(), 40, barge.status)
    assert barge.balanced()["buffered"] > 1000
    elastic.closed_indices.clear()
    wait_until(lambda: len(elastic.store) == 6000, 60, lambda: f"{len(elastic.store)} {barge.status()}")
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": 6000})
