"""Everything that a real Docker engine wrote arrives exactly once, bit for bit."""

import collections
import gzip
import json
import os
import shutil

import pytest

import corpus
from docker_folder import messages_of
from expect import check_document, index_of, value_at
from framing import files_of, frame
from waiting import wait_until

# What the process of each case wrote: {stream: bytes of its runs}. From the commands in index.tsv.
LINE = corpus.input_bytes
RND_LINE = LINE("rnd_40000")[:40000] + b"\n"
SIX = range(1, 7)


def through_a_terminal(data):
    return data.replace(b"\n", b"\r\n")


WRITTEN = {
    "app-json": {"stdout": [LINE("app_json")]},
    "attrs": {"stdout": [LINE("plain")]},
    "attrs-regex": {"stdout": [b"one\n"], "stderr": [b"two\n"]},
    "plain": {"stdout": [LINE("plain")]},
    "stderr": {"stdout": [b"".join(b"out %d\n" % i for i in SIX)], "stderr": [b"".join(b"err %d\n" % i for i in SIX) + LINE("plain")]},
    "stderr-paced": {"stdout": [b"".join(b"out %d\n" % i for i in SIX)], "stderr": [b"".join(b"err %d\n" % i for i in SIX)]},
    "long": {"stdout": [LINE("long")]},
    "long_json": {"stdout": [LINE("long_json")]},
    "long_utf8split": {"stdout": [LINE("long_utf8split")]},
    "long_nonl": {"stdout": [LINE("long_nonl")]},
    "exact16k_nonl": {"stdout": [LINE("exact16k_nonl")]},
    "badutf8": {"stdout": [LINE("badutf8")]},
    "control": {"stdout": [LINE("control")]},
    "unicode": {"stdout": [LINE("unicode")]},
    "empty": {"stdout": [LINE("empty")]},
    "java": {"stdout": [LINE("java")]},
    "pytrace": {"stdout": [LINE("pytrace")]},
    "gopanic": {"stdout": [LINE("gopanic")]},
    "nonl": {"stdout": [LINE("nonl")]},
    "slow-partial": {"stdout": [b"part one, part two, end\ntail-no-newline"]},
    "slow-partial-16k": {"stdout": [LINE("rnd_40000")[:20000] * 2 + b"\nnext\n"]},
    "tty": {"stdout": [through_a_terminal(b"out\nerr\np 1\rp 2\r\n\033[31mred\033[0m\n" + LINE("unicode"))]},
    "tty-long": {"stdout": [through_a_terminal(LINE("long_json"))]},
    "exit1": {"stderr": [b"dying\n"]},
    "nooutput": {},
    "restart-nonl": {"stdout": [LINE("nonl")] * 2},
    "restart-long_nonl": {"stdout": [LINE("long_nonl")] * 2},
    "restart-exact16k_nonl": {"stdout": [LINE("exact16k_nonl")] * 2},
    "nonblocking": {"stdout": [LINE("plain")]},
    "both-streams-16k": {"stdout": [RND_LINE * 4], "stderr": [RND_LINE * 4]},
    "renamed": {"stdout": [b"before\nafter\n"]},
}
CASES = corpus.json_file_cases()


def by_container(documents):
    found = collections.defaultdict(list)
    for document in documents:
        found[document["container"]["id"]].append(document)
    return found


def check_against(documents, framed):
    """documents of one container are the framed records: text, stream, time to the nanosecond, position."""
    in_order = sorted(documents, key=lambda d: (d["stream"], d["@timestamp"], d["event"]["sequence"]))
    wanted = sorted(framed, key=lambda f: (f.stream, f.time, f.position))
    assert len(in_order) == len(wanted)
    got = collections.Counter((d["stream"], d["@timestamp"], d["event"]["sequence"]) for d in documents)
    assert got == collections.Counter((f.stream, f.time, f.position) for f in wanted)
    by_place = {(d["stream"], d["@timestamp"], d["event"]["sequence"]): d for d in documents}
    for f in wanted:
        check_document(by_place[f.stream, f.time, f.position], f.text)


@pytest.fixture(params=["elasticsearch", "file"])
def shipped(request, lab):
    """Ships folders of the corpus to the end: (documents, barge)."""

    def ship(folders, n, **sections):
        docker = lab.docker()
        for folder in folders:
            docker.adopt(folder)
        if request.param == "elasticsearch":
            elastic = lab.elastic()
            barge = lab.barge(lab.config(elastic, docker, **sections))
            elastic.wait_for(n)
            barge.wait_drained()
            for (index, _), document in elastic.store.items():
                assert index == index_of(json.loads(document)["@timestamp"])
            assert set(elastic.counts) == {201}
            return elastic.documents(), barge
        barge = lab.barge(lab.config(None, docker, **sections))
        wait_until(lambda: len(barge.output_lines()) >= n, 20, lambda: f"{len(barge.output_lines())} of {n} lines")
        barge.wait_drained()
        documents = barge.output_documents()
        assert len(documents) == n
        ids = [d.pop("_id") for d in documents]
        assert len(set(ids)) == n and all(len(i) == 24 for i in ids)
        return documents, barge

    return ship


