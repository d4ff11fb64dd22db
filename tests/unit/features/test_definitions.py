"""What is declared about sets of features, and which can be made of what."""

import pytest

from hosu.errors import InputError
from hosu.features import book_kernel, kernel
from hosu.features.definitions import BOOK_V1, FEATURE_SETS, SPEC_V1, feature_set, sets_of


@pytest.mark.parametrize(
    ("interval", "names"),
    [
        ("day", ["spec_v1", "scale_free_v1"]),
        ("minute", ["spec_v1", "scale_free_v1"]),
        ("second", ["book_v1"]),
        ("hour", []),
    ],
)
def test_of_an_interval_there_are_these_sets(interval, names):
    assert [each.name for each in sets_of(interval)] == names


def test_a_set_has_the_version_of_the_kernel_that_makes_it(monkeypatch):
    monkeypatch.setattr(kernel, "VERSION", 7)
    monkeypatch.setattr(book_kernel, "VERSION", 9)
    assert [each.version for each in FEATURE_SETS.values()] == ["spec_v1/7", "scale_free_v1/7", "book_v1/9"]


def test_what_the_book_tells_and_from_what_is_declared():
    assert len(BOOK_V1.features) == book_kernel.OUTPUTS
    assert (BOOK_V1.source, BOOK_V1.window, BOOK_V1.dtype, BOOK_V1.owner) == ("quotes, trades", 61, "float64", "hosu")


@pytest.mark.parametrize(
    ("name", "interval", "said"),
    [
        ("book_v2", None, "does not exist; choose one of spec_v1, scale_free_v1, book_v1"),
        ("book_v1", "day", "is made of a second, not of a day; choose spec_v1, scale_free_v1"),
        ("spec_v1", "second", "is made of a day or minute, not of a second; choose book_v1"),
    ],
)
def test_a_set_that_does_not_fit_is_refused_with_those_that_do(name, interval, said):
    with pytest.raises(InputError, match=said):
        feature_set(name, interval)


def test_minutes_have_a_window_of_their_own_since_many_of_them_are_empty():
    assert [SPEC_V1.window_of(interval) for interval in ("day", "minute")] == [300, 1_000]
    assert BOOK_V1.window_of("second") == 61
