/*
** guard.c - whether a candidate may take the place of the decoder's first choice. Source, first choice and candidate are
** read once each (guard.h); what a guard wants to know of the first two is worked out before the candidates. Invariant:
** the first choice itself is never refused, and a veto depends on nothing but source, first choice and candidate. The
** guards do not judge quality, and none is sure of its case: they only make the reranker stay with the decoder.
*/
#include "guard.h"
#include "list.h"

#include <limits.h>

enum { GUARDS = 9, MOST_NAMES = 256, LOOP_UNIT = 4 };

/* The faults of one text, as far as they are counted. */
struct faults {
  size_t copied; /* words with letters that are the source's */
  size_t loops, again;
  size_t numbers, placeholders;
  enum negation negation;
};

struct qe_guards {
  struct error error;
  struct listed number_words; /* of all readings */
  struct reading source, first, candidate;
  struct faults of_source, of_first;
  size_t names[MOST_NAMES]; /* words of the source that the first choice has, too, in its main script */
  size_t name_count;
  int script;        /* of most letters of the first choice */
  int target_script; /* of the target language; SCRIPT_NONE for unknown */
  int languages[2];  /* negation_language of source and target */
  bool known;        /* there is a source */
  bool one_language;
};

static const char names[] = "copy empty length repetition number negation name placeholder script";

qe_guards *qe_guards_new(void) {
  qe_guards *guards = memory_new(1, sizeof *guards);
  if (!guards)
    return NULL;
  guards->languages[0] = guards->languages[1] = -1;
  spoken_index(&guards->number_words); /* a test sees that there is room for all */
  guards->source.number_words = guards->first.number_words = guards->candidate.number_words = &guards->number_words;
  return guards;
}

void qe_guards_free(qe_guards *guards) {
  if (!guards)
    return;
  reading_free(&guards->source);
  reading_free(&guards->first);
  reading_free(&guards->candidate);
  memory_free(guards);
}

const char *qe_guards_error(const qe_guards *guards) {
  return guards->error.text;
}

const char *qe_guard_names(void) {
  return names;
}

/* ---- settings ---- */

/* The bits of one name; 0 where it is unknown. */
static unsigned bits_of(const char *name, size_t size) {
  const qe_text wanted = { name, size };
  qe_text rest = qe_string(names), word;
  for (unsigned bit = 1; list_word(&rest, &word); bit <<= 1)
    if (text_same(word, wanted))
      return bit;
  return text_is(wanted, "all") ? (1u << GUARDS) - 1 : 0;
}

static unsigned with_item(unsigned bits, const char *item, size_t size) {
  const bool without = size > 0 && *item == '-';
  const unsigned named = bits_of(item + without, size - without);
  if (text_is((qe_text){ item, size }, "none"))
    return 0;
  return named == 0 ? UINT_MAX : without ? bits & ~named : bits | named;
}

int qe_guards_parse(qe_guards *guards, const char *text, unsigned *bits) {
  unsigned found = *text == '-' ? (1u << GUARDS) - 1 : 0;
  error_clear(&guards->error);
  for (const char *at = text;; at++) {
    const size_t size = strcspn(at, ",");
    found = with_item(found, at, size);
    if (found == UINT_MAX && *text)
      return error_set(&guards->error, QE_USE, "no guard \"%.*s\", expected all, none or some of: %s",
                       text_width((qe_text){ at, size }), at, names);
    at += size;
    if (!*at)
      break;
  }
  *bits = *text ? found : 0;
  return QE_OK;
}

static bool same_language(const char *a, const char *b) {
  if (!a || !b)
    return false;
  const size_t size = strcspn(a, "-_");
  return size > 0 && strcspn(b, "-_") == size && memcmp(a, b, size) == 0;
}

int qe_guards_languages(qe_guards *guards, const char *source, const char *target) {
  error_clear(&guards->error);
  guards->languages[0] = negation_language(source);
  guards->languages[1] = negation_language(target);
  guards->target_script = reading_script_of_language(target);
  guards->one_language = same_language(source, target);
  return QE_OK;
}

/* ---- comparing readings ---- */

