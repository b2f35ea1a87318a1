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


def test_patterns_name_files(tmp_path):
    """As path.config and -f have them: by name, without folders and what editors keep (a.conf~); a mark of UTF-8 and CRLF are nothing."""
    with open(os.path.join(CASES, "everyone.conf"), encoding="utf-8") as f:
        text = f.read()
    section = [part[:-1] if part.endswith(" ") else part for part in re.split(r"(?=filter|output)", text)]
    (tmp_path / "b.conf").write_bytes(b"\xef\xbb\xbf" + section[1].replace(" ", "\r\n").encode())
    (tmp_path / "a.conf").write_bytes(b"\xef\xbb\xbf" + section[0].encode())
    (tmp_path / "c.conf").write_text(section[2])
    (tmp_path / "c.conf~").write_text("no pipeline")
    (tmp_path / "d.conf").mkdir()
    for pattern in ("*.conf", "?.conf*", "{a,b,c}.conf"):
        done = run(f"{tmp_path}/{pattern}")
        assert (done.returncode, done.stdout, done.stderr) == (0, run("everyone.conf").stdout, "")
    for pattern in ("*.none", "d.*"):
        done = run(f"{tmp_path}/{pattern}")
        assert done.returncode == 2 and "there is no file of such a name" in done.stderr and done.stdout == ""


def test_what_is_too_large_is_not_read(tmp_path):
    large = tmp_path / "large.conf"
    with open(large, "wb") as f:
        f.truncate(100 << 20)
    for path in (large, tmp_path):
        done = run(str(path))
        assert done.returncode == 2 and "are too many for a pipeline" in done.stderr and done.stdout == ""


def test_pattern_files_are_found_beside_the_configuration(tmp_path):
    """Where patterns_dir says, and in the folder of the configuration and above; only regular files are read."""
    conf, away = tmp_path / "conf.d", tmp_path / "patterns"
    conf.mkdir()
    away.mkdir()
    (away / "ours").write_text("# SKU old\n\nSKU [A-Z]-%{DIGITS}\r\n DIGITS\t\\d+\n")
    (away / "more").write_text("DIGITS \\d{3}\n")
    (away / "sub").mkdir()
    os.mkfifo(away / "pipe")
    for folder, names, digits in [(away, "*", r"\d+"), ("/etc/logstash/patterns", "*", r"\d+"), ("../patterns", "o*", r"\d+"), (away / "ours", "*", r"\d+"),
                                  ("./patterns", "[mo]*", r"\d+")]:
        (conf / "a.conf").write_text('input { file { path => "/a" } } output { elasticsearch { hosts => "a" index => "i" } }\n'
                                     f'filter {{ grok {{ patterns_dir => ["{folder}"] patterns_files_glob => "{names}" '
                                     'match => { "message" => "^%{SKU:sku}" } } }\n')
        done = run(str(conf))
        assert (done.returncode, done.stderr) == (0, "") and f"(?<sku>[A-Z]-(?:{digits}))" in done.stdout, done.stdout
    (away / "ours").unlink()
    done = run(str(conf))
    assert done.returncode == 1 and re.match(r"\S+/a.conf:2:10: grok: the pattern %{SKU} is not known;", done.stderr.splitlines()[0])
    (away / "more").unlink()
    done = run(str(conf))
    assert done.returncode == 1 and "patterns_dir: ./patterns cannot be read; put it beside the configuration" in done.stderr


