import pytest

from shared.settings import Address, SettingError, load


def test_without_an_environment_no_gate_is_open_and_no_algorithm_named() -> None:
    settings = load({})

    assert settings.open_gates == frozenset()
    assert settings.ssh_kex_algos == settings.ssh_hostkey_algos == ()


def test_gates_are_opened_by_name() -> None:
    settings = load({"FEATURE_GATES": "One=true, Two=false,Three=TRUE,"})

    assert settings.open_gates == {"One", "Three"}
    assert settings.feature_gates["Two"] is False


@pytest.mark.parametrize("text", ["One", "One=yes", "=true", "One=true;Two=true"])
def test_a_gate_that_is_neither_open_nor_shut_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="write Name=true or Name=false"):
        load({"FEATURE_GATES": text})


def test_algorithms_are_a_list_in_order() -> None:
    settings = load({"SSH_KEX_ALGOS": "b,a", "SSH_HOSTKEY_ALGOS": "ssh-ed25519"})

    assert settings.ssh_kex_algos == ("b", "a")
    assert settings.ssh_hostkey_algos == ("ssh-ed25519",)


def test_addresses_are_hosts_with_ports() -> None:
    assert load({"METRICS_ADDR": "127.0.0.1:80"}).metrics_addr == Address("127.0.0.1", 80)
    with pytest.raises(SettingError, match="write host:port"):
        load({"METRICS_ADDR": "nonsense"})


def test_kinds_of_a_stage_of_their_own_are_groups_with_kinds() -> None:
    settings = load({"CUSTOM_APPLY_STAGE_KINDS": "batch/Job, /ConfigMap"})

    assert settings.custom_apply_stage_kinds == ("batch/Job", "/ConfigMap")
    for wrong in ("Job", "batch/v1/Job", "batch/"):
        with pytest.raises(SettingError, match="write group/Kind"):
            load({"CUSTOM_APPLY_STAGE_KINDS": wrong})
