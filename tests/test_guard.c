/*
** test_guard.c - guards of reranking: a table of switches that are legitimate, whatever they change, and one of switches
** that must be refused and by whom; numbers, placeholders and lengths compared with naive counts; settings and errors;
** and, on random texts, that the first choice is never refused and a veto depends on nothing but its own candidate.
*/
#include "guard.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ALL = (1 << 9) - 1 };

struct change {
  const char *languages; /* "en de"; "" for unknown ones */
  const char *source, *first, *candidate;
  unsigned vetoes;
};

static qe_guards *guards_for(const char *languages) {
  char source[8] = "", target[8] = "";
  qe_guards *guards = qe_guards_new();
  assert_non_null(guards);
  sscanf(languages, "%7s %7s", source, target);
  assert_int_equal(qe_guards_languages(guards, *source ? source : NULL, *target ? target : NULL), QE_OK);
  return guards;
}

static void check_changes(const struct change *changes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const struct change *change = &changes[i];
    const qe_text candidates[] = { qe_string(change->candidate), qe_string(change->first) };
    unsigned vetoes[2] = { UINT_MAX, UINT_MAX };
    qe_guards *guards = guards_for(change->languages);
    assert_int_equal(qe_guards_check(guards, ALL, qe_string(change->source), candidates, 2, 1, vetoes), QE_OK);
    if (vetoes[0] != change->vetoes || vetoes[1] != 0)
      fail_msg("%s: %s | %s | %s: vetoes 0x%x, expected 0x%x", change->languages, change->source, change->first,
               change->candidate, vetoes[0], change->vetoes);
    qe_guards_free(guards);
  }
}

