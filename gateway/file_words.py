"""What an import of a file has come to, in Russian and English: what operators read on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from processing.errors import BadMessage

if TYPE_CHECKING:
    from gateway.file_import import Summary

WORDS: dict[str, dict[str, str]] = {
    "posted": {"ru": "проведено", "en": "posted"},
    "already_known": {"ru": "уже известно", "en": "already known"},
    "voided": {"ru": "отменено раньше, не проведено", "en": "voided before, not posted"},
    "mismatch": {
        "ru": "расхождение с тем, что проведено под этим ключом: сверьте",
        "en": "differs from what is booked under its key: reconcile",
    },
    "quarantined": {
        "ru": "отложено: номера транзакций заняты другими строками, база кассы создана заново? (epochs)",
        "en": "put aside: other lines have these numbers, was the till's database made anew? (epochs)",
    },
    "refused": {"ru": "отклонено", "en": "refused"},
    "broken": {"ru": "не разобрано", "en": "not understood"},
    "cancelled": {"ru": "отменено на кассе", "en": "cancelled at the till"},
    "unfinished": {"ru": "не закрыто, ждём продолжения", "en": "not finished, waits for the rest"},
    "other": {"ru": "не чеки (внесения, выплаты и другое)", "en": "no receipts (pay-ins, pay-outs and others)"},
    "gap": {"ru": "пропуски в номерах транзакций", "en": "gaps in the numbers of transactions"},
}
FLAGGED = {"ru": "Из проведённых с пометками", "en": "Of those posted, flagged"}
SECONDS = {"ru": "секунд", "en": "seconds"}
FOREIGN = {
    "ru": "это не отчёт АТОЛ (Frontol). Файлы PILOT, Domino и других форматов не читаются. Место: {where}",
    "en": "this is no ATOL (Frontol) report. PILOT, Domino and other formats are not read. Where: {where}",
}
LOAD_FILE = {
    "ru": "это файл загрузки для кассы, а не отчёт. Нужен файл, который выгружает касса",
    "en": "this is a load file for the till and no report. What is needed is the file that the till writes",
}


def lines(summary: Summary, language: str) -> Iterator[str]:
    """The summary, a line for each outcome, with the documents that somebody should look at."""
    for kind, words in WORDS.items():
        if not summary.counts[kind]:
            continue
        yield f"{summary.counts[kind]:>10,}  {words[language]}"
        notes = summary.notes.get(kind, ())
        yield from (f"{'':>12}{note}" for note in notes)
        if notes and summary.counts[kind] > len(notes):
            yield f"{'':>12}..."
    if summary.flags:
        flags = ", ".join(f"{flag} {count:,}" for flag, count in sorted(summary.flags.items()))
        yield f"{FLAGGED[language]}: {flags}"
    yield f"{summary.seconds:>10,.1f}  {SECONDS[language]}"


def figures(summary: Summary) -> dict[str, Any]:
    """The same for programs."""
    counts = {kind: summary.counts[kind] for kind in WORDS}
    return {**counts, "flags": dict(summary.flags), "notes": summary.notes, "seconds": round(summary.seconds, 3)}


def foreign(error: BadMessage, language: str) -> str:
    """Why a file was not read at all."""
    if error.details.get("value") == "load_file":
        return LOAD_FILE[language]
    return FOREIGN[language].format(where=error.details.get("where", "?"))
