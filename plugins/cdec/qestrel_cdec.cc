// qestrel_cdec.cc - a feature for cdec's External: the score of complete hypotheses.
//
//   cdec ... --density_prune 100 --weights2 w2 --feature_function2 "External qestrel_cdec.so OPTIONS-FILE"
//
// OPTIONS-FILE holds the options of qestrel_plugin.h ("model=..."). The feature is called QE; it is set at the goal, where
// a hypothesis is complete. A state is the number of the partial translation's words in a table of the sentence, so states
// recombine only where words are equal: use it in a second pass over a pruned forest. cdec is not thread-safe, and neither
// is this. Compiled against cdec's headers with the compiler that built cdec; it was tested against a stand-in of them
// (tests/plugin/cdec), not inside cdec itself. Link with libqestrel_plugin.

#include "fdict.h"
#include "ff.h"
#include "hg.h"
#include "sentence_metadata.h"
#include "tdict.h"

#include "qestrel_plugin.h"

#include <cmath>
#include <cstring>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// Sequences of words by number, each held once.
class Interned {
public:
  int number(const std::vector<WordID>& words) {
    auto [place, fresh] = numbers_.try_emplace(words, static_cast<int>(list_.size()));
    if (fresh)
      list_.push_back(&place->first);
    return place->second;
  }
  const std::vector<WordID>& words(int number) const { return *list_[static_cast<size_t>(number)]; }
  void clear() {
    list_.clear();
    numbers_.clear();
  }

private:
  std::map<std::vector<WordID>, int> numbers_;
  std::vector<const std::vector<WordID>*> list_;
};

std::string text_of(const std::vector<WordID>& words) {
  std::string text;
  for (WordID word : words) {
    if (!text.empty())
      text += ' ';
    text += TD::Convert(word);
  }
  return text;
}

class QestrelFeature : public FeatureFunction {
public:
  explicit QestrelFeature(const std::string& options_file) : FeatureFunction(sizeof(int)), feature_(FD::Convert("QE")) {
    char error[512] = "";
    plugin_ = qestrel_plugin_create_from_file(options_file.c_str(), error, sizeof error);
    if (!plugin_)
      throw std::runtime_error("qestrel_cdec: " + std::string(error));
    qestrel_plugin_set_log(plugin_, [](void*, const char* line) { std::cerr << "qestrel_cdec: " << line << '\n'; }, nullptr);
  }
  ~QestrelFeature() override {
    qestrel_plugin_end_source(source_);
    qestrel_plugin_destroy(plugin_);
  }

  void PrepareForInput(const SentenceMetadata& sentence) override {
    std::vector<WordID> words;
    for (const auto& column : sentence.GetSourceLattice())
      words.push_back(column.front().label);
    const std::string text = text_of(words);
    qestrel_plugin_end_source(source_);
    source_ = qestrel_plugin_begin_source(plugin_, { text.data(), text.size() });
    yields_.clear();
  }

  void FinalTraversalFeatures(const void* state, SparseVector<double>* features) const override {
    const std::string text = text_of(yields_.words(read(state)));
    const double score = source_ ? qestrel_plugin_score_target(source_, { text.data(), text.size() }) : NAN;
    if (std::isfinite(score)) // otherwise the decoder's own features decide
      features->set_value(feature_, score);
  }

protected:
  void TraversalFeaturesImpl(const SentenceMetadata&, const HG::Edge& edge, const std::vector<const void*>& children,
                             SparseVector<double>*, SparseVector<double>*, void* state) const override {
    std::vector<const std::vector<WordID>*> parts;
    for (const void* child : children)
      parts.push_back(&yields_.words(read(child)));
    std::vector<WordID> words;
    edge.rule_->ESubstitute(parts, &words);
    const int number = yields_.number(words);
    std::memcpy(state, &number, sizeof number);
  }

private:
  static int read(const void* state) {
    int number;
    std::memcpy(&number, state, sizeof number);
    return number;
  }

  qestrel_plugin* plugin_ = nullptr;
  qestrel_plugin_source* source_ = nullptr;
  int feature_;
  mutable Interned yields_; // of the sentence
};

} // namespace

// cdec calls this after dlopen; what is refused is told, and cdec stops.
extern "C" FeatureFunction* create_ff(const std::string& arguments) {
  try {
    return new QestrelFeature(arguments);
  } catch (const std::exception& refused) {
    std::cerr << refused.what() << '\n';
    return nullptr;
  }
}
