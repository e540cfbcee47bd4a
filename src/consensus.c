/*
** consensus.c - how well each candidate of a list agrees with the others (minimum Bayes risk decoding). Identical strings
** are merged into one entry, which carries the sum of their weights. Up to `most` entries are all compared with each
** other, either pair once; of more, a random sample of `most` stands for all as references, and the standard error says
** how much that costs. Invariant: values depend on the texts, weights and `most` alone. What a utility measures is not
** known here.
*/
#include "architecture.h"
#include "utility.h"

#include <math.h>

enum { MOST = 500 };

struct entry {
  qe_text text;
  double weight; /* of all copies; without weights 1 */
  double value;  /* sum of weighted utilities, at last the mean */
  double drawn;  /* how often it was drawn as a reference */
};

struct qe_consensus {
  struct error error;
  void *state; /* of the utility */
  const struct utility *utility;
  struct entry *entries;
  uint32_t *entry_of; /* by candidate */
  uint32_t *slots;    /* hash table of entries, number + 1, 0: free */
  uint32_t *picked;   /* entries that are references */
  qe_text *references;
  double *utilities, *reverse;
  size_t entry_room, entry_of_room, slot_room, picked_room, reference_room, utility_room, reverse_room;
  size_t count, most; /* entries in use */
  double standard_error;
};

static qe_consensus *consensus_by(const struct utility *utility, const void *context) {
  qe_consensus *consensus = memory_new(1, sizeof *consensus);
  if (!consensus)
    return NULL;
  consensus->most = MOST;
  consensus->utility = utility;
  consensus->state = utility->create(context);
  if (!consensus->state) {
    memory_free(consensus);
    return NULL;
  }
  return consensus;
}

qe_consensus *qe_consensus_new(void) {
  return consensus_by(&utility_chrf, NULL);
}

qe_consensus *qe_consensus_by_words(const qe_model *model) {
  return qe_model_word_vectors(model) ? consensus_by(&utility_likeness, model) : NULL;
}

void qe_consensus_free(qe_consensus *consensus) {
  if (!consensus)
    return;
  consensus->utility->destroy(consensus->state);
  memory_free(consensus->entries);
  memory_free(consensus->entry_of);
  memory_free(consensus->slots);
  memory_free(consensus->picked);
  memory_free(consensus->references);
  memory_free(consensus->utilities);
  memory_free(consensus->reverse);
  memory_free(consensus);
}

const char *qe_consensus_error(const qe_consensus *consensus) {
  return consensus->error.text;
}

double qe_consensus_standard_error(const qe_consensus *consensus) {
  return consensus->standard_error;
}

int qe_consensus_sample(qe_consensus *consensus, size_t most) {
  error_clear(&consensus->error);
  if (most < 2 || most > UINT16_MAX)
    return error_set(&consensus->error, QE_USE, "a sample has 2 to %d strings, not %zu", UINT16_MAX, most);
  consensus->most = most;
  return QE_OK;
}

/* ---- merging ---- */

static bool reserve_candidates(qe_consensus *consensus, size_t count, size_t slots) {
  return memory_reserve((void **)&consensus->entries, &consensus->entry_room, count, sizeof *consensus->entries) &&
         memory_reserve((void **)&consensus->entry_of, &consensus->entry_of_room, count,
                        sizeof *consensus->entry_of) &&
         memory_reserve((void **)&consensus->slots, &consensus->slot_room, slots, sizeof *consensus->slots);
}

/* The entry of a text, which is made if there is none. */
static uint32_t entry_for(qe_consensus *consensus, qe_text text, size_t mask) {
  size_t slot = fnv1a(FNV1A_START, text.data, text.size) & mask;
  for (; consensus->slots[slot] != 0; slot = (slot + 1) & mask)
    if (text_same(consensus->entries[consensus->slots[slot] - 1].text, text))
      return consensus->slots[slot] - 1;
  consensus->entries[consensus->count] = (struct entry){ .text = text };
  consensus->slots[slot] = (uint32_t)++consensus->count;
  return (uint32_t)consensus->count - 1;
}

