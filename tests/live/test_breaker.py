"""The breaker and the bucket against what they promise, in any order of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connectors.kit.live.breaker import LONGEST, Breaker, BreakerRules, Bucket, Phase

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
RULES = BreakerRules(3, timedelta(seconds=30), timedelta(seconds=12))


class AnyDay(RuleBasedStateMachine):
    """Calls begin and end in any order; the breaker's promises hold at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.at = AT
        self.breaker = Breaker()
        self.in_a_row = 0
        self.trials: list[datetime] = []

    @rule(seconds=st.floats(0, 700))
    def time_passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    @rule()
    def ask(self) -> None:
        phase = self.breaker.phase(self.at)
        self.breaker, allowed = self.breaker.ask(RULES, self.at)
        assert self.breaker.phase(self.at) is phase, "asking changes no phase"
        assert allowed or phase is not Phase.CLOSED
        assert not (allowed and phase is Phase.OPEN)
        if allowed and phase is Phase.HALF_OPEN:
            assert all(self.at >= before + RULES.trial for before in self.trials), "one trial at a time"
            self.trials.append(self.at)

    @rule()
    def a_call_succeeds(self) -> None:
        phase = self.breaker.phase(self.at)
        self.breaker = self.breaker.succeeded(self.at)
        if phase is not Phase.OPEN:
            assert self.breaker == Breaker(), "a good answer wipes everything"
            self.in_a_row, self.trials = 0, []

    @rule()
    def a_call_fails(self) -> None:
        before, phase = self.breaker, self.breaker.phase(self.at)
        self.breaker = self.breaker.failed(RULES, self.at)
        if phase is Phase.OPEN:
            assert self.breaker == before, "what was asked before it opened is no news"
            return
        self.in_a_row += 1
        expected = Phase.OPEN if phase is Phase.HALF_OPEN or self.in_a_row >= RULES.failures else Phase.CLOSED
        assert self.breaker.phase(self.at) is expected
        if expected is Phase.OPEN:
            assert self.breaker.until is not None
            times = (self.breaker.until - self.at) / RULES.wait
            assert times in (1, 2, 4, 8, 16)
            if phase is Phase.CLOSED:
                assert times == 1
            else:
                earlier = 2 ** (before.opened - 1)
                assert times == min(2 * earlier, LONGEST)
            self.trials = []

    @precondition(lambda self: self.breaker.until is not None)
    @rule()
    def it_is_tried_again_in_the_end(self) -> None:
        assert self.breaker.until is not None
        self.at = max(self.at, self.breaker.until) + RULES.trial
        self.breaker, allowed = self.breaker.ask(RULES, self.at)
        assert allowed, "no state is for ever"
        self.trials = [self.at]

    @invariant()
    def it_never_waits_longer_than_it_may(self) -> None:
        if self.breaker.until is not None:
            assert self.breaker.until - self.at <= RULES.wait * LONGEST


TestAnyDay = AnyDay.TestCase


@given(st.integers(1, 6))
def test_it_opens_at_the_failure_it_was_told(failures: int) -> None:
    rules, breaker = BreakerRules(failures, RULES.wait, RULES.trial), Breaker()
    for number in range(1, failures + 1):
        assert breaker.ask(rules, AT) == (breaker, True)
        breaker = breaker.failed(rules, AT)
        assert (breaker.phase(AT) is Phase.OPEN) == (number == failures)


@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0, 3), min_size=1, max_size=80),
    patience=st.floats(0, 5),
)
def test_no_more_calls_leave_than_the_rate_allows(rate: float, burst: int, steps: list[float], patience: float) -> None:
    bucket, at, leaving = Bucket(float(burst), AT), 0.0, []
    for step in steps:
        at += step
        bucket, wait = bucket.reserve(rate, burst, AT + timedelta(seconds=at), patience)
        assert bucket.tokens <= burst
        if wait is not None:
            assert 0 <= wait <= patience
            leaving.append(at + wait)
    for first in range(len(leaving)):
        for last in range(first, len(leaving)):
            within = leaving[last] - leaving[first]
            assert last - first + 1 <= burst + rate * within + 1 + 1e-3


def test_a_refused_call_takes_nothing_and_a_clock_set_back_gives_nothing() -> None:
    bucket, wait = Bucket(0.0, AT).reserve(1, 5, AT, 0.5)
    assert (bucket, wait) == (Bucket(0.0, AT), None)
    bucket, wait = bucket.reserve(1, 5, AT - timedelta(hours=1), 2)
    assert wait == 1
    assert bucket.at == AT
