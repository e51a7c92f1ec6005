"""Accounts that others keep: cloud bills, Kubernetes, PBS; and nvidia-smi's pages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger import logs
from flopledger.errors import FlopledgerError
from flopledger.logs import plain_yaml

from .conftest import codes, read_files


def value(found):
    return None if found is None else found.value


@pytest.fixture
def written(tmp_path):
    """Write one file; give what it comes to, and what was read."""

    def write(name, text):
        (tmp_path / name).write_text(text)
        evidence = read_files(tmp_path, name)
        return logs.assemble(evidence), evidence

    return write


AWS = (
    "identity/LineItemId,lineItem/LineItemType,lineItem/UsageType,lineItem/UsageAmount,product/instanceType,"
    "pricing/unit\n"
)
AWS_ROWS = (
    "a,Usage,USE1-BoxUsage:p5.48xlarge,2.0,p5.48xlarge,Hrs\n"
    "b,SavingsPlanCoveredUsage,SpotUsage:p5.48xlarge,0.5,p5.48xlarge,Hrs\n"
    "b,SavingsPlanCoveredUsage,SpotUsage:p5.48xlarge,0.5,p5.48xlarge,Hrs\n"  # again, to the letter
    "c,SavingsPlanNegation,BoxUsage:p5.48xlarge,2.0,p5.48xlarge,Hrs\n"
    "d,Usage,UnusedBox:p5.48xlarge,3.0,p5.48xlarge,Hrs\n"
    "e,Usage,DataTransfer-Out-Bytes,900,,GB\n"
    "f,Usage,BoxUsage:m5.large,100,m5.large,Hrs\n"
)


def test_lines_of_a_bill_that_cannot_be_read_are_said(written):
    rows = "a,Usage,BoxUsage:p5.48xlarge,2,,Hrs\n"
    rows += "b,Usage,BoxUsage:p5.48xlarge,-1,,Hrs\nc,Usage,BoxUsage:p5.48xlarge,1,,Months\n"
    rows += "d,Usage,BoxUsage:p5.48xlarge,many,,Hrs\ne,Usage,BoxUsage:p4d.24xlarge,0,,Hrs\n"
    run, evidence = written("cur.csv", AWS + rows)
    assert value(run.accelerator_seconds) == 8 * 2 * 3600
    (found,) = [one for one in evidence.findings if one.code == "bill-lines-left-out"]
    assert "3 lines are of kinds" in found.message
    assert "'-1' Hrs" in found.message


def test_a_bill_of_aws_counts_usage_once(written):
    # (2.0 + 0.5) hours x 8 devices x 3600 s; neither the negation, the unused box, nor the row again
    run, evidence = written("cur.csv", AWS + AWS_ROWS)
    assert value(run.accelerator_seconds) == 2.5 * 8 * 3600
    assert value(run.accelerator) == "nvidia-h100-sxm5-80gb"
    assert {"billed-not-used", "duplicate-lines", "bill-lines-left-out"} <= codes(evidence)
    (told,) = [one.message for one in evidence.findings if one.code == "billed-not-used"]
    assert "1 lines of unused reservations" in told


def test_the_newer_spelling_and_sagemaker(written):
    text = (
        "line_item_line_item_type,line_item_usage_type,line_item_usage_amount,pricing_unit\n"
        "Usage,USW2-Train:ml.p4d.24xlarge,3,Hrs\n"
    )
    run, _ = written("cur2.csv", text)
    # 3 hours x 8 A100 x 3600 s
    assert value(run.accelerator_seconds) == 3 * 8 * 3600
    assert value(run.accelerator) == "nvidia-a100-sxm4-40gb"


def test_azure_counts_hours_and_no_packs_of_them(written):
    more = json.dumps({"ServiceType": "Standard_ND96isr_H100_v5", "VMName": "x"}).replace('"', '""')
    text = (
        "Date,MeterCategory,MeterName,Quantity,UnitOfMeasure,AdditionalInfo,ChargeType\n"
        f'03/04/2024,Virtual Machines,ND96isr H100 v5,25,1 Hour,"{more}",Usage\n'
        f'03/04/2024,Virtual Machines,ND96isr H100 v5,0.25,100 Hours,"{more}",Usage\n'
        f'03/04/2024,Virtual Machines,ND96isr H100 v5,25,1 Hour,"{more}",UnusedReservation\n'
        '03/04/2024,Storage,LRS,5,1 GB/Month,"{}",Usage\n'
    )
    run, evidence = written("azure.csv", text)
    # 25 hours x 8 devices; of packs of hours nobody knows what the quantity counts
    assert "bill-lines-left-out" in codes(evidence)
    assert value(run.accelerator_seconds) == 25 * 8 * 3600
    assert value(run.accelerator) == "nvidia-h100-sxm5-80gb"


@pytest.mark.parametrize(
    ("header", "unit", "amount"),
    [
        ("service.description,sku.description,usage.amount,usage.unit,cost_type", "seconds", 7200),
        ("Service description,SKU description,Usage amount,Usage unit,Cost type", "hour", 2),
    ],
)
def test_google_bills_the_gpus_themselves(written, header, unit, amount):
    text = (
        f"{header}\n"
        f"Compute Engine,Nvidia Tesla A100 GPU running in Americas,{amount},{unit},regular\n"
        f"Compute Engine,A2 Instance Core running in Americas,{amount},{unit},regular\n"
        f"Compute Engine,Nvidia Tesla A100 GPU running in Americas,{amount},{unit},tax\n"
        f"Compute Engine,TpuV5e Spot,{amount},{unit},regular\n"
    )
    run, evidence = written("gcp.csv", text)
    assert value(run.accelerator_seconds) == 7200
    assert value(run.accelerator) == "nvidia-a100-sxm4-40gb"
    assert "bill-lines-left-out" in codes(evidence)


def test_of_several_parts_none_is_taken(written):
    text = AWS + "a,Usage,BoxUsage:p5.48xlarge,1,,Hrs\nb,Usage,BoxUsage:p4d.24xlarge,1,,Hrs\n"
    run, evidence = written("cur.csv", text)
    assert run.accelerator_seconds is None
    assert "several-runs" in codes(evidence)


ON_H100 = {"nvidia.com/gpu.product": "H100"}


def pod(name, start, end, *, gpus="8", restarts=0, phase="Succeeded", **spec):
    ended = {"terminated": {"startedAt": start, "finishedAt": end, "exitCode": 0}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": gpus}}}],
            **spec,
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {"name": "c", "restartCount": restarts, "state": ended if end else {"running": {}}}
            ],
        },
    }


def test_pods_hold_devices_for_their_own_time(written):
    pods = [
        pod("a", "2024-03-04T00:00:00Z", "2024-03-04T10:00:00Z", nodeSelector=ON_H100),
        pod("b", "2024-03-04T00:00:00Z", "2024-03-04T05:00:00Z", phase="Failed"),
        pod("c", "2024-03-04T05:00:00Z", "2024-03-04T10:00:00Z"),  # took b's place
    ]  # fmt: skip
    run, evidence = written(
        "pods.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    )
    # 8 x (10 + 5 + 5) hours; 16 at once; ten hours by the clock
    assert value(run.accelerator_seconds) == 8 * 20 * 3600
    assert value(run.accelerator_count) == 16
    assert value(run.wall_seconds) == 10 * 3600
    assert value(run.accelerator) == "H100"
    assert "aborted-run" in codes(evidence)


def test_a_pod_that_runs_and_one_that_was_started_again_are_said(written):
    pods = [
        pod("a", "2024-03-04T00:00:00Z", None),
        pod("b", "2024-03-04T00:00:00Z", "2024-03-04T01:00:00Z", restarts=3),
    ]
    run, evidence = written(
        "pods.json", json.dumps({"apiVersion": "v1", "kind": "PodList", "items": pods})
    )
    assert value(run.accelerator_seconds) == 8 * 3600
    gaps = [one.message for one in evidence.findings if one.code == "coverage-gap"]
    assert len(gaps) == 2


JOB = """\
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata:
  name: train   # a comment
  annotations:
    note: |
      nvidia.com/gpu: 99
