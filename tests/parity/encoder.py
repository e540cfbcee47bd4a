#!/usr/bin/env python3
"""Writes two tiny encoders as Hugging Face keeps them, bert/ and xlmr/, and encoder.txt: what PyTorch computes with the
first, both forms at once, and the weights after steps of two optimisers. tests/test_encoder.c compares Qestrel with it;
the packages are needed only to make the files anew:

    pip install torch==2.13.0 transformers==5.24.0 sentencepiece==0.2.3 safetensors
    python3 tests/parity/encoder.py tests/parity
"""
import io
import json
import os
import random
import sys

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

folder = sys.argv[1]
torch.manual_seed(3)
torch.set_num_threads(1)
random.seed(3)
WIDTH, LAYERS, HEADS, INNER, POSITIONS, PREFIX, ALIGNED = 8, 2, 2, 12, 48, "go: ", (1, 2)
STEPS, RATE, EPSILON = 10, 0.01, 1e-3
PAIRS = [("ka lo mi", "su te", 0.25), ("lo", "te te ro pa", 0.75), ("mi ka ka ne lo so", "pa", 0.5),
         ("so ne", "ro su te pa vi ro su", 1.0), ("ka mi", "", 0.0)]


def train_pieces():
    lines = [" ".join(random.choices("ka lo mi ne so su te ro pa vi go :".split(), k=6)) for _ in range(300)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=30, model_type="unigram",
        normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2)
    return model.getvalue()


def save(name, model, config, prefix, dtype):
    path = f"{folder}/{name}"
    os.makedirs(path, exist_ok=True)
    with open(f"{path}/sentencepiece.bpe.model", "wb") as file:
        file.write(PIECES)
    tensors = {prefix + key: value.to(dtype).contiguous() for key, value in model.state_dict().items()
               if "position_ids" not in key}
    save_file(tensors, f"{path}/model.safetensors", metadata={"format": "pt"})
    keys = ["model_type", "hidden_act", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
            "max_position_embeddings", "type_vocab_size", "vocab_size", "layer_norm_eps", "pad_token_id"]
    with open(f"{path}/config.json", "w") as file:
        json.dump({key: getattr(config, key) for key in keys}, file, indent=1)
        file.write("\n")


PIECES = train_pieces()
processor = sentencepiece.SentencePieceProcessor(model_proto=PIECES)
ROWS = processor.get_piece_size() + 1
shape = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER,
         "max_position_embeddings": POSITIONS, "vocab_size": ROWS, "initializer_range": 0.4}


def pieces(text):
    first = {0: 3, 1: 0, 2: 2}
    return [first.get(piece, piece + 1) for piece in processor.encode(text)]


