/*
** loss.c - losses of two matrices of equal shape, one value per row. Those over columns are means of a function of
** two cells; its value and both slopes stand side by side, the loops are written once. Cross entropy and divergence
** keep log-softmaxes in node->extra and never take a logarithm of a small probability. A mean over no columns is 0.
*/
#include "rows.h"
#include "clones.h"
#include "transcendental.h"

#include <tgmath.h>

#define INLINE static inline __attribute__((always_inline))

static struct node *loss_node(const struct operation *operation, qe_tensor a, qe_tensor b) {
  struct node *inputs[2];
  if (!node_pair(a, b, inputs))
    return NULL;
  if (inputs[0]->rows == inputs[1]->rows && inputs[0]->cols == inputs[1]->cols)
    return node_new(a.tape, operation, inputs[0]->rows, 1, inputs, 2);
  tape_fail(a.tape, QE_USE, "%s: %zu x %zu and %zu x %zu differ in shape", operation->name, inputs[0]->rows,
            inputs[0]->cols, inputs[1]->rows, inputs[1]->cols);
  return NULL;
}

/* ---- means over columns ---- */

/* A value of the cells a and b and its slope by either; p is the constant in node->extra (delta), if any. */
#define MEAN_LOSS(name, value, slope_a, slope_b)                                                                   \
  VECTOR_CLONES                                                                                                    \
  static void name##_values(qe_real *restrict out, const qe_real *restrict first, const qe_real *restrict second,  \
                            size_t rows, size_t cols, qe_real p) {                                                 \
    (void)p;                                                                                                       \
    for (size_t i = 0; i < rows; i++, first += cols, second += cols) {                                             \
      double sum = 0;                                                                                              \
      for (size_t j = 0; j < cols; j++) {                                                                          \
        const qe_real a = first[j], b = second[j];                                                                 \
        sum += (double)(value);                                                                                    \
      }                                                                                                            \
      out[i] = cols > 0 ? (qe_real)(sum / (double)cols) : 0;                                                       \
    }                                                                                                              \
  }                                                                                                                \
  VECTOR_CLONES                                                                                                    \
  static void name##_slopes(qe_real *restrict in_g, const struct node *node, int side, qe_real p) {                \
    const qe_real *restrict first = node->input[0]->x, *restrict second = node->input[1]->x;                       \
    const size_t cols = node->input[0]->cols;                                                                      \
    (void)p;                                                                                                       \
    for (size_t i = 0; i < node->rows; i++, first += cols, second += cols, in_g += cols) {                         \
      const qe_real g = node->g[i] / (qe_real)(cols > 0 ? cols : 1);                                               \
      if (side == 0)                                                                                               \
        for (size_t j = 0; j < cols; j++) {                                                                        \
          const qe_real a = first[j], b = second[j];                                                               \
          (void)b;                                                                                                 \
          in_g[j] += g * (slope_a);                                                                                \
        }                                                                                                          \
      else                                                                                                         \
        for (size_t j = 0; j < cols; j++) {                                                                        \
          const qe_real a = first[j], b = second[j];                                                               \
          (void)b;                                                                                                 \
          in_g[j] += g * (slope_b);                                                                                \
        }                                                                                                          \
    }                                                                                                              \
  }                                                                                                                \
  static void name##_backward(struct node *node) {                                                                 \
    const qe_real p = node->extra ? *(const qe_real *)node->extra : 0;                                             \
    for (int side = 0; side < 2; side++) {                                                                         \
      qe_real *g = node_gradient(node->input[side]);                                                               \
      if (g)                                                                                                       \
        name##_slopes(g, node, side, p);                                                                           \
    }                                                                                                              \
  }                                                                                                                \
  static const struct operation name = { #name, name##_backward };

INLINE qe_real huber_value(qe_real difference, qe_real delta) {
  const qe_real size = difference < 0 ? -difference : difference;
  return size > delta ? delta * (size - delta / 2) : difference * difference / 2;
}

INLINE qe_real huber_slope(qe_real difference, qe_real delta) {
  return difference > delta ? delta : difference < -delta ? -delta : difference;
}

/* - b log s(a) - (1 - b) log (1 - s(a)), without logarithms of what may be 0. */
INLINE qe_real binary_value(qe_real logit, qe_real target) {
  const qe_real size = logit < 0 ? -logit : logit;
  return (logit > 0 ? logit : 0) - logit * target + log1p(real_exp(-size));
}

MEAN_LOSS(squared_error, (a - b) * (a - b), 2 * (a - b), 2 * (b - a))
MEAN_LOSS(huber, huber_value(a - b, p), huber_slope(a - b, p), huber_slope(b - a, p))
MEAN_LOSS(binary_cross_entropy, binary_value(a, b), real_sigmoid(a) - b, -a)

qe_tensor qe_squared_error(qe_tensor a, qe_tensor b) {
  struct node *node = loss_node(&squared_error, a, b);
  if (node)
    squared_error_values(node->x, node->input[0]->x, node->input[1]->x, node->rows, node->input[0]->cols, 0);
  return node_handle(node);
}

qe_tensor qe_huber(qe_tensor a, qe_tensor b, double delta) {
  struct node *node = loss_node(&huber, a, b);
  qe_real *kept = node ? tape_alloc(a.tape, 1, sizeof *kept) : NULL;
  if (!kept)
    return QE_NONE;
  if (!(delta > 0))
    return tape_fail(a.tape, QE_USE, "huber: delta %g is not positive", delta);
  node->extra = kept;
  *kept = (qe_real)delta;
  huber_values(node->x, node->input[0]->x, node->input[1]->x, node->rows, node->input[0]->cols, *kept);
  return node_handle(node);
}

qe_tensor qe_binary_cross_entropy(qe_tensor logits, qe_tensor target) {
  struct node *node = loss_node(&binary_cross_entropy, logits, target);
  if (node)
    binary_cross_entropy_values(node->x, node->input[0]->x, node->input[1]->x, node->rows, node->input[0]->cols, 0);
  return node_handle(node);
}

/* ---- cross_entropy; node->extra holds log softmax(logits) ---- */

VECTOR_CLONES
static void cross_entropy_slopes(qe_real *restrict in_g, const struct node *node, const qe_real *restrict log_p) {
  const qe_real *restrict target = node->input[1]->x;
  const size_t cols = node->input[0]->cols;
  for (size_t i = 0; i < node->rows; i++, in_g += cols, log_p += cols, target += cols) {
    const qe_real g = node->g[i], total = row_sum(target, cols);
    for (size_t j = 0; j < cols; j++)
      in_g[j] += g * (real_exp(log_p[j]) * total - target[j]);
  }
}

static void cross_entropy_backward(struct node *node) {
  const qe_real *log_p = node->extra;
  const size_t cols = node->input[0]->cols;
  qe_real *logits_g = node_gradient(node->input[0]), *target_g = node_gradient(node->input[1]);
  if (logits_g)
    cross_entropy_slopes(logits_g, node, log_p);
  for (size_t i = 0; target_g && i < node->rows; i++)
    for (size_t j = 0; j < cols; j++)
      target_g[i * cols + j] -= node->g[i] * log_p[i * cols + j];
}

static const struct operation cross_entropy = { "cross_entropy", cross_entropy_backward };

qe_tensor qe_cross_entropy(qe_tensor logits, qe_tensor target) {
  struct node *node = loss_node(&cross_entropy, logits, target);
  const size_t cols = node ? node->input[0]->cols : 0;
  qe_real *log_p = node ? tape_alloc(logits.tape, node->rows * cols, sizeof *log_p) : NULL;
  if (!log_p)
    return QE_NONE;
  node->extra = log_p;
  rows_log_softmax(log_p, node->input[0]->x, node->rows, cols, 1);
  for (size_t i = 0; i < node->rows; i++) {
    const qe_real *t = node->input[1]->x + i * cols;
    double sum = 0;
    for (size_t j = 0; j < cols; j++) /* a target of 0 may meet the logarithm of 0 */
      sum -= t[j] != 0 ? (double)t[j] * (double)log_p[i * cols + j] : 0;
    node->x[i] = (qe_real)sum;
  }
  return node_handle(node);
}

/* ---- kl; node->extra holds both log-softmaxes, p and 1 / temperature ---- */

struct divergence {
  qe_real inverse, *log_p, *log_q, *p;
};

/* p (log p - log q - KL) / T; where p is 0, its logarithm may be infinite. */
VECTOR_CLONES
static void kl_slopes_p(qe_real *restrict in_g, const struct node *node, const struct divergence *kept) {
  const qe_real *restrict p = kept->p, *restrict log_p = kept->log_p, *restrict log_q = kept->log_q;
  const size_t cols = node->input[0]->cols;
  for (size_t i = 0; i < node->rows; i++, in_g += cols, p += cols, log_p += cols, log_q += cols) {
    const qe_real g = node->g[i] * kept->inverse, value = node->x[i];
    for (size_t j = 0; j < cols; j++) {
      const qe_real slope = g * p[j] * (log_p[j] - log_q[j] - value);
      in_g[j] += p[j] != 0 ? slope : 0;
    }
  }
}

/* (q - p) / T. */
VECTOR_CLONES
static void kl_slopes_q(qe_real *restrict in_g, const struct node *node, const struct divergence *kept) {
  const qe_real *restrict p = kept->p, *restrict log_q = kept->log_q;
  const size_t cols = node->input[0]->cols;
  for (size_t i = 0; i < node->rows; i++, in_g += cols, p += cols, log_q += cols) {
    const qe_real g = node->g[i] * kept->inverse;
    for (size_t j = 0; j < cols; j++)
      in_g[j] += g * (real_exp(log_q[j]) - p[j]);
  }
}

static void kl_backward(struct node *node) {
  qe_real *p_g = node_gradient(node->input[0]), *q_g = node_gradient(node->input[1]);
  if (p_g)
    kl_slopes_p(p_g, node, node->extra);
  if (q_g)
    kl_slopes_q(q_g, node, node->extra);
}

static const struct operation kl = { "kl", kl_backward };

VECTOR_CLONES
static void kl_values(struct node *node, const struct divergence *kept) {
  const size_t cols = node->input[0]->cols;
  const qe_real *restrict log_p = kept->log_p;
  qe_real *restrict p = kept->p;
  for (size_t i = 0; i < node->rows * cols; i++)
    p[i] = real_exp(log_p[i]);
  for (size_t i = 0; i < node->rows; i++) {
    double sum = 0;
    for (size_t j = i * cols; j < (i + 1) * cols; j++)
      sum += p[j] != 0 ? (double)p[j] * (double)(log_p[j] - kept->log_q[j]) : 0;
    node->x[i] = (qe_real)sum;
  }
}

qe_tensor qe_kl(qe_tensor p_logits, qe_tensor q_logits, double temperature) {
  struct node *node = loss_node(&kl, p_logits, q_logits);
  struct divergence *kept = node ? tape_alloc(node->tape, 1, sizeof *kept) : NULL;
  if (!kept || !rows_temperature(node->tape, "kl", temperature, &kept->inverse))
    return QE_NONE;
  const size_t rows = node->rows, cols = node->input[0]->cols;
  kept->log_p = tape_alloc(node->tape, rows * cols, sizeof *kept->log_p);
  kept->log_q = tape_alloc(node->tape, rows * cols, sizeof *kept->log_q);
  kept->p = tape_alloc(node->tape, rows * cols, sizeof *kept->p);
  if (!kept->log_p || !kept->log_q || !kept->p)
    return QE_NONE;
  node->extra = kept;
  rows_log_softmax(kept->log_p, node->input[0]->x, rows, cols, kept->inverse);
  rows_log_softmax(kept->log_q, node->input[1]->x, rows, cols, kept->inverse);
  kl_values(node, kept);
  return node_handle(node);
}
