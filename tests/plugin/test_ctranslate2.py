"""The CTranslate2 adapter against the real package, with a model whose n-best lists are known beforehand."""

import json
import math
import os
import pathlib
import sys
import tempfile
import threading
import unittest
import warnings

import ctranslate2
from qestrel_ctranslate2 import RerankingTranslator

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lexicon_model  # pylint: disable=wrong-import-position

LEXICON = {
    "▁das": {"▁the": 0.6, "▁that": 0.4},
    "▁haus": {"▁hose": 0.55, "▁house": 0.45},
    "▁hat": {"▁has": 1.0},
    "▁3": {"▁4": 0.6, "▁3": 0.4},
    "tü@@": {"do@@": 0.6, "da@@": 0.4},
    "r": {"or": 0.7, "y": 0.3},
}
HOUSE = ["▁das", "▁haus", "</s>"]
ROOMS = ["▁das", "▁haus", "▁hat", "▁3", "</s>"]
FOLDER = tempfile.TemporaryDirectory()
lexicon_model.save(LEXICON, os.path.join(FOLDER.name, "model"))


def weights(content):
    """A file of weights."""
    with tempfile.NamedTemporaryFile("w", dir=FOLDER.name, suffix=".json", delete=False) as file:
        json.dump(content, file)
    return file.name


def translator():
    """The real one."""
    return ctranslate2.Translator(os.path.join(FOLDER.name, "model"), inter_threads=2, intra_threads=1)


REVERSED = {"total": -1}  # the decoder's worst candidate wins: a known order


