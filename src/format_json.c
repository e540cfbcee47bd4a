/*
** format_json.c - lists as JSON objects, one per hypothesis (jsonl) or one per source (Sockeye). Lines stay text: a
** changed jsonl line is the line with insertions, a changed Sockeye line its members one by one with the arrays of the
** hypotheses in the new order. An array of a Sockeye object belongs to the hypotheses if it has one of the names known
** for that or holds as many numbers as there are hypotheses: that is a feature. Features become "Name= v v" text in
** the candidate's own memory; the empty name stands for values that have none. A feature's value that is null is a NaN;
** in a feature's array of Sockeye null means that this hypothesis lacks it, and [null] is a NaN.
*/
#include "format.h"
#include "json_text.h"

#include <math.h>

static int refuse(qe_list *list, size_t number, const char *what, qe_text found, const char *expected) {
  return error_set(&list->error, QE_FORMAT, "line %zu: %s is %.*s, expected %s", number, what, text_width(found),
                   found.size > 0 ? found.data : "", expected);
}

static int malformed(qe_list *list, size_t number) {
  return error_set(&list->error, QE_FORMAT, "line %zu: not a JSON object on one line", number);
}

bool json_has(qe_text line, const char *key) {
  struct json json;
  qe_text name, value;
  if (!json_open(&json, line, '{'))
    return false;
  while (json_member(&json, &name, &value) == 1)
    if (json_is_key(name, key))
      return true;
  return false;
}

/* ---- members ---- */

struct member {
  const char *name;
  qe_text value; /* no data: not there */
};

static bool store(struct member *members, size_t count, qe_text key, qe_text value, bool *twice) {
  for (size_t i = 0; i < count; i++)
    if (json_is_key(key, members[i].name)) {
      *twice = members[i].value.data != NULL;
      members[i].value = value;
      return true;
    }
  return false;
}

static bool begins_number(qe_text value) {
  double number;
  return number_parse(value, &number) || json_is_null(value);
}

/* The number of a total: a number, or the first number in an array; no data where it is null; false: neither. */
static bool first_number(qe_text value, qe_text *number) {
  struct json json;
  double parsed;
  *number = (qe_text){ NULL, 0 };
  for (int depth = 0; depth < 4 && json_is_array(value); depth++)
    if (!json_open(&json, value, '[') || json_element(&json, &value) != 1)
      return false;
  if (json_is_null(value))
    return true;
  *number = value;
  return number_parse(value, &parsed);
}

/* ---- features ---- */

struct builder {
  char *next; /* where text is added; the caller has counted the room */
};

static void add_bytes(struct builder *builder, qe_text text) {
  if (text.size > 0)
    memcpy(builder->next, text.data, text.size);
  builder->next += text.size;
}

static qe_text add_string(struct builder *builder, qe_text string) {
  char *start = builder->next;
  builder->next += json_decode(string, start);
  return (qe_text){ start, (size_t)(builder->next - start) };
}

/* "v v ", NaN for null. */
static bool add_values(struct builder *builder, qe_text value) {
  struct json json;
  int status = 1;
  const bool array = json_is_array(value);
  if (array && json_open(&json, value, '['))
    status = json_element(&json, &value);
  for (; status == 1; status = array ? json_element(&json, &value) : 0) {
    if (!begins_number(value))
      return false;
    add_bytes(builder, json_is_null(value) ? qe_string("nan") : value);
    add_bytes(builder, qe_string(" "));
  }
  return status == 0;
}

/* "Name= v v "; no longer than the member was with the comma behind it. */
static bool add_feature(struct builder *builder, qe_text key, qe_text value) {
  const qe_text name = add_string(builder, key);
  if (name.size > 0 && !list_names_feature(name))
    return false;
  add_bytes(builder, qe_string(name.size > 0 ? "= " : ""));
  return add_values(builder, value);
}

static qe_text finish_features(struct builder *builder, char *start) {
  const size_t size = (size_t)(builder->next - start);
  return (qe_text){ start, size > 0 ? size - 1 : 0 };
}

