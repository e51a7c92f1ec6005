"""The training-loop face: what did each call cost, and what is the run's total?

What is seen comes from ``profilers.steps``, what it costs from ``flopcount``. The modules, each in the order
in which it is best read:

**Recording.** ``face`` (what a program gets), ``recorder`` (joins the parts below), ``heartbeat``; what the
program says: ``told``, ``stated``.

**What a call costs** (design/072, 107). ``costs``, ``cost``, ``families``, ``tracing``, ``deciding``,
``probing``, ``spending``, ``replicas``; beside the models (design/124): ``beside``, ``own_products``.

**Which number a step has** (design/074, 121). ``numbering``, ``turns``, ``states``, ``weights``, ``keeping``.

**Keeping it.** ``rows``, ``blocks``, ``book``; the ledger itself is ``profilers.steps.record.ledger``.

**Adding ledgers up** (design/074, 121). ``totals`` (``read_totals``, on which audits, summaries and reports
stand), ``attempts``, ``continuing``, ``order``, ``tallying``, ``adding``, ``work``, ``ranges``, ``cut_off``,
``stepless``, ``exchanged``, ``between``, ``remarks``.

**Telling it.** ``summary``, ``steps_summary``, ``utilisation``, ``energy``; over time ``series``.

A test holds this list to the folder.
"""

from flopledger.recording.face import Recording, record

__all__ = ["Recording", "record"]
