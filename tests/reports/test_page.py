import re
from html.parser import HTMLParser

import pytest

from browsing import NARROW, check_page, looking
from cigf.errors import OutputError
from cigf.reports.charts import Row, Series, Value, bar_chart, line_chart, value_chart
from cigf.reports.page import (
    Cards,
    Cautions,
    Details,
    Figure,
    Figures,
    Lists,
    Page,
    Section,
    Table,
    Text,
    render,
    write_page,
)

WIDE_TABLE = Table(
    "Quality",
    ["pairs", "scorer", *(f"a metric with a long name {n}" for n in range(9))],
    [["all", "model", *[0.5] * 9], ["all", "<rule>", None, *[1234] * 8]],
    marked=[0],
)
EVERYTHING = Page(
    "Report of runs/a-very-long-name_of_a_run_that_does_not_fit_into_one_line_of_a_telephone",
    "Of 61 purchases, 12 are found.",
    [
        Section("care", "What to be careful about", [Cautions([("Few.", "Only 61 users.")])]),
        Section("nothing", "Nothing", [Cautions([])]),
        Section(
            "quality",
            "Quality",
            [
                Text("How good it is."),
                WIDE_TABLE,
                Figures(
                    [
                        Figure(
                            "Loss",
                            line_chart(
                                [Series(n, [(1, 3.0), (9, 1.0 + len(n))]) for n in ("a", "bb")],
                                alt="The loss falls from 3 to 2.",
                                x_label="epoch",
                                mark=9,
                                mark_label="kept",
                            ),
                            "It falls.",
                            WIDE_TABLE,
                        ),
                        Figure(
                            "Groups",
                            value_chart(
                                [Row("all", [Value(0.5, 0.4, 0.6), Value(0.1)])],
                                ["model", "popularity"],
                                alt="The model stands above popularity.",
                                x_label="HR@10",
                            ),
                        ),
                    ]
                ),
                Figure(
                    "Pairs",
                    bar_chart([Row("view", [Value(9)])], ["n"], alt="9 views.", x_label="pairs"),
                ),
                Details("More", [Text("Hidden at first.", is_note=True)]),
            ],
        ),
        Section(
            "users",
            "Users",
            [Lists("User u<1>", "two events", {"bought": [("tea-1", "hit")], "viewed": []})],
        ),
    ],
    [Cards([("HR@10", "0.231", "popularity 0.1")])],
    "cigf 0.1.0",
)


class Elements(HTMLParser):
    """The elements of a page in their order, with their attributes; checks that they nest."""

    EMPTY = frozenset({"meta", "link", "wbr", "line", "rect", "circle", "path", "polyline"})

    def __init__(self, html):
        super().__init__()
        self.open, self.found = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_a_page_is_well_formed_and_its_links_lead_to_its_sections():
    html = render(EVERYTHING)
    page = Elements(html)
    assert html.startswith("<!doctype html>")
    assert page.of("html") == [{"lang": "en"}]
    anchors = {a["id"] for _, a in page.found if "id" in a}
    targets = [a["href"].removeprefix("#") for a in page.of("a")]
    assert targets == ["content", "care", "nothing", "quality", "users"]
    assert set(targets) <= anchors
    assert page.of("script") == []
    assert "http" not in html


def test_tables_have_captions_and_headers():
    html = render(Page("T", "", [Section("a", "A", [WIDE_TABLE])]))
    page = Elements(html)
    assert [a["scope"] for a in page.of("th")] == ["col"] * 11 + ["row"] * 2
    assert "<caption>Quality</caption>" in html
    (region,) = [a for a in page.of("div") if a["class"] == "scroll"]
    assert region["tabindex"] == "0"
    assert region["aria-label"] == "Quality"
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    assert cells == ["model", *["0.500"] * 9, "&lt;rule&gt;", "", *["1,234"] * 8]


def test_words_are_escaped_and_what_was_found_is_said():
    html = render(EVERYTHING)
    assert "User u&lt;1&gt;" in html
    assert "tea-<wbr>1 <em>hit</em>" in html
    assert "Nothing that stands out was found." in html
    assert "<strong>Few.</strong> Only 61 users." in html


def test_a_page_is_written_whole_and_replaced_only_by_force(tmp_path):
    path = tmp_path / "page.html"
    write_page(EVERYTHING, path)
    assert path.read_text() == render(EVERYTHING)
    with pytest.raises(OutputError, match="exists already"):
        write_page(EVERYTHING, path, force=False)


def test_the_page_in_a_browser(browser, tmp_path):
    path = tmp_path / "page.html"
    write_page(EVERYTHING, path)
    check_page(browser, path, n_charts=3)


def test_the_keyboard_reaches_the_content_and_what_scrolls(browser, tmp_path):
    path = tmp_path / "page.html"
    write_page(EVERYTHING, path)
    with looking(browser, path, width=NARROW) as look:
        look.tab.keyboard.press("Tab")
        skip = look.tab.locator(".skip")
        assert skip.evaluate("node => node === document.activeElement")
        assert skip.bounding_box()["x"] >= 0
        look.tab.keyboard.press("Enter")
        assert look.tab.evaluate("() => document.activeElement.id") == "content"
        look.tab.keyboard.press("Tab")
        focused = "() => getComputedStyle(document.activeElement).outlineStyle"
        assert look.tab.evaluate("() => document.activeElement.className") == "scroll"
        assert look.tab.evaluate(focused) == "solid"
        look.tab.keyboard.press("ArrowRight")
        look.tab.wait_for_function("() => document.activeElement.scrollLeft > 0")
        opened = "() => document.querySelectorAll('details[open]').length"
        look.tab.keyboard.press("Tab")
        look.tab.keyboard.press("Enter")
        assert look.tab.evaluate(opened) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<h2 id=", "<h4 id="),
        ("--text: #1a2330", "--text: #99aabb"),
        ("</footer>", '</footer><img src="picture.png" alt="">'),
        ("</footer>", '</footer><p style="width: 80rem">wide</p>'),
        ('class="s0 bar"', 'class="s0 bar" style="display: none"'),
    ],
)
def test_the_checks_of_a_page_notice_what_is_wrong(browser, tmp_path, old, new):
    path = tmp_path / "page.html"
    html = render(EVERYTHING)
    assert old in html
    path.write_text(html.replace(old, new))
    with pytest.raises(AssertionError):
        check_page(browser, path, n_charts=3)