/* Values without a name come first, where nothing else can claim them. */
static int add_features(qe_list *list, struct candidate *candidate, struct builder *builder, qe_text object) {
  char *start = builder->next;
  for (int named = 0; named <= 1; named++) {
    struct json json;
    qe_text key, value;
    if (!json_open(&json, object, '{'))
      return refuse(list, candidate->number, "\"features\"", object, "an object");
    while (json_member(&json, &key, &value) == 1)
      if ((key.size > 2) == named && !add_feature(builder, key, value))
        return refuse(list, candidate->number, "a feature", key, "a name without white space and '=', and numbers");
  }
  candidate->hypothesis.features = finish_features(builder, start);
  return QE_OK;
}

/* ---- one object per hypothesis ---- */

enum { ID, SOURCE, TEXT, HYPOTHESIS, TRANSLATION, FEATURES, TOTAL, SCORE, TOKEN_SCORES, SYSTEM, RANK, MEMBERS };

static int read_members(qe_list *list, struct candidate *candidate, struct member *members, size_t *end) {
  struct json json;
  qe_text key, value;
  bool twice = false;
  int status;
  if (!json_open(&json, (qe_text){ candidate->line, candidate->size }, '{'))
    return malformed(list, candidate->number);
  while ((status = json_member(&json, &key, &value)) == 1)
    if (store(members, MEMBERS, key, value, &twice) && twice)
      return error_set(&list->error, QE_FORMAT, "line %zu: %.*s comes twice", candidate->number, text_width(key),
                       key.data);
  *end = (size_t)(json.next - candidate->line) - 1;
  return status == 0 && json_ends(&json) ? QE_OK : malformed(list, candidate->number);
}

static int take_string(qe_list *list, const struct candidate *candidate, const struct member *member,
                       struct builder *builder, qe_text *text) {
  if (!member->value.data || json_is_null(member->value))
    return QE_OK;
  if (!json_is_string(member->value))
    return refuse(list, candidate->number, member->name, member->value, "a string");
  *text = add_string(builder, member->value);
  return QE_OK;
}

static int take_id(qe_list *list, struct candidate *candidate, qe_text value, struct builder *builder) {
  double number;
  if (!value.data && list->numbered)
    return list_set_ordinal(list);
  if (!value.data)
    return error_set(&list->error, QE_FORMAT,
                     "line %zu: no \"id\", expected one (or the number of hypotheses per source)",
                     candidate->number);
  if (json_is_string(value))
    candidate->hypothesis.id = add_string(builder, value);
  else if (number_parse(value, &number))
    candidate->hypothesis.id = value;
  if (candidate->hypothesis.id.size == 0)
    return refuse(list, candidate->number, "\"id\"", value, "a number or a string");
  return QE_OK;
}

static int take_total(qe_list *list, struct candidate *candidate, const struct member *member, size_t end) {
  qe_text value = member->value;
  candidate->total_spots[0] = (struct spot){ true, end, 0, ", \"total\": ", "", "" };
  if (!value.data)
    return QE_OK;
  candidate->total_spots[0] =
      (struct spot){ .there = true, .at = (size_t)(value.data - candidate->line), .size = value.size };
  if (json_is_null(value))
    return QE_OK;
  if (!number_parse(value, &candidate->hypothesis.total))
    return refuse(list, candidate->number, member->name, value, "a number");
  candidate->total = value;
  return QE_OK;
}

static int take_features(qe_list *list, struct candidate *candidate, qe_text value, struct builder *builder,
                         size_t end) {
  candidate->features = (struct spot){ true, end, 0, ", \"features\": {", ", ", "}" };
  if (!value.data)
    return QE_OK;
  if (json_is_null(value)) { /* replaced by an object where features are added: written from the fields */
    candidate->features.there = false;
    return QE_OK;
  }
  if (add_features(list, candidate, builder, value) != QE_OK)
    return list->error.status;
  const size_t last = (size_t)(value.data + value.size - candidate->line) - 1;
  struct json json;
  qe_text key, first;
  const bool any = json_open(&json, value, '{') && json_member(&json, &key, &first) == 1;
  candidate->features = (struct spot){ true, last, 0, any ? ", " : "", ", ", "" };
  return QE_OK;
}

