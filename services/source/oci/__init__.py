"""OCI registries: the client that charts and signatures share, and the kind OCIRepository."""
