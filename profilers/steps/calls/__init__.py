"""What happens at each call of a model while a training is recorded.

``seam`` is the way of a call, with ``key`` and ``signature`` (what tells one call from another), ``asked``
(what torch is asked), ``kinds`` (a call of a new kind), ``unlike`` (one that only looks like others),
``here`` (whose call it is), ``exchange`` (calls with other parameters) and ``losses`` (what a program
tells).
"""
