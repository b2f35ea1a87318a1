"""What is redacted is nowhere on the disk and nowhere in the index: documents, dead letters, daily files, and after kill -9."""

import hashlib
import hmac
import json
import os

import pytest

import barge as program
from gelf_sender import message
from scripted_elastic import Refuse
from waiting import wait_until

KEY = "3f1c8a5e7b2d4f6081a3c5e7092b4d6f"
UNREADY = Refuse(503, "unavailable_shards_exception", "[i][0] primary shard is not active")
LIMIT = Refuse(400, "document_parsing_exception", "failed to parse field [n] of type [long]. Preview of field's value: 'abc'")

CARD = "4012345678901239"   # Luhn's digit worked out by hand, as the two of the number below
PERSON = "17059010182"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
SECRETS = ["ola@example.com", "kari", "192.0.2.17", "2001:db8:85a3::8a2e", CARD, "4012 3456", PERSON, JWT, "hemmelig", "s3cret", "to-ord"]

LINES = [
    "plain text of ola@example.com from 192.0.2.17 and [2001:db8:85a3::8a2e:370:7334]:443",
    json.dumps({"msg": f"paid with {CARD}", "card": int(CARD), "grouped": "4012 3456 7890 1239", "pnr": int(PERSON), "n": 1}),
    '{"msg":"escaped ola\\u0040example.com","user":{"name":"Ola","password":"hemmelig"},"authorization":"Bearer ' + JWT + '"}',
    json.dumps({"msg": "connecting", "dsn": "postgres://app:s3cret@db/shop", "query": "?email=kari%40example.com&password=to-ord"}),
    json.dumps({"msg": "inner", "body": json.dumps({"user": {"password": "hemmelig"}, "mail": "kari@example.com"})}),
    '{"broken": "kari@example.com", "user": {"password": "hemmelig"}, oops',
    json.dumps({"msg": "poison", "n": "abc", "mail": "ola@example.com", "ip": "192.0.2.17"}),
]

RULES = {"rules": [{"kind": "email", "action": "hash"}, {"field": "*user.password", "action": "drop"}, {"field": "authorization", "action": "mask"},
                   {"kind": "all"}]}


def pseudonym(kind, value):
    """As anybody can compute it who has the key: HMAC-SHA-256, half of it."""
    return f"{kind}_" + hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()[:32]


def found_below(folder, secrets):
    """Which of the secrets stand in which files below the folder."""
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(at, name), "rb") as f:
                content = f.read()
            found += [(name, s) for s in secrets if s.encode() in content]
    return found


@pytest.fixture
def redacted(lab):
    def make(elastic=None, **sections):
        key_file = os.path.join(lab.folder, "redact.key")
        with open(key_file, "w", encoding="ascii") as f:
            f.write(KEY + "\n")
        docker, gelf = lab.docker(), lab.gelf_address()
        container = docker.container("shop-orders-1")
        container.attrs = {"owner": "kari@example.com"}
        config = lab.config(elastic, docker, gelf_udp="%s:%d" % gelf, redact={"key_file": key_file, **RULES}, **sections)
        barge = lab.barge(config)
        container.write("".join(line + "\n" for line in LINES).encode())
        lab.gelf_sender(gelf).send(message("from ola@example.com", _user={"password": "hemmelig"}, _client="192.0.2.17", _card=CARD))
        return barge

    return make


def check_documents(documents):
    """Everything is there, but for what is not to be."""
    kari = pseudonym("email", "kari@example.com")
    assert all(d["container"]["labels"] == {"owner": kari} for d in documents if "container" in d)
    by_text = {d["message"].split()[0]: d for d in documents}
    ola = pseudonym("email", "ola@example.com")
    assert by_text["plain"]["message"] == f"plain text of {ola} from 192.0.2.0 and [2001:db8:85a3::]:443"
    assert {k: by_text["paid"][k] for k in ("message", "card", "grouped", "pnr", "n")} == {
        "message": "paid with <card>", "card": "<card>", "grouped": "<card>", "pnr": "<national_id>", "n": 1}
    assert by_text["escaped"]["message"] == f"escaped {ola}" and by_text["escaped"]["user"] == {"name": "Ola"}
    assert by_text["escaped"]["authorization"] == "<redacted>"
    assert by_text["connecting"]["dsn"] == "postgres://app:<password>@db/shop"
    assert by_text["connecting"]["query"] == f"?email={kari}&password=<password>"
    assert json.loads(by_text["inner"]["body"]) == {"user": {}, "mail": kari}
    assert by_text['{"broken":']["message"] == '{"broken": "%s", "user": {}, oops' % kari
    assert by_text["from"]["message"] == f"from {ola}" and by_text["from"]["client"] == {"address": "192.0.2.0"} and by_text["from"]["card"] == "<card>"