static void test_legitimate(void **state) {
  static const struct change changes[] = {
    /* numbers: digits, words, separators, scripts, dates, times, magnitudes */
    { "en de", "He has 3 dogs.", "Er hat 3 Hunde.", "Er hat drei Hunde.", 0 },
    { "en de", "He has three dogs.", "Er hat drei Hunde.", "Er hat 3 Hunde.", 0 },
    { "xx yy", "Lo ka pim.", "He has 3 dogs.", "He has three dogs.", 0 },
    { "xx yy", "Lo ka pim.", "He has three dogs.", "He has 3 dogs.", 0 },
    { "en de", "all 25 of them", "alle 25 davon", "alle fünfundzwanzig davon", 0 },
    { "et en", "kõik 25 neist", "all 25 of them", "all twenty-five of them", 0 },
    { "ro en", "350 de oameni", "350 people", "three hundred and fifty people", 0 },
    { "en et", "25 boats", "25 paati", "kakskümmend viis paati", 0 },
    { "en ro", "25 boats", "25 de bărci", "douăzeci și cinci de bărci", 0 },
    { "ru en", "25 лодок", "25 boats", "Twenty five boats", 0 },
    { "en zh", "25 boats", "25艘船", "二十五艘船", 0 },
    { "zh en", "二〇〇五年", "In 2005", "In 2005 then", 0 },
    { "en zh", "12000 people", "12000人", "1.2万人", 0 },
    { "en de", "It cost 1,000 euros", "Es kostete 1,000 Euro", "Es kostete 1.000 Euro", 0 },
    { "en et", "It cost 1,000 euros", "See maksis 1.000 eurot", "See maksis 1 000 eurot", 0 },
    { "en de", "It cost 1000 euros", "Es kostete 1000 Euro",
      "Es kostete 1\xc2\xa0"
      "000 Euro",
      0 },
    { "en de", "It cost 1000 euros", "Es kostete 1000 Euro", "Es kostete 1’000 Euro", 0 },
    { "en ne", "1,250,000 people", "1,250,000 जना", "12,50,000 जना", 0 },
    { "en de", "1,234.56 in all", "insgesamt 1,234.56", "insgesamt 1.234,56", 0 },
    { "en de", "2.5 metres", "2.5 Meter", "2,5 Meter", 0 },
    { "en de", "2.50 euros", "2.50 Euro", "2,5 Euro", 0 },
    { "en de", "0.375 of it", "0.375 davon", "0,375 davon", 0 },
    { "en de", "2 million people", "2 Millionen Leute", "2.000.000 Leute", 0 },
    { "en zh", "2 billion people", "20亿人", "二十亿人", 0 },
    { "en de", "2 trillion euros", "2 Billionen Euro", "2.000 Milliarden Euro", 0 },
    { "en ro", "2 million people", "2 milioane de oameni", "două milioane de oameni", 0 },
    { "en de", "2.5 million people", "2,5 Millionen Leute", "2500000 Leute", 0 },
    { "en de", "20% of them", "20% davon", "20 Prozent davon", 0 },
    { "en de", "on May 12, 2020", "am 12. Mai 2020", "am 12.05.2020", 0 },
    { "en de", "on 2020-05-12", "am 12/05/2020", "am 12.05.2020", 0 },
    { "en zh", "on November 26, 2008", "2008 十一月 26", "2008年11月26日", 0 },
    { "en de", "the 5th time", "das 5. Mal", "das fünfte Mal", 0 },
    { "en et", "the 1st", "1.", "esimene", 0 },
    { "de en", "im 19. Jahrhundert", "in the 19th century", "in the nineteenth century", 0 },
    { "en ro", "in the 19th century", "în secolul 19", "în secolul al XIX-lea", 0 },
    { "en zh", "in the 1830s", "在1830年代", "在19世纪30年代", 0 },
    { "en de", "in the 1990s", "in den 1990ern", "in den 90ern", 0 },
    { "en de", "at 3 pm", "um 3 Uhr nachmittags", "um 15 Uhr", 0 },
    { "en de", "at 8:30 p.m.", "um 8:30 Uhr abends", "um 20.30 Uhr", 0 },
    { "en zh", "at 8:46 in the morning", "早上8:46", "早上8点46分", 0 },
    { "en de", "versions 1.2.3 and 4", "Versionen 1.2.3 und 4", "Versionen 4 und 1.2.3", 0 },
    { "en ne", "in 2015", "2015 मा", "२०१५ मा", 0 },
    { "en si", "1,000 people", "1,000 ක්", "෧,෦෦෦ ක්", 0 },
    { "zh en", "１２个", "12 of them", "１２ of them", 0 },
    { "en ar", "in 2015", "2015 في", "في ٢٠١٥", 0 },
    { "en de", "in 2015", "im Jahr", "im Jahr 2015", 0 },
    { "en de", "in 2015", "in 16", "in 20", 0 },
    { "en de", "on page 7 of 9", "auf Seite 8 von 9", "auf Seite 7 von 8", 0 },
    /* negation */
    { "de en", "Niemand kam.", "No one came.", "Nobody came.", 0 },
    { "de en", "Niemand kam.", "Nobody came.", "There was not anyone who came.", 0 },
    { "de en", "Ich weiß es nicht.", "I do not know.", "I don't know.", 0 },
    { "de en", "Ich weiß es nicht.", "I do not know.", "I don’t know.", 0 },
    { "de en", "Ich kann es nicht.", "I cannot do it.", "I can't do it.", 0 },
    { "de en", "Ich weiß es nicht.", "I do not know.", "I do n't know.", 0 },
    { "de en", "Es ist nicht möglich.", "It is not possible.", "It is impossible.", 0 },
    { "et en", "Ta ei ole kindel.", "She is not sure.", "She is unsure.", 0 },
    { "ru en", "Он не пришёл.", "He did not come.", "He failed to come.", 0 },
    { "en de", "He came without a word.", "Er kam ohne ein Wort.", "Er kam und sagte kein Wort.", 0 },
    { "en ru", "Not only she came.", "Пришла не только она.", "Пришла и она.", 0 },
    { "de en", "Nummer 5", "number five", "no. 5", 0 },
    { "en ro", "I have not been there.", "Nu am fost acolo.", "N-am fost acolo.", 0 },
    { "en et", "He went away.", "Ta läks minema.", "Ta läks ära.", 0 },
    { "en zh", "I do not know.", "我不知道。", "我没有听说过。", 0 },
    { "", "Lo ka pim.", "He kept silent.", "He did not speak.", 0 },
    { "en de", "It is so.", "Es ist nicht so.", "Es ist so.", 0 },
    /* names: inflected, in another script, at the start of a sentence, not names at all */
    { "en et", "They met in Tallinn with Anna.", "Nad kohtusid Tallinn Anna.", "Nad kohtusid Tallinnas Annaga.",
      0 },
    { "en et", "He saw Obama there.", "Ta nägi seal Obama.", "Ta nägi seal Obamat.", 0 },
    { "en ru", "He saw Obama there.", "Он увидел там Obama.", "Он увидел там Обаму.", 0 },
    { "en zh", "He saw Mr Kowal there.", "他在那里看见了Kowal先生。", "他在那里看见了科瓦尔先生。", 0 },
    { "ru en", "Он встретил Иванова.", "He met Ivanov.", "He met Iwanow.", 0 },
    { "en de", "Dogs bark.", "Dogs bellen.", "Hunde bellen.", 0 },
    { "en de", "Then the Offensive began", "Dann begann die Offensive", "Dann begann die Krimoffensive", 0 },
    { "de en", "Er sah das Haus am Fluss.", "He saw the house at the river.", "He saw the House by the stream.",
      0 },
    { "en de", "the Radio said", "das Radio sagte", "im Radio hieß es", 0 },
    { "en de", "a visit by OBAMA", "ein Besuch von OBAMA", "ein Besuch von Obama", 0 },
    { "en de", "He met Smith.", "Er traf Schmidt.", "Er traf jemanden.", 0 },
    { "en de", "an MP of the UK", "ein MP des UK", "ein Abgeordneter Großbritanniens", 0 },
    { "ro en", "a spus Chhatrapati azi", "said Chhatrapati today", "said Chhatrapaty today", 0 },
    /* length, copy, repetition, placeholders, script: within bounds */
    { "en de", "Yes.", "Ja.", "Ja, gewiss.", 0 },
    { "en de", "He goes home now, at last", "Er geht", "Er geht jetzt endlich nach Hause", 0 },
    { "en de", "Windows Server 2019", "Windows-Server 2019", "Windows Server 2019", 0 },
    { "en en-GB", "the colour of it", "its colour", "the colour of it", 0 },
    { "en de", "very very good", "sehr gut", "sehr sehr gut", 0 },
    { "en de", "no no no no!", "nein nein nein!", "nein nein nein nein!", 0 },
    { "en de", "wait ...... what", "warte ... was", "warte ...... was", 0 },
    { "en zh", "ha ha ha", "哈哈", "哈哈哈", 0 },
    { "en de", "Click <b>here</b>, {0}.", "Hier <b>klicken</b>, {0}.", "{0}, <b>hier</b> klicken.", 0 },
    { "en de", "100% sure", "100% sicher", "100 % sicher", 0 },
    { "en de", "a < b & c > d", "a < b & c > d", "a<b&c>d", 0 },
    { "en de", "see www.example.org.", "siehe www.example.org", "siehe www.example.org.", 0 },
    { "en ru", "He goes home now", "He goes home now", "Он идёт домой", 0 },
    { "en RU_ru", "He goes home now", "He goes home now", "Он идёт домой", 0 },
    { "en ru", "on the DVD", "на диске DVD", "на диске", 0 },
    { "en de", "", "eins zwei", "zwei eins", 0 },
    { "en de", "a word", "", "", 0 },
    { "en de", "a word", "", "ein Wort", 0 },
    { "en de", "a word {0}", " ", "a word 7 %s не", 0 },
    { "en de", "a word", "ein  Wort", " ein Wort ", 0 },
  };
  (void)state;
  check_changes(changes, sizeof changes / sizeof *changes);
}

