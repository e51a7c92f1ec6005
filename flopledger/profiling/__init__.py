"""A command under observation: what was run, on which devices, and what they did.

**Running it.** ``run``, with ``child`` and ``process_tree``; continued by ``launches``.

**Telling it.** ``manifest``, ``steps``, ``summary``.

**Looking at it.** ``top_view``, ``telemetry_view``; ``known_products`` for the doctor.
"""