def test_nothing_of_it_reaches_the_disk_or_the_index(lab, redacted):
    """In the buffer while nobody takes it, over kill -9, in dead letters, replayed, and in what was sent."""
    elastic = lab.elastic()
    elastic.on_item = lambda item: UNREADY
    barge = redacted(elastic)
    wait_until(lambda: barge.ledger()["buffered"] == len(LINES) + 1, 20, barge.ledger)
    assert not found_below(barge.data_dir, SECRETS) and found_below(barge.data_dir, ["<card>"])
    barge.kill9()
    assert not found_below(barge.data_dir, SECRETS) and found_below(barge.data_dir, ["<card>"])
    poison = True
    elastic.on_item = lambda item: LIMIT if poison and b"poison" in item.document else None
    barge.start()
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1, 20, barge.ledger)
    barge.wait_drained()
    assert not found_below(barge.data_dir, SECRETS) and found_below(barge.data_dir, [pseudonym("email", "ola@example.com")])
    poison = False
    assert program.run("replay", "-c", barge.config_path).returncode == 0
    elastic.wait_for(len(LINES) + 1)
    barge.wait_drained()
    documents = elastic.documents()
    check_documents(documents)
    poisoned, = (d for d in documents if d["message"] == "poison")
    assert poisoned["mail"] == pseudonym("email", "ola@example.com") and poisoned["ip"] == "192.0.2.0"
    sent = b"".join(elastic.store.values())
    assert not [s for s in SECRETS if s.encode() in sent]
    assert not [s for s in SECRETS if s in barge.log()]


def test_daily_files_and_figures(redacted):
    barge = redacted()
    barge.wait_drained()
    wait_until(lambda: len(barge.output_documents()) == len(LINES) + 1, 20, barge.ledger)
    check_documents(barge.output_documents())
    assert not found_below(os.path.dirname(barge.data_dir.rstrip("/")) + "/out", SECRETS)
    assert not found_below(barge.data_dir, SECRETS)
    figures = barge.status()["redacted"]
    # Counted by hand from LINES, each with its label, and the message.
    assert figures == {"email": 14, "ip": 4, "card": 4, "national_id": 1, "token": 0, "password": 2, "field": 5}
    assert barge.metrics()["barge_redacted_email_total"] == 14


def test_wrong_rules_are_told_with_their_places(tmp_path):
    def check(text):
        path = tmp_path / "barge.yaml"
        path.write_text(text)
        done = program.run("check", "-c", str(path))
        return done.returncode, done.stderr.replace(f"{path}:", "").splitlines()

    short = tmp_path / "short.key"
    short.write_text("0123456789\n")
    status, said = check("redact:\n"
                         "  rules:\n"
                         "    - {kind: emial}\n"
                         "    - {action: mask}\n"
                         "    - {kind: ip, field: a}\n"
                         "    - {field: a..b}\n"
                         "    - {field: '@timestamp', action: drop}\n"
                         "    - {kind: card, action: erase}\n"
                         "    - {kinds: card}\n"
                         "  except: [.a]\n"
                         "  keyfile: x\n")
    assert status == 2
    for place, words in [("3:14:", "emial"), ("4:7:", "kind"), ("5:25:", "field or for a kind"), ("6:15:", "a..b"), ("7:15:", "@timestamp"),
                         ("8:28:", "mask, drop, hash"), ("9:8:", "did you mean kind"), ("10:12:", ".a"), ("11:3:", "key_file")]:
        assert any(line.startswith(place) and words in line for line in said), (place, words, said)
    assert check("redact:\n  rules:\n    - {kind: all}\n    - {kind: ip, action: hash}\n") == (
        2, ["4:26: redact.rules[1].action: hash needs a key: redact.key_file"])
    assert check("redact:\n  rules:\n    - {kind: ip}\n    - {kind: ip}\n")[1][0].startswith("4:14: redact.rules[1].kind: ")
    status, said = check(f"redact:\n  key_file: {short}\n  rules: []\n")
    assert status == 2 and said[0].startswith("2:13: redact.key_file: ") and "16 bytes" in said[0]
    status, said = check(f"redact:\n  key_file: {tmp_path}/none\n")
    assert status == 2 and said[0].startswith("2:13: redact.key_file: ")
