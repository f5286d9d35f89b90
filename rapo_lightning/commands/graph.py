"""``rapo graph``: relation graphs of training captions are built, added to, converted, searched and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rapo_lightning.commands.console import Allow, Json, Offline, Quiet, Set, command

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
Scenes = Annotated[int, typer.Option("--scenes", min=1, help="How many scenes.")]
Modifiers = Annotated[int, typer.Option("--modifiers", min=1, help="How many modifiers a kind and scene.")]
Threshold = Annotated[float, typer.Option("--threshold", min=-1, max=1, help="The least similarity of a modifier.")]


@graph_app.command()
def build(
    captions: Captions,
    out: Annotated[Path, typer.Option("--out", help="The graph folder to make.", show_default=False)],
    config: GraphConfig = None,
    column: Column = None,
    limit: Limit = None,
    device: Device = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a graph from captions; a language model extracts their phrases where the file does not bring them."""
    with command(as_json=as_json, quiet=quiet, offline=offline) as show:
        from rapo_lightning import graphs, terminal, terminal_graph

        built = graphs.build(
            captions,
            out=out,
            config_file=config,
            column=column,
            limit=limit,
            device=device,
            overrides=set_ or (),
            allow=allow or (),
            listen=None if quiet else terminal.say,
        )
        show(terminal_graph.growth_text(built), terminal_graph.growth_data(built))


@graph_app.command()
def add(
    folder: Folder,
    captions: Captions,
    config: GraphConfig = None,
    column: Column = None,
    limit: Limit = None,
    device: Device = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add captions to a graph; only what is new is encoded."""
    with command(as_json=as_json, quiet=quiet, offline=offline) as show:
        from rapo_lightning import graphs, terminal, terminal_graph

        added = graphs.add(
            folder,
            captions,
            config_file=config,
            column=column,
            limit=limit,
            device=device,
            overrides=set_ or (),
            allow=allow or (),
            listen=None if quiet else terminal.say,
        )
        show(terminal_graph.growth_text(added), terminal_graph.growth_data(added))


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
    scenes: Scenes = 3,
    modifiers: Modifiers = 5,
    threshold: Threshold = 0.0,
    config: GraphConfig = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """List the scenes and modifiers nearest to a prompt, with their cosine similarities."""
    with command(as_json=as_json, offline=offline) as show:
        from rapo_lightning import graph_search, terminal_graph
        from rapo_lightning.graph_tools import encoder_of

        encoder = encoder_of(folder, config, set_ or (), allow or ())
        views = graph_search.search(folder, prompt, encoder, scenes=scenes, modifiers=modifiers, threshold=threshold)
        show(terminal_graph.search_text(views), terminal_graph.search_data(prompt, views))


@graph_app.command()
def show(
    folder: Folder,
    prompt: Prompt,
    out: Annotated[Path, typer.Option("--out", help="The picture: .svg or .html.")] = Path("graph.html"),
    scenes: Scenes = 3,
    modifiers: Modifiers = 8,
    threshold: Threshold = 0.6,
    config: GraphConfig = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Draw the scenes near a prompt and their modifiers."""
    with command(as_json=as_json, offline=offline) as print_:
        from rapo_lightning import graph_search
        from rapo_lightning.graph_tools import encoder_of

        encoder = encoder_of(folder, config, set_ or (), allow or ())
        graph_search.draw(folder, prompt, out, encoder, scenes=scenes, modifiers=modifiers, threshold=threshold)
        print_(str(out), {"picture": str(out)})
