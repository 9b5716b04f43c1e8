"""The names in an environment that people see and type."""

NAMESPACE = "flux-system"

# The services, with their ServiceAccounts.
SERVICE_ACCOUNTS = {
    "source": "source-controller",
    "kustomize": "kustomize-controller",
    "helm": "helm-controller",
    "notify": "notification-controller",
}
SERVICES = tuple(SERVICE_ACCOUNTS)

# What may be asked for by number.
PUBLIC_PORTS = ("apiserver", "nats", "artifacts", "receiver", "events")
