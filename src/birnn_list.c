/*
** birnn_list.c - scores of candidates that share much, with the bits that birnn_score.c gives each alone. Pairs are taken in
** runs of one source and blocks of bounded size. Of a block, each distinct translation is split once; each distinct word
** has its gate inputs once; translations are paths in two tries of words, one from either end, and a node's recurrent
** state is computed once, since it depends on the words before it alone. Nodes are numbered by depth, so that a level is
** a batch of rows whose parents are done. Attention and what follows are each translation's own.
*/
#include "birnn_score.h"

enum { BLOCK_PAIRS = 4096, BLOCK_TOKENS = 8192, BATCH = 64 };

struct sentence {
  qe_text text;
  size_t first, tokens; /* in shared.token_word */
  bool truncated;
};

/* Paths of one direction. Node 0 is the root, with a state of zeros. While the trie grows, nodes have the numbers of
** their creation; `place` is a node's number by depth. */
struct trie {
  uint32_t *parent, *word, *depth, *place; /* by node */
  uint32_t *slots;                         /* hash table of (parent, word): node, 0: free */
  uint32_t *node;                          /* by token: where its path has come to */
  uint32_t *level;                         /* by depth: the first place, one more at the end */
  uint32_t *parent_place;                  /* by place */
  const float **input;
  float *states; /* by place, padded hidden */
  size_t count, deepest;
};

struct shared {
  struct shape shape;
  struct sentence *sentences; /* the distinct translations of a block */
  uint32_t *sentence_of;      /* by pair */
  uint32_t *slots;            /* hash table of sentences, then of words: number + 1, 0: free */
  struct words tokens, words; /* all of a block, and the distinct ones */
  uint32_t *token_word;       /* by token */
  struct trie tries[DIRECTIONS];
  float *before, *inner, *gates; /* of a batch */
  float *pooled, *parts;         /* by sentence */
  float *source;                 /* what the run's source adds */
  void *block;
  size_t sentence_count, token_room;
};

/* ---- memory: all of it at the first list; pages that no list needs are never touched ---- */

static bool take(bool whole, void *array, size_t count, size_t size) {
  void *memory = whole ? memory_new(count, size) : NULL;
  memcpy(array, &memory, sizeof memory);
  return memory != NULL;
}

static size_t table_size(size_t count) {
  size_t size = 16;
  while (size < 2 * count)
    size *= 2;
  return size;
}

static bool open_trie(struct trie *trie, size_t tokens) {
  bool whole = take(true, &trie->parent, tokens + 1, sizeof *trie->parent);
  whole = take(whole, &trie->word, tokens + 1, sizeof *trie->word);
  whole = take(whole, &trie->depth, tokens + 1, sizeof *trie->depth);
  whole = take(whole, &trie->place, tokens + 1, sizeof *trie->place);
  whole = take(whole, &trie->slots, table_size(tokens), sizeof *trie->slots);
  whole = take(whole, &trie->node, tokens, sizeof *trie->node);
  whole = take(whole, &trie->level, tokens + 3, sizeof *trie->level);
  whole = take(whole, &trie->parent_place, tokens + 1, sizeof *trie->parent_place);
  return take(whole, &trie->input, tokens + 1, sizeof *trie->input);
}

static bool open_words(struct words *words, size_t tokens) {
  return memory_reserve((void **)&words->offset, &words->offset_room, tokens + 1, sizeof *words->offset);
}

static void lay_out(void *owner, struct room *room) {
  struct shared *shared = owner;
  const struct shape *shape = &shared->shape;
  for (size_t d = 0; d < DIRECTIONS; d++)
    shared->tries[d].states = room_take(room, shared->token_room + 1, shape->state);
  shared->before = room_take(room, BATCH, shape->state);
  shared->inner = room_take(room, BATCH * shape->cols + KERNEL_LANES, 1);
  shared->gates = room_take(room, 2 * shape->hidden + KERNEL_LANES, 1);
  shared->pooled = room_take(room, BLOCK_PAIRS, 2 * shape->state);
  shared->parts = room_take(room, BLOCK_PAIRS, shape->outputs);
  shared->source = room_take(room, shape->outputs, 1);
}

