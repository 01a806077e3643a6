"""Page tokens: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.wire.pagination import open_token, seal

POSITIONS = st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)), max_size=4)


@given(query=st.text(), position=POSITIONS)
def test_a_token_gives_its_position_back_to_its_own_query(query: str, position: list[str | int | float]) -> None:
    assert open_token(b"secret", query, seal(b"secret", query, position)) == position


@given(position=POSITIONS, query=st.text(), other=st.text())
def test_a_token_is_bound_to_its_query(position: list[str | int | float], query: str, other: str) -> None:
    if query == other:
        return
    with pytest.raises(ValueError, match="token"):
        open_token(b"secret", other, seal(b"secret", query, position))


@given(token=st.text(max_size=200))
def test_made_up_tokens_are_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        open_token(b"secret", "query", token)


@given(data=st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = seal(b"secret", "query", ["web", 17])
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCabc019-_").filter(lambda c: c != token[place]))
    with pytest.raises(ValueError, match="token"):
        open_token(b"secret", "query", token[:place] + other + token[place + 1 :])


def test_a_token_does_not_show_what_is_in_it() -> None:
    """Nobody is to build on it, or to read in a log which row came last."""
    token = seal(b"secret", "query", ["the-last-name"])
    assert b"the-last-name" not in base64.urlsafe_b64decode(token + "==")


def test_another_secret_opens_nothing() -> None:
    with pytest.raises(ValueError, match="token"):
        open_token(b"other", "query", seal(b"secret", "query", ["web"]))


def test_an_endless_token_is_refused_unread() -> None:
    with pytest.raises(ValueError, match="too long"):
        open_token(b"secret", "query", "A" * 1_000_000)
