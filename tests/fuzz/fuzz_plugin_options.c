/*
** fuzz_plugin_options.c - any text as options of the plugin: either refused with a reason that names a line, or accepted,
** and then every line that is not blank or a comment has a key and an equals sign, and numbers are in their ranges.
*/
#include "../../plugins/options.c"

#include "demand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A naive twin for one question: has every line that counts a key among these and a value? */
static bool all_lines_have_keys(const char *text) {
  static const char *const keys[] = { "model",       "weights", "guards",    "languages", "max_hypotheses",
                                      "deadline_ms", "tokens",  "strip",     "format",    "source",
                                      "source_by",   "output",  "per_source" };
  for (const char *line = text; *line;) {
    const char *start = line + strspn(line, " \t");
    const char *end = line + strcspn(line, "\n");
    bool known = start == end || *start == '#' || *start == '\r';
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
      known = known || (strncmp(start, keys[i], strlen(keys[i])) == 0 && start[strlen(keys[i])] == '=');
    if (!known)
      return false;
    line = *end ? end + 1 : end;
  }
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct options options;
  char error[200] = "", *text = malloc(size + 1);
  demand(text != NULL);
  if (size > 0)
    memcpy(text, data, size);
  text[size] = '\0';
  if (options_parse(&options, text, error, sizeof error)) {
    demand(all_lines_have_keys(text));
    demand(options.max_hypotheses >= 1 && options.deadline_ms >= 0);
    demand(!options.output || strcmp(options.output, "best") == 0 || strcmp(options.output, "nbest") == 0);
    options_clear(&options);
  } else {
    demand(strncmp(error, "options:", 8) == 0);
  }
  free(text);
  return 0;
}
