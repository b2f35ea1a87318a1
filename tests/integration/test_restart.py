"""Exactly once over restarts, gentle and sudden."""

import random
import signal

import pytest

from load import Writer, check_exactly_once, line
from waiting import holds_for, wait_until

SEEDS = [1, 2]


def outputs(lab, kind):
    """(elastic or None, how many documents have arrived, the documents)."""
    if kind == "elasticsearch":
        elastic = lab.elastic()
        return elastic, lambda barge: len(elastic.store), lambda barge: elastic.documents()
    return None, lambda barge: len(barge.output_lines()), lambda barge: barge.output_documents()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kill", [False, True], ids=["sigterm", "kill-9"])
@pytest.mark.parametrize("kind", ["elasticsearch", "file"])
def test_restarts_at_random_points_lose_and_repeat_nothing(lab, kind, kill, seed):
    dice = random.Random(seed)
    elastic, count, documents = outputs(lab, kind)
    docker = lab.docker()
    containers = [docker.container(f"app{i}-1", max_size=200_000, max_file=50) for i in range(3)]
    barge = lab.barge(lab.config(elastic, docker, buffer={"sync": "50ms"}))
    writers = [Writer(c, 6000, pace=0.002) for c in containers]
    for w in writers:
        w.start()
    total = 18000
    for _ in range(5):
        goal = min(count(barge) + dice.randrange(200, 3500), total - 1)
        wait_until(lambda: count(barge) >= goal, 20, lambda: f"{count(barge)} of {goal}")
        barge.restart(kill=kill)
    for w in writers:
        w.finish()
    wait_until(lambda: count(barge) >= total, 30, lambda: f"{count(barge)} of {total}; {barge.status()}")
    barge.wait_drained()
    check_exactly_once(documents(barge), {c.name: 6000 for c in containers})
    assert barge.ledger()["dropped"] == dict.fromkeys(barge.ledger()["dropped"], 0)


def test_the_books_go_on_over_restarts(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    for life in range(1, 4):
        container.write(b"".join(line("app-1", (life - 1) * 100 + i) for i in range(100)))
        elastic.wait_for(life * 100)
        ledger = barge.wait_drained()
        assert ledger["read"] == ledger["delivered"] == life * 100, ledger
        barge.restart()
    check_exactly_once(elastic.documents(), {"app-1": 300})


def test_what_was_buffered_is_sent_by_the_next_life(lab):
    """The node is away, the container goes away, the agent ends: all of it is on disk."""
    elastic, docker = lab.elastic(), lab.docker()
    elastic.stop()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker, shutdown_timeout="1s"))
    container.write(b"".join(line("app-1", i) for i in range(1000)))
    wait_until(lambda: barge.ledger()["buffered"] == 1000, 10, barge.ledger)
    container.remove()
    wait_until(lambda: barge.status()["inputs"]["docker"]["at_risk_bytes"] == 0, 10, barge.status)
    barge.kill9()
    barge.start()
    assert barge.ledger()["buffered"] == 1000
    elastic.start()
    elastic.wait_for(1000)
    check_exactly_once(elastic.documents(), {"app-1": 1000})


def test_a_line_begun_before_a_restart_is_one_line(lab):
    """Pieces of a long line: the first ones before kill -9, the last after."""
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"short\n" + b"a" * 40000)
    elastic.wait_for(1)
    barge.restart(kill=True)
    holds_for(lambda: len(elastic.store) == 1, 0.2)
    container.write(b"b" * 100 + b"\nnext\n")
    elastic.wait_for(3)
    assert sorted(len(d["message"]) for d in elastic.documents()) == [4, 5, 40100]


def test_nothing_is_read_again_after_a_clean_end(lab):
    elastic, docker = lab.elastic(), lab.docker()
    container = docker.container("app-1")
    barge = lab.barge(lab.config(elastic, docker))
    container.write(b"".join(line("app-1", i) for i in range(500)))
    elastic.wait_for(500)
    barge.wait_drained()
    barge.restart()
    container.write(line("app-1", 500))
    elastic.wait_for(501)
    ledger = barge.wait_drained()
    assert ledger["read"] == 501 and ledger["duplicate"] == 0


@pytest.mark.parametrize("lines", [3, 6000], ids=["a few lines", "more than a turn"])
def test_a_stop_reads_what_goes_with_it(lab, lines):
    """`docker compose down`: containers are removed, their logs with them, and then barge is told to stop."""
    elastic, docker = lab.elastic(), lab.docker()
    container, other = docker.container("app-1", max_size=50_000_000), docker.container("other-1", max_size=50_000_000)
    barge = lab.barge(lab.config(elastic, docker))
    container.write(line("app-1", 0))
    elastic.wait_for(1)
    barge.terminate(signal.SIGSTOP)
    container.write(b"".join(line("app-1", i) for i in range(1, lines)))
    other.write(b"".join(line("other-1", i) for i in range(lines)))
    container.remove()
    barge.terminate()
    barge.terminate(signal.SIGCONT)
    assert barge.wait() == 0
    barge.start()  # the other one is still there
    elastic.wait_for(2 * lines, 30)
    barge.wait_drained()
    check_exactly_once(elastic.documents(), {"app-1": lines, "other-1": lines})


def test_two_agents_do_not_share_a_folder(lab):
    docker = lab.docker()
    barge = lab.barge(lab.config(None, docker))
    second = lab.barge({**barge.config, "status": {"listen": ""}}, start=False)
    second.start(ready=False)
    assert second.wait() == 1
    assert "lock" in second.log().lower() or "another" in second.log().lower(), second.log()
    barge.restart(kill=True)
