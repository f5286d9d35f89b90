"""``rapo graph``: relation graphs of training captions are built, added to, converted, searched and drawn."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from rapo_lightning.commands.console import Allow, Json, Offline, Quiet, Set, Strict, command, counting

__all__ = ["graph_app"]

graph_app = typer.Typer(
    name="graph",
    help="Relation graphs of a video model's training captions (Stage 1).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Captions = Annotated[Path, typer.Argument(help="Captions: txt, CSV, JSONL or parquet.", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="A graph folder.", show_default=False)]
GraphConfig = Annotated[Path | None, typer.Option("--config", "-c", help="Encoder and language model, as in configs/graph/.")]
Column = Annotated[str | None, typer.Option("--column", help="The column of the captions.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N rows.")]
Device = Annotated[str | None, typer.Option("--device", help="Where the models run; a GPU if there is one.")]
Prompt = Annotated[str, typer.Argument(help="A prompt.", show_default=False)]
LEAST = "The least similarity of a modifier that is taken."
AnyConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="An encoder, as in configs/graph/; or a run: what its augmenter takes is shown."),
]
Scenes = Annotated[int | None, typer.Option("--scenes", min=1, help="How many scenes. [default: 3]")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kinds", help="Of scene, subject, action and atmosphere; repeatable, or with commas. [default: all]"),
]
Modifiers = Annotated[int, typer.Option("--modifiers", min=1, help="How many modifiers a kind and scene.")]


@graph_app.command()
def build(
    captions: Captions,
    out: Annotated[Path, typer.Option("--out", help="The graph folder to make.", show_default=False)],
    config: GraphConfig = None,
    column: Column = None,
    limit: Limit = None,
    strict: Strict = False,
    device: Device = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a graph from captions; a language model extracts their phrases where the file does not bring them.

    Rows that cannot be used are skipped, counted and listed in skipped.jsonl; that is exit code 0, or 3 with --strict. Where the
    language model failed on captions it is 3, too: `rapo graph add` with the same file asks about them again. 75: interrupted by
    a signal; the same command continues.
    """
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import graphs, terminal_graph

        built = graphs.build(
            captions,
            out=out,
            config_file=config,
            column=column,
            limit=limit,
            device=device,
            overrides=set_ or (),
            allow=allow or (),
            listen=counting(stack, quiet),
        )
        stack.close()
        code = built.exit_code(strict=strict)
        show(terminal_graph.growth_text(built), terminal_graph.growth_data(built, code))
        raise typer.Exit(code)


@graph_app.command()
def add(
    folder: Folder,
    captions: Captions,
    config: GraphConfig = None,
    column: Column = None,
    limit: Limit = None,
    strict: Strict = False,
    device: Device = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add captions to a graph; only what is new is encoded. Exit codes are those of `rapo graph build`."""
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import graphs, terminal_graph

        added = graphs.add(
            folder,
            captions,
            config_file=config,
            column=column,
            limit=limit,
            device=device,
            overrides=set_ or (),
            allow=allow or (),
            listen=counting(stack, quiet),
        )
        stack.close()
        code = added.exit_code(strict=strict)
        show(terminal_graph.growth_text(added), terminal_graph.growth_data(added, code))
        raise typer.Exit(code)


@graph_app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A published graph_data folder, or a graph of ours.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to make, in the other form.", show_default=False)],
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="What made the published embeddings, if not all-MiniLM-L6-v2.")
    ] = None,
    merge_aliases: Annotated[
        bool, typer.Option("--merge-aliases", help="Make one phrase of those that differ in blanks and case.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read the published graph_data form, or write it."""
    with command(as_json=as_json, offline=True) as show:
        from rapo_lightning import graphs

        converted = graphs.convert(source, out, encoder=encoder, merge_aliases=merge_aliases)
        show("\n".join([f"{converted['form']}: {out}", *converted["notes"]]), converted)


@graph_app.command()
def stats(folder: Folder, as_json: Json = False) -> None:
    """Say what is in a graph."""
    with command(as_json=as_json) as show:
        from rapo_lightning import graph_search, terminal_graph

        found = graph_search.statistics(folder)
        show(terminal_graph.statistics_text(found), found)


@graph_app.command()
def search(
    folder: Folder,
    prompt: Prompt,
    scenes: Scenes = None,
    modifiers: Modifiers = 5,
    threshold: Annotated[float | None, typer.Option("--threshold", min=-1, max=1, help=f"{LEAST} [default: 0]")] = None,
    kinds: Kinds = None,
    config: AnyConfig = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """List the scenes and modifiers nearest to a prompt, with their cosine similarities."""
    with command(as_json=as_json, offline=offline) as show:
        from rapo_lightning import graph_search, terminal_graph

        encoder, seen = graph_search.sight(
            folder,
            config,
            set_ or (),
            allow or (),
            default=graph_search.Sight(threshold=0.0),
            scenes=scenes,
            threshold=threshold,
            kinds=graph_search.kinds_named(kinds or ()),
        )
        views = graph_search.search(folder, prompt, encoder, seen, modifiers=modifiers)
        show(terminal_graph.search_text(views, seen), terminal_graph.search_data(prompt, views, seen))


@graph_app.command()
def show(
    folder: Folder,
    prompt: Prompt,
    out: Annotated[Path, typer.Option("--out", help="The picture: .svg or .html.")] = Path("graph.html"),
    scenes: Scenes = None,
    modifiers: Modifiers = 8,
    threshold: Annotated[float | None, typer.Option("--threshold", min=-1, max=1, help=f"{LEAST} [default: 0.6]")] = None,
    kinds: Kinds = None,
    config: AnyConfig = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Draw the scenes near a prompt and their modifiers; what is taken of them stands out."""
    with command(as_json=as_json, offline=offline) as print_:
        from rapo_lightning import graph_search

        encoder, seen = graph_search.sight(
            folder,
            config,
            set_ or (),
            allow or (),
            default=graph_search.Sight(),
            scenes=scenes,
            threshold=threshold,
            kinds=graph_search.kinds_named(kinds or ()),
        )
        graph_search.draw(folder, prompt, out, encoder, seen, modifiers=modifiers)
        print_(str(out), {"picture": str(out)})