static int take_token_scores(qe_list *list, struct candidate *candidate, qe_text value) {
  struct json json;
  qe_text element;
  int status = 0;
  if (!value.data || json_is_null(value))
    return QE_OK;
  if (!json_open(&json, value, '['))
    return refuse(list, candidate->number, "\"token_scores\"", value, "an array of numbers");
  while ((status = json_element(&json, &element)) == 1)
    if (!begins_number(element))
      return refuse(list, candidate->number, "a token's score", element, "a number");
  candidate->token_scores = value;
  return QE_OK;
}

static int take_source(qe_list *list, const struct candidate *candidate, const struct member *member,
                       struct builder *builder) {
  qe_text source = { NULL, 0 };
  if (take_string(list, candidate, member, builder, &source) != QE_OK)
    return list->error.status;
  return source.data && !list->source.data ? qe_list_set_source(list, source) : QE_OK;
}

static int take_members(qe_list *list, struct candidate *candidate, const struct member *members, size_t end) {
  struct builder builder = { candidate->decoded };
  const struct member *text = &members[TEXT];
  while (text < &members[TRANSLATION] && !text->value.data)
    text++;
  if (!text->value.data || json_is_null(text->value))
    return error_set(&list->error, QE_FORMAT, "line %zu: no \"text\" (nor \"hypothesis\" nor \"translation\")",
                     candidate->number);
  const struct member *total = &members[members[TOTAL].value.data ? TOTAL : SCORE];
  if (take_id(list, candidate, members[ID].value, &builder) != QE_OK ||
      take_string(list, candidate, text, &builder, &candidate->hypothesis.text) != QE_OK ||
      take_string(list, candidate, &members[SYSTEM], &builder, &candidate->hypothesis.system) != QE_OK ||
      take_features(list, candidate, members[FEATURES].value, &builder, end) != QE_OK ||
      take_total(list, candidate, total, end) != QE_OK ||
      take_token_scores(list, candidate, members[TOKEN_SCORES].value) != QE_OK)
    return list->error.status;
  candidate->rank = members[RANK].value;
  return QE_OK;
}

int jsonl_parse(qe_list *list, struct candidate *candidate) {
  static const char *const names[MEMBERS] = { "id",           "source",   "text",  "hypothesis",
                                              "translation",  "features", "total", "score",
                                              "token_scores", "system",   "rank" };
  struct member members[MEMBERS];
  for (size_t i = 0; i < MEMBERS; i++)
    members[i] = (struct member){ names[i], { NULL, 0 } };
  size_t end = 0;
  if (read_members(list, candidate, members, &end) != QE_OK)
    return list->error.status;
  candidate->decoded = memory_grow(NULL, candidate->size + 1, 1);
  if (!candidate->decoded)
    return error_memory(&list->error);
  if (take_members(list, candidate, members, end) != QE_OK)
    return list->error.status;
  const qe_text id = candidate->hypothesis.id;
  if (list->count > 0 && id.size > 0 && !text_same(qe_list_id(list), id))
    return QE_OK; /* of another list, whose source this is */
  struct builder builder = { candidate->decoded + candidate->size };
  if (list->source.data || !members[SOURCE].value.data)
    return QE_OK;
  char *room = memory_grow(NULL, members[SOURCE].value.size, 1);
  if (!room)
    return error_memory(&list->error);
  builder.next = room;
  const int status = take_source(list, candidate, &members[SOURCE], &builder);
  memory_free(room);
  return status;
}

/* ---- one object per source ---- */

struct column { /* an array with an element for each hypothesis */
  qe_text key, value;
  struct json elements;
};

struct object {
  qe_list *list;
  size_t number, count; /* of the line; hypotheses */
  qe_text id, source, translations, scores, token_scores;
  struct column *features;
  size_t feature_count, room;
};

/* Elements of an array, -1 if it is none; `numbers`: whether all are numbers, null or arrays of numbers. */
static long count_elements(qe_text value, bool *numbers) {
  struct json json;
  qe_text element;
  long count = 0;
  *numbers = true;
  if (!json_open(&json, value, '['))
    return -1;
  for (; json_element(&json, &element) == 1; count++) {
    struct json inner;
    qe_text number;
    *numbers = *numbers && (begins_number(element) || json_is_array(element));
    if (json_is_array(element) && json_open(&inner, element, '['))
      while (json_element(&inner, &number) == 1)
        *numbers = *numbers && begins_number(number);
  }
  return count;
}