static void test_refused(void **state) {
  static const struct change changes[] = {
    { "en de", "This is what he said.", "Das hat er gesagt.", "This is what he said.", QE_GUARD_COPY },
    { "", "This is what he said.", "Das hat er gesagt.", "this is what  he said.", QE_GUARD_COPY },
    { "en de", "This is what he said to all of them.", "Das hat er allen gesagt.",
      "Das is what he said to all of them.", QE_GUARD_COPY },
    { "en de", "a word", "ein Wort", "", QE_GUARD_EMPTY },
    { "en de", "a word", "ein Wort", " \xc2\xa0\xe2\x80\x8b\t", QE_GUARD_EMPTY },
    { "", "", "ein Wort", "", QE_GUARD_EMPTY },
    { "en de", "He went home because it was late and it rained.",
      "Er ging nach Hause, weil es spät war und regnete.", "Er ging.", QE_GUARD_LENGTH },
    { "en de", "It rained.", "Es regnete.", "Es regnete, und dann ging er nach Hause, weil es spät war.",
      QE_GUARD_LENGTH },
    { "en de", "He went home.", "Er ging nach Hause.", "Er ging ging ging nach Hause.", QE_GUARD_REPETITION },
    { "en de", "He went home at last.", "Er ging endlich nach Hause.", "Er ging er ging er ging heim.",
      QE_GUARD_REPETITION },
    { "en zh", "He went home at last.", "他终于回家了。", "他终终终终于回家了。", QE_GUARD_REPETITION },
    { "en de", "He has 3 dogs.", "Er hat 3 Hunde.", "Er hat 4 Hunde.", QE_GUARD_NUMBER },
    { "en de", "He has 3 dogs.", "Er hat 3 Hunde.", "Er hat Hunde.", QE_GUARD_NUMBER },
    { "en de", "He has 3 dogs.", "Er hat drei Hunde.", "Er hat vier Hunde.", QE_GUARD_NUMBER },
    { "en de", "He has dogs.", "Er hat Hunde.", "Er hat 17 Hunde.", QE_GUARD_NUMBER },
    { "en de", "It cost 1,000 euros", "Es kostete 1000 Euro", "Es kostete 1,00 Euro", QE_GUARD_NUMBER },
    { "en de", "2.5 metres", "2,5 Meter", "25 Meter", QE_GUARD_NUMBER },
    { "en de", "2 million people", "2 Millionen Leute", "2 Milliarden Leute", QE_GUARD_NUMBER },
    { "en de", "2.5 billion people", "2,5 Milliarden Leute", "2,5 Millionen Leute", QE_GUARD_NUMBER },
    { "en ru", "on 3 March", "3 марта", "3.3 числа", QE_GUARD_NUMBER },
    { "en ne", "in 2015", "2015 मा", "२०१६ मा", QE_GUARD_NUMBER },
    { "en de", "7 and 7", "7 und 7", "7 und noch eine", QE_GUARD_NUMBER },
    { "", "", "Er hat 3 Hunde.", "Er hat 4 Hunde.", QE_GUARD_NUMBER },
    { "de en", "Ich weiß es nicht.", "I do not know.", "I know it.", QE_GUARD_NEGATION },
    { "en de", "He kept silent.", "Er schwieg.", "Er sagte nichts.", QE_GUARD_NEGATION },
    { "de en", "Ich weiß es.", "I know.", "I don't know.", QE_GUARD_NEGATION },
    { "en de", "Nobody came.", "Niemand kam.", "Jemand kam.", QE_GUARD_NEGATION },
    { "en et", "He does not know.", "Ta ei tea.", "Ta teab.", QE_GUARD_NEGATION },
    { "en ro", "He does not know.", "El nu știe.", "El știe.", QE_GUARD_NEGATION },
    { "en ru", "He does not know.", "Он не знает.", "Он знает.", QE_GUARD_NEGATION },
    { "en zh", "He does not have it.", "他没有它。", "他有它。", QE_GUARD_NEGATION },
    { "zh en", "他没有来。", "He did not come.", "He came here.", QE_GUARD_NEGATION },
    { "ne en", "म जान्दिन र यो राम्रो छैन।", "It is not good.", "It is good.", QE_GUARD_NEGATION },
    { "si en", "එය හොඳ නැත.", "It is not good.", "It is good.", QE_GUARD_NEGATION },
    { "en es", "He never came.", "Nunca vino.", "Vino ayer.", QE_GUARD_NEGATION },
    { "", "Ich weiß es nicht.", "I do not know.", "I know it.", QE_GUARD_NEGATION },
    { "en de", "Then he saw Obama.", "Dann sah er Obama.", "Dann sah er Merkel.", QE_GUARD_NAME },
    { "en de", "Then he saw Obama.", "Dann sah er Obama.", "Dann sah er ihn.", QE_GUARD_NAME },
    { "en de", "the iPhone here", "das iPhone hier", "das Telefon hier", QE_GUARD_NAME },
    { "en de", "Press {0} now", "Jetzt {0} drücken", "Jetzt {1} drücken", QE_GUARD_PLACEHOLDER },
    { "en de", "Press %s now", "Jetzt %s drücken", "Jetzt drücken", QE_GUARD_PLACEHOLDER },
    { "en de", "Press %1$s or %(key)s", "%1$s oder %(key)s drücken", "%1$s oder Taste drücken",
      QE_GUARD_PLACEHOLDER },
    { "en de", "In $HOME or ${dir}", "In $HOME oder ${dir}", "In $HEIM oder ${dir}", QE_GUARD_PLACEHOLDER },
    { "en de", "Click <b>here</b>", "<b>Hier</b> klicken", "<b>Hier klicken", QE_GUARD_PLACEHOLDER },
    { "en de", "from __NAME__ today", "heute von __NAME__", "heute von Name", QE_GUARD_PLACEHOLDER },
    { "en de", "see https://example.org/a?b=1", "siehe https://example.org/a?b=1", "siehe https://example.org/a",
      QE_GUARD_PLACEHOLDER },
    { "en de", "to a.b@example.org today", "heute an a.b@example.org", "heute an a@example.org",
      QE_GUARD_PLACEHOLDER },
    { "en de", "salt & pepper", "Salz & Pfeffer", "Salz &amp; Pfeffer", QE_GUARD_PLACEHOLDER },
    { "en de", "salt &amp; pepper", "Salz &amp; Pfeffer", "Salz & Pfeffer", QE_GUARD_PLACEHOLDER },
    { "en de", "He goes home now", "Er geht nach Hause", "Он идёт домой", QE_GUARD_SCRIPT },
    { "en", "He goes home now", "Er geht nach Hause", "Он идёт домой", QE_GUARD_SCRIPT },
    { "en zh-Latn", "He goes home now", "Ta xianzai huijia", "他现在回家", QE_GUARD_SCRIPT },
    { "en zh", "He goes home now", "他现在回家", "他 goes home now", QE_GUARD_COPY | QE_GUARD_SCRIPT },
    { "en de", "He has 3 dogs and does not see Obama {0}.", "Er hat 3 Hunde und sieht Obama nicht {0}.",
      "Er hat Hunde und sieht Merkel.",
      QE_GUARD_NUMBER | QE_GUARD_NEGATION | QE_GUARD_NAME | QE_GUARD_PLACEHOLDER },
  };
  (void)state;
  check_changes(changes, sizeof changes / sizeof *changes);
}

