// What can be typed behind a slash, as on the line port. What is wrong is told by a `SyntaxError` with words for people.

const first = (rest, usage) => {
  const [, word, more] = rest.match(/^(\S+)\s*([^]*)$/) ?? [];
  if (!word) throw new SyntaxError(usage);
  return [word.replace(/^@/, ""), more];
};

const order = (action, more = {}) => ({ chat, room, rest, usage }) => {
  const [target, reason] = first(rest, usage);
  return chat.wire.ask("moderate", { room: room.name, action, target, ...(reason ? { reason } : {}), ...more });
};

/** `ban` and `mute` may have how long after the name: `10m`, `2h`, `7d`. */
const orderFor = (action) => ({ chat, room, rest, usage }) => {
  const [target, more] = first(rest, usage);
  const [, duration, reason] = more.match(/^(\d+[smhdw]?)?(?:\s+|$)?([^]*)$/);
  const fields = { ...(duration ? { duration } : {}), ...(reason ? { reason } : {}) };
  return chat.wire.ask("moderate", { room: room.name, action, target, ...fields });
};

/** By name: [usage, what it does, function of {chat, room, rest, usage, show}]. */
export const COMMANDS = {
  help: ["/help", "show this list", ({ show }) => show.help()],
  me: ["/me waves", "say what you do", ({ chat, room, rest, usage }) => {
    if (!rest) throw new SyntaxError(usage);
    chat.send(room, rest, { kind: "action" });
  }],
  join: ["/join #room [key]", "enter a room", ({ chat, rest, usage }) => {
    const [name, key] = first(rest, usage);
    return chat.open(name.startsWith("#") ? name : `#${name}`, key || null);
  }],
  part: ["/part", "leave this room", ({ chat, room }) => chat.leave(room)],
  msg: ["/msg NAME [text]", "write to somebody alone", async ({ chat, rest, usage }) => {
    const [nick, text] = first(rest, usage);
    const room = await chat.open(`@${nick}`);
    if (text) chat.send(room, text);
  }],
  nick: ["/nick NAME", "be called otherwise", ({ chat, rest, usage }) => chat.rename(first(rest, usage)[0])],
  topic: ["/topic [text]", "set what this room is about", ({ chat, room, rest }) => chat.wire.ask("set", { room: room.name, changes: { topic: rest } })],
  away: ["/away [text]", "tell that you are away", ({ chat, rest }) => chat.away(rest || true)],
  back: ["/back", "tell that you are back", ({ chat }) => chat.away(null)],
  search: ["/search words", "find what was said here", ({ show, rest }) => show.search(rest)],
  ignore: ["/ignore NAME", "hear somebody no more", ({ chat, rest, usage }) => chat.ignore(first(rest, usage)[0], true)],
  unignore: ["/unignore NAME", "hear somebody again", ({ chat, rest, usage }) => chat.ignore(first(rest, usage)[0], false)],
  invite: ["/invite NAME", "ask somebody into this room", order("invite")],
  kick: ["/kick NAME [reason]", "put somebody out of this room", order("kick")],
  ban: ["/ban NAME [10m|2h|7d] [reason]", "and let nobody like that in again", orderFor("ban")],
  unban: ["/unban NAME", "lift a ban", order("unban")],
  mute: ["/mute NAME [10m|2h|7d] [reason]", "let somebody only listen", orderFor("mute")],
  unmute: ["/unmute NAME", "let somebody speak again", order("unmute")],
  op: ["/op NAME", "let somebody keep order here", order("role", { role: "operator" })],
  deop: ["/deop NAME", "and no longer", order("role", { role: "member" })],
  quit: ["/quit", "log out, and be forgotten by this browser", ({ chat }) => chat.logOut()],
};

/** Carry out a command; whatever is wrong is thrown. */
export async function run(name, rest, { chat, room, show }) {
  const found = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : null;
  if (!found) throw new SyntaxError(`There is no command /${name}. Nothing was sent. /help lists all; to say it, begin with //`);
  const [usage, , act] = found;
  await act({ chat, room, rest, show, usage: `Write: ${usage}` });
}