static bool is_known_column(qe_text key) {
  return json_is_key(key, "translations") || json_is_key(key, "scores") || json_is_key(key, "alignments") ||
         json_is_key(key, "token_scores") || json_is_key(key, "translations_factors");
}

static bool is_feature(qe_text key, qe_text value, size_t count) {
  bool numbers;
  return count > 0 && !is_known_column(key) && count_elements(value, &numbers) == (long)count && numbers;
}

static int first_pass(struct object *object, qe_text line) {
  struct member members[] = { { "translations", { NULL, 0 } },
                              { "scores", { NULL, 0 } },
                              { "sentence_id", { NULL, 0 } },
                              { "text", { NULL, 0 } },
                              { "token_scores", { NULL, 0 } } };
  struct json json;
  qe_text key, value;
  bool twice = false, numbers;
  int status = json_open(&json, line, '{') ? 1 : -1;
  while (status == 1 && (status = json_member(&json, &key, &value)) == 1)
    if (store(members, sizeof members / sizeof *members, key, value, &twice) && twice)
      return error_set(&object->list->error, QE_FORMAT, "line %zu: %.*s comes twice", object->number,
                       text_width(key), key.data);
  if (status != 0 || !json_ends(&json))
    return malformed(object->list, object->number);
  object->translations = members[0].value;
  object->scores = members[1].value;
  object->id = members[2].value;
  object->source = members[3].value;
  object->token_scores = members[4].value;
  const long count = count_elements(object->translations, &numbers);
  if (count < 0)
    return error_set(&object->list->error, QE_FORMAT, "line %zu: no array \"translations\"", object->number);
  object->count = (size_t)count;
  return QE_OK;
}

static int check_length(struct object *object, const char *what, qe_text value) {
  bool numbers;
  const long count = value.data && !json_is_null(value) ? count_elements(value, &numbers) : (long)object->count;
  if (count == (long)object->count)
    return QE_OK;
  return error_set(&object->list->error, QE_FORMAT, "line %zu: %ld %s for %zu translations", object->number,
                   count < 0 ? 0 : count, what, object->count);
}

static int find_features(struct object *object, qe_text line) {
  struct json json;
  qe_text key, value;
  json_open(&json, line, '{');
  while (json_member(&json, &key, &value) == 1) {
    if (!is_feature(key, value, object->count))
      continue;
    if (!memory_reserve((void **)&object->features, &object->room, object->feature_count + 1,
                        sizeof *object->features))
      return error_memory(&object->list->error);
    struct column *column = &object->features[object->feature_count++];
    *column = (struct column){ .key = key, .value = value };
    json_open(&column->elements, value, '[');
  }
  return QE_OK;
}

static int set_string(struct object *object, const char *what, qe_text value, bool is_id) {
  double number;
  if (!value.data || json_is_null(value))
    return QE_OK;
  if (is_id && number_parse(value, &number))
    return list_set_id(object->list, value);
  if (!json_is_string(value))
    return refuse(object->list, object->number, what, value, is_id ? "a number or a string" : "a string");
  char *room = memory_grow(NULL, value.size, 1);
  if (!room)
    return error_memory(&object->list->error);
  const qe_text text = { room, json_decode(value, room) };
  const int status = is_id && text.size == 0 ? refuse(object->list, object->number, what, value, "an id")
                     : is_id                 ? list_set_id(object->list, text)
                                             : qe_list_set_source(object->list, text);
  memory_free(room);
  return status;
}

/* The next element of each feature; counts the room they need, or adds them. */
static bool next_features(struct object *object, struct candidate *candidate, struct builder *builder,
                          qe_text *elements) {
  char *start = builder->next;
  for (int named = 0; named <= 1; named++)
    for (size_t i = 0; i < object->feature_count; i++)
      if ((object->features[i].key.size > 2) == named && !json_is_null(elements[i]) &&
          !add_feature(builder, object->features[i].key, elements[i]))
        return false;
  candidate->hypothesis.features = finish_features(builder, start);
  return true;
}

