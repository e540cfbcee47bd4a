/*
** fuzz_states.c - any bytes as a store of states. What is accepted comes back as the same bytes and gives finite values
** where, and only where, the mask is 1; what is refused leaves an empty store.
*/
#include "core.h"
#include "demand.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(qe_tape *tape, const qe_states *states, uint32_t row, uint32_t tokens) {
  const uint32_t offsets[] = { 0, tokens };
  qe_tensor mask, values = qe_states_target(tape, states, &row, (qe_segments){ offsets, 1 }, &mask);
  for (size_t i = 0; i < qe_rows(values) * qe_cols(values); i++) {
    demand(qe_values(mask)[i] == 0 || qe_values(mask)[i] == 1);
    demand(isfinite(qe_values(values)[i]) && (qe_values(mask)[i] == 1 || qe_values(values)[i] == 0));
  }
  qe_tape_reset(tape);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qe_states *states = qe_states_new(3);
  qe_tape *tape = qe_tape_new(NULL, 1);
  demand(states && tape);
  const int status = qe_states_read(states, (qe_text){ (const char *)data, size });
  const qe_text bytes = qe_states_bytes(states);
  demand((status == QE_OK) == (qe_states_error(states)[0] == '\0'));
  if (status == QE_OK)
    demand(text_same(bytes, (qe_text){ (const char *)data, size }));
  else
    demand(qe_states_count(states) == 0 && bytes.size == 16);
  for (uint32_t row = 0; row < qe_states_count(states) && row < 4; row++)
    for (uint32_t tokens = 0; tokens < 4; tokens++)
      check_text(tape, states, row, tokens);
  qe_tape_free(tape);
  qe_states_free(states);
  return 0;
}
