// The C++ adapter against a translator that has CTranslate2's shape and a known n-best list.
#include "ctranslate2.hpp"

#include <cstdio>
#include <cstdlib>

struct Options {
  size_t beam_size = 2, num_hypotheses = 1;
  bool return_scores = false;
};

struct Result {
  std::vector<qestrel::Tokens> hypotheses;
  std::vector<float> scores;
};

struct Translator {
  Options seen;
  std::vector<Result> translate_batch(const std::vector<qestrel::Tokens>& source, const Options& options) {
    const std::vector<qestrel::Tokens> list = { { "▁the", "▁hose" }, { "▁the", "▁ho", "use" }, { "▁that", "▁house" } };
    seen = options;
    return std::vector<Result>(source.size(), Result{ list, { -1, -2, -3 } });
  }
};

static void expect(bool condition, const char* what) {
  if (condition)
    return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

int main(int, char** arguments) {
  Translator decoder;
  qestrel::Reranker reranker(std::string("guards=none\nweights=") + arguments[1]);
  qestrel::RerankingTranslator<Translator> translator(decoder, reranker, 3);
  const std::vector<qestrel::Tokens> source = { { "▁das", "▁haus" }, { "▁haus" } };
  Options options;
  auto results = translator.translate_batch(source, options);
  expect(decoder.seen.num_hypotheses == 3 && decoder.seen.beam_size == 3 && decoder.seen.return_scores, "options");
  expect(results.size() == 2 && results[1].hypotheses.size() == 1 && results[0].scores.empty(), "counts");
  expect(results[0].hypotheses[0] == qestrel::Tokens({ "▁that", "▁house" }), "the known order");
  options.num_hypotheses = 2;
  options.return_scores = true;
  results = translator.translate_batch(source, options);
  expect(results[0].hypotheses.size() == 2 && results[0].scores == std::vector<float>({ -3, -2 }), "scores");
  expect(reranker.text_of({ "▁the", "▁ho", "use", "</s>" }) == "the house", "text");
  qestrel_plugin_stats stats = {};
  stats.struct_size = sizeof stats;
  expect(qestrel_plugin_get_stats(reranker.handle(), &stats) == 0 && stats.reranked == 4 && stats.moved == 4, "stats");
  try {
    qestrel::Reranker refused("modle=x");
    expect(false, "a refusal");
  } catch (const std::runtime_error& error) {
    expect(std::string(error.what()).find("modle") != std::string::npos, "its reason");
  }
  return 0;
}
