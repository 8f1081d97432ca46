// The page: consent, the microphone or a file, and what is heard in it.

import { Live } from "/live.js";
import { Picture } from "/picture.js";
import { Columns } from "/spectrum.js";

const SHOWN = matchMedia("(max-width: 44rem)").matches ? 10 : 20; // seconds of a live stream
const COLUMN = 0.02; // seconds
const SILENT = 1.2; // seconds without a word of the service, after which nobody speaks
const FRAME = 66; // milliseconds from drawing to drawing
const LARGEST_PICTURE = 40e6; // bytes of a file that is drawn

const at = (id) => document.getElementById(id);
const state = { token: null, model: null, live: null, columns: null, pieces: [], segments: [], start: 0, end: SHOWN };
const picture = new Picture(at("picture"));

function show(id, yes) {
  at(id).hidden = !yes;
}

function warn(text) {
  at("warning").textContent = text ?? "";
  show("warning", Boolean(text));
}

const percent = (share) => `${Math.round(100 * share)} %`;
const seconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;

// The model

async function askForModel() {
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
  const answer = await fetch("/v1/model", { headers });
  show("token", answer.status === 401);
  if (!answer.ok) {
    at("model").textContent = answer.status === 401 ? "a token is needed" : (await answer.json()).detail;
    return;
  }
  state.model = await answer.json();
  at("model").textContent = `model ${state.model.sha256.slice(0, 12)}, ${state.model.classes.length} classes`;
  show("synthetic", state.model.synthetic);
  show("kept", state.model.keeps_scores);
  makeBars(state.model.classes);
  allow();
}

function makeBars(classes) {
  const [bars, key] = [at("bars"), at("key")];
  bars.replaceChildren();
  key.replaceChildren();
  classes.forEach((name, n) => {
    const make = (kind, more = "") => Object.assign(document.createElement(kind), { className: more });
    const [label, track, fill, share] = [make("span", "name"), make("div", "track"), make("div", "fill"), make("span", "share")];
    label.textContent = name;
    share.textContent = "–";
    fill.classList.add(`fill-${(n % 8) + 1}`);
    track.append(fill);
    bars.append(label, track, share);
    const [item, colour] = [make("li"), make("span", `fill-${(n % 8) + 1}`)];
    item.append(colour, name);
    key.append(item);
  });
}

function showBars(probabilities) {
  const [fills, shares] = [document.querySelectorAll(".fill"), document.querySelectorAll(".share")];
  state.model.classes.forEach((name, n) => {
    const value = probabilities?.[name];
    fills[n].style.width = `${100 * (value ?? 0)}%`;
    shares[n].textContent = value === undefined ? "–" : percent(value);
  });
}

// What may be done now

function allow() {
  const may = at("agreed").checked && state.model !== null && state.live === null;
  at("start").disabled = !may;
  at("file").disabled = !may;
  show("start", state.live === null);
  show("stop", state.live !== null);
}

// What is heard

function clear(shown) {
  Object.assign(state, { columns: null, pieces: [], segments: [], start: 0, end: shown });
  at("segments").replaceChildren();
  warn(null);
  say("–", null);
  at("heard").textContent = "has heard nobody yet";
  at("lag").textContent = "";
}

function say(text, probabilities) {
  at("emotion").textContent = text;
  at("emotion").classList.toggle("idle", probabilities === null);
  showBars(probabilities);
}

function named(probabilities) {
  const [name, share] = Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
  return share < Number(at("threshold").value) ? "unsure" : name;
}

function sayHeard({ start, end, heard }) {
  at("heard").textContent = `has heard you ${seconds(heard + end - start)}`;
}

function told(event) {
  state.last = performance.now();
  if (event.type === "window") {
    state.pieces.push({ ...event, start: Math.max(event.start, event.end - 0.25) });
    say(named(event.probabilities), event.probabilities);
    sayHeard(event);
  } else if (event.type === "segment") {
    addSegment(event);
    sayHeard(event);
    say("no speech", null);
  } else if (event.type === "lag") {
    state.behind = performance.now();
    at("lag").textContent = ` · ${seconds(event.waiting)} behind: only whole stretches are scored`;
    return;
  }
  if (event.end && performance.now() - (state.behind ?? -1e4) > 3000) {
    at("lag").textContent = ` · told after ${Math.max(0, state.live.seconds - event.end).toFixed(2)} s`;
  }
}

