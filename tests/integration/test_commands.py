"""The commands, and what they say of a bad configuration."""

import json
import os
import subprocess

import pytest

import barge as program
from load import line
from scripted_elastic import TestAuthority
from waiting import wait_until

TOP = program.TOP


def check(tmp_path, text, env=None):
    """(exit status, messages without their FILE: prefix) of `barge check`."""
    path = tmp_path / "b.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = program.run("check", "-c", path, env=env)
    lines = done.stderr.splitlines()
    for said in lines:
        assert said.startswith(f"{path}:"), said
    assert done.stdout == ""
    return done.returncode, [said[len(str(path)) + 1:] for said in lines]


def test_an_empty_file_is_a_valid_configuration(tmp_path):
    assert check(tmp_path, "") == (0, [])
    assert check(tmp_path, "# nothing\n---\n") == (0, [])


def test_the_delivered_configuration_is_valid_and_is_the_default(tmp_path):
    delivered = os.path.join(TOP, "conf", "barge.yaml")
    assert program.run("check", "-c", delivered).returncode == 0
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert program.run("config", "-c", delivered).stdout == program.run("config", "-c", empty).stdout


# text, place, words that the message must have
BAD = [
    ("data_dirr: /x\n", "1:1", ["data_dirr", "data_dir"]),
    ("inputs:\n  docker:\n    container: /x\n", "3:5", ["container", "containers"]),
    ("buffer:\n  max_size: 1GiB\n  max_size: 2GiB\n", "3:3", ["max_size"]),
    ("buffer:\n  max_size: 10XB\n", "2:13", ["10XB"]),
    ("buffer:\n  max_size: -1\n", "2:13", []),
    ("buffer:\n  max_size: 99999999999999999999GiB\n", "2:13", []),
    ("shutdown_timeout: soon\n", "1:19", ["soon"]),
    ("buffer: 7\n", "1:9", []),
    ("output:\n  elasticsearch: {}\n  file: {path: x}\n", None, ["output"]),
    ("output:\n  elasticsearch:\n    hosts: [ftp://x]\n", "3:13", ["hosts"]),
    ("output:\n  elasticsearch:\n    compression: zstd\n", "3:18", ["zstd", "gzip"]),
    ("output:\n  elasticsearch:\n    index: '%{+YYYY'\n", "3:12", []),
    ("output:\n  elasticsearch:\n    index: '%{service.name}'\n", "3:12", []),
    ("log: {level: loud}\n", "1:14", ["loud"]),
    ("setup: perhaps\n", "1:8", ["perhaps"]),
    ("a: [1\n", None, []),
    ("\tdata_dir: x\n", None, []),
    (b"\xff\xfe\x00\x01", None, []),
    ("data_dir: ${NOT_SET_ANYWHERE}\n", "1:11", ["NOT_SET_ANYWHERE"]),
    ("- a\n- b\n", "1:1", []),
    ("enrich:\n  fields:\n    '@timestamp': x\n", "3:5", ["enrich.fields", "@timestamp"]),
    ("parsers:\n  - {container: a, parser: json}\n  - {container: b, parser: regex, pattern: '(?<a>x'}\n", "3:44",
     ["parsers[1].pattern", "missing closing parenthesis"]),
    ("parsers:\n  - {container: a, parser: yaml}\n", "2:28", ["parsers[0].parser", "yaml", "logfmt"]),
    ("parsers:\n  - {container: a, parser: mysql, pattern: x}\n", "2:44", ["parsers[0].pattern", "regex"]),
    ("fields:\n  rename: {a: container.x}\n", "2:11", ["fields.rename", "container"]),
]


@pytest.mark.parametrize("text, place, words", BAD, ids=range(len(BAD)))
def test_bad_configuration_is_named_by_place(tmp_path, text, place, words):
    status, said = check(tmp_path, text)
    assert status == 2 and said
    if place:
        assert said[0].startswith(place + ": "), said
    for word in words:
        assert word in said[0], said


