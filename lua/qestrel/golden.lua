--- Pairs that an archive is tested with each time it is opened, where a user gives none: short sentences in several
-- scripts, good and bad translations, an empty side, digits, a word that no vocabulary holds.
-- @module qestrel.golden
return {
  { "Kass magab ahju peal.", "The cat is sleeping on the stove." },
  { "Kass magab ahju peal.", "The oven of cat magab over." },
  { "Homme sõidame rongiga mere äärde.", "Tomorrow we will take the train to the seaside." },
  { "Laps küsis, miks taevas on sinine.", "The child asked why the sky is blue." },
  { "Sild avati 1987. aastal.", "The bridge was opened in 1987." },
  { "Sild avati 1987. aastal.", "The bridge was closed in 1897, 1897." },
  { "Our neighbour bakes bread every Friday.", "Unser Nachbar backt jeden Freitag Brot." },
  { "我们明天去海边。", "We are going to the seaside tomorrow." },
  { "Завтра будет дождь, возьми зонт!", "It will rain tomorrow, take an umbrella!" },
  { "Zxqvortl gremblix 42", "42 zxqvortl" },
  { "", "Nothing was said." },
  { "Ta ei vastanud.", "" },
}
