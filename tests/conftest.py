"""What every test gets: a lab that makes processes and counterparts and checks them at the end, and a time limit."""

import faulthandler
import os
import signal
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "support"), os.path.join(HERE, "real")]

from barge import Barge, free_port  # noqa: E402
from docker_folder import DockerFolder  # noqa: E402
from gelf_sender import GelfSender, GelfStream  # noqa: E402
from pods_folder import PodsFolder  # noqa: E402
from scripted_elastic import ScriptedElastic, TestAuthority  # noqa: E402
from waiting import PATIENCE  # noqa: E402

LIMIT_S = 60  # of one test; @pytest.mark.limit(seconds) gives another


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): time limit of this test")


@pytest.fixture(autouse=True)
def _time_limit(request):
    marker = request.node.get_closest_marker("limit")
    seconds = int((marker.args[0] if marker else LIMIT_S) * PATIENCE)

    def too_long(_number, _frame):
        faulthandler.dump_traceback(all_threads=True)
        raise TimeoutError(f"test took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows the end of each barge's own log."""
    outcome = yield
    report = outcome.get_result()
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and lab is not None:
        for barge in lab.barges:
            report.sections.append((f"log of barge, life {barge.lives} ({barge.folder})", barge.log()[-6000:]))


class Lab:
    """Makes what a test needs, all below one folder; close() ends and checks it in reverse order."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.barges, self.elastics, self._others = [], [], []

    def elastic(self, **options):
        made = ScriptedElastic(**options)
        self.elastics.append(made)
        return made

    def docker(self, name="containers"):
        made = DockerFolder(os.path.join(self.folder, name))
        self._others.append(made)
        return made

    def pods(self, name="pods"):
        made = PodsFolder(os.path.join(self.folder, name))
        self._others.append(made)
        return made

    def authority(self):
        return TestAuthority(os.path.join(self.folder, "tls"))

    def config(self, elastic=None, docker=None, gelf_udp=None, gelf_tcp=None, pods=None, **sections):
        """A configuration for a test: quick, on loopback, off what is not asked for. elastic: None for output.file, a
        ScriptedElastic (or several), or the mapping below output.elasticsearch; pods: a folder; sections are merged over it."""
        config = {
            "inputs": {"docker": {"containers": docker.path} if docker else "off",
                       "kubernetes": {"pods": pods} if pods else "off",
                       "gelf": {"udp": gelf_udp or "", "tcp": gelf_tcp or ""}},
            "enrich": {"host": "test-host"},
            "buffer": {"min_free": "1MiB"},
            "log": {"level": "debug"},
            "setup": False,
        }
        if elastic is None:
            config["output"] = {"file": {"path": os.path.join(self.folder, "out", "microservices-%{+YYYY.MM.dd}.ndjson")}}
        else:
            some = elastic if isinstance(elastic, (list, tuple)) else [elastic]
            config["output"] = {"elasticsearch": {"hosts": [e.url for e in some], "compression": "none", "batch_delay": "20ms",
                                                  "timeout": "20s", "index_window": "0"}}
        for name, section in sections.items():
            merge(config, {name: section})
        return config

    def barge(self, config, start=True, **options):
        made = Barge(self.folder if not self.barges else f"{self.folder}/barge-{len(self.barges)}", config, **options)
        self.barges.append(made)
        return made.start() if start else made

    def gelf_address(self, kind="udp"):
        import socket
        return "127.0.0.1", free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)

    def gelf_sender(self, address):
        made = GelfSender(address)
        self._others.append(made)
        return made

    def gelf_stream(self, address):
        made = GelfStream(address)
        self._others.append(made)
        return made

    def close(self):
        wrong = []
        for barge in reversed(self.barges):
            try:
                barge.close()
            except Exception as e:  # noqa: BLE001 - all of them are wanted
                wrong.append(str(e))
        for other in reversed(self._others):
            other.close()
        for elastic in self.elastics:
            elastic.stop()
            wrong += [f"the node complains: {c}" for c in elastic.complaints[:5]]
        for barge in self.barges:
            if barge.process is not None:
                barge.process.kill()
                barge.process.wait()
        assert not wrong, "\n".join(wrong)


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.close()
