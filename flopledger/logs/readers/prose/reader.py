"""Prose: what a README, a chronicle or an issue's text says of a training run, in words and tables.

Everything here is somebody's word. A figure is noted under ``said_...`` with its line; whether it is
used is decided where all evidence is at hand (``flopledger/logs/statements.py``), since a model card may
well speak of the model that it was fine-tuned from. Plans, wishes, comparisons and examples are no
statements about a run and are left out; so are code blocks and tables of several runs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from flopledger import flop_words
from flopledger.facts import Grade
from flopledger.logs.document import Document
from flopledger.logs.notes import Notes, line
from flopledger.logs.reader import Reader
from flopledger.logs.readers.prose import bounds, figures, groups, labels, markup, passes, scope
from flopledger.logs.readers.prose.numbers import in_digits
from flopledger.logs.readers.prose.tongues import amounts, glossing, telling
from flopledger.logs.readers.prose.tongues.table import Tongue

_LATEX = ".tex"
_ENDINGS = (".md", ".markdown", ".mdx", ".rst", ".txt", ".html", ".htm", _LATEX)
_TRAINED = re.compile(r"\b(?:pre-?|post-?|fine-?)?(?:train|tun)(?:ed|ing|s)?\b|\btook\b", re.I)
#: Words by which a sentence is a plan, a wish, a comparison, or about something else than training.
_HYPOTHETICAL = re.compile(
    r"\b(?:can|could|would|should|might|may|will|if|expect\w*|estimat\w*|aims?|plan(?:s|ned)?|goal|"
    r"compar\w*|than|instead|e\.g\.|for example|recommend\w*|requir\w*|needs?|needed|minimum|"
    r"inference|serv(?:e|es|ing)|evaluat\w*|benchmark\w*|theoretical\w*|up to|per (?:day|epoch)|"
    r"intermediate|so far|remaining|teachers?|baselines?)\b"
    r"|(?:\b(?:not|never|without)|n't)\s+(?:been\s+|be\s+)?(?:pre-?|post-?|fine-?)?(?:train|tun)\w*",
    re.I,
)
#: Rows of spaces say nothing, and make a search for "number, spaces, unit" quadratic.
_SPACES = re.compile(r"[ \t]{2,}")
_MARKUP = re.compile(r"<[^<>]{0,300}>|[*`~≈]|\\[,;! ]")
#: "2~3 days" is a range; "~3 days" and "~~3~~ days" are not.
_TILDE_RANGE = re.compile(r"(?<=[\d%kKMBTh万亿億萬兆天日])(?:[~～〜∼]| [~～〜∼] )(?=\d)")  # noqa: RUF001
#: "8 * A100", "A100*8" and "2048*1024" are products, and no emphasis.
_STAR = re.compile(r"(?<=[\w)]) \* (?=[\dA-Z])|(?<=[\w)])\*(?=\d)")
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()]{0,600}\)")
_LABELLED = re.compile(
    r"\s*(?:[-+•]\s+|\d+\.\s+)?([^\W\d_][^:：|。]{1,60}?)\s*[:：]\s*(.{1,300})"  # noqa: RUF001
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?;])(?<!\bMrd\.)(?<!\bMio\.)(?<!\bBio\.)(?<!\bTsd\.)(?<!\bca\.)(?<!\bbzw\.)(?<!\bMln\.)(?<!\bMld\.)"
    r"(?<!\b[Mm]rd\.)(?<!\bml[nd]\.)(?<!\bbln\.)(?<!\btys\.)(?<!\bmdr\.)(?<!\bтыс\.)(?<!\bмлн\.)(?<!\bмлрд\.)(?<!\bтрлн\.)"  # noqa: RUF001
    r"\s+(?=[A-ZÀ-ÖØ-ÞĄĆĘŁŃŚŹŻА-ЯЁ(\[¿¡])|(?<=[。！？；])\s*"  # noqa: RUF001
)
_EXPERTS = re.compile(
    r"mixture[- ]of[- ]experts|\bMoE\b|\bactive param|activated param"
    r"|混合专家|專家混合|混合專家|专家混合|混合エキスパート|エキスパート混合|전문가 ?혼합"
    r"|Experten-?(?:mischung|modell)|mélange d['’]experts|mezcla de expertos"  # noqa: RUF001
    r"|mistura de especialistas|miscela di esperti",
    re.I,
)
_RULE_CELL = re.compile(r"\s*:?-{2,}:?\s*")


#: A longer line is no sentence, and an hour of matching.
_LINE_CHARACTERS = 1_500
#: What a text says of its run, it says near its beginning; the rest of a longer one is not read.
_TEXT_CHARACTERS = 262_144
#: More figures than this are a data set, not a description.
_FIGURES = 400
#: Unit -> a figure that no run has had; a larger one is a slip or a joke.
_LARGEST = {"tokens": 1e17, "parameters": 1e15, "devices": 1e7, "s": 1e14, "FLOP": 1e32} | {
    "FLOP/s": 1e18,
    "J": 1e18,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A sentence, or a label with its value."""

    number: int  #: line
    text: str
    label: str | None = None
    part: int = 1  #: which sentence of its line
    printed: str = ""  #: as it stands in the file, where ``text`` and ``label`` are a gloss
    others: tuple[str, ...] = ()  #: the gloss by each reading of a number that has two

    @property
    def words(self) -> str:
        """As the file has it."""
        own = self.text if self.label is None else f"{self.label}: {self.text}"
        return self.printed or own


