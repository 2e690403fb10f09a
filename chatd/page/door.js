// The door: one's name, and a password if the name belongs to an account.

import { Cut, Refused } from "./wire.js";

const $ = (id) => document.getElementById(id);

export class Door {
  #chat;
  #entered;
  #form = $("login");
  #account = null; // whom the password is for
  #invite = null; // with which an account can be made

  /** `entered()` is called when somebody is in. */
  constructor(chat, entered) {
    this.#chat = chat;
    this.#entered = entered;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try();
    });
    this.#form.nick.addEventListener("input", () => this.#account !== null && !this.#invite && this.#ask(null));
    $("with-password").addEventListener("click", () => {
      this.#ask($("password-row").hidden ? this.#form.nick.value.trim() : null);
      (this.#form.nick.value ? this.#form.password : this.#form.nick).focus();
    });
  }

  /** Make an account with an invite. */
  invite(word) {
    this.#invite = word;
    this.#ask(this.#form.nick.value);
    this.#form.password.autocomplete = "new-password";
    $("with-password").hidden = true;
    this.#words();
  }

  #words() {
    $("door-words").textContent = this.#invite ? "You are invited. Choose a name and a password." : "Choose a name, and talk.";
  }

  /** Show it, with a word why. */
  show(words = "", nick = "") {
    $("door").hidden = false;
    this.#form.querySelector("[type=submit]").disabled = false;
    this.#form.nick.value = nick || this.#form.nick.value;
    this.#form.password.value = "";
    if (words) $("door-problem").textContent = words;
    this.#form.nick.focus();
  }

  #ask(account) {
    this.#account = account;
    $("password-row").hidden = account === null;
    $("with-password").textContent = account === null ? "I have an account" : "I am a guest";
    this.#form.password.required = account !== null;
  }

  async #try() {
    const [nick, password] = [this.#form.nick.value.trim(), this.#form.password.value];
    if (!nick) return;
    const button = this.#form.querySelector("[type=submit]");
    button.disabled = true;
    $("door-problem").textContent = "";
    $("door-words").textContent = "Coming in …";
    try {
      await this.#chat.logIn(this.#fields(nick, password));
      this.#invite = null;
      this.#form.password.value = "";
      $("with-password").hidden = false;
      this.#ask(null);
      $("door").hidden = true;
      this.#entered();
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Cut)) throw error;
      this.#refused(error);
    } finally {
      button.disabled = false;
      this.#words();
    }
  }

  #fields(nick, password) {
    if (this.#invite) return { mechanism: "invite", account: nick, password, token: this.#invite };
    return $("password-row").hidden ? { mechanism: "guest", nick } : { mechanism: "password", account: nick, password };
  }

  #refused({ code, message, details = {} }) {
    $("door-problem").textContent = message;
    if (code === "NICK_RESERVED" && details.account && !this.#invite) {
      $("door-problem").textContent = "This name belongs to an account. If it is yours, give its password; or take another name.";
      this.#ask(this.#form.nick.value.trim());
      this.#form.password.focus();
    } else if (details.suggestion) {
      this.#form.nick.value = details.suggestion;
      this.#form.nick.select();
    } else if (!$("password-row").hidden) this.#form.password.select();
  }
}
