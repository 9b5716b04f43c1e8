"""The controller of OCIRepositories."""

from services.source.means import Caches, Doors, Means, controller_of
from services.source.oci.layers import Layers
from services.source.oci.oci_repository import OCIRepositoryReconciler, OciTools
from shared.controller import Controller
from shared.resources.source import OCIRepository


def oci_controller(means: Means, caches: Caches, doors: Doors) -> Controller[OCIRepository]:
    layers = Layers(doors.registry, means.storage, means.state / "oci")
    tools = OciTools(doors.visits, doors.registry, layers, doors.signatures)
    reconciler = OCIRepositoryReconciler(means.storage, tools)
    return controller_of(means, caches.oci, OCIRepository, reconciler)
