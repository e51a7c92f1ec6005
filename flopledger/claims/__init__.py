"""Does the stated figure hold?

``claim`` holds it against the estimate, ``bounds`` against what nobody can exceed; ``derived`` recognises one
that was computed from the hours, ``misquoted`` one whose exponent slipped.
"""
