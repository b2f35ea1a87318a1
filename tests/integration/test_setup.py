"""`barge setup`, and the agent's own look at the index side at start, against a scripted node and a scripted Kibana."""

import copy
import datetime
import json
import os
import time

import pytest

from barge import run
from scripted_elastic import Whole
from scripted_index_side import IndexSide
from waiting import wait_until, within_an_hour

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAME = "barge-microservices"


def conf(*path):
    with open(os.path.join(TOP, "conf", *path), encoding="utf-8") as f:
        return f.read()


def put(lab, elastic, *options, status=0, **sections):
    """One run of `barge setup`; what it said, line by line."""
    config = lab.config(elastic, **{"status": {"listen": ""}, **sections})
    path = os.path.join(lab.folder, "setup.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    done = run("setup", "-c", path, *options)
    assert done.returncode == status, done.stdout + done.stderr
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture
def node(lab):
    return IndexSide(lab.elastic())


def only(lines, *words):
    assert len(lines) == 1 and all(w in lines[0] for w in words), lines


def test_fresh_then_unchanged(lab, node):
    only(put(lab, node.elastic), NAME, "microservices-*", "was made")
    changes = list(node.changes)
    only(put(lab, node.elastic), NAME, "unchanged")
    assert node.changes == changes == [("PUT", f"/_index_template/{NAME}")]
    made, file = node.templates[NAME], json.loads(conf("elasticsearch", "index-template.json"))
    assert made["_meta"]["managed_by"] == "barge" and made["_meta"]["version"] == made["version"] == 2
    # On a node of today it is the file, but for what says whose it is.
    assert {k: made[k] for k in file} == file


def test_dry_run_changes_nothing(lab, node):
    lines = put(lab, node.elastic, "--dry-run", retention="30d")
    assert len(lines) == 2 and all("would make" in line for line in lines) and not node.changes


def test_the_pattern_is_the_configured_one(lab, node):
    output = {"elasticsearch": {"index": "logs-x_%{service.name}-%{+YYYY.MM}"}}
    only(put(lab, node.elastic, output=output), "barge-logs-x", "logs-x_*", "was made")
    assert node.templates["barge-logs-x"]["index_patterns"] == ["logs-x_*"]


def test_what_an_operator_changed_stays(lab, node):
    put(lab, node.elastic)
    node.templates[NAME]["template"]["settings"]["index"]["number_of_replicas"] = "2"
    changed = copy.deepcopy(node.templates)
    only(put(lab, node.elastic), NAME, "changed by hand", "stays")
    only(put(lab, node.elastic, retention="30d")[1:], "changed by hand")
    assert node.templates == changed


def test_an_older_one_of_ours_is_replaced_and_a_newer_one_is_not(lab, node):
    """Older: put by the same program for other settings; the hash in it is right."""
    put(lab, node.elastic, retention="30d")
    with_retention = copy.deepcopy(node.templates[NAME])
    only(put(lab, node.elastic), NAME, "was replaced")
    assert "lifecycle" not in node.templates[NAME]["template"]["settings"]["index"]
    node.templates[NAME] = with_retention
    node.templates[NAME]["_meta"]["version"] = 99
    only(put(lab, node.elastic), "newer")
    assert node.templates[NAME]["_meta"]["version"] == 99


def test_one_of_our_name_that_is_not_ours(lab, node):
    node.templates[NAME] = {"index_patterns": ["microservices-*"], "priority": 7, "template": {}}
    only(put(lab, node.elastic), NAME, "not made by barge")
    assert node.templates[NAME]["priority"] == 7


@pytest.mark.parametrize("priority,legacy,ours", [(150, False, False), (500, False, False), (149, False, True), (0, True, False)])
def test_others_that_match(lab, node, priority, legacy, ours):
    """Of equal or higher priority; and any legacy one, which ours would put out of force."""
    if legacy:
        node.legacy["theirs"] = {"index_patterns": ["micro*"], "order": priority, "settings": {"number_of_shards": 3}}
    else:
        node.templates["theirs"] = {"index_patterns": ["other-*", "micro*"], "priority": priority, "template": {}}
    node.templates["unrelated"] = {"index_patterns": ["logs-*-*"], "priority": 1000, "template": {}}
    lines = put(lab, node.elastic)
    assert (NAME in node.templates) == ours
    if not ours:
        only(lines, "theirs", "micro*", str(priority), "stays")


def test_a_role_that_may_not(lab, node):
    node.refuse = lambda request: Whole(403, error_type="security_exception", reason="action is unauthorized") if "template" in request.path else None
    only(put(lab, node.elastic, status=1), "may not", "security_exception: action is unauthorized")


def test_nobody_answers(lab, node):
    node.elastic.stop()
    only(put(lab, node.elastic, status=1), "127.0.0.1")


def types_in(value):
    if isinstance(value, dict):
        yield from ([value["type"]] if isinstance(value.get("type"), str) else [])
        for v in value.values():
            yield from types_in(v)


@pytest.mark.parametrize("version,distribution,has,lacks", [
    ("9.2.0", None, {"match_only_text", "date_nanos", "ignore", "unindexed"}, ()),
    ("8.14.0", None, {"match_only_text", "date_nanos", "ignore", "unindexed"}, ()),
    ("8.13.4", None, {"match_only_text", "date_nanos", "unindexed"}, ()),
    ("8.1.0", None, {"match_only_text", "date_nanos", "unindexed"}, ()),
    ("8.0.1", None, {"match_only_text", "date_nanos"}, ()),
    ("7.13.4", None, {"date_nanos"}, ()),
    ("7.10.2", None, {"date_nanos"}, ()),
    ("1.3.13", "opensearch", {"date_nanos"}, ()),
    ("2.11.1", "opensearch", {"date_nanos"}, ()),
    ("2.19.1", "opensearch", {"date_nanos", "match_only_text", "unindexed"}, ()),
    ("8.19.0", None, {"date_nanos", "ignore", "unindexed"}, ("match_only_text",)),
    ("8.19.0", None, {"date_nanos", "unindexed"}, ("match_only_text", "ignore_dynamic_beyond_limit"))])
def test_what_the_version_has(lab, version, distribution, has, lacks):
    """And a build without a module is found out once, not anew at each run."""
    node = IndexSide(lab.elastic(), version=version, distribution=distribution, lacks=lacks, root=not lacks)
    put(lab, node.elastic)
    body = json.dumps(node.templates[NAME])
    assert set(types_in(node.templates[NAME])) & {"match_only_text", "date_nanos"} == has & {"match_only_text", "date_nanos"}
    assert ("ignore_dynamic_beyond_limit" in body) == ("ignore" in has)
    properties = node.templates[NAME]["template"]["mappings"]["properties"]
    if "match_only_text" not in has:
        assert properties["message"] == {"type": "text", "norms": False}
    # Decimals go without an index only where they are found without one.
    decimals = next(t["decimals"]["mapping"] for t in node.templates[NAME]["template"]["mappings"]["dynamic_templates"] if "decimals" in t)
    assert decimals == ({"type": "double", "index": False} if "unindexed" in has else {"type": "double"})
    assert properties["event"]["properties"]["sequence"] == {"type": "long", "index": False}
    assert properties["event"]["properties"]["original"]["index"] is False
    changes = len(node.changes)
    only(put(lab, node.elastic), "unchanged")
    assert len(node.changes) == changes


def test_a_node_with_legacy_templates_only(lab):
    node = IndexSide(lab.elastic(), version="7.7.1", composable=False)
    only(put(lab, node.elastic), NAME, "was made")
    only(put(lab, node.elastic), NAME, "unchanged")
    made = node.legacy[NAME]
    assert made["order"] == 150 and made["mappings"]["properties"]["@timestamp"] == {"type": "date"}
    made["settings"]["index"]["codec"] = "default"
    only(put(lab, node.elastic), "changed by hand")


# ---- retention ----

def test_lifecycle_policy_of_elasticsearch(lab, node):
    lines = put(lab, node.elastic, retention="30d")
    assert "barge-30d" in lines[0] and "was made" in lines[0] and NAME in lines[1]
    assert node.ilm == {"barge-30d": json.loads(conf("elasticsearch", "ilm.json"))["policy"]}
    assert node.templates[NAME]["template"]["settings"]["index"]["lifecycle"] == {"name": "barge-30d", "parse_origination_date": "true"}
    node.ilm["barge-30d"]["phases"]["warm"] = {}
    changes = len(node.changes)
    lines = put(lab, node.elastic, retention="30d")
    assert "is there" in lines[0] and "unchanged" in lines[1] and len(node.changes) == changes
    put(lab, node.elastic, retention="90d")
    assert node.ilm["barge-90d"]["phases"]["delete"]["min_age"] == "90d"
    assert node.templates[NAME]["template"]["settings"]["index"]["lifecycle"]["name"] == "barge-90d"


@pytest.mark.parametrize("pattern,by_name", [("x-%{+YYYY.MM.dd}", True), ("x-%{+yyyy.MM.dd}", True), ("x_%{+YYYY.MM.dd}", False),
                                             ("x-%{+YYYY-MM-dd}", False), ("x-%{+YYYY.MM.dd}-y", False), ("x-%{+YYYY.MM}", False)])
def test_age_counts_from_the_name_only_where_the_node_can_read_it(lab, node, pattern, by_name):
    """Elasticsearch refuses to make an index whose name it cannot read a day from."""
    put(lab, node.elastic, retention="30d", output={"elasticsearch": {"index": pattern}})
    lifecycle = node.templates["barge-x"]["template"]["settings"]["index"]["lifecycle"]
    assert ("parse_origination_date" in lifecycle) == by_name


def test_state_management_of_opensearch(lab):
    node = IndexSide(lab.elastic(), version="2.19.1", distribution="opensearch", ilm=False, ism=True)
    put(lab, node.elastic, retention="30d")
    assert node.ism[NAME]["states"] == json.loads(conf("elasticsearch", "ism.json"))["policy"]["states"]
    assert node.ism[NAME]["ism_template"] == [{"index_patterns": ["microservices-*"], "priority": 150}]
    assert "lifecycle" not in node.templates[NAME]["template"]["settings"]["index"]
    assert "unchanged" in put(lab, node.elastic, retention="30d")[0]
    assert "was replaced" in put(lab, node.elastic, retention="60d")[0]
    transition = node.ism[NAME]["states"][0]["transitions"][0]
    assert transition["conditions"] == {"min_index_age": "60d"}
    transition["conditions"] = {"min_index_age": "61d"}
    assert "changed by hand" in put(lab, node.elastic, retention="90d")[0]
    assert transition["conditions"] == {"min_index_age": "61d"}


def test_neither_of_them(lab):
    node = IndexSide(lab.elastic(), version="7.10.2", ilm=False)
    lines = put(lab, node.elastic, status=1, retention="30d")
    assert "barge setup --prune" in lines[0] and "30d" in lines[0] and NAME in lines[1]


def test_prune(lab, node):
    within_an_hour(lambda now: prune(lab, node, now.date()))


def prune(lab, node, today):
    def index(days_ago, form="microservices-%Y.%m.%d"):
        return (today - datetime.timedelta(days=days_ago)).strftime(form)

    old = [index(8), index(9), index(400)]
    kept = [index(n) for n in (-1, 0, 1, 7)] + ["microservices-2018.02.30", "microservices-2018.11", "microservices-2018.11.23-old",
                                                  "microservices-2018.11.023", "microservices-x-2018.11.23", "microservices-", "xmicroservices-2018.11.23"]
    node.indices, node.deleted = old + kept, []
    config = {"retention": "7d"}
    lines = put(lab, node.elastic, "--prune", "--dry-run", **config)
    assert lines == [f"would delete index {n}" for n in sorted(old)] and not node.deleted
    assert put(lab, node.elastic, "--prune", **config) == [f"deleted index {n}" for n in sorted(old)]
    assert node.indices == kept and node.deleted == sorted(old) and not node.templates
    assert put(lab, node.elastic, "--prune", **config) == []


def test_prune_needs_an_age_and_days(lab, node):
    node.indices = ["microservices-2018.11.23", "x-2018.11"]
    only(put(lab, node.elastic, "--prune", status=1), "retention")
    only(put(lab, node.elastic, "--prune", status=1, retention="7d", output={"elasticsearch": {"index": "x-%{+YYYY.MM}"}}), "daily")
    assert len(node.indices) == 2


def test_prune_goes_by_the_last_day_of_a_name(lab, node):
    """A service may be called like a day."""
    node.indices = ["m-2018.11.23-2099.01.01", "m-2099.01.01-2018.11.23", "m-a-b-2018.11.23"]
    put(lab, node.elastic, "--prune", retention="7d", output={"elasticsearch": {"index": "m-%{service.name}-%{+YYYY.MM.dd}"}})
    assert node.indices == ["m-2018.11.23-2099.01.01"]


# ---- Kibana ----

@pytest.mark.parametrize("version,file", [("8.19.0", "kibana-8.ndjson"), ("9.2.0", "kibana-8.ndjson"), ("7.10.2", "kibana-7.10.ndjson"),
                                          ("2.19.1", "kibana-7.10.ndjson"), ("3.8.0", "kibana-7.10.ndjson")])
def test_objects_for_kibana(lab, node, version, file):
    node.kibana = version
    objects = {(o["type"], o["id"]): o for o in map(json.loads, conf("kibana", file).splitlines())}
    lines = put(lab, node.elastic, "--kibana", node.elastic.url)
    assert f"{len(objects)} saved objects were imported" in lines[1]
    assert node.objects == objects
    some = next(iter(objects))
    node.objects[some] = "changed"
    assert f"{len(objects)} saved objects are there already" in put(lab, node.elastic, "--kibana", node.elastic.url)[1]
    assert node.objects[some] == "changed"
    put(lab, node.elastic, "--kibana", node.elastic.url, "--overwrite")
    assert node.objects == objects


def test_objects_for_the_configured_indices(lab, node):
    put(lab, node.elastic, "--kibana", node.elastic.url, output={"elasticsearch": {"index": "shop-%{+YYYY.MM.dd}"}})
    titles = {o["attributes"]["title"] for o in node.objects.values() if o["type"] == "index-pattern"}
    assert titles == {"shop-*", "barge-figures-*"}


def test_a_kibana_that_is_none(lab, node):
    node.refuse = lambda request: Whole(404, "<html>") if "/api/" in request.path else None
    lines = put(lab, node.elastic, "--kibana", node.elastic.url, status=1)
    assert "is this a Kibana" in lines[-1]
    assert "URL" in " ".join(put(lab, node.elastic, "--kibana", "nonsense", status=2))


# ---- the agent itself ----

def agent(lab, elastic, docker, **sections):
    return lab.barge(lab.config(elastic, docker, **{"setup": True, **sections}))


def test_the_template_is_there_before_the_first_document(lab, node):
    elastic, docker = node.elastic, lab.docker()
    seen = []
    elastic.on_request = lambda request: seen.append(NAME in node.templates)
    docker.container("app-1").write(b"one\n")
    barge = agent(lab, elastic, docker)
    elastic.wait_for(1)
    barge.wait_drained()
    assert seen and all(seen)
    changes = len(node.changes)
    barge.restart()
    wait_until(lambda: "unchanged" in barge.log(), 10, barge.log)
    assert len(node.changes) == changes


def test_the_first_document_waits_for_a_slow_answer(lab, node):
    """A node that has just started, and takes seconds to say what it is."""
    elastic, docker = node.elastic, lab.docker()
    seen = []
    elastic.on_request = lambda request: seen.append(NAME in node.templates)
    asked = []

    def slowly(request):
        if not asked:
            asked.append(time.monotonic())
            wait_until(lambda: seen or time.monotonic() > asked[0] + 4, 10)

    node.refuse = slowly
    docker.container("app-1").write(b"one\n")
    barge = agent(lab, elastic, docker)
    elastic.wait_for(1, 20)
    barge.wait_drained()
    assert seen and all(seen)


def test_a_node_that_comes_later(lab, node):
    """Refused connections at first; when it is back the template comes before the first document."""
    elastic, docker = node.elastic, lab.docker()
    seen = []
    elastic.on_request = lambda request: seen.append(NAME in node.templates)
    elastic.stop()
    docker.container("app-1").write(b"one\n")
    barge = agent(lab, elastic, docker)
    wait_until(lambda: barge.status()["output"]["breaker"] == "open", 20, barge.status)
    elastic.start()
    elastic.wait_for(1)
    barge.wait_drained()
    assert seen and all(seen)


def test_an_agent_that_may_not_warns_once_and_delivers(lab, node):
    elastic, docker = node.elastic, lab.docker()
    node.refuse = lambda request: Whole(403, error_type="security_exception", reason="unauthorized")
    docker.container("app-1").write(b"one\ntwo\n")
    barge = agent(lab, elastic, docker)
    elastic.wait_for(2)
    barge.wait_drained()
    assert barge.log().count("may not put the index template in place") == 1


def test_setting_up_that_hangs_holds_nothing_up(lab, node):
    elastic, docker = node.elastic, lab.docker()
    hold = []
    node.refuse = lambda request: wait_until(lambda: elastic.store or hold, 60) and None
    docker.container("app-1").write(b"one\n")
    barge = agent(lab, elastic, docker)
    elastic.wait_for(1, 30)
    barge.wait_drained()
    hold.append(True)


def test_a_stop_does_not_wait_for_setting_up(lab, node):
    import threading
    elastic, release = node.elastic, threading.Event()
    node.refuse = lambda request: release.wait(30) and None
    barge = agent(lab, elastic, lab.docker())
    wait_until(lambda: elastic.other_requests, 10)
    barge.stop(deadline_s=5)
    release.set()


def test_own_figures(lab, node):
    elastic, docker = node.elastic, lab.docker()
    docker.container("app-1").write(b"one\n")
    barge = agent(lab, elastic, docker, self_index=True)
    elastic.wait_for(1)
    wait_until(lambda: node.figures, 10)
    index, figures = node.figures[0]
    assert index == "barge-figures-" + figures["@timestamp"][:10].replace("-", ".")
    assert figures["host.name"] == "test-host" and figures["agent.type"] == "barge"
    assert set(node.templates) == {NAME, "barge-figures"}
    # Every figure of /status, under its own path; the list of services is for who looks at this moment.
    paths = {f"barge.{p}" for p in flat(barge.status())} - {"barge.version", "barge.services"}
    assert paths <= set(figures) | {"barge.output.last_error"}, paths - set(figures)
    assert barge.ledger()["read"] == 1


def flat(value, prefix=""):
    for k, v in value.items():
        if isinstance(v, dict):
            yield from flat(v, f"{prefix}{k}.")
        else:
            yield f"{prefix}{k}"