function addSegment(own) {
  state.segments.push(own);
  const row = document.createElement("tr");
  const times = `${own.start.toFixed(1)} – ${own.end.toFixed(1)}`;
  for (const text of [times, own.emotion ?? "unsure", percent(own.confidence), seconds(own.heard)]) {
    row.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  at("segments").prepend(row);
  at("latest").textContent = `${own.emotion ?? "unsure"}, ${percent(own.confidence)}`;
}

// The microphone

async function start() {
  clear(SHOWN);
  at("terms").open = false;
  const unsure = Number(at("threshold").value);
  const live = new Live({ token: state.token, unsure, told, heard, warn, ended });
  state.live = live;
  state.last = performance.now();
  allow();
  at("doing").textContent = "opens the microphone";
  try {
    await live.start();
    at("doing").textContent = `listening, at ${live.context.sampleRate} Hz`;
    say("no speech", null);
    at("stop").focus();
    requestAnimationFrame(follow);
  } catch (error) {
    ended(error.message);
  }
}

function heard(block) {
  state.columns ??= new Columns(state.live.context.sampleRate, COLUMN);
  state.columns.add(block);
}

function follow(now) {
  if (state.live === null) return;
  requestAnimationFrame(follow);
  if (now - (state.drawn ?? 0) < FRAME) return;
  state.drawn = now;
  if (performance.now() - state.last > 1000 * SILENT && !state.live.stopping) say("no speech", null);
  state.end = Math.max(SHOWN, state.live.seconds);
  state.start = state.end - SHOWN;
  draw();
}

function ended(why) {
  state.live = null;
  at("doing").textContent = "not listening";
  if (why) warn(why);
  allow();
  draw();
}

// A file

async function recognise(file) {
  clear(SHOWN);
  at("terms").open = false;
  at("doing").textContent = `${file.name} is heard`;
  at("file").disabled = at("start").disabled = true;
  const asked = new URLSearchParams({ name: file.name, unsure: at("threshold").value, hop: "0.25" });
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
  const columns = file.size > LARGEST_PICTURE ? null : drawn(file);
  try {
    const answer = await fetch(`/v1/recognise?${asked}`, { method: "POST", body: file, headers });
    const result = await answer.json();
    if (result.segments === undefined) throw new Error(result.detail);
    await showResult(result, columns);
  } catch (error) {
    warn(`${file.name}: ${error.message}`);
    at("doing").textContent = "not listening";
  }
  allow();
}

// Its columns, where the browser can read it too.
async function drawn(file) {
  const context = new OfflineAudioContext(1, 1, 48000);
  try {
    const sound = await context.decodeAudioData(await file.arrayBuffer());
    const columns = new Columns(sound.sampleRate, Math.max(COLUMN, sound.duration / 900));
    columns.add(sound.getChannelData(0));
    return columns;
  } catch {
    return null;
  }
}

async function showResult(result, columns) {
  const { times, probabilities, hop } = result.trajectory;
  state.end = Math.max(1, result.seconds);
  state.pieces = times.flatMap((end, n) => {
    const own = Object.fromEntries(Object.entries(probabilities).map(([name, values]) => [name, values[n]]));
    return Object.values(own).includes(null) ? [] : [{ start: end - hop, end, probabilities: own }];
  });
  result.segments.forEach(addSegment);
  const shares = Object.entries({ unsure: result.summary.unsure, ...result.summary.share });
  const [longest] = shares.reduce((best, each) => (each[1] > best[1] ? each : best));
  say(result.segments.length ? `mostly ${longest}` : "no speech", result.summary.share);
  at("doing").textContent = `${result.path}: ${seconds(result.seconds)}, ${percent(result.summary.unsure)} of its speech unsure`;
  at("heard").textContent = `has heard ${seconds(result.summary.speech)} of speech`;
  if (result.problems.length) warn(result.problems.map((each) => `${result.path}: ${each.detail}`).join("; "));
  state.columns = await columns;
  draw();
}

function draw() {
  picture.draw({ ...state, classes: state.model?.classes ?? [] });
}

// Who does what

at("host").textContent = location.host;
at("agreed").addEventListener("change", allow);
at("start").addEventListener("click", start);
at("stop").addEventListener("click", () => state.live?.stop());
at("threshold").addEventListener("input", () => (at("below").textContent = percent(at("threshold").value)));
at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  if (file) recognise(file);
  at("file").value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover" && !at("file").disabled);
    const [file] = event.dataTransfer?.files ?? [];
    if (kind === "drop" && file && !at("file").disabled) recognise(file);
  });
}
at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = at("secret").value;
  askForModel();
});
new ResizeObserver(draw).observe(at("picture"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
askForModel().catch(() => (at("model").textContent = "the service does not answer"));
