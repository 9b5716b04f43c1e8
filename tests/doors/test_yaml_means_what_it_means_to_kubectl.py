"""The table was made by running `sigs.k8s.io/yaml` 1.6 on each text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import documents
from shared.documents import DocumentError

WORDS = [
    ("a: on", True),
    ("a: yes", True),
    ("a: y", True),
    ("a: off", False),
    ("a: N", False),
    ("a: ~", None),
    ("a: NULL", None),
    ("a:", None),
    ("a: =", "="),
    ("a: nan", "nan"),
    ("a: infinity", "infinity"),
    ("a: 'on'", "on"),
    ("a: ! 5", "5"),
    ("a: !Ref x", "x"),
    ("a: <<", "<<"),
]
NUMBERS = [
    ("a: 0644", 420),
    ("a: 0o644", 420),
    ("a: 08", 8),
    ("a: 0777e2", 77700),
    ("a: 0x1F", 31),
    ("a: -0x1_F", -31),
    ("a: 0b11", 3),
    ("a: 0b12", "0b12"),
    ("a: 1_000", 1000),
    ("a: _1", "_1"),
    ("a: 1e3", 1000),
    ("a: 12e03", 12000),
    ("a: 1234567e8", 123456700000000),
    ("a: 714e86", 7.14e88),
    ("a: 1e400", "1e400"),
    ("a: 5.", 5),
    ("a: .5_0", 0.5),
    ("a: ._5", "._5"),
    ("a: 1.0", 1),
    ("a: 18446744073709551615", 18446744073709551615),
    ("a: 18446744073709551616", 18446744073709552000),
    ("a: 1:30", "1:30"),
    ("a: 0x1p4", "0x1p4"),
    ("a: ++1", "++1"),
]
DATES_AND_TAGS = [
    ("a: 2024-01-02", "2024-01-02"),
    ("a: 2024-01-02T10:00:00Z", "2024-01-02T10:00:00Z"),
    ("a: !!str 5", "5"),
    ("a: !!int '5'", 5),
    ("a: !!float 5", 5),
    ("a: !!bool 'yes'", True),
    ("a: !!binary aGVsbG8=", "hello"),
]


@pytest.mark.parametrize(("text", "value"), WORDS + NUMBERS + DATES_AND_TAGS)
def test_a_scalar_is_what_go_reads(text: str, value: Any) -> None:
    read = documents.load(text)

    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("y: x", "true"),
        ("n: x", "false"),
        ("1: x", "1"),
        ("0x10: x", "16"),
        ("1.5: x", "1.5"),
        ("1e6: x", "1e+06"),
        ("16777217.5: x", "1.6777218e+07"),
        ("0.0001: x", "0.0001"),
        ("31e231: x", ".inf"),
        ("3e-97: x", "0"),
        ("2024-01-02: x", "2024-01-02"),
        ("!!str 1: x", "1"),
    ],
)
def test_a_key_is_the_string_that_go_makes_of_it(text: str, key: str) -> None:
    assert documents.load(text) == {key: "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\na: 2", {"a": 2}),
        ("c: {<<: {a: 1}, b: 2}", {"c": {"a": 1, "b": 2}}),
        ("<<: {a: 1}\na: 9", {"a": 9}),
        ("a: 9\n<<: {a: 1}", {"a": 1}),
        ("<<: [{a: 1}, {a: 2, b: 3}]", {"a": 1, "b": 3}),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("x: &x {b: [1]}\nz: *x", {"x": {"b": [1]}, "z": {"b": [1]}}),
        ("&k x: 1\n*k : 2", {"x": 2}),
    ],
)
def test_merges_aliases_and_double_keys_are_resolved(text: str, value: Any) -> None:
    assert documents.load(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: b: c",
        "? [a]\n: 1",
        "~: a",
        "a: .nan",
        "a: !!int x",
        "a: !!binary 'a'",
        "a: *b",
        "a: &a [*a]",
        "a: &a 1\nb: &a [*a]",
        "c: {<<: 1}",
        "a: \x00",
        b"a: \xff\xfe",
    ],
)
def test_what_go_refuses_is_refused(text: str | bytes) -> None:
    with pytest.raises(DocumentError):
        documents.load(text)


def test_the_message_names_the_line_and_hides_the_text() -> None:
    with pytest.raises(DocumentError) as refused:
        documents.load("password: hunter2\ntoken: [hunter2\n")

    assert "line 3" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_an_edit_of_one_alias_does_not_show_at_the_other() -> None:
    read = documents.load("x: &x {b: [1]}\nz: *x")

    read["z"]["b"].append(2)

    assert read["x"] == {"b": [1]}


def test_several_documents_are_told_apart() -> None:
    assert documents.load_all("a: 1\n---\n---\n- b\n") == [{"a": 1}, None, ["b"]]
    assert documents.load("a: 1\n---\nb: 2\n") == {"a": 1}
    assert documents.load("# nothing\n") is None


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 5000, "{a: " * 5000])
def test_a_document_that_nests_too_deep_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="deeper than 200"):
        documents.load(text)


def test_a_kilobyte_of_aliases_is_not_a_gigabyte_of_objects() -> None:
    levels = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    with pytest.raises(DocumentError, match="aliases repeat"):
        documents.load("\n".join(["a0: &a0 [x]", *levels]))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not f.is_integer())
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))
    | st.sampled_from(["y", "on", "1e3", "0o17", "<<", "~", "2024-01-02", "x\n", "\n x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ay<1~:# "), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert documents.load(documents.dump(value)) == value


def test_text_of_several_lines_is_written_as_a_block() -> None:
    assert documents.dump({"a": "one\ntwo\n", "b": "y"}) == "a: |\n  one\n  two\nb: 'y'\n"
