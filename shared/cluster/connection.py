"""How to reach an API server: address, TLS and the caller's credentials.

kubernetes_asyncio reads kubeconfig files and the in-cluster environment and refreshes what expires;
nothing else of it is used. It trusts its input (it runs exec plugins and reads files that the
configuration names), so it is for the operator's own configuration only, never for a tenant's.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from kubernetes_asyncio import config as kubernetes_config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException


class ConnectionSettingsError(Exception):
    """The kubeconfig or in-cluster configuration cannot be used; the message says why."""


@dataclass
class Connection:
    """Call `authorization` for every request: tokens expire and are renewed behind it."""

    host: str
    ssl: ssl.SSLContext | bool
    _configuration: Configuration
    _kubeconfig: Path | None

    @classmethod
    async def load(cls, kubeconfig: Path | None) -> "Connection":
        """From a kubeconfig file, or from the pod's environment when None."""
        configuration = await _load(kubeconfig)
        return cls(
            str(configuration.host).rstrip("/"), _tls(configuration), configuration, kubeconfig
        )

    async def authorization(self) -> str | None:
        """The value of the Authorization header, if these credentials use one."""
        key = await self._configuration.get_api_key_with_prefix(
            "BearerToken", alias="authorization"
        )
        return key if key is None else str(key)

    async def reload(self) -> None:
        """Read the credentials again: the server no longer accepts the ones we hold."""
        self._configuration = await _load(self._kubeconfig)


async def _load(kubeconfig: Path | None) -> Configuration:
    configuration = Configuration()
    try:
        if kubeconfig is None:
            kubernetes_config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        else:
            await kubernetes_config.load_kube_config(
                config_file=str(kubeconfig),
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError) as error:
        raise ConnectionSettingsError(
            f"no usable Kubernetes configuration in {kubeconfig or 'the pod'}: {error}"
        ) from error
    return configuration


def _tls(configuration: Configuration) -> ssl.SSLContext | bool:
    if str(configuration.host).startswith("http://"):
        return False
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Many clusters' own authorities predate the key-usage rules that OpenSSL calls strict.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
