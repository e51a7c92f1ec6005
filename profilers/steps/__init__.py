"""Which models were called with which shapes, when did an optimizer step, and how is that kept?

``observer`` watches a training and joins the rooms below (design/071). It counts nothing;
``flopledger.recording`` does. The rooms, each in the order in which it is best read:

**A call.** ``calls/`` is what happens at every call of a model; ``settled/`` the short way of a call that is
like those before it (design/118, 123), compiled (``profilers/csrc``) where it is built. ``models/`` says
which models there are.

**What decides what a call costs** (design/107). ``deciders/``.

**The rest of a step.** ``backward/`` (design/096), ``optimizers/`` with what is saved and loaded (design/
121), ``products/`` that no call shows (design/116, 124).

**From notes to steps** (design/072, 097). ``folding/``.

**In torch's places.** ``standing/`` is how something of torch's is replaced and given back.

**The record** (design/070). ``record/`` is written by the training and read by everybody else.

Only modules that pyproject.toml names import torch. A test holds this list to the folder.
"""