spec:
  pytorchReplicaSpecs:
    Master:
      replicas: 1
      template:
        spec:
          containers:
          - name: "t"
            args: ["--gpus", "8"]
            resources:
              limits:
                nvidia.com/gpu: 8
    Worker:
      replicas: 3
      template:
        spec:
          nodeSelector:
            node.kubernetes.io/instance-type: p5.48xlarge
          containers:
            - name: t
              resources:
                requests: {cpu: 4}
                limits:
                  nvidia.com/gpu: '8'
status:
  startTime: "2024-03-04T00:00:00Z"
  completionTime: 2024-03-05T00:00:00Z
"""


def test_a_job_in_yaml_is_its_replicas_times_its_time(written):
    # (1 + 3) x 8 devices for a day
    run, _ = written("job.yaml", JOB)
    assert value(run.accelerator_seconds) == 32 * 86400
    assert value(run.accelerator_count) == 32
    assert value(run.accelerator) == "nvidia-h100-sxm5-80gb"


def test_a_role_without_replicas_holds_nothing(written):
    # 1 x 8 devices for a day: the workers were scaled to none
    run, _ = written("job.yaml", JOB.replace("replicas: 3", "replicas: 0"))
    assert value(run.accelerator_seconds) == 8 * 86400


@pytest.mark.parametrize(
    "bad", ["a: &x 1\n", "a: *x\n", "<<: *x\n", "a: 1\na: 2\n", "a: 1\n  b\n  c: 2\nd\n"]
)
def test_what_is_no_plain_yaml_is_refused(bad):
    with pytest.raises(FlopledgerError):
        plain_yaml.documents(bad, "x")


def test_deep_yaml_is_refused():
    with pytest.raises(FlopledgerError, match="too deep"):
        plain_yaml.documents("\n".join(" " * n + "a:" for n in range(3000)), "x")


scalars = st.text(alphabet="abcXYZ019/._", min_size=1, max_size=8)
trees = st.recursive(
    scalars,
    lambda inside: (
        st.lists(inside, min_size=1, max_size=3)
        | st.dictionaries(scalars, inside, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def dumped(value, indent=0):
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(
            f"{pad}{key}: {one}\n"
            if isinstance(one, str)
            else f"{pad}{key}:\n{dumped(one, indent + 1)}"
            for key, one in value.items()
        )
    return "".join(
        f"{pad}- {one}\n" if isinstance(one, str) else f"{pad}-\n{dumped(one, indent + 1)}"
        for one in value
    )


@given(st.dictionaries(scalars, trees, min_size=1, max_size=3))
def test_what_is_written_as_yaml_is_read_again(tree):
    assert plain_yaml.documents(dumped(tree), "x") == [tree]


@given(st.text(alphabet="ab:- \n#'\"|>{}[]&*!\t0", max_size=60))
def test_no_text_breaks_the_yaml(text):
    try:
        plain_yaml.documents(text, "x")
    except FlopledgerError:
        return


PBS = (
    "03/04/2024 10:00:00;S;17.srv;user=a Resource_List.ngpus=8 start=1709546400\n"
    "03/04/2024 11:00:00;R;17.srv;user=a Resource_List.ngpus=8 start=1709546400 end=1709550000\n"
    "03/05/2024 10:00:00;E;17.srv;user=a jobname=train Resource_List.ngpus=8 "
    "Resource_List.select=2:ncpus=64:ngpus=4 resources_used.walltime=23:00:00 Exit_status=0\n"
)


def test_a_job_of_pbs_with_its_first_start(written):
    # 8 devices x (1 + 23) hours
    run, evidence = written("20240305", PBS)
    assert value(run.accelerator_seconds) == 8 * 24 * 3600
    assert value(run.accelerator_count) == 8
    assert value(run.wall_seconds) == 24 * 3600
    assert "aborted-run" in codes(evidence)


def test_chunks_of_pbs_are_added_up(written):
    text = (
        "03/05/2024 10:00:00;E;18.srv;Resource_List.select=2:ncpus=8:ngpus=4+1:ngpus=8 "
        "resources_used.walltime=01:00:00 Exit_status=271\n"
    )
    run, evidence = written("acc.txt", text)
    # 2 x 4 + 8 devices for an hour
    assert value(run.accelerator_seconds) == 16 * 3600
    assert "aborted-run" in codes(evidence)


QUERY = """
==============NVSMI LOG==============

