"""Whatever books and trades come, the kernel says what the definitions say, and neither a cut nor a restart shows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from book_cases import NINE, oracle, quote, run, trade
from effort import examples
from feature_cases import bits
from hosu.features import book_kernel as kernel

MODES = st.sampled_from([kernel.CONTINUOUS] * 8 + [kernel.AUCTION])
SIZES = st.integers(0, 9)
PRICES = st.integers(97, 103)


@st.composite
def events(draw):
    """A series' events, some late, some twice, over seconds near enough to meet in windows and far enough to leave
    them."""
    second, cum, made = 0, 0, []
    for _ in range(draw(st.integers(0, 40))):
        second += draw(st.sampled_from([0, 0, 0, 1, 1, 3, 9, 11, 61, 119]))
        at = max(0, second - draw(st.sampled_from([0, 0, 0, 0, 2, 70])))
        if draw(st.booleans()):
            bid = draw(st.sampled_from([0, *range(97, 103)]))
            ask = draw(st.sampled_from([0, bid, *range(98, 104), 104, 105]))
            best = (draw(SIZES), draw(SIZES))
            five = (best[0] + draw(SIZES), best[1] + draw(SIZES))
            made.append(quote(at, bid, ask, best, five, draw(MODES)))
        else:
            size = draw(st.integers(1, 9))
            cum += draw(st.sampled_from([size, size, size, 0, size + 5]))
            mode = draw(st.sampled_from([kernel.CONTINUOUS] * 8 + [kernel.AUCTION, kernel.BESIDE]))
            side = draw(st.sampled_from([1, -1, 0]))
            made.append(trade(at, draw(PRICES) / 2 + 50, size, side, draw(st.sampled_from([cum, cum, 0])), mode))
    return made


@given(events())
@examples(300)
def test_it_says_what_the_definitions_say(made):
    rows, out = run(made)
    expected = list(oracle(made))
    assert rows[:, 1:].tolist() == [list(row[:-1]) for row in expected]
    for row, features in zip(out.tolist(), (each[-1] for each in expected), strict=True):
        assert [value is None for value in features] == np.isnan(row).tolist()
        known = [(one, float(other)) for one, other in zip(row, features, strict=True) if other is not None]
        np.testing.assert_allclose([one for one, _ in known], [other for _, other in known], rtol=1e-13, atol=0)


@given(events(), st.data())
@examples(100)
def test_what_is_cut_off_changes_nothing_before(made, data):
    cut = data.draw(st.integers(0, len(made)))
    whole, past = run(made), run(made[:cut], close=False)
    closed = len(past[0])
    assert past[0].tolist() == whole[0][:closed].tolist()
    assert bits(past[1]).tolist() == bits(whole[1][:closed]).tolist()


@given(events(), st.data())
@examples(100)
def test_a_state_kept_anywhere_and_resumed_gives_the_same_bits(made, data):
    cut = data.draw(st.integers(0, len(made)))
    states = np.zeros((1, kernel.STATE), np.int64)
    first = run(made[:cut], states, close=False)
    rest = run(made[cut:], states.copy())
    whole = run(made)
    assert np.concatenate([first[0], rest[0]]).tolist() == whole[0].tolist()
    assert bits(np.concatenate([first[1], rest[1]])).tolist() == bits(whole[1]).tolist()


def test_the_events_drawn_reach_every_feature():
    """Else the tests above would hold of nothing: one series with all of it, checked against the oracle too."""
    chance = np.random.default_rng(3)
    made = []
    for second in range(200):
        made.append(quote(second, 99 + second % 2, 101 + second % 3, tuple(chance.integers(1, 9, 2).tolist())))
        made.append(trade(second, 100, int(chance.integers(1, 9)), int(chance.choice([-1, 0, 1]))))
    rows, out = run(made)
    assert not np.isnan(out[60:]).any()
    assert rows[0, kernel.ROW_SECOND] == NINE
    expected = np.array([[float(value) for value in row[-1]] for row in list(oracle(made))[60:]])
    np.testing.assert_allclose(out[60:], expected, rtol=1e-13, atol=0)
