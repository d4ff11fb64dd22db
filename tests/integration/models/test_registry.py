"""The registry: versions that never change, one champion at a time, and a history of all of it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hosu.clock import SimulatedClock
from hosu.errors import InputError, ModelDamagedError, ModelNotFoundError, PromotionRefusedError
from hosu.lake.lake import Lake
from hosu.models.registry import PRIOR, Registry

MODEL = "day-1"
FILES = {"direction.onnx": b"\x08\x0a", "report.json": b"{}"}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def registry(lake) -> Registry:
    return Registry(lake, SimulatedClock())


def test_in_the_beginning_the_prior_serves(registry):
    assert registry.champion(MODEL) == PRIOR
    assert registry.versions(MODEL) == []
    assert registry.challenger(MODEL) is None


def test_a_version_is_kept_as_it_was_registered_and_serves_nobody_yet(registry):
    assert registry.register(MODEL, FILES, {"dataset": "abc"}, "no edge") == 1
    assert registry.register(MODEL, {"a": b"1"}, {"dataset": "def"}, "edge") == 2
    assert registry.load(MODEL, 1) == FILES
    first, second = registry.versions(MODEL)
    assert (first.card["dataset"], first.verdict, first.serves) == ("abc", "no edge", False)
    assert (second.card["dataset"], second.verdict, second.serves) == ("def", "edge", False)
    assert registry.champion(MODEL) == PRIOR


def test_only_an_edge_is_promoted_and_an_override_is_recorded(registry):
    registry.register(MODEL, FILES, {}, "signal, not tradable")
    with pytest.raises(PromotionRefusedError, match="its verdict is 'signal, not tradable'"):
        registry.promote(MODEL, 1, "I want it")
    assert registry.champion(MODEL) == PRIOR
    registry.promote(MODEL, 1, "I want it", override=True)
    assert registry.champion(MODEL) == 1
    last = registry.history(MODEL)[-1]
    assert (last.event, last.version, last.reason, last.override) == ("promoted", 1, "I want it", True)


def test_an_override_where_none_is_needed_is_none(registry):
    registry.register(MODEL, FILES, {}, "edge")
    registry.promote(MODEL, 1, "gate passed", override=True)
    assert registry.history(MODEL)[-1].override is False


def test_a_rollback_goes_to_who_served_before_and_in_the_end_to_the_prior(registry):
    for number in range(3):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
        registry.promote(MODEL, number + 1, "better")
    assert [registry.rollback(MODEL, "worse") for _ in range(3)] == [2, 1, PRIOR]
    with pytest.raises(InputError, match="nothing to roll back"):
        registry.rollback(MODEL, "worse")
    assert [each.champion for each in registry.history(MODEL)] == [0, 1, 1, 2, 2, 3, 2, 1, 0]


def test_after_a_rollback_a_new_champion_stands_on_who_serves_then(registry):
    for number in range(3):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    registry.promote(MODEL, 1, "first")
    registry.promote(MODEL, 2, "second")
    registry.rollback(MODEL, "second was worse")
    registry.promote(MODEL, 3, "third")
    assert registry.rollback(MODEL, "third was worse") == 1


def test_one_challenger_at_a_time_that_ends_by_promotion_or_by_being_dropped(registry):
    for number in range(2):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    registry.challenge(MODEL, 1, "newest data")
    with pytest.raises(InputError, match="has version 1 as its challenger"):
        registry.challenge(MODEL, 2, "newer data")
    registry.end_challenge(MODEL, "dropped", "it lost")
    assert registry.challenger(MODEL) is None
    registry.challenge(MODEL, 2, "newer data")
    registry.promote(MODEL, 2, "it won")
    assert (registry.champion(MODEL), registry.challenger(MODEL)) == (2, None)
    assert [each.event for each in registry.history(MODEL)][2:] == ["challenger", "dropped", "challenger", "promoted"]


def test_models_have_histories_of_their_own(registry):
    registry.register("day-5", FILES, {}, "edge")
    registry.promote("day-5", 1, "better")
    assert (registry.champion("day-5"), registry.champion("day-1")) == (1, PRIOR)


def test_two_who_register_at_once_get_two_numbers(lake, registry):
    other, theirs = Registry(lake, SimulatedClock()), []
    plain = registry._append

    def interrupted(history, event):
        if not theirs:
            theirs.append(other.register(MODEL, {"b": b"2"}, {}, "edge"))
        return plain(history, event)

    registry._append = interrupted
    assert registry.register(MODEL, {"a": b"1"}, {}, "no edge") == 2
    assert theirs == [1]
    assert (registry.load(MODEL, 1), registry.load(MODEL, 2)) == ({"b": b"2"}, {"a": b"1"})


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_damaged_file_is_named_and_never_promoted(lake, registry, harm):
    registry.register(MODEL, FILES, {}, "edge")
    (victim,) = Path(lake.root).rglob("direction.onnx")
    harm(victim)
    with pytest.raises(ModelDamagedError, match=r"direction\.onnx"):
        registry.promote(MODEL, 1, "better")
    assert registry.champion(MODEL) == PRIOR


def test_an_alias_to_nothing_and_an_unknown_model_are_refused(registry):
    with pytest.raises(ModelNotFoundError, match="no version 7, none is registered yet"):
        registry.promote(MODEL, 7, "why not")
    registry.register(MODEL, FILES, {}, "edge")
    with pytest.raises(ModelNotFoundError, match="no version 7, there are 1"):
        registry.load(MODEL, 7)
    with pytest.raises(InputError, match="choose one of day-1, day-5"):
        registry.champion("day-9")


def test_several_who_register_at_once_have_a_number_each(lake, tmp_path):
    def register(number):
        own = Registry(Lake.open(str(tmp_path / "lake")), SimulatedClock())
        return own.register(MODEL, {"a": bytes([number])}, {}, "edge")

    Registry(lake, SimulatedClock()).register(MODEL, FILES, {}, "edge")
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(register, range(4)))
    assert sorted(numbers) == [2, 3, 4, 5]
    assert [each.version for each in Registry(lake, SimulatedClock()).versions(MODEL)] == [1, 2, 3, 4, 5]
