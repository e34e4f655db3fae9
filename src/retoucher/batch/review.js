"use strict";
// Pictures, places and words come as data; they reach the page as text and attributes only.
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const key = "retouch-review-" + data.key;
const said = new Map(); // file -> {places: Map(id -> decision), missed: []}
let shown = data.pictures, at = 0, now = 0, drawing = null;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function take(pictures) {
  for (const one of pictures || []) {
    const picture = data.pictures.find((p) => p.file === one.file && p.run === one.run);
    if (!picture) continue;
    const places = new Map((one.places || []).map((d) => [d.id, { ...d }]));
    said.set(one.file, { places, missed: [...(one.missed || [])] });
  }
}

function of(picture) {
  if (!said.has(picture.file)) said.set(picture.file, { places: new Map(), missed: [] });
  return said.get(picture.file);
}

function saved() {
  const pictures = [];
  for (const picture of data.pictures) {
    const mine = said.get(picture.file);
    if (!mine) continue;
    const places = [...mine.places.values()].filter((d) => d.verdict);
    if (places.length || mine.missed.length || picture.review) {
      pictures.push({ file: picture.file, run: picture.run, places, missed: mine.missed });
    }
  }
  return { schema_version: 1, pictures };
}

function keep() {
  try { localStorage.setItem(key, JSON.stringify(saved())); } catch { /* private mode: save to a file */ }
  count();
}

function undecided(picture) {
  return picture.places.filter((p) => !of(picture).places.get(p.id)?.verdict).length;
}

function count() {
  const all = data.pictures.reduce((n, p) => n + p.places.length, 0);
  const open = data.pictures.reduce((n, p) => n + undecided(p), 0);
  by("count").textContent = `${all - open} of ${all} places decided`;
  for (const option of by("picture").options) {
    const picture = shown[option.value];
    option.textContent = (undecided(picture) ? "" : "\u2713 ") + picture.file;
  }
}

function decide(picture, place, verdict) {
  const mine = of(picture).places;
  const old = mine.get(place.id) || { id: place.id };
  if (verdict === null || old.verdict === verdict) delete old.verdict;
  else old.verdict = verdict;
  mine.set(place.id, old);
  keep();
}

function correct(picture, place, name, value) {
  const mine = of(picture).places;
  const old = mine.get(place.id) || { id: place.id };
  if (value === place[name]) delete old[name];
  else old[name] = value;
  if (!old.verdict) old.verdict = place.state === "repaired" ? "accept" : "defect"; // who names a defect means it
  mine.set(place.id, old);
  keep();
}

// ---- what is seen

function percent(picture, box) {
  const [x0, y0, x1, y1] = box;
  return `left:${100 * x0 / picture.width}%;top:${100 * y0 / picture.height}%;` +
    `width:${100 * (x1 - x0) / picture.width}%;height:${100 * (y1 - y0) / picture.height}%`;
}

function gone(picture, place) {
  return ["reject", "no_defect"].includes(of(picture).places.get(place.id)?.verdict);
}

function patches(picture, which, all = false) {
  const images = [];
  for (const place of picture.places) {
    if (!all && which === "after" && gone(picture, place)) continue;
    for (const repair of place.repairs) images.push([repair.index, repair]);
  }
  images.sort((a, b) => (which === "before" ? b[0] - a[0] : a[0] - b[0]));
  return images.map(([, r]) => make("img", { class: "patch", alt: "", src: r[which], style: percent(picture, r.box) }));
}

function zoom(picture, place, which) {
  const [x0, y0, x1, y1] = place.box;
  const grow = Math.max(24, 0.35 * Math.max(x1 - x0, y1 - y0));
  const left = Math.max(0, x0 - grow), top = Math.max(0, y0 - grow);
  const w = Math.min(picture.width, x1 + grow) - left, h = Math.min(picture.height, y1 + grow) - top;
  const inner = make("div", { style: `width:${100 * picture.width / w}%;height:${100 * picture.height / h}%;` +
    `left:${-100 * left / w}%;top:${-100 * top / h}%` },
    make("img", { src: picture.view, alt: "" }), ...patches(picture, which, true));
  return make("figure", {}, make("div", { class: `zoom ${which}`, style: `--aspect:${w / h}` }, inner),
    make("figcaption", {}, place.state === "left" ? "as it is" : which));
}

function categories(value, change, label) {
  const select = make("select", { "aria-label": label, onchange: (e) => change(e.target.value) });
  const known = data.categories.some(([name]) => name === value) ? [] : [[value, "not named"]];
  for (const [name, phrase] of [...known, ...data.categories]) {
    select.append(make("option", { value: name, selected: name === value }, phrase));
  }
  return select;
}

