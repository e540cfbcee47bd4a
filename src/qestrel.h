/*
** qestrel.h - machine-translation quality estimation: the whole C side of Qestrel.
**
**   score   (source, translation) -> text.c -> batch -> model -> score -> list -> rerank
**   train   dataset -> batch -> student taps + teacher signal -> loss -> tape -> optimiser -> archive
**
** The header is the manual, in rings; a user of one ring need not read the next.
**   1  score      open a model archive, score pairs
**   2  list       n-best lists: read, add the score, re-sort, write
**   3  measure    correlations, errors, bootstrap intervals
**   4  data       tables, datasets, batches
**   5  tape       matrices with gradients
**   6  train      parameters, models, optimisers, archives
**
** A program of ring 1:
**
**   qe_model *model = qe_model_new();
**   if (qe_model_open(model, "et-en.qe", 0) != QE_OK)
**     return fprintf(stderr, "%s\n", qe_model_error(model)), 1;
**   qe_scorer *scorer = qe_scorer_new(model, NULL);
**   qe_pair pair = { .source = qe_string("Tere!"), .translation = qe_string("Hello!") };
**   float z;
**   if (qe_score(scorer, &pair, 1, &z) == QE_OK) printf("%.6f\n", z);
**   qe_scorer_free(scorer);
**   qe_model_free(model);
**
** Ownership. Every qe_x_new has one qe_x_free, which accepts NULL; _new returns NULL only when memory is out.
** Objects begin empty and usable; _open, _read and the like fill them. Strings are (pointer, size) or, where
** the parameter is `const char *`, end with NUL. Returned pointers belong to the object they came from and live
** until it changes or is freed.
** Errors. A call that can fail returns QE_OK or a negative qe_status; the text is kept in the object
** (qe_model_error and its sisters) and names file, line, what was found and what was expected. Nothing in the
** library prints, exits or aborts.
** Threads. A qe_model that is no longer changed may be read by any number of threads; every other object
** belongs to one thread at a time. The library has no mutable globals.
*/
#ifndef QESTREL_H
#define QESTREL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(QE_STATIC)
#define QE_API
#else
#define QE_API __attribute__((visibility("default")))
#endif

typedef enum qe_status {
  QE_OK = 0,
  QE_MEMORY = -1, /* out of memory; the object is as before the call, or empty */
  QE_USE = -2,    /* the call was wrong: shapes, stale handle, order of calls (Lua raises) */
  QE_WORLD = -3,  /* a file or the system refused (Lua returns nil, message) */
  QE_FORMAT = -4  /* content was refused (Lua returns nil, message) */
} qe_status;

QE_API const char *qe_version(void); /* "1.2.3" */
QE_API const char *qe_build(void);   /* compiler, type of build, kernels this CPU runs */

/* A run of bytes that somebody else owns; need not end with NUL. */
typedef struct qe_text {
  const char *data;
  size_t size;
} qe_text;

QE_API qe_text qe_string(const char *text);

/* A fixed team of threads that objects below may share, one call at a time. NULL stands for "this thread
** alone" wherever a pool is asked for. Results never depend on the number of threads. */
typedef struct qe_pool qe_pool;
QE_API qe_pool *qe_pool_new(int threads); /* 1..256, the caller included */
QE_API void qe_pool_free(qe_pool *pool);
QE_API int qe_pool_threads(const qe_pool *pool);

/* ------------------------------------------------------------------------------------------------------------
** Ring 1: score
*/

typedef enum qe_side { QE_SOURCE = 0, QE_TARGET = 1 } qe_side;

/* A model: architecture, vocabularies, parameters, manifest. */
typedef struct qe_model qe_model;
QE_API qe_model *qe_model_new(void);
QE_API void qe_model_free(qe_model *model);
QE_API const char *qe_model_error(const qe_model *model);

/* Reads an archive, checks that it is canonical, that all hashes hold, and that the golden pairs get the very
** scores that the manifest promises. `limit` bounds the bytes read (0: 1 GiB). */
QE_API int qe_model_open(qe_model *model, const char *path, size_t limit);
QE_API int qe_model_open_memory(qe_model *model, const void *bytes, size_t size, size_t limit);

QE_API const char *qe_model_manifest(qe_model *model);     /* JSON text, canonical */
QE_API const char *qe_model_sha256(const qe_model *model); /* of the archive it was opened from; "" if none */

/* What is scored. `logprobs` are the decoder's log-probabilities of the translation's tokens, end token
** included; they are needed by models with decoder inputs (qe_model_decoder_inputs) and refused by others. */
typedef struct qe_pair {
  qe_text source, translation;
  const float *logprobs;
  size_t logprob_count;
} qe_pair;

QE_API int qe_model_decoder_inputs(const qe_model *model); /* 0, or how many statistics it reads */
/* 1 where it reads them and never learned to do without, as aligned students do: a reranked list must then have scores of
** tokens. */
QE_API int qe_model_decoder_needed(const qe_model *model);

/* Predicted z-score -> 0..1 (the manifest's calibration: the share of translations of that score that people call good,
** or what else its "meaning" says). It rises with z. */
QE_API float qe_model_calibrated(const qe_model *model, float z);
/* Half the width of the interval around z that human scores fall into for four of five translations (the manifest's
** spread); NAN if it is not known. */
QE_API float qe_model_spread(const qe_model *model, float z);
/* The probability from which a word counts as BAD (the manifest's words); NAN: the model has no head for words. */
QE_API float qe_model_word_threshold(const qe_model *model);
/* 1 where it has vectors of words that qe_consensus_by_words can compare. */
QE_API int qe_model_word_vectors(const qe_model *model);
/* 0 if most letters of the text are of another script than the language of that side ("languages": "ro-en") has. */
QE_API int qe_model_script_fits(const qe_model *model, qe_side side, qe_text text);

/* The room that scoring works in: one per thread of the host. The model must outlive it. A pool spreads the
** pairs of one call over its threads. */
typedef struct qe_scorer qe_scorer;
QE_API qe_scorer *qe_scorer_new(const qe_model *model, qe_pool *pool);
QE_API void qe_scorer_free(qe_scorer *scorer);
QE_API const char *qe_scorer_error(const qe_scorer *scorer);

/* scores[i] = predicted z-score of pairs[i], higher is better. No tape, BLAS, libm or allocation (once warm);
** the same bits whatever the batch, its order, the threads and the CPU. Any bytes are accepted: malformed UTF-8
** is repaired with U+FFFD, empty text scores like any other. A pair with a side longer than the model reads at once is
** cut into windows, both sides into as many, of about as many bytes each, at white space where there is some; its score is
** their mean, weighted by bytes. The log-probabilities are shared out alike. */
QE_API int qe_score(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores);
/* The same scores, to the bit, for pairs of which many stand together that are candidates of one source: each source,
** each distinct translation and each distinct word is computed once, and so is what translations share at their beginnings
** and ends. Memory is bounded, whatever the length of the list. */
QE_API int qe_score_list(qe_scorer *scorer, const qe_pair *pairs, size_t count, float *scores);
/* Tokens of translations, which are what stands between ASCII white space: those of pairs[i] will be numbers offset[i] to
** offset[i + 1] - 1 of all, whose count is returned. offset has count + 1 places. */
QE_API size_t qe_count_tokens(const qe_pair *pairs, size_t count, size_t *offset);
/* The scores of qe_score, and from the same pass how likely each token is BAD, 0..1: bad has offset[count] places, offset is
** that of qe_count_tokens. A use error where the model has no head for words. */
QE_API int qe_score_words(qe_scorer *scorer, const qe_pair *pairs, size_t count, const size_t *offset,
                          float *scores, float *bad);
/* Why a score may mean little. Empty: a side without words. Copied: the translation is the source, letters and all.
** Truncated: longer than the model reads at once, scored in windows. Wrong script: see qe_model_script_fits. */
enum { QE_REASON_EMPTY = 1, QE_REASON_COPIED = 2, QE_REASON_TRUNCATED = 4, QE_REASON_WRONG_SCRIPT = 8 };
QE_API int qe_score_reasons(qe_scorer *scorer, const qe_pair *pair, unsigned *reasons);
QE_API const char *
qe_reason_name(unsigned reason); /* of one bit: "empty", ..., "wrong_script"; NULL: there is none */
QE_API size_t qe_scorer_truncated(const qe_scorer *scorer); /* sides longer than the model's token limit so far */

/* ------------------------------------------------------------------------------------------------------------
** Ring 2: n-best lists
*/

