// What the page knows of the course's own messages: who is there, how to log in, and when to come back.

/** Close codes after which coming back would only be refused again. */
const FOR_GOOD = [1000, 1008, 4401];
const BASE = 500;
const CAP = 10_000;

/** The object in a text frame, or an empty one if there is none. */
export function objectIn(text) {
  try {
    const value = JSON.parse(text);
    return value instanceof Object ? value : {};
  } catch {
    return {};
  }
}

/** The names in the room after this message; null as long as no list has come. */
export function namesAfter(names, { type, names: list, name }) {
  if (type === "members" && Array.isArray(list)) return list.map(String);
  if (type === "joined" && names) return [...new Set([...names, String(name)])].sort();
  if (type === "left" && names) return names.filter((each) => each !== String(name));
  return names;
}

async function post(path, options, said) {
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { method: "POST", ...options });
  } catch {
    throw new Error("Not logged in: there was no answer.");
  }
  if (response.status === 401) throw new Error(`Not logged in: ${said}.`);
  if (!response.ok) throw new Error(`Not logged in: ${path} was answered with HTTP ${response.status}.`);
  return response.json();
}

/** A ticket for one handshake, because a browser can send no header with it. The token never leaves this function. */
export async function ticketFor(username, password) {
  const form = new URLSearchParams({ grant_type: "password", username, password });
  const { access_token: token } = await post("token", { body: form }, "the user or the password is wrong");
  const headers = { Authorization: `Bearer ${token}` };
  return (await post("ticket", { headers }, "the token was refused")).ticket;
}

/** Whether a connection that ended with this code is worth another try. */
export function comesBack(code) {
  return !FOR_GOOD.includes(code);
}

/** Milliseconds before try number `tries`, from 0: random, so that a thousand clients do not come back together. */
export function pause(tries) {
  return Math.min(CAP, BASE * 2 ** tries) * (0.5 + Math.random() / 2);
}
