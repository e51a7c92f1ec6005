"""The short way of a call that is like the ones before it: looked at once, noted, handed on.

``compared`` says what is looked at, ``glance`` looks, ``pulse`` notes; ``ways`` and ``roots`` lead from a
loss back to its call; ``compiled`` takes the compiled half of these where there is one.
"""
