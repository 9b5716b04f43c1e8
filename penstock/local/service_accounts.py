"""Tokens of ServiceAccounts for processes outside of a pod, renewed as a kubelet would."""

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from penstock.local.kubeconfig import write_kubeconfig
from penstock.local.parts import NAMESPACE
from penstock.local.private_files import private_folder, write_private
from shared.clock import Now, now, parse_rfc3339
from shared.cluster.client import Cluster
from shared.cluster.errors import ApiError

log = logging.getLogger(__name__)

LIFETIME = timedelta(hours=1)
LOOK_EVERY = timedelta(seconds=30)


class ServiceAccountTokens:
    """Kubeconfigs that speak for ServiceAccounts; their token files are replaced in time."""

    def __init__(self, cluster: Cluster, folder: Path, *, now: Now = now) -> None:
        self._cluster = cluster
        self._folder = private_folder(folder)
        self._now = now
        self.namespace = NAMESPACE
        self._renew_at: dict[str, datetime] = {}

    async def kubeconfig(self, account: str, cluster_entry: dict[str, Any]) -> Path:
        """A kubeconfig file for it, with a token that is good from now on."""
        await self._renew(account)
        path = self._folder / f"{account}.kubeconfig"
        return write_kubeconfig(path, cluster_entry, {"tokenFile": str(self._file(account))})

    async def keep_fresh(self) -> None:
        """Runs for ever. It asks the wall clock, which goes on while a laptop sleeps."""
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            await self.renew_due()

    async def renew_due(self) -> None:
        for account, due in list(self._renew_at.items()):
            if self._now() < due:
                continue
            try:
                await self._renew(account)
            except ApiError as error:
                log.warning("token of %s not renewed, trying again soon: %s", account, error)

    async def _renew(self, account: str) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        wanted = {"spec": {"expirationSeconds": int(LIFETIME.total_seconds())}}
        status = orjson.loads(await self._cluster.request("POST", path, wanted))["status"]
        write_private(self._file(account), status["token"])
        ends = parse_rfc3339(status["expirationTimestamp"])
        self._renew_at[account] = self._now() + (ends - self._now()) / 2

    def _file(self, account: str) -> Path:
        return self._folder / f"{account}.token"
