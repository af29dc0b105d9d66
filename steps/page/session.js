// The course's messages on this page: the list of members, logins, and reconnects.

/** Fatal close codes: the server would reject a reconnect too. */
const FOR_GOOD = [1000, 1008, 4401];
const BASE = 500;
const CAP = 10_000;

/** Return the object in a text message, or an empty object if there's none. */
export function objectIn(text) {
  try {
    const value = JSON.parse(text);
    return value instanceof Object ? value : {};
  } catch {
    return {};
  }
}

/** Return the names in the room after this message; null before the first list of members. */
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
    throw new Error("Not logged in: the server didn't answer.");
  }
  if (response.status === 401) throw new Error(`Not logged in: ${said}.`);
  if (!response.ok) throw new Error(`Not logged in: ${path} returned HTTP ${response.status}.`);
  return response.json();
}

/** Return a ticket for one handshake, because a browser can't send a header with it. The token stays in here. */
export async function ticketFor(username, password) {
  const form = new URLSearchParams({ grant_type: "password", username, password });
  const { access_token: token } = await post("token", { body: form }, "the user or the password is wrong");
  const headers = { Authorization: `Bearer ${token}` };
  return (await post("ticket", { headers }, "the token was refused")).ticket;
}

/** Return whether to reconnect after this close code. */
export function comesBack(code) {
  return !FOR_GOOD.includes(code);
}

/** Return the milliseconds before attempt `tries`, from 0: random, so a thousand clients don't reconnect together. */
export function pause(tries) {
  return Math.min(CAP, BASE * 2 ** tries) * (0.5 + Math.random() / 2);
}
