"""A CTranslate2 transformer without training: it translates word by word from a lexicon with given probabilities.

Positions are one-hot, and the cross attention of the one decoder layer looks at the source word at its own position; the
projection holds logarithms of probabilities. So the score of a hypothesis is the sum of log p of its words over its
length, and n-best lists have a known order."""

import math
import os

import ctranslate2
import numpy

POSITIONS = 32
RARE = -30.0


def identity_norm(spec, size, ones):
    """A layer norm that does nothing to a vector of `ones` ones and else zeros."""
    mean = ones / size
    deviation = math.sqrt(ones * (1 - mean) ** 2 / size + (size - ones) * mean**2 / size)
    spec.gamma = numpy.full(size, deviation, numpy.float32)
    spec.beta = numpy.full(size, mean, numpy.float32)


def zeros(spec, rows, columns):
    """A linear layer of nothing."""
    spec.weight = numpy.zeros((rows, columns), numpy.float32)
    spec.bias = numpy.zeros(rows, numpy.float32)


def silent_layer(layer, size, ones):
    """Self attention and feed-forward network that add nothing."""
    identity_norm(layer.self_attention.layer_norm, size, ones)
    zeros(layer.self_attention.linear[0], 3 * size, size)
    zeros(layer.self_attention.linear[1], size, size)
    identity_norm(layer.ffn.layer_norm, size, 2)
    zeros(layer.ffn.linear_0, 4, size)
    zeros(layer.ffn.linear_1, size, 4)


def positions(size):
    """One-hot in the first dimensions."""
    table = numpy.zeros((POSITIONS, size), numpy.float32)
    table[numpy.arange(POSITIONS), numpy.arange(POSITIONS)] = 1
    return table


def cross_attention(attention, size):
    """Each position looks at the same position of the source and brings its word."""
    identity_norm(attention.layer_norm, size, 1)
    query, key, value = (numpy.zeros((size, size), numpy.float32) for _ in range(3))
    query[:POSITIONS, :POSITIONS] = 60 * math.sqrt(size) * numpy.eye(POSITIONS)
    key[:POSITIONS, :POSITIONS] = numpy.eye(POSITIONS)
    value[POSITIONS:, POSITIONS:] = numpy.eye(size - POSITIONS)
    attention.linear[0].weight, attention.linear[0].bias = query, numpy.zeros(size, numpy.float32)
    attention.linear[1].weight = numpy.concatenate([key, value])
    attention.linear[1].bias = numpy.zeros(2 * size, numpy.float32)
    attention.linear[2].weight, attention.linear[2].bias = numpy.eye(size, dtype=numpy.float32), numpy.zeros(
        size, numpy.float32)


def save(lexicon, folder):
    """lexicon: {source word: {target word: probability}}; </s> stands for itself."""
    lexicon = {**lexicon, "</s>": {"</s>": 1.0}}
    source = ["<unk>", "<s>", *lexicon]
    target = ["<unk>", "<s>", "</s>", *sorted({word for row in lexicon.values() for word in row} - {"</s>"})]
    size = POSITIONS + len(source)
    spec = ctranslate2.specs.TransformerSpec.from_config(1, 1, pre_norm=True)
    spec.encoder.scale_embeddings = spec.decoder.scale_embeddings = False
    words = numpy.zeros((len(source), size), numpy.float32)
    words[numpy.arange(len(source)), POSITIONS + numpy.arange(len(source))] = 1
    spec.encoder.embeddings[0].weight = words
    spec.encoder.position_encodings.encodings = positions(size)
    spec.decoder.embeddings.weight = numpy.zeros((len(target), size), numpy.float32)
    spec.decoder.position_encodings.encodings = positions(size)
    silent_layer(spec.encoder.layer[0], size, 2)
    silent_layer(spec.decoder.layer[0], size, 1)
    cross_attention(spec.decoder.layer[0].attention, size)
    identity_norm(spec.encoder.layer_norm, size, 2)
    identity_norm(spec.decoder.layer_norm, size, 2)
    projection = numpy.zeros((len(target), size), numpy.float32)
    for number, word in enumerate(source):
        row = lexicon.get(word, {"<unk>": 1.0})
        for place, translation in enumerate(target):
            projection[place, POSITIONS + number] = math.log(row[translation]) if translation in row else RARE
    spec.decoder.projection.weight = projection
    spec.decoder.projection.bias = numpy.zeros(len(target), numpy.float32)
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.validate()
    os.makedirs(folder, exist_ok=True)
    spec.save(folder)
