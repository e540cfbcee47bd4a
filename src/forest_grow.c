/*
** forest_grow.c - boosting of small trees by squared error (Friedman 2001, Greedy Function Approximation, and 2002,
** Stochastic Gradient Boosting). A feature's values are cut into at most BINS bins whose edges are bf16, so that the trees
** that are kept split as those did that were grown. Every tree sees a share of the rows and of the features. One thread,
** sums in the order of rows: the same bits for the same data.
*/
#include "forest.h"
#include "transcendental.h"

#include <stdlib.h>

enum { BINS = 64, FEWEST = 30 }; /* rows of a leaf */
static const double STEP = .04, SHARE_OF_ROWS = .7, SHARE_OF_FEATURES = .4, RIDGE = 10;

/* Sums of a node's rows by bin of one feature. */
struct bin {
  double sum;
  size_t count;
};

struct growing {
  const float *matrix;
  const double *values;
  size_t rows, features;
  float (*edge)[BINS - 1]; /* by feature, rising; a bin holds what is at least the edge before it */
  size_t *edges;
  unsigned char *bin, *node; /* by feature and row; by row: of the level, or UNSEEN */
  float *said;               /* by row, so far */
  float *sorted;
  struct bin *bins; /* nodes of a level x BINS */
};
enum { UNSEEN = 255 };

static void growing_free(struct growing *g) {
  memory_free(g->edge);
  memory_free(g->edges);
  memory_free(g->bin);
  memory_free(g->node);
  memory_free(g->said);
  memory_free(g->sorted);
  memory_free(g->bins);
}

static bool growing_new(struct growing *g) {
  g->edge = memory_new(g->features, sizeof *g->edge);
  g->edges = memory_new(g->features, sizeof *g->edges);
  g->bin = memory_new(g->features * g->rows, 1);
  g->node = memory_new(g->rows, 1);
  g->said = memory_new(g->rows, sizeof *g->said);
  g->sorted = memory_new(g->rows, sizeof *g->sorted);
  g->bins = memory_new((size_t)FOREST_LEAVES * BINS, sizeof *g->bins);
  return g->edge && g->edges && g->bin && g->node && g->said && g->sorted && g->bins;
}

