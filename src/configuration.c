/*
** configuration.c - the manifest's "architecture" object: JSON <-> struct configuration. Every key has a default and
** a range; an unknown key is refused, so that a misspelt option never passes silently. What all kinds of model have is
** read here; the rest is for the architecture that "name" says. Nothing here knows a model.
*/
#include "architecture.h"

#define TEXT_RULES "utf8-repair nfkc split:space,punctuation,symbol,cjk"
enum { ARCHITECTURE_REVISION = 1, TEXT_REVISION = 1 };

static const char *const kind_names[] = {
  [VOCABULARY_WORDS] = "words", [VOCABULARY_NGRAMS] = "ngrams", [VOCABULARY_COUNTED] = "counted"
};

static const struct architecture *const architectures[] = { &birnn, &encoder, &aligned_student,
                                                            &family_of_students };
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };
#define ARCHITECTURE_NAMES "\"birnn\", \"encoder\", \"aligned\" or \"family\""

/* Sizes are bounded so that no archive can ask for more than the machine is likely to have. */
int configuration_size(const json_t *object, const char *key, size_t low, size_t high, size_t *value,
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

int configuration_share(const json_t *object, const char *key, double *value, struct error *error) {
  const json_t *item = json_object_get(object, key);
  if (item && !(json_is_number(item) && json_number_value(item) >= 0 && json_number_value(item) <= 1))
    return error_set(error, QE_FORMAT, "architecture: \"%s\" is not a number from 0 to 1", key);
  if (item)
    *value = json_number_value(item);
  return QE_OK;
}

static bool is_known(const char *const *known, const char *key) {
  while (*known && strcmp(*known, key) != 0)
    known++;
  return *known != NULL;
}

static int refuse_unknown(const json_t *object, const char *const *known, const char *where, struct error *error) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    if (!is_known(known, key))
      return error_set(error, QE_FORMAT, "%s: unknown key \"%s\"", where, key);
  }
  return QE_OK;
}

static int read_counted(struct vocabulary_choice *choice, const json_t *object, enum vocabulary_kind kind,
                        struct error *error) {
  static const char *const known[] = { "kind", "size", "minimum", "lowercase", NULL };
  size_t rows = 20000, minimum = 1;
  choice->kind = kind;
  choice->lowercase = kind == VOCABULARY_COUNTED;
  if (refuse_unknown(object, known, "architecture: vocabulary of what was counted", error) != QE_OK ||
      configuration_size(object, "size", 1, 1u << 24, &rows, error) != QE_OK ||
      configuration_size(object, "minimum", 1, 1u << 30, &minimum, error) != QE_OK)
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
      configuration_size(object, "buckets", 1, 1u << 24, &rows, error) != QE_OK)
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
  const bool words = kind && strcmp(kind, "words") == 0, counted = kind && strcmp(kind, "counted") == 0;
  if (!words && !counted && !(kind && strcmp(kind, "ngrams") == 0))
    return error_set(error, QE_FORMAT, "architecture: %s: \"kind\" is none of \"words\", \"ngrams\", \"counted\"",
                     side);
  int status = words || counted ? read_counted(choice, object, words ? VOCABULARY_WORDS : VOCABULARY_COUNTED, error)
                                : read_ngrams(choice, object, error);
  if (status != QE_OK)
    return status;
  if (lowercase && !json_is_boolean(lowercase))
    return error_set(error, QE_FORMAT, "architecture: %s: \"lowercase\" is neither true nor false", side);
  if (lowercase)
    choice->lowercase = json_is_true(lowercase);
  return QE_OK;
}

/* What this build can only do one way must, where it is stated, be stated so. */
static int check_text(const json_t *object, struct error *error) {
  const json_t *text = json_object_get(object, "text");
  size_t revision = TEXT_REVISION;
  if (text && (!json_is_string(text) || strcmp(json_string_value(text), TEXT_RULES) != 0))
    return error_set(error, QE_FORMAT, "architecture: \"text\" is not \"" TEXT_RULES "\"");
  return configuration_size(object, "text_revision", TEXT_REVISION, TEXT_REVISION, &revision, error);
}

int configuration_words(struct configuration *configuration, const json_t *object, struct error *error) {
  if (check_text(object, error) != QE_OK ||
      read_vocabulary(&configuration->vocabulary[0], json_object_get(object, "source"), "source", error) != QE_OK)
    return error->status;
  return read_vocabulary(&configuration->vocabulary[1], json_object_get(object, "target"), "target", error);
}

static int find_architecture(const json_t *object, const struct architecture **found, struct error *error) {
  const json_t *name = json_object_get(object, "name");
  *found = architectures[0];
  for (size_t i = 0; name && i < ARCHITECTURES; i++)
    if (json_is_string(name) && strcmp(json_string_value(name), architectures[i]->name) == 0) {
      *found = architectures[i];
      return QE_OK;
    }
  return name ? error_set(error, QE_FORMAT,
                          "architecture: \"name\" is not " ARCHITECTURE_NAMES ", which this version has")
              : QE_OK;
}

