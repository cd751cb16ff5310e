"""The contract of a file face as pytest runs it, for one adapter and every file that it has a sample of.

    from adapters.testing.file_suite import FileSuite

    class TestAcmeFiles(FileSuite):
        adapter, folder = ADAPTER, Path(__file__).parent / "files"

Property 6: a file cut at any place, grown, read again or with lost state gives the same documents once; the mark
changes only when nothing is under way. 1 and 2 are those of messages. That a repeat has one effect is shown before a
real core.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import FILE_KINDS, Adapter, FileFace, FileMark
from adapters.testing.files import FileSample, Reading, face_of, keys_of, read, read_file_samples
from adapters.testing.mutations import mutated
from adapters.testing.suite import check_sane, few
from processing.commands import Command
from processing.errors import BadMessage

# A file is cut at so many places, and besides at every byte of its last ones.
CUTS, LAST_BYTES = 30, 25

_read = functools.cache(read_file_samples)


class FileSuite:
    """What every file face must keep. ``examples`` is how many mutations each sample goes through."""

    adapter: ClassVar[Adapter]
    folder: ClassVar[Path]
    examples: ClassVar[int] = 20

    @classmethod
    def samples(cls) -> list[FileSample]:
        return _read(cls.folder, cls.adapter)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "sample" in metafunc.fixturenames:
            metafunc.parametrize("sample", self.samples(), ids=[sample.case for sample in self.samples()])

    def face(self, sample: FileSample) -> FileFace:
        return face_of(self.adapter, sample)

    def whole(self, sample: FileSample) -> Reading:
        return read(self.face(sample), sample, sample.content)

    def cuts(self, sample: FileSample) -> Iterator[int]:
        """Places all over the file, every byte of its end, and all of it."""
        size = len(sample.content)
        yield from sorted({*range(0, size, max(size // CUTS, 1)), *range(max(size - LAST_BYTES, 0), size + 1)})

    def cut(self, sample: FileSample) -> Iterator[tuple[bytes, Reading]]:
        """So much of the file, and what it tells: a beginning is never foreign."""
        for end in self.cuts(sample):
            yield sample.content[:end], read(self.face(sample), sample, sample.content[:end])

    # 1. Same bytes, same asks

    def test_a_file_tells_what_was_recorded_and_the_same_every_time(self, sample: FileSample) -> None:
        first, second = self.whole(sample), self.whole(sample)
        assert first.recorded() == sample.found
        assert (first.documents, first.state, first.writes) == (second.documents, second.state, second.writes)

    def test_pieces_of_any_size_tell_the_same(self, sample: FileSample) -> None:
        for piece in (1, 7, 1000):
            told = read(self.face(sample), sample, sample.content, piece=piece)
            assert (told.documents, told.writes) == (self.whole(sample).documents, self.whole(sample).writes)

    def test_a_sample_says_where_it_comes_from(self, sample: FileSample) -> None:
        assert sample.origin

    def test_there_are_samples_that_ask(self) -> None:
        assert any(self.whole(sample).asks for sample in self.samples())

    def test_documents_are_facts_within_bounds_and_the_others_say_what_they_are(self, sample: FileSample) -> None:
        for found in self.whole(sample).documents:
            assert found.asks or found.kind in FILE_KINDS
            for ask in found.asks:
                assert isinstance(ask, Command) and getattr(ask, "fact", True)
                check_sane(ask, sample.link)

    # 2. Broken bytes

    def test_mutated_files_raise_nothing_but_bad_message(self, sample: FileSample) -> None:
        @few(self.examples)
        @given(st.data())
        def survives(data: st.DataObject) -> None:
            with suppress(BadMessage):
                read(self.face(sample), sample, mutated(sample.content, data))

        survives()

    # 6. Cut, grown, read again, with and without what was left

    def test_a_cut_file_tells_nothing_that_the_whole_does_not(self, sample: FileSample) -> None:
        whole = self.whole(sample).asks
        for content, told in self.cut(sample):
            for keys, ask in told.asks.items():
                assert whole.get(keys) == ask, f"cut at {len(content)}: {keys}"

    def test_a_grown_file_tells_each_document_once_whether_its_state_is_lost_or_not(self, sample: FileSample) -> None:
        whole = self.whole(sample).asks
        for content, told in self.cut(sample):
            for state in (told.state, None):
                again = read(self.face(sample), sample, sample.content, state).asks
                assert again == whole, f"cut at {len(content)}"

    def test_a_file_that_is_read_again_tells_the_same(self, sample: FileSample) -> None:
        first = self.whole(sample)
        second = read(self.face(sample), sample, sample.content, first.state)
        assert (second.asks, second.writes) == (first.asks, first.writes)

    def test_the_mark_changes_only_when_nothing_is_under_way(self, sample: FileSample) -> None:
        """Nothing of a document that is told later stands in what was read, and no line without its end."""
        whole = self.whole(sample)
        for content, told in self.cut(sample):
            if not told.writes or len(content) == len(sample.content):
                continue
            known: Any = told.asks
            text = content.decode(sample.encoding, "replace")
            for found in whole.documents:
                is_told = all(keys in known for keys in keys_of(found))
                assert is_told or not any(line in text for line in found.raw), f"marked when cut at {len(content)}"
            begun = text.rpartition("\n")[2].strip("\r\ufffd")
            lines = [line for found in told.documents for line in found.raw]
            assert not begun or begun in lines, f"marked in the midst of a line, at {len(content)}"

    def test_a_mark_stands_in_the_file(self, sample: FileSample) -> None:
        for mark in self.whole(sample).writes:
            assert isinstance(mark, FileMark), "a face only marks"
            there = sample.content[mark.offset : mark.offset + len(mark.old)]
            assert there == mark.old and len(mark.old) == len(mark.new)
