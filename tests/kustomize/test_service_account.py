"""A tenant's Kustomization has the tenant's rights, and never the service's own."""

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

RBAC = "rbac.authorization.k8s.io/v1"


async def allow(world: World, *verbs: str) -> None:
    """The account `tenant` may do this with ConfigMaps of the namespace."""
    where = {"name": "tenant", "namespace": world.namespace}
    await world.cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where}, manager="tests"
    )
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": list(verbs)}]
    await world.cluster.apply(
        {"apiVersion": RBAC, "kind": "Role", "metadata": where, "rules": rules}, manager="tests"
    )
    subject = {"kind": "ServiceAccount", **where}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
    await world.cluster.apply(
        {
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": where,
            "roleRef": role,
            "subjects": [subject],
        },
        manager="tests",
    )


async def test_what_the_account_may_do_is_done(world: World) -> None:
    await allow(world, "get", "patch", "create", "delete")
    first = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace, serviceAccountName="tenant")
    await world.applied("apps", first)

    second = await world.publish({"a.yaml": config_map("a")})
    await world.applied("apps", second)

    assert await world.names_of() == {"a"}


async def test_what_it_may_not_do_is_refused_and_named(world: World) -> None:
    await allow(world, "get", "patch", "create")
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\n"
    await world.publish({"a.yaml": config_map("a"), "role.yaml": role})
    await world.create("apps", targetNamespace=world.namespace, serviceAccountName="tenant")

    ready = await world.ready_is("apps", "ReconciliationFailed")

    user = f"system:serviceaccount:{world.namespace}:tenant"
    assert ready["message"].startswith("ClusterRole/all: ")
    assert user in ready["message"]
    assert await world.cluster.read(ObjectRef(RBAC, "ClusterRole", "", "all")) is None


async def test_what_it_may_not_delete_stays_on_record(world: World) -> None:
    await allow(world, "get", "patch", "create")
    first = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace, serviceAccountName="tenant")
    await world.applied("apps", first)

    second = await world.publish({"a.yaml": config_map("a")})
    ready = await world.ready_is("apps", "PruneFailed")

    assert ready["message"].startswith(f"ConfigMap/{world.namespace}/b: ")
    ids = {entry["id"] for entry in (await world.status("apps"))["inventory"]["entries"]}
    assert f"{world.namespace}_b__ConfigMap" in ids
    await allow(world, "get", "patch", "create", "delete")
    await world.change("apps", retryInterval="1s")
    await world.applied("apps", second)
    assert await world.names_of() == {"a"}


async def test_an_account_that_does_not_exist_may_do_nothing(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace, serviceAccountName="nobody")

    await world.ready_is("apps", "ReconciliationFailed")

    assert await world.names_of() == set()


async def test_without_its_account_its_objects_are_left_behind_and_told(world: World) -> None:
    await allow(world, "get", "patch", "create", "delete")
    revision = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace, serviceAccountName="tenant")
    await world.applied("apps", revision)
    await world.cluster.delete(ObjectRef("v1", "ServiceAccount", world.namespace, "tenant"))

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == {"a"}
    told = await eventually(lambda: world.recorder.of("apps", "PruneFailed"))
    assert told == [f"unable to prune objects: ConfigMap/{world.namespace}/a"]
