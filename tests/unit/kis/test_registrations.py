from hypothesis import given
from hypothesis import strategies as st

from hosu.kis.codes import Verdict
from hosu.kis.messages import Ack
from hosu.kis.registrations import MAX_TRIES, Registration, Registrations

A, B, C, D = (Registration("H0STCNT0", key) for key in ("000001", "000002", "000003", "000004"))


def ack(registration, code="OPSP0000"):
    return Ack(registration.tr_id, registration.key, code, "")


def send_all(state, now_s=0.0):
    sent = []
    while (due := state.due()) is not None:
        state.sent(due, now_s)
        sent.append(due)
    return sent


def test_registrations_are_sent_by_priority_and_once():
    state = Registrations([B, A, B, C])
    assert state.desired == (B, A, C)
    assert send_all(state) == [B, A, C]
    assert state.pending == (B, A, C)
    for each in (A, B, C):
        assert state.answer(ack(each)).registration == each
    assert state.acknowledged == {A, B, C}
    assert state.due() is None
    assert state.not_covered == ()


def test_no_more_than_the_slots_are_ever_sent():
    state = Registrations([A, B, C], slots=2)
    assert send_all(state) == [A, B]
    state.answer(ack(A))
    state.answer(ack(B))
    assert state.due() is None
    assert state.not_covered == (C,)


def test_a_full_session_teaches_the_limit_and_names_what_is_left_out():
    state = Registrations([A, B, C, D])
    send_all(state)
    state.answer(ack(A))
    assert state.answer(ack(B, "OPSP0008")).verdict is Verdict.NO_SLOT
    state.answer(ack(C, "OPSP0008"))
    state.answer(ack(D, "OPSP0008"))
    assert state.limit == 1
    assert state.due() is None
    assert state.not_covered == (B, C, D)
    state.new_session()
    assert state.limit == 41
    assert send_all(state) == [A, B, C, D]


def test_a_later_success_raises_a_limit_learnt_too_low():
    state = Registrations([A, B])
    send_all(state)
    state.answer(ack(A, "OPSP0008"))
    assert state.limit == 0
    state.answer(ack(B))
    assert (state.limit, state.acknowledged) == (1, {B})


def test_already_registered_counts_as_registered():
    state = Registrations([A])
    send_all(state)
    state.answer(ack(A, "OPSP0002"))
    assert state.acknowledged == {A}


def test_a_refused_registration_frees_its_slot_and_is_not_asked_for_again():
    state = Registrations([A, B, C], slots=2)
    send_all(state)
    assert state.answer(ack(A, "OPSP8992")).verdict is Verdict.REFUSED
    assert send_all(state) == [C]
    assert state.refused == {A: "OPSP8992"}
    state.new_session()
    assert send_all(state) == [B, C]


def test_an_unanswered_registration_is_sent_again_and_then_given_up():
    state = Registrations([A])
    for attempt in range(MAX_TRIES):
        assert send_all(state, now_s=attempt * 10.0) == [A]
        assert state.overdue(attempt * 10.0 + 4.9, timeout_s=5.0) == []
        assert state.overdue(attempt * 10.0 + 5.0, timeout_s=5.0) == [A]
    assert state.due() is None
    assert state.unanswered == (A,)
    state.answer(ack(A))  # late, but here
    assert (state.unanswered, state.acknowledged) == ((), {A})


def test_the_brokers_own_trouble_is_tried_again_a_few_times():
    state = Registrations([A])
    for _ in range(MAX_TRIES):
        assert send_all(state) == [A]
        state.answer(ack(A, "OPSP0007"))
    assert send_all(state) == []
    assert state.unanswered == (A,)


def test_an_answer_without_a_key_belongs_to_the_oldest_of_its_tr():
    quote = Registration("H0STASP0", "000001")
    state = Registrations([A, quote, B])
    send_all(state)
    assert state.answer(Ack("H0STASP0", "", "OPSP0002", "")).registration == quote
    assert state.answer(Ack("", "", "OPSP0000", "")).registration == A
    assert state.answer(Ack("H0STCNT0", "999999", "OPSP0000", "")).registration is None
    assert state.pending == (B,)


