"""Standing in places of torch's, and leaving them.

``layers`` and ``wrapped`` replace something and give it back, ``uncompiled`` keeps torch's compiler out,
``threads`` and ``handlers`` are about programs that train in several threads or raise from signals.
"""
