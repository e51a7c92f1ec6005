"""The readers, most specific first: the first that recognises a file reads it.

**Training programs.** ``megatron`` with ``megatron_arguments`` and ``megatron_stages``, ``torchtitan``,
``nemo``, ``nanotron``, ``maxtext``, ``levanter``, ``clu``, ``composer``, ``llm_c``, ``olmo``, ``nanogpt``,
``modded_nanogpt``, ``fairseq``, ``deepspeed``, ``llama_factory``; ``hf_console`` with
``hf_console_config``, ``hf_trainer``; one line a step in ``step_lines`` by ``step_formats``, with
``verl_settings``; one JSON row in ``step_rows`` by ``step_row_kinds``; of programs that nobody knows
``labelled_lines`` and ``printed_settings``; tables in ``lightning_csv``, ``epoch_tables``.

**MLPerf.** ``mlperf/``.

**Trackers.** ``wandb_files``, ``wandb_log`` with ``wandb_records``, ``tensorboard`` with
``tensorboard_events``, ``tracker_tables``, ``mlflow_files``, ``mlflow_store``, ``trackio_store``,
``comet``.

**Schedulers, bills, machines.** ``slurm`` with ``slurm_jobs``, ``seff``; ``pbs``, ``pbs_status``, ``lsf``
and ``job_reports`` with ``job_accounts``; ``kubernetes``, ``cloud_bills``, ``nvidia_smi_pages``,
``doctor``.

**Models and words.** ``model_files``, ``weights``, ``training_config``, ``model_card``,
``model_database``; ``prose/``.

**To add a reader:** get a real file first, and read it with your own eyes. Write a module with ``sniff``
(the marks that no other file has; content decides, a name may help), ``read`` (facts through
``Notes.fact`` with the line or key, and canonical names of ``flopledger.facts.NAMES``; ``EvidenceError``
for what is damaged) and a ``Reader``; put it below, before every reader that would recognise the same
file. What the audited software computed is graded as a claim; what is absent is no fact; what is cut off
is a lower bound and a finding; everything is bounded. Its fixture is written by you in the same form, its
row stands in docs/evidence.md, with what it was verified on.

A test holds this list to the folder.
"""

from flopledger.logs.reader import Reader
from flopledger.logs.readers import (
    cloud_bills,
    clu,
    comet,
    composer,
    deepspeed,
    doctor,
    epoch_tables,
    fairseq,
    hf_console,
    hf_trainer,
    job_reports,
    kubernetes,
    labelled_lines,
    levanter,
    lightning_csv,
    llama_factory,
    llm_c,
    lsf,
    maxtext,
    megatron,
    mlflow_files,
    mlflow_store,
    mlperf,
    modded_nanogpt,
    model_card,
    model_database,
    model_files,
    nanogpt,
    nanotron,
    nemo,
    nvidia_smi_pages,
    olmo,
    pbs,
    pbs_status,
    prose,
    seff,
    slurm,
    step_lines,
    step_rows,
    tensorboard,
    torchtitan,
    tracker_tables,
    trackio_store,
    training_config,
    wandb_files,
    wandb_log,
    weights,
)

READERS: tuple[Reader, ...] = (
    model_files.POINTER,
    doctor.READER,
    weights.GGUF,
    weights.SAFETENSORS,
    wandb_log.READER,
    tensorboard.READER,
    mlperf.READER,
    mlperf.first.READER,
    mlperf.first.ENTRY,
    mlperf.system.READER,
    modded_nanogpt.READER,
    torchtitan.READER,
    nemo.READER,
    nanotron.READER,
    megatron.READER,
    maxtext.READER,
    levanter.READER,
    clu.READER,
    composer.READER,
    llm_c.READER,
    olmo.READER,
    nanogpt.GPT,
    nanogpt.CHAT,
    fairseq.READER,
    # PaddleNLP prints the Trainer's plan, and step lines of its own.
    *step_lines.READERS,
    hf_console.READER,
    deepspeed.READER,
    # Its last row holds the history that a Trainer's state holds.
    step_rows.SWIFT,
    hf_trainer.STATE,
    # A summary of W&B holds the Trainer's results as well, and more.
    wandb_files.METADATA,
    wandb_files.SUMMARY,
    wandb_files.CONFIG,
    hf_trainer.RESULTS,
    *step_rows.READERS,
    model_files.ADAPTER,
    model_files.CONFIG,
    model_files.AUXILIARY,
    mlflow_store.READER,
    trackio_store.READER,
    comet.READER,
    mlflow_files.META,
    mlflow_files.OTHER,
    mlflow_files.METRIC,
    mlflow_files.PARAM,
    llama_factory.READER,
    slurm.READER,
    slurm.SHOWN,
    tracker_tables.HISTORY,
    tracker_tables.SERIES,
    model_database.READER,
    cloud_bills.AWS,
    cloud_bills.AZURE,
    cloud_bills.GOOGLE,
    kubernetes.READER,
    pbs.READER,
    pbs_status.PAGE,
    pbs_status.JSON,
    lsf.READER,
    lsf.FILE,
    seff.READER,
    nvidia_smi_pages.XML,
    nvidia_smi_pages.QUERY,
    nvidia_smi_pages.TABLE,
    nvidia_smi_pages.LIST,
    slurm.JSON,
    slurm.QUEUE,
    lightning_csv.READER,
    epoch_tables.READER,
    epoch_tables.ARGUMENTS,
    step_rows.TABLE,
    training_config.READER,
    model_card.READER,
    labelled_lines.READER,
    job_reports.READER,
    prose.READER,
)
