"""Matrix products that no call of a model shows.

``outside`` reads them in the graph behind a loss; ``beside`` and ``mode`` see them executed where no graph
is, ``elsewhere`` keeps their sums; ``adapters`` are merged into weights. What only code says: ``in_code``
(optimizers), ``loops`` (the program's own), ``trainers`` (is a module a model or a loop?).
"""