class TranslateBatch(unittest.TestCase):
    """What comes back, and in which order."""

    def plain(self, **options):
        """All that CTranslate2 finds, in its order."""
        return translator().translate_batch([HOUSE], beam_size=4, num_hypotheses=4, return_scores=True, **options)[0]

    def test_a_known_order_changes(self):
        plain = self.plain()
        self.assertEqual(plain.hypotheses[0], ["▁the", "▁hose"])
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        result = wrapped.translate_batch([HOUSE])[0]
        self.assertEqual(result.hypotheses, [plain.hypotheses[3]])
        self.assertEqual(wrapped.stats()["reranked"], 1)
        self.assertEqual(wrapped.stats()["moved"], 1)
        self.assertEqual(wrapped.stats()["hypotheses"], 4)

    def test_types_and_counts(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        plain = self.plain()
        for asked in (1, 3, 4):
            for scores in (False, True):
                results = wrapped.translate_batch([HOUSE, ROOMS], num_hypotheses=asked, return_scores=scores)
                self.assertIsInstance(results, list)
                self.assertEqual(len(results), 2)
                for result in results:
                    self.assertIsInstance(result, ctranslate2.TranslationResult)
                    self.assertEqual(len(result.hypotheses), asked)
                    self.assertEqual(len(result.scores), asked if scores else 0)
                    self.assertEqual(result.attention, [])
                self.assertEqual(results[0].hypotheses, plain.hypotheses[::-1][:asked])
                if scores:
                    self.assertEqual(results[0].scores, plain.scores[::-1][:asked])
                self.assertIn("hypotheses=[[", repr(results[0]))

    def test_attention_and_logits(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        result = wrapped.translate_batch([HOUSE], num_hypotheses=2, return_attention=True, return_logits_vocab=True)[0]
        self.assertEqual(len(result.attention), 2)
        self.assertEqual(len(result.logits), 2)

    def test_the_decoders_order(self):
        plain = self.plain()
        wrapped = RerankingTranslator(translator(), weights="decoder", candidates=4)
        result = wrapped.translate_batch([HOUSE], num_hypotheses=4, return_scores=True)[0]
        self.assertEqual(result.hypotheses, plain.hypotheses)
        self.assertEqual(result.scores, plain.scores)

    def test_asked_for_more_than_candidates(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=2, guards="none")
        result = wrapped.translate_batch([HOUSE], num_hypotheses=4)[0]
        self.assertEqual(result.hypotheses, self.plain().hypotheses[::-1])

    def test_guards(self):
        """The first choice has the source's number: the guard keeps a switch from losing it."""
        swapped = {**LEXICON, "▁3": {"▁3": 0.6, "▁4": 0.4}}
        lexicon_model.save(swapped, os.path.join(FOLDER.name, "swapped"))
        other = ctranslate2.Translator(os.path.join(FOLDER.name, "swapped"))
        free = RerankingTranslator(other, weights=weights(REVERSED), candidates=8, guards="none")
        held = RerankingTranslator(other, weights=weights(REVERSED), candidates=8, guards="number")
        self.assertIn("▁4", free.translate_batch([ROOMS])[0].hypotheses[0])
        self.assertIn("▁3", held.translate_batch([ROOMS])[0].hypotheses[0])
        self.assertEqual(held.stats()["refused"], 1)

    def test_subwords_are_joined(self):
        wrapped = RerankingTranslator(translator(), weights="decoder")
        self.assertEqual(wrapped._plugin.text_of(["▁the", "▁ho", "use", "</s>"]), b"the house")
        self.assertEqual(wrapped._plugin.text_of(["do@@", "or"]), b"door")
        result = wrapped.translate_batch([["tü@@", "r", "</s>"]], num_hypotheses=2)[0]
        self.assertEqual(result.hypotheses[0], ["do@@", "or"])

    def test_empty(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED))
        self.assertEqual(wrapped.translate_batch([]), [])
        expected = translator().translate_batch([[]])
        self.assertEqual(len(wrapped.translate_batch([[]])), len(expected))

    def test_prefix_alternatives_sampling_and_callback(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        result = wrapped.translate_batch([HOUSE], target_prefix=[["▁that"]])[0]
        self.assertEqual(result.hypotheses[0][0], "▁that")
        before = wrapped.stats()["lists"]
        alternatives = wrapped.translate_batch([HOUSE], num_hypotheses=2, return_alternatives=True)[0]
        self.assertEqual(len(alternatives.hypotheses), 2)
        seen = []
        wrapped.translate_batch([HOUSE], beam_size=1, callback=lambda step: bool(seen.append(step.token)))
        self.assertTrue(seen)
        self.assertEqual(wrapped.stats()["lists"], before)
        sampled = wrapped.translate_batch([HOUSE], beam_size=1, sampling_topk=3, num_hypotheses=2)[0]
        self.assertEqual(len(sampled.hypotheses), 2)
        self.assertEqual(wrapped.stats()["lists"], before + 1)

    def test_asynchronous(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        later = wrapped.translate_batch([HOUSE, HOUSE], asynchronous=True)
        self.assertEqual([result.result().hypotheses for result in later], [[self.plain().hypotheses[3]]] * 2)
        self.assertTrue(all(result.done() for result in later))

    def test_iterable(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        results = list(wrapped.translate_iterable(iter([HOUSE] * 5), max_batch_size=2, return_scores=True))
        self.assertEqual([r.hypotheses for r in results], [[self.plain().hypotheses[3]]] * 5)
        self.assertEqual(len(results[0].scores), 1)

    def test_threads(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, guards="none")
        found = []
        run = lambda: found.extend(wrapped.translate_batch([HOUSE])[0].hypotheses[0] for _ in range(20))
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [self.plain().hypotheses[3]] * 60)
        self.assertEqual(wrapped.stats()["reranked"], 60)


class Construction(unittest.TestCase):
    """Models, weights, and what cannot be."""

    model = os.path.join(os.environ["SOURCE_DIR"], "models", "et-en.qe")

    def test_model_and_weights_alone_and_together(self):
        for options in ({}, {"model": self.model}, {"weights": weights({"MBR0": 1})},
                        {"model": self.model, "weights": weights({"QE0": 1})}):
            with RerankingTranslator(translator(), candidates=4, **options) as wrapped:
                self.assertEqual(len(wrapped.translate_batch([HOUSE])[0].hypotheses), 1)
                self.assertEqual(wrapped.stats()["reranked"], 1, options)

    def test_refused(self):
        for options in ({"model": "nothing.qe"}, {"weights": "nothing.json"}, {"guards": "none-such"}, {"modle": "x"}):
            with self.assertRaises(ValueError) as raised:
                RerankingTranslator(translator(), **options)
            self.assertTrue(any(str(value) in str(raised.exception) or key in str(raised.exception)
                                for key, value in options.items()))
        with self.assertRaises(ValueError):
            RerankingTranslator(translator(), candidates=0)
        with self.assertRaises(OSError):
            RerankingTranslator(translator(), library="nothing.so")

    def test_a_failure_leaves_the_order(self):
        plain = translator().translate_batch([HOUSE], beam_size=4, num_hypotheses=4)[0]
        wrapped = RerankingTranslator(translator(), weights=weights({"Missing": 1}), candidates=4)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                result = wrapped.translate_batch([HOUSE], num_hypotheses=4)[0]
                self.assertEqual(result.hypotheses, plain.hypotheses)
        self.assertEqual([str(w.message).count("Missing") for w in caught], [1])
        self.assertEqual(wrapped.stats()["failed"], 3)

    def test_a_deadline_leaves_the_order(self):
        wrapped = RerankingTranslator(translator(), weights=weights(REVERSED), candidates=4, deadline_ms=1e-9)
        self.assertEqual(wrapped.translate_batch([HOUSE])[0].hypotheses[0], ["▁the", "▁hose"])
        self.assertEqual(wrapped.stats()["late"], 1)

    def test_the_rest_is_the_translators(self):
        wrapped = RerankingTranslator(translator(), weights="decoder")
        self.assertEqual(wrapped.device, "cpu")
        self.assertTrue(wrapped.model_is_loaded)
        scores = wrapped.score_batch([HOUSE], [["▁the", "▁hose"]])[0]
        self.assertTrue(math.isfinite(sum(scores.log_probs)))
        with self.assertRaises(AttributeError):
            wrapped.no_such_thing  # pylint: disable=pointless-statement


if __name__ == "__main__":
    unittest.main()
