"""A ctranslate2.Translator whose n-best lists are reranked before the caller sees them."""

import collections
import warnings
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import ctranslate2

from ._plugin import Candidates, Plugin

_FIELDS = ("hypotheses", "scores", "attention", "logits")


class TranslationResult(ctranslate2.TranslationResult):
    """A ctranslate2.TranslationResult with other content, which CTranslate2 itself gives no way to make."""

    hypotheses: List[List[str]] = []
    scores: List[float] = []
    attention: List[Any] = []
    logits: List[Any] = []

    def __repr__(self) -> str:
        return f"TranslationResult(hypotheses={self.hypotheses}, scores={self.scores}, attention={self.attention})"


def _picked(result: ctranslate2.TranslationResult, order: Sequence[int], fields: Sequence[str]) -> TranslationResult:
    """The candidates of `order`, with those fields that the caller asked for."""
    made = ctranslate2.TranslationResult.__new__(TranslationResult)
    for field in _FIELDS:
        values = getattr(result, field, [])
        wanted = field in fields and len(values) == len(result.hypotheses)
        setattr(made, field, [values[i] for i in order] if wanted else [])
    return made


class _Request:
    """What a caller asked for, and the options that make CTranslate2 find candidates for it."""

    def __init__(self, candidates: int, options: Dict[str, Any]) -> None:
        self.asked = options.get("num_hypotheses", 1)
        self.fields = ["hypotheses"]
        for field, option in (("scores", "return_scores"), ("attention", "return_attention"),
                              ("logits", "return_logits_vocab")):
            if options.get(option):
                self.fields.append(field)
        # Alternatives are no n-best list, and a callback is for greedy search alone.
        self.passes = bool(options.get("return_alternatives")) or options.get("callback") is not None
        self.options = dict(options)
        if not self.passes:
            wanted = max(candidates, self.asked)
            self.options.update(num_hypotheses=wanted, return_scores=True)
            if options.get("sampling_topk", 1) == 1:
                self.options["beam_size"] = max(options.get("beam_size", 2), wanted)


class _AsyncResult:
    """As ctranslate2.AsyncTranslationResult: reranked when it is asked for."""

    def __init__(self, result: ctranslate2.AsyncTranslationResult, finish: Callable[[Any], Any]) -> None:
        self._result, self._finish = result, finish

    def done(self) -> bool:
        """Whether the translation is there."""
        return self._result.done()

    def result(self) -> ctranslate2.TranslationResult:
        """Waits for the translation."""
        return self._finish(self._result.result())


class RerankingTranslator:
    """Wraps a ctranslate2.Translator: translate_batch and translate_iterable rerank, all else is the translator's own.

    translator: the ctranslate2.Translator.
    model: a Qestrel archive, or None. weights: a file as `qestrel tune` writes it, "decoder" to keep CTranslate2's
    order, or None for the model's weights or the shipped ones. candidates: how many hypotheses are searched for at
    least. deadline_ms: of a call. library: libqestrel_plugin.so. Other options are those of qestrel_plugin.h (guards,
    languages, tokens, strip, max_hypotheses).

    Subword tokens are joined to text before anything is scored. Whatever fails leaves CTranslate2's order and is reported
    once as a RuntimeWarning; a model or weights that cannot be read raise ValueError here. Any number of threads may use
    one translator.
    """

    def __init__(self, translator: ctranslate2.Translator, model: Optional[str] = None, weights: Optional[str] = None,
                 candidates: int = 8, *, deadline_ms: float = 0, library: Optional[str] = None,
                 **options: object) -> None:
        if candidates < 1:
            raise ValueError(f"candidates is {candidates}, expected 1 or more")
        self._translator = translator
        self._candidates = candidates
        self._deadline_ms = deadline_ms
        self._plugin = Plugin(library, model=model, weights=weights, **options)

    def translate_batch(self, source: Sequence[Sequence[str]], target_prefix: Optional[Sequence[Any]] = None,
                        **options: Any) -> List[Any]:
        """As ctranslate2.Translator.translate_batch: the same arguments, types and number of results."""
        request = _Request(self._candidates, options)
        results = self._translator.translate_batch(source, target_prefix, **request.options)
        if request.passes:
            return results
        if options.get("asynchronous"):
            return [self._later(tokens, result, request) for tokens, result in zip(source, results)]
        return self._rerank(list(zip(source, results)), request)

    def translate_iterable(self, source: Iterable[Sequence[str]], target_prefix: Optional[Iterable[Any]] = None,
                           max_batch_size: int = 32, batch_type: str = "examples",
                           **options: Any) -> Iterator[ctranslate2.TranslationResult]:
        """As ctranslate2.Translator.translate_iterable."""
        request = _Request(self._candidates, options)
        waiting: Deque[Sequence[str]] = collections.deque()

        def remembered() -> Iterator[Sequence[str]]:
            for tokens in source:
                waiting.append(tokens)
                yield tokens

        results = self._translator.translate_iterable(remembered(), target_prefix, max_batch_size, batch_type,
                                                      **request.options)
        for result in results:
            tokens = waiting.popleft()
            yield result if request.passes else self._rerank([(tokens, result)], request)[0]

    def translate_file(self, *arguments: Any, **options: Any) -> Any:
        """The translator's own: files are not reranked, which a warning says."""
        warnings.warn("qestrel: translate_file does not rerank; translate_iterable does", RuntimeWarning, 2)
        return self._translator.translate_file(*arguments, **options)

    def stats(self) -> Dict[str, float]:
        """Counters: lists, hypotheses, reranked, moved (another first candidate), failed, late, refused, seconds."""
        return self._plugin.stats()

    def close(self) -> None:
        """Frees the plugin's handle; no call may be going on."""
        self._plugin.close()

    def __enter__(self) -> "RerankingTranslator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._translator, name)

    def _later(self, tokens: Sequence[str], result: ctranslate2.AsyncTranslationResult,
               request: _Request) -> _AsyncResult:
        return _AsyncResult(result, lambda found: self._rerank([(tokens, found)], request)[0])

    def _rerank(self, found: List[Tuple[Sequence[str], ctranslate2.TranslationResult]],
                request: _Request) -> List[ctranslate2.TranslationResult]:
        lists = [Candidates(tokens, result.hypotheses, result.scores) for tokens, result in found]
        orders = self._plugin.rerank(lists, self._deadline_ms)
        return [_picked(result, order[: request.asked], request.fields) for (_, result), order in zip(found, orders)]
