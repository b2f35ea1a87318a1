"""Everything that a real containerd wrote into pods' logs arrives exactly once, bit for bit."""

import collections
import json
import os
import shutil

import cri_framing
from docker_folder import as_go_reads
from expect import check_document, index_of
from waiting import wait_until

# Workloads, read off the pods' names by hand.
SERVICES = {
    "orders-7d9f8b6c5d-x2x9k": "orders", "reports-6c8d4f5b9-qk7zt": "reports", "weird-5f7d8c9b4-tt2vw": "weird", "killed-86c6b7d8f5-9vk4j": "killed",
    "debug-shell": "debug-shell", "etcd-ip-10-0-1-5.eu-west-1.compute.internal": "etcd", "prometheus-k8s-0": "prometheus-k8s",
    "checkout-58d9f6c7b4-lm6np": "checkout", "nightly-report-29456100-7b2xk": "nightly-report", "inventory-84b6d9f7c5-w2j7s": "inventory",
    "shop-operator-5dd5756b68-xkq4d": "shop-operator", "db-0": "db", "payments-5b7c9d8f6-m4n2p": "payments", "search-0": "search",
    "log-agent-7xk2p": "log-agent", "node-agent-tz-4kq9z": "node-agent-tz", "stream-1": "stream",
    "extremely-long-deployment-name-for-a-batch-import-service-which-someone-generated-from-a-branch-name-feature-jira-12345-fix-the-import"
    "-5f6d7c8b9-abcde":
    "extremely-long-deployment-name-for-a-batch-import-service-which-someone-generated-from-a-branch-name-feature-jira-12345-fix-the-import",
}
NODE = "ip-10-0-1-5.eu-west-1.compute.internal"


def check_against_inputs(folder, case, found):
    """The messages of a case are what its process wrote."""
    for stream, (ended, rest) in cri_framing.written(folder, case).items():
        got = [m.text for m in found if m.stream == stream and m.complete]
        tail = [m.text for m in found if m.stream == stream and not m.complete]
        if case["check"] == "differs":
            # The runtime itself was stopped under two of them. In the third one a rotation fell between CR and LF.
            if case["case"] == "37-rotate-exact-places":
                assert [text[:-1] if text.endswith(b"\r") else text for text in got] == ended
            continue
        assert got == ended and tail == ([rest] if rest else []), (case["case"], stream)


def run_of(document):
    """Which of the cases' logs a document is of: the end of its path."""
    return "/".join(document["log"]["file"]["path"].split("/")[-3:])


def check_run(case, documents, found):
    """documents of one run are the messages found: text, stream, time to the nanosecond; named as the path says."""
    by_place = collections.Counter((d["stream"], d["@timestamp"]) for d in documents)
    assert by_place == collections.Counter((m.stream, m.time) for m in found), case["case"]
    assert max(by_place.values(), default=1) == 1
    at = {(d["stream"], d["@timestamp"]): d for d in documents}
    for m in found:
        document = at[m.stream, m.time]
        check_document(document, as_go_reads(m.text), ended=False)
        assert document["kubernetes"] == {"namespace": case["namespace"], "pod": {"name": case["pod"], "uid": case["uid"]},
                                          "container": {"name": case["container"]}, "node": {"name": NODE}}
        assert document["container"] == {"name": case["container"]}
    own = {json.dumps(d["service"]["name"]) for d in documents if not d.get("app", {}).get("service")}
    assert own <= {json.dumps(SERVICES[case["pod"]])}


def test_every_case_arrives_exactly_once(lab):
    folder = os.path.join(lab.folder, "corpus")
    cases = cri_framing.unpack(folder)
    found = {case["log"]: cri_framing.messages(cri_framing.files_of(os.path.join(folder, case["log"]))) for case in cases}
    for case in cases:
        check_against_inputs(folder, case, found[case["log"]])
    # A message without its end is complete when the next run has begun; else it waits until its pod is gone.
    payments = [case["log"] for case in cases if case["pod"].startswith("payments")]
    waiting = sum(not m.complete for case in cases for m in found[case["log"]] if case["log"] not in payments[:-1])
    everything = sum(map(len, found.values()))
    assert waiting > 10 and any(not m.complete for m in found[payments[0]])

    elastic = lab.elastic()
    pods = os.path.join(folder, "pods")
    barge = lab.barge(lab.config(elastic, pods=pods), env={"NODE_NAME": NODE})
    elastic.wait_for(everything - waiting)
    barge.wait_drained()
    assert len(elastic.store) == everything - waiting
    for pod in os.listdir(pods):
        shutil.rmtree(os.path.join(pods, pod))
    wait_until(lambda: len(elastic.store) >= everything, 20, lambda: f"{len(elastic.store)} of {everything} documents")
    barge.wait_drained()
    assert len(elastic.store) == everything and set(elastic.counts) == {201}
    by_run = collections.defaultdict(list)
    for (index, _), text in elastic.store.items():
        document = json.loads(text)
        assert index == index_of(document["@timestamp"])
        by_run[run_of(document)].append(document)
    assert set(by_run) == {case["log"].removeprefix("pods/") for case in cases if found[case["log"]]}
    for case in cases:
        check_run(case, by_run[case["log"].removeprefix("pods/")], found[case["log"]])
    status = barge.status()["inputs"]["kubernetes"]
    assert status["invalid_lines"] == 0 and status["missed_files"] == 0
