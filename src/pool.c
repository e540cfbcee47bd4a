/*
** pool.c - a fixed team of threads. A run hands out parts 0 .. parts-1 one by one; the caller works too. Which thread
** gets which part is left to chance, so tasks must write to places that depend on the part alone. One run at a time.
** Runs follow each other closely within a training step, and waking a sleeping thread costs as much as a small run: so
** whoever waits looks for a moment before it sleeps.
*/
#include "core.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LOOKS = 4000 }; /* before sleep: some tens of microseconds */

struct qe_pool {
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
  pthread_t *threads; /* all but the caller */
  int count;          /* of threads */
  pool_task *task;
  void *context;
  int parts, next;
  atomic_int left;  /* parts not yet finished */
  atomic_uint runs; /* begun so far */
  bool stop;
};

static void look_away(void) {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

/* Takes parts until none is left. Called and returns with the mutex held. */
static void work_through(qe_pool *pool) {
  while (pool->next < pool->parts) {
    int part = pool->next++;
    pthread_mutex_unlock(&pool->mutex);
    pool->task(pool->context, part);
    pthread_mutex_lock(&pool->mutex);
    if (atomic_fetch_sub(&pool->left, 1) == 1)
      pthread_cond_signal(&pool->done);
  }
}

static void *worker(void *argument) {
  qe_pool *pool = argument;
  pthread_mutex_lock(&pool->mutex);
  while (!pool->stop) {
    work_through(pool);
    const unsigned runs = pool->runs;
    pthread_mutex_unlock(&pool->mutex);
    for (int look = 0; look < LOOKS && atomic_load(&pool->runs) == runs; look++)
      look_away();
    pthread_mutex_lock(&pool->mutex);
    while (!pool->stop && pool->runs == runs)
      pthread_cond_wait(&pool->work, &pool->mutex);
  }
  pthread_mutex_unlock(&pool->mutex);
  return NULL;
}

qe_pool *qe_pool_new(int threads) {
  enum { MOST_THREADS = 256 };
  qe_pool *pool = memory_new(1, sizeof *pool);
  if (!pool)
    return NULL;
  if (threads < 1)
    threads = 1;
  if (threads > MOST_THREADS)
    threads = MOST_THREADS;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);
  pool->threads = memory_new((size_t)threads, sizeof *pool->threads);
  while (pool->threads && pool->count < threads - 1) {
    if (pthread_create(&pool->threads[pool->count], NULL, worker, pool) != 0)
      break;
    pool->count++;
  }
  if (!pool->threads || pool->count < threads - 1) {
    qe_pool_free(pool);
    return NULL;
  }
  return pool;
}

void qe_pool_free(qe_pool *pool) {
  if (!pool)
    return;
  pthread_mutex_lock(&pool->mutex);
  pool->stop = true;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < pool->count; i++)
    pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->done);
  pthread_mutex_destroy(&pool->mutex);
  memory_free(pool->threads);
  memory_free(pool);
}

int qe_pool_threads(const qe_pool *pool) {
  return pool ? pool->count + 1 : 1;
}

void pool_run(qe_pool *pool, int parts, pool_task *task, void *context) {
  if (!pool || pool->count == 0 || parts < 2) {
    for (int part = 0; part < parts; part++)
      task(context, part);
    return;
  }
  pthread_mutex_lock(&pool->mutex);
  pool->task = task;
  pool->context = context;
  pool->parts = parts;
  pool->left = parts;
  pool->next = 0;
  pool->runs++;
  pthread_cond_broadcast(&pool->work);
  work_through(pool);
  pthread_mutex_unlock(&pool->mutex);
  for (int look = 0; look < LOOKS && atomic_load(&pool->left) > 0; look++)
    look_away();
  pthread_mutex_lock(&pool->mutex);
  while (pool->left > 0)
    pthread_cond_wait(&pool->done, &pool->mutex);
  pool->parts = pool->next = 0;
  pthread_mutex_unlock(&pool->mutex);
}
