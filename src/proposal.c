/*
** proposal.c - what is drawn when a softmax over many classes is sampled (Li et al. 2018, dynamic importance sampling;
** methods.md M7). Classes are known by their rank in the teacher's eyes, 0 for the likeliest. Ranks fall into groups,
** two to an octave; a group is drawn from an alias table (Vose 1991), a rank in it evenly, so that a draw costs the same
** for any number of classes. The paper fits a mixture of two Laplace distributions over ranks; groups take any shape
** that falls off, from the exact |p - q| of a few examples, and a part that is uniform over all classes keeps every
** weight bounded. Immutable; a new fit makes a new one.
*/
#include "core.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_GROUPS = 64 };

struct qe_proposal {
  size_t classes, groups;
  uint32_t first[MOST_GROUPS + 1]; /* group i holds ranks first[i] .. first[i + 1] - 1 */
  double threshold[MOST_GROUPS];   /* alias table: group i below, other[i] above */
  uint32_t other[MOST_GROUPS];
  double log_q[MOST_GROUPS]; /* of one rank of the group */
};

/* 0 1 2 3 4 6 8 12 16 24 32 .. classes */
static size_t groups_make(size_t classes, uint32_t first[MOST_GROUPS + 1]) {
  size_t groups = 0, edge = 0;
  while (edge < classes && groups < MOST_GROUPS) {
    first[groups++] = (uint32_t)edge;
    if (edge < 4)
      edge++;
    else
      edge = (edge & (edge - 1)) == 0 ? edge + edge / 2 : edge / 3 * 4;
  }
  first[groups] = (uint32_t)classes;
  return groups;
}

size_t qe_proposal_groups(size_t classes) {
  uint32_t first[MOST_GROUPS + 1];
  return groups_make(classes, first);
}

/* Mass of every group after mixing in the uniform part; sums to 1. */
static void masses_mix(const qe_proposal *proposal, const double *masses, double uniform, double *mixed) {
  double sum = 0;
  for (size_t i = 0; masses && i < proposal->groups; i++)
    sum += masses[i] > 0 && isfinite(masses[i]) ? masses[i] : 0;
  for (size_t i = 0; i < proposal->groups; i++) {
    const double even = (double)(proposal->first[i + 1] - proposal->first[i]) / (double)proposal->classes;
    const double own = sum > 0 && masses[i] > 0 && isfinite(masses[i]) ? masses[i] / sum : 0;
    mixed[i] = sum > 0 ? uniform * even + (1 - uniform) * own : even;
  }
}

static void alias_make(qe_proposal *proposal, const double *mixed) {
  double scaled[MOST_GROUPS];
  uint32_t small[MOST_GROUPS], large[MOST_GROUPS];
  size_t smalls = 0, larges = 0;
  for (size_t i = 0; i < proposal->groups; i++) {
    scaled[i] = mixed[i] * (double)proposal->groups;
    proposal->threshold[i] = 1;
    proposal->other[i] = (uint32_t)i;
    if (scaled[i] < 1)
      small[smalls++] = (uint32_t)i;
    else
      large[larges++] = (uint32_t)i;
  }
  while (smalls > 0 && larges > 0) {
    const uint32_t low = small[--smalls], high = large[larges - 1];
    proposal->threshold[low] = scaled[low];
    proposal->other[low] = high;
    scaled[high] -= 1 - scaled[low];
    if (scaled[high] < 1) {
      larges--;
      small[smalls++] = high;
    }
  }
}

qe_proposal *qe_proposal_new(size_t classes, const double *masses, double uniform) {
  double mixed[MOST_GROUPS];
  if (classes == 0 || classes > UINT32_MAX || !(uniform >= 0 && uniform <= 1))
    return NULL;
  qe_proposal *proposal = memory_new(1, sizeof *proposal);
  if (!proposal)
    return NULL;
  proposal->classes = classes;
  proposal->groups = groups_make(classes, proposal->first);
  masses_mix(proposal, masses, uniform, mixed);
  alias_make(proposal, mixed);
  for (size_t i = 0; i < proposal->groups; i++)
    proposal->log_q[i] = log(mixed[i] / (double)(proposal->first[i + 1] - proposal->first[i]));
  return proposal;
}

void qe_proposal_free(qe_proposal *proposal) {
  memory_free(proposal);
}

void qe_proposal_draw(const qe_proposal *proposal, qe_rng *rng, size_t count, uint32_t *ranks, double *log_q) {
  for (size_t i = 0; i < count; i++) {
    size_t group = (size_t)qe_rng_below(rng, (uint32_t)proposal->groups);
    if (qe_rng_uniform(rng) >= proposal->threshold[group])
      group = proposal->other[group];
    const uint32_t size = proposal->first[group + 1] - proposal->first[group];
    ranks[i] = proposal->first[group] + (size > 1 ? (uint32_t)qe_rng_below(rng, size) : 0);
    log_q[i] = proposal->log_q[group];
  }
}

/* ---- fitting ---- */

struct ranked {
  qe_real value;
  uint32_t place;
};

static int falling(const void *a, const void *b) {
  const struct ranked *x = a, *y = b;
  if (x->value != y->value)
    return x->value < y->value ? 1 : -1;
  return (x->place > y->place) - (x->place < y->place);
}

int qe_proposal_masses(qe_tensor p, qe_tensor q, double *masses) {
  const struct node *teacher = node_of(p), *student = q.tape ? node_of(q) : NULL;
  if (!teacher || (q.tape && !student))
    return QE_USE;
  if (teacher->cols == 0 || (student && (student->rows != teacher->rows || student->cols != teacher->cols)))
    return tape_fail(p.tape, QE_USE, "proposal: probabilities differ in shape, or are of no classes"), QE_USE;
  uint32_t first[MOST_GROUPS + 1];
  const size_t groups = groups_make(teacher->cols, first);
  struct ranked *order = memory_new(teacher->cols, sizeof *order);
  if (!order)
    return QE_MEMORY;
  memset(masses, 0, groups * sizeof *masses);
  for (size_t i = 0; i < teacher->rows; i++) {
    const qe_real *told = teacher->x + i * teacher->cols, *said = student ? student->x + i * teacher->cols : NULL;
    for (size_t j = 0; j < teacher->cols; j++)
      order[j] = (struct ranked){ told[j], (uint32_t)j };
    qsort(order, teacher->cols, sizeof *order, falling);
    for (size_t group = 0; group < groups; group++)
      for (uint32_t rank = first[group]; rank < first[group + 1]; rank++) {
        const uint32_t j = order[rank].place;
        masses[group] += fabs((double)told[j] - (said ? (double)said[j] : 0)) / (double)teacher->rows;
      }
  }
  memory_free(order);
  return QE_OK;
}

uint32_t qe_nearest_bin(double value, size_t bins, uint32_t rank) {
  const double place = fmin(fmax(value * (double)bins - 0.5, 0), (double)bins - 1);
  const double nearest = nearbyint(place);
  const size_t at = (size_t)nearest, left = at, right = bins - 1 - at;
  const bool right_first = place > nearest;
  const size_t both = 2 * (left < right ? left : right);
  if (rank > both) /* one end has been reached */
    return (uint32_t)(left < right ? rank : bins - 1 - rank);
  const size_t distance = ((size_t)rank + 1) / 2;
  return (uint32_t)((rank % 2 == 1) == right_first ? at + distance : at - distance);
}
