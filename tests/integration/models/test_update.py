"""The automatic update against a real registry, on blocks of scripted signals."""

import asyncio
import datetime as dt
import re

import numpy as np
import pytest

from hosu.cli.models import drop
from hosu.clock import SimulatedClock
from hosu.errors import InputError
from hosu.lake.lake import Lake
from hosu.market.calendar import instant_us, sessions_between
from hosu.models.keeping import _taken
from hosu.models.matured import Blocks, blocks
from hosu.models.registry import PRIOR, Registry
from hosu.models.update import advance, champion_ics, enter, standing_of

MODEL = "day-1"
DAY = 86_400_000_000


@pytest.fixture
def clock():
    return SimulatedClock(start_us=1_000 * DAY)


@pytest.fixture
def registry(tmp_path, clock) -> Registry:
    return Registry(Lake.open(str(tmp_path / "lake")), clock)


def pass_days(clock, days):
    asyncio.run(clock.advance(days * 86_400))


def registered(registry, number, verdict="edge"):
    return registry.register(MODEL, {"a": bytes([number])}, {}, verdict)


def last(registry):
    return registry.history(MODEL)[-1]


def told(steps):
    return [(step.event, step.version) for step in steps]


def spans(clock, **ics):
    """Blocks one day apart, the first a day after the clock; ``v1`` is version 1's IC."""
    count = len(next(iter(ics.values())))
    t = clock.now_us() + DAY * np.arange(1, count + 1)
    return Blocks(t, t, {int(name[1:]): np.asarray(values, float) for name, values in ics.items()})


def test_without_a_history_nothing_happens(registry, clock):
    assert advance(registry, MODEL, spans(clock, v1=np.full(300, 0.1))) == []
    assert registry.history(MODEL) == []


def test_only_one_challenges_at_a_time(registry):
    for number in (1, 2):
        registered(registry, number)
    assert enter(registry, MODEL, 1, "trained")
    assert not enter(registry, MODEL, 2, "trained")
    assert registry.challenger(MODEL) == 1


def test_a_better_challenger_replaces_the_prior_and_again_changes_nothing(registry, clock):
    registered(registry, 1)
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v1=np.full(60, 0.06))
    assert advance(registry, MODEL, spans(clock, v1=np.full(19, 0.06))) == []
    pass_days(clock, 60)
    assert told(advance(registry, MODEL, settled)) == [("promoted", 1)]
    assert advance(registry, MODEL, settled) == []
    last = registry.history(MODEL)[-1]
    assert (last.champion, last.challenger) == (1, None)
    assert "it ranks better than who served: E = " in last.reason
    assert "of 40 after" in last.reason


def test_capitals_stand_in_the_history_as_plain_numbers(registry, clock):
    registered(registry, 1)
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v1=np.full(60, 0.4))
    pass_days(clock, 60)
    assert told(advance(registry, MODEL, settled)) == [("promoted", 1)]
    words = r"it ranks better than who served: E = ([\d,]+\.\d) of 40 after 20 blocks"
    said = re.fullmatch(words, last(registry).reason)
    assert said is not None
    assert float(said[1].replace(",", "")) > 1_000


def test_a_worse_challenger_is_dropped_and_one_that_shows_nothing_is_let_go(registry, clock):
    for number in (1, 2):
        registered(registry, number)
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v1=np.full(60, -0.06), v2=np.zeros(60))
    pass_days(clock, 60)
    assert told(advance(registry, MODEL, settled)) == [("dropped", 1)]
    registry.challenge(MODEL, 2, "trained")
    settled = spans(clock, v2=np.zeros(251))
    pass_days(clock, 260)
    assert told(advance(registry, MODEL, settled)) == [("kept", 2)]
    assert "of 120 after 250 blocks" in registry.history(MODEL)[-1].reason
    assert registry.champion(MODEL) == PRIOR


@pytest.mark.parametrize("known", [{}, {"v1": np.full(250, np.nan)}])
def test_a_challenger_that_never_answers_does_not_keep_the_others_out_for_ever(registry, clock, known):
    """It abstains from everything, or was never seated, so that the journal does not know it."""
    for number in (1, 2):
        registered(registry, number)
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v0=np.zeros(250), **known)
    before = Blocks(settled.t[:-1], settled.made[:-1], {version: ic[:-1] for version, ic in settled.ic.items()})
    assert advance(registry, MODEL, before) == []
    pass_days(clock, 260)
    assert told(advance(registry, MODEL, settled)) == [("kept", 1)]
    assert "it never answered: " in registry.history(MODEL)[-1].reason
    assert "250 without an answer" in registry.history(MODEL)[-1].reason
    assert enter(registry, MODEL, 2, "trained")