/* One candidate. All texts belong to the list. */
typedef struct qe_hypothesis {
  qe_text id, text, features; /* features: "Name= v v Name= v" as read */
  qe_text between;            /* fields between text and features (Marian: alignment, WordScores), or empty */
  qe_text after;              /* fields after the total (Moses: segmentation, alignment), or empty */
  qe_text system;             /* which system made it (JSON), or empty */
  double total;               /* the decoder's, NaN where there is none; larger is better */
} qe_hypothesis;

/* The candidates of one source, in the decoder's order. Invariant: nothing that was read is lost; a list written
** in its own order without added features is the input, byte for byte (line ends apart). */
typedef struct qe_list qe_list;
QE_API qe_list *qe_list_new(void);
QE_API void qe_list_free(qe_list *list);
QE_API const char *qe_list_error(const qe_list *list);

/* Takes one line (no LF) of Moses, Marian, cdec or Joshua. Returns 1 if it belongs to this list, 0 if its id starts
** another one (the line was not taken: clear the list and add it again), or a negative status naming `line`. */
QE_API int qe_list_add(qe_list *list, qe_text text, size_t line);
/* Takes a candidate of the host's own, of which texts are copied; a total of NaN is none. Without an id it gets the
** list's, or "0". "WordScores= v v" in `between` are its token scores. */
QE_API int qe_list_push(qe_list *list, const qe_hypothesis *hypothesis);
QE_API void qe_list_clear(qe_list *list);
QE_API size_t qe_list_size(const qe_list *list); /* 0 is possible: a source without translations */
QE_API const qe_hypothesis *qe_list_get(const qe_list *list, size_t index);
QE_API size_t qe_list_number(const qe_list *list,
                             size_t index); /* the candidate's line in its file, from 1; or 0 */
QE_API qe_text qe_list_id(const qe_list *list);
/* The source sentence where the format has it or the host set it; data is NULL otherwise. */
QE_API qe_text qe_list_source(const qe_list *list);
QE_API int qe_list_set_source(qe_list *list, qe_text source);

/* Values of one feature of one hypothesis, at most `room` of them; returns how many there are (0: no such). */
QE_API size_t qe_list_feature(const qe_list *list, size_t index, const char *name, double *values, size_t room);
/* The decoder's scores of tokens (WordScores=, P- lines, "token_scores"), the same way. As written: those of fairseq
** are logarithms to base 2, all others natural ones. */
QE_API size_t qe_list_token_scores(const qe_list *list, size_t index, double *values, size_t room);
/* Appends "name= value" to every hypothesis. Names with '=' or white space are refused. */
QE_API int qe_list_append(qe_list *list, const char *name, const double *values);
/* Takes back what was appended under a name: 1, or 0 where there is no such. */
QE_API int qe_list_remove(qe_list *list, const char *name);

/* Lists out of a stream of bytes, plain or gzip, that arrive in pieces of any size. Lines end with LF alone (a CR
** before it is dropped); NUL bytes and malformed UTF-8 pass. Only the list that is being read is held. Formats:
**   moses marian cdec joshua   id ||| text ||| [more |||] Name= v ... ||| total [||| more]
**   travatar                   id ||| text ||| total ||| features
**   fairseq                    S-id H-id D-id P-id lines; D is the text if there is one. Other lines are skipped.
**   ct2                        [total |||] text; no ids, every `per_source` lines are a list
**   flat                       text [TAB total]; the same
**   sockeye                    a JSON object per source: translations, scores, sentence_id, text
**   jsonl                      a JSON object per hypothesis: id, text (or hypothesis, translation), source, features
**                              {name: number or array}, total (or score), token_scores, system, rank
** Where there are no ids, lists are numbered from 0. */
typedef struct qe_reader qe_reader;
QE_API qe_reader *qe_reader_new(void);
QE_API void qe_reader_free(qe_reader *reader);
QE_API const char *qe_reader_error(const qe_reader *reader);
/* Before the first feed. "auto" (which a new reader has) decides by the first lines. `per_source`: hypotheses of a
** source; needed by ct2 and flat, 0 where it is not known. A list that has so many is complete at once (fairseq's
** ends with the next S- line all the same). */
QE_API int qe_reader_format(qe_reader *reader, const char *name, size_t per_source);
/* Whether Moses' entities (&#124; &amp; ...) in texts of lines with pipes stand for what they name. 0: plain text. */
QE_API int qe_reader_escapes(qe_reader *reader, int escapes);
QE_API int qe_reader_feed(qe_reader *reader, const void *bytes, size_t size); /* copies */
QE_API int qe_reader_end(qe_reader *reader);                                  /* no more will be fed */
/* 1: `list` is the next list (whatever it was is gone). 0: feed more, and call again with the same list; after the
** end: nothing is left. Negative: the error names a line; later calls repeat it. An id that comes again later is
** another list. */
QE_API int qe_reader_next(qe_reader *reader, qe_list *list);
QE_API const char *qe_reader_guess(const qe_reader *reader); /* the format's name, "" while it is not known */
QE_API size_t qe_reader_lines(const qe_reader *reader);      /* read so far */
QE_API size_t qe_reader_skipped(const qe_reader *reader); /* of them, how many were padding or no part of a list */

/* Weights of features: name -> one weight per value. From JSON {"QE0": 0.7, "F0": [0.1, 0.2]} or a Moses file
** with a [weight] section ("QE0= 0.7"). "total" is the decoder's total, "first" is 1 for the
** first candidate of a list whose totals differ: the margin by which another one must be better. */
typedef struct qe_weights qe_weights;
QE_API qe_weights *qe_weights_new(void);
QE_API void qe_weights_free(qe_weights *weights);
QE_API const char *qe_weights_error(const qe_weights *weights);
QE_API int qe_weights_parse(qe_weights *weights, qe_text text, const char *origin);
QE_API int qe_weights_set(qe_weights *weights, const char *name, const double *values, size_t count);
QE_API size_t qe_weights_count(const qe_weights *weights);                    /* names */
QE_API const char *qe_weights_name(const qe_weights *weights, size_t number); /* from 0; NULL: no such */
/* Those of one name, *count of them; NULL: no such. */
QE_API const double *qe_weights_values(const qe_weights *weights, size_t number, size_t *count);

/* 1 where some candidate's total is not the first one's, so that the decoder had a choice and "first" counts. Two that
** have none do not differ. */
QE_API int qe_list_totals_differ(const qe_list *list);
/* order[] = indices, best first: by the weighted sum of features (and total), ties in the decoder's order, NaN
** last. totals[] (may be NULL) = the sums in the list's own order. A weight whose feature a hypothesis lacks is
** refused by name. */
QE_API int qe_list_rank(qe_list *list, const qe_weights *weights, size_t *order, double *totals);
/* contributions[qe_weights_count]: what each name adds to the sum of one candidate. */
QE_API int qe_list_contributions(qe_list *list, const qe_weights *weights, size_t index, double *contributions);
/* The line of one hypothesis (no LF), with `total` in place of the decoder's unless NaN. Valid until the next
** call on this list. */
QE_API qe_text qe_list_line(qe_list *list, size_t index, double total);
/* The whole list in a format (NULL: as it was read), every line with its LF; the text is valid until the next call
** that writes. `order` (NULL: all, as they are) names `count` hypotheses; totals[] (NULL: keep) replaces totals, in the
** list's own order, where it is not NaN. Added features go where a format has features; fairseq gets a line
** "Q-id TAB Name= v", Sockeye an array beside "scores", ct2 and flat have none. A conversion keeps id, text and total,
** features and token scores where there is room for them (token scores: marian, fairseq, sockeye, jsonl), and refuses
** what could not be read again. */
QE_API int qe_list_write(qe_list *list, const char *format, const size_t *order, size_t count, const double *totals,
                         qe_text *out);

/* Consensus: how well each candidate agrees with the others, as a translation that could stand for all of them (minimum
** Bayes risk). The utility of a candidate h with a reference r is sentence chrF2, u(h, r) = 0..1. Identical strings are
** merged first. A list of 100 distinct sentences takes about a millisecond; nothing is allocated once it is warm. */
typedef struct qe_consensus qe_consensus;
QE_API qe_consensus *qe_consensus_new(void);
QE_API void qe_consensus_free(qe_consensus *consensus);
/* The same by what words mean: each looks for its like in the other text by the word vectors of an aligned student
** (qe_model_word_vectors), and u is the mean cosine of both texts' words. The model must outlive it. NULL: no memory, or the
** model has none. */
QE_API qe_consensus *qe_consensus_by_words(const qe_model *model);
QE_API const char *qe_consensus_error(const qe_consensus *consensus);
/* values[i] = mean of u(i, r) over the distinct strings r other than i's (1 where there is no other). With `weights`, one
** per candidate: expected utility, the weighted mean over all candidates, itself included; a weight that is not a
** positive number counts 0, and where none is, all count alike. Any bytes are accepted. */
QE_API int qe_consensus_values(qe_consensus *consensus, const qe_text *texts, size_t count, const double *weights,
                               double *values);
