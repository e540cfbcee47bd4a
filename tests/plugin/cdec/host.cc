// host.cc - loads the feature as cdec's External does and walks a small forest with it: two readings of either of two
// children, joined by one rule. Prints, for every derivation, the feature's value and the words, the best first.
#include "stand_in.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>

struct Derivation {
  double value;
  std::vector<WordID> words;
};

static std::vector<char> apply(const FeatureFunction& feature, const SentenceMetadata& sentence, const TRule& rule,
                               const std::vector<const void*>& children) {
  std::vector<char> state(static_cast<size_t>(feature.StateSize()));
  SparseVector<double> none;
  feature.TraversalFeatures(sentence, { std::make_shared<TRule>(rule) }, children, &none, &none, state.data());
  return state;
}

static TRule words(const std::vector<std::string>& list) {
  TRule rule;
  for (const std::string& word : list)
    rule.target.push_back(TD::Convert(word));
  return rule;
}

int main(int count, char** arguments) {
  void* library = count == 3 ? dlopen(arguments[1], RTLD_LAZY | RTLD_GLOBAL) : nullptr;
  if (!library) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  FeatureFunction* (*create)(const std::string&);
  void* symbol = dlsym(library, "create_ff");
  std::memcpy(&create, &symbol, sizeof create);
  FeatureFunction* feature = create(arguments[2]);
  if (!feature)
    return 1;
  Lattice lattice;
  for (const char* word : { "Väike", "paat", "kadus", "udusse", "." })
    lattice.push_back({ { TD::Convert(word) } });
  const SentenceMetadata sentence(lattice);
  feature->PrepareForInput(sentence);
  const TRule subjects[] = { words({ "boat", "boat", "small", "the" }), words({ "The", "small", "boat" }) };
  const TRule verbs[] = { words({ "gone", "fog", "fog" }), words({ "disappeared", "into", "the", "fog" }) };
  TRule join = words({ "." });
  join.target.insert(join.target.begin(), { 0, -1 });
  std::vector<std::pair<double, std::string>> found;
  for (const TRule& subject : subjects)
    for (const TRule& verb : verbs) {
      const std::vector<char> left = apply(*feature, sentence, subject, {}), right = apply(*feature, sentence, verb, {});
      const std::vector<char> whole = apply(*feature, sentence, join, { left.data(), right.data() });
      SparseVector<double> features;
      feature->FinalTraversalFeatures(whole.data(), &features);
      std::string text;
      for (const TRule* rule : { &subject, &verb })
        for (WordID word : rule->target)
          text += std::string(TD::Convert(word)) + " ";
      found.emplace_back(features.nonzero(FD::Convert("QE")) ? features.value(FD::Convert("QE")) : -1e9, text + ".");
    }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [value, text] : found)
    std::printf("%.6f\t%s\n", value, text.c_str());
  delete feature;
  return dlclose(library);
}