function card(picture, place, index) {
  const mine = of(picture).places.get(place.id) || {};
  const verdicts = place.state === "repaired"
    ? [["accept", "Accept"], ["reject", "Reject"], ["no_defect", "Nothing was wrong"]]
    : [["defect", "It is a defect"], ["no_defect", "Nothing is wrong"]];
  const say = make("div", { class: "say", role: "group", "aria-label": "decision" });
  for (const [verdict, words] of verdicts) {
    say.append(make("button", { type: "button", value: verdict, "aria-pressed": String(mine.verdict === verdict),
      onclick: () => { now = index; decide(picture, place, verdict); draw(); } }, words));
  }
  const pair = place.state === "repaired" ? ["before", "after"] : ["before"];
  return make("li", { class: `card${index === now ? " now" : ""}${gone(picture, place) ? " gone" : ""}`,
    "aria-current": index === now ? "true" : null },
    make("header", {}, make("h3", {}, place.title), ...place.chips.map(([words, tone]) =>
      make("span", { class: `chip ${tone}` }, words))),
    make("p", {}, place.description), place.reason ? make("p", { class: "soft" }, place.reason) : "",
    make("div", { class: pair.length === 1 ? "pair one" : "pair" }, ...pair.map((which) => zoom(picture, place, which))),
    say,
    make("div", { class: "edit" },
      categories(mine.category ?? place.category, (v) => { correct(picture, place, "category", v); draw(); }, "what is wrong"),
      make("input", { type: "text", maxlength: 500, "aria-label": "in words", value: mine.description ?? place.description,
        onchange: (e) => { correct(picture, place, "description", e.target.value); draw(); } })));
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function marks(picture) {
  const drawn = svg("svg", { class: "marks", viewBox: `0 0 ${picture.width} ${picture.height}`, "aria-hidden": "true" });
  picture.places.forEach((place, i) => {
    const [x0, y0, x1, y1] = place.box;
    drawn.append(svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: i === now ? "now" : "" }));
  });
  for (const one of of(picture).missed) drawn.append(svg("polygon", { class: "drawn", points: one.outline_xy.join(" ") }));
  return drawn;
}

function stage(picture) {
  const whole = make("div", { class: "whole", style: `--aspect:${picture.width / picture.height}` },
    make("img", { src: picture.view, alt: picture.file }), ...patches(picture, "after"), marks(picture));
  const before = make("button", { type: "button", "aria-keyshortcuts": "B",
    onpointerdown: () => look(true), onpointerup: () => look(false), onpointerleave: () => look(false) }, "Hold for before");
  const mark = make("button", { type: "button", "aria-pressed": String(drawing !== null), "aria-keyshortcuts": "M",
    onclick: toggle }, "Mark a missed defect");
  whole.addEventListener("pointerdown", (e) => start(e, picture, whole));
  const box = make("input", { type: "text", size: 22, placeholder: "or a box: x0 y0 x1 y1", "aria-label": "or type a box, in pixels",
    onchange: (e) => typed(picture, e.target) });
  return make("section", { class: drawing ? "drawing" : "" }, whole,
    make("div", { class: "tools" }, before, mark, box), missed(picture));
}

function missed(picture) {
  const list = make("ul", { class: "facts" });
  of(picture).missed.forEach((one, i) => {
    list.append(make("li", {}, categories(one.category, (v) => { one.category = v; keep(); }, `missed defect ${i + 1}`),
      make("button", { type: "button", onclick: () => { of(picture).missed.splice(i, 1); keep(); draw(); } }, "Remove")));
  });
  return list;
}

function look(before) {
  for (const patch of document.querySelectorAll(".whole .patch")) patch.hidden = before;
}

function draw() {
  const picture = shown[at], main = by("main");
  by("back").disabled = at === 0;
  by("on").disabled = at >= shown.length - 1;
  if (!picture) {
    main.replaceChildren(make("p", { class: "lead" }, "Nothing of this kind is left to look at."));
    return;
  }
  by("picture").value = String(at);
  main.replaceChildren(make("div", { class: "desk" }, stage(picture),
    make("section", {}, make("h1", {}, picture.file), picture.prompt ? make("blockquote", {}, picture.prompt) : "",
      make("ol", { style: "list-style:none;padding:0" }, ...picture.places.map((place, i) => card(picture, place, i))))));
}

// ---- drawing

function toggle() { drawing = drawing === null ? [] : null; draw(); }

function point(event, picture, whole) {
  const r = whole.getBoundingClientRect();
  const clamp = (v, most) => Math.round(Math.min(Math.max(v, 0), most) * 10) / 10;
  return [clamp((event.clientX - r.left) / r.width * picture.width, picture.width),
    clamp((event.clientY - r.top) / r.height * picture.height, picture.height)];
}

