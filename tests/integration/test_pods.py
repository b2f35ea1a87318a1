"""Pods' logs as the kubelet and its runtime make them: rotated, restarted, removed, links into Docker's folder."""

import collections
import json
import os
import random
import shutil

import pytest

from barge import run as barge_run
from expect import value_at
from pods_folder import PIECE, pack_file
from waiting import wait_until


@pytest.fixture
def pods(lab):
    return lab.pods()


@pytest.fixture
def start(lab, pods):
    """Starts barge on the folder; more settings of inputs.kubernetes as keys."""

    def make(docker=None, env=None, **keys):
        elastic = lab.elastic()
        barge = lab.barge(lab.config(elastic, docker, pods=pods.path, buffer={"max_size": "4MiB"}, inputs={"kubernetes": keys}), env=env)
        barge.node = elastic
        return barge

    return make


def messages(barge):
    return collections.Counter(d["message"] for d in barge.node.documents())


def seen(barge, *runs):
    """All that runs said is there by now, nothing twice and nothing else."""
    wanted = collections.Counter(m for run in runs for m in run.messages)
    wait_until(lambda: len(barge.node.store) >= sum(wanted.values()), 20, lambda: f"missing: {sorted((wanted - messages(barge)).elements())[:5]}")
    got = messages(barge)
    assert got == wanted, (sorted((got - wanted).elements())[:5], sorted((wanted - got).elements())[:5])


def arrives(barge, *runs, killed=False):
    """The same at the end; but for what a killed life had not noted no document was sent that was there already."""
    seen(barge, *runs)
    barge.wait_drained()
    seen(barge, *runs)
    assert killed or barge.ledger()["duplicate"] == 0


def figures(barge):
    return barge.status()["inputs"]["kubernetes"]


def documents_of(barge, **members):
    return [d for d in barge.node.documents() if all(value_at(d, name.replace("__", ".")) == value for name, value in members.items())]


# ---- names ----


def test_records_are_named_by_their_path(pods, start):
    pod = pods.pod("orders-7d9f8b6c5d-x2x9k")
    barge = start(env={"NODE_NAME": "node-7"})
    run = pod.run("orders", 3)
    run.say("first")
    run.say('{"msg":"stock low","level":"warn","requestId":"4bf9","kubernetes":"theirs","service":"stock"}', stream="stderr")
    run.messages[1] = "stock low"
    arrives(barge, run)
    for document in barge.node.documents():
        assert document["kubernetes"] == {"namespace": "shop", "pod": {"name": pod.name, "uid": pod.uid}, "container": {"name": "orders"},
                                          "node": {"name": "node-7"}}
        assert document["container"] == {"name": "orders"} and document["log"]["file"]["path"] == run.path
        assert document["host"]["name"] == "test-host"
    first, second = sorted(barge.node.documents(), key=lambda d: d["event"]["sequence"])
    assert first["service"]["name"] == "orders" and first["stream"] == "stdout"
    assert second["service"]["name"] == "stock" and second["stream"] == "stderr" and second["log"]["level"] == "warn"
    assert second["http"]["request"]["id"] == "4bf9" and second["app"]["kubernetes"] == "theirs"
    wanted = {"containers": 1, "files": 1, "lines": 2, "bytes": os.path.getsize(run.path), "lag_bytes": 0}
    wait_until(lambda: wanted.items() <= figures(barge).items(), 20, lambda: figures(barge))


def test_who_is_left_out(pods, start):
    runs = {name: pods.pod(name, namespace).run() for namespace, name in [("shop", "web-0"), ("shop", "noisy-0"), ("kube-system", "dns-0"), ("own", "barge-x2x9k")]}
    for name, run in runs.items():
        run.say(f"by {name}")
    own = os.path.basename(os.path.dirname(os.path.dirname(runs["barge-x2x9k"].path))).split("_")[2]
    barge = start(exclude=["kube-system/*", "*/noisy-*"], env={"POD_UID": own})
    runs["web-0"].say("still here")
    arrives(barge, runs["web-0"])


