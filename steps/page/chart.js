// Draw what the server sends, and show how old it is. Insert it only as text, so no message can add an element.
import { objectIn } from "./session.js";

const TOPICS = ["cpu", "memory", "disk", "received", "sent", "connections", "clock"];
const DASHES = { memory: [6, 4], cpu: [] }; // Not everyone can tell the lines apart by their colors.
const [SHOWN_SECONDS, READING_MS, MAX_POINTS, MAX_UNREAD, MAX_ALERTS, MAX_CHARACTERS] = [15, 1000, 400, 200, 50, 500];
const find = (id) => document.getElementById(id);
const [state, rate, alerts, canvas] = ["state", "rate", "alerts", "lines"].map(find);
const cells = document.querySelectorAll(".number");
let [socket, unread, points, values, alertedAt] = [null, [], [], {}, 0];

const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
const setRate = () => send({ type: "rate", per_second: rate.valueAsNumber });

function connect() {
  if (socket && socket.readyState !== WebSocket.CLOSED) return;
  [unread, points, values] = [[], [], {}];
  // Remove the leading slashes: the path is relative to this page, even behind a proxy's prefix.
  socket = new WebSocket((new URLSearchParams(location.search).get("address") || "ws").replace(/^\/+/, ""));
  state.textContent = `Connecting to ${socket.url}`;
  socket.onopen = () => {
    state.textContent = `Open: ${socket.url}`;
    send({ type: "subscribe", topics: [...TOPICS, "alerts"] });
    setRate();
  };
  socket.onmessage = ({ data }) => receive(objectIn(data));
  socket.onclose = ({ code, reason }) => {
    unread = [];
    state.textContent = `Closed with the code ${code}. ${reason ? `Reason: ${reason}` : "No reason"}.`;
  };
}

function receive(message) {
  if (message.type === "snapshot" || message.type === "values") {
    if (unread.push(message) === 1) read(unread);
    if (unread.length > MAX_UNREAD) socket.close(4000, `more than ${MAX_UNREAD} unread messages`);
  } else if (message.type === "alert" || message.type === "error") {
    [alerts.ariaLive, alertedAt] = [Date.now() - alertedAt < 1000 ? "off" : "polite", Date.now()]; // Mute a stream.
    const textContent = String(message.text ?? message.detail).slice(0, MAX_CHARACTERS);
    alerts.prepend(Object.assign(document.createElement("div"), { className: "row content", textContent }));
    if (alerts.childElementCount > MAX_ALERTS) alerts.lastElementChild.remove();
  }
}

async function read(queue) {
  while (queue.length) {
    if (find("slow").checked) await new Promise((done) => setTimeout(done, READING_MS));
    if (queue !== unread) return; // Meanwhile, the connection has ended.
    const { type, seq, first, last = seq, values: newer } = queue.shift();
    for (const topic of TOPICS) if (Number.isFinite(newer?.[topic])) values[topic] = newer[topic];
    points = [...points, { ...values }].slice(-MAX_POINTS);
    Object.assign(values, { last, covered: first && last - first + 1 });
    if (type === "values") send({ type: "seen", last });
  }
}

function draw() {
  const [{ clientWidth: width, clientHeight: height }, now] = [canvas, Date.now() / 1000];
  const [pen, second] = [canvas.getContext("2d"), width / SHOWN_SECONDS];
  [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio]; // This clears it too.
  pen.scale(devicePixelRatio, devicePixelRatio);
  for (const [topic, dashes] of Object.entries(DASHES)) { // The color follows the scheme; a miter join adds peaks.
    [pen.lineWidth, pen.lineJoin, pen.strokeStyle] = [2, "round", getComputedStyle(find(`${topic}-key`)).color];
    pen.setLineDash(dashes);
    pen.beginPath();
    for (const { clock, [topic]: y } of points) pen.lineTo(width + (clock - now) * second, height * (102 - y) / 104);
    pen.stroke();
  }
  const shown = { ...values, unread: unread.length, "per-second": rate.valueAsNumber };
  if (values.clock) shown.age = Math.round((now - values.clock) * 1000);
  for (const box of cells) box.textContent = shown[box.id]?.toLocaleString("en", { maximumFractionDigits: 1 }) ?? "–";
}

const summary = () => ["cpu", "memory", "age"].map((id) => `${id} ${find(id).parentElement.textContent}`).join(", ");
setInterval(() => (canvas.ariaLabel = summary()), 1000);
setInterval(draw, 50); // Not for each message: a backlog that's read in one go needs one drawing.
rate.addEventListener("input", setRate);
find("connect").addEventListener("click", connect);
connect();