static size_t common(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count) {
  size_t count = 0, i = 0, j = 0;
  while (i < a_count && j < b_count) {
    const uint64_t one = a[i], other = b[j];
    count += one == other;
    i += one <= other;
    j += other <= one;
  }
  return count;
}

static bool same_words(const struct reading *a, const struct reading *b) {
  return a->words.count == b->words.count &&
         (a->words.count == 0 || memcmp(a->hashes, b->hashes, a->words.count * sizeof *a->hashes) == 0);
}

static size_t copied_words(const struct reading *text, const struct reading *source) {
  return common(text->sorted, text->sorted_count, source->sorted, source->sorted_count);
}

/* Names and loans are the same in both languages; a word more of them than the first choice has is no copy, unless
** nothing else is there. */
static bool adds_copy(qe_guards *guards) {
  const struct reading *text = &guards->candidate, *source = &guards->source;
  if (!guards->known || guards->one_language || source->sorted_count == 0)
    return false;
  const size_t copied = copied_words(text, source), tolerated = same_words(text, source) ? 0 : 1 + copied / 4;
  return copied * 10 >= text->sorted_count * 6 && copied > guards->of_first.copied + tolerated;
}

static bool adds_empty(qe_guards *guards) {
  return !guards->candidate.visible;
}

/* Ratio of two lengths, at least 1, in 1/1000. */
static size_t apart(size_t a, size_t b) {
  const size_t low = (a < b ? a : b) + 1, high = (a < b ? b : a) + 1;
  return high * 1000 / low;
}

static bool adds_length(qe_guards *guards) {
  const size_t text = guards->candidate.length, first = guards->first.length, source = guards->source.length;
  const size_t slack = 10; /* short texts vary more */
  if (first == 0 || (text <= 2 * first + slack && first <= 2 * text + slack))
    return false;
  return !guards->known || apart(text, source) > apart(first, source);
}

/* ---- repetition ---- */

/* Copies of a unit from which on it is a loop. Dots and lines of forms repeat by nature, ideographs sometimes. */
static size_t tolerated_copies(const struct reading *text, size_t end, size_t unit) {
  int kind = WORD_MARK;
  for (size_t i = end - unit; i < end; i++)
    kind = text->kinds[i] > kind ? text->kinds[i] : kind;
  return kind == WORD_MARK ? 7 : kind == WORD_IDEOGRAPH && unit == 1 ? 3 : 2;
}

/* The most copies of a unit of 1 to 4 words in a row that are more than tolerated; 0 for none. */
static size_t loops(const struct reading *text) {
  size_t most = 0;
  for (size_t unit = 1; unit <= LOOP_UNIT; unit++) {
    size_t run = 0;
    for (size_t i = unit; i < text->words.count; i++) {
      run = text->hashes[i] == text->hashes[i - unit] ? run + 1 : 0;
      const size_t copies = run / unit + 1;
      if (copies > most && copies > 2 && copies > tolerated_copies(text, i + 1, unit))
        most = copies;
    }
  }
  return most;
}

/* Of the runs of four words, the tenths that were there before; 0 below a quarter, or where they are few. */
static size_t again(const struct reading *text) {
  size_t repeated = 0;
  for (size_t i = 1; i < text->gram_count; i++)
    repeated += text->grams[i] == text->grams[i - 1];
  return repeated >= 4 && repeated * 4 >= text->gram_count ? repeated * 10 / text->gram_count : 0;
}

static bool adds_repetition(qe_guards *guards) {
  const struct faults *first = &guards->of_first, *source = &guards->of_source;
  const size_t loop = loops(&guards->candidate), share = again(&guards->candidate);
  const bool looping = loop > first->loops && !(guards->known && loop <= source->loops);
  const bool sharing = share > first->again && !(guards->known && share <= source->again);
  return looping || sharing;
}

/* ---- content ---- */

static bool adds_number(qe_guards *guards) {
  if (!guards->known)
    return numerals_differing(&guards->first, &guards->candidate, NULL) > 0;
  return numerals_differing(&guards->source, &guards->candidate, &guards->first) > guards->of_first.numbers;
}

