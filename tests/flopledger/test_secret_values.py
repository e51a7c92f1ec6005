"""What a command line gives away, and what it must still say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger.secret_values import redacted, without_secrets

SECRET = "Zx9q7Lw2Rt5Yb8Nm"


@pytest.mark.parametrize(
    "command",
    [
        f"--api-key={SECRET}",
        f"--api-key {SECRET}",
        f"--hf_token {SECRET}",
        f"--wandb-key {SECRET}",
        f"--db-password={SECRET}",
        f"env HF_TOKEN={SECRET} python train.py",
        f"env AWS_SECRET_ACCESS_KEY={SECRET} python train.py",
        f"python train.py db=postgres://me:{SECRET}@db/x",
        f"python train.py --data s3://{SECRET}:x@bucket/path",
        f"python train.py --url https://host/f?X-Amz-Signature={SECRET}&a=1",
        f"python train.py --url https://host/f?sv=1&sig={SECRET}",
        f"hf_{SECRET}",
        f"sk-proj-{SECRET}",
        f"ghp_{SECRET}",
        "AKIA" + SECRET.upper(),
    ],
)
def test_secrets_are_hidden(command):
    words = command.split()
    assert SECRET.lower() not in " ".join(redacted(words)).lower()
    # The same within one word, as a shell's script has it.
    assert SECRET.lower() not in without_secrets(f"set -e; {command} && echo done").lower()
    assert SECRET.lower() not in " ".join(redacted(["bash", "-c", f"cd x; {command}"])).lower()


@pytest.mark.parametrize(
    "word",
    [
        f"curl -H 'Authorization: Bearer {SECRET}'",
        f"curl -H 'Authorization: Basic {SECRET}=='",
        f"export WANDB_API_KEY='{SECRET} {SECRET}'; python train.py",
        f'token="{SECRET}"',
        f"eyJhbGciOiJI.eyJzdWIiOi{SECRET}.sig",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_within_a_word_are_hidden(word):
    assert SECRET not in " ".join(redacted(["bash", "-c", word]))


@pytest.mark.parametrize(
    "command",
    [
        "--lr 3e-4 --author me --tokenizer=gpt2 --max_tokens 4096",
        "--train-tokens=15000000000 --tokens-per-batch 4194304 --token-budget=1e9",
        "--url https://host:8080/a?b=c@d --mail me@host s3://bucket/key=value/x",
        "python train.py model.keys=3 --monkey 5 --basic model",
    ],
)
def test_what_an_auditor_needs_stays(command):
    assert " ".join(redacted(command.split())) == command
    assert without_secrets(command) == command


@given(words=st.lists(st.text(max_size=20)))
def test_no_word_is_lost(words):
    assert len(redacted(words)) == len(words)
