import pytest

from cigf.analysis.wording import past, path_text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("cart", "A", "buy", "I", 12), "You carted A; 12 others who carted A bought I."),
        (("cart", "A", "buy", "I", 1), "You carted A; 1 other who carted A bought I."),
        (("cart", "A", None, "I", 0), "You carted A, which is close to I."),
        (("view", "I", None, "I", 0), "You viewed I itself."),
        (("view", "I", "view", "I", 3), "You viewed I itself, as did 3 others."),
        (
            ("view", "I", "buy", "I", 1204),
            "You viewed I itself; 1,204 others who viewed I bought it.",
        ),
        (
            ("wish list", "A", "tip", "I", 2),
            'You did "wish list" with A; 2 others who did "wish list" with A did "tip" with I.',
        ),
    ],
)
def test_paths_in_words(path, text):
    assert path_text(*path) == text


def test_names_are_known_in_any_case():
    assert past("Buy") == "bought"
    assert past("<b>") == 'did "<b>" with'
