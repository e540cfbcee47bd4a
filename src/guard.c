/*
** guard.c - whether a candidate may take the place of the decoder's first choice. Source, first choice and candidate are
** read once each (guard.h); every guard compares the readings and answers whether the switch would add its fault.
** Invariant: a text with the words of the first choice is never refused. The guards do not judge quality, and none is
** sure of its case: they only make the reranker stay with what the decoder preferred.
*/
#include "guard.h"

enum { GUARDS = 9, MOST_NAMES = 256, LOOP_UNIT = 4 };

struct qe_guards {
  struct error error;
  struct reading source, first, candidate;
  int languages[2]; /* negation_language of source and target */
  bool known;       /* there is a source */
  bool one_language;
};

static const char *const names[GUARDS] = { "copy",     "empty", "length",      "repetition", "number",
                                           "negation", "name",  "placeholder", "script" };

qe_guards *qe_guards_new(void) {
  qe_guards *guards = memory_new(1, sizeof *guards);
  if (guards)
    guards->languages[0] = guards->languages[1] = -1;
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
  return "copy empty length repetition number negation name placeholder script";
}

/* ---- settings ---- */

/* The bits of one name; 0 where it is unknown. */
static unsigned bits_of(const char *name, size_t size) {
  for (unsigned i = 0; i < GUARDS; i++)
    if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
      return 1u << i;
  return size == 3 && memcmp(name, "all", 3) == 0 ? (1u << GUARDS) - 1 : 0;
}

