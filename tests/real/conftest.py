"""The real nodes, shared by all modules of this folder. Each version has a worker of its own (xdist_group)."""

import os
import subprocess
import tempfile
import urllib.error

import pytest

import engine
import nodes
from scripted_elastic import TestAuthority

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What an operator's template says: names are keywords, numbers with a point are doubles, times have nine digits.
TEMPLATE = {
    "index_patterns": ["microservices-*"],
    "template": {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "index.mapping.total_fields.limit": 2000},
        "mappings": {
            "date_detection": False,
            "dynamic_templates": [{"words": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 1024}}}],
            "properties": {"@timestamp": {"type": "date_nanos"}, "message": {"type": "text"}},
        },
    },
}


def group_of(name):
    """What has a worker of its own. The runner form takes ports that it does not choose: one after the other."""
    return pytest.mark.xdist_group(name if nodes.VERSIONS[name][0] == "zip" else "runner")


@pytest.fixture(scope="session", params=[pytest.param(name, marks=group_of(name)) for name in nodes.wanted()])
def node(request):
    try:
        made = nodes.Node(request.param)
    except nodes.Unavailable as e:
        pytest.skip(f"{request.param}: {e}")
    try:
        made.start()
        made.request("PUT", "/_index_template/test", TEMPLATE)
        yield made
    finally:
        made.close()


@pytest.fixture
def clean(node):
    """The node without indices of an earlier test."""
    for pattern in ("microservices-*", "plain-*"):
        try:
            for index in node.request("GET", f"/{pattern}/_settings?flat_settings=true"):
                node.request("DELETE", "/" + index)
        except urllib.error.HTTPError as e:
            assert e.code == 404
    return node


@pytest.fixture(scope="session", params=[pytest.param(name, marks=pytest.mark.xdist_group(name + "-secured")) for name in nodes.wanted()
                                        if nodes.VERSIONS[name][0] == "zip"] or ["none"])
def secured(request, tmp_path_factory):
    """A node over TLS, with users."""
    if request.param == "none":
        pytest.skip("none of the versions asked for has security")
    authority = TestAuthority(tmp_path_factory.mktemp("tls"))
    try:
        made = nodes.Node(request.param, security=authority)
    except nodes.Unavailable as e:
        pytest.skip(f"{request.param}: {e}")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def debian_engine():
    """A live Docker engine that has an image of a Debian, by the name that it has at its makers'."""
    packed = os.environ.get("BARGE_DEBIAN")
    if not packed:
        pytest.skip("BARGE_DEBIAN names no tar of a Debian: make test-hosts makes one")
    try:
        made = engine.Engine()
    except engine.Unavailable as e:
        pytest.skip(str(e))
    try:
        with open(packed, "rb") as f:
            made.import_tar(f, "debian:bookworm-slim")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def image_build(debian_engine):
    """`make image` with this engine, still at work, its output in a file."""
    with tempfile.TemporaryFile("w+") as said:
        build = subprocess.Popen(["make", "-s", "image", f"DOCKER={engine.DOCKER} -H unix://{debian_engine.socket}",
                                  "IMAGE_ARGS=--network=host --build-arg OPT=-O0"], cwd=TOP, stdout=said, stderr=said,
                                 env={**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": debian_engine.home, "MAKEFLAGS": ""})
        yield build, said
        build.terminate()
        build.wait()


@pytest.fixture(scope="session")
def image_meanwhile(request):
    """Begins to build the image beside tests that wait for the most part, when it will be wanted."""
    if any("image_build" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("image_build")