def test_certificates_that_are_not_here_are_left_out(tmp_path, certificates):
    """What is written passes `barge check`, before the files that the pipeline names are on this host and after."""
    good = {"cacert": certificates["IMPORT_CA"], "ssl_certificate": certificates["IMPORT_CERT"], "ssl_key": certificates["IMPORT_KEY"]}
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for changed, left_out in [({}, 0), ({"cacert": "/none/ca.pem"}, 1), ({"cacert": text}, 1), ({"ssl_key": text}, 2), ({"ssl_key": None}, 1)]:
        options = " ".join(f'{k} => "{v}"' for k, v in {**good, **changed}.items() if v)
        done = run("-", stdin=f'input {{ gelf {{ }} }} filter {{ json {{ source => "message" }} }} output {{ elasticsearch {{ hosts => "https://a" index => "i" {options} }} }}')
        assert (done.returncode, len(done.stderr.splitlines())) == (min(left_out, 1), left_out), done.stderr
        path = tmp_path / "barge.yaml"
        path.write_text(done.stdout)
        checked = program.run("check", "-c", path)
        assert (checked.returncode, checked.stderr) == (0, "")
        assert len(re.findall(r"^      (?:ca|cert|key)_file: ", done.stdout, re.M)) == len([v for v in {**good, **changed}.values() if v]) - left_out


# What is in many pipelines and has no place in barge: a word of what to do instead.
INSTEAD = {
    "input": {
        'beats { port => 5044 ssl => true }': "Filebeat's place", 'syslog { port => 514 type => "syslog" }': "inputs.files",
        'tcp { port => 5000 codec => json_lines }': "inputs.gelf.tcp", 'udp { port => 5000 codec => json }': "inputs.gelf.udp", "stdin { }": "inputs.files",
        'redis { host => "r" data_type => "list" key => "logstash" }': "buffer", 'kafka { bootstrap_servers => "k:9092" topics => ["a"] }': "buffer",
        'rabbitmq { host => "q" }': "buffer", 'jdbc { statement => "select 1" }': "stays with Logstash", 'http { port => 8080 }': "own host",
        'docker { }': "inputs.docker", 'pipeline { address => "a" }': "one pipeline", 'exec { command => "uptime" interval => 30 }': "inputs.files",
        'gelf { port => 12211 }': "one address", 'file { path => "relative.log" }': "no absolute path", 'heartbeat { }': "self_index", "unheard_of { }": "nothing",
    },
    "filter": {
        "drop { }": "exclude", 'geoip { source => "clientip" }': "geoip", 'useragent { source => "agent" target => "ua" }': "user_agent",
        'ruby { code => "event.set(1, 2)" }': "no code", 'dissect { mapping => { "message" => "%{a} %{b}" } }': "parser: regex",
        'csv { separator => ";" columns => ["a", "b"] }': "parser: regex", 'xml { source => "message" target => "doc" }': "ingest", 'split { field => "a" }': "one document",
        'clone { clones => ["a"] }': "one document", 'translate { field => "a" destination => "b" dictionary => { "1" => "x" } }': "enrich",
        'fingerprint { source => "message" target => "[@metadata][id]" }': "_id", 'urldecode { field => "a" }': "urldecode", "throttle { }": "every record",
        'aggregate { task_id => "%{id}" code => "" }': "barge trace", 'syslog_pri { }': "log.level", 'prune { whitelist_names => ["a"] }': "fields.remove",
        'dns { resolve => ["a"] }': "ingest", 'multiline { pattern => "^a" what => "previous" }': "parser: multiline", 'uuid { target => "id" }': "_id",
        'mutate { gsub => ["message", "a", "b"] }': "gsub", 'mutate { lowercase => ["level"] }': "log.level", 'mutate { uppercase => ["a"] }': "uppercase",
        'mutate { strip => ["a"] }': "trim", 'mutate { split => { "a" => "," } }': "split", 'mutate { join => { "a" => "," } }': "join",
        'mutate { merge => { "a" => "b" } }': "append", 'mutate { copy => { "a" => "b" } }': "copy_from", 'mutate { update => { "a" => "b" } }': "fields.add",
        'mutate { remove_tag => ["a"] }': "tags stay", 'mutate { add_field => { "[@metadata][index]" => "a" } }': "no @metadata",
        'mutate { add_field => { "copy" => "%{host}" } }': "depends on the record", 'mutate { rename => { "%{a}" => "b" } }': "depends on the record",
        'mutate { convert => { "a" => "integer_eu" } }': "integer, float", 'if [a] == "b" { mutate { add_tag => ["c"] } }': "all records or none",
        'if [a] =~ /b/ { drop { } } else if "c" in [tags] { mutate { remove_field => ["d"] } }': "all records or none",
        'json { source => "payload" target => "doc" }': "message alone", 'kv { source => "args" }': "message, and it alone",
        'grok { match => { "path" => "%{WORD:a}" } }': "message, and it alone", 'date { match => ["a", "ISO8601"] }': "sender",
        "unheard_of { }": "nothing",
    },
    "output": {
        "stdout { codec => rubydebug }": "output.file", 'redis { host => "r" key => "a" }': "buffer", 'kafka { topic_id => "a" }': "buffer",
        'email { to => "a@example.com" }': "alerts", 'http { url => "http://a" }': "one output", 's3 { bucket => "a" }': "one output", "null { }": "exclude",
        'file { path => "/a.log" }': "one output", 'statsd { increment => "a" }': "/metrics", 'if [level] == 3 { elasticsearch { index => "b" } }': "one output",
        'pipeline { send_to => ["a"] }': "one pipeline", "unheard_of { }": "nothing",
    },
}
# Of the one output that there is.
ELASTICSEARCH = {
    'document_id => "%{id}"': "_id", 'template => "/etc/t.json"': "barge setup", "template_overwrite => true": "barge setup", 'template_name => "t"': "barge setup",
    "ilm_enabled => true": "retention", 'ilm_policy => "p"': "retention", 'ilm_rollover_alias => "a"': "retention", 'ilm_pattern => "000001"': "retention",
    'user => "elastic"': "secrets come from files", 'api_key => "a:b"': "base64", 'cloud_id => "a:b"': "hosts", 'cloud_auth => "a:b"': "password_file",
    'pipeline => "geo"': "index.default_pipeline", 'routing => "%{a}"': "_id", "data_stream => true": "daily", 'action => "update"': "changes none",
    "doc_as_upsert => true": "changes none", "sniffing => true": "hosts", 'keystore => "/a.jks"': "PEM", 'truststore => "/a.jks"': "PEM",
    'parameters => { "a" => "b" }': "cannot be set", "unheard_of => 1": "nothing",
}


