"""Backward passes: where they begin, what they were asked for, and where they end.

``engine`` stands before torch's, ``observed`` notes a pass, ``passes`` those that were asked for some
gradients only, ``hooks`` where a gradient arrives; ``recomputation`` is about what is computed once
more, ``within`` about what begins inside of a model.
"""