Timestamp                                 : Mon Mar  4 10:11:12 2024
Attached GPUs                             : 2
GPU 00000000:1B:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    MIG Mode
        Current                           : Disabled
    FB Memory Usage
        Total                             : 81559 MiB
    GPU Power Readings
        Current Power Limit               : 500.00 W
        Default Power Limit               : 700.00 W
GPU 00000000:43:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    FB Memory Usage
        Total                             : 81559 MiB
"""
XML = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <gpu id="00000000:1B:00.0"><product_name>NVIDIA H100 80GB HBM3</product_name>
    <mig_mode><current_mig>Disabled</current_mig></mig_mode>
    <fb_memory_usage><total>81559 MiB</total></fb_memory_usage>
    <gpu_power_readings><current_power_limit>500.00 W</current_power_limit>
      <default_power_limit>700.00 W</default_power_limit></gpu_power_readings></gpu>
  <gpu id="00000000:43:00.0"><product_name>NVIDIA H100 80GB HBM3</product_name></gpu>
</nvidia_smi_log>
"""


@pytest.mark.parametrize(("name", "text"), [("q.txt", QUERY), ("q.xml", XML)])
def test_pages_of_nvidia_smi_are_an_inventory(written, name, text):
    run, evidence = written(name, text)
    assert value(run.accelerator) == "NVIDIA H100 80GB HBM3"
    assert run.accelerator_count is None  # of one host, and of how many nobody says
    facts = {fact.name: fact.value for fact in evidence.facts}
    assert facts["host_accelerators"] == 2
    assert facts["accelerator_memory_bytes"] == 81559 << 20
    assert facts["hardware_notes"] == "1 of 2 devices were held to 500 W of 700 W"
    assert "not-evidence-alone" in codes(evidence)