def test_what_has_no_place_is_named_with_what_to_do(tmp_path):
    lines, words = [], {}
    for section, plugins in INSTEAD.items():
        lines.append(f"{section} {{ # {section}")
        if section == "input":
            lines.append('gelf { port => 12201 type => "docker" }')
        if section == "output":
            lines.append('elasticsearch { hosts => ["localhost:9200"] index => "a"')
            for option, word in ELASTICSEARCH.items():
                lines.append(option)
                words[len(lines)] = word
            lines.append("}")
        for plugin, word in plugins.items():
            lines.append(plugin)
            words[len(lines)] = word
        lines.append("}")
    (tmp_path / "all.conf").write_text("\n".join(lines))
    done = run(str(tmp_path / "all.conf"))
    assert done.returncode == 1
    said = {}
    for line in done.stderr.splitlines():
        said.setdefault(int(line.split(":")[1]), []).append(line)
    wrong = {lines[n - 1]: said.get(n) for n, word in words.items() if not any(word in line for line in said.get(n, []))}
    assert not wrong
    assert set(said) == set(words)  # and nothing else
    path = tmp_path / "barge.yaml"
    path.write_text(done.stdout)
    assert program.run("check", "-c", path).returncode == 0


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


# Pieces of pipelines, each for the lines of a file of its own, and what Logstash's documentation says of the documents, by barge's
# names: codec, filters, lines, documents (None: not there; what is not named is not looked at). The times are Logstash's, in UTC.
ACCESS = ('192.0.2.17 - ola [23/Nov/2018:10:00:00 +0100] "GET /orders?x=1 HTTP/1.1" 200 17 "https://shop.example/" "curl/8"',
          {"@timestamp": "2018-11-23T09:00:00Z", "source.ip": "192.0.2.17", "user.name": "ola", "http.request.method": "GET",
           "url.original": "/orders?x=1", "http.response.status_code": 200, "http.response.body.bytes": 17, "tags": None})
