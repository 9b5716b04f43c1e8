"""Atomic unless asked to converge, by an annotation that counts as soon as it is written."""

import yaml
from aiohttp import web

from services.kustomize.policy import Policy
from shared.cluster.mandate import ApplyPolicy
from shared.cluster.objects import Manifest
from shared.engine import Engine
from shared.settings import load
from tests.kustomize.conftest import KUSTOMIZE, World, config_map, deployment, serving, tidy
from tests.support.eventually import eventually

APPLY = "penstock.dev/apply"


async def annotate(world: World, name: str, **annotations: str | None) -> None:
    ref = world.ref(name, "Kustomization", KUSTOMIZE)
    await world.cluster.merge_patch(
        ref, {"metadata": {"annotations": annotations}}, manager="tests"
    )


def service(name: str, port: int) -> str:
    spec = {"ports": [{"port": port}]}
    kind = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    return yaml.safe_dump(kind | {"spec": spec})


async def test_nothing_of_a_commit_is_applied_until_it_is_asked_to_converge(world: World) -> None:
    await world.publish({"a.yaml": config_map("a"), "b.yaml": service("b", 0)})
    await world.create("apps", targetNamespace=world.namespace)
    await world.ready_is("apps", "ReconciliationFailed")
    assert await world.names_of() == set()

    await annotate(world, "apps", **{APPLY: "converge"})

    await eventually(world.names_of, lambda names: names == {"a"})
    ready = await world.condition("apps")
    assert ready["message"].startswith(f"Service/{world.namespace}/b: ")


async def test_an_upgrade_with_a_bad_object_leaves_what_runs_as_it_is(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a", key="1"), "b.yaml": service("b", 80)})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    bad = {"a.yaml": config_map("a", key="2"), "b.yaml": service("b", 0)}
    await world.publish(bad | {"c.yaml": deployment("c", replicas=-1)})
    ready = await world.ready_is("apps", "ReconciliationFailed")

    refused = [line.partition(": ")[0] for line in ready["message"].splitlines()]
    assert refused == [f"Service/{world.namespace}/b", f"Deployment/{world.namespace}/c"]
    assert (await world.read("a"))["data"] == {"key": "1"}

    third = await world.publish({"a.yaml": config_map("a", key="2"), "b.yaml": service("b", 81)})
    await world.applied("apps", third)
    assert (await world.read("a"))["data"] == {"key": "2"}


async def test_a_word_that_says_neither_stalls_until_it_does(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    await annotate(world, "apps", **{APPLY: "sometimes"})
    ready = await world.ready_is("apps", "InvalidSpec")
    assert f"metadata.annotations[{APPLY}]: 'sometimes' is neither atomic" in ready["message"]

    await annotate(world, "apps", **{APPLY: None})
    await world.ready_is("apps", "ReconciliationSucceeded", "True")


async def test_a_server_that_knows_no_dry_run_is_not_held_against_the_object(
    world: World,
) -> None:
    path = f"PATCH /api/v1/namespaces/{world.namespace}/configmaps/a?"

    def rule(request: web.Request) -> web.Response | None:
        line = f"{request.method} {request.path_qs}"
        if not (line.startswith(path) and "dryRun=All" in line):
            return None
        message = 'admission webhook "old.example" does not support dry run'
        body = {"kind": "Status", "code": 400, "message": message, "reason": "BadRequest"}
        return web.json_response(body, status=400)

    world.gate.rules.append(rule)
    revision = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})

    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    assert await world.names_of() == {"a", "b"}


async def test_a_refusal_that_no_rehearsal_foretold_ends_the_apply_there(world: World) -> None:
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/a"

    def rule(request: web.Request) -> web.Response | None:
        if request.method != "PATCH" or request.path != path:
            return None
        unknown = "dryRun" in request.query
        message = "the dryRun feature is disabled" if unknown else "not in this shop"
        return web.json_response({"message": message}, status=400 if unknown else 422)

    world.gate.rules.append(rule)
    await world.publish({"a.yaml": config_map("a"), "web.yaml": deployment("web")})
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert ready["message"] == f"ConfigMap/{world.namespace}/a: not in this shop"
    assert await world.names_of("Deployment", "apps/v1") == set()


def _crd(group: str, plural: str) -> Manifest:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Basket", "plural": plural, "singular": plural[:-1]},
            "versions": [version],
        },
    }


async def test_a_definition_that_is_not_accepted_fails_the_apply_and_holds_the_rest(
    world: World,
) -> None:
    group = f"{world.namespace}.example"
    first = await world.publish({"crd.yaml": yaml.safe_dump(_crd(group, "baskets"))})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    both = [_crd(group, "baskets"), _crd(group, "hampers")]  # of one kind: the second is refused
    await world.publish({"crd.yaml": yaml.safe_dump_all(both), "a.yaml": config_map("a")})
    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert f"CustomResourceDefinition/hampers.{group}" in ready["message"]
    told = "\n".join(world.recorder.of("apps", "Progressing"))
    assert f"CustomResourceDefinition/hampers.{group} created" in told
    await world.change("apps", retryInterval="1s")  # the gate stands in the next run, too
    before = len(world.gate.seen)
    await eventually(
        lambda: [each for each in world.gate.seen[before:] if f"hampers.{group}?" in each],
        lambda again: len(again) >= 2,
    )
    assert await world.names_of() == set()