/* One hypothesis: `elements` are those of the features. */
static int add_hypothesis(struct object *object, qe_text text, qe_text score, qe_text token_scores,
                          qe_text *elements) {
  qe_list *list = object->list;
  size_t size = text.size + score.size + token_scores.size + 1;
  for (size_t i = 0; i < object->feature_count; i++) {
    json_element(&object->features[i].elements, &elements[i]);
    size += object->features[i].key.size + elements[i].size + 4;
  }
  struct candidate *candidate = list_candidate(list, (qe_text){ NULL, 0 }, object->number);
  if (!candidate)
    return error_memory(&list->error);
  struct builder builder = { candidate->decoded = memory_grow(NULL, size, 1) };
  if (!candidate->decoded)
    return error_memory(&list->error);
  candidate->hypothesis.id = list->id;
  candidate->hypothesis.text = add_string(&builder, text);
  if (score.data && number_parse(score, &candidate->hypothesis.total)) {
    candidate->total = (qe_text){ builder.next, score.size };
    add_bytes(&builder, score);
  }
  if (token_scores.data && !json_is_null(token_scores)) {
    candidate->token_scores = (qe_text){ builder.next, token_scores.size };
    add_bytes(&builder, token_scores);
  }
  list->count++;
  if (next_features(object, candidate, &builder, elements))
    return QE_OK;
  return error_set(&list->error, QE_FORMAT, "line %zu: a feature's name has white space or '='", object->number);
}

static int second_pass(struct object *object, qe_text *elements) {
  struct json texts, scores, tokens;
  qe_text text, score, number, token_scores;
  const bool scored = json_open(&scores, object->scores, '['),
             by_token = json_open(&tokens, object->token_scores, '[');
  json_open(&texts, object->translations, '[');
  while (json_element(&texts, &text) == 1) {
    score = number = token_scores = (qe_text){ NULL, 0 };
    if (!json_is_string(text))
      return refuse(object->list, object->number, "a translation", text, "a string");
    if (scored && json_element(&scores, &score) == 1 && !first_number(score, &number))
      return refuse(object->list, object->number, "a score", score, "a number");
    if (by_token && json_element(&tokens, &token_scores) == 1 && !json_is_array(token_scores) &&
        !json_is_null(token_scores))
      return refuse(object->list, object->number, "token_scores", token_scores, "an array for each translation");
    if (add_hypothesis(object, text, number, token_scores, elements) != QE_OK)
      return object->list->error.status;
  }
  return QE_OK;
}

static int read_object(struct object *object, qe_text line) {
  if (first_pass(object, line) != QE_OK || check_length(object, "scores", object->scores) != QE_OK ||
      check_length(object, "token_scores", object->token_scores) != QE_OK || find_features(object, line) != QE_OK ||
      set_string(object, "\"sentence_id\"", object->id, true) != QE_OK || list_set_ordinal(object->list) != QE_OK ||
      set_string(object, "\"text\"", object->source, false) != QE_OK || list_add_head(object->list, line) != QE_OK)
    return object->list->error.status;
  qe_text *elements = memory_new(object->feature_count, sizeof *elements);
  if (!elements)
    return error_memory(&object->list->error);
  const int status = second_pass(object, elements);
  memory_free(elements);
  return status;
}

int sockeye_take(qe_list *list, qe_text line, size_t number) {
  struct object object = { .list = list, .number = number };
  if (list->complete)
    return OTHER;
  const int status = read_object(&object, line);
  memory_free(object.features);
  list->complete = status == QE_OK;
  return status == QE_OK ? TAKEN : status;
}

/* ---- printing ---- */

static bool is_plain_number(qe_text id) {
  for (size_t i = 0; i < id.size; i++)
    if (id.data[i] < '0' || id.data[i] > '9')
      return false;
  return id.size > 0 && id.size <= 15 && (id.size == 1 || *id.data != '0');
}

static void put_id(struct writer *writer, qe_text id) {
  if (is_plain_number(id))
    put_text(writer, id);
  else
    put_json_string(writer, id);
}

static void put_key(struct writer *writer, const char *separator, qe_text name) {
  put_string(writer, separator);
  put_json_string(writer, name);
  put_string(writer, ": ");
}

