/*
** kernel.c - the arithmetic of scoring in plain C, compiled once per kind of CPU (KERNEL_ISA). Each result is one
** chain of fused multiply-adds over ascending k (or KERNEL_LANES chains, joined in a fixed tree), written so that
** neighbouring results fill vector registers. The width of the registers decides how many chains run side by side,
** never their order: all translations give the same bits, for any number of rows.
*/
#define TRANSCENDENTAL_NO_LIBM
#include "kernel.h"
#include "transcendental.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR       __m512
#define VECTOR_LOAD  _mm512_loadu_ps
#define VECTOR_STORE _mm512_storeu_ps
#define VECTOR_FILL  _mm512_set1_ps
#define VECTOR_FUSED _mm512_fmadd_ps
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VECTOR       __m256
#define VECTOR_LOAD  _mm256_loadu_ps
#define VECTOR_STORE _mm256_storeu_ps
#define VECTOR_FILL  _mm256_set1_ps
#define VECTOR_FUSED _mm256_fmadd_ps
#endif

#define KERNEL_PASTE(a, b) a##b
#define KERNEL_SYMBOL(isa) KERNEL_PASTE(kernel_, isa)
#define KERNEL_QUOTE(isa)  #isa
#define KERNEL_TEXT(isa)   KERNEL_QUOTE(isa)
#define ALWAYS_INLINE      static inline __attribute__((always_inline))

/* Tiles that fit the registers: one row of WIDE columns, or TILE_ROWS rows of TILE_COLS; PANEL_ROWS rows of a panel,
** and of what is left SOME_ROWS, then FEW_ROWS. */
#if defined(__AVX512F__)
enum { WIDE = 160, TILE_ROWS = 4, TILE_COLS = 64, PANEL_ROWS = 14, SOME_ROWS = 8, FEW_ROWS = 4 };
#elif defined(VECTOR)
enum { WIDE = 96, TILE_ROWS = 3, TILE_COLS = 32, PANEL_ROWS = 6, SOME_ROWS = 4, FEW_ROWS = 3 };
#else
enum { WIDE = 96, TILE_ROWS = 3, TILE_COLS = 32, PANEL_ROWS = 3, SOME_ROWS = 2, FEW_ROWS = 2 };
#endif

extern const struct kernel KERNEL_SYMBOL(KERNEL_ISA);

static size_t padded(size_t count) {
  return (count + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}

/* rows and width are constants wherever this is expanded, so that sum[][] lives in registers. */
ALWAYS_INLINE void tile(size_t rows, size_t width, size_t depth, const float *restrict in, size_t in_stride,
                        const float *restrict weight, size_t cols, const float *restrict bias,
                        float *restrict out) {
  float sum[TILE_ROWS][WIDE];
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < width; j++)
      sum[i][j] = bias[j];
  for (size_t k = 0; k < depth; k++, weight += cols)
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < width; j++)
        sum[i][j] = fused(in[i * in_stride + k], weight[j], sum[i][j]);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < width; j++)
      out[i * cols + j] = sum[i][j];
}

static void row_product(size_t depth, size_t cols, const float *in, const float *weight, const float *bias,
                        float *out) {
  size_t j = 0;
  for (; j + WIDE <= cols; j += WIDE)
    tile(1, WIDE, depth, in, 0, weight + j, cols, bias + j, out + j);
  for (; j + 64 <= cols; j += 64)
    tile(1, 64, depth, in, 0, weight + j, cols, bias + j, out + j);
  for (; j < cols; j += KERNEL_LANES)
    tile(1, KERNEL_LANES, depth, in, 0, weight + j, cols, bias + j, out + j);
}

