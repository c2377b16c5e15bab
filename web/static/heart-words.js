// The words and values of the heart panel, as the server wrote them into the page; null for other organs.
"use strict";
import { figure } from "./viewer-words.js";

const place = document.getElementById("heart-data");

export const heart = place ? JSON.parse(place.textContent) : null;

/** The words of `key`; `values` fill its {places}. */
export const say = (key, values = {}) => (heart.texts[key]?.[0] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

export const fixed = (value, places) => figure(Number(value.toFixed(places)), places);