/* That a language without a list shows no negation says nothing. */
static bool adds_negation(qe_guards *guards) {
  const enum negation source = guards->of_source.negation, first = guards->of_first.negation;
  if (!guards->known || source != first || first == NEGATION_UNCLEAR ||
      (first == NEGATION_ABSENT && guards->languages[0] < 0))
    return false;
  const enum negation text = negation_of(&guards->candidate, guards->languages[1]);
  return text != NEGATION_UNCLEAR && text != first;
}

/* The script of a word's first letter and how many letters, capitals and digits it has. */
struct shape {
  int script;
  size_t letters, capitals, digits;
  bool capital; /* its first */
};

static struct shape shape_of(const struct reading *reading, size_t number) {
  const qe_text word = reading_word(reading, number), folded = reading_folded(reading, number);
  struct shape shape = { 0 };
  for (size_t at = 0, low = 0; at < word.size && low < folded.size;) {
    int32_t point, lower;
    const bool begins = at == 0;
    at += utf8_decode(word.data + at, word.size - at, &point);
    low += utf8_decode(folded.data + low, folded.size - low, &lower);
    const int script = reading_script(point);
    shape.script = shape.script == SCRIPT_NONE ? script : shape.script;
    shape.letters += script != SCRIPT_NONE;
    shape.capitals += point != lower;
    shape.capital |= begins && point != lower;
    shape.digits += numeral_digit(point) >= 0;
  }
  return shape;
}

/* Capitals at the start of a sentence, title or quotation say nothing. */
static bool is_initial(const struct reading *reading, size_t number) {
  while (number > 0 && reading->kinds[number - 1] == WORD_MARK) {
    const qe_text mark = reading_word(reading, --number);
    if (!(mark.size == 1 && strchr(",-'()/&", *mark.data)))
      return true;
  }
  return number == 0;
}

/* A word with a capital, or an identifier such as "x86" or "iPhone"; short words vary too much ("UK", "U.K."). */
static bool is_name(const struct reading *reading, size_t number, int script) {
  const struct shape shape = shape_of(reading, number);
  if (script > SCRIPT_ARMENIAN || shape.script != script || shape.letters + shape.digits < 3)
    return false;
  const bool identifier = (shape.letters > 1 && shape.digits > 0) || (shape.capitals > 0 && !shape.capital);
  const bool plain = shape.capital && shape.letters > 2 && (shape.capitals < shape.letters || shape.letters > 3);
  return identifier || (plain && !is_initial(reading, number));
}

static bool has_word(const struct reading *reading, qe_text word) {
  for (size_t i = 0; i < reading->words.count; i++)
    if (text_same(reading_word(reading, i), word))
      return true;
  return false;
}

static void collect_names(qe_guards *guards) {
  const struct reading *source = &guards->source;
  size_t looked_at = 0;
  guards->name_count = 0;
  for (size_t i = 0; i < source->words.count && looked_at < MOST_NAMES; i++) {
    if (source->kinds[i] != WORD_LETTERS || !is_name(source, i, guards->script))
      continue;
    looked_at++;
    if (has_word(&guards->first, reading_word(source, i)))
      guards->names[guards->name_count++] = i;
  }
}

static bool contains(qe_text word, const char *bytes, size_t size) {
  for (size_t at = 0; at + size <= word.size; at++)
    if (memcmp(word.data + at, bytes, size) == 0)
      return true;
  return false;
}

/* The same beginning, in lower case, for endings differ by case and language; a longer one may stand anywhere in a
** compound. Half of it is enough, so that other spellings pass, too. */
static bool has_relative(const struct reading *reading, qe_text name) {
  const size_t least = name.size > 7 ? name.size / 2 : name.size < 3 ? name.size : 3;
  for (size_t i = 0; i < reading->words.count; i++) {
    qe_text word = reading_folded(reading, i);
    if (least < 4 && word.size > least)
      word.size = least;
    if (contains(word, name.data, least))
      return true;
  }
  return false;
}

static bool adds_name(qe_guards *guards) {
  if (!guards->known || guards->script == SCRIPT_NONE ||
      reading_main_script(guards->candidate.letters) != guards->script)
    return false;
  for (size_t i = 0; i < guards->name_count; i++)
    if (!has_relative(&guards->candidate, reading_folded(&guards->source, guards->names[i])))
      return true;
  return false;
}

