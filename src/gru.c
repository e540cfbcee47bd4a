/*
** gru.c - the gated recurrent unit over packed sentences as one operation. Sentences are sorted by falling length and
** their rows put in order of time: step t has the rows start[t] .. start[t] + alive[t] - 1, one per sentence that
** still lives, and these sentences are the first alive[t] of step t - 1. So every step is one dense product with no
** padding, and everything that does not depend on the step before is one product over all rows. Backward overwrites
** what forward kept by the gradients of the same place. Nothing here depends on threads; no bidirectional logic.
*/
#include "core.h"
#include "clones.h"
#include "transcendental.h"

/* The order of time. Arrays live in the arena. */
struct schedule {
  size_t rows, steps, most; /* most = alive[0] */
  uint32_t *alive;          /* steps + 1, the last 0 */
  uint32_t *start;          /* steps */
  uint32_t *row;            /* place in the order of time -> row of the packed matrix */
};

/* What forward keeps, all in the order of time. */
struct gru {
  struct schedule schedule;
  size_t inputs, hidden;
  qe_real *x;     /* rows x inputs */
  qe_real *gates; /* rows x 3 hidden: r z n; later the gradients of x W */
  qe_real *inner; /* rows x 3 hidden: h U, its n part with the bias; later its gradients */
  qe_real *h;     /* (most + rows) x hidden: zeros before the first step, then the steps */
};

/* ---- the order of time ---- */

static size_t segments_longest(qe_segments segments) {
  size_t longest = 0;
  for (uint32_t i = 0; i < segments.count; i++) {
    size_t length = segments.offset[i + 1] - segments.offset[i];
    longest = length > longest ? length : longest;
  }
  return longest;
}

/* alive[t] = number of sentences longer than t, which is also where those of length t begin in the sorted order. */
static void schedule_count(struct schedule *schedule, qe_segments segments) {
  memset(schedule->alive, 0, (schedule->steps + 1) * sizeof *schedule->alive);
  for (uint32_t i = 0; i < segments.count; i++) {
    uint32_t length = segments.offset[i + 1] - segments.offset[i];
    if (length > 0)
      schedule->alive[length - 1]++;
  }
  for (size_t t = schedule->steps; t-- > 0;)
    schedule->alive[t] += schedule->alive[t + 1];
  uint32_t start = 0;
  for (size_t t = 0; t < schedule->steps; t++) {
    schedule->start[t] = start;
    start += schedule->alive[t];
  }
  schedule->most = schedule->alive[0];
}

/* `next` is work space, a copy of alive. */
static void schedule_place(struct schedule *schedule, qe_segments segments, bool reversed, uint32_t *next) {
  memcpy(next, schedule->alive, (schedule->steps + 1) * sizeof *next);
  for (uint32_t i = 0; i < segments.count; i++) {
    uint32_t first = segments.offset[i], length = segments.offset[i + 1] - first;
    if (length == 0)
      continue;
    uint32_t sentence = next[length]++;
    for (uint32_t t = 0; t < length; t++)
      schedule->row[schedule->start[t] + sentence] = first + (reversed ? length - 1 - t : t);
  }
}

static bool schedule_make(struct schedule *schedule, qe_tape *tape, qe_segments segments, bool reversed) {
  schedule->rows = segments.offset[segments.count];
  schedule->steps = segments_longest(segments);
  schedule->alive = tape_alloc(tape, schedule->steps + 1, sizeof *schedule->alive);
  schedule->start = tape_alloc(tape, schedule->steps, sizeof *schedule->start);
  schedule->row = tape_alloc(tape, schedule->rows, sizeof *schedule->row);
  uint32_t *next = tape_alloc(tape, schedule->steps + 1, sizeof *next);
  if (!schedule->alive || !schedule->start || !schedule->row || !next)
    return false;
  schedule_count(schedule, segments);
  schedule_place(schedule, segments, reversed, next);
  return true;
}

/* Where the states before step t begin, in rows of gru.h. Those of step t begin at most + start[t]. */
static size_t schedule_before(const struct schedule *schedule, size_t t) {
  return t == 0 ? 0 : schedule->most + schedule->start[t - 1];
}

static void rows_gather(qe_real *to, const qe_real *from, const uint32_t *row, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++)
    memcpy(to + i * cols, from + row[i] * cols, cols * sizeof *to);
}

static void rows_scatter(qe_real *to, const qe_real *from, const uint32_t *row, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++)
    memcpy(to + row[i] * cols, from + i * cols, cols * sizeof *to);
}

/* ---- forward ---- */

