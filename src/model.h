/*
** model.h - the insides of a model, private to the files that make, keep, train, pack and score one.
*/
#ifndef QE_MODEL_H
#define QE_MODEL_H
#include "data.h"
#include "evidence.h"

#include <jansson.h>

/* ---- configuration.c ---- the manifest's "architecture" object */
struct vocabulary_choice {
  enum vocabulary_kind kind;
  uint32_t rows;    /* n-gram buckets; of words at most so many, the unknown one included, until they are counted */
  uint32_t minimum; /* words seen less often are unknown */
  bool lowercase;
};
struct architecture;
enum { ENCODER_PREFIX = 32, ENCODER_MOST_LAYERS = 63, CONTEXT_WIDEST = 1 << 14, FAMILY_MOST_MEMBERS = 64 };
struct configuration {
  const struct architecture *architecture;
  size_t bins;           /* 0: sigmoid head */
  size_t decoder_inputs; /* 0 or DECODER_INPUTS */
  size_t max_tokens;     /* of a side */
  double dropout;
  struct vocabulary_choice vocabulary[2];
  union {
    struct {
      size_t embedding, hidden, attention; /* widths; states are 2 hidden wide */
    } birnn;
    struct {
      size_t embedding, states, comparison, hidden; /* widths */
      size_t window;                                /* neighbours of a word on either side that it is known by */
      double decoder_dropout;                       /* share of training rows whose log-probabilities are hidden */
      bool words;                                   /* a head that says which words of the translation are BAD */
      size_t context_layer, context_width; /* of the encoder that gives it its words; 0: they have embeddings */
      size_t least_count, least_link;      /* of what counted text is kept, see evidence.h */
      size_t forests;                      /* see forest.h */
    } aligned;
    struct {
      size_t members, context_layer, context_width; /* of all members */
      bool words;
    } family;
    struct {
      size_t width, layers, heads, inner; /* inner: of the feed-forward part */
      size_t positions, first_position;   /* rows of that table; the row of a text's first piece */
      size_t types;
      double epsilon;
      uint64_t alignment; /* bit N: both texts, each encoded alone, are aligned by their states after N layers */
      bool joint;         /* both texts are encoded as one sequence, too */
      char prefix[ENCODER_PREFIX];
      double decoder_dropout; /* as that of the aligned student; 0: every row needs them */
      size_t rank;            /* of what is added to the weights of the layers; 0: nothing */
      size_t rare;            /* the last pieces, whose rows are stored more coarsely */
    } encoder;
  };
};
/* A head of many bins is stored by bins, as sparse rows, so that a step may touch only some of them: head.weight is
** bins x inputs and head.bias bins x 1. With few it is dense, inputs x bins and 1 x bins. */
enum { FEW_BINS = 256 };
static inline bool many_bins(const struct configuration *configuration) {
  return configuration->bins > FEW_BINS;
}
enum { DECODER_INPUTS = 4 }; /* mean, minimum, sum, mean of the three lowest log-probabilities, standardised */
int configuration_parse(struct configuration *configuration, const json_t *object, struct error *error);
/* For architectures: object[key] within bounds; absent keeps *value. */
int configuration_size(const json_t *object, const char *key, size_t low, size_t high, size_t *value,
                       struct error *error);
/* The same of a number from 0 to 1. */
int configuration_share(const json_t *object, const char *key, double *value, struct error *error);
/* "text", "text_revision", "source" and "target" of those that read words. */
#define CONFIGURATION_WORD_KEYS "text", "text_revision", "source", "target"
int configuration_words(struct configuration *configuration, const json_t *object, struct error *error);
int configuration_dump_words(const struct configuration *configuration, json_t *object); /* -1: no memory */
json_t *configuration_dump(const struct configuration *configuration);                   /* NULL: no memory */

/* How many forests a model of this configuration has. */
size_t configuration_forests(const struct configuration *configuration);

struct scoring; /* what qe_score reads: parameters folded and laid out for the kernels (scoring.h) */

