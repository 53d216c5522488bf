"use strict";
const WINDOW = 24;
const AROUND_S = 2;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const at = { videos: [], state: {}, video: 0, place: 0, frame: 0, region: null, drag: null, playing: null, busy: false };
const windows = new Map();

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

function clock(seconds) {
  return Math.floor(seconds / 60) + ":" + (seconds % 60).toFixed(2).padStart(5, "0");
}

const video = () => at.videos[at.video];
const place = () => video().places[at.place];
const rate = (v) => Math.max(1, v.frames / Math.max(v.seconds, 0.001));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

async function ask(path, wish) {
  const options = wish === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) };
  const answer = await fetch(path, options);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.reason);
  return value;
}

function say(text, kind = "") {
  $("said").textContent = text;
  $("said").className = kind;
}

async function wish(path, what, done) {
  if (at.busy) return;
  at.busy = true;
  try {
    const answer = await ask(path, what);
    const i = at.videos.findIndex((v) => v.record === answer.record);
    if (i >= 0) at.videos[i] = answer;
    done(answer);
  } catch (error) {
    say(error.message, "bad");
  } finally {
    at.busy = false;
  }
  await refresh();
}

function shotOf(v, frame) {
  const stop = v.stops.find((s) => s > frame) ?? v.frames;
  const first = [...v.stops].reverse().find((s) => s <= frame) ?? 0;
  return [first, stop];
}

function words(p) {
  const parts = [p.kinds.join(", ")];
  if (p.track >= 0) parts.push(p.label || "nobody", "frames " + p.first + " to " + (p.stop - 1));
  if (p.score !== null) parts.push("score " + p.score.toFixed(2));
  return parts.join(" · ");
}

function standing(v) {
  const parts = [v.seen.length + " of " + v.places.length + " approved"];
  if (v.said) parts.push("you said " + v.said);
  else if (v.reviewed) parts.push("was reviewed before");
  if (v.waits) parts.push("waits to be rendered");
  return parts.join(", ");
}

