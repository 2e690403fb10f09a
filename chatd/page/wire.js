// The connection: one WebSocket after the other, and requests with their replies. It knows nothing of rooms.
//
// `on.open()` is called whenever a connection is there, `on.event(event)` for every event, `on.state(state)` when the state
// changes: {phase: "off" | "dialling" | "open" | "waiting" | "ended", until?: ms, why?: text}.

const QUIET = 60_000; // after so long without a byte the server is asked whether it is still there
const PATIENCE = 10_000; // and after so long without an answer the connection is given up
const FIRST_WAIT = 250;
const LONGEST_WAIT = 15_000;
const FINAL = new Set(["KICKED", "REPLACED", "BANNED", "UNSUPPORTED_VERSION", "WRONG_PROTOCOL"]);

/** A request that the server did not carry out; `code` is one of the protocol's. */
export class Refused extends Error {
  constructor({ code, message, retry_after, details }) {
    super(message);
    this.code = code;
    this.seconds = retry_after ?? null;
    this.details = details ?? {};
  }
}

/** The connection was lost before the answer came. */
export class Cut extends Error {}

export class Wire {
  #url;
  #on;
  #socket = null;
  #asked = new Map();
  #count = 0;
  #wait = FIRST_WAIT;
  #timer = 0;
  #heard = 0;
  #farewell = null;

  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    this.state = { phase: "off" };
    setInterval(() => this.#look(), PATIENCE / 2);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect, now, and again whenever the connection is lost. */
  start() {
    clearTimeout(this.#timer);
    if (this.#socket) return;
    this.#farewell = null;
    const socket = new WebSocket(this.#url, "chatd.v1.json");
    this.#socket = socket;
    this.#become({ phase: "dialling" });
    this.#timer = setTimeout(() => socket.readyState === WebSocket.CONNECTING && socket.close(), PATIENCE);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#heard = Date.now();
      this.#become({ phase: "open" });
      this.#on.open();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => socket === this.#socket && this.#lost();
  }

  /** Do not connect any more. */
  stop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    this.#cut();
    this.#become({ phase: "off" });
  }

  /** All is well with this connection: the next loss begins with short waits again. */
  settled() {
    this.#wait = FIRST_WAIT;
  }

  /** Drop this connection and make another. */
  again() {
    this.#socket?.close();
    if (this.#socket) this.#lost();
    this.start();
  }

  /** Send a request. The promise gives the reply, or fails with `Refused` or `Cut`. */
  ask(type, fields = {}) {
    if (!this.isOpen) return Promise.reject(new Cut("there is no connection"));
    const id = String(++this.#count);
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ type, id, ...fields }));
    });
  }

  #receive(data) {
    this.#heard = Date.now();
    const found = JSON.parse(data);
    if (found.re === undefined) return this.#event(found);
    const asked = this.#asked.get(found.re);
    this.#asked.delete(found.re);
    if (found.ok) asked?.resolve(found);
    else asked?.reject(new Refused(found.error));
  }

  #event(event) {
    if (event.type === "ping") this.ask("ping").catch(() => {});
    else if (event.type === "closing" || event.type === "error") this.#farewell = event;
    this.#on.event(event);
  }

  #look() {
    const silent = Date.now() - this.#heard;
    if (!this.isOpen || silent < QUIET) return;
    if (silent < QUIET + PATIENCE) this.ask("ping").catch(() => {});
    else this.again();
  }

  #lost() {
    this.#socket = null;
    this.#cut();
    const { code, message, reason, reconnect_after: after } = this.#farewell ?? {};
    if (FINAL.has(code)) return this.#become({ phase: "ended", why: reason ?? message, code });
    const wait = (after ?? 0) * 1000 + this.#wait * (0.5 + Math.random());
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    this.#timer = setTimeout(() => this.start(), wait);
    this.#become({ phase: "waiting", until: Date.now() + wait, why: reason });
  }

  #cut() {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject } of asked) reject(new Cut("the connection was lost before the answer came"));
  }

  #become(state) {
    this.state = state;
    this.#on.state(state);
  }
}
