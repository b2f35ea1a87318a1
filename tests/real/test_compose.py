"""conf/docker/compose.yaml and what it mounts, looked over without running it: names, ports, files that belong together."""

import json
import os
import re
import subprocess
import urllib.request

import pytest

from barge import free_port
from waiting import wait_until

yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed: make deps-docker")

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(TOP, "conf/docker")
# Of the compose specification, what this file makes use of.
SERVICE_KEYS = {"image", "command", "environment", "volumes", "ports", "labels", "logging", "depends_on", "read_only", "cap_drop", "cap_add",
                "ulimits", "stop_grace_period", "restart"}


@pytest.fixture(scope="module")
def house():
    with open(os.path.join(HERE, "compose.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f)


def test_the_shape(house):
    assert {k for k in house if not k.startswith("x-")} == {"name", "services", "volumes"}
    assert {"gateway", "orders", "payment", "barge", "elasticsearch", "kibana"} == set(house["services"])
    for name, service in house["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert re.fullmatch(r"[a-z0-9./-]+(:[a-z0-9.-]+)?", service["image"]), name
        assert set(service.get("depends_on", [])) <= set(house["services"]), name
        assert service["logging" if name != "barge" else "cap_drop"], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert os.path.isfile(os.path.join(HERE, source)), source
            elif not source.startswith("/"):
                assert source in house["volumes"], source


def test_what_belongs_together(house):
    services = house["services"]
    with open(os.path.join(HERE, "barge.yaml"), encoding="utf-8") as f:
        settings = yaml.safe_load(f)
    port = settings["inputs"]["gelf"]["udp"].rpartition(":")[2]
    assert f"127.0.0.1:{port}:{port}/udp" in services["barge"]["ports"]
    drivers = [s["logging"] for s in services.values()]
    assert {d["driver"] for d in drivers} == {"json-file", "gelf"}
    assert [d["options"]["gelf-address"] for d in drivers if d["driver"] == "gelf"] == [f"udp://127.0.0.1:{port}"]
    # The gateway's servers are services; the services listen where it looks for them.
    with open(os.path.join(TOP, "conf/nginx/gateway.conf"), encoding="utf-8") as f:
        gateway = f.read()
    assert set(re.findall(r"^\s*server (\w+):8080;", gateway, re.M)) == {"orders", "payment"}
    # The image says what compose relies on.
    with open(os.path.join(HERE, "Dockerfile"), encoding="utf-8") as f:
        image = f.read()
    assert "VOLUME /var/lib/barge" in image and "setcap cap_dac_read_search=p" in image
    assert services["barge"]["cap_add"] == ["DAC_READ_SEARCH"] and services["barge"]["cap_drop"] == ["ALL"]
    assert services["barge"]["environment"]["ELASTICSEARCH"] == "http://elasticsearch:9200"
    checked = subprocess.run([os.environ["BARGE"], "config", "-c", os.path.join(HERE, "barge.yaml")], capture_output=True, text=True, check=True,
                             env={**os.environ, **services["barge"]["environment"]})
    assert "hosts: [http://elasticsearch:9200]" in checked.stdout


def test_the_image_installs_what_building_needs():
    """The packages of the Dockerfile are those of the Makefile: what builds here builds there."""
    with open(os.path.join(HERE, "Dockerfile"), encoding="utf-8") as f:
        image = f.read()
    with open(os.path.join(TOP, "Makefile"), encoding="utf-8") as f:
        needed = re.search(r"^DEB_BUILD := (.*)$", f.read(), re.M).group(1).split()
    assert set(needed) <= set(image[:image.index("WORKDIR")].split())


def test_the_services_hand_the_request_id_on(tmp_path):
    ports = [free_port(), free_port()]
    logs = [tmp_path / "orders.log", tmp_path / "payment.log"]
    processes = []
    try:
        for port, log, after in zip(ports, logs, (f"http://127.0.0.1:{ports[1]}/payments/", "")):
            with open(log, "wb") as f:
                processes.append(subprocess.Popen(["/usr/bin/python3", "-u", os.path.join(HERE, "service.py")], stdout=f,
                                                  env={**os.environ, "PORT": str(port), "NEXT": after}))
        wait_until(lambda: all("listening" in log.read_text() for log in logs), 20, "the services")
        asked = urllib.request.Request(f"http://127.0.0.1:{ports[0]}/orders/1", headers={"X-Request-ID": "0123456789abcdef"})

        def answered():
            try:
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    return answer.status == 200
            except OSError:
                return False

        wait_until(answered, 20, "an answer")
        for log in logs:
            said = [json.loads(line) for line in log.read_text().splitlines()]
            assert any(r.get("request_id") == "0123456789abcdef" for r in said), log
    finally:
        for process in processes:
            process.terminate()
            process.wait()