/* Values of a feature and those chained to it, as long as they are of the same candidate. */
static size_t count_values(const struct features *features, const struct feature *feature) {
  size_t count = 0;
  double value;
  for (const struct feature *item = feature; item; item = &features->items[item->next]) {
    qe_text values = item->values, word;
    count += !values.data;
    while (values.data && list_number(&values, &word, &value))
      count++;
    if (item->next == SIZE_MAX || features->items[item->next].candidate != feature->candidate)
      break;
  }
  return count;
}

/* Returns the first feature behind them that is chained, of another candidate; NULL: none. */
static const struct feature *put_values(struct writer *writer, const struct features *features,
                                        const struct feature *feature) {
  const size_t candidate = feature->candidate;
  const char *separator = "";
  double value;
  for (;;) {
    qe_text values = feature->values, word;
    if (!values.data) {
      put_string(writer, separator);
      put_json_double(writer, feature->value);
    }
    for (; values.data && list_number(&values, &word, &value); separator = ", ") {
      put_string(writer, separator);
      put_json_number(writer, word);
    }
    if (feature->next == SIZE_MAX)
      return NULL;
    feature = &features->items[feature->next];
    if (feature->candidate != candidate)
      return feature;
  }
}

/* Whether it would be read again. */
static bool check_label(struct writer *writer, qe_text name) {
  if (name.size == 0 || list_names_feature(name))
    return true;
  error_set(&writer->list->error, QE_FORMAT, "a feature named %.*s cannot be written as %s", text_width(name),
            name.data, writer->format->name);
  return false;
}

static void put_feature_object(struct writer *writer, size_t index) {
  struct features features = { NULL, 0, 0 };
  const char *separator = ", \"features\": {";
  if (!features_collect(&features, writer->list, index) || !features_chain(&features))
    writer->failed = true;
  for (size_t i = 0; !writer->failed && i < features.count; i++) {
    if (features.items[i].repeated || !check_label(writer, features.items[i].name))
      continue;
    const bool array = count_values(&features, &features.items[i]) != 1;
    put_key(writer, separator, features.items[i].name);
    put(writer, "[", array);
    put_values(writer, &features, &features.items[i]);
    put(writer, "]", array);
    separator = ", ";
  }
  put(writer, "}", features.count > 0);
  features_free(&features);
}

static void put_token_scores(struct writer *writer, qe_text scores) {
  const char *separator = "";
  qe_text word;
  double value;
  put(writer, "[", 1);
  for (; list_number(&scores, &word, &value); separator = ", ") {
    put_string(writer, separator);
    put_json_number(writer, word);
  }
  put(writer, "]", 1);
}

static void put_member(struct writer *writer, const char *name, qe_text text) {
  if (text.size == 0)
    return;
  put_key(writer, ", ", qe_string(name));
  put_json_string(writer, text);
}

void jsonl_print(struct writer *writer, size_t index, size_t place, qe_text total) {
  const struct candidate *candidate = &writer->list->candidates[index];
  const qe_text scores = list_token_scores(candidate);
  put_string(writer, "{\"id\": ");
  put_id(writer, candidate->hypothesis.id);
  put_string(writer, ", \"rank\": ");
  put_count(writer, place + 1);
  put_member(writer, "source", writer->list->source);
  put_member(writer, "system", candidate->hypothesis.system);
  put_key(writer, ", ", qe_string("text"));
  put_json_string(writer, candidate->hypothesis.text);
  put_feature_object(writer, index);
  if (total.size > 0) {
    put_string(writer, ", \"total\": ");
    put_json_number(writer, total);
  }
  if (scores.data) {
    put_string(writer, ", \"token_scores\": ");
    put_token_scores(writer, scores);
  }
  put(writer, "}\n", 2);
}

/* ---- printing a whole list ---- */

static int check_name(qe_list *list, qe_text name) {
  static const char *const reserved[] = { "sentence_id", "text",         "translations",
                                          "translation", "scores",       "score",
                                          "alignments",  "token_scores", "translations_factors" };
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (text_is(name, reserved[i]))
      return error_set(&list->error, QE_FORMAT, "a feature cannot be named %s in a list of sockeye", reserved[i]);
  return QE_OK;
}

