"""PyTorch's side of encoder.sh: the same model, pairs and steps. Forward in batches of 32 texts of like length, padded;
the word table is not trained. Prints JSON lines."""
import json
import sys
import time

import numpy
import sentencepiece
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

PAIRS, ROUNDS, BATCH, STEPS, LAYERS = 256, 3, 16, 6, (7, 11)
folder, path, work = sys.argv[1:]
torch.manual_seed(1)
with open(f"{folder}/config.json") as file:
    model = BertModel(BertConfig(**json.load(file)), add_pooling_layer=False)
model.load_state_dict(load_file(f"{folder}/model.safetensors"))
processor = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/sentencepiece.bpe.model")
first = {0: 3, 1: 0, 2: 2}


def pieces(text):
    return [first.get(piece, piece + 1) for piece in processor.encode(text)]


prefix = [0] + pieces("query: ")
with open(path, encoding="utf-8", newline="\n") as file:
    texts = [line.rstrip("\n").split("\t") for line in file][:PAIRS]


def show(what, pairs, seconds):
    print(json.dumps({"what": "torch " + what, "pairs_per_second": pairs / seconds}), flush=True)


def padded(sequences):
    longest = max(map(len, sequences))
    ids = torch.tensor([ids + [1] * (longest - len(ids)) for ids in sequences])
    return ids, torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in sequences])


def states_of_all():
    sequences = [prefix + pieces(side) + [2] for pair in texts for side in pair]
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    states = [None] * len(sequences)
    with torch.inference_mode():
        for begin in range(0, len(order), 32):
            chosen = order[begin:begin + 32]
            ids, mask = padded([sequences[i] for i in chosen])
            hidden = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
            for row, i in enumerate(chosen):
                states[i] = [hidden[layer][row, len(prefix):len(sequences[i]) - 1] for layer in LAYERS]
    return states


def logit(source, target):
    total = 0
    for own, other in zip(source, target):
        own, other = torch.nn.functional.normalize(own, dim=1), torch.nn.functional.normalize(other, dim=1)
        cosines = own @ other.t()
        total += cosines.max(1)[0].mean() + cosines.max(0)[0].mean()
    return float(total)


model.eval()
for threads in (1, 2):
    torch.set_num_threads(threads)
    best = 1e9
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        states = states_of_all()
        logits = [logit(states[2 * i], states[2 * i + 1]) for i in range(len(texts))]
        best = min(best, time.perf_counter() - begin)
    show(f"forward, {threads} thread" + "s" * (threads > 1), len(texts), best)
ours = numpy.loadtxt(f"{work}/scores")
print(json.dumps({"what": "difference", "value": float(numpy.abs(ours - numpy.array(logits)).max())}))

pooler, head = torch.nn.Linear(3 * 384, 384), torch.nn.Linear(384, 1)
model.embeddings.requires_grad_(False)
model.train()
parameters = [p for part in (model, pooler, head) for p in part.parameters() if p.requires_grad]
optimiser = torch.optim.AdamW(parameters, lr=6e-5, weight_decay=0.01)
dropout = torch.nn.Dropout(0.1)
best = 1e9
for step in range(1, STEPS + 1):
    rows = [(step * BATCH + i) % len(texts) for i in range(1, BATCH + 1)]
    begin = time.perf_counter()
    sides = [[pieces(side) for side in texts[row]] for row in rows]
    ids, mask = padded([prefix + a + [2, 2] + b + [2] for a, b in sides])
    last = model(ids, attention_mask=mask).last_hidden_state
    pooled = []
    for row, (a, b) in enumerate(sides):
        at = len(prefix)
        pooled.append(torch.cat([last[row, 0], last[row, at:at + len(a)].mean(0),
                                 last[row, at + len(a) + 2:at + len(a) + 2 + len(b)].mean(0)]))
    scores = torch.sigmoid(head(dropout(torch.tanh(pooler(dropout(torch.stack(pooled)))))))[:, 0]
    loss = ((scores - torch.tensor([(row + 1) % 7 / 7 for row in rows])) ** 2).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step > 2:
        best = min(best, time.perf_counter() - begin)
show("fine-tuning, 2 threads", BATCH, best)
