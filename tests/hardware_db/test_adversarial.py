"""Mangled and hostile names: the right part, or a refusal, and never another part."""

import string

from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from hardware_db import HardwareError
from hardware_db.database import default_database

DATABASE = default_database()
EXACT = [
    (name, part.id)
    for part in DATABASE.accelerators()
    for name in DATABASE.identifier.names_of(part.id).exact
]
ALLOWED = set(string.ascii_letters + string.digits)


def compact(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def identified(name: str, **known: float) -> str | None:
    try:
        return hardware_db.identify(name, **known).id  # type: ignore[arg-type]
    except HardwareError:
        return None


@given(st.sampled_from(EXACT), st.data())
def test_case_and_separators_do_not_change_the_part(
    entry: tuple[str, str], data: st.DataObject
) -> None:
    name, _ = entry
    separators = data.draw(
        st.lists(st.sampled_from([" ", "-", "_", "  "]), min_size=20, max_size=20)
    )
    mangled = "".join(
        separators[i % 20] if c in " -" else data.draw(st.sampled_from([c.lower(), c.upper()]))
        for i, c in enumerate(name)
    )
    meant = identified(name)
    # a driver's exact string may say more than its words do ("NVIDIA H200"): then it is refused
    assert identified(mangled) in (meant, None)


@given(
    st.sampled_from(EXACT), st.integers(0, 40), st.characters(min_codepoint=33, max_codepoint=0x4FF)
)
def test_one_changed_letter_never_means_a_part_whose_name_is_not_there(
    entry: tuple[str, str], place: int, letter: str
) -> None:
    name = entry[0]
    changed = name[:place] + letter + name[place + 1 :]
    found = identified(changed)
    if found is None or "mig" in found:
        return
    whole = found if found in DATABASE.ids else found.rpartition("-")[0]
    names = DATABASE.identifier.names_of(whole)
    spoken = {compact(m) for m in names.models} | {compact(n) for n in names.exact}
    assert any(word in compact(changed) for word in spoken)


@given(
    st.sampled_from(EXACT),
    st.sampled_from(["Frobnicator", "Laptop GPU", "Max-Q", "Mobile", "zz", "D2"]),
)
def test_a_word_more_is_never_ignored(entry: tuple[str, str], word: str) -> None:
    found = identified(f"{entry[0]} {word}")
    assert found is None or word.lower().split()[0].split("-")[0] in found.replace("maxq", "max")


@given(st.text(max_size=300))
def test_any_text_is_answered_or_refused(text: str) -> None:
    found = identified(text)
    assert found is None or set(compact(text)) <= ALLOWED


@given(st.binary(max_size=100))
def test_binary_is_refused_politely(data: bytes) -> None:
    identified(data.decode("latin-1"))


def test_a_huge_name_is_refused_at_once() -> None:
    assert identified("A100 " * 200_000) is None
    assert identified("gpu " * 49) is None


@given(st.sampled_from(EXACT), st.floats(200, 4000))
def test_a_memory_that_no_part_has_is_refused(entry: tuple[str, str], memory: float) -> None:
    if memory > 320:
        assert identified(entry[0], memory_gb=memory) is None
