"""Who keeps changing an object back is answered at once, but not for ever."""

from shared.cluster.drift import BURST, PAUSE, Patience


def test_a_person_is_answered_at_once_however_often() -> None:
    patience = Patience(0.0)

    assert [patience.take(0.0) for _ in range(BURST)] == [0.0] * BURST


def test_a_fight_becomes_slow() -> None:
    patience = Patience(0.0)
    for _ in range(BURST):
        patience.take(0.0)

    assert patience.take(0.0) == PAUSE
    assert patience.take(0.0) == 2 * PAUSE


def test_patience_comes_back_with_time() -> None:
    patience = Patience(0.0)
    for _ in range(BURST):
        patience.take(0.0)

    assert not patience.is_full(PAUSE)
    assert patience.take(PAUSE) == 0.0
    assert patience.is_full(PAUSE * (BURST + 2))
