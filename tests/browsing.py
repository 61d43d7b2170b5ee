"""Looking at pages in a real browser: what it complained of, asked for, drew, and how legible."""

import shutil
from contextlib import contextmanager
from itertools import pairwise

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)

NARROW, WIDE = 360, 1100

# Of every text: its size, and the contrast of its color with what is drawn under it.
TEXTS = """() => {
  const rgb = words => words.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [.2126, .7152, .0722][n], 0);
  const ground = node => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, words = walker.currentNode.data.trim();
    if (!words || !node.checkVisibility() || ["STYLE", "SCRIPT"].includes(node.tagName)) continue;
    const style = getComputedStyle(node), svg = node.closest("svg");
    const color = rgb(svg ? style.fill : style.color);
    const [a, b] = [light(color), light(ground(node))].sort((x, y) => y - x);
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    found.push([words, parseFloat(style.fontSize) * scale, (a + .05) / (b + .05)]);
  }
  return found;
}"""

# Of every chart: its alternative text, and how many of its shapes are really drawn inside it.
CHARTS = """() => [...document.querySelectorAll("figure > svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  const shapes = [...svg.querySelectorAll(".line, .bar, .mark")].filter(shape => {
    const own = shape.getBoundingClientRect(), style = getComputedStyle(shape);
    return own.width + own.height > 0 && own.left >= box.left - 1 && own.right <= box.right + 1
      && own.top >= box.top - 1 && own.bottom <= box.bottom + 1
      && (style.stroke !== "none" || style.fill !== "none");
  });
  const strange = /NaN|Infinity|undefined/.test(svg.outerHTML);
  const texts = [...svg.querySelectorAll("text")].map(t => t.getBoundingClientRect());
  const cut = texts.filter(t => t.left < box.left - 2 || t.right > box.right + 2).length;
  return {alt: svg.getAttribute("aria-label"), shapes: shapes.length, strange, cut};
})"""

HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .map(heading => +heading.tagName[1])"""

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Look:
    """A page that is open, and what happened since."""

    def __init__(self, tab):
        self.tab = tab
        self.problems = []
        self.requests = []
        tab.on("console", lambda message: self.problems.append(message.text))
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        tab.on("request", lambda request: self.requests.append(request.url))

    def texts(self):
        return self.tab.evaluate(TEXTS)

    def charts(self):
        return self.tab.evaluate(CHARTS)

    def headings(self):
        return self.tab.evaluate(HEADINGS)

    def overflow(self):
        return self.tab.evaluate(OVERFLOW)


@contextmanager
def looking(browser, path, *, width=WIDE, scheme="light"):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    try:
        look = Look(context.new_page())
        look.tab.goto(path.resolve().as_uri())
        yield look
    finally:
        context.close()


def check_page(browser, path, n_charts):
    """Check what must hold of every page: nothing fetched, all drawn, legible, in order."""
    for scheme, width in (("light", WIDE), ("dark", NARROW)):
        with looking(browser, path, width=width, scheme=scheme) as look:
            assert look.problems == []
            assert {url for url in look.requests if not url.startswith("data:")} == {
                path.resolve().as_uri()
            }
            charts = look.charts()
            assert len(charts) == n_charts
            for chart in charts:
                assert chart["alt"], chart
                assert chart["shapes"] >= 1, chart
                assert not chart["strange"], chart
                assert not chart["cut"], chart
            assert look.overflow() <= 0
            headings = look.headings()
            assert headings[0] == 1
            assert headings.count(1) == 1
            assert all(deeper - level <= 1 for level, deeper in pairwise(headings))
            for words, size, contrast in look.texts():
                assert contrast >= 4.5, (scheme, words, contrast)
                assert size >= 9, (width, words, size)
