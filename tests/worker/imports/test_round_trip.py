"""What comes in goes out again, byte for byte.

A table leaves with the bytes it came with when it is written in the same encoding, delimiter,
quoting and line ends, and was canonical: the columns are called prompt and answer, quotation
marks stand only where they are needed (or everywhere), no row is blank. JSON leaves with the
same bytes when it was written as json.dumps writes it.
"""

import json

import pytest

from finetune_app.datasets import example_export
from finetune_app.datasets.example_export import TableLayout

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
EVERY = [
    *GERMAN,
    *POLISH,
    *RUSSIAN,
    ("👩‍👩‍👧 \u200b", "שלום \u202eabc"),
    ("=1+1", "-2"),
    ("'x", "@y"),
]
TABLES = [
    (EVERY, TableLayout("utf-8", ",", "\n")),
    (EVERY, TableLayout("utf-8-sig", ";", "\r\n")),
    (EVERY, TableLayout("utf-16", "\t", "\r\n")),
    (EVERY, TableLayout("utf-16-be", "|", "\n", quote_all=True)),
    (EVERY, TableLayout("utf-32", ",", "\r\n")),
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


def written(pairs: list[tuple[str, str]], layout: TableLayout) -> bytes:
    """The file as another program would have made it, without our exporter."""

    def cell(text: str) -> str:
        special = layout.quote_all or any(c in text for c in f'{layout.delimiter}"\r\n')
        return '"' + text.replace('"', '""') + '"' if special else text

    lines = [("prompt", "answer"), *pairs]
    text = "".join(layout.delimiter.join(map(cell, line)) + layout.line_end for line in lines)
    return text.encode(layout.encoding)


def frozen(found: list[dict]) -> list[dict]:
    return [
        {"id": number, "split": "train", "messages": row["messages"], "source": "file"}
        for number, row in enumerate(found, 1)
    ]


@pytest.mark.parametrize(("pairs", "layout"), TABLES, ids=lambda one: getattr(one, "encoding", ""))
def test_a_table_leaves_as_it_came(take_in, pairs, layout):
    content = written(pairs, layout)
    found, result = take_in(content)
    assert result["rejected_count"] == 0
    rows = frozen(found)
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
DIALECTS = {
    "openai": [{"messages": CHAT}, {"messages": PAIR}],
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


@pytest.mark.parametrize("form", DIALECTS)
def test_json_leaves_as_it_came(take_in, form):
    texts = [json.dumps(row, ensure_ascii=False) for row in DIALECTS[form]]
    lines = example_export.FORMATS[form] == ".jsonl"
    content = ("\n".join(texts) + "\n" if lines else "[\n" + ",\n".join(texts) + "\n]\n").encode()
    found, result = take_in(content, "file.json")
    assert result["rejected_count"] == 0
    rows = frozen(found)
    assert b"".join(example_export.json_pieces(form, lambda: iter(rows))) == content


def test_every_dialect_brings_back_what_it_took_out(take_in):
    """Several turns, instructions, and texts that look like formulas, through each format."""
    rows = frozen([{"messages": CHAT}, {"messages": CHAT[:3]}])
    for form in ("openai", "vertex", "sharegpt", "alpaca", "prompts", "json"):
        content = b"".join(example_export.json_pieces(form, lambda: iter(rows)))
        found, result = take_in(content, f"file{example_export.FORMATS[form]}")
        assert [row["messages"] for row in found] == [row["messages"] for row in rows], form
        assert result["rejected_count"] == 0
    content = b"".join(example_export.table_pieces(lambda: iter(rows), TableLayout(exact=True)))
    assert [row["messages"] for row in take_in(content)[0]] == [row["messages"] for row in rows]
