/*
** spoken.c - numbers in words: those of eight languages, Chinese and Roman numerals, and names of months, which dates
** write as numbers. Lists of words are never complete, so number words never are a fault: they only excuse a number
** that is missing elsewhere, and what they may mean is noted generously ("twenty-five" as 20, 5 and 25).
*/
#include "guard.h"

enum { LONGEST_ROMAN = 8, LONGEST_CHINESE = 16 };

static const struct number_words {
  uint32_t value;
  const char *words;
} number_words[] = {
  { 0, "zero null* ноль ноля cero शून्य" },
  { 1, "one first once single january jan ein* erst* januar* üks ühe* esime* jaanuar* unu un una o prim* ianuarie "
       "один одн* перв* январ* uno enero एक पहिलो जनवरी එක* පළමු* ජනවාරි*" },
  { 2,
    "two second twice both february feb zwei* zwo beid* februar* kaks* kahe* teine teise* mõlema* veebruar* doi* "
    "două* doua* ambele ambii februarie два две двух* втор* оба обе феврал* dos segund* ambos febrero दुई* दोस्रो "
    "फेब्रुअरी දෙක* දෙවන* දෙ පෙබරවාරි*" },
  { 3,
    "three third* march mar drei* dritt* märz* kolm* märts* trei* martie три трех трёх* трет* март* tres tercer* "
    "marzo तीन तेस्रो मार्च තුන* තෙවන* මාර්තු*" },
  { 4,
    "four* april apr vier* neli nelja* aprill* patru* aprilie четыр* четверт* апрел* cuatro cuart* abril चार अप्रिल "
    "හතර* අප්‍රේල්*" },
  { 5, "five fifth may fünf* mai viis* viie* cinci* пят* май мая мае cinco quint* mayo पाँच* मे පහ* මැයි*" },
  { 6, "six* june jun sechs* juni kuus kuue* juuni* șase* şase* iunie шест* июн* seis junio छ जुन හය* ජූනි*" },
  { 7,
    "seven* july jul sieb* juli seits* juuli* șapte* şapte* iulie сем* седьм* июл* siete julio सात जुलाई හත* ජූලි*" },
  { 8, "eight* august aug acht* kaheksa* august* opt* восем* восьм* август* ocho agosto आठ अगस्ट අට* අගෝස්තු*" },
  { 9, "nine* ninth september sep sept neun* üheksa* septemb* nouă* septembrie девят* сентябр* nueve septiembre नौ "
       "सेप्टेम्बर නවය* සැප්තැම්බර්*" },
  { 10, "ten tenth* decade* october oct zehn* oktober* küm* oktoob* zece* octombrie десят* октябр* diez octubre "
        "दस* दश* "
        "अक्टोबर දහය* ඔක්තෝබර්*" },
  { 11, "eleven* november nov elf* üksteist* novemb* unsprezece* noiembrie одиннадцат* ноябр* once noviembre एघार "
        "नोभेम्बर එකොළ* නොවැම්බර්*" },
  { 12,
    "twelve twelfth dozen* noon midnight december dec zwölf* dutzend* dezember* kaksteist* detsemb* doisprezece* "
    "douăsprezece* decembrie двенадцат* декабр* doce diciembre बाह्र डिसेम्बर දොළ* දෙසැම්බර්*" },
  { 13, "thirteen* dreizehn* kolmteist* treisprezece* тринадцат* trece" },
  { 14, "fourteen* vierzehn* neliteist* paisprezece* четырнадцат* catorce" },
  { 15, "fifteen* fünfzehn* viisteist* cincisprezece* пятнадцат* quince" },
  { 16, "sixteen* sechzehn* kuusteist* șaisprezece* шестнадцат*" },
  { 17, "seventeen* siebzehn* seitseteist* șaptesprezece* семнадцат*" },
  { 18, "eighteen* achtzehn* kaheksateist* optsprezece* восемнадцат*" },
  { 19, "nineteen* neunzehn* üheksateist* nouăsprezece* девятнадцат*" },
  { 20, "twent* *zwanzig zwanzig* kakskümmend* kahekümne* douăzeci* двадцат* veinte बीस විසි*" },
  { 30, "thirt* *dreißig dreißig* *dreissig kolmkümmend* kolmekümne* treizeci* тридцат* treinta तीस" },
  { 40, "fort* *vierzig vierzig* nelikümmend* neljakümne* patruzeci* сорок* cuarenta चालीस" },
  { 50, "fift* *fünfzig fünfzig* viiskümmend* viiekümne* cincizeci* пятьдесят* пятидесят* cincuenta पचास" },
  { 60, "sixt* *sechzig sechzig* kuuskümmend* kuuekümne* șaizeci* шестьдесят* шестидесят* sesenta साठी" },
  { 70, "sevent* *siebzig siebzig* seitsekümmend* seitsmekümne* șaptezeci* семьдесят* семидесят* setenta सत्तरी" },
  { 80, "eight* *achtzig achtzig* kaheksakümmend* kaheksakümne* optzeci* восемьдесят* восьмидесят* ochenta असी" },
  { 90, "ninet* *neunzig neunzig* üheksakümmend* üheksakümne* nouăzeci* девяност* noventa नब्बे" },
  { 100, "hundred* centur* hundert* sada* saja* sută sute сто ста сотн* cien* सय සිය*" },
  { 1000, "thousand* tausend* tuhat* tuhan* mie mii тысяч* mil हजार* දහස*" },
  { 1000000, "million* miljon* milion* миллион* millón millones මිලියන*" },
  { 1000000000, "billion* milliard* miljard* miliard* миллиард* බිලියන*" },
};

