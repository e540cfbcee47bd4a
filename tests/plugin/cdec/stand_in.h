// stand_in.h - as much of cdec's interface as an External feature sees, made for the test from its description: words and
// features by number, a rule that puts its children's words in place, an edge, a sentence. cdec itself is not here.
#ifndef STAND_IN_H
#define STAND_IN_H

#include <map>
#include <memory>
#include <string>
#include <vector>

using WordID = int;

struct Names {
  static std::vector<std::string> &list() {
    static std::vector<std::string> names = { "" };
    return names;
  }
  static int number(const std::string &name) {
    for (size_t i = 0; i < list().size(); i++)
      if (list()[i] == name)
        return static_cast<int>(i);
    list().push_back(name);
    return static_cast<int>(list().size()) - 1;
  }
};

struct TD {
  static WordID Convert(const std::string &word) {
    return Names::number(word);
  }
  static const char *Convert(WordID word) {
    return Names::list()[static_cast<size_t>(word)].c_str();
  }
};

struct FD {
  static int Convert(const std::string &name) {
    return Names::number("feature " + name);
  }
};

template <typename T> class SparseVector {
public:
  void set_value(int number, T value) {
    values_[number] = value;
  }
  bool nonzero(int number) const {
    return values_.count(number) > 0;
  }
  T value(int number) const {
    return values_.at(number);
  }

private:
  std::map<int, T> values_;
};

struct LatticeArc {
  WordID label;
};
using Lattice = std::vector<std::vector<LatticeArc>>;

class SentenceMetadata {
public:
  explicit SentenceMetadata(Lattice lattice) : lattice_(std::move(lattice)) {
  }
  const Lattice &GetSourceLattice() const {
    return lattice_;
  }

private:
  Lattice lattice_;
};

// Target words; 0, -1, ... stand for the first child, the second ...
struct TRule {
  std::vector<WordID> target;
  void ESubstitute(const std::vector<const std::vector<WordID> *> &children, std::vector<WordID> *result) const {
    for (WordID word : target) {
      if (word > 0)
        result->push_back(word);
      else
        result->insert(result->end(), children[static_cast<size_t>(-word)]->begin(),
                       children[static_cast<size_t>(-word)]->end());
    }
  }
};

namespace HG {
struct Edge {
  std::shared_ptr<TRule> rule_;
};
} // namespace HG

class FeatureFunction {
public:
  explicit FeatureFunction(int state_size) : state_size_(state_size) {
  }
  virtual ~FeatureFunction() = default;
  int StateSize() const {
    return state_size_;
  }
  virtual void PrepareForInput(const SentenceMetadata &sentence) = 0;
  virtual void FinalTraversalFeatures(const void *state, SparseVector<double> *features) const = 0;
  void TraversalFeatures(const SentenceMetadata &sentence, const HG::Edge &edge,
                         const std::vector<const void *> &children, SparseVector<double> *features,
                         SparseVector<double> *estimated, void *state) const {
    TraversalFeaturesImpl(sentence, edge, children, features, estimated, state);
  }

protected:
  virtual void TraversalFeaturesImpl(const SentenceMetadata &sentence, const HG::Edge &edge,
                                     const std::vector<const void *> &children, SparseVector<double> *features,
                                     SparseVector<double> *estimated, void *state) const = 0;

private:
  int state_size_;
};

#endif
