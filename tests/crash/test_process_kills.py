"""The real program is killed at every named place, and at random ones, and everything it had promised is there."""

from pathlib import Path

import pytest
from crash_process import Round, kills

from hosu.failpoints import POINTS

pytestmark = pytest.mark.slow

SEED = 20260915
ROUNDS = 4
KILLS = 10


def planned(number: int) -> list:
    """The kills of one round: each begins with a new lake and a kill among its first records."""
    return [*kills(SEED + number, 2), *kills(SEED, 2 + ROUNDS * (KILLS - 2))[2 + number * (KILLS - 2) :][: KILLS - 2]]


def test_every_place_is_among_the_kills():
    assert {kill.place for number in range(ROUNDS) for kill in planned(number)} >= set(POINTS)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_durable_is_lost_however_the_program_dies(tmp_path: Path, number: int):
    done = Round(tmp_path, SEED + number, lambda kill: print(f"seed {SEED}, round {number}: {kill}"))
    done.run(planned(number))  # raises at the first record that is lost or there twice
    assert done.reported > 0
