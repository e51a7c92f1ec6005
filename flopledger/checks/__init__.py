"""Figures of one run held against each other, one question a module (design/003).

``of_a_run`` holds the work against the devices, ``of_a_pair`` one route against another. Time: ``clock``,
``clock_hours``, ``throughput``, ``log_parts``, ``samples``. Power and money: ``power``, ``cost``. What was
trained and how it is counted: ``which_model``, ``conventions``, ``implied_peak``. The run's own words:
``statements``.
"""
