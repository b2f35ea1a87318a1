"""make bench-index: what the index template costs a node, beside Logstash's own, with the same documents.

    index.py [--build BUILD] [--documents N] [--nodes "elasticsearch-8.19 opensearch-2.19"] [--template NAME=FILE …]

The documents are barge's: the reference load of five containers through the file output. Both templates get them with the same
`_id`s in the same bulks, in turns, forth and back, after a round that warms the node up and does not count. CPU is the node's process
from the first bulk to the refresh behind the last, set against that of Logstash's in the same turn, as a second costs more while others
use the machine; the size is that of one segment, read when the node's own cache of it is stale.
"""

import argparse
import copy
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "support"), os.path.join(TOP, "tests", "real")]

import gen_docker_log  # noqa: E402
import nodes  # noqa: E402
from run import free_port, get, wait_for  # noqa: E402

SERVICES = ("gateway", "orders", "inventory", "payment", "users")
BULK_BYTES = min(1 << 20, nodes.MAX_REQUEST - (64 << 10))
ROUNDS = 3
QUEUE = 1000  # of the node's: nothing is refused here
STATS_ARE_OLD_S = 11  # the node keeps the sizes of its store for ten seconds
GOALS = {"bytes": 0.60, "cpu": 0.65}

# What Logstash's elasticsearch output puts in place for itself, as of version 8.
LOGSTASH = {
    "index_patterns": ["microservices-*"],
    "template": {
        "settings": {"index.refresh_interval": "5s", "number_of_shards": 1},
        "mappings": {
            "dynamic_templates": [
                {"message_field": {"path_match": "message", "match_mapping_type": "string", "mapping": {"type": "text", "norms": False}}},
                {"string_fields": {"match": "*", "match_mapping_type": "string",
                                   "mapping": {"type": "text", "norms": False, "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}}},
            ],
            "properties": {"@timestamp": {"type": "date"}, "@version": {"type": "keyword"},
                           "geoip": {"dynamic": True, "properties": {"ip": {"type": "ip"}, "location": {"type": "geo_point"},
                                                                     "latitude": {"type": "half_float"}, "longitude": {"type": "half_float"}}}},
        },
    },
    "priority": 200,
}


def make_documents(build, count):
    """Lines of the file output: barge's documents for the reference load of five containers, in the order of their time."""
    folder = os.path.join(build, "bench", f"documents-{count}")
    done = os.path.join(folder, "all.ndjson")
    if os.path.exists(done):
        return done
    print(f"making {count} documents …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    containers = os.path.join(folder, "containers")
    for i, service in enumerate(SERVICES):
        container_id = f"{i + 1:x}" * 64
        home = os.path.join(containers, container_id)
        os.makedirs(home)
        papers = {"config.v2.json": {"ID": container_id, "Name": f"/shop-{service}-1", "State": {"Running": True},
                                     "Config": {"Image": f"shop/{service}:1.4", "Labels": {"com.docker.compose.service": service}}},
                  "hostconfig.json": {"LogConfig": {"Type": "json-file", "Config": {}}}}
        for name, content in papers.items():
            with open(os.path.join(home, name), "w", encoding="utf-8") as f:
                json.dump(content, f)
        gen_docker_log.write(os.path.join(home, container_id + "-json.log"), count // len(SERVICES), src=i, seed=i + 1)
    port = free_port()
    config = {"data_dir": os.path.join(folder, "data"), "inputs": {"docker": {"containers": containers}, "gelf": "off"},
              "enrich": {"host": "srv-04"}, "output": {"file": {"path": os.path.join(folder, "out-%{+YYYY.MM.dd}.ndjson")}},
              "buffer": {"min_free": "1MiB"}, "status": {"listen": f"127.0.0.1:{port}"}}
    with open(os.path.join(folder, "barge.yaml"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    agent = subprocess.Popen([os.path.join(build, "barge"), "run", "-c", f.name], stderr=subprocess.DEVNULL)

    def all_delivered():
        try:
            return json.loads(get(port, "/status"))["ledger"]["delivered"] >= count
        except OSError:
            assert agent.poll() is None, "barge ended"
            return False

    wait_for(all_delivered, 120, "all documents")
    agent.terminate()
    agent.wait()
    lines = []
    for path in glob.glob(os.path.join(folder, "out-*.ndjson")):
        with open(path, encoding="utf-8") as f:
            lines += f.readlines()
    assert len(lines) == count
    # As an agent sends them: a stretch of one container's after another's.
    stretches = {}
    for line in lines:
        stretches.setdefault(line[line.find('"container":'):][:90], []).append(line)
    step = 500
    with open(done + ".making", "w", encoding="utf-8") as f:
        for at in range(0, count, step):
            for some in stretches.values():
                f.writelines(some[at:at + step])
    os.rename(done + ".making", done)
    return done


def bulks(path, index):
    """Bodies of bulk requests that create the documents of path in index."""
    body = bytearray()
    with open(path, encoding="utf-8") as f:
        for line in f:
            document = json.loads(line)
            action = {"create": {"_index": index, "_id": document.pop("_id")}}
            body += json.dumps(action).encode() + b"\n" + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            if len(body) > BULK_BYTES:
                yield bytes(body)
                body.clear()
    if body:
        yield bytes(body)


def cpu_seconds(node):
    """Of the node's processes, all of one session."""
    total = 0
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat, encoding="utf-8", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == node.process.pid:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def one_round(node, template, bodies, count):
    """(bytes of one segment a document, CPU seconds per 100,000 documents)"""
    body = copy.deepcopy(template)
    body["template"]["settings"]["number_of_replicas"] = 0
    index = "microservices-2018.11.23"
    node.request("PUT", "/_index_template/bench", body)
    before = cpu_seconds(node)
    for bulk in bodies:
        answer = node.request("POST", "/_bulk?filter_path=errors,items.*.error", bulk)
        assert not answer["errors"], str(answer)[:2000]
    node.request("POST", f"/{index}/_refresh")
    used = cpu_seconds(node) - before
    node.request("POST", f"/{index}/_forcemerge?max_num_segments=1")
    node.request("POST", f"/{index}/_flush?wait_if_ongoing=true")
    end = time.monotonic() + STATS_ARE_OLD_S
    wait_for(lambda: time.monotonic() > end, STATS_ARE_OLD_S + 5, "fresh figures")
    stats = node.request("GET", f"/{index}/_stats/store,docs,segments")["indices"][index]["primaries"]
    assert stats["docs"]["count"] == count and stats["segments"]["count"] == 1, stats
    node.request("DELETE", "/" + index)
    node.request("DELETE", "/_index_template/bench")
    return stats["store"]["size_in_bytes"] / count, used * 1e5 / count


def measure(build, name, templates, path, count, rounds):
    """{label: (bytes a document, CPU seconds per 100,000, that CPU as a share of Logstash's)}, medians of the rounds"""
    nodes.SETTINGS["thread_pool.write.queue_size"] = QUEUE
    node = nodes.Node(name, heap="1g")
    node.timeout_s = 300
    bodies = list(bulks(path, "microservices-2018.11.23"))
    try:
        node.start()
        templates = {**templates, "barge's": barge_template(build, node)}
        found = {label: [] for label in templates}
        for turn in range(rounds + 1):
            for label in list(templates)[::-1 if turn % 2 else 1]:
                figures = one_round(node, templates[label], bodies, count)
                print(f"{name} {label}: {figures[0]:.1f} bytes a document, {figures[1]:.2f} CPU s per 100,000{'' if turn else ' (warming up)'}", flush=True)
                if turn:
                    found[label].append(figures)
    finally:
        node.close()
    base = found["Logstash's"]
    return {label: (statistics.median(size for size, _ in figures), statistics.median(cpu for _, cpu in figures),
                    statistics.median(cpu / theirs for (_, cpu), (_, theirs) in zip(figures, base))) for label, figures in found.items()}


def barge_template(build, node):
    """What `barge setup` puts into this node, and takes away again."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        json.dump({"output": {"elasticsearch": {"hosts": [node.url]}}, "status": {"listen": ""}}, f)
        f.flush()
        subprocess.run([os.path.join(build, "barge"), "setup", "-c", f.name], check=True, stdout=subprocess.DEVNULL)
    path = "/_index_template/barge-microservices"
    found = node.request("GET", path)["index_templates"][0]["index_template"]
    node.request("DELETE", path)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--documents", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--nodes", default="elasticsearch-8.19 opensearch-2.19")
    parser.add_argument("--template", action="append", default=[], help="NAME=FILE to measure, too")
    a = parser.parse_args()
    a.build = os.path.abspath(a.build)
    path = make_documents(a.build, a.documents)
    missed = False
    for name in a.nodes.split():
        templates = {"Logstash's": LOGSTASH}
        for pair in a.template:
            label, _, file = pair.partition("=")
            with open(file, encoding="utf-8") as f:
                templates[label] = json.load(f)
        result = measure(a.build, name, templates, path, a.documents, a.rounds)
        base = result["Logstash's"][0]
        for label, (size, cpu, share) in result.items():
            print(f"== {name} {label}: {size:.1f} bytes ({size / base:.0%}), CPU {cpu:.2f} s ({share:.0%})", flush=True)
            if label == "barge's" and (size / base > GOALS["bytes"] or share > GOALS["cpu"]):
                missed = True
    if missed:
        sys.exit("missed: at most 60 % of the disk and 65 % of the CPU")


if __name__ == "__main__":
    main()
