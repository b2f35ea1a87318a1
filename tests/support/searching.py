"""_search as the scripted Elasticsearch answers it: the little of the query language that barge uses, strictly; anything else is a
parsing_exception. Times are kept as the mapping `date` does (milliseconds) or as date_nanos."""

import fnmatch
import json
import re
from calendar import timegm

KEYWORDS = ("http.request.id", "trace.id")
MAX_WINDOW = 10000
LAST = 2**63 - 1  # where what has no sequence is sorted


class Refused(Exception):
    def __init__(self, status, error_type, reason):
        super().__init__(reason)
        self.status, self.error_type, self.reason = status, error_type, reason


def field(document, path):
    for part in path.split("."):
        if not isinstance(document, dict) or part not in document:
            return None
        document = document[part]
    return document


def nanos(text):
    """An RFC 3339 time in UTC as nanoseconds, with integers alone."""
    m = re.fullmatch(r"(\d+)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z", text)
    if not m:
        raise Refused(400, "parsing_exception", f"failed to parse date field [{text}]")
    return timegm(tuple(int(x) for x in m.groups()[:6]) + (0, 0, 0)) * 10**9 + int((m.group(7) or "").ljust(9, "0"))


def _only(clause, *keys):
    unknown = set(clause) - set(keys)
    if unknown:
        raise Refused(400, "parsing_exception", f"unknown key {sorted(unknown)}")


def matches(query, document, digits_ns):
    (kind, clause), = query.items()
    if kind == "bool":
        _only(clause, "filter", "should", "minimum_should_match")
        should = [matches(q, document, digits_ns) for q in clause.get("should", ())]
        return all(matches(q, document, digits_ns) for q in clause.get("filter", ())) and sum(should) >= clause.get("minimum_should_match", 0)
    if kind == "range":
        (name, limits), = clause.items()
        _only(limits, "gte")
        return nanos(field(document, name)) // digits_ns >= nanos(limits["gte"]) // digits_ns
    if kind == "multi_match":
        _only(clause, "query", "type", "lenient", "fields")
        if clause["type"] != "phrase" or clause["lenient"] is not True:
            raise Refused(400, "parsing_exception", "multi_match")
        return any(str(field(document, name)) == clause["query"] for name in clause["fields"] if name in KEYWORDS)
    raise Refused(400, "parsing_exception", f"unknown query [{kind}]")


def _chosen(indices, names, ignore_unavailable):
    chosen = set()
    for name in names.split(","):
        found = {i for i in indices if fnmatch.fnmatchcase(i, name)}
        if not found and "*" not in name and not ignore_unavailable:
            raise Refused(404, "index_not_found_exception", f"no such index [{name}]")
        chosen |= found
    return chosen


def _hits(store, indices, query, digits_ns):
    """All that match, in the order of their time and sequence."""
    found = []
    for (index, document_id), text in store.items():
        if index in indices:
            document = json.loads(text)
            if query is None or matches(query, document, digits_ns):
                sequence = field(document, "event.sequence")
                found.append((nanos(document["@timestamp"]) // digits_ns * digits_ns, LAST if sequence is None else sequence,
                              index, document_id, text))
    found.sort(key=lambda hit: hit[:2])
    return found


def search(store, path, body, digits_ns, memo):
    """The answer as text. store: {(index, id): bytes}. path: with its query. digits_ns: 1000000 for `date`, 1 for date_nanos.
    memo: a dict of the caller's, that only the next page need not look at every document again."""
    names, _, options = path.partition("?")
    names = names.strip("/").split("/")[0].replace("%2C", ",")
    if len(path) > 4096:
        raise Refused(400, "too_long_http_line_exception", "An HTTP line is larger than 4096 bytes.")
    asked = json.loads(body)
    _only(asked, "size", "track_total_hits", "sort", "query", "search_after")
    indices = _chosen({index for index, _ in store}, names, "ignore_unavailable=true" in options)
    size = asked.get("size", 10)
    if size > MAX_WINDOW:
        raise Refused(400, "illegal_argument_exception", f"Result window is too large, must be less than or equal to: [{MAX_WINDOW}]")
    key = names, len(store), json.dumps(asked.get("query"))
    if key not in memo:
        memo.clear()
        memo[key] = _hits(store, indices, asked.get("query"), digits_ns)
    found = memo[key]
    total = len(found)
    after = asked.get("search_after")
    if after:
        found = [hit for hit in found if hit[:2] > tuple(after)]
    hits = [f'{{"_index":{json.dumps(i)},"_id":{json.dumps(d)},"_score":null,"_source":{text.decode()},"sort":[{t},{s}]}}'
            for t, s, i, d, text in found[:size]]
    counted = '"total":{"value":%d,"relation":"eq"},' % total if asked.get("track_total_hits", True) else ""
    return ('{"took":1,"timed_out":false,"_shards":{"total":%d,"successful":%d,"skipped":0,"failed":0},"hits":{%s"max_score":null,"hits":[%s]}}'
            % (len(indices), len(indices), counted, ",".join(hits)))