static void affine(size_t rows, size_t depth, size_t cols, const float *in, size_t in_stride, const float *weight,
                   const float *bias, float *out) {
  for (; rows >= TILE_ROWS; rows -= TILE_ROWS, in += TILE_ROWS * in_stride, out += TILE_ROWS * cols) {
    size_t j = 0;
    for (; j + TILE_COLS <= cols; j += TILE_COLS)
      tile(TILE_ROWS, TILE_COLS, depth, in, in_stride, weight + j, cols, bias + j, out + j);
    for (; j < cols; j += KERNEL_LANES)
      tile(TILE_ROWS, KERNEL_LANES, depth, in, in_stride, weight + j, cols, bias + j, out + j);
  }
  for (; rows > 0; rows--, in += in_stride, out += cols)
    row_product(depth, cols, in, weight, bias, out);
}

/* As `tile`, of one panel, of which the first `lanes` columns count; rows and lanes are constants wherever this is
** expanded. */
#ifdef VECTOR
/* By hand: compilers give up on sums that fill nearly all registers. Two vectors of columns at a time, or one. */
ALWAYS_INLINE void panel_tile(size_t rows, size_t lanes, size_t depth, const float *restrict in, size_t in_stride,
                              const float *restrict panel, const float *restrict bias, float *restrict out,
                              size_t out_stride) {
  enum { LANES = sizeof(VECTOR) / sizeof(float) };
  const bool two = lanes > LANES;
  for (size_t j = 0; j < lanes; j += two ? 2 * LANES : LANES) {
    VECTOR sum[PANEL_ROWS][2];
#pragma GCC unroll 14
    for (size_t i = 0; i < rows; i++) {
      sum[i][0] = VECTOR_LOAD(bias + j);
      if (two)
        sum[i][1] = VECTOR_LOAD(bias + j + LANES);
    }
    for (size_t k = 0; k < depth; k++) {
      const VECTOR low = VECTOR_LOAD(panel + k * KERNEL_LANES + j);
      const VECTOR high = two ? VECTOR_LOAD(panel + k * KERNEL_LANES + j + LANES) : low;
#pragma GCC unroll 14
      for (size_t i = 0; i < rows; i++) {
        const VECTOR x = VECTOR_FILL(in[i * in_stride + k]);
        sum[i][0] = VECTOR_FUSED(x, low, sum[i][0]);
        if (two)
          sum[i][1] = VECTOR_FUSED(x, high, sum[i][1]);
      }
    }
#pragma GCC unroll 14
    for (size_t i = 0; i < rows; i++) {
      VECTOR_STORE(out + i * out_stride + j, sum[i][0]);
      if (two)
        VECTOR_STORE(out + i * out_stride + j + LANES, sum[i][1]);
    }
  }
}
#else
ALWAYS_INLINE void panel_tile(size_t rows, size_t lanes, size_t depth, const float *restrict in, size_t in_stride,
                              const float *restrict panel, const float *restrict bias, float *restrict out,
                              size_t out_stride) {
  float sum[PANEL_ROWS][KERNEL_LANES];
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < lanes; j++)
      sum[i][j] = bias[j];
  for (size_t k = 0; k < depth; k++, panel += KERNEL_LANES)
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < lanes; j++)
        sum[i][j] = fused(in[i * in_stride + k], panel[j], sum[i][j]);
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < lanes; j++)
      out[i * out_stride + j] = sum[i][j];
}
#endif

/* The last tile reaches back over rows that another has computed already: the same bits, and no slow single rows. */
ALWAYS_INLINE void panel_rows(size_t rows, size_t lanes, size_t depth, const float *in, size_t in_stride,
                              const float *panel, const float *bias, float *out, size_t out_stride) {
  size_t i = 0;
#define TILE(rows)                                                                                                 \
  panel_tile(rows, lanes, depth, in + i * in_stride, in_stride, panel, bias, out + i * out_stride, out_stride)
  for (; i + PANEL_ROWS <= rows; i += PANEL_ROWS)
    TILE(PANEL_ROWS);
  for (; i + SOME_ROWS <= rows; i += SOME_ROWS)
    TILE(SOME_ROWS);
  for (; i + FEW_ROWS <= rows; i += FEW_ROWS)
    TILE(FEW_ROWS);
  if (i < rows && rows >= FEW_ROWS) {
    i = rows - FEW_ROWS;
    TILE(FEW_ROWS);
    return;
  }
  for (; i < rows; i++)
    TILE(1);
#undef TILE
}