/* Lists of more than `most` (2..65535; 500) distinct strings are compared with a random sample of that size, the same in
** every run. Time and memory then grow with the list, not with its square. */
QE_API int qe_consensus_sample(qe_consensus *consensus, size_t most);
/* Of the last values: root mean square of their standard errors, 0 where all was compared with all. */
QE_API double qe_consensus_standard_error(const qe_consensus *consensus);
/* weights[i] = exp(totals[i] / temperature) / sum, the decoder's posterior over the list. A NaN gets 0; if all are, all
** get the same. QE_USE unless 0 < temperature < infinity. */
QE_API int qe_consensus_posterior(const double *totals, size_t count, double temperature, double *weights);

/* Guards against degenerate winners. Each finds one kind of fault in a translation; a candidate is vetoed when it has
** more of it than the decoder's first choice, so a switch never adds a fault, and one that both have vetoes nothing.
** Where the first choice shows nothing, anything may take its place. */
typedef enum qe_guard {
  QE_GUARD_COPY = 1 << 0,        /* most words are the source's, or all */
  QE_GUARD_EMPTY = 1 << 1,       /* no visible character */
  QE_GUARD_LENGTH = 1 << 2,      /* under half or over twice the first choice's, and farther from the source's */
  QE_GUARD_REPETITION = 1 << 3,  /* 1 to 4 words three times running, or many runs of four words again */
  QE_GUARD_NUMBER = 1 << 4,      /* a number of the source is missing, or one is there that it has not */
  QE_GUARD_NEGATION = 1 << 5,    /* source and first choice deny and this does not, or the other way round */
  QE_GUARD_NAME = 1 << 6,        /* a name that source and first choice spell alike is missing */
  QE_GUARD_PLACEHOLDER = 1 << 7, /* {0} %s $NAME <b> &amp; addresses: missing or added */
  QE_GUARD_SCRIPT = 1 << 8       /* over 30 % more of the letters in scripts that are not the target language's */
} qe_guard;
QE_API const char *qe_guard_names(void); /* "copy empty ...", in the order of the bits */

/* The room that guards work in; nothing is allocated once it is warm. */
typedef struct qe_guards qe_guards;
QE_API qe_guards *qe_guards_new(void);
QE_API void qe_guards_free(qe_guards *guards);
QE_API const char *qe_guards_error(const qe_guards *guards);
/* "all", "none", "copy,number", "all,-name", "-name" (all but that one), "" (none) -> bits. Where a name is unknown, the
** error has it and the bits are as before. */
QE_API int qe_guards_parse(qe_guards *guards, const char *text, unsigned *bits);
/* Languages, "et" or "en-GB"; NULL for unknown. Negation is known in en de et ro ru ne si zh es; where a language is
** unknown or another one, only words count that are negations in any; its script is the first choice's main one. If both
** are the same, copies are no fault. A code that has "-Latn" or the like says nothing about the script. */
QE_API int qe_guards_languages(qe_guards *guards, const char *source, const char *target);
/* vetoes[i] = those of the `enabled` guards that candidate i would be refused by in place of candidates[first]; any bytes
** are accepted. Where the source is not known (size 0), number and placeholder compare with the first choice alone and
** copy, negation and name are silent. The first 256 numbers and placeholders of a text count. */
QE_API int qe_guards_check(qe_guards *guards, unsigned enabled, qe_text source, const qe_text *candidates,
                           size_t count, size_t first, unsigned *vetoes);

/* A reranker: fills in the evidence that its weights name and a list lacks, ranks the list, and lets guards refuse.
** It computes
**   QE0    the model's score of the candidate, as a translation of the list's source
**   MBR0   consensus of the list
**   MBRP0  expected utility under the decoder's posterior (temperature 1)
**   MBRV0, MBRVP0  the same two by word vectors, where the model has them
** all other features are the list's own. Weights are those given, else those in the model's manifest, else shipped ones
** for the case: with or without a model, with totals that differ or not. A list of 10^6 candidates is possible. */
typedef struct qe_reranker qe_reranker;
/* `model` may be NULL; it and the pool must outlive the reranker. One thread at a time, like a scorer. */
QE_API qe_reranker *qe_reranker_new(const qe_model *model, qe_pool *pool);
QE_API void qe_reranker_free(qe_reranker *reranker);
QE_API const char *qe_reranker_error(const qe_reranker *reranker);
/* As qe_weights_parse. None at all ("{}") keep the decoder's order. */
QE_API int qe_reranker_weights(qe_reranker *reranker, qe_text text, const char *origin);
/* Names as in qe_guards_parse; a new reranker has all. */
QE_API int qe_reranker_guards(qe_reranker *reranker, const char *names);
/* As qe_guards_languages; a new reranker has those of the model's manifest. */
QE_API int qe_reranker_languages(qe_reranker *reranker, const char *source, const char *target);
/* Adds the model's score to every list under this name, whatever the weights say. */
QE_API int qe_reranker_quality(qe_reranker *reranker, const char *name);
/* `stop` is asked between pieces of work (256 pairs); where it returns other than 0, qe_rerank gives up: QE_WORLD,
** "stopped". NULL: none. */
QE_API void qe_reranker_stop(qe_reranker *reranker, int (*stop)(void *context), void *context);
/* Appends the evidence to the list. order[] as in qe_list_rank, but the first candidate that no guard refuses comes first:
** order[0] is the pick. totals[] (may be NULL) are the sums; those of refused candidates are lowered to the pick's, so
** that a host that sorts by them picks the same. vetoes[] (may be NULL): the guards that refuse each candidate. Where
** this fails, the list may have got features, and its own order is the one to use. */
QE_API int qe_rerank(qe_reranker *reranker, qe_list *list, size_t *order, double *totals, unsigned *vetoes);
/* How many candidates of the last list would have won had no guard refused them: order[1] and those behind it. */
QE_API size_t qe_reranker_refused(const qe_reranker *reranker);
/* What the last list was ranked with, and where it came from: a file's name, "manifest.json", or what the shipped
** weights are called. */
QE_API const qe_weights *qe_reranker_used(const qe_reranker *reranker);
QE_API const char *qe_reranker_origin(const qe_reranker *reranker);
/* As qe_consensus_standard_error, of the last list; 0 where consensus was exact or nothing asked for it. */
QE_API double qe_reranker_standard_error(const qe_reranker *reranker);
QE_API size_t qe_reranker_truncated(const qe_reranker *reranker); /* as qe_scorer_truncated; 0 without a model */

/* ------------------------------------------------------------------------------------------------------------
** Ring 3: measure. n values each; NaN where undefined (constant input, n too small).
*/

QE_API double qe_pearson(const double *x, const double *y, size_t n);
QE_API double qe_spearman(const double *x, const double *y, size_t n); /* mid-ranks */
QE_API double qe_kendall(const double *x, const double *y, size_t n);  /* tau-b, O(n log n) */
QE_API double qe_mae(const double *x, const double *y, size_t n);
QE_API double qe_rmse(const double *x, const double *y, size_t n);
/* Of the tenth of rows with the lowest y, the share that is in the tenth with the lowest x. */
QE_API double qe_worst_decile_recall(const double *x, const double *y, size_t n);

typedef double qe_statistic(const double *x, const double *y, size_t n);
typedef struct qe_interval {
  double low, high;
} qe_interval;
/* Percentile bootstrap over rows: central `level` (e.g. .95) of `draws` resamples. */
QE_API int qe_bootstrap(qe_statistic *statistic, const double *x, const double *y, size_t n, size_t draws,
                        double level, uint64_t seed, qe_interval *interval);

