"""CEL expressions mean what they mean to Flux's users, and cost a bounded moment."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.cel import Expressions, InvalidExpression
from shared.engine_messages import Answered, Question
from tests.support.processes import children

OBJECT = {
    "metadata": {"name": "web", "generation": 3, "labels": {"app/version": "v1.2.3"}},
    "spec": {"replicas": 4, "ratio": 0.5},
    "status": {
        "observedGeneration": 3,
        "readyReplicas": 3,
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Stalled", "status": "False"},
        ],
    },
}
TRUE = [
    "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')",
    "status.conditions.exists(e, e.type == 'Ready' && e.status == 'True')",
    "metadata.generation == status.observedGeneration",
    "has(status.observedGeneration) && !has(status.phase)",
    "spec.replicas % 3 == 1 && spec.ratio < 1",
    "spec.replicas > 3.5",
    "metadata.labels['app/version'].split('.').size() == 3",
    "metadata.labels['app/version'].replace('v', '').startsWith('1.2')",
    "metadata.labels[?'nobody'].orValue('none') == 'none'",
    "status.?phase.hasValue() == false",
    "sets.contains(['a', 'b'], ['a'])",
    "base64.decode(base64.encode(b'hello')) == b'hello'",
    "metadata.name.matches('^w.b$')",
    "['a', 'b'].join('-') == 'a-b'",
    "'%s has %d of %.1f'.format([metadata.name, 3, 0.25]) == 'web has 3 of 0.2'",
    "timestamp('2026-01-01T00:00:00Z').getHours() == 0",
    "duration('90s') > duration('1m')",
    "string(spec.replicas) == '4' && int('4') == spec.replicas",
    "type(spec.replicas) == int && type(spec.ratio) == double",
    "'abc'.reverse() == 'cba' && 'ABC'.lowerAscii() == 'abc' && ' a '.trim() == 'a'",
]
BOMBS = [
    ("steps", "xs.all(a, xs.all(b, xs.all(c, xs.all(d, a + b + c + d >= 0))))"),
    ("doubling", f"size({'big + big + ' * 200}big) > 0"),
    ("replace", "size(big.replace('a', big)) > 0"),
    ("replace by nothing", "size(big.replace('', 'xxxxxxxxxx')) > 0"),
    ("join", "size(xs.map(x, big).join('')) > 0"),
    ("format", f"size('{'%s' * 30}'.format([{', '.join(['big'] * 30)}])) > 0"),
    ("precision", "size('%.1000000f'.format([1.0])) > 0"),
    ("split", "xs.all(x, xs.all(y, size(big.split('')) > 0))"),
    ("many copies", "size(xs.map(x, big + big)) > 0"),
    ("sets", "sets.contains(big.split(''), big.split(''))"),
    ("pattern", "big.matches('(a|b|ab){900}c')"),
    ("patterns", "xs.all(x, big.matches('(.*a.*){9}b') == false)"),
]
BIG = {"xs": list(range(300)), "big": "a" * 200_000}


async def answered(expressions: Expressions, text: str, values: dict[str, Any]) -> Answered:
    ((answer,),) = await expressions.answers([Question(expressions=(text,), values=values)])
    return answer


@pytest.mark.parametrize("text", TRUE)
async def test_an_expression_sees_the_object_by_its_fields(
    expressions: Expressions, text: str
) -> None:
    assert await answered(expressions, text, OBJECT) == Answered(truth=True)


async def test_a_field_that_is_not_there_is_a_problem_and_no_truth(
    expressions: Expressions,
) -> None:
    answer = await answered(expressions, "status.phase == 'Ready'", OBJECT)

    assert answer == Answered(problem="no such key: phase")


async def test_what_is_neither_true_nor_false_is_a_problem(expressions: Expressions) -> None:
    answer = await answered(expressions, "metadata.name", OBJECT)

    assert answer == Answered(problem="it is a string, not true or false")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("self.metadata.name ==", "Syntax error"),
        ("other.metadata.name == 'a'", "undeclared reference to 'other'"),
        ("self.metadata.name + 1 == 'a' && size(dep)", "no matching overload"),
        ("size(self)", "it is a int, not true or false"),
        ("", "Syntax error"),
        ("self.a == " + "'" + "a" * 10_000 + "'", "longer than 10000 characters"),
        ("(" * 1000 + "true" + ")" * 1000, "recursion"),
    ],
    ids=["syntax", "variable", "overload", "type", "empty", "long", "deep"],
)
async def test_what_can_never_be_evaluated_is_named_with_its_field(
    expressions: Expressions, text: str, said: str
) -> None:
    with pytest.raises(InvalidExpression, match=said) as invalid:
        await expressions.require_valid({"spec.field": text}, ("self", "dep"))

    assert "Reconciliation failed terminally due to configuration error: spec.field: " in str(
        invalid.value
    )


@pytest.mark.parametrize("text", [text for _, text in BOMBS], ids=[name for name, _ in BOMBS])
async def test_a_bomb_is_answered_soon_and_breaks_nothing(
    expressions: Expressions, text: str
) -> None:
    await answered(expressions, "true", {"a": 1})
    before = children("engine")
    started = time.monotonic()

    answer = await answered(expressions, text, BIG)
    told = answer.problem + answer.invalid

    assert time.monotonic() - started < 5.0
    assert "set aside" not in told
    assert any(word in told for word in ("limit", "takes longer", "digits", "depth exceeded"))
    assert before == children("engine")


async def test_what_breaks_the_program_is_set_aside_and_nothing_else(
    expressions: Expressions,
) -> None:
    doubling = "".join(f".map(v{depth}, [v{depth}, v{depth}])" for depth in range(60))
    bomb = f"[1]{doubling} == [1]{doubling}"
    innocent = Question(expressions=("a == 1",), values={"a": 1})

    answers = await expressions.answers(
        [innocent, Question(expressions=(bomb,), values={"a": 1}), innocent]
    )
    started = time.monotonic()
    again = await answered(expressions, bomb, {"a": 2})

    assert answers[0] == answers[2] == (Answered(truth=True),)
    assert "set aside, it broke the program that evaluates it" in answers[1][0].problem
    assert again == answers[1][0]
    assert time.monotonic() - started < 1.0


async def test_nobody_asks_and_no_program_runs(engine_binary: Path, tmp_path: Path) -> None:
    before = len(children("engine"))
    async with Expressions.ready(engine_binary, tmp_path) as expressions:
        await expressions.require_valid({})
        assert await expressions.answers([]) == []

        assert len(children("engine")) == before


async def test_one_that_broke_it_is_asked_again_later(
    expressions: Expressions, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(expressions=("a == 1",), values={"a": 1})
    expressions._set_aside(question, "of old")
    assert "of old" in (await answered(expressions, "a == 1", {"a": 1})).problem

    monkeypatch.setattr("shared.cel.ASK_AGAIN", timedelta(seconds=-1))

    assert await answered(expressions, "a == 1", {"a": 1}) == Answered(truth=True)


async def test_many_slow_questions_are_answered_without_an_end_of_the_program(
    expressions: Expressions,
) -> None:
    slow = "xs.all(x, big.matches('(.*a.*){9}b') == false)"
    question = Question(expressions=(slow,), values=BIG)
    before = children("engine")

    answers = await expressions.answers([question] * 5)

    assert len(answers) == 5
    assert all("takes longer" in answer.problem for (answer,) in answers)
    assert children("engine") == before
