"""A live Docker engine of its own: started by a test, stopped by it. No registry; no network of its own, but where it is set apart."""

import json
import os
import shutil
import signal
import subprocess
import tempfile

from waiting import TooLate, wait_until

DOCKER = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
DOCKERD = shutil.which("dockerd", path="/usr/sbin:/usr/bin:/sbin:/bin")
BUSYBOX = "/bin/busybox"
IMAGE = "barge-test:1"
USUAL_ROOT = "/var/lib/docker"
# In a network and mounts of its own: what it does to firewall, routes and mounts ends with it, and its data lie where every engine's do.
APART = f'ip link set lo up && mount --bind "$1" {USUAL_ROOT} && shift && exec "$@"'


class Unavailable(Exception):
    """Why no engine can run here, for a skip by name."""


def mounts_below(folder):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return [row.split()[1] for row in f if row.split()[1].startswith(folder + "/")]


def end(process):
    """SIGTERM, and kill -9 of its session where that does not do."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def remove(home):
    """An engine's folder, with the mounts that it leaves when it is killed."""
    for path in sorted(mounts_below(home), reverse=True):
        subprocess.run(["umount", path], check=False, capture_output=True)
    # Never through a mount: what lies behind it may be the host's.
    left = mounts_below(home)
    assert not left, f"still mounted, left alone: {left}"
    shutil.rmtree(home, ignore_errors=True)


class Engine:
    def __init__(self):
        if os.getuid() != 0:
            raise Unavailable("a Docker engine needs root")
        if not DOCKERD or not os.path.exists(BUSYBOX):
            raise Unavailable("docker.io or busybox-static is not installed: make deps-docker")
        self.home = tempfile.mkdtemp(prefix="barge-docker-")
        self.socket = os.path.join(self.home, "docker.sock")
        self.root = os.path.join(self.home, "data")
        self.containers = os.path.join(self.root, "containers")
        self.log_path = os.path.join(self.home, "dockerd.log")
        self.process = None
        try:
            self._start()
            self._import_image()
        except Exception:
            self.close()
            raise

    def _start(self, before=(DOCKERD, "--iptables=false", "--bridge=none"), root=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*before, "--ip6tables=false", "--storage-driver=overlay2", "--data-root", root or self.root,
                 "--exec-root", os.path.join(self.home, "exec"), "--pidfile", os.path.join(self.home, "pid"), "-H", "unix://" + self.socket],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_until(lambda: self.process.poll() is not None or self.try_docker("version").returncode == 0, 60, "dockerd", every_s=0.2)
        except TooLate as e:
            raise Unavailable(f"dockerd does not become ready: {self._last_words()}") from e
        if self.process.poll() is not None:
            raise Unavailable(f"dockerd ends with {self.process.returncode}: {self._last_words()}")

    def set_apart(self):
        """The same engine, ended and started in a network of its own (inside() gets there), where it makes bridges and publishes ports."""
        end(self.process)
        os.makedirs(USUAL_ROOT, exist_ok=True)
        self._start(("unshare", "--net", "--mount", "sh", "-c", APART, "sh", self.root, DOCKERD), USUAL_ROOT)

    def inside(self, *command, **options):
        """A command in the network of an engine that was set apart; the finished process."""
        return subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", *command], capture_output=True, text=True, check=False, **options)

    def _last_words(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read().strip().splitlines()[-1:]

    def _import_image(self):
        root = os.path.join(self.home, "image")
        os.makedirs(os.path.join(root, "bin"))
        shutil.copy(BUSYBOX, os.path.join(root, "bin", "busybox"))
        for name in ("sh", "cat", "seq", "sleep", "printf", "head", "dd", "usleep"):
            os.symlink("busybox", os.path.join(root, "bin", name))
        self.import_folder(root, IMAGE)

    def import_folder(self, folder, image):
        """An image of what lies in a folder."""
        with tempfile.TemporaryFile() as packed:
            subprocess.run(["tar", "-C", folder, "-c", "."], stdout=packed, check=True)
            packed.seek(0)
            self.import_tar(packed, image)

    def import_tar(self, packed, image):
        """An image of an open file that tar made."""
        done = subprocess.run([DOCKER, "-H", "unix://" + self.socket, "import", "-", image], stdin=packed, capture_output=True, check=False)
        if done.returncode != 0:
            raise Unavailable("docker import: " + done.stderr.decode()[-300:])

    def try_docker(self, *arguments, check=False, timeout=120, **options):
        """A docker command that may fail (check: must not); the finished process."""
        done = subprocess.run([DOCKER, "-H", "unix://" + self.socket, *arguments], capture_output=True, text=True, check=False, timeout=timeout,
                              env={**os.environ, "DOCKER_CONFIG": self.home, "DOCKER_BUILDKIT": "0"}, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def docker(self, *arguments):
        """Standard output of a docker command that must succeed."""
        return self.try_docker(*arguments, check=True).stdout.strip()

    def run(self, *command, name=None, driver="json-file", log_options=None, options=(), detach=True, image=IMAGE):
        """docker run; the container's id when detached."""
        log = [f"--log-driver={driver}"] + [f"--log-opt={k}={v}" for k, v in (log_options or {}).items()]
        return self.docker("run", *(["-d"] if detach else []), "--network=host", *(["--name", name] if name else []), *log, *options, image, *command)

    def wait(self, *names):
        """Waits until these containers have ended."""
        self.docker("wait", *names)

    def inspect(self, name):
        return json.loads(self.docker("inspect", name))[0]

    def close(self):
        if self.process is not None and self.process.poll() is None:
            running = self.try_docker("ps", "-q").stdout.split()
            if running:
                self.try_docker("kill", *running)
            end(self.process)
        remove(self.home)