/* ---- naive counts ---- */

static unsigned check_one(const char *source, const char *first, const char *candidate, unsigned enabled) {
  const qe_text candidates[] = { qe_string(first), qe_string(candidate) };
  unsigned vetoes[2];
  qe_guards *guards = guards_for("en de");
  assert_int_equal(qe_guards_check(guards, enabled, qe_string(source), candidates, 2, 0, vetoes), QE_OK);
  qe_guards_free(guards);
  return vetoes[1];
}

enum { KINDS = 6, STYLES = 5, PIECES = 6 };

static const char *const numbers[KINDS][STYLES] = {
  { "1000", "1,000", "1.000", "1 000", "１０００" },
  { "7", "07", "7", "７", "७" },
  { "2.5", "2,5", "2.50", "２.５", "२.५" },
  { "1234567", "1,234,567", "1.234.567", "12,34,567", "1'234'567" },
  { "48", "４８", "४८", "48", "٤٨" },
  { "365.25", "365,25", "３６５．２５", "365.2500", "३६५.२५" },
};
static const char *const placeholders[KINDS][STYLES] = {
  { "{0}", "{0}", "{0}", "{0}", "{0}" },
  { "%d", "%d", "%d", "%d", "%d" },
  { "<br/>", "<br/>", "<br/>", "<br/>", "<br/>" },
  { "{{name}}", "{{name}}", "{{name}}", "{{name}}", "{{name}}" },
  { "http://a.example/x", "http://a.example/x", "http://a.example/x", "http://a.example/x", "http://a.example/x" },
  { "x@y.example", "x@y.example", "x@y.example", "x@y.example", "x@y.example" },
};

