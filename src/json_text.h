/*
** json_text.h - JSON as text: values are slices of a line, found by a cursor that checks as it goes. Nothing is built,
** so that what is not understood can be written back as it was, numbers keep their digits, and bytes that are no UTF-8
** pass. Beyond the standard it takes NaN and infinities, which Python writes. Private to format_json.c and its tests.
*/
#ifndef QE_JSON_TEXT_H
#define QE_JSON_TEXT_H
#include "core.h"

struct json {
  const char *next, *end;
  bool first; /* nothing of the object or array has been taken */
};

/* The whole text is one value of this kind ('{' or '['): the cursor stands behind its opening. */
bool json_open(struct json *json, qe_text text, char kind);
/* The next member or element: 1; 0 at the end, with the cursor behind the closing bracket; -1: malformed. */
int json_member(struct json *json, qe_text *key, qe_text *value); /* key: a string, quotes included */
int json_element(struct json *json, qe_text *value);
bool json_ends(struct json *json); /* white space is all that follows */
/* A string's text, no longer than it is in quotes; returns the size. */
size_t json_decode(qe_text string, char *out);
static inline bool json_is_string(qe_text value) {
  return value.size > 0 && *value.data == '"';
}
static inline bool json_is_array(qe_text value) {
  return value.size > 0 && *value.data == '[';
}
bool json_is_null(qe_text value);
bool json_is_key(qe_text key, const char *name); /* written without escapes */
bool json_is_number(qe_text value);              /* by the standard: neither NaN nor infinite nor "+1" */

#endif