VECTOR_CLONES
static void gates_forward(size_t rows, size_t h, qe_real *restrict gates, qe_real *restrict inner,
                          const qe_real *restrict before, qe_real *restrict after,
                          const qe_real *restrict input_bias, const qe_real *restrict hidden_bias) {
  for (size_t i = 0; i < rows; i++, gates += 3 * h, inner += 3 * h, before += h, after += h) {
    for (size_t j = 0; j < 2 * h; j++)
      gates[j] = real_sigmoid(gates[j] + input_bias[j] + inner[j] + hidden_bias[j]);
    for (size_t j = 0; j < h; j++) {
      qe_real recurrent = inner[2 * h + j] + hidden_bias[2 * h + j];
      qe_real n = real_tanh(gates[2 * h + j] + input_bias[2 * h + j] + gates[j] * recurrent);
      inner[2 * h + j] = recurrent;
      gates[2 * h + j] = n;
      after[j] = n + gates[h + j] * (before[j] - n);
    }
  }
}

static void gru_forward(struct gru *gru, struct node *const inputs[]) {
  const struct schedule *schedule = &gru->schedule;
  size_t h = gru->hidden, wide = 3 * h;
  rows_gather(gru->x, inputs[0]->x, schedule->row, schedule->rows, gru->inputs);
  blas_gemm(QE_NN, schedule->rows, wide, gru->inputs, 1, gru->x, gru->inputs, inputs[1]->x, wide, 0, gru->gates,
            wide);
  memset(gru->h, 0, schedule->most * h * sizeof *gru->h);
  memset(gru->inner, 0, schedule->most * wide * sizeof *gru->inner);
  for (size_t t = 0; t < schedule->steps; t++) {
    size_t start = schedule->start[t], alive = schedule->alive[t];
    const qe_real *before = gru->h + schedule_before(schedule, t) * h;
    if (t > 0)
      blas_gemm(QE_NN, alive, wide, h, 1, before, h, inputs[2]->x, wide, 0, gru->inner + start * wide, wide);
    gates_forward(alive, h, gru->gates + start * wide, gru->inner + start * wide, before,
                  gru->h + (schedule->most + start) * h, inputs[3]->x, inputs[4]->x);
  }
}

/* ---- backward ---- */

/* dh: gradients of this step's states; before_g: where those of the states before it are summed. */
VECTOR_CLONES
static void gates_backward(size_t rows, size_t h, qe_real *restrict gates, qe_real *restrict inner,
                           const qe_real *restrict before, const qe_real *restrict dh, qe_real *restrict before_g) {
  for (size_t i = 0; i < rows; i++, gates += 3 * h, inner += 3 * h, before += h, dh += h, before_g += h)
    for (size_t j = 0; j < h; j++) {
      qe_real r = gates[j], z = gates[h + j], n = gates[2 * h + j], recurrent = inner[2 * h + j];
      qe_real dn = dh[j] * (1 - z) * (1 - n * n);
      qe_real dz = dh[j] * (before[j] - n) * z * (1 - z);
      qe_real dr = dn * recurrent * r * (1 - r);
      gates[j] = inner[j] = dr;
      gates[h + j] = inner[h + j] = dz;
      gates[2 * h + j] = dn;
      inner[2 * h + j] = dn * r;
      before_g[j] += dh[j] * z;
    }
}

/* The steps from the last to the first: afterwards gates and inner hold gradients. `g` is laid out like gru.h. */
static void steps_backward(struct gru *gru, const qe_real *hidden_weight, qe_real *g) {
  const struct schedule *schedule = &gru->schedule;
  size_t h = gru->hidden, wide = 3 * h;
  for (size_t t = schedule->steps; t-- > 0;) {
    size_t start = schedule->start[t], alive = schedule->alive[t], before = schedule_before(schedule, t) * h;
    qe_real *inner = gru->inner + start * wide;
    gates_backward(alive, h, gru->gates + start * wide, inner, gru->h + before, g + (schedule->most + start) * h,
                   g + before);
    if (t > 0)
      blas_gemm(QE_NT, alive, h, wide, 1, inner, wide, hidden_weight, wide, 1, g + before, h);
  }
}

static void column_sums(qe_real *restrict sums, const qe_real *restrict a, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      sums[j] += a[i * cols + j];
}

/* The states before each row side by side with the gradients of inner; the first step's are zero and left out. */
static void hidden_weight_backward(const struct gru *gru, qe_real *weight_g, qe_real *work) {
  const struct schedule *schedule = &gru->schedule;
  size_t h = gru->hidden, wide = 3 * h, rest = schedule->rows - schedule->most;
  for (size_t t = 1; t < schedule->steps; t++)
    memcpy(work + (schedule->start[t] - schedule->most) * h, gru->h + schedule_before(schedule, t) * h,
           schedule->alive[t] * h * sizeof *work);
  if (rest > 0)
    blas_gemm(QE_TN, h, wide, rest, 1, work, h, gru->inner + schedule->most * wide, wide, 1, weight_g, wide);
}

