"""Whether a node holds exactly what the containers of `make soak-live` wrote: by source and number, twice told as well as missing."""

import collections

from live_agent import KILL_DATAGRAMS
from live_figures import clock

PATTERN = "microservices-*"
PAGE = 10_000
SHOWN = 20


def ranges(numbers):
    """Sorted numbers as [(first, last)]."""
    found = []
    for n in numbers:
        if found and found[-1][1] == n - 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return [tuple(r) for r in found]


class Verdict:
    """What was found; wrong: sentences about what must not be. details: what a person needs to understand it."""

    def __init__(self, node, writers, kills, datagrams_dropped):
        self.node, self.sources, self.kills = node, {s.name: s for s in writers.sources}, kills
        self.may_be_dropped = datagrams_dropped
        self.written = writers.written()
        self.documents = 0
        self.missing, self.twice = {}, {}  # {source: numbers}
        self.cut_by_kill = collections.Counter()
        self.dropped_by_kernel = 0
        self.wrong, self.details = [], []

    def look(self):
        self.node.request("POST", f"/{PATTERN}/_refresh")
        self.documents = self.node.count(PATTERN)
        self._of_nobody()
        self._containers()
        self._numbers()
        self._excuse()
        for name, numbers in self.missing.items():
            self._tell_missing(self.sources[name], numbers)
        for name, numbers in self.twice.items():
            self._tell_twice(self.sources[name], numbers)
        return not self.wrong

    # -- questions --

    def _search(self, **asked):
        return self.node.request("POST", f"/{PATTERN}/_search", {"track_total_hits": True, **asked})

    def _of_nobody(self):
        """Documents without source and number: half of a line, or something else."""
        found = self._search(size=SHOWN, query={"bool": {"should": [{"bool": {"must_not": {"exists": {"field": f}}}} for f in ("src", "n")]}})["hits"]
        if found["total"]["value"]:
            self.wrong.append(f"{found['total']['value']} documents that are no line of any container")
            self.details += [{"strange": hit} for hit in found["hits"]]

    def _containers(self):
        """Each source is one container, under names that it had."""
        after = None
        keys = [{name: {"terms": {"field": field}}} for name, field in (("src", "src"), ("id", "container.id"), ("name", "container.name"))]
        while True:
            asked = {"size": 10_000, "sources": keys, **({"after": after} if after else {})}
            found = self._search(size=0, aggs={"all": {"composite": asked}})["aggregations"]["all"]
            for bucket in found["buckets"]:
                key = bucket["key"]
                source = self.sources.get(key["src"])
                if source and (key["id"] != source.container_id or key["name"] not in source.names):
                    self.wrong.append(f"{bucket['doc_count']} documents of {key['src']} say that their container is {key['name']}, {key['id']}")
            after = found.get("after_key")
            if not after:
                return

    def _numbers(self):
        """How often each number of each source is there; in the order in which the documents lie, from columns alone: millions of them."""
        seen = {name: bytearray(source.written) for name, source in self.sources.items()}
        others = collections.Counter()
        asked = {"size": PAGE, "sort": ["_doc"], "_source": False, "stored_fields": "_none_", "docvalue_fields": ["src", "n"]}
        answer = self.node.request("POST", f"/{PATTERN}/_search?scroll=5m&filter_path=_scroll_id,hits.hits.fields", asked)
        while hits := answer.get("hits", {}).get("hits"):
            for hit in hits:
                name, n = (hit.get("fields", {}).get(field, [None])[0] for field in ("src", "n"))
                times = seen.get(name)
                if times is None or n is None or not 0 <= n < len(times):
                    others[name] += 1
                elif times[n] < 255:
                    times[n] += 1
            answer = self.node.request("POST", "/_search/scroll?filter_path=_scroll_id,hits.hits.fields", {"scroll": "5m", "scroll_id": answer["_scroll_id"]})
        for name, times in seen.items():
            if times.count(1) < len(times):
                self.missing[name] = [n for n, count in enumerate(times) if count == 0]
                self.twice[name] = [n for n, count in enumerate(times) if count > 1]
        self.missing = {name: numbers for name, numbers in self.missing.items() if numbers}
        self.twice = {name: numbers for name, numbers in self.twice.items() if numbers}
        self.wrong += [f"{count} documents of {name} with numbers that were never written" for name, count in others.items() if name is not None]

    # -- what is excused: datagrams that nobody can ask for again --

    def _excuse(self):
        """A kill -9 may take along what one turn of the agent had received; the kernel may have had no room (its counter says how often)."""
        for name in list(self.missing):
            if self.sources[name].gelf:
                left = [n for n in self.missing.pop(name) if not self._cut_by_kill(self.sources[name], n)]
                allowed = min(len(left), self.may_be_dropped - self.dropped_by_kernel)
                self.dropped_by_kernel += allowed
                if left[allowed:]:
                    self.missing[name] = left[allowed:]

    def _cut_by_kill(self, source, n):
        begun, ended = source.when(n)
        for kill in self.kills:
            if begun <= kill.ended and (ended is None or ended >= kill.begun - 2) and self.cut_by_kill[kill] < KILL_DATAGRAMS:
                self.cut_by_kill[kill] += 1
                return True
        return False

    # -- for a person --

    def _neighbours(self, source, numbers):
        found = self._search(size=SHOWN, query={"bool": {"filter": [{"term": {"src": source.name}}, {"terms": {"n": numbers}}]}})
        return [{**hit, "_source": {k: v if len(str(v)) < 300 else "…" for k, v in hit["_source"].items()}} for hit in found["hits"]["hits"]]

    def _about(self, source):
        return f"{source.name} ({'gelf' if source.gelf else 'json-file'}, {source.written} lines, container {source.container_id[:12]})"

    def _tell_missing(self, source, numbers):
        gone = ranges(numbers)
        begun, ended = source.when(numbers[0])[0], source.when(numbers[-1])[1]
        self.wrong.append(f"missing: {len(numbers)} of {self._about(source)}: "
                          + ", ".join(f"{a}–{b}" if b > a else str(a) for a, b in gone[:SHOWN])
                          + f"; written between {clock(begun)} and {clock(ended) if ended else 'its end'}")
        beside = sorted({n for a, b in gone[:SHOWN // 2] for n in (a - 1, b + 1)})
        self.details.append({"missing": source.name, "ranges": gone, "beside it": self._neighbours(source, beside)})

    def _tell_twice(self, source, numbers):
        self.wrong.append(f"twice: {len(numbers)} of {self._about(source)}: {ranges(sorted(numbers))[:SHOWN]}")
        self.details.append({"twice": source.name, "numbers": numbers[:1000], "documents": self._neighbours(source, numbers[:SHOWN // 2])})
