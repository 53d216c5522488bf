"use strict";
const data = JSON.parse(document.getElementById("overview").textContent);
const videos = data.videos;
const rows = videos.name.length;
const PAGE = 50;
const view = { order: [], sort: "day", down: true, page: 0, open: new Set() };
const parts = new Map();
const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

function draw(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function number(value, digits = 0) {
  return value === null || value === undefined ? "" : Number(value).toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

function counted(count, one, many) {
  return number(count) + " " + (count === 1 ? one : many);
}

function clock(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  return (whole >= 3600 ? Math.floor(whole / 3600) + ":" + two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)) + ":" + two(whole % 60);
}

const COLUMNS = [
  ["name", "Video", (i) => videos.name[i]],
  ["state", "State", (i) => make("span", { class: "state " + videos.state[i] }, videos.state[i])],
  ["collection", "Collection", (i) => videos.collection[i] || ""],
  ["seconds", "Length", (i) => clock(videos.seconds[i]), true],
  ["people", "People", (i) => number(videos.people[i]), true],
  ["tracks", "Tracks", (i) => number(videos.tracks[i]), true],
  ["replaced", "Frames replaced", (i) => number(videos.replaced[i]), true],
  ["obscured", "obscured", (i) => number(videos.obscured[i]), true],
  ["repaired", "repaired", (i) => number(videos.repaired[i]), true],
  ["verdict", "Audit", (i) => (videos.verdict[i] ? videos.verdict[i] + " (" + videos.auditor[i] + ")" : "")],
  ["day", "Decided", (i) => videos.day[i] || ""],
];

const haystack = Array.from({ length: rows }, (_, i) => [videos.name[i], videos.collection[i], videos.reason[i]].join("\n").toLowerCase());

function chosen() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const state = document.getElementById("state").value;
  const kind = document.getElementById("kind").value;
  const kinds = { "": () => true, none: (i) => videos.state[i] === "published" && !videos.tracks[i], obscured: (i) => videos.obscured[i] > 0, repaired: (i) => videos.repaired[i] > 0 };
  const found = [];
  for (let i = 0; i < rows; i++) {
    if ((!state || videos.state[i] === state) && kinds[kind](i) && words.every((word) => haystack[i].includes(word))) found.push(i);
  }
  const column = videos[view.sort];
  const sign = view.down ? -1 : 1;
  found.sort((a, b) => {
    const x = column[a], y = column[b];
    if (x === y) return a - b;
    if (x === null) return 1;
    if (y === null) return -1;
    return (x < y ? -1 : 1) * sign;
  });
  return found;
}

function refresh() {
  view.order = chosen();
  view.page = 0;
  show();
}

function show() {
  const body = document.querySelector("#videos tbody");
  const pages = Math.max(1, Math.ceil(view.order.length / PAGE));
  const shown = view.order.slice(view.page * PAGE, (view.page + 1) * PAGE);
  body.replaceChildren(...shown.flatMap((i) => (view.open.has(i) ? [row(i), detail(i)] : [row(i)])));
  const more = data.totals.videos > rows ? " of the newest " + number(rows) + "; the ledger knows " + number(data.totals.videos) : "";
  document.getElementById("count").textContent = counted(view.order.length, "video", "videos") + more;
  document.getElementById("page").textContent = "page " + (view.page + 1) + " of " + pages;
  document.getElementById("back").disabled = view.page === 0;
  document.getElementById("next").disabled = view.page >= pages - 1;
  for (const head of document.querySelectorAll("#videos th")) {
    head.setAttribute("aria-sort", head.dataset.column === view.sort ? (view.down ? "descending" : "ascending") : "none");
  }
}

function row(i) {
  const cells = COLUMNS.map(([, , value, isNumber]) => make("td", isNumber ? { class: "number" } : {}, value(i)));
  const line = make("tr", { class: "row", tabindex: "0", "aria-expanded": String(view.open.has(i)), "data-video": videos.name[i] }, ...cells);
  const toggle = () => {
    if (!view.open.delete(i)) view.open.add(i);
    show();
  };
  line.addEventListener("click", toggle);
  line.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
  });
  return line;
}

function detail(i) {
  const cell = make("td", { colspan: COLUMNS.length }, "...");
  if (videos.reason[i]) cell.replaceChildren(make("p", {}, videos.reason[i]));
  if (videos.record[i]) {
    timeline(i).then((entry) => {
      cell.replaceChildren(...(videos.reason[i] ? [make("p", {}, videos.reason[i])] : []), ...picture(i), ...drawn(i, entry));
    });
  }
  return make("tr", { class: "detail" }, cell);
}

