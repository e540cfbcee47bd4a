/*
** tokens.c - the text that a decoder's tokens stand for, so that every adapter joins them alike. Three kinds:
** SentencePiece (U+2581 stands for a blank before), BPE ("@@" at a token's end glues the next one to it), plain words.
** Tokens that are no text (end of sentence, padding, language tags) are left out. Nothing is allocated.
*/
#include "plugin.h"

#include <string.h>

struct output {
  char *bytes;
  size_t room, size; /* size: of the whole text, whatever there is room for */
};

static void put(struct output *output, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++, output->size++)
    if (output->size + 1 < output->room)
      output->bytes[output->size] = bytes[i];
}

static bool is(qestrel_plugin_text token, const char *text) {
  return token.size == strlen(text) && memcmp(token.data, text, token.size) == 0;
}

static bool wraps(qestrel_plugin_text token, const char *left, const char *right) {
  const size_t left_size = strlen(left), right_size = strlen(right);
  return token.size > left_size + right_size && memcmp(token.data, left, left_size) == 0 &&
         memcmp(token.data + token.size - right_size, right, right_size) == 0;
}

/* "eng_Latn" */
static bool is_flores_code(qestrel_plugin_text token) {
  if (token.size != 8 || token.data[3] != '_' || token.data[4] < 'A' || token.data[4] > 'Z')
    return false;
  for (size_t i = 0; i < 8; i++)
    if (i != 3 && i != 4 && (token.data[i] < 'a' || token.data[i] > 'z'))
      return false;
  return true;
}

static bool in_list(const char *words, qestrel_plugin_text token) {
  while (words && *words) {
    const size_t size = strcspn(words, " ");
    if (size == token.size && size > 0 && memcmp(words, token.data, size) == 0)
      return true;
    words += size + (words[size] == ' ');
  }
  return false;
}

static bool is_no_text(const qestrel_plugin *plugin, qestrel_plugin_text token) {
  return token.size == 0 || is(token, "</s>") || is(token, "<s>") || is(token, "<pad>") || is(token, "<unk>") ||
         is(token, "<blank>") || wraps(token, "__", "__") || wraps(token, ">>", "<<") || wraps(token, "<2", ">") ||
         is_flores_code(token) || in_list(plugin->options.strip, token);
}

static const char piece_mark[] = "\xe2\x96\x81";

static bool has_piece_mark(qestrel_plugin_text token) {
  return memmem(token.data, token.size, piece_mark, 3) != NULL;
}

static bool is_glued(qestrel_plugin_text token) {
  return token.size > 2 && memcmp(token.data + token.size - 2, "@@", 2) == 0;
}

/* By the marks that occur; SentencePiece before BPE, because "@@" is rarer in its pieces than the other way round. */
static enum token_kind kind_of(const qestrel_plugin_text *tokens, size_t count) {
  enum token_kind kind = TOKENS_PLAIN;
  for (size_t i = 0; i < count; i++) {
    if (has_piece_mark(tokens[i]))
      return TOKENS_SENTENCEPIECE;
    if (is_glued(tokens[i]))
      kind = TOKENS_BPE;
  }
  return kind;
}

static void put_pieces(struct output *output, qestrel_plugin_text token) {
  for (size_t i = 0; i < token.size;) {
    const bool mark = i + 3 <= token.size && memcmp(token.data + i, piece_mark, 3) == 0;
    if (!mark)
      put(output, token.data + i, 1);
    else if (output->size > 0)
      put(output, " ", 1);
    i += mark ? 3 : 1;
  }
}

static void put_word(struct output *output, qestrel_plugin_text token, bool *glued, bool bpe) {
  if (output->size > 0 && !*glued)
    put(output, " ", 1);
  *glued = bpe && is_glued(token);
  put(output, token.data, token.size - (*glued ? 2 : 0));
}

size_t qestrel_plugin_tokens_to_text(const qestrel_plugin *plugin, const qestrel_plugin_text *tokens, size_t count,
                                     char *out, size_t room) {
  struct output output = { out, room, 0 };
  enum token_kind kind = plugin->options.tokens;
  bool glued = false;
  if (kind == TOKENS_AUTO)
    kind = kind_of(tokens, count);
  for (size_t i = 0; i < count; i++) {
    if (is_no_text(plugin, tokens[i]))
      continue;
    if (kind == TOKENS_SENTENCEPIECE)
      put_pieces(&output, tokens[i]);
    else
      put_word(&output, tokens[i], &glued, kind == TOKENS_BPE);
  }
  if (room > 0)
    out[output.size < room ? output.size : room - 1] = '\0';
  return output.size;
}
