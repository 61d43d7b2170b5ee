import pytest

from cigf.cli.options import given, numbers, pairs, words
from cigf.errors import ConfigError


def test_words_are_split_and_trimmed():
    assert words("view, cart ,buy") == ("view", "cart", "buy")
    assert words(",a,,") == ("a",)
    assert words("") == ()
    assert words(None) is None


def test_pairs_are_split_at_the_first_equals_sign():
    assert pairs("--map", "pv=view, a=b=c") == {"pv": "view", "a": "b=c"}
    assert pairs("--map", "junk=") == {"junk": ""}
    assert pairs("--map", None) == {}


@pytest.mark.parametrize("text", ["pv", "pv=view,cart", "=view"])
def test_pairs_need_both_sides(text):
    with pytest.raises(ConfigError, match=r"--map .* must have the form value=behavior"):
        pairs("--map", text)


def test_numbers_are_positive():
    assert numbers("--k", "1, 20") == (1, 20)


@pytest.mark.parametrize("text", ["", "0", "-1", "ten", "1;5", "1.5", "5²"])
def test_anything_else_is_no_number(text):
    with pytest.raises(ConfigError, match=f"--k {text}: must be positive integers"):
        numbers("--k", text)


def test_only_what_was_given_is_passed_on():
    assert given(a=None, b=0, c="", d=False) == {"b": 0, "c": "", "d": False}