/* One feature of all hypotheses: null for those that lack it. */
static void put_column(struct writer *writer, const struct features *features, const struct feature *feature,
                       size_t count) {
  put_key(writer, ", ", feature->name);
  for (size_t i = 0; i < count; i++) {
    double value = 0;
    put_string(writer, i == 0 ? "[" : ", ");
    if (!feature || feature->candidate != i) {
      put_string(writer, "null");
      continue;
    }
    qe_text values = feature->values, word;
    const bool number = values.data ? list_number(&values, &word, &value) && !isnan(value) : !isnan(feature->value);
    const bool array = !number || count_values(features, feature) != 1;
    put(writer, "[", array);
    feature = put_values(writer, features, feature);
    put(writer, "]", array);
  }
  put(writer, "]", 1);
}

static int put_columns(struct writer *writer, const size_t *order, size_t count) {
  struct features features = { NULL, 0, 0 };
  for (size_t i = 0; i < count && !writer->failed; i++) {
    const size_t start = features.count;
    writer->failed = !features_collect(&features, writer->list, order[i]);
    for (size_t j = start; j < features.count; j++)
      features.items[j].candidate = i;
  }
  writer->failed = writer->failed || !features_chain(&features);
  for (size_t i = 0; i < features.count && !writer->failed; i++)
    if (!features.items[i].repeated && check_label(writer, features.items[i].name) &&
        check_name(writer->list, features.items[i].name) == QE_OK)
      put_column(writer, &features, &features.items[i], count);
  features_free(&features);
  return writer->list->error.status;
}

static double total_of(const double *totals, size_t index) {
  return totals ? totals[index] : NAN;
}

static void put_scores(struct writer *writer, const size_t *order, size_t count, const double *totals) {
  char room[40];
  for (size_t i = 0; i < count; i++) {
    put_string(writer, i == 0 ? ", \"scores\": [" : ", ");
    const qe_text number = total_text(&writer->list->candidates[order[i]], total_of(totals, order[i]), room);
    put_json_number(writer, number.size > 0 ? number : qe_string("nan"));
  }
  put(writer, "]", count > 0);
}

static bool any_token_scores(const qe_list *list, const size_t *order, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (list_token_scores(&list->candidates[order[i]]).data)
      return true;
  return false;
}

int sockeye_print(struct writer *writer, const size_t *order, size_t count, const double *totals) {
  qe_list *list = writer->list;
  const bool by_token = any_token_scores(list, order, count);
  put_string(writer, "{\"sentence_id\": ");
  put_id(writer, qe_list_id(list));
  put_member(writer, "text", list->source);
  put_string(writer, ", \"translations\": [");
  for (size_t i = 0; i < count; i++) {
    put_string(writer, i == 0 ? "" : ", ");
    put_json_string(writer, list->candidates[order[i]].hypothesis.text);
  }
  put(writer, "]", 1);
  put_scores(writer, order, count, totals);
  put_columns(writer, order, count);
  for (size_t i = 0; by_token && i < count; i++) {
    const qe_text scores = list_token_scores(&list->candidates[order[i]]);
    put_string(writer, i == 0 ? ", \"token_scores\": [" : ", ");
    if (scores.data)
      put_token_scores(writer, scores);
    else
      put_string(writer, "null");
  }
  put(writer, "]", by_token);
  put(writer, "}\n", 2);
  return list->error.status;
}

/* ---- changing a whole list ---- */

static qe_text element_of(qe_text array, size_t index) {
  struct json json;
  qe_text element = { NULL, 0 };
  if (json_open(&json, array, '['))
    for (size_t i = 0; i <= index; i++)
      if (json_element(&json, &element) != 1)
        return (qe_text){ NULL, 0 };
  return element;
}

/* A score with its number replaced. */
static void put_score(struct writer *writer, qe_text score, double total) {
  qe_text number;
  if (isnan(total)) {
    put_text(writer, score);
  } else if (first_number(score, &number) && number.data) {
    put(writer, score.data, (size_t)(number.data - score.data));
    put_json_double(writer, total);
    put(writer, number.data + number.size, (size_t)(score.data + score.size - number.data - number.size));
  } else {
    put_json_double(writer, total);
  }
}

struct edit {
  struct writer *writer;
  const size_t *order;
  size_t count;
  const double *totals;
  qe_text *elements; /* room for one of each hypothesis */
  qe_text translations, scores;
};

