"""A call of a model that is training right now: counted once, disturbing nothing (design/072, 101).

**Counting it.** ``counting`` is the door: ``capture`` notes the call, ``rungs`` are the ways of tracing it,
``watching`` watches the trace. Of that, ``watch`` is what it knows, ``counter`` sees the ops, ``ranks`` those
that talk with other ranks, ``received`` what these are taken to send. ``passes`` and ``checkpoint`` run the
backward, ``fit`` makes a count of every size of a few, ``products`` asks about one op.

**Undisturbed.** ``alone``, ``deadline``, ``model``, ``beside``, ``hooks``, ``iterators``, ``settings``,
``signals``, ``silence``; ``undo`` puts one thing back.
"""
