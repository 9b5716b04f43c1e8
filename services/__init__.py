"""The four controllers. They share `shared` and meet only through the cluster and NATS."""