int qe_guards_parse(const char *text, unsigned *bits) {
  unsigned found = *text == '-' ? (1u << GUARDS) - 1 : 0;
  for (const char *at = text; *text; at += *at == ',') {
    const bool without = *at == '-';
    at += without;
    const size_t size = strcspn(at, ",");
    const unsigned named = bits_of(at, size);
    const bool none = size == 4 && memcmp(at, "none", 4) == 0;
    if (named == 0 && (!none || without))
      return QE_USE;
    found = none ? 0 : without ? found & ~named : found | named;
    at += size;
    if (!*at)
      break;
  }
  *bits = found;
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

/* Names and loans are the same in both languages; a word more of them than the first choice has is no copy. */
static bool adds_copy(qe_guards *guards) {
  const struct reading *text = &guards->candidate, *source = &guards->source, *first = &guards->first;
  if (!guards->known || guards->one_language || source->sorted_count == 0)
    return false;
  if (same_words(text, source))
    return !same_words(first, source);
  const size_t copied = copied_words(text, source);
  return copied * 10 >= text->sorted_count * 6 && copied > copied_words(first, source) + 1 + copied / 4;
}

static bool adds_empty(qe_guards *guards) {
  return guards->first.visible && !guards->candidate.visible;
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
static size_t tolerated(const struct reading *text, size_t end, size_t unit) {
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
      if (copies > most && copies > 2 && copies > tolerated(text, i + 1, unit))
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
  const struct reading *text = &guards->candidate, *first = &guards->first, *source = &guards->source;
  const size_t loop = loops(text), share = again(text);
  const bool looping = loop > loops(first) && !(guards->known && loop <= loops(source));
  const bool sharing = share > again(first) && !(guards->known && share <= again(source));
  return looping || sharing;
}

/* ---- content ---- */

static bool adds_number(qe_guards *guards) {
  struct reading *text = &guards->candidate, *first = &guards->first, *source = &guards->source;
  if (!guards->known)
    return numerals_differing(first, text, NULL) > 0;
  return numerals_differing(source, text, first) > numerals_differing(source, first, text);
}

static bool adds_negation(qe_guards *guards) {
  if (!guards->known)
    return false;
  const enum negation first = negation_of(&guards->first, guards->languages[1]);
  const enum negation text = negation_of(&guards->candidate, guards->languages[1]);
  if (first == NEGATION_UNCLEAR || text == NEGATION_UNCLEAR || first == text)
    return false;
  const enum negation source = negation_of(&guards->source, guards->languages[0]);
  /* that a language without a list shows no negation says nothing */
  return source == first && (source == NEGATION_PRESENT || guards->languages[0] >= 0);
}

static size_t marks_of(const struct reading *text, int script) {
  return text->letters[script];
}

static int main_script(const struct reading *text) {
  int most = SCRIPT_NONE;
  for (int script = 1; script < SCRIPTS; script++)
    if (most == SCRIPT_NONE ? marks_of(text, script) > 0 : marks_of(text, script) > marks_of(text, most))
      most = script;
  return most;
}

/* The script of a word's first letter and how many letters, capitals and digits it has. */
struct shape {
  int script;
  size_t letters, capitals, digits;
  bool capital; /* its first */
};

static bool is_capital(int32_t point, qe_text folded) {
  int32_t lower;
  utf8_decode(folded.data, folded.size, &lower);
  return lower != point;
}

static struct shape shape_of(const struct reading *reading, size_t number) {
  qe_text word = reading_word(reading, number), folded = reading_folded(reading, number);
  struct shape shape = { 0 };
  for (size_t at = 0, low = 0; at < word.size && low < folded.size;) {
    int32_t point, lower;
    const bool begins = at == 0;
    const bool capital = is_capital((utf8_decode(word.data + at, word.size - at, &point), point),
                                    (qe_text){ folded.data + low, folded.size - low });
    at += utf8_decode(word.data + at, word.size - at, &point);
    low += utf8_decode(folded.data + low, folded.size - low, &lower);
    const int script = reading_script(point);
    shape.script = shape.script == SCRIPT_NONE ? script : shape.script;
    shape.letters += script != SCRIPT_NONE;
    shape.capitals += capital;
    shape.capital |= begins && capital;
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
  for (size_t i = 0; i < reading->words.count; i++) {
    const qe_text other = reading_word(reading, i);
    if (other.size == word.size && memcmp(other.data, word.data, word.size) == 0)
      return true;
  }
  return false;
}

/* The same beginning, in lower case: endings differ by case and language. */
static bool has_relative(const struct reading *reading, qe_text name) {
  const size_t least = name.size * 6 / 10 > 3 ? name.size * 6 / 10 : name.size < 3 ? name.size : 3;
  for (size_t i = 0; i < reading->words.count; i++) {
    const qe_text word = reading_folded(reading, i);
    if (word.size >= least && memcmp(word.data, name.data, least) == 0)
      return true;
  }
  return false;
}

static bool adds_name(qe_guards *guards) {
  const struct reading *source = &guards->source, *first = &guards->first;
  const int script = main_script(first);
  size_t looked_at = 0;
  if (!guards->known || script == SCRIPT_NONE || main_script(&guards->candidate) != script)
    return false;
  for (size_t i = 0; i < source->words.count && looked_at < MOST_NAMES; i++) {
    if (source->kinds[i] != WORD_LETTERS || !is_name(source, i, script))
      continue;
    looked_at++;
    if (has_word(first, reading_word(source, i)) && !has_relative(&guards->candidate, reading_folded(source, i)))
      return true;
  }
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
  if (different(expected, text) > different(expected, first))
    return true;
  const bool wanted = expected->escapes > 0;
  return (text->escapes > 0) != wanted && (first->escapes > 0) == wanted && (text->escapes > 0 || guards->known);
}

static size_t letter_count(const struct reading *text) {
  size_t count = 0;
  for (int script = 1; script < SCRIPTS; script++)
    count += text->letters[script];
  return count;
}

static bool adds_script(qe_guards *guards) {
  const struct reading *text = &guards->candidate, *first = &guards->first;
  const size_t text_count = letter_count(text), first_count = letter_count(first);
  size_t excess = 0; /* of the shares, both over text_count * first_count */
  if (text_count == 0 || first_count == 0)
    return false;
  for (int script = 1; script < SCRIPTS; script++) {
    const size_t share = text->letters[script] * first_count, usual = first->letters[script] * text_count;
    excess += share > usual ? share - usual : 0;
  }
  return excess > text_count * first_count / 10 * 3;
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

static bool same_text(qe_text a, qe_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

int qe_guards_check(qe_guards *guards, unsigned enabled, qe_text source, const qe_text *candidates, size_t count,
                    size_t first, unsigned *vetoes) {
  error_clear(&guards->error);
  if (first >= count)
    return error_set(&guards->error, QE_USE, "first choice %zu of %zu candidates", first, count);
  if (enabled >> GUARDS)
    return error_set(&guards->error, QE_USE, "guards 0x%x, expected bits below 0x%x", enabled, 1u << GUARDS);
  int status = reading_of(&guards->source, source);
  guards->known = source.size > 0;
  if (status == QE_OK)
    status = reading_of(&guards->first, candidates[first]);
  for (size_t i = 0; i < count && status == QE_OK; i++) {
    vetoes[i] = 0;
    if (enabled == 0 || same_text(candidates[i], candidates[first]))
      continue;
    status = reading_of(&guards->candidate, candidates[i]);
    if (status == QE_OK)
      vetoes[i] = vetoes_of(guards, enabled);
  }
  return status == QE_OK ? QE_OK : error_memory(&guards->error);
}