LOG4J = r"""codec => multiline { pattern => "^%{TIMESTAMP_ISO8601}" negate => true what => "previous" }"""
SHOP = r"""grok { match => { "message" => "(?m)^%{TIMESTAMP_ISO8601:logtime} \[%{DATA:thread}\] %{LOGLEVEL:level} +%{JAVACLASS:class} - %{GREEDYDATA:message}$" }
              overwrite => ["message"] }"""
PIECES = {
    "access": ("", 'grok { match => { "message" => "%{COMBINEDAPACHELOG}" } } date { match => ["timestamp", "dd/MMM/yyyy:HH:mm:ss Z"] }',
               [ACCESS[0]], [ACCESS[1]]),
    "log4j": (LOG4J, SHOP + 'date { match => ["logtime", "yyyy-MM-dd HH:mm:ss,SSS"] timezone => "Asia/Kolkata" }',
              ["2018-11-23 14:30:00,123 [main] ERROR  com.shop.Orders - refused", "com.shop.OrderException: no stock", "", "\tat com.shop.A.b(A.java:1)",
               "2018-11-23 14:30:01,000 [] INFO com.shop.Orders - up"],
              [{"@timestamp": "2018-11-23T09:00:00.123Z", "message": "refused\ncom.shop.OrderException: no stock\n\n\tat com.shop.A.b(A.java:1)",
                "thread": "main", "log.level": "error", "class": "com.shop.Orders", "logtime": "2018-11-23 14:30:00,123", "tags": None},
               {"@timestamp": "2018-11-23T09:00:01Z", "message": "up", "thread": None, "log.level": "info"}]),
    "indented": (r'codec => multiline { pattern => "^\s" what => "previous" }', "", ["first", "  more", "second"],
                 [{"message": "first\n  more"}, {"message": "second"}]),
    "types": ("", r'grok { pattern_definitions => { "SKU" => "[A-Z]-\d{,3}" } match => { "message" => ["^%{WORD:[order][state]} %{SKU:sku} %{INT:qty:int}'
                  r' %{NUMBER:price:float}(?: %{DATA:note})?$", "^up %{NUMBER:up:int}"] } }',
              ["paid A-917 3 12.50 ", "up 17", "down"],
              [{"order.state": "paid", "sku": "A-917", "qty": 3, "price": 12.5, "note": None, "message": "paid A-917 3 12.50 "},
               {"up": 17, "message": "up 17", "sku": None}, {"message": "down", "tags": ["parse_failed"]}]),
    "unix": ("", 'grok { match => { "message" => "^%{NUMBER:at} %{GREEDYDATA:message}" } overwrite => "message" }'
                 'if "_grokparsefailure" not in [tags] { date { match => ["at", "UNIX_MS", "UNIX"] remove_field => ["at"] } }',
             ["1542963600123 a", "1542963601.5 b"],
             [{"@timestamp": "2018-11-23T09:00:00.123Z", "message": "a", "at": None}, {"@timestamp": "2018-11-23T09:00:01.5Z", "message": "b"}]),
    "syslog": ("", 'grok { match => { "message" => "%{SYSLOGLINE}" } overwrite => ["message"] }', ["Nov 23 09:00:00 srv-04 sshd[77]: refused"],
               [{"message": "refused", "timestamp": "Nov 23 09:00:00", "logsource": "srv-04", "program": "sshd", "pid": "77"}]),
    "kv": ("", "kv { }", ['user=ola sku="A 9" n=x'], [{"user.name": "ola", "sku": "A 9", "n": "x"}]),
    "json": ("codec => json", "", ['{"sku":"A-9","qty":3,"user":{"id":7}}'], [{"sku": "A-9", "qty": 3, "user.id": 7}]),
}


