"""Any line of a `.sourceignore` meets any path: in bounded time, with one verdict."""

from collections.abc import Callable

from services.source.ignore import IgnoreRules
from tests.support.fuzzing import Campaign, Mutator, campaigns, texts

# A pattern, and the paths that it is held against, a line each.
CASES = texts(
    [
        "*.yaml\na.yaml\nb/c.yaml\nb/c.yml\n.yaml",
        "!/deploy/**/prod\ndeploy/prod\ndeploy/a/b/prod\na/deploy/prod\ndeploy/aprod",
        "**/a*b*c/**/d?\na/b\nx/abc/y/dz\nabc/dd\naXbYcZ",
        "[a-z][!0-9][^x]\nabc\na1c\naac\na/c",
        "vendor/\nvendor/x\na/vendor/y\nvendor\nvendors/z",
        "\\!x\\ \n!x \n!x\n x\nx/!x",
        "a/**\na/b\na/b/c\na\nb/a/c",
        "[]-]]\\]x[[:alpha:]\n]x\n-]x\n[x\n]]x[:]",
        "*a*a*a*a*a*a*a*a\naaaaaaaaaaaaaaaa\naaaaaaaaaaaaaaab\nb/aaaaaaab\naaa/aaa",
        "/**/\na/b\na\na/b/c\n/",
    ]
)
TOKENS = texts(
    [
        *("**", "**/", "/**", "*", "?", "[", "]", "[!", "[^", "[a-", "-z]", "\\", "!", "#", "\\\\"),
        *("(?:", "(?=", "(a+)+", "|", "$", "^", "{1,9}", "\\Z", "[[:space:]]", "*a" * 12, "a" * 60),
        *(
            "*/" * 12,
            "a/" * 30,
            "[" * 30,
            "**/*a" * 8,
            "&&",
            "--",
            "~~",
            "\u2028",
            "\udc80" * 0 or "é",
        ),
    ]
)


def weighed(sample: bytes) -> None:
    """The text is both `spec.ignore` and a `.sourceignore` further down."""
    lines = sample.decode(errors="replace").split("\n")
    spec, paths = "\n".join(lines[:1]), lines[1:6]
    rules = IgnoreRules({"a": spec}, spec, implied=False)
    again = IgnoreRules({"a": spec}, spec, implied=False)
    for path in paths:
        assert rules.exclude(path) is again.exclude(path)
        if not spec.strip() or spec.startswith(("#", "!")):
            assert not rules.exclude(path)


@campaigns
def test_any_pattern_has_a_verdict_on_any_path(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    campaign.run(Mutator(CASES, TOKENS, longest=200), weighed, say)


def test_no_pattern_takes_ages_on_the_longest_path() -> None:
    hostile = ["*a" * 500, "**/*a*b/" * 100, "*/" * 500 + "x", "[!b]*" * 300, "**/" * 800 + "x"]
    paths = ["a" * 255 + "/" + "a" * 255, "ab/" * 1300, "a/" * 2000, "a" * 4096]
    campaign = Campaign(len(hostile), seed=1)
    each = iter(hostile)

    class Each(Mutator):
        def sample(self) -> bytes:
            return next(each).encode()

    def target(pattern: bytes) -> None:
        rules = IgnoreRules({}, pattern.decode(), implied=False)
        for path in paths:
            rules.exclude(path)

    campaign.run(Each([]), target)
