"""MLPerf's logs of a training, of two generations, and its descriptions of systems.

``reader`` reads today's, by ``events`` and ``amount`` (how much was trained in the timed window; ``misfits``:
amounts that cannot be ones); ``first`` those of the first rounds; ``system`` the descriptions.
"""

from flopledger.logs.readers.mlperf import first, system
from flopledger.logs.readers.mlperf.reader import READER

__all__ = ["READER", "first", "system"]