def test_a_folder_that_comes_later(lab, pods, start):
    os.rmdir(pods.path)
    barge = start()
    os.mkdir(pods.path)
    run = pods.pod("web-0").run()
    run.say("here")
    arrives(barge, run)
    shutil.rmtree(pods.path)
    os.mkdir(pods.path)
    other = pods.pod("web-1").run()
    other.say("and again")
    arrives(barge, run, other)


@pytest.mark.parametrize("settings, problem", [
    ({"pods": "var/log/pods"}, 'inputs.kubernetes.pods: "var/log/pods" is no absolute path; write one like /var/log/pods'),
    ({"pods": "/var/log/*"}, 'inputs.kubernetes.pods: "/var/log/*" has a wildcard; write the folder as it stands'),
    ({"exclude": ["kube-system"]}, 'inputs.kubernetes.exclude: "kube-system" is no namespace/pod; write one like kube-system/* or */noisy-*'),
    ({"namespaces": []}, "unknown key namespaces in inputs.kubernetes"),
])
def test_wrong_settings_are_told(tmp_path, settings, problem):
    path = tmp_path / "barge.yaml"
    path.write_text(json.dumps({"inputs": {"kubernetes": settings}}))
    done = barge_run("check", "-c", path)
    assert done.returncode == 2 and problem in done.stderr, done.stderr


# ---- rotation ----


def test_rotation_as_the_kubelet_does_it(pods, start):
    """Renamed, written to until the reopen, the one before packed, the oldest removed; a message over three files."""
    run = pods.pod("db-0").run()
    barge = start()
    old = []
    for i in range(6):
        run.say(*(f"{i}: line {n}" for n in range(50)))
        run.write(f"{i}: a long ".encode())
        seen(barge, run)
        old.append(run.rename())
        run.write(b"message ")
        run.write(f"{i}: other stream\n".encode(), "stderr")
        run.messages.append(f"{i}: other stream")
        seen(barge, run)
        run.reopen()
        run.write(b"goes on ")
        if i % 2:
            old.append(run.rename())
            run.reopen()
        run.write(b"to its end\n")
        run.messages.append(f"{i}: a long message goes on to its end")
        seen(barge, run)
        while len(old) > 1 and not old[0].endswith(".gz"):
            pack_file(old[0])
            old[0] += ".gz"
            old.append(old.pop(0))
        for path in [p for p in old if p.endswith(".gz")][:-2]:
            os.unlink(path)
            old.remove(path)
    arrives(barge, run)
    assert figures(barge)["missed_files"] == 0


def test_all_of_it_while_barge_is_down(pods, start):
    run = pods.pod("db-0").run()
    barge = start()
    run.say("before", "and before")
    run.write(b"begun ")
    arrives(barge, run)
    barge.stop()
    first = run.rotate()
    run.write(b"and ended\n")
    run.messages.append("begun and ended")
    run.say(*(f"between {n}" for n in range(200)))
    run.rotate(pack=[first])
    run.say("after")
    barge.start()
    arrives(barge, run)


def test_what_a_kubelet_leaves_that_dies(pods, start):
    """A cut .tmp, and a file beside the .gz that was made of it."""
    run = pods.pod("search-0").run()
    run.say(*(f"one {n}" for n in range(100)))
    first = run.rotate()
    run.say(*(f"two {n}" for n in range(100)))
    second = run.rotate()
    run.say("three")
    shutil.copy(first, first + ".keep")
    pack_file(first)
    os.rename(first + ".keep", first)
    with open(second, "rb") as f, open(second + ".tmp", "wb") as cut:
        cut.write(f.read()[:700])
    barge = start()
    arrives(barge, run)
    os.unlink(first)
    run.say("four")
    arrives(barge, run)


