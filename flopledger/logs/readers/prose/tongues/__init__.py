"""Prose in other languages than English: its figures in the words that the rules of English read (design/137).

``table`` is what a language is told by, with ``words`` that several share; ``chinese``, ``japanese``, ``korean`` and ``european`` (German, French,
Spanish, Italian, Portuguese) are the tables. ``telling`` says which language a text and a sentence are in,
``amounts`` reads its numbers, ``glossing`` writes a piece of text in English words.
"""