def test_a_challenge_that_gets_no_block_ends_after_250_sessions(tmp_path):
    """As of 41 symbols: a block has 100."""
    noon = 12 * 3_600
    first, *after = sessions_between(dt.date(2024, 3, 4), dt.date(2025, 6, 1))
    clock = SimulatedClock(start_us=instant_us(first, noon))
    registry = Registry(Lake.open(str(tmp_path / "lake")), clock)
    for number in (1, 2):
        registered(registry, number)
    assert enter(registry, MODEL, 1, "trained")
    assert not enter(registry, MODEL, 2, "trained")
    assert _taken(registry, MODEL) == "version 1 challenges since 2024-03-04; end it with `hosu models drop day-1`"

    asyncio.run(clock.advance((instant_us(after[248], noon) - clock.now_us()) / 1e6))
    assert advance(registry, MODEL, blocks(())) == []
    asyncio.run(clock.advance((instant_us(after[249], noon) - clock.now_us()) / 1e6))
    (step,) = advance(registry, MODEL, blocks(()))

    assert (step.event, step.version) == ("dropped", 1)
    assert step.reason == (
        "250 sessions have decided nothing (a block has 100 symbols or more): E = 1.0 of 40 after 0 blocks"
    )
    assert enter(registry, MODEL, 2, "trained")


def test_a_challenge_is_ended_by_hand(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.delenv("HOSU_MLFLOW_URI", raising=False)
    for number in (1, 2):
        registered(registry, number)
    with pytest.raises(InputError, match="model day-1: has no challenger; there is nothing to drop"):
        drop(MODEL, "too few symbols", str(tmp_path / "lake"))
    registry.challenge(MODEL, 1, "trained")
    drop(MODEL, "too few symbols", str(tmp_path / "lake"))
    assert capsys.readouterr().err == "day-1: version 1 does not challenge any more\n"
    ended = last(registry)
    assert (ended.event, ended.version, ended.challenger, ended.reason) == ("dropped", 1, None, "too few symbols")
    assert enter(registry, MODEL, 2, "trained")


def test_who_could_not_answer_does_not_challenge(registry):
    registry.register(MODEL, {"a": b"1"}, {"feature_set": "spec_v1/7"}, "edge")
    registered(registry, 2, "no edge")
    assert [enter(registry, MODEL, version, "trained") for version in (1, 2)] == [False, True]
    assert registry.challenger(MODEL) == 2


def test_what_counts_is_when_a_prediction_was_made_not_the_time_of_the_market_that_was_played(registry, clock):
    registered(registry, 1)
    registry.challenge(MODEL, 1, "trained")
    made = clock.now_us() + DAY * np.arange(1, 61)
    played = Blocks(made - 400 * DAY, made, {1: np.full(60, 0.06)})
    pass_days(clock, 61)
    assert told(advance(registry, MODEL, played)) == [("promoted", 1)]
    ended = clock.now_us()
    assert len(champion_ics(registry.history(MODEL), played)) == 0
    after = Blocks(played.t, ended + DAY * np.arange(1, 61), played.ic)
    assert len(champion_ics(registry.history(MODEL), after)) == 60


def test_blocks_predicted_before_a_challenge_began_do_not_count(registry, clock):
    registered(registry, 1)
    settled = spans(clock, v1=np.full(60, 0.06))
    pass_days(clock, 61)
    registry.challenge(MODEL, 1, "trained")
    assert advance(registry, MODEL, settled) == []
    assert standing_of(registry.history(MODEL), settled).blocks == 0


def test_a_challenger_that_did_not_pass_its_gate_is_not_promoted_however_well_it_bets(registry, clock):
    registered(registry, 1, "signal, not tradable")
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v1=np.full(60, 0.06))
    pass_days(clock, 60)
    steps = advance(registry, MODEL, settled)
    assert told(steps) == [("kept", 1)]
    assert "not promoted, since its gate said 'signal, not tradable'" in steps[0].reason
    assert registry.champion(MODEL) == PRIOR


def test_a_challenger_whose_files_are_damaged_is_dropped_and_the_champion_serves_on(registry, clock, tmp_path):
    registered(registry, 1)
    registry.challenge(MODEL, 1, "trained")
    folder = registry.version(MODEL, 1).card["folder"]
    (tmp_path / "lake" / folder / "a").write_bytes(b"other")
    settled = spans(clock, v1=np.full(60, 0.06))
    pass_days(clock, 60)
    steps = advance(registry, MODEL, settled)
    assert told(steps) == [("dropped", 1)]
    assert "is not what was registered" in steps[0].reason