static struct shared *shared_new(const struct shape *shape, size_t max_tokens) {
  struct shared *shared = memory_new(1, sizeof *shared);
  if (!shared)
    return NULL;
  shared->shape = *shape;
  shared->token_room = max_tokens > BLOCK_TOKENS ? max_tokens : BLOCK_TOKENS;
  shared->block = room_lay(shared, lay_out);
  bool whole = take(shared->block != NULL, &shared->sentences, BLOCK_PAIRS, sizeof *shared->sentences);
  whole = take(whole, &shared->sentence_of, BLOCK_PAIRS, sizeof *shared->sentence_of);
  whole = take(whole, &shared->slots, table_size(shared->token_room), sizeof *shared->slots);
  whole = take(whole, &shared->token_word, shared->token_room, sizeof *shared->token_word);
  for (size_t d = 0; d < DIRECTIONS; d++)
    whole = whole && open_trie(&shared->tries[d], shared->token_room);
  if (!whole || !open_words(&shared->tokens, shared->token_room) ||
      !open_words(&shared->words, shared->token_room)) {
    shared_free(shared);
    return NULL;
  }
  return shared;
}

static void close_trie(struct trie *trie) {
  memory_free(trie->parent);
  memory_free(trie->word);
  memory_free(trie->depth);
  memory_free(trie->place);
  memory_free(trie->slots);
  memory_free(trie->node);
  memory_free(trie->level);
  memory_free(trie->parent_place);
  memory_free((void *)trie->input);
}

void shared_free(struct shared *shared) {
  if (!shared)
    return;
  for (size_t d = 0; d < DIRECTIONS; d++)
    close_trie(&shared->tries[d]);
  words_free(&shared->tokens);
  words_free(&shared->words);
  memory_free(shared->sentences);
  memory_free(shared->sentence_of);
  memory_free(shared->slots);
  memory_free(shared->token_word);
  memory_free(shared->block);
  memory_free(shared);
}

/* ---- distinct sentences ---- */

static bool append_word(struct words *words, const char *bytes, size_t size) {
  const size_t used = words->count > 0 ? words->offset[words->count] : 0;
  if (!memory_reserve((void **)&words->bytes, &words->bytes_room, used + size, 1))
    return false;
  memcpy(words->bytes + used, bytes, size);
  words->offset[words->count] = (uint32_t)used;
  words->offset[++words->count] = (uint32_t)(used + size);
  return true;
}

/* The slot of a sentence, free or taken. */
static uint32_t *find_sentence(const struct shared *shared, size_t table, qe_text text) {
  size_t at = (size_t)fnv1a(FNV1A_START, text.data, text.size) & (table - 1);
  while (shared->slots[at] > 0 && !text_same(shared->sentences[shared->slots[at] - 1].text, text))
    at = (at + 1) & (table - 1);
  return &shared->slots[at];
}

static int add_sentence(struct shared *shared, const struct words *split, qe_text text) {
  struct sentence *sentence = &shared->sentences[shared->sentence_count++];
  *sentence = (struct sentence){ text, shared->tokens.count, split->count, split->truncated };
  for (size_t t = 0; t < split->count; t++)
    if (!append_word(&shared->tokens, split->bytes + split->offset[t], split->offset[t + 1] - split->offset[t]))
      return QE_MEMORY;
  return QE_OK;
}

/* Takes pairs from `first` on while there is room; returns the end of the block. */
static size_t gather(struct birnn_work *work, const qe_scorer *scorer, size_t first, size_t end) {
  struct shared *shared = work->shared;
  end = end - first < BLOCK_PAIRS ? end : first + BLOCK_PAIRS;
  const size_t table = table_size(end - first);
  memset(shared->slots, 0, table * sizeof *shared->slots);
  shared->sentence_count = shared->tokens.count = 0;
  for (size_t i = first; i < end; i++) {
    const qe_text text = scorer->pairs[i].translation;
    uint32_t *slot = find_sentence(shared, table, text);
    if (*slot == 0) {
      work->base.status = words_split(&work->words, text, scorer->model->configuration.max_tokens);
      if (work->base.status == QE_OK && shared->tokens.count + work->words.count > shared->token_room)
        return i;
      if (work->base.status == QE_OK)
        work->base.status = add_sentence(shared, &work->words, text);
      if (work->base.status != QE_OK)
        return i;
      *slot = (uint32_t)shared->sentence_count;
    }
    shared->sentence_of[i - first] = *slot - 1;
  }
  return end;
}