struct qe_model {
  struct error error;
  struct configuration configuration;
  struct vocabulary vocabulary[2];
  struct evidence *evidence; /* NULL: this kind reads none */
  struct forests *forests;   /* NULL: it has none */
  struct context *context;   /* NULL: words have embeddings, or there is no encoder yet */
  struct family *family;     /* NULL: it is none, or has no members yet */
  qe_params *params;         /* NULL: the model is empty */
  json_t *manifest;          /* what describes it: all keys but those that saving makes */
  char *manifest_text;       /* what qe_model_manifest returned last */
  char *taps;                /* their names, separated by spaces */
  char *card, *licence;
  qe_pair *golden;      /* owned copies */
  float *golden_scores; /* as the archive promised them; NULL for a model that was not opened */
  size_t golden_count;
  const char *storage; /* "f32", "bf16", "int8", "int8-all", "int4" */
  float scale, shift;  /* z = shift + scale * raw */
  /* Of an aligned student: z = shift + scale * (raw + context * what its encoder says + forest * what its trees say), by
  ** whether there are log-probabilities. */
  struct score_line {
    float scale, shift, context, forest;
  } line[2];
  float calibration[2]; /* 1 / (1 + exp(-(a z + b))) */
  float spread[2];      /* exp(a + b z); NAN: unknown */
  float word_threshold; /* of BAD */
  int script[2];        /* that the sides are written in; SCRIPT_NONE: unknown */
  float decoder_mean[DECODER_INPUTS], decoder_sd[DECODER_INPUTS];
  char sha256[65];
  struct scoring *scoring;
  uint32_t prefix[ENCODER_PREFIX + 1]; /* the pieces of an encoder's prefix */
  size_t prefix_count;
  size_t read_layers;   /* of an encoder: the lowest ones, that words are read by */
  bool inner;           /* a member of another model's archive: it holds no archives itself */
  struct context *lent; /* of an inner model: the other's encoder, which it shares; not its own */
};
int model_parameters(
    qe_model *model); /* makes them, zero, as the configuration and the vocabularies say; names the taps */
int model_start_manifest(qe_model *model);
void model_clear(qe_model *model); /* back to empty; the error stays, and what it is as an inner model */
/* package.c: opens a member of another model's archive. `lent` may be NULL; read_layers: of an encoder that words are to be
** read by, otherwise 0. */
int model_open_inner(qe_model *model, qe_text archive, struct context *lent, size_t read_layers);

/* ---- decoder.c: log-probabilities -> inputs, standardised; zeros where there are none ---- */
void decoder_inputs(const qe_model *model, const float *logprobs, size_t count, float inputs[DECODER_INPUTS]);
void decoder_fit(qe_model *model,
                 const qe_dataset *data); /* mean and sd over the rows that have log-probabilities */

/* ---- manifest.c: canonical JSON ---- */
/* Sorted keys, two spaces, nine significant digits, LF at the end; memory_free it. NULL: error recorded. */
char *manifest_dump(const json_t *manifest, size_t *size, struct error *error);
json_t *manifest_parse(qe_text text, struct error *error); /* refuses what manifest_dump would write differently */
/* The member FORMAT, one line: magic, version, sha256 of the manifest, which holds those of all others. */
#define FORMAT_PREFIX "qestrel-model "
enum { FORMAT_ROOM = sizeof FORMAT_PREFIX + sizeof "1.0 " + 65 };
void manifest_format(qe_text manifest, char line[FORMAT_ROOM]);
/* Sets "members": {name: {"sha256", "size"}} for every member but FORMAT and manifest.json. */
int manifest_list_members(json_t *manifest, const qe_archive *archive, struct error *error);
int manifest_check_members(const json_t *manifest, const qe_archive *archive, struct error *error);
/* The parts of the model that live in the manifest: score, calibration, decoder, golden. */
int manifest_read_model(qe_model *model, const json_t *manifest);
/* Everything but "members"; golden_scores: what the archive will promise. NULL: error recorded. */
json_t *manifest_of_model(qe_model *model, const float *golden_scores);
int manifest_describe(qe_model *model, const json_t *changes);

/* ---- weights.c: the member weights.bin, an exact cover ----
**   "QEWT" u32 version=1 u32 count u32 header bytes | per matrix: u8 name length, name, u8 type, u32 rows, u32 cols,
**   u64 offset, u64 size | zero padding | each matrix from a multiple of 64; all little-endian; nothing else.
** types: 0 f32; 1 bf16 (upper half of an f32, rounded to nearest even); 2 int8 (f32 scale per row, then rows x cols
** int8 in -127..127; value = scale * q; scales have 16 significant bits so that rounding twice changes nothing).
** 3 int4 (int4.h, where rows may be coarse). Storage names the type of tables (sparse matrices); others are f32, or with
** int8-all int8, with int4 int4 where they have at least 16 rows and columns, else int8; those of one row are f32 always.
*/
int weights_write(const qe_params *params, const char *storage, char **bytes, size_t *size, struct error *error);
int weights_read(qe_params *params, qe_text member, const char **storage,
                 struct error *error); /* exact shapes, finite */
void weights_round(qe_params *params, const char *storage);
const char *weights_storages(void);            /* a list of their names */
const char *weights_storage(const char *name); /* the same name, for good; NULL: there is no such storage */
/* What the reader calls a storage that there is: the first one that keeps all of these matrices as it does. */
const char *weights_read_as(const qe_params *params, const char *name);

/* ---- score.c ---- */
int scoring_prepare(qe_model *model);
void scoring_free(struct scoring *scoring);

#endif
