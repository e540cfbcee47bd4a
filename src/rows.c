/*
** rows.c - operations on each row by itself: softmax and its logarithm, scaling to norm 1, layer normalisation. What
** a row's backward needs beyond its values (norms, reciprocal deviations) is kept per row in node->extra. Softmaxes
** subtract the row's maximum first, so that nothing overflows. Reductions to one value per row are in reduce.c and
** loss.c.
*/
#include "rows.h"
#include "clones.h"
#include "transcendental.h"

/* ---- softmax, log_softmax; node->extra is 1 / temperature ---- */

bool rows_temperature(qe_tape *tape, const char *name, double temperature, qe_real *inverse) {
  *inverse = (qe_real)(1 / temperature);
  if (temperature > 0 && *inverse > 0 && isfinite(*inverse))
    return true;
  tape_fail(tape, QE_USE, "%s: temperature %g is not a positive number", name, temperature);
  return false;
}

static struct node *softmax_node(const struct operation *operation, qe_tensor a, double temperature) {
  struct node *input = node_of(a);
  qe_real *inverse = input ? tape_alloc(a.tape, 1, sizeof *inverse) : NULL;
  if (!inverse || !rows_temperature(a.tape, operation->name, temperature, inverse))
    return NULL;
  struct node *node = node_new(a.tape, operation, input->rows, input->cols, &input, 1);
  if (node)
    node->extra = inverse;
  return node;
}

VECTOR_CLONES
static void softmax_values(qe_real *restrict out, const qe_real *restrict x, size_t rows, size_t cols,
                           qe_real inverse) {
  for (size_t i = 0; cols > 0 && i < rows; i++, out += cols, x += cols) {
    const qe_real most = row_max(x, cols);
    for (size_t j = 0; j < cols; j++)
      out[j] = real_exp((x[j] - most) * inverse);
    const qe_real share = 1 / row_sum(out, cols);
    for (size_t j = 0; j < cols; j++)
      out[j] *= share;
  }
}

VECTOR_CLONES
static void softmax_slopes(qe_real *restrict in_g, const qe_real *restrict g, const qe_real *restrict y,
                           size_t rows, size_t cols, qe_real inverse) {
  for (size_t i = 0; i < rows; i++, in_g += cols, g += cols, y += cols) {
    const qe_real mean = row_dot(g, y, cols);
    for (size_t j = 0; j < cols; j++)
      in_g[j] += y[j] * (g[j] - mean) * inverse;
  }
}

static void softmax_backward(struct node *node) {
  qe_real *g = node_gradient(node->input[0]);
  if (g)
    softmax_slopes(g, node->g, node->x, node->rows, node->cols, *(const qe_real *)node->extra);
}

static const struct operation softmax = { "softmax", softmax_backward };

qe_tensor qe_softmax(qe_tensor a, double temperature) {
  struct node *node = softmax_node(&softmax, a, temperature);
  if (node)
    softmax_values(node->x, node->input[0]->x, node->rows, node->cols, *(const qe_real *)node->extra);
  return node_handle(node);
}

/* out holds the exponentials until their sum is known. */
VECTOR_CLONES
void rows_log_softmax(qe_real *restrict out, const qe_real *restrict x, size_t rows, size_t cols, qe_real inverse) {
  for (size_t i = 0; cols > 0 && i < rows; i++, out += cols, x += cols) {
    const qe_real most = row_max(x, cols);
    for (size_t j = 0; j < cols; j++)
      out[j] = real_exp((x[j] - most) * inverse);
    const qe_real shift = (qe_real)log((double)row_sum(out, cols));
    for (size_t j = 0; j < cols; j++)
      out[j] = (x[j] - most) * inverse - shift;
  }
}

VECTOR_CLONES
static void log_softmax_slopes(qe_real *restrict in_g, const qe_real *restrict g, const qe_real *restrict y,
                               size_t rows, size_t cols, qe_real inverse) {
  for (size_t i = 0; i < rows; i++, in_g += cols, g += cols, y += cols) {
    const qe_real total = row_sum(g, cols);
    for (size_t j = 0; j < cols; j++)
      in_g[j] += (g[j] - real_exp(y[j]) * total) * inverse;
  }
}

static void log_softmax_backward(struct node *node) {
  qe_real *g = node_gradient(node->input[0]);
  if (g)
    log_softmax_slopes(g, node->g, node->x, node->rows, node->cols, *(const qe_real *)node->extra);
}

static const struct operation log_softmax = { "log_softmax", log_softmax_backward };

qe_tensor qe_log_softmax(qe_tensor a, double temperature) {
  struct node *node = softmax_node(&log_softmax, a, temperature);
  if (node)
    rows_log_softmax(node->x, node->input[0]->x, node->rows, node->cols, *(const qe_real *)node->extra);
  return node_handle(node);
}

/* ---- unit; node->extra holds the reciprocal norms, 0 for zero rows (whose gradient is 0) ---- */