def test_killed_again_and_again(pods, start):
    """kill -9 around rotations and in the middle of messages; and the same ids when all state is lost."""
    run = pods.pod("db-0").run()
    barge = start()
    for i in range(8):
        run.say(*(f"{i}: line {n}" for n in range(300)))
        run.write(b"x" * (PIECE + 10 * i))
        old = run.rename()
        run.write(f"y{i}".encode())
        if i % 3 == 0:
            wait_until(lambda n=len(run.messages): len(barge.node.store) >= n // 2, 20, "half of it")
        barge.kill9()
        run.reopen()
        run.write(b"z\n")
        run.messages.append("x" * (PIECE + 10 * i) + f"y{i}z")
        if i % 2:
            pack_file(old)
        barge.start()
    arrives(barge, run, killed=True)
    barge.stop()
    shutil.rmtree(barge.data_dir)
    barge.start()
    wait_until(lambda: barge.ledger()["duplicate"] == len(run.messages), 20, lambda: barge.ledger())
    assert len(barge.node.store) == len(run.messages)


class Life:
    """One container in a random life: lines and parts of lines on both streams, rotations in two halves, further runs."""

    def __init__(self, pod, name, rng, wanted):
        self.pod, self.name, self.rng, self.wanted = pod, name, rng, wanted
        self.runs, self.old, self.renamed, self.begun = [pod.run(name)], [], None, {}

    def write(self, number):
        stream = self.rng.choice(["stdout", "stderr"])
        text = f"{self.name} {number} " + "x" * self.rng.choice([0, 5, 100, PIECE - 3, PIECE, 3 * PIECE + 7])
        ended = self.rng.random() < 0.7
        self.runs[-1].write(text.encode() + b"\n" * ended, stream)
        self.begun[stream] = self.begun.get(stream, "") + text
        if ended:
            self.wanted[self.begun.pop(stream)] += 1

    def rotate(self):
        """The other half of a rotation each time; what is older is packed."""
        if not self.renamed:
            self.renamed = self.runs[-1].rename()
            return
        self.runs[-1].reopen()
        for path in self.old:
            pack_file(path)
        self.old, self.renamed = [self.renamed], None

    def restart(self):
        if self.renamed:
            self.rotate()
        self.runs[-1].end()
        self.wanted.update(self.begun.values())
        self.begun, self.old = {}, []
        self.runs.append(self.pod.run(self.name, len(self.runs)))

    def end(self):
        if self.renamed:
            self.rotate()
        for stream, text in self.begun.items():
            self.runs[-1].write(b"\n", stream)
            self.wanted[text] += 1


@pytest.mark.parametrize("seed", [1])
def test_whatever_happens_in_whatever_order(pods, start, seed):
    rng, wanted = random.Random(seed), collections.Counter()
    barge = start()
    lives = [Life(pods.pod("db-0"), "a", rng, wanted), Life(pods.pod("db-1"), "b", rng, wanted)]
    for step in range(120):
        life, what = rng.choice(lives), rng.random()
        if what < 0.7:
            for i in range(rng.randint(1, 20)):
                life.write(20 * step + i)
        elif what < 0.9:
            life.rotate()
        elif what < 0.95:
            life.restart()
        else:
            barge.kill9()
            barge.start()
    for life in lives:
        life.end()
    wait_until(lambda: len(barge.node.store) >= sum(wanted.values()), 30, lambda: [m[:30] for m in wanted - messages(barge)][:5])
    barge.wait_drained()
    assert messages(barge) == wanted


# ---- runs and pods come to their end ----


def test_runs_are_never_joined(pods, start):
    """What a run did not end is complete when the next one begins, whether barge was there or not."""
    pod = pods.pod("payments-5b7c9d8f6-m4n2p")
    barge = start()
    runs = [pod.run("payments", 0)]
    other = pod.run("sidecar", 0)
    other.say("ready")
    other.write(b"other containers wait")
    for count in range(1, 4):
        before = runs[-1]
        before.say(f"run {count - 1}")
        before.write(b"a last word" if count < 3 else b"")
        if count == 3:  # and of a runtime that was killed, half an entry
            before.log.write(b"2026-11-23T19:15:44.5Z stderr F half of")
            before.messages.append("half of")
            before.close()
        else:
            before.end()
            seen(barge, other, *runs)
        if count == 2:
            barge.stop()
        if count < 3:
            before.messages.append("a last word")
        runs.append(pod.run("payments", count))
        runs[-1].write(b"begins\n")
        runs[-1].messages.append("begins")
        if count == 2:
            barge.start()
        seen(barge, other, *runs)
    arrives(barge, other, *runs)
    assert len({d["log"]["file"]["path"] for d in documents_of(barge, kubernetes__container__name="payments")}) == 4
    other.end()
    other.messages.append("other containers wait")
    pod.remove()
    arrives(barge, other, *runs)


def test_a_static_pod_that_is_made_anew(pods, start):
    """Its uid is a hash of its manifest, and its runs are counted from nought again: they are not over."""
    uid = "d3d1f366211f3e5faff3cdb2bb7798b2"
    barge = start(env={"NODE_NAME": "node-7"})
    pod = pods.pod("etcd-node-7", "kube-system", uid)
    runs = [pod.run(), pod.run(count=1)]
    runs[0].say("run 0")
    runs[1].say("run 1")
    seen(barge, *runs)
    pod.remove()
    again = pods.pod("etcd-node-7", "kube-system", uid).run()
    again.say("run 0 of the next")
    seen(barge, *runs, again)
    for i in range(3):
        again.write(f"{i}: begun ".encode() + b"." * PIECE)
        again.write(b"other\n", "stderr")
        again.messages.append("other")
        seen(barge, *runs, again)
        again.write(b"and ended\n")
        again.messages.append(f"{i}: begun " + "." * PIECE + "and ended")
        seen(barge, *runs, again)
    arrives(barge, *runs, again)
    assert {d["service"]["name"] for d in barge.node.documents()} == {"etcd"}


def test_a_removed_pod_is_read_to_its_end(pods, start):
    """With the node away and the buffer full: held open, read when there is room, let go."""
    pod = pods.pod("batch-7b2xk")
    run = pod.run()
    barge = start()
    barge.node.stop()
    run.say(*(f"{n}: " + "much " * 200 for n in range(6000)))
    run.write(b"a last word")
    run.end()
    run.messages.append("a last word")
    wait_until(lambda: barge.status()["buffer"]["full"] == 1 and figures(barge)["lag_bytes"] > 1_000_000, 20, barge.status)
    pod.remove()
    barge.node.start()
    arrives(barge, run)
    wait_until(lambda: figures(barge)["files"] == 0, 20, barge.status)
    assert figures(barge)["missed_files"] == figures(barge)["let_go_bytes"] == figures(barge)["at_risk_bytes"] == 0


def test_parsers_find_a_container_by_its_name(lab, pods):
    """One format a line; and lines of one event, over a rotation and a restart, cut into pieces."""
    elastic = lab.elastic()
    rules = [{"container": "gate", "parser": "logfmt"}, {"container": "app*", "parser": "multiline"}]
    barge = lab.barge(lab.config(elastic, pods=pods.path, parsers=rules))
    pod = pods.pod("web-0")
    pod.run("gate").write(b"msg=up port=80\n")
    run = pod.run("app")
    trace = "failed: a.b.CException: " + "no " * 6000 + "\n\tat a.B.c(D.java:1)\n\tat a.B.d(D.java:2)"
    run.write(b"begin\n" + trace.encode()[:-9])
    wait_until(lambda: len(elastic.store) >= 2, 20, "what is complete")
    barge.kill9()
    run.rotate()
    run.write(trace.encode()[-9:] + b"\nend\n")
    barge.start()
    elastic.wait_for(4)
    barge.wait_drained()
    found = {d["message"]: d for d in elastic.documents()}
    assert set(found) == {"up", "begin", "end", "failed: a.b.CException: " + "no " * 6000} and found["up"]["port"] == 80
    document = found["failed: a.b.CException: " + "no " * 6000]
    assert document["error"]["stack_trace"] == trace and document["error"]["type"] == "a.b.CException"


def test_lines_that_are_no_entries(pods, start):
    run = pods.pod("odd-0").run()
    run.say("good")
    run.log.write(b"no entry at all\n" + b'{"log":"in Docker\'s form\\n","stream":"stderr","time":"2026-11-23T19:15:44.5Z"}\n')
    run.say("good again")
    run.messages += ["no entry at all", "in Docker's form"]
    barge = start()
    arrives(barge, run)
    assert documents_of(barge, message="no entry at all")[0]["tags"] == ["cri_line_invalid"]
    assert documents_of(barge, message="in Docker's form")[0]["stream"] == "stderr"
    assert figures(barge)["invalid_lines"] == 1


# ---- links ----


def link(pod, container, docker_container, count=0):
    os.symlink(docker_container.path, os.path.join(pod.container(container), f"{count}.log"))


def as_pod(pod, container):
    return {"io.kubernetes.pod.name": pod.name, "io.kubernetes.pod.namespace": pod.namespace, "io.kubernetes.pod.uid": pod.uid,
            "io.kubernetes.container.name": container}


def test_a_link_into_dockers_folder_is_read_once(lab, pods, start):
    """By inputs.docker, with the pod's names; exclude holds there, too."""
    docker = lab.docker()
    pod, left_out = pods.pod("web-0"), pods.pod("noisy-0")
    one = docker.container("k8s_web_web-0", labels=as_pod(pod, "web"))
    other = docker.container("k8s_web_noisy-0", labels=as_pod(left_out, "web"))
    link(pod, "web", one)
    link(left_out, "web", other)
    one.write(b"out of Docker\n")
    other.write(b"not this\n")
    barge = start(docker=docker, exclude=["*/noisy-*"], env={"NODE_NAME": "node-7"})
    run = pod.run("sidecar")
    run.say("out of containerd")
    one.write(b"and more\n")
    run.messages += ["out of Docker", "and more"]
    arrives(barge, run)
    for document in documents_of(barge, container__id=one.id):
        assert document["kubernetes"] == {"namespace": "shop", "pod": {"name": "web-0", "uid": pod.uid}, "container": {"name": "web"},
                                          "node": {"name": "node-7"}}
    assert len(documents_of(barge, container__id=one.id)) == 2
    assert figures(barge)["lines"] == 1


def test_a_link_is_followed_where_nobody_else_reads_it(lab, pods, start):
    """With inputs.docker off: through Docker's rotation, over restarts, to the removal; with the ids that it would have there."""
    docker = lab.docker()
    pod = pods.pod("web-84b6d9f7c5-w2j7s")
    one = docker.container("k8s_web", max_file=3)
    link(pod, "web", one)
    one.write(b"first\n")
    barge = start()
    run = pod.run("sidecar")
    run.say("beside it")
    run.messages.append("first")
    seen(barge, run)
    one.rotate()
    one.write(b"second\n" + b"x" * 40000 + b"\n")
    run.messages += ["second", "x" * 40000]
    seen(barge, run)
    barge.kill9()
    one.rotate()
    one.write(b"third\n")
    run.messages.append("third")
    barge.start()
    arrives(barge, run, killed=True)
    for document in documents_of(barge, kubernetes__container__name="web"):
        assert document["container"]["id"] == one.id and document["service"]["name"] == "web"
        assert document["kubernetes"]["pod"] == {"name": pod.name, "uid": pod.uid}
    elastic = lab.elastic()
    lab.barge(lab.config(elastic, docker))
    elastic.wait_for(4)
    assert set(elastic.store) == {key for key, d in barge.node.store.items() if b"beside it" not in d}


def test_other_links_are_not_followed(pods, start, tmp_path):
    """Only Docker's form is: whoever can write into a pod's folder must not make barge read what it likes."""
    pod = pods.pod("evil-0")
    secret = tmp_path / ("f" * 64) / "shadow"
    secret.parent.mkdir()
    secret.write_text("2026-11-23T19:15:44Z stdout F secret\n")
    folder = pod.container()
    os.symlink(secret, os.path.join(folder, "0.log"))
    os.symlink("nowhere", os.path.join(folder, "1.log"))
    for count, name in [(5, "z" * 64), (6, "secrets")]:
        also = tmp_path / name / (name + "-json.log")
        also.parent.mkdir()
        shutil.copy(secret, also)
        os.symlink(also, os.path.join(folder, f"{count}.log"))
    os.mkdir(os.path.join(folder, "2.log"))
    os.mkfifo(os.path.join(folder, "3.log"))
    run = pod.run("app", 4)
    run.say("honest")
    barge = start()
    run.say("still")
    arrives(barge, run)
