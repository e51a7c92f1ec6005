"""Prose: what somebody states in a README, a model card or a chronicle (design/095).

``reader`` joins the rest: ``markup`` is taken off, ``groups`` are what belongs together, ``labels`` and
``figures`` find what is said, with ``bounds``, ``parts`` (hardware) and ``products`` (of several figures);
``scope`` says whose work it is of, ``passes`` what epochs make of tokens, ``numbers`` how one is written;
``tongues/`` writes what other languages say in the words that all these read.
"""

from flopledger.logs.readers.prose.reader import READER

__all__ = ["READER"]
