"""The objects that a release's records name: what a later version, or an uninstall, lets go of."""

from collections.abc import Iterable, Sequence

from services.helm import manifests
from services.helm.manifests import Placed
from services.helm.release_secret import StoredRelease
from shared.cluster.inventory import Inventory
from shared.cluster.objects import ObjectRef, ref_of

_GOOD = frozenset({"deployed", "superseded"})


def is_good(stored: StoredRelease) -> bool:
    """It was in the cluster as a whole, once."""
    return stored.status in _GOOD


def since_last_good(versions: Sequence[StoredRelease]) -> list[StoredRelease]:
    """The newest version that was good and all after it, newest first.

    Helm looks at one version only: what a failed one made, and the next does not have, stays for
    ever.
    """
    for position, stored in enumerate(versions):
        if is_good(stored):
            return list(versions[: position + 1])
    return list(versions)


async def let_go_of(placed: Placed, versions: Iterable[StoredRelease]) -> Inventory:
    """All objects of these versions, but for those that are to be kept."""
    refs: dict[ObjectRef, None] = {}
    for stored in versions:
        what = f"{stored.body['name']}.v{stored.version}"
        for manifest in await placed.old(manifests.read(stored.manifest, what)):
            if not manifests.is_kept(manifest):
                refs.setdefault(ref_of(manifest))
    return Inventory.of(refs)
