"""The container image: built by `make image` with a live Docker engine, and run as conf/docker says."""

import glob
import json
import os

import pytest

from barge import free_port
from waiting import wait_until

pytestmark = pytest.mark.limit(900)

BASE = "debian:bookworm-slim"
RIGHTS = ("--cap-drop=ALL", "--cap-add=DAC_READ_SEARCH")


@pytest.fixture(scope="module")
def engine(debian_engine, image_build):
    """The engine, which has the image `barge`."""
    build, said = image_build
    build.wait()
    said.seek(0)
    assert build.returncode == 0, said.read()[-4000:]
    return debian_engine


def documents(folder):
    found = []
    for path in glob.glob(f"{folder}/*.ndjson"):
        with open(path, encoding="utf-8") as f:
            found += [json.loads(line) for line in f]
    return found


def run(engine, folder, name, *options, gelf_port=0):
    """barge in a container beside those of this engine, with daily files in its data folder."""
    os.makedirs(folder / name)
    os.chmod(folder / name, 0o700)
    if "--user=0" not in options:
        os.chown(folder / name, 900, 900)
    status = free_port()
    (folder / f"{name}.yaml").write_text(
        f'inputs: {{gelf: {{udp: "127.0.0.1:{gelf_port}"}}}}\n' if gelf_port else 'inputs: {gelf: {udp: ""}}\n')
    with open(folder / f"{name}.yaml", "a", encoding="utf-8") as f:
        f.write(f'output: {{file: {{path: "/var/lib/barge/out/m-%{{+YYYY.MM.dd}}.ndjson"}}}}\nstatus: {{listen: "0.0.0.0:{status}"}}\n')
    engine.docker("run", "-d", "--name", name, "--network=host", "--read-only", *options,
                  "-v", f"{engine.containers}:/var/lib/docker/containers:ro", "-v", f"{folder}/{name}:/var/lib/barge",
                  "-v", f"{folder}/{name}.yaml:/etc/barge/barge.yaml:ro", "barge")
    wait_until(lambda: "barge is running" in engine.try_docker("logs", name).stderr, 60, lambda: engine.try_docker("logs", name).stderr)
    return f"{folder}/{name}/out"


def test_it_adds_less_than_forty_megabytes(engine):
    sizes = {image: int(engine.docker("image", "inspect", "-f", "{{.Size}}", image)) for image in ("barge", BASE)}
    print(f"{(sizes['barge'] - sizes[BASE]) / 1e6:.1f} MB above a base of {sizes[BASE] / 1e6:.1f} MB")
    assert 0 < sizes["barge"] - sizes[BASE] < 40e6, sizes


def test_it_is_not_root_and_says_so(engine):
    config = engine.inspect("barge")["Config"]
    assert config["User"] == "900:900" and list(config["Volumes"]) == ["/var/lib/barge"]
    # Without any right it can still be asked; its own configuration holds.
    assert "barge run" in engine.docker("run", "--rm", "--network=none", "--cap-drop=ALL", "barge", "help")
    assert engine.docker("run", "--rm", "--network=none", "--cap-drop=ALL", "barge", "check") == ""


def test_it_ships_both_kinds_of_logs(engine, tmp_path):
    import socket
    port = free_port(socket.SOCK_DGRAM)
    engine.run("sh", "-c", "seq 1 100", name="files")
    engine.wait("files")
    # The engine's folders are root's, and closed.
    log = glob.glob(f"{engine.containers}/*/*-json.log")[0]
    assert os.stat(log).st_uid == 0 and os.stat(log).st_mode & 0o077 in (0, 0o040)
    out = run(engine, tmp_path, "barge", *RIGHTS, gelf_port=port)
    engine.run("sh", "-c", "seq 1001 1100", name="gelf", driver="gelf", log_options={"gelf-address": f"udp://127.0.0.1:{port}"})
    wait_until(lambda: len(documents(out)) >= 200, 60, lambda: str(documents(out)[-2:]) + engine.try_docker("logs", "barge").stderr)
    got = documents(out)
    assert sorted(int(d["message"]) for d in got) == [*range(1, 101), *range(1001, 1101)]
    assert {d["container"]["name"] for d in got} == {"files", "gelf"}
    with open(f"/proc/{engine.inspect('barge')['State']['Pid']}/status", encoding="utf-8") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Uid"].split() == ["900"] * 4
    assert status["CapPrm"] == status["CapBnd"] == f"{1 << 2:016x}"
    # What the image's health check runs.
    assert engine.try_docker("exec", "barge", "barge", "status").returncode == 0
    engine.docker("stop", "-t", "30", "barge")
    assert engine.inspect("barge")["State"]["ExitCode"] == 0
    engine.docker("rm", "barge")


def test_a_pod_s_rights(engine, tmp_path):
    """As conf/kubernetes runs it, where a capability on a file has no effect: root's log of a pod, in folders that are closed."""
    log = tmp_path / "pods/shop_orders-7d9f8b6c5d-x2x9k_0f1e2d3c-0000-4000-8000-000000000001/orders/0.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"2026-11-28T10:00:00.{i:09}Z stdout F line {i}\n" for i in range(10)))
    log.chmod(0o640)
    for folder in (log.parent, log.parent.parent, tmp_path / "pods"):
        os.chown(folder, 0, 0)
        folder.chmod(0o700)
    # Somebody else's, as no right but reading would do for it.
    os.chown(log, 12345, 12345)
    out = run(engine, tmp_path, "pod", *RIGHTS, "--user=0", "--security-opt=no-new-privileges", "-v", f"{tmp_path}/pods:/var/log/pods:ro")
    wait_until(lambda: len([d for d in documents(out) if d["message"].startswith("line ")]) == 10, 60, lambda: str(documents(out)))
    assert {d["service"]["name"] for d in documents(out) if d["message"].startswith("line ")} == {"orders"}
    with open(f"/proc/{engine.inspect('pod')['State']['Pid']}/status", encoding="utf-8") as f:
        status = f.read()
    assert "NoNewPrivs:\t1" in status and f"CapBnd:\t{1 << 2:016x}" in status
    engine.docker("rm", "-f", "pod")


def test_without_the_right_it_says_what_is_missing(engine, tmp_path):
    run(engine, tmp_path, "nothing", "--cap-drop=ALL")
    wait_until(lambda: "CAP_DAC_READ_SEARCH" in engine.try_docker("logs", "nothing").stderr, 30, lambda: engine.try_docker("logs", "nothing").stderr)
    engine.docker("rm", "-f", "nothing")
