"""JSON that this app and the import worker exchange, and that `Import` keeps. Pure Python."""

from typing import Literal, NotRequired, Required, TypedDict

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.imports.tool_calls import RowTools

ColumnMapping = dict[str, str]
"""Part of an example -> name of its column. See column_mapping.py for the keys."""

JobStep = Literal["inspect", "read", "store", "plan", "remove"]
"""What an import job does: inspect the file, read its rows and (when appending) store them, store
the rows of a confirmed plan, plan again instead because the dataset has changed, or remove the
stored rows of a cancelled import."""


class ReadOptions(TypedDict, total=False):
    """How a person wants the file to be read; absent options are detected."""

    encoding: str
    delimiter: str
    has_header: bool
    sheet: str
    """Name of the sheet of a workbook."""
    member: str
    """Name of the file in a zip."""


class SampleRow(TypedDict):
    """A row for the page: its cells as shortened text."""

    line: int
    cells: dict[str, str]


class KeyCount(TypedDict):
    """How many rows hold something in a column, or in a key of its conversations."""

    column: str
    key: str
    """"" for the column itself."""
    rows: int
    lines: list[int]
    """The first ones."""


class RejectedEntry(TypedDict):
    """A row that was left out, as rejected.jsonl has it."""

    line: int
    reason: str
    text: str


class FileShape(TypedDict):
    """Everything that is needed to read a file, and what the page shows of it."""

    kind: str
    """csv, jsonl, json, xlsx, xlsb, ods, parquet or zip."""
    format: str
    """How the rows are read: table, jsonl, json, sheet or parquet."""
    encoding: str
    """"" where the file is not text."""
    encoding_why: str
    columns: NotRequired[list[str]]
    """Known before the rows are read, unless the format is JSON."""

    # A table or a sheet
    delimiter: NotRequired[str]
    has_header: NotRequired[bool]
    starts: NotRequired[int]
    """Line of the header, or of the first row where there is no header."""
    sheets: NotRequired[list[str]]
    sheet: NotRequired[str]

    # A zip; the rest describes the member
    members: NotRequired[list[str]]
    member: NotRequired[str]

    # After the whole file was inspected
    filled: NotRequired[dict[str, int]]
    """Column -> number of cells that are not empty."""
    rows: NotRequired[list[SampleRow]]
    row_count: NotRequired[int]
    usable: NotRequired[int]
    """Rows that become examples by the inferred mapping, without the keys that are not read."""
    undecided: NotRequired[int]
    """Those of them with a key that changes their meaning and is not read."""
    keys: NotRequired[list[KeyCount]]
    """Every key that holds something; unread_keys.py tells which are read."""
    unreadable: NotRequired[int]
    first_unreadable: NotRequired[list[RejectedEntry]]

    # Kept by the app
    guess: NotRequired[ColumnMapping]
    """The inferred mapping."""
    remembered: NotRequired[bool]
    """Whether the mapping is a saved one."""


class InspectResult(TypedDict):
    step: JobStep
    shape: FileShape
    mapping: ColumnMapping


class ReadResult(TypedDict):
    step: JobStep
    rows: int
    kept: int
    rejected: list[RejectedEntry]
    """The first 200; rejected.jsonl has them all."""
    rejected_count: int
    thoughts: int
    """Rows with a thought before some answer."""
    worse_thoughts: int
    """Rows whose worse answer had one, which is left out."""
    splits: list[str]
    """Those that some of the rows kept name."""


class KeyAndGroup(TypedDict, total=False):
    """Key and group of a row, where the mapping has columns for them."""

    key: str
    group: str


class RowContent(RowTools):
    """The conversation of a row, and its tools where it has some."""

    messages: Required[list[Message]]
    rejected: NotRequired[str]
    """A worse answer than the last message; "" for none."""


class ImportRow(RowContent):
    """A row that becomes an example, as rows.jsonl has it."""

    line: NotRequired[int]
    split: NotRequired[str]
    """train, validation, test, or "" to have one assigned."""
    key: NotRequired[str]
    group: NotRequired[str]


class ToolFields(TypedDict, total=False):
    """The fields of an example about tools."""

    tools: list[Tool]
    parallel_tool_calls: bool | None


class ExampleChange(ToolFields):
    """What a row changes in an example, as changes.jsonl has it."""

    pk: Required[int]
    key: Required[str]
    messages: NotRequired[list[Message]]
    rejected: NotRequired[str]


class PromptAndAnswer(TypedDict):
    prompt: str
    thought: str
    answer: str
    rejected: str


class PlannedChange(TypedDict):
    number: int
    """Of the example."""
    before: PromptAndAnswer
    after: PromptAndAnswer


class ChangeCounts(TypedDict):
    """How many rows are added, changed, left as they are, and moved to the trash."""

    new: int
    changed: int
    same: int
    gone: int


class ChangePlan(ChangeCounts):
    """What a file that updates or replaces the examples would do to them."""

    changed_at: str
    """`Dataset.changed_at` when the rows were compared, moved on by the import's own changes."""
    done: ChangeCounts
    """What has happened so far."""
    first: list[PlannedChange]
    splits: list[str]
    """As in `ReadResult`."""


class StepSpec(TypedDict):
    """What one step of an import needs."""

    step: JobStep
    options: NotRequired[ReadOptions]
    """With the step inspect."""
    shape: NotRequired[FileShape]
    mapping: NotRequired[ColumnMapping]
    """Both with the step read."""


class ImportSpec(StepSpec):
    """`Job.spec` of an import."""

    stored_name: str
    file_name: str


class ImportChildSpec(ImportSpec):
    """What the child process of an import receives."""

    file: str
    """Path on this disk."""
    bytes_left: int
    """How much the team may still store."""