def test_slices_are_said(written):
    _, evidence = written("q.txt", QUERY.replace("Disabled", "Enabled"))
    assert "unit-ambiguity" in codes(evidence)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE nvidia_smi_log [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_that_declares_entities_is_refused(written, declared):
    text = (
        f"{declared}<nvidia_smi_log><gpu><product_name>&b;&x;</product_name></gpu></nvidia_smi_log>"
    )
    run, evidence = written("q.xml", text)
    assert run.accelerator is None
    assert "evidence-unreadable" in codes(evidence)


def test_deep_xml_is_refused(written):
    _, evidence = written("q.xml", "<nvidia_smi_log>" + "<a>" * 500)
    assert "evidence-unreadable" in codes(evidence)


UNREAD = {
    "pmon.txt": ("# gpu         pid   type     sm    mem    enc    dec    command\n", "pmon"),
    "squeue.txt": ("  JOBID PARTITION  NAME USER ST TIME NODES NODELIST(REASON)\n", "sacct"),
    "paper.pdf": ("%PDF-1.7\n", "copy its text"),
    "ncu.csv": ('"ID","Process ID","Process Name","Kernel Name","Metric Name"\n', "Nsight"),
    "card.md": ("# Modell\nTrainiert wurde lange.\n", "in English"),
    "pods.txt": ("NAME   READY   STATUS   RESTARTS   AGE\n", "kubectl get pods"),
    "empty.log": ("", "empty"),
    "focus.csv": (
        "BilledCost,ChargeCategory,ConsumedQuantity,ConsumedUnit\n1,Usage,2,Hours\n",
        "FOCUS",
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_says_what_would_be(tmp_path, name):
    text, words = UNREAD[name]
    (tmp_path / name).write_text(text)
    case = tmp_path / "case.toml"
    case.write_text(
        f'schema = "flopledger/case/1"\ntitle = "t"\n[[run]]\nname = "r"\nevidence = ["{name}"]\n'
    )
    from flopledger.auditing import audit
    from flopledger.cases.case import AuditCase

    report = audit(AuditCase.load(case))
    (finding,) = [one for one in report.findings if one.code == "evidence-unread"]
    assert words in finding.message
    assert name in logs.read([logs.EvidenceFile(path=tmp_path / name, name=name)]).unread


def test_accounts_that_differ_are_added_up_to_a_bound_and_said(tmp_path):
    """Two months of one job, or one month told twice: nobody knows, and neither refutes anybody."""
    (tmp_path / "a").write_text(PBS)  # 8 x 24 hours
    (tmp_path / "cur.csv").write_text(AWS + "a,Usage,BoxUsage:p5.48xlarge,2,,Hrs\n")  # 8 x 2 hours
    evidence = read_files(tmp_path, "a", "cur.csv")
    run = logs.assemble(evidence)
    assert value(run.accelerator_seconds) == (8 * 24 + 8 * 2) * 3600
    assert run.accelerator_seconds.bound == "at most"
    assert "device-time-mismatch" in codes(run)


def test_accounts_that_agree_are_one(tmp_path):
    (tmp_path / "a").write_text(PBS)
    (tmp_path / "cur.csv").write_text(AWS + "a,Usage,BoxUsage:p5.48xlarge,24,,Hrs\n")
    run = logs.assemble(read_files(tmp_path, "a", "cur.csv"))
    assert value(run.accelerator_seconds) == 8 * 24 * 3600
    assert run.accelerator_seconds.bound == "exact"


@pytest.mark.parametrize(
    ("name", "text"),
    [("cur.csv", AWS + "a,Usage,BoxUsage:p5.48xlarge,96,,Hrs\n"), ("job.yaml", JOB)],
    ids=["bill", "job"],
)
def test_too_few_hours_of_a_bill_or_a_cluster_ask_and_refute_nobody(tmp_path, name, text):
    """768 hours cannot do 8e22 FLOP; other months, accounts and pods that were deleted can."""
    from flopledger.auditing import audit
    from flopledger.cases.case import AuditCase

    (tmp_path / name).write_text(text)
    case = tmp_path / "case.toml"
    case.write_text(
        'schema = "flopledger/case/1"\ntitle = "t"\n[claim]\nflop = 8.1e22\n[model.m]\nparameters = 6.74e9\n'
        f'[[run]]\nname = "r"\nmodel = "m"\ntokens = 2e12\nprecision = "bf16"\nevidence = ["{name}"]\n'
    )
    report = audit(AuditCase.load(case))
    assert report.verdict == "needs-explanation"
    assert not [one for one in report.findings if one.severity == "error"]


WINDOWS_TABLE = """Mon Jun 22 23:04:33 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 591.86                 Driver Version: 591.86         CUDA Version: 13.1     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                  Driver-Model | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|=========================================+========================+======================|
|   0  NVIDIA RTX A6000             WDDM  |   00000000:0C:00.0 Off |                  N/A |
| 38%   45C    P2             97W /  250W |    1296MiB /  49140MiB |      7%      Default |
+-----------------------------------------+------------------------+----------------------+
|   1  NVIDIA RTX A6000              TCC  |   00000000:0D:00.0 Off |                  N/A |
| 38%   45C    P2             97W /  250W |    1296MiB /  49140MiB |      7%      Default |
+-----------------------------------------+------------------------+----------------------+
"""
LIST = """GPU 0: NVIDIA H200 (UUID: GPU-00000000-1111-2222-3333-444444444444)
  MIG 1g.18gb     Device  0: (UUID: MIG-00000000-0000-0000-0000-000000000000)
GPU 1: NVIDIA H200 (UUID: GPU-00000001-1111-2222-3333-444444444444)
"""


def test_the_table_of_windows_is_read(written):
    _, evidence = written("smi.txt", WINDOWS_TABLE)
    assert [one.value for one in evidence.named("accelerator")] == ["NVIDIA RTX A6000"]
    assert [one.value for one in evidence.named("host_accelerators")] == [2]


def test_the_list_of_devices_is_an_inventory_and_its_slices_are_named(written):
    _, evidence = written("list.txt", LIST)
    assert [one.value for one in evidence.named("accelerator")] == ["NVIDIA H200"]
    assert [one.value for one in evidence.named("host_accelerators")] == [2]
    assert {one.code for one in evidence.findings} == {"unit-ambiguity", "not-evidence-alone"}