/* A text of pieces among words, and how many of each kind are in it. */
static void draw(qe_rng *rng, const char *const pieces[KINDS][STYLES], char *text, int count[KINDS]) {
  const size_t length = qe_rng_below(rng, PIECES);
  memset(count, 0, KINDS * sizeof *count);
  strcpy(text, "so");
  for (size_t i = 0; i < length; i++) {
    const size_t kind = qe_rng_below(rng, KINDS);
    strcat(strcat(strcat(text, " "), pieces[kind][qe_rng_below(rng, STYLES)]), " ka");
    count[kind]++;
  }
}

static int distance(const int *a, const int *b) {
  int sum = 0;
  for (size_t i = 0; i < KINDS; i++)
    sum += abs(a[i] - b[i]);
  return sum;
}

static void compare_with_counts(const char *const pieces[KINDS][STYLES], unsigned guard) {
  char text[3][512];
  int count[3][KINDS], refused = 0;
  qe_rng rng;
  qe_rng_seed(&rng, guard, "counts");
  for (int round = 0; round < 2000; round++) {
    for (size_t i = 0; i < 3; i++)
      draw(&rng, pieces, text[i], count[i]);
    const bool expected = distance(count[0], count[2]) > distance(count[0], count[1]);
    if (check_one(text[0], text[1], text[2], guard) != (expected ? guard : 0))
      fail_msg("%s | %s | %s: expected %s", text[0], text[1], text[2], expected ? "a veto" : "none");
    refused += expected;
  }
  assert_true(refused > 200 && refused < 1800);
}

