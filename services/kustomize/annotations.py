"""What can be asked of Penstock on a Kustomization beyond Flux's API; Flux ignores all of these."""

from typing import Final

PRUNE_ALL: Final = "penstock.dev/prune-all"  # "enabled": also when a build has become empty
