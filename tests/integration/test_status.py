"""The pages: /status, /metrics, /health, /ready."""

import os
import re
import urllib.error

import pytest

from load import line
from waiting import PATIENCE, wait_until

SHAPE = {
    "": ["version", "uptime_s", "ledger", "inputs", "buffer", "output"],
    "ledger": ["read", "delivered", "duplicate", "dead_lettered", "buffered", "dropped"],
    "inputs.docker": ["files", "lag_bytes", "held_bytes", "at_risk_bytes", "unreadable"],
    "inputs.gelf": ["datagrams", "kernel_dropped", "incomplete", "chunks_pending"],
    "buffer": ["bytes", "max_bytes", "oldest_age_s", "damaged_records"],
    "output": ["breaker", "in_flight", "requests", "retries", "parked", "last_error"],
}


def test_status_has_what_dashboards_hang_on(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    container.write(line("app-1", 0))
    elastic.wait_for(1)
    barge.wait_drained()
    status = barge.status()
    for path, names in SHAPE.items():
        at = status
        for part in filter(None, path.split(".")):
            at = at[part]
        for name in names:
            assert name in at, f"{path}.{name}"
    assert status["output"]["breaker"] == "closed" and status["output"]["requests"] >= 1
    assert status["inputs"]["docker"]["files"] == 1 and status["buffer"]["max_bytes"] == 1 << 30


def test_metrics_have_the_same(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"".join(line("app-1", i) for i in range(10)))
    elastic.wait_for(10)
    barge.wait_drained()
    metrics = barge.metrics()
    assert metrics["barge_ledger_read_total"] == metrics["barge_ledger_delivered_total"] == 10
    assert metrics["barge_ledger_buffered"] == 0
    text = barge.get("/metrics").decode()
    names = [x.split()[2] for x in text.splitlines() if x.startswith("# TYPE")]
    assert len(names) == len(set(names)) and all(n.startswith("barge_") for n in names)
    for sample in text.splitlines():
        assert sample.startswith("#") or re.fullmatch(r'barge_[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+', sample), sample


# Root without the right to read everybody's files; another user has none to begin with.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def test_a_log_that_may_not_be_read_is_named_until_it_may(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    container.write(line("app-1", 0))
    os.chmod(container.path, 0)
    barge = lab.barge(lab.config(elastic, docker), wrapper=WITHOUT_RIGHTS)
    wait_until(lambda: barge.status()["inputs"]["docker"]["unreadable"] == 1, 10, barge.status)
    assert barge.status()["inputs"]["docker"]["unreadable_containers"] == "app-1 (permission denied)"
    assert "CAP_DAC_READ_SEARCH" in barge.log()
    os.chmod(container.path, 0o600)
    elastic.wait_for(1)
    wait_until(lambda: barge.status()["inputs"]["docker"]["unreadable"] == 0, 10, barge.status)
    barge.wait_drained()


def test_pages_that_are_not_there(lab):
    barge = lab.barge(lab.config())
    assert barge.code("/health") == barge.code("/ready") == 200
    assert barge.code("/") in (200, 404) and barge.code("/../etc/passwd") == 404
    with pytest.raises(urllib.error.HTTPError):
        barge.get("/nothing")


def test_an_idle_agent_uses_no_cpu(lab):
    docker = lab.docker()
    for i in range(200):
        docker.container(f"idle{i}-1").write(line("x", i))
    barge = lab.barge(lab.config(None, docker))
    wait_until(lambda: len(barge.output_lines()) == 200, 20)
    barge.wait_drained()
    before = barge.cpu_seconds()
    wait_until(lambda: barge.status()["uptime_s"] >= 6, 20, every_s=0.5)
    assert barge.cpu_seconds() - before < 0.2 * PATIENCE
