"""Exact search: the answers of whole-number arithmetic, for any batch, chunk, precision of the proposals, and engine."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval import exact
from rapo_lightning.retrieval.index import VectorIndex, _largest


def unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=1)


def drawn(n: int, d: int, seed: int, pool: int = 0) -> torch.Tensor:
    """Random vectors; from a small pool, so that many are equal, if one is asked for."""
    generator = torch.Generator().manual_seed(seed)
    rows = unit(torch.randn(max(pool, n), d, generator=generator))
    return rows[torch.randint(pool, (n,), generator=generator)] if pool else rows[:n]


def by_hand(query: list[float], row: list[float]) -> int:
    """The score by rational numbers."""
    return sum(round(Fraction(a) * Fraction(b) * exact.UNIT) for a, b in zip(query, row, strict=True))


def brute(vectors: torch.Tensor, queries: torch.Tensor, k: int) -> list[list[tuple[int, int]]]:
    """(score, index), best first, ties by the lower index."""
    rows = vectors.tolist()
    answers = []
    for query in queries.tolist():
        scored = [(by_hand(query, row), index) for index, row in enumerate(rows)]
        answers.append(sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k])
    return answers


def answers(index: VectorIndex, queries: torch.Tensor, k: int) -> list[list[tuple[int, int]]]:
    found, rows = index.ranked(queries, k)
    return [list(zip(*pair, strict=True)) for pair in zip(found.tolist(), rows.tolist(), strict=True)]


@given(
    n=st.integers(0, 60),
    q=st.integers(0, 5),
    d=st.integers(1, 9),
    k=st.integers(0, 70),
    pool=st.sampled_from([0, 1, 3, 20]),
    rows=st.sampled_from([None, 1, 7, 128]),
    engine=st.sampled_from(["torch", "faiss"]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_answers_are_those_of_brute_force(
    n: int, q: int, d: int, k: int, pool: int, rows: int | None, engine: str, seed: int
) -> None:
    vectors, queries = drawn(n, d, seed, pool), drawn(q, d, seed + 1)
    index = VectorIndex(vectors, engine=engine, rows=rows)
    assert answers(index, queries, k) == brute(vectors, queries, k)
    found, indices = index.search(queries, k)
    assert found.shape == indices.shape == (q, min(k, n))
    assert found.dtype == torch.float32
    assert len(index) == n
    assert index.dimension == d


@pytest.mark.parametrize("engine", ["torch", "faiss"])
def test_batches_chunks_and_copies_of_the_vectors_change_no_bit(engine: str) -> None:
    vectors, queries = drawn(5000, 48, 0), drawn(300, 48, 1)
    found, rows = VectorIndex(vectors, engine=engine).search(queries, 7)
    for size, chunk in ((1, None), (17, 128), (300, 1000), (33, 64)):
        index = VectorIndex(vectors.clone(), engine=engine, rows=chunk)
        parts = [index.search(some, 7) for some in queries[:66].split(size)]
        assert torch.equal(torch.cat([part[0] for part in parts]), found[:66])
        assert torch.equal(torch.cat([part[1] for part in parts]), rows[:66])
    assert torch.equal(rows, (queries.double() @ vectors.double().T).topk(7).indices)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("pool", [0, 5])
def test_proposals_in_any_precision_lead_to_the_same_answers(dtype: torch.dtype, pool: int) -> None:
    """What CUDA does: float16 proposes. With 5 different vectors among 3,000 nearly all candidates tie."""
    vectors, queries = drawn(3000, 32, 2, pool), drawn(20, 32, 3)
    index = VectorIndex(vectors)
    with torch.inference_mode():
        settled = index._settle(queries, 4, 17, dtype)
    assert torch.equal(settled, torch.stack(index.ranked(queries, 4)))
    assert torch.equal(settled[1], torch.tensor([[i for _, i in row] for row in brute(vectors, queries, 4)]))


def test_a_crowd_of_neighbours_one_rounding_apart_is_told_apart() -> None:
    """200 vectors whose float32 products with the query are equal or in the wrong order: more than the spare candidates."""
    query = drawn(1, 64, 4)
    generator = torch.Generator().manual_seed(5)
    crowd = unit(query + 1e-7 * torch.randn(200, 64, generator=generator))
    vectors = torch.cat([drawn(2000, 64, 6), crowd])
    expected = brute(vectors[2000:], query, 5)
    assert answers(VectorIndex(vectors), query, 5) == [[(score, index + 2000) for score, index in expected[0]]]
    fast = (vectors @ query[0]).topk(5).indices.tolist()
    assert fast != [index + 2000 for _, index in expected[0]]


def test_equal_vectors_are_ranked_by_index_however_many_there_are() -> None:
    one = drawn(1, 16, 7)
    found, rows = VectorIndex(one.expand(1000, 16).contiguous()).search(one, 3)
    assert rows.tolist() == [[0, 1, 2]]
    assert found.tolist() == [[1.0, 1.0, 1.0]]


def test_fast_products_stay_within_the_margin_that_is_granted_to_them() -> None:
    left, right = drawn(64, 384, 8), drawn(500, 384, 9)
    left[0], right[0] = 384**-0.5, 384**-0.5  # all errors of one sign
    true = left.double() @ right.double().T
    for dtype in (torch.float32, torch.float16):
        error = ((left.to(dtype) @ right.to(dtype).T).double() - true).abs().max()
        assert 0 < error < exact.drift(384, dtype) < 3e-3


def test_scores_do_not_depend_on_the_order_of_the_numbers() -> None:
    left, right = drawn(1, 384, 10), drawn(1, 384, 11)
    order = torch.randperm(384, generator=torch.Generator().manual_seed(0))
    zero = (torch.tensor([0]), torch.tensor([0]))
    score = exact.scores(left, right, pairs=zero)
    assert torch.equal(score, exact.scores(left[:, order], right[:, order], pairs=zero))
    assert score.item() == by_hand(left[0].tolist(), right[0].tolist())


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 140), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_largest_of_each_row_are_found_through_blocks(rows: int, blocks: int, many: int, seed: int) -> None:
    fast = torch.randint(0, 50, (rows, blocks * 128), generator=torch.Generator().manual_seed(seed)).float()
    values, columns = _largest(fast, many)
    wanted = fast.topk(min(many, blocks * 128)).values
    assert torch.equal(values.sort(descending=True).values, wanted)
    assert torch.equal(fast.gather(1, columns), values)
    assert all(len(set(row)) == len(row) for row in columns.tolist())


def test_a_memory_mapped_file_is_searched_in_chunks_where_it_lies(tmp_path: Path) -> None:
    vectors, queries = drawn(1000, 24, 12), drawn(9, 24, 13)
    np.save(tmp_path / "x.npy", vectors.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for engine in ("torch", "faiss"):
        index = VectorIndex(mapped, rows=100, engine=engine)
        assert answers(index, queries, 5) == answers(VectorIndex(vectors), queries, 5)
    assert np.shares_memory(VectorIndex(mapped)._vectors.numpy(), mapped)


@pytest.mark.parametrize("engine", ["torch", "faiss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 2.0])
def test_vectors_that_are_not_of_length_1_are_refused_by_row(engine: str, value: float) -> None:
    vectors = drawn(700, 8, 14)
    vectors[431] = value
    with pytest.raises(InputError, match="index: row 431 has the length"):
        VectorIndex(vectors, engine=engine, rows=100).search(drawn(1, 8, 15), 1)
    with pytest.raises(InputError, match="query: row 1 has the length"):
        VectorIndex(drawn(5, 8, 16)).search(torch.stack([vectors[0], vectors[431]]), 1)


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(N, D\) float32, not \(2, 3\) torch.float64"):
        VectorIndex(torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(InputError, match=r"\(N, D\) float32, not \(3,\)"):
        VectorIndex(np.zeros(3, dtype=np.float32))
    index = VectorIndex(drawn(5, 8, 17))
    with pytest.raises(InputError, match=r"queries must be \(Q, 8\) float32, not \(1, 9\)"):
        index.search(drawn(1, 9, 18), 1)
    with pytest.raises(ValueError, match="k is -1"):
        index.search(drawn(1, 8, 18), -1)
    with pytest.raises(ValueError, match="must be one of torch, faiss"):
        VectorIndex(drawn(5, 8, 17), engine="annoy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rows is 0"):
        VectorIndex(drawn(5, 8, 17), rows=0)


def test_without_faiss_its_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r'pip install "rapo-lightning\[faiss\]"'):
        VectorIndex(drawn(5, 8, 19), engine="faiss").search(drawn(1, 8, 20), 1)


def test_lower_precision_around_it_changes_nothing_and_is_there_again_afterwards() -> None:
    vectors, queries = drawn(2000, 64, 21), drawn(40, 64, 22)
    expected = VectorIndex(vectors).search(queries, 3)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = VectorIndex(vectors).search(queries, 3)
            with exact.full_precision("cpu"):
                assert (queries @ vectors.T).dtype == torch.float32
                assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_bits() -> None:
    vectors, queries = drawn(50_000, 384, 23), drawn(500, 384, 24)
    expected = VectorIndex(vectors).search(queries, 5)
    for placed in (VectorIndex(vectors.cuda()), VectorIndex(vectors, device="cuda", rows=9000)):
        assert all(torch.equal(a.cpu(), b) for a, b in zip(placed.search(queries, 5), expected, strict=True))