@pytest.mark.slow
def test_a_signal_that_turns_a_challenger_that_wins_and_a_champion_that_is_rolled_back(registry, clock):
    """Version 1 serves with an IC of 0.03; version 2 has 0.09 and takes over; then the signal turns."""
    chance = np.random.default_rng(11)
    registered(registry, 1)
    registry.promote(MODEL, 1, "first")
    registered(registry, 2)
    registry.challenge(MODEL, 2, "trained")
    first, second = chance.normal(0.03, 0.05, 400), chance.normal(0.09, 0.05, 400)
    second[150:] = chance.normal(-0.09, 0.05, 250)
    whole, happened = spans(clock, v1=first, v2=second), {}
    for block in range(250):  # judged after every block, as on a schedule
        pass_days(clock, 1)
        ics = {version: ic[: block + 1] for version, ic in whole.ic.items()}
        seen = Blocks(whole.t[: block + 1], whole.made[: block + 1], ics)
        for step in advance(registry, MODEL, seen):
            happened[step.event, step.version] = block
        if len(happened) == 2:
            break
    promoted, rolled_back = happened["promoted", 2], happened["rolled_back", 1]
    assert 20 <= promoted < 100
    assert 150 < rolled_back < 210
    assert registry.champion(MODEL) == 1
    assert "has lost its signal: the detector reached 1,000" in registry.history(MODEL)[-1].reason
    # The one that serves again is judged by what it does from now on.
    assert len(champion_ics(registry.history(MODEL), whole)) == 400 - (rolled_back + 1)


def another_is_quicker(registry, other, settled, monkeypatch):
    """Lets another update act between the next decision and its commit; the steps it then takes."""
    plain, theirs = registry._commit, []

    def commit(event):
        if not theirs:
            theirs.extend(advance(other, MODEL, settled))
        return plain(event)

    monkeypatch.setattr(registry, "_commit", commit)
    return theirs


@pytest.mark.parametrize(("ic", "step"), [(0.06, ("promoted", 1)), (-0.06, ("dropped", 1)), (0.0, ("kept", 1))])
def test_two_updates_at_once_take_a_step_once(registry, clock, tmp_path, monkeypatch, ic, step):
    registered(registry, 1)
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v1=np.full(260, ic))
    pass_days(clock, 260)
    theirs = another_is_quicker(registry, Registry(Lake.open(str(tmp_path / "lake")), clock), settled, monkeypatch)
    assert advance(registry, MODEL, settled) == []
    assert told(theirs) == [step]
    assert [event.event for event in registry.history(MODEL)] == ["registered", "challenger", step[0]]


def test_two_updates_at_once_roll_back_to_the_one_before_and_no_further(registry, clock, tmp_path, monkeypatch):
    for number in (1, 2, 3):
        registered(registry, number)
        registry.promote(MODEL, number, "better")
    turned = np.full(120, -0.1)
    settled = spans(clock, v1=turned, v2=turned, v3=turned)
    pass_days(clock, 120)
    theirs = another_is_quicker(registry, Registry(Lake.open(str(tmp_path / "lake")), clock), settled, monkeypatch)
    assert advance(registry, MODEL, settled) == []
    assert told(theirs) == [("rolled_back", 2)]
    assert registry.champion(MODEL) == 2


def test_who_comes_second_does_not_challenge_and_does_not_fail(registry, tmp_path, clock, monkeypatch):
    for number in (1, 2):
        registered(registry, number)
    other, plain = Registry(Lake.open(str(tmp_path / "lake")), clock), registry._commit

    def commit(event):
        other.challenge(MODEL, 2, "theirs")
        return plain(event)

    monkeypatch.setattr(registry, "_commit", commit)
    assert not enter(registry, MODEL, 1, "trained")
    assert registry.challenger(MODEL) == 2


def test_a_challenger_whose_dataset_is_lost_is_dropped_with_the_reason(registry, clock):
    facts = {"tables": {}, "events": "", "view": "repaired", "definition": {"features": {"set": "gone_v9"}}}
    registry.register(MODEL, {"a": b"1"}, {"dataset": "0" * 64, "dataset_facts": facts}, "edge")
    registry.challenge(MODEL, 1, "trained")
    settled = spans(clock, v1=np.full(60, 0.06))
    pass_days(clock, 60)
    steps = advance(registry, MODEL, settled)
    assert told(steps) == [("dropped", 1)]
    assert "the dataset it learned from is not kept and cannot be made again" in steps[0].reason