/* Strides that are known here leave registers to sums that addresses would need. */
ALWAYS_INLINE void panel_strides(size_t rows, size_t lanes, size_t depth, const float *in, size_t in_stride,
                                 const float *panel, const float *bias, float *out, size_t out_stride) {
  switch (in_stride) {
#ifdef VECTOR
#define KNOWN(stride)                                                                                              \
  case stride:                                                                                                     \
    panel_rows(rows, lanes, depth, in, stride, panel, bias, out, out_stride);                                      \
    break;
    KERNEL_STRIDES(KNOWN)
#undef KNOWN
#endif
  default:
    panel_rows(rows, lanes, depth, in, in_stride, panel, bias, out, out_stride);
  }
}

static void panel_pass(size_t rows, size_t depth, const float *in, size_t in_stride, const float *panel,
                       const float *bias, float *out, size_t out_stride) {
  panel_strides(rows, KERNEL_LANES, depth, in, in_stride, panel, bias, out, out_stride);
}

static void half_pass(size_t rows, size_t depth, const float *in, size_t in_stride, const float *panel,
                      const float *bias, float *out, size_t out_stride) {
  panel_strides(rows, KERNEL_LANES / 2, depth, in, in_stride, panel, bias, out, out_stride);
}

/* Panel by panel, so that one stays in a near cache while all rows pass it. */
static void product(size_t rows, size_t depth, size_t cols, const float *in, size_t in_stride, const float *panels,
                    const float *bias, float *out, size_t out_stride) {
  for (size_t j = 0; j < cols; j += KERNEL_LANES, panels += depth * KERNEL_LANES)
    if (cols - j > KERNEL_LANES / 2)
      panel_pass(rows, depth, in, in_stride, panels, bias + j, out + j, out_stride);
    else
      half_pass(rows, depth, in, in_stride, panels, bias + j, out + j, out_stride);
}

/* While the columns of a panel are near. */
static void product_gelu(size_t rows, size_t depth, size_t cols, const float *in, size_t in_stride,
                         const float *panels, const float *bias, float *out, size_t out_stride) {
  for (size_t j = 0; j < cols; j += KERNEL_LANES, panels += depth * KERNEL_LANES) {
    panel_pass(rows, depth, in, in_stride, panels, bias + j, out + j, out_stride);
    for (size_t i = 0; i < rows; i++) {
      float *restrict x = out + i * out_stride + j;
      for (size_t k = 0; k < KERNEL_LANES; k++)
        x[k] *= normal_cdf_float(x[k]);
    }
  }
}

/* Columns first: their sums stay in registers while rows come by. */
ALWAYS_INLINE void mean_columns(size_t columns, const float *restrict table, size_t width,
                                const uint32_t *restrict ids, size_t count, float share, float *restrict out) {
  float sum[KERNEL_LANES] = { 0 };
  for (size_t i = 0; i < count; i++) {
    const float *restrict row = table + ids[i] * width;
    for (size_t j = 0; j < columns; j++)
      sum[j] += row[j];
  }
  for (size_t j = 0; j < columns; j++)
    out[j] = sum[j] * share;
}

static void mean(const float *restrict table, size_t width, const uint32_t *restrict ids, size_t count,
                 float *restrict out) {
  const float share = count > 0 ? 1.0f / (float)count : 0.0f;
  size_t j = 0;
  for (; j + KERNEL_LANES <= width; j += KERNEL_LANES)
    mean_columns(KERNEL_LANES, table + j, width, ids, count, share, out + j);
  mean_columns(width - j, table + j, width, ids, count, share, out + j);
}

