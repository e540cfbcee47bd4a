"""Reranks the n-best lists of a CTranslate2 translator in process, with Qestrel's decoder plugin."""

from ._plugin import Plugin
from ._translator import RerankingTranslator

__all__ = ["Plugin", "RerankingTranslator"]