/* Metrics that compare translations with references; the scores are those of sacreBLEU 2. A segment is a vector of
** statistics and a corpus the sum of them, so that resamples and line searches are sums, too.
**   "chrf"    chrF2, characters up to 6          "chrf++"  words up to 2 besides
**   "bleu"    of 4 orders, smoothing "exp"; "bleu:NAME" chooses the tokenizer: 13a (the default), zh, intl, char, none
**   "ter"     edits and shifts per word of the reference, case ignored; lower is better
** Of several references, chrF takes the best, TER the fewest edits and the mean length, BLEU clips to the largest
** counts and takes the nearest length. Any bytes are accepted: malformed UTF-8 is repaired with U+FFFD. */
typedef struct qe_metric qe_metric;
QE_API qe_metric *qe_metric_new(void);
QE_API void qe_metric_free(qe_metric *metric);
QE_API const char *qe_metric_error(const qe_metric *metric);
QE_API int qe_metric_choose(qe_metric *metric, const char *name); /* forgets the references */
QE_API size_t qe_metric_size(const qe_metric *metric);            /* numbers in a vector; 0 if none was chosen */
QE_API int qe_metric_direction(const qe_metric *metric);          /* 1: higher is better, -1: lower */
/* Prepares the references (one or more) of the hypotheses that follow, as many as there are. */
QE_API int qe_metric_reference(qe_metric *metric, const qe_text *references, size_t count);
/* statistics[qe_metric_size] of a hypothesis; allocates nothing once warm. */
QE_API int qe_metric_statistics(qe_metric *metric, qe_text hypothesis, double *statistics);
/* 0..100 (TER: 0 and up): of the sums over segments, and of the statistics of one segment. The two differ for BLEU,
** which scores a short sentence by the orders that it has. NaN if no metric was chosen. */
QE_API double qe_metric_corpus(const qe_metric *metric, const double *sums);
QE_API double qe_metric_sentence(const qe_metric *metric, const double *statistics);

typedef double qe_objective(void *context, const double *sums); /* of the summed statistics of segments */
/* Values of a corpus metric on resampled segments, the same ones for every output, so that their differences can be judged
** (paired bootstrap, Koehn 2004). statistics: outputs x segments x size; values: outputs x draws. */
QE_API int qe_resample(qe_objective *objective, void *context, const double *statistics, size_t outputs,
                       size_t segments, size_t size, size_t draws, uint64_t seed, double *values);

/* Weights of features, fitted on n-best lists for a corpus metric: coordinate search with exact line search over the
** envelopes of the lists (Och 2003) from several starts. A tuner holds, per candidate, `features` values and `size`
** statistics; statistics of the picked candidates are summed and handed to the objective. */
typedef struct qe_tuner qe_tuner;
typedef struct qe_tuning_options {
  size_t restarts; /* random ones, beside each feature alone and all alike */
  size_t folds;    /* of the cross-validated estimate; below 2: none */
  size_t draws;    /* of the bootstrap over lists */
  double level;    /* of the intervals */
  uint64_t seed;
  int negative; /* weights may be negative */
  int simplest; /* needs folds. The one-standard-error rule: as few features as keep the held-out objective within
                ** one standard error of the best; none, and the decoder's order stays, where the gain is not there.
                ** Which ones goes by their order, the plainest first, where lists do not tell within one error */
} qe_tuning_options;
typedef struct qe_tuning {
  double first, best, tuned;        /* the objective of first candidates, of the best point, of the returned one */
  double validated;                 /* of picks by as many weights, found without the list; NaN without folds */
  qe_interval gain, validated_gain; /* tuned - first and validated - first: paired bootstrap over lists */
} qe_tuning;
QE_API qe_tuner *qe_tuner_new(size_t features, size_t size);
QE_API void qe_tuner_free(qe_tuner *tuner);
QE_API const char *qe_tuner_error(const qe_tuner *tuner);
/* One list: count x features values and count x size statistics, finite, in the decoder's order; copied. */
QE_API int qe_tuner_add(qe_tuner *tuner, const double *values, const double *statistics, size_t count);
QE_API qe_tuning_options qe_tuning_defaults(void); /* 20 restarts, 5 folds, 1000 draws, level .95, simplest */
/* weights[]: one per feature, magnitudes sum to 1, or all 0. Same lists, same options, same bits. */
QE_API int qe_tuner_run(qe_tuner *tuner, qe_objective *objective, void *context, const qe_tuning_options *options,
                        double *weights, qe_tuning *result);

/* ------------------------------------------------------------------------------------------------------------
** Ring 4: data
*/

/* A named stream of random numbers: same seed and name, same draws; streams of other names are unaffected by
** how much is drawn here. Copying the struct saves it, copying it back replays. (xoshiro256++, seeded by
** splitmix64 over seed and FNV-1a of the name.) */
typedef struct qe_rng {
  uint64_t s[4];
} qe_rng;
QE_API void qe_rng_seed(qe_rng *rng, uint64_t seed, const char *name);
QE_API uint64_t qe_rng_next(qe_rng *rng);
QE_API double qe_rng_uniform(qe_rng *rng);             /* [0, 1), 53 bits */
QE_API double qe_rng_normal(qe_rng *rng);              /* mean 0, sd 1; always two draws */
QE_API uint64_t qe_rng_below(qe_rng *rng, uint64_t n); /* 0..n-1, unbiased */
QE_API void qe_rng_shuffle(qe_rng *rng, uint32_t *items, size_t n);

/* Rows of (source, translation) with named numeric columns; NaN where a row has no value. Columns from the
** MLQE-PE files keep their names ("z_mean", "mean", "model_scores", "index"). */
typedef struct qe_dataset qe_dataset;
QE_API qe_dataset *qe_dataset_new(void);
QE_API void qe_dataset_free(qe_dataset *data);
QE_API const char *qe_dataset_error(const qe_dataset *data);

/* Appends the rows of a TSV file with a header line. Source is the column source|original|src, translation is
** translation|target|mt|tgt; every other column whose cells are all numbers (or empty) becomes numeric, bracketed
** lists and other text are skipped. Fields are plain text (quotes mean nothing), lines end with LF or CRLF.
** A line with another number of fields than the header is an error naming file, line and both numbers.
** Whatever fails here or below leaves the dataset as it was. */
QE_API int qe_dataset_read(qe_dataset *data, const char *path);
/* One MLQE-PE set ("train", "dev", "test20") from a pair folder (finds SET.*.df.short.tsv); its word_probas.SET.*
** and mt.SET.*, where present, become the rows' decoder log-probabilities. */
QE_API int qe_dataset_read_mlqe(qe_dataset *data, const char *folder, const char *set);
/* Decoder log-probabilities, a line per row; `tokens` (may be NULL) is the file of decoder tokens: one number per
** token and one for the end. `first` is the row that line 1 belongs to, the last line belongs to the last row. */
QE_API int qe_dataset_read_logprobs(qe_dataset *data, const char *logprobs, const char *tokens, size_t first);
/* Words of the translations that people have marked, for rows from `first` on: a line of tokens each, and a line of as many
** tags, OK or BAD, or of twice as many and one, where tags of gaps stand before, between and after them and are skipped.
** That is how MLQE-PE and WMT have them. */
QE_API int qe_dataset_read_tags(qe_dataset *data, const char *tokens, const char *tags, size_t first);
/* A teacher's file: TSV with header (like all tables, it may be packed by gzip); column "index" joins the column "index" of the rows (row numbers from 0 where
** they have none), every other numeric column is stored as prefix, prefix_2, ... or, where `prefix` is NULL, under
** its own name. Rows that the file does not name keep NaN. `matched` (may be NULL) = rows that got a value.
** An index that is named twice or matches no row, or several, is an error; an empty field changes nothing. */
QE_API int qe_dataset_read_scores(qe_dataset *data, const char *path, const char *prefix, size_t *matched);
QE_API int qe_dataset_append(qe_dataset *data, const qe_pair *pair);         /* one row, columns NaN */
QE_API int qe_dataset_append_all(qe_dataset *data, const qe_dataset *other); /* rows and columns, union */
QE_API size_t qe_dataset_rows(const qe_dataset *data);
QE_API qe_pair qe_dataset_pair(const qe_dataset *data, size_t row);
QE_API size_t qe_dataset_columns(const qe_dataset *data);
QE_API const char *qe_dataset_column_name(const qe_dataset *data, size_t column);
/* The values of a column, rows of them, or NULL if there is none of that name. */
QE_API const double *qe_dataset_column(const qe_dataset *data, const char *name);
QE_API int qe_dataset_set_column(qe_dataset *data, const char *name, const double *values);
/* sha256 (hex, 64 digits and NUL) of rows and all columns: what a manifest cites. */
QE_API int qe_dataset_sha256(const qe_dataset *data, char hex[65]);

/* Lexical translation probabilities in both directions, by IBM model 1 (Brown et al. 1993) from the pairs of a dataset.
** Words are lower-cased and, where they begin with a letter, cut to their first `letters` code points. The same bits for
** any number of threads. */
typedef struct qe_lexicon qe_lexicon;
typedef struct qe_lexicon_options {
  int iterations; /* of expectation maximisation; 0 stands for 6 */
  int letters;    /* 0 stands for 5 */
} qe_lexicon_options;
QE_API qe_lexicon *qe_lexicon_new(void);
QE_API void qe_lexicon_free(qe_lexicon *lexicon);
QE_API const char *qe_lexicon_error(const qe_lexicon *lexicon);
QE_API int qe_lexicon_train(qe_lexicon *lexicon, const qe_dataset *data, const qe_lexicon_options *options,
                            qe_pool *pool);                     /* options may be NULL */
