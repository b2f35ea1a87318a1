"""The house of conf/docker/compose.yaml, used as its README says: one request in all three services' documents, restarts, `down` and `up`.

Opt-in (`make test-compose`): the images are made first, which takes Debian's archive and some minutes. COMPOSE=FILE is the client's plugin
where it is not installed.
"""

import collections
import json
import re
import threading

import pytest

import engine as real_engine
import house as houses
import nodes

pytestmark = pytest.mark.limit(2400)


@pytest.fixture(scope="module")
def house(debian_engine):
    try:
        made = houses.House(debian_engine)
    except (real_engine.Unavailable, nodes.Unavailable) as e:
        pytest.skip(str(e))
    made.up()
    yield made
    assert made.down() == 0


class Load:
    """Requests one after the other, until it is ended; their ids as the gateway was given them."""

    def __init__(self, house, name):
        self.house, self.name = house, name
        self.answered = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        n = 0
        while not self._ending.is_set():
            n += 1
            status, _ = self.house.ask(f"/orders/{n}", f"{self.name}-{n:05}")
            if status == 200:
                self.answered.append(f"{self.name}-{n:05}")

    def wait_for(self, n):
        self.house.wait_for(lambda: len(self.answered) >= n, "requests that were answered")

    def end(self):
        self._ending.set()
        self._thread.join()
        return self.answered


def files_of(house, load):
    """{(service, request): how often} of those that log into files."""
    found = collections.Counter()
    for document in house.documents(f"http.request.id:{load.name}* OR http.request.id.keyword:{load.name}*"):
        if document["service"]["name"] != "payment":
            found[document["service"]["name"], document["http"]["request"]["id"]] += 1
    return found


def expected(requests):
    """The gateway says a request once, orders when it came and when the next one answered."""
    return {("gateway", r): 1 for r in requests} | {("orders", r): 2 for r in requests}


def all_there(house, load, requests):
    """Waits for the documents of these requests, and sees that none is there twice."""
    house.wait_for(lambda: expected(requests).items() <= files_of(house, load).items(), lambda: f"of {len(requests)}: {files_of(house, load)}", 300)
    assert max(files_of(house, load).values()) == 2


def test_one_request_in_all_three(house):
    status, ids = house.ask("/orders/1")
    assert status == 200 and len(ids) == 1 and re.fullmatch(r"[0-9a-f]{32}", ids[0])
    found = house.wait_for(lambda: (d := house.request(ids[0])) and len(d) == 4 and d, "four documents of one request")
    by_service = collections.defaultdict(list)
    for document in found:
        by_service[document["service"]["name"]].append(document)
        assert document["http"]["request"]["id"] == ids[0] and document["log"]["level"] == "info"
    assert sorted(d["message"] for d in by_service["orders"]) == ["asked for /orders/1", "the next one answered"]
    assert [d["message"] for d in by_service["payment"]] == ["asked for /payments/"]
    # The gateway's line was read by the parser that its label asks for.
    (gateway,) = by_service["gateway"]
    assert gateway["message"] == "GET /orders/1 200" and gateway["url"]["path"] == "/orders/1"
    assert gateway["http"]["response"]["status_code"] == 200 and gateway["http"]["request"]["method"] == "GET"
    assert gateway["event"]["duration"] > 0
    # JSON became members; nothing is left of its text.
    assert all("request_id" not in json.dumps(d) for d in found)
    # The host's name, and no container's.
    assert len({d["host"]["name"] for d in found}) == 1
    assert not [d for d in found if d["container"]["id"].startswith(d["host"]["name"])]


def test_the_client_s_own_id_is_taken(house):
    assert house.ask("/orders/2", "client-0001-abcd") == (200, ["client-0001-abcd"])
    house.wait_for(lambda: len(house.request("client-0001-abcd")) == 4, "four documents of one request")


def test_trace_inside_the_container(house):
    _, (request_id,) = house.ask("/orders/3")
    house.wait_for(lambda: len(house.request(request_id)) == 4, "four documents of one request")
    said = house.compose("exec", "barge", "barge", "trace", request_id)
    rows = [row.split() for row in said.splitlines() if re.match(r" +\d+\.\d+ ", row)]
    assert collections.Counter(row[1] for row in rows) == {"orders": 2, "payment": 1, "gateway": 1}
    assert "3 services" in said and "0 errors" in said


def test_what_goes_wrong_is_found_under_the_id(house):
    house.compose("stop", "payment")
    status, (request_id,) = house.ask("/orders/4")
    house.compose("start", "payment")
    assert status == 502
    found = house.wait_for(lambda: (d := house.request(request_id)) and len(d) == 3 and d, "three documents of one request")
    assert {(d["service"]["name"], d["log"]["level"]) for d in found} == {("orders", "info"), ("orders", "error"), ("gateway", "error")}
    house.wait_for(lambda: house.ask("/orders/5")[0] == 200, "payment again")


def test_health_and_status(house):
    house.wait_for(lambda: house.health("barge") == "healthy", "a healthy barge", 180)
    assert "delivered" in house.compose("exec", "barge", "barge", "status")
    assert house.curl("-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:9280/ready") == "200"


def test_index_side_and_dashboards(house):
    said = house.compose("exec", "barge", "barge", "setup", "--kibana", "http://kibana:5601")
    assert "barge-microservices for microservices-* is unchanged" in said and "saved objects were imported" in said
    # The first day's index was made with the template there.
    mapping = json.loads(house.curl("http://127.0.0.1:9200/microservices-*/_mapping"))
    assert {m["mappings"]["properties"]["service"]["properties"]["name"]["type"] for m in mapping.values()} == {"keyword"}


def test_who_is_read(house):
    """Elasticsearch under the name that it has in the house; barge leaves out its own log."""
    house.wait_for(lambda: house.documents("service.name:elasticsearch"), "Elasticsearch's own log")
    names = {d["service"]["name"] for d in house.documents("service.name:*")}
    assert {"elasticsearch", "orders", "payment", "gateway"} <= names and not names & {"ES_ECS", "barge"}


def test_a_restart_of_barge_loses_nothing_from_files(house):
    load = Load(house, "restart")
    load.wait_for(10)
    house.compose("restart", "barge")
    load.wait_for(len(load.answered) + 10)
    all_there(house, load, load.end())


def test_down_and_up_lose_nothing_from_files(house):
    """`down` deletes containers and their logs: what they have said is barge's before."""
    load = Load(house, "down")
    load.wait_for(20)
    exits = house.down()
    answered = load.end()
    assert exits == 0
    house.up()
    all_there(house, load, answered)
    status, (request_id,) = house.ask("/orders/6")
    assert status == 200
    house.wait_for(lambda: len(house.request(request_id)) == 4, "four documents of one request")
