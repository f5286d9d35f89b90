"""``python -m evaluation run``: VBench's options where it has them, and this package's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluation.commands.console import Counter, command, pairs, say

if TYPE_CHECKING:
    from evaluation.inputs.manifest import Found
    from evaluation.job import Job
    from evaluation.run import Done, Plan

__all__ = ["run"]

Modes = "vbench_standard, vbench_category, custom_input"


def run(
    videos_path: Annotated[Path | None, typer.Option("--videos_path", help="A video, or a folder of videos.")] = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="JSON lines, or a run folder that holds one.")] = None,
    dimension: Annotated[list[str] | None, typer.Option("--dimension", help="Metrics, one after another.")] = None,
    mode: Annotated[str, typer.Option("--mode", help=f"How videos are named: {Modes}.")] = "vbench_standard",
    category: Annotated[Path | None, typer.Option("--category", help="A file with a prompt a line (vbench_category).")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Of all videos (custom_input).")] = None,
    prompt_file: Annotated[Path | None, typer.Option("--prompt_file", help='JSON: {"file name": "prompt"}.')] = None,
    full_json_dir: Annotated[Path | None, typer.Option("--full_json_dir", help="A list of prompts in VBench's form.")] = None,
    output_path: Annotated[Path, typer.Option("--output_path", help="Of the results; what is there is not done again.")] = Path(
        "evaluation_results"
    ),
    protocol: Annotated[str, typer.Option("--protocol", help="auto, vbench or vbench_long.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32, or vbench: its float16 and TF32 on CUDA.")] = "fp32",
    reduction: Annotated[str, typer.Option("--reduction", help="single or multi: VBench on one GPU or several.")] = "single",
    imaging_mode: Annotated[
        str, typer.Option("--imaging_quality_preprocessing_mode", help="longer, shorter, shorter_centercrop or None.")
    ] = "longer",
    fixed: Annotated[bool, typer.Option("--fixed", help="Mend VBench's quirks where a metric can; ids end in .fixed.")] = False,
    weights: Annotated[list[str] | None, typer.Option("--weights", metavar="NAME=PATH", help="Where weights are.")] = None,
    w_inclip: Annotated[float, typer.Option("--w_inclip", help="VBench-Long.")] = 1.0,
    w_clip2clip: Annotated[float, typer.Option("--w_clip2clip", help="VBench-Long; needs --mapping_table.")] = 0.0,
    mapping_table: Annotated[
        list[str] | None, typer.Option("--mapping_table", metavar="DIMENSION=PATH", help="VBench-Long's tables.")
    ] = None,
    clip_length_config: Annotated[Path | None, typer.Option("--clip_length_config", help="VBench-Long's seconds a clip.")] = None,
    static_filter_flag: Annotated[
        bool, typer.Option("--static_filter_flag", help="VBench-Long: still clips do not flicker.")
    ] = False,
    ngpus: Annotated[int, typer.Option("--ngpus", min=1, help="Processes, each on a GPU of its own.")] = 1,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    allow_proxy: Annotated[bool, typer.Option("--allow-proxy", help="Take suffixed metrics into a total.proxy.")] = False,
    fill_missing_zero: Annotated[bool, typer.Option("--fill-missing-zero", help="As VBench: what is missing is 0.")] = False,
    imported: Annotated[
        list[str] | None, typer.Option("--import", metavar="[VARIANT:]FILE", help="VBench's results, for the totals.")
    ] = None,
    vbench_compat: Annotated[bool, typer.Option("--vbench-compat", help="Write VBench's own files, too.")] = False,
    load_ckpt_from_local: Annotated[bool, typer.Option("--load_ckpt_from_local", help="VBench's; so it is always.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="So it is always.")] = False,
    read_frame: Annotated[bool, typer.Option("--read_frame", hidden=True)] = False,
    use_semantic_splitting: Annotated[bool, typer.Option("--use_semantic_splitting", hidden=True)] = False,
    dev_flag: Annotated[bool, typer.Option("--dev_flag", hidden=True)] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are missing; says their licences.")] = False,
    fail_under: Annotated[
        list[str] | None, typer.Option("--fail-under", metavar="[VARIANT:]METRIC=VALUE", help="End with 4 below it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be scored, and stop.")] = False,
) -> None:
    """Score videos and write scores.csv, summary.json and report.html."""
    with command():
        from evaluation.dimensions import DIMENSIONS
        from evaluation.errors import InputError
        from evaluation.lengths import with_protocol
        from evaluation.measures import needed
        from evaluation.output.gate import check_names, failures, parse_gates
        from evaluation.output.imported import read_imported
        from evaluation.output.terminal import summary_text
        from evaluation.results import write_results
        from evaluation.run import evaluate, plan
        from evaluation.weights.fetch import fetch

        _refuse(read_frame=read_frame, use_semantic_splitting=use_semantic_splitting, dev_flag=dev_flag)
        _check(protocol=protocol, precision=precision, reduction=reduction, imaging_mode=imaging_mode, mode=mode)
        gates, names = parse_gates(fail_under or ()), _names(dimension or ())
        long: dict[str, Any] = {
            "custom": mode == "custom_input",
            "w_inclip": w_inclip,
            "w_clip2clip": w_clip2clip,
            "tables": pairs(mapping_table or (), "--mapping_table"),
            "static_filter": static_filter_flag,
        }
        job = _job(
            _input(videos_path, manifest, mode, category or full_json_dir, names, prompt=prompt, prompt_file=prompt_file),
            names,
            options={"reduction": reduction, "musiq_mode": imaging_mode, "fixed": fixed},
            long=long,
            lengths=clip_length_config,
            weights=pairs(weights or (), "--weights"),
            precision=precision,
            device=device,
            devices=ngpus,
        )
        if download:
            fetch(needed(job), job.weights, say)
        job = with_protocol(job, protocol)  # type: ignore[arg-type]
        if dry_run:
            _tell(plan(job, output_path))
            return
        counter = Counter(0)
        variants = list(dict.fromkeys(record.variant for record in job.records))
        values = read_imported(imported or (), variants)

        def planned(plan: Plan) -> None:
            check_names(gates, plan.measures, variants)
            if vbench_compat and not set(plan.measures) & set(DIMENSIONS):
                raise InputError("--vbench-compat: VBench's files hold its own dimensions only, and none is measured")
            _tell(plan)
            counter.total = len(plan.todo)

        done = evaluate(job, output_path, planned=planned, finished=lambda work, errors: counter.add(errors))
        summary = write_results(
            done,
            job,
            imported=values,
            allow_proxy=allow_proxy,
            fill_missing_zero=fill_missing_zero,
        )
        print(summary_text(summary, width=shutil.get_terminal_size((80, 24)).columns))
        print(f"{output_path}: scores.csv, summary.json, report.html")
        if vbench_compat:
            _write_vbench(done, job)
        failed = failures(gates, summary)
        for failure in failed:
            say(f"not met: {failure.message}")
        raise typer.Exit(4 if failed else 3 if done.errors or done.missing else 0)


def _refuse(**given: bool) -> None:
    """Options of VBench's that would change numbers and are not provided are told, not passed over."""
    from evaluation.errors import InputError

    why = {
        "read_frame": "frames from pictures score otherwise than the video's; give the videos",
        "use_semantic_splitting": "VBench-Long's scene cuts are not provided; cut the videos, or leave them whole",
        "dev_flag": "DINOv2 and DreamSim are not provided; for the weights: --w_inclip, --w_clip2clip, --mapping_table",
    }
    asked = [f"--{name}: {why[name]}" for name, is_given in given.items() if is_given]
    if asked:
        raise InputError("\n".join(asked))


