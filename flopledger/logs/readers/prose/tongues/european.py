"""What languages of Europe share: one set of rules, which each fills with its own words.

A *Billion* is 1e12 in German, *billones* are 1e12 in Spain and are used for 1e9 in America, *bilhões* are 1e9 in
Brazil and *biliões* 1e12 in Portugal, French *billions* are 1e12 by the dictionary and 1e9 where an English text was
translated. So with *biljoen*, *biljoner* and *biliony*. A word of two uses has both readings. A *trillion* on the long scale is 1e18, which no run has had of
anything, so that 1e12 is meant.
"""

from dataclasses import dataclass

from flopledger.logs.readers.prose.tongues.table import Pairs, Scale
from flopledger.logs.readers.prose.tongues.words import BATCH, LENGTH, PART, PERHAPS

_TIME = r"(?P<unit>days|hours|weeks|minutes)"
_CLAUSE = r"[^.;:!?(?P<part>)]{0,60}?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """The words of one language, each a pattern."""

    trained: str  #: any form of the verb
    on: str
    data: str
    tokens: str
    parameters: str
    of: str  #: between a number and its noun
    about: str
    more_than: str
    not_the_figure: str  #: of the parameters: active, trainable
    day: str
    hour: str
    week: str
    minute: str
    device_hours: tuple[str, ...]  #: with ``{N}`` and ``(?P<part>...)``
    device: str
    node: str
    each_with: str
    lasted: str
    batch: str
    length: str
    steps: str
    epochs: str
    per: str
    of_which: str
    respectively: str
    all_models: str
    each_model: str
    based_on: str
    base_model: str
    which_was: str
    other_work: str
    part_of_it: str
    perhaps: str
    energy: str


def rules(words: Words) -> Pairs:
    """Give the rules in their order, filled with the words of one language."""
    part, of = rf"(?P<part>{PART})", words.of
    about = rf"(?:{words.about})*"
    return (
        (rf"{{N}} ?{of}(?:{words.tokens})(?!\w)", r"\g<n> tokens"),
        *(
            (pattern.replace("PART", part), r"\g<n> \g<part> GPU hours")
            for pattern in words.device_hours
        ),
        (
            rf"(?<!\w)(?:{words.more_than}) (?={{N}} (?:tokens|(?:{PART} )? ?GPU hours))",
            "more than ",
        ),
        (rf"{{N}} ?{of}(?:{words.day})(?!\w)", r"\g<n> days"),
        (rf"{{N}} ?{of}(?:{words.week})(?!\w)", r"\g<n> weeks"),
        (rf"{{N}} ?{of}(?:{words.hour})(?!\w)", r"\g<n> hours"),
        (rf"{{N}} ?{of}(?:{words.minute})(?!\w)", r"\g<n> minutes"),
        (rf"{{N}} ?{of}(?:{words.not_the_figure})(?!\w)", "a part of them"),
        (
            rf"{{N}} ?{of}(?:{words.parameters})(?: (?:{words.not_the_figure}))(?!\w)",
            "a part of them",
        ),
        (rf"{{N}} ?{of}(?:{words.parameters})(?!\w)", r"\g<n> parameters"),
        (rf"(?<!\w)(?:{words.energy})(?!\w)", "energy"),
        (
            rf"{{N}} (?:{words.node})(?!\w)(?:,)? ?(?:{words.each_with}) {{M}} (?={PART}|GPU)",
            r"\g<n> nodes with \g<m> ",
        ),
        (rf"{{N}} (?:{words.node})(?!\w)", r"\g<n> nodes"),
        (rf"{{N}} ?{of}(?:{words.device}) (?={PART})", r"\g<n> "),
        (
            rf"(?<!\w)(?:{words.per}) (?={{N}}|days|(?:{words.day}|{words.hour}|{words.week}|{words.steps}|{words.epochs}"
            rf"|{words.device}|{words.node}|Billion|Milliard|tokens?)(?!\w))",
            "per ",
        ),
        (
            rf"(?<!\w)(?:{words.trained})(?!\w){_CLAUSE}(?<!\w)(?:{words.on}) {about}(?P<q>more than )?{{N}} tokens"
            rf"(?!(?: {of})? ?(?:{words.data}))",
            r"trained on \g<q>\g<n> tokens",
        ),
        (rf"(?<!\w)(?:{words.lasted}) {about}(?={{N}} {_TIME})", "during "),
        (rf"(?<!\w)(?:{words.batch})(?!\w)[ :=]*(?:{of}|{words.about})*(?={{N}})", BATCH),
        (rf"(?<!\w)(?:{words.length})(?!\w)[ :=]*(?:{of}|{words.about})*(?={{N}})", LENGTH),
        (rf"{{N}} ?{of}(?:{words.steps})(?!\w)", r"\g<n> steps"),
        (rf"{{N}} ?{of}(?:{words.epochs})(?!\w)", r"\g<n> epochs"),
        (rf"(?<!\w)(?:{words.of_which})(?!\w)", "of which"),
        (rf"(?<!\w)(?:{words.respectively})(?!\w)", "respectively"),
        (rf"(?<!\w)(?:{words.each_model})(?!\w)", "each model"),
        (rf"(?<!\w)(?:{words.all_models})(?!\w)", "all models"),
        (rf"(?<!\w)(?:{words.base_model})(?!\w)", "the base model was"),
        (rf"(?<!\w)(?:{words.based_on})(?!\w)", "based on"),
        (rf"(?<!\w)(?:{words.which_was})(?!\w)", "which was"),
        (rf"(?<!\w)(?:{words.other_work})", "ablation "),
        (rf"(?<!\w)(?:{words.part_of_it})(?!\w)", "intermediate"),
        (rf"(?<!\w)(?:{words.perhaps})(?!\w)", PERHAPS),
        (rf"(?<!\w)(?:{words.data})(?!\w)", "corpus"),
        (rf"(?<!\w)(?:{words.trained})(?!\w)", "trains"),
    )


def verb_last(words: Words, *, participle: str, out_of: str) -> Pairs:
    """Give the rules of languages that may set the verb behind the amount; they come before the others.

    What stands ``out_of`` something is a part of it, and not what the verb is about.
    """
    return (
        (
            rf"{{N}} (?:{words.tokens})(?: \w+){{0,3}} (?P<verb>{participle})",
            r"\g<n> tokens \g<verb>",
        ),
        (
            rf"(?<!\w)(?:{words.on}) (?:{words.about})*(?P<q>(?:{words.more_than}) )?{{N}} (?:{words.tokens})"
            rf"(?! (?:{out_of}) )(?: (?:\w+ ){{0,4}})?(?<= )(?:{participle})",
            r"trained on \g<q>\g<n> tokens",
        ),
        (rf"(?<=trained on )(?:{words.more_than})", "more than"),
    )


def scales(*pairs: tuple[str, tuple[int, ...]]) -> tuple[Scale, ...]:
    """Give words behind numbers with the powers of ten that each may mean."""
    return tuple(Scale(word=word, readings=readings) for word, readings in pairs)