static void put_array(struct edit *edit, qe_text array, bool is_scores) {
  struct json json;
  size_t count = 0;
  if (!json_open(&json, array, '[')) {
    put_text(edit->writer, array);
    return;
  }
  while (count < edit->writer->list->count && json_element(&json, &edit->elements[count]) == 1)
    count++;
  if (count < edit->writer->list->count) {
    put_text(edit->writer, array); /* alignments of another number of hypotheses, say */
    return;
  }
  put(edit->writer, "[", 1);
  for (size_t i = 0; i < edit->count; i++) {
    const size_t index = edit->order[i];
    put_string(edit->writer, i == 0 ? "" : ", ");
    put_score(edit->writer, edit->elements[index], is_scores ? total_of(edit->totals, index) : NAN);
  }
  put(edit->writer, "]", 1);
}

/* "translation" and "score" are those of the first hypothesis. */
static void put_edited(struct edit *edit, qe_text key, qe_text value) {
  struct writer *writer = edit->writer;
  const bool first_text = json_is_key(key, "translation"), first_score = json_is_key(key, "score");
  const qe_text element = !first_text && !first_score ? (qe_text){ NULL, 0 }
                          : edit->count == 0
                              ? value
                              : element_of(first_text ? edit->translations : edit->scores, edit->order[0]);
  if (first_text || first_score)
    put_score(writer, element.data && !json_is_null(value) ? element : value,
              first_score && edit->count > 0 ? total_of(edit->totals, edit->order[0]) : NAN);
  else if (is_known_column(key) || is_feature(key, value, writer->list->count))
    put_array(edit, value, json_is_key(key, "scores"));
  else
    put_text(writer, value);
}

static int put_appended(struct edit *edit, qe_text line) {
  qe_list *list = edit->writer->list;
  for (size_t i = 0; i < list->appended_count; i++) {
    const qe_text name = qe_string(list->appended[i].name);
    if (check_name(list, name) != QE_OK)
      return list->error.status;
    if (json_has(line, list->appended[i].name))
      return error_set(&list->error, QE_FORMAT, "the object has a member %.60s already", list->appended[i].name);
    put_key(edit->writer, ", ", name);
    for (size_t j = 0; j < edit->count; j++) {
      const double value = list->appended[i].values[edit->order[j]];
      put_string(edit->writer, j == 0 ? "[" : ", ");
      put_string(edit->writer, isnan(value) ? "[" : "");
      put_json_double(edit->writer, value);
      put_string(edit->writer, isnan(value) ? "]" : "");
    }
    put_string(edit->writer, edit->count == 0 ? "[]" : "]");
  }
  return QE_OK;
}

static bool any_total(const struct edit *edit) {
  for (size_t i = 0; edit->totals && i < edit->count; i++)
    if (!isnan(edit->totals[edit->order[i]]))
      return true;
  return false;
}

static int edit_members(struct edit *edit, qe_text line) {
  struct json json;
  qe_text key, value;
  const char *separator = "{";
  json_open(&json, line, '{');
  while (json_member(&json, &key, &value) == 1) {
    if (json_is_key(key, "translations"))
      edit->translations = value;
    if (json_is_key(key, "scores"))
      edit->scores = value;
  }
  const bool lacks_scores = any_total(edit) && !json_is_array(edit->scores);
  json_open(&json, line, '{');
  while (json_member(&json, &key, &value) == 1) {
    if (lacks_scores && json_is_key(key, "scores"))
      continue; /* null: an array follows */
    put_string(edit->writer, separator);
    put_text(edit->writer, key);
    put_string(edit->writer, ": ");
    put_edited(edit, key, value);
    separator = ", ";
  }
  if (lacks_scores)
    put_scores(edit->writer, edit->order, edit->count, edit->totals);
  const int status = put_appended(edit, line);
  put_string(edit->writer, "}\n");
  return status;
}

int sockeye_edit(struct writer *writer, const size_t *order, size_t count, const double *totals) {
  const qe_text line = { writer->list->head, writer->list->head_size };
  struct edit edit = { .writer = writer, .order = order, .count = count, .totals = totals };
  edit.elements = memory_new(writer->list->count, sizeof *edit.elements);
  if (!edit.elements)
    return error_memory(&writer->list->error);
  const int status = edit_members(&edit, line);
  memory_free(edit.elements);
  return status;
}
