// The words and values of the case page, as the server wrote them into it.
"use strict";

export const data = JSON.parse(document.getElementById("case-data").textContent);

/** Where the pictures and marks are read and saved: those of the case, or of one reading of it. */
export const base = data.base ?? `/cases/${data.caseId}`;

/** The words of `key`; `values` fill its {places}, `count` chooses the form. */
export function t(key, values = {}) {
  const forms = data.texts[key] ?? [key];
  const words = forms.length === 1 || values.count === 1 ? forms[0] : forms[1];
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const labelOf = (code) => data.labels.find((one) => one.code === code)?.label ?? code;

/** A number with so many places at most, as the language writes it. */
export const figure = (value, places = 0) => value.toLocaleString(data.lang, { maximumFractionDigits: places });

/** An id that nobody else has; randomUUID is not there on plain HTTP. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

/** An element with its class, text and attributes. */
export function make(tag, { text, icon, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  if (icon) element.append(document.getElementById(`icon-${icon}`).content.cloneNode(true));
  if (text !== undefined) element.append(text);
  element.append(...children);
  return element;
}
