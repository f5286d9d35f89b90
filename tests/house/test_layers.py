"""The layers of the house: an import points down or sideways within its row, never up, and every module has its place."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.house.modules import ROOT, imports, module_level_imports, sources

#: Row by row from the ground; names below ``rapo_lightning``, ``*`` for all of a package.
ROWS = {
    0: "types errors",
    1: "protocols records config positions sections sections_* templates weights model_folders prompts video video_codecs",
    2: """retrieval retrieval.captions retrieval.captions.* retrieval.describe retrieval.exact retrieval.graph
          retrieval.graph_data retrieval.graph_data.* retrieval.growing retrieval.guard retrieval.identity retrieval.index
          retrieval.merging retrieval.phrases retrieval.refiner_styles retrieval.pictures retrieval.pictures.*
          retrieval.retrieve retrieval.segments retrieval.select retrieval.store retrieval.style retrieval.style_files
          retrieval.words keeping sspo sspo.ask sspo.budget sspo.evaluate sspo.guard sspo.log sspo.loop sspo.options
          sspo.progress sspo.propose sspo.selection tuning tuning.pairs shapes shapes.captions shapes.critique
          shapes.layout shapes.recognise shapes.render shapes.scene shapes.segment shapes.verify""",
    3: """generators generators.* judges judges.* rewriters rewriters.* language language.* retrieval.augment
          retrieval.augmentation retrieval.refiners retrieval.steps""",
    4: """sspo.data sspo.module tuning.batches tuning.callbacks tuning.checkpoints tuning.checks tuning.data tuning.export
          tuning.forms tuning.lessons tuning.low_rank tuning.memory tuning.module tuning.objectives tuning.optimizer
          tuning.pair_files tuning.refactor_data tuning.select_data tuning.sharding tuning.tokens tuning.trainer tracking
          tracking_tolerant tracking_wandb shapes.card shapes.chat shapes.dataset shapes.fit shapes.gates shapes.generated
          shapes.judge_eyes shapes.judge_lessons shapes.judge_model shapes.lessons shapes.script shapes.text_gates shapes.tokens
          shapes.train_* shapes.verify_gates shapes.write_captions""",
    5: """class_paths parts defaults settings workflows planning session results run_folder run_log environment
          interruption launching processes terminal terminal_graph terminal_rewrite progress project doctor quickstart
          arms comparison report report_* graphs graph_search graph_tools rewriting training_data training training_parts
          terminal_train pairing exporting checking training_config evaluating terminal_evaluate""",
    6: "cli rapo_lightning commands commands.*",
}
HEAVY = {"torch", "lightning", "diffusers", "transformers", "peft", "wandb", "cv2", "av", "torchvision"}
#: Which of the heavy libraries may be imported together with a module.
MAY_START_WITH = {
    "sspo.data sspo.module tuning.* tracking tracking_tolerant training_parts": {"torch", "lightning"},
    "tuning.low_rank": {"torch", "peft"},
    "shapes.*": {"torch"},
    "retrieval.*": {"torch"},
    "evaluation evaluation.*": {"torch"},
}
PARTS = ("generators", "judges", "rewriters", "retrieval.augment", "retrieval.refiners")
SOURCES = sources()


def short(module: str) -> str:
    return module.removeprefix("rapo_lightning.")


def matches(module: str, patterns: str) -> bool:
    return any(fnmatchcase(short(module), pattern) for pattern in patterns.split())


def rows(module: str) -> list[int]:
    return [row for row, patterns in ROWS.items() if matches(module, patterns)]


def is_evaluation(module: str) -> bool:
    return module.partition(".")[0] == "evaluation"


def edges() -> list[tuple[str, str]]:
    """(importer, imported) for all imports within the product. The front door names classes for type checkers only."""
    return [(module, found) for module, file in SOURCES.items() for found in imports(file, set(SOURCES)) if found in SOURCES]


def package(module: str) -> str:
    return short(module).partition(".")[0]


def test_every_module_has_one_row() -> None:
    placed = {module: rows(module) for module in SOURCES if not is_evaluation(module)}
    assert {module: found for module, found in placed.items() if len(found) != 1} == {}


def test_imports_point_down_or_sideways() -> None:
    up = [(a, b) for a, b in edges() if not is_evaluation(a) and not is_evaluation(b) and rows(b)[0] > rows(a)[0]]
    assert up == []


def test_the_rules_are_seen_to_work() -> None:
    """The parser finds imports in functions, and the table would refuse the opposite of what is there."""
    assert ("rapo_lightning.workflows", "rapo_lightning.sspo.log") in edges()
    assert rows("rapo_lightning.workflows")[0] > rows("rapo_lightning.sspo.log")[0]
    assert "lightning" in module_level_imports(ROOT / "rapo_lightning/sspo/module.py")
    assert "torch" not in module_level_imports(ROOT / "rapo_lightning/generators/diffusers.py")


def test_parts_do_not_know_one_another_but_for_language() -> None:
    siblings = [
        (a, b)
        for a, b in edges()
        if rows(a) == rows(b) == [3] and package(a) != package(b) and package(b) != "language" and not is_evaluation(a)
    ]
    assert siblings == []


def test_the_loop_knows_parts_by_their_protocols_only() -> None:
    known = [(a, b) for a, b in edges() if package(a) in {"sspo", "tuning", "tracking"} and short(b).startswith(PARTS)]
    assert known == []


def test_evaluation_stands_alone() -> None:
    users = (
        "judges.metric shapes.gates quickstart comparison report report_* evaluating terminal_evaluate doctor commands.evaluate"
    )
    assert [(a, b) for a, b in edges() if is_evaluation(a) and not is_evaluation(b)] == []
    assert [(a, b) for a, b in edges() if is_evaluation(b) and not is_evaluation(a) and not matches(a, users)] == []


def test_only_quickstart_knows_the_shapes_world() -> None:
    known = [(a, b) for a, b in edges() if package(b) == "shapes" and package(a) != "shapes"]
    assert {short(a) for a, _ in known} == {"quickstart", "comparison"}


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_heavy_libraries_wait_until_they_are_needed(module: str) -> None:
    allowed = {name for patterns, names in MAY_START_WITH.items() if matches(module, patterns) for name in names}
    found = {name.partition(".")[0] for name in module_level_imports(SOURCES[module])}
    assert found & HEAVY <= allowed


def test_no_drawer_without_a_name() -> None:
    assert [file for file in SOURCES.values() if file.stem in {"utils", "common", "helpers", "misc"}] == []
    assert [name for name in ("relation_graph", "ckpt") if (ROOT / name / "__init__.py").exists()] == []


def test_files_stay_small_and_open_with_what_they_do() -> None:
    limits = {260: list(SOURCES.values()), 400: list((ROOT / "tests").rglob("*.py"))}
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for files in limits.values() for file in files}
    assert {str(file): lines[file] for limit, files in limits.items() for file in files if lines[file] > limit} == {}
    silent = [str(file) for file in lines if lines[file] and not file.read_text(encoding="utf-8").startswith('"""')]
    assert silent == []
