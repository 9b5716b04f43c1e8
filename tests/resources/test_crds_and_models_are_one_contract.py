"""What the API server accepts is what the services decode: fields, types, defaults, needs."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from shared.resources.meta import NoStatus
from shared.resources.registry import KINDS, AnyResource
from tests.support.crds import definition_of, definitions, schema_of, version_of

SCALARS: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.IntType: "integer",
    inspect.BoolType: "boolean",
}
ABSENT: tuple[Any, ...] = (None, (), {}, False, 0)
Schema = dict[str, Any]


def differences(schema: Schema, model: inspect.Type, path: str) -> Iterator[str]:
    """Between a part of a schema and the type that decodes it."""
    model = without_none(model)
    if isinstance(model, inspect.StructType):
        yield from struct_differences(schema, model, path)
    elif isinstance(model, inspect.VarTupleType):
        yield from expect(path, "type", schema.get("type"), "array")
        yield from differences(schema.get("items", {}), model.item_type, f"{path}[]")
    elif isinstance(model, inspect.DictType):
        yield from map_differences(schema, model, path)
    else:
        yield from expect(path, "type", schema.get("type"), SCALARS[type(model)])


def struct_differences(schema: Schema, model: inspect.StructType, path: str) -> Iterator[str]:
    yield from expect(path, "type", schema.get("type"), "object")
    written, read = schema.get("properties", {}), {f.encode_name: f for f in model.fields}
    yield from expect(path, "properties", sorted(written), sorted(read))
    for name in written.keys() & read.keys():
        field, here = read[name], f"{path}.{name}"
        yield from differences(written[name], field.type, here)
        yield from default_differences(written[name], field, here)
        if not isinstance(field.type, inspect.VarTupleType):  # Model says why lists may be missing
            yield from expect(here, "required", name in schema.get("required", ()), field.required)


def map_differences(schema: Schema, model: inspect.DictType, path: str) -> Iterator[str]:
    yield from expect(path, "type", schema.get("type"), "object")
    if isinstance(model.value_type, inspect.AnyType):
        anything = schema.get("x-kubernetes-preserve-unknown-fields")
        yield from expect(path, "preserves unknown fields", anything, True)
    else:
        yield from differences(schema.get("additionalProperties", {}), model.value_type, path)


def default_differences(schema: Schema, field: inspect.Field, path: str) -> Iterator[str]:
    default = default_of(field)
    if "default" in schema:
        yield from expect(path, "default", schema["default"], msgspec.to_builtins(default))
    elif not field.required and default not in ABSENT:
        yield f"{path}: the model's default {default!r} is not in the schema"


def default_of(field: inspect.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.required else field.default


def without_none(model: inspect.Type) -> inspect.Type:
    if isinstance(model, inspect.UnionType):
        (model,) = (part for part in model.types if not isinstance(part, inspect.NoneType))
    return model


def expect(path: str, what: str, written: object, read: object) -> Iterator[str]:
    if written != read:
        yield f"{path}: {what} is {written} in the schema, {read} in the model"


def parts(kind: type[AnyResource]) -> Iterator[tuple[str, inspect.Field]]:
    """spec, and status for kinds that have one."""
    model = inspect.type_info(kind)
    assert isinstance(model, inspect.StructType)
    for field in model.fields:
        is_empty = isinstance(field.type, inspect.StructType) and field.type.cls is NoStatus
        if field.name != "metadata" and not is_empty:
            yield field.name, field


def all_differences(schema: Schema, kind: type[AnyResource]) -> list[str]:
    written, read = schema["properties"], dict(parts(kind))
    found = list(expect("", "properties", {*written} - {"apiVersion", "kind", "metadata"}, {*read}))
    for name in written.keys() & read.keys():
        found += differences(written[name], read[name].type, name)
        if name == "status":
            found += status_default_differences(written[name], read[name])
    return found


def status_default_differences(schema: Schema, field: inspect.Field) -> Iterator[str]:
    yield from expect(
        "status", "default", schema.get("default", {}), msgspec.to_builtins(field.default)
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_kind_reads_what_its_schema_lets_be_written(kind: type[AnyResource]) -> None:
    assert all_differences(schema_of(definition_of(kind.kind)), kind) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_kind_is_served_where_its_model_looks_for_it(kind: type[AnyResource]) -> None:
    crd = definition_of(kind.kind)
    group, version, plural = crd["spec"]["group"], version_of(crd)["name"], kind.plural
    assert kind.api_version == f"{group}/{version}"
    assert crd["spec"]["names"]["plural"] == plural
    assert crd["metadata"]["name"] == f"{plural}.{group}"


def test_every_definition_has_a_model() -> None:
    written = {crd["spec"]["names"]["kind"] for crd in definitions()}
    assert written == {kind.kind for kind in KINDS}


def drop_field(spec: Schema) -> None:
    del spec["properties"]["retryInterval"]


def add_field(spec: Schema) -> None:
    spec["properties"]["cascade"] = {"type": "string"}


def change_type(spec: Schema) -> None:
    spec["properties"]["wait"]["type"] = "string"


def change_nested_type(spec: Schema) -> None:
    spec["properties"]["patches"]["items"]["properties"]["patch"]["type"] = "object"


def change_map(spec: Schema) -> None:
    spec["properties"]["postBuild"]["properties"]["substitute"]["additionalProperties"] = {
        "type": "integer"
    }


def require(spec: Schema) -> None:
    spec["required"].append("path")


def require_no_longer(spec: Schema) -> None:
    spec["required"].remove("prune")


def set_default(spec: Schema) -> None:
    spec["properties"]["path"]["default"] = "./"


def change_default(spec: Schema) -> None:
    spec["properties"]["force"]["default"] = True


BREAKS = (
    drop_field,
    add_field,
    change_type,
    change_nested_type,
    change_map,
    require,
    require_no_longer,
    set_default,
    change_default,
)


@pytest.mark.parametrize("change", BREAKS, ids=lambda change: change.__name__)
def test_a_schema_that_moves_alone_is_noticed(change: Callable[[Schema], None]) -> None:
    (kustomization,) = (kind for kind in KINDS if kind.kind == "Kustomization")
    schema = schema_of(definition_of("Kustomization"))
    change(schema["properties"]["spec"])
    assert len(all_differences(schema, kustomization)) == 1
