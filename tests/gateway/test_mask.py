"""What people see of a message: nothing private, in whatever way it is written, and everything else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.registry import ADAPTERS
from adapters.testing import Sample, read_samples
from gateway.mask import mask

SAMPLES = [
    sample
    for adapter in ADAPTERS.values()
    if adapter.routes
    for sample in read_samples(Path(__file__).parents[1] / "adapters" / adapter.name / "samples", adapter)
]
CUTS = 40
DISH = "Борщ"


def ways(body: bytes) -> Iterator[bytes]:
    """The message whole, cut short, and as text inside another document."""
    yield body
    yield from (body[:end] for end in range(0, len(body), max(len(body) // CUTS, 1)))
    text = body.decode("utf-8", "replace")
    yield f"<a>{escape(text)}</a>".encode()
    yield f"<a b={quoteattr(text)}/>".encode()
    yield json.dumps({"a": text}, ensure_ascii=False).encode()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.adapter}-{sample.case}")
def test_no_secret_of_a_sample_is_shown_however_it_is_cut_or_wrapped(sample: Sample) -> None:
    private = ADAPTERS[sample.adapter].private
    for document in (sample.request.body, sample.answer):
        for way in ways(document):
            shown = mask(way, private)
            assert [secret for secret in sample.secrets if secret in shown] == []
        assert (DISH in mask(document, private)) == (DISH.encode() in document or DISH.encode("cp1251") in document)


PRIVATE = frozenset({"cardcode", "Holder", "phone", "name", "card"})


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('<Holder name="Анна" id = \'34\' sum="1.50"/>5', '<Holder name="***" id = \'***\' sum="***"/>5'),
        ('<Holder\n a="x > y" b="&lt;z"\n/><B a="b">c</B>', '<Holder\n a="***" b="***"\n/><B a="b">c</B>'),
        ('<Holder a="b"><Inner a="b">c</Inner></Holder>', '<Holder a="***"><Inner a="b">c</Inner></Holder>'),
        ('<B c="&lt;Holder a=&apos;b&apos;/&gt;" d="e"/>', '<B c="&lt;Holder a=&apos;***&apos;/&gt;" d="e"/>'),
        ("&lt;holder a=&quot;b&quot;&gt;c&lt;/holder&gt;d", "&lt;holder a=&quot;***&quot;&gt;***&lt;/holder&gt;d"),
        ("&lt;Holder&#10;a=&quot;b&quot;/&gt;c", "&lt;Holder&#10;a=&quot;***&quot;/&gt;c"),
        (r'{"xml": "<Holder\na=\"b\"/>", "sum": 1}', r'{"xml": "<Holder\na=\"***\"/>", "sum": 1}'),
        ("<Holder a=b c>d</Holder>", "<Holder a=*** c>***</Holder>"),
        ('<Holder a="b', '<Holder a="***'),
        ("<Holder>Иван &lt;b&gt; П</Holder>", "<Holder>***</Holder>"),
        ('<Holders a="b">c</Holders>', '<Holders a="b">c</Holders>'),
        ('<A cardcode="5550001234567890" x="1"/>', '<A cardcode="***7890" x="1"/>'),
        ("<A CARDCODE = '77'/>", "<A CARDCODE = '***'/>"),
        ('<ns:Holder a="b">Иван</ns:Holder><Holder/>', '<ns:Holder a="***">***</ns:Holder><Holder/>'),
        ("<Holder><![CDATA[Иван <b>П</b>]]></Holder>", "<Holder><![CDATA[***]]></Holder>"),
        ("&lt;Holder&gt;Иван&lt;/Holder&gt;", "&lt;Holder&gt;***&lt;/Holder&gt;"),
        ("&lt;A name=&quot;Иван&quot;/&gt;", "&lt;A name=&quot;***&quot;/&gt;"),
        (r'{"name": "Иван \"В\" П", "sum": 450.50}', '{"name": "***", "sum": 450.50}'),
        (r'"{\"name\": \"Иван\"}"', r'"{\"name\": \"***\"}"'),
        ('{"phone": 79123456789, "card": ["12", "34"]}', '{"phone": ***6789, "card": ["***", "***"]}'),
        ("a=1&phone=%2B79123456789&name=%D0%98", "a=1&phone=***6789&name=***"),
        ('<A name="Иван', '<A name="***'),
        ('<A name="" rename="x"/>', '<A name="" rename="x"/>'),
        ("unnamed 79123456789, 4276 1234 5678 9012", "unnamed ***6789, ***9012"),
        ("+7 (912) 345-67-89 / 8 912 345 67 89", "***6789 / ***6789"),
        ("Ivan.Petrov@mail.ru", "***"),
        ("2026-05-04T18:30:00 450.50 199999999", "2026-05-04T18:30:00 450.50 199999999"),
        ("1b4e28ba-2fa1-11d2-883f-123456789012", "1b4e28ba-2fa1-11d2-883f-123456789012"),
    ],
)
def test_private_fields_are_masked(sent: str, shown: str) -> None:
    assert mask(sent.encode(), PRIVATE) == shown


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251"])
def test_private_fields_are_masked_in_any_encoding(encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert mask((head + '<A Holder="Иван" dish="Борщ"/>').encode(encoding), PRIVATE) == (
        head + '<A Holder="***" dish="Борщ"/>'
    )


def test_unreadable_bytes_are_shown_masked() -> None:
    assert mask(b"\x00\x01phone=12345678\xff 79123456789", PRIVATE) == r"\x00\x01phone=***5678 ***6789"


@given(body=st.binary(max_size=200), number=st.integers(10**10, 10**16))
def test_no_long_number_is_ever_shown(body: bytes, number: int) -> None:
    assert str(number) not in mask(body + str(number).encode() + body, frozenset())


@pytest.mark.parametrize(
    "evil",
    [
        *("<name ", "&lt;name ", 'name="', "name='name=\"", "name=[", "<name><![CDATA[", "a.", "1-", "\\", "&amp;"),
        *("<name a=", '<name a="', "<name a='\"", "<name>&lt;", "&lt;name a=&quot;", "<name a=\\", "amp;"),
    ],
)
def test_masking_is_not_slowed_down_by_evil_text(evil: str) -> None:
    started = time.thread_time()
    mask(evil.encode() * (200_000 // len(evil)), PRIVATE)
    assert time.thread_time() - started < 2
