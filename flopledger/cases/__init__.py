"""A case: what is claimed, about which models, and what is known of each run.

``case`` is the whole; its keys and types are in ``spec`` and ``release``, its complaints in ``errors``, what
it may name on the disk in ``paths``; ``amendments`` are its corrections.
"""
