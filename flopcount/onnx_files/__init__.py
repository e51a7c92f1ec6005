"""Models in ONNX files, from whatever exporter.

``graph`` counts one; ``shapes`` tells every shape in it, with ``folding`` (sizes that it computes
for itself), ``products`` says what the operators cost, ``stored`` how many trained numbers there are.
"""
