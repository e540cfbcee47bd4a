#!/usr/bin/env python3
"""The same student in PyTorch on one CPU thread: training (dense and sparse embedding gradients) and scoring. Prints
the same lines of JSON as bench.c. The model is tests/parity/birnn.py's at full size; sentences of equal length need no
padding, so batches run through cuDNN-free nn.GRU as fast as they can."""
import json
import time

import torch

TOKENS, WORDS, BATCH, ROUNDS = 20, 20000, 32, 5
torch.manual_seed(1)
torch.set_num_threads(1)


class Side(torch.nn.Module):
    def __init__(self, sparse):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, 50, sparse=sparse)
        self.gru = torch.nn.GRU(50, 50, bidirectional=True, batch_first=True)
        self.dropout = torch.nn.Dropout(0.5)
        self.projection = torch.nn.Linear(100, 100)
        self.context = torch.nn.Parameter(torch.randn(100, 1))

    def forward(self, ids):
        states, _ = self.gru(self.embedding(ids))
        projected = self.projection(self.dropout(states))
        weights = torch.softmax(projected @ self.context, dim=1)
        return (weights * projected).sum(dim=1)


class Student(torch.nn.Module):
    def __init__(self, sparse):
        super().__init__()
        self.source, self.target = Side(sparse), Side(sparse)
        self.head = torch.nn.Linear(200, 1)

    def forward(self, source, target):
        return torch.sigmoid(self.head(torch.cat([self.source(source), self.target(target)], dim=1)))[:, 0]


def report(what, rate):
    print(json.dumps({"what": what, "pairs_per_second": round(rate, 1)}), flush=True)


def best_rate(body, pairs):
    body()
    best = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        body()
        best = max(best, pairs / (time.perf_counter() - start))
    return best


def batches(count, size):
    return [(torch.randint(WORDS, (size, TOKENS)), torch.randint(WORDS, (size, TOKENS)), torch.rand(size))
            for _ in range(count)]


def train(what, sparse):
    student = Student(sparse)
    tables = [student.source.embedding.weight, student.target.embedding.weight]
    if sparse:
        others = [p for p in student.parameters() if not any(p is table for table in tables)]
        optimisers = [torch.optim.SparseAdam(tables), torch.optim.Adam(others, foreach=True)]
    else:
        optimisers = [torch.optim.Adam(student.parameters(), foreach=True)]
    data = batches(20, BATCH)

    def body():
        for source, target, gold in data:
            for optimiser in optimisers:
                optimiser.zero_grad()
            ((student(source, target) - gold) ** 2).mean().backward()
            for optimiser in optimisers:
                optimiser.step()

    report(what, best_rate(body, len(data) * BATCH))


def score():
    student = Student(False).eval()
    best = 0.0
    with torch.inference_mode():
        for size in (1, 16, 64, 256, 1024):
            data = batches(max(1, 1024 // size) if size > 1 else 200, size)

            def body():
                for source, target, _ in data:
                    student(source, target)

            rate = best_rate(body, len(data) * size)
            if size == 1:
                report("torch score, batch 1", rate)
            best = max(best, rate)
    report("torch score, best batch", best)


train("torch train dense", False)
train("torch train sparse", True)
score()