def test_what_the_encoder_refuses_starts_nothing(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text(f"data_dir: {tmp_path}/data\nenrich:\n  fields:\n    host.name: x\n")
    done = program.run("run", "-c", path)
    assert done.returncode == 2 and done.stderr.startswith(f"{path}:4:5: enrich.fields: "), done.stderr
    assert not (tmp_path / "data").exists()


def test_every_mistake_is_named(tmp_path):
    status, said = check(tmp_path, "data_dirr: /x\nbuffer:\n  max_size: many\nlog: {level: loud}\n")
    assert status == 2 and [s.split(": ")[0] for s in said] == ["1:1", "3:13", "4:14"]


def test_certificates_are_looked_into(tmp_path):
    """Not for PEM's first line alone: what is cut off, of another kind or another certificate's is told before it is needed."""
    authority = TestAuthority(tmp_path / "tls")
    _, other_key = authority.issue("other", "DNS:localhost")

    def broken(path):
        """The file without the middle of its text."""
        with open(path, encoding="ascii") as f:
            rows = f.read().splitlines()
        at = f"{path}.broken"
        with open(at, "w", encoding="ascii") as f:
            f.write("\n".join([rows[0], rows[1][:20], *rows[-1:]]) + "\n")
        return at

    def said(ca=authority.ca_file, cert=authority.cert_file, key=authority.key_file):
        return check(tmp_path, f"output:\n elasticsearch:\n  hosts: [https://127.0.0.1:1]\n  tls:\n   ca_file: {ca}\n   cert_file: {cert}\n   key_file: {key}\n")

    no_pem = tmp_path / "no.pem"
    no_pem.write_text("a word\n")
    at = "output.elasticsearch.tls."
    assert said() == (0, [])
    assert said(ca=no_pem) == (2, [f"5:13: {at}ca_file: {no_pem} holds no PEM with CERTIFICATE-----"])
    assert said(key=authority.cert_file) == (2, [f"7:14: {at}key_file: {authority.cert_file} holds no PEM with PRIVATE KEY-----"])
    bad = broken(authority.ca_file)
    assert said(ca=bad) == (2, [f"5:13: {at}ca_file: {bad}: no certificate in it can be read"])
    bad = broken(authority.cert_file)
    assert said(cert=bad) == (2, [f"6:15: {at}cert_file: {bad}: the certificate cannot be read"])
    bad = broken(authority.key_file)
    assert said(key=bad) == (2, [f"7:14: {at}key_file: {bad}: cannot be read, or is not the key of {authority.cert_file}"])
    assert said(key=other_key) == (2, [f"7:14: {at}key_file: {other_key}: cannot be read, or is not the key of {authority.cert_file}"])


def test_a_bad_configuration_starts_nothing(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text("data_dirr: /x\n")
    done = program.run("run", "-c", path)
    assert done.returncode == 2 and f"{path}:1:1: " in done.stderr
    missing = program.run("run", "-c", tmp_path / "none.yaml")
    assert missing.returncode == 2 and "none.yaml" in missing.stderr


def test_config_shows_what_is_in_force(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text("data_dir: ${WHERE}\nbuffer: {max_size: 64MiB}\noutput: {elasticsearch: {hosts: ['http://u:secret@h:9200']}}\n")
    done = program.run("config", "-c", path, env={"WHERE": "/srv/barge"})
    assert done.returncode == 0 and "/srv/barge" in done.stdout and "64MiB" in done.stdout
    assert "secret" not in done.stdout + done.stderr and "batch_size: 1MiB" in done.stdout
    # What it prints is a configuration that says the same, but for what is masked.
    again = tmp_path / "again.yaml"
    path.write_text("buffer: {max_size: 64MiB}\nenrich: {fields: {environment: prod}}\nfields: {rename: {a: b}}\n")
    first = program.run("config", "-c", path).stdout
    again.write_text(first)
    assert program.run("config", "-c", again).stdout == first


def test_help_and_version():
    done = program.run("help")
    assert done.returncode == 0
    for command in ("run", "check", "config", "trace", "status", "top", "buffer", "replay", "help", "version"):
        assert f"barge {command}" in done.stdout
        assert program.run("help", command).returncode == 0
    assert program.run("version").stdout.startswith("barge ")
    assert program.run().returncode == 2
    wrong = program.run("statsu")
    assert wrong.returncode == 2 and "status" in wrong.stderr
    assert program.run("check", "--loud").returncode == 2
    assert program.run("run", "-c").returncode == 2


def test_what_cannot_start_names_its_setting(lab, tmp_path):
    """A second agent on the folder, the port, the socket of a first one; a data_dir that cannot be made."""
    running = lab.barge(lab.config(gelf_udp="%s:%d" % lab.gelf_address()))
    (tmp_path / "file").write_text("")
    own = {"data_dir": str(tmp_path / "own"), "status": {"listen": ""}}
    gelf = running.config["inputs"]["gelf"]["udp"]
    for changes, says in [
            ({}, "is used by another process; each agent needs a data_dir of its own"),
            ({**own, "status": running.config["status"]}, f'status.listen: cannot listen on {running.config["status"]["listen"]}'),
            (own, f"inputs.gelf.udp: cannot listen on {gelf}"),
            ({**own, "data_dir": str(tmp_path / "file" / "x")}, "data_dir: cannot make the folder"),
            ({**own, "data_dir": str(tmp_path / "file")}, "Not a directory; run as root, or choose a folder"),
            ({**own, "inputs": {"docker": "off", "gelf": "off"}, "output": {"file": {"path": str(tmp_path / "file" / "y" / "z.ndjson")}}},
             "output.file.path: cannot make the folder")]:
        path = tmp_path / "second.yaml"
        path.write_text(json.dumps({**running.config, **changes}))
        done = program.run("run", "-c", path)
        assert done.returncode == 1 and done.stderr.count("level=error") == 1
        assert says in done.stderr


def test_status_of_a_running_agent(lab):
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker))
    elastic.wait_for(1)
    barge.wait_drained()
    done = program.run("status", "-c", barge.config_path)
    assert done.returncode == 0 and "delivered" in done.stdout, done.stderr
    barge.stop()
    assert program.run("status", "-c", barge.config_path).returncode == 1


def test_a_buffer_is_read_without_an_agent(lab):
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, shutdown_timeout="100ms"))
    container.write(b"".join(line("app-1", i) for i in range(100)))
    wait_until(lambda: barge.ledger()["buffered"] == 100, 10)
    for running in (True, False):
        status = program.run("buffer", "status", barge.data_dir)
        assert status.returncode == 0 and "100" in status.stdout, status.stdout + status.stderr
        assert program.run("buffer", "verify", barge.data_dir).returncode == 0
        exported = program.run("buffer", "export", barge.data_dir)
        assert exported.returncode == 0
        if running:
            barge.stop()
    lines = exported.stdout.splitlines()
    assert len(lines) == 200 and {json.loads(x)["create"]["_index"][:14] for x in lines[::2]} == {"microservices-"}
    # The export is what the agent would have sent.
    elastic.start()
    barge.start()
    elastic.wait_for(100)
    barge.wait_drained()
    sent = {(json.loads(a)["create"]["_id"], d.encode()) for a, d in zip(lines[::2], lines[1::2])}
    assert sent == {(document_id, document) for (_, document_id), document in elastic.store.items()}
    wrong = program.run("buffer", "status", lab.folder + "/nowhere")
    assert wrong.returncode == 1 and "nowhere" in wrong.stderr
    assert program.run("buffer", "dance", barge.data_dir).returncode == 2


def test_install_and_uninstall(tmp_path):
    def make(*arguments):
        subprocess.run(["make", "-s", *arguments, f"BUILD={os.path.dirname(program.BINARY)}", f"DESTDIR={tmp_path}", "PREFIX=/usr"], cwd=TOP,
                       check=True, capture_output=True)

    make("install-files")
    for path in ("bin/barge", "share/man/man8/barge.8", "share/man/man5/barge.yaml.5", "share/bash-completion/completions/barge",
                 "share/barge/conf/barge.yaml"):
        assert (tmp_path / "usr" / path).exists(), path
    unit = (tmp_path / "usr/share/barge/conf/systemd/barge.service").read_text()
    assert "ExecStart=/usr/bin/barge " in unit and "/usr/local" not in unit
    make("uninstall")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
