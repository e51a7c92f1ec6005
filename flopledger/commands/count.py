"""``flopledger count``: the static FLOP of a model."""

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flopledger.commands._options import AsJson, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopcount.model_files.counted_model import CountedModel


def _two_conventions(pair: tuple[str, str] | None) -> tuple[str, str] | None:
    """Check --explain's words early: a forgotten one takes the option behind it for its own."""
    from flopcount import conventions
    from flopcount.errors import FlopcountError

    try:
        for name in pair or ():
            conventions.check(name)
    except FlopcountError as error:
        found = " and ".join(repr(name[:60]) for name in pair or ())
        raise typer.BadParameter(
            f"takes two conventions, as --explain megatron torch; found {found}: {error}"
        ) from error
    return pair


def register(app: typer.Typer) -> None:
    """Hang this verb on the command line."""
    app.command("count", short_help="What a training step of a model costs, by op and module")(
        count
    )


def count(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="config.json or its folder, .onnx, .pt2, package.module:factory, or weights "
            "(.safetensors, .gguf, .bin, .pt: parameters only).",
        ),
    ],
    *,
    batch: Annotated[int, typer.Option(min=1, help="Samples.")] = 1,
    sequence: Annotated[
        int | None, typer.Option(min=1, help="Tokens a sample; without it figures are unknown.")
    ] = None,
    decoder_sequence: Annotated[
        int | None, typer.Option(min=1, help="Tokens on the decoder's side of a pair.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Pixels, as 224 or 224x336; default: the configuration's.")
    ] = None,
    latent: Annotated[
        str | None, typer.Option(help="A diffusion model's latent, as 64 or 64x96.")
    ] = None,
    text_tokens: Annotated[
        int | None, typer.Option(min=1, help="Conditioning tokens of a diffusion model.")
    ] = None,
    audio_frames: Annotated[
        int | None, typer.Option(min=1, help="Spectrogram frames; default: the configuration's.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Frames of a video; default: the configuration's.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=SHAPE",
            help="An input that nothing tells the shape of, as visual_feats=1x36x2048, "
            "ids=1x64:long, or its numbers: grid_thw=[[1,16,16]].",
        ),
    ] = None,
    mode: Annotated[str, typer.Option(help="train or forward.")] = "train",
    by: Annotated[
        str | None,
        typer.Option(help="One view alone: op, module or dtype (default: all)."),
    ] = None,
    depth: Annotated[int, typer.Option(min=0, help="Depth of the module tree.")] = 3,
    recompute: Annotated[
        str, typer.Option(help="none, or full: every layer's activations are computed again.")
    ] = "none",
    convention: Annotated[
        str,
        typer.Option(
            help="dense, masked, hardware, megatron, torchtitan, nanogpt, hf-trainer, 6nd, torch."
        ),
    ] = "dense",
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option(
            callback=_two_conventions,
            metavar="A B",
            help="Two conventions, whose difference is told term by term: megatron torch.",
        ),
    ] = None,
    crosscheck: Annotated[
        bool, typer.Option("--crosscheck", help="Ask fvcore, torch's counter and the formula too.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write an icicle plot to this file.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the chosen view as CSV.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="By the closed form alone: at once, without torch.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Count again what this machine remembers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count what one training step of a model costs, from its configuration or graph.

    Example: flopledger count config.json --batch 1 --sequence 8192 --by module
    """
    from flopcount import conventions
    from flopledger.commands._audited import check_target

    _check(mode, by, recompute)
    one_of(quick=quick, crosscheck=crosscheck)
    one_of(csv=csv, json=as_json)
    check_target(html)
    conventions.check(convention)
    step: dict[str, Any] = {
        "batch": batch,
        "sequence": sequence,
        "backward": mode == "train",
        "recompute": recompute == "full",
        "remembered": not (fresh or crosscheck),
    }
    step |= _sizes(
        decoder_sequence=decoder_sequence,
        image=None if image is None else _pixels("--image", image),
        latent=None if latent is None else _pixels("--latent", latent),
        text_tokens=text_tokens,
        audio_frames=audio_frames,
        frames=frames,
        given=_stated(given),
    )
    if explain is not None:
        _explain(model, explain, step, as_json=as_json)
        return
    counted = (_quick if quick else _traced)(model, convention, step)
    opinions = _opinions(model, counted, step) if crosscheck else []
    if html is not None:
        _draw(counted, html)
    _answer(counted, opinions, by=by, depth=depth, csv=csv, as_json=as_json)


def _sizes(**stated: Any) -> dict[str, Any]:
    """Keep the sizes that were stated: the others are the model's own."""
    return {name: size for name, size in stated.items() if size is not None}


def _traced(model: str, convention: str, step: dict[str, Any]) -> "CountedModel":
    """Count by tracing, with a first answer on the terminal until it is there."""
    from flopcount.model_files.sources import count_source

    with _waiting(model, convention, step):
        return count_source(model, convention=convention, **step)


def _opinions(model: str, counted: "CountedModel", step: dict[str, Any]) -> list[Any]:
    from flopcount.crosscheck import opinions_on

    return list(opinions_on(model, counted, **step))


def _draw(counted: "CountedModel", target: Path) -> None:
    from flopledger.reports.count_html import write_icicle

    write_icicle(counted, target)
    typer.echo(f"wrote {target}", err=True)


def _quick(model: str, convention: str, step: dict[str, Any]) -> "CountedModel":
    """Count by the closed form, which only a configuration has."""
    from flopcount.formula_config import count_by_formula

    path = Path(model)
    if not path.is_dir() and path.suffix.lower() != ".json":
        raise typer.BadParameter(f"--quick: {model} is no config.json; count it without --quick")
    if step["recompute"]:
        raise typer.BadParameter("--quick: recomputation needs the traced count")
    wanted = {k: v for k, v in step.items() if k not in ("recompute", "remembered")}
    return count_by_formula(path, convention=convention, **wanted)


@contextmanager
def _waiting(model: str, convention: str, step: dict[str, Any]) -> "Iterator[None]":
    """On a terminal, show what the closed form says at once until the traced count is there."""
    from rich.console import Console
    from rich.text import Text

    from flopcount.errors import FlopcountError
    from flopledger.text import number
    from flopledger.unseen import visible

    talk = Console(stderr=True, highlight=False)
    if not talk.is_terminal:
        yield
        return
    with talk.status(Text(visible(f"counting {model} ..."))) as status:
        try:
            form = _quick(model, convention, step).count
        except (FlopcountError, typer.BadParameter):
            form = None
        if form is not None:
            status.update(
                f"by the closed form {number(form.total, 4)} FLOP; tracing to be exact ..."
            )
        yield


def _answer(
    counted: "CountedModel",
    opinions: list[Any],
    *,
    by: str | None,
    depth: int,
    csv: bool,
    as_json: bool,
) -> None:
    if as_json:
        import json

        from flopledger.reports.count_json import count_answer

        typer.echo(json.dumps(count_answer(counted, opinions), indent=1))
    elif csv:
        from flopledger.reports.count_csv import count_csv

        typer.echo(count_csv(counted, by or "module", depth), nl=False)
    else:
        from flopledger.commands._count_text import show

        show(counted, opinions, by=by, depth=depth)


def _check(mode: str, by: str | None, recompute: str) -> None:
    for name, value, known in (
        ("--mode", mode, ("train", "forward")),
        ("--by", by, ("op", "module", "dtype", None)),
        ("--recompute", recompute, ("none", "full")),
    ):
        if value not in known:
            words = ", ".join(word for word in known if word)
            raise typer.BadParameter(f"{name} {value}: expected one of {words}")
    if recompute == "full" and mode == "forward":
        raise typer.BadParameter("--recompute full: a forward pass alone computes nothing again")


def _stated(texts: list[str] | None) -> dict[str, str] | None:
    """Take ``name=shape`` apart; what follows the name is read where the model's dtype is known."""
    if not texts:
        return None
    found: dict[str, str] = {}
    for text in texts:
        name, _, shape = text.partition("=")
        if not name.isidentifier() or not shape or name in found:
            raise typer.BadParameter(f"--input {text[:60]}: expected NAME=SHAPE, each name once")
        found[name] = shape.strip()
    return found


def _pixels(option: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", text.lower())
    if found is None:
        raise typer.BadParameter(f"{option} {text[:40]}: expected one number, or 224x336")
    return int(found[1]), int(found[2] or found[1])


def _explain(model: str, pair: tuple[str, str], step: dict[str, Any], *, as_json: bool) -> None:
    """Tell the way from one convention's figure to the other's, by way of the dense count."""
    from flopcount.model_files.sources import count_source
    from flopledger.commands._count_text import show_explanation
    from flopledger.reports.count_json import explanation

    first, second = (count_source(model, convention=name, **step) for name in pair)
    answer = explanation(pair, first, second)
    if as_json:
        import json

        typer.echo(json.dumps(answer, indent=1))
    else:
        show_explanation(answer)
