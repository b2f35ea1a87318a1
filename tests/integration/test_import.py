"""`barge import`: pipelines of Logstash beside what they must become, which was written by hand from Logstash's documentation.

logstash/NAME.conf (or the folder NAME) becomes logstash/NAME.yaml. Of a comment the beginning stands there: what it is about, not
every word of the reason.
"""

import json
import os
import re
import subprocess

import pytest

import barge as program
from expect import value_at
from scripted_elastic import TestAuthority

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "logstash")
NAMES = sorted(f[:-5] for f in os.listdir(CASES) if f.endswith(".yaml"))


def run(*arguments, stdin=None):
    done = subprocess.run([program.BINARY, "import", *arguments], cwd=CASES, input=stdin, capture_output=True, text=True, timeout=60,
                          check=False)
    assert not program.SANITIZER.search(done.stderr), done.stderr
    return done


def pipeline(name):
    return name if os.path.isdir(os.path.join(CASES, name)) else name + ".conf"


def wanted(name):
    with open(os.path.join(CASES, name + ".yaml"), encoding="utf-8") as f:
        return f.read().splitlines()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    authority = TestAuthority(tmp_path_factory.mktemp("tls"))
    return {"IMPORT_CA": authority.ca_file, "IMPORT_CERT": authority.cert_file, "IMPORT_KEY": authority.key_file}


def same(line, expected):
    comment = expected.lstrip().startswith("#")
    return line.startswith(expected) if comment else line == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_becomes_a_configuration(name, tmp_path, certificates):
    done = run(pipeline(name))
    got, expected = done.stdout.splitlines(), wanted(name)
    different = [(g, e) for g, e in zip(got, expected) if not same(g, e)]
    assert not different and len(got) == len(expected), (different[:3], done.stdout)

    # What was left out is told by its place, and then the status is not 0.
    told = re.findall(r"^(\S+:\d+):\d+: ", done.stderr, re.M)
    assert len(told) == len(done.stderr.splitlines())
    assert sorted(told) == sorted(re.findall(r"^ *# LEFT OUT, (\S+:\d+): ", done.stdout, re.M))
    assert done.returncode == (1 if told else 0)
    assert "s3cr3t" not in done.stdout + done.stderr

    path = tmp_path / "barge.yaml"
    path.write_text(done.stdout)
    checked = program.run("check", "-c", path, env=certificates)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_files_one_after_the_other_are_a_folder(tmp_path):
    folder = run("folder").stdout
    files = run("folder/01-input.conf", "folder/10-filter.conf", "folder/99-output").stdout
    assert files == folder
    out = tmp_path / "out.yaml"
    done = run("-o", str(out), "folder")
    assert done.returncode == 1 and done.stdout == "" and out.read_text() == folder
    assert run(f"-o{out}", "everyone.conf").returncode == 0 and out.read_text() != folder


def test_standard_input():
    with open(os.path.join(CASES, "everyone.conf"), encoding="utf-8") as f:
        text = f.read()
    done = run("-", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, run("everyone.conf").stdout, "")
    done = run("-", stdin="input { gelf { } } filter { ruby { } } output { elasticsearch { } }")
    assert done.returncode == 1 and done.stderr.startswith("-:1:29: filter ruby: ")


# What is no pipeline, and what must be said of it.
WRONG = [
    ("", "-:1:1: input, filter or output was expected"),
    ("inputs { }", "-:1:1: input, filter or output was expected before inputs"),
    ("input {\n  gelf { port 12201 }\n}", "-:2:15: => behind the option's name was expected before 12201"),
    ("input {\n  gelf { port => 12201, type => \"a\" }\n}", "-:2:23: "),
    ("input { gelf { type => \"docker } }", "-:1:24: this string has no end; \" was expected"),
    ("filter { if [a] = \"b\" { } }", "-:1:17: and, or, xor, nand or { was expected before ="),
    ("filter { if [æ] == \"ø\" and { } }", "-:1:28: a condition"),
    ("input { gelf { }", "-:1:17: a plugin's name, if, or } was expected, and the text ends here"),
    ("input { " + "if [a] { " * 100, "more than 64 levels"),
    ("filter { x { y => " + "[" * 100000, "more than 64 levels"),
    ("filter { if " + "(" * 100000, "more than 64 levels"),
    ("filter { x { y => " + "{ aa => " * 100000, "more than 64 levels"),
]


@pytest.mark.parametrize("text, said", WRONG, ids=range(len(WRONG)))
def test_what_is_no_pipeline_is_named_by_place(text, said):
    done = run("-", stdin=text)
    assert done.returncode == 2 and done.stdout == "" and said in done.stderr, done.stderr
    assert re.match(r"-:\d+:\d+: ", done.stderr) and done.stderr.count("\n") == 1