/* What is no weight counts nothing; where nothing is left, all count alike. */
static bool is_weight(double weight) {
  return isfinite(weight) && weight > 0;
}

static bool any_weight(const double *weights, size_t count) {
  for (size_t i = 0; weights && i < count; i++)
    if (is_weight(weights[i]))
      return true;
  return false;
}

static int merge(qe_consensus *consensus, const qe_text *texts, size_t count, const double *weights) {
  size_t slots = 16;
  while (slots < 2 * count)
    slots *= 2;
  if (!reserve_candidates(consensus, count, slots))
    return error_memory(&consensus->error);
  memset(consensus->slots, 0, slots * sizeof *consensus->slots);
  const bool weighted = any_weight(weights, count);
  consensus->count = 0;
  for (size_t i = 0; i < count; i++) {
    consensus->entry_of[i] = entry_for(consensus, texts[i], slots - 1);
    struct entry *entry = &consensus->entries[consensus->entry_of[i]];
    if (!weights)
      entry->weight = 1;
    else
      entry->weight += weighted ? (is_weight(weights[i]) ? weights[i] : 0) : 1;
  }
  return QE_OK;
}

/* ---- all against all ---- */

static int prepare(qe_consensus *consensus, size_t count) {
  if (!memory_reserve((void **)&consensus->references, &consensus->reference_room, count,
                      sizeof *consensus->references) ||
      !memory_reserve((void **)&consensus->utilities, &consensus->utility_room, count, sizeof(double)) ||
      !memory_reserve((void **)&consensus->reverse, &consensus->reverse_room, count, sizeof(double)))
    return error_memory(&consensus->error);
  for (size_t i = 0; i < count; i++)
    consensus->references[i] = consensus->entries[consensus->picked[i]].text;
  if (consensus->utility->prepare(consensus->state, consensus->references, count) != QE_OK)
    return error_memory(&consensus->error);
  return QE_OK;
}

static int pick_all(qe_consensus *consensus) {
  if (!memory_reserve((void **)&consensus->picked, &consensus->picked_room, consensus->count,
                      sizeof *consensus->picked))
    return error_memory(&consensus->error);
  for (size_t i = 0; i < consensus->count; i++)
    consensus->picked[i] = (uint32_t)i;
  return prepare(consensus, consensus->count);
}

/* `self`: an entry is among its own references. Without, and alone, it agrees with all that there is. */
static int compare_all(qe_consensus *consensus, bool self) {
  struct entry *entries = consensus->entries;
  const size_t count = consensus->count;
  const struct utility *utility = consensus->utility;
  double sum = 0;
  if (pick_all(consensus) != QE_OK)
    return QE_MEMORY;
  for (size_t i = 0; i < count; i++) {
    utility->take(consensus->state, i);
    if (self)
      entries[i].value += entries[i].weight * utility->alone(consensus->state);
    sum += entries[i].weight;
    if (i + 1 == count)
      break;
    utility->row(consensus->state, i + 1, consensus->utilities, consensus->reverse);
    for (size_t j = i + 1; j < count; j++) {
      entries[i].value += entries[j].weight * consensus->utilities[j];
      entries[j].value += entries[i].weight * consensus->reverse[j];
    }
  }
  for (size_t i = 0; i < count; i++)
    entries[i].value = self ? entries[i].value / sum : count > 1 ? entries[i].value / (double)(count - 1) : 1;
  return QE_OK;
}

/* ---- all against a sample ---- */

/* Entries in proportion to their weights, with replacement. */
static void draw_weighted(qe_consensus *consensus, qe_rng *rng) {
  double sum = 0;
  for (size_t i = 0; i < consensus->count; i++)
    sum += consensus->entries[i].weight;
  /* one draw in each of `most` equal shares of the sum: unbiased, and closer than independent draws */
  double passed = 0;
  size_t at = 0;
  for (size_t i = 0; i < consensus->most; i++) {
    const double place = ((double)i + qe_rng_uniform(rng)) * sum / (double)consensus->most;
    while (at + 1 < consensus->count && passed + consensus->entries[at].weight <= place)
      passed += consensus->entries[at++].weight;
    consensus->entries[at].drawn++;
  }
}

