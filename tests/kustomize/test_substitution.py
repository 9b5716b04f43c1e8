import string
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.kustomize.glob_trim import PatternTooLong, trim_prefix
from services.kustomize.substitution import SubstitutionError, substitute
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

VARIABLES = {"var": "abc.def", "n": "3", "empty": "", "path": "a/b/c", "upper": "ABC"}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("$var", "$var"),
        ("${var}", "abc.def"),
        ("$${var}", "${var}"),
        ("a ${var} b ${n}", "a abc.def b 3"),
        ("${unset:-d}", "d"),
        ("${unset:=d}", "d"),
        ("${unset=d}", "d"),
        ("${unset:+d}", "d"),
        ("${unset:?d}", "d"),
        ("${empty:-d}", "d"),
        ("${var:-d}", "abc.def"),
        ("${var=d}", "abc.def"),
        ("${var:+d}", "abc.def"),
        ("${unset:-}", ""),
        ("${#var}", "7"),
        ("${var^}", "Abc.def"),
        ("${var^^}", "ABC.DEF"),
        ("${upper,}", "aBC"),
        ("${upper,,}", "abc"),
        ("${var:2}", "c.def"),
        ("${var:1:2}", "bc"),
        ("${var: -3}", "def"),
        ("${var:2:100}", "c.def"),
        ("${var:100}", ""),
        ("${var#*.}", "def"),
        ("${path#*/}", "b/c"),
        ("${path##*/}", "c"),
        ("${path%/*}", "a/b"),
        ("${path%%/*}", "a"),
        ("${var#a[a-c]c}", ".def"),
        ("${var%.???}", "abc"),
        ("${var#xyz}", "abc.def"),
        ("${path/\\//-}", "a-b/c"),
        ("${path//\\//-}", "a-b-c"),
        ("${var/#abc/x}", "x.def"),
        ("${var/%def/x}", "abc.x"),
        ("${var/def}", "abc."),
        ("${unset:-${var:-x}}", "abc.def"),
        ("${unset:-${other:-x}}", "x"),
        ("${var/abc/${n}}", "3.def"),
        ("no variables", "no variables"),
    ],
)
def test_expressions(expression: str, result: str) -> None:
    assert substitute(expression, VARIABLES) == result


@pytest.mark.parametrize(
    "expression",
    ["${", "${var", "${}", "${var-d}", "${var+d}", "${var?d}", "${var:x}", "${va r}", "${#}"],
)
def test_what_is_no_expression_is_an_error(expression: str) -> None:
    with pytest.raises(SubstitutionError, match="bad substitution in line 2"):
        substitute(f"first line\n{expression}", VARIABLES)


def test_a_variable_without_value_and_default_is_an_error() -> None:
    with pytest.raises(SubstitutionError, match=r'variable not set \(strict mode\): "unset"'):
        substitute("${unset}", VARIABLES)


def test_without_strictness_it_is_empty() -> None:
    assert substitute("<${unset}>", VARIABLES, strict=False) == "<>"


def test_an_empty_value_is_a_value() -> None:
    assert substitute("<${empty}>", VARIABLES) == "<>"


def test_a_value_is_not_substituted_again() -> None:
    assert substitute("${a}", {"a": "${b}", "b": "x"}) == "${b}"


def test_nesting_has_an_end() -> None:
    with pytest.raises(SubstitutionError, match="nested"):
        substitute("${a:-" * 100 + "x" + "}" * 100, {})


def test_a_bomb_of_values_is_refused() -> None:
    with pytest.raises(SubstitutionError, match="longer than"):
        substitute("${a}" * 1000, {"a": "x" * 10_000})


def test_a_pattern_of_many_stars_ends() -> None:
    assert trim_prefix("a" * 2000, "*a" * 50 + "b", longest=True) == "a" * 2000
    with pytest.raises(PatternTooLong):
        trim_prefix("a" * 1_000_000, "*a" * 50, longest=True)


_plain = st.text(string.ascii_letters + " \n:-{}#/\\.", max_size=200)
_name = st.text(string.ascii_letters + "_", min_size=1, max_size=8)


@given(_plain)
def test_text_without_a_dollar_sign_stays(text: str) -> None:
    assert substitute(text, {}) == text


@given(_plain, _name, st.text(max_size=50))
def test_a_plain_variable_becomes_its_value(text: str, name: str, value: str) -> None:
    assert substitute(text + "${" + name + "}" + text, {name: value}) == text + value + text


@given(st.text("${}:-=+?#%/^,ab\\*[]", max_size=60))
def test_any_text_gives_a_result_or_our_error(text: str) -> None:
    with suppress(SubstitutionError):
        assert isinstance(substitute(text, {"a": "1", "b": "2"}), str)