def test_the_place_is_that_of_the_file(tmp_path):
    (tmp_path / "1.conf").write_text("input { }\n\n")
    (tmp_path / "2.conf").write_text("filter {\n  grok [\n}\n")
    done = run(str(tmp_path))
    assert done.returncode == 2 and done.stderr.startswith(f"{tmp_path}/2.conf:2:8: {{ behind the plugin's name was expected before [")


def test_what_cannot_be_read(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    latin = tmp_path / "latin.conf"
    latin.write_bytes(b"input { }\n# caf\xe9\n")
    for path, said in [(tmp_path / "none.conf", "none.conf: No such file"), (empty, "there is no file in this folder"),
                       (latin, "latin.conf:2:6: this is no UTF-8 text")]:
        done = run(str(path))
        assert done.returncode == 2 and said in done.stderr and done.stdout == "", done.stderr
    assert run().returncode == 2 and "usage: barge import" in run().stderr
    assert run("-x", "a").returncode == 2 and run("-o").returncode == 2 and run("--o", "a", "b").returncode == 2
    done = run("-o", str(tmp_path / "none" / "x"), "everyone.conf")
    assert done.returncode == 1 and "No such file" in done.stderr


def test_no_text_of_a_pipeline_leaves_its_comment(tmp_path):
    """Line ends of every kind in what is left out: nothing of it becomes a setting."""
    text = "filter { ruby { code => 'a\rlog: {level: debug}\u0085log: {level: debug}\u2028log: {level: debug}\nlog: {level: debug}' } }"
    done = subprocess.run([program.BINARY, "import", "-"], input=text.encode(), capture_output=True, timeout=60, check=False)
    path = tmp_path / "b.yaml"
    path.write_bytes(done.stdout)
    assert done.returncode == 1 and b"level: debug" in done.stdout
    assert "level: info" in program.run("config", "-c", path).stdout


LINE = {"level": "warn", "msg": "stock low", "requestId": "4bf9", "sku": "A-9", "qty": 3, "@timestamp": "2018-01-01T00:00:00Z",
        "host": "its own", "err": {"message": "boom"}}
DOCKER = {"version": "1.1", "host": "srv-04", "short_message": json.dumps(LINE), "timestamp": 1542963600.123, "level": 6,
          "_command": "/bin/sh", "_container_id": "ab" * 32, "_container_name": "shop-orders-1", "_created": "2018-11-23T08:00:00Z",
          "_image_id": "sha256:" + "cd" * 32, "_image_name": "shop/orders:1.4", "_tag": "abababababab", "_team": "stock"}
# conf/MIGRATING.md, the table of a document: None where barge has nothing.
DOCUMENT = {
    "@timestamp": "2018-11-23T09:00:00.123Z", "app.@timestamp": "2018-01-01T00:00:00Z", "message": "stock low", "log.level": "warn",
    "stream": "stdout", "http.request.id": "4bf9", "error.message": "boom", "service.name": "shop-orders", "sku": "A-9", "qty": 3,
    "container.id": "ab" * 32, "container.name": "shop-orders-1", "container.image.name": "shop/orders:1.4",
    "container.labels.team": "stock", "container.labels.tag": None, "host.name": "srv-04", "app.host": "its own", "type": "docker",
    "@version": None, "version": None, "command": None, "created": None, "image_id": None, "source_host": None, "tags": None,
    "level": None, "msg": None, "requestId": None,
}


def test_a_document_is_what_the_page_says(lab):
    elastic, address = lab.elastic(), lab.gelf_address()
    host = elastic.url.split("://")[1]
    done = run("-", stdin=f'input {{ gelf {{ host => "127.0.0.1" port => {address[1]} type => "docker" }} }} filter {{ json {{ source => "message" }} }}'
                          f'output {{ elasticsearch {{ hosts => ["{host}"] index => "microservices-%{{+YYYY.MM.dd}}" }} }}')
    assert done.returncode == 0, done.stderr
    barge = lab.barge({}, start=False)
    with open(barge.config_path, "w", encoding="utf-8") as f:
        f.write(done.stdout + f"data_dir: {barge.data_dir}\nstatus: {json.dumps(barge.config['status'])}\nsetup: false\n"
                              "buffer: {min_free: 1MiB}\nenrich: {host: srv-04}\n")
    barge.start()
    lab.gelf_sender(address).send(DOCKER)
    elastic.wait_for(1)
    barge.wait_drained()
    document = elastic.documents()[0]
    assert {name: value_at(document, name) for name in DOCUMENT} == DOCUMENT