static size_t different(const struct reading *a, const struct reading *b) {
  const size_t shared = common(a->placeholders, a->placeholder_count, b->placeholders, b->placeholder_count);
  return a->placeholder_count + b->placeholder_count - 2 * shared;
}

/* Whether apostrophes are written as "&#39;" is a habit of a decoder: only that there are such at all counts. */
static bool adds_placeholder(qe_guards *guards) {
  const struct reading *text = &guards->candidate, *first = &guards->first;
  const struct reading *expected = guards->known ? &guards->source : first;
  if (different(expected, text) > guards->of_first.placeholders)
    return true;
  const bool wanted = expected->escapes > 0;
  return (text->escapes > 0) != wanted && (first->escapes > 0) == wanted;
}

static size_t letter_count(const struct reading *text) {
  size_t count = 0;
  for (int script = 1; script < SCRIPTS; script++)
    count += text->letters[script];
  return count;
}

/* In scripts other than the one expected: that of the target language or, unknown, the first choice's main one. */
static bool adds_script(qe_guards *guards) {
  const struct reading *text = &guards->candidate, *first = &guards->first;
  const int expected = guards->target_script != SCRIPT_NONE ? guards->target_script : guards->script;
  const size_t text_count = letter_count(text), first_count = letter_count(first);
  if (text_count == 0 || first_count == 0)
    return false;
  const size_t share = (text_count - text->letters[expected]) * 100 / text_count;
  return share > (first_count - first->letters[expected]) * 100 / first_count + 30;
}

/* ---- the check ---- */

static unsigned vetoes_of(qe_guards *guards, unsigned enabled) {
  static bool (*const adds[GUARDS])(qe_guards *) = { adds_copy,       adds_empty,       adds_length,
                                                     adds_repetition, adds_number,      adds_negation,
                                                     adds_name,       adds_placeholder, adds_script };
  unsigned vetoes = 0;
  for (unsigned i = 0; i < GUARDS; i++)
    if (enabled >> i & 1 && adds[i](guards))
      vetoes |= 1u << i;
  return vetoes;
}

/* What the guards want to know before they see candidates. */
static void prepare(qe_guards *guards) {
  struct reading *source = &guards->source, *first = &guards->first;
  guards->of_source = (struct faults){ .loops = loops(source),
                                       .again = again(source),
                                       .negation = negation_of(source, guards->languages[0]) };
  guards->of_first = (struct faults){ .copied = copied_words(first, source),
                                      .loops = loops(first),
                                      .again = again(first),
                                      .numbers = numerals_differing(source, first, NULL),
                                      .placeholders = guards->known ? different(source, first) : 0,
                                      .negation = negation_of(first, guards->languages[1]) };
  guards->script = reading_main_script(first->letters);
  collect_names(guards);
}

int qe_guards_check(qe_guards *guards, unsigned enabled, qe_text source, const qe_text *candidates, size_t count,
                    size_t first, unsigned *vetoes) {
  error_clear(&guards->error);
  if (first >= count)
    return error_set(&guards->error, QE_USE, "first choice %zu of %zu candidates", first, count);
  if (enabled >> GUARDS)
    return error_set(&guards->error, QE_USE, "guards 0x%x, expected bits below 0x%x", enabled, 1u << GUARDS);
  memset(vetoes, 0, count * sizeof *vetoes);
  if (enabled == 0)
    return QE_OK;
  guards->known = source.size > 0;
  if (reading_of(&guards->source, source) != QE_OK || reading_of(&guards->first, candidates[first]) != QE_OK)
    return error_memory(&guards->error);
  prepare(guards);
  for (size_t i = 0; i < count; i++) {
    if (!guards->first.visible || text_same(candidates[i], candidates[first]))
      continue;
    if (reading_of(&guards->candidate, candidates[i]) != QE_OK)
      return error_memory(&guards->error);
    vetoes[i] = vetoes_of(guards, enabled);
  }
  return QE_OK;
}