QE_API int qe_lexicon_prune(qe_lexicon *lexicon, double least); /* drops entries less probable than that */
QE_API size_t qe_lexicon_words(const qe_lexicon *lexicon, qe_side side);
QE_API size_t qe_lexicon_entries(const qe_lexicon *lexicon, qe_side given);
/* t(other | word), `word` being of side `given` ("": the empty word) and `other` of the other side; 0 for what was never
** seen together. Expected count / (total + 1), so that rare words are not believed. */
QE_API double qe_lexicon_probability(const qe_lexicon *lexicon, qe_side given, qe_text word, qe_text other);
/* Entry `number`, by given word, most frequent first. QE_USE where there is none. Texts belong to the lexicon. */
QE_API int qe_lexicon_entry(const qe_lexicon *lexicon, qe_side given, size_t number, qe_text *word, qe_text *other,
                            double *t);

/* A batch is a choice of rows; models look up their own encoding of them (ids per token), which the dataset keeps.
** Packed, without padding:
**
**     tokens   a0 a1 a2 | b0 | c0 c1          offsets   0 3 4 6        (one more than rows)
*/
typedef struct qe_batch qe_batch; /* the dataset must outlive it and may grow; NULL for a row that is not there,
                                    ** too: see qe_dataset_error */
QE_API qe_batch *qe_batch_new(qe_dataset *data, const uint32_t *rows, size_t count);
QE_API void qe_batch_free(qe_batch *batch);
QE_API size_t qe_batch_size(const qe_batch *batch);
QE_API const uint32_t *qe_batch_rows(const qe_batch *batch);

/* Where the sentences of a packed matrix begin: offset[0] = 0 .. offset[count] = rows of the matrix. */
typedef struct qe_segments {
  const uint32_t *offset;
  uint32_t count;
} qe_segments;
/* Token offsets of the batch as `model` segments it; lives as long as the batch. */
QE_API int qe_batch_segments(qe_batch *batch, const qe_model *model, qe_side side, qe_segments *segments);

/* Endless epochs of shuffled, length-bucketed batches over chosen rows (NULL: all that there are now). Each epoch
** draws from (a copy of) `rng` once; one batch of it, anywhere, may be smaller. A saved cursor resumes mid-epoch at the
** very next batch. A bad choice of rows or size is told by qe_batcher_next. */
typedef struct qe_batcher qe_batcher;
typedef struct qe_cursor {
  qe_rng rng;     /* as it was when the epoch began, or (next = 0) will be when the next one does */
  uint64_t epoch; /* of the last batch, from 1; 0 before the first batch */
  uint64_t next;  /* batches of this epoch already given out; 0 again once qe_batcher_next has said that it ended */
} qe_cursor;
QE_API qe_batcher *qe_batcher_new(qe_dataset *data, const uint32_t *rows, size_t count, size_t batch_size,
                                  const qe_rng *rng);
QE_API void qe_batcher_free(qe_batcher *batcher);
QE_API const char *qe_batcher_error(const qe_batcher *batcher);
QE_API size_t qe_batcher_batches(const qe_batcher *batcher); /* per epoch */
/* 1 and the next batch (caller frees), 0 at the end of an epoch (the following call starts the next), or < 0. */
QE_API int qe_batcher_next(qe_batcher *batcher, qe_batch **batch);
QE_API void qe_batcher_save(const qe_batcher *batcher, qe_cursor *cursor);
QE_API int qe_batcher_restore(qe_batcher *batcher, const qe_cursor *cursor);

/* ------------------------------------------------------------------------------------------------------------
** Ring 5: tape. Matrices (row-major, contiguous) with reverse-mode gradients, recorded as they are computed.
**
** A qe_tensor is a small value: copy it freely. It belongs to its tape and dies at qe_tape_reset; a stale one is
** noticed and refused. An op with bad shapes, a stale input, or no memory returns QE_NONE and keeps the
** first message in the tape; ops given QE_NONE return QE_NONE, and most record that where a valid tensor stands beside
** it. So check once, at the end (qe_tape_status).
** Broadcasting: 1 x n over rows, m x 1 over columns, 1 x 1 over all; nothing else.
*/

#ifdef QE_DOUBLE
typedef double qe_real; /* the build that checks gradients */
#else
typedef float qe_real;
#endif

typedef struct qe_tape qe_tape;
typedef struct qe_tensor {
  qe_tape *tape;
  uint32_t id, generation;
} qe_tensor;
#define QE_NONE ((qe_tensor){ NULL, 0, 0 })

/* `shards`: into how many parts model passes split a batch, whatever the number of threads (part of what makes
** a run reproducible); 0 stands for 2. */
QE_API qe_tape *qe_tape_new(qe_pool *pool, int shards);
QE_API void qe_tape_free(qe_tape *tape);
QE_API void qe_tape_reset(qe_tape *tape); /* drops every tensor, keeps the memory, clears the error */
QE_API int qe_tape_status(const qe_tape *tape);
QE_API const char *qe_tape_error(const qe_tape *tape);
/* Nothing is recorded between off and on: results carry no gradient. Returns the previous state. */
QE_API int qe_tape_recording(qe_tape *tape, int on);

QE_API size_t qe_rows(qe_tensor t); /* 0 for QE_NONE or stale */
QE_API size_t qe_cols(qe_tensor t);
QE_API const qe_real *qe_values(qe_tensor t);
QE_API const qe_real *qe_gradient(qe_tensor t); /* after backward; NULL where none arrived */

QE_API qe_tensor qe_constant(qe_tape *tape, size_t rows, size_t cols, const qe_real *values); /* NULL: zeros */
QE_API qe_tensor qe_variable(qe_tape *tape, size_t rows, size_t cols, const qe_real *values); /* keeps a gradient */
QE_API qe_tensor qe_detach(qe_tensor a); /* same values, no gradient */

/* Gradients flow from `loss` (1 x 1, or any shape: ones are injected) back to variables and parameters, adding to
** what is there. qe_inject adds `gradient` (same shape) at any tensor before the walk; qe_tape_backward walks
** from all injected gradients. Once per recording. */
QE_API int qe_backward(qe_tensor loss);
QE_API int qe_inject(qe_tensor t, const qe_real *gradient);
QE_API int qe_tape_backward(qe_tape *tape);

/* Matrices */
typedef enum qe_transpose { QE_NN, QE_NT, QE_TN, QE_TT } qe_transpose;
QE_API qe_tensor qe_matmul(qe_tensor a, qe_tensor b, qe_transpose transpose);
QE_API qe_tensor qe_transposed(qe_tensor a);
QE_API qe_tensor qe_add(qe_tensor a, qe_tensor b); /* these four broadcast either side */
QE_API qe_tensor qe_sub(qe_tensor a, qe_tensor b);
QE_API qe_tensor qe_mul(qe_tensor a, qe_tensor b);
QE_API qe_tensor qe_div(qe_tensor a, qe_tensor b);
QE_API qe_tensor qe_affine(qe_tensor a, double scale, double shift);  /* scale a + shift */
QE_API qe_tensor qe_columns(qe_tensor a, size_t first, size_t count); /* a slice */
QE_API qe_tensor qe_slice(qe_tensor a, size_t first, size_t count);   /* rows first .. first + count - 1 */
QE_API qe_tensor qe_beside(const qe_tensor *parts, size_t count);     /* concatenates columns */
QE_API qe_tensor qe_below(const qe_tensor *parts, size_t count);      /* concatenates rows */
QE_API qe_tensor qe_gather(qe_tensor table, const uint32_t *ids, size_t count); /* rows by id */
QE_API qe_tensor qe_pick(qe_tensor a, const uint32_t *columns);                 /* m x 1: a[i, columns[i]] */
/* Mean of rows: out[i] = mean of table[ids[j]], offset[i] <= j < offset[i+1]; zeros where there is none. */
QE_API qe_tensor qe_bag(qe_tensor table, const uint32_t *ids, qe_segments bags);

/* Elementwise */
QE_API qe_tensor qe_sigmoid(qe_tensor a);
QE_API qe_tensor qe_tanh(qe_tensor a);
QE_API qe_tensor qe_relu(qe_tensor a);
QE_API qe_tensor qe_gelu(qe_tensor a); /* x Phi(x), the erf form */
QE_API qe_tensor qe_exp(qe_tensor a);
QE_API qe_tensor qe_log(qe_tensor a);
QE_API qe_tensor qe_sqrt(qe_tensor a);
QE_API qe_tensor qe_abs(qe_tensor a);
QE_API qe_tensor qe_square(qe_tensor a);
QE_API qe_tensor qe_clamp(qe_tensor a, double low, double high); /* gradient 0 outside */
QE_API qe_tensor qe_dropout(qe_tensor a, double rate,
                            qe_rng *rng); /* kept values times 1/(1-rate); rng NULL: identity */

