"""Fields of a Kustomization that this version does not act on."""

from shared.resources.kustomize import Kustomization
from shared.unserved import UnsupportedField, refuse_unserved

_FIELDS = {
    "decryption": "decryption of SOPS files",
    "kubeConfig": "applying to another cluster",
    "healthCheckExprs": "checking health with CEL",
    "ignore": "ignoring drift of single fields",
}


def refuse_what_is_not_served(kustomization: Kustomization) -> None:
    refuse_unserved(kustomization, _FIELDS)
    for place, dependency in enumerate(kustomization.spec.depends_on):
        if dependency.ready_expr:
            raise UnsupportedField(
                f"spec.dependsOn[{place}].readyExpr: checking dependencies with CEL is not served "
                f"by this version of Penstock; remove the field to have readiness checked instead"
            )
