/*
** configuration.c - the manifest's "architecture" object: JSON <-> struct configuration. Every key has a default and
** a range; an unknown key is refused, so that a misspelt option never passes silently. Nothing here knows a model.
*/
#include "model.h"

#define ARCHITECTURE "birnn"
#define TEXT_RULES   "utf8-repair nfkc split:space,punctuation,symbol,cjk"
enum { ARCHITECTURE_REVISION = 1, TEXT_REVISION = 1 };

static const char *const kind_names[] = { "words", "ngrams" };

static const struct configuration defaults = {
  .embedding = 50,
  .hidden = 50,
  .attention = 100,
  .max_tokens = 200,
  .dropout = .5,
  .vocabulary = { { VOCABULARY_NGRAMS, 32768, 1, true }, { VOCABULARY_NGRAMS, 32768, 1, true } },
};

/* Sizes are bounded so that no archive can ask for more than the machine is likely to have. */
static int read_size(const json_t *object, const char *key, size_t low, size_t high, size_t *value,
                     struct error *error) {
  const json_t *item = json_object_get(object, key);
  if (!item)
    return QE_OK;
  json_int_t number = json_integer_value(item);
  if (!json_is_integer(item) || number < (json_int_t)low || number > (json_int_t)high)
    return error_set(error, QE_FORMAT, "architecture: \"%s\" is not a whole number from %zu to %zu", key, low,
                     high);
  *value = (size_t)number;
  return QE_OK;
}

static int refuse_unknown(const json_t *object, const char *const *known, const char *where, struct error *error) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    size_t i = 0;
    while (known[i] && strcmp(known[i], key) != 0)
      i++;
    if (!known[i])
      return error_set(error, QE_FORMAT, "%s: unknown key \"%s\"", where, key);
  }
  return QE_OK;
}

static int read_words(struct vocabulary_choice *choice, const json_t *object, struct error *error) {
  static const char *const known[] = { "kind", "size", "minimum", "lowercase", NULL };
  size_t rows = 20000, minimum = 1;
  choice->kind = VOCABULARY_WORDS;
  choice->lowercase = false;
  if (refuse_unknown(object, known, "architecture: vocabulary of words", error) != QE_OK ||
      read_size(object, "size", 1, 1u << 24, &rows, error) != QE_OK ||
      read_size(object, "minimum", 1, 1u << 30, &minimum, error) != QE_OK)
    return error->status;
  choice->rows = (uint32_t)rows;
  choice->minimum = (uint32_t)minimum;
  return QE_OK;
}

static int read_ngrams(struct vocabulary_choice *choice, const json_t *object, struct error *error) {
  static const char *const known[] = { "kind", "buckets", "lowercase", NULL };
  size_t rows = choice->rows;
  choice->kind = VOCABULARY_NGRAMS;
  if (refuse_unknown(object, known, "architecture: vocabulary of n-grams", error) != QE_OK ||
      read_size(object, "buckets", 1, 1u << 24, &rows, error) != QE_OK)
    return error->status;
  choice->rows = (uint32_t)rows;
  return QE_OK;
}

static int read_vocabulary(struct vocabulary_choice *choice, const json_t *object, const char *side,
                           struct error *error) {
  if (!object)
    return QE_OK;
  const char *kind = json_string_value(json_object_get(object, "kind"));
  const json_t *lowercase = json_object_get(object, "lowercase");
  if (!kind || (strcmp(kind, "words") != 0 && strcmp(kind, "ngrams") != 0))
    return error_set(error, QE_FORMAT, "architecture: %s: \"kind\" is neither \"words\" nor \"ngrams\"", side);
  int status = strcmp(kind, "words") == 0 ? read_words(choice, object, error) : read_ngrams(choice, object, error);
  if (status != QE_OK)
    return status;
  if (lowercase && !json_is_boolean(lowercase))
    return error_set(error, QE_FORMAT, "architecture: %s: \"lowercase\" is neither true nor false", side);
  if (lowercase)
    choice->lowercase = json_is_true(lowercase);
  return QE_OK;
}

/* What this build can only do one way must, where it is stated, be stated so. */
static int check_fixed(const json_t *object, struct error *error) {
  const json_t *name = json_object_get(object, "name"), *text = json_object_get(object, "text");
  const json_t *head = json_object_get(object, "head");
  size_t revision = ARCHITECTURE_REVISION;
  if (name && (!json_is_string(name) || strcmp(json_string_value(name), ARCHITECTURE) != 0))
    return error_set(error, QE_FORMAT,
                     "architecture: \"name\" is not \"" ARCHITECTURE "\", the one that this version has");
  if (text && (!json_is_string(text) || strcmp(json_string_value(text), TEXT_RULES) != 0))
    return error_set(error, QE_FORMAT, "architecture: \"text\" is not \"" TEXT_RULES "\"");
  if (head && (!json_is_string(head) ||
               (strcmp(json_string_value(head), "sigmoid") != 0 && strcmp(json_string_value(head), "bins") != 0)))
    return error_set(error, QE_FORMAT, "architecture: \"head\" is neither \"sigmoid\" nor \"bins\"");
  if (read_size(object, "text_revision", TEXT_REVISION, TEXT_REVISION, &revision, error) != QE_OK)
    return error->status;
  return read_size(object, "revision", ARCHITECTURE_REVISION, ARCHITECTURE_REVISION, &revision, error);
}