def sniff(head: bytes, name: str) -> bool:
    """Recognise a text that speaks of a run's hardware, time, tokens or FLOP."""
    if b"\0" in head[:4096] or head.lstrip()[:1] in (b"{", b"["):
        return False
    if not name.lower().endswith(_ENDINGS):
        return False
    text = head[:_TEXT_CHARACTERS].decode("utf-8", "replace")
    by_commas = groups.parts_by_commas(text)
    pieces = _in_english(text, is_latex=name.lower().endswith(_LATEX))
    return any(_speaks(piece, by_commas=by_commas) or _of_another(piece) for piece in pieces)


def _speaks(piece: _Piece, *, by_commas: bool) -> bool:
    """Say whether a piece has a figure that tells of training by itself; a label of epochs does not."""
    taken, doubted = _taken_and_doubted(piece, by_commas=by_commas)
    names = {name for name, _, _ in taken}
    return bool(doubted) or bool(names - {"passes"} if piece.label is not None else names)


def read(document: Document, notes: Notes) -> None:
    """Note every figure that the text states about training."""
    note(document.text(), notes, is_latex=document.name.lower().endswith(_LATEX))


def note(text: str, notes: Notes, *, is_latex: bool = False) -> None:
    """Note the figures of a text; a card's reader hands its text over, too."""
    text = text[:_TEXT_CHARACTERS]
    by_commas = groups.parts_by_commas(text)
    experts = _EXPERTS.search(text) is not None
    noted = 0
    said_of_experts = False
    for piece in _in_english(text, is_latex=is_latex):
        if noted > _FIGURES:
            break
        how = "label" if piece.label is not None else "sentence"
        if not said_of_experts and scope.has_experts(f"{piece.label or ''} {piece.text}"):
            said_of_experts = True
            place = f"{line(piece.number)}, {how}"
            notes.fact("said_experts", "mixture of experts", place, grade=Grade.STATEMENT)
        if piece.part > 1:
            how = f"{how} {piece.part}"
        taken, doubted = _taken_and_doubted(piece, by_commas=by_commas)
        if doubted:
            noted += 1
            _note_doubts(piece, doubted, notes)
        if others := _of_another(piece):
            noted += 1
            _note_others(piece, others, notes)
        for name, value, unit in taken:
            if experts and name == "parameters":
                continue  # of a mixture: all of them, or those that a token meets
            if not isinstance(value, str) and not 0 < value < _LARGEST.get(unit or "", 1e9):
                continue  # "0 days": nothing is known by it
            place = f"{line(piece.number)}, {how}"
            noted += 1
            notes.fact(f"said_{name}", value, place, unit=unit, grade=Grade.STATEMENT)


