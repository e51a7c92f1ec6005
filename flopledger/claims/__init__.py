"""Does the stated figure hold?

``claim`` holds it against the estimate; ``which_total`` says of what it may be, ``readings`` what there is to
be of. ``bounds`` holds it against what nobody can exceed; ``derived`` recognises one that was computed from
the hours, ``misquoted`` one whose exponent slipped, by the ends that its words set (``said_limits``), too.
"""