static void test_counts(void **state) {
  (void)state;
  compare_with_counts(numbers, QE_GUARD_NUMBER);
  compare_with_counts(placeholders, QE_GUARD_PLACEHOLDER);
}

/* Of texts of one letter, the guard of length can be said in one line. */
static void test_lengths(void **state) {
  char text[3][64];
  (void)state;
  for (int source = 1; source < 50; source += 6)
    for (int first = 1; first < 60; first += 3)
      for (int candidate = 1; candidate < 60; candidate++) {
        const int sizes[] = { source, first, candidate };
        for (int i = 0; i < 3; i++) {
          memset(text[i], 'a' + i, (size_t)sizes[i]);
          text[i][sizes[i]] = '\0';
        }
        const double near = first > source ? (first + 1.) / (source + 1) : (source + 1.) / (first + 1);
        const double far = candidate > source ? (candidate + 1.) / (source + 1) : (source + 1.) / (candidate + 1);
        const bool expected = far > near + .001 && (candidate > 2 * first + 10 || first > 2 * candidate + 10);
        assert_int_equal(check_one(text[0], text[1], text[2], QE_GUARD_LENGTH), expected ? QE_GUARD_LENGTH : 0);
      }
}

/* More numbers and placeholders than are looked at, longer than anything: the answer stays what it was. */
static void test_long(void **state) {
  enum { SIZE = 40000 };
  static const char *const pieces[] = { "7 ", "{0} ", "a@b.c ", "&amp;", "1.1.", "一", "{{{{", "%1", "<a", "Xy " };
  char *first = malloc(2 * SIZE), *candidate = malloc(2 * SIZE);
  (void)state;
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    first[0] = '\0';
    for (size_t size = 0; size < SIZE; size += strlen(pieces[i]))
      strcpy(first + size, pieces[i]);
    strcat(strcpy(candidate, first), " ");
    assert_int_equal(check_one(first, first, candidate, ALL), 0);
    assert_true(check_one(first, candidate, "", ALL) & QE_GUARD_EMPTY);
  }
  free(first);
  free(candidate);
}

