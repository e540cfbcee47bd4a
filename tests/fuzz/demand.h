/*
** demand.h - what a fuzz target asserts, in release builds too.
*/
#ifndef FUZZ_DEMAND_H
#define FUZZ_DEMAND_H

#include <stdbool.h>
#include <stdlib.h>

static inline void demand(bool holds) {
  if (!holds)
    abort();
}

#endif