static void x_backward(const struct gru *gru, const qe_real *input_weight, qe_real *x_g, qe_real *work) {
  const struct schedule *schedule = &gru->schedule;
  blas_gemm(QE_NT, schedule->rows, gru->inputs, 3 * gru->hidden, 1, gru->gates, 3 * gru->hidden, input_weight,
            3 * gru->hidden, 0, work, gru->inputs);
  for (size_t i = 0; i < schedule->rows; i++)
    for (size_t j = 0; j < gru->inputs; j++)
      x_g[schedule->row[i] * gru->inputs + j] += work[i * gru->inputs + j];
}

static void gru_backward(struct node *node) {
  struct gru *gru = node->extra;
  const struct schedule *schedule = &gru->schedule;
  size_t rows = schedule->rows, h = gru->hidden, wide = 3 * h;
  qe_real *input_g[NODE_INPUTS];
  for (int i = 0; i < NODE_INPUTS; i++)
    input_g[i] = node_gradient(node->input[i]);
  if (rows == 0 || h == 0)
    return;
  qe_real *g = tape_alloc(node->tape, schedule->most + rows, h * sizeof *g);
  qe_real *work = tape_alloc(node->tape, rows, (gru->inputs > h ? gru->inputs : h) * sizeof *work);
  if (!g || !work)
    return;
  memset(g, 0, schedule->most * h * sizeof *g);
  rows_gather(g + schedule->most * h, node->g, schedule->row, rows, h);
  steps_backward(gru, node->input[2]->x, g);
  if (input_g[0])
    x_backward(gru, node->input[1]->x, input_g[0], work);
  if (input_g[1])
    blas_gemm(QE_TN, gru->inputs, wide, rows, 1, gru->x, gru->inputs, gru->gates, wide, 1, input_g[1], wide);
  if (input_g[2])
    hidden_weight_backward(gru, input_g[2], work);
  if (input_g[3])
    column_sums(input_g[3], gru->gates, rows, wide);
  if (input_g[4])
    column_sums(input_g[4], gru->inner, rows, wide);
}

static const struct operation gru_operation = { "gru", gru_backward };

/* ---- entry ---- */

static bool shapes_fit(qe_tape *tape, struct node *const inputs[]) {
  static const char *const names[] = { "x", "input weight", "hidden weight", "input bias", "hidden bias" };
  size_t h = inputs[2]->rows;
  size_t rows[] = { inputs[0]->rows, inputs[0]->cols, h, 1, 1 };
  for (int i = 1; i < NODE_INPUTS; i++)
    if (inputs[i]->rows != rows[i] || inputs[i]->cols != 3 * h) {
      tape_fail(tape, QE_USE, "gru: %s is %zu x %zu, expected %zu x %zu", names[i], inputs[i]->rows,
                inputs[i]->cols, rows[i], 3 * h);
      return false;
    }
  return true;
}

static struct gru *gru_new(qe_tape *tape, size_t inputs, size_t hidden, qe_segments segments, bool reversed) {
  struct gru *gru = tape_alloc(tape, 1, sizeof *gru);
  if (!gru || !schedule_make(&gru->schedule, tape, segments, reversed))
    return NULL;
  size_t rows = gru->schedule.rows;
  gru->inputs = inputs;
  gru->hidden = hidden;
  gru->x = tape_alloc(tape, rows, inputs * sizeof *gru->x);
  gru->gates = tape_alloc(tape, rows, 3 * hidden * sizeof *gru->gates);
  gru->inner = tape_alloc(tape, rows, 3 * hidden * sizeof *gru->inner);
  gru->h = tape_alloc(tape, gru->schedule.most + rows, hidden * sizeof *gru->h);
  return gru->x && gru->gates && gru->inner && gru->h ? gru : NULL;
}

qe_tensor qe_gru(qe_tensor x, qe_tensor input_weight, qe_tensor hidden_weight, qe_tensor input_bias,
                 qe_tensor hidden_bias, qe_segments segments, int reversed) {
  qe_tensor tensors[NODE_INPUTS] = { x, input_weight, hidden_weight, input_bias, hidden_bias };
  struct node *inputs[NODE_INPUTS];
  for (int i = 0; i < NODE_INPUTS; i++) {
    struct node *pair[2];
    if (!node_pair(x, tensors[i], pair))
      return QE_NONE;
    inputs[i] = pair[1];
  }
  qe_tape *tape = inputs[0]->tape;
  if (!shapes_fit(tape, inputs) || !segments_fit(tape, "gru", segments, inputs[0]->rows))
    return QE_NONE;
  struct node *node = node_new(tape, &gru_operation, inputs[0]->rows, inputs[2]->rows, inputs, NODE_INPUTS);
  struct gru *gru = node ? gru_new(tape, inputs[0]->cols, inputs[2]->rows, segments, reversed != 0) : NULL;
  if (!gru)
    return QE_NONE;
  node->extra = gru;
  if (gru->schedule.rows > 0 && gru->hidden > 0) {
    gru_forward(gru, inputs);
    rows_scatter(node->x, gru->h + gru->schedule.most * gru->hidden, gru->schedule.row, gru->schedule.rows,
                 gru->hidden);
  }
  return node_handle(node);
}