/* Reductions */
typedef enum qe_axis { QE_ALL, QE_OVER_ROWS, QE_OVER_COLUMNS } qe_axis; /* -> 1 x 1, 1 x n, m x 1 */
QE_API qe_tensor qe_sum(qe_tensor a, qe_axis axis);
QE_API qe_tensor qe_mean(qe_tensor a, qe_axis axis);
QE_API qe_tensor qe_max(qe_tensor a, qe_axis axis); /* the first of equals gets the gradient */

/* Rows */
QE_API qe_tensor qe_softmax(qe_tensor a, double temperature); /* per row, of a / temperature */
QE_API qe_tensor qe_log_softmax(qe_tensor a, double temperature);
QE_API qe_tensor qe_unit(qe_tensor a); /* rows scaled to norm 1; zero rows stay */
QE_API qe_tensor qe_layer_norm(qe_tensor a, qe_tensor gain, qe_tensor bias, double epsilon);

/* Losses, per row (m x 1), no reduction; gradients reach both arguments unless detached. */
QE_API qe_tensor qe_squared_error(qe_tensor a, qe_tensor b);           /* mean over columns of (a - b)^2 */
QE_API qe_tensor qe_huber(qe_tensor a, qe_tensor b, double delta);     /* mean over columns */
QE_API qe_tensor qe_cross_entropy(qe_tensor logits, qe_tensor target); /* - sum target log softmax(logits) */
QE_API qe_tensor qe_kl(qe_tensor p_logits, qe_tensor q_logits,
                       double temperature);                                   /* KL(p || q), both at T; no T^2 */
QE_API qe_tensor qe_binary_cross_entropy(qe_tensor logits, qe_tensor target); /* mean over columns */

/* Sequences: packed rows with segments (a missing segment offset array is a use error) */
typedef enum qe_pooling { QE_POOL_SUM, QE_POOL_MEAN, QE_POOL_MAX } qe_pooling;
QE_API qe_tensor qe_pool_segments(qe_tensor a, qe_segments segments, qe_pooling pooling); /* zeros for empty ones */
QE_API qe_tensor qe_segment_softmax(qe_tensor a, qe_segments segments); /* per column, over the rows of a segment */
QE_API qe_tensor qe_spread(qe_tensor a, qe_segments segments); /* row i repeated for every row of segment i */
/* Rows t - before .. t + after of the same segment side by side, zeros beyond its ends: 1-D convolution is a
** matmul of this. */
QE_API qe_tensor qe_window(qe_tensor a, qe_segments segments, size_t before, size_t after);
/* The largest singular value of a_i^T b_i / T for every segment i of T rows (Shang et al. 2021), by power iteration
** from a fixed start; a and b are tokens x n and tokens x m. -> segments x 1, 0 for empty ones. The gradient is that
** of the converged value. */
QE_API qe_tensor qe_top_singular(qe_tensor a, qe_tensor b, qe_segments segments, size_t iterations);
/* Gated recurrent unit (reset after, as PyTorch): x is tokens x n, weights n x 3h and h x 3h, biases 1 x 3h, gates
** in the order r z n; from the last row to the first where `reversed`. -> tokens x h.
**   r = s(x Wr + br + h Ur + cr)   z = s(x Wz + bz + h Uz + cz)   n = tanh(x Wn + bn + r (h Un + cn))
**   h' = (1 - z) n + z h,  h = 0 at the start of every segment */
QE_API qe_tensor qe_gru(qe_tensor x, qe_tensor input_weight, qe_tensor hidden_weight, qe_tensor input_bias,
                        qe_tensor hidden_bias, qe_segments segments, int reversed);
/* out[i] = sum over the rows t of segment i of softmax_t(logits)[t] values[t]; logits are tokens x 1. */
QE_API qe_tensor qe_attention_pool(qe_tensor values, qe_tensor logits, qe_segments segments);
/* Multi-head scaled dot-product attention within segments: queries n x d in `query_segments`, keys and values m x d
** in `key_segments` (same count); d divisible by heads. -> n x d; zeros where a key segment is empty. */
QE_API qe_tensor qe_attention(qe_tensor query, qe_tensor key, qe_tensor value, size_t heads,
                              qe_segments query_segments, qe_segments key_segments);
/* Row i of a, in segment s: its largest inner product with a row of b's segment s (as many segments); 0 where that is
** empty. -> rows of a x 1; the first of equals gets the gradient. */
QE_API qe_tensor qe_best_match(qe_tensor a, qe_tensor b, qe_segments a_segments, qe_segments b_segments);
/* Inner products of every row of a with every row of b in the same segment -> cells x 1: segment by segment, in it by
** rows of a, then of b. */
QE_API qe_tensor qe_pairwise(qe_tensor a, qe_tensor b, qe_segments a_segments, qe_segments b_segments);
/* Cells as qe_pairwise lays them, as logits: every row of a gets the sum of b's rows (`values`), weighted by a softmax over
** its cells; turned: every row of b that of a's rows. Rows with nothing to look at get zeros. */
QE_API qe_tensor qe_look(qe_tensor cells, qe_tensor values, qe_segments a_segments, qe_segments b_segments,
                         int turned);

/* ------------------------------------------------------------------------------------------------------------
** Ring 6: train
*/

/* A flat vector of floats with the layout of some parameters; the algebra of meta-learning, averaging and
** clipping. Two blocks combine only if their layouts are equal. */
typedef struct qe_block qe_block;
QE_API void qe_block_free(qe_block *block);
QE_API qe_block *qe_block_clone(const qe_block *block); /* NULL: no memory */
QE_API size_t qe_block_size(const qe_block *block);
QE_API qe_real *qe_block_values(qe_block *block);
QE_API int qe_block_fill(qe_block *x, double value);
QE_API int qe_block_copy(qe_block *y, const qe_block *x);           /* y = x */
QE_API int qe_block_axpy(qe_block *y, double a, const qe_block *x); /* y += a x */
QE_API int qe_block_lerp(qe_block *y, const qe_block *x, double t); /* y += t (x - y) */
QE_API int qe_block_scale(qe_block *y, double a);
QE_API int qe_block_dot(const qe_block *x, const qe_block *y, double *dot); /* summed in double, in a fixed order */
QE_API double qe_block_norm(const qe_block *x);
QE_API double qe_block_clip(qe_block *x, double norm); /* scales down to that norm; returns the norm before */

/* Named matrices in one block of values and one of gradients. A `sparse` matrix (an embedding table) keeps a list
** of the rows that a step touched; only those are cleared, summed and updated. */
typedef struct qe_params qe_params;
QE_API qe_params *qe_params_new(void);
QE_API void qe_params_free(qe_params *params);
QE_API const char *qe_params_error(const qe_params *params);
/* Adds a zero matrix (before first use on a tape). Returns its number or a negative status. */
QE_API int qe_params_add(qe_params *params, const char *name, size_t rows, size_t cols, int sparse);
QE_API size_t qe_params_count(const qe_params *params);
QE_API const char *qe_params_name(const qe_params *params, size_t number, size_t *rows, size_t *cols);
QE_API int qe_params_find(const qe_params *params, const char *name); /* number, or QE_USE */
QE_API qe_real *qe_params_matrix(qe_params *params, size_t number);
QE_API void qe_params_uniform(qe_params *params, size_t number, double bound, qe_rng *rng);
QE_API void qe_params_normal(qe_params *params, size_t number, double sd, qe_rng *rng);
QE_API qe_block *qe_params_values(qe_params *params);   /* belongs to params */
QE_API qe_block *qe_params_gradient(qe_params *params); /* belongs to params */
QE_API void qe_params_zero_gradient(qe_params *params);
/* The matrix on a tape; backward adds to the gradient block. */
QE_API qe_tensor qe_param(qe_tape *tape, qe_params *params, size_t number);

