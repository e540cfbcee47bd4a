/*
** error.c - the first failure of an object. The first message stays because later ones are usually its echo;
** whoever starts a new call clears it.
*/
#include "core.h"

#include <stdio.h>

int error_set(struct error *error, int status, const char *format, ...) {
  if (error->status == QE_OK) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    error->status = status;
  }
  return status;
}

void error_clear(struct error *error) {
  error->status = QE_OK;
  error->text[0] = '\0';
}

int error_memory(struct error *error) {
  return error_set(error, QE_MEMORY, "out of memory");
}