/* ---- distinct words ---- */

static qe_text word_of(const struct words *words, size_t number) {
  return (qe_text){ words->bytes + words->offset[number], words->offset[number + 1] - words->offset[number] };
}

static int merge_words(struct shared *shared) {
  const size_t count = shared->tokens.count, table = table_size(count);
  memset(shared->slots, 0, table * sizeof *shared->slots);
  shared->words.count = 0;
  for (size_t t = 0; t < count; t++) {
    const qe_text word = word_of(&shared->tokens, t);
    size_t at = (size_t)fnv1a(FNV1A_START, word.data, word.size) & (table - 1);
    while (shared->slots[at] > 0 && !text_same(word_of(&shared->words, shared->slots[at] - 1), word))
      at = (at + 1) & (table - 1);
    if (shared->slots[at] == 0) {
      if (!append_word(&shared->words, word.data, word.size))
        return QE_MEMORY;
      shared->slots[at] = shared->words.count;
    }
    shared->token_word[t] = shared->slots[at] - 1;
  }
  return QE_OK;
}

/* ---- tries ---- */

static uint32_t child(struct trie *trie, size_t table, uint32_t parent, uint32_t word) {
  const uint32_t key[2] = { parent, word };
  size_t at = (size_t)fnv1a(FNV1A_START, key, sizeof key) & (table - 1);
  for (uint32_t node; (node = trie->slots[at]) > 0; at = (at + 1) & (table - 1))
    if (trie->parent[node] == parent && trie->word[node] == word)
      return node;
  const uint32_t node = (uint32_t)trie->count++;
  trie->slots[at] = node;
  trie->parent[node] = parent;
  trie->word[node] = word;
  trie->depth[node] = trie->depth[parent] + 1;
  if (trie->depth[node] > trie->deepest)
    trie->deepest = trie->depth[node];
  return node;
}

static void grow(struct trie *trie, const struct shared *shared, bool reversed) {
  const size_t table = table_size(shared->tokens.count);
  memset(trie->slots, 0, table * sizeof *trie->slots);
  trie->count = 1;
  trie->deepest = trie->depth[0] = 0;
  for (size_t i = 0; i < shared->sentence_count; i++) {
    const struct sentence *sentence = &shared->sentences[i];
    uint32_t node = 0;
    for (size_t k = 0; k < sentence->tokens; k++) {
      const size_t token = sentence->first + (reversed ? sentence->tokens - 1 - k : k);
      trie->node[token] = node = child(trie, table, node, shared->token_word[token]);
    }
  }
}

/* Numbers the nodes by depth, with what a step needs of each. */
static void sort(struct trie *trie, const float *const *word_input) {
  memset(trie->level, 0, (trie->deepest + 2) * sizeof *trie->level);
  for (size_t node = 0; node < trie->count; node++)
    trie->level[trie->depth[node] + 1]++;
  for (size_t depth = 0; depth <= trie->deepest; depth++)
    trie->level[depth + 1] += trie->level[depth];
  for (size_t node = 0; node < trie->count; node++)
    trie->place[node] = trie->level[trie->depth[node]]++;
  for (size_t depth = trie->deepest + 1; depth > 0; depth--)
    trie->level[depth] = trie->level[depth - 1];
  trie->level[0] = 0;
  for (size_t node = 1; node < trie->count; node++) {
    trie->parent_place[trie->place[node]] = trie->place[trie->parent[node]];
    trie->input[trie->place[node]] = word_input[trie->word[node]];
  }
}

static void step(struct shared *shared, struct trie *trie, const struct shape *shape, const struct kernel *kernel,
                 const struct kernel_gru *gru, size_t first, size_t rows) {
  const size_t width = shape->state;
  for (size_t i = 0; i < rows; i++)
    memcpy(shared->before + i * width, trie->states + trie->parent_place[first + i] * width, width * sizeof(float));
  kernel->gru_rows(gru, rows, trie->input + first, shared->before, trie->states + first * width, shared->inner,
                   shared->gates);
}