/* ---- settings ---- */

static void test_parse(void **state) {
  static const struct {
    const char *text;
    unsigned bits;
  } good[] = {
    { "all", ALL },
    { "none", 0 },
    { "", 0 },
    { "copy", QE_GUARD_COPY },
    { "copy,number", QE_GUARD_COPY | QE_GUARD_NUMBER },
    { "all,-name", ALL & ~QE_GUARD_NAME },
    { "-name,-script", ALL & ~(QE_GUARD_NAME | QE_GUARD_SCRIPT) },
    { "copy,-copy", 0 },
    { "all,none,empty", QE_GUARD_EMPTY },
    { "-all,length", QE_GUARD_LENGTH },
  };
  static const char *const bad[] = { "names", "copy,", ",copy", "copy,,number", "-none",
                                     "Copy",  " copy", "-",     "copy,x" };
  qe_guards *guards = qe_guards_new();
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    unsigned bits = UINT_MAX;
    assert_int_equal(qe_guards_parse(guards, good[i].text, &bits), QE_OK);
    assert_int_equal(bits, good[i].bits);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    unsigned bits = 77;
    if (qe_guards_parse(guards, bad[i], &bits) != QE_USE)
      fail_msg("\"%s\" is no error", bad[i]);
    assert_int_equal(bits, 77);
  }
  assert_string_equal(qe_guards_error(guards), "no guard \"x\", expected all, none or some of: copy empty length "
                                               "repetition number negation name placeholder script");
  qe_guards_free(guards);
}

static void test_names(void **state) {
  const char *name = qe_guard_names();
  qe_guards *guards = qe_guards_new();
  (void)state;
  for (unsigned bit = 1; bit <= QE_GUARD_SCRIPT; bit <<= 1) {
    char one[32];
    unsigned bits;
    int taken = 0;
    assert_int_equal(sscanf(name, "%31s%n", one, &taken), 1);
    assert_int_equal(qe_guards_parse(guards, one, &bits), QE_OK);
    assert_int_equal(bits, bit);
    name += taken;
  }
  assert_string_equal(name, "");
  qe_guards_free(guards);
}

static void test_use(void **state) {
  const qe_text text = qe_string("a");
  unsigned vetoes = 5;
  qe_guards *guards = qe_guards_new();
  (void)state;
  assert_string_equal(qe_guards_error(guards), "");
  assert_int_equal(qe_guards_check(guards, ALL, text, &text, 1, 1, &vetoes), QE_USE);
  assert_string_equal(qe_guards_error(guards), "first choice 1 of 1 candidates");
  assert_int_equal(qe_guards_check(guards, ALL + 1, text, &text, 1, 0, &vetoes), QE_USE);
  assert_string_equal(qe_guards_error(guards), "guards 0x200, expected bits below 0x200");
  assert_int_equal(vetoes, 5);
  assert_int_equal(qe_guards_check(guards, ALL, text, &text, 1, 0, &vetoes), QE_OK);
  assert_int_equal(vetoes, 0);
  assert_string_equal(qe_guards_error(guards), "");
  qe_guards_free(guards);
  qe_guards_free(NULL);
}

/* ---- random texts ---- */

enum { CANDIDATES = 12, LONGEST = 160 };