static int check_head(const json_t *object, const struct configuration *configuration, struct error *error) {
  const json_t *value = json_object_get(object, "head");
  const char *head = json_string_value(value);
  if (value && (!head || (strcmp(head, "sigmoid") != 0 && strcmp(head, "bins") != 0)))
    return error_set(error, QE_FORMAT, "architecture: \"head\" is neither \"sigmoid\" nor \"bins\"");
  if (head && (strcmp(head, "bins") == 0) != (configuration->bins > 0))
    return error_set(error, QE_FORMAT, "architecture: head \"%s\" does not go with %zu bins", head,
                     configuration->bins);
  if (configuration->bins == 1)
    return error_set(error, QE_FORMAT, "architecture: \"bins\" is 1: a single bin always gives the same score");
  if (configuration->decoder_inputs != 0 && configuration->decoder_inputs != DECODER_INPUTS)
    return error_set(error, QE_FORMAT, "architecture: \"decoder_inputs\" is neither 0 nor %d", DECODER_INPUTS);
  return QE_OK;
}

/* Keys that every kind has, or its own. */
static int check_keys(const struct architecture *architecture, const json_t *object, struct error *error) {
  static const char *const common[] = { "name",           "revision",   "head",    "bins",
                                        "decoder_inputs", "max_tokens", "dropout", NULL };
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    if (!is_known(common, key) && !is_known(architecture->keys, key))
      return error_set(error, QE_FORMAT, "architecture: unknown key \"%s\"", key);
  }
  return QE_OK;
}

static int read_common(struct configuration *configuration, const json_t *object, struct error *error) {
  const json_t *dropout = json_object_get(object, "dropout");
  size_t revision = ARCHITECTURE_REVISION;
  if (configuration_size(object, "revision", ARCHITECTURE_REVISION, ARCHITECTURE_REVISION, &revision, error) !=
          QE_OK ||
      configuration_size(object, "bins", 0, 10000, &configuration->bins, error) != QE_OK ||
      configuration_size(object, "decoder_inputs", 0, DECODER_INPUTS, &configuration->decoder_inputs, error) !=
          QE_OK ||
      configuration_size(object, "max_tokens", 1, 100000, &configuration->max_tokens, error) != QE_OK)
    return error->status;
  if (dropout && !(json_is_number(dropout) && json_number_value(dropout) >= 0 && json_number_value(dropout) < 1))
    return error_set(error, QE_FORMAT, "architecture: \"dropout\" is not a number from 0 to below 1");
  if (dropout)
    configuration->dropout = json_number_value(dropout);
  return check_head(object, configuration, error);
}

int configuration_parse(struct configuration *configuration, const json_t *object, struct error *error) {
  const struct architecture *architecture;
  *configuration = (struct configuration){ 0 };
  if (!json_is_object(object))
    return error_set(error, QE_FORMAT, "architecture: not a JSON object");
  if (find_architecture(object, &architecture, error) != QE_OK)
    return error->status;
  *configuration = architecture->defaults;
  configuration->architecture = architecture;
  if (check_keys(architecture, object, error) != QE_OK || read_common(configuration, object, error) != QE_OK)
    return error->status;
  return architecture->parse(configuration, object, error);
}

static json_t *dump_vocabulary(const struct vocabulary_choice *choice) {
  if (choice->kind == VOCABULARY_NGRAMS)
    return json_pack("{s:s, s:I, s:b}", "kind", kind_names[choice->kind], "buckets", (json_int_t)choice->rows,
                     "lowercase", (int)choice->lowercase);
  return json_pack("{s:s, s:I, s:I, s:b}", "kind", kind_names[choice->kind], "size", (json_int_t)choice->rows,
                   "minimum", (json_int_t)choice->minimum, "lowercase", (int)choice->lowercase);
}

int configuration_dump_words(const struct configuration *configuration, json_t *object) {
  return json_object_set_new(object, "text", json_string(TEXT_RULES)) |
         json_object_set_new(object, "text_revision", json_integer(TEXT_REVISION)) |
         json_object_set_new(object, "source", dump_vocabulary(&configuration->vocabulary[0])) |
         json_object_set_new(object, "target", dump_vocabulary(&configuration->vocabulary[1]));
}

json_t *configuration_dump(const struct configuration *c) {
  json_t *object = json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:f}", "name", c->architecture->name, "revision",
                             ARCHITECTURE_REVISION, "head", c->bins ? "bins" : "sigmoid", "bins",
                             (json_int_t)c->bins, "decoder_inputs", (json_int_t)c->decoder_inputs, "max_tokens",
                             (json_int_t)c->max_tokens, "dropout", c->dropout);
  if (object && c->architecture->dump(c, object) != 0) {
    json_decref(object);
    return NULL;
  }
  return object;
}

size_t configuration_forests(const struct configuration *configuration) {
  return configuration->architecture == &aligned_student ? configuration->aligned.forests : 0;
}