_Figures = list[tuple[str, float | int | str, str | None]]


def _taken_and_doubted(piece: _Piece, *, by_commas: bool) -> tuple[_Figures, _Figures]:
    """Give the figures of a piece, and those whose digits can be read in two ways."""
    if piece.printed:  # its numbers are in digits already, with points for decimals
        by_commas = True
    veiled = groups.veiled(piece.text, by_commas=by_commas)
    everything = _figures(piece)
    if veiled == piece.text and not piece.others:
        return everything, []
    taken = _figures(replace(piece, text=veiled))
    # The amounts of FLOP have rules of their own, by which a decimal comma is one.
    taken += [one for one in everything if one[0] == "claimed_flop" and one not in taken]
    taken = _of_a_range_of_passes(taken, everything)
    names = {name for name, _, _ in taken}
    guesses = piece.others or (groups.guessed(piece.text),)
    perhaps = [one for guess in guesses for one in _figures(replace(piece, text=guess))]
    return taken, [one for one in perhaps if one[0] not in names and one[2] is not None]


def _of_a_range_of_passes(taken: _Figures, everything: _Figures) -> _Figures:
    """Keep both readings of tokens beside "2-4 epochs": the range's upper end bounds them, too."""
    ends = ("tokens_at_least", "tokens_of_passes_at_most")
    both = [one for one in everything if one[0] in ends]
    amounts = [value for name, value, _ in taken if name == "tokens"]
    if len(both) != len(ends) or amounts != [both[0][1]]:
        return taken
    return [one for one in taken if one[0] != "tokens"] + both


def _note_doubts(piece: _Piece, doubted: _Figures, notes: Notes) -> None:
    names = ", ".join(dict.fromkeys(name for name, _, _ in doubted))
    what = "digits that can be read in two ways, or a range"
    if piece.others:
        readings = {f"{value:.4g}" for _, value, _ in doubted if not isinstance(value, str)}
        what = f"a number that can be read in two ways ({' or '.join(sorted(readings))})"
    notes.finding(
        "prose-ambiguous",
        "warning",
        f"{names}: {what}, in {piece.words[:160]!r}: not used; state the figure in the case",
        line(piece.number),
    )


def _of_another(piece: _Piece) -> list[tuple[str, str]]:
    """Name the figures of a sentence that are not this run's alone, each with whose they are."""
    if piece.label is not None:
        return []
    own, other = bounds.own(piece.text)
    found = [(name, "of the model that this one began with") for name in _names(other)]
    text = _spelled(own)
    if _TRAINED.search(text) is None or _HYPOTHETICAL.search(text) is not None:
        return found
    if scope.other_work(text):
        return found + [
            (name, "of other work than the training") for name in _names(own, every=True)
        ]
    every, taken = figures.everything(text), figures.of_sentence(text)
    left = {name for name, _, _ in every} - {name for name, _, _ in taken}
    found += [(name, "of several models together") for name in sorted(left)]
    if (words := scope.equivalent_hours(text)) is not None:
        found.append((words, "of another part than the one that worked"))
    if flop_words.ranges(text):
        found.append(("claimed_flop", "a range"))
    if any(name == "tokens_of_passes_at_most" for name, _, _ in taken):
        found.append(("tokens", "beside epochs, of one pass or of all: both readings are kept"))
    return found


def _names(text: str, *, every: bool = False) -> list[str]:
    read = figures.everything if every else _of_sentence
    return list(dict.fromkeys(name for name, _, _ in read(text) if name != "parameters"))


def _note_others(piece: _Piece, others: list[tuple[str, str]], notes: Notes) -> None:
    for whose in dict.fromkeys(whose for _, whose in others):
        names = ", ".join(name for name, of in others if of == whose)
        end = "" if "are kept" in whose else ": not used"
        notes.finding(
            "prose-ambiguous",
            "info",
            f"{names}: {whose}, in {piece.words[:160]!r}{end}",
            line(piece.number),
        )


