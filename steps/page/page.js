// The browser page of the course: several WebSocket clients side by side.
// Content from the wire is only inserted as text, so no message can add an element to the page.

import { comesBack, namesAfter, objectIn, pause, ticketFor } from "./session.js";

const NAMES = ["Ada", "Grace", "Linus"];
const MOST_ROWS = 500;
const LONGEST_LINE = 240;
const ARROWS = { sent: "→ sent", received: "← received", here: "• browser" };
const ABOUT = { message: "about-message", code: "about-close", reason: "about-close" };
const MEANINGS = {
  1000: "normal closure",
  1001: "going away",
  1002: "protocol error",
  1003: "unsupported data",
  1005: "the close frame had no code",
  1006: "abnormal closure, no close frame came",
  1007: "invalid data, such as text that is not UTF-8",
  1008: "policy violation",
  1009: "message too big",
  1010: "an extension is missing",
  1011: "internal error of the server",
  1012: "service restart",
  1013: "try again later",
  4401: "not authenticated, like HTTP 401",
  4408: "timed out, like HTTP 408",
};
// Invisible characters, and those that change the direction of text. Unescaped, they could hide a part of a message.
const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

let made = 0;

function meaning(code) {
  if (code in MEANINGS) return MEANINGS[code];
  if (code >= 3000 && code <= 3999) return "registered for a library or framework";
  if (code >= 4000 && code <= 4999) return "private use, the application says what it means";
  return "no meaning assigned";
}

/** Return the full address for the text of the field. A path is relative to this page, even behind a proxy's prefix. */
function resolve(written) {
  const text = written.trim();
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = full ? new URL(text) : new URL(`./${text.replace(/^\/+/, "")}`, document.baseURI);
  url.protocol = url.protocol.replace(/^http/, "ws");
  return url.href;
}

function startAddress() {
  const written = new URLSearchParams(location.search).get("address") ?? "ws";
  try {
    return resolve(written);
  } catch {
    return written; // Connect shows the error.
  }
}

function shown(text) {
  return text.replace(UNSEEN, (character) => {
    const number = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    return `⟨U+${number}⟩`;
  });
}

function hex(buffer) {
  const bytes = Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0"));
  return `${bytes.length} ${bytes.length === 1 ? "byte" : "bytes"}: ${bytes.join(" ")}`;
}