static void run_trie(struct shared *shared, struct trie *trie, const struct shape *shape,
                     const struct kernel *kernel, const struct kernel_gru *gru) {
  memset(trie->states, 0, shape->state * sizeof *trie->states);
  for (size_t depth = 1; depth <= trie->deepest; depth++)
    for (size_t place = trie->level[depth], end = trie->level[depth + 1]; place < end; place += BATCH)
      step(shared, trie, shape, kernel, gru, place, end - place < BATCH ? end - place : BATCH);
}

/* ---- from states to scores ---- */

static void attend(struct birnn_work *work, const struct shape *shape, const struct scoring_side *side,
                   const struct kernel *kernel, size_t number) {
  const struct sentence *sentence = &work->shared->sentences[number];
  const size_t width = shape->state;
  for (size_t d = 0; d < DIRECTIONS; d++) {
    const struct trie *trie = &work->shared->tries[d];
    for (size_t t = 0; t < sentence->tokens; t++)
      memcpy(work->states + (2 * t + d) * width,
             trie->states + trie->place[trie->node[sentence->first + t]] * width, width * sizeof(float));
  }
  kernel->attend(sentence->tokens, 2 * width, work->states, side->context, work->weights,
                 work->shared->pooled + number * 2 * width);
}

/* Leaves in `parts` what each sentence of the block adds to the logits. */
static int encode_block(struct birnn_work *work, const qe_scorer *scorer) {
  const struct shape *shape = &birnn_scoring(scorer)->shape;
  const struct scoring_side *side = &birnn_scoring(scorer)->side[QE_TARGET];
  struct shared *shared = work->shared;
  if (merge_words(shared) != QE_OK || !work_reserve(work, shared->tokens.count))
    return QE_MEMORY;
  work_inputs(work, shape, side, scorer->kernel, &shared->words);
  for (size_t d = 0; d < DIRECTIONS; d++) {
    const struct kernel_gru gru = { shape->hidden, shape->cols, side->hidden_weight[d], side->hidden_bias[d] };
    grow(&shared->tries[d], shared, d == 1);
    sort(&shared->tries[d], work->input + d * work->tokens);
    run_trie(shared, &shared->tries[d], shape, scorer->kernel, &gru);
  }
  for (size_t i = 0; i < shared->sentence_count; i++)
    if (shared->sentences[i].tokens > 0)
      attend(work, shape, side, scorer->kernel, i);
  scorer->kernel->affine(shared->sentence_count, 2 * shape->state, shape->outputs, shared->pooled, 2 * shape->state,
                         side->head, side->head_bias, shared->parts);
  return QE_OK;
}

/* Scores pairs first .. end - 1, which are of one source. */
static void score_source(qe_scorer *scorer, struct birnn_work *work, size_t first, size_t end) {
  struct shared *shared = work->shared;
  size_t source_tokens;
  work->base.status = work_side(work, scorer, QE_SOURCE, scorer->pairs[first].source, &source_tokens);
  memcpy(shared->source, work->part, birnn_scoring(scorer)->shape.outputs * sizeof *shared->source);
  const bool truncated = work->words.truncated;
  while (first < end && work->base.status == QE_OK) {
    const size_t block_end = gather(work, scorer, first, end);
    if (work->base.status == QE_OK)
      work->base.status = encode_block(work, scorer);
    for (size_t i = first; i < block_end && work->base.status == QE_OK; i++) {
      const size_t number = shared->sentence_of[i - first];
      work_begin(work, scorer, &scorer->pairs[i]);
      if (source_tokens > 0)
        work_add(work, scorer, shared->source);
      if (shared->sentences[number].tokens > 0)
        work_add(work, scorer, shared->parts + number * birnn_scoring(scorer)->shape.outputs);
      scorer->scores[i] = work_score(work, scorer);
      scorer->cut[i] = (unsigned char)(truncated + shared->sentences[number].truncated);
    }
    first = block_end;
  }
}

void birnn_score_list(qe_scorer *scorer, struct work *base, size_t first, size_t end) {
  struct birnn_work *work = (struct birnn_work *)base;
  if (!work->shared)
    work->shared = shared_new(&birnn_scoring(scorer)->shape, scorer->model->configuration.max_tokens);
  work->base.status = work->shared ? QE_OK : QE_MEMORY;
  while (first < end && work->base.status == QE_OK) {
    size_t next = first + 1;
    while (next < end && text_same(scorer->pairs[next].source, scorer->pairs[first].source))
      next++;
    score_source(scorer, work, first, next);
    first = next;
  }
}