def _in_english(text: str, *, is_latex: bool = False) -> Iterator[_Piece]:
    """Cut a text into pieces, those in other languages in English words."""
    pieces = list(_pieces(text, is_latex=is_latex))
    foreign = [
        one.label for one in pieces if one.label is not None and not labels.is_label(one.label)
    ]
    home = telling.of_text(text, foreign)
    by_points = amounts.points_part_thousands(text)
    for piece in pieces:
        words = piece.text if piece.label is None else f"{piece.label}: {piece.text}"
        tongue = telling.of_piece(words, home)
        if tongue is None and piece.label is not None and not labels.is_label(piece.label):
            tongue = telling.of_label(piece.label, home)
        yield piece if tongue is None else _glossed(piece, words, tongue, by_points=by_points)


def _glossed(piece: _Piece, words: str, tongue: Tongue, *, by_points: bool | None) -> _Piece:
    gloss = glossing.gloss(piece.text, piece.label, tongue, by_points=by_points)
    return replace(piece, text=gloss.text, label=gloss.label, printed=words, others=gloss.others)


def _figures(piece: _Piece) -> _Figures:
    if piece.label is not None:
        return labels.of_label(piece.label, piece.text)
    return _of_sentence(bounds.own(piece.text)[0])


def _spelled(text: str) -> str:
    return passes.written_out(bounds.marked(in_digits(text)))


def _of_sentence(text: str) -> _Figures:
    text = _spelled(text)
    if _HYPOTHETICAL.search(text) is None and not _TRAINED.search(text):
        return figures.of_model(text)
    if not _TRAINED.search(text) or _HYPOTHETICAL.search(text) or scope.other_work(text):
        return []
    return figures.of_sentence(text)


def _pieces(text: str, *, is_latex: bool = False) -> Iterator[_Piece]:
    """Cut a text into labels with values, and sentences; tables of several rows are left out."""
    fenced = False
    table: list[tuple[int, list[str]]] = []
    for number, printed in markup.lines(text, is_latex=is_latex):
        raw = _SPACES.sub(" ", printed)
        if raw.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        if fenced or len(raw) > _LINE_CHARACTERS:
            continue
        spelled = flop_words.spelled(groups.joined(_LINK.sub(r"\1", raw)))
        plain = (
            _MARKUP.sub("", _TILDE_RANGE.sub(" - ", _STAR.sub(" x ", spelled)))
            .replace("×", "x")
            .replace("\xa0", " ")
        )
        if plain.count("|") >= 2:
            table.append((number, [cell.strip() for cell in plain.strip().strip("|").split("|")]))
            continue
        yield from _of_table(table)
        table = []
        begin = 1
        match = _LABELLED.fullmatch(plain)
        if match is not None and _is_label(match[1]):
            # "Hardware: 8 A100. Training took 3 days.": what follows the value is a sentence.
            value, *more = _SENTENCE_END.split(match[2].strip(), maxsplit=1)
            yield _Piece(number=number, label=match[1].strip(), text=value)
            plain, begin = "".join(more), 2
        for part, sentence in enumerate(_SENTENCE_END.split(plain), start=begin):
            if sentence.strip():
                yield _Piece(number=number, text=sentence.strip(), part=part)
    yield from _of_table(table)


def _is_label(label: str) -> bool:
    return labels.is_label(label) or glossing.label_of(label, None) is not None


def _of_table(rows: list[tuple[int, list[str]]]) -> Iterator[_Piece]:
    """Give a table of two columns as labels, and one of a single row by its header."""
    body = [row for row in rows if not all(_RULE_CELL.fullmatch(cell) for cell in row[1])]
    if len(body) > 1 and all(len(cells) == 2 for _, cells in body):
        yield from (_Piece(number=number, label=cells[0], text=cells[1]) for number, cells in body)
    elif len(body) == 2 and len(body[0][1]) == len(body[1][1]):
        number = body[1][0]
        pairs = zip(body[0][1], body[1][1], strict=True)
        yield from (_Piece(number=number, label=head, text=cell) for head, cell in pairs if cell)


READER = Reader(format="prose", sniff=sniff, read=read)
