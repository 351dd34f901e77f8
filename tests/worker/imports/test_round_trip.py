"""Exporting an imported file gives the same bytes.

For a table this needs the same encoding, delimiter, quoting and line ends, and a canonical file:
columns prompt and answer, quotation marks only where needed (or everywhere), no blank rows. For
JSON, a file as json.dumps writes it.
"""

import io
import json

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.datasets import example_export
from finetune_app.datasets.example_export import TableLayout
from worker.dataset_export import parquet, xlsx

GERMAN = [
    ("Größe?", 'Er sagte „gern“, "ja"; also 20 €'),
    ("00712", "NA"),
    ("Zwei\nZeilen", " x "),
]
POLISH = [
    ("Kiedy będzie gotowy mój rower?", "Jutro rano, proszę przyjść"),
    ("Łódź", "źdźbło trawy"),
]
RUSSIAN = [
    ("Когда будет готов мой велосипед?", "Завтра утром, приходите"),
    ("Сколько?", "Два; три"),
]
JAPANESE = [
    ("自転車の修理はいつ終わりますか", "明日の朝に終わります"),
    ("新しいチェーンはいくらですか", "二千円です"),
]
CHINESE = [
    ("我的自行车什么时候修好", "明天早上可以来取"),
    ("新的链条多少钱", "二十元"),
]
TAIWANESE = [
    ("我的腳踏車什麼時候修好", "明天早上可以來取"),
    ("新的鏈條多少錢", "二十元"),
]
KOREAN = [
    ("자전거 수리는 언제 끝나나요", "내일 아침에 끝납니다"),
    ("새 체인은 얼마인가요", "이만 원입니다"),
]
GREEK = [
    ("Πότε θα είναι έτοιμο το ποδήλατό μου", "Αύριο το πρωί, ελάτε"),
    ("Πόσο κάνει", "Δέκα"),
]
HEBREW = [
    ("מתי האופניים שלי יהיו מוכנים", "מחר בבוקר, בוא"),
    ("כמה עולה שרשרת", "עשרה שקלים"),
]
FRENCH = [
    ("Où est ma commande ?", "Elle arrive à midi, déjà prête"),
    ("Très bientôt", "Voilà, ça y est"),
]
MIXED = [
    *GERMAN,
    *POLISH,
    *RUSSIAN,
    ("👩‍👩‍👧 \u200b", "שלום \u202eabc"),
    ("=1+1", "-2"),
    ("'x", "@y"),
]
TABLES = [
    (MIXED, TableLayout("utf-8", ",", "\n")),
    (MIXED, TableLayout("utf-8-sig", ";", "\r\n")),
    (MIXED, TableLayout("utf-16", "\t", "\r\n")),
    (MIXED, TableLayout("utf-16-be", "|", "\n", quote_all=True)),
    (MIXED, TableLayout("utf-32", ",", "\r\n")),
    (GERMAN, TableLayout("cp1252", ";", "\r\n")),
    (FRENCH, TableLayout("iso-8859-1", ",", "\n")),
    (FRENCH * 20, TableLayout("mac_roman", ";", "\r")),
    (POLISH, TableLayout("cp1250", ";", "\r\n", quote_all=True)),
    (POLISH, TableLayout("iso-8859-2", "\t", "\n")),
    (RUSSIAN, TableLayout("cp1251", ";", "\r\n")),
    (RUSSIAN, TableLayout("koi8-r", ",", "\n")),
    (GREEK, TableLayout("iso-8859-7", "|", "\n")),
    (HEBREW, TableLayout("cp1255", "\t", "\r\n")),
    (JAPANESE, TableLayout("shift_jis", ",", "\r\n")),
    (JAPANESE, TableLayout("euc_jp", "\t", "\n")),
    (CHINESE, TableLayout("gb18030", ";", "\n")),
    (TAIWANESE, TableLayout("big5", ",", "\r\n")),
    (KOREAN, TableLayout("euc_kr", "\t", "\r\n")),
]


def table_bytes(pairs: list[tuple[str, str]], layout: TableLayout) -> bytes:
    """A table as bytes, written without our exporter."""

    def cell(text: str) -> str:
        special = layout.quote_all or any(c in text for c in f'{layout.delimiter}"\r\n')
        return '"' + text.replace('"', '""') + '"' if special else text

    lines = [("prompt", "answer"), *pairs]
    text = "".join(layout.delimiter.join(map(cell, line)) + layout.line_end for line in lines)
    return text.encode(layout.encoding)