function list() {
  $("list").replaceChildren(...at.videos.flatMap((v, i) => [
    make("h3", { "data-video": v.name }, v.name, make("small", {}, standing(v))),
    ...v.places.map((p, j) => {
      const current = i === at.video && j === at.place;
      const button = make("button", { type: "button", "aria-current": String(current), class: v.seen.includes(p.track) ? "seen" : "" }, words(p));
      button.addEventListener("click", () => go(i, j));
      return button;
    }),
  ]));
  document.querySelector('#list [aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

function go(i, j) {
  stop();
  at.video = i;
  at.place = j;
  clear();
  say("");
  $("reason").value = "";
  const v = video(), p = place();
  const low = clamp(p.first - Math.round(AROUND_S * rate(v)), 0, v.frames - 1), high = clamp(p.stop - 1 + Math.round(AROUND_S * rate(v)), 0, v.frames - 1);
  $("title").textContent = v.name;
  $("why").textContent = words(p) + (p.objection ? " · " + p.objection : "") + (p.repaired ? " · " + p.repaired + " frames repaired" : "") +
    (p.obscured ? " · " + p.obscured + " frames obscured" : "") + (p.replaced ? " · " + p.replaced + " replaced" : "");
  $("overlay").setAttribute("viewBox", "0 0 " + v.width + " " + v.height);
  $("stage").style.aspectRatio = v.width + " / " + v.height;
  $("stage").style.width = "min(100%, " + (60 * v.width) / v.height + "vh)";
  $("scrub").min = low;
  $("scrub").max = high;
  show(p.track < 0 ? 0 : Math.floor((p.first + p.stop - 1) / 2));
  list();
}

function step(by) {
  const all = at.videos.flatMap((v, i) => v.places.map((_, j) => [i, j]));
  const now = all.findIndex(([i, j]) => i === at.video && j === at.place);
  const next = all[clamp(now + by, 0, all.length - 1)];
  if (next) go(...next);
}

function show(frame) {
  const v = video();
  at.frame = clamp(frame, 0, v.frames - 1);
  $("scrub").min = Math.min($("scrub").min, at.frame);
  $("scrub").max = Math.max($("scrub").max, at.frame);
  $("scrub").value = at.frame;
  $("frame").textContent = "frame " + at.frame + " · " + clock(at.frame / rate(v));
  $("picture").src = "frame/" + v.record + "/" + at.frame + ".jpg";
  outline();
}

$("picture").addEventListener("load", () => {
  document.body.dataset.shown = $("picture").src.split("/").slice(-2).join("/");
  if (at.playing) at.playing = setTimeout(on, 1000 / rate(video()));
});
$("picture").addEventListener("error", () => {
  stop();
  say("this frame cannot be shown", "bad");
});

function on() {
  if (at.frame >= Number($("scrub").max)) stop();
  else show(at.frame + 1);
}

function stop() {
  clearTimeout(at.playing);
  at.playing = null;
  $("play").textContent = "Play";
}

function play() {
  if (at.playing) { stop(); return; }
  $("play").textContent = "Stop";
  at.playing = setTimeout(on, 0);
  if (at.frame >= Number($("scrub").max)) show(Number($("scrub").min));
}

async function outlines(v, window) {
  const name = v.record + "/" + window;
  if (!windows.has(name)) windows.set(name, ask("boxes/" + name).catch(() => ({})));
  return windows.get(name);
}

function rect(x, y, w, h, kind) {
  const node = document.createElementNS(SVG, "rect");
  for (const [key, value] of Object.entries({ x, y, width: w, height: h, class: kind })) node.setAttribute(key, value);
  return node;
}

async function outline() {
  const v = video(), p = place(), frame = at.frame;
  const known = await outlines(v, Math.floor(frame / WINDOW));
  if (v !== video() || frame !== at.frame) return;
  const covers = (known[frame] || []).map(([track, x, y, w, h]) => rect(x, y, w, h, track === p.track ? "own" : "cover"));
  const drawn = v.drawn.filter((d) => d.first <= frame && frame < d.stop).map(({ box: [x0, y0, x1, y1] }) => rect(x0, y0, x1 - x0, y1 - y0, "drawn"));
  const region = at.region ? [rect(at.region[0], at.region[1], at.region[2] - at.region[0], at.region[3] - at.region[1], "new")] : [];
  $("overlay").replaceChildren(...($("outlines").checked ? covers : []), ...drawn, ...region);
  $("expired").hidden = p.track < 0 || frame < p.first || frame >= p.stop || covers.length > 0;
}

function point(event) {
  const v = video(), area = $("overlay").getBoundingClientRect();
  return [clamp((event.clientX - area.left) / area.width, 0, 1) * v.width, clamp((event.clientY - area.top) / area.height, 0, 1) * v.height];
}

$("overlay").addEventListener("pointerdown", (event) => {
  stop();
  event.preventDefault();
  $("overlay").setPointerCapture(event.pointerId);
  at.drag = point(event);
});
$("overlay").addEventListener("pointermove", (event) => {
  if (!at.drag) return;
  const [x, y] = point(event);
  at.region = [Math.floor(Math.min(x, at.drag[0])), Math.floor(Math.min(y, at.drag[1])), Math.ceil(Math.max(x, at.drag[0])), Math.ceil(Math.max(y, at.drag[1]))];
  outline();
});
$("overlay").addEventListener("pointerup", () => {
  at.drag = null;
  if (!at.region || at.region[2] - at.region[0] < 2 || at.region[3] - at.region[1] < 2) { clear(); return; }
  if ($("region").hidden) {
    const v = video(), [first, stop] = shotOf(v, at.frame), second = Math.round(rate(v));
    $("from").max = $("to").max = v.frames - 1;
    $("from").value = Math.max(first, at.frame - second);
    $("to").value = Math.min(stop - 1, at.frame + second);
    $("region").hidden = false;
  }
});

function clear() {
  at.region = at.drag = null;
  $("region").hidden = true;
  $("note").value = "";
  if (at.videos.length) outline();
}

function save() {
  if (!at.region) return;
  const first = Number($("from").value), last = Number($("to").value);
  if (!(Number.isInteger(first) && Number.isInteger(last) && first <= last)) { say("the frames of a region run from the first to the last", "bad"); return; }
  wish("correct", { record: video().record, first, stop: last + 1, box: at.region, note: $("note").value }, () => {
    clear();
    say("saved: hidden in frames " + first + " to " + last + " once it is rendered", "good");
  });
}

function approve() {
  const before = video().said;
  wish("approve", { record: video().record, track: place().track }, (v) => {
    const passed = v.said === "pass" && before !== "pass";
    step(1);
    if (passed) say(v.name + " passed: each of its places was approved", "good");
  });
}

function decide(decision) {
  wish("decide", { record: video().record, decision, reason: decision === "fail" ? $("reason").value : "" }, (v) => say(v.name + ": " + decision, decision === "pass" ? "good" : "bad"));
}

async function refresh() {
  const before = at.state.job?.state;
  at.state = await ask("state");
  const { waiting, job, can_render, command } = at.state;
  $("origin").textContent = at.state.out + " · reviewer " + at.state.reviewer;
  const count = waiting.length + (waiting.length === 1 ? " video waits" : " videos wait") + " to be rendered";
  $("waiting").textContent = waiting.length ? count + (can_render ? "" : ": " + command) : "nothing waits to be rendered";
  $("render").hidden = !can_render;
  $("render").disabled = !waiting.length || job.state === "running";
  $("bar").hidden = job.state !== "running";
  $("bar").max = Math.max(1, job.total);
  $("bar").value = job.done;
  const told = { idle: "", running: "rendering: " + job.step + " " + job.done + " of " + job.total, done: "rendered", failed: "not all went well" }[job.state];
  $("job").textContent = [told, ...job.notes].filter(Boolean).join(" · ");
  $("job").className = job.state === "failed" ? "bad" : "";
  document.body.dataset.job = job.state;
  if (before === "running" && job.state !== "running") await load();
  else list();
  if (job.state === "running" && before !== "running") watch();
}

async function watch() {
  while (at.state.job.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await refresh().catch((error) => say(error.message, "bad"));
  }
}

async function load() {
  const name = at.videos.length ? video().name : "";
  at.videos = await ask("places");
  windows.clear();
  $("desk").hidden = !at.videos.length;
  $("nothing").hidden = at.videos.length > 0;
  const i = Math.max(0, at.videos.findIndex((v) => v.name === name));
  if (at.videos.length) go(i, 0);
  document.body.dataset.ready = String(Number(document.body.dataset.ready || 0) + 1);
}

$("region").addEventListener("submit", (event) => { event.preventDefault(); save(); });
$("clear").addEventListener("click", clear);
$("approve").addEventListener("click", approve);
$("pass").addEventListener("click", () => decide("pass"));
$("fail").addEventListener("click", () => decide("fail"));
$("before").addEventListener("click", () => step(-1));
$("after").addEventListener("click", () => step(1));
$("frame-back").addEventListener("click", () => { stop(); show(at.frame - 1); });
$("frame-on").addEventListener("click", () => { stop(); show(at.frame + 1); });
$("play").addEventListener("click", play);
$("scrub").addEventListener("input", () => { stop(); show(Number($("scrub").value)); });
$("outlines").addEventListener("change", outline);
$("render").addEventListener("click", () => wish("render", {}, () => {}));

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches('input:not([type="checkbox"]):not([type="range"])');
  if (event.ctrlKey || event.altKey || event.metaKey || !at.videos.length || (typing && event.key !== "Escape")) return;
  const second = event.shiftKey ? Math.round(rate(video())) : 1;
  const keys = {
    ArrowLeft: () => { stop(); show(at.frame - second); },
    ArrowRight: () => { stop(); show(at.frame + second); },
    " ": play, j: () => step(1), k: () => step(-1), a: approve, p: () => decide("pass"), s: save, Escape: clear,
    b: () => { $("outlines").checked = !$("outlines").checked; outline(); },
  };
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) { event.preventDefault(); act(); }
});

load().then(refresh).catch((error) => { document.body.prepend(make("p", { class: "bad" }, error.message)); });
