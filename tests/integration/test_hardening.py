"""What a fault in the agent, or a hostile log, cannot reach: rights, system calls, files, names, secrets."""

import json
import os
import shutil
import stat
import struct

import pytest

import barge as program
from gelf_sender import message
from load import line
from scripted_elastic import Refuse
from waiting import holds_for, wait_until

READ_SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH, capability.h
USER = 4711

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_setpriv = pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is missing")
as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def rights_of(barge):
    """The rights of each thread: {(effective, permitted, inheritable, ambient, no new privileges, seccomp)}"""
    found = set()
    pid = barge.process.pid
    for thread in os.listdir(f"/proc/{pid}/task"):
        s = program.proc_status(pid, thread)
        found.add((*(int(s[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")), int(s["NoNewPrivs"]), int(s["Seccomp"])))
    return found


def expected(capabilities):
    return {(capabilities, capabilities, 0, 0, 1, 0 if program.is_sanitized() else 2)}


def own_folder(lab, name="own"):
    """A data_dir of USER's."""
    path = os.path.join(lab.folder, name)
    os.makedirs(path)
    os.chown(path, USER, USER)
    return path


def delivered(lab, barge, elastic, n):
    elastic.wait_for(n)
    barge.wait_drained()
    return elastic.documents()


# ---- rights ----

@root_only
def test_root_gives_up_all_but_reading(lab):
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker, gelf_udp="%s:%d" % lab.gelf_address()))
    elastic.wait_for(1)
    assert rights_of(barge) == expected(READ_SEARCH)
    assert len(os.listdir(f"/proc/{barge.process.pid}/task")) >= 5  # intake, signals, sync, delivery, status
    with open(f"/proc/{barge.process.pid}/limits", encoding="ascii") as f:
        assert [x.split()[4:6] for x in f if x.startswith("Max core")] == [["0", "0"]]
    assert barge.log().count('msg="confined') == 1


def test_debuggers_may_leave_the_sandbox_out(lab):
    barge = lab.barge(lab.config(lab.elastic()), env={"BARGE_SANDBOX": "off"})
    assert {x[4:] for x in rights_of(barge)} == {(0, 0)}
    assert barge.log().count("BARGE_SANDBOX=off") == 1


@root_only
@needs_setpriv
def test_an_own_user_with_one_capability(lab):
    """A log of root's, 0640 in a folder 0710, read by a user who has CAP_DAC_READ_SEARCH and nothing else."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_file=5)
    assert stat.S_IMODE(os.stat(container.path).st_mode) == 0o640 and stat.S_IMODE(os.stat(container.folder).st_mode) == 0o710
    container.write(line("app-1", 0))
    only = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search"]
    secret = os.path.join(lab.folder, "password")
    with open(secret, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        f.write("word")
    elastic.basic = ("barge", "word")
    barge = lab.barge(lab.config(elastic, docker, data_dir=own_folder(lab),
                                 output={"elasticsearch": {"username": "barge", "password_file": secret}}), wrapper=as_user + only)
    delivered(lab, barge, elastic, 1)
    assert rights_of(barge) == expected(READ_SEARCH)
    assert program.proc_status(barge.process.pid)["Uid"].split() == [str(USER)] * 4
    assert os.stat(f"/proc/{barge.process.pid}/environ").st_uid == 0, "others of this user can look into the process"
    for i in range(3):
        container.write(line("app-1", i + 1))
        container.rotate()
    delivered(lab, barge, elastic, 4)
    barge.restart()
    container.write(line("app-1", 4))
    delivered(lab, barge, elastic, 5)


@root_only
@needs_setpriv
def test_a_capability_of_the_file(lab):
    """The same by a capability on the binary, as in a pod, where there is no ambient set."""
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    binary = os.path.join(lab.folder, "barge-with-capability")
    shutil.copy(program.BINARY, binary)
    os.chmod(binary, 0o755)
    try:  # struct vfs_ns_cap_data, version 2, effective
        os.setxattr(binary, "security.capability", struct.pack("<5I", 0x02000001, READ_SEARCH, 0, 0, 0))
    except OSError as e:
        pytest.skip(f"no file capabilities here: {e}")
    barge = lab.barge(lab.config(elastic, docker, data_dir=own_folder(lab)), wrapper=as_user, binary=binary, start=False)
    for parent in (lab.folder, os.path.dirname(lab.folder), os.path.dirname(os.path.dirname(lab.folder))):
        os.chmod(parent, 0o755)  # for exec: the capability comes only with it
    barge.start()
    delivered(lab, barge, elastic, 1)
    assert rights_of(barge) == expected(READ_SEARCH)


@root_only
@needs_setpriv
@pytest.mark.parametrize("kept", [READ_SEARCH, 0])
def test_root_with_everything_dropped(lab, kept):
    """uid 0 as in a container: without CAP_DAC_OVERRIDE root is only the owner of its own files."""
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker), wrapper=["setpriv", "--inh-caps=-all", "--bounding-set=-all" + (
        ",+dac_read_search" if kept else "")])
    delivered(lab, barge, elastic, 1)
    assert rights_of(barge) == expected(kept)


@root_only
def test_root_writes_daily_files_into_anothers_folder(lab):
    """The one case in which another right is of use, and kept."""
    docker = lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    out = own_folder(lab, "out")
    barge = lab.barge(lab.config(None, docker))
    wait_until(lambda: len(barge.output_lines()) == 1, 10)
    barge.wait_drained()
    assert rights_of(barge) == expected(READ_SEARCH | 1 << 1)  # CAP_DAC_OVERRIDE
    barge.stop()
    os.chown(out, 0, 0)
    barge.start()
    assert rights_of(barge) == expected(READ_SEARCH)


# ---- data_dir ----

@root_only
@pytest.mark.parametrize("what", ["", "buffer", "dead-letters", "replay"])
def test_a_data_dir_of_others_is_refused(lab, what):
    barge = lab.barge(lab.config(None, lab.docker()), start=False)
    path = os.path.join(barge.data_dir, what).rstrip("/")
    os.makedirs(path, mode=0o700)
    os.chown(path, USER, USER)
    barge.start(ready=False)
    assert barge.wait() == 1
    assert f"data_dir: {path} belongs to user {USER}, and barge runs as user 0" in barge.log()
    os.chown(path, 0, 0)
    barge.start()


def test_nothing_in_data_dir_is_for_others(lab):
    """Whatever the umask."""
    elastic, docker = lab.elastic(), lab.docker()
    elastic.on_item = lambda item: Refuse(400, "illegal_argument_exception", "never") if b"refused" in item.document else None
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker), wrapper=["sh", "-c", 'umask 0; exec "$@"', "sh"])
    container.write(b"refused\n" + line("app-1", 0))
    wait_until(lambda: barge.ledger()["dead_lettered"] == 1 and barge.ledger()["buffered"] == 0, 20, barge.status)
    barge.restart()
    found = 0
    for folder, _, files in os.walk(barge.data_dir):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name
            found += 1
    assert found >= 3  # a segment, the state, a dead letter


# ---- links and names ----

def test_links_out_of_the_containers_folder_are_not_followed(lab):
    elastic, docker = lab.elastic(), lab.docker()
    outside = lab.docker("outside").container("outside-1")
    outside.write(b"not for you\n")
    log, rotated, config, whole = (docker.container(f"{name}-1") for name in ("log", "rotated", "config", "whole"))
    os.remove(log.path)
    os.symlink(outside.path, log.path)
    os.symlink(outside.path, rotated.path + ".1")
    rotated.write(b"own\n")
    os.remove(os.path.join(config.folder, "config.v2.json"))
    os.symlink(os.path.join(outside.folder, "config.v2.json"), os.path.join(config.folder, "config.v2.json"))
    config.write(b"nameless\n")
    shutil.rmtree(whole.folder)
    os.symlink(outside.folder, os.path.join(docker.path, "ab" * 32))
    os.mkfifo(os.path.join(docker.container("fifo-1").folder, "x"))
    fifo = docker.container("pipe-1")
    os.remove(fifo.path)
    os.mkfifo(fifo.path)
    barge = lab.barge(lab.config(elastic, docker))
    elastic.wait_for(2)
    holds_for(lambda: barge.ledger()["read"] == 2, 1.5)  # a rescan has passed
    found = {d["message"]: d["container"].get("name") for d in elastic.documents()}
    assert set(found) == {"own", "nameless"}
    assert found["nameless"] != "outside-1"


EVIL = ["../../../../evil", "/etc/evil", "a/../../evil", "evil\n{\"create\":{}}", "%{+YYYY}/evil", "..", ".", "evil\0x", "Ünïcode/../evil"]


def tree(path):
    return {os.path.join(folder, name) for folder, folders, files in os.walk(path) for name in folders + files}


@pytest.mark.parametrize("kind", ["elasticsearch", "file"])
def test_names_never_become_paths(lab, kind):
    """Container names, labels, images and GELF fields with paths in them: no file, no index, no line that they name."""
    elastic = lab.elastic() if kind == "elasticsearch" else None
    docker = lab.docker()
    address = lab.gelf_address()
    sections = {"output": {"elasticsearch": {"index": "logs-%{service.name}-%{+YYYY.MM.dd}"}}} if elastic else {}
    barge = lab.barge(lab.config(elastic, docker, gelf_udp="%s:%d" % address, **sections), start=False)
    made = [docker.container(name, labels={"barge.service": name, name: name}, image=name) for name in EVIL]
    before = tree(lab.folder)
    barge.start()
    for container in made:
        container.write(b"text\n" + json.dumps({"msg": "m", "service": container.name, "_index": container.name}).encode() + b"\n")
    sender = lab.gelf_sender(address)
    for name in EVIL:
        sender.send(message("gelf", _container_name=name, _image_name=name, _tag=name, _service=name, host=name))
    wait_until(lambda: barge.ledger()["read"] == 3 * len(EVIL), 20, barge.status)
    barge.wait_drained()
    barge.stop()
    for path in tree(lab.folder) - before:
        assert "evil" not in path, path
        assert path.startswith((barge.data_dir, os.path.join(lab.folder, "out"), barge.log_path)), path
    assert not os.path.exists("/etc/evil")
    if elastic:
        assert len(elastic.store) == 3 * len(EVIL)
        for index in {index for index, _ in elastic.store}:
            assert set(index) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_."), index
    else:
        assert len(barge.output_lines()) == 3 * len(EVIL)


# ---- secrets ----

SECRETS = {"url": "UrlSecret7", "password": "PassSecret7", "key": "KeySecret7", "env": "EnvSecret7"}


def secret_file(lab, name, text, mode=0o600):
    path = os.path.join(lab.folder, name)
    with open(path + ".new", "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, mode)) as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)
    return path


@pytest.mark.parametrize("how", ["password", "key", "url", "env", "proxy"])
def test_secrets_are_never_shown(lab, how):
    """Whatever goes wrong: all that the program printed and served is searched."""
    elastic, docker = lab.elastic(), lab.docker()
    elastic.basic = ("barge", "another")  # every request is answered 401
    away = f"127.0.0.1:{program.free_port()}"
    host = elastic.url.split("//")[1]
    es = {"hosts": [elastic.url, f"http://{away}"]}
    env = {}
    if how == "password":
        es.update(username="barge", password_file=secret_file(lab, "p", SECRETS["password"] + "\n"))
    elif how == "key":
        es.update(api_key_file=secret_file(lab, "k", SECRETS["key"]))
    elif how == "url":
        es.update(hosts=[f"http://barge:{SECRETS['url']}@{host}", f"http://barge:{SECRETS['url']}@{away}"])
    elif how == "env":
        es.update(hosts=[f"http://barge:${{THE_SECRET}}@{host}"])
        env["THE_SECRET"] = SECRETS["env"]
    else:
        es.update(proxy=f"http://barge:{SECRETS['url']}@{away}")
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": es}, shutdown_timeout="100ms"), env=env)
    wait_until(lambda: barge.status()["output"]["last_error"], 20, barge.status)
    seen = []

    def look():
        seen.extend(barge.get(page).decode() for page in ("/status", "/metrics", "/health", "/ready"))
        for command in (["config", "-c", barge.config_path], ["check", "-c", barge.config_path], ["status", "-c", barge.config_path],
                        ["buffer", "status", barge.data_dir], ["buffer", "export", barge.data_dir], ["replay", "-c", barge.config_path]):
            done = program.run(*command, env=env)
            seen.extend((done.stdout, done.stderr))
        with open(f"/proc/{barge.process.pid}/cmdline", encoding="utf-8") as f:
            seen.append(f.read())

    look()
    # A reload, of the same and of a broken configuration with the secret in a wrong place.
    barge.terminate(1)
    wait_until(lambda: "configuration reloaded" in barge.log(), 10, barge.log)
    whole = json.dumps(barge.config)
    for broken in (whole.replace('"hosts"', '"hostz"'), whole.replace("http://barge:", "htp://barge:"), whole.replace("@127", "@ 127"), whole[:-1]):
        with open(barge.config_path, "w", encoding="utf-8") as f:
            f.write(broken)
        n = barge.log().count("not reloaded")
        barge.terminate(1)
        if broken != whole:
            wait_until(lambda: "not reloaded" in barge.log() or "repeated" in barge.log(), 10, barge.log)
        look()
    barge.write_config()
    barge.stop()
    seen.append(barge.log())
    for text in seen:
        for secret in SECRETS.values():
            assert secret not in text
            assert secret[1:] not in text


@pytest.mark.parametrize("mode, warned", [(0o600, False), (0o640, False), (0o644, True)])
def test_a_secret_that_everybody_may_read_is_told(lab, mode, warned):
    authority = lab.authority()
    elastic, docker = lab.elastic(tls=authority), lab.docker()
    elastic.basic = ("barge", "word")
    os.chmod(authority.key_file, mode)
    secret = secret_file(lab, "p", "word", mode)
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {
        "username": "barge", "password_file": secret,
        "tls": {"ca_file": authority.ca_file, "cert_file": authority.cert_file, "key_file": authority.key_file}}}))
    delivered(lab, barge, elastic, 1)
    told = [text for text in barge.log().splitlines() if "every user of this host may read" in text]
    assert bool(told) == warned and "word" not in "".join(told).replace("password", "")
    if warned:
        assert len(told) == 2 and secret in told[0] and authority.key_file in told[1]


# ---- TLS ----

def test_a_certificate_for_another_name_is_refused(lab):
    """Of the right authority, but not for this host."""
    authority = lab.authority()
    authority.cert_file, authority.key_file = authority.issue("other", "DNS:other.example")
    elastic, docker = lab.elastic(tls=authority), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"tls": {"ca_file": authority.ca_file}}}))
    wait_until(lambda: "subject" in str(barge.status()["output"]["last_error"]), 20, barge.status)
    assert not elastic.requests and barge.ledger()["buffered"] == 1
    assert "need not prove" not in barge.log()


def test_not_verifying_is_told_at_every_start(lab):
    elastic, docker = lab.elastic(tls=lab.authority()), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"tls": {"verify": False}}}))
    for life in range(2):
        container.write(line("app-1", life))
        delivered(lab, barge, elastic, life + 1)
        assert barge.log().count("nodes need not prove who they are") == 1
        barge.restart()


# ---- what stays possible ----

def test_a_node_by_name(lab):
    """Name look-ups go through the lists of calls and files."""
    elastic, docker = lab.elastic(), lab.docker()
    docker.container("app-1").write(line("app-1", 0))
    barge = lab.barge(lab.config(elastic, docker, output={"elasticsearch": {"hosts": [f"http://localhost:{elastic.port}"]}}))
    delivered(lab, barge, elastic, 1)


@pytest.mark.parametrize("when", ["while it is read", "before it is there"])
def test_a_containers_folder_that_is_made_anew(lab, when, tmp_path_factory):
    """The rules for files were fixed at the start, and must hold for a folder that came later."""
    elastic, docker = lab.elastic(), lab.docker(str(tmp_path_factory.mktemp("host") / "engine" / "containers"))
    barge = lab.barge(lab.config(elastic, docker), start=False)
    if when == "while it is read":
        docker.container("app-1").write(line("app-1", 0))
        barge.start()
        elastic.wait_for(1)
        shutil.rmtree(docker.path)
        wait_until(lambda: "the containers folder is gone" in barge.log(), 15, barge.log)
    else:
        shutil.rmtree(os.path.dirname(docker.path))
        barge.start()
    os.makedirs(docker.path)
    docker.container("app-2").write(line("app-2", 0))
    wait_until(lambda: any(d["container"]["name"] == "app-2" for d in elastic.documents()), 25, barge.log)
    barge.wait_drained()
