/*
** proposal.c - what is drawn when a softmax over many classes is sampled (Li et al. 2018, dynamic importance sampling;
** methods.md M7). Classes are known by their rank in the teacher's eyes, 0 for the likeliest. Ranks fall into groups,
** two to an octave, all ranks of a group alike, so that a draw costs the same for any number of classes. The paper fits
** a mixture of two Laplace distributions over ranks; groups take any shape that falls off, from the exact |p - q| of a
** few examples, and a part that is uniform over all classes keeps every weight bounded. Draws are stratified: each has
** an equal part of the probability for itself, from which it is taken by the inverse of the distribution. An alias table
** makes independent draws, whose estimates of a gradient are worse (cosine .86 instead of .92 for 100 of 10,000 classes).
** Bins of a score, whose ranks follow from a target alone, are drawn for several targets at once. Immutable; a new fit
** makes a new one.
*/
#include "core.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_GROUPS = 64 };

struct qe_proposal {
  size_t classes, groups;
  uint32_t first[MOST_GROUPS + 1];           /* group i holds ranks first[i] .. first[i + 1] - 1 */
  double mass[MOST_GROUPS];                  /* of the group */
  double q[MOST_GROUPS], log_q[MOST_GROUPS]; /* of one rank of the group */
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
static void masses_mix(qe_proposal *proposal, const double *masses, double uniform) {
  double sum = 0;
  for (size_t i = 0; masses && i < proposal->groups; i++)
    sum += masses[i] > 0 && isfinite(masses[i]) ? masses[i] : 0;
  for (size_t i = 0; i < proposal->groups; i++) {
    const double even = (double)(proposal->first[i + 1] - proposal->first[i]) / (double)proposal->classes;
    const double own = sum > 0 && masses[i] > 0 && isfinite(masses[i]) ? masses[i] / sum : 0;
    proposal->mass[i] = sum > 0 ? uniform * even + (1 - uniform) * own : even;
  }
}

qe_proposal *qe_proposal_new(size_t classes, const double *masses, double uniform) {
  if (classes == 0 || classes > UINT32_MAX || !(uniform >= 0 && uniform <= 1))
    return NULL;
  qe_proposal *proposal = memory_new(1, sizeof *proposal);
  if (!proposal)
    return NULL;
  proposal->classes = classes;
  proposal->groups = groups_make(classes, proposal->first);
  masses_mix(proposal, masses, uniform);
  for (size_t i = 0; i < proposal->groups; i++) {
    proposal->q[i] = proposal->mass[i] / (double)(proposal->first[i + 1] - proposal->first[i]);
    proposal->log_q[i] = log(proposal->q[i]);
  }
  return proposal;
}

void qe_proposal_free(qe_proposal *proposal) {
  memory_free(proposal);
}

/* ---- draws ---- */

/* The group of a rank: two to an octave from 2 on. */
static inline size_t group_of(uint32_t rank) {
  if (rank < 2)
    return rank;
  const unsigned octave = 31 - (unsigned)__builtin_clz(rank);
  return 2 * octave + (rank >> (octave - 1) & 1);
}

/* The rank below which a share (0..1) of the probability lies. */
static uint32_t rank_at(const qe_proposal *proposal, double share) {
  size_t group = 0;
  while (group + 1 < proposal->groups && share >= proposal->mass[group])
    share -= proposal->mass[group++];
  while (group > 0 && !(proposal->mass[group] > 0)) /* where rounding leads beyond all that has any */
    group--;
  const uint32_t size = proposal->first[group + 1] - proposal->first[group];
  const double place = share / proposal->mass[group] * size;
  return proposal->first[group] + (place < size ? (uint32_t)place : size - 1);
}

/* A place in the i-th of `count` equal parts of 0..1. */
static double stratum(qe_rng *rng, size_t i, size_t count) {
  return ((double)i + qe_rng_uniform(rng)) / (double)count;
}

void qe_proposal_draw(const qe_proposal *proposal, qe_rng *rng, size_t count, uint32_t *ranks, double *log_q) {
  for (size_t i = 0; i < count; i++) {
    ranks[i] = rank_at(proposal, stratum(rng, i, count));
    log_q[i] = proposal->log_q[group_of(ranks[i])];
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

/* ---- bins ---- */

/* Where a target lies among bins: in which, on which side the next nearest is, and how many there are to the nearer
** end, beyond which ranks go on along the other side. */
struct aim {
  uint32_t bin, to_end;
  bool right_first;
};

static struct aim aim_at(double value, size_t bins) {
  const double last = (double)bins - 1, place = fmin(fmax(value * (double)bins - 0.5, 0), last);
  const double nearest = nearbyint(place);
  return (struct aim){ (uint32_t)nearest, (uint32_t)fmin(nearest, last - nearest), place > nearest };
}

static uint32_t bin_of_rank(const struct aim *aim, size_t bins, uint32_t rank) {
  if (rank > 2 * (uint64_t)aim->to_end)
    return aim->bin == aim->to_end ? rank : (uint32_t)bins - 1 - rank;
  const uint32_t distance = rank / 2 + rank % 2;
  return (rank % 2 == 1) == aim->right_first ? aim->bin + distance : aim->bin - distance;
}

static uint32_t rank_of_bin(const struct aim *aim, uint32_t bin) {
  const bool right = bin > aim->bin;
  const uint32_t distance = right ? bin - aim->bin : aim->bin - bin;
  if (distance > aim->to_end)
    return distance + aim->to_end;
  return 2 * distance - (distance > 0 && right == aim->right_first ? 1 : 0);
}

/* Natural log of the mean probability that a bin is drawn with for one of the targets. */
static double mixed_log(const qe_proposal *proposal, const struct aim *aims, size_t count, uint32_t bin) {
  double sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += proposal->q[group_of(rank_of_bin(&aims[i], bin))];
  return log(sum / (double)count);
}

int qe_proposal_draw_bins(const qe_proposal *proposal, qe_rng *rng, const double *targets, size_t count,
                          size_t draws, uint32_t *bins, double *log_q) {
  if (count == 0)
    return QE_USE;
  struct aim *aims = memory_new(count, sizeof *aims);
  if (!aims)
    return QE_MEMORY;
  for (size_t i = 0; i < count; i++)
    aims[i] = aim_at(targets[i], proposal->classes);
  for (size_t i = 0; i < draws; i++) {
    const double place = stratum(rng, i, draws) * (double)count;
    const size_t target = place < (double)count ? (size_t)place : count - 1;
    bins[i] = bin_of_rank(&aims[target], proposal->classes, rank_at(proposal, place - (double)target));
    log_q[i] = mixed_log(proposal, aims, count, bins[i]);
  }
  memory_free(aims);
  return QE_OK;
}
