"""From notes to steps: which calls belong to which step?

``events`` are the notes, ``listener`` is who is told. ``steps`` makes steps of the notes, ``open`` is the one
that has not ended, ``equal`` takes many that are alike at once, ``late`` passes through calls of steps that
are over.
"""
