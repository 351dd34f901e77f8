"""Read Markdown and HTML: text and headings, without scripts, styles and navigation.

A tag whose content is left out may as well be a placeholder, as in "Dear <title> <name>". So
nothing is left out after one that is never closed, nor after one inside a line of Markdown.
"""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from worker.knowledge.document_text import DocumentText, TextBuilder

HEADINGS = {f"h{level}": level for level in range(1, 7)}
SKIPPED_TAGS = {
    "script",
    "style",
    "template",
    "svg",
    "noscript",
    "iframe",
    "object",
    "select",
    "nav",
    "title",
}
LINE_TAGS = {"br", "tr", "li", "dt", "dd"}
BLOCK_TAGS = {
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "footer",
    "aside",
    "ul",
    "ol",
    "dl",
    "table",
    "thead",
    "tbody",
    "blockquote",
    "pre",
    "figure",
    "figcaption",
    "form",
    "hr",
    "body",
}
SKIPPED = rf"({'|'.join(sorted(SKIPPED_TAGS))})\b"
SKIPPED_TAG = re.compile(rf"</?{SKIPPED}", re.I)
SKIPPED_END = re.compile(rf"</\s*{SKIPPED}", re.I)
# Lines of YAML between two rules: names with values, lists, comments, and what is indented below.
FRONT_MATTER = re.compile(r"\A---\n(?:(?![ \t-])[^:\n]*:.*\n|- .*\n|#.*\n|[ \t]+\S.*\n)+---\n")


def markdown(content: str) -> DocumentText:
    """Renders to HTML and reads that, so that lists and tables are handled alike."""
    content = content.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 40}).enable("table")
    parser.add_render_rule("html_inline", _inline_tag)
    return html(parser.render(FRONT_MATTER.sub("", content)))


def _inline_tag(_renderer: Any, tokens: Sequence[Token], index: int, *_options: Any) -> str:
    tag = tokens[index].content
    return escapeHtml(tag) if SKIPPED_TAG.match(tag) else tag


def html(content: str) -> DocumentText:
    parser = _TextParser(content)
    parser.feed(content)
    parser.close()
    parser.end_block()
    return parser.builder.build()


def _last_ends(content: str) -> dict[str, tuple[int, int]]:
    """Line and column of the last end of each tag whose content is skipped."""
    ends = {match[1].lower(): match.start() for match in SKIPPED_END.finditer(content)}
    return {
        tag: (content.count("\n", 0, at) + 1, at - content.rfind("\n", 0, at) - 1)
        for tag, at in ends.items()
    }


class _TextParser(HTMLParser):
    """Accepts unclosed and unknown tags."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self._last_ends = _last_ends(content)
        self.builder = TextBuilder()
        self._text: list[str] = []
        self._level = 0
        self._skipped: list[str] = []  # open tags whose content is skipped
        self._pre_depth = 0
        self._cells = 0  # in the current row

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._is_skipped(tag):
            self._skipped.append(tag)
        elif self._skipped:
            return
        elif tag in HEADINGS:
            self.end_block()
            self._level = HEADINGS[tag]
        elif tag in BLOCK_TAGS:
            self.end_block()
            self._pre_depth += tag == "pre"
        elif tag in LINE_TAGS:
            self._new_line(tag)
        elif tag in ("td", "th"):
            self._text.append(" | " if self._cells else "")
            self._cells += 1
        elif tag == "img":
            self._text.append(f" {dict(attrs).get('alt') or ''} ")

    def _is_skipped(self, tag: str) -> bool:
        """Whether the tag is one to skip that ends somewhere behind here."""
        return tag in SKIPPED_TAGS and self.getpos() < self._last_ends.get(tag, (0, 0))

    def set_cdata_mode(self, elem: str, **options: Any) -> None:
        """Called for a tag whose content holds no tags: without an end it would be all the rest."""
        if elem not in SKIPPED_TAGS or self._is_skipped(elem):
            super().set_cdata_mode(elem, **options)

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            if tag in self._skipped:  # also closes tags left open inside it
                del self._skipped[self._skipped.index(tag) :]
        elif tag in HEADINGS or tag in BLOCK_TAGS:
            self.end_block()
            self._pre_depth = max(0, self._pre_depth - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._text.append(data if self._pre_depth else re.sub(r"\s+", " ", data))

    def _new_line(self, tag: str) -> None:
        self._text.append("\n- " if tag == "li" else "\n")
        self._cells = 0

    def end_block(self) -> None:
        text, self._text = "".join(self._text), []
        level, self._level = self._level, 0
        if level:
            self.builder.heading(text, level)
        elif text.strip(" \n-|"):
            self.builder.paragraph(text)