static int check_head(const json_t *object, const struct configuration *configuration, struct error *error) {
  const char *head = json_string_value(json_object_get(object, "head"));
  if (head && (strcmp(head, "bins") == 0) != (configuration->bins > 0))
    return error_set(error, QE_FORMAT, "architecture: head \"%s\" does not go with %zu bins", head,
                     configuration->bins);
  if (configuration->bins == 1)
    return error_set(error, QE_FORMAT, "architecture: \"bins\" is 1: a single bin always gives the same score");
  if (configuration->decoder_inputs != 0 && configuration->decoder_inputs != DECODER_INPUTS)
    return error_set(error, QE_FORMAT, "architecture: \"decoder_inputs\" is neither 0 nor %d", DECODER_INPUTS);
  return QE_OK;
}

int configuration_parse(struct configuration *configuration, const json_t *object, struct error *error) {
  static const char *const known[] = { "name",       "revision",  "text",   "text_revision", "embedding",
                                       "hidden",     "attention", "head",   "bins",          "decoder_inputs",
                                       "max_tokens", "dropout",   "source", "target",        NULL };
  *configuration = defaults;
  if (!json_is_object(object))
    return error_set(error, QE_FORMAT, "architecture: not a JSON object");
  const json_t *dropout = json_object_get(object, "dropout");
  if (refuse_unknown(object, known, "architecture", error) != QE_OK || check_fixed(object, error) != QE_OK ||
      read_size(object, "embedding", 1, 4096, &configuration->embedding, error) != QE_OK ||
      read_size(object, "hidden", 1, 4096, &configuration->hidden, error) != QE_OK ||
      read_size(object, "attention", 1, 4096, &configuration->attention, error) != QE_OK ||
      read_size(object, "bins", 0, 10000, &configuration->bins, error) != QE_OK ||
      read_size(object, "decoder_inputs", 0, DECODER_INPUTS, &configuration->decoder_inputs, error) != QE_OK ||
      read_size(object, "max_tokens", 1, 100000, &configuration->max_tokens, error) != QE_OK ||
      read_vocabulary(&configuration->vocabulary[0], json_object_get(object, "source"), "source", error) != QE_OK ||
      read_vocabulary(&configuration->vocabulary[1], json_object_get(object, "target"), "target", error) != QE_OK ||
      check_head(object, configuration, error) != QE_OK)
    return error->status;
  if (dropout && !(json_is_number(dropout) && json_number_value(dropout) >= 0 && json_number_value(dropout) < 1))
    return error_set(error, QE_FORMAT, "architecture: \"dropout\" is not a number from 0 to below 1");
  if (dropout)
    configuration->dropout = json_number_value(dropout);
  return QE_OK;
}

static json_t *dump_vocabulary(const struct vocabulary_choice *choice) {
  if (choice->kind == VOCABULARY_NGRAMS)
    return json_pack("{s:s, s:I, s:b}", "kind", kind_names[choice->kind], "buckets", (json_int_t)choice->rows,
                     "lowercase", (int)choice->lowercase);
  return json_pack("{s:s, s:I, s:I, s:b}", "kind", kind_names[choice->kind], "size", (json_int_t)choice->rows,
                   "minimum", (json_int_t)choice->minimum, "lowercase", (int)choice->lowercase);
}

json_t *configuration_dump(const struct configuration *configuration) {
  return json_pack(
      "{s:s, s:i, s:s, s:i, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:f, s:o, s:o}", "name", ARCHITECTURE, "revision",
      ARCHITECTURE_REVISION, "text", TEXT_RULES, "text_revision", TEXT_REVISION, "embedding",
      (json_int_t)configuration->embedding, "hidden", (json_int_t)configuration->hidden, "attention",
      (json_int_t)configuration->attention, "head", configuration->bins ? "bins" : "sigmoid", "bins",
      (json_int_t)configuration->bins, "decoder_inputs", (json_int_t)configuration->decoder_inputs, "max_tokens",
      (json_int_t)configuration->max_tokens, "dropout", configuration->dropout, "source",
      dump_vocabulary(&configuration->vocabulary[0]), "target", dump_vocabulary(&configuration->vocabulary[1]));
}