def test_every_json_file_case_arrives_exactly_once(shipped):
    folders = {case: corpus.container_folder("docker26", "json-file", case) for case, _ in CASES}
    framed = {case: frame(files_of(folder)) for case, folder in folders.items()}
    documents, _ = shipped(folders.values(), sum(map(len, framed.values())))
    found = by_container(documents)
    for case, container_id in CASES:
        check_against(found[container_id], framed[case])
        # And against what the processes wrote, without Docker's log between.
        for stream, runs in WRITTEN.get(case, {}).items():
            written = [m for run in runs for m in messages_of(run)]
            texts = [f.text for f in framed[case] if f.stream == stream]
            assert texts == written, case
    assert {case for case, _ in CASES} - set(WRITTEN) == {"restarted"}


def test_containers_are_named(shipped):
    cases = ["plain", "attrs", "attrs-regex", "renamed", "app-json"]
    folders = {case: corpus.container_folder("docker26", "json-file", case) for case in cases}
    documents, _ = shipped(folders.values(), sum(len(frame(files_of(f))) for f in folders.values()))
    found = {case: by_container(documents)[os.path.basename(folder)] for case, folder in folders.items()}
    for case, folder in folders.items():
        with open(os.path.join(folder, "config.v2.json"), encoding="utf-8") as f:
            config = json.load(f)
        for d in found[case]:
            assert d["container"]["name"] == config["Name"].lstrip("/")
            assert d["container"]["image"]["name"] == config["Config"]["Image"]
            assert d["host"]["name"] == "test-host"
    # The swarm's label stands before the compose label; without labels it is the container's name.
    assert {value_at(d, "service.name") for d in found["attrs"]} == {"shop_api"}
    assert {value_at(d, "service.name") for d in found["plain"]} == {"plain"}
    # Docker's attrs, dots and slashes of their names as underscores.
    labels = found["attrs-regex"][0]["container"]["labels"]
    assert labels["APP_ENV"] == "prod" and labels["APP_VER"] == '1.2 "q" é<&>'
    assert labels["com_docker_compose_service"] == "api" and labels["com_docker_compose_container-number"] == "1"


def test_a_request_is_found_over_gateway_and_services(shipped):
    names = ["gateway", "orders", "users"]
    folders = {name: corpus.container_folder("nginx", name) for name in names}
    framed = {name: frame(files_of(folder)) for name, folder in folders.items()}
    documents, _ = shipped(folders.values(), sum(map(len, framed.values())))
    found = by_container(documents)
    for name in names:
        check_against(found[os.path.basename(folders[name])], framed[name])
    services = collections.defaultdict(set)
    for d in documents:
        request_id = value_at(d, "http.request.id")
        if request_id:
            services[request_id].add(d["service"]["name"])
    with open(corpus.path("nginx", "client.txt"), encoding="utf-8") as f:
        asked = [line.split() for line in f if len(line.split()) == 3 and len(line.split()[1]) == 32]
    assert len(asked) > 10
    for code, request_id, url in asked:
        path = url.split("/", 3)[3]
        assert "gateway" in services[request_id], (request_id, url)
        for backend in ("orders", "users"):
            if path.startswith(backend + "/") and code == "200":
                assert services[request_id] == {"gateway", backend}, url


ROTATIONS = ["fast-3-gz", "fast-3-plain", "fast-maxfile1", "paced-5-gz", "paced-maxfile1", "partial-3-plain", "smaller-than-line", "tiny-1k-3"]


@pytest.mark.parametrize("case", ROTATIONS)
def test_rotated_files_are_read_oldest_first(lab, case):
    folder = corpus.container_folder("docker26", "rotation", case)
    framed = frame(files_of(folder))
    elastic, docker = lab.elastic(), lab.docker()
    docker.adopt(folder)
    barge = lab.barge(lab.config(elastic, docker))
    elastic.wait_for(len(framed))
    barge.wait_drained()
    check_against(elastic.documents(), framed)


def test_the_same_ids_again_after_all_state_is_lost(lab):
    """An `_id` comes from the bytes alone: a second life without positions sends nothing new, rotated and packed or not."""
    folder = corpus.container_folder("docker26", "rotation", "fast-3-plain")
    n = len(frame(files_of(folder)))
    elastic, docker = lab.elastic(), lab.docker()
    docker.adopt(folder)
    barge = lab.barge(lab.config(elastic, docker))
    elastic.wait_for(n)
    barge.wait_drained()
    barge.stop()
    shutil.rmtree(barge.data_dir)
    log = os.path.join(docker.path, os.path.basename(folder), os.path.basename(folder) + "-json.log")
    for i in (2, 1):
        with open(f"{log}.{i}", "rb") as f, gzip.open(f"{log}.{i}.gz", "wb") as packed:
            shutil.copyfileobj(f, packed)
        os.unlink(f"{log}.{i}")
    barge.start()
    wait_until(lambda: barge.ledger()["duplicate"] == n, 15, lambda: barge.ledger())
    assert len(elastic.store) == n and elastic.counts == {201: n, 409: n}
