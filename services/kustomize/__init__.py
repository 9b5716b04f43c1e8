"""Kustomization: a path of an artifact becomes applied objects. Start reading at `reconciler`."""
