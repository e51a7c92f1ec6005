"""Which models there are.

``modules`` finds them and puts seams before them, ``free`` names those that need none, ``living`` asks the
garbage collector, ``pickles`` keeps seams out of what is saved.
"""
