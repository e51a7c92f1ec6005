"""What decides what a call costs, beside its inputs: attributes, code, values of tensors.

``found`` and ``places`` say where it lies; ``attributes`` and ``attribute_state`` watch it; ``methods`` and
``functions`` are about code, ``switches`` about tensors, ``scopes`` about context variables and
thread-locals; ``drift`` is what changes always, ``doubts`` what was exchanged unseen.
"""
