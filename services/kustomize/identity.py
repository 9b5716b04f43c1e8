"""As whom a Kustomization's objects are applied, checked and deleted.

`spec.serviceAccountName` names an account of the Kustomization's own namespace; then every request
of the run that touches its objects speaks as that account, and none falls back to ours.
"""

from shared.cluster.client import Cluster
from shared.cluster.objects import ObjectRef
from shared.resources.kustomize import Kustomization


def identity_of(kustomization: Kustomization, cluster: Cluster) -> Cluster:
    account = kustomization.spec.service_account_name
    if not account:
        return cluster
    return cluster.as_service_account(kustomization.metadata.namespace, account)


async def is_missing(kustomization: Kustomization, cluster: Cluster) -> bool:
    """The account is gone, and with it the right to do anything in its name."""
    account = kustomization.spec.service_account_name
    if not account:
        return False
    namespace = kustomization.metadata.namespace
    return await cluster.read(ObjectRef("v1", "ServiceAccount", namespace, account)) is None
