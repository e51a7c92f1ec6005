"""Optimizers, and what is saved and loaded.

``known`` finds them and says what they train; ``states`` and ``weights`` recognise what was saved before.
"""
