"""Command lines of the control plane's parts. Data, ports and rights: all on loopback.

etcd listens on sockets in its private folder, so that nobody but the folder's owner can read it.
"""

from dataclasses import dataclass
from pathlib import Path

from penstock.local.certificates import Certificates
from penstock.local.ports import LOOPBACK

ETCD_SOCKET = "unix://etcd:0"
ETCD_PEER_SOCKET = "unix://etcd-peer:0"
ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, kw_only=True)
class ApiServerOptions:
    port: int
    certificates: Certificates
    tokens: Path
    audit_policy: Path | None
    audit_log: Path


def etcd(kube: Path) -> list[str | Path]:
    return [
        kube,
        "etcd",
        "--name=local",
        "--data-dir=etcd",
        f"--listen-client-urls={ETCD_SOCKET}",
        f"--advertise-client-urls={ETCD_SOCKET}",
        f"--listen-peer-urls={ETCD_PEER_SOCKET}",
        f"--initial-advertise-peer-urls={ETCD_PEER_SOCKET}",
        f"--initial-cluster=local={ETCD_PEER_SOCKET}",
        # A killed process loses nothing by it; a machine without power loses a throw-away cluster.
        "--unsafe-no-fsync",
        "--auto-compaction-retention=10m",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def api_server(kube: Path, options: ApiServerOptions) -> list[str | Path]:
    keys = options.certificates
    command: list[str | Path] = [
        kube,
        "kube-apiserver",
        f"--etcd-servers={ETCD_SOCKET}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={options.port}",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--tls-cert-file={keys.server}",
        f"--tls-private-key-file={keys.server_key}",
        f"--token-auth-file={options.tokens}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={keys.service_account_key}",
        f"--service-account-signing-key-file={keys.service_account_key}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    ]
    if options.audit_policy:
        command += [
            f"--audit-policy-file={options.audit_policy}",
            f"--audit-log-path={options.audit_log}",
        ]
    return command


def controller_manager(kube: Path, kubeconfig: Path, keys: Certificates) -> list[str | Path]:
    return [
        kube,
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={keys.service_account_key}",
        f"--root-ca-file={keys.authority}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        # The defaults (20 requests a second) would make a hundred rollouts wait for each other.
        "--kube-api-qps=2000",
        "--kube-api-burst=4000",
        "--concurrent-deployment-syncs=20",
        "--concurrent-replicaset-syncs=20",
    ]


def scheduler(kube: Path, configuration: Path) -> list[str | Path]:
    return [kube, "kube-scheduler", f"--config={configuration}", "--secure-port=0"]


def kwok(program: Path, kubeconfig: Path, stages: Path) -> list[str | Path]:
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes=true",
        "--cidr=10.244.0.1/16",
        # Without leases the node is found dead after 40 s, and its pods turn NotReady.
        "--node-lease-duration-seconds=40",
        "--v=WARN",
    ]
