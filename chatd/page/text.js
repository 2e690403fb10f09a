// Words for people: what others wrote made safe to show, links, times, colours. Nothing here makes HTML out of text.

// Control characters, and what turns the direction of what follows, except for tabs and new lines.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;
const LINK = /\bhttps?:\/\/[^\s<>"`]+/giu;
const WORD = /[\p{L}\p{N}_.-]/u;

/** A text without what is not meant to be seen. */
export const clean = (text) =>
  String(text ?? "")
    .replace(/\r\n?/g, "\n")
    .replace(UNSEEN, "");

/** An element: `make("a", {className, textContent, …}, …children)`. */
export function make(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children.filter((child) => child !== null));
  return found;
}

/** A text as nodes: links are links, and one's own name is marked. */
export function nodes(text, nick = "") {
  const found = [];
  let start = 0;
  for (const { index, 0: match } of text.matchAll(LINK)) {
    const typed = trimmed(match);
    const link = linked(typed);
    if (!link) continue;
    found.push(...marked(text.slice(start, index), nick), link);
    start = index + typed.length;
  }
  return [...found, ...marked(text.slice(start), nick)];
}

/** An address without what belongs to the sentence around it. */
function trimmed(address) {
  let end = address.length;
  while (end) {
    const last = address[end - 1];
    const open = { ")": "(", "]": "[", "}": "{" }[last];
    const text = address.slice(0, end);
    const isClosing = open && text.split(last).length > text.split(open).length;
    if (!isClosing && !".,;:!?'*".includes(last)) break;
    end -= 1;
  }
  return address.slice(0, end);
}

function linked(typed) {
  if (!URL.canParse(typed)) return null;
  const { protocol, href } = new URL(typed);
  if (protocol !== "http:" && protocol !== "https:") return null;
  return make("a", { href, title: href, textContent: typed, target: "_blank", rel: "noopener noreferrer nofollow" });
}

function marked(text, nick) {
  const found = [];
  let start = 0;
  for (const at of placesOf(text, nick)) {
    found.push(text.slice(start, at), make("mark", { textContent: text.slice(at, at + nick.length) }));
    start = at + nick.length;
  }
  return [...found, text.slice(start)].filter((piece) => piece !== "");
}

function* placesOf(text, nick) {
  if (!nick) return;
  const low = text.toLowerCase();
  if (low.length !== text.length) return; // a letter that grows: the places would not be the same
  const wanted = nick.toLowerCase();
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, at + 1)) {
    if (!WORD.test(text[at - 1] ?? " ") && !/[\p{L}\p{N}_]/u.test(text[at + nick.length] ?? " ")) yield at;
  }
}

/** Whether somebody is named in a text. */
export const names = (text, nick) => !placesOf(text, nick).next().done;

/** Whether two names are one. */
export const isSame = (one, other) => fold(one) === fold(other);
export const fold = (name) => (name ?? "").normalize("NFKC").toLowerCase();

/** One of eight colours for a name, always the same. */
export function colour(nick) {
  let sum = 0;
  for (const letter of fold(nick)) sum = (sum * 31 + letter.codePointAt(0)) % 65_521;
  return `colour${sum % 8}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const both = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const timeOf = (moment) => clock.format(new Date(moment));
export const dayOf = (moment) => calendar.format(new Date(moment));
export const dateAndTime = (moment) => both.format(new Date(moment));

/** `1 message`, `2 messages`. */
export const many = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;
