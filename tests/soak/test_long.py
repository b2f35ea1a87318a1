"""What takes longer than a test may: a crash loop, a long sleep of the machine, a start with a large backlog."""

import os
import signal
import threading
import time

import pytest

from load import Writer, check_exactly_once, line
from waiting import PATIENCE, wait_until


@pytest.mark.limit(400)
@pytest.mark.parametrize("kind", ["elasticsearch", "file"])
def test_a_crash_loop(lab, kind):
    """Killed every 300 ms, two hundred times: it gets further all the same, and the folder stays small."""
    elastic, docker = lab.elastic() if kind == "elasticsearch" else None, lab.docker()
    container = docker.container("app-1", max_size=1 << 20, max_file=100)
    config = lab.config(elastic, docker)
    barge = lab.barge(config, start=False)
    buffer = os.path.join(barge.data_dir, "buffer")
    writer = Writer(container, 10**9, batch=20, pace=0.02)
    writer.start()

    def arrived():
        return len(elastic.store) if elastic else len(barge.output_lines())

    seen = 0
    for life in range(1, 201):
        barge.start(ready=False)
        threading.Event().wait(0.3)
        barge.kill9()
        # A life that delivers nothing leaves a segment; the next one that does, takes all of them away.
        files = os.listdir(buffer) if os.path.isdir(buffer) else []
        assert len(files) < 40, sorted(files)
        if life % 20 == 0:
            assert arrived() > seen, "nothing arrived in twenty lives"
            seen = arrived()
    written = writer.stop()
    barge.start()
    wait_until(lambda: arrived() >= written, 60, lambda: f"{arrived()} of {written}")
    barge.wait_drained()
    check_exactly_once(elastic.documents() if elastic else barge.output_documents(), {"app-1": written})


@pytest.mark.limit(200)
def test_a_minute_of_sleep(lab):
    """SIGSTOP for a minute, with requests on their way and the traffic going on."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1", max_size=1 << 20, max_file=100)
    barge = lab.barge(lab.config(elastic, docker))
    writer = Writer(container, 10**9, batch=20, pace=0.02)
    writer.start()
    wait_until(lambda: len(elastic.store) > 500, 20)
    barge.terminate(signal.SIGSTOP)
    threading.Event().wait(60)
    barge.terminate(signal.SIGCONT)
    written = writer.stop()
    elastic.wait_for(written, 60)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": written})


@pytest.mark.limit(400)
@pytest.mark.parametrize("kill", [False, True], ids=["after SIGTERM", "after kill -9"])
def test_a_start_with_a_gigabyte_in_the_buffer(lab, kill):
    """Ready in under a second, whatever lies there."""
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, buffer={"max_size": "2GiB"}, shutdown_timeout="1s"))
    record = container.record_bytes(line("app-1", 3, 1500).decode(), when_ns=container.clock())
    while barge.status()["buffer"]["bytes"] < 1 << 30:
        if container.size() - barge.status()["inputs"]["docker"]["bytes"] < 64 << 20:
            container.append_raw(record * 20_000)
    if kill:
        barge.kill9()
    else:
        barge.stop()
    begun = time.monotonic()
    barge.start()
    took = time.monotonic() - begun
    print(f"ready after {took * 1000:.0f} ms with {barge.status()['buffer']['bytes'] >> 20} MiB")
    assert took < 1 * PATIENCE
    assert barge.rss_kib() < 64 << 10
    barge.kill9()
