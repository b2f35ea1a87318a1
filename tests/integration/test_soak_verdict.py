"""The judge of `make soak-live` (tests/soak/live_verdict.py): what it finds wrong, and what it excuses."""

import os
import random
import sys
import types

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak"))

from live import AGENT_EVENTS, NODE_EVENTS, timetable  # noqa: E402
from live_agent import KILL_DATAGRAMS, Kill  # noqa: E402
from live_verdict import Verdict  # noqa: E402
from live_writers import Source  # noqa: E402


class FakeNode:
    """Answers the judge's questions about a list of (source, number, container's id, container's name)."""

    def __init__(self, documents):
        self.documents, self.pages = documents, []

    def count(self, _pattern):
        return len(self.documents)

    def request(self, _method, path, body=None):
        if path.endswith("/_refresh"):
            return {}
        if path.startswith("/_search/scroll"):
            return {"_scroll_id": "s", "hits": {"hits": self.pages.pop(0) if self.pages else []}}
        if "scroll=" in path:
            hits = [{"fields": {k: [v] for k, v in (("src", src), ("n", n)) if v is not None}} for src, n, _, _ in self.documents]
            self.pages = [hits[i:i + 300] for i in range(0, len(hits), 300)]
            return {"_scroll_id": "s", "hits": {"hits": self.pages.pop(0)}}
        if "aggs" in body:
            return {"aggregations": {"all": {"buckets": [{"key": {"src": src, "id": i, "name": name}, "doc_count": 1}
                                                         for src, _, i, name in self.documents if src is not None]}}}
        lacking = [d for d in self.documents if None in d[:2]] if "should" in body["query"]["bool"] else []
        return {"hits": {"total": {"value": len(lacking)}, "hits": []}}


class Case:
    """A container that wrote to a file and one that wrote by GELF, 1,000 lines each, ten a second; all of them are there."""

    def __init__(self):
        self.sources = []
        for name, gelf in (("shop-1.1", False), ("pay-1.1", True)):
            source = Source(name, name[:-2], gelf)
            source.container_id = "id of " + source.container
            for n in range(1, 101):
                source.at(10 * n, float(n))
            self.sources.append(source)
        self.documents = [(s.name, n, s.container_id, s.container) for s in self.sources for n in range(s.written)]
        self.kills, self.dropped = [], 0

    def lose(self, source, numbers):
        self.documents = [d for d in self.documents if d[0] != source or d[1] not in numbers]

    def judge(self):
        writers = types.SimpleNamespace(sources=self.sources, written=lambda: sum(s.written for s in self.sources))
        verdict = Verdict(FakeNode(self.documents), writers, self.kills, self.dropped)
        verdict.look()
        return verdict


def test_all_there():
    verdict = Case().judge()
    assert verdict.wrong == [] and verdict.documents == verdict.written == 2000


def test_missing_twice_and_strange():
    case = Case()
    case.lose("shop-1.1", {0, 500, 501, 999})
    case.documents += [("shop-1.1", 7, "id of shop-1", "shop-1"), ("shop-1.1", 1000, "id of shop-1", "shop-1"), ("shop-2.1", 0, "x", "x"),
                       (None, None, "id of shop-1", "shop-1"), ("pay-1.1", 8, "id of shop-1", "pay-1"), ("pay-1.1", 9, "id of pay-1", "new-name")]
    verdict = case.judge()
    assert verdict.missing == {"shop-1.1": [0, 500, 501, 999]}
    assert verdict.twice == {"shop-1.1": [7], "pay-1.1": [8, 9]}
    said = "\n".join(verdict.wrong)
    assert "missing: 4 of shop-1.1 (json-file, 1000 lines, container id of shop-1): 0, 500–501, 999" in said
    assert "1 documents of shop-1.1 with numbers that were never written" in said and "1 documents of shop-2.1 with" in said
    assert "1 documents that are no line of any container" in said
    assert "say that their container is pay-1, id of shop-1" in said and "say that their container is new-name, id of pay-1" in said


@pytest.mark.parametrize("lost, source, kills, dropped, missing, cut, by_kernel", [
    ({495, 500}, "pay-1.1", [50.0], 0, 0, 2, 0),   # written as the agent was killed
    ({495, 500}, "shop-1.1", [50.0], 0, 2, 0, 0),  # what was written to a file has no excuse
    ({100, 500}, "pay-1.1", [50.0], 0, 1, 1, 0),   # far from it
    ({100, 101, 102}, "pay-1.1", [], 2, 1, 0, 2),  # more than the kernel dropped
    (set(range(300, 400)), "pay-1.1", [], 0, 100, 0, 0),
])
def test_what_is_excused(lost, source, kills, dropped, missing, cut, by_kernel):
    case = Case()
    case.lose(source, lost)
    case.kills, case.dropped = [Kill(at, at + 0.3) for at in kills], dropped
    verdict = case.judge()
    assert sum(map(len, verdict.missing.values())) == missing and bool(verdict.wrong) == bool(missing)
    assert sum(verdict.cut_by_kill.values()) == cut and verdict.dropped_by_kernel == by_kernel


def test_a_kill_takes_one_turn_at_most():
    case = Case()
    pay = case.sources[1]
    pay.at(4000, 101.0)  # 3,000 at once
    case.kills = [Kill(101.0, 101.2)]
    assert len(case.judge().missing["pay-1.1"]) == 3000 - KILL_DATAGRAMS


@pytest.mark.parametrize("seconds", [60, 3600])
def test_every_kind_of_event_comes(seconds):
    for kinds in (AGENT_EVENTS, NODE_EVENTS):
        rows = timetable(random.Random(1), kinds, seconds)
        assert rows == sorted(rows) and {kind for _, kind in rows} == set(kinds)
        assert all(0 < when < seconds * kinds[kind][1] for when, kind in rows)