/** Return the message without its end: a bracket stays open, so no parser accepts it as JSON. */
function broken(text) {
  let whole = `{"text": ${JSON.stringify(text)}}`;
  try {
    // Cut only an object or a list directly, because the start of a number is a number too.
    if (JSON.parse(text) instanceof Object) whole = text.trim();
  } catch {
    // It isn't JSON yet.
  }
  // Cut between characters, because half of one would be sent as U+FFFD.
  const characters = Array.from(whole);
  return characters.slice(0, Math.max(1, characters.length - 4)).join("");
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function freeName() {
  const taken = Array.from(document.querySelectorAll("h2"), (heading) => heading.textContent);
  let number = NAMES.length + 1;
  while (taken.includes(`Client ${number}`)) number += 1;
  return NAMES.find((name) => !taken.includes(name)) ?? `Client ${number}`;
}

/** Return a function that adds a row to a card's log. A screen reader doesn't read a stream of rows out. */
function makeLog(log, quiet) {
  let following = true;
  let burst = 0;
  let calm;

  log.addEventListener("scroll", () => {
    following = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  });

  function hush() {
    burst += 1;
    clearTimeout(calm);
    calm = setTimeout(() => {
      burst = 0;
      log.ariaLive = "polite";
      quiet.textContent = "";
    }, 1000);
    if (burst === 6) {
      // Mute the log: a screen reader would read a stream of rows for minutes.
      log.ariaLive = "off";
      quiet.textContent = "Many rows, not read out";
    }
  }

  return function add(direction, kind, content) {
    hush();
    const now = new Date();
    const row = element("div", `row ${direction} ${kind}`, "");
    const time = `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, "0")}`;
    row.append(
      element("time", "", time),
      " ",
      element("span", "direction", ARROWS[direction]),
      " ",
      element("span", "kind", kind),
      " ",
    );
    const text = content === "" ? "(empty)" : shown(content);
    if (text.length <= LONGEST_LINE) {
      row.append(element("div", "content", text));
    } else {
      // Keep it closed, so it needs no layout and isn't read out.
      const whole = element("details", "content", "");
      const start = `${text.slice(0, LONGEST_LINE)}… (${content.length.toLocaleString("en")} characters in all)`;
      whole.append(element("summary", "", start), element("pre", "", text));
      row.append(whole);
    }
    log.append(row);
    while (log.childElementCount > MOST_ROWS) log.firstElementChild.remove();
    if (following) requestAnimationFrame(() => log.scrollTo(0, log.scrollHeight));
  };
}

function addConnection() {
  const card = document.querySelector("#card").content.firstElementChild.cloneNode(true);
  const find = (selector) => card.querySelector(selector);
  const field = (name) => find(`[name=${name}]`);
  const [heading, state, log] = [find("h2"), find(".state"), find(".log")];
  const row = makeLog(log, find(".quiet"));
  let frame = null;
  let socket = null;
  let names = null; // the members of the room; null before the list
  let lastId = null; // the id of the last message, from step 07 on
  let tries = 0; // the attempts to reconnect
  let waiting; // the timer of the next attempt
  let loggingIn = false;

  made += 1;
  heading.id = `name-${made}`;
  find("h3").id = `log-${made}`;
  card.setAttribute("aria-labelledby", heading.id);
  log.setAttribute("aria-labelledby", `${heading.id} log-${made}`);
  for (const form of card.querySelectorAll("form")) {
    const problem = form.querySelector(".problem");
    problem.id = `${form.className}-problem-${made}`;
    for (const input of form.querySelectorAll("input, textarea")) {
      input.setAttribute("aria-describedby", `${problem.id} ${ABOUT[input.name] ?? ""}`.trim());
    }
    form.addEventListener("input", () => complain(form));
  }

  function complain(form, sentence = "", input = null) {
    form.querySelector(".problem").textContent = sentence;
    for (const each of form.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
    input?.setAttribute("aria-invalid", "true");
  }

  function rename(name) {
    heading.textContent = name || "No name";
    find(".remove").ariaLabel = `Remove ${heading.textContent}`;
  }

  function show(text) {
    state.textContent = text;
    state.dataset.state = text;
  }

  function showNames(list) {
    names = list;
    find(".members").textContent = names ? shown(`In the room: ${names.join(", ")}`) : "";
  }

  function release() {
    frame?.remove();
    frame = null;
    socket = null;
    showNames(null);
  }

  function stopWaiting() {
    clearTimeout(waiting);
    waiting = undefined;
  }

  function connect(form) {
    complain(form);
    if (frame || loggingIn) return complain(form, "This connection hasn't ended yet: close it or drop it first.");
    stopWaiting();
    lastId = null;
    tries = 0;
    begin(form, {});
  }

  /** Log in if there's a user, and connect with these additional parameters in the address. */
  async function begin(form, more) {
    if (field("user").value) {
      loggingIn = true;
      show("Logging in");
      try {
        more.ticket = await ticketFor(field("user").value, field("password").value);
      } catch (error) {
        show("Not connected");
        return complain(form, error.message, field("password"));
      } finally {
        loggingIn = false;
      }
      if (!card.isConnected) return;
    }
    // Create the WebSocket in an iframe, because Drop removes the iframe to cut the connection.
    frame = document.createElement("iframe");
    frame.hidden = true;
    frame.title = "Holds the connection";
    frame.addEventListener("load", () => open(form, more), { once: true });
    card.append(frame);
  }

  function comeBack(form) {
    const milliseconds = pause(tries);
    tries += 1;
    show("Waiting");
    row("here", "wait", `The next attempt starts in ${(milliseconds / 1000).toFixed(1)} s.`);
    waiting = setTimeout(() => {
      stopWaiting();
      begin(form, lastId === null ? {} : { after: lastId });
    }, milliseconds);
  }

  function received(text) {
    row("received", "text", text);
    const message = objectIn(text);
    if (namesAfter(names, message) !== names) showNames(namesAfter(names, message));
    if (message.type === "message" || message.type === "ack") tries = 0;
    if (message.type === "message" && Number.isInteger(message.id)) lastId = message.id;
    if (message.type === "ping" && field("answer").checked) {
      const pong = '{"type": "pong"}';
      send("text", pong, pong);
    }
  }

  function open(form, more) {
    const input = field("address");
    let opened = false;
    let address;
    try {
      input.value = resolve(input.value);
      address = new URL(input.value);
      for (const [key, value] of Object.entries(more)) address.searchParams.set(key, value);
      // Keep the address unchanged if there's no parameter to add.
      socket = new frame.contentWindow.WebSocket(Object.keys(more).length ? address : input.value);
    } catch (error) {
      release();
      const secure = error.name === "SecurityError";
      const why = secure ? "a page served over https may only use wss://" : "write ws:// or wss://, or a path such as ws";
      return complain(form, `This address can't be used: ${why}.`, input);
    }
    socket.binaryType = "arraybuffer";
    show("Connecting");
    if (more.ticket) address.searchParams.set("ticket", "…");
    row("sent", "open", `Handshake to ${more.ticket ? decodeURI(address.href) : socket.url}`);
    socket.onopen = () => {
      opened = true;
      show("Open");
      const extension = socket.extensions.split(";")[0];
      row("received", "open", extension ? `Accepted, with compression (${extension})` : "Accepted");
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") received(data);
      else row("received", "binary", hex(data));
    };
    socket.onerror = () => {
      const what = opened ? "The connection failed." : "The handshake failed.";
      row("here", "error", `${what} A browser hides the cause from a page: see its console and the server's log.`);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      const why = reason ? `Reason: ${reason}` : "No reason";
      // The browser itself sets 1006. Any other code is from a close frame.
      const lost = code === 1006 ? "the server sent no close frame" : "the connection was lost after one close frame";
      const how = wasClean ? "Clean: both sides sent a close frame" : `Not clean: ${lost}`;
      row(code === 1006 ? "here" : "received", "close", `${code}, ${meaning(code)}. ${why}. ${how}.`);
      show("Closed");
      complain(find(".connect"));
      release();
      if (field("reconnect").checked && comesBack(code)) comeBack(form);
    };
  }

  function send(kind, data, content) {
    const form = find(".send");
    complain(form);
    if (socket?.readyState !== WebSocket.OPEN) return complain(form, "Not sent: there is no open connection.");
    socket.send(data);
    row("sent", kind, content);
  }

  function sendText() {
    const text = field("message").value;
    send("text", text, text);
  }

  function sendJson() {
    try {
      JSON.parse(field("message").value);
    } catch (error) {
      const sentence = `Not sent, because it isn't valid JSON: ${error.message}. Send as text sends it unchanged.`;
      return complain(find(".send"), shown(sentence), field("message"));
    }
    sendText();
  }

  function sendBroken() {
    const text = broken(field("message").value);
    send("text", text, text);
  }

  function sendBinary() {
    const digits = field("message").value.replace(/\s/g, "");
    if (!/^([0-9a-f]{2})*$/i.test(digits)) {
      return complain(find(".send"), "Not sent: write pairs of hex digits, such as 00 01 ff.", field("message"));
    }
    const bytes = Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    send("binary", bytes, hex(bytes));
  }

  function close(form) {
    complain(form);
    const [code, reason] = [field("code").value.trim(), field("reason").value];
    const number = /^\d+$/.test(code) ? Number(code) : NaN;
    const bytes = new TextEncoder().encode(reason).length;
    if (code && number !== 1000 && !(number >= 3000 && number <= 4999)) {
      return complain(form, "A page may close with 1000 or a code from 3000 to 4999, or with none.", field("code"));
    }
    if (!code && reason) return complain(form, "A reason needs a code.", field("code"));
    if (bytes > 123) {
      return complain(form, `The reason has ${bytes} bytes in UTF-8, and the limit is 123.`, field("reason"));
    }
    if (waiting !== undefined) {
      stopWaiting();
      return show("Closed");
    }
    if (!socket || socket.readyState > WebSocket.OPEN) return complain(form, "There is no open connection to close.");
    const said = code ? `${code}, ${meaning(number)}. ${reason ? `Reason: ${reason}.` : "No reason."}` : "Without a code.";
    row("sent", "close", said);
    show("Closing");
    if (code) socket.close(number, reason);
    else socket.close();
  }

  function drop(form) {
    complain(form);
    if (!socket) return complain(form, "There is no connection to drop.");
    const again = field("reconnect").checked && socket.readyState === WebSocket.OPEN;
    // Send a large message first. A browser sends a close frame with 1001 when an iframe is removed. Chromium queues it
    // after the unsent data, and drops the part of the queue that doesn't fit into its pipe of 128 KiB.
    if (socket.readyState === WebSocket.OPEN) socket.send(new Uint8Array(2 ** 20));
    release();
    show("Dropped");
    row("here", "close", "Dropped inside a large message, without a close frame in Chromium. No more data is sent.");
    if (again) comeBack(find(".connect"));
  }

  function submit(selector, action) {
    const form = find(selector);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      action(form);
    });
    return form;
  }

  submit(".connect", connect);
  const sending = submit(".send", sendText);
  const ending = submit(".end", close);
  find(".json").addEventListener("click", sendJson);
  find(".broken").addEventListener("click", sendBroken);
  find(".binary").addEventListener("click", sendBinary);
  find(".drop").addEventListener("click", () => drop(ending));
  find(".clear").addEventListener("click", () => log.replaceChildren());
  find(".remove").addEventListener("click", () => {
    stopWaiting();
    card.remove();
    document.querySelector("#add").focus();
  });
  field("name").addEventListener("input", ({ target }) => rename(target.value.trim()));
  field("message").addEventListener("keydown", (event) => {
    // Don't send when Enter ends the composition of a Korean, Chinese or Japanese character.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    sending.requestSubmit();
    event.target.select();
  });

  field("name").value = freeName();
  field("address").value = startAddress();
  rename(field("name").value);
  document.querySelector("#cards").append(card);
  return card;
}

document.querySelector("#add").addEventListener("click", () => {
  addConnection().querySelector(".connect button").focus();
});
addConnection();
