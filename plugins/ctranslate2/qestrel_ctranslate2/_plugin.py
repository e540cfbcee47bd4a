"""qestrel_plugin.h through ctypes: one handle, lists of token sequences in, an order out."""

import ctypes
import ctypes.util
import os
import pathlib
import warnings
from typing import Dict, List, NamedTuple, Optional, Sequence

_MAJOR = 1


class _Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]

    @classmethod
    def of(cls, text: bytes) -> "_Text":
        return cls(text, len(text))


class _Hypothesis(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("text", _Text),
        ("total", ctypes.c_double),
        ("features", ctypes.c_void_p),
        ("feature_count", ctypes.c_size_t),
        ("token_scores", ctypes.POINTER(ctypes.c_double)),
        ("token_score_count", ctypes.c_size_t),
    ]


class _List(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("id", _Text),
        ("source", _Text),
        ("hypotheses", ctypes.POINTER(_Hypothesis)),
        ("count", ctypes.c_size_t),
        ("order", ctypes.POINTER(ctypes.c_size_t)),
        ("quality", ctypes.POINTER(ctypes.c_double)),
        ("score", ctypes.POINTER(ctypes.c_double)),
        ("status", ctypes.c_int),
    ]


_COUNTERS = ("lists", "hypotheses", "reranked", "moved", "failed", "late", "refused", "scored", "remembered")


class _Stats(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *[(name, ctypes.c_uint64) for name in _COUNTERS],
        ("seconds", ctypes.c_double),
    ]


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)


class Candidates(NamedTuple):
    """What a decoder found for one source: token sequences and, for each, the decoder's score."""

    source: Sequence[str]
    hypotheses: Sequence[Sequence[str]]
    scores: Sequence[float]


def _find_library(path: Optional[str]) -> str:
    beside = pathlib.Path(__file__).with_name("libqestrel_plugin.so")
    found = path or os.environ.get("QESTREL_PLUGIN") or (str(beside) if beside.is_file() else None)
    found = found or ctypes.util.find_library("qestrel_plugin")
    if not found:
        raise OSError("libqestrel_plugin.so was not found: install it, or name it in QESTREL_PLUGIN")
    return found


def _load(path: Optional[str]) -> ctypes.CDLL:
    library = ctypes.CDLL(_find_library(path))
    library.qestrel_plugin_abi_version.restype = ctypes.c_uint32
    major = library.qestrel_plugin_abi_version() >> 16
    if major != _MAJOR:
        raise OSError(f"the plugin's ABI has major version {major}, expected {_MAJOR}")
    handle, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    library.qestrel_plugin_create.restype = handle
    library.qestrel_plugin_create.argtypes = [text, text, size]
    library.qestrel_plugin_destroy.argtypes = [handle]
    library.qestrel_plugin_set_log.argtypes = [handle, _LOG, handle]
    library.qestrel_plugin_rerank.restype = size
    library.qestrel_plugin_rerank.argtypes = [handle, ctypes.POINTER(_List), size, ctypes.c_double]
    library.qestrel_plugin_tokens_to_text.restype = size
    library.qestrel_plugin_tokens_to_text.argtypes = [handle, ctypes.POINTER(_Text), size, text, size]
    library.qestrel_plugin_get_stats.argtypes = [handle, ctypes.POINTER(_Stats)]
    return library


class Plugin:
    """A handle of the plugin; any number of threads may use it. Options are those of qestrel_plugin.h."""

    def __init__(self, library: Optional[str] = None, **options: object) -> None:
        self._handle = None
        self._library = _load(library)
        lines = [f"{key}={value}" for key, value in options.items() if value is not None]
        if any("\n" in line for line in lines):
            raise ValueError("an option has a line end")
        error = ctypes.create_string_buffer(512)
        self._handle = self._library.qestrel_plugin_create("\n".join(lines).encode(), error, len(error))
        if not self._handle:
            raise ValueError(error.value.decode(errors="replace"))
        self._log = _LOG(lambda _, line: warnings.warn("qestrel: " + line.decode(errors="replace"), RuntimeWarning, 2))
        self._library.qestrel_plugin_set_log(self._handle, self._log, None)

    def text_of(self, tokens: Sequence[str]) -> bytes:
        """The text that tokens stand for: joined, without marks, end tokens and language tags."""
        encoded = [token.encode(errors="surrogateescape") for token in tokens]
        array = (_Text * len(encoded))(*[_Text.of(token) for token in encoded])
        room = sum(len(token) + 1 for token in encoded) + 1
        out = ctypes.create_string_buffer(room)
        size = self._library.qestrel_plugin_tokens_to_text(self._handle, array, len(encoded), out, room)
        return out.raw[:size]

    def rerank(self, batch: Sequence[Candidates], deadline_ms: float = 0) -> List[List[int]]:
        """For each list its places, best first; the decoder's own order where anything fails."""
        lists = (_List * len(batch))()
        kept = []  # what the structs point to
        for item, candidates in zip(lists, batch):
            count = len(candidates.hypotheses)
            source = self.text_of(candidates.source)
            texts = [self.text_of(tokens) for tokens in candidates.hypotheses]
            hypotheses = (_Hypothesis * count)()
            for hypothesis, text, score in zip(hypotheses, texts, candidates.scores):
                hypothesis.struct_size = ctypes.sizeof(_Hypothesis)
                hypothesis.text = _Text.of(text)
                hypothesis.total = score
            order = (ctypes.c_size_t * count)(*range(count))
            item.struct_size = ctypes.sizeof(_List)
            item.source = _Text.of(source)
            item.hypotheses = hypotheses
            item.count = count
            item.order = order
            kept.append((source, texts, hypotheses, order))
        if len(batch) > 0:
            self._library.qestrel_plugin_rerank(self._handle, lists, len(batch), deadline_ms)
        return [list(order) for _, _, _, order in kept]

    def stats(self) -> Dict[str, float]:
        """The handle's counters so far."""
        stats = _Stats(struct_size=ctypes.sizeof(_Stats))
        self._library.qestrel_plugin_get_stats(self._handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name in (*_COUNTERS, "seconds")}

    def close(self) -> None:
        """Frees the handle; no call may be going on."""
        handle, self._handle = self._handle, None
        if handle:
            self._library.qestrel_plugin_destroy(handle)

    def __del__(self) -> None:
        self.close()