async function timeline(i) {
  const part = Math.floor(i / data.part);
  if (!parts.has(part)) parts.set(part, unpack(document.getElementById("part-" + part).textContent));
  return (await parts.get(part))[i % data.part];
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

function picture(i) {
  const held = document.getElementById("picture-" + videos.record[i]);
  return held ? [make("img", { src: "data:image/jpeg;base64," + held.textContent, alt: "frames of the anonymized video " + videos.name[i] })] : [];
}

function drawn(i, entry) {
  const tracks = entry.tracks;
  const frames = Math.max(videos.frames[i] || 0, 1, ...tracks.stop);
  const labels = [...new Set(tracks.label)];
  const left = 190, width = 900, lane = 16, top = 16;
  const height = top + Math.max(1, labels.length) * lane + 18;
  const svg = draw("svg", { viewBox: "0 0 " + (left + width + 10) + " " + height, role: "img", "aria-label": "timeline of " + videos.name[i] });
  const x = (frame) => left + (width * frame) / frames;
  labels.forEach((label, n) => {
    svg.append(draw("rect", { class: "lane", x: left, y: top + n * lane + 2, width, height: lane - 4 }));
    svg.append(draw("text", { x: left - 6, y: top + n * lane + 12, "text-anchor": "end" }, label || "no person"));
  });
  tracks.label.forEach((label, n) => {
    const share = tracks.replaced[n] + tracks.obscured[n] > 0 ? tracks.replaced[n] / (tracks.replaced[n] + tracks.obscured[n]) : 0;
    const y = top + labels.indexOf(label) * lane + 2, from = x(tracks.first[n]), whole = Math.max(1.5, x(tracks.stop[n]) - from);
    const told = label + ": frames " + tracks.first[n] + " to " + (tracks.stop[n] - 1) + ", replaced in " + tracks.replaced[n] + ", obscured in " + tracks.obscured[n] +
      (tracks.repaired[n] ? ", repaired in " + tracks.repaired[n] : "") + ", up to " + tracks.width[n] + " px wide" +
      (tracks.distance[n] !== null ? ", distance to the original " + tracks.distance[n] : "");
    for (const [kind, at, size] of [["new", from, whole * share], ["hidden", from + whole * share, whole * (1 - share)]]) {
      if (size <= 0) continue;
      const bar = draw("rect", { class: kind, x: at, y, width: size, height: lane - 4 });
      bar.append(draw("title", {}, told));
      svg.append(bar);
    }
    if (tracks.repaired[n]) svg.append(draw("rect", { class: "mend", x: from, y: y + lane - 7, width: whole, height: 3 }));
  });
  for (const stop of entry.shots.slice(0, -1)) svg.append(draw("line", { class: "cut", x1: x(stop), x2: x(stop), y1: top - 8, y2: height - 14 }));
  svg.append(draw("text", { x: left, y: height - 3 }, "0:00"), draw("text", { x: left + width, y: height - 3, "text-anchor": "end" }, clock(videos.seconds[i])));
  const facts = counted(entry.shots.length, "shot", "shots") + ", " + counted(labels.length, "person", "people") + ", engine " + (videos.engine[i] || "none");
  const key = make("div", { class: "key" }, make("span", {}, facts));
  for (const [kind, text] of [["new", "new face"], ["hidden", "obscured (share of the track's frames)"], ["mend", "found by the auditor, then covered"]]) {
    key.append(make("span", {}, make("i", { class: kind }), text));
  }
  return [key, svg];
}

function plot(id, days, values, digits) {
  const place = document.getElementById(id);
  const known = values.map((value, n) => [n, value]).filter(([, value]) => value !== null && isFinite(value));
  if (!known.length) { place.append(make("p", { class: "none" }, "nothing yet")); return; }
  const width = 520, height = 120, left = 46, bottom = 16, most = Math.max(...known.map(([, value]) => value)) || 1;
  const svg = draw("svg", { viewBox: "0 0 " + width + " " + height, role: "img" });
  const x = (n) => left + (days.length > 1 ? ((width - left - 8) * n) / (days.length - 1) : (width - left) / 2);
  const y = (value) => 8 + (height - bottom - 8) * (1 - value / most);
  for (const share of [0, 0.5, 1]) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width, y1: y(most * share), y2: y(most * share) }));
    svg.append(draw("text", { x: left - 4, y: y(most * share) + 3, "text-anchor": "end" }, number(most * share, digits)));
  }
  svg.append(draw("polyline", { class: "line", points: known.map(([n, value]) => x(n) + "," + y(value)).join(" ") }));
  if (known.length <= 62) for (const [n, value] of known) {
    const dot = draw("circle", { class: "dot", cx: x(n), cy: y(value), r: 2.5 });
    dot.append(draw("title", {}, days[n] + ": " + number(value, digits)));
    svg.append(dot);
  }
  svg.append(draw("text", { x: left, y: height - 3 }, days[0]), draw("text", { x: width, y: height - 3, "text-anchor": "end" }, days.length > 1 ? days[days.length - 1] : ""));
  place.append(svg);
}

