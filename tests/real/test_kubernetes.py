"""conf/kubernetes: the manifests against the schemas of three versions of Kubernetes, what belongs together, and the chart beside them.

The schemas, helm and kubectl come from PyPI (from_pypi.py); HELM=PROGRAM takes another helm.
"""

import os
import subprocess
import sys

import pytest

import from_pypi

yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed: make deps-kubernetes")

pytestmark = pytest.mark.limit(300)

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(TOP, "conf/kubernetes")
VERSIONS = ("1.26", "1.30", "1.34")
VALIDATE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import kubernetes_validate
for document in json.load(sys.stdin):
    try:
        kubernetes_validate.validate(document, sys.argv[2], strict=True)
    except kubernetes_validate.ValidationError as e:
        print(document["kind"], e.message)
"""
# Every value of the chart, each another than its default.
OTHER_VALUES = {
    "image": "registry.example.com/barge:1", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
    "config": {"inputs": {"docker": "on"}, "enrich": {"fields": {"cluster": "c: 1"}}, "status": {"listen": "${POD_IP}:9999"}}, "secret": "es",
    "env": [{"name": "A", "value": "1"}], "dataPath": "/srv/barge", "dockerPath": "/srv/docker/containers", "port": 9999,
    "resources": {"requests": {"cpu": "1m"}, "limits": {"memory": "1Gi"}}, "priority": 5, "maxUnavailable": 1,
    "terminationGracePeriodSeconds": 60, "tolerations": [], "nodeSelector": {"kubernetes.io/os": "linux"},
}


def kustomized():
    """The documents that the kustomization names."""
    with open(os.path.join(HERE, "kustomization.yaml"), encoding="utf-8") as f:
        names = yaml.safe_load(f)["resources"]
    documents = []
    for name in names:
        with open(os.path.join(HERE, name), encoding="utf-8") as f:
            documents += yaml.safe_load_all(f)
    return documents


def of_kind(documents, kind):
    found = [d for d in documents if d["kind"] == kind]
    assert len(found) == 1, kind
    return found[0]


def fetched(fetch, *arguments):
    try:
        return fetch(*arguments)
    except from_pypi.Unavailable as e:
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def validate():
    """Checks documents against the schemas of one version, the server's own defaults not filled in, unknown members refused."""
    folder = fetched(from_pypi.schemas)

    def check(documents, version):
        import json
        return subprocess.run([sys.executable, "-B", "-c", VALIDATE, folder, version], input=json.dumps(documents), capture_output=True, text=True,
                              check=True).stdout
    return check


@pytest.fixture(scope="module")
def render():
    helm = os.environ.get("HELM") or fetched(from_pypi.tool, "helm")

    def rendered(tmp_path, values):
        path = tmp_path / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        lint = subprocess.run([helm, "lint", "--strict", os.path.join(HERE, "chart"), "-f", str(path)], capture_output=True, text=True, check=False)
        assert lint.returncode == 0, lint.stdout
        text = subprocess.run([helm, "template", "barge", os.path.join(HERE, "chart"), "--namespace", "logging", "-f", str(path)],
                              capture_output=True, text=True, check=True).stdout
        return [d for d in yaml.safe_load_all(text) if d]
    return rendered


