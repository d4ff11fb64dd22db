"""The registry: versions that never change, one champion at a time, and a history of all of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from hosu.cli.models import promote
from hosu.clock import SimulatedClock
from hosu.errors import (
    ChallengerRunsError,
    HistoryMovedError,
    InputError,
    ModelDamagedError,
    ModelNotFoundError,
    NotServableError,
    PromotionRefusedError,
)
from hosu.lake.lake import Lake
from hosu.models.history import row_of
from hosu.models.keeping import _first
from hosu.models.registry import PRIOR, Registry
from hosu.models.servable import SERVED
from model_cases import packed

MODEL = "day-1"
FILES = {"direction.onnx": b"\x08\x0a", "report.json": b"{}"}


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


@pytest.mark.parametrize("verdict", ["uncalibrated", "no edge"])
def test_who_promotes_what_failed_g3_past_its_gate_is_told_that_it_will_say_nothing(
    registry, tmp_path, monkeypatch, capsys, verdict
):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.delenv("HOSU_MLFLOW_URI", raising=False)
    for calibrated in (True, False):
        files = packed(model=MODEL, horizon=1, interval="day", verdict=verdict, calibrated=calibrated)
        version = registry.register(MODEL, files, {}, verdict)
        promote(MODEL, version, "I want it", lake=str(tmp_path / "lake"))
        said = capsys.readouterr().err.splitlines()
        warning = "warning: it failed G3 (calibration), and so abstains from every answer while it serves"
        assert said == [f"{MODEL}: version {version} serves", *([] if calibrated else [warning])]


@pytest.mark.parametrize("reason", ["", "  ", "\t\n"])
def test_nothing_is_promoted_without_a_reason(registry, reason):
    registry.register(MODEL, FILES, {}, "no edge")
    with pytest.raises(InputError, match="the reason to promote version 1 of day-1: is empty; say why"):
        registry.promote(MODEL, 1, reason, override=True)
    assert registry.champion(MODEL) == PRIOR


def test_the_prior_is_not_promoted_but_rolled_back_to(registry):
    registry.register(MODEL, FILES, {}, "edge")
    with pytest.raises(InputError, match="is the prior, which is not promoted; use `hosu models rollback`"):
        registry.promote(MODEL, PRIOR, "back")


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


def test_a_rollback_passes_over_whom_no_seat_could_load_and_says_why(registry, lake, tmp_path):
    for number in range(4):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
        registry.promote(MODEL, number + 1, "better")
    (tmp_path / "lake" / registry.version(MODEL, 3).card["folder"] / "a").write_bytes(b"other")
    (tmp_path / "lake" / registry.version(MODEL, 1).card["folder"] / "a").unlink()
    assert registry.rollback(MODEL, "worse") == 2
    last = registry.history(MODEL)[-1]
    assert (last.event, last.version, last.champion) == ("rolled_back", 2, 2)
    assert last.reason.startswith("worse; version 3 was passed over: ")
    assert "is not what was registered" in last.reason
    assert registry.rollback(MODEL, "worse still") == PRIOR
    assert "version 1 was passed over: " in registry.history(MODEL)[-1].reason
    registry.promote(MODEL, 2, "after all")
    assert registry.rollback(MODEL, "no") == PRIOR


def test_a_rollback_does_not_end_at_whom_it_began_from(registry, tmp_path):
    for number in range(2):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    for version in (1, 2, 1):
        registry.promote(MODEL, version, "better")
    (tmp_path / "lake" / registry.version(MODEL, 2).card["folder"] / "a").unlink()
    assert registry.rollback(MODEL, "worse") == PRIOR


def test_a_rollback_passes_over_whom_the_served_features_have_left_behind(registry, monkeypatch):
    registry.register(MODEL, {"a": b"1"}, {"feature_set": SERVED.version}, "edge")
    registry.promote(MODEL, 1, "better")
    monkeypatch.setattr("hosu.features.definitions.kernel.VERSION", 1_000)
    registry.register(MODEL, {"a": b"2"}, {"feature_set": SERVED.version}, "edge")
    registry.promote(MODEL, 2, "better")
    assert registry.rollback(MODEL, "worse") == PRIOR
    assert f"what is served is {SERVED.name}/1000, and it learned from " in registry.history(MODEL)[-1].reason


def test_one_challenger_at_a_time_that_ends_by_promotion_or_by_being_dropped(registry):
    for number in range(2):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    registry.challenge(MODEL, 1, "newest data")
    with pytest.raises(ChallengerRunsError, match=r"has version 1 as its challenger; .* `hosu models drop day-1`"):
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


def test_the_champion_is_not_promoted_again_and_does_not_challenge_itself(registry):
    registry.register(MODEL, FILES, {}, "edge")
    registry.promote(MODEL, 1, "better")
    registry.promote(MODEL, 1, "better still")
    assert [each.event for each in registry.history(MODEL)] == ["registered", "promoted"]
    with pytest.raises(InputError, match="version 1 of day-1: serves already"):
        registry.challenge(MODEL, 1, "newest data")


def test_a_version_of_another_feature_set_than_is_served_takes_no_place(registry):
    """No seat would take it: the registry would name a champion while another one serves."""
    registry.register(MODEL, FILES, {"feature_set": "spec_v1/7"}, "edge")
    registry.register(MODEL, {"a": b"1"}, {"feature_set": SERVED.version}, "edge")
    registry.register(MODEL, {"a": b"2"}, {"feature_set": f"{SERVED.name}/0"}, "signal, not tradable")
    why = f"version 1 of day-1 is not servable: what is served is {SERVED.version}, and it learned from spec_v1/7"
    with pytest.raises(NotServableError, match=why):
        registry.promote(MODEL, 1, "better")
    with pytest.raises(NotServableError, match=why):
        registry.challenge(MODEL, 1, "newest data")
    with pytest.raises(NotServableError, match=f"learned from {SERVED.name}/0"):  # by the formulas of another kernel
        registry.promote(MODEL, 3, "I want it", override=True)
    assert (registry.champion(MODEL), registry.challenger(MODEL)) == (PRIOR, None)
    registry.challenge(MODEL, 2, "newest data")
    registry.promote(MODEL, 2, "better")
    assert registry.champion(MODEL) == 2


def test_an_uncalibrated_version_challenges_as_others_do_and_may_be_promoted_past_its_gate(registry):
    registry.register(MODEL, FILES, {}, "uncalibrated")
    registry.challenge(MODEL, 1, "newest data")
    assert registry.challenger(MODEL) == 1
    with pytest.raises(PromotionRefusedError, match="its verdict is 'uncalibrated'"):
        registry.promote(MODEL, 1, "it won")
    registry.promote(MODEL, 1, "I want it", override=True)
    assert registry.champion(MODEL) == 1


# --- two at once ---------------------------------------------------------------------------------------------------


@pytest.fixture
def other(lake) -> Registry:
    """Another process that knows the same lake."""
    return Registry(Lake.open(str(lake.root).removeprefix("file://")), SimulatedClock())


def between(registry, monkeypatch, act):
    """Lets another act happen once, after ``registry`` has decided and before it commits."""
    plain, pending = registry._commit, [act]

    def commit(event):
        while pending:
            pending.pop()()
        return plain(event)

    monkeypatch.setattr(registry, "_commit", commit)


def served(registry, count):
    for number in range(count):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
        registry.promote(MODEL, number + 1, "better")


def events(registry, since=0):
    return [(each.event, each.version, each.champion) for each in registry.history(MODEL)[since:]]


def test_two_who_register_at_once_get_two_numbers(registry, other, monkeypatch):
    theirs = []
    between(registry, monkeypatch, lambda: theirs.append(other.register(MODEL, {"b": b"2"}, {}, "edge")))
    assert registry.register(MODEL, {"a": b"1"}, {}, "no edge") == 2
    assert theirs == [1]
    assert (registry.load(MODEL, 1), registry.load(MODEL, 2)) == ({"b": b"2"}, {"a": b"1"})


def test_two_who_roll_back_at_once_roll_back_once(registry, other, monkeypatch):
    served(registry, 3)
    between(registry, monkeypatch, lambda: other.rollback(MODEL, "worse"))
    with pytest.raises(HistoryMovedError, match="version 3 was to go, and version 2 serves now"):
        registry.rollback(MODEL, "worse")
    assert events(registry, 6) == [("rolled_back", 2, 2)]


def test_a_rollback_goes_on_where_what_happened_meanwhile_does_not_touch_it(registry, other, monkeypatch):
    served(registry, 2)
    between(registry, monkeypatch, lambda: other.register(MODEL, {"b": b"new"}, {}, "edge"))
    assert registry.rollback(MODEL, "worse") == 1
    assert events(registry, 4) == [("registered", 3, 2), ("rolled_back", 1, 1)]


def test_two_who_promote_the_same_at_once_promote_once(registry, other, monkeypatch):
    registry.register(MODEL, FILES, {}, "edge")
    between(registry, monkeypatch, lambda: other.promote(MODEL, 1, "theirs"))
    registry.promote(MODEL, 1, "ours")
    assert [(each.event, each.reason) for each in registry.history(MODEL)] == [
        ("registered", "trained"), ("promoted", "theirs"),
    ]  # fmt: skip


def test_two_who_challenge_at_once_do_not_drive_each_other_out(registry, other, monkeypatch):
    for number in range(2):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    between(registry, monkeypatch, lambda: other.challenge(MODEL, 2, "theirs"))
    with pytest.raises(ChallengerRunsError, match="has version 2"):
        registry.challenge(MODEL, 1, "ours")
    assert registry.challenger(MODEL) == 2


def test_a_challenge_that_began_meanwhile_is_not_ended_for_the_one_before(registry, other, monkeypatch):
    for number in range(2):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    registry.challenge(MODEL, 1, "first")

    def replace():
        other.end_challenge(MODEL, "dropped", "it lost")
        other.challenge(MODEL, 2, "second")

    between(registry, monkeypatch, replace)
    with pytest.raises(HistoryMovedError, match="the challenge of 1 was to end, and 2 runs now"):
        registry.end_challenge(MODEL, "dropped", "it lost")
    assert registry.challenger(MODEL) == 2


def test_what_was_decided_on_an_older_history_is_not_done(registry):
    served(registry, 2)
    registry.register(MODEL, FILES, {}, "edge")
    for act in (
        lambda: registry.promote(MODEL, 3, "late", seen=4),
        lambda: registry.rollback(MODEL, "late", seen=4),
        lambda: registry.challenge(MODEL, 3, "late", seen=4),
        lambda: registry.end_challenge(MODEL, "kept", "late", seen=4),
    ):
        with pytest.raises(HistoryMovedError, match="it was decided on revision 4, and 5 stands"):
            act()
    assert len(registry.history(MODEL)) == 5


def test_the_first_with_an_edge_serves_and_one_that_comes_a_moment_later_does_not_replace_it(
    registry, other, monkeypatch
):
    for number in range(2):
        registry.register(MODEL, {"a": bytes([number])}, {}, "edge")
    between(registry, monkeypatch, lambda: other.promote(MODEL, 2, "passed the gate"))
    assert _first(registry, MODEL, 1) is False
    assert registry.champion(MODEL) == 2


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_damaged_file_is_named_and_never_promoted(lake, registry, harm):
    registry.register(MODEL, FILES, {}, "edge")
    (victim,) = Path(lake.root).rglob("direction.onnx")
    harm(victim)
    with pytest.raises(ModelDamagedError, match=r"direction\.onnx"):
        registry.promote(MODEL, 1, "better")
    assert registry.champion(MODEL) == PRIOR


BROKEN = {
    "nothing": {},
    "no folder": {"files": {"a": "0"}},
    "files as a list": {"folder": "ml/models/day-1/x", "files": ["a"]},
    "a folder outside": {"folder": "../../..", "files": {"etc/passwd": "0"}},
    "a way out of the folder": {"folder": "ml/models/day-1/../../..", "files": {"a": "0"}},
    "a way out by the name": {"folder": "ml/models/day-1/x", "files": {"../../../../a": "0"}},
    "another model's": {"folder": "ml/models/day-5/x", "files": {"a": "0"}},
}


def planted(monkeypatch, registry, card):
    """A version whose card says that, as a faulty writer would leave it."""

    def row(event, at_us, schema):
        date, whole = row_of(event, at_us, schema)
        place = schema.get_field_index("card")
        return date, whole.set_column(place, schema.field(place), pa.array([card], schema.field(place).type))

    with monkeypatch.context() as writer:
        writer.setattr("hosu.models.registry.row_of", row)
        return registry.register(MODEL, FILES, {}, "edge")


@pytest.mark.parametrize("what", BROKEN)
def test_a_card_that_names_no_files_of_this_model_is_a_damaged_model(registry, monkeypatch, what):
    card = json.dumps(BROKEN[what])
    version = planted(monkeypatch, registry, card)
    for act in (lambda: registry.load(MODEL, version), lambda: registry.promote(MODEL, version, "better")):
        with pytest.raises(ModelDamagedError, match=r"version 1 of day-1 is no usable model .its card names"):
            act()
    assert registry.champion(MODEL) == PRIOR


@pytest.mark.parametrize("card", ["{broken", "[1]", "7", "null", "", "[" * 100_000])
def test_a_card_that_is_no_object_damages_its_version_alone(registry, monkeypatch, card):
    sound = registry.register(MODEL, FILES, {}, "edge")
    registry.promote(MODEL, sound, "better")
    broken = planted(monkeypatch, registry, card)
    assert [each.version for each in registry.versions(MODEL)] == [sound, broken]
    for act in (lambda: registry.load(MODEL, broken), lambda: registry.promote(MODEL, broken, "better")):
        with pytest.raises(ModelDamagedError, match=r"version 2 of day-1 is no usable model .the card is no JSON"):
            act()
    assert registry.champion(MODEL) == sound
    assert registry.load(MODEL, sound) == FILES


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