def _check(**given: str) -> None:
    from evaluation.errors import InputError

    known = {
        "protocol": ("auto", "vbench", "vbench_long"),
        "precision": ("fp32", "vbench"),
        "reduction": ("single", "multi"),
        "imaging_mode": ("longer", "shorter", "shorter_centercrop", "None"),
        "mode": ("vbench_standard", "vbench_category", "custom_input"),
    }
    wrong = [f"--{name} {value}: one of {', '.join(known[name])}" for name, value in given.items() if value not in known[name]]
    if wrong:
        raise InputError("\n".join(wrong))


def _names(given: Any) -> tuple[str, ...]:
    return tuple(name for text in given for name in text.replace(",", " ").split())


def _input(
    videos: Path | None, manifest: Path | None, mode: str, suite_path: Path | None, names: tuple[str, ...], **prompts: Any
) -> Found:
    from evaluation.dimensions import NEEDS_MORE
    from evaluation.errors import InputError
    from evaluation.inputs.custom import read_custom
    from evaluation.inputs.read import read_input

    if (videos is None) == (manifest is None):
        raise InputError("give either --videos_path or --manifest")
    if videos is not None and mode != "vbench_standard":
        wrong = [name for name in names if name.partition(".")[0] in NEEDS_MORE]
        if wrong:
            raise InputError(f"{mode} has no {', '.join(wrong)}: these need more than a prompt; give a manifest")
    if videos is not None and mode == "custom_input":
        found = read_custom(videos, **prompts)
    elif videos is not None:
        suite = "vbench" if mode == "vbench_standard" else mode
        found = read_input(videos, suite=suite, suite_path=suite_path, dimensions=names, **prompts)
    else:
        assert manifest is not None
        found = read_input(manifest, **prompts)
    for note in found.notes:
        say(f"evaluation: {note}")
    return found


def _job(
    found: Found, metrics: tuple[str, ...], *, options: dict[str, Any], long: dict[str, Any], lengths: Path | None, **more: Any
) -> Job:
    from evaluation.errors import InputError
    from evaluation.job import Job, Long
    from evaluation.options import Options
    from evaluation.protocol import read_lengths

    if not metrics:
        raise InputError("--dimension names what to measure; `python -m evaluation metrics` lists what there is")
    if lengths is not None:
        long["lengths"] = read_lengths(lengths)
    return Job(
        records=found.records,
        missing=found.missing,
        notes=found.notes,
        metrics=metrics,
        options=Options(**options),
        long=Long(**long),
        **more,
    )


def _tell(plan: Plan) -> None:
    count = sum(len(work.items) for work in plan.todo)
    say(f"{plan.videos:,} videos, {len(plan.measures)} metrics: {count:,} scores to find, {plan.known:,} are there already")
    if plan.missing_files:
        say(f"{len(plan.missing_files):,} files are not there: {', '.join(plan.missing_files[:3])}")
    for line in plan.licences:
        say(f"weights {line}")


def _write_vbench(done: Done, job: Job) -> None:
    from evaluation.output.vbench import eval_results, write_vbench

    for variant in dict.fromkeys(row.variant for row in done.rows):
        rows = [row for row in done.rows if row.variant == variant]
        records = [record for record in job.records if record.variant == variant]
        if not eval_results(rows):
            say(f"no VBench files of {variant}: no video has a value")
            continue
        written = write_vbench(done.folder / "vbench" / _folder(variant), rows, records, reduction=job.options.reduction)
        if written.n_errors:
            say(f"{written.eval_results}: {written.n_errors} error rows left out")


def _folder(variant: str) -> str:
    """A folder's name for any variant, another one for each."""
    import hashlib
    from urllib.parse import quote

    name = quote(variant, safe=" ", errors="surrogatepass")
    if name and name == name.strip(". ") and len(name) < 100:
        return name
    return f"{name[:80].strip('. ')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
