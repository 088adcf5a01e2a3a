"""The class-wise memory against a list for each class."""

from __future__ import annotations

from collections import deque

import pytest
import torch

from trainables.losses.memory import ClassMemory


def held(memory):
    """Each class's vectors, as a set of tuples."""
    filled = memory.filled().view(memory.entries.shape[:2])
    pairs = zip(memory.entries, filled, strict=True)
    return [{tuple(vector.tolist()) for vector in ring[there]} for ring, there in pairs]


def test_each_class_holds_its_last_vectors():
    memory, lists = ClassMemory(num_classes=3, size=4, channels=2), [deque(maxlen=4) for _ in range(3)]
    rng = torch.Generator().manual_seed(0)
    for count in (1, 3, 2, 7, 1, 4):  # 7 are more than it holds
        vectors, present = torch.randn(3, count, 2, generator=rng), torch.rand(3, count, generator=rng) < 0.6
        memory.put(vectors, present)
        for ring, rows, there in zip(lists, vectors, present, strict=True):
            ring.extend(tuple(vector.tolist()) for vector in rows[there])
        assert held(memory) == [set(ring) for ring in lists]


def test_it_is_empty_at_first_and_absent_vectors_leave_it_as_it_is():
    memory = ClassMemory(num_classes=2, size=3, channels=2)
    assert not memory.filled().any()
    memory.put(torch.ones(2, 5, 2), torch.zeros(2, 5, dtype=torch.bool))
    assert not memory.filled().any()
    assert (memory.entries == 0).all()


def test_all_it_knows_is_in_its_state():
    rng = torch.Generator().manual_seed(0)
    one, other = (ClassMemory(num_classes=2, size=3, channels=2) for _ in range(2))
    one.put(torch.randn(2, 2, 2, generator=rng), torch.ones(2, 2, dtype=torch.bool))
    other.load_state_dict(one.state_dict())
    vectors = torch.randn(2, 2, 2, generator=rng)
    for memory in (one, other):
        memory.put(vectors, torch.ones(2, 2, dtype=torch.bool))
    assert torch.equal(one.entries, other.entries)
    assert one.filled().all()


def test_what_a_backward_pass_needs_is_not_written_over():
    memory = ClassMemory(num_classes=1, size=2, channels=2)
    memory.put(torch.ones(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))
    leaf = torch.ones(2, requires_grad=True)
    product = (memory.entries * leaf).sum()
    memory.put(torch.full((1, 1, 2), 9.0), torch.ones(1, 1, dtype=torch.bool))
    product.backward()
    assert leaf.grad.tolist() == pytest.approx([1, 1])