/* `most` of them, each once. */
static void draw_uniform(qe_consensus *consensus, qe_rng *rng) {
  size_t wanted = consensus->most;
  for (size_t i = 0; i < consensus->count && wanted > 0; i++)
    if (qe_rng_uniform(rng) * (double)(consensus->count - i) < (double)wanted) {
      consensus->entries[i].drawn = 1;
      wanted--;
    }
}

static int pick_sample(qe_consensus *consensus, bool self, size_t *picked) {
  qe_rng rng;
  qe_rng_seed(&rng, 1, "consensus");
  if (self)
    draw_weighted(consensus, &rng);
  else
    draw_uniform(consensus, &rng);
  if (!memory_reserve((void **)&consensus->picked, &consensus->picked_room, consensus->most,
                      sizeof *consensus->picked))
    return error_memory(&consensus->error);
  *picked = 0;
  for (size_t i = 0; i < consensus->count; i++)
    if (consensus->entries[i].drawn > 0)
      consensus->picked[(*picked)++] = (uint32_t)i;
  return prepare(consensus, *picked);
}

/* The mean utility against the sample, and its variance. */
static double settle(qe_consensus *consensus, size_t number, size_t picked, bool self) {
  struct entry *entry = &consensus->entries[number];
  double sum = 0, square = 0, draws = 0;
  for (size_t i = 0; i < picked; i++) {
    const double times = consensus->entries[consensus->picked[i]].drawn;
    if (!self && consensus->picked[i] == number)
      continue;
    draws += times;
    sum += times * consensus->utilities[i];
  }
  entry->value = sum / draws;
  for (size_t i = 0; i < picked; i++) {
    const double times = consensus->entries[consensus->picked[i]].drawn;
    const double deviation = consensus->utilities[i] - entry->value;
    if (self || consensus->picked[i] != number)
      square += times * deviation * deviation;
  }
  return draws > 1 ? square / (draws - 1) / draws : 0;
}

static int compare_sample(qe_consensus *consensus, bool self) {
  size_t picked = 0;
  double variance = 0;
  if (pick_sample(consensus, self, &picked) != QE_OK)
    return QE_MEMORY;
  for (size_t i = 0; i < consensus->count; i++) {
    if (consensus->utility->read(consensus->state, consensus->entries[i].text) != QE_OK)
      return error_memory(&consensus->error);
    consensus->utility->row(consensus->state, 0, consensus->utilities, NULL);
    variance += settle(consensus, i, picked, self);
  }
  const double share = self ? 0 : (double)consensus->most / (double)consensus->count;
  consensus->standard_error = sqrt((1 - share) * variance / (double)consensus->count);
  return QE_OK;
}

int qe_consensus_values(qe_consensus *consensus, const qe_text *texts, size_t count, const double *weights,
                        double *values) {
  error_clear(&consensus->error);
  consensus->standard_error = 0;
  if (count > INT32_MAX)
    return error_set(&consensus->error, QE_USE, "a list has at most %d candidates, not %zu", INT32_MAX, count);
  if (count == 0)
    return QE_OK;
  int status = merge(consensus, texts, count, weights);
  if (status == QE_OK)
    status = consensus->count > consensus->most ? compare_sample(consensus, weights != NULL)
                                                : compare_all(consensus, weights != NULL);
  for (size_t i = 0; status == QE_OK && i < count; i++)
    values[i] = consensus->entries[consensus->entry_of[i]].value;
  return status;
}

int qe_consensus_posterior(const double *totals, size_t count, double temperature, double *weights) {
  double best = -INFINITY, sum = 0;
  if (!(temperature > 0) || !isfinite(temperature))
    return QE_USE;
  for (size_t i = 0; i < count; i++)
    if (totals[i] > best)
      best = totals[i];
  for (size_t i = 0; i < count; i++) {
    const double below = totals[i] == best ? 0 : (totals[i] - best) / temperature;
    weights[i] = below <= 0 && best > -INFINITY ? exp(below) : 0;
    sum += weights[i];
  }
  for (size_t i = 0; i < count; i++)
    weights[i] = sum > 0 ? weights[i] / sum : 1 / (double)count;
  return QE_OK;
}