static int rising(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Edges at equal shares of the rows, where the values there can be told apart. */
static void cut(struct growing *g, size_t feature) {
  size_t count = 0;
  float *edge = g->edge[feature];
  for (size_t row = 0; row < g->rows; row++)
    g->sorted[row] = g->matrix[row * FOREST_FEATURES + feature];
  qsort(g->sorted, g->rows, sizeof *g->sorted, rising);
  for (size_t i = 1; i < BINS; i++) {
    const float next = float_of_bf16(bf16_of(g->sorted[i * g->rows / BINS]));
    if (next > g->sorted[0] && (count == 0 || next > edge[count - 1]))
      edge[count++] = next;
  }
  g->edges[feature] = count;
  for (size_t row = 0; row < g->rows; row++) {
    unsigned char bin = 0;
    while (bin < count && !(g->matrix[row * FOREST_FEATURES + feature] < edge[bin]))
      bin++;
    g->bin[feature * g->rows + row] = bin;
  }
}

/* ---- one tree ---- */

struct split {
  double gain;
  size_t feature, edge;
};

static double worth(double sum, size_t count) {
  return sum * sum / ((double)count + RIDGE);
}

static void best_of_node(const struct growing *g, const struct bin *bins, size_t feature, struct split *best) {
  struct bin whole = { 0 }, first = { 0 };
  for (size_t i = 0; i < BINS; i++) {
    whole.sum += bins[i].sum;
    whole.count += bins[i].count;
  }
  for (size_t edge = 0; edge < g->edges[feature]; edge++) {
    first.sum += bins[edge].sum;
    first.count += bins[edge].count;
    const size_t rest = whole.count - first.count;
    if (first.count < FEWEST || rest < FEWEST)
      continue;
    const double gain =
        worth(first.sum, first.count) + worth(whole.sum - first.sum, rest) - worth(whole.sum, whole.count);
    if (gain > best->gain)
      *best = (struct split){ gain, feature, edge };
  }
}

static void find_splits(struct growing *g, size_t nodes, const bool *usable, struct split *best) {
  for (size_t i = 0; i < nodes; i++)
    best[i] = (struct split){ 0 };
  for (size_t feature = 0; feature < g->features; feature++) {
    if (!usable[feature])
      continue;
    const unsigned char *bin = g->bin + feature * g->rows;
    memset(g->bins, 0, nodes * BINS * sizeof *g->bins);
    for (size_t row = 0; row < g->rows; row++)
      if (g->node[row] != UNSEEN) {
        struct bin *own = &g->bins[g->node[row] * BINS + bin[row]];
        own->sum += g->values[row] - (double)g->said[row];
        own->count++;
      }
    for (size_t i = 0; i < nodes; i++)
      best_of_node(g, g->bins + i * BINS, feature, &best[i]);
  }
}

static void descend(struct growing *g, const struct split *best) {
  for (size_t row = 0; row < g->rows; row++) {
    if (g->node[row] == UNSEEN)
      continue;
    const struct split *split = &best[g->node[row]];
    const bool second = split->gain > 0 && g->bin[split->feature * g->rows + row] > split->edge;
    g->node[row] = (unsigned char)(2 * g->node[row] + second);
  }
}

static void fill_leaves(const struct growing *g, struct forest_tree *tree) {
  struct bin leaf[FOREST_LEAVES] = { { 0 } };
  for (size_t row = 0; row < g->rows; row++)
    if (g->node[row] != UNSEEN) {
      leaf[g->node[row]].sum += g->values[row] - (double)g->said[row];
      leaf[g->node[row]].count++;
    }
  for (size_t i = 0; i < FOREST_LEAVES; i++)
    tree->leaf[i] = float_of_bf16(bf16_of((float)(STEP * leaf[i].sum / ((double)leaf[i].count + RIDGE))));
}

/* Rows and features are drawn; at least one feature. */
static void draw(struct growing *g, bool usable[FOREST_FEATURES], qe_rng *rng) {
  for (size_t row = 0; row < g->rows; row++)
    g->node[row] = qe_rng_uniform(rng) < SHARE_OF_ROWS ? 0 : UNSEEN;
  for (size_t feature = 0; feature < g->features; feature++)
    usable[feature] = qe_rng_uniform(rng) < SHARE_OF_FEATURES;
  usable[qe_rng_below(rng, g->features)] = true;
}

/* The nodes of a level, which begin at `first` and are one more than those before them. */
static void grow_level(struct growing *g, struct forest_tree *tree, size_t first, const bool *usable) {
  struct split best[FOREST_LEAVES];
  find_splits(g, first + 1, usable, best);
  for (size_t node = first; node < FOREST_NODES && node <= 2 * first; node++) {
    const struct split *split = &best[node - first];
    tree->feature[node] = (unsigned char)split->feature;
    tree->threshold[node] = split->gain > 0 ? g->edge[split->feature][split->edge] : HUGE_VALF;
  }
  descend(g, best);
}

static void grow_tree(struct growing *g, struct forest_tree *tree, qe_rng *rng) {
  bool usable[FOREST_FEATURES];
  draw(g, usable, rng);
  for (size_t first = 0; first < FOREST_NODES; first = 2 * first + 1)
    grow_level(g, tree, first, usable);
  fill_leaves(g, tree);
}

int forest_grow(struct forest *forest, const float *matrix, const double *values, size_t rows, size_t features,
                size_t trees, qe_rng *rng) {
  struct growing g = { .matrix = matrix, .values = values, .rows = rows, .features = features };
  double sum = 0;
  *forest = (struct forest){ .tree = memory_new(trees + 1, sizeof *forest->tree) };
  if (!growing_new(&g) || !forest->tree) {
    growing_free(&g);
    return QE_MEMORY;
  }
  for (size_t feature = 0; feature < features; feature++)
    cut(&g, feature);
  for (size_t row = 0; row < rows; row++)
    sum += values[row];
  forest->start = (float)(rows > 0 ? sum / (double)rows : 0);
  for (size_t row = 0; row < rows; row++)
    g.said[row] = forest->start;
  for (; forest->trees < trees; forest->trees++) {
    struct forest_tree *tree = &forest->tree[forest->trees];
    grow_tree(&g, tree, rng);
    for (size_t row = 0; row < rows; row++)
      g.said[row] += forest_leaf(tree, matrix + row * FOREST_FEATURES);
  }
  growing_free(&g);
  return QE_OK;
}
