"""What counts as drift, and what does not: facts about events, without a cluster."""

from shared.cluster.applied import AppliedIndex, Drift
from shared.cluster.inventory import ObjectId
from shared.cluster.live import Author, Live
from shared.cluster.ownership import Controls
from shared.resources.meta import NamespacedName

OWNER, OTHER = NamespacedName("shop", "apps"), NamespacedName("shop", "others")
ID = ObjectId("shop", "web", "", "ConfigMap")
SENT = b"digest of what was sent"


def live(version: int, **changes: object) -> Live:
    state = Live(
        key=NamespacedName("shop", "web"),
        version=version,
        uid="1",
        owner=OWNER,
        controls=Controls(),
        fields=b"ours",
        fields_time="",
        predecessors=frozenset(),
        is_new=False,
        has_legacy=False,
        deleting=False,
        author=Author("kubectl-edit", ("data.key",)),
    )
    return state._replace(**changes)  # type: ignore[arg-type]


class Index(AppliedIndex):
    """With the object applied at version 10."""

    def __init__(self) -> None:
        self.told: list[Drift] = []
        super().__init__(self.told.append)
        self.record(ID, OWNER, SENT, live(10))

    def is_in_place(self) -> bool:
        return self.holds(ID, OWNER, SENT)


def test_status_updates_and_additions_of_others_are_no_drift() -> None:
    index = Index()

    index.seen(ID, live(11))

    assert index.told == []
    assert index.is_in_place()


def test_a_change_of_our_fields_is_drift_and_has_an_author() -> None:
    index = Index()

    index.seen(ID, live(11, fields=b"fewer"))

    (drift,) = index.told
    assert drift.owner == OWNER
    assert str(drift) == "ConfigMap/shop/web changed by kubectl-edit (data.key)"
    assert not index.is_in_place()


def test_drift_is_told_once() -> None:
    index = Index()

    index.seen(ID, live(11, fields=b"fewer"))
    index.seen(ID, live(12, fields=b"none"))

    assert len(index.told) == 1


def test_an_older_event_than_our_apply_is_no_news() -> None:
    index = Index()

    index.seen(ID, live(9, fields=b"before"))

    assert index.told == []


def test_another_owner_on_the_labels_is_drift() -> None:
    index = Index()

    index.seen(ID, live(11, owner=OTHER))

    assert len(index.told) == 1


def test_a_hand_that_applied_beside_us_is_drift() -> None:
    index = Index()

    index.seen(ID, live(11, predecessors=frozenset({"kubectl-edit"})))

    assert len(index.told) == 1


def test_a_control_key_that_came_or_went_is_looked_at() -> None:
    index = Index()

    index.seen(ID, live(11, controls=Controls(paused=True)))

    assert len(index.told) == 1


def test_an_object_on_its_way_out_is_left_until_it_is_gone() -> None:
    index = Index()
    index.seen(ID, live(11, fields=b"fewer", deleting=True))
    assert index.told == []

    index.vanished(ID, live(12, deleting=True))

    assert len(index.told) == 1
    assert not index.is_in_place()


def test_the_end_of_an_older_object_of_that_name_is_no_news() -> None:
    index = Index()

    index.vanished(ID, live(9, uid="0"))

    assert index.told == []
    assert index.is_in_place()


def test_what_we_gave_up_may_change_as_it_likes() -> None:
    index = Index()
    index.forget(ID, OWNER)

    index.seen(ID, live(11, fields=b"fewer"))
    index.vanished(ID, live(12))

    assert index.told == []


def test_what_another_has_taken_is_not_forgotten_for_him() -> None:
    index = Index()

    index.forget(ID, OTHER)

    assert index.is_in_place()


def test_our_own_apply_is_no_drift_though_its_event_comes_first() -> None:
    index = Index()

    with index.applying(ID):
        index.seen(ID, live(11, fields=b"more"))
        index.record(ID, OWNER, b"new", live(11, fields=b"more"))

    assert index.told == []
    assert index.holds(ID, OWNER, b"new")


def test_a_change_right_behind_our_apply_is_drift() -> None:
    index = Index()

    with index.applying(ID):
        index.seen(ID, live(12, fields=b"fewer"))
        index.record(ID, OWNER, SENT, live(11))

    assert len(index.told) == 1


def test_a_deletion_during_our_apply_is_drift_unless_it_was_remade() -> None:
    index = Index()
    with index.applying(ID):
        index.vanished(ID, live(11))
        index.record(ID, OWNER, SENT, live(12, uid="2"))
    assert index.told == []

    with index.applying(ID):
        index.record(ID, OWNER, SENT, live(13, uid="2"))
        index.vanished(ID, live(14, uid="2"))

    assert len(index.told) == 1


def test_an_object_of_another_owner_is_not_in_place_for_us() -> None:
    assert not Index().holds(ID, OTHER, SENT)
    assert not Index().holds(ID, OWNER, b"another form")
