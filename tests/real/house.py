"""The house of conf/docker/compose.yaml as its user has it: that file, a real compose, a live engine that makes networks and publishes ports.

No registry is asked: images of the names that the file has are made here, on a Debian (house/*.Dockerfile): Debian's nginx and Python, the
node of nodes.py, barge's own by `make image`. Of Kibana there is only what `barge setup` asks.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import engine as real_engine
import nodes
from barge import proc_status
from waiting import wait_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE = os.path.join(TOP, "conf/docker/compose.yaml")
PARTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "house")
PLUGINS = [os.path.join(folder, "docker-compose") for folder in
           (os.path.expanduser("~/.docker/cli-plugins"), "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
            "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins")]
# In the order in which they are made: one stands on another.
IMAGES = {"nginx:1.28": "nginx", "python:3.13-slim": "python", "docker.elastic.co/elasticsearch/elasticsearch:8.19.0": "elasticsearch",
          "docker.elastic.co/kibana/kibana:8.19.0": "kibana"}


def compose():
    """The plugin of Docker's client."""
    for path in [os.environ.get("COMPOSE", ""), *PLUGINS]:
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise real_engine.Unavailable("there is no docker compose among the client's plugins, nor one named by COMPOSE")


def may_raise_limits():
    """Whether an engine here may give a container limits that it does not have itself (CAP_SYS_RESOURCE)."""
    return int(proc_status(os.getpid())["CapEff"], 16) >> 24 & 1 == 1


class House:
    """conf/docker/compose.yaml on an engine that has a Debian, and is set apart for it."""

    def __init__(self, engine):
        self.engine = engine
        os.makedirs(os.path.join(engine.home, "cli-plugins"))
        os.symlink(compose(), os.path.join(engine.home, "cli-plugins", "docker-compose"))
        self._make_image()
        for image, name in IMAGES.items():
            self._stand_in(image, name)
        engine.set_apart()
        self.files = ["-f", FILE]
        if not may_raise_limits():
            override = os.path.join(engine.home, "override.yaml")
            with open(override, "w", encoding="utf-8") as f:
                f.write("services: {barge: {ulimits: !reset {}}}\n")
            self.files += ["-f", override]

    # -- images --

    def _built(self, done):
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def _make_image(self):
        self._built(subprocess.run(
            ["make", "-s", "image", f"DOCKER={real_engine.DOCKER} -H unix://{self.engine.socket}", "IMAGE_ARGS=--network=host --build-arg OPT=-O0"],
            cwd=TOP, capture_output=True, text=True, check=False,
            env={**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": self.engine.home, "MAKEFLAGS": ""}))

    def _stand_in(self, image, name):
        context = os.path.join(self.engine.home, "context-" + name)
        os.mkdir(context)
        for path in glob.glob(os.path.join(PARTS, name + "*")):
            shutil.copy(path, context)
        if name == "elasticsearch":
            shutil.copy(glob.glob(os.path.join(nodes.fetch("elasticsearch-8.19"), "*.zip"))[0], context)
        self._built(self.engine.try_docker("build", "-q", "--network=host", "-t", image, "-f", f"{context}/{name}.Dockerfile", context, timeout=1200))
        shutil.rmtree(context)

    # -- what its user does --

    def compose(self, *arguments, check=True, timeout=300):
        return self.engine.try_docker("compose", *self.files, *arguments, check=check, timeout=timeout).stdout

    def up(self):
        """Up, and until the gateway and Elasticsearch answer."""
        self.compose("up", "-d")
        self.wait_for(lambda: self.ask("/orders/0")[0] == 200, "the gateway")
        self.wait_for(lambda: '"number_of_nodes":1' in self.curl("http://127.0.0.1:9200/_cluster/health"), "Elasticsearch", 300)

    def down(self):
        """Down; barge's exit code, heard of before its container goes."""
        events = self.watch("barge")
        self.compose("down")
        return events()

    def watch(self, service):
        """A function that gives the exit code of this container, once it has ended."""
        heard = subprocess.Popen([real_engine.DOCKER, "-H", "unix://" + self.engine.socket, "wait", self.id(service)], stdout=subprocess.PIPE, text=True)
        return lambda: int(heard.communicate(timeout=60)[0])

    def curl(self, *arguments):
        """What curl says on this host; empty where nobody answers."""
        return self.engine.inside("curl", "-s", "--max-time", "30", *arguments, timeout=60).stdout

    def ask(self, path, request_id=None):
        """One request to the gateway: (status, request id)."""
        said = self.curl("-i", *(["-H", f"X-Request-ID: {request_id}"] if request_id else []), f"http://localhost:8080{path}")
        status = re.match(r"HTTP/1\.1 (\d+)", said)
        ids = re.findall(r"^x-request-id: (\S+)\r?$", said, re.I | re.M)
        return (int(status.group(1)), ids) if status else (0, ids)

    def health(self, service):
        return self.inspect(service)["State"].get("Health", {}).get("Status")

    def inspect(self, service):
        return self.engine.inspect(self.id(service))

    def id(self, service):
        return self.compose("ps", "-aq", service).strip()

    # -- Elasticsearch --

    def documents(self, query="*"):
        """All that it has for a query, as they came in."""
        asked = urllib.parse.urlencode({"q": query, "size": 10000})
        self.curl("-XPOST", "http://127.0.0.1:9200/microservices-*/_refresh")
        said = self.curl(f"http://127.0.0.1:9200/microservices-*/_search?{asked}")
        return [hit["_source"] for hit in json.loads(said)["hits"]["hits"]] if said.startswith("{") and '"hits"' in said else []

    def request(self, request_id):
        return self.documents(f'http.request.id:"{request_id}"')

    def wait_for(self, condition, what, deadline_s=120):
        return wait_until(condition, deadline_s, lambda: f"{what}; barge says: {self.compose('logs', '--no-color', 'barge', check=False)[-1500:]}",
                          every_s=0.5)