/* Optimisers read the gradient and write the values. Sparse matrices: only touched rows move (weight decay and
** moments included), unless `dense`. */
typedef enum qe_rule { QE_SGD, QE_ADAGRAD, QE_ADAM } qe_rule;
typedef struct qe_optimiser_options {
  qe_rule rule;
  double momentum;     /* SGD */
  double beta1, beta2; /* Adam: .9, .999 */
  double epsilon;      /* Adam 1e-8, Adagrad 1e-10 */
  double weight_decay; /* decoupled (AdamW) for Adam, added to the gradient otherwise */
  int dense;
} qe_optimiser_options;
typedef struct qe_optimiser qe_optimiser;
QE_API qe_optimiser_options qe_optimiser_defaults(qe_rule rule);
QE_API qe_optimiser *qe_optimiser_new(qe_params *params, const qe_optimiser_options *options, qe_pool *pool);
QE_API void qe_optimiser_free(qe_optimiser *optimiser);
QE_API const char *qe_optimiser_error(const qe_optimiser *optimiser);
/* The rate of matrix `number` is so many times that of a step; 0: neither it nor its state moves. 1 until told. */
QE_API int qe_optimiser_scale(qe_optimiser *optimiser, size_t number, double factor);
/* Adam: a row of sparse matrix `number` that was not touched for n steps moves n times as far when it is, `most` times at
** most, as if its gradient had been there all along. For tables of which each step draws a few rows at random, where
** else the rare ones lag behind. 1 until told; what it keeps is one more block, of step counts (exact up to 2^24). */
QE_API int qe_optimiser_catch_up(qe_optimiser *optimiser, size_t number, double most);
/* One step at this learning rate, then the gradient is cleared. A gradient that is not finite is refused
** (QE_FORMAT) and nothing changes. */
QE_API int qe_optimiser_step(qe_optimiser *optimiser, double rate);
/* State: blocks (moments, sums) and the step count, to save, restore and compare. */
QE_API uint64_t qe_optimiser_steps(const qe_optimiser *optimiser);
QE_API void qe_optimiser_set_steps(qe_optimiser *optimiser, uint64_t steps);
QE_API size_t qe_optimiser_blocks(const qe_optimiser *optimiser);
QE_API qe_block *qe_optimiser_block(qe_optimiser *optimiser, size_t number); /* belongs to the optimiser */

/* A fresh model. `configuration` is the manifest's "architecture" object, e.g.
**   {"name":"birnn","embedding":50,"hidden":50,"attention":100,"dropout":0.5,"head":"sigmoid","bins":0,
**    "max_tokens":200,"decoder_inputs":0,
**    "source":{"kind":"ngrams","buckets":32768,"lowercase":true},"target":{"kind":"words","size":20000}}
** Absent keys get defaults, unknown ones are refused. A vocabulary is one of
**   words    the most frequent ones, ties by bytes, at most "size" rows, seen "minimum" times (1)
**   ngrams   the word and its runs of 3 to 5 characters, hashed into "buckets" rows, which they share; nothing is stored
**   counted  the same n-grams, of which the most frequent have a row each and the others none; keys as for words. The
**            archive holds 16 bits of each one's hash. Better than hashing at equal bytes, where there are data to
**            count on
** What is counted is counted on `data`, as much of a text as the model reads. Values are drawn from `rng`. */
QE_API int qe_model_create(qe_model *model, const char *configuration, const qe_dataset *data, qe_rng *rng);
/* The same; an aligned student's lexicon is counted on further parallel text, too (may be NULL). In training, a pair is
** read without the share of those with the very same source. */
QE_API int qe_model_create_with(qe_model *model, const char *configuration, const qe_dataset *data,
                                const qe_dataset *parallel, qe_rng *rng);
/* An encoder of BERT's kind from a folder of Hugging Face: config.json (model_type bert, roberta or xlm-roberta),
** model.safetensors, sentencepiece.bpe.model (unigram). `configuration` holds what those do not say, e.g.
**   {"alignment":[7,11],"joint":false,"prefix":"query: ","max_tokens":200,"dropout":0.1,"head":"sigmoid","bins":0}
** alignment: each text is encoded alone and the states after these layers are aligned by cosine; joint: both are encoded
** as one sequence and pooled; either or both. "rank":N adds to each weight of a
** layer a product of two thin matrices (LoRA), which begins as nothing. "alignment":true, or not a word about either: of 12 layers 7 and 11 are
** aligned, of others those in like places, whose mean cosine is the score until somebody trains the head. `corpus`
** (may be NULL): only pieces that its texts use are kept, with "minimum":N those that occur N times in them, and what is
** needed to spell the rest; with "fine":N those that occur less often come last, and "int4" stores their rows in two bits
** a number ("rare":COUNT). Pooler and head are drawn from `rng`. The manifest's "encoder"
** names the sha256 of model.safetensors. */
QE_API int qe_model_import(qe_model *model, const char *folder, const char *configuration, const qe_dataset *corpus,
                           qe_rng *rng);
/* A model like `from` but for what `configuration` says (of an encoder: its forms and head), an object with keys of
** "architecture". Matrices of the same name and shape keep their values, others are drawn from `rng`. Decoder inputs
** are standardised on `data`, where it is not NULL. */
QE_API int qe_model_derive(qe_model *model, qe_model *from, const char *configuration, const qe_dataset *data,
                           qe_rng *rng);
/* Takes over the matrices of another model that this one has, too, by name and shape; embeddings only where both have the
** same vocabulary. Returns how many those were. */
QE_API size_t qe_model_take(qe_model *model, qe_model *from);
/* Gives an aligned student whose configuration has "context_layer" and "context_width" the encoder that it reads words in
** context by, which is copied: instead of embeddings its words have states of that layer (each text encoded alone by the
** encoder's weights without adapters; of a word, the mean over its pieces), turned by source.embedding, those of the
** translation, too, and moved by source.center, target.center. An encoder that was trained as a judge has a say of its
** own: with "score": {"scale": s, "shift": t, "context": w} in the manifest, z = t + s (raw score of the student + w times
** what the encoder says); "with_logprobs" in it has the same three for pairs that have log-probabilities, where they
** differ. The archive holds it as the member context.qe. */
QE_API int qe_model_set_context(qe_model *model, qe_model *encoder);
/* Gives an aligned student a second opinion: small boosted trees (Friedman 2001, 2002) over what can be counted of a pair,
** fitted to a column of `data` (rows where it is NaN are left out), and, where the student reads log-probabilities, a
** second forest for pairs that have them. With "score": {"forest": w, ...} in the manifest, and in its "with_logprobs",
** z = t + s (raw score of the student + w times what the trees say). Grow them on the very rows that the model was created
** with, before it is saved: those are read without their own share. The archive holds them as forest.bin, 37 bytes a
** tree. */
QE_API int qe_model_grow(qe_model *model, const qe_dataset *data, const char *column, size_t trees, qe_rng *rng);
/* What the trees say of the rows, in the unit of that column; scores: a number for each. */
QE_API int qe_model_trees(qe_model *model, const qe_dataset *data, float *scores);
/* One model of several aligned students that read words in context by the same encoder (the first's serves all), one for
** each language pair, say. A pair is scored by one member: that for whose rows of routes.source and routes.target (members x
** width), which the caller sets, the mean states of its words, of both sides, are the nearest point. Means of a language
** pair's texts tell languages badly; qestrel.routes in Lua learns points from texts. Members are copied; the archive holds
** them as member1.qe, member2.qe, ... beside context.qe. A family has no pass on a tape. */
QE_API int qe_model_create_family(qe_model *model, qe_model *const *members, size_t count);
QE_API qe_params *qe_model_params(qe_model *model); /* belongs to the model */
/* A second model of the same configuration, vocabularies and values. */
QE_API int qe_model_copy(qe_model *model, qe_model *from);
/* Makes the form that qe_score reads from the parameters as they are now. qe_model_open has done it. */
QE_API int qe_model_prepare(qe_model *model);

