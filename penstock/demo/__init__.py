"""`penstock demo`: a fleet in Git, a real control plane, and what happens between them."""

import asyncio
import signal
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from penstock.demo.cluster_facts import NotInTime
from penstock.demo.stage import Stage
from penstock.demo.story import FLEET, Story

__all__ = ["demo"]

NEXT = """\
export KUBECONFIG={kubeconfig}
kubectl get gitrepositories,kustomizations,helmreleases -A
kubectl -n storefront scale deployment storefront --replicas 9
kubectl -n storefront get deployment -w
flux get all -A                     # the stock CLI, where it is installed
flux reconcile kustomization storefront --with-source
git clone {fleet} && cd fleet       # change something, commit, push
penstock status --state {state}

Ctrl-C stops everything."""


async def demo(folder: Path, *, keep: bool, console: Console | None = None) -> bool:
    """Show every step; False when one of them did not come true. State lies in `folder`."""
    screen = console or Console()
    screen.print("[bold]Penstock[/bold]: from a commit to a running application, on this machine\n")
    async with Stage.standing(
        folder, say=lambda line: screen.print(f"  [dim]{line}[/dim]")
    ) as stage:
        fleet = await stage.git.repository("fleet", FLEET, writable=True)
        story = Story(stage.cluster, fleet, stage.sink, stage.webhooks)
        came_true = await _show(story, screen)
        if keep:
            await _keep(stage, fleet.url, screen)
    return came_true


async def _show(story: Story, screen: Console) -> bool:
    began = time.monotonic()
    for title, step in story.steps:
        screen.print(f"\n[bold]{title}[/bold]")
        started = time.monotonic()
        try:
            saw = await step()
        except NotInTime as error:
            screen.print(f"  [red]✗[/red] {error}", highlight=False, soft_wrap=True)
            return False
        took = time.monotonic() - started
        first, *more = saw.splitlines()
        seconds = f"[cyan]{took:.2f} s[/cyan]"
        screen.print(f"  [green]✔[/green] {first}  {seconds}", highlight=False, soft_wrap=True)
        for line in more:
            screen.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)
    screen.print(f"\nAll of it took {time.monotonic() - began:.1f} s.")
    return True


async def _keep(stage: Stage, fleet: str, screen: Console) -> None:
    text = NEXT.format(
        kubeconfig=stage.environment.record.kubeconfig,
        fleet=fleet,
        state=stage.environment.folder.path,
    )
    screen.print(Panel(text, title="It goes on running. Try next:"), highlight=False)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
