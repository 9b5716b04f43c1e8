"""An artifact and values become a release. Start reading at `services.helm.reconciler`."""
