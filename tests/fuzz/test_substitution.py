"""Whatever the grammar can say means what the grammar says; whatever it cannot say ends well."""

import random
from collections.abc import Callable
from contextlib import suppress

from services.kustomize.substitution import SubstitutionError, substitute
from tests.support.fuzzing import Campaign, Mutator, campaigns, texts
from tests.support.substitution_grammar import VARIABLES, Speaker, World

CASES = texts(
    [
        "a ${a} b ${B:-x} $${a} $a $$",
        "${a:-${B:=${_c1:?d}}}",
        "${a/b\\/c/${B}}${a//b/c}${a/#a/b}${a/%c/d}",
        "${a##*.}${B%%/*}${a#[a-c]}${a%?}",
        "${a:1:2}${a: -3}${#a}${a^^}${a,}",
    ]
)
TOKENS = texts(
    ["${", "}", "$", "$$", "\\/", "/", "#", "%", ":", ":-", "^", ",", "*", "[", "]", "!"]
)


class Seeds(Mutator):
    """Each sample is the seed of a sentence."""

    def sample(self) -> bytes:
        return self.random.randbytes(8)


def means_what_it_says(seed: bytes) -> None:
    sentence = Speaker(random.Random(seed)).template()
    world = World(VARIABLES)
    meaning = sentence.meaning(world)
    names = ", ".join(f'"{name}"' for name in world.unset)
    refusal = f"variable not set (strict mode): {names}" if names else ""

    assert substitute(sentence.text, VARIABLES, strict=False) == meaning, sentence.text
    assert in_strict_mode(sentence.text) == (refusal or meaning), sentence.text


def in_strict_mode(text: str) -> str:
    """The result, or why there is none."""
    try:
        return substitute(text, VARIABLES)
    except SubstitutionError as error:
        return str(error)


def ends_well(sample: bytes) -> None:
    text = sample.decode(errors="replace")
    with suppress(ValueError):
        assert isinstance(substitute(text, VARIABLES), str)


@campaigns
def test_every_sentence_means_what_the_grammar_says(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    campaign.run(Seeds(CASES), means_what_it_says, say)


@campaigns
def test_any_text_is_substituted_or_refused_in_time(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    campaign.run(Mutator(CASES, TOKENS, longest=400), ends_well, say)
