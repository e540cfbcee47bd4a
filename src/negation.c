/*
** negation.c - whether a text denies something, by words of nine languages. The answer has a third value, for what may
** be a negation or may not ("unlikely", "without", "not only"): a guard that accuses must see both a plain negation on one
** side and no trace of one on the other. Where the language is not known, only words count that mean nothing else in
** the other languages listed here. Scope and double negation are not looked at.
*/
#include "guard.h"

enum { EN, DE, ET, RO, RU, NE, SI, ZH, ES, LANGUAGES };

static const char *const codes[LANGUAGES] = { "en", "de", "et", "ro", "ru", "ne", "si", "zh", "es" };

/* Words separated by blanks: `plain` deny in this language, `own` of them in no other one; `faint` may deny. */
struct cues {
  const char *plain, *own, *faint;
  const char *only; /* words that make a plain negation before them faint: "not only" */
};

static const struct cues cues[LANGUAGES] = {
  [EN] = { "no", "not cannot never nothing nobody nowhere none",
           "without neither nor hardly barely scarcely rarely seldom few little less una* unc* unf* unk* unl* unp* "
           "unr* uns* "
           "unw* impossible incapable illegal* legal* lack* fail* refus* deny denie* denial avoid* absence absent "
           "zero "
           "any* non instead rather stop* prevent* dont didnt doesnt wont cant isnt ain yet until exclu* free "
           "except "
           "invalid ineligible incomplete insufficient inability disagree* different*",
           "only just" },
  [DE] = { "nie",
           "nicht nichts kein keine keiner keinen keinem keines niemals niemand niemanden niemandem nirgends",
           "ohne weder noch kaum selten unmög* unfähig* unbekannt* unklar* ungewiss* unwahr* unsicher* unzu* "
           "mangel* "
           "fehl* verweiger* statt anstatt außer *los *lose *losen *loser keinerlei wenig* nein nur erst vermeid* "
           "verhinder*",
           "nur allein" },
  [ET] = { "", "ei pole polnud poleks polevat ärge ärgu mitte",
           "ära kunagi enne alles ilma ega eba* *mata *matu *matut *matud *matuks *matute *matult puudu* keeldu* "
           "vaevalt keegi "
           "miski "
           "ühtegi eita* asemel vähe kumbki iialgi",
           "ainult üksnes vaid" },
  [RO] = { "nu", "niciodată nimic nimeni niciun nicio nicăieri",
           "n fără fara nici ne* lips* refuz* imposibil* incapabil* abia puțin niciuna niciunul decât evit* altfel",
           "numai doar" },
  [RU] = { "не", "нет никогда ничего никто никого ничто нигде нельзя никому никаких никакого",
           "ни без не* никак* бес* без* отсутств* отказ* вряд едва мало лишь кроме избе*",
           "только просто менее раз лишь" },
  [NE] = { "", "होइन होइनन् छैन छैनन् थिएन थिएनन् भएन गरेन सकेन *दैन *दैनन्",
           "न* बिना बाहेक कहिल्यै कुनै *ेन *ेनन् *एन *एनन् *इन *िन *विहीन *हीन", "मात्र" },
  [SI] = { "", "නැත නැහැ නෑ නැති නැතිව නොමැත නොමැති නොවේ නොව එපා බැහැ බැරි", "නො* නැ* තොර* කිසි* බැ* මිස", "පමණක්" },
  [ZH] = { "", "没有 沒有 不是 不会 不會 不能 不可 不要 不想 不知 并不 從未 从未 从不 并未 尚未 并非 绝不",
           "不 没 沒 未 无 無 非 别 別 勿 莫 否 免 缺 拒 难 難 禁 才", "仅 只 但 单 僅 單" },
  [ES] = { "no", "nunca jamás nadie ningún ninguna ninguno tampoco",
           "sin ni nada apenas falta* imposible* incapa* desconoc* carec* neg* rechaz* excepto evit*",
           "solo sólo solamente" },
};

int negation_language(const char *code) {
  for (int i = 0; i < LANGUAGES; i++)
    if (reading_is_language(code, codes[i]))
      return i;
  return -1;
}

/* Ideographs are words of one character, so a pattern of two stands over two words, which lie side by side. */
static bool listed(const struct reading *reading, size_t at, const char *list) {
  const bool ideograph = reading->kinds[at] == WORD_IDEOGRAPH;
  return reading_listed(ideograph ? reading_rest(reading, at) : reading_folded(reading, at), ideograph, list);
}

/* "n't" of "don't", cut at its apostrophe; of "do n't", too. */
static bool is_contraction(const struct reading *reading, size_t at) {
  if (at < 2 || !listed(reading, at, "t") || !listed(reading, at - 1, "' ’ ‘ `"))
    return false;
  const qe_text before = reading_folded(reading, at - 2);
  return before.data[before.size - 1] == 'n';
}

/* "n-am", which Romanian writes for "nu am" */
static bool is_elision(const struct reading *reading, size_t at) {
  return at + 1 < reading->words.count && listed(reading, at, "n") && listed(reading, at + 1, "- ‐ ‑ ' ’");
}

/* "No. 5" and "no 5" number things. */
static bool is_numbering(const struct reading *reading, size_t at) {
  if (!listed(reading, at, "no") || at + 1 >= reading->words.count)
    return false;
  return listed(reading, at + 1, ".") || reading->kinds[at + 1] == WORD_NUMBER;
}

/* "rather than", too: 而不是 */
static bool softened(const struct reading *reading, size_t at, const struct cues *list) {
  return is_numbering(reading, at) || (at > 0 && listed(reading, at - 1, "而")) ||
         (at + 1 < reading->words.count && listed(reading, at + 1, list->only));
}

static enum negation of_word(const struct reading *reading, size_t at, int language, bool known) {
  const struct cues *list = &cues[language];
  const bool own = listed(reading, at, list->own) || (language == EN && is_contraction(reading, at)) ||
                   (language == RO && known && is_elision(reading, at));
  const bool plain = own || listed(reading, at, list->plain);
  if (plain && (own || known) && !softened(reading, at, list))
    return NEGATION_PRESENT;
  return plain || listed(reading, at, list->faint) ? NEGATION_UNCLEAR : NEGATION_ABSENT;
}

enum negation negation_of(const struct reading *reading, int language) {
  enum negation found = NEGATION_ABSENT;
  const int first = language < 0 ? 0 : language, last = language < 0 ? LANGUAGES - 1 : language;
  for (size_t at = 0; at < reading->words.count && found != NEGATION_PRESENT; at++)
    for (int i = first; i <= last && reading->kinds[at] >= WORD_LETTERS; i++) {
      const enum negation here = of_word(reading, at, i, language >= 0);
      found = here > found ? here : found;
    }
  return found;
}
