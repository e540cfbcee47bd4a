#!/usr/bin/env python3
"""Writes birnn.txt: a small BiRNN student in PyTorch, with weights, inputs, outputs, the gradient of every parameter
and the weights after ten steps of three optimisers. tests/test_parity.c compares Qestrel with it; PyTorch is needed
only to make the file anew:  pip install torch==2.13.0 && python3 tests/parity/birnn.py > tests/parity/birnn.txt
"""
import torch

torch.manual_seed(20)
torch.set_num_threads(1)
EMBEDDING, HIDDEN, ATTENTION, STEPS, RATE = 5, 4, 6, 10, 0.01
EPSILON = 1e-3  # far above rounding errors, which a smaller one would blow up where gradients are tiny
PAIRS = [
    ("ka lo mi", "su te", 0.25),
    ("lo", "te te ro pa", 0.75),
    ("mi ka ka ne lo so", "pa", 0.5),
    ("so ne", "ro su te pa vi ro su", 1.0),
    ("ka mi", "vi te", 0.0),
]


def vocabulary(side):
    counts = {}
    for pair in PAIRS:
        for word in pair[side].split():
            counts[word] = counts.get(word, 0) + 1
    ordered = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    return {word: row + 1 for row, word in enumerate(ordered)}


class Side(torch.nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.embedding = torch.nn.Embedding(rows, EMBEDDING)
        self.gru = torch.nn.GRU(EMBEDDING, HIDDEN, bidirectional=True, batch_first=True)
        self.projection = torch.nn.Linear(2 * HIDDEN, ATTENTION)
        self.context = torch.nn.Parameter(torch.randn(ATTENTION, 1))

    def forward(self, sentences):
        pooled = []
        for ids in sentences:  # one by one: padding cannot play a part
            states, _ = self.gru(self.embedding(ids)[None])
            projected = self.projection(states[0])
            weights = torch.softmax(projected @ self.context, dim=0)
            pooled.append((weights * projected).sum(dim=0))
        return torch.stack(pooled)

    def named(self, side):
        """Qestrel's names and orientation (inputs x outputs)."""
        yield f"{side}.embedding", self.embedding.weight, False
        for direction, suffix in (("forward", ""), ("backward", "_reverse")):
            yield f"{side}.{direction}.input_weight", getattr(self.gru, "weight_ih_l0" + suffix), True
            yield f"{side}.{direction}.hidden_weight", getattr(self.gru, "weight_hh_l0" + suffix), True
            yield f"{side}.{direction}.input_bias", getattr(self.gru, "bias_ih_l0" + suffix), False
            yield f"{side}.{direction}.hidden_bias", getattr(self.gru, "bias_hh_l0" + suffix), False
        yield f"{side}.projection", self.projection.weight, True
        yield f"{side}.projection_bias", self.projection.bias, False
        yield f"{side}.context", self.context, False


class Student(torch.nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.source, self.target = Side(rows[0]), Side(rows[1])
        self.head = torch.nn.Linear(2 * ATTENTION, 1)

    def forward(self, sources, targets):
        pooled = torch.cat([self.source(sources), self.target(targets)], dim=1)
        return torch.sigmoid(self.head(pooled))[:, 0]

    def named(self):
        yield from self.source.named("source")
        yield from self.target.named("target")
        yield "head.weight", self.head.weight, True
        yield "head.bias", self.head.bias, False


def show(label, name, tensor, transpose):
    matrix = tensor.detach()
    matrix = matrix.t() if transpose else matrix
    matrix = matrix.reshape(1, -1) if matrix.dim() == 1 else matrix
    print(label, name, matrix.shape[0], matrix.shape[1])
    print(" ".join(f"{value:.9g}" for value in matrix.reshape(-1).tolist()))


def show_all(label, student):
    for name, tensor, transpose in student.named():
        show(label, name, tensor.grad if label == "gradient" else tensor, transpose)


def main():
    tables = [vocabulary(0), vocabulary(1)]
    sentences = [[torch.tensor([tables[side][w] for w in pair[side].split()]) for pair in PAIRS] for side in (0, 1)]
    gold = torch.tensor([pair[2] for pair in PAIRS])
    student = Student([len(table) + 1 for table in tables])
    start = {key: value.clone() for key, value in student.state_dict().items()}
    print("sizes", EMBEDDING, HIDDEN, ATTENTION, STEPS, RATE, len(PAIRS))
    for source, target, score in PAIRS:
        print(f"pair\t{source}\t{target}\t{score}")
    show_all("weight", student)
    scores = student(*sentences)
    loss = ((scores - gold) ** 2).mean()
    loss.backward()
    show("output", "score", scores.reshape(-1, 1), False)
    show("output", "loss", loss.reshape(1, 1), False)
    show_all("gradient", student)
    for label, make in (
        ("adam", lambda p: torch.optim.Adam(p, lr=RATE, eps=EPSILON)),
        ("adagrad", lambda p: torch.optim.Adagrad(p, lr=RATE, eps=EPSILON)),
        ("sgd", lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9)),
    ):
        student.load_state_dict(start)
        optimiser = make(student.parameters())
        for _ in range(STEPS):
            optimiser.zero_grad()
            ((student(*sentences) - gold) ** 2).mean().backward()
            optimiser.step()
        show_all(label, student)
    print("end")


main()
