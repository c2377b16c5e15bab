// Finding a choice by what a person types: Japanese in kanji, either kana or Latin letters, English, an abbreviation or a code.
"use strict";

// Kana in the spelling of Kunrei, the plainest: a reading that is typed in any of the usual ways comes to the same letters.
const ROWS = { "": "あいうえお", k: "かきくけこ", g: "がぎぐげご", s: "さしすせそ", z: "ざじずぜぞ", t: "たちつてと", d: "だぢづでど", n: "なにぬねの", h: "はひふへほ", b: "ばびぶべぼ", p: "ぱぴぷぺぽ", m: "まみむめも", r: "らりるれろ" };
const KANA = new Map([..."やゆよ"].map((kana, place) => [kana, `y${"auo"[place]}`]));
for (const [letter, row] of Object.entries(ROWS)) [...row].forEach((kana, place) => KANA.set(kana, letter + "aiueo"[place]));
for (const [kana, letters] of Object.entries({ わ: "wa", を: "o", ん: "n", ゔ: "bu", ぢ: "zi", づ: "zu" })) KANA.set(kana, letters);
const SMALL = { ゃ: "ya", ゅ: "yu", ょ: "yo", ぁ: "a", ぃ: "i", ぅ: "u", ぇ: "e", ぉ: "o" };
// Characters that are as often written in kana, or in an older form.
const WRITTEN = { 癌: "がん", 嚢: "のう", 囊: "のう", 濾: "ろ", 膿: "のう", 瘤: "りゅう", 腔: "くう" };
const SPELLINGS = [
  [/['’\-ー\s]/g, ""], [/sh(?=[auoe])/g, "sy"], [/shi/g, "si"], [/ch(?=[auoe])/g, "ty"], [/chi/g, "ti"], [/tsu/g, "tu"], [/f/g, "h"], [/v/g, "b"],
  [/j(?=[auoe])/g, "zy"], [/ji/g, "zi"], [/d[zu]u?/g, "zu"], [/m(?=[bp])/g, "n"], [/n+/g, "n"], [/o[ou]+/g, "o"], [/u{2,}/g, "u"], [/e[ei]+/g, "e"], [/i{2,}/g, "i"], [/a{2,}/g, "a"],
];

/** One width, one case, no accents on Latin letters. */
export const plain = (text) => text.normalize("NFKC").toLowerCase().normalize("NFD").replace(/([a-z])[\u0300-\u036f]+/g, "$1").normalize("NFC");

function letters(text) {
  let made = "";
  let isDoubled = false;
  for (const kana of text) {
    if (kana === "っ") { isDoubled = true; continue; }
    const small = SMALL[kana];
    const next = small ?? KANA.get(kana) ?? kana;
    // A small vowel takes the place of the one before it: te + i is ti, zi + e is zye.
    if (small) made = made.replace(/[aiueo]$/, "") + (small.length === 1 && /[sztd]i$/.test(made) ? "y" : "") + small;
    else made += (isDoubled ? next[0] : "") + next;
    isDoubled = false;
  }
  return made;
}

/** The same letters for every way in which a word is usually written. */
export function fold(text) {
  const written = [...plain(text)].map((sign) => WRITTEN[sign] ?? sign).join("");
  const hiragana = written.replace(/[ァ-ヴ]/g, (kana) => String.fromCharCode(kana.charCodeAt(0) - 0x60));
  return SPELLINGS.reduce((made, [pattern, letter]) => made.replace(pattern, letter), letters(hiragana));
}

/** How well `typed` fits a choice's words ("a | b | c"): 0 not at all, 3 when one of them is just that. Every part must be there. */
export function rank(words, typed) {
  const parts = plain(typed).split(/\s+/).filter(Boolean);
  if (!parts.length) return 1;
  const known = words.split(" | ");
  const has = (part) => known.some((word) => plain(word).includes(part) || (part.length > 1 && fold(word).includes(fold(part))));
  if (!parts.every(has)) return 0;
  const [whole, folded] = [plain(typed).trim(), fold(typed)];
  if (known.some((word) => plain(word) === whole || fold(word) === folded)) return 3;
  return known.some((word) => plain(word).startsWith(whole) || fold(word).startsWith(folded)) ? 2 : 1;
}