/* In double, where squares of floats neither overflow nor vanish. */
static double row_norm(const qe_real *x, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

static void unit_backward(struct node *node) {
  const double *inverse = node->extra;
  size_t cols = node->cols;
  qe_real *g = node_gradient(node->input[0]);
  for (size_t i = 0; g && i < node->rows; i++) {
    const qe_real *restrict y = node->x + i * cols, *restrict out_g = node->g + i * cols;
    qe_real *restrict in_g = g + i * cols;
    const qe_real along = row_dot(out_g, y, cols);
    for (size_t j = 0; j < cols; j++)
      in_g[j] += (qe_real)((double)(out_g[j] - y[j] * along) * inverse[i]);
  }
}

static const struct operation unit = { "unit", unit_backward };

qe_tensor qe_unit(qe_tensor a) {
  struct node *input = node_of(a);
  struct node *node = input ? node_new(a.tape, &unit, input->rows, input->cols, &input, 1) : NULL;
  double *inverse = node ? tape_alloc(a.tape, node->rows, sizeof *inverse) : NULL;
  if (!inverse)
    return QE_NONE;
  node->extra = inverse;
  for (size_t i = 0; i < node->rows; i++) {
    const qe_real *x = input->x + i * node->cols;
    const double norm = row_norm(x, node->cols);
    inverse[i] = norm == 0 ? 0 : 1 / norm;
    for (size_t j = 0; j < node->cols; j++)
      node->x[i * node->cols + j] = (qe_real)((double)x[j] * inverse[i]);
  }
  return node_handle(node);
}

/* ---- layer_norm; node->extra holds the normalised rows, then the reciprocal deviations ---- */

VECTOR_CLONES
static void normalise(qe_real *restrict out, qe_real *restrict inverse, const qe_real *restrict x, size_t rows,
                      size_t cols, double epsilon) {
  const qe_real share = 1 / (qe_real)cols;
  for (size_t i = 0; cols > 0 && i < rows; i++, out += cols, x += cols) {
    const qe_real mean = row_sum(x, cols) * share;
    for (size_t j = 0; j < cols; j++)
      out[j] = x[j] - mean;
    const qe_real variance = row_dot(out, out, cols) * share;
    inverse[i] = (qe_real)(1 / sqrt((double)variance + epsilon));
    for (size_t j = 0; j < cols; j++)
      out[j] *= inverse[i];
  }
}

VECTOR_CLONES
static void gain_and_bias(qe_real *restrict out, const qe_real *restrict normal, const qe_real *restrict gain,
                          const qe_real *restrict bias, size_t rows, size_t cols) {
  for (size_t i = 0; i < rows; i++, out += cols, normal += cols)
    for (size_t j = 0; j < cols; j++)
      out[j] = normal[j] * gain[j] + bias[j];
}

/* The normalised row z has z' = inverse (g - mean g - z mean(g z)) as its backward, g being the gradient times the
** gain, which is put in `work`. */
VECTOR_CLONES
static void normalise_slopes(qe_real *restrict in_g, const qe_real *restrict g, const qe_real *restrict normal,
                             const qe_real *restrict gain, const qe_real *restrict inverse, size_t rows,
                             size_t cols, qe_real *restrict work) {
  const qe_real share = 1 / (qe_real)cols;
  for (size_t i = 0; cols > 0 && i < rows; i++, in_g += cols, g += cols, normal += cols) {
    for (size_t j = 0; j < cols; j++)
      work[j] = g[j] * gain[j];
    const qe_real mean = row_sum(work, cols) * share, along = row_dot(work, normal, cols) * share;
    for (size_t j = 0; j < cols; j++)
      in_g[j] += inverse[i] * (work[j] - mean - normal[j] * along);
  }
}

static void layer_norm_backward(struct node *node) {
  size_t rows = node->rows, cols = node->cols;
  const qe_real *normal = node->extra, *inverse = normal + rows * cols;
  qe_real *g = node_gradient(node->input[0]), *gain_g = node_gradient(node->input[1]);
  qe_real *bias_g = node_gradient(node->input[2]), *work = g ? tape_alloc(node->tape, cols, sizeof *work) : NULL;
  if (work)
    normalise_slopes(g, node->g, normal, node->input[1]->x, inverse, rows, cols, work);
  for (size_t i = 0; gain_g && i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      gain_g[j] += node->g[i * cols + j] * normal[i * cols + j];
  for (size_t i = 0; bias_g && i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      bias_g[j] += node->g[i * cols + j];
}

static const struct operation layer_norm = { "layer_norm", layer_norm_backward };

qe_tensor qe_layer_norm(qe_tensor a, qe_tensor gain, qe_tensor bias, double epsilon) {
  struct node *pair[2], *inputs[3];
  if (!node_pair(a, gain, pair) || !node_pair(a, bias, inputs))
    return QE_NONE;
  inputs[2] = inputs[1];
  inputs[1] = pair[1];
  for (int i = 1; i < 3; i++)
    if (inputs[i]->rows != 1 || inputs[i]->cols != inputs[0]->cols)
      return tape_fail(a.tape, QE_USE, "layer_norm: %s is %zu x %zu, expected 1 x %zu", i == 1 ? "gain" : "bias",
                       inputs[i]->rows, inputs[i]->cols, inputs[0]->cols);
  if (!(epsilon > 0))
    return tape_fail(a.tape, QE_USE, "layer_norm: epsilon %g is not positive", epsilon);
  struct node *node = node_new(a.tape, &layer_norm, inputs[0]->rows, inputs[0]->cols, inputs, 3);
  size_t cells = node ? node->rows * node->cols : 0;
  qe_real *normal = node ? tape_alloc(a.tape, cells + node->rows, sizeof *normal) : NULL;
  if (!normal)
    return QE_NONE;
  node->extra = normal;
  normalise(normal, normal + cells, inputs[0]->x, node->rows, node->cols, epsilon);
  gain_and_bias(node->x, normal, inputs[1]->x, inputs[2]->x, node->rows, node->cols);
  return node_handle(node);
}
