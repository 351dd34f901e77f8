"""Markdown and HTML: the words, with their headings, and nothing that only dresses them."""

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

from worker.knowledge.document_text import Text, Writer

HEADINGS = {f"h{level}": level for level in range(1, 7)}
SKIPPED = {
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
NEW_LINE = {"br", "tr", "li", "dt", "dd"}
BLOCKS = {
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
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.S)


def markdown(content: str) -> Text:
    """Read as the HTML it stands for, so that lists and tables come out like theirs."""
    content = content.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 40}).enable("table")
    return html(parser.render(FRONT_MATTER.sub("", content)))


def html(content: str) -> Text:
    reader = _Reader()
    reader.feed(content)
    reader.close()
    reader.end_block()
    return reader.writer.done()


class _Reader(HTMLParser):
    """Forgiving: unclosed and unknown tags are everyday."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.writer = Writer()
        self._text: list[str] = []
        self._level = 0
        self._skipping: list[str] = []
        self._kept = 0  # inside <pre>
        self._cells = 0  # of the row so far

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SKIPPED:
            self._skipping.append(tag)
        elif self._skipping:
            return
        elif tag in HEADINGS:
            self.end_block()
            self._level = HEADINGS[tag]
        elif tag in BLOCKS:
            self.end_block()
            self._kept += tag == "pre"
        elif tag in NEW_LINE:
            self._new_line(tag)
        elif tag in ("td", "th"):
            self._text.append(" | " if self._cells else "")
            self._cells += 1
        elif tag == "img":
            self._text.append(f" {dict(attrs).get('alt') or ''} ")

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag in self._skipping:  # whatever was left open inside it ends with it
                del self._skipping[self._skipping.index(tag) :]
        elif tag in HEADINGS or tag in BLOCKS:
            self.end_block()
            self._kept = max(0, self._kept - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._text.append(data if self._kept else re.sub(r"\s+", " ", data))

    def _new_line(self, tag: str) -> None:
        self._text.append("\n- " if tag == "li" else "\n")
        self._cells = 0

    def end_block(self) -> None:
        text, self._text = "".join(self._text), []
        level, self._level = self._level, 0
        if level:
            self.writer.heading(text, level)
        elif text.strip(" \n-|"):
            self.writer.paragraph(text)
