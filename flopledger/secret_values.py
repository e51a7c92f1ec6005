"""Values that look like secrets, out of command lines before anything is written.

A name that says so (``--hf-token X``, ``AWS_SECRET_ACCESS_KEY=X``) hides its value, inside of a shell's
script, too; so does a value that can hardly be anything else: a password in an address, an
``Authorization`` header, keys with their makers' known beginnings. Counts of tokens are no secrets. What
looks like nothing in particular cannot be told: pass it in the environment, which is only digested.
"""

import re
from collections.abc import Sequence

HIDDEN = "<redacted>"
_NAME = (
    r"(?:token(?!s|i[sz]e|[-_]?(?:per|count|budget|batch|length|limit|rate))|secret|passw|passphrase"
    r"|(?:api|access|private|secret|signing|encryption|account|wandb|ssh|auth)[-_]?key|credential"
    r"|auth(?!or))"
)
_SECRET = re.compile(rf"(?i){_NAME}")
_INSIDE = (
    # NAME=value and --name=value, --name value, within a longer word such as a shell's script
    (re.compile(rf"(?i)(?<![\w-])([\w-]*{_NAME}[\w-]*=)(\"[^\"]*\"|'[^']*'|[^\s;&|\"']+)"), r"\1"),
    (re.compile(rf"(?i)(?<!\S)(--?[\w-]*{_NAME}[\w-]*\s+)(\"[^\"]*\"|'[^']*'|[^\s;&|-][^\s;&|]*)"), r"\1"),
    # an address with a password, and signed or keyed queries
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+(?=@)"), r"\1"),
    (
        re.compile(
            r"(?i)([?&](?:sig|signature|key|sas|x-amz-[\w-]+|[\w-]*(?:token|secret|passw)[\w-]*)=)"
            r"[^&\s\"']+"
        ),
        r"\1",
    ),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}"), r"\1"),
    # keys with a beginning of their maker: AWS; Hugging Face, OpenAI and kin, GitHub, GitLab, Slack ...
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), ""),
    (
        re.compile(
            r"\b(?:hf_|sk-|rk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AIza|nvapi-|npm_|pypi-)"
            r"[\w-]{16,}"
        ),
        "",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"), ""),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL), ""),
)  # fmt: skip


def names_a_secret(name: str) -> bool:
    """Say whether an option's or a variable's name says that its value is a secret."""
    return _SECRET.search(name) is not None


def without_secrets(text: str) -> str:
    """Return a text with the values hidden that look like secrets."""
    for pattern, kept in _INSIDE:
        text = pattern.sub(kept + HIDDEN, text)
    return text


def redacted(command: Sequence[str]) -> list[str]:
    """Return a command line with the values hidden that look like secrets."""
    shown: list[str] = []
    hide_next = False
    for word in command:
        if hide_next and not word.startswith("--"):
            shown.append(HIDDEN)
            hide_next = False
            continue
        name, equals, _ = word.partition("=")
        hide_next = False
        if " " not in name and names_a_secret(name) and (name.startswith("-") or equals):
            shown.append(f"{name}={HIDDEN}" if equals else word)
            hide_next = not equals
        else:
            shown.append(without_secrets(word))
    return shown
