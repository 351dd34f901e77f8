"""The answer is a bash command that parses. Nothing is ever executed, no process is started."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from finetune_app.goals.measures.base import AS_WANTED, Measure, Score, Setting
from finetune_app.goals.measures.formatting import join_with_and, shortened, strip_code_fence

_LANGUAGE = Language(tree_sitter_bash.language())
# The parser's error recovery takes time quadratic in the length of a bad text.
MAX_COMMAND_CHARACTERS = 10_000
# The grammar accepts a closing keyword alone as a command; bash does not.
_CLOSING_WORDS = {"fi", "then", "else", "elif", "do", "done", "esac"}
_NOT_PLAIN = re.compile(r"[^\n\t -~]")
# Any prose is a "command" to bash ("Thank you" runs Thank), so sentences are recognised by form.
_SENTENCE = re.compile(r"(?:[A-Z][\w’']*[,!]?|I) (?:[\w’',-]++[:;]? ){2}.*[.?!:]", re.DOTALL)
# Programs whose long options have one dash: -name is one flag, not -n -a -m -e.
_ONE_DASH = {"find", "java", "openssl", "ffmpeg", "convert", "xdotool", "gcc", "clang", "qemu"}


class Bash(Measure):
    """Bash that parses; optionally with the same programs and flags, or the same words."""

    kind = "bash"
    settings_schema = {
        "compare": Setting(
            "choice", "What must match", "parses", ("parses", "same_command", "exact")
        ),
        "allow_fence": Setting("switch", "Accept a code block around the command", True),
    }

    def summary(self) -> str:
        also = {
            "parses": "",
            "same_command": " and uses the same programs and flags as the wanted one",
            "exact": " and is the wanted one, apart from spaces",
        }[self.settings["compare"]]
        return f"Right when the answer is a bash command that parses{also}. It is never run."

    def instruction(self) -> str:
        return "Answer with a bash command alone: no explanation before or after it."

    def _check(self, answer: str, wanted: str) -> Score:
        text = strip_code_fence(answer) if self.settings["allow_fence"] else answer
        if not text.strip():
            return Score(False, 0.0, "Empty answer")
        if len(text) > MAX_COMMAND_CHARACTERS:
            return Score(False, 0.0, f"Too long for a command: {len(text):,} characters")
        if reads_like_prose(text):
            return Score(False, 0.0, "Reads like a sentence, not a command")
        tree = parse(text)
        if tree is None:
            return Score(False, 0.0, "Does not parse as bash")
        if self.settings["compare"] == "parses":
            return Score(True, 1.0, "Parses")
        target = parse(strip_code_fence(wanted))
        if target is None:
            return Score(False, 0.0, "The wanted answer does not parse as bash")
        if self.settings["compare"] == "exact":
            same = list(_words(tree)) == list(_words(target))
            return AS_WANTED if same else Score(False, 0.5, "Another command than wanted")
        return _compare_commands(commands(tree), commands(target))


def parse(text: str) -> Node | None:
    """Return the syntax tree of `text`, or None when it is not bash or is too long."""
    if "\0" in text or len(text) > MAX_COMMAND_CHARACTERS:
        return None
    # A heredoc or a trailing comment ends at a newline, so add one.
    tree = Parser(_LANGUAGE).parse(_plain(text.strip()).encode("ascii") + b"\n").root_node
    if tree.has_error or not tree.named_child_count:
        return None
    if all(child.type == "comment" for child in tree.children):
        return None
    if any(name in _CLOSING_WORDS for name, _ in commands(tree)):
        return None
    return tree


def _plain(text: str) -> str:
    """Replace every non-ASCII character by its code point in letters.

    To bash they are ordinary letters, but the grammar's native scanner crashes on some of them (a
    segmentation fault found by fuzzing), which would end the whole process.
    """
    return _NOT_PLAIN.sub(lambda found: f"u{ord(found.group()):x}u", text)


def reads_like_prose(text: str) -> bool:
    """Whether the text has the form of an English sentence rather than of a command."""
    first_paragraph = text.strip().split("\n\n")[0][:500].strip()
    return _SENTENCE.fullmatch(first_paragraph) is not None


def commands(tree: Node) -> list[tuple[str, frozenset[str]]]:
    """Return the (program, flags) of every command in the tree, in order of appearance."""
    found = []
    for node in _walk(tree):
        name = node.child_by_field_name("name") if node.type == "command" else None
        if name is not None:
            program = _text(name).rsplit("/", 1)[-1]
            arguments = [_text(word) for word in node.children_by_field_name("argument")]
            found.append((program, _flags(program, arguments)))
    return found


def _flags(program: str, arguments: list[str]) -> frozenset[str]:
    """Return the flags without their values, -la split into -l and -a."""
    flags: set[str] = set()
    for argument in arguments:
        if argument == "--":
            break
        if argument.startswith("--") or (argument.startswith("-") and program in _ONE_DASH):
            flags.add(argument.split("=", 1)[0])
        elif re.fullmatch(r"-[A-Za-z]+\d*", argument):
            flags.update("-" + letter for letter in argument[1:] if letter.isalpha())
    return frozenset(flags)


def _compare_commands(
    got: list[tuple[str, frozenset[str]]], wanted: list[tuple[str, frozenset[str]]]
) -> Score:
    programs, target = [name for name, _ in got], [name for name, _ in wanted]
    if programs != target:
        shared = sum((Counter(programs) & Counter(target)).values())
        value = 0.5 * shared / max(len(programs), len(target), 1)
        missing = list(dict.fromkeys(shortened(n) for n in target if n not in programs))
        if missing:
            return Score(False, value, f"Does not use {join_with_and(missing[:3])}")
        return Score(False, value, "Other programs than wanted")
    for (name, flags), (_, wanted_flags) in zip(got, wanted, strict=True):
        if flags != wanted_flags:
            return Score(False, 0.5, f"Other flags for {shortened(name)}")
    return Score(True, 1.0, "Same programs and flags")


def _walk(tree: Node) -> Iterator[Node]:
    """Yield every node in order of appearance, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _words(tree: Node) -> Iterator[str]:
    """Yield the leaves, and quoted strings whole, so that only the space between words is lost."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if node.type in {"string", "raw_string", "heredoc_body", "word"} or not node.children:
            if _text(node).strip():
                yield _text(node)
        else:
            waiting.extend(reversed(node.children))


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
