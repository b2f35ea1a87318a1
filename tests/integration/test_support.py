"""The harness itself: what stands in for Docker and for Elasticsearch behaves like them."""

import glob
import gzip
import http.client
import json
import re

import pytest

import corpus
from docker_folder import DockerFolder, messages_of
from scripted_elastic import Cut, Late, Refuse, Whole
from strict_json import parse

PLAIN_CASES = {"plain": "plain", "long": "long", "long_json": "long_json", "long_utf8split": "long_utf8split", "badutf8": "badutf8",
               "control": "control", "unicode": "unicode", "empty": "empty", "java": "java", "nonl": "nonl", "long_nonl": "long_nonl",
               "exact16k_nonl": "exact16k_nonl", "app-json": "app_json", "pytrace": "pytrace", "gopanic": "gopanic"}


def log_of(case):
    folder = corpus.container_folder("docker26", "json-file", case)
    with open(glob.glob(folder + "/*-json.log")[0], "rb") as f:
        return f.read()


@pytest.mark.parametrize("case", PLAIN_CASES)
def test_the_folder_writes_what_docker_wrote(tmp_path, case):
    folder = DockerFolder(tmp_path)
    container = folder.container("c")
    container.write(corpus.input_bytes(PLAIN_CASES[case]))
    container.exit()
    with open(container.path, "rb") as f:
        ours = f.read()

    def timeless(log):
        return re.sub(rb'"time":"[^"]*"', b"", log)

    assert timeless(ours) == timeless(log_of(case))
    folder.close()


@pytest.mark.parametrize("case", PLAIN_CASES)
def test_expected_messages_are_the_logs_pieces_joined(case):
    joined, open_piece = [], ""
    for line in log_of(case).decode().split("\n")[:-1]:
        open_piece += json.loads(line)["log"]
        if open_piece.endswith("\n"):
            joined.append(open_piece[:-1])
            open_piece = ""
    if open_piece:
        joined.append(open_piece)
    assert joined == messages_of(corpus.input_bytes(PLAIN_CASES[case]))


def bulk(elastic, lines, path="/_bulk", **headers):
    body = b"".join(line + b"\n" for line in lines)
    if headers.pop("gzipped", False):
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    connection = http.client.HTTPConnection("127.0.0.1", elastic.port, timeout=10)
    connection.request("POST", path, body, {"Content-Type": "application/x-ndjson", **headers})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data) if data else None


CREATE = b'{"create":{"_index":"i-2018.11.23","_id":"a"}}'


def test_the_node_keeps_a_document_once(lab):
    elastic = lab.elastic()
    status, answer = bulk(elastic, [CREATE, b'{"n":1}'], gzipped=True)
    assert status == 200 and answer["errors"] is False and answer["items"][0]["create"]["status"] == 201
    status, answer = bulk(elastic, [CREATE, b'{"n":1}'])
    assert answer["errors"] is True and answer["items"][0]["create"]["error"]["type"] == "version_conflict_engine_exception"
    assert elastic.store == {("i-2018.11.23", "a"): b'{"n":1}'} and elastic.counts == {201: 1, 409: 1}


@pytest.mark.parametrize("lines, said", [
    ([b'{"create":{"_index":"i","_id":"a","_type":"_doc"}}', b"{}"], "unknown parameter [_type]"),
    ([b'{"create":{"_index":"i","_id":"a","foo":1}}', b"{}"], "unknown parameter [foo]"),
    ([b'{"create":{"_id":"a"}}', b"{}"], "index is missing"),
    ([b'{"create":{"_index":"i","_id":"' + b"a" * 513 + b'"}}', b"{}"], "too long"),
    ([b'{"create":{"_index":"i"},"x":1}', b"{}"], "Malformed"),
    ([b'{"make":{"_index":"i"}}', b"{}"], "Unknown action"),
    ([b'{"create":{"_index":"i"}}'], "odd number"),
])
def test_the_node_refuses_bad_requests_whole(lab, lines, said):
    elastic = lab.elastic()
    status, answer = bulk(elastic, lines)
    assert status == 400 and said in answer["error"]["reason"] and not elastic.store
    assert said in elastic.complaints.pop()


@pytest.mark.parametrize("document", [b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e400}', b'{"a":"\xff"}', b'[1]', b'{"_id":"x"}',
                                      b'{"a":18446744073709551616}', b'{"a":"\t"}'])
def test_the_node_refuses_bad_documents_one_by_one(lab, document):
    elastic = lab.elastic()
    status, answer = bulk(elastic, [CREATE, document, CREATE.replace(b'"a"', b'"b"'), b'{"good":1}'])
    assert status == 200 and [i["create"]["status"] for i in answer["items"]] == [400, 201]
    assert elastic.complaints.pop() and not elastic.complaints


def test_the_node_follows_its_script(lab):
    elastic = lab.elastic()
    elastic.answer_next(Whole(503), times=2)
    elastic.answer_next(Late(0.01))
    elastic.answer_next(Cut(180))
    assert [bulk(elastic, [CREATE, b"{}"])[0] for _ in range(3)] == [503, 503, 200]
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        bulk(elastic, [CREATE.replace(b'"a"', b'"b"'), b"{}"])
    assert len(elastic.store) == 2
    elastic.on_item = lambda item: Refuse(429, "es_rejected_execution_exception", "full") if item.id == "c" else None
    _, answer = bulk(elastic, [CREATE.replace(b'"a"', b'"c"'), b"{}", CREATE.replace(b'"a"', b'"d"'), b"{}"])
    assert [i["create"]["status"] for i in answer["items"]] == [429, 201]
    elastic.stop()
    with pytest.raises(ConnectionError):
        bulk(elastic, [CREATE, b"{}"])
    elastic.start()
    assert bulk(elastic, [CREATE, b"{}"])[0] == 200


def test_json_is_read_strictly():
    assert parse(b'{"a":[1,{"b":"\\u0041"}]}') == {"a": [1, {"b": "A"}]}
    with pytest.raises(ValueError):
        parse(b'{"a":{"b":1,"b":2}}')