bool spoken_index(struct listed *listed) {
  enum { LISTS = sizeof number_words / sizeof *number_words };
  const char *lists[LISTS];
  for (size_t i = 0; i < LISTS; i++)
    lists[i] = number_words[i].words;
  return listed_build(listed, lists, LISTS);
}

/* What number words in a row have made so far: "two hundred" and then "thousand". */
struct sum {
  uint64_t total, current;
};

static void sum_add(struct sum *sum, uint64_t value) {
  if (value < 100) {
    sum->current += value;
  } else if (value == 100) {
    sum->current = (sum->current > 0 ? sum->current : 1) * 100;
  } else {
    sum->total += (sum->current > 0 ? sum->current : 1) * value;
    sum->current = 0;
  }
}

/* A word may be on several lists, of several languages or as "fünfundzwanzig" is; the parts add up where one is tens
** and one is not. Returns whether it is on any. */
static bool read_number_word(struct reading *reading, qe_text word, struct sum *sum) {
  uint64_t first = 0, unit = 0, tens = 0;
  bool found = false;
  for (uint64_t lists = listed_in(reading->number_words, word); lists > 0; lists &= lists - 1) {
    const uint64_t value = number_words[__builtin_ctzll(lists)].value;
    numerals_add(&reading->spoken, value, 0);
    first = found ? first : value;
    unit = value < 10 ? value : unit;
    tens = value >= 20 && value < 100 ? value : tens;
    found = true;
  }
  if (found) {
    sum_add(sum, tens > 0 ? tens : first);
    numerals_add(&reading->spoken, sum->total + sum->current, 0);
    if (tens > 0)
      numerals_add(&reading->spoken, tens + unit, 0);
  }
  return found;
}

/* ---- Roman ---- */

static int roman_digit(char c) {
  static const char names[] = "IVXLCDM";
  static const int values[] = { 1, 5, 10, 50, 100, 500, 1000 };
  const char *found = c != '\0' ? strchr(names, c) : NULL;
  return found ? values[found - names] : 0;
}

static void read_roman(struct reading *reading, qe_text word) {
  int value = 0;
  for (size_t i = 0; i < word.size && i < LONGEST_ROMAN; i++) {
    const int digit = roman_digit(word.data[i]), next = i + 1 < word.size ? roman_digit(word.data[i + 1]) : 0;
    if (digit == 0)
      return;
    value += digit < next ? -digit : digit;
  }
  if (value > 0 && word.size <= LONGEST_ROMAN)
    numerals_add(&reading->spoken, (uint64_t)value, 0);
}

/* ---- Chinese ---- */

/* Digits 0..9, units as powers of ten from 10 on, else -1. */
static int64_t ideograph_value(qe_text word) {
  static const struct {
    int64_t value;
    const char *characters;
  } values[] = {
    { 0, "〇 零" }, { 1, "一" },   { 2, "二 两 兩" }, { 3, "三" },        { 4, "四" },
    { 5, "五" },    { 6, "六" },   { 7, "七" },       { 8, "八" },        { 9, "九" },
    { 10, "十" },   { 100, "百" }, { 1000, "千" },    { 10000, "万 萬" }, { 100000000, "亿 億" },
  };
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    if (reading_listed(word, false, values[i].characters))
      return values[i].value;
  return -1;
}

/* A run of numerals from word `start`: 二十五 is 25, 二〇〇五 is 2005. Returns how many words that are. */
static size_t read_ideographs(struct reading *reading, size_t start) {
  uint64_t total = 0, section = 0, digit = 0;
  bool units = false;
  size_t at = start;
  for (; at < reading->words.count && at - start < LONGEST_CHINESE; at++) {
    const int64_t value = ideograph_value(reading_word(reading, at));
    if (value < 0)
      break;
    const uint64_t number = (uint64_t)value;
    if (number < 10) {
      digit = units ? number : digit * 10 + number;
      continue;
    }
    units = true;
    section += (digit > 0 || section > 0 ? digit : 1) * (number < 10000 ? number : 0);
    if (number >= 10000) {
      total = (total + section + digit) * number;
      section = 0;
    }
    digit = 0;
  }
  if (at > start)
    numerals_add(&reading->spoken, total + section + digit, 0);
  return at - start;
}

/* ---- all of them ---- */

const struct numerals *spoken_of(struct reading *reading) {
  struct sum sum = { 0, 0 };
  if (reading->spoken_known)
    return &reading->spoken;
  reading->spoken.count = 0;
  for (size_t i = 0; i < reading->words.count; i++) {
    const qe_text word = reading_folded(reading, i);
    if (reading->kinds[i] == WORD_IDEOGRAPH) {
      const size_t taken = read_ideographs(reading, i);
      i += taken > 0 ? taken - 1 : 0;
    } else if (reading->kinds[i] == WORD_LETTERS) {
      read_roman(reading, reading_word(reading, i));
      if (!read_number_word(reading, word, &sum) && !reading_listed(word, false, "and și şi y"))
        sum = (struct sum){ 0, 0 };
    } else if (!reading_listed(word, false, "-")) {
      sum = (struct sum){ 0, 0 };
    }
  }
  reading->spoken_known = true;
  return &reading->spoken;
}