function table(title, columns, empty) {
  const names = Object.keys(columns);
  const count = columns[names[0]].length;
  const isNumber = (name) => columns[name].some((value) => typeof value === "number");
  const head = make("tr", {}, ...names.map((name) => make("th", isNumber(name) ? { class: "number" } : {}, name.replaceAll("_", " "))));
  const body = Array.from({ length: count }, (_, i) => make("tr", {}, ...names.map((name) => {
    const value = columns[name][i];
    return make("td", isNumber(name) ? { class: "number" } : {}, typeof value === "number" ? number(value) : value ?? "");
  })));
  const box = make("details", { id: "list-" + title.toLowerCase().replaceAll(" ", "-") }, make("summary", {}, title + " (" + count + ")"));
  box.append(count ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)) : make("p", { class: "none" }, empty));
  if (count && title === "Quarantine") box.open = true;
  return box;
}

function start() {
  const totals = data.totals;
  document.getElementById("origin").textContent = data.out + ", as of " + data.made_at;
  const proof = document.getElementById("proof");
  proof.textContent = data.proof.words;
  proof.classList.add(data.proof.problems.length ? "bad" : data.proof.checked ? "good" : "open");
  const cards = [["videos", totals.videos], ["published", totals.published], ["quarantined", totals.quarantined], ["hours", totals.hours, 2], ["people, counted by video", totals.people],
    ["tracks", totals.tracks], ["face frames replaced", totals.replaced], ["face frames obscured", totals.obscured], ["videos repaired", totals.repaired_videos], ["GB published", totals.bytes / 1e9, 2]];
  document.getElementById("totals").append(...cards.map(([name, value, digits]) => make("div", { class: "card" }, make("b", {}, number(value, digits)), make("span", {}, name))));
  plot("plot-faces", data.days.day, data.days.faces, 0);
  plot("plot-rate", data.days.day, data.days.frames.map((frames, n) => (data.days.cpu_s[n] ? frames / data.days.cpu_s[n] : null)), 1);
  const head = document.querySelector("#videos thead");
  head.append(make("tr", {}, ...COLUMNS.map(([name, title, , isNumber]) => {
    const button = make("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      view.down = view.sort === name ? !view.down : Boolean(isNumber);
      view.sort = name;
      refresh();
    });
    return make("th", { "data-column": name, ...(isNumber ? { class: "number" } : {}) }, button);
  })));
  for (const state of [...new Set(videos.state)].sort()) document.getElementById("state").append(make("option", { value: state }, state));
  for (const id of ["search", "state", "kind"]) document.getElementById(id).addEventListener("input", refresh);
  document.getElementById("back").addEventListener("click", () => { view.page -= 1; show(); });
  document.getElementById("next").addEventListener("click", () => { view.page += 1; show(); });
  const problems = { where: data.proof.problems.map((p) => p[0]), what: data.proof.problems.map((p) => p[1]) };
  document.getElementById("lists").append(
    ...(data.proof.problems.length ? [table("Evidence problems", problems, "")] : []),
    table("Quarantine", data.quarantine, "Nothing is in quarantine."),
    table("Audits", data.verdicts, "No verdict yet."),
    table("Retention", data.retention, "No retention run has looked at this archive."),
    table("Holds", data.holds, "No hold stands."),
    table("Models", data.models, "No model was used."),
    table("Runs", data.runs, "No run yet."),
  );
  refresh();
  document.body.dataset.ready = "yes";
}

start();