def test_a_change_releases_what_is_no_longer_desired_and_then_registers_what_is_new():
    state = Registrations([A, B], slots=2)
    send_all(state)
    state.answer(ack(A))
    state.answer(ack(B))
    state.change([A, C])
    assert state.due() is None  # no slot is free yet
    assert state.release_due() == B
    state.release_sent(B, 1.0)
    assert (state.release_due(), state.releasing, state.due()) == (None, True, None)
    assert state.answer(ack(B, "OPSP0001")).registration == B
    assert (state.acknowledged, state.releasing) == ({A}, False)
    assert send_all(state) == [C]
    state.answer(ack(C))
    assert state.acknowledged == {A, C}


def test_a_release_that_is_not_answered_counts_as_done_after_a_while():
    state = Registrations([A], slots=1)
    send_all(state)
    state.answer(ack(A))
    state.change([B])
    state.release_sent(A, 1.0)
    assert state.release_overdue(5.9, 5.0) == []
    assert state.release_overdue(6.0, 5.0) == [A]
    assert send_all(state) == [B]


def test_what_is_wanted_again_while_its_release_is_under_way_is_registered_again():
    state = Registrations([A], slots=1)
    send_all(state)
    state.answer(ack(A))
    state.change([])
    state.release_sent(A, 1.0)
    state.change([A])
    state.answer(ack(A, "OPSP0003"))
    assert send_all(state) == [A]


def test_a_registration_under_way_that_is_no_longer_desired_is_released_once_it_is_acknowledged():
    state = Registrations([A], slots=1)
    send_all(state)
    state.change([B])
    assert state.release_due() is None
    state.answer(ack(A))
    assert state.release_due() == A


@given(st.lists(st.tuples(st.sets(st.integers(0, 5)), st.integers(0, 5), st.sampled_from(["OPSP0000", "OPSP0001"]))))
def test_however_it_changes_the_slots_are_kept_and_it_settles_on_what_is_desired(steps):
    every = [Registration("H0STCNT0", f"{n:06d}") for n in range(6)]
    state = Registrations(every[:2], slots=3)

    def work(now_s):
        if (released := state.release_due()) is not None:
            state.release_sent(released, now_s)
        if (due := state.due()) is not None:
            state.sent(due, now_s)
        assert len(state.acknowledged) + len(state.pending) <= 3

    for step, (wanted, which, code) in enumerate(steps):
        state.change([every[n] for n in sorted(wanted)][:3])
        work(float(step))
        asked = every[which]
        if code == "OPSP0001" or asked in state.pending:
            state.answer(ack(asked, code))
    for round_ in range(20):
        work(1000.0 + round_)
        for asked in list(state.pending):
            state.answer(ack(asked))
        for asked in every:
            state.answer(ack(asked, "OPSP0001"))
        state.overdue(1000.0 + round_, 0.5)
    assert state.acknowledged == set(state.desired)


CODES = st.sampled_from(["OPSP0000", "OPSP0002", "OPSP0008", "OPSP0007", "OPSP8992", "OPSP9999", ""])


@given(st.lists(st.tuples(st.integers(0, 7), CODES), max_size=60), st.integers(0, 6))
def test_whatever_the_broker_answers_the_states_stay_apart_and_within_the_slots(answers, slots):
    wanted = [Registration("H0STCNT0", f"{n:06d}") for n in range(7)]
    state = Registrations(wanted, slots)
    for step, (which, code) in enumerate(answers):
        due = state.due()
        if due is not None:
            assert len(state.acknowledged) + len(state.pending) < slots
            state.sent(due, float(step))
        state.answer(Ack("H0STCNT0", f"{which:06d}", code, ""))
        state.overdue(float(step), 3.0)
        groups = [set(state.acknowledged), set(state.pending), set(state.not_covered), set(state.unanswered)]
        assert sum(map(len, groups)) == len(set().union(*groups))
        assert set().union(*groups, state.refused) == set(wanted)