def version_rows(kept: list[dict]) -> list[dict]:
    return [
        {"id": number, "split": "train", "messages": row["messages"], "source": "file"}
        for number, row in enumerate(kept, 1)
    ]


@pytest.mark.parametrize(("pairs", "layout"), TABLES, ids=lambda one: getattr(one, "encoding", ""))
def test_exporting_an_imported_table_gives_the_same_bytes(import_file, pairs, layout):
    content = table_bytes(pairs, layout)
    kept, result = import_file(content)
    assert result["rejected_count"] == 0
    rows = version_rows(kept)
    exact = TableLayout(
        layout.encoding,
        layout.delimiter,
        layout.line_end,
        layout.quote_all,
        columns="pairs",
        exact=True,
    )
    assert b"".join(example_export.table_pieces(lambda: iter(rows), exact)) == content


CHAT = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": "Größe?"},
    {"role": "assistant", "content": "=1+1"},
    {"role": "user", "content": "00712 \u2028"},
    {"role": "assistant", "content": " NA\r\n"},
]
PAIR = CHAT[1:3]
WEIGHTED = [*CHAT[:2], CHAT[2] | {"weight": 0}, *CHAT[3:]]
JSON_FORMATS = {
    "openai": [{"messages": CHAT}, {"messages": PAIR}, {"messages": WEIGHTED}],
    "vertex": [
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "Be brief"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Ho"}]},
            ],
        }
    ],
    "prompts": [{"prompt": "Größe?", "completion": " NA"}],
    "sharegpt": [
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Ho"},
                {"from": "human", "value": "?"},
                {"from": "gpt", "value": "!"},
            ]
        }
    ],
    "alpaca": [
        {
            "instruction": "Hi",
            "input": "",
            "output": "Ho",
            "system": "Be brief",
            "history": [["a", "b"], ["c", "d"]],
        }
    ],
}


@pytest.mark.parametrize("form", JSON_FORMATS)
def test_exporting_imported_json_gives_the_same_bytes(import_file, form):
    texts = [json.dumps(row, ensure_ascii=False) for row in JSON_FORMATS[form]]
    lines = example_export.FORMATS[form] == ".jsonl"
    content = ("\n".join(texts) + "\n" if lines else "[\n" + ",\n".join(texts) + "\n]\n").encode()
    kept, result = import_file(content, "file.json")
    assert result["rejected_count"] == 0
    rows = version_rows(kept)
    assert b"".join(example_export.json_pieces(form, lambda: iter(rows))) == content


def test_importing_an_export_gives_the_same_messages(import_file):
    """With several turns, system prompts, and texts that look like formulas."""
    rows = version_rows([{"messages": CHAT}, {"messages": CHAT[:3]}])
    for form in ("openai", "vertex", "sharegpt", "alpaca", "prompts", "json"):
        content = b"".join(example_export.json_pieces(form, lambda: iter(rows)))
        kept, result = import_file(content, f"file{example_export.FORMATS[form]}")
        assert [row["messages"] for row in kept] == [row["messages"] for row in rows], form
        assert result["rejected_count"] == 0
    content = b"".join(example_export.table_pieces(lambda: iter(rows), TableLayout(exact=True)))
    assert [row["messages"] for row in import_file(content)[0]] == [row["messages"] for row in rows]


@pytest.mark.parametrize("form", ["openai", "sharegpt", "prompts", "json"])
def test_answers_that_are_not_learned_come_back(import_file, form):
    rows = version_rows([{"messages": WEIGHTED}, {"messages": CHAT}])
    content = b"".join(example_export.json_pieces(form, lambda: iter(rows)))
    kept, _result = import_file(content, f"file{example_export.FORMATS[form]}")
    assert [row["messages"] for row in kept] == [WEIGHTED, CHAT]


def test_answers_that_are_not_learned_come_back_from_parquet_and_tables(import_file):
    rows = version_rows([{"messages": WEIGHTED}, {"messages": CHAT}])
    output = io.BytesIO()
    parquet(lambda: iter(rows), output)
    table = b"".join(example_export.table_pieces(lambda: iter(rows), TableLayout(exact=True)))
    for content, name in ((output.getvalue(), "f.parquet"), (table, "f.csv")):
        assert [row["messages"] for row in import_file(content, name)[0]] == [WEIGHTED, CHAT]


def test_a_cell_that_excel_would_cut_is_an_error():
    rows = version_rows([{"messages": [*CHAT[:2], CHAT[2] | {"content": "x" * 40_000}]}])
    with pytest.raises(ValueError, match="cell"):
        xlsx(lambda: iter(rows), io.BytesIO())