def started(lab, elastic, text):
    """barge with what was imported, and what a test needs besides."""
    done = run("-", stdin=text)
    assert done.returncode in (0, 1), done.stderr
    barge = lab.barge({}, start=False)
    with open(barge.config_path, "w", encoding="utf-8") as f:
        f.write(done.stdout + f"data_dir: {barge.data_dir}\nstatus: {json.dumps(barge.config['status'])}\nsetup: false\nbuffer: {{min_free: 1MiB}}\n")
    barge.start()
    return barge, done.stderr


def test_documents_are_what_logstash_would_have_made(lab, tmp_path):
    elastic = lab.elastic()
    inputs, filters = [], []
    for name, (codec, filter_text, lines, _) in PIECES.items():
        (tmp_path / f"{name}.log").write_text("".join(line + "\n" for line in lines))
        inputs.append(f'file {{ path => "{tmp_path}/{name}.log" start_position => "beginning" type => "{name}" {codec} }}')
        filters.append(f'if [type] == "{name}" {{ {filter_text} }}')
    barge, said = started(lab, elastic, f"input {{ {' '.join(inputs)} }} filter {{ {' '.join(filters)} }}"
                                        f'output {{ elasticsearch {{ hosts => ["{elastic.url}"] index => "pieces" }} }}')
    assert [line for line in said.splitlines() if ": type: " not in line] == []  # nothing else is left out
    elastic.wait_for(sum(len(documents) for _, _, _, documents in PIECES.values()))
    barge.wait_drained()
    found = sorted(elastic.documents(), key=lambda d: d["event"]["sequence"])
    for name, (_, _, _, documents) in PIECES.items():
        mine = [d for d in found if value_at(d, "log.file.path") == f"{tmp_path}/{name}.log"]
        assert [{k: value_at(d, k) for k in e} for d, e in zip(mine, documents)] == documents, mine
        assert len(mine) == len(documents)


MUTATE = """
if [debug] { mutate { remove_field => ["debug"] } }
mutate {
  rename => { "took" => "duration" "[req][agent]" => "[client][software]" }
  convert => { "duration" => "float" "qty" => "integer" "zip" => "string" "paid" => "boolean" }
  add_field => { "[labels][site]" => "oslo" "team" => "shop" }
  replace => { "realm" => "prod" }
  remove_field => ["password", "[user][ssn]"]
  add_tag => ["imported"]
}"""


def test_fields_are_what_mutate_would_have_made(lab, tmp_path):
    elastic = lab.elastic()
    line = {"took": "1.5", "req": {"agent": "curl"}, "qty": "3", "zip": 580, "paid": "true", "realm": "test", "password": "p",
            "user": {"ssn": "1", "id": 7}, "debug": {"a": 1}, "sku": "A-9"}
    (tmp_path / "a.log").write_text(json.dumps(line) + "\n")
    barge, said = started(lab, elastic, f'input {{ file {{ path => "{tmp_path}/a.log" start_position => "beginning" codec => json }} }}'
                                        f'filter {{ {MUTATE} }} output {{ elasticsearch {{ hosts => ["{elastic.url}"] index => "fields" }} }}')
    assert said == ""
    elastic.wait_for(1)
    barge.wait_drained()
    document = elastic.documents()[0]
    wanted = {"duration": 1.5, "took": None, "client.software": "curl", "qty": 3, "zip": "580", "paid": True, "labels.site": "oslo", "team": "shop",
              "realm": "prod", "password": None, "user.ssn": None, "user.id": 7, "debug": None, "sku": "A-9", "tags": ["imported"]}
    assert {k: value_at(document, k) for k in wanted} == wanted