function start(event, picture, whole) {
  if (drawing === null || event.button !== 0) return;
  event.preventDefault();
  whole.setPointerCapture(event.pointerId);
  const points = [point(event, picture, whole)];
  const line = svg("polyline", { class: "drawn now" });
  whole.querySelector(".marks").append(line);
  const move = (e) => { points.push(point(e, picture, whole)); line.setAttribute("points", points.join(" ")); };
  whole.addEventListener("pointermove", move);
  whole.addEventListener("pointerup", () => {
    whole.removeEventListener("pointermove", move);
    drawing = null;
    add(picture, points);
  }, { once: true });
}

function add(picture, points) {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  if (points.length >= 3 && Math.max(...xs) - Math.min(...xs) >= 3 && Math.max(...ys) - Math.min(...ys) >= 3) {
    of(picture).missed.push({ category: data.categories[0][0], outline_xy: points.slice(0, 10000) });
    keep();
  }
  draw();
}

function typed(picture, input) {
  const n = input.value.trim().split(/[\s,]+/).map(Number);
  const fits = n.length === 4 && n.every(Number.isFinite) && n[0] >= 0 && n[1] >= 0 &&
    n[2] <= picture.width && n[3] <= picture.height && n[0] < n[2] && n[1] < n[3];
  input.setCustomValidity(fits ? "" : `four numbers, x0 < x1 <= ${picture.width}, y0 < y1 <= ${picture.height}`);
  if (fits) add(picture, [[n[0], n[1]], [n[2], n[1]], [n[2], n[3]], [n[0], n[3]]]);
  else input.reportValidity();
}

// ---- going about

function go(to) {
  at = Math.min(Math.max(to, 0), Math.max(shown.length - 1, 0));
  now = 0;
  drawing = null;
  draw();
  scrollTo(0, 0);
}

function list() {
  const want = by("filter").value;
  shown = data.pictures.filter((p) => want === "all" || (want === "open" ? undecided(p) : p.places.some((q) => q.state === "repaired")));
  by("picture").replaceChildren(...shown.map((p, i) => make("option", { value: i }, p.file)));
  count();
  go(0);
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input,select")) return;
  const picture = shown[at], place = picture?.places[now];
  const name = event.key.toLowerCase();
  const left = place?.state === "left";
  const verdict = { a: left ? "defect" : "accept", d: "defect", r: "reject", n: "no_defect", u: null }[name];
  if (name === "arrowleft") go(at - 1);
  else if (name === "arrowright") go(at + 1);
  else if (name === "b" && !event.repeat) look(true);
  else if (name === "m" && picture) toggle();
  else if ((name === "j" || name === "k") && picture) {
    now = Math.min(Math.max(now + (name === "j" ? 1 : -1), 0), picture.places.length - 1);
    draw();
    document.querySelector(".card.now")?.scrollIntoView({ block: "nearest" });
  } else if (verdict !== undefined && place) {
    if ((name === "r" && left) || (name === "d" && !left)) return;
    if (of(picture).places.get(place.id)?.verdict !== verdict) decide(picture, place, verdict);
    if (verdict !== null && now < picture.places.length - 1) now += 1;
    else if (verdict !== null && at < shown.length - 1 && !undecided(picture)) { go(at + 1); return; }
    draw();
    document.querySelector(".card.now")?.scrollIntoView({ block: "nearest" });
  } else return;
  event.preventDefault();
}

by("back").addEventListener("click", () => go(at - 1));
by("on").addEventListener("click", () => go(at + 1));
by("picture").addEventListener("change", (e) => go(Number(e.target.value)));
by("filter").addEventListener("change", list);
by("save").addEventListener("click", () => {
  const blob = new Blob([JSON.stringify(saved(), null, 1) + "\n"], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(blob), download: "decisions.json" });
  link.click();
  URL.revokeObjectURL(link.href);
});
by("open").addEventListener("change", async (e) => {
  const file = e.target.files[0];
  if (!file) return;
  try { take(JSON.parse(await file.text()).pictures); keep(); draw(); } catch { alert(`${file.name} holds no decisions`); }
  e.target.value = "";
});
document.addEventListener("keydown", pressed);
document.addEventListener("keyup", (e) => { if (e.key.toLowerCase() === "b") look(false); });
take(data.pictures.filter((p) => p.review).map((p) => ({ file: p.file, ...p.review })));
try { take(JSON.parse(localStorage.getItem(key))?.pictures); } catch { /* nothing of use is there */ }
list();
