"""What reranking adds to decoding with CTranslate2, in process, on one core.

    pip install ctranslate2 plugins/ctranslate2
    python tests/bench/rerank_ctranslate2.py models/et-en.qe

A transformer of base size (6 + 6 layers, 512 wide, 32,000 words) with random weights stands for the decoder: sources and
outputs of 25 tokens, 10 candidates. Prints milliseconds per sentence of decoding, of decoding with reranking, and the
time that the adapter takes (joining tokens, the plugin, making results); medians over rounds."""

import statistics
import sys
import tempfile
import time

import ctranslate2
import numpy
from qestrel_ctranslate2 import RerankingTranslator

VOCABULARY, WIDTH, INNER, LENGTH, CANDIDATES, SENTENCES, ROUNDS = 32000, 512, 2048, 25, 10, 16, 5


def fill(spec, random):
    """Random weights in every layer of a specification."""
    for name, value in vars(spec).items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ctranslate2.specs.common_spec.LinearSpec):
                rows, columns = SHAPES[name if name != "linear" else f"linear{len(value)}.{value.index(item)}"]
                item.weight = random.standard_normal((rows, columns), dtype=numpy.float32) * 0.05
                item.bias = numpy.zeros(rows, numpy.float32)
            elif isinstance(item, ctranslate2.specs.common_spec.LayerNormSpec):
                item.gamma, item.beta = numpy.ones(WIDTH, numpy.float32), numpy.zeros(WIDTH, numpy.float32)
            elif isinstance(item, ctranslate2.specs.common_spec.EmbeddingsSpec):
                item.weight = random.standard_normal((VOCABULARY, WIDTH), dtype=numpy.float32) * 0.05
            elif isinstance(item, ctranslate2.specs.LayerSpec):
                fill(item, random)


SHAPES = {
    "linear2.0": (3 * WIDTH, WIDTH), "linear2.1": (WIDTH, WIDTH), "linear3.0": (WIDTH, WIDTH),
    "linear3.1": (2 * WIDTH, WIDTH), "linear3.2": (WIDTH, WIDTH), "linear_0": (INNER, WIDTH),
    "linear_1": (WIDTH, INNER), "projection": (VOCABULARY, WIDTH),
}


def save(folder):
    """The decoder."""
    words = ["<unk>", "<s>", "</s>", *(f"▁w{i:x}" for i in range(VOCABULARY - 3))]
    spec = ctranslate2.specs.TransformerSpec.from_config(6, 8, pre_norm=True)
    fill(spec, numpy.random.default_rng(1))
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.validate()
    spec.save(folder)


def seconds(translator, batch):
    """Of one call."""
    began = time.perf_counter()
    translator.translate_batch(batch, beam_size=CANDIDATES, num_hypotheses=CANDIDATES, return_scores=True,
                               min_decoding_length=LENGTH, max_decoding_length=LENGTH)
    return time.perf_counter() - began


class Timed(RerankingTranslator):
    """Adds up what comes after the translator's own work."""

    added = 0.0

    def _rerank(self, found, request):
        began = time.perf_counter()
        results = super()._rerank(found, request)
        self.added += time.perf_counter() - began
        return results


def main():
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        plain = ctranslate2.Translator(folder, inter_threads=1, intra_threads=1)
    reranking = Timed(plain, model=sys.argv[1], candidates=CANDIDATES)
    random = numpy.random.default_rng(2)
    batch = [[f"▁w{i:x}" for i in random.integers(VOCABULARY - 3, size=LENGTH)] + ["</s>"] for _ in range(SENTENCES)]
    seconds(reranking, batch)
    decode, both, added = [], [], []
    for _ in range(ROUNDS):
        decode.append(seconds(plain, batch))
        before = reranking.added
        both.append(seconds(reranking, batch))
        added.append(reranking.added - before)
    each = 1000 / SENTENCES
    print(f"decoding               {each * statistics.median(decode):8.2f} ms per sentence")
    print(f"decoding and reranking {each * statistics.median(both):8.2f} ms per sentence")
    print(f"reranking              {each * statistics.median(added):8.3f} ms per sentence, "
          f"{100 * statistics.median(added) / statistics.median(decode):.2f} % of decoding")
    print(f"reranked {reranking.stats()['reranked']} lists of {CANDIDATES}")


if __name__ == "__main__":
    main()