/* Whole vectors throughout; what lies behind column `hidden` is computed too and then replaced by zeros. */
static void gru_gates(const struct kernel_gru *gru, const float *restrict input, const float *restrict before,
                      float *restrict after, const float *restrict inner, float *restrict gates) {
  size_t h = gru->hidden, both = padded(2 * h), lanes = padded(h);
  for (size_t j = 0; j < both; j++)
    gates[j] = sigmoid_float(input[j] + inner[j]);
  for (size_t j = 0; j < lanes; j++) {
    float n = tanh_float(fused(gates[j], inner[2 * h + j], input[2 * h + j]));
    after[j] = fused(gates[h + j], before[j] - n, n);
  }
  for (size_t j = h; j < lanes; j++)
    after[j] = 0.0f;
}

static void gru_direction(const struct kernel_gru *gru, size_t tokens, const float *const *input, bool reversed,
                          float *states, size_t stride, const float *before, float *inner, float *gates) {
  for (size_t i = 0; i < tokens; i++) {
    size_t t = reversed ? tokens - 1 - i : i;
    float *after = states + t * stride;
    row_product(gru->hidden, gru->cols, before, gru->weight, gru->bias, inner);
    gru_gates(gru, input[t], before, after, inner, gates);
    before = after;
  }
}

static void gru_rows(const struct kernel_gru *gru, size_t rows, const float *const *input, const float *before,
                     float *after, float *inner, float *gates) {
  const size_t lanes = padded(gru->hidden);
  affine(rows, gru->hidden, gru->cols, before, lanes, gru->weight, gru->bias, inner);
  for (size_t i = 0; i < rows; i++)
    gru_gates(gru, input[i], before + i * lanes, after + i * lanes, inner + i * gru->cols, gates);
}

static float lanes_sum(float sum[KERNEL_LANES]) {
  for (size_t half = KERNEL_LANES / 2; half > 0; half /= 2)
    for (size_t j = 0; j < half; j++)
      sum[j] += sum[j + half];
  return sum[0];
}

static float dot(size_t width, const float *restrict x, const float *restrict y) {
  float sum[KERNEL_LANES] = { 0 };
  for (size_t k = 0; k < width; k += KERNEL_LANES)
    for (size_t j = 0; j < KERNEL_LANES; j++)
      sum[j] = fused(x[k + j], y[k + j], sum[j]);
  return lanes_sum(sum);
}

/* Sum of x, and of squares of x - mean; what lies behind column width is left out. */
static float row_sum(size_t width, const float *restrict x) {
  float sum[KERNEL_LANES] = { 0 };
  size_t k = 0;
  for (; k + KERNEL_LANES <= width; k += KERNEL_LANES)
    for (size_t j = 0; j < KERNEL_LANES; j++)
      sum[j] += x[k + j];
  for (size_t j = 0; k + j < width; j++)
    sum[j] += x[k + j];
  return lanes_sum(sum);
}

static float row_variation(size_t width, const float *restrict x, float mean) {
  float sum[KERNEL_LANES] = { 0 };
  size_t k = 0;
  for (; k + KERNEL_LANES <= width; k += KERNEL_LANES)
    for (size_t j = 0; j < KERNEL_LANES; j++)
      sum[j] = fused(x[k + j] - mean, x[k + j] - mean, sum[j]);
  for (size_t j = 0; k + j < width; j++)
    sum[j] = fused(x[k + j] - mean, x[k + j] - mean, sum[j]);
  return lanes_sum(sum);
}

static void norm(size_t rows, size_t width, float *restrict x, size_t stride, const float *restrict y,
                 size_t y_stride, const float *restrict gain, const float *restrict bias, float epsilon) {
  const size_t wide = padded(width);
  for (size_t i = 0; i < rows; i++, x += stride, y = y ? y + y_stride : y) {
    for (size_t j = 0; y && j < wide; j++)
      x[j] += y[j];
    const float center = row_sum(width, x) / (float)width;
    const float scale = 1.0f / __builtin_sqrtf(row_variation(width, x, center) / (float)width + epsilon);
    for (size_t j = 0; j < wide; j++) /* gain and bias end in zeros */
      x[j] = fused((x[j] - center) * scale, gain[j], bias[j]);
  }
}

