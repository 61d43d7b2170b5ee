"""What MkDocs must know of these pages: links to files outside of docs/ become their names."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!guide/|models/)([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name the file instead of linking to where the site has nothing."""
    if page.file.src_uri.count("/") == 0:
        return markdown
    return _OUTSIDE.sub(r"\1 (`\2`)", markdown)
