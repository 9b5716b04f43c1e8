"""What an apply is told: for whom, how far it may go, and what operators decided for all."""

from dataclasses import dataclass

from shared.cluster.client import Cluster
from shared.cluster.ignoring import NO_RULES, IgnoreRules
from shared.resources.meta import NamespacedName


@dataclass(frozen=True)
class Mandate:
    """For whom objects are applied, as whom, and how far this may go.

    `atomic`: when one object of a stage would be refused, none of it is written. `heeds_live`: the
    control keys of live objects count also where these are nobody's yet, which costs a look.
    """

    owner: NamespacedName
    cluster: Cluster
    force: bool = False
    atomic: bool = False
    heeds_live: bool = False
    ignoring: IgnoreRules = NO_RULES
    has_new_kinds: bool = False


@dataclass(frozen=True)
class ApplyPolicy:
    """`early_kinds` are applied before the rest, as `group/Kind`; what `overridden` managers own of
    our objects is taken over."""

    early_kinds: frozenset[str] = frozenset()
    overridden: frozenset[str] = frozenset()


USUAL = ApplyPolicy()