/* One pass of a model over a batch. Each shard of the batch has a tape of its own, run by the pool; backward of the
** outer tape runs theirs and adds their gradients in the order of the shards. */
typedef struct qe_pass {
  qe_tape *tape;
  uint32_t id, generation;
} qe_pass;
typedef struct qe_pass_options {
  qe_rng *dropout; /* NULL: no dropout (evaluation). One draw is made per pass. */
  int no_gradient; /* a teacher, a stale peer */
  int no_head;     /* no "score" and "logits": the caller has a head of its own */
  /* birnn: tokens x embedding in place of ids, or QE_NONE. encoder with a joint form: source_embedding holds its rows
  ** (tap "joint.layerN") as they were after `first_layer` layers; those are not run again. */
  qe_tensor source_embedding, target_embedding;
  int first_layer;
  int last_layer;    /* encoder: no layer above it is run and there is no head; 0: all of them */
  int frozen_layers; /* encoder: so many layers get no gradient, the embeddings counting as the first; 0: none */
} qe_pass_options;
QE_API qe_pass qe_model_forward(qe_tape *tape, qe_model *model, qe_batch *batch, const qe_pass_options *options);
/* A named intermediate of all shards, in batch order; a use error names the taps that exist. All kinds: "score" (0..1),
** "logits" (bins, or the one logit), "pooled", "inputs" (of the head: pooled and the decoder's). birnn, per side:
** "source.embedding", ".states", ".projected", ".attention", ".pooled". aligned, per side: "source.embedding", ".context", ".states",
** ".seen" (what a word sees of the other side), ".compared"; and "alignment", logits as qe_pairwise lays them, the words of
** the translation first. encoder, per side: "source.layerN", tokens x
** width, N = 0 the embeddings, of the text encoded alone where the model does that, otherwise beside the other; and
** "joint.layerN", where there is that form, with all its rows. */
QE_API qe_tensor qe_pass_tap(qe_pass pass, const char *name);
/* States of pieces (a tap of model `from`, an encoder) as states of the words that model `to` reads: the mean over the
** pieces that cover a word; zeros where none does, because the text was cut off. -> words x width of `states`. */
QE_API qe_tensor qe_states_of_words(qe_tensor states, qe_batch *batch, qe_side side, const qe_model *from,
                                    const qe_model *to);
QE_API const char *qe_model_taps(const qe_model *model); /* their names, separated by spaces */
QE_API qe_tensor qe_batch_column(qe_tape *tape, qe_batch *batch, const char *name); /* rows x 1 constant */

/* Hidden states of one layer, kept so that students learn from them without the teacher that had them (Liu et al. 2021):
** of every text, in the order of adding, the most important tokens and of these the cells furthest from zero. */
typedef struct qe_states qe_states;
/* Words of the translations as the model cuts them (its target segments) x 2: 1 for those that share a character with a
** token tagged BAD; 1 for those of rows whose tags are known and spell the translation. */
QE_API qe_tensor qe_batch_tags(qe_tape *tape, qe_batch *batch, const qe_model *model);
typedef struct qe_states_options {
  size_t tokens; /* kept of a text, most important first; 0: all */
  double share;  /* of the cells of kept tokens, 0..1, largest absolute value first */
  qe_rng *rng;   /* not NULL: cells drawn at random instead (a control) */
} qe_states_options;
QE_API qe_states *qe_states_new(size_t width); /* 1..65535; NULL: another one, or no memory */
QE_API void qe_states_free(qe_states *states);
QE_API const char *qe_states_error(const qe_states *states);
QE_API size_t qe_states_count(const qe_states *states); /* of texts */
QE_API size_t qe_states_width(const qe_states *states);
/* Adds the texts of a batch: x is tokens x width, importance tokens x 1, or QE_NONE for the first tokens first. */
QE_API int qe_states_add(qe_states *states, qe_tensor x, qe_tensor importance, qe_segments segments,
                         const qe_states_options *options);
/* The whole store; valid until it is changed. 4 bytes per kept cell, 2 where all are kept, 8 per text. */
QE_API qe_text qe_states_bytes(const qe_states *states);
QE_API int qe_states_read(qe_states *states,
                          qe_text bytes); /* replaces what is there (not by its own bytes); empty after a failure */
/* Texts rows[i] (from 0) as constants, tokens x width: kept cells with mask 1, all others 0 with mask 0. Segment i must
** have as many tokens as text rows[i] had. */
QE_API qe_tensor qe_states_target(qe_tape *tape, const qe_states *states, const uint32_t *rows,
                                  qe_segments segments, qe_tensor *mask);

/* Sampling a softmax over many classes (Li et al. 2018), which are known by their rank in the teacher's eyes, 0 for the
** likeliest. Ranks fall into groups, 0 1 2 3 4-5 6-7 8-11 12-15 ..; a proposal says how much of each group is drawn.
** Estimates by k draws divide by exp(log_q) and normalise over the draws. */
typedef struct qe_proposal qe_proposal;
QE_API size_t qe_proposal_groups(size_t classes);
/* masses: one per group, in any unit, NULL for equal shares of all classes; `uniform` (0..1): the part that is spread
** evenly over all classes whatever the masses. NULL: nonsense, or no memory. */
QE_API qe_proposal *qe_proposal_new(size_t classes, const double *masses, double uniform);
QE_API void qe_proposal_free(qe_proposal *proposal);
/* Stratified draws: each has an equal part of the probability for itself, which makes estimates steadier than independent
** draws do; ranks ascend and may repeat. Constant time each, whatever the number of classes. log_q: natural log of the
** probability. */
QE_API void qe_proposal_draw(const qe_proposal *proposal, qe_rng *rng, size_t count, uint32_t *ranks,
                             double *log_q);
/* Mean |p - q| of the rows (probabilities, examples x classes) by group of p's rank, the best masses there are for
** these rows; q QE_NONE: p itself, which is a proposal that knows the teacher alone. */
QE_API int qe_proposal_masses(qe_tensor p, qe_tensor q, double *masses);
/* Bins of 0..1 as classes, drawn for `count` targets (0..1) that share all that is drawn: each has an equal part of the
** `draws`, around itself, a bin's rank being how many are nearer to the target. bins: from 0. log_q: natural log of the
** mean over targets of the probability, which is what estimates divide by (balance heuristic, Veach & Guibas 1995). */
QE_API int qe_proposal_draw_bins(const qe_proposal *proposal, qe_rng *rng, const double *targets, size_t count,
                                 size_t draws, uint32_t *bins, double *log_q);

/* Manifest. The model's own part (architecture, members, golden) is kept by the library; a JSON object merged here
** describes the rest: languages, score {type, direction, scale, shift}, calibration {a, b, meaning}, spread {a, b},
** words {threshold}, weights, recipe, data,
** teacher, metrics, license, created_by. A null value removes a key. */
QE_API int qe_model_describe(qe_model *model, const char *json);
QE_API const char *qe_model_card(const qe_model *model); /* Markdown; "" if there is none yet */
QE_API int qe_model_set_card(qe_model *model, const char *markdown);
QE_API int qe_model_set_licence(qe_model *model, const char *text);
/* The pairs that the archive will be tested with; their scores are computed when it is saved. */
QE_API int qe_model_set_golden(qe_model *model, const qe_pair *pairs, size_t count);
/* How matrices are stored: "f32", "bf16", "int8" (rows with a scale each) for sparse matrices, f32 for the others;
** "int8-all": int8 for those of more than one row, too; "int4": four bits and half a bit of scale for a number of any
** matrix of at least 16 rows and columns, and of sparse ones (two bits in the rows of an encoder's rare pieces), int8 for
** other matrices.
** Rounds the values in place, so that what is saved scores exactly like what is in memory. */
QE_API int qe_model_round(qe_model *model, const char *type);
/* Written to a temporary file beside `path`, synced, renamed, folder synced. Same model, same bytes. */
QE_API int qe_model_save(qe_model *model, const char *path);

/* The archive below: named members, uncompressed ustar in canonical form, held in memory. */
typedef struct qe_archive qe_archive;
QE_API qe_archive *qe_archive_new(void);
QE_API void qe_archive_free(qe_archive *archive);
QE_API const char *qe_archive_error(const qe_archive *archive);
QE_API int qe_archive_add(qe_archive *archive, const char *name, const void *bytes, size_t size); /* copies */
QE_API int qe_archive_open(qe_archive *archive, const char *path, size_t limit);
QE_API int qe_archive_open_memory(qe_archive *archive, const void *bytes, size_t size, size_t limit);
QE_API size_t qe_archive_count(const qe_archive *archive);
QE_API const char *qe_archive_name(const qe_archive *archive, size_t number);
QE_API int qe_archive_find(const qe_archive *archive, const char *name); /* number, or QE_FORMAT */
QE_API qe_text qe_archive_member(const qe_archive *archive, size_t number);
QE_API int qe_archive_save(qe_archive *archive, const char *path);
/* A folder of members (pack) and back (unpack; the folder must not exist or be empty). Packing recomputes the
** manifest's list of members and refuses what qe_model_open would refuse. */
QE_API int qe_pack(qe_archive *archive, const char *folder, const char *path);
QE_API int qe_unpack(qe_archive *archive, const char *path, const char *folder);

/* sha256 in hex. */
QE_API void qe_sha256(const void *bytes, size_t size, char hex[65]);
/* Whole-file write: temporary file beside it, fsync, rename, fsync of the folder. `error` gets a text. */
QE_API int qe_write_file(const char *path, const qe_text *parts, size_t count, char *error, size_t error_size);

/* Products of a few odd sizes, compared with a naive loop: QE_OK, or QE_WORLD with a message that names the BLAS. */
QE_API int qe_blas_check(char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