@pytest.mark.parametrize("messages", [PAIR, CHAT], ids=["simple", "turns"])
def test_groups_come_back_from_tables_and_parquet(import_file, messages):
    """Also where some rows have none."""
    groups = ["=Łódź", "", "=Łódź", "b"]
    rows = [
        row | ({"group": group} if group else {})
        for row, group in zip(version_rows([{"messages": messages}] * 4), groups, strict=True)
    ]
    sheet, columns = io.BytesIO(), io.BytesIO()
    xlsx(lambda: iter(rows), sheet)
    parquet(lambda: iter(rows), columns)
    table = b"".join(example_export.table_pieces(lambda: iter(rows), TableLayout(exact=True)))
    files = {"f.parquet": columns.getvalue(), "f.xlsx": sheet.getvalue(), "f.csv": table}
    for name, content in files.items():
        kept, _result = import_file(content, name)
        assert [row["group"] for row in kept] == groups, name


WORSE = " Nö\r\n=2+2"


def pair_rows(*messages: list[dict], every: bool) -> list[dict]:
    """Rows of a version; each, or only the first, is a pair."""
    rows = version_rows([{"messages": one} for one in messages])
    return [
        row | {"rejected": WORSE, "source": row.pop("source")} if every or at == 0 else row
        for at, row in enumerate(rows)
    ]


def with_worse(rows: list[dict]) -> list[tuple[list[dict], str]]:
    return [(row["messages"], row.get("rejected", "")) for row in rows]


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("messages", [(PAIR, CHAT[1:3]), (CHAT, CHAT[:3])], ids=["simple", "turns"])
@pytest.mark.parametrize("form", ["openai", "sharegpt", "alpaca", "prompts", "json"])
def test_both_answers_of_a_pair_come_back(import_file, form, messages, every):
    rows = pair_rows(*messages, every=every)
    content = b"".join(example_export.json_pieces(form, lambda: iter(rows)))
    kept, result = import_file(content, f"file{example_export.FORMATS[form]}")
    assert with_worse(kept) == with_worse(rows)
    assert result["rejected_count"] == 0


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("messages", [(PAIR, CHAT[1:3]), (CHAT, CHAT[:3])], ids=["simple", "turns"])
def test_both_answers_come_back_from_tables_parquet_and_the_frozen_lines(
    import_file, messages, every
):
    rows = pair_rows(*messages, every=every)
    sheet, columns = io.BytesIO(), io.BytesIO()
    xlsx(lambda: iter(rows), sheet)
    parquet(lambda: iter(rows), columns)
    files = {
        "f.parquet": columns.getvalue(),
        "f.xlsx": sheet.getvalue(),
        "f.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    }
    for layout in (TableLayout(exact=True), TableLayout(exact=True, columns="pairs")):
        files[f"{layout.columns}.csv"] = b"".join(
            example_export.table_pieces(lambda: iter(rows), layout)
        )
    for name, content in files.items():
        kept, result = import_file(content, name)
        assert [(text, worse.strip()) for text, worse in with_worse(kept)] == [
            (text, worse.strip()) for text, worse in with_worse(rows)
        ], name
        assert result["rejected_count"] == 0


def test_pairs_alone_leave_as_openai_and_trl_write_them():
    rows = pair_rows(PAIR, every=True)
    [line] = b"".join(example_export.json_pieces("openai", lambda: iter(rows))).splitlines()
    assert json.loads(line) == {
        "input": {"messages": PAIR[:1]},
        "preferred_output": PAIR[1:],
        "non_preferred_output": [{"role": "assistant", "content": WORSE}],
    }
    [line] = b"".join(example_export.json_pieces("prompts", lambda: iter(rows))).splitlines()
    assert json.loads(line) == {"prompt": "Größe?", "chosen": "=1+1", "rejected": WORSE}


def test_a_format_without_a_place_for_the_worse_answer_says_so():
    rows = pair_rows(PAIR, every=False)
    with pytest.raises(PlainError, match="have a worse answer"):
        example_export.json_pieces("vertex", lambda: iter(rows))


@pytest.mark.parametrize("form", ["openai", "json"])
def test_pairs_with_tools_keep_both(import_file, form):
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    rows = [row | {"tools": tools} for row in pair_rows(PAIR, every=True)]
    content = b"".join(example_export.json_pieces(form, lambda: iter(rows)))
    [kept], _result = import_file(content, f"file{example_export.FORMATS[form]}")
    assert (kept["messages"], kept["rejected"], kept["tools"]) == (PAIR, WORSE, tools)
