"""Which parameters a deployment may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.parameters import MOST_BYTES, BadParameterError, checked

NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)


def test_names_of_ones_own_are_taken_in_their_order() -> None:
    assert checked([("RELEASE", "blue green\n"), ("_X9", ""), ("PATHS", "a")]) == {
        "RELEASE": "blue green\n", "_X9": "", "PATHS": "a",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "lower", "A-B", "1A", "A B", "A=B", "Ä", "A\n", "A" * 129])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadParameterError, match="no name of a parameter"):
        checked([(name, "secret-value")])


RESERVED = """
    PATH LD_PRELOAD PYTHONPATH PYTHON AWS_REGION BASH_ENV ENV IFS HOME NODE_OPTIONS PERL5LIB RUBYOPT GIT_SSH_COMMAND
    JAVA_TOOL_OPTIONS _JAVA_OPTIONS LIFECYCLE_EVENT DEPLOYMENT_ID APPLICATION_NAME DEPLOYMENT_GROUP_NAME
    DEPLOYMENT_GROUP_ID BUNDLE_ETAG BUNDLE_COMMIT
"""


@pytest.mark.parametrize("name", RESERVED.split())
def test_what_the_agent_sets_or_what_loads_code_is_refused(name: str) -> None:
    with pytest.raises(BadParameterError, match=f"{name} is not for parameters"):
        checked([(name, "x")])


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ([("A", "1"), ("A", "1")], "A is given twice"),
        ([("A", "secret\0")], "NUL"),
        ([("A", "é" * (MOST_BYTES // 2))], f"{MOST_BYTES + 1} bytes"),
    ],
)
def test_the_rest_is_refused_without_telling_a_value(given_: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(BadParameterError, match=said) as refused:
        checked(given_)
    assert "secret" not in str(refused.value)


@given(st.dictionaries(NAMES, VALUES, max_size=20))
def test_what_is_taken_is_what_was_given_and_fits_into_an_environment(parameters: dict[str, str]) -> None:
    try:
        taken = checked(parameters.items())
    except BadParameterError:
        return
    assert taken == parameters
    assert all("=" not in name and "\0" not in name + value for name, value in taken.items())
