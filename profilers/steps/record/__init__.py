"""What a training process wrote down about its steps. No torch, no counting.

``ledger`` writes it, ``identity`` says for whom and ``devices`` on what; ``reading`` reads it back with
``entries``, ``fields`` and ``clocks``, and believes nothing; ``check`` says whether it is what was
written; ``values`` are the answers.
"""