def hold_together(documents, tmp_path):
    """What no schema knows."""
    daemons, config = of_kind(documents, "DaemonSet"), of_kind(documents, "ConfigMap")
    template = daemons["spec"]["template"]
    pod, container = template["spec"], template["spec"]["containers"][0]
    assert daemons["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert pod["serviceAccountName"] == of_kind(documents, "ServiceAccount")["metadata"]["name"]
    assert pod["priorityClassName"] == of_kind(documents, "PriorityClass")["metadata"]["name"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    assert set(volumes) == set(mounts)
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    assert {name for name, m in mounts.items() if not m.get("readOnly")} == {"data"}
    assert volumes["pods"]["hostPath"]["path"] == mounts["pods"]["mountPath"] == "/var/log/pods"
    # As little as reading takes.
    rights = container["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}
    assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"] and not rights.get("privileged")
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault" and not pod["automountServiceAccountToken"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    # The configuration holds, and listens where the probes and the scrape ask.
    text = config["data"]["barge.yaml"]
    path = tmp_path / "barge.yaml"
    path.write_text(text)
    shown = subprocess.run([os.environ["BARGE"], "config", "-c", str(path)], env={**os.environ, "POD_IP": "10.1.2.3"}, capture_output=True,
                           text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    port = container["ports"][0]["containerPort"]
    assert f"listen: 10.1.2.3:{port}" in shown.stdout
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    for probe, page in (("livenessProbe", "/health"), ("readinessProbe", "/ready")):
        assert container[probe]["httpGet"] == {"path": page, "port": container["ports"][0]["name"]}
    environment = {e["name"]: e.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") for e in container["env"]}
    assert {"NODE_NAME": "spec.nodeName", "POD_UID": "metadata.uid", "POD_IP": "status.podIP"}.items() <= environment.items()


def test_the_manifests_hold_together(tmp_path):
    documents = kustomized()
    hold_together(documents, tmp_path)
    # Every lower level of Pod Security refuses the pods: the node's folders, and the capability.
    namespace = of_kind(documents, "Namespace")["metadata"]
    assert namespace["name"] == of_kind(documents, "DaemonSet")["metadata"]["namespace"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    # The API server leaves it out where it is false, and each apply would find a difference.
    assert "globalDefault" not in of_kind(documents, "PriorityClass")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_valid(validate, version):
    documents = kustomized()
    assert validate(documents, version) == ""
    # The judge does judge.
    of_kind(documents, "DaemonSet")["spec"]["template"]["spec"]["tolerance"] = []
    assert "tolerance" in validate(documents, version)


def by_kind(documents):
    return {d["kind"]: d for d in documents}


def test_the_kustomization_makes_the_manifests():
    kubectl = fetched(from_pypi.tool, "kubectl")
    text = subprocess.run([kubectl, "kustomize", HERE], capture_output=True, text=True, check=True).stdout
    assert by_kind(yaml.safe_load_all(text)) == by_kind(kustomized())


def test_the_chart_makes_the_manifests(render, tmp_path):
    made, written = by_kind(render(tmp_path, {})), by_kind(kustomized())
    del written["Namespace"]
    # A changed configuration changes the template, too, or an upgrade would leave the old pods as they are.
    sums = [of_kind(render(tmp_path, values), "DaemonSet")["spec"]["template"]["metadata"]["annotations"].pop("checksum/config")
            for values in ({}, {"priority": 5}, {"config": {"output": {"elasticsearch": {"hosts": ["http://es:9200"]}}}})]
    assert sums[0] == sums[1] != sums[2]
    assert made["DaemonSet"]["spec"]["template"]["metadata"]["annotations"].pop("checksum/config") == sums[0]
    # Written otherwise, the configuration means the same.
    for documents in (made, written):
        text = documents["ConfigMap"]["data"]["barge.yaml"]
        documents["ConfigMap"]["data"]["barge.yaml"] = yaml.safe_load(text.replace(": off", ': "off"'))
    assert made == written


def test_the_chart_with_other_values(render, validate, tmp_path):
    with open(os.path.join(HERE, "chart/values.yaml"), encoding="utf-8") as f:
        assert set(yaml.safe_load(f)) == set(OTHER_VALUES)
    documents = render(tmp_path, OTHER_VALUES)
    hold_together(documents, tmp_path)
    for version in VERSIONS:
        assert validate(documents, version) == ""
    pod = of_kind(documents, "DaemonSet")["spec"]["template"]["spec"]
    assert "tolerations" not in pod and pod["nodeSelector"] == OTHER_VALUES["nodeSelector"]
    assert {"name": "A", "value": "1"} in pod["containers"][0]["env"]
    assert {v["hostPath"]["path"] for v in pod["volumes"] if "hostPath" in v} == {"/var/log/pods", "/srv/barge", "/srv/docker/containers"}
