"""Rules of composite alarms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.onebox.services.cloudwatch.evaluation import State
from longshore.onebox.services.cloudwatch.rule import RuleError, parse

STATES = {"a": State.ALARM, "b": State.OK, "c d": State.INSUFFICIENT_DATA, 'q"': State.ALARM}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("ALARM(a)", True),
        ('ALARM("a") AND OK("b")', True),
        ("ALARM(b) OR ALARM(a) AND OK(a)", False),
        ("(ALARM(b) OR ALARM(a)) AND NOT OK(a)", True),
        ('NOT ( INSUFFICIENT_DATA("c d") )', False),
        ('ALARM("q\\"")', True),
        ("TRUE AND NOT FALSE", True),
        ("NOT NOT ALARM(a)", True),
        ("ALARM(nobody)", False),
        ("OK(nobody)", False),
        ("\n ALARM(a)\n  OR\tFALSE ", True),
    ],
)
def test_what_holds(rule: str, holds: bool) -> None:
    assert parse(rule).holds(STATES.get) is holds


@pytest.mark.parametrize(
    "rule",
    [
        "ALARM",
        "ALARM(",
        "ALARM()",
        "ALARM(a) OK(b)",
        "AND",
        "(ALARM(a)",
        'ALARM("a)',
        "alarm a",
        "NOT",
        "(" * 99,
        "a(b)",
    ],
)
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(RuleError):
        parse(rule)


@given(st.text(alphabet='ALRMOKNTD()" ab', max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule = parse(text)
    except RuleError:
        return
    assert rule.holds(STATES.get) in (True, False)


EXPRESSION = st.recursive(
    st.sampled_from(["ALARM(a)", "OK(a)", "ALARM(b)", "OK(b)", "TRUE"]),
    lambda inner: st.one_of(
        inner.map(lambda one: f"NOT ({one})"),
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda parts: "({} {} {})".format(*parts)),
    ),
    max_leaves=8,
)


@given(EXPRESSION, st.sampled_from(State), st.sampled_from(State))
def test_as_python_has_it(text: str, a: State, b: State) -> None:
    """What `and`, `or` and `not` mean is known."""
    python = text.replace("AND", "and").replace("OR", "or").replace("NOT", "not").replace("TRUE", "True")
    names = {"ALARM": lambda state: state is State.ALARM, "OK": lambda state: state is State.OK, "a": a, "b": b}
    wanted = eval(python, {"__builtins__": {}}, names)
    assert parse(text).holds({"a": a, "b": b}.get) is wanted
