"""The helm service as its own process, without NATS."""

from pathlib import Path

from penstock.local.control_plane import ControlPlane
from penstock.local.ports import free_port
from penstock.toolchain import binary
from tests.helm.conftest import Helm
from tests.support.charts import a_chart, a_config_map
from tests.support.service_process import running_service

CHART = a_chart(templates={"greeting.yaml": a_config_map("greeting", text="hello")})


async def test_it_keeps_releases_with_nats_away_and_ends_when_asked(
    helm: Helm, control_plane: ControlPlane, tmp_path: Path
) -> None:
    environment = {
        "KUBECONFIG": str(control_plane.kubeconfig),
        "NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "PENSTOCK_ENGINE": str(binary("engine")),
    }
    async with running_service("services.helm", tmp_path, environment) as service:
        await helm.release()
        await helm.publish(CHART)
        await helm.ready()

        assert service.stop() == 0

    assert "Traceback" not in service.log.read_text()


async def test_a_killed_service_takes_up_its_work_again(
    helm: Helm, control_plane: ControlPlane, tmp_path: Path
) -> None:
    environment = {
        "KUBECONFIG": str(control_plane.kubeconfig),
        "NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "PENSTOCK_ENGINE": str(binary("engine")),
    }
    async with running_service("services.helm", tmp_path, environment) as service:
        await helm.release()
        await helm.publish(CHART)
        await helm.ready()
        service.kill()
        await helm.publish(
            a_chart(
                version="1.1.0", templates={"greeting.yaml": a_config_map("greeting", text="b")}
            ),
            version="1.1.0",
        )

        await service.start()

        await helm.ready(version=2)
