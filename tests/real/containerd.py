"""A live containerd with its CRI plugin, told by a test what a kubelet would tell it. No network, no registry."""

import hashlib
import json
import os
import subprocess
import tarfile
import tempfile

from engine import BUSYBOX, Unavailable, end, remove
from waiting import TooLate, wait_until

CONTAINERD, CTR = "/usr/bin/containerd", "/usr/bin/ctr"
IMAGE = "barge.test/busybox:1"
EXITED = 2

CONFIG = """
version = 2
root = "{home}/root"
state = "{home}/state"
[grpc]
  address = "{home}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{home}/none"
    conf_dir = "{home}/none"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/opt"
"""


# ---- Protocol Buffers, as much as the requests need: fields by number, in the order of runtime.v1's api.proto ----

def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def packed(fields):
    """{number: value}: a dict is a message, a list repeats, text and bytes and whole numbers are themselves."""
    out = b""
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                out += varint(number << 3) + varint(one)
                continue
            data = packed(one) if isinstance(one, dict) else one.encode() if isinstance(one, str) else one
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def unpacked(data):
    """{number: last value}, of lengths and whole numbers."""
    found, at = {}, 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(data):
        key = number()
        if key & 7 == 2:
            n = number()
            found[key >> 3] = data[at:at + n]
            at += n
        else:
            assert key & 7 == 0, key
            found[key >> 3] = number()
    return found


class Containerd:
    def __init__(self):
        if os.getuid() != 0:
            raise Unavailable("a containerd needs root")
        if not os.path.exists(CONTAINERD) or not os.path.exists(BUSYBOX):
            raise Unavailable("docker.io (containerd) or busybox-static is not installed: make deps-containerd")
        try:
            import grpc
        except ImportError as e:
            raise Unavailable("python3-grpcio is not installed: make deps-containerd") from e
        self.home = tempfile.mkdtemp(prefix="barge-containerd-")
        self.socket = os.path.join(self.home, "containerd.sock")
        self.process = self.channel = None
        self.sandboxes, self.containers = [], []
        try:
            self.start(TZ="America/St_Johns")  # entries are stamped in local time
            self.channel = grpc.insecure_channel("unix://" + self.socket, options=[("grpc.default_authority", "localhost")])
            try:
                wait_until(self._answers, 60, "the CRI plugin", every_s=0.2)
            except TooLate as e:
                raise Unavailable(f"containerd's CRI plugin does not answer: {self._last_words()}") from e
            self._import_image()
        except Exception:
            self.close()
            raise

    def start(self, **environment):
        path = os.path.join(self.home, "config.toml")
        with open(path, "w", encoding="ascii") as f:
            f.write(CONFIG.format(home=self.home, image=IMAGE))
        with open(os.path.join(self.home, "log"), "ab") as log:
            self.process = subprocess.Popen([CONTAINERD, "-c", path], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                            env={**os.environ, **environment})

    def _last_words(self):
        with open(os.path.join(self.home, "log"), encoding="utf-8", errors="replace") as f:
            return f.read().strip().splitlines()[-2:]

    def _answers(self):
        import grpc
        if self.process.poll() is not None:
            raise Unavailable(f"containerd ends with {self.process.returncode}: {self._last_words()}")
        try:
            return self.call("Version", {})
        except grpc.RpcError:
            return False

    def call(self, method, request):
        """One call of runtime.v1.RuntimeService; the answer's fields."""
        ask = self.channel.unary_unary("/runtime.v1.RuntimeService/" + method, request_serializer=packed, response_deserializer=unpacked)
        return ask(request, timeout=60)

    def _import_image(self):
        """busybox as an image of one layer, in the form of docker save."""
        folder = os.path.join(self.home, "image")
        os.makedirs(folder)
        with tarfile.open(os.path.join(folder, "layer.tar"), "w") as layer:
            layer.add(BUSYBOX, "bin/busybox")
            for name in ("sh", "cat", "seq", "sleep", "printf", "usleep"):
                link = tarfile.TarInfo("bin/" + name)
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                layer.addfile(link)
        with open(os.path.join(folder, "layer.tar"), "rb") as f:
            digest = "sha256:" + hashlib.sha256(f.read()).hexdigest()
        with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as f:
            json.dump({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/busybox", "sleep", "100000"]},
                       "rootfs": {"type": "layers", "diff_ids": [digest]}}, f)
        with open(os.path.join(folder, "manifest.json"), "w", encoding="ascii") as f:
            json.dump([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}], f)
        with tarfile.open(folder + ".tar", "w") as image:
            for name in ("manifest.json", "config.json", "layer.tar"):
                image.add(os.path.join(folder, name), name)
        done = subprocess.run([CTR, "-a", self.socket, "-n", "k8s.io", "images", "import", "--snapshotter", "native", folder + ".tar"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable("ctr images import: " + done.stderr[-300:])

    # -- what a kubelet asks --

    def pod(self, pod):
        """A pod's sandbox; pod: a pods_folder.Pod, whose folder gets the logs."""
        config = {1: {1: pod.name, 2: pod.uid, 3: pod.namespace}, 3: pod.path, 8: {2: {1: {1: 2, 2: 1, 3: 2}}}}
        sandbox = self.call("RunPodSandbox", {1: config})[1].decode()
        self.sandboxes.append(sandbox)
        return sandbox, config

    def run(self, sandbox, name, count, script):
        """A container's run; its id."""
        sandbox_id, sandbox_config = sandbox
        config = {1: {1: name, 2: count}, 2: {1: IMAGE}, 3: ["/bin/sh", "-c", script], 11: f"{name}/{count}.log"}
        made = self.call("CreateContainer", {1: sandbox_id, 2: config, 3: sandbox_config})[1].decode()
        self.containers.append(made)
        self.call("StartContainer", {1: made})
        return made

    def reopen(self, container):
        self.call("ReopenContainerLog", {1: container})

    def kill(self, container):
        self.call("StopContainer", {1: container})

    def has_exited(self, container):
        return unpacked(self.call("ContainerStatus", {1: container})[1]).get(3) == EXITED

    def close(self):
        import grpc
        if self.process is not None and self.process.poll() is None:
            for method, ids in [("StopPodSandbox", self.sandboxes), ("RemovePodSandbox", self.sandboxes)]:
                for one in ids:
                    try:
                        self.call(method, {1: one})
                    except grpc.RpcError:
                        pass
            if self.channel:
                self.channel.close()
            end(self.process)
        remove(self.home)