class Judge(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        count = len(ALIGNED)
        self.encoder = encoder
        self.pooler = torch.nn.Linear(3 * WIDTH, WIDTH)
        self.center = torch.nn.Parameter(torch.randn(2 * count, WIDTH) * 0.3)
        self.scale = torch.nn.Parameter(1 + 0.1 * torch.randn(4 * count))
        self.shift = torch.nn.Parameter(0.1 * torch.randn(4 * count))
        self.head = torch.nn.Linear(WIDTH + 4 * count, 1)

    def states(self, ids):
        return [states[0] for states in self.encoder(torch.tensor([ids]), output_hidden_states=True).hidden_states]

    def alone(self, text):
        start = [0] + pieces(PREFIX)
        states = self.states(start + pieces(text) + [2])
        return [layer[len(start):-1] for layer in states]

    def align(self, source, target):
        means, lacking = [], []
        for number, layer in enumerate(ALIGNED):
            unit = [torch.nn.functional.normalize(side[layer] - self.center[2 * number + i], dim=1)
                    for i, side in enumerate((source, target))]
            for own, other in ((unit[0], unit[1]), (unit[1], unit[0])):
                if len(own) == 0:
                    best = torch.zeros(1)
                    means.append(best.mean())
                    lacking.append(best.mean())
                    continue
                best = (own @ other.t()).max(dim=1)[0] if len(other) else torch.zeros(len(own))
                means.append(best.mean())
                lacking.append(((1 - best) ** 2).mean())
        order = [value for i in range(len(ALIGNED))
                 for value in (means[2 * i], means[2 * i + 1], lacking[2 * i], lacking[2 * i + 1])]
        return torch.stack(order) * self.scale + self.shift

    def pool(self, source, target):
        start, own, other = [0] + pieces(PREFIX), pieces(source), pieces(target)
        last = self.states(start + own + [2, 2] + other + [2])[-1]
        first = len(start) + len(own) + 2
        means = [last[len(start):len(start) + len(own)], last[first:first + len(other)]]
        means = [side.mean(dim=0) if len(side) else torch.zeros(WIDTH) for side in means]
        return torch.tanh(self.pooler(torch.cat([last[0], *means])))

    def forward(self):
        rows = []
        for source, target, _ in PAIRS:
            rows.append(torch.cat([self.pool(source, target), self.align(self.alone(source), self.alone(target))]))
        return torch.sigmoid(self.head(torch.stack(rows)))[:, 0]

    def named(self):
        """Qestrel's names, order and orientation (inputs x outputs)."""
        parts = self.encoder.embeddings
        yield "embeddings.word", parts.word_embeddings.weight, False
        yield "embeddings.position", parts.position_embeddings.weight, False
        yield "embeddings.type", parts.token_type_embeddings.weight, False
        yield "embeddings.gain", parts.LayerNorm.weight, False
        yield "embeddings.bias", parts.LayerNorm.bias, False
        for number, layer in enumerate(self.encoder.encoder.layer, 1):
            linear = {"query": layer.attention.self.query, "key": layer.attention.self.key,
                      "value": layer.attention.self.value, "output": layer.attention.output.dense}
            for name, module in linear.items():
                yield f"layer{number}.{name}.weight", module.weight, True
                yield f"layer{number}.{name}.bias", module.bias, False
            yield f"layer{number}.attention.gain", layer.attention.output.LayerNorm.weight, False
            yield f"layer{number}.attention.bias", layer.attention.output.LayerNorm.bias, False
            for name, module in (("inner", layer.intermediate.dense), ("outer", layer.output.dense)):
                yield f"layer{number}.{name}.weight", module.weight, True
                yield f"layer{number}.{name}.bias", module.bias, False
            yield f"layer{number}.norm.gain", layer.output.LayerNorm.weight, False
            yield f"layer{number}.norm.bias", layer.output.LayerNorm.bias, False
        yield "pooler.weight", self.pooler.weight, True
        yield "pooler.bias", self.pooler.bias, False
        yield "alignment.center", self.center, False
        yield "alignment.scale", self.scale, False
        yield "alignment.shift", self.shift, False
        yield "head.weight", self.head.weight, True
        yield "head.bias", self.head.bias, False


def show(out, label, name, tensor, transpose):
    matrix = tensor.detach()
    matrix = matrix.t() if transpose else matrix
    matrix = matrix.reshape(1, -1) if matrix.dim() == 1 else matrix
    print(label, name, matrix.shape[0], matrix.shape[1], file=out)
    print(" ".join(f"{value:.7g}" for value in matrix.reshape(-1).tolist()), file=out)


def show_all(out, label, judge):
    for name, tensor, transpose in judge.named():
        value = tensor.grad if label == "gradient" else tensor
        show(out, label, name, torch.zeros_like(tensor) if value is None else value, transpose)


config = BertConfig(type_vocab_size=2, layer_norm_eps=1e-12, pad_token_id=1, **shape)
bert = BertModel(config, add_pooling_layer=False).eval()
for module in bert.modules():  # none starts as a bare 0 or 1, which would hide a mistake
    if isinstance(module, (torch.nn.Linear, torch.nn.LayerNorm)):
        torch.nn.init.normal_(module.bias, 0, 0.2)
    if isinstance(module, torch.nn.LayerNorm):
        torch.nn.init.normal_(module.weight, 1, 0.2)
save("bert", bert, config, "", torch.float32)
judge = Judge(bert)
start = {key: value.clone() for key, value in judge.state_dict().items()}
gold = torch.tensor([pair[2] for pair in PAIRS])
with open(f"{folder}/encoder.txt", "w", encoding="utf-8") as out:
    print("sizes", STEPS, RATE, len(PAIRS), file=out)
    for source, target, score in PAIRS:
        print(f"pair\t{source}\t{target}\t{score}", file=out)
    show_all(out, "weight", judge)
    scores = judge()
    loss = ((scores - gold) ** 2).mean()
    loss.backward()
    show(out, "output", "score", scores.reshape(-1, 1), False)
    show(out, "output", "loss", loss.reshape(1, 1), False)
    show_all(out, "gradient", judge)
    for label, make in (("adam", lambda p: torch.optim.Adam(p, lr=RATE, eps=EPSILON)),
                        ("sgd", lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9))):
        judge.load_state_dict(start)
        optimiser = make(judge.parameters())
        for _ in range(STEPS):
            optimiser.zero_grad()
            ((judge() - gold) ** 2).mean().backward()
            optimiser.step()
        show_all(out, label, judge)
    config = XLMRobertaConfig(type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, **shape)
    roberta = XLMRobertaModel(config, add_pooling_layer=False).half().float().eval()
    save("xlmr", roberta, config, "roberta.", torch.float16)
    ids = [0] + pieces(PAIRS[0][0]) + [2]
    with torch.no_grad():
        show(out, "xlmr", "last", roberta(torch.tensor([ids])).last_hidden_state[0][1:-1], False)
    print("end", file=out)
