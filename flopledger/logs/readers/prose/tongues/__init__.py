"""Prose in other languages than English: its figures in the words that the rules of English read (design/137).

``table`` is what a language is told by, with ``words`` that several share; ``chinese``, ``japanese`` and ``korean`` are the tables of
three, and ``european`` the rules that ``german``, ``french``, ``spanish``, ``italian``, ``portuguese``, ``dutch``, ``polish``, ``swedish`` and
``russian`` fill with their words. ``telling`` says which language a text and a sentence are in,
``amounts`` reads its numbers, ``glossing`` writes a piece of text in English words.
"""
