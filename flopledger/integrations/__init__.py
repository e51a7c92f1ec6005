"""Where a record meets the tools that people already use.

One module a tool, one extra a module, none imported until it is asked for:

| module | what it connects |
|---|---|
| ``transformers`` | a callback for the Trainer and everything built on it (TRL's trainers too) |
| ``lightning`` | a callback for Lightning's Trainer |
| ``accelerate`` | a tracker for ``Accelerator(log_with=...)`` |
| ``torchtitan`` | what a metrics processor of torchtitan needs |
| ``sinks`` | MLflow, W&B, TensorBoard, Trackio, Prometheus, OpenTelemetry |
| ``mlflow`` | a tracking server's run as evidence, and an audit written back as a run |
| ``evalai`` | scores for a challenge whose submissions are sealed bundles |
"""