static void logarithms(size_t count, float *restrict x) {
  for (size_t i = 0; i < count; i++)
    x[i] = log_float(x[i]);
}

static void hyperbolic_tangent(size_t count, float *restrict x) {
  for (size_t i = 0; i < count; i++)
    x[i] = tanh_float(x[i]);
}

static float lanes_max(float most[KERNEL_LANES]) {
  for (size_t half = KERNEL_LANES / 2; half > 0; half /= 2)
    for (size_t j = 0; j < half; j++)
      most[j] = most[j] > most[j + half] ? most[j] : most[j + half];
  return most[0];
}

static void softmax(size_t count, float scale, float *restrict x) {
  const size_t room = padded(count);
  float lanes[KERNEL_LANES];
  for (size_t j = count; j < room; j++)
    x[j] = x[0];
  for (size_t j = 0; j < KERNEL_LANES; j++)
    lanes[j] = x[j];
  for (size_t k = KERNEL_LANES; k < room; k += KERNEL_LANES)
    for (size_t j = 0; j < KERNEL_LANES; j++)
      lanes[j] = lanes[j] > x[k + j] ? lanes[j] : x[k + j];
  const float most = lanes_max(lanes);
  for (size_t j = 0; j < room; j++)
    x[j] = exp_float((x[j] - most) * scale);
  for (size_t j = count; j < room; j++)
    x[j] = 0.0f;
  const float share = 1.0f / row_sum(room, x);
  for (size_t j = 0; j < room; j++)
    x[j] *= share;
}

static void direction(size_t width, const float *restrict x, const float *restrict center, float *restrict out) {
  for (size_t j = 0; j < width; j++)
    out[j] = x[j] - center[j];
  const float size = __builtin_sqrtf(dot(width, out, out));
  const float scale = size > 0.0f ? 1.0f / size : 0.0f;
  for (size_t j = 0; j < width; j++)
    out[j] *= scale;
}

/* Leaves exp(x - maximum) in x and returns their sum. */
static float exponentials(size_t count, float *x) {
  float most = x[0], sum = 0.0f;
  for (size_t i = 1; i < count; i++)
    most = x[i] > most ? x[i] : most;
  for (size_t i = 0; i < count; i++)
    x[i] = exp_float(x[i] - most);
  for (size_t i = 0; i < count; i++)
    sum += x[i];
  return sum;
}

static void attend(size_t tokens, size_t width, const float *restrict states, const float *restrict context,
                   float *restrict weights, float *restrict pooled) {
  for (size_t t = 0; t < tokens; t++)
    weights[t] = dot(width, states + t * width, context);
  float sum = exponentials(tokens, weights);
  memset(pooled, 0, width * sizeof *pooled);
  for (size_t t = 0; t < tokens; t++) {
    float weight = weights[t] / sum;
    for (size_t j = 0; j < width; j++)
      pooled[j] = fused(weight, states[t * width + j], pooled[j]);
  }
}

static float score(size_t bins, float *logits) {
  if (bins == 0)
    return sigmoid_float(logits[0]);
  float sum = exponentials(bins, logits), expected = 0.0f;
  for (size_t i = 0; i < bins; i++)
    expected = fused(logits[i], (float)i + 0.5f, expected);
  return expected / (sum * (float)bins);
}

const struct kernel KERNEL_SYMBOL(KERNEL_ISA) = {
  .name = KERNEL_TEXT(KERNEL_ISA),
  .mean = mean,
  .affine = affine,
  .gru = gru_direction,
  .gru_rows = gru_rows,
  .attend = attend,
  .product = product,
  .norm = norm,
  .product_gelu = product_gelu,
  .tanh = hyperbolic_tangent,
  .log = logarithms,
  .softmax = softmax,
  .direction = direction,
  .score = score,
};