static size_t random_text(qe_rng *rng, char *text) {
  static const char *const pieces[] = {
    "the ", "not ", "n't ", "Anna ", "Haus ", "1,0",     "00 ",      "3",    "３ ",      "७", "три ",      "不是",
    "{0}",  "%s ",  "<b>",  "&amp;", "a@b",   ".org ",   "\xff",     "\xe0", "\xc2\xa0", "е́", "http://x ", "pm ",
    ":30 ", "世纪", "XIV ", "$A_B ", "__x__", "twenty ", "million ", "",     ". ",       "-", "නැත ",      "ein "
  };
  size_t size = 0;
  const size_t count = qe_rng_below(rng, 14);
  for (size_t i = 0; i < count; i++) {
    const char *piece = pieces[qe_rng_below(rng, sizeof pieces / sizeof *pieces)];
    memcpy(text + size, piece, strlen(piece));
    size += strlen(piece);
    if (qe_rng_below(rng, 12) == 0)
      text[size++] = (char)qe_rng_below(rng, 256);
  }
  return size;
}

/* Another copy of the first choice is allowed; a candidate fares the same alone, in fresh guards, and with fewer of
** them enabled. */
static void check_invariants(qe_rng *rng, qe_guards *guards, const char *languages, qe_text source,
                             const qe_text *candidates, size_t first) {
  unsigned vetoes[CANDIDATES], fewer[CANDIDATES], alone[2];
  const unsigned enabled = (unsigned)qe_rng_below(rng, ALL + 1);
  qe_guards *fresh = guards_for(languages);
  assert_int_equal(qe_guards_check(guards, ALL, source, candidates, CANDIDATES, first, vetoes), QE_OK);
  assert_int_equal(qe_guards_check(guards, enabled, source, candidates, CANDIDATES, first, fewer), QE_OK);
  assert_int_equal(vetoes[first], 0);
  for (size_t i = 0; i < CANDIDATES; i++) {
    const qe_text pair[2] = { candidates[i], candidates[first] };
    assert_int_equal(fewer[i], vetoes[i] & enabled);
    assert_int_equal(qe_guards_check(fresh, ALL, source, pair, 2, 1, alone), QE_OK);
    assert_int_equal(alone[0], vetoes[i]);
    assert_true(candidates[i].size != candidates[first].size || vetoes[i] == 0 ||
                memcmp(candidates[i].data, candidates[first].data, candidates[i].size) != 0);
  }
  qe_guards_free(fresh);
}

static void test_random(void **state) {
  static const char *const languages[] = { "en de", "de en", "en zh", "ru en", "si ne", "en en", "" };
  char bytes[CANDIDATES + 1][LONGEST];
  qe_text texts[CANDIDATES + 1];
  qe_rng rng;
  (void)state;
  qe_rng_seed(&rng, 5, "guards");
  for (size_t l = 0; l < sizeof languages / sizeof *languages; l++) {
    qe_guards *guards = guards_for(languages[l]);
    for (int round = 0; round < 150; round++) {
      for (size_t i = 0; i <= CANDIDATES; i++)
        texts[i] = (qe_text){ bytes[i], random_text(&rng, bytes[i]) };
      texts[3] = texts[5];
      check_invariants(&rng, guards, languages[l], texts[CANDIDATES], texts, round % 2 ? 5 : 0);
    }
    qe_guards_free(guards);
  }
}

/* Lists that are looked up by first byte have what a search of each finds; and there is room for all number words. */
static void test_lists_by_first_byte(void **state) {
  static const char *const lists[] = { "one ein* *ty", "two twen* zwei", "", "ty o*", "\xe4\xb8\x80 one" };
  static const char *const words[] = { "one", "ones", "eins", "ein",          "twenty", "ty",
                                       "t",   "",     "two",  "\xe4\xb8\x80", "*ty",    "x" };
  struct listed listed;
  (void)state;
  assert_true(listed_build(&listed, lists, 5));
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    const uint64_t found = listed_in(&listed, qe_string(words[i]));
    for (size_t j = 0; j < 5; j++)
      assert_int_equal(found >> j & 1, *words[i] ? reading_listed(qe_string(words[i]), false, lists[j]) : 0);
  }
  assert_true(spoken_index(&listed));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lists_by_first_byte),
    cmocka_unit_test(test_legitimate),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_counts),
    cmocka_unit_test(test_lengths),
    cmocka_unit_test(test_long),
    cmocka_unit_test(test_parse),
    cmocka_unit_test(test_names),
    cmocka_unit_test(test_use),
    cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
