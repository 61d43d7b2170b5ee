"""The page to try a server by hand; it asks this server only, and stores nothing."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

PAGE = files("cigf.service").joinpath("page.html").read_text(encoding="utf-8")


def _hash(tag: str) -> str:
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hash('script')}; style-src {_hash('style')}; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing runs but what stands in the page, and nothing is asked but this server."""
