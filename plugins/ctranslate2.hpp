/*
** ctranslate2.hpp - reranking for C++ hosts of CTranslate2, header only: a wrapper of a translator whose results come back
** reranked. It is a template over the translator's type, so that it compiles with any version whose translate_batch takes
** batches of tokens and options with beam_size, num_hypotheses and return_scores, and gives results with `hypotheses` and
** `scores`; attention is dropped where the order changed, since it belongs to other hypotheses then.
**
**   qestrel::Reranker reranker("model=et-en.qe\nweights=weights.json");
**   qestrel::RerankingTranslator<ctranslate2::Translator> translator(decoder, reranker, 8);
**   auto results = translator.translate_batch(tokens, options);
**
** Whatever fails leaves the translator's order. A translator and its reranker may be used by many threads. Link with
** libqestrel_plugin.
*/
#ifndef QESTREL_CTRANSLATE2_HPP
#define QESTREL_CTRANSLATE2_HPP

#include "qestrel_plugin.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace qestrel {

using Tokens = std::vector<std::string>;

/* Owns a handle of the plugin. */
class Reranker {
public:
  /* `options` as in qestrel_plugin.h. Throws std::runtime_error with the reason. */
  explicit Reranker(const std::string& options) {
    char error[512] = "";
    handle_ = qestrel_plugin_create(options.c_str(), error, sizeof error);
    if (!handle_)
      throw std::runtime_error(error);
  }
  ~Reranker() { qestrel_plugin_destroy(handle_); }
  Reranker(const Reranker&) = delete;
  Reranker& operator=(const Reranker&) = delete;

  qestrel_plugin* handle() const { return handle_; }

  std::string text_of(const Tokens& tokens) const {
    std::vector<qestrel_plugin_text> views;
    for (const std::string& token : tokens)
      views.push_back({ token.data(), token.size() });
    const size_t size = qestrel_plugin_tokens_to_text(handle_, views.data(), views.size(), nullptr, 0);
    std::string text(size + 1, '\0');
    qestrel_plugin_tokens_to_text(handle_, views.data(), views.size(), text.data(), text.size());
    text.resize(size);
    return text;
  }

  /* Places of the hypotheses, best first. */
  std::vector<size_t> order(const Tokens& source, const std::vector<Tokens>& hypotheses,
                            const std::vector<float>& scores) const {
    std::vector<size_t> places(hypotheses.size());
    std::iota(places.begin(), places.end(), size_t{ 0 });
    const std::string source_text = text_of(source);
    std::vector<std::string> texts;
    for (const Tokens& tokens : hypotheses)
      texts.push_back(text_of(tokens));
    std::vector<qestrel_plugin_hypothesis> items(hypotheses.size());
    for (size_t i = 0; i < items.size(); i++) {
      items[i] = {};
      items[i].struct_size = sizeof items[i];
      items[i].text = { texts[i].data(), texts[i].size() };
      items[i].total = i < scores.size() ? scores[i] : std::numeric_limits<double>::quiet_NaN();
    }
    qestrel_plugin_list list = {};
    list.struct_size = sizeof list;
    list.source = { source_text.data(), source_text.size() };
    list.hypotheses = items.data();
    list.count = items.size();
    list.order = places.data();
    qestrel_plugin_rerank(handle_, &list, 1, 0);
    return places;
  }

private:
  qestrel_plugin* handle_;
};

template <typename Translator>
class RerankingTranslator {
public:
  /* Both must outlive the wrapper. `candidates`: how many hypotheses are searched for at least. */
  RerankingTranslator(Translator& translator, const Reranker& reranker, size_t candidates = 8)
    : translator_(translator), reranker_(reranker), candidates_(candidates) {}

  template <typename Options>
  auto translate_batch(const std::vector<Tokens>& source, Options options) {
    const size_t asked = options.num_hypotheses;
    const bool scores = options.return_scores;
    options.num_hypotheses = std::max(candidates_, asked);
    options.beam_size = std::max(static_cast<size_t>(options.beam_size), static_cast<size_t>(options.num_hypotheses));
    options.return_scores = true;
    auto results = translator_.translate_batch(source, options);
    for (size_t i = 0; i < results.size() && i < source.size(); i++)
      pick(source[i], results[i], asked, scores);
    return results;
  }

private:
  template <typename Result>
  void pick(const Tokens& source, Result& result, size_t asked, bool scores) const {
    const std::vector<size_t> order = reranker_.order(source, result.hypotheses, result.scores);
    const size_t count = std::min(asked, order.size());
    Result picked;
    for (size_t i = 0; i < count; i++) {
      picked.hypotheses.push_back(std::move(result.hypotheses[order[i]]));
      if (scores && order[i] < result.scores.size())
        picked.scores.push_back(result.scores[order[i]]);
    }
    result = std::move(picked);
  }

  Translator& translator_;
  const Reranker& reranker_;
  size_t candidates_;
};

} // namespace qestrel

#endif