@given(_plain)
def test_escaping_every_dollar_sign_gives_the_text_back(text: str) -> None:
    with_variables = text + "${var}" + text

    assert substitute(with_variables.replace("$", "$$"), {"var": "x"}) == with_variables


async def test_values_reach_the_objects_with_their_types(world: World) -> None:
    web = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "annotations": {"version": "v${version}"}},
        "spec": {"ports": [{"port": "${port}"}]},
    }
    await _configuration(world, "ConfigMap", "settings", {"port": "80", "version": "1"})
    await _configuration(world, "Secret", "hidden", {"port": "8080"})
    revision = await world.publish({"web.yaml": yaml.safe_dump(web)})

    await world.create(
        "apps",
        targetNamespace=world.namespace,
        postBuild={
            "substitute": {"version": "2"},
            "substituteFrom": [
                {"kind": "ConfigMap", "name": "settings"},
                {"kind": "Secret", "name": "hidden"},
                {"kind": "ConfigMap", "name": "missing", "optional": True},
            ],
        },
    )
    await world.applied("apps", revision)

    applied = await world.read("web", "Service")
    assert applied["spec"]["ports"][0]["port"] == 8080
    assert applied["metadata"]["annotations"]["version"] == "v2"


async def test_a_missing_variable_fails_the_build_and_is_named(world: World) -> None:
    await world.publish({"a.yaml": config_map("a", key="${unset}")})
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substitute": {"other": "1"}}
    )

    ready = await world.ready_is("apps", "BuildFailed")

    assert ready["message"] == (
        f"post build failed for 'ConfigMap/{world.namespace}/a': "
        'variable not set (strict mode): "unset"'
    )


async def test_a_missing_configuration_fails_the_build_and_is_named(world: World) -> None:
    await world.publish({"a.yaml": config_map("a", key="${unset}")})
    reference = {"kind": "ConfigMap", "name": "missing"}
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substituteFrom": [reference]}
    )

    ready = await world.ready_is("apps", "BuildFailed")

    assert ready["message"].startswith("substitute from 'ConfigMap/missing' error: ")


async def test_an_object_that_opts_out_stays_as_it_is(world: World) -> None:
    opted = yaml.safe_load(config_map("a", key="${unset}"))
    opted["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}
    revision = await world.publish(
        {"a.yaml": yaml.safe_dump(opted), "b.yaml": config_map("b", key="${set}")}
    )
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substitute": {"set": "x"}}
    )
    await world.applied("apps", revision)

    assert (await world.read("a"))["data"]["key"] == "${unset}"
    assert (await world.read("b"))["data"]["key"] == "x"


async def test_without_variables_nothing_is_substituted(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="${unset} $$")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    assert (await world.read("a"))["data"]["key"] == "${unset} $$"


async def test_a_value_cannot_add_a_document(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="${value}")})
    value = "x\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: smuggled\n"
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substitute": {"value": value}}
    )
    await world.ready_is("apps", "BuildFailed")

    await world.change("apps", postBuild={"substitute": {"value": "x\ny"}})
    await world.applied("apps", revision)

    assert await world.names_of() == {"a"}
    assert (await world.read("a"))["data"]["key"] == "xy"


async def test_a_watched_configuration_is_followed_at_once(world: World) -> None:
    label = {"reconcile.fluxcd.io/watch": "Enabled"}
    await _configuration(world, "ConfigMap", "settings", {"value": "1"}, label)
    revision = await world.publish({"a.yaml": config_map("a", key="v${value}")})
    reference = {"kind": "ConfigMap", "name": "settings"}
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substituteFrom": [reference]}
    )
    await world.applied("apps", revision)

    await _configuration(world, "ConfigMap", "settings", {"value": "2"}, label)

    async def key() -> str:
        return str((await world.read("a"))["data"]["key"])

    await eventually(key, lambda seen: seen == "v2")


async def _configuration(
    world: World, kind: str, name: str, values: dict[str, str], labels: dict[str, str] | None = None
) -> None:
    metadata = {"name": name, "namespace": world.namespace, "labels": labels or {}}
    field = "data" if kind == "ConfigMap" else "stringData"
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": metadata, field: values}
    await world.cluster.apply(manifest, manager="tests")


async def test_a_value_of_a_secret_is_in_no_message(world: World) -> None:
    canary = "9081726354"
    await _configuration(world, "Secret", "hidden", {"value": canary})
    await world.publish({"a.yaml": config_map("a", key="${value}")})
    reference = {"kind": "Secret", "name": "hidden"}
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substituteFrom": [reference]}
    )

    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert "Value:***" in ready["message"]
    assert canary not in str(await world.status("apps"))