async def test_operators_name_managers_to_take_over_from_and_kinds_that_come_first(
    idle_world: World, engine: Engine
) -> None:
    world = idle_world
    taken = yaml.safe_load(config_map("a", key="0", leftover="1"))
    taken["metadata"]["namespace"] = world.namespace
    await world.cluster.apply(taken, manager="old-deployer")
    revision = await world.publish({"a.yaml": config_map("a", key="1"), "b.yaml": deployment("b")})
    policy = Policy.of(
        load({"OVERRIDE_MANAGER": "old-deployer", "CUSTOM_APPLY_STAGE_KINDS": "apps/Deployment"})
    )
    assert policy.apply == ApplyPolicy(
        early_kinds=frozenset({"apps/Deployment"}), overridden=frozenset({"old-deployer"})
    )

    async with serving(world, engine, apply=policy.apply):
        await world.create("apps", targetNamespace=world.namespace)
        await world.applied("apps", revision)
        assert (await world.read("a"))["data"] == {"key": "1"}
        writes = [line for line in world.gate.seen if line.startswith("PATCH /api")]
        applied = [line for line in writes if "fieldManager=kustomize-controller" in line]
        assert "/deployments/b" in applied[0]
        assert "/configmaps/a" in applied[1]
        await tidy(world)


async def test_accounts_and_configuration_are_there_before_what_runs_by_them(
    world: World,
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    objects = [yaml.safe_dump(account), config_map("settings"), deployment("web")]
    revision = await world.publish({"all.yaml": "---\n".join(objects)})
    core = f"PATCH /api/v1/namespaces/{world.namespace}"
    # What comes next would overtake these while they are tried again.
    left = dict.fromkeys((f"{core}/serviceaccounts/robot", f"{core}/configmaps/settings"), 2)

    def late(request: web.Request) -> web.Response | None:
        line = f"{request.method} {request.path}"
        if "dryRun" in request.query or not left.get(line):
            return None
        left[line] -= 1
        return web.json_response({"message": "later"}, status=503)

    world.gate.rules.append(late)

    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    real = [line for line in world.gate.seen if "/api" in line and "dryRun" not in line]
    last = {
        name: max(i for i, line in enumerate(real) if line.startswith("PATCH") and name in line)
        for name in ("serviceaccounts/robot", "configmaps/settings", "deployments/web")
    }
    assert list(last.values()) == sorted(last.values())


async def test_a_role_and_who_has_it_come_in_one_commit_of_a_tenant(world: World) -> None:
    group = "rbac.authorization.k8s.io"
    rights = [
        {"apiGroups": [group], "resources": ["roles", "rolebindings"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
    ]
    account = {"kind": "ServiceAccount", "name": "tenant", "namespace": world.namespace}

    def role(name: str, rules: list[Manifest]) -> Manifest:
        metadata = {"name": name, "namespace": world.namespace}
        return {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules}

    def binding(name: str) -> Manifest:
        return {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": world.namespace},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [account],
        }

    for given in (role("tenant", rights), binding("tenant")):
        await world.cluster.apply(given, manager="tests")
    wanted = [binding("reader"), role("reader", [rights[1] | {"verbs": ["get"]}])]
    revision = await world.publish({"rbac.yaml": yaml.safe_dump_all(wanted)})

    await world.create("apps", serviceAccountName="tenant")

    await world.applied("apps", revision)
    assert world.recorder.of("apps", "ReconciliationFailed") == []


async def test_after_a_restart_what_was_accepted_is_not_rehearsed_again(
    idle_world: World, engine: Engine
) -> None:
    world = idle_world
    revision = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    async with serving(world, engine):
        await world.create("apps", targetNamespace=world.namespace)
        await world.applied("apps", revision)
    before = len(world.gate.seen)

    async with serving(world, engine):
        path = f"PATCH /api/v1/namespaces/{world.namespace}/configmaps/"
        again = await eventually(
            lambda: [line for line in world.gate.seen[before:] if line.startswith(path)],
            lambda seen: len(seen) >= 2,
        )
        assert not [line for line in again if "dryRun" in line]
        await tidy(world)


async def test_another_spec_at_the_same_revision_is_all_or_nothing_again(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="1"), "b.yaml": service("b", 80)})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    ops = '[{"op": "replace", "path": "/spec/ports/0/port", "value": 0}]'
    data = '[{"op": "replace", "path": "/data/key", "value": "2"}]'

    await world.change(
        "apps",
        patches=[
            {"target": {"kind": "Service"}, "patch": ops},
            {"target": {"kind": "ConfigMap"}, "patch": data},
        ],
    )

    await world.ready_is("apps", "ReconciliationFailed")
    assert (await world.read("a"))["data"] == {"key": "1"}
