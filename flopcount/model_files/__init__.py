"""Models in files: how one is read, built and called so that it can be counted (design/030, 093).

``sources`` is the door, ``counted_model`` a file's count, ``factories`` a user's own code, ``remembered``
what was counted before.

**A config.json.** ``config_file``, ``architectures``, ``families``, ``model_classes``, ``diffusion_models``,
``stated_sizes``, ``bounded_build``.

**What a model is called with.** ``model_inputs``, ``inputs/``.

**Its weights.** ``parameters``, ``weights``, ``weight_files``, ``trained_tensors``, ``headers/``.
"""
